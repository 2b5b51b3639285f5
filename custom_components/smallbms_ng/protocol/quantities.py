"""The quantities of a battery: the sources of their values, how old these are, and which one is shown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from math import inf
from operator import attrgetter
from typing import Final

from .codes import ADVERTISED_LEVEL_FIELDS, IO_FIELDS, LEVEL_FIELDS, Code, Level, Severity, active_codes
from .payloads import BOUNDS, HIGHEST_CURRENT, rounded

# Everything that is not a measurement. Flags are shown only once they are confirmed.
FLAG_FIELDS: Final = ("error", *IO_FIELDS, *LEVEL_FIELDS)
# The flags that the record has.
ADVERTISED_FLAG_FIELDS: Final = ("error", *IO_FIELDS, *ADVERTISED_LEVEL_FIELDS)

type Flag = int | Level | None
"""An error number, a truth value, or a level; None if the device does not give it."""


@dataclass(frozen=True, kw_only=True)
class BatteryValues:
    """The values of the battery; None: unknown.

    Units are V, A (positive = charging), %, min, Ah (negative = drawn since full) and °C.
    """

    error: int | None
    time_to_go: int | None
    voltage: float | None
    current: float | None
    state_of_charge: float | None
    consumed_amphours: float | None
    temperature: float | None

    contactor_closed: bool | None
    allowed_to_charge: bool | None
    allowed_to_discharge: bool | None
    user_relay: bool | None
    aux_output: bool | None
    remote_on: bool | None
    alternator_allowed_to_charge: bool | None

    low_cell_voltage: Level | None
    high_current: Level | None
    high_bms_temperature: Level | None
    contactor: Level | None
    battery_communication: Level | None
    load_disconnect: Level | None
    low_soc: Level | None
    low_bank_voltage: Level | None
    high_temperature: Level | None
    condition_10: Level | None = None

    @property
    def codes(self) -> tuple[Code, ...]:
        """The active codes, the worst first."""
        return _codes(*_levels_of(self))

    @property
    def severity(self) -> Severity | None:
        """The severity of the worst active code; None if the device supports no condition."""
        if codes := self.codes:
            return codes[0].severity
        return Severity.OK if any(getattr(self, name) for name in LEVEL_FIELDS) else None

    @property
    def problem(self) -> bool | None:
        """Whether any code is active; None if that is unknown."""
        return None if self.severity is None else self.severity is not Severity.OK

    @property
    def pre_alarm(self) -> bool | None:
        """Whether the loads are, or will soon be, switched off for low cell voltage or low state of charge."""
        return self._is_raised("pre_alarm")

    @property
    def battery_low(self) -> bool | None:
        """Whether any condition means that the battery must be charged."""
        return self._is_raised("battery_low")

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The flags that the record has, in the order of ADVERTISED_FLAG_FIELDS."""
        return _flags_of(self)

    def _is_raised(self, name: str) -> bool | None:
        """Return whether a level that this follows from is a warning or an alarm; None if the device supports none."""
        supported = [level for one in FOLLOWS_FROM[name] if (level := getattr(self, one)) is not None]
        return any(level is not Level.OK for level in supported) if supported else None


# What the properties of BatteryValues follow from.
FOLLOWS_FROM: Final[Mapping[str, tuple[str, ...]]] = {
    "codes": ("error", *LEVEL_FIELDS),
    "severity": ("error", *LEVEL_FIELDS),
    "problem": ("error", *LEVEL_FIELDS),
    "pre_alarm": ("low_cell_voltage", "low_soc"),
    "battery_low": ("low_cell_voltage", "low_soc", "low_bank_voltage"),
}


def quantities_behind(name: str) -> frozenset[str]:
    """Return the names of the quantities that a property, or a quantity itself, follows from."""
    return frozenset(FOLLOWS_FROM.get(name, (name,)))


def power_of(voltage: float | None, current: float | None) -> float | None:
    """Return the watts into the battery; negative = out of it. None if either is unknown."""
    return None if voltage is None or current is None else rounded(voltage * current, 1)


_flags_of = attrgetter(*ADVERTISED_FLAG_FIELDS)
_levels_of = attrgetter("error", *LEVEL_FIELDS)


# The same codes stay active for days.
@lru_cache(maxsize=64)
def _codes(error: int | None, *levels: Level | None) -> tuple[Code, ...]:
    return active_codes(error or 0, dict(zip(LEVEL_FIELDS, levels, strict=True)))


VALUE_FIELDS: Final = tuple(row.name for row in fields(BatteryValues))
MEASURED_FIELDS: Final = tuple(name for name in VALUE_FIELDS if name not in FLAG_FIELDS)


# A bank delivers 1 C, and up to 5 C for 10 s (M-B2). A power above this many times its energy, in 1/h, is implausible,
# unless it is below this many W, which any short-circuited bank may deliver.
_HIGHEST_RATE: Final = 6.0
_ALWAYS_PLAUSIBLE: Final = 5000.0
# A current up to this, in A, may be zero: the record has steps of 0.1 A. Assumed: this covers the error of the BMS.
DEAD_BAND: Final = 0.2
# The error of a difference between two consumed Ah, which have steps of 0.1 Ah.
_STEP_OF_AMPHOURS: Final = 0.2
_SECONDS_PER_HOUR: Final = 3600
_MINUTES_PER_HOUR: Final = 60
_FULL: Final = 100.0
# What binary fractions may add to a difference: 13.33 - 13.28 is no more than 0.05.
_BINARY_FRACTIONS: Final = 1e-9


class Source(StrEnum):
    """Where a value comes from. Of two values of the same time, the source listed first wins."""

    ADVERTISED = "advertised"
    CONNECTION = "connection"
    CALCULATED = "calculated"
    RESTORED = "restored"


_RANK: Final = {source: place for place, source in enumerate(Source)}


type Known = float | Level
"""A number, a truth value, or a level."""

_MEASURED: Final = (Source.ADVERTISED, Source.CONNECTION, Source.RESTORED)
_ALSO_CALCULATED: Final = (Source.ADVERTISED, Source.CONNECTION, Source.CALCULATED, Source.RESTORED)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """How far a value has to move before it is written: further than a number, and than a share of the value."""

    absolute: float = 0.0
    share: float = 0.0

    def limits(self, value: float) -> tuple[float, float]:
        """Return how low and how high a value may become before it has moved further than this."""
        distance = max(self.absolute, self.share * abs(value)) + _BINARY_FRACTIONS
        return value - distance, value + distance

    def scaled(self, factor: float) -> Threshold:
        """Return a threshold that is so many times as wide."""
        return Threshold(absolute=self.absolute * factor, share=self.share * factor)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One quantity of a battery, and where its values come from.

    The latest value that is not too old is shown; a restored one only if there is no other.
    good_for: for how many s a source is valid, if it differs from other quantities. decimals: those of the record, to
    which all values are rounded.
    threshold: how far a value has to move before it is written; without one, every change is written. written_with: the
    quantity that decides instead. averaged: once a minute, its mean is written.
    """

    name: str
    sources: tuple[Source, ...] = _MEASURED
    decimals: int | None = None
    good_for: Mapping[Source, float] = field(default_factory=dict)
    kind: type[float | int | bool | Level] = float
    threshold: Threshold | None = None
    written_with: str | None = None
    averaged: bool = False

    def accept(self, value: object) -> Known | None:
        """Return a value as it is shown; None if this quantity cannot have it."""
        if self.kind in {bool, Level}:
            return value if isinstance(value, bool | Level) and isinstance(value, self.kind) else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        if (bounds := BOUNDS.get(self.name)) and not bounds.hold(value):
            return None
        return rounded(value, self.decimals) if isinstance(value, float) else value

    def parse(self, stored: object) -> Known:
        """Return a stored value. Raises ValueError."""
        value = self.accept(Level(str(stored)) if self.kind is Level else stored)
        if value is None:
            raise ValueError(f"{stored!r} is not a value of {self.name}")
        return value


ENERGY_CHARGED: Final = "energy_charged"
ENERGY_DISCHARGED: Final = "energy_discharged"

_NUMBERS: Final = (
    Quantity(name="error", kind=int),
    Quantity(name="time_to_go", kind=int, threshold=Threshold(share=0.05)),
    Quantity(name="voltage", decimals=2, threshold=Threshold(absolute=0.05)),
    Quantity(name="current", decimals=1, threshold=Threshold(absolute=0.5, share=0.02), averaged=True),
    Quantity(name="state_of_charge", sources=_ALSO_CALCULATED, decimals=1, threshold=Threshold(absolute=0.5)),
    Quantity(name="consumed_amphours", decimals=1, threshold=Threshold(absolute=0.5)),
    Quantity(name="temperature", threshold=Threshold(absolute=1)),
    # A bank changes only by hand: the last read value stays valid.
    Quantity(
        name="capacity",
        sources=(Source.CONNECTION, Source.RESTORED),
        good_for={Source.CONNECTION: inf, Source.RESTORED: inf},
    ),
    # Half an ampere is another power with each voltage.
    Quantity(name="power", sources=(Source.CALCULATED,), decimals=1, written_with="current", averaged=True),
    Quantity(name="remaining_amphours", sources=(Source.CALCULATED,), decimals=1, threshold=Threshold(absolute=0.5)),
    Quantity(name="time_to_full", sources=(Source.CALCULATED,), kind=int, threshold=Threshold(share=0.05)),
    Quantity(name="charging", sources=(Source.CALCULATED,), kind=bool),
)
QUANTITIES: Final = (
    *_NUMBERS,
    *(Quantity(name=name, kind=bool) for name in IO_FIELDS),
    *(Quantity(name=name, kind=Level) for name in LEVEL_FIELDS),
)
BY_NAME: Final = {row.name: row for row in QUANTITIES}

# Where the state of charge comes from, which is shown beside it.
CHARGE_SOURCE: Final = "charge_source"

# What the energy meter counts, in Wh.
COUNTERS: Final = tuple(
    Quantity(name=name, sources=(), kind=int, threshold=Threshold(absolute=100))
    for name in (ENERGY_CHARGED, ENERGY_DISCHARGED)
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A value that may be shown, and its source.

    at: its time in s of the monotonic clock; -inf if unknown. origin: the first source of a restored value.
    """

    value: Known
    source: Source
    at: float
    origin: Source | None = None


@dataclass(slots=True)
class _Stored:
    """The latest value of a source, see Candidate. It is renewed in place, with every advertisement."""

    value: Known
    source: Source
    at: float
    origin: Source | None = None

    @property
    def candidate(self) -> Candidate:
        """The value as it is now."""
        return Candidate(value=self.value, source=self.source, at=self.at, origin=self.origin)


_time_of = attrgetter("at")


@dataclass(frozen=True, kw_only=True)
class ShownValues(BatteryValues):
    """The shown values of the battery.

    power: in W, negative while discharging. remaining_amphours: in Ah. time_to_full: in min at the present current,
    None while not charging. charging: with a dead band around zero. charge_source: the source of the state of charge.
    energy_charged, energy_discharged: in Wh.
    """

    capacity: float | None
    power: float | None
    remaining_amphours: float | None
    time_to_full: int | None
    charging: bool | None
    charge_source: Source | None
    energy_charged: int | None = None
    energy_discharged: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChargeMark:
    """A state of charge that the device gave, in %, and the consumed Ah at that time."""

    state_of_charge: float
    consumed_amphours: float


class Quantities:
    """The candidates for every quantity of one device. Times are in s of the monotonic clock.

    good_for: for how many s each source is valid, unless the table says otherwise. configured_capacity: in Ah, used
    while the device gives none. implausible: how many values were out of bounds, by quantity.
    """

    def __init__(self, good_for: Mapping[Source, float], configured_capacity: float | None = None) -> None:
        self.good_for = dict(good_for)
        self.configured_capacity = configured_capacity
        self.implausible: Counter[str] = Counter()
        self.mark: ChargeMark | None = None
        self._charge_is_unknown = False
        self._candidates: dict[str, dict[Source, _Stored]] = {row.name: {} for row in QUANTITIES}
        # The advertised flags, as long as they stay the same, and where they are stored.
        self._flags: Mapping[str, Flag] | None = None
        self._stored_flags: list[_Stored] = []
        self._charging: bool | None = None
        self._calculations = {
            "state_of_charge": self._state_of_charge,
            "power": self._power,
            "remaining_amphours": self._remaining_amphours,
            "time_to_full": self._time_to_full,
            "charging": self._is_charging,
        }

    def take(self, source: Source, values: Mapping[str, object], at: float) -> None:
        """Take the values of a source at a time. None ends its earlier value; a missing name does not."""
        accepted = {name: self._accept(name, value) for name, value in values.items() if name in BY_NAME}
        self._flags = None
        self._take(source, accepted, at)
        if source is Source.CONNECTION and "state_of_charge" in accepted:
            self._charge_is_unknown = accepted["state_of_charge"] is None

    def take_record(self, measured: Mapping[str, float | None], flags: Mapping[str, Flag], at: float) -> None:
        """Take the values of a decoded record, which are plausible and rounded, and its confirmed flags.

        The same mapping of flags as before, which must not have been changed, only makes them current.
        """
        self._take(Source.ADVERTISED, measured, at)
        if flags is self._flags:
            for stored in self._stored_flags:
                stored.at = max(stored.at, at)
            return
        for name, value in flags.items():
            self._put(name, Source.ADVERTISED, value, at)
        self._flags = flags
        places = (self._candidates[name] for name in flags)
        self._stored_flags = [place[Source.ADVERTISED] for place in places if Source.ADVERTISED in place]

    def _take(self, source: Source, accepted: Mapping[str, Known | None], at: float) -> None:
        self._doubt_mark(accepted.get("consumed_amphours"), at)
        for name, value in accepted.items():
            self._put(name, source, value, at)
        self._set_mark(accepted.get("state_of_charge"), accepted.get("consumed_amphours"), at)
        self._follow_current(accepted.get("current"))

    def restore(self, values: Mapping[str, Candidate]) -> None:
        """Take the values of an earlier run."""
        for name, one in values.items():
            self._candidates[name][Source.RESTORED] = _Stored(one.value, Source.RESTORED, one.at, one.origin)
        current = values.get("current")
        self._follow_current(current.value if current else None)

    def forget(self, source: Source) -> None:
        """Forget the values of a source, except those that stay valid."""
        self._flags = None
        for name, candidates in self._candidates.items():
            if BY_NAME[name].good_for.get(source) != inf:
                candidates.pop(source, None)

    def best(self, name: str, now: float) -> Candidate | None:
        """Return the value of a quantity to show; None if none is known, or all are too old."""
        best = self._best(name, now)
        return best.candidate if isinstance(best, _Stored) else best

    def _best(self, name: str, now: float) -> _Stored | Candidate | None:
        row, stored = BY_NAME[name], self._candidates[name]
        found: list[_Stored | Candidate] = [
            one for one in stored.values() if one.source in row.sources and self._is_good(row, one, now)
        ]
        if (calculate := self._calculations.get(name)) and (calculated := calculate(now)):
            found.append(calculated)
        if len(found) > 1:
            of_now = [one for one in found if one.source is not Source.RESTORED] or found
            return max(of_now, key=_time_and_rank)
        return found[0] if found else None

    def all(self, now: float) -> Mapping[str, Candidate]:
        """Return the values to show, by quantity."""
        return {row.name: found for row in QUANTITIES if (found := self.best(row.name, now))}

    def known(self, now: float) -> dict[str, object]:
        """Return the values of ShownValues by name, except the energy."""
        found = {row.name: self._best(row.name, now) for row in QUANTITIES}
        charge = found["state_of_charge"]
        values: dict[str, object] = {name: one.value if one else None for name, one in found.items()}
        return values | {CHARGE_SOURCE: charge.source if charge else None}

    def shown(self, now: float) -> ShownValues:
        """Return everything that is known, except the energy."""
        return ShownValues(**self.known(now))  # type: ignore[arg-type]  # the table has the names and types of the fields

    def heard(self, now: float) -> bool:
        """Return whether any value of the battery is recent enough to show."""
        return any(self._is_good(BY_NAME[name], one, now) for name in VALUE_FIELDS for one in self._of(name))

    def capacity(self, now: float) -> float | None:
        """Return the capacity of the whole bank in Ah; None if unknown."""
        told = self.best("capacity", now)
        return float(told.value) if told else self.configured_capacity

    def is_plausible(self, values: BatteryValues, now: float) -> bool:
        """Return whether a bank of the capacity that the device gave can have this power."""
        power = power_of(values.voltage, values.current)
        if power is None or values.voltage is None or abs(power) <= _ALWAYS_PLAUSIBLE:
            return True
        told = self.best("capacity", now)
        return told is None or abs(power) <= _HIGHEST_RATE * float(told.value) * values.voltage

    def to_keep(self) -> Iterator[tuple[str, Candidate]]:
        """Yield the latest value of each quantity, for a later run."""
        for name in self._candidates:
            if kept := max(self._of(name), key=_time_of, default=None):
                yield name, kept.candidate

    def _of(self, name: str) -> Iterable[_Stored]:
        return self._candidates[name].values()

    def _accept(self, name: str, value: object) -> Known | None:
        accepted = None if value is None else BY_NAME[name].accept(value)
        if accepted is None and value is not None:
            self.implausible[name] += 1
        return accepted

    def _put(self, name: str, source: Source, value: Known | None, at: float) -> None:
        candidates = self._candidates[name]
        before = candidates.get(source)
        if value is None:
            candidates.pop(source, None)
            restored = candidates.get(Source.RESTORED)
            if restored and restored.origin is source:
                del candidates[Source.RESTORED]
        elif before is None:
            candidates[source] = _Stored(value, source, at)
        else:
            before.value, before.at = value, max(at, before.at)

    def _is_good(self, row: Quantity, candidate: _Stored, now: float) -> bool:
        source = candidate.source
        return now - candidate.at <= row.good_for.get(source, self.good_for.get(source, inf))

    def _state_of_charge(self, now: float) -> Candidate | None:
        """Return the last state of charge that the device gave, plus the Ah since; else 100 % less the consumed Ah.

        None if the device itself reports over a connection that it does not know.
        """
        consumed, capacity = self._best("consumed_amphours", now), self.capacity(now)
        if consumed is None or capacity is None or self._charge_is_unknown:
            return None
        begin, before = (self.mark.state_of_charge, self.mark.consumed_amphours) if self.mark else (_FULL, 0.0)
        percent = begin + (float(consumed.value) - before) / capacity * _FULL
        return _calculated(rounded(min(max(percent, 0.0), _FULL), 1), consumed)

    def _power(self, now: float) -> Candidate | None:
        voltage, current = self._best("voltage", now), self._best("current", now)
        if voltage is None or current is None:
            return None
        watts = rounded(float(voltage.value) * float(current.value), 1)
        return _calculated(watts, min(voltage, current, key=lambda one: one.at))

    def _remaining_amphours(self, now: float) -> Candidate | None:
        state_of_charge, capacity = self._best("state_of_charge", now), self.capacity(now)
        if state_of_charge is None or capacity is None:
            return None
        return _calculated(rounded(float(state_of_charge.value) * capacity / _FULL, 1), state_of_charge)

    def _time_to_full(self, now: float) -> Candidate | None:
        current, state_of_charge = self._best("current", now), self._best("state_of_charge", now)
        capacity = self.capacity(now)
        if current is None or state_of_charge is None or capacity is None or float(current.value) <= DEAD_BAND:
            return None
        hours = (_FULL - float(state_of_charge.value)) / _FULL * capacity / float(current.value)
        return _calculated(round(hours * _MINUTES_PER_HOUR), min(current, state_of_charge, key=lambda one: one.at))

    @property
    def is_charging(self) -> bool | None:
        """Whether the latest current charges the battery; None if none is known."""
        return self._charging

    def _is_charging(self, now: float) -> Candidate | None:
        current = self._best("current", now)
        return None if current is None or self._charging is None else _calculated(self._charging, current)

    def _follow_current(self, current: Known | None) -> None:
        """Update whether the battery charges: from above the dead band until the current is zero or negative."""
        if current is None:
            return
        in_band = 0 < float(current) <= DEAD_BAND
        self._charging = bool(self._charging) if in_band else float(current) > 0

    def _set_mark(self, state_of_charge: Known | None, consumed: Known | None, at: float) -> None:
        """Set the mark by a state of charge, and by the consumed Ah that came with it, or before."""
        if state_of_charge is None:
            return
        self._charge_is_unknown = False
        if consumed is None:
            best = self.best("consumed_amphours", at)
            consumed = best.value if best and best.source is not Source.RESTORED else None
        mark = self.mark
        if consumed is None or (mark and (mark.state_of_charge, mark.consumed_amphours) == (state_of_charge, consumed)):
            return
        self.mark = ChargeMark(state_of_charge=float(state_of_charge), consumed_amphours=float(consumed))

    def _doubt_mark(self, consumed: Known | None, at: float) -> None:
        """Forget the mark if the device has reset its count: it is full, or no current explains the change."""
        last = max(self._of("consumed_amphours"), key=_time_of, default=None)
        if consumed is None or last is None:
            return
        if not consumed:
            self.mark = None
            return
        most = HIGHEST_CURRENT * max(at - last.at, 0.0) / _SECONDS_PER_HOUR + _STEP_OF_AMPHOURS
        if abs(float(consumed) - float(last.value)) > most:
            self.mark = None


def _time_and_rank(one: _Stored | Candidate) -> tuple[float, int]:
    return one.at, -_RANK[one.source]


def _calculated(value: Known, of: _Stored | Candidate) -> Candidate:
    """Return a calculated value with the time of its input, and restored if its input is."""
    source = Source.RESTORED if of.source is Source.RESTORED else Source.CALCULATED
    return Candidate(value=value, source=source, at=of.at)
