"""A running scenario: the clock, and steps that are as long as nothing happens and as short as something does.

Quiet steps end on a fixed grid: whole minutes, halves of them, quarters and so on. The same seed therefore gives
exactly the same run however the time is cut, as long as it is cut at whole minutes. Other cuts are additional ends of
steps: the run is then the same but for the error of the integration, and for when within the resolution something is
noticed.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite
from pathlib import Path
from random import Random
from typing import Annotated, Final, Self

from emulator.bms.bms import Checkpoint as BmsCheckpoint
from emulator.bms.bms import SmallBms
from emulator.reading.state import Count, JsonObject, JsonValue, StateError, damaged, from_json
from emulator.reading.values import number
from emulator.simulation.build import build_bms
from emulator.simulation.grid import LONGEST_STEP, TOLERANCE, next_on_grid, stride_within, to_ticks
from emulator.simulation.pace import Pace, do_nothing
from emulator.simulation.scenario import Scenario
from emulator.simulation.state_file import StateFileError, read_state, write_state
from emulator.snapshot import Snapshot
from emulator.world.fuse import FUSE_FACTOR, Fuse
from emulator.world.world import World, WorldCheckpoint

# When something flips in a step that is longer than this, the simulation goes back and makes shorter ones. In s.
RESOLUTION: Final = LONGEST_STEP / 2**7
SHORTEST_STEP: Final = LONGEST_STEP / 2**9
# A step to a timer or a change by the clock is not made shorter than this: rounding must not make endless tiny steps.
SHORTEST_WAIT: Final = 0.001
# How far the current may change over a step: by this share of it, or by this share of the capacity in Ah.
CURRENT_STEP: Final = 0.1
SMALL_CURRENT: Final = 0.002
# What a simulation may live, in s: a hundred years. The calendar ends some time after.
LONGEST_LIFE: Final = 100 * 365.25 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class SavedSimulation:
    """A saved simulation. The BMS and the world read their own parts."""

    seed: Count
    device: Count
    elapsed: Annotated[float, number(0, LONGEST_LIFE)]
    bms: JsonObject
    world: JsonObject


class Simulation:
    """One device of a scenario with its bank and its world. Not for several threads.

    longest_step: in s; a run through months may take COARSE_STEP, which is quicker.
    """

    def __init__(
        self, scenario: Scenario, seed: int | None = None, *, device: int = 0, longest_step: float = LONGEST_STEP
    ) -> None:
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.device = device
        self.elapsed = 0.0  # s since the start
        self.bms = build_bms(scenario, Random(self._random_seed))
        self.world = World(
            scenario,
            system_voltage=scenario.system_voltage,
            seed=self._random_seed,
            fuse=Fuse(scenario.fuse or FUSE_FACTOR * self.bms.bank.continuous_current),
        )
        self.longest_step = longest_step
        self.world.settle(self.elapsed, self.bms)

    @property
    def longest_step(self) -> float:
        """How long a step is when nothing happens, in s."""
        return self.world.sun_step

    @longest_step.setter
    def longest_step(self, seconds: float) -> None:
        self.bms.bank.longest = self.world.sun_step = seconds

    @property
    def _random_seed(self) -> str:
        return f"{self.seed}/{self.device}"

    @property
    def now(self) -> datetime:
        """The time in the simulation."""
        return self.scenario.start + timedelta(seconds=self.elapsed)

    def snapshot(self) -> Snapshot:
        """Return what Instant Readout shows now."""
        return self.bms.snapshot()

    def advance(self, seconds: float) -> None:
        """Let simulated seconds pass, up to LONGEST_LIFE. Raises ValueError if they are negative or have no end."""
        if not (isfinite(seconds) and seconds >= 0):
            raise ValueError(f"A time must be a finite number of seconds from 0, not {seconds}.")
        end = min(self.elapsed + seconds, LONGEST_LIFE)
        while end - self.elapsed > TOLERANCE:
            self._step(end)

    def _step(self, end: float) -> None:
        """Make one step, at most to an end, over which nothing flips unnoticed."""
        bms, world = self.bms, self.world
        world.settle(self.elapsed, bms)
        checkpoint = bms.copy(), world.copy()
        conditions = self._conditions()
        stride, midway = self._longest_stride()
        target = self._target(stride, end)
        while True:
            self._flow(target, midway)
            if target - self.elapsed <= RESOLUTION or self._conditions() == conditions:
                break
            self._go_back(checkpoint)
            stride, target = self._shorter(stride, target)
        self.elapsed = target

    def _conditions(self) -> Hashable:
        return self.bms.conditions(), self.world.conditions()

    def _longest_stride(self) -> tuple[float, bool]:
        """Return the coarsest grid on which a step stays accurate, and whether its current should be that of midway.

        A charger that holds a voltage gives less and less. The current of midway moves the right charge then; but it
        would make a current that hardly changes swing, for which the one of the end is as good.
        """
        begin = self.world.flow(self.elapsed, self.bms, 0.0)
        allowed = max(CURRENT_STEP * abs(begin), SMALL_CURRENT * self.bms.detected.capacity_ah)
        stride, midway = self.longest_step, False
        while abs((current := self.world.flow(self.elapsed, self.bms, stride)) - begin) > allowed:
            stride, midway = stride / 2, True
            if stride <= SHORTEST_STEP:
                break
        accurate = self.bms.longest_step(current)
        return stride_within(max(min(stride, accurate), SHORTEST_STEP), self.longest_step), midway

    def _target(self, stride: float, end: float) -> float:
        """Return where a step ends: on the grid, or earlier at a timer, at a change by the clock, or at the end."""
        waits = (self.bms.next_timer(), self.world.next_change(self.elapsed))
        soonest = min((wait for wait in waits if wait is not None), default=inf)
        if soonest < stride:
            end = min(end, to_ticks(self.elapsed + max(soonest, SHORTEST_WAIT)))
        return min(next_on_grid(self.elapsed, stride), end)

    def _shorter(self, stride: float, target: float) -> tuple[float, float]:
        """Return the next finer grid that makes the step shorter, and where it ends then."""
        while True:
            stride /= 2
            nearer = next_on_grid(self.elapsed, stride)
            if nearer < target - TOLERANCE:
                return stride, nearer

    def _flow(self, target: float, midway: bool) -> None:
        """Let the current flow that flows."""
        seconds = target - self.elapsed
        current = self.world.flow(self.elapsed, self.bms, seconds / 2 if midway else seconds)
        self.bms.step(current=current, ambient=self.world.ambient(self.elapsed), seconds=seconds)
        self.world.advance(self.elapsed, self.bms, seconds)

    def _go_back(self, checkpoint: tuple[BmsCheckpoint, WorldCheckpoint]) -> None:
        self.bms.restore(checkpoint[0])
        self.world.restore(checkpoint[1])

    # Real time

    async def run(self, speed: float, *, until: float = inf, after_slice: Callable[[], None] = do_nothing) -> None:
        """Run so many times faster than real time, inf = as fast as possible, until so many seconds have passed.

        The same speed gives exactly the same run on every machine. after_slice is called whenever time has passed.
        Raises ValueError for a speed that is not above 0.
        """
        await Pace(self, speed, after_slice=after_slice).run(until=until)

    # Saving and loading

    def save_state(self) -> dict[str, JsonValue]:
        """Return everything that changes as JSON."""
        return {
            "scenario": self.scenario.name,
            "seed": self.seed,
            "device": self.device,
            "elapsed": self.elapsed,
            "bms": self.bms.save(),
            "world": self.world.save(),
        }

    @classmethod
    def load_state(cls, scenario: Scenario, data: JsonObject) -> Self:
        """Return a simulation that goes on where another was saved. Raises StateError.

        The scenario may have changed since, but for its bank.
        """
        saved = from_json(SavedSimulation, data)
        if not 0 <= saved.device < len(scenario.devices):
            raise damaged(f"device should be 0 to {len(scenario.devices) - 1}")
        simulation = cls(scenario, saved.seed, device=saved.device)
        bms = SmallBms.load(saved.bms)
        if bms.bank.layout != scenario.bank.layout:
            raise StateError(f"The bank is not that of the scenario {scenario.name}.")
        simulation.bms = bms
        simulation.elapsed = saved.elapsed
        simulation.world.load(saved.world)
        return simulation

    def save(self, path: Path) -> None:
        """Save to a file. Raises StateFileError; what was there then still is."""
        write_state(path, self.save_state())

    @classmethod
    def load(cls, scenario: Scenario, path: Path) -> Self:
        """Return a simulation from a file, which is only read. Raises StateFileError."""
        try:
            return cls.load_state(scenario, read_state(path))
        except StateError as error:
            raise StateFileError(f"The state file {path} cannot be used: {error}") from error
