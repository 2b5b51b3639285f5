"""The event of one device: a code has begun, or has ended."""

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

UNKNOWN_ERROR: Final = "unknown_error"


def cleared(begun: str) -> str:
    """Return the event type that says that a code has ended: each has its own, as the logbook shows nothing else."""
    return f"{begun}_cleared"


_BEGUN: Final = (*(code.slug for code in CODES), UNKNOWN_ERROR)


@dataclass(frozen=True, kw_only=True)
class CodeEventDescription(EventEntityDescription):
    """The event of the codes."""


CODE: Final = CodeEventDescription(key="code", event_types=[*_BEGUN, *map(cleared, _BEGUN)])


async def async_setup_entry(
    hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the event of one device."""
    event = SmallBmsCodeEvent(entry.runtime_data.instant_readout, CODE)
    async_add_to_devices(hass, entry, async_add_entities, [event])


class SmallBmsCodeEvent(ReadingEntity, EventEntity):
    """The last code that began or ended."""

    entity_description: CodeEventDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: CodeEventDescription) -> None:
        super().__init__(coordinator, description, frozenset())

    @property
    @override
    def available(self) -> bool:
        """Always: past events stay true while the device is silent, and its return must not look like a new event."""
        return True

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.codes.async_add_listener(self._async_changed))

    @override
    async def async_get_last_state(self) -> State | None:
        """Return when the last event was, from our own store: Home Assistant saves states only every 15 minutes."""
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
        """Return nothing: what is published says what is, and not what has changed."""
        return None

    @callback
    def _async_changed(self, code: Code, begun: bool) -> None:
        event_type = code.slug if code in CODES else UNKNOWN_ERROR
        attributes = self._attributes(code, begun=begun)
        if not begun:
            event_type = cleared(event_type)
        self._trigger_event(event_type, attributes)
        self.async_write_ha_state()
        self._async_keep(event_type, attributes)

    @callback
    def _async_keep(self, event_type: str, attributes: Mapping[str, object]) -> None:
        if self.state and (at := parse_datetime(self.state)):
            self.coordinator.codes.last_event = LastEvent(event_type=event_type, attributes=attributes, at=at)

    def _attributes(self, code: Code, *, begun: bool) -> dict[str, object]:
        """Return the code, its number if the manual does not know it and, when it begins, where it comes from.

        The place is given if it is known at this moment. A place that is read later makes no event.
        """
        place = place_of(self.hass, self.coordinator.entry, code) if begun else None
        number = {} if code in CODES else {"number": code.number}
        return {"code": str(code), **(place.known if place else {}), **number}
