"""The sensors of how the device is heard: when last, and how well."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, override

from homeassistant.components.bluetooth import async_last_service_info
from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import SIGNAL_STRENGTH_DECIBELS_MILLIWATT, EntityCategory
from homeassistant.core import callback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.typing import StateType
from homeassistant.util.dt import utcnow

from .coordinator import InstantReadoutCoordinator
from .entity import ReadingEntity

# A device is heard every second: written each time, that would be all that the database holds.
WRITTEN_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class RadioSensorDescription(SensorEntityDescription):
    """One sensor of how the device is heard; outlasts_silence: what it says stays true of a silent device."""

    outlasts_silence: bool = False
    value_fn: Callable[[InstantReadoutCoordinator], StateType | datetime]


def _last_heard(coordinator: InstantReadoutCoordinator) -> datetime | None:
    """Return when something was heard or read last, to the second; None when nothing was in this run."""
    age = coordinator.silent_for
    return None if age is None else (utcnow() - timedelta(seconds=age)).replace(microsecond=0)


def _signal_strength(coordinator: InstantReadoutCoordinator) -> int | None:
    info = async_last_service_info(coordinator.hass, coordinator.address, connectable=False)
    return info.rssi if info else None


RADIO_SENSORS: Final = (
    RadioSensorDescription(
        key="last_heard",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        outlasts_silence=True,
        value_fn=_last_heard,
    ),
    RadioSensorDescription(
        key="signal_strength",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=_signal_strength,
    ),
)


class SmallBmsRadioSensor(ReadingEntity, SensorEntity):
    """One value of how the device is heard, written once a minute at most."""

    entity_description: RadioSensorDescription

    @property
    @override
    def available(self) -> bool:
        """Also while the device is silent, if that is what somebody wants to know."""
        return super().available or self.entity_description.outlasts_silence

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(async_track_time_interval(self.hass, self._async_renew, WRITTEN_EVERY))

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Show the first value as it comes; then the clock decides."""
        if self._attr_native_value is None:
            super()._handle_coordinator_update()

    @callback
    def _async_renew(self, _now: datetime) -> None:
        super()._handle_coordinator_update()

    @override
    def _shown(self) -> object:
        self._attr_native_value = self.entity_description.value_fn(self.coordinator)
        return self._attr_native_value
