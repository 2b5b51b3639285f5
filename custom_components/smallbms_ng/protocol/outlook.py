"""What the past hours tell about the coming ones: how much is used a day, and whether the battery lasts the night.

Works on what was recorded of each full hour. Times are in s since 1970, charge is in Ah. What cannot be known is None.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf
from statistics import median, quantiles
from typing import Final

from .energy import SECONDS_PER_HOUR
from .payloads import HIGHEST_CURRENT

_HOURS_PER_DAY: Final = 24
_DAY: Final = _HOURS_PER_DAY * SECONDS_PER_HOUR
_FULL: Final = 100.0

# After a longer gap in the records, in h, nobody knows how what was counted since is spread over it.
LONGEST_GAP: Final = 3
# A day is known if so many of its hours are.
_LEAST_HOURS: Final = 18
# The median day is that of the last seven, of which so many have to be known.
_DAYS: Final = 7
_LEAST_DAYS: Final = 3
# Less than this, in Ah an hour, is no charging: the current comes in steps of 0.1 A, and may be off by one.
_NOISE: Final = 0.1
# By how much the energy and the consumed Ah of an hour may differ, in Ah and as a share of the larger: the steps of the
# current and of the consumed Ah explain as much. If they differ by half, one of them was set anew, or mended by hand.
_AGREES_WITHIN: Final = 0.3
_AGREES_WITHIN_SHARE: Final = 0.05
_CONTRADICTS_SHARE: Final = 0.5
# Consumed Ah that rise by more than their step while nothing charges were set anew.
_RISE: Final = 0.15
# No bank is charged or discharged faster, in 1/h (M-B2); with some margin.
_HIGHEST_RATE: Final = 2.0

# The quiet draw is a slope over the last one to three days: the median (Theil-Sen) of the slopes between two hours that
# are so far apart, in h. The consumed Ah come in steps of 0.1 Ah, so that hours near each other tell little. Of hours
# far from each other, too many have the same kettle between them.
_QUIET_FROM: Final = 24
_QUIET_UP_TO: Final = 72
_APART: Final = 12
_AT_MOST_APART: Final = 24
# A day's use of less than this, in Ah, is told better by the quiet draw than by steps of 0.1 Ah.
_LITTLE_USE: Final = 2.0

NIGHTS: Final = 14
LEAST_NIGHTS: Final = 5
# How long after sunrise a night ends in which no charging follows, in s.
AFTER_SUNRISE: Final = 2 * SECONDS_PER_HOUR


@dataclass(frozen=True, kw_only=True)
class Range:
    """The lowest, the highest and the mean of the consumed Ah in an hour; negative = drawn since full."""

    low: float
    high: float
    mean: float


@dataclass(frozen=True, kw_only=True)
class HourRecord:
    """What was recorded of an hour; None where nothing was.

    charged, discharged: in Wh, counted since the hour that was recorded before. voltage: the mean, in V.
    """

    start: int
    charged: float | None = None
    discharged: float | None = None
    voltage: float | None = None
    consumed: Range | None = None


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What flowed into and out of the battery in an hour, in Ah.

    consumed: the mean of the consumed Ah; None where it was not recorded.
    """

    start: int
    charged: float
    drawn: float
    consumed: float | None = None

    @property
    def net(self) -> float:
        """What was drawn in all; negative = charged."""
        return self.drawn - self.charged

    @property
    def charges(self) -> bool:
        """Whether more was charged than drawn."""
        return self.net < -_NOISE


class History:
    """The hours of the past in which it is known what flowed; until is when the latest of them ended."""

    def __init__(self, records: Iterable[HourRecord] = (), capacity: float | None = None) -> None:
        """Take what was recorded, the earliest first; the capacity tells which currents are possible."""
        self._flows = {flow.start: flow for flow in _flows(records, capacity)}
        self.until = max(self._flows, default=-SECONDS_PER_HOUR) + SECONDS_PER_HOUR

    def at(self, start: int) -> Flow | None:
        """Return what flowed in an hour."""
        return self._flows.get(start)

    def use(self, until: int | None = None) -> float | None:
        """Return the Ah that were drawn in the 24 h until then, by default in the latest."""
        until = self.until if until is None else until
        starts = range(until - _DAY, until, SECONDS_PER_HOUR)
        drawn = [flow.drawn for start in starts if (flow := self.at(start))]
        return sum(drawn) * _HOURS_PER_DAY / len(drawn) if len(drawn) >= _LEAST_HOURS else None

    def median_day(self) -> float | None:
        """Return the median of the Ah that were drawn in each of the last seven days."""
        days = [self.use(self.until - number * _DAY) for number in range(_DAYS)]
        known = [day for day in days if day is not None]
        return median(known) if len(known) >= _LEAST_DAYS else None

    def quiet_draw(self) -> float | None:
        """Return the current that is drawn while nothing charges, in A; None if something has charged for a day."""
        quiet = list(self._quiet_hours())
        if not quiet or self.until - quiet[-1].start < _QUIET_FROM * SECONDS_PER_HOUR:
            return None
        slopes = [
            _slope(earlier, later)
            for number, later in enumerate(quiet)
            for earlier in quiet[number + _APART : number + _AT_MOST_APART + 1]
        ]
        return max(-median(slopes), 0.0) if len(quiet) >= _LEAST_HOURS else None

    def _quiet_hours(self) -> Iterator[Flow]:
        """Yield the latest hours in which nothing charged and the consumed Ah were not set anew, the latest first."""
        newer: Flow | None = None
        unknown = 0
        for number in range(1, _QUIET_UP_TO + 1):
            flow = self.at(self.until - number * SECONDS_PER_HOUR)
            unknown = unknown + 1 if flow is None or flow.consumed is None else 0
            if flow is None or flow.charged > _NOISE or unknown > LONGEST_GAP:
                return
            if unknown:
                continue
            if newer and not _goes_on(flow, newer):
                return
            newer = flow
            yield flow


def _flows(records: Iterable[HourRecord], capacity: float | None) -> Iterator[Flow]:
    """Yield what flowed in each hour of which that is known.

    Each record counts since the one before. So the first one counts since nobody knows when, as does the one after a
    record that cannot be true.
    """
    highest = min(HIGHEST_CURRENT, inf if capacity is None else _HIGHEST_RATE * capacity)
    before: int | None = None
    for record in records:
        if record.charged is None and record.discharged is None:
            continue
        flow = _flow(record)
        hours = 0 if before is None else (record.start - before) // SECONDS_PER_HOUR
        before = None if flow is None else record.start
        if flow is None or not 1 <= hours <= LONGEST_GAP + 1:
            continue
        if max(flow.charged, flow.drawn) > highest * hours:
            before = None
            continue
        if hours > 1:
            yield from _spread(flow, hours)
        elif exact := _exact(flow, record.consumed):
            yield exact


def _flow(record: HourRecord) -> Flow | None:
    """Return what a record has counted; None if anything is missing, or a counter has fallen."""
    if record.charged is None or record.discharged is None or not record.voltage:
        return None
    if min(record.charged, record.discharged, record.voltage) < 0:
        return None
    return Flow(
        start=record.start,
        charged=record.charged / record.voltage,
        drawn=record.discharged / record.voltage,
        consumed=record.consumed.mean if record.consumed else None,
    )


def _spread(flow: Flow, hours: int) -> Iterator[Flow]:
    """Yield equal parts of what was counted over a gap, for each of its hours."""
    for number in reversed(range(hours)):
        yield Flow(
            start=flow.start - number * SECONDS_PER_HOUR,
            charged=flow.charged / hours,
            drawn=flow.drawn / hours,
            consumed=None if number else flow.consumed,
        )


def _exact(flow: Flow, consumed: Range | None) -> Flow | None:
    """Return what flowed by the consumed Ah, which also count what is too little for the steps of the current.

    They tell only of an hour in which nothing charges. None if they contradict the energy.
    """
    if consumed is None or flow.charged > _NOISE:
        return flow
    drawn = consumed.high - consumed.low
    if not _agree(drawn, flow.drawn, share=_CONTRADICTS_SHARE):
        return None
    if not _agree(drawn, flow.drawn):
        return flow
    return Flow(start=flow.start, charged=0.0, drawn=drawn, consumed=flow.consumed)


def _agree(one: float, other: float, *, hours: float = 1, share: float = _AGREES_WITHIN_SHARE) -> bool:
    """Return whether two ways of counting what was drawn agree."""
    return abs(one - other) <= _AGREES_WITHIN * hours + share * max(one, other)


def _slope(earlier: Flow, later: Flow) -> float:
    """Return the current between two hours, in A, by their consumed Ah, which both have; negative = drawn."""
    hours = (later.start - earlier.start) / SECONDS_PER_HOUR
    return ((later.consumed or 0.0) - (earlier.consumed or 0.0)) / hours


def _goes_on(older: Flow, newer: Flow) -> bool:
    """Return whether the consumed Ah of an hour, which both have, follow from an earlier one while nothing charges."""
    hours = (newer.start - older.start) / SECONDS_PER_HOUR
    drawn = -_slope(older, newer) * hours
    return drawn >= -_RISE and _agree(drawn, (older.drawn + newer.drawn) / 2 * hours, hours=hours)


@dataclass(frozen=True, kw_only=True)
class Night:
    """A night of the past.

    begin: the same time of day as it is now, on the day before. sunset, sunrise: when it was dark. midday: until when
    it is morning.
    """

    begin: float
    sunset: float
    sunrise: float
    midday: float


def night_course(history: History, night: Night) -> list[float] | None:
    """Return what was drawn net in each hour, in Ah, up to the first hour of the morning that charges.

    If none does, up to two hours after sunrise. None if that is not known, or if something charged in the dark, such as
    an engine or shore power, on which the next night cannot count.
    """
    end = _end_of(history, night)
    if end is None:
        return None
    course = []
    for start in _hours(night.begin, end):
        flow = history.at(start)
        if flow is None or (flow.charges and _is_dark(night, start)):
            return None
        share = (min(start + SECONDS_PER_HOUR, end) - max(start, night.begin)) / SECONDS_PER_HOUR
        course.append(flow.net * share)
    return course


def _end_of(history: History, night: Night) -> float | None:
    """Return when charging began in the morning; None if the morning is not known."""
    for start in _hours(night.sunrise, night.midday):
        flow = history.at(start)
        if flow is None:
            return None
        if flow.charges:
            return start
    return night.sunrise + AFTER_SUNRISE


def _is_dark(night: Night, start: int) -> bool:
    """Return whether an hour lies between sunset and sunrise."""
    return start >= night.sunset and start + SECONDS_PER_HOUR <= night.sunrise


def _hours(begin: float, end: float) -> range:
    """Return when the full hours begin that have a part in a time."""
    return range(int(begin // SECONDS_PER_HOUR) * SECONDS_PER_HOUR, ceil(end), SECONDS_PER_HOUR)


class LastsTheNight(StrEnum):
    """Whether the state of charge stays above the discharge floor until charging begins."""

    YES = "yes"
    MAYBE = "maybe"
    NO = "no"


@dataclass(frozen=True, kw_only=True)
class Battery:
    """The battery as it is now: state of charge and discharge floor in %, capacity in Ah."""

    state_of_charge: float
    capacity: float
    discharge_floor: float

    @property
    def usable(self) -> float:
        """The Ah above the discharge floor."""
        return max(self.state_of_charge - self.discharge_floor, 0.0) / _FULL * self.capacity

    def lowest(self, course: Sequence[float]) -> float:
        """Return the lowest state of charge, in %, if it is drawn from as in another night."""
        charge = lowest = self.state_of_charge / _FULL * self.capacity
        for net in course:
            charge = min(charge - net, self.capacity)
            lowest = min(lowest, charge)
        return max(lowest / self.capacity * _FULL, 0.0)


@dataclass(frozen=True, kw_only=True)
class NightOutlook:
    """The lowest state of charge to expect, in %, by so many nights: in the median one, and in the worst of ten."""

    nights: int
    expected: float
    in_bad_night: float
    discharge_floor: float

    @property
    def lasts(self) -> LastsTheNight:
        """Whether it lasts the night."""
        if self.in_bad_night > self.discharge_floor:
            return LastsTheNight.YES
        return LastsTheNight.NO if self.expected <= self.discharge_floor else LastsTheNight.MAYBE


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is to be expected: charge in Ah, the quiet draw in A."""

    use: float | None = None
    median_day: float | None = None
    quiet_draw: float | None = None
    days_left: float | None = None
    night: NightOutlook | None = None


def outlook(history: History, battery: Battery | None, nights: Iterable[Night], now: float) -> Outlook:
    """Return what is to be expected. Hours that are long past, or still to come, tell nothing."""
    if not -SECONDS_PER_HOUR <= now - history.until <= LONGEST_GAP * SECONDS_PER_HOUR:
        return Outlook()
    use, quiet_draw = history.use(), history.quiet_draw()
    return Outlook(
        use=use,
        median_day=history.median_day(),
        quiet_draw=quiet_draw,
        days_left=_days_left(battery, use, quiet_draw) if battery else None,
        night=_night_outlook(history, battery, nights) if battery else None,
    )


def _days_left(battery: Battery, use: float | None, quiet_draw: float | None) -> float | None:
    """Return for how many days the Ah above the floor last; None while nothing is drawn."""
    is_little = use is not None and use < _LITTLE_USE
    a_day = quiet_draw * _HOURS_PER_DAY if is_little and quiet_draw is not None else use
    return battery.usable / a_day if a_day else None


def _night_outlook(history: History, battery: Battery, nights: Iterable[Night]) -> NightOutlook | None:
    """Return how the coming night would end if it were like each of the past ones."""
    courses = (night_course(history, night) for night in nights)
    lowest = [battery.lowest(course) for course in courses if course is not None]
    if len(lowest) < LEAST_NIGHTS:
        return None
    worst_tenth = quantiles(lowest, n=10)[0]
    return NightOutlook(
        nights=len(lowest),
        expected=median(lowest),
        in_bad_night=max(worst_tenth, 0.0),
        discharge_floor=battery.discharge_floor,
    )
