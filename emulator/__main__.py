"""Command line: emulated smallBMS NGs behind Bluetooth proxies that any Home Assistant adds."""

import signal

if __name__ == "__main__":
    # Until there is a handler, an interrupt ends the process at once, without a traceback from the middle of an import.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import json
import logging
import os
from pathlib import Path
import sys
from typing import Final

from emulator.comparison.assumptions import compare
from emulator.comparison.report import report
from emulator.control import Control
from emulator.live import show_live, write_lines
from emulator.options import Options
from emulator.personality.table import PERSONALITIES
from emulator.radio.esphome_proxy import EsphomeProxy
from emulator.reading.state import JsonObject
from emulator.reading.yaml_reader import ScenarioError
from emulator.recording import RecordingError, read_recording
from emulator.replay.station import ReplayStation
from emulator.report import speed
from emulator.rig import HOST, CannotStartError, ProxyPlan, Rig
from emulator.simulation.faults import FAULTS, Fault, FaultError
from emulator.simulation.scenario import load, names
from emulator.simulation.state_file import StateFile, StateFileError

SAVE_PERIOD: Final = 30.0  # s of real time

END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXIT_OK: Final = 0
EXIT_NOT_SAVED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130  # as shells have it

_LOGGER: Final = logging.getLogger(__name__)

# Shows what goes on until it is cancelled; the text is the address of the control channel.
type Show = Callable[[Rig, str], Coroutine[None, None, None]]


class OutputLostError(Exception):
    """The standard output takes no more; the text says why, in one sentence."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Where everything is, for whoever started the emulator."""

    rig: Rig
    control: str
    panel: bool = False

    @property
    def host(self) -> str:
        """The host of every port."""
        return HOST

    @property
    def port(self) -> int:
        """The port of the first proxy."""
        return self.rig.ports[0]

    def as_json(self) -> str:
        """Return one line for programs."""
        devices: list[JsonObject] = [
            {"address": device.address, "name": device.name, "key": device.key.hex(), "pin": device.pin}
            for device in (station.device for station in self.rig.stations)
        ]
        proxies: list[JsonObject] = [
            {"name": proxy.friendly_name, "host": HOST, "port": port, "address": proxy.source}
            for proxy, port in self.rig.listening
        ]
        ready: JsonObject = {
            "host": HOST,
            "port": self.port,
            "devices": devices,
            "control": self.control,
            "proxies": proxies,
            "scenario": self.rig.scenario.name,
            "speed": speed(self.rig.drive.speed),
        }
        return json.dumps(ready)

    def as_text(self) -> str:
        """Return some lines for people."""
        lines = []
        for station in self.rig.stations:
            device = station.device
            lines += [f"{device.name} at {device.address}", f"  key {device.key.hex()}, PIN {device.pin}"]
        for proxy, port in self.rig.listening:
            lines.append(f"{proxy.friendly_name}: add it to Home Assistant as an ESPHome device, {HOST}, port {port}.")
        lines.append(f"Control channel: {self.control}")
        if self.panel:
            lines.append(f"Front panel: {self.control}/")
        return "\n".join((*lines, "Ctrl-C ends it."))


def make_proxy(plan: ProxyPlan) -> EsphomeProxy:
    """Return a proxy of a scenario."""
    return EsphomeProxy(
        *plan.devices,
        name=plan.name,
        friendly_name=plan.friendly_name,
        mac=plan.mac,
        pin=plan.pin,
        rssi=plan.rssi,
        slots=plan.slots,
        period=plan.period,
    )


def _make_rig(options: Options, state_file: StateFile | None) -> Rig:
    """Return the rig that the command line asks for, not started yet."""
    try:
        rig = Rig(
            options.changed(load(options.scenario)),
            make_proxy=make_proxy,
            seed=options.seed,
            speed=options.speed,
            state_file=state_file,
            with_pin=options.with_pin,
        )
        for name, argument in options.faults:
            rig.stations[0].faults.apply(name, argument)
    except (ScenarioError, FaultError) as error:
        raise CannotStartError(str(error)) from error
    return rig


@dataclass(frozen=True, kw_only=True)
class ReadyToReplay:
    """Where the replayed device is, for whoever started the emulator."""

    station: ReplayStation

    def as_json(self) -> str:
        """Return one line for programs."""
        device, proxy = self.station.device, self.station.proxy
        shown: JsonObject = {"address": device.address, "name": device.name, "key": device.key.hex(), "pin": device.pin}
        address: JsonObject = {
            "name": proxy.friendly_name,
            "host": HOST,
            "port": self.station.port,
            "address": proxy.source,
        }
        ready: JsonObject = {
            "host": HOST,
            "port": self.station.port,
            "devices": [shown],
            "proxies": [address],
            "replay": self.station.file.name,
        }
        return json.dumps(ready)

    def as_text(self) -> str:
        """Return some lines for people."""
        device, proxy = self.station.device, self.station.proxy.friendly_name
        return "\n".join(
            (
                f"{device.name} at {device.address}, as {self.station.file.name} recorded it",
                f"  key {device.key.hex()}, PIN {device.pin}",
                f"{proxy}: add it to Home Assistant as an ESPHome device, {HOST}, port {self.station.port}.",
                "Ctrl-C ends it.",
            )
        )


async def replay(options: Options, file: Path) -> None:
    """Be the device of a recording until a signal ends it.

    Raises CannotStartError or RecordingError if it cannot, and OutputLostError if nobody takes what it tells.
    """
    options.check_replay()
    station = ReplayStation(
        file,
        make_proxy=make_proxy,
        with_pin=options.with_pin,
        address=options.address,
        name=options.name,
        key=options.key,
        pin=options.pin,
    )
    with _signals() as ended:
        await station.start(options.port)
        try:
            ready = ReadyToReplay(station=station)
            _print_line(ready.as_json() if options.json else ready.as_text())
            await ended.wait()
        finally:
            await station.stop()


async def run(options: Options, announce: Callable[[Ready], None], show: Show) -> None:
    """Run until a signal ends it.

    Raises CannotStartError if it cannot, OutputLostError if nobody takes what it tells, and StateFileError if it cannot
    save in the end.
    """
    with _signals() as ended, _claimed(options.save) as state_file:
        rig = _make_rig(options, state_file)
        control = Control(rig, panel=options.panel)
        await rig.start(options.port)
        try:
            await control.start(options.control_port)
            _save_first(rig)
            await _live(Ready(rig=rig, control=control.address, panel=options.panel), ended, announce, show)
        finally:
            await control.stop()
            await rig.stop()


async def _live(ready: Ready, ended: asyncio.Event, announce: Callable[[Ready], None], show: Show) -> None:
    """Announce that all is ready, run until something ends it, then save."""
    rig = ready.rig
    try:
        announce(ready)
        await _until_ended(ended, (rig.drive.until_broken(), _save_now_and_then(rig), show(rig, ready.control)))
    except* OutputLostError as lost:
        rig.save()
        raise lost.exceptions[0] from None
    rig.save()


@contextmanager
def _claimed(path: Path | None) -> Iterator[StateFile | None]:
    """Yield the state file, which no other emulator can use meanwhile. Raises CannotStartError."""
    if path is None:
        yield None
        return
    file = StateFile(path)
    try:
        file.claim()
    except StateFileError as error:
        raise CannotStartError(str(error)) from error
    try:
        yield file
    finally:
        file.release()


def _save_first(rig: Rig) -> None:
    """Save at once, so that a file that cannot be written is noticed now."""
    try:
        rig.save()
    except StateFileError as error:
        raise CannotStartError(str(error)) from error


async def _save_now_and_then(rig: Rig) -> None:
    while True:
        await asyncio.sleep(SAVE_PERIOD)
        try:
            rig.save()
        except StateFileError as error:
            _LOGGER.warning("%s", error)


async def _until_ended(ended: asyncio.Event, works: Iterable[Coroutine[None, None, None]]) -> None:
    """Run the works until a signal. Raises the error of the first that fails."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        await ended.wait()
        for task in tasks:
            task.cancel()


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Yield an event that is set by the signals to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in END_SIGNALS:
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in END_SIGNALS:
            loop.remove_signal_handler(number)


def _print_line(line: str) -> None:
    """Write a line. Raises OutputLostError."""
    with _telling():
        print(line, flush=True)


@contextmanager
def _telling() -> Iterator[None]:
    """Raise OutputLostError when the standard output takes no more."""
    try:
        yield
    except OSError as error:
        # Otherwise Python tries to flush it once more at exit, and complains.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputLostError(f"The standard output takes no more: {error.strerror}.") from error


async def _show_nothing(_rig: Rig, _control: str) -> None:
    """Write nothing: a program reads the standard output."""


async def _show_lines(rig: Rig, _control: str) -> None:
    await write_lines(rig, _print_line)


async def _show_screen(rig: Rig, control: str) -> None:
    with _telling():
        await show_live(rig, control)


def _output(options: Options) -> tuple[Callable[[Ready], None], Show]:
    """Return what announces that all is ready, and what shows the run from then on."""
    if options.json:
        return lambda ready: _print_line(ready.as_json()), _show_nothing
    return lambda ready: _print_line(ready.as_text()), _show_screen if sys.stdout.isatty() else _show_lines


def catalog() -> str:
    """Return the scenarios, faults and personalities, a line each."""
    kinds = {
        "Scenarios (--scenario):": [(name, load(name).description) for name in names()],
        "Faults (--fault):": [(_with_argument(fault), fault.description) for fault in FAULTS.values()],
        "Personalities (--personality):": [(name, one.description) for name, one in PERSONALITIES.items()],
    }
    return "\n\n".join("\n".join((title, *_aligned(rows))) for title, rows in kinds.items())


def _with_argument(fault: Fault) -> str:
    return f"{fault.name}[={fault.argument}]" if fault.argument else fault.name


def _aligned(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max(len(name) for name, _ in rows)
    return (f"  {name:<{width}}  {description}" for name, description in rows)


def _do(options: Options) -> None:
    """Do what the command line asks for."""
    if options.listing:
        _print_line(catalog())
        return
    if options.compare is not None:
        _print_line(report(compare(read_recording(options.compare))))
        return
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING)
    asyncio.run(run(options, *_output(options)) if options.replay is None else replay(options, options.replay))


def main(arguments: list[str]) -> int:
    """Run the emulator and return its exit code."""
    try:
        _do(Options.parse(arguments))
    except (CannotStartError, RecordingError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except (StateFileError, OutputLostError) as error:
        print(error, file=sys.stderr)
        return EXIT_NOT_SAVED
    except KeyboardInterrupt:
        # The interrupt came before anything was started.
        return EXIT_INTERRUPTED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
