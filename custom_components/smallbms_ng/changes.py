"""Notices what an owner asks the reason of: another code, or a permission that was given or taken."""

from collections.abc import Mapping
from typing import Final

from .protocol.battery import LEVEL_FIELDS, Flag

_PERMISSIONS: Final = ("allowed_to_charge", "allowed_to_discharge")
_WATCHED: Final = frozenset({"error", *LEVEL_FIELDS, *_PERMISSIONS})


class Changes:
    """Compares what is believed now with what was believed before, of what is advertised and of what is read.

    Each is compared with its own kind: a device may always answer something else than it advertises, and that is no
    change. What is not known is no change either, nor is what is heard first.
    """

    def __init__(self) -> None:
        self._advertised: dict[str, Flag] = {}
        self._read: dict[str, Flag] = {}

    def take_advertised(self, flags: Mapping[str, Flag]) -> bool:
        """Take flags that are advertised and believed; return whether any has changed."""
        return bool(_update(self._advertised, flags))

    def take_read(self, flags: Mapping[str, Flag]) -> bool:
        """Take flags that were read; return whether any has changed that was not advertised before."""
        changed = _update(self._read, flags)
        # The same is to be advertised next. If it is not, it has changed again.
        return bool(_update(self._advertised, changed))


def _update(known: dict[str, Flag], flags: Mapping[str, Flag]) -> Mapping[str, Flag]:
    """Take flags over into those that are known; return which of them have changed."""
    watched = {name: value for name, value in flags.items() if name in _WATCHED and value is not None}
    changed = {name: value for name, value in watched.items() if known.get(name, value) != value}
    known |= watched
    return changed
