"""What is kept of a device over a restart: its last reading."""

from typing import Final, TypedDict

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store

from .const import DOMAIN
from .protocol.instant_readout import BatteryReading, ImplausibleRecord, read_record

STORAGE_VERSION: Final = 1


class StoredReading(TypedDict):
    """A reading, as it is kept."""

    record: str
    product_id: int
    nonce: int


class Stored(TypedDict, total=False):
    """What is kept of one device."""

    reading: StoredReading


def reading_store(hass: HomeAssistant, entry_id: str) -> Store[Stored]:
    """Return the store of an entry."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}")


def to_store(reading: BatteryReading | None) -> Stored:
    """Return what to keep."""
    if reading is None:
        return Stored()
    record = reading.record_bytes.hex()
    return Stored(reading=StoredReading(record=record, product_id=reading.product_id, nonce=reading.nonce))


def from_store(stored: Stored | None) -> BatteryReading | None:
    """Return the reading that was kept; None when there is none, or none that this version would accept."""
    if not stored or not (kept := stored.get("reading")):
        return None
    record = int.from_bytes(bytes.fromhex(kept["record"]), "little")
    try:
        return read_record(record, product_id=kept["product_id"], nonce=kept["nonce"])
    except ImplausibleRecord:
        return None
