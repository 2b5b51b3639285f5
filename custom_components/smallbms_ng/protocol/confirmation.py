"""Which flags are believed: a single odd record changes none, as anybody near can send one."""

from collections import deque
from collections.abc import Mapping
from math import inf
from typing import Final

from .battery import Flag

# A quiet battery repeats its record. Heard again, and so long after the first time, in s, it counts as two records.
CONFIRMED_AFTER: Final = 1.5
# Heard sooner, in s, a repeated record is the same transmission over another radio.
_ANOTHER_TRANSMISSION: Final = 0.5
# Where a device is heard less often than this, in s, waiting for a second record costs more than it protects.
HEARD_SELDOM: Final = 10.0
# So many pauses between what was heard tell how often that is.
_PAUSES: Final = 3


class Confirmation:
    """Holds each flag until a second record agrees.

    A change is believed when two records in a row have it, when the record that has it is repeated, or when nothing
    else was heard for a while. What comes over a connection is believed at once. Times are in s of one clock.
    """

    def __init__(self) -> None:
        self._believed: dict[str, Flag] = {}
        self._latest: dict[str, Flag] = {}
        self._latest_at = -inf
        self._repeated = False
        self._heard_at = -inf
        self._pauses: deque[float] = deque(maxlen=_PAUSES)
        self._unsure_since: float | None = None

    @property
    def believed(self) -> Mapping[str, Flag]:
        """The flags that are believed, by name; those of which nothing is known are missing."""
        return self._believed

    @property
    def next_look(self) -> float | None:
        """When to look again, without another record; None when there is nothing to wait for."""
        if self._unsure_since is None:
            return None
        waits_for_repeat = self._latest_at + CONFIRMED_AFTER if self._repeated else inf
        return min(waits_for_repeat, self._unsure_since + HEARD_SELDOM)

    def take_record(self, flags: Mapping[str, Flag], at: float) -> None:
        """Take the flags of a new record."""
        seldom = at - self._heard_at > HEARD_SELDOM and all(pause > HEARD_SELDOM for pause in self._pauses)
        self._note_pause(at)
        before, self._latest = self._latest, dict(flags)
        self._latest_at, self._repeated = at, False
        self._believe({name: value for name, value in flags.items() if seldom or before.get(name, ...) == value})
        self._note_doubt(at)

    def take_repeat(self, at: float) -> None:
        """Take that the latest record was heard again."""
        self._note_pause(at)
        self._repeated = self._repeated or at - self._latest_at >= _ANOTHER_TRANSMISSION
        self.look(at)

    def take_sure(self, flags: Mapping[str, Flag], at: float) -> None:
        """Take flags that came over a connection."""
        self._believe(flags)
        self._latest |= flags
        self._note_doubt(at)

    def look(self, now: float) -> None:
        """Believe the latest record if it was repeated, or stood alone, for long enough."""
        if (next_look := self.next_look) is not None and now >= next_look:
            self._believe(self._latest)
            self._unsure_since = None

    def _believe(self, flags: Mapping[str, Flag]) -> None:
        self._believed |= flags

    def _note_pause(self, at: float) -> None:
        """Note how long nothing was heard; the same transmission over another radio is no second one."""
        if at - self._heard_at >= _ANOTHER_TRANSMISSION:
            if self._heard_at > -inf:
                self._pauses.append(at - self._heard_at)
            self._heard_at = at

    def _note_doubt(self, at: float) -> None:
        if self._latest == {name: self._believed.get(name, ...) for name in self._latest}:
            self._unsure_since = None
        elif self._unsure_since is None:
            self._unsure_since = at
