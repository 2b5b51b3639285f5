"""Which records are believed: their order, their flags, and whether the key still fits."""

from collections import defaultdict, deque
from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import Final

from .advertisement import ImplausibleRecord, InstantReadoutError, WrongKey
from .codes import LEVEL_FIELDS
from .quantities import Flag

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

    def take_confirmed(self, flags: Mapping[str, Flag], at: float) -> None:
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


_MODULUS: Final = 1 << 16

# A device that starts again counts from anywhere. So many records in a row from behind are no latecomers.
RESTARTED_AFTER: Final = 3
# After so long, in s, without a record in order, nothing that comes is a latecomer: two records begin a new order,
# also when they are the same.
ORDER_HOLDS: Final = 90.0
_RECORDS_AFTER_SILENCE: Final = 2
# So many of the records from behind are remembered: several radios may deliver each of them.
_REMEMBERED: Final = 16


class Order(StrEnum):
    """How a record stands to those before it."""

    NEW = "new"
    REPEATED = "repeated"
    BEHIND = "behind"


class NonceOrder:
    """Tells new records from repeated and late ones. Times are in s of one clock."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_at = -inf
        self._behind: deque[int] = deque(maxlen=_REMEMBERED)

    def place(self, nonce: int, at: float) -> Order:
        """Take the nonce of a record and return how the record stands to those before it."""
        if nonce == self._last:
            self.renew(at)
            return Order.REPEATED
        if self._is_behind(nonce, at):
            return Order.BEHIND
        self._last = nonce
        self.renew(at)
        self._behind.clear()
        return Order.NEW

    def renew(self, at: float) -> None:
        """Note that the latest record was heard, for the first time or again."""
        self._last_at = max(self._last_at, at)

    def _is_behind(self, nonce: int, at: float) -> bool:
        if self._last is None or (nonce - self._last) % _MODULUS < _MODULUS // 2:
            return False
        self._behind.append(nonce)
        if at - self._last_at > ORDER_HOLDS:
            return len(self._behind) < _RECORDS_AFTER_SILENCE
        return len(set(self._behind)) < RESTARTED_AFTER


# So many different records in a row, without a good one between, mean that the key is not the device's any more.
# Nonsense counts less: one wrong key in 256 passes the check and gives it, but damaged records do so too.
KEY_LOST_AFTER: Final[dict[type[InstantReadoutError], int]] = {WrongKey: 5, ImplausibleRecord: 20}

# So many good records in a row it takes after nonsense: what a wrong key gives looks plausible once in about 220 times.
BELIEVED_AFTER: Final = 2


class KeyTrust:
    """Weighs good records against those that the key does not read."""

    def __init__(self) -> None:
        self._doubts: defaultdict[type[InstantReadoutError], set[bytes]] = defaultdict(set)
        self._good_in_a_row = 0

    @property
    def lost(self) -> bool:
        """Whether the key is surely not that of the device any more."""
        return any(len(self._doubts[kind]) >= limit for kind, limit in KEY_LOST_AFTER.items())

    def doubt(self, error: InstantReadoutError, data: bytes) -> None:
        """Take a record that could not be read. Only the two errors that may come from a wrong key count."""
        if type(error) not in KEY_LOST_AFTER:
            return
        self._good_in_a_row = 0
        if not self.lost:
            self._doubts[type(error)].add(data)

    def believe(self) -> bool:
        """Take a good record; return whether it may be shown. After nonsense that takes a second one."""
        self._good_in_a_row += 1
        if self._doubts[ImplausibleRecord] and self._good_in_a_row < BELIEVED_AFTER:
            return False
        self._doubts.clear()
        return True


_PERMISSIONS: Final = ("allowed_to_charge", "allowed_to_discharge", "remote_on")
_WATCHED: Final = frozenset({"error", *LEVEL_FIELDS, *_PERMISSIONS})


class Changes:
    """Compares what is believed now with what was believed before, of what is advertised and of what is read.

    Each is compared with its own kind: a device may always answer something else than it advertises, and that is no
    change. What is not known is no change either, nor is what is heard first.
    """

    def __init__(self) -> None:
        self._advertised: dict[str, Flag] = {}
        self._read: dict[str, Flag] = {}

    def take_advertised(self, flags: Mapping[str, Flag]) -> bool:
        """Take flags that are advertised and believed; return whether any has changed."""
        return bool(_update(self._advertised, flags))

    def take_read(self, flags: Mapping[str, Flag]) -> bool:
        """Take flags that were read; return whether any has changed that was not advertised before."""
        changed = _update(self._read, flags)
        # The same is to be advertised next. If it is not, it has changed again.
        return bool(_update(self._advertised, changed))


def _update(known: dict[str, Flag], flags: Mapping[str, Flag]) -> Mapping[str, Flag]:
    """Take flags over into those that are known; return which of them have changed."""
    watched = {name: value for name, value in flags.items() if name in _WATCHED and value is not None}
    changed = {name: value for name, value in watched.items() if known.get(name, value) != value}
    known |= watched
    return changed
