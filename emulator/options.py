"""What the command line of the emulator asks for."""

from argparse import ArgumentError, ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import TypeAdapter, ValidationError

from emulator.device import LONGEST_NAME
from emulator.personality.table import PersonalityName
from emulator.reading.values import allowed_by, wanted, whole_number
from emulator.rig import HIGHEST_PORT, CannotStartError
from emulator.simulation.scenario import Address, DeviceSpec, Key, Pin, Scenario, Seed

DEFAULT_PORT: Final = 6053  # where ESPHome devices listen
DEFAULT_SCENARIO: Final = "solar"
AS_FAST_AS_POSSIBLE: Final = "max"

type _Name = Annotated[
    str, wanted(f"a text of 1 to {LONGEST_NAME} bytes", lambda name: 0 < len(str(name).encode()) <= LONGEST_NAME)
]
type _Port = Annotated[int, whole_number(0, HIGHEST_PORT)]


def _value_of[Value](name: str, kind: TypeAdapter[Value]) -> Callable[[str], Value]:
    """Return a function that reads the value of an option."""

    def read(text: str) -> Value:
        try:
            return kind.validate_python(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            allowed = allowed_by(first["type"], first.get("ctx", {}))
            raise ArgumentTypeError(f"{name} should be {allowed}, not {text!r}.") from error

    return read


_address = _value_of("The address", TypeAdapter[str](Address))
_key = _value_of("The key", TypeAdapter[bytes](Key))
_pin = _value_of("The PIN", TypeAdapter[str](Pin))
_name = _value_of("The name", TypeAdapter[str](_Name))
_personality = _value_of("The personality", TypeAdapter[str](PersonalityName))
_port = _value_of("The port", TypeAdapter[int](_Port))
_seed = _value_of("The seed", TypeAdapter[int](Seed))


def _speed(text: str) -> float:
    if text == AS_FAST_AS_POSSIBLE:
        return inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not (isfinite(speed) and speed > 0):
        raise ArgumentTypeError(f"A speed is a number above zero, or {AS_FAST_AS_POSSIBLE}; {text!r} is neither.")
    return speed


def _fault(text: str) -> tuple[str, str]:
    name, _, argument = text.partition("=")
    return name, argument


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m emulator",
        description="An emulated smallBMS NG behind a Bluetooth proxy that any Home Assistant adds.",
        exit_on_error=False,
    )
    add = parser.add_argument
    add("--scenario", default=DEFAULT_SCENARIO, help=f"name or YAML file of a scenario (default: {DEFAULT_SCENARIO})")
    add("--list", action="store_true", dest="listing", help="list the scenarios, faults and personalities, and end")
    add(
        "--compare",
        type=Path,
        metavar="FILE",
        help="say which assumptions the recording in a diagnostics download confirms and contradicts, and end",
    )
    add(
        "--replay",
        type=Path,
        metavar="FILE",
        help="be the device of the recording in a diagnostics download instead of one of a scenario",
    )
    add("--speed", type=_speed, default=1.0, help=f"how many times faster than real time, or {AS_FAST_AS_POSSIBLE}")
    add("--seed", type=_seed, help="another run of the same kind (default: the scenario's)")
    add("--save", type=Path, metavar="FILE", help="go on with the state in this file, and save to it")
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        dest="faults",
        metavar="NAME[=ARG]",
        help="begin with a fault of the first device; may be given again",
    )
    add("--port", type=_port, default=DEFAULT_PORT, help="TCP port of the first proxy; 0 takes any free one")
    add("--control-port", type=_port, default=0, help="TCP port of the control channel (default: any free one)")
    add("--panel", action="store_true", help="serve a front panel for the browser at the control channel")
    add("--no-pin", action="store_false", dest="with_pin", help="do not tell the proxies the PIN")
    add("--json", action="store_true", help="print one line of JSON when ready, and nothing else")
    add("--address", type=_address, help="the first device's Bluetooth address")
    add("--key", type=_key, help="its encryption key, 32 hexadecimal digits")
    add("--pin", type=_pin, help="its PIN, six digits")
    add("--name", type=_name, help="its name")
    add(
        "--personality", type=_personality, metavar="NAME", help="how it behaves where nobody knows how a real one does"
    )
    add(
        "--no-state-of-charge",
        action="store_false",
        dest="advertises_state_of_charge",
        help="leave the state of charge out of what it advertises",
    )
    add("-v", "--verbose", action="store_true", help="log to the standard error output")
    return parser


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for; None = what the scenario says."""

    scenario: str
    listing: bool
    compare: Path | None
    replay: Path | None
    speed: float
    seed: int | None
    save: Path | None
    faults: list[tuple[str, str]]
    port: int
    control_port: int
    panel: bool
    with_pin: bool
    json: bool
    address: str | None
    key: bytes | None
    pin: str | None
    name: str | None
    personality: str | None
    advertises_state_of_charge: bool
    verbose: bool

    @classmethod
    def parse(cls, arguments: list[str]) -> Self:
        """Read the command line; CannotStartError if it makes no sense."""
        try:
            return cls(**vars(_parser().parse_args(arguments)))
        except ArgumentError as error:
            own = isinstance(error.__context__, ArgumentTypeError)
            raise CannotStartError(error.message if own else f"The command line makes no sense: {error}.") from error

    def check_replay(self) -> None:
        """Raise CannotStartError for an option that a replayed device has no use for."""
        given = {
            "--scenario": self.scenario != DEFAULT_SCENARIO,
            "--personality": self.personality is not None,
            "--no-state-of-charge": not self.advertises_state_of_charge,
            "--speed": self.speed != 1,
            "--seed": self.seed is not None,
            "--save": self.save is not None,
            "--fault": bool(self.faults),
            "--panel": self.panel,
        }
        if senseless := [name for name, is_given in given.items() if is_given]:
            raise CannotStartError(f"A recording is replayed as it is, so that {senseless[0]} makes no sense.")

    def changed(self, scenario: Scenario) -> Scenario:
        """Return a scenario with the first device as asked for."""
        first, *others = scenario.devices
        return scenario.model_copy(update={"devices": (self._device(first), *others)})

    def _device(self, spec: DeviceSpec) -> DeviceSpec:
        changed: dict[str, object] = {
            "address": self.address or spec.address,
            "key": self.key or spec.key,
            "pin": self.pin or spec.pin,
            "name": self.name or spec.name,
            "personality": self.personality or spec.personality,
            "advertises_state_of_charge": self.advertises_state_of_charge and spec.advertises_state_of_charge,
        }
        return spec.model_copy(update=changed)
