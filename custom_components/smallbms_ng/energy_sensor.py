"""The sensors of the energy that is counted here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, override

from homeassistant.components.sensor import (
    RestoreSensor,
    SensorDeviceClass,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import UnitOfEnergy

from .entity import ReadingEntity
from .protocol.energy import EnergyMeter
from .protocol.instant_readout import BatteryReading


@dataclass(frozen=True, kw_only=True)
class EnergySensorDescription(SensorEntityDescription):
    """One sensor of the meter, in Wh."""

    value_fn: Callable[[EnergyMeter], int]
    restore_fn: Callable[[EnergyMeter, float], None]


_energy = partial(
    EnergySensorDescription,
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
    suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=2,
)

ENERGY_SENSORS: Final = (
    _energy(
        key="energy_charged",
        value_fn=lambda meter: meter.shown[0],
        restore_fn=lambda meter, before: meter.go_on_from(charged=before),
    ),
    _energy(
        key="energy_discharged",
        value_fn=lambda meter: meter.shown[1],
        restore_fn=lambda meter, before: meter.go_on_from(discharged=before),
    ),
)


class SmallBmsEnergySensor(ReadingEntity, RestoreSensor):
    """What was counted of the energy in one direction."""

    entity_description: EnergySensorDescription
    _before = 0

    @override
    async def async_added_to_hass(self) -> None:
        """Go on from what was shown. After a crash that may be newer than what the meter kept."""
        kept = await self.async_get_last_sensor_data()
        if kept and isinstance(kept.native_value, int | float):
            self._before = int(kept.native_value)
            self.entity_description.restore_fn(self.coordinator.meter, self._before)
        await super().async_added_to_hass()

    @override
    def _take(self, reading: BatteryReading) -> object:
        """Show nothing less than before: the meter makes up for what it lost, as it bridges that time."""
        self._attr_native_value = max(self._before, self.entity_description.value_fn(self.coordinator.meter))
        return self._attr_native_value
