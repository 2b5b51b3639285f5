"""Command line: an emulated smallBMS NG behind a Bluetooth proxy that any Home Assistant adds."""

from argparse import ArgumentError, ArgumentParser, ArgumentTypeError
import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import json
import logging
from math import isfinite
import re
import signal
import sys
from time import monotonic, time
from typing import Final, Self

from .device import DEFAULT_ADDRESS, DEFAULT_KEY, DEFAULT_NAME, DEFAULT_PIN, LONGEST_NAME, EmulatedDevice
from .instant_readout import KEY_LENGTH
from .radio.esphome_proxy import DEFAULT_HOST, EsphomeProxy
from .simple_battery import SimpleBattery
from .snapshot import Snapshot

DEFAULT_PORT: Final = 6053  # where ESPHome devices listen
HIGHEST_PORT: Final = 0xFFFF
DEFAULT_SPEED: Final = 1.0
# Seconds into its cycle at which the battery starts: well filled, and discharging.
START: Final = 3600.0

END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2

_ADDRESS: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_KEY: Final = re.compile(rf"[0-9a-f]{{{2 * KEY_LENGTH}}}")
_PIN: Final = re.compile(r"[0-9]{6}")


class CannotStartError(Exception):
    """The emulator cannot start; the text says why, in one sentence."""


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text.upper()):
        raise ArgumentTypeError(f"A Bluetooth address looks like {DEFAULT_ADDRESS}, not like {text!r}.")
    return text.upper()


def _key(text: str) -> bytes:
    if not _KEY.fullmatch(text.lower()):
        raise ArgumentTypeError(f"A key has {2 * KEY_LENGTH} hexadecimal digits; {text!r} does not.")
    return bytes.fromhex(text)


def _pin(text: str) -> str:
    if not _PIN.fullmatch(text):
        raise ArgumentTypeError(f"A PIN has six digits; {text!r} does not.")
    return text


def _name(text: str) -> str:
    if not 0 < len(text.encode()) <= LONGEST_NAME:
        raise ArgumentTypeError(f"A name has 1 to {LONGEST_NAME} bytes; {text!r} does not.")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise ArgumentTypeError(f"A port is a number from 0 to {HIGHEST_PORT}; {text!r} is not.")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not (isfinite(speed) and speed > 0):
        raise ArgumentTypeError(f"A speed is a number above zero; {text!r} is not.")
    return speed


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m emulator", description=__doc__, exit_on_error=False)
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="TCP port of the proxy; 0 takes any free one")
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready, and nothing else")
    parser.add_argument("--address", type=_address, default=DEFAULT_ADDRESS, help="the device's Bluetooth address")
    parser.add_argument("--key", type=_key, default=DEFAULT_KEY, help="encryption key, 32 hexadecimal digits")
    parser.add_argument("--pin", type=_pin, default=DEFAULT_PIN, help="the device's PIN, six digits")
    parser.add_argument("--name", type=_name, default=DEFAULT_NAME, help="the device's name")
    parser.add_argument("--speed", type=_speed, default=DEFAULT_SPEED, help="how many times faster than real time")
    parser.add_argument("-v", "--verbose", action="store_true", help="log to the standard error output")
    return parser


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for."""

    port: int
    json: bool
    address: str
    key: bytes
    pin: str
    name: str
    speed: float
    verbose: bool

    @classmethod
    def parse(cls, arguments: list[str]) -> Self:
        """Read the command line; CannotStartError if it makes no sense."""
        try:
            return cls(**vars(_parser().parse_args(arguments)))
        except ArgumentError as error:
            own = isinstance(error.__context__, ArgumentTypeError)
            raise CannotStartError(error.message if own else f"The command line makes no sense: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Where everything is, for whoever started the emulator."""

    host: str
    port: int
    device: EmulatedDevice

    def as_json(self) -> str:
        """Return one line for programs."""
        device = {
            "address": self.device.address,
            "name": self.device.name,
            "key": self.device.key.hex(),
            "pin": self.device.pin,
        }
        return json.dumps({"host": self.host, "port": self.port, "devices": [device], "control": None})

    def as_text(self) -> str:
        """Return some lines for people."""
        return "\n".join(
            (
                f"{self.device.name} at {self.device.address}",
                f"  key {self.device.key.hex()}, PIN {self.device.pin}",
                f"Bluetooth proxy at {self.host}, port {self.port}: add it to Home Assistant as an ESPHome device.",
                "Ctrl-C ends it.",
            )
        )


def _make_device(options: Options) -> EmulatedDevice:
    battery = SimpleBattery()
    started = monotonic()

    def readout() -> Snapshot:
        return battery.snapshot(START + (monotonic() - started) * options.speed)

    return EmulatedDevice(
        readout,
        address=options.address,
        name=options.name,
        key=options.key,
        pin=options.pin,
        # So that a restart does not send other content under a nonce that was just heard.
        nonce=int(time()),
    )


async def run(options: Options, announce: Callable[[Ready], None]) -> None:
    """Run until a signal ends it; CannotStartError if it cannot."""
    device = _make_device(options)
    proxy = EsphomeProxy(device, pin=device.pin)
    with _signals() as ended:
        try:
            port = await proxy.start(DEFAULT_HOST, options.port)
        except OSError as error:
            raise CannotStartError(f"Port {options.port} cannot be used: {error.strerror}.") from error
        announce(Ready(host=DEFAULT_HOST, port=port, device=device))
        await ended.wait()
        await proxy.stop()


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Give an event that the signals to end set."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in END_SIGNALS:
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in END_SIGNALS:
            loop.remove_signal_handler(number)


def main(arguments: list[str]) -> int:
    """Run the emulator and return its exit code."""
    try:
        options = Options.parse(arguments)
        logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING)
        asyncio.run(run(options, lambda ready: print(ready.as_json() if options.json else ready.as_text(), flush=True)))
    except CannotStartError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
