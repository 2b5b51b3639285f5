"""Sensors: what the battery measures, and what it says about itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    EntityCategory,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfPower,
    UnitOfRatio,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .coordinator import InstantReadoutCoordinator, SmallBmsConfigEntry
from .entity import SmallBmsEntity
from .protocol.codes import CONDITIONS, KNOWN_ERRORS, Code, Level, Severity, error_code
from .protocol.instant_readout import BatteryReading

PARALLEL_UPDATES: Final = 0

# Home Assistant has no unit constant for it.
AMPERE_HOURS: Final = "Ah"

NO_ERROR: Final = "none"


@dataclass(frozen=True, kw_only=True)
class SmallBmsSensorDescription(SensorEntityDescription):
    """One sensor: its value, and its attributes if it has any."""

    value_fn: Callable[[BatteryReading], StateType]
    attributes_fn: Callable[[BatteryReading], Mapping[str, object]] | None = None


def _slug(code: Code) -> str:
    return str(code).lower().replace("-", "_")


KNOWN_ERROR_STATES: Final = tuple(_slug(Code(severity=Severity.ERROR, number=number)) for number in KNOWN_ERRORS)


def _error_state(reading: BatteryReading) -> str:
    """Return the state for the error: one with words for the errors of the manual, the bare code for others."""
    code = error_code(reading.error)
    if code is None:
        return NO_ERROR
    return _slug(code) if code.number in KNOWN_ERRORS else str(code)


def _measurement(
    key: str,
    device_class: SensorDeviceClass | None,
    unit: str,
    precision: int,
    value_fn: Callable[[BatteryReading], StateType],
) -> SmallBmsSensorDescription:
    return SmallBmsSensorDescription(
        key=key,
        device_class=device_class,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=unit,
        suggested_display_precision=precision,
        value_fn=value_fn,
    )


def _level(name: str) -> SmallBmsSensorDescription:
    return SmallBmsSensorDescription(
        key=name,
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=list(Level),
        value_fn=attrgetter(name),
    )


SENSORS: Final = (
    _measurement("battery_level", SensorDeviceClass.BATTERY, UnitOfRatio.PERCENTAGE, 1, attrgetter("state_of_charge")),
    _measurement("voltage", SensorDeviceClass.VOLTAGE, UnitOfElectricPotential.VOLT, 2, attrgetter("voltage")),
    _measurement("current", SensorDeviceClass.CURRENT, UnitOfElectricCurrent.AMPERE, 1, attrgetter("current")),
    _measurement("power", SensorDeviceClass.POWER, UnitOfPower.WATT, 0, attrgetter("power")),
    _measurement("time_to_go", SensorDeviceClass.DURATION, UnitOfTime.MINUTES, 0, attrgetter("time_to_go")),
    _measurement("temperature", SensorDeviceClass.TEMPERATURE, UnitOfTemperature.CELSIUS, 0, attrgetter("temperature")),
    _measurement("consumed_amphours", None, AMPERE_HOURS, 1, attrgetter("consumed_amphours")),
    *(_level(condition.name) for condition in CONDITIONS if condition.in_manual),
    SmallBmsSensorDescription(
        key="error",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[NO_ERROR, *KNOWN_ERROR_STATES],
        value_fn=_error_state,
    ),
    SmallBmsSensorDescription(
        key="status",
        device_class=SensorDeviceClass.ENUM,
        options=list(Severity),
        value_fn=attrgetter("severity"),
        attributes_fn=lambda reading: {"codes": [str(code) for code in reading.codes]},
    ),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the sensors of one device."""
    coordinator = entry.runtime_data.instant_readout
    async_add_entities(SmallBmsSensor(coordinator, description) for description in SENSORS)


class SmallBmsSensor(SmallBmsEntity, SensorEntity):
    """One value of the reading."""

    entity_description: SmallBmsSensorDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: SmallBmsSensorDescription) -> None:
        super().__init__(coordinator, description)
        self._attr_options = description.options

    @override
    def _take(self, reading: BatteryReading) -> object:
        description = self.entity_description
        value = description.value_fn(reading)
        self._attr_native_value = value
        if self._attr_options is not None and isinstance(value, str) and value not in self._attr_options:
            # An error that the manual does not know: shown by its number rather than not at all.
            self._attr_options = [*self._attr_options, value]
        if description.attributes_fn:
            self._attr_extra_state_attributes = dict(description.attributes_fn(reading))
        return value, self._attr_extra_state_attributes if description.attributes_fn else None
