"""The sensors of the energy that is counted here."""

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
from .recorded import ENERGY_CHARGED, ENERGY_DISCHARGED


@dataclass(frozen=True, kw_only=True)
class EnergySensorDescription(SensorEntityDescription):
    """One sensor of the meter, in Wh; place is where it stands in what the meter shows."""

    place: int


_energy = partial(
    EnergySensorDescription,
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
    suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=2,
)

ENERGY_SENSORS: Final = (_energy(key=ENERGY_CHARGED, place=0), _energy(key=ENERGY_DISCHARGED, place=1))


class SmallBmsEnergySensor(ReadingEntity, SensorEntity):
    """What was counted of the energy in one direction.

    Unknown until a first sample of this run: less than was shown before would count as a reset of the counter.
    """

    entity_description: EnergySensorDescription

    @override
    def _shown(self) -> object:
        shown = self.coordinator.energy_shown
        self._attr_native_value = None if shown is None else shown[self.entity_description.place]
        return self._attr_native_value
