"""What makes the time of simulations pass."""

import asyncio
from math import inf

import pytest

from emulator.drive import Clockwork, Drive
from emulator.simulation.simulation import Simulation

from .rigs import bench

LIMIT = 60.0
SPEED = 1e5


class Bed:
    """A drive with one simulation; reached is set once it has lived so many seconds."""

    def __init__(self, *, reach: float = inf) -> None:
        self.simulation = Simulation(bench())
        self.reached = asyncio.Event()
        self._reach = reach
        self.drive = Drive(Clockwork([self.simulation], after=self._after), 0)

    def _after(self) -> None:
        if self.simulation.elapsed >= self._reach:
            self.reached.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self.reached.wait(), LIMIT)


@pytest.mark.parametrize("speed", [SPEED, inf])
async def test_time_passes_at_a_speed_and_stands_still_without(speed: float) -> None:
    bed = Bed(reach=3600)
    bed.drive.speed = speed
    await bed.wait()
    bed.drive.speed = 0
    stood = bed.simulation.elapsed
    for _ in range(100):
        await asyncio.sleep(0)
    assert bed.simulation.elapsed == stood
    await bed.drive.stop()


async def test_a_leap_lets_others_have_their_turns() -> None:
    bed = Bed(reach=60)
    leap = asyncio.create_task(bed.drive.leap(7200))
    await bed.wait()
    assert bed.simulation.elapsed < 7200
    await asyncio.wait_for(leap, LIMIT)
    assert bed.simulation.elapsed == 7200


async def test_leaps_follow_one_another() -> None:
    bed = Bed()
    await asyncio.wait_for(asyncio.gather(bed.drive.leap(600), bed.drive.leap(90.5)), LIMIT)
    assert bed.simulation.elapsed == 690.5


async def test_after_a_leap_it_goes_on_at_the_speed_of_now() -> None:
    bed = Bed(reach=3600 + 600)
    leap = asyncio.create_task(bed.drive.leap(3600))
    await asyncio.sleep(0)
    bed.drive.speed = SPEED
    await asyncio.wait_for(leap, LIMIT)
    await bed.wait()
    await bed.drive.stop()


async def test_a_leap_that_is_given_up_leaves_the_speed() -> None:
    bed = Bed(reach=600)
    leap = asyncio.create_task(bed.drive.leap(1e9))
    bed.drive.speed = SPEED
    await asyncio.sleep(0)
    leap.cancel()
    await bed.wait()
    await bed.drive.stop()


@pytest.mark.parametrize("seconds", [-1, inf, float("nan")])
async def test_no_time_to_leap(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        await Bed().drive.leap(seconds)


@pytest.mark.parametrize("speed", [-1, float("nan")])
async def test_no_speed(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Bed().drive.speed = speed
