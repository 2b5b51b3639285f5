"""Energy into and out of the battery, and what is left of it after a shutdown for low cell voltage (M-D1)."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from .payloads import BOUNDS, HIGHEST_CURRENT
from .quantities import DEAD_BAND

SECONDS_PER_HOUR: Final = 3600

# Over a longer time than this, in s, nobody knows what flowed in between.
LONGEST_STEP: Final = 120.0
# What the largest bank holds, in Ah.
_LARGEST_BANK: Final = BOUNDS["capacity"].high


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was measured, in V, A and Ah, and when, in s of any clock; -inf: nobody knows when."""

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
    known, so that nothing was counted, and how many gaps there were of which not even the length is known.
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

    is_current is whether a sample was taken in this run: what was counted before it lacks all that flowed since.
    """

    def __init__(self, energy: Energy | None = None, last: Sample | None = None) -> None:
        """Go on from what was counted before, and from what was measured last."""
        self.energy = energy or Energy()
        self.last = last
        self.is_current = False

    @property
    def shown(self) -> tuple[int, int]:
        """What was charged and discharged, in whole Wh: what is worth showing."""
        return int(self.energy.charged), int(self.energy.discharged)

    def go_on_from(self, *, charged: float, discharged: float, last: Sample) -> None:
        """Go on from what was shown last, in Wh, and measured then, if this meter knows less."""
        if charged + discharged <= sum(self.shown):
            return
        self.energy.charged = max(self.energy.charged, charged)
        self.energy.discharged = max(self.energy.discharged, discharged)
        self.last = last

    def take(self, now: Sample) -> None:
        """Count up to a sample. One that comes late counts as if it came now."""
        last = self.last
        if last is not None and now.at < last.at:
            now = replace(now, at=last.at)
        self.last, self.is_current = now, True
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
    hours = (now.at - last.at) / SECONDS_PER_HOUR
    if last.consumed_amphours == now.consumed_amphours == 0 and isfinite(hours):
        # Of a full battery they tell nothing: they stay at 0 while it is charged on. The lesser current surely flowed.
        return max(min(last.current, now.current), 0.0) * hours
    moved = now.consumed_amphours - last.consumed_amphours
    highest = HIGHEST_CURRENT * hours
    return moved if abs(moved) <= min(highest, _LARGEST_BANK) else None


# What is left is so much of the capacity: about 1 Ah of 100 Ah (M-D1).
RESERVE_SHARE: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How many Ah were drawn since the shutdown, up to a time in s of any clock."""

    amphours: float
    at: float


class ReserveCountdown:
    """Counts down after a shutdown: the residual current, in A, is drawn, or what was measured if that is more.

    What is charged is given back. holds_for is for how many s a measured current is taken to flow unless another is
    measured. drawn is None while there is no shutdown.
    """

    def __init__(self, residual_current: float, drawn: Drawn | None = None, *, holds_for: float = LONGEST_STEP) -> None:
        """Go on from what was drawn before."""
        self.residual_current = residual_current
        self.drawn = drawn
        self._holds_for = holds_for
        self._flow = residual_current

    def take(self, *, shut_down: bool, current: float | None, at: float) -> None:
        """Take whether it is shut down, and a current in A (positive = charging), at a time in s."""
        if not shut_down:
            self.drawn = None
            return
        amphours = self._drawn_until(self.drawn, at) if self.drawn else 0.0
        self.drawn = Drawn(amphours=max(amphours, 0.0), at=at)
        self._flow = self._out_of_battery(current or 0.0)

    def left(self, capacity: float, at: float) -> float | None:
        """Return the Ah that are left of a capacity in Ah; None while there is no shutdown."""
        if self.drawn is None:
            return None
        reserve = capacity * RESERVE_SHARE
        return min(max(reserve - self._drawn_until(self.drawn, at), 0.0), reserve)

    def time_left(self, capacity: float, at: float) -> float | None:
        """Return for how many hours that lasts; None while there is no shutdown, or no residual current is known."""
        left = self.left(capacity, at)
        if self.drawn is None or left is None or not self.residual_current:
            return None
        holds = at - self.drawn.at <= self._holds_for
        return left / max(self.residual_current, self._flow if holds else 0.0)

    def _out_of_battery(self, measured: float) -> float:
        """Return what flows out, in A, when a current is measured."""
        if abs(measured) <= DEAD_BAND:
            return self.residual_current
        return -measured if measured > 0 else max(-measured, self.residual_current)

    def _drawn_until(self, drawn: Drawn, at: float) -> float:
        """Return the Ah drawn in all up to a time."""
        seconds = max(at - drawn.at, 0.0)
        known = min(seconds, self._holds_for)
        more = self._flow * known + self.residual_current * (seconds - known)
        return drawn.amphours + more / SECONDS_PER_HOUR
