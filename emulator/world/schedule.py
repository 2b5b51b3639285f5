"""Times of the day and of the week: profiles that hold or are interpolated, windows, duty cycles.

A moment is in seconds since a Monday 00:00, local time. It may be far beyond the first week.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

SECONDS_PER_DAY: Final = 86400.0
DAYS_PER_WEEK: Final = 7
SECONDS_PER_WEEK: Final = DAYS_PER_WEEK * SECONDS_PER_DAY
EVERY_DAY: Final = frozenset(range(DAYS_PER_WEEK))

# A change that is nearer than this counts as reached, in s, so that rounding makes no endless tiny steps.
TOLERANCE: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of the day, from and to in seconds; past midnight if it ends before it begins. days: 0 = Monday."""

    begins: float
    ends: float
    days: frozenset[int] = EVERY_DAY

    @property
    def length(self) -> float:
        """How long it is, in s; a window that ends when it begins lasts a whole day."""
        return (self.ends - self.begins) % SECONDS_PER_DAY or SECONDS_PER_DAY


@dataclass(frozen=True)
class Timetable:
    """A value that changes at fixed times of the week and holds in between. The first time is 0."""

    times: tuple[float, ...]
    values: tuple[float, ...]

    @classmethod
    def constant(cls, value: float) -> Self:
        """Return a value that never changes."""
        return cls((0.0,), (value,))

    @classmethod
    def daily(cls, points: Iterable[tuple[float, float]]) -> Self:
        """Return a profile of the day from (seconds, value) pairs; before the first, yesterday's last value holds."""
        day = sorted(points)
        if day[0][0] > 0:
            day.insert(0, (0.0, day[-1][1]))
        week = [(number * SECONDS_PER_DAY + time, value) for number in range(DAYS_PER_WEEK) for time, value in day]
        return cls._of_changes(week)

    @classmethod
    def windows(cls, windows: Iterable[Window]) -> Self:
        """Return 1 inside of any window and 0 outside."""
        stretches = [stretch for window in windows for stretch in _stretches(window)]
        times = sorted({0.0, *(time for stretch in stretches for time in stretch if time < SECONDS_PER_WEEK)})
        inside = (any(begins <= time < ends for begins, ends in stretches) for time in times)
        return cls._of_changes(zip(times, map(float, inside), strict=True))

    @classmethod
    def _of_changes(cls, week: Iterable[tuple[float, float]]) -> Self:
        """Return it without the times at which nothing changes."""
        kept: list[tuple[float, float]] = []
        for time, value in week:
            if not kept or value != kept[-1][1]:
                kept.append((time, value))
        return cls(tuple(time for time, _ in kept), tuple(value for _, value in kept))

    def value(self, moment: float) -> float:
        """Return the value at a moment."""
        return self.values[self._index(moment)]

    def until_change(self, moment: float) -> float | None:
        """Return the seconds until the next time; None if there is only one value."""
        if len(self.times) == 1:
            return None
        index = self._index(moment) + 1
        following = self.times[index] if index < len(self.times) else self._first_of_next_week
        return following - (moment + TOLERANCE) % SECONDS_PER_WEEK + TOLERANCE

    @property
    def _first_of_next_week(self) -> float:
        """When the value changes first in the next week; the same value goes on over the end of a week."""
        return SECONDS_PER_WEEK + (self.times[1] if self.values[0] == self.values[-1] else 0.0)

    def _index(self, moment: float) -> int:
        return bisect_right(self.times, (moment + TOLERANCE) % SECONDS_PER_WEEK) - 1


def _stretches(window: Window) -> Iterable[tuple[float, float]]:
    """Return where in the week a window is; what passes the end of the week goes on at its beginning."""
    for day in window.days:
        begins = day * SECONDS_PER_DAY + window.begins
        ends = begins + window.length
        yield begins, min(ends, SECONDS_PER_WEEK)
        if ends > SECONDS_PER_WEEK:
            yield 0.0, ends - SECONDS_PER_WEEK


@dataclass(frozen=True)
class DailyCurve:
    """A value that goes in straight lines between points (seconds of the day, value), every day the same."""

    points: tuple[tuple[float, float], ...]

    @classmethod
    def through(cls, points: Iterable[tuple[float, float]]) -> Self:
        """Return the curve through some points, of which there must be at least one."""
        day = sorted(points)
        (last_time, last), (first_time, first) = day[-1], day[0]
        before, after = (last_time - SECONDS_PER_DAY, last), (first_time + SECONDS_PER_DAY, first)
        return cls((before, *day, after))

    def value(self, moment: float) -> float:
        """Return the value at a moment."""
        time = moment % SECONDS_PER_DAY
        for (begins, low), (ends, high) in pairwise(self.points):
            if time <= ends:
                return low + (high - low) * (time - begins) / (ends - begins)
        return self.points[-1][1]


@dataclass(frozen=True, kw_only=True)
class DutyCycle:
    """On for some seconds at the beginning of every period, which is shifted by a phase (all in s)."""

    on: float
    every: float
    phase: float = 0.0

    def is_on(self, moment: float) -> bool:
        """Return whether it is on."""
        return self._position(moment) < self.on

    def until_change(self, moment: float) -> float:
        """Return the seconds until it switches."""
        position = self._position(moment)
        return (self.on if position < self.on else self.every) - position + TOLERANCE

    def _position(self, moment: float) -> float:
        return (moment + self.phase + TOLERANCE) % self.every
