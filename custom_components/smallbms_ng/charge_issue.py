"""A device that does not send its state of charge: its capacity is asked for, to calculate it."""

from datetime import datetime, timedelta
from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_time_interval

from . import clock
from .const import DOMAIN
from .coordinator import SmallBmsConfigEntry

CAPACITY_UNKNOWN: Final = "capacity_unknown"
# A device that has just started may not know its state of charge yet.
ASKED_AFTER: Final = timedelta(minutes=10)
_LOOKS_EVERY: Final = timedelta(minutes=1)


@callback
def async_watch_charge(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Ask for the capacity when nothing else gives a state of charge, while the entry is loaded."""
    watch = _ChargeWatch(hass, entry)
    entry.async_on_unload(entry.runtime_data.instant_readout.async_add_listener(watch.async_update))
    entry.async_on_unload(async_track_time_interval(hass, watch.async_look, _LOOKS_EVERY))
    watch.async_update()


class _ChargeWatch:
    """Notices for how long the state of charge has been missing."""

    def __init__(self, hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
        self._hass = hass
        self._entry = entry
        self._coordinator = entry.runtime_data.instant_readout
        self._missing_since: float | None = None

    @callback
    def async_look(self, _now: datetime) -> None:
        """Look whether it is still missing."""
        self.async_update()

    @callback
    def async_update(self) -> None:
        """Raise the issue, or end it."""
        if not self._capacity_would_tell:
            self._missing_since = None
            self._async_end_issue()
            return
        if self._missing_since is None:
            self._missing_since = clock.now()
        if clock.now() - self._missing_since >= ASKED_AFTER.total_seconds():
            self._async_raise_issue()

    @property
    def _capacity_would_tell(self) -> bool:
        """Whether a state of charge is missing that could be calculated if the capacity were known."""
        shown, available = self._coordinator.published, self._coordinator.available
        is_missing = available and shown.state_of_charge is None and self._coordinator.capacity is None
        return is_missing and shown.consumed_amphours is not None

    @property
    def _issue_id(self) -> str:
        return f"{CAPACITY_UNKNOWN}.{self._entry.entry_id}"

    @callback
    def _async_raise_issue(self) -> None:
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._issue_id,
            is_fixable=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=CAPACITY_UNKNOWN,
            translation_placeholders={"name": self._entry.title},
        )

    @callback
    def _async_end_issue(self) -> None:
        """End the issue, but not because the device is silent."""
        if self._coordinator.available:
            ir.async_delete_issue(self._hass, DOMAIN, self._issue_id)
