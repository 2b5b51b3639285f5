"""The order of records: the nonce is a 16-bit counter, and a Bluetooth proxy may deliver late what another had."""

from collections import deque
from enum import StrEnum
from math import inf
from typing import Final

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
