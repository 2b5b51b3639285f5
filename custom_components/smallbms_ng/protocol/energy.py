"""Counts the energy into and out of the battery, and the reserve after a shutdown for low cell voltage (M-D1)."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from .payloads import BOUNDS, HIGHEST_CURRENT
from .quantities import DEAD_BAND

SECONDS_PER_HOUR: Final = 3600

# The longest time between two samples, in s, over which the power is taken to change linearly.
LONGEST_STEP: Final = 120.0
# In Ah.
_LARGEST_BANK: Final = BOUNDS["capacity"].high


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A measurement in V, A (positive = charging) and Ah; at is in s of any clock, -inf if unknown."""

    at: float
    voltage: float
    current: float
    consumed_amphours: float | None = None

    @property
    def power(self) -> float:
        """The power into the battery, in W."""
        return self.voltage * self.current


@dataclass(kw_only=True)
class Energy:
    """The counted energy, in Wh, and times in s. No value ever decreases.

    bridged_charged, bridged_discharged, bridged_time: the part that was calculated from consumed ampere-hours while no
    samples came, and for how long. unknown_time: for how long nothing could be counted.
    unknown_gaps: the number of gaps of unknown length.
    """

    charged: float = 0.0
    discharged: float = 0.0
    bridged_charged: float = 0.0
    bridged_discharged: float = 0.0
    bridged_time: float = 0.0
    unknown_time: float = 0.0
    unknown_gaps: int = 0


class EnergyMeter:
    """Counts the energy of one device, sample by sample.

    is_current: whether a sample was taken in this run; before that, the energy since the last run is missing.
    """

    def __init__(self, energy: Energy | None = None, last: Sample | None = None) -> None:
        """Continue from the energy and the last sample of an earlier run."""
        self.energy = energy or Energy()
        self.last = last
        self.is_current = False

    @property
    def shown(self) -> tuple[int, int]:
        """The energy charged and discharged, in whole Wh."""
        return int(self.energy.charged), int(self.energy.discharged)

    def go_on_from(self, *, charged: float, discharged: float, last: Sample) -> None:
        """Continue from the energy shown last, in Wh, and its sample, if this meter has counted less."""
        if charged + discharged <= sum(self.shown):
            return
        self.energy.charged = max(self.energy.charged, charged)
        self.energy.discharged = max(self.energy.discharged, discharged)
        self.last = last

    def take(self, now: Sample) -> None:
        """Count the energy up to a sample. A sample from before the last one is taken to be of the same time."""
        last = self.last
        if last is not None and now.at < last.at:
            now = replace(now, at=last.at)
        self.last, self.is_current = now, True
        if last is None:
            return
        count = self._measure if now.at - last.at <= LONGEST_STEP else self._bridge
        count(last, now)

    def _measure(self, last: Sample, now: Sample) -> None:
        """Count the energy of a power that changes linearly between two samples."""
        hours = (now.at - last.at) / SECONDS_PER_HOUR
        begin, end = last.power, now.power
        self.energy.charged += _area(begin, end) * hours
        self.energy.discharged += _area(-begin, -end) * hours

    def _bridge(self, last: Sample, now: Sample) -> None:
        """Count the energy over a longer gap from the consumed ampere-hours."""
        seconds = now.at - last.at
        moved = _moved(last, now)
        if moved is None:
            self._note_unknown(seconds)
            return
        energy = moved * (last.voltage + now.voltage) / 2
        self.energy.charged += max(energy, 0.0)
        self.energy.bridged_charged += max(energy, 0.0)
        self.energy.discharged += max(-energy, 0.0)
        self.energy.bridged_discharged += max(-energy, 0.0)
        self.energy.bridged_time += seconds if isfinite(seconds) else 0.0

    def _note_unknown(self, seconds: float) -> None:
        if isfinite(seconds):
            self.energy.unknown_time += seconds
        else:
            self.energy.unknown_gaps += 1


def _area(begin: float, end: float) -> float:
    """Return the area above zero of a straight line between two values, over a length of 1."""
    if begin <= 0 and end <= 0:
        return 0.0
    if begin >= 0 and end >= 0:
        return (begin + end) / 2
    above = max(begin, end)
    return above * above / abs(end - begin) / 2


def _moved(last: Sample, now: Sample) -> float | None:
    """Return the Ah charged between two samples; None if they are unknown or implausible."""
    if last.consumed_amphours is None or now.consumed_amphours is None:
        return None
    hours = (now.at - last.at) / SECONDS_PER_HOUR
    if last.consumed_amphours == now.consumed_amphours == 0 and isfinite(hours):
        # The consumed Ah of a full battery stay at 0 while it is charged. At least the lower current has flowed.
        return max(min(last.current, now.current), 0.0) * hours
    moved = now.consumed_amphours - last.consumed_amphours
    highest = HIGHEST_CURRENT * hours
    return moved if abs(moved) <= min(highest, _LARGEST_BANK) else None


# The part of the capacity that is left after a shutdown: about 1 Ah of 100 Ah (M-D1).
RESERVE_SHARE: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The Ah drawn since the shutdown, up to a time in s of any clock."""

    amphours: float
    at: float


class ReserveCountdown:
    """Counts down the reserve after a shutdown, by the residual current (in A) or a higher measured one.

    Charging restores the reserve. holds_for: for how many s a measured current is taken to flow. drawn: None while
    there is no shutdown.
    """

    def __init__(self, residual_current: float, drawn: Drawn | None = None, *, holds_for: float = LONGEST_STEP) -> None:
        """Continue from what was drawn in an earlier run."""
        self.residual_current = residual_current
        self.drawn = drawn
        self._holds_for = holds_for
        self._flow = residual_current

    def take(self, *, shut_down: bool, current: float | None, at: float) -> None:
        """Take whether the system is shut down, and the current in A (positive = charging), at a time in s."""
        if not shut_down:
            self.drawn = None
            return
        amphours = self._drawn_until(self.drawn, at) if self.drawn else 0.0
        self.drawn = Drawn(amphours=max(amphours, 0.0), at=at)
        self._flow = self._out_of_battery(current or 0.0)

    def left(self, capacity: float, at: float) -> float | None:
        """Return the Ah left of a bank with this capacity in Ah; None while there is no shutdown."""
        if self.drawn is None:
            return None
        reserve = capacity * RESERVE_SHARE
        return min(max(reserve - self._drawn_until(self.drawn, at), 0.0), reserve)

    def time_left(self, capacity: float, at: float) -> float | None:
        """Return for how many hours the reserve lasts; None without a shutdown or a residual current."""
        left = self.left(capacity, at)
        if self.drawn is None or left is None or not self.residual_current:
            return None
        holds = at - self.drawn.at <= self._holds_for
        return left / max(self.residual_current, self._flow if holds else 0.0)

    def _out_of_battery(self, measured: float) -> float:
        """Return the discharge current, in A, for a measured current (positive = charging)."""
        if abs(measured) <= DEAD_BAND:
            return self.residual_current
        return -measured if measured > 0 else max(-measured, self.residual_current)

    def _drawn_until(self, drawn: Drawn, at: float) -> float:
        """Return the total Ah drawn up to a time."""
        seconds = max(at - drawn.at, 0.0)
        known = min(seconds, self._holds_for)
        more = self._flow * known + self.residual_current * (seconds - known)
        return drawn.amphours + more / SECONDS_PER_HOUR
