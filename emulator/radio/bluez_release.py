"""Releases of bluetoothd, where the BlueZ double behaves as one of them and not as another.

What is in the table was seen on User Mode Linux (scripts/test-bluez), in 2026. What both do is in the double itself.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release.

    It may tell why a connection ended. Where the bond that a subscription needs cannot be made, it may hold the answer
    back, or answer an error at once. (Reading is held back by both.)
    """

    version: str
    tells_why_connections_end: bool
    holds_subscriptions_back: bool


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long bluetoothd takes, in seconds, as it was seen.

    For a connection to come up, and to end when it is asked to end it; for a device that is not there, when it is to
    connect; for the answer to what needs a bond, where there is none and none can be made.
    """

    link: float = 0.5

    disconnect: float = 2.0
    connect: float = 40.0
    held_back: float = 30.0


BLUEZ_5_66: Final = Release(version="5.66", tells_why_connections_end=False, holds_subscriptions_back=True)
BLUEZ_5_87: Final = Release(version="5.87", tells_why_connections_end=True, holds_subscriptions_back=False)
RELEASES: Final = (BLUEZ_5_66, BLUEZ_5_87)
