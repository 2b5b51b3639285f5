"""What is left after a shutdown for low cell voltage (M-D1), as far as the installation is known."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from homeassistant.util.dt import utcnow

from .const import CONF_CAPACITY
from .coordinator import SmallBmsConfigEntry
from .page_values import Want
from .protocol.registers import Name

# How often what is said of it follows the clock.
RENEWED_EVERY: Final = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """What is left, in Ah, and for how many hours that lasts."""

    left: float
    hours: float


def bank_capacity(entry: SmallBmsConfigEntry) -> float | None:
    """Return the Ah of the whole bank: what the device told, else what was entered."""
    pages = entry.runtime_data.pages
    told = pages.values.value(Want(name=Name.CAPACITY)) if pages else None
    entered: float | None = entry.options.get(CONF_CAPACITY)
    return told if isinstance(told, int | float) else entered


def reserve_of(entry: SmallBmsConfigEntry) -> Reserve | None:
    """Return what is left; None while there was no shutdown, or capacity or residual current are not known."""
    if (capacity := bank_capacity(entry)) is None:
        return None
    countdown, now = entry.runtime_data.instant_readout.reserve, utcnow().timestamp()
    left, hours = countdown.left(capacity, now), countdown.time_left(capacity, now)
    return None if left is None or hours is None else Reserve(left=left, hours=hours)
