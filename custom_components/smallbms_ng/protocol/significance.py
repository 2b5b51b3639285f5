"""Which changes are significant: what is written at once, and what once a minute. The thresholds are in QUANTITIES."""

from collections.abc import Collection, Mapping
from math import inf
from typing import Final

from .payloads import rounded
from .quantities import COUNTERS, QUANTITIES, Threshold

# How often, in s, everything that has changed at all is written. A longer update interval takes its place.
MINUTE: Final = 60.0
# At the first of these update intervals, in s, every change is significant. From the second on, the thresholds are
# those of the table; between the two they grow.
_NO_THRESHOLDS: Final = 1.0
_FULL_THRESHOLDS: Final = 5.0

_ROWS: Final = (*QUANTITIES, *COUNTERS)
_WRITTEN_WITH: Final = {row.written_with: row.name for row in _ROWS if row.written_with}
# After a power cut the counters go on from what was recorded of these, which has to be of one moment.
_COUNTED: Final = frozenset(row.name for row in COUNTERS)
_GOES_ON_FROM: Final = (*_COUNTED, "consumed_amphours", "voltage")
_DECIDED_ELSEWHERE: Final = frozenset(_WRITTEN_WITH.values())
_AVERAGED: Final = {row.name: row.decimals for row in _ROWS if row.averaged}


class Mean:
    """The mean of a value over time, along straight lines between its samples."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._last_at = -inf
        self._area = 0.0
        self._seconds = 0.0

    @property
    def value(self) -> float | None:
        """The mean since the restart; None if it is unknown."""
        return self._area / self._seconds if self._seconds else self._last

    def take(self, value: float | None, at: float) -> None:
        """Take a sample; None ends what was known."""
        if value is None:
            self.restart()
        elif self._last is not None and at > self._last_at:
            self._area += (self._last + value) / 2 * (at - self._last_at)
            self._seconds += at - self._last_at
        self._last, self._last_at = value, max(at, self._last_at)

    def restart(self) -> None:
        """Begin anew, at the last sample."""
        self._area = self._seconds = 0.0


class SignificantChanges:
    """Chooses what is written of what is known. Times are in s of one clock.

    written: the values that were chosen, by name. A value that becomes known or unknown is always significant.
    """

    def __init__(self, interval: float) -> None:
        """Take the update interval in s."""
        factor = min((interval - _NO_THRESHOLDS) / (_FULL_THRESHOLDS - _NO_THRESHOLDS), 1.0)
        self._thresholds = {row.name: row.threshold.scaled(factor) for row in _ROWS if row.threshold}
        self._thresholds |= dict.fromkeys(_DECIDED_ELSEWHERE, Threshold(absolute=inf if factor else 0.0))
        self._means = {name: Mean() for name in _AVERAGED} if factor else {}
        self._every = max(interval, MINUTE)
        self._interval = interval if factor else 0.0
        # Whether the latest record had a significant change, and when it was heard.
        self._moved = False
        self._moved_at = -inf
        # With moments so far apart, the energy would be wrong.
        self._means_only = interval >= MINUTE
        self._next_minute = -inf
        self.written: dict[str, object] = {}
        self._limits: dict[str, tuple[float, float] | None] = {}

    def take(self, values: Mapping[str, float | None], at: float) -> None:
        """Take samples of the values that are averaged."""
        for name, mean in self._means.items():
            mean.take(values.get(name), at)

    def is_minute_over(self, now: float) -> bool:
        """Return whether everything that has changed is to be written."""
        return now >= self._next_minute

    def is_significant(self, values: Mapping[str, object], at: float, unknown: Collection[str] = ()) -> bool:
        """Return whether one of the values of a record is to be written before the minute is over.

        With thresholds, two records in a row have to say so, unless the one before came an update interval ago: a
        single one may be noise. unknown: the names of values that were unknown already when the written values were
        chosen.
        """
        moved = any(
            self._has_moved(name, value) for name, value in values.items() if value is not None or name not in unknown
        )
        is_second = self._moved or at - self._moved_at >= self._interval
        self._moved, self._moved_at = moved, at
        return moved and is_second

    def has_lost(self, known: Mapping[str, object]) -> bool:
        """Return whether a value that was written is not known any more."""
        return any(value is None and self.written.get(name) is not None for name, value in known.items())

    def choose(
        self, known: Mapping[str, object], now: float, *, heard_at: float, everything: bool = False
    ) -> frozenset[str]:
        """Choose which of the known values are written; return the names of those that change.

        These are the significant ones; once a minute also all others, some as the mean of that minute; or everything,
        as it is now. heard_at: when the latest of the values was heard, at which the next minute begins.
        """
        is_minute_over = self.is_minute_over(now)
        if everything or is_minute_over:
            self._next_minute = heard_at + self._every
        chosen = known if everything else self._chosen(known, minute_over=is_minute_over)
        changed = frozenset(name for name, value in chosen.items() if self.written.get(name, ...) != value)
        self.written |= chosen
        self._limits |= {name: self._limits_of(name, chosen[name]) for name in changed}
        for name in chosen.keys() & self._means.keys():
            self._means[name].restart()
        return changed

    def _chosen(self, known: Mapping[str, object], *, minute_over: bool) -> Mapping[str, object]:
        moved = {name: value for name, value in known.items() if self._has_moved(name, value)}
        moved |= {other: known[other] for name, other in _WRITTEN_WITH.items() if name in moved and other in known}
        if not _COUNTED.isdisjoint(moved):
            moved |= {name: known[name] for name in _GOES_ON_FROM if name in known}
        if not minute_over:
            return moved
        means = self._mean_values(known)
        return {**known, **moved, **means} if self._means_only else {**known, **means, **moved}

    def _mean_values(self, known: Mapping[str, object]) -> Mapping[str, float]:
        """Return the means of the values that are known now."""
        means = {name: mean.value for name, mean in self._means.items() if known.get(name) is not None}
        return {name: rounded(value, _AVERAGED[name]) for name, value in means.items() if value is not None}

    def _limits_of(self, name: str, written: object) -> tuple[float, float] | None:
        """Return how low and how high a value may become that is not significant; None without a threshold."""
        if written is None or (threshold := self._thresholds.get(name)) is None:
            return None
        return threshold.limits(written)  # type: ignore[arg-type]  # what has a threshold is a number

    def _has_moved(self, name: str, value: object) -> bool:
        limits = self._limits.get(name)
        if limits is None or value is None:
            return value != self.written.get(name)
        return not limits[0] <= value <= limits[1]  # type: ignore[operator]  # what has limits is a number
