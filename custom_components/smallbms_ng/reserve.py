"""What is left after a shutdown for low cell voltage (M-D1), as far as the installation is known."""

from homeassistant.util.dt import utcnow

from .const import CONF_CAPACITY
from .coordinator import SmallBmsConfigEntry
from .page_values import Want
from .protocol.registers import Name


def bank_capacity(entry: SmallBmsConfigEntry) -> float | None:
    """Return the Ah of the whole bank: what the device told, else what was entered."""
    pages = entry.runtime_data.pages
    told = pages.values.value(Want(name=Name.CAPACITY)) if pages else None
    entered: float | None = entry.options.get(CONF_CAPACITY)
    return told if isinstance(told, int | float) else entered


def reserve_left(entry: SmallBmsConfigEntry) -> float | None:
    """Return the Ah that are left; None while there was no shutdown, or the capacity is not known."""
    if (capacity := bank_capacity(entry)) is None:
        return None
    return entry.runtime_data.instant_readout.reserve.left(capacity, utcnow().timestamp())


def reserve_hours(entry: SmallBmsConfigEntry) -> float | None:
    """Return for how many hours that lasts; None while that is not known, or the residual current is not."""
    if (capacity := bank_capacity(entry)) is None:
        return None
    return entry.runtime_data.instant_readout.reserve.time_left(capacity, utcnow().timestamp())
