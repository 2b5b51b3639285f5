"""Binary sensors: what the BMS allows, and what it warns of."""

from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import InstantReadoutCoordinator, SmallBmsConfigEntry
from .entity import ReadingEntity, async_add_to_devices
from .protocol.quantities import quantities_behind

PARALLEL_UPDATES: Final = 0


@dataclass(frozen=True, kw_only=True)
class SmallBmsBinarySensorDescription(BinarySensorEntityDescription):
    """One binary sensor. Its key names the property of the published values that it shows."""


BINARY_SENSORS: Final = (
    SmallBmsBinarySensorDescription(key="allowed_to_charge"),
    SmallBmsBinarySensorDescription(key="allowed_to_discharge"),
    SmallBmsBinarySensorDescription(key="pre_alarm", device_class=BinarySensorDeviceClass.SAFETY),
    SmallBmsBinarySensorDescription(key="charging", device_class=BinarySensorDeviceClass.BATTERY_CHARGING),
    SmallBmsBinarySensorDescription(key="battery_low", device_class=BinarySensorDeviceClass.BATTERY),
    SmallBmsBinarySensorDescription(key="problem", device_class=BinarySensorDeviceClass.PROBLEM),
    SmallBmsBinarySensorDescription(key="remote_on", entity_category=EntityCategory.DIAGNOSTIC),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the binary sensors of one device."""
    coordinator = entry.runtime_data.instant_readout
    sensors = (SmallBmsBinarySensor(coordinator, description) for description in BINARY_SENSORS)
    async_add_to_devices(hass, entry, async_add_entities, sensors)


class SmallBmsBinarySensor(ReadingEntity, BinarySensorEntity):
    """Whether something is so; None if it is unknown."""

    entity_description: SmallBmsBinarySensorDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: SmallBmsBinarySensorDescription) -> None:
        super().__init__(coordinator, description, quantities_behind(description.key))

    @override
    def _shown(self) -> object:
        self._attr_is_on = getattr(self.coordinator.published, self.entity_description.key)
        return self._attr_is_on
