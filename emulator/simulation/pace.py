"""Running in real time, or many times faster."""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final, Protocol

from emulator.simulation.grid import TOLERANCE, next_on_grid, stride_within

# How often a run moves on, and for how long it computes without letting others in, in s of real time.
SLICE: Final = 0.25
BUSY: Final = 0.02
# A run that is later than this gives up catching up.
LATE: Final = 1.0


class Runs(Protocol):
    """What can be run."""

    elapsed: float

    def advance(self, seconds: float) -> None:
        """Let simulated seconds pass."""
        ...


def do_nothing() -> None:
    """Follow nothing."""


class Pace:
    """Drives something at a speed, inf = as fast as possible.

    It moves in slices whose simulated length depends on the speed alone, so that a slow machine changes nothing but the
    time that it takes. The speed may be changed while it runs.
    """

    def __init__(
        self,
        driven: Runs,
        speed: float,
        *,
        after_slice: Callable[[], None] = do_nothing,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._driven = driven
        self._after_slice = after_slice
        self._clock = clock
        self.speed = speed

    @property
    def speed(self) -> float:
        """How many times faster than real time it runs."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"A speed must be above 0, not {speed}.")
        self._speed = speed
        self._stride = stride_within(speed * SLICE)
        self._origin = (self._clock(), self._driven.elapsed)

    async def run(self, *, until: float = inf) -> None:
        """Run until so many simulated seconds have passed."""
        end = self._driven.elapsed + until
        while self._driven.elapsed < end - TOLERANCE:
            self._catch_up(end)
            await asyncio.sleep(self._wait(end))

    def _catch_up(self, end: float) -> None:
        """Move on to where the clock says, but not for too long at once."""
        busy_until = self._clock() + BUSY
        while self._wait(end) <= 0 and self._driven.elapsed < end - TOLERANCE:
            self._driven.advance(self._next(end) - self._driven.elapsed)
            self._after_slice()
            if self._clock() > busy_until:
                return

    def _next(self, end: float) -> float:
        return min(next_on_grid(self._driven.elapsed, self._stride), end)

    def _wait(self, end: float) -> float:
        """Return the real seconds until the next slice is due; 0 while it is late."""
        if self._speed == inf:
            return 0.0
        since, elapsed = self._origin
        wait = since + (self._next(end) - elapsed) / self._speed - self._clock()
        if wait < -LATE:
            self._origin = (self._clock(), self._driven.elapsed)
        return max(wait, 0.0)
