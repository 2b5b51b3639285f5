"""What makes the time of several simulations pass: at a speed, in leaps, or not at all."""

import asyncio
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Final

from emulator.simulation.grid import LONGEST_STEP, TOLERANCE
from emulator.simulation.pace import Pace
from emulator.simulation.simulation import LONGEST_LIFE, Simulation

PAUSED: Final = 0.0


class Clockwork:
    """Simulations that live in the same time. after is called whenever some has passed."""

    def __init__(self, simulations: Sequence[Simulation], *, after: Callable[[], None]) -> None:
        self.elapsed = simulations[0].elapsed
        self._simulations = simulations
        self._after = after

    @property
    def longest_step(self) -> float:
        """How long a step is when nothing happens, in s."""
        return self._simulations[0].longest_step

    @longest_step.setter
    def longest_step(self, seconds: float) -> None:
        for simulation in self._simulations:
            simulation.longest_step = seconds

    def advance(self, seconds: float) -> None:
        """Let simulated seconds pass."""
        for simulation in self._simulations:
            simulation.advance(seconds)
        self.elapsed = self._simulations[0].elapsed
        self._after()


class Drive:
    """Drives a clockwork so many times faster than real time, inf = as fast as possible, PAUSED = not at all."""

    def __init__(self, clockwork: Clockwork, speed: float) -> None:
        self._clockwork = clockwork
        self._speed = speed
        self._running: asyncio.Task[None] | None = None
        self._leaping = asyncio.Lock()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def speed(self) -> float:
        """How many times faster than real time it runs."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not speed >= PAUSED:
            raise ValueError(f"A speed must be 0 or above, not {speed}.")
        self._speed = speed
        if not self._leaping.locked():
            self.start()

    def start(self) -> None:
        """Begin, or begin anew."""
        self._pause()
        if self._speed != PAUSED:
            left = max(LONGEST_LIFE - self._clockwork.elapsed, 0.0)
            self._running = asyncio.create_task(Pace(self._clockwork, self._speed).run(until=left))
            self._running.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End."""
        running = self._running
        self._pause()
        if running is not None:
            await asyncio.gather(running, return_exceptions=True)

    async def until_broken(self) -> None:
        """Wait for an error in a simulation, and raise it."""
        await asyncio.shield(self._broken)

    async def leap(self, seconds: float, *, longest_step: float = LONGEST_STEP) -> None:
        """Let simulated seconds pass as fast as possible, while others have their turns too.

        longest_step: in s; COARSE_STEP is quicker. Raises ValueError if they are negative or have no end.
        """
        if not (isfinite(seconds) and seconds >= 0):
            raise ValueError(f"A time must be a finite number of seconds from 0, not {seconds}.")
        async with self._leaping:
            self._pause()
            self._clockwork.longest_step = longest_step
            try:
                await self._leap_to(min(self._clockwork.elapsed + seconds, LONGEST_LIFE))
            finally:
                self._clockwork.longest_step = LONGEST_STEP
                self.start()

    async def _leap_to(self, end: float) -> None:
        while (left := end - self._clockwork.elapsed) > TOLERANCE:
            self._clockwork.advance(min(left, self._clockwork.longest_step))
            await asyncio.sleep(0)

    def _pause(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._broken.done():
            self._broken.set_exception(error)
