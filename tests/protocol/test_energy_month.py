"""A month of simulated cabins, heard badly by two proxies: the meter against the exact one of the emulator."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter
from random import Random
from typing import Final

import pytest

from custom_components.smallbms_ng.protocol.advertisement import BatteryReading, InstantReadout
from custom_components.smallbms_ng.protocol.energy import EnergyMeter, Sample
from custom_components.smallbms_ng.protocol.record_filter import NonceOrder, Order
from emulator.instant_readout import encode_record, encrypt_record
from emulator.simulation.scenario import load
from emulator.simulation.simulation import Simulation

from .packer import KEY

# The month is cut into parts, each with its own weather and its own luck.
PARTS: Final = 10
DAYS: Final = 3
DURATION: Final = DAYS * 86400.0
# It is heard once in so many s, instead of once a second, and sometimes not at all for so many times that.
# The simulation runs fastest in whole minutes.
STEP: Final = 60.0
# Sometimes another record follows so soon, in s, that a slow proxy brings the first one after it.
SOON: Final = 2.0
SOON_CHANCE: Final = 0.1
SILENCES: Final = (2, 60)
SILENCE_CHANCE: Final = 0.004
# Which proxies hear it changes about so often, in steps.
CHANGE_CHANCE: Final = 1 / 240
# What is kept is this old, in s, when Home Assistant is killed; and how long it is away.
KEPT_EVERY: Final = 900.0
AWAY: Final = (20.0, 1800.0)
RESTARTS: Final = 6


@dataclass(frozen=True)
class Proxy:
    """How late a proxy is, in s, and how much it misses."""

    delays: tuple[float, float]
    loss: float


FAST: Final = Proxy(delays=(0.0, 1.0), loss=0.05)
SLOW: Final = Proxy(delays=(1.0, 8.0), loss=0.1)
CONSTELLATIONS: Final[tuple[tuple[Proxy, ...], ...]] = ((FAST,), (SLOW,), (FAST, SLOW), (FAST, SLOW))


@dataclass(frozen=True)
class Heard:
    """A reading, and when it was received, in s."""

    at: float
    reading: BatteryReading


def heard(running: Simulation, random: Random) -> Iterator[Heard]:
    """Live these days and return what of it is heard, in no order."""
    decoder = InstantReadout(KEY)
    proxies = CONSTELLATIONS[0]
    for nonce, pause in enumerate(takewhile(lambda _: running.elapsed < DURATION, pauses(random))):
        running.advance(pause)
        data = encrypt_record(encode_record(running.snapshot()), key=KEY, nonce=nonce % 0x10000)
        reading = decoder.decode(data)
        proxies = random.choice(CONSTELLATIONS) if random.random() < CHANGE_CHANCE else proxies
        for proxy in proxies:
            if random.random() >= proxy.loss:
                yield Heard(running.elapsed + random.uniform(*proxy.delays), reading)


def pauses(random: Random) -> Iterator[float]:
    """Yield how long it takes until each record, in s."""
    while True:
        if random.random() < SILENCE_CHANCE:
            yield random.randint(*SILENCES) * STEP
        elif random.random() < SOON_CHANCE:
            yield from (SOON, STEP - SOON)
        else:
            yield STEP


def sample_of(heard: Heard) -> Sample:
    """Return what the meter takes of a record."""
    reading = heard.reading
    assert reading.voltage is not None
    assert reading.current is not None
    return Sample(
        at=heard.at,
        voltage=reading.voltage,
        current=reading.current,
        consumed_amphours=reading.consumed_amphours,
    )


class Counting:
    """Home Assistant, which now and then is stopped or killed, with what it keeps."""

    def __init__(self, random: Random) -> None:
        self.meter = EnergyMeter()
        self.restarts = 0
        self.orders: Counter[Order] = Counter()
        self._order = NonceOrder()
        self._kept, self._kept_at = deepcopy(self.meter), 0.0
        self._random = random
        self._downs = sorted(random.uniform(0, DURATION) for _ in range(RESTARTS))
        self._back_at = 0.0

    def take(self, heard: Heard) -> None:
        if self._downs and heard.at > self._downs[0]:
            self._go_down(self._downs.pop(0))
        if heard.at < self._back_at:
            return
        order = self._order.place(heard.reading.nonce, heard.at)
        self.orders[order] += 1
        if order is Order.BEHIND:
            return
        self.meter.take(sample_of(heard))
        if heard.at > self._kept_at + KEPT_EVERY:
            self._kept, self._kept_at = deepcopy(self.meter), heard.at

    def _go_down(self, at: float) -> None:
        """Every other time there is no time to keep anything."""
        self.restarts += 1
        self.meter = deepcopy(self._kept) if self.restarts % 2 else self.meter
        self._order = NonceOrder()
        self._back_at = at + self._random.uniform(*AWAY)


@pytest.mark.parametrize("seed", range(PARTS))
def test_the_error_stays_small_in_each_part_of_a_month(seed: int) -> None:
    random = Random(seed)
    running, counting = Simulation(load("solar"), seed), Counting(random)
    for one in sorted(heard(running, random), key=attrgetter("at")):
        counting.take(one)
    exact, energy = running.bms.history, counting.meter.energy
    assert counting.restarts == RESTARTS
    assert counting.orders[Order.REPEATED] > 100 * DAYS
    assert counting.orders[Order.BEHIND] > 15 * DAYS
    assert energy.bridged_time > 0.05 * DURATION
    assert energy.unknown_time == 0
    # Clouds and switching loads in a silence count by their difference only, so that a part may be too low.
    assert energy.charged / 1000 == pytest.approx(exact.charged_energy_kwh, rel=0.025)
    assert energy.discharged / 1000 == pytest.approx(exact.discharged_energy_kwh, rel=0.025)
