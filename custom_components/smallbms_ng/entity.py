"""What all entities have in common."""

from abc import abstractmethod
from typing import override

from homeassistant.components.bluetooth.passive_update_coordinator import PassiveBluetoothCoordinatorEntity
from homeassistant.core import callback
from homeassistant.helpers.device_registry import CONNECTION_BLUETOOTH, DeviceInfo, format_mac
from homeassistant.helpers.entity import EntityDescription

from .const import CONF_PRODUCT_ID, DOMAIN, MANUFACTURER
from .coordinator import InstantReadoutCoordinator
from .protocol.instant_readout import PRODUCT_NAMES, BatteryReading


class SmallBmsEntity(PassiveBluetoothCoordinatorEntity[InstantReadoutCoordinator]):
    """An entity that shows something of the reading, and writes its state only when that changes."""

    _attr_has_entity_name = True

    def __init__(self, coordinator: InstantReadoutCoordinator, description: EntityDescription) -> None:
        super().__init__(coordinator)
        self.entity_description = description
        self._attr_translation_key = description.key
        self._attr_unique_id = f"{format_mac(coordinator.address)}_{description.key}"
        self._attr_device_info = _device_info(coordinator)
        self._written: object = None

    @abstractmethod
    def _take(self, reading: BatteryReading) -> object:
        """Take the state from a reading; return all that is shown of it."""

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self._async_take()

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        if self._async_take():
            self.async_write_ha_state()

    @callback
    def _async_take(self) -> bool:
        """Take over what the coordinator has; return whether that shows anything new."""
        reading = self.coordinator.reading
        shown = (self.available, None if reading is None else self._take(reading))
        changed, self._written = shown != self._written, shown
        return changed


def _device_info(coordinator: InstantReadoutCoordinator) -> DeviceInfo:
    product_id: int = coordinator.entry.data[CONF_PRODUCT_ID]
    return DeviceInfo(
        connections={(CONNECTION_BLUETOOTH, coordinator.address)},
        identifiers={(DOMAIN, coordinator.address)},
        name=coordinator.entry.title,
        manufacturer=MANUFACTURER,
        model=PRODUCT_NAMES.get(product_id),
        model_id=f"0x{product_id:04X}",
    )
