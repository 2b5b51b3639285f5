"""The sensor of how things stand: the worst of the codes, or that the system is switched off."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorEntityDescription

from .coordinator import InstantReadoutCoordinator
from .entity import ReadingEntity
from .page_values import Want
from .pages import PagesCoordinator
from .places import place_of
from .protocol.codes import Severity
from .protocol.payloads import Value
from .protocol.quantities import ShownValues
from .protocol.registers import Name
from .protocol.system import NAMES, SwitchedOff, switched_off


@dataclass(frozen=True, kw_only=True)
class StatusSensorDescription(SensorEntityDescription):
    """The sensor of the status, and its attributes."""

    attributes_fn: Callable[[ShownValues], Mapping[str, object]]


STATUS: Final = StatusSensorDescription(
    key="status",
    device_class=SensorDeviceClass.ENUM,
    options=[*Severity, *SwitchedOff],
    attributes_fn=lambda shown: {"codes": [str(code) for code in shown.codes]},
)
# What an owner has to know before anything else. That a warning announces what is so already is less.
_WORSE_THAN_OFF: Final = frozenset({Severity.ALARM, Severity.ERROR})


class SmallBmsStatus(ReadingEntity, SensorEntity):
    """The worst of the active codes, or what the system is switched off by; attributes name all codes, and where."""

    entity_description: StatusSensorDescription

    def __init__(
        self,
        coordinator: InstantReadoutCoordinator,
        description: StatusSensorDescription,
        pages: PagesCoordinator | None,
    ) -> None:
        super().__init__(coordinator, description)
        self._pages = pages

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        # Where a code comes from is known once it is told.
        self.async_on_remove(self.coordinator.codes.async_add_watcher(self._handle_coordinator_update))
        if self._pages is None:
            return
        for name in NAMES:
            # One for each register that is to be read.
            listener = self._pages.async_add_listener(self._handle_coordinator_update, Want(name=name))
            self.async_on_remove(listener)

    @override
    def _shown(self) -> object:
        shown = self.coordinator.published
        off = None if shown.severity in _WORSE_THAN_OFF else self._switched_off(shown.remote_on)
        self._attr_native_value = off or shown.severity
        self._attr_extra_state_attributes = {
            **self.entity_description.attributes_fn(shown),
            **self._places(shown),
        }
        return self._attr_native_value, self._attr_extra_state_attributes

    def _places(self, shown: ShownValues) -> Mapping[str, object]:
        """Return where the codes come from, as far as that is known; nothing where no connection could tell."""
        found = {str(code): place_of(self.hass, self.coordinator.entry, code) for code in shown.codes}
        places = {code: dict(place.known) for code, place in found.items() if place}
        return {"places": places} if self._pages else {}

    def _switched_off(self, remote_on: bool | None) -> SwitchedOff | None:
        off = switched_off(remote_on, self._value)
        is_ours = off is SwitchedOff.APP and self.coordinator.switched_off_at is not None
        return SwitchedOff.HOME_ASSISTANT if is_ours else off

    def _value(self, name: Name) -> Value:
        """Return what a register says that was read lately; None without a PIN."""
        want = Want(name=name)
        return self._pages.values.value(want) if self._pages and self._pages.shown(want) else None
