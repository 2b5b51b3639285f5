"""The sensors of the energy that is counted here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
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


_energy = partial(
    EnergySensorDescription,
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
    suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=2,
)

ENERGY_SENSORS: Final = (
    _energy(key="energy_charged", value_fn=lambda meter: meter.shown[0]),
    _energy(key="energy_discharged", value_fn=lambda meter: meter.shown[1]),
)


class SmallBmsEnergySensor(ReadingEntity, SensorEntity):
    """What was counted of the energy in one direction."""

    entity_description: EnergySensorDescription

    @override
    def _take(self, reading: BatteryReading) -> object:
        self._attr_native_value = self.entity_description.value_fn(self.coordinator.meter)
        return self._attr_native_value
