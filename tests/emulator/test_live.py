"""The live view and the lines, as text."""

import asyncio
from io import StringIO
import re

import pytest
from rich.console import Console

from emulator.bms.outputs import Output
from emulator.live import screen, show_live, write_lines
from emulator.rig import Rig
from emulator.simulation.scenario import load

from .rigs import bench, rig_of, two

CONTROL = "http://127.0.0.1:4321"
LIMIT = 60.0


def shown(rig: Rig, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width, record=True)
    console.print(screen(rig, CONTROL))
    return console.export_text()


def on_screen(rig: Rig, width: int, height: int) -> str:
    """Return what a terminal of this size shows."""
    console = Console(file=StringIO(), width=width, height=height, record=True)
    console.print(screen(rig, CONTROL, height))
    return "\n".join(console.export_text().splitlines()[:height])


def row(text: str, title: str) -> str:
    """Return what stands after a title."""
    match = re.search(rf"│ *{title} +(.*?) *│", text)
    assert match, text
    return match[1]


async def test_what_is_shown_of_a_quiet_bench() -> None:
    rig = rig_of(bench())
    text = shown(rig)
    status = rig.stations[0].bms.status_page()
    assert row(text, "State of charge").startswith("50.0 %")
    assert row(text, "Voltage") == f"{status.voltage:.2f} V"
    assert "Wednesday 2026-04-15 09:00:00" in text
    assert "paused" in text
    assert row(text, "load") == "high"
    assert row(text, "pre-alarm") == "floating"
    assert row(text, "discharge") == "yes"
    assert row(text, "blue LED") == "◐ blinking"
    assert row(text, "red LED") == "○ off"
    assert "no codes, no faults" in text
    for cell in rig.stations[0].bms.bank.cell_voltages:
        assert f"{cell:.3f}" in text
    assert "Resistor" in text
    assert rig.stations[0].device.key.hex() in text
    assert CONTROL in text


async def test_what_changes() -> None:
    rig = rig_of(bench(), speed=60)
    station = rig.stations[0]
    station.faults.apply("cell-low", "2.75")
    text = shown(rig)
    assert "60 times real time" in text
    assert row(text, "pre-alarm") == "high"
    assert row(text, "discharge").startswith("pre-alarm")
    await rig.drive.leap(60)
    rig.drive.speed = float("inf")
    await rig.stop()
    text = shown(rig)
    assert "as fast as possible" in text
    assert row(text, "load") == "floating"
    assert re.search(r"discharge +no +low cell voltage", text)
    assert row(text, "red LED") == "● on"
    assert re.search(r"A-B01 +low cell voltage", text)
    assert re.search(r"fault +cell-low", text)
    assert row(text, "Resistor").startswith("off")


async def test_what_was_not_survived() -> None:
    rig = rig_of(bench())
    bms = rig.stations[0].bms
    assert "health" not in shown(rig)
    bms.step(current=-450, ambient=70, seconds=1500)
    bms.draw_from_output(Output.PRE_ALARM, 5)
    text = shown(rig)
    assert re.search(r"health +a cell was emptied", text)
    assert re.search(r"health +a battery carried too much", text)
    assert re.search(r"health +too hot or cold for the BMS", text)
    assert re.search(r"health +pre-alarm output destroyed", text)


async def test_time_to_go_and_what_is_not_known() -> None:
    rig = rig_of(bench())
    assert row(shown(rig), "Time to go") == "--"
    await rig.drive.leap(60)
    await rig.stop()
    minutes = rig.stations[0].bms.time_remaining
    assert minutes is not None
    assert row(shown(rig), "Time to go") == f"{round(minutes) // 60} h {round(minutes) % 60:02} min"


async def test_an_unplugged_battery() -> None:
    rig = rig_of(load("solar"))
    rig.stations[0].faults.apply("cable-unplugged", "2")
    text = shown(rig)
    assert re.search(rf"2 +{rig.stations[0].bms.bank.batteries[1].serial_number} +unplugged", text)


async def test_of_many_batteries_some_are_shown() -> None:
    assert "… 42 more" in shown(rig_of(load("largest-bank")))


async def test_by_hand() -> None:
    rig = rig_of(bench())
    rig.stations[0].simulation.world.force("Resistor", on=False)
    assert "by hand" in row(shown(rig), "Resistor")


async def test_other_devices_have_a_line() -> None:
    text = shown(rig_of(two()))
    assert "Other devices" in text
    assert "Starboard: 50.0 %" in text


@pytest.mark.parametrize("width", [40, 80, 200])
async def test_fits_every_width(width: int) -> None:
    rig = rig_of(two())
    assert max(map(len, shown(rig, width).splitlines())) <= width


@pytest.mark.parametrize("scenario", ["bench", "solar", "camper-alternator", "camper-inverter", "largest-bank"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30)])
async def test_what_is_needed_to_connect_is_on_every_screen(scenario: str, width: int, height: int) -> None:
    rig = rig_of(load(scenario))
    await rig.start(6053)
    for fault in ("cell-low", "hot", "cable-unplugged", "remote-open", "slow"):
        rig.stations[0].faults.apply(fault)
    text = on_screen(rig, width, height)
    await rig.stop()
    assert rig.stations[0].device.key.hex() in text
    assert f"PIN {rig.stations[0].device.pin}" in text
    assert "127.0.0.1:6053" in text
    assert CONTROL in text
    assert "Ctrl-C" in text
    assert "State of charge" in text
    assert "pre-alarm" in text


async def test_what_does_not_fit_is_counted() -> None:
    rig = rig_of(load("solar"))
    text = on_screen(rig, 100, 24)
    items = rig.stations[0].simulation.world.status(0)
    shown_names = [item.name for item in items if item.name in text]
    assert 0 < len(shown_names) < len(items)
    assert f"… {len(items) - len(shown_names)} more" in text
    everything = on_screen(rig, 100, 80)
    assert all(item.name in everything for item in items)
    assert "more" not in everything
    many = on_screen(rig_of(load("largest-bank")), 120, 24)
    batteries = re.findall(r"│ \d+ +HQ", many)
    assert f"… {50 - len(batteries)} more" in many


async def test_the_live_view_shows_what_is_and_gives_the_screen_back() -> None:
    rig = rig_of(bench())
    out = StringIO()
    console = Console(file=out, width=120, force_terminal=True)
    live = asyncio.create_task(show_live(rig, CONTROL, console))
    await asyncio.sleep(0)
    assert "State of charge" in out.getvalue()
    live.cancel()
    with pytest.raises(asyncio.CancelledError):
        await live
    assert out.getvalue().count("\x1b[?1049h") == out.getvalue().count("\x1b[?1049l") == 1


async def test_a_line_whenever_something_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.live.LINE_PERIOD", 0)
    monkeypatch.setattr("emulator.live.QUIET_PERIOD", 5)
    rig = rig_of(bench())
    lines: asyncio.Queue[str] = asyncio.Queue()
    writing = asyncio.create_task(write_lines(rig, lines.put_nowait))
    first = await asyncio.wait_for(lines.get(), LIMIT)
    assert first.startswith("2026-04-15 09:00:00 smallBMS NG HQ2642EMU01: 50.0 %, ")
    assert first.endswith("| load high, charger high, pre-alarm floating | no codes | no faults")
    # Now and then, even if nothing switches.
    assert await asyncio.wait_for(lines.get(), LIMIT) == first
    rig.stations[0].faults.apply("hardware")
    while (line := await asyncio.wait_for(lines.get(), LIMIT)) == first:
        pass
    assert line.endswith("| load floating, charger floating, pre-alarm floating | E-B11 | hardware")
    writing.cancel()
