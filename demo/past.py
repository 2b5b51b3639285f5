"""The two weeks before the demo: the battery lives through them at once, and what it was like is kept for the history.

Most of them pass while Home Assistant starts. It meets the battery two midnights ago, and the last hours pass then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from .answers import JsonObject, text
from .control import Control

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)
TWO_WEEKS: Final = 2 * _WEEK
# As often as Home Assistant's own statistics look, and less often in the days that nobody sees closely.
_STEP: Final = timedelta(minutes=5)
_COARSE_STEP: Final = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Hour:
    """An hour of one device: when it began, and what the emulator told of it every few minutes."""

    start: datetime
    states: tuple[JsonObject, ...]


async def live_before(
    control: Control, *, devices: int, now: datetime, time: timedelta = TWO_WEEKS
) -> list[tuple[Hour, ...]]:
    """Live through some time until the midnight before last, and go on in real time; return its hours of each device.

    It begins on the weekday and at the time of day that it had. The emulated date stays that of the scenario.
    """
    await control.set_speed(0)
    starts = earlier_hours(now, time)
    wait = _until_same_time_of_week(await control.state(1), starts[0].astimezone(now.tzinfo))
    await control.advance(wait, coarse=True)
    hours = [await _live_an_hour(control, devices, start, _COARSE_STEP) for start in starts]
    await control.set_speed(1)
    return list(zip(*hours, strict=True))


async def live(control: Control, *, devices: int, now: datetime, speed: float) -> list[tuple[Hour, ...]]:
    """Live through the full hours until now, and go on at this speed; return those of each device.

    The emulated weekday and time of day are then those of now.
    """
    await control.set_speed(0)
    starts = full_hours(now)
    hours = [await _live_an_hour(control, devices, start, _STEP) for start in starts]
    await control.advance((now - starts[-1] - _HOUR).total_seconds())
    await control.set_speed(speed)
    return list(zip(*hours, strict=True))


def full_hours(now: datetime) -> list[datetime]:
    """Return when the full hours since the midnight before last began. In UTC, as Home Assistant's statistics."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) - _DAY
    return _hours(midnight.astimezone(UTC).replace(minute=0), now)


def earlier_hours(now: datetime, time: timedelta) -> list[datetime]:
    """Return when the hours of some time before those began."""
    end = full_hours(now)[0]
    return _hours(end - time, end)


def _hours(first: datetime, end: datetime) -> list[datetime]:
    return [first + number * _HOUR for number in range((end - first) // _HOUR)]


def _until_same_time_of_week(state: JsonObject, wanted: datetime) -> float:
    """Return how many seconds it takes until the emulated clock shows the wanted weekday and time of day."""
    emulated = datetime.fromisoformat(text(state, "time"))
    return ((wanted.replace(tzinfo=None) - emulated.replace(tzinfo=None)) % _WEEK).total_seconds()


async def _live_an_hour(control: Control, devices: int, start: datetime, step: timedelta) -> tuple[Hour, ...]:
    """Return the hour of each device."""
    looks: list[Sequence[JsonObject]] = []
    for _ in range(_HOUR // step):
        await control.advance(step.total_seconds(), coarse=step > _STEP)
        looks.append([await control.state(number + 1) for number in range(devices)])
    return tuple(Hour(start=start, states=states) for states in zip(*looks, strict=True))
