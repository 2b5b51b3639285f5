"""What is left after a shutdown for low cell voltage (M-D1), as far as the installation is known."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from . import clock
from .coordinator import SmallBmsConfigEntry

# How often what is said of it follows the clock.
RENEWED_EVERY: Final = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """What is left, in Ah, and for how many hours that lasts."""

    left: float
    hours: float


def reserve_of(entry: SmallBmsConfigEntry) -> Reserve | None:
    """Return what is left; None while there was no shutdown, or capacity or residual current are not known."""
    coordinator = entry.runtime_data.instant_readout
    if (capacity := coordinator.capacity) is None:
        return None
    now = clock.now()
    left, hours = coordinator.reserve.left(capacity, now), coordinator.reserve.time_left(capacity, now)
    return None if left is None or hours is None else Reserve(left=left, hours=hours)
