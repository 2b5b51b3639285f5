"""The emulator as a child process."""

from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import sys
from typing import Final, Self

from .answers import Json, JsonObject, as_object, as_objects, text, whole_number
from .children import Children
from .errors import DemoError

_ROOT: Final = Path(__file__).parent.parent
_COMMAND: Final = (sys.executable, "-m", "emulator", "--json")
_LIMIT: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Device:
    """One emulated smallBMS NG: address in capitals with colons, key as 32 hex digits, PIN as six."""

    address: str
    name: str
    key: str
    pin: str

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a device from what the emulator writes about it."""
        words = {word: text(source, word) for word in ("name", "key", "pin")}
        return cls(address=text(source, "address").upper(), **words)


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """Where the emulated Bluetooth proxy listens, where it is controlled, and the devices in its reach.

    The front panel is where it is controlled. A replayed device is not controlled: its control is empty.
    """

    host: str
    port: int
    control: str
    devices: tuple[Device, ...]

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read the line that the emulator writes when it is ready."""
        try:
            parsed: Json = json.loads(line)
        except ValueError:
            raise DemoError(f"The emulator said something unexpected: {line.strip()}") from None
        ready = as_object(parsed)
        devices = tuple(Device.from_json(device) for device in as_objects(ready.get("devices")))
        if not devices:
            raise DemoError("The emulator has no device.")
        return cls(
            host=text(ready, "host"),
            port=whole_number(ready, "port"),
            control=text(ready, "control") if "control" in ready else "",
            devices=devices,
        )


async def start_emulator(
    children: Children,
    *,
    log: Path,
    battery: Path,
    port: int,
    scenario: str,
    speed: float,
    personality: str | None = None,
    advertises_state_of_charge: bool = True,
) -> Emulator:
    """Start a scenario, so many times faster than real time, and wait until it is ready. Port 0 is any free one.

    The battery goes on as it is in its file, and is kept there.
    """
    options = ("--port", str(port), "--scenario", scenario, "--speed", f"{speed:g}", "--save", battery)
    more = [] if advertises_state_of_charge else ["--no-state-of-charge"]
    if personality is not None:
        more += ["--personality", personality]
    return await _start(children, ("--panel", *options, *more), log=log)


async def start_replay(children: Children, recording: Path, *, log: Path, port: int) -> Emulator:
    """Start the device of the recording in a download, and wait until it is ready. Port 0 is any free one."""
    return await _start(children, ("--replay", recording, "--port", str(port)), log=log)


async def _start(children: Children, options: Sequence[str | Path], *, log: Path) -> Emulator:
    child = await children.start("The emulator", (*_COMMAND, *options), log=log, cwd=_ROOT, listen=True)
    return Emulator.from_line(await child.first_line(_LIMIT))
