"""What a device says by itself is told at a pace that suits whoever shows it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .page_values import Want

# A device that says much at once, or all the time, makes nobody write states more often than this.
PACE: Final = timedelta(seconds=1)


class News:
    """Collects which values have changed, and tells of them together."""

    def __init__(self, hass: HomeAssistant, tell: Callable[[frozenset[Want]], None]) -> None:
        self._hass = hass
        self._tell = tell
        self._wants: set[Want] = set()
        self._end_wait: CALLBACK_TYPE | None = None

    @callback
    def async_add(self, want: Want) -> None:
        """Tell of a change before long."""
        self._wants.add(want)
        if self._end_wait is None:
            self._end_wait = async_call_later(self._hass, PACE, self._async_waited)

    @callback
    def async_tell(self) -> None:
        """Tell now, if there is anything to tell."""
        wants = frozenset(self._wants)
        self.async_forget()
        if wants:
            self._tell(wants)

    @callback
    def async_forget(self) -> None:
        """Tell nothing of what has changed so far."""
        self._wants.clear()
        if self._end_wait:
            self._end_wait()
            self._end_wait = None

    @callback
    def _async_waited(self, _now: datetime) -> None:
        self._end_wait = None
        self.async_tell()
