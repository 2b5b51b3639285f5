"""What is kept of a device over a restart: its last reading, and what was read over a connection."""

from collections.abc import Callable, Mapping
from typing import Final, NotRequired, TypedDict

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store

from .const import DOMAIN
from .protocol.instant_readout import BatteryReading, ImplausibleRecord, read_record
from .protocol.reserve import Drawn
from .stored_energy import StoredEnergy

STORAGE_VERSION: Final = 1

# What is kept is written this seldom, to spare SD cards, and when Home Assistant or the entry stops.
STORAGE_DELAY: Final = 900


class StoredReading(TypedDict):
    """A reading, as it is kept."""

    record: str
    product_id: int
    nonce: int


class StoredReserve(TypedDict):
    """How many Ah were drawn since a shutdown, up to a time in s since 1970."""

    amphours: float
    at: float


class Stored(TypedDict, total=False):
    """What is kept of what a device sends, and whether and when (POSIX time) it was heard last."""

    reading: StoredReading
    heard_at: float
    lost: bool
    codes: list[str]
    energy: StoredEnergy
    reserve: StoredReserve


class StoredRegister(TypedDict):
    """A register, as it is kept: of the device as a whole or of a battery, with its payloads and when they came.

    since: when they came first.
    """

    battery: int | None
    register: int
    payloads: list[str]
    at: float
    since: NotRequired[float]


class StoredRefusal(TypedDict):
    """A register that the device does not have."""

    battery: int | None
    register: int


class StoredBattery(TypedDict):
    """A battery, and when it was last there.

    absent: since when it is known to be away, and not missed.
    """

    number: int
    seen: float
    absent: NotRequired[float]


class StoredPages(TypedDict, total=False):
    """What is kept of what was read over a connection, and which radios have a bond for one, or none."""

    registers: list[StoredRegister]
    refused: list[StoredRefusal]
    batteries: list[StoredBattery]
    unpaired: list[str]
    paired: list[str]


class SeldomStore[Content: Mapping[str, object]]:
    """Keeps what something returns when it is asked for it: seldom."""

    def __init__(self, store: Store[Content], content: Callable[[], Content]) -> None:
        self._store = store
        self._content = content
        self._waits = False

    async def async_load(self) -> Content | None:
        """Return what was kept."""
        return await self._store.async_load()

    async def async_save(self) -> None:
        """Write now."""
        await self._store.async_save(self._taken())

    @callback
    def async_save_later(self) -> None:
        """Write after a while. Asked again meanwhile, the store would put it off each time."""
        if not self._waits:
            self._waits = True
            self._store.async_delay_save(self._taken, STORAGE_DELAY)

    @callback
    def _taken(self) -> Content:
        self._waits = False
        return self._content()


def reading_store(hass: HomeAssistant, entry_id: str) -> Store[Stored]:
    """Return the store of the reading of an entry."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}")


def pages_store(hass: HomeAssistant, entry_id: str) -> Store[StoredPages]:
    """Return the store of what was read over the connections of an entry."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}.pages")


def without_battery(stored: StoredPages, number: int | None) -> StoredPages:
    """Return what is kept, without a battery."""
    kept = stored.copy()
    kept["registers"] = [
        row for row in stored.get("registers", ()) if row["battery"] is None or row["battery"] != number
    ]
    kept["refused"] = [row for row in stored.get("refused", ()) if row["battery"] is None or row["battery"] != number]
    kept["batteries"] = [row for row in stored.get("batteries", ()) if row["number"] != number]
    return kept


def to_store(reading: BatteryReading | None, *, heard_at: float, lost: bool) -> Stored:
    """Return what to keep."""
    if reading is None:
        return Stored()
    record = reading.record_bytes.hex()
    kept = StoredReading(record=record, product_id=reading.product_id, nonce=reading.nonce)
    return Stored(reading=kept, heard_at=heard_at, lost=lost)


def reserve_to_store(drawn: Drawn) -> StoredReserve:
    """Return what to keep of the countdown after a shutdown."""
    return StoredReserve(amphours=drawn.amphours, at=drawn.at)


def reserve_from_store(stored: StoredReserve | None) -> Drawn | None:
    """Return what was kept of a countdown; None when there is none, or none that is understood."""
    try:
        return None if stored is None else Drawn(amphours=float(stored["amphours"]), at=float(stored["at"]))
    except KeyError, TypeError, ValueError:
        return None


def from_store(stored: Stored) -> BatteryReading | None:
    """Return the reading that was kept; None when there is none, or none that this version understands."""
    try:
        kept = stored["reading"]
        record = int.from_bytes(bytes.fromhex(kept["record"]), "little")
        return read_record(record, product_id=kept["product_id"], nonce=kept["nonce"])
    except ImplausibleRecord, KeyError, TypeError, ValueError:
        return None
