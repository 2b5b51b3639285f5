"""Decodes Instant Readout, the encrypted advertisement of a smallBMS NG.

docs/protocol.md lists the evidence for every field. No smallBMS NG was available, but the decoder that Victron
publishes takes this record from it, and the readings of one owner agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .codes import ADVERTISED_LEVEL_FIELDS, IO_FIELDS, Level
from .payloads import BOUNDS, KEY_LENGTH
from .quantities import BatteryValues, Flag, power_of

COMPANY_ID: Final = 0x02E1
PRODUCT_ADVERTISEMENT: Final = 0x10
RECORD_TYPE: Final = 0x0A
RECORD_LENGTH: Final = 16

# The Lynx Smart BMS family, which sends the same record. Every other product id is taken for a smallBMS NG.
OTHER_PRODUCTS: Final = frozenset(range(0xA3E3, 0xA3E8))

# Public lists call this id "smallBMS". Assumed: the NG has it too. Used for the name only.
PRODUCT_NAMES: Final = {0xA3EC: "smallBMS NG"}

# First byte, a byte that varies, product id, record type, nonce, first byte of the key, encrypted record.
_ADVERTISEMENT: Final = Struct("<BxHBHB16s")
# First byte, a byte that varies, product id.
_BEACON: Final = Struct("<BxH")
_RECORD_TYPE: Final = slice(4, 5)
_NONCE_PADDING: Final = bytes(14)


class InstantReadoutError(Exception):
    """The base of all errors: the manufacturer data holds no reading."""


class NotInstantReadout(InstantReadoutError):
    """Not Instant Readout: the first byte is not that of a product advertisement."""


class OtherRecord(InstantReadoutError):
    """Instant Readout of another type of product."""


class ShortBeacon(InstantReadoutError):
    """Only the product id: Instant Readout is off, or the firmware sends this now and then between records."""


class WrongKey(InstantReadoutError):
    """The record was encrypted with another key."""


class MalformedRecord(InstantReadoutError):
    """Too short."""


class ImplausibleRecord(MalformedRecord):
    """Decrypted to a value that no battery bank has: damaged, forged, or encrypted with another key."""


@dataclass(frozen=True, kw_only=True)
class _Field:
    """A number in the record: value = raw / per_unit - below_zero, within the BOUNDS of its name."""

    name: str
    start: int
    width: int
    signed: bool = False
    not_available: int | None = None
    per_unit: int = 1
    below_zero: int = 0

    @property
    def mask(self) -> int:
        """The mask of the raw bits once they are shifted down."""
        return (1 << self.width) - 1

    def value(self, raw: int) -> float | None:
        """Return the value of the raw bits; None if not available. Raises ImplausibleRecord if it is out of bounds."""
        if raw == self.not_available:
            return None
        signed = raw - (1 << self.width) if self.signed and raw >> self.width - 1 else raw
        value = signed - self.below_zero if self.per_unit == 1 else signed / self.per_unit or 0.0
        if not BOUNDS[self.name].hold(value):
            raise ImplausibleRecord(f"{self.name} is {value}")
        return value


_RECORD: Final = (
    _Field(name="error", start=0, width=8),
    _Field(name="time_to_go", start=8, width=16, not_available=0xFFFF),
    _Field(name="voltage", start=24, width=16, signed=True, not_available=0x7FFF, per_unit=100),
    _Field(name="current", start=40, width=16, signed=True, not_available=0x7FFF, per_unit=10),
    _Field(name="state_of_charge", start=90, width=10, not_available=0x3FF, per_unit=10),
    _Field(name="consumed_amphours", start=100, width=20, not_available=0xFFFFF, per_unit=-10),
    _Field(name="temperature", start=120, width=7, not_available=0x7F, below_zero=40),
)

_IO_STATES: Final[tuple[Flag, ...]] = (None, True, False, False)

_LEVELS: Final[tuple[Flag, ...]] = (None, Level.OK, Level.WARNING, Level.ALARM)

# Name, place among the 2-bit fields, and the meanings of the four states. Place 7 has no meaning.
_FLAGS_START: Final = 56
_FLAGS: Final = (
    *((name, index, _IO_STATES) for index, name in enumerate(IO_FIELDS)),
    *((name, index, _LEVELS) for index, name in enumerate(ADVERTISED_LEVEL_FIELDS, start=8)),
)
_FLAGS_MASK: Final = (1 << 2 * 17) - 1

# How many combinations of flags are cached: they seldom change.
_FLAGS_KEPT: Final = 256


@dataclass(frozen=True, kw_only=True)
class BatteryReading(BatteryValues):
    """One decoded record. Readings with the same values are equal, whatever their nonce."""

    product_id: int
    nonce: int = field(compare=False)
    record: int = field(compare=False, repr=False)

    @property
    def power(self) -> float | None:
        """W into the battery; negative = out of it."""
        return power_of(self.voltage, self.current)

    @property
    def record_bytes(self) -> bytes:
        """The decrypted record."""
        return self.record.to_bytes(RECORD_LENGTH, "little")


def is_smallbms_ng(manufacturer_data: bytes) -> bool:
    """Return whether an advertisement is from a smallBMS NG: its record and no known other product, or its beacon.

    A beacon does not tell the type of the product, so that only the known product ids count.
    """
    product = product_id(manufacturer_data)
    if is_short_beacon(manufacturer_data):
        return product in PRODUCT_NAMES
    return product is not None and product not in OTHER_PRODUCTS


def is_short_beacon(manufacturer_data: bytes) -> bool:
    """Return whether an advertisement has nothing but the product id."""
    return isinstance(_error_for(manufacturer_data), ShortBeacon)


def product_id(manufacturer_data: bytes) -> int | None:
    """Return the product id in a record of a smallBMS NG, or in a short beacon; None for all else."""
    try:
        return _parts(manufacturer_data)[0]
    except ShortBeacon:
        return int(_BEACON.unpack(manufacturer_data)[1])
    except InstantReadoutError:
        return None


def _parts(manufacturer_data: bytes) -> tuple[int, int, int, bytes]:
    """Return product id, nonce, first byte of the key, and encrypted record. Raises InstantReadoutError.

    A longer advertisement is read by its first bytes: a charger was seen to send more than documented.
    """
    if len(manufacturer_data) < _ADVERTISEMENT.size:
        raise _error_for(manufacturer_data)
    first, product, record_type, nonce, check, encrypted = _ADVERTISEMENT.unpack_from(manufacturer_data)
    if first != PRODUCT_ADVERTISEMENT or record_type != RECORD_TYPE:
        raise _error_for(manufacturer_data)
    return product, nonce, check, encrypted


def _error_for(manufacturer_data: bytes) -> InstantReadoutError:
    """Return the error for manufacturer data without the record of a smallBMS NG."""
    if manufacturer_data[:1] != bytes((PRODUCT_ADVERTISEMENT,)):
        return NotInstantReadout("no product advertisement")
    if len(manufacturer_data) == _BEACON.size:
        return ShortBeacon("a short beacon")
    record_type = manufacturer_data[_RECORD_TYPE]
    if record_type and record_type != bytes((RECORD_TYPE,)):
        return OtherRecord(f"record type 0x{record_type.hex()}")
    return MalformedRecord(f"{len(manufacturer_data)} bytes instead of {_ADVERTISEMENT.size}")


def parse_key(text: str) -> bytes:
    """Return the key from its hexadecimal digits, ignoring spaces, colons, dashes and case.

    Raises ValueError if there are not 32 digits.
    """
    digits = "".join(character for character in text if not character.isspace() and character not in ":-\u200b\ufeff")
    key = bytes.fromhex(digits)
    if len(key) != KEY_LENGTH:
        raise ValueError(f"{len(key)} bytes instead of {KEY_LENGTH}")
    return key


def read_record(record: int, *, product_id: int, nonce: int) -> BatteryReading:
    """Return the reading in a decrypted record, given as a little-endian number. Raises ImplausibleRecord."""
    numbers = {row.name: row.value(record >> row.start & row.mask) for row in _RECORD}
    flags = _flags(record >> _FLAGS_START & _FLAGS_MASK)
    # The tables have the names and types of the fields.
    return BatteryReading(**numbers, **flags, product_id=product_id, nonce=nonce, record=record)  # type: ignore[arg-type]


class InstantReadout:
    """Decodes the advertisements of one device."""

    def __init__(self, key: bytes) -> None:
        """Set the encryption key. Raises ValueError unless it has 16 bytes."""
        if len(key) != KEY_LENGTH:
            raise ValueError(f"the key has {len(key)} bytes instead of {KEY_LENGTH}")
        self._check = key[0]
        # The record is one block, so counter mode is a single encryption of the first counter block. The ECB encryptor
        # keeps no state between whole blocks.
        self._encrypt = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # noqa: S305

    def decode(self, manufacturer_data: bytes) -> BatteryReading:
        """Return the reading in Victron's manufacturer data. Raises InstantReadoutError."""
        product, nonce, check, encrypted = _parts(manufacturer_data)
        if check != self._check:
            raise WrongKey("the first byte of the key differs")
        key_stream = self._encrypt(manufacturer_data[5:7] + _NONCE_PADDING)  # the nonce as sent
        record = int.from_bytes(encrypted, "little") ^ int.from_bytes(key_stream, "little")
        return read_record(record, product_id=product, nonce=nonce)


@lru_cache(maxsize=_FLAGS_KEPT)
def _flags(raw: int) -> Mapping[str, Flag]:
    """Return the meanings of the 2-bit fields, by name."""
    return {name: states[raw >> 2 * index & 3] for name, index, states in _FLAGS}


def decrypt(manufacturer_data: bytes, key: bytes) -> bytes | None:
    """Return manufacturer data of any record, of any length, decrypted and without the key check.

    None where the key is another one, or where nothing is encrypted.
    """
    head, check, encrypted = manufacturer_data[:7], manufacturer_data[7:8], manufacturer_data[8:]
    if head[:1] != bytes((PRODUCT_ADVERTISEMENT,)) or not encrypted or check != key[:1]:
        return None
    nonce = int.from_bytes(head[5:], "little")
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  # a counter block each
    blocks = range(nonce, nonce + -(-len(encrypted) // RECORD_LENGTH))
    key_stream = b"".join(encryptor.update(block.to_bytes(RECORD_LENGTH, "little")) for block in blocks)
    plain = bytes(one ^ other for one, other in zip(encrypted, key_stream, strict=False))
    return head + b"\x00" + plain
