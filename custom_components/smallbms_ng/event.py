"""The event of one device: a code has begun, or has been cleared."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import SmallBmsConfigEntry
from .entity import ReadingEntity
from .protocol.codes import CODES, Code
from .protocol.instant_readout import BatteryReading

PARALLEL_UPDATES: Final = 0

CLEARED: Final = "cleared"
UNKNOWN_ERROR: Final = "unknown_error"


@dataclass(frozen=True, kw_only=True)
class CodeEventDescription(EventEntityDescription):
    """The event of the codes."""


CODE: Final = CodeEventDescription(key="code", event_types=[*(code.slug for code in CODES), UNKNOWN_ERROR, CLEARED])


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the event of one device."""
    async_add_entities([SmallBmsCodeEvent(entry.runtime_data.instant_readout, CODE)])


class SmallBmsCodeEvent(ReadingEntity, EventEntity):
    """What became of the codes last."""

    entity_description: CodeEventDescription

    @property
    @override
    def available(self) -> bool:
        """Always: what has happened stays true of a silent device, and its return must not look like a new event."""
        return True

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.codes.async_add_listener(self._async_changed))

    @override
    def _take(self, reading: BatteryReading) -> object:
        """Take nothing: a reading tells only what is, not what has changed."""
        return None

    @callback
    def _async_changed(self, code: Code, begun: bool) -> None:
        if begun:
            self._async_fire_begun(code)
        else:
            self._trigger_event(CLEARED, {"code": str(code)})
        self.async_write_ha_state()

    @callback
    def _async_fire_begun(self, code: Code) -> None:
        if code in CODES:
            self._trigger_event(code.slug, {"code": str(code)})
        else:
            self._trigger_event(UNKNOWN_ERROR, {"code": str(code), "number": code.number})
