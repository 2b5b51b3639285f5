"""A battery that the test sets, and a device that shows it."""

from dataclasses import dataclass, field

import pytest

from emulator.device import DEFAULT_ADDRESS, DEFAULT_NAME, EmulatedDevice
from emulator.snapshot import Snapshot


@dataclass
class Bench:
    """What a test turns: the clock, and what the device shows."""

    now: float = 0.0
    snapshot: Snapshot = field(
        default_factory=lambda: Snapshot(
            voltage=13.28, current=-4.2, state_of_charge=76.5, time_to_go=600, temperature=21, drawn_amphours=23.5
        )
    )

    def device(self, address: str = DEFAULT_ADDRESS, name: str = DEFAULT_NAME) -> EmulatedDevice:
        """Return a device that shows this bench."""
        return EmulatedDevice(lambda: self.snapshot, address=address, name=name, clock=lambda: self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def device(bench: Bench) -> EmulatedDevice:
    return bench.device()
