"""Packs records and advertisements out of raw numbers, for the tests. Shares nothing with the decoder."""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY: Final = bytes.fromhex("aff4d0995b7d1e176c0c33ecb9e70dcd")
PRODUCT_ID: Final = 0xA3EC
NONCE: Final = 0x1234

IO: Final = (
    "contactor_closed",
    "allowed_to_charge",
    "allowed_to_discharge",
    "user_relay",
    "aux_output",
    "remote_on",
    "alternator_allowed_to_charge",
)
THRESHOLDS: Final = (
    "low_cell_voltage",
    "high_current",
    "high_bms_temperature",
    "contactor",
    "battery_communication",
    "load_disconnect",
    "low_soc",
    "low_bank_voltage",
    "high_temperature",
)

# The record from its first bit to its last: each field with its number of bits.
LAYOUT: Final = (
    ("error", 8),
    ("time_to_go", 16),
    ("voltage", 16),
    ("current", 16),
    *((name, 2) for name in IO),
    ("spare_io", 2),
    *((name, 2) for name in THRESHOLDS),
    ("state_of_charge", 10),
    ("consumed_amphours", 20),
    ("temperature", 7),
    ("spare", 1),
)
WIDTHS: Final = dict(LAYOUT)

# A battery that says everything, with nothing wrong.
RAW: Final = {
    "error": 0,
    "time_to_go": 600,
    "voltage": 1328,
    "current": 0xFFFF - 41,
    **dict.fromkeys(IO, 1),
    "spare_io": 0,
    **dict.fromkeys(THRESHOLDS, 1),
    "state_of_charge": 765,
    "consumed_amphours": 235,
    "temperature": 61,
    "spare": 1,
}


def pack(changes: Mapping[str, int] | None = None, /, **more: int) -> bytes:
    """Return the record of a healthy battery with these raw numbers changed."""
    raw = RAW | dict(changes or {}) | more
    bits = "".join(f"{raw[name]:0{width}b}" for name, width in reversed(LAYOUT))
    assert len(bits) == 128, "a field got a number that does not fit, or one that is not in the record"
    return int(bits, 2).to_bytes(16, "little")


def as_number(record: bytes) -> int:
    """Return a record as the number that read_record takes."""
    return sum(byte << 8 * index for index, byte in enumerate(record))


def advertise(
    record: bytes,
    *,
    key: bytes = KEY,
    nonce: int = NONCE,
    product_id: int = PRODUCT_ID,
    first: int = 0x10,
    second: int = 0x02,
    record_type: int = 0x0A,
) -> bytes:
    """Return the manufacturer data that carries a record, encrypted in counter mode."""
    little_nonce = bytes((nonce & 0xFF, nonce >> 8))
    counter = little_nonce + bytes(14)
    encrypted = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(record)
    little_product = bytes((product_id & 0xFF, product_id >> 8))
    return bytes((first, second)) + little_product + bytes((record_type,)) + little_nonce + key[:1] + encrypted
