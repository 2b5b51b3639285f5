"""Energy into and out of the battery, from the power of one reading to the next."""

from dataclasses import dataclass
from typing import Final, Protocol

SECONDS_PER_HOUR: Final = 3600

# Over a longer time than this, in s, nobody knows what flowed in between.
LONGEST_STEP: Final = 120.0
# More than this, in A, is taken to flow into or out of no bank for long (assumed). A greater change of the consumed
# ampere-hours is then a state of charge that was set anew.
HIGHEST_MEAN_CURRENT: Final = 1000.0


class Measured(Protocol):
    """What is taken of a reading: V, A (positive = charging), Ah (negative = drawn); None where it is not given."""

    @property
    def voltage(self) -> float | None:
        """Volts."""
        ...

    @property
    def current(self) -> float | None:
        """Amperes."""
        ...

    @property
    def consumed_amphours(self) -> float | None:
        """Ampere-hours since the last full charge."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The last that was measured, and when, in s of any clock."""

    at: float
    voltage: float
    current: float
    consumed_amphours: float | None = None

    @property
    def power(self) -> float:
        """Watts into the battery."""
        return self.voltage * self.current


@dataclass(kw_only=True)
class Energy:
    """What was counted, in Wh, none of which ever becomes less.

    Of it, what was not measured but bridged, by the ampere-hours, and for how many s. unknown: s of which nothing is
    known, so that nothing was counted.
    """

    charged: float = 0.0
    discharged: float = 0.0
    bridged_charged: float = 0.0
    bridged_discharged: float = 0.0
    bridged_time: float = 0.0
    unknown_time: float = 0.0


class EnergyMeter:
    """Counts the energy of one device, reading by reading."""

    def __init__(self, energy: Energy | None = None, last: Sample | None = None) -> None:
        """Go on from what was counted before, and from what was measured last."""
        self.energy = energy or Energy()
        self.last = last

    @property
    def shown(self) -> tuple[int, int]:
        """What was charged and discharged, in whole Wh: what is worth showing."""
        return int(self.energy.charged), int(self.energy.discharged)

    def go_on_from(self, *, charged: float = 0.0, discharged: float = 0.0) -> None:
        """Go on from Wh that were counted before, unless this meter has counted since."""
        if self.last is None:
            self.energy.charged = max(self.energy.charged, charged)
            self.energy.discharged = max(self.energy.discharged, discharged)

    def take(self, measured: Measured, at: float) -> None:
        """Count up to a reading that was received at a time, in s. One that comes late counts as if it came now."""
        if measured.voltage is None or measured.current is None:
            return
        last = self.last
        now = self.last = Sample(
            at=at if last is None else max(at, last.at),
            voltage=measured.voltage,
            current=measured.current,
            consumed_amphours=measured.consumed_amphours,
        )
        if last is None:
            return
        count = self._measure if now.at - last.at <= LONGEST_STEP else self._bridge
        count(last, now)

    def _measure(self, last: Sample, now: Sample) -> None:
        """Count the area under a straight line from the power of one sample to that of the next."""
        hours = (now.at - last.at) / SECONDS_PER_HOUR
        self.energy.charged += _area(last.power, now.power) * hours
        self.energy.discharged += _area(-last.power, -now.power) * hours

    def _bridge(self, last: Sample, now: Sample) -> None:
        """Count what the ampere-hours say was moved while nothing was heard."""
        seconds = now.at - last.at
        moved = _moved(last, now)
        if moved is None:
            self.energy.unknown_time += seconds
            return
        energy = moved * (last.voltage + now.voltage) / 2
        self.energy.charged += max(energy, 0.0)
        self.energy.bridged_charged += max(energy, 0.0)
        self.energy.discharged += max(-energy, 0.0)
        self.energy.bridged_discharged += max(-energy, 0.0)
        self.energy.bridged_time += seconds


def _area(begin: float, end: float) -> float:
    """Return the area, over a length of 1, of what of a straight line lies above zero."""
    if begin <= 0 and end <= 0:
        return 0.0
    if begin >= 0 and end >= 0:
        return (begin + end) / 2
    above = max(begin, end)
    return above * above / abs(end - begin) / 2


def _moved(last: Sample, now: Sample) -> float | None:
    """Return the Ah that went into the battery between two samples; None if that is not known, or not plausible."""
    if last.consumed_amphours is None or now.consumed_amphours is None:
        return None
    moved = now.consumed_amphours - last.consumed_amphours
    highest = HIGHEST_MEAN_CURRENT * (now.at - last.at) / SECONDS_PER_HOUR
    return moved if abs(moved) <= highest else None
