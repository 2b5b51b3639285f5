"""The live view: one screen with the bank, the outputs, the codes and the world; and lines where there is no screen."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import batched
from math import isinf
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from emulator.bms.bms import SmallBms
from emulator.bms.codes import CODES, Severity
from emulator.bms.leds import Led
from emulator.bms.outputs import Output
from emulator.bms.pages import BatteryPage
from emulator.bms.rules import Permission, Reason
from emulator.drive import PAUSED
from emulator.rig import HOST, Rig, Station

REFRESH: Final = 0.25  # s
LINE_PERIOD: Final = 1.0  # s between two looks for something to write
QUIET_PERIOD: Final = 60  # looks without a line
MOST_BATTERIES: Final = 8  # that are shown one by one
_CELLS_IN_A_LINE: Final = 16

# Least widths of the columns of a table.
_FLEXIBLE: Final = (0, 0, 0, 0)
_FLOWS: Final = (0, 3, 8, 0)
_LEFT, _RIGHT = 3, 2  # shares of the width

_UNKNOWN: Final = "--"
_SECONDS_PER_MINUTE: Final = 60
_SEVERITY_STYLES: Final = {Severity.WARNING: "yellow", Severity.ALARM: "bold red", Severity.ERROR: "bold white on red"}
_LED_SIGNS: Final = {Led.OFF: "○ off", Led.BLINKING: "◐ blinking", Led.ON: "● on"}
_PERMISSION_STYLES: Final = {Permission.YES: "green", Permission.PRE_ALARM: "yellow", Permission.NO: "bold red"}


async def show_live(rig: Rig, control: str, console: Console | None = None) -> None:
    """Show the live view until cancelled."""
    with Live(screen(rig, control), console=console, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(REFRESH)
            live.update(screen(rig, control), refresh=True)


async def write_lines(rig: Rig, write: Callable[[str], None]) -> None:
    """Write a line whenever something switches, and now and then."""
    before: dict[int, str] = {}
    quiet = 0
    while True:
        for station in rig.stations:
            switched = _switched(station)
            if before.get(station.number) != switched or quiet >= QUIET_PERIOD:
                write(f"{_measured(station)} | {switched}")
                quiet = 0
            before[station.number] = switched
        await asyncio.sleep(LINE_PERIOD)
        quiet += 1


def _measured(station: Station) -> str:
    status = station.bms.status_page()
    values = ", ".join(
        (_with_unit(status.state_of_charge, "%", 1), f"{status.voltage:.2f} V", _amperes(status.current))
    )
    return f"{station.simulation.now:%Y-%m-%d %H:%M:%S} {station.device.name}: {values}"


def _switched(station: Station) -> str:
    bms = station.bms
    outputs = ", ".join(f"{_words(output)} {_high(bms, output)}" for output in Output)
    codes = ", ".join(code for code in CODES if code in bms.codes) or "no codes"
    faults = ", ".join(station.faults.active) or "no faults"
    return f"{outputs} | {codes} | {faults}"


def screen(rig: Rig, control: str) -> RenderableType:
    """Return the live view as it is now: the first device in full, others in a line each."""
    first, *others = rig.stations
    parts = [_header(rig), _beside(_bank(first.bms), _outputs(first.bms))]
    parts += [_cells(first.bms), _beside(_flows(first), _alarms(first))]
    if others:
        parts.append(Panel("\n".join(f"{_measured(one)} | {_switched(one)}" for one in others), title="Other devices"))
    return Group(*parts, _footer(rig, control))


def _beside(left: RenderableType, right: RenderableType) -> RenderableType:
    both = Table.grid(expand=True)
    both.add_column(ratio=_LEFT)
    both.add_column(ratio=_RIGHT)
    both.add_row(left, right)
    return both


def _header(rig: Rig) -> RenderableType:
    station = rig.stations[0]
    now = f"{station.simulation.now:%A %Y-%m-%d %H:%M:%S}"
    return Text.assemble(
        (f" {station.device.name} ", "bold reverse"), f"  {rig.scenario.name}  ", (now, "bold"), f"  {_speed(rig)}"
    )


def _speed(rig: Rig) -> str:
    speed = rig.drive.speed
    if speed == PAUSED:
        return "paused"
    return "as fast as possible" if isinf(speed) else f"{speed:g} times real time"


def _bank(bms: SmallBms) -> RenderableType:
    status, bank = bms.status_page(), bms.bank_page()
    rows = _grid()
    bar = ProgressBar(total=100, completed=status.state_of_charge or 0, width=16, complete_style="green")
    rows.add_row("State of charge", Text(_with_unit(status.state_of_charge, "%", 1), "bold"), bar)
    rows.add_row("Voltage", f"{status.voltage:.2f} V", "")
    rows.add_row("Current", _amperes(status.current), _with_unit(status.power, "W", 0))
    rows.add_row("Consumed", _with_unit(status.consumed_ah, "Ah", 1), f"of {bank.capacity_ah:g} Ah")
    rows.add_row("Time to go", _duration(status.time_remaining), "")
    rows.add_row("Cells", f"{_plain(bank.lowest_cell)} to {_plain(bank.highest_cell)} V", "")
    rows.add_row("Balance", bank.balancer_status, "")
    temperatures = f"{_plain(bank.lowest_temperature, 1)} to {_plain(bank.highest_temperature, 1)} °C"
    rows.add_row("Temperature", temperatures, "")
    return Panel(rows, title=f"Bank {bank.series}S{bank.parallel}P")


def _outputs(bms: SmallBms) -> RenderableType:
    rows = _grid()
    for output in Output:
        high = bms.outputs.is_high(output)
        warns = output is Output.PRE_ALARM
        rows.add_row(_words(output), Text(_high(bms, output), "green" if high is not warns else "bold red"), "")
    rows.add_row("charge", *_permission(bms.allowed_to_charge, bms.charge_off_reasons))
    rows.add_row("discharge", *_permission(bms.allowed_to_discharge, bms.discharge_off_reasons))
    rows.add_row("system", "on" if bms.system_on else "off", "")
    rows.add_row("blue LED", Text(_LED_SIGNS[bms.blue_led], "blue"), "")
    rows.add_row("red LED", Text(_LED_SIGNS[bms.red_led], "red"), "")
    return Panel(rows, title="Outputs")


def _permission(permission: Permission, reasons: frozenset[Reason]) -> tuple[Text, str]:
    return Text(_words(permission), _PERMISSION_STYLES[permission]), ", ".join(map(_words, sorted(reasons)))


def _alarms(station: Station) -> RenderableType:
    rows = _grid()
    for code, description in CODES.items():
        if code in station.bms.codes:
            rows.add_row(Text(code, _SEVERITY_STYLES[description.severity]), description.meaning)
    for fault in station.faults.active:
        rows.add_row(Text("fault", "magenta"), fault)
    if not rows.row_count:
        rows.add_row(Text("no codes, no faults", "dim"))
    return Panel(rows, title="Codes and faults")


def _cells(bms: SmallBms) -> RenderableType:
    rows = _grid()
    count = len(bms.bank.batteries)
    for number in range(min(count, MOST_BATTERIES)):
        for title, voltages in _battery_lines(bms, number):
            rows.add_row(title, voltages)
    if count > MOST_BATTERIES:
        rows.add_row(Text(f"and {count - MOST_BATTERIES} more", "dim"))
    return Panel(rows, title="Batteries and cells")


def _battery_lines(bms: SmallBms, number: int) -> Iterator[tuple[str, Text]]:
    page = bms.battery_page(number)
    if page is None:
        yield f"{number + 1}  {bms.bank.batteries[number].serial_number}", Text("unplugged", "bold red")
        return
    title = f"{number + 1}  {page.serial_number}  {page.model}  {page.temperature:.1f} °C  {_amperes(page.current)}"
    for voltages in batched(page.cell_voltages, _CELLS_IN_A_LINE, strict=False):
        yield title, _voltages(page, voltages)
        title = ""


def _voltages(page: BatteryPage, voltages: Iterable[float]) -> Text:
    lowest, highest = min(page.cell_voltages), max(page.cell_voltages)
    styles = {lowest: "cyan", highest: "yellow"} if lowest < highest else {}
    return Text("  ").join(Text(f"{voltage:.3f}", styles.get(voltage, "")) for voltage in voltages)


def _flows(station: Station) -> RenderableType:
    rows = _grid(_FLOWS)
    forced = station.simulation.world.forced
    for item in station.simulation.world.status():
        by_hand = " by hand" if item.name in forced else ""
        state = Text(("on" if item.on else "off") + by_hand, "green" if item.on else "dim")
        what = ", ".join(word for word in (item.kind, item.detail) if word)
        rows.add_row(item.name, state, _amperes(item.current), Text(what, "dim"))
    return Panel(rows, title="World")


def _footer(rig: Rig, control: str) -> RenderableType:
    device = rig.stations[0].device
    proxies = ", ".join(f"{proxy.friendly_name} {HOST}:{port}" for proxy, port in rig.listening)
    return Text(
        f" key {device.key.hex()}  PIN {device.pin}\n Bluetooth proxy {proxies}   control {control}   Ctrl-C ends it",
        "dim",
    )


def _grid(least_widths: Sequence[int] = _FLEXIBLE) -> Table:
    table = Table.grid(padding=(0, 1))
    for width in least_widths:
        table.add_column(no_wrap=True, min_width=width)
    return table


def _words(name: str) -> str:
    return name.replace("pre_", "pre-").replace("_", " ")


def _high(bms: SmallBms, output: Output) -> str:
    return "high" if bms.outputs.is_high(output) else "floating"


def _plain(value: float | None, digits: int = 3) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"


def _with_unit(value: float | None, unit: str, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f} {unit}"


def _amperes(current: float | None) -> str:
    # Adding zero turns a negative zero into a plain one.
    return _UNKNOWN if current is None else f"{round(current, 2) + 0.0:+.2f} A"


def _duration(minutes: float | None) -> str:
    if minutes is None:
        return _UNKNOWN
    hours, rest = divmod(round(minutes), _SECONDS_PER_MINUTE)
    return f"{hours} h {rest:02} min"
