"""The hours before the demo: the battery lives through them at once, and what it was like is kept for the history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from .answers import JsonObject, text
from .control import Control

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
# As often as Home Assistant's own statistics look.
_STEP: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Hour:
    """An hour of one device: when it began, and what the emulator told of it every five minutes."""

    start: datetime
    states: tuple[JsonObject, ...]


async def go_back(control: Control, now: datetime) -> None:
    """Let the emulated clock show the time of day at which the first hour begins, and go on in real time."""
    await control.set_speed(0)
    first = full_hours(now)[0].astimezone(now.tzinfo)
    await control.advance(_until_same_time_of_day(await control.state(1), first))
    await control.set_speed(1)


async def live(control: Control, *, devices: int, now: datetime, speed: float) -> list[tuple[Hour, ...]]:
    """Live through the full hours until now, and go on at this speed; return those of each device.

    The emulated time of day is then that of now. The emulated date stays that of the scenario.
    """
    await control.set_speed(0)
    starts = full_hours(now)
    hours = [await _live_an_hour(control, devices, start) for start in starts]
    await control.advance((now - starts[-1] - _HOUR).total_seconds())
    await control.set_speed(speed)
    return list(zip(*hours, strict=True))


def full_hours(now: datetime) -> list[datetime]:
    """Return when the full hours since the midnight before last began. In UTC, as Home Assistant's statistics."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) - _DAY
    first = midnight.astimezone(UTC).replace(minute=0)
    return [first + number * _HOUR for number in range((now - first) // _HOUR)]


def _until_same_time_of_day(state: JsonObject, wanted: datetime) -> float:
    """Return how many seconds it takes until the emulated clock shows the wanted time of day."""
    emulated = datetime.fromisoformat(text(state, "time"))
    return ((wanted.replace(tzinfo=None) - emulated.replace(tzinfo=None)) % _DAY).total_seconds()


async def _live_an_hour(control: Control, devices: int, start: datetime) -> tuple[Hour, ...]:
    """Return the hour of each device."""
    looks: list[Sequence[JsonObject]] = []
    for _ in range(_HOUR // _STEP):
        await control.advance(_STEP.total_seconds())
        looks.append([await control.state(number + 1) for number in range(devices)])
    return tuple(Hour(start=start, states=states) for states in zip(*looks, strict=True))
