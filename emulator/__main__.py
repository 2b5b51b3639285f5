"""Command line: emulated smallBMS NGs behind Bluetooth proxies that any Home Assistant adds."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import json
import logging
import signal
import sys
from typing import Final

from emulator.bms.state import JsonObject
from emulator.control import Control
from emulator.live import show_live, write_lines
from emulator.options import Options
from emulator.radio.esphome_proxy import EsphomeProxy
from emulator.report import speed
from emulator.rig import HOST, CannotStartError, ProxyPlan, Rig
from emulator.simulation.faults import FAULTS, Fault, FaultError
from emulator.simulation.scenario import load, names
from emulator.simulation.state_file import StateFileError
from emulator.simulation.yaml_reader import ScenarioError

SAVE_PERIOD: Final = 30.0  # s of real time

END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

EXIT_OK: Final = 0
EXIT_NOT_SAVED: Final = 1
EXIT_USAGE: Final = 2

_LOGGER: Final = logging.getLogger(__name__)

# Shows what goes on until it is cancelled; the text is the address of the control channel.
type Show = Callable[[Rig, str], Coroutine[None, None, None]]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Where everything is, for whoever started the emulator."""

    rig: Rig
    control: str

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
        return "\n".join((*lines, f"Control channel: {self.control}", "Ctrl-C ends it."))


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
    )


def _make_rig(options: Options) -> Rig:
    """Return what the command line asks for, nothing of it started."""
    try:
        rig = Rig(
            options.changed(load(options.scenario)),
            make_proxy=make_proxy,
            seed=options.seed,
            speed=options.speed,
            state_file=options.save,
            with_pin=options.with_pin,
        )
        for name, argument in options.faults:
            rig.stations[0].faults.apply(name, argument)
    except (ScenarioError, FaultError) as error:
        raise CannotStartError(str(error)) from error
    return rig


async def run(options: Options, announce: Callable[[Ready], None], show: Show) -> None:
    """Run until a signal ends it; CannotStartError if it cannot, StateFileError if it cannot save in the end."""
    rig = _make_rig(options)
    control = Control(rig)
    with _signals() as ended:
        await rig.start(options.port)
        try:
            await control.start(options.control_port)
            _save_first(rig)
            announce(Ready(rig=rig, control=control.address))
            await _until_ended(ended, (rig.drive.until_broken(), _save_now_and_then(rig), show(rig, control.address)))
            rig.save()
        finally:
            await control.stop()
            await rig.stop()


def _save_first(rig: Rig) -> None:
    """Save at once: better to hear now that it does not work."""
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
    """Wait for a signal, and let the works go on until then. Raises what breaks one of them."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        await ended.wait()
        for task in tasks:
            task.cancel()


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


def _print_line(line: str) -> None:
    print(line, flush=True)


async def _show_nothing(_rig: Rig, _control: str) -> None:
    """Leave the standard output to who reads JSON."""


async def _show_lines(rig: Rig, _control: str) -> None:
    await write_lines(rig, _print_line)


def _output(options: Options) -> tuple[Callable[[Ready], None], Show]:
    """Return what tells that all is ready, and what goes on telling."""
    if options.json:
        return lambda ready: _print_line(ready.as_json()), _show_nothing
    return lambda ready: _print_line(ready.as_text()), show_live if sys.stdout.isatty() else _show_lines


def catalog() -> str:
    """Return the scenarios and faults, a line each."""
    scenarios = [(name, load(name).description) for name in names()]
    faults = [(_with_argument(fault), fault.description) for fault in FAULTS.values()]
    return "\n".join(("Scenarios (--scenario):", *_aligned(scenarios), "", "Faults (--fault):", *_aligned(faults)))


def _with_argument(fault: Fault) -> str:
    return f"{fault.name}[={fault.argument}]" if fault.argument else fault.name


def _aligned(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max(len(name) for name, _ in rows)
    return (f"  {name:<{width}}  {description}" for name, description in rows)


def main(arguments: list[str]) -> int:
    """Run the emulator and return its exit code."""
    try:
        options = Options.parse(arguments)
        if options.listing:
            _print_line(catalog())
            return EXIT_OK
        logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING)
        asyncio.run(run(options, *_output(options)))
    except CannotStartError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except StateFileError as error:
        print(error, file=sys.stderr)
        return EXIT_NOT_SAVED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
