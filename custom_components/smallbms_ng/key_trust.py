"""Is the key still that of the device? Judged by many records: anybody can send a wrong one."""

from collections import defaultdict
from typing import Final

from .protocol.instant_readout import ImplausibleRecord, InstantReadoutError, WrongKey

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
