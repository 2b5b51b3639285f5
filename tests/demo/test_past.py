"""The hours before the demo, lived by a real emulator."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from demo.answers import as_object, text
from demo.children import Children
from demo.control import Control, open_control
from demo.emulator import start_emulator
from demo.errors import DemoError
from demo.past import TWO_WEEKS, Hour, earlier_hours, full_hours, live, live_before
from demo.statistics import COUNTED, MEASURED, Source, counted, measured

pytestmark = pytest.mark.usefixtures("socket_enabled")

# Where an hour does not begin when it does in UTC.
INDIA = timezone(timedelta(hours=5, minutes=30))
NOW = datetime(2026, 11, 26, 2, 20, tzinfo=INDIA)
FIRST = datetime(2026, 11, 24, 18, tzinfo=UTC)
LAST = datetime(2026, 11, 25, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncGenerator[Control]:
    """The control channel of a running emulator."""
    async with Children() as children:
        emulator = await start_emulator(
            children,
            log=tmp_path / "log",
            battery=tmp_path / "battery.json",
            port=0,
            scenario="bench",
            speed=1,
        )
        async with open_control(emulator.control) as control:
            yield control


def off(state: object, now: datetime) -> timedelta:
    """Return how far the emulated weekday and time of day are from a clock, at most half a week."""
    emulated = datetime.fromisoformat(text(as_object(state), "time")).replace(tzinfo=None)  # type: ignore[arg-type]
    difference = (emulated - now.replace(tzinfo=None)) % timedelta(weeks=1)
    return min(difference, timedelta(weeks=1) - difference)


def test_the_full_hours_since_the_midnight_before_last() -> None:
    hours = full_hours(NOW)
    assert (hours[0], hours[-1]) == (FIRST, LAST)
    assert all(after - before == HOUR for before, after in pairwise(hours))


def test_the_hours_before_them() -> None:
    hours = earlier_hours(NOW, TWO_WEEKS)
    assert (hours[0], hours[-1] + HOUR) == (FIRST - TWO_WEEKS, FIRST)
    assert all(after - before == HOUR for before, after in pairwise(hours))


async def test_the_battery_lives_through_them(control: Control) -> None:
    (earlier,) = await live_before(control, devices=1, now=NOW, time=timedelta(days=1))
    assert [hour.start for hour in earlier] == earlier_hours(NOW, timedelta(days=1))
    assert {len(hour.states) for hour in earlier} == {4}
    for hour in earlier:
        assert off(hour.states[-1], (hour.start + HOUR).astimezone(INDIA)) < timedelta(minutes=1)
    assert off(await control.state(1), FIRST.astimezone(INDIA)) < timedelta(minutes=1)
    (hours,) = await live(control, devices=1, now=NOW, speed=1)
    assert [hour.start for hour in hours] == full_hours(NOW)
    assert {len(hour.states) for hour in hours} == {12}
    for hour in hours:
        assert off(hour.states[-1], (hour.start + HOUR).astimezone(INDIA)) < timedelta(minutes=1)
    assert off(await control.state(1), NOW) < timedelta(minutes=1)
    assert await control.speed() == 1


async def test_what_the_emulator_tells_of_them(control: Control) -> None:
    state = await control.state(1)
    for source in (*MEASURED.values(), *COUNTED.values()):
        assert len(source.of([state, state])) == 2


async def test_what_the_emulator_refuses_is_a_sentence(control: Control) -> None:
    with pytest.raises(DemoError, match="The emulator refused /faults/nonsense: There is no fault 'nonsense'"):
        await control.raise_fault("nonsense")


async def test_faults_come_and_go(control: Control) -> None:
    await control.raise_fault("cell-low", 2.85)
    assert (await control.state(1))["faults"] == ["cell-low"]
    await control.clear_faults()
    assert (await control.state(1))["faults"] == []


SOURCE = Source(part="status", name="power", unit="W")
HOURS = [
    Hour(start=FIRST, states=({"status": {"power": 2}}, {"status": {"power": None}}, {"status": {"power": 4.004}})),
    Hour(start=FIRST + HOUR, states=({"status": {"power": None}},)),
    Hour(start=FIRST + 2 * HOUR, states=({"status": {"power": 10}},)),
]


def test_means_of_what_is_known() -> None:
    assert measured(SOURCE, HOURS) == [
        {"start": "2026-11-24T18:00:00+00:00", "mean": 3.002, "min": 2, "max": 4.004},
        {"start": "2026-11-24T20:00:00+00:00", "mean": 10, "min": 10, "max": 10},
    ]


def test_an_hour_begins_with_what_the_one_before_it_ended_with() -> None:
    """As it does in the statistics of Home Assistant."""
    falling = [
        Hour(start=FIRST + number * HOUR, states=({"status": {"power": -number}}, {"status": {"power": -number - 0.5}}))
        for number in range(2)
    ]
    assert [(row["min"], row["max"]) for row in measured(SOURCE, falling)] == [(-0.5, 0), (-1.5, -0.5)]


def test_sums_from_the_zero_on() -> None:
    """As the device would tell them, with two digits."""
    assert counted(SOURCE, HOURS, 1.5) == [
        {"start": "2026-11-24T18:00:00+00:00", "state": 4.0, "sum": 2.5},
        {"start": "2026-11-24T20:00:00+00:00", "state": 10, "sum": 8.5},
    ]
