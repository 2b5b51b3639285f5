"""The order of records: the nonce is a 16-bit counter, and a Bluetooth proxy may deliver late what another had."""

from enum import StrEnum
from typing import Final

_MODULUS: Final = 1 << 16

# A device that starts again counts from anywhere. So many records in a row from behind are no latecomers.
RESTARTED_AFTER: Final = 3


class Order(StrEnum):
    """How a record stands to those before it."""

    NEW = "new"
    REPEATED = "repeated"
    BEHIND = "behind"


class NonceOrder:
    """Tells new records from repeated and late ones."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._behind: set[int] = set()

    def place(self, nonce: int) -> Order:
        """Take the nonce of a record and return how the record stands to those before it."""
        if nonce == self._last:
            return Order.REPEATED
        if self._is_behind(nonce):
            return Order.BEHIND
        self._last = nonce
        self._behind.clear()
        return Order.NEW

    def _is_behind(self, nonce: int) -> bool:
        if self._last is None or (nonce - self._last) % _MODULUS < _MODULUS // 2:
            return False
        self._behind.add(nonce)
        return len(self._behind) < RESTARTED_AFTER
