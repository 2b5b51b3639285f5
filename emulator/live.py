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
from emulator.world.world import ItemStatus

REFRESH: Final = 0.25  # s
LINE_PERIOD: Final = 1.0  # s between two looks for something to write
QUIET_PERIOD: Final = 60  # looks without a line
ANY_HEIGHT: Final = 1000  # lines; more than any view has
MOST_BATTERIES: Final = 8  # that are shown one by one
_CELLS_IN_A_LINE: Final = 16

# Least widths of the columns of a table.
_FLEXIBLE: Final = (0, 0, 0, 0)
_BANK: Final = (14, 16, 11)
_OUTPUTS: Final = (9, 9, 0)
_FLOWS: Final = (0, 3, 8, 0)
_LONGEST_NAME: Final = 24  # that is shown in full
# Lines: of the panels of bank and outputs, of the borders of the panels below them, and of the world at least.
_BANK_LINES, _BORDERS, _LEAST_WORLD = 10, 4, 3
_LEFT, _RIGHT = 3, 2  # shares of the width

type Row = Sequence[str | Text]

_UNKNOWN: Final = "--"
_SECONDS_PER_MINUTE: Final = 60
_SEVERITY_STYLES: Final = {Severity.WARNING: "yellow", Severity.ALARM: "bold red", Severity.ERROR: "bold white on red"}
_LED_SIGNS: Final = {Led.OFF: "○ off", Led.BLINKING: "◐ blinking", Led.ON: "● on"}
_PERMISSION_STYLES: Final = {Permission.YES: "green", Permission.PRE_ALARM: "yellow", Permission.NO: "bold red"}


async def show_live(rig: Rig, control: str, console: Console | None = None) -> None:
    """Show the live view until cancelled."""
    shown = console or Console()
    with Live(screen(rig, control, shown.height), console=shown, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(REFRESH)
            live.update(screen(rig, control, shown.height), refresh=True)


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


def screen(rig: Rig, control: str, height: int = ANY_HEIGHT) -> RenderableType:
    """Return the live view as it is now: the first device in full, others in a line each.

    Batteries, world and codes are cut to a height in lines, which is enough where no line needs to be broken.
    """
    first, *others = rig.stations
    contact = _contact(rig, control)
    room = height - 1 - len(contact) - _BANK_LINES - _BORDERS - (len(others) + 2 if others else 0)
    cells = _cells(first.bms, max(room - _LEAST_WORLD, 1))
    below = max(room - len(cells), 1)
    parts = [_header(rig), *contact, _beside(_bank(first.bms), _outputs(first.bms))]
    parts.append(Panel(_table(cells), title="Batteries and cells"))
    parts.append(_beside(_world(_most(_flows(first), below)), _warnings(_most(_alarms(first), below))))
    if others:
        parts.append(Panel("\n".join(f"{_measured(one)} | {_switched(one)}" for one in others), title="Other devices"))
    return Group(*parts)


def _most(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """Return so many rows at most, the last of which says how many there are besides."""
    if len(rows) <= most:
        return rows
    left = rows[: most - 1]
    return [*left, (Text(f"… {len(rows) - len(left)} more", "dim"),)]


def _table(rows: Sequence[Row], least_widths: Sequence[int] = _FLEXIBLE) -> Table:
    table = _grid(least_widths)
    for row in rows:
        table.add_row(*row)
    return table


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
    rows = _grid(_BANK)
    bar = ProgressBar(total=100, completed=status.state_of_charge or 0, width=11, complete_style="green")
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
    rows = _grid(_OUTPUTS)
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


def _alarms(station: Station) -> Sequence[Row]:
    codes = [
        (Text(code, _SEVERITY_STYLES[description.severity]), description.meaning)
        for code, description in CODES.items()
        if code in station.bms.codes
    ]
    faults = ((Text("fault", "magenta"), fault) for fault in station.faults.active)
    waiting = (
        (Text("waits", "yellow"), f"{_words(reason)}, {seconds:.0f} s")
        for reason, seconds in station.bms.waiting.items()
    )
    if station.simulation.world.fuse.blown:
        codes.append((Text("fuse", "bold red"), "the main fuse has blown"))
    return [*codes, *waiting, *((Text("health", "bold red"), what) for what in _damages(station.bms)), *faults]


def _damages(bms: SmallBms) -> Iterator[str]:
    """Return what batteries and BMS were not made for."""
    if bms.bank.ruined:
        yield "a cell was emptied"
    if bms.bank.destroyed:
        yield "a battery was destroyed by heat"
    if bms.bank.over_pulse:
        yield "a battery carried too much"
    if not bms.within_operating_temperature:
        yield "too hot or cold for the BMS"
    for output in sorted(bms.destroyed_outputs):
        yield f"{_words(output)} output destroyed"


def _warnings(rows: Sequence[Row]) -> RenderableType:
    return Panel(_table(rows or [(Text("no codes, no faults", "dim"),)]), title="Codes and faults")


def _cells(bms: SmallBms, most: int) -> Sequence[Row]:
    lines = [list(_battery_lines(bms, number)) for number in range(len(bms.bank.batteries))]
    shown = sum(map(len, lines[:MOST_BATTERIES]))
    return _most([line for battery in lines for line in battery], min(most, shown + 1))


def _battery_lines(bms: SmallBms, number: int) -> Iterator[tuple[str, Text]]:
    page = bms.battery_page(number)
    if page is None:
        yield f"{number + 1}  {bms.bank.batteries[number].serial_number}", Text("unplugged", "bold red")
        return
    title = f"{number + 1}  {page.serial_number}  {page.model}  {page.temperature:z.1f} °C  {_amperes(page.current)}"
    for voltages in batched(page.cell_voltages, _CELLS_IN_A_LINE, strict=False):
        yield title, _voltages(page, voltages)
        title = ""


def _voltages(page: BatteryPage, voltages: Iterable[float]) -> Text:
    lowest, highest = min(page.cell_voltages), max(page.cell_voltages)
    styles = {lowest: "cyan", highest: "yellow"} if lowest < highest else {}
    return Text("  ").join(Text(f"{voltage:.3f}", styles.get(voltage, "")) for voltage in voltages)


def _flows(station: Station) -> Sequence[Row]:
    world = station.simulation.world
    return [_flow(item, by_hand=item.name in world.forced) for item in world.status(station.simulation.elapsed)]


def _flow(item: ItemStatus, *, by_hand: bool) -> Row:
    state = ("on" if item.on else "off") + (" by hand" if by_hand else "")
    what = ", ".join(word for word in (item.kind, item.detail) if word)
    return item.name, Text(state, "green" if item.on else "dim"), _amperes(item.current), Text(what, "dim")


def _world(rows: Sequence[Row]) -> RenderableType:
    longest = max((len(str(row[0])) for row in rows), default=0)
    return Panel(_table(rows, (min(longest, _LONGEST_NAME), *_FLOWS[1:])), title="World")


def _contact(rig: Rig, control: str) -> Sequence[RenderableType]:
    """Return what is needed to add and to control the device, near the top, where no screen cuts it off."""
    device = rig.stations[0].device
    proxies = [f"proxy {HOST}:{port} {proxy.friendly_name}" for proxy, port in rig.listening]
    first, *others = proxies or ["no proxy"]
    lines = (f"key {device.key.hex()}  PIN {device.pin}  Ctrl-C ends it", f"control {control}  {first}", *others)
    return [Text(f" {line}", "dim") for line in lines]


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
    return _UNKNOWN if value is None else f"{value:z.{digits}f}"


def _with_unit(value: float | None, unit: str, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:z.{digits}f} {unit}"


def _amperes(current: float | None) -> str:
    # Adding zero turns a negative zero into a plain one.
    return _UNKNOWN if current is None else f"{current:+z.2f} A"


def _duration(minutes: float | None) -> str:
    if minutes is None:
        return _UNKNOWN
    hours, rest = divmod(round(minutes), _SECONDS_PER_MINUTE)
    return f"{hours} h {rest:02} min"
