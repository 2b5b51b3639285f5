"""The sensor of how long the rest lasts after a shutdown for low cell voltage (M-D1)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorEntityDescription
from homeassistant.const import Platform, UnitOfTime
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import format_mac
from homeassistant.helpers.event import async_track_time_interval

from .const import DOMAIN
from .coordinator import InstantReadoutCoordinator
from .entity import ReadingEntity
from .reserve import RENEWED_EVERY, Reserve, reserve_of


@dataclass(frozen=True, kw_only=True)
class ReserveSensorDescription(SensorEntityDescription):
    """One sensor of what is left, in hours."""

    value_fn: Callable[[Reserve], float]


RESERVE_TIME: Final = ReserveSensorDescription(
    key="reserve_time",
    value_fn=lambda reserve: round(reserve.hours, 1),
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
    def _shown(self) -> object:
        reserve = reserve_of(self.coordinator.entry)
        self._attr_native_value = self.entity_description.value_fn(reserve) if reserve else None
        return self._attr_native_value
