"""Encoder of Instant Readout: a snapshot becomes the device's encrypted manufacturer data."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import batched, chain
from math import inf
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from emulator.snapshot import IoField, Level, LevelField, Snapshot

COMPANY_ID: Final = 0x02E1  # Victron Energy
KEY_LENGTH: Final = 16

# Assumed: no public list gives the smallBMS NG's id. This one is listed as "smallBMS".
DEFAULT_PRODUCT_ID: Final = 0xA3EC

PRODUCT_ADVERTISEMENT: Final = 0x10
HEADER_SECOND_BYTE: Final = 0x02  # several values are seen on real products, this one most often
RECORD_TYPE: Final = 0x0A
NONCE_MASK: Final = 0xFFFF
NONCE_LENGTH: Final = 2  # bytes

_RECORD_LENGTH: Final = 16
# The only bit without a meaning, which is set in the only published record.
_UNUSED_BITS: Final = 1 << 127


@dataclass(frozen=True, kw_only=True)
class _Number:
    """One number of the record: raw = (value - lowest) * counts."""

    start: int
    width: int
    value: Callable[[Snapshot], float | None]
    counts: int = 1
    lowest: int = 0
    signed: bool = False
    not_available: int | None = None

    def raw(self, snapshot: Snapshot) -> int:
        """Return the field's bits, at the nearest end of the range if the value does not fit."""
        value = self.value(snapshot)
        if value is None:
            return 0 if self.not_available is None else self.not_available
        low = -(1 << self.width - 1) if self.signed else 0
        high = (1 << self.width) - 1 + low
        if self.not_available == high:
            high -= 1
        return round(min(max((value - self.lowest) * self.counts, low), high)) & ((1 << self.width) - 1)


_NUMBERS: Final = (
    _Number(start=0, width=8, value=lambda s: s.error),
    _Number(start=8, width=16, value=lambda s: s.time_to_go, not_available=0xFFFF),
    _Number(start=24, width=16, value=lambda s: s.voltage, counts=100, signed=True, not_available=0x7FFF),
    _Number(start=40, width=16, value=lambda s: s.current, counts=10, signed=True, not_available=0x7FFF),
    _Number(start=90, width=10, value=lambda s: s.state_of_charge, counts=10, not_available=0x3FF),
    _Number(start=100, width=20, value=lambda s: s.drawn_amphours, counts=10, not_available=0xFFFFF),
    _Number(start=120, width=7, value=lambda s: s.temperature, lowest=-40, not_available=0x7F),
)

_IO_START: Final = 56
_IO_STATES: Final = {None: 0, True: 1, False: 2}
_LEVELS_START: Final = 72
_LEVELS: Final = {Level.NOT_SUPPORTED: 0, Level.OK: 1, Level.WARNING: 2, Level.ALARM: 3}


def encode_record(snapshot: Snapshot) -> bytes:
    """Return the plaintext of record 0x0A, 16 bytes."""
    numbers = (number.raw(snapshot) << number.start for number in _NUMBERS)
    io = (_IO_STATES[snapshot.io.get(f)] << _IO_START + 2 * place for place, f in enumerate(IoField))
    levels = (
        _LEVELS[snapshot.levels.get(f, Level.NOT_SUPPORTED)] << _LEVELS_START + 2 * place
        for place, f in enumerate(LevelField)
    )
    return sum(chain(numbers, io, levels), _UNUSED_BITS).to_bytes(_RECORD_LENGTH, "little")


def short_beacon(product_id: int) -> bytes:
    """Return the manufacturer data (without the company id) that says only which product it is."""
    return bytes((PRODUCT_ADVERTISEMENT, 0)) + product_id.to_bytes(2, "little")


def encrypt_record(record: bytes, *, key: bytes, nonce: int, product_id: int = DEFAULT_PRODUCT_ID) -> bytes:
    """Return the manufacturer data (without the company id) which carries this record."""
    header = (
        bytes((PRODUCT_ADVERTISEMENT, HEADER_SECOND_BYTE)),
        product_id.to_bytes(2, "little"),
        bytes((RECORD_TYPE,)),
        nonce.to_bytes(NONCE_LENGTH, "little"),
    )
    return encrypt(b"".join(header), record, key=key)


def encrypt(header: bytes, record: bytes, *, key: bytes) -> bytes:
    """Return manufacturer data (without the company id) of a header, which ends with the nonce, and any record."""
    nonce = int.from_bytes(header[-NONCE_LENGTH:], "little")
    blocks = (bytes(block) for block in batched(record, _RECORD_LENGTH, strict=False))
    ciphertext = b"".join(_encrypt_block(block, key, nonce + number) for number, block in enumerate(blocks))
    return header + key[:1] + ciphertext


def _encrypt_block(block: bytes, key: bytes, counter: int) -> bytes:
    """Return an encrypted block. Assumed: in a longer record the counter goes on counting little-endian."""
    mode = modes.CTR(counter.to_bytes(_RECORD_LENGTH, "little"))
    return Cipher(algorithms.AES(key), mode).encryptor().update(block)


class InstantReadout:
    """The records of the device in turn: a change gets a new nonce at once, unchanged content once a period.

    period is in seconds of the clock that calls of next() bring along.
    """

    def __init__(self, *, period: float, nonce: int = 0) -> None:
        self._period = period
        self._nonce = nonce & NONCE_MASK
        self._sent: tuple[bytes, bytes, int] | None = None
        self._changed_at = 0.0
        self._data = b""

    def renew(self) -> None:
        """Give the next record a new nonce even if nothing has changed."""
        self._changed_at = -inf

    def next(self, snapshot: Snapshot, *, key: bytes, product_id: int, now: float, trailing: bytes = b"") -> bytes:
        """Return the manufacturer data to send now; the same bytes as before while nothing changed.

        trailing is what the record has after the 16 bytes that are known.
        """
        content = (encode_record(snapshot) + trailing, key, product_id)
        if content == self._sent and now - self._changed_at < self._period:
            return self._data
        if self._sent is not None:
            self._nonce = (self._nonce + 1) & NONCE_MASK
        self._sent, self._changed_at = content, now
        self._data = encrypt_record(content[0], key=key, nonce=self._nonce, product_id=product_id)
        return self._data
