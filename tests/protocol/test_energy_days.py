"""Ten days of a simulated cabin, heard badly: the meter against the exact one of the emulator."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Final

import pytest

from custom_components.smallbms_ng.protocol.energy import EnergyMeter
from custom_components.smallbms_ng.protocol.instant_readout import BatteryReading, InstantReadout
from emulator.instant_readout import encode_record, encrypt_record
from emulator.simulation.scenario import load
from emulator.simulation.simulation import Simulation

from .packer import KEY

DAYS: Final = 10 * 86400.0
# It is heard once in so many s, instead of once a second, and sometimes not at all for so many times that.
# The simulation runs fastest in whole minutes.
STEP: Final = 60.0
SILENCES: Final = (2, 60)
SILENCE_CHANCE: Final = 0.004
# How late proxies are, in s. The next one may be faster.
DELAY: Final = 2.0
# What is kept is this old, in s, when Home Assistant is killed; and how long it is away.
KEPT_EVERY: Final = 900.0
AWAY: Final = (20.0, 1800.0)
RESTARTS: Final = 20


@dataclass(frozen=True)
class Heard:
    """A reading, and when it was received, in s."""

    at: float
    reading: BatteryReading


def heard(running: Simulation, random: Random) -> Iterator[Heard]:
    """Live these days and return what of it is heard."""
    decoder = InstantReadout(KEY)
    nonce = 0
    while running.elapsed < DAYS:
        steps = random.randint(*SILENCES) if random.random() < SILENCE_CHANCE else 1
        running.advance(steps * STEP)
        nonce = (nonce + 1) % 0x10000
        data = encrypt_record(encode_record(running.snapshot()), key=KEY, nonce=nonce)
        yield Heard(running.elapsed + random.uniform(0, DELAY), decoder.decode(data))


class Counting:
    """Home Assistant, which now and then is stopped or killed, with what it keeps."""

    def __init__(self, random: Random) -> None:
        self.meter = EnergyMeter()
        self.restarts = 0
        self._kept, self._kept_at = deepcopy(self.meter), 0.0
        self._random = random
        self._downs = sorted(random.uniform(0, DAYS) for _ in range(RESTARTS))
        self._back_at = 0.0

    def take(self, heard: Heard) -> None:
        if self._downs and heard.at > self._downs[0]:
            self._go_down(self._downs.pop(0))
        if heard.at < self._back_at:
            return
        self.meter.take(heard.reading, heard.at)
        if heard.at > self._kept_at + KEPT_EVERY:
            self._kept, self._kept_at = deepcopy(self.meter), heard.at

    def _go_down(self, at: float) -> None:
        """Every other time there is no time to keep anything."""
        self.restarts += 1
        self.meter = deepcopy(self._kept) if self.restarts % 2 else self.meter
        self._back_at = at + self._random.uniform(*AWAY)


def test_the_error_of_ten_days_stays_under_1_percent() -> None:
    random = Random(1)
    running, counting = Simulation(load("solar"), 1), Counting(random)
    for one in heard(running, random):
        counting.take(one)
    exact, energy = running.bms.history, counting.meter.energy
    assert counting.restarts == RESTARTS
    assert energy.bridged_time > 0.05 * DAYS
    assert energy.unknown_time == 0
    assert energy.charged / 1000 == pytest.approx(exact.charged_energy_kwh, rel=0.01)
    assert energy.discharged / 1000 == pytest.approx(exact.discharged_energy_kwh, rel=0.01)
