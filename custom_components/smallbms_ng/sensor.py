"""Sensors: what the battery measures, and what it says about itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from functools import partial
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
    UnitOfEnergy,
    UnitOfPower,
    UnitOfRatio,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .connection_sensor import CONNECTION, SmallBmsConnectionSensor
from .const import AMPERE_HOURS, CONF_RESIDUAL_CURRENT
from .coordinator import InstantReadoutCoordinator, SmallBmsConfigEntry
from .energy_sensor import ENERGY_SENSORS, SmallBmsEnergySensor
from .entity import Offers, PageEntity, ReadingEntity, async_add_offered
from .page_values import Want
from .pages import PagesCoordinator
from .protocol.codes import CODES, CONDITIONS, Level, Severity, error_code
from .protocol.payloads import Value
from .protocol.quantities import ShownValues
from .protocol.registers import BalancerStatus, BmsFlags, Name, NotAllowedReason, OffReason
from .radio_sensor import RADIO_SENSORS, SmallBmsRadioSensor
from .reserve_sensor import RESERVE_TIME, SmallBmsReserveSensor, async_remove_reserve
from .status_sensor import STATUS, SmallBmsStatus

PARALLEL_UPDATES: Final = 0

NO_ERROR: Final = "none"
# Where the state of charge comes from, which is told but not recorded.
ATTR_SOURCE: Final = "source"


@dataclass(frozen=True, kw_only=True)
class SmallBmsSensorDescription(SensorEntityDescription):
    """One sensor: its value, and its attributes if it has any."""

    value_fn: Callable[[ShownValues], StateType]
    attributes_fn: Callable[[ShownValues], Mapping[str, object]] | None = None


KNOWN_ERROR_STATES: Final = tuple(code.slug for code in CODES if code.severity is Severity.ERROR)


def _error_state(shown: ShownValues) -> str | None:
    """Return the state for the error: one with words for the errors of the manual, the bare code for others."""
    if shown.error is None:
        return None
    code = error_code(shown.error)
    if code is None:
        return NO_ERROR
    return code.slug if code in CODES else str(code)


def _measurement(
    key: str,
    device_class: SensorDeviceClass | None,
    unit: str,
    precision: int,
    value_fn: Callable[[ShownValues], StateType],
) -> SmallBmsSensorDescription:
    return SmallBmsSensorDescription(
        key=key,
        device_class=device_class,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=unit,
        suggested_display_precision=precision,
        value_fn=value_fn,
    )


def _power_one_way(key: str, sign: int) -> SmallBmsSensorDescription:
    """Return a sensor for who wants charging and discharging apart, as the Energy dashboard may."""

    def value(shown: ShownValues) -> StateType:
        return None if shown.power is None else max(0.0, sign * shown.power)

    power = _measurement(key, SensorDeviceClass.POWER, UnitOfPower.WATT, 0, value)
    return replace(power, entity_registry_enabled_default=False)


def _level(name: str) -> SmallBmsSensorDescription:
    return SmallBmsSensorDescription(
        key=name,
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=list(Level),
        value_fn=attrgetter(name),
    )


SENSORS: Final = (
    replace(
        _measurement(
            "battery_level", SensorDeviceClass.BATTERY, UnitOfRatio.PERCENTAGE, 1, attrgetter("state_of_charge")
        ),
        attributes_fn=lambda shown: {ATTR_SOURCE: shown.sources.get("state_of_charge")},
    ),
    _measurement("voltage", SensorDeviceClass.VOLTAGE, UnitOfElectricPotential.VOLT, 2, attrgetter("voltage")),
    _measurement("current", SensorDeviceClass.CURRENT, UnitOfElectricCurrent.AMPERE, 1, attrgetter("current")),
    _measurement("power", SensorDeviceClass.POWER, UnitOfPower.WATT, 0, attrgetter("power")),
    _power_one_way("charge_power", 1),
    _power_one_way("discharge_power", -1),
    # Shown in hours: a hundred are usual, and up to 65534 minutes are possible.
    replace(
        _measurement("time_to_go", SensorDeviceClass.DURATION, UnitOfTime.MINUTES, 1, attrgetter("time_to_go")),
        suggested_unit_of_measurement=UnitOfTime.HOURS,
    ),
    replace(
        _measurement("time_to_full", SensorDeviceClass.DURATION, UnitOfTime.MINUTES, 1, attrgetter("time_to_full")),
        state_class=None,
        suggested_unit_of_measurement=UnitOfTime.HOURS,
    ),
    _measurement("temperature", SensorDeviceClass.TEMPERATURE, UnitOfTemperature.CELSIUS, 0, attrgetter("temperature")),
    _measurement("consumed_amphours", None, AMPERE_HOURS, 1, attrgetter("consumed_amphours")),
    _measurement("remaining_amphours", None, AMPERE_HOURS, 1, attrgetter("remaining_amphours")),
    *(_level(condition.name) for condition in CONDITIONS if condition.in_manual),
    SmallBmsSensorDescription(
        key="error",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[NO_ERROR, *KNOWN_ERROR_STATES],
        value_fn=_error_state,
    ),
)


def _plain(value: Value) -> StateType:
    """Return a value that needs nothing done to it."""
    return value if isinstance(value, str | int | float) else None


def _part(name: str) -> Callable[[Value], StateType]:
    """Return what takes one number out of several."""

    def take(value: Value) -> StateType:
        number = value.get(name) if isinstance(value, Mapping) else None
        return number if isinstance(number, int | float) else None

    return take


def _difference(value: Value) -> StateType:
    """Return how far the highest is above the lowest, rounded for what binary fractions add."""
    lowest, highest = _part("minimum")(value), _part("maximum")(value)
    if not isinstance(lowest, int | float) or not isinstance(highest, int | float):
        return None
    return round(highest - lowest, 3)


def _all_cells(value: Value) -> StateType:
    """Return how many cells all batteries have together."""
    batteries, cells = _part("batteries")(value), _part("cells")(value)
    return batteries * cells if isinstance(batteries, int) and isinstance(cells, int) else None


def _drawn(value: Value) -> StateType:
    """Return how much was drawn, whichever sign the device gives it."""
    return abs(value) if isinstance(value, int | float) else None


def _known_status(value: Value) -> StateType:
    """Return the balancer status, which the device itself may not know (M-V3)."""
    return None if value == BalancerStatus.UNKNOWN else _plain(value)


NO_REASON: Final = "none"


def _reasons(kind: type[IntFlag], value: Value) -> list[str]:
    """Return why something is off or not allowed, as far as the reasons are known."""
    bits = int(value) if isinstance(value, int | float) else 0
    return [str(one.name).lower() for one in kind if bits & one]


def _first_reason(kind: type[IntFlag], value: Value) -> StateType:
    """Return the first reason why something is off or not allowed; None when there are only unknown ones."""
    if value is None:
        return None
    return next(iter(_reasons(kind, value)), None if value else NO_REASON)


def _level_in(value: Value, *, warning: BmsFlags, alarm: BmsFlags) -> StateType:
    """Return the level that flags tell; None when they are not known."""
    if not isinstance(value, int | float):
        return None
    bits = int(value)
    return Level.ALARM if bits & alarm else Level.WARNING if bits & warning else Level.OK


@dataclass(frozen=True, kw_only=True)
class PageSensorDescription(SensorEntityDescription):
    """One sensor of a page: the register behind it, and what it shows of that."""

    source: Name
    value_fn: Callable[[Value], StateType] = _plain
    attributes_fn: Callable[[Value], Mapping[str, object]] | None = None


_measured = partial(PageSensorDescription, state_class=SensorStateClass.MEASUREMENT)
_voltage = partial(
    _measured,
    device_class=SensorDeviceClass.VOLTAGE,
    native_unit_of_measurement=UnitOfElectricPotential.VOLT,
    suggested_display_precision=2,
)
_temperature = partial(
    _measured,
    device_class=SensorDeviceClass.TEMPERATURE,
    native_unit_of_measurement=UnitOfTemperature.CELSIUS,
    suggested_display_precision=0,
)
_amphours = partial(_measured, native_unit_of_measurement=AMPERE_HOURS, suggested_display_precision=0)
_fact = partial(PageSensorDescription, entity_category=EntityCategory.DIAGNOSTIC)
# Few look at what hardly ever changes: it is there for those who enable it.
_rare_fact = partial(_fact, entity_registry_enabled_default=False)
_extreme_voltage = partial(
    _voltage, state_class=None, entity_category=EntityCategory.DIAGNOSTIC, entity_registry_enabled_default=False
)
_extreme_temperature = partial(
    _temperature, state_class=None, entity_category=EntityCategory.DIAGNOSTIC, entity_registry_enabled_default=False
)
_counter = partial(_fact, state_class=SensorStateClass.TOTAL_INCREASING)
_energy = partial(
    PageSensorDescription,
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=2,
)


def _off_reason(name: Name, kind: type[IntFlag]) -> PageSensorDescription:
    return PageSensorDescription(
        key=name,
        source=name,
        device_class=SensorDeviceClass.ENUM,
        options=[NO_REASON, *(str(reason.name).lower() for reason in kind)],
        value_fn=partial(_first_reason, kind),
        attributes_fn=lambda value: {"reasons": _reasons(kind, value)},
    )


def _too_cold(key: str, *, warning: BmsFlags, alarm: BmsFlags) -> PageSensorDescription:
    return PageSensorDescription(
        key=key,
        source=Name.FLAGS,
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=list(Level),
        value_fn=partial(_level_in, warning=warning, alarm=alarm),
    )


PAGE_SENSORS: Final = (
    _off_reason(Name.CHARGE_OFF_REASON, NotAllowedReason),
    _off_reason(Name.DISCHARGE_OFF_REASON, NotAllowedReason),
    replace(_off_reason(Name.OFF_REASON, OffReason), entity_category=EntityCategory.DIAGNOSTIC),
    # Assumed: an alarm that does not say whether it is too cold to charge or to discharge is of charging, which the
    # batteries stand least in the cold.
    _too_cold(
        "low_temperature_charge",
        warning=BmsFlags.LOW_TEMPERATURE_CHARGE_WARNING,
        alarm=BmsFlags.LOW_TEMPERATURE_CHARGE_ALARM | BmsFlags.LOW_TEMPERATURE_ALARM,
    ),
    _too_cold(
        "low_temperature_discharge",
        warning=BmsFlags.LOW_TEMPERATURE_DISCHARGE_WARNING,
        alarm=BmsFlags.LOW_TEMPERATURE_DISCHARGE_ALARM,
    ),
    PageSensorDescription(
        key="balancer_status",
        source=Name.BALANCER_STATUS,
        device_class=SensorDeviceClass.ENUM,
        options=[status for status in BalancerStatus if status is not BalancerStatus.UNKNOWN],
        value_fn=_known_status,
    ),
    _voltage(key="cell_voltage_min", source=Name.CELL_VOLTAGES, value_fn=_part("minimum")),
    _voltage(key="cell_voltage_max", source=Name.CELL_VOLTAGES, value_fn=_part("maximum")),
    _voltage(
        key="cell_voltage_difference",
        source=Name.CELL_VOLTAGES,
        value_fn=_difference,
        suggested_display_precision=3,
    ),
    _temperature(key="cell_temperature_min", source=Name.CELL_TEMPERATURES, value_fn=_part("minimum")),
    _temperature(key="cell_temperature_max", source=Name.CELL_TEMPERATURES, value_fn=_part("maximum")),
    _rare_fact(key="batteries", source=Name.BANK, value_fn=_part("batteries")),
    _rare_fact(key="cells", source=Name.BANK, value_fn=_part("cells")),
    _fact(key="battery_cells", source=Name.BANK, value_fn=_all_cells),
    _rare_fact(key="batteries_series", source=Name.BANK, value_fn=_part("series")),
    _rare_fact(key="batteries_parallel", source=Name.BANK, value_fn=_part("parallel")),
    _amphours(key="capacity", source=Name.CAPACITY, state_class=None, entity_category=EntityCategory.DIAGNOSTIC),
    _amphours(
        key="history_deepest_discharge",
        source=Name.DEEPEST_DISCHARGE,
        state_class=None,
        entity_category=EntityCategory.DIAGNOSTIC,
    ),
    _counter(
        key="history_cumulative_amphours",
        source=Name.CUMULATIVE_AMPHOURS,
        native_unit_of_measurement=AMPERE_HOURS,
        suggested_display_precision=0,
        value_fn=_drawn,
    ),
    _energy(key="history_discharged_energy", source=Name.DISCHARGED_ENERGY),
    _energy(key="history_charged_energy", source=Name.CHARGED_ENERGY),
    _counter(key="history_synchronizations", source=Name.SYNCHRONIZATIONS),
    _counter(key="history_cycles", source=Name.CYCLES),
    _fact(
        key="history_since_full_charge",
        source=Name.SINCE_FULL_CHARGE,
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_unit_of_measurement=UnitOfTime.DAYS,
        suggested_display_precision=1,
    ),
    _extreme_voltage(key="history_lowest_voltage", source=Name.LOWEST_VOLTAGE),
    _extreme_voltage(key="history_highest_voltage", source=Name.HIGHEST_VOLTAGE),
    _extreme_voltage(key="history_lowest_cell_voltage", source=Name.HISTORY_CELL_VOLTAGES, value_fn=_part("minimum")),
    _extreme_voltage(key="history_highest_cell_voltage", source=Name.HISTORY_CELL_VOLTAGES, value_fn=_part("maximum")),
    _extreme_temperature(key="history_lowest_temperature", source=Name.LOWEST_TEMPERATURE),
    _extreme_temperature(key="history_highest_temperature", source=Name.HIGHEST_TEMPERATURE),
)

BATTERY_SENSORS: Final = (
    _voltage(key="voltage", source=Name.VOLTAGE),
    _measured(
        key="current",
        source=Name.CURRENT,
        device_class=SensorDeviceClass.CURRENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
    ),
    _temperature(key="temperature", source=Name.TEMPERATURE),
    _rare_fact(key="serial_number", source=Name.SERIAL_NUMBER),
    _rare_fact(key="firmware_version", source=Name.FIRMWARE_VERSION),
)
# What a battery is called by: its nominal voltage, which its cells tell, and its capacity.
BATTERY_MODEL: Final = _rare_fact(key="battery_model", source=Name.CAPACITY)
CELL: Final = _voltage(key="cell", source=Name.CELL)


async def async_setup_entry(
    hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the sensors of one device, and of its batteries."""
    coordinator = entry.runtime_data.instant_readout
    async_add_entities(SmallBmsSensor(coordinator, description) for description in SENSORS)
    async_add_entities([SmallBmsStatus(coordinator, STATUS, entry.runtime_data.pages)])
    async_add_entities(SmallBmsEnergySensor(coordinator, description) for description in ENERGY_SENSORS)
    async_add_entities(SmallBmsRadioSensor(coordinator, description) for description in RADIO_SENSORS)
    if CONF_RESIDUAL_CURRENT in entry.options:
        async_add_entities([SmallBmsReserveSensor(coordinator, RESERVE_TIME)])
    else:
        async_remove_reserve(hass, coordinator)
    if pages := entry.runtime_data.pages:
        async_add_entities([SmallBmsConnectionSensor(pages, CONNECTION)])
    async_add_offered(entry, async_add_entities, _offers)


def _offers(pages: PagesCoordinator) -> Offers:
    offers: dict[str, Callable[[], PageEntity]] = {
        row.key: partial(SmallBmsPageSensor, pages, row) for row in PAGE_SENSORS if pages.offered(row.source)
    }
    for battery in pages.batteries:
        offers |= _battery_offers(pages, battery)
    return offers


def _battery_offers(pages: PagesCoordinator, battery: int) -> Offers:
    offers: dict[str, Callable[[], PageEntity]] = {
        f"{battery} {row.key}": partial(SmallBmsPageSensor, pages, row, battery)
        for row in BATTERY_SENSORS
        if pages.offered(row.source, battery)
    }
    if pages.offered(Name.CAPACITY, battery):
        offers[f"{battery} {BATTERY_MODEL.key}"] = partial(SmallBmsBatteryModel, pages, BATTERY_MODEL, battery)
    for cell in pages.cells(battery):
        offers[f"{battery} cell {cell}"] = partial(SmallBmsCell, pages, battery, cell)
    return offers


class SmallBmsSensor(ReadingEntity, SensorEntity):
    """One value that is known of the battery."""

    _unrecorded_attributes = frozenset({ATTR_SOURCE})
    entity_description: SmallBmsSensorDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: SmallBmsSensorDescription) -> None:
        super().__init__(coordinator, description)
        self._attr_options = description.options

    @override
    def _shown(self) -> object:
        description, shown = self.entity_description, self.coordinator.published
        value = description.value_fn(shown)
        self._attr_native_value = value
        if self._attr_options is not None and isinstance(value, str) and value not in self._attr_options:
            # An error that the manual does not know: shown by its number rather than not at all.
            self._attr_options = [*self._attr_options, value]
        if description.attributes_fn:
            self._attr_extra_state_attributes = dict(description.attributes_fn(shown))
        return value, self._attr_extra_state_attributes if description.attributes_fn else None


class SmallBmsPageSensor(PageEntity, SensorEntity):
    """One value of a page, of the device or of one of its batteries."""

    entity_description: PageSensorDescription

    def __init__(
        self,
        coordinator: PagesCoordinator,
        description: PageSensorDescription,
        battery: int | None = None,
        *,
        part: str | None = None,
    ) -> None:
        self._want = Want(name=description.source, battery=battery)
        super().__init__(coordinator, description, self._want, part=part)

    @override
    def _shown(self) -> object:
        description = self.entity_description
        value = self.coordinator.values.value(self._want)
        self._attr_native_value = description.value_fn(value)
        attributes = dict(description.attributes_fn(value)) if description.attributes_fn else {}
        self._attr_extra_state_attributes = attributes
        return self._attr_native_value, attributes


class SmallBmsBatteryModel(SmallBmsPageSensor):
    """The model of a battery."""

    @override
    def _shown(self) -> object:
        self._attr_native_value = self.coordinator.values.battery_model(self._want.battery)
        return self._attr_native_value


class SmallBmsCell(SmallBmsPageSensor):
    """The voltage of one cell of a battery."""

    def __init__(self, coordinator: PagesCoordinator, battery: int, cell: str) -> None:
        super().__init__(coordinator, CELL, battery, part=f"cell_{cell}")
        self._attr_translation_placeholders = {"cell": cell}
        self._take_cell = _part(cell)

    @override
    def _shown(self) -> object:
        self._attr_native_value = self._take_cell(self.coordinator.values.value(self._want))
        return self._attr_native_value
