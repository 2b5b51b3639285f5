"""Two clocks: the monotonic clock, for ages, and the wall clock, which may be wrong."""

from pathlib import Path
from typing import Final, TypedDict

from bluetooth_data_tools import monotonic_time_coarse
from homeassistant.util.dt import utcnow

_BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


def _read_boot_id() -> str | None:
    """Return the id of this boot of the machine; None where the system has none."""
    try:
        return _BOOT_ID_FILE.read_text().strip()
    except OSError:
        return None


# Read at import, outside the event loop.
BOOT_ID: Final = _read_boot_id()


class Stamp(TypedDict):
    """A stored moment: in s since 1970, and in s of the monotonic clock of one boot."""

    wall: float
    monotonic: float
    boot: str | None


def now() -> float:
    """Return the monotonic time in s, from the same clock that stamps advertisements."""
    return monotonic_time_coarse()


def stamp() -> Stamp:
    """Return the present moment, to be stored."""
    return Stamp(wall=utcnow().timestamp(), monotonic=now(), boot=BOOT_ID)


def elapsed(since: Stamp | None) -> float | None:
    """Return how many s have passed since a stored moment; None if the machine has restarted since.

    After a restart only the wall clock is left: it may have stopped while the machine was off, or still be wrong.
    """
    if since is None or since["boot"] is None or since["boot"] != BOOT_ID:
        return None
    passed = now() - since["monotonic"]
    return passed if passed >= 0 else None


def elapsed_at_least(since: Stamp | None) -> float:
    """Return how many s have passed since a stored moment, by the best clock there is; 0 if there is none."""
    if (passed := elapsed(since)) is not None:
        return passed
    return max(utcnow().timestamp() - since["wall"], 0.0) if since else 0.0
