"""Binary sensors: what the BMS allows, and what it warns of."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import SmallBmsConfigEntry
from .entity import ReadingEntity
from .protocol.quantities import ShownValues

PARALLEL_UPDATES: Final = 0


@dataclass(frozen=True, kw_only=True)
class SmallBmsBinarySensorDescription(BinarySensorEntityDescription):
    """One binary sensor and its value, None when the device does not say."""

    value_fn: Callable[[ShownValues], bool | None]


BINARY_SENSORS: Final = (
    SmallBmsBinarySensorDescription(key="allowed_to_charge", value_fn=attrgetter("allowed_to_charge")),
    SmallBmsBinarySensorDescription(key="allowed_to_discharge", value_fn=attrgetter("allowed_to_discharge")),
    SmallBmsBinarySensorDescription(
        key="pre_alarm", device_class=BinarySensorDeviceClass.SAFETY, value_fn=attrgetter("pre_alarm")
    ),
    SmallBmsBinarySensorDescription(
        key="charging", device_class=BinarySensorDeviceClass.BATTERY_CHARGING, value_fn=attrgetter("charging")
    ),
    SmallBmsBinarySensorDescription(
        key="battery_low", device_class=BinarySensorDeviceClass.BATTERY, value_fn=attrgetter("battery_low")
    ),
    SmallBmsBinarySensorDescription(
        key="problem", device_class=BinarySensorDeviceClass.PROBLEM, value_fn=attrgetter("problem")
    ),
    SmallBmsBinarySensorDescription(
        key="remote_on", entity_category=EntityCategory.DIAGNOSTIC, value_fn=attrgetter("remote_on")
    ),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the binary sensors of one device."""
    coordinator = entry.runtime_data.instant_readout
    async_add_entities(SmallBmsBinarySensor(coordinator, description) for description in BINARY_SENSORS)


class SmallBmsBinarySensor(ReadingEntity, BinarySensorEntity):
    """One yes or no."""

    entity_description: SmallBmsBinarySensorDescription

    @override
    def _shown(self) -> object:
        self._attr_is_on = self.entity_description.value_fn(self.coordinator.published)
        return self._attr_is_on
