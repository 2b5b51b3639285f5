"""The sensor of how long the rest lasts after a shutdown for low cell voltage (M-D1)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorEntityDescription
from homeassistant.const import Platform, UnitOfTime
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import format_mac
from homeassistant.helpers.event import async_track_time_interval

from .const import DOMAIN
from .coordinator import InstantReadoutCoordinator, SmallBmsConfigEntry
from .entity import ReadingEntity
from .protocol.instant_readout import BatteryReading
from .reserve import reserve_hours

RENEWED_EVERY: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class ReserveSensorDescription(SensorEntityDescription):
    """One sensor of what is left, in hours."""

    value_fn: Callable[[SmallBmsConfigEntry], float | None]


RESERVE_TIME: Final = ReserveSensorDescription(
    key="reserve_time",
    value_fn=reserve_hours,
    device_class=SensorDeviceClass.DURATION,
    native_unit_of_measurement=UnitOfTime.HOURS,
    suggested_unit_of_measurement=UnitOfTime.DAYS,
    suggested_display_precision=1,
)


@callback
def async_remove_reserve(hass: HomeAssistant, coordinator: InstantReadoutCoordinator) -> None:
    """Remove the sensor of an earlier run: the residual current is not known any more."""
    registry = er.async_get(hass)
    unique_id = f"{format_mac(coordinator.address)}_{RESERVE_TIME.key}"
    if entity_id := registry.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id):
        registry.async_remove(entity_id)


class SmallBmsReserveSensor(ReadingEntity, SensorEntity):
    """How long the rest lasts at the residual current."""

    entity_description: ReserveSensorDescription

    @property
    @override
    def available(self) -> bool:
        """Also while the device is silent after a shutdown: the rest is used up all the same."""
        return super().available or self.coordinator.reserve.drawn is not None

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.codes.async_add_watcher(self._handle_coordinator_update))
        self.async_on_remove(async_track_time_interval(self.hass, self._async_renew, RENEWED_EVERY))

    @callback
    def _async_renew(self, _now: datetime) -> None:
        self._handle_coordinator_update()

    @override
    def _take(self, reading: BatteryReading) -> object:
        hours = self.entity_description.value_fn(self.coordinator.entry)
        self._attr_native_value = None if hours is None else round(hours, 1)
        return self._attr_native_value
