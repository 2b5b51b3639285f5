"""Two clocks: the monotonic one, which tells ages, and that of the wall, which may be wrong."""

from pathlib import Path
from typing import Final, TypedDict

from bluetooth_data_tools import monotonic_time_coarse
from homeassistant.util.dt import utcnow

_BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


def _read_boot_id() -> str | None:
    """Return what tells one start of the machine from the next; None where the system does not say."""
    try:
        return _BOOT_ID_FILE.read_text().strip()
    except OSError:
        return None


# Read while the module is imported, outside the event loop.
BOOT_ID: Final = _read_boot_id()


class Stamp(TypedDict):
    """A moment, as it is stored: in s since 1970, and in s of the monotonic clock of one start of the machine."""

    wall: float
    monotonic: float
    boot: str | None


def now() -> float:
    """Return the time in s of the clock that advertisements have, which no one can put back."""
    return monotonic_time_coarse()


def stamp() -> Stamp:
    """Return the present moment."""
    return Stamp(wall=utcnow().timestamp(), monotonic=now(), boot=BOOT_ID)


def elapsed(since: Stamp | None) -> float | None:
    """Return how many s have passed since a moment; None if nobody knows.

    While the machine was off, its clock may have stood still, or may still be wrong.
    """
    if since is None or since["boot"] is None or since["boot"] != BOOT_ID:
        return None
    passed = now() - since["monotonic"]
    return passed if passed >= 0 else None


def elapsed_at_least(since: Stamp | None) -> float:
    """Return how many s have passed since a moment, as far as any clock tells."""
    if (passed := elapsed(since)) is not None:
        return passed
    return max(utcnow().timestamp() - since["wall"], 0.0) if since else 0.0
