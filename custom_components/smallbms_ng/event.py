"""The event of one device: a code has begun, or has been cleared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription, EventExtraStoredData
from homeassistant.core import HomeAssistant, State, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util.dt import parse_datetime

from .coordinator import InstantReadoutCoordinator, SmallBmsConfigEntry
from .entity import ReadingEntity, async_add_to_devices
from .places import place_of
from .protocol.codes import CODES, Code
from .storage import LastEvent

PARALLEL_UPDATES: Final = 0

CLEARED: Final = "cleared"
UNKNOWN_ERROR: Final = "unknown_error"


@dataclass(frozen=True, kw_only=True)
class CodeEventDescription(EventEntityDescription):
    """The event of the codes."""


CODE: Final = CodeEventDescription(key="code", event_types=[*(code.slug for code in CODES), UNKNOWN_ERROR, CLEARED])


async def async_setup_entry(
    hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the event of one device."""
    event = SmallBmsCodeEvent(entry.runtime_data.instant_readout, CODE)
    async_add_to_devices(hass, entry, async_add_entities, [event])


class SmallBmsCodeEvent(ReadingEntity, EventEntity):
    """What became of the codes last."""

    entity_description: CodeEventDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: CodeEventDescription) -> None:
        super().__init__(coordinator, description, frozenset())

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
    async def async_get_last_state(self) -> State | None:
        """Return when the last event was, from what is kept at once; Home Assistant keeps states every 15 minutes."""
        if kept := self.coordinator.codes.last_event:
            return State(self.entity_id, kept.at.isoformat(timespec="milliseconds"))
        return await super().async_get_last_state()

    @override
    async def async_get_last_event_data(self) -> EventExtraStoredData | None:
        if kept := self.coordinator.codes.last_event:
            return EventExtraStoredData(kept.event_type, dict(kept.attributes))
        return await super().async_get_last_event_data()

    @override
    def _shown(self) -> object:
        """Show nothing of what is published: it tells what is, not what has changed."""
        return None

    @callback
    def _async_changed(self, code: Code, begun: bool) -> None:
        event_type, attributes = self._begun(code) if begun else (CLEARED, {"code": str(code)})
        self._trigger_event(event_type, attributes)
        self.async_write_ha_state()
        self._async_keep(event_type, attributes)

    @callback
    def _async_keep(self, event_type: str, attributes: Mapping[str, object]) -> None:
        if self.state and (at := parse_datetime(self.state)):
            self.coordinator.codes.last_event = LastEvent(event_type=event_type, attributes=attributes, at=at)

    def _begun(self, code: Code) -> tuple[str, dict[str, object]]:
        """Return type and attributes of the event that a code has begun.

        Where it comes from is told if it is known at this moment. What is read later is no event.
        """
        place = place_of(self.hass, self.coordinator.entry, code)
        attributes: dict[str, object] = {"code": str(code), **(place.known if place else {})}
        if code in CODES:
            return code.slug, attributes
        return UNKNOWN_ERROR, {**attributes, "number": code.number}
