"""Decides which records are believed: by their order, their flags, and whether the key still fits."""

from collections import defaultdict, deque
from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import Final

from .advertisement import ImplausibleRecord, InstantReadoutError, WrongKey
from .codes import LEVEL_FIELDS
from .quantities import Flag

# A quiet battery repeats its record. Heard again this long after the first time, in s, it counts as confirmed.
CONFIRMED_AFTER: Final = 1.5
# A record repeated sooner than this, in s, is the same transmission, heard by another radio.
_ANOTHER_TRANSMISSION: Final = 0.5
# The flags of a device that is heard less often than this, in s, are believed without a second record.
HEARD_SELDOM: Final = 10.0
# How many pauses between transmissions are looked at.
_PAUSES: Final = 3


class Confirmation:
    """Believes a changed flag only once it is confirmed. Times are in s of one clock.

    A flag is confirmed by a second record, by a repetition of its record, or by silence after it. Flags that were read
    over a connection are believed at once. version: another number once the believed flags have changed.
    """

    def __init__(self) -> None:
        self._believed: dict[str, Flag] = {}
        self._latest: dict[str, Flag] = {}
        self._latest_at = -inf
        self._repeated = False
        self._heard_at = -inf
        self._pauses: deque[float] = deque(maxlen=_PAUSES)
        self._unconfirmed_since: float | None = None
        self._last_record: Mapping[str, Flag] | None = None
        self._all_believed: Mapping[str, Flag] | None = None
        self.version = 0

    @property
    def believed(self) -> Mapping[str, Flag]:
        """The believed flags, by name; without those that are still unknown."""
        return self._believed

    @property
    def next_look(self) -> float | None:
        """When to call look, if no record comes before; None if every flag is confirmed."""
        if self._unconfirmed_since is None:
            return None
        waits_for_repeat = self._latest_at + CONFIRMED_AFTER if self._repeated else inf
        return min(waits_for_repeat, self._unconfirmed_since + HEARD_SELDOM)

    def take_record(self, flags: Mapping[str, Flag], at: float) -> None:
        """Take the flags of a new record. Nothing is new if they are the same mapping as before, and all believed."""
        if flags is self._last_record and self._unconfirmed_since is None:
            self._note_pause(at)
            self._latest_at, self._repeated = at, False
            return
        self._last_record = flags
        seldom = at - self._heard_at > HEARD_SELDOM and all(pause > HEARD_SELDOM for pause in self._pauses)
        self._note_pause(at)
        before, self._latest = self._latest, dict(flags)
        self._latest_at, self._repeated = at, False
        self._believe({name: value for name, value in flags.items() if seldom or before.get(name, ...) == value})
        self._note_unconfirmed(at)

    def take_repeat(self, at: float) -> None:
        """Note that the latest record was heard again."""
        self._note_pause(at)
        self._repeated = self._repeated or at - self._latest_at >= _ANOTHER_TRANSMISSION
        self.look(at)

    def take_confirmed(self, flags: Mapping[str, Flag], at: float) -> None:
        """Take flags that were read over a connection."""
        self._last_record = None
        self._believe(flags)
        self._latest |= flags
        self._note_unconfirmed(at)

    def look(self, now: float) -> None:
        """Believe the latest record if its time has come: it was repeated, or nothing contradicted it."""
        if (next_look := self.next_look) is not None and now >= next_look:
            self._believe(self._latest)
            self._unconfirmed_since = None

    def confirmed(self, flags: Mapping[str, Flag]) -> Mapping[str, Flag]:
        """Return those of the flags that are believed: the same mapping if all are."""
        if flags is self._all_believed:
            return flags
        confirmed = {name: value for name, value in flags.items() if self._believed.get(name, ...) == value}
        if len(confirmed) < len(flags):
            return confirmed
        self._all_believed = flags
        return flags

    def _believe(self, flags: Mapping[str, Flag]) -> None:
        if any(self._believed.get(name, ...) != value for name, value in flags.items()):
            self._believed |= flags
            self._all_believed = None
            self.version += 1

    def _note_pause(self, at: float) -> None:
        """Note the pause since the last transmission, ignoring the same one heard by another radio."""
        if at - self._heard_at >= _ANOTHER_TRANSMISSION:
            if self._heard_at > -inf:
                self._pauses.append(at - self._heard_at)
            self._heard_at = at

    def _note_unconfirmed(self, at: float) -> None:
        if self._latest == {name: self._believed.get(name, ...) for name in self._latest}:
            self._unconfirmed_since = None
        elif self._unconfirmed_since is None:
            self._unconfirmed_since = at


_MODULUS: Final = 1 << 16

# A restarted device may count from anywhere. This many different records in a row with an older nonce mean a restart.
RESTARTED_AFTER: Final = 3
# After this long without a new record, in s, no record can be late: two of them, even equal ones, begin a new order.
ORDER_HOLDS: Final = 90.0
_RECORDS_AFTER_SILENCE: Final = 2
# How many late records are remembered: several radios may deliver each of them.
_REMEMBERED: Final = 16


class Order(StrEnum):
    """The place of a record among those before it."""

    NEW = "new"
    REPEATED = "repeated"
    BEHIND = "behind"


class NonceOrder:
    """Distinguishes new records from repeated and late ones by their nonces. Times are in s of one clock."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_at = -inf
        self._behind: deque[int] = deque(maxlen=_REMEMBERED)

    def place(self, nonce: int, at: float) -> Order:
        """Take the nonce of a record; return its place among those before it."""
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
        """Note that the latest record was heard, perhaps again."""
        self._last_at = max(self._last_at, at)

    def _is_behind(self, nonce: int, at: float) -> bool:
        if self._last is None or (nonce - self._last) % _MODULUS < _MODULUS // 2:
            return False
        self._behind.append(nonce)
        if at - self._last_at > ORDER_HOLDS:
            return len(self._behind) < _RECORDS_AFTER_SILENCE
        return len(set(self._behind)) < RESTARTED_AFTER


# This many different records in a row without a good one mean that the device has a new key. Implausible records count
# less: one wrong key in 256 passes the check and gives them, but so do damaged records.
KEY_LOST_AFTER: Final[dict[type[InstantReadoutError], int]] = {WrongKey: 5, ImplausibleRecord: 20}

# How many good records in a row are needed after an implausible one: about one in 220 from a wrong key looks good.
BELIEVED_AFTER: Final = 2


class KeyTrust:
    """Judges by the records whether the key is still that of the device."""

    def __init__(self) -> None:
        self._doubts: defaultdict[type[InstantReadoutError], set[bytes]] = defaultdict(set)
        self._good_in_a_row = 0

    @property
    def lost(self) -> bool:
        """Whether the device certainly has another key now."""
        doubts = self._doubts
        return bool(doubts) and any(len(doubts[kind]) >= limit for kind, limit in KEY_LOST_AFTER.items())

    def doubt(self, error: InstantReadoutError, data: bytes) -> None:
        """Take a record that could not be decoded. Only errors that a wrong key causes count."""
        if type(error) not in KEY_LOST_AFTER:
            return
        self._good_in_a_row = 0
        if not self.lost:
            self._doubts[type(error)].add(data)

    def believe(self) -> bool:
        """Take a good record; return whether to believe it: after an implausible one, only the second in a row."""
        self._good_in_a_row += 1
        if not self._doubts:
            return True
        if self._doubts[ImplausibleRecord] and self._good_in_a_row < BELIEVED_AFTER:
            return False
        self._doubts.clear()
        return True


_PERMISSIONS: Final = ("allowed_to_charge", "allowed_to_discharge", "remote_on")
_WATCHED: Final = frozenset({"error", *LEVEL_FIELDS, *_PERMISSIONS})


class FlagChanges:
    """Detects changes of error, warnings, alarms and permissions.

    Advertised and read flags are compared separately: a constant difference between them is not a change. Neither is an
    unknown flag, or one that becomes known.
    """

    def __init__(self) -> None:
        self._advertised: dict[str, Flag] = {}
        self._read: dict[str, Flag] = {}
        self._last: Mapping[str, Flag] | None = None

    def take_advertised(self, flags: Mapping[str, Flag]) -> bool:
        """Take believed advertised flags; return whether any has changed. The same mapping as before has none."""
        if flags is self._last:
            return False
        self._last = flags
        return bool(_update(self._advertised, flags))

    def take_read(self, flags: Mapping[str, Flag]) -> bool:
        """Take flags that were read; return whether any has changed in a way that was not advertised."""
        self._last = None
        changed = _update(self._read, flags)
        # The next advertisement is expected to agree. If it does not, the flag has changed again.
        return bool(_update(self._advertised, changed))


def _update(known: dict[str, Flag], flags: Mapping[str, Flag]) -> Mapping[str, Flag]:
    """Update the known flags; return those that have changed."""
    watched = {name: value for name, value in flags.items() if name in _WATCHED and value is not None}
    changed = {name: value for name, value in watched.items() if known.get(name, value) != value}
    known |= watched
    return changed
