"""Sensors: what the battery measures, and what it says about itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import IntFlag, StrEnum
from functools import partial
from operator import attrgetter
from typing import Final, override

from homeassistant.components.bluetooth import async_last_service_info
from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    EntityCategory,
    Platform,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfPower,
    UnitOfRatio,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import format_mac
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.restore_state import ExtraStoredData, RestoredExtraData, RestoreEntity
from homeassistant.helpers.typing import StateType
from homeassistant.util.dt import parse_datetime, utcnow

from .connection.errors import NoAnswer, NotPaired
from .const import AMPERE_HOURS, CONF_RESIDUAL_CURRENT, DOMAIN, MILLIAMPERES_PER_AMPERE
from .coordinator import (
    RENEWED_EVERY,
    Advertises,
    InstantReadoutCoordinator,
    PagesCoordinator,
    Reserve,
    SmallBmsConfigEntry,
    reserve_of,
)
from .entity import (
    SETTINGS,
    Offers,
    OutlookEntity,
    PageEntity,
    ReadingEntity,
    SmallBmsEntity,
    async_add_offered,
    async_add_to_devices,
)
from .outlook import Place
from .pages import RegisterKey
from .places import place_of
from .protocol.codes import CODES, CONDITIONS, Level, Severity, error_code
from .protocol.outlook import LastsTheNight, Outlook
from .protocol.payloads import Value, rounded
from .protocol.quantities import CHARGE_SOURCE, COUNTERS, ShownValues, quantities_behind
from .protocol.registers import BalancerStatus, BmsFlags, Name, NotAllowedReason, OffReason
from .protocol.system import NAMES, SwitchedOff, switched_off


@dataclass(frozen=True, kw_only=True)
class EnergySensorDescription(SensorEntityDescription):
    """One sensor of the energy meter. Its key names the counter that it shows."""


_energy = partial(
    EnergySensorDescription,
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
    suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
    suggested_display_precision=2,
)

ENERGY_SENSORS: Final = tuple(_energy(key=counter.name) for counter in COUNTERS)


class SmallBmsEnergySensor(ReadingEntity, SensorEntity):
    """The energy that was counted in one direction.

    Unknown until a first sample of this run: less than was shown before would count as a reset of the counter.
    """

    entity_description: EnergySensorDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: EnergySensorDescription) -> None:
        super().__init__(coordinator, description, {description.key})

    @override
    def _shown(self) -> object:
        self._attr_native_value = getattr(self.coordinator.published, self.entity_description.key)
        return self._attr_native_value


# How often the state is written. These values change with every advertisement, one a second.
WRITE_INTERVAL: Final = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class RadioSensorDescription(SensorEntityDescription):
    """One sensor of how the device is heard.

    outlasts_silence: whether its value stays valid while the device is silent.
    """

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
        key="advertises",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=list(Advertises),
        outlasts_silence=True,
        value_fn=lambda coordinator: coordinator.advertises,
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
        """Whether the device is heard; always for values that stay valid while it is silent."""
        return super().available or self.entity_description.outlasts_silence

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(async_track_time_interval(self.hass, self._async_renew, WRITE_INTERVAL))

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Write the first value at once; later ones are written at intervals."""
        if self._attr_native_value is None:
            super()._handle_coordinator_update()

    @callback
    def _async_renew(self, _now: datetime) -> None:
        super()._handle_coordinator_update()

    @override
    def _shown(self) -> object:
        self._attr_native_value = self.entity_description.value_fn(self.coordinator)
        return self._attr_native_value


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
    """How long the reserve lasts at the residual current."""

    entity_description: ReserveSensorDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: ReserveSensorDescription) -> None:
        super().__init__(coordinator, description, {"capacity", "current"})

    @property
    @override
    def available(self) -> bool:
        """Whether the device is heard, or silent after a shutdown: the residual current is drawn all the same."""
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


@dataclass(frozen=True, kw_only=True)
class StatusSensorDescription(SensorEntityDescription):
    """The sensor of the status, and its attributes."""

    attributes_fn: Callable[[ShownValues], Mapping[str, object]]


STATUS: Final = StatusSensorDescription(
    key="status",
    device_class=SensorDeviceClass.ENUM,
    options=[*Severity, *SwitchedOff],
    attributes_fn=lambda shown: {"codes": [str(code) for code in shown.codes]},
)
# While the system is off, the status shows that, unless there is one of these. A warning announces that the system will
# be switched off, which is no news then.
_SHOWN_WHILE_OFF: Final = frozenset({Severity.ALARM, Severity.ERROR})


class SmallBmsStatus(ReadingEntity, SensorEntity):
    """The worst of the active codes, or what has switched the system off.

    Its attributes list all active codes, and where each comes from.
    """

    entity_description: StatusSensorDescription

    def __init__(
        self,
        coordinator: InstantReadoutCoordinator,
        description: StatusSensorDescription,
        pages: PagesCoordinator | None,
    ) -> None:
        super().__init__(coordinator, description, {*quantities_behind("codes"), "remote_on"})
        self._pages = pages

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        # Where a code comes from is known once it is told.
        self.async_on_remove(self.coordinator.codes.async_add_watcher(self._handle_coordinator_update))
        if self._pages is None:
            return
        for name in NAMES:
            # The context makes the coordinator read the register.
            listener = self._pages.async_add_listener(self._handle_coordinator_update, RegisterKey(name=name))
            self.async_on_remove(listener)

    @override
    def _shown(self) -> object:
        shown = self.coordinator.published
        off = None if shown.severity in _SHOWN_WHILE_OFF else self._switched_off(shown.remote_on)
        self._attr_native_value = off or shown.severity
        self._attr_extra_state_attributes = {
            **self.entity_description.attributes_fn(shown),
            **self._places(shown),
        }
        return self._attr_native_value, self._attr_extra_state_attributes

    def _places(self, shown: ShownValues) -> Mapping[str, object]:
        """Return where the codes come from, as far as that is known; nothing where no connection could tell."""
        found = {str(code): place_of(self.hass, self.coordinator.entry, code) for code in shown.codes}
        places = {code: dict(place.known) for code, place in found.items() if place}
        return {"places": places} if self._pages else {}

    def _switched_off(self, remote_on: bool | None) -> SwitchedOff | None:
        off = switched_off(remote_on, self._value)
        is_ours = off is SwitchedOff.APP and self.coordinator.switched_off_at is not None
        return SwitchedOff.HOME_ASSISTANT if is_ours else off

    def _value(self, name: Name) -> Value:
        """Return what a register says that was read lately; None without a PIN."""
        want = RegisterKey(name=name)
        return self._pages.values.value(want) if self._pages and self._pages.shown(want) else None


ATTR_LAST_CONNECTED: Final = "last_connected"


class Connection(StrEnum):
    """Whether Home Assistant can connect to the device.

    There is no state for being connected: it would come and go with every read, and fill the logbook.
    """

    READY = "ready"
    """Nothing is wrong: the last connection was good, is under way, or none was made yet."""
    BACKING_OFF = "backing_off"
    """The last connection failed, and another follows."""
    NOT_PAIRED = "not_paired"
    NO_PATH = "no_path"
    """No radio that can connect hears the device."""


@dataclass(frozen=True, kw_only=True)
class ConnectionSensorDescription(SensorEntityDescription):
    """The sensor of the connection; attributes_fn is given the time of the last good connection."""

    attributes_fn: Callable[[datetime | None], Mapping[str, object]]


CONNECTION: Final = ConnectionSensorDescription(
    key="connection",
    device_class=SensorDeviceClass.ENUM,
    entity_category=EntityCategory.DIAGNOSTIC,
    options=list(Connection),
    attributes_fn=lambda last_connected: {ATTR_LAST_CONNECTED: last_connected},
)


def _is_not_paired(pages: PagesCoordinator) -> bool:
    """Return whether the bond is missing. A device that keeps silent may have other reasons."""
    return isinstance(pages.last_error, NotPaired) and not isinstance(pages.last_error, NoAnswer)


def _backs_off(pages: PagesCoordinator) -> bool:
    """Return whether the last connection failed, and Home Assistant will make another one by itself."""
    return pages.lost and pages.update_interval is not None and not pages.config_entry.pref_disable_polling


# The first that applies is shown.
_STATES: Final[tuple[tuple[Connection, Callable[[PagesCoordinator], bool]], ...]] = (
    (Connection.NOT_PAIRED, _is_not_paired),
    (Connection.NO_PATH, lambda pages: not (pages.connected or pages.has_way)),
    (Connection.BACKING_OFF, _backs_off),
)


class SmallBmsConnectionSensor(PageEntity, RestoreEntity, SensorEntity):
    """Whether Home Assistant can connect, and when the last good connection was, which outlasts a restart."""

    _unrecorded_attributes = frozenset({ATTR_LAST_CONNECTED})
    entity_description: ConnectionSensorDescription
    _restored: datetime | None = None

    @override
    async def async_added_to_hass(self) -> None:
        if last := await self.async_get_last_state():
            self._restored = parse_datetime(str(last.attributes.get(ATTR_LAST_CONNECTED)))
        await super().async_added_to_hass()

    @override
    def _shown(self) -> object:
        pages = self.coordinator
        state = next((state for state, applies in _STATES if applies(pages)), Connection.READY)
        self._attr_native_value = state
        attributes = dict(self.entity_description.attributes_fn(pages.last_connected or self._restored))
        self._attr_extra_state_attributes = attributes
        return state, attributes


@dataclass(frozen=True, kw_only=True)
class OutlookSensorDescription(SensorEntityDescription):
    """One sensor of what is to be expected, and its attributes if it has any."""

    value_fn: Callable[[Outlook], StateType]
    attributes_fn: Callable[[Outlook], Mapping[str, object]] | None = None


def _rounded(name: str, digits: int = 1, factor: float = 1.0) -> Callable[[Outlook], StateType]:
    """Return what takes one number of an outlook."""

    def take(outlook: Outlook) -> StateType:
        value = getattr(outlook, name)
        return None if value is None else round(value * factor, digits)

    return take


def _lasts(outlook: Outlook) -> StateType:
    return outlook.night.lasts if outlook.night else None


def _expected_lowest(outlook: Outlook) -> StateType:
    return round(outlook.night.expected) if outlook.night else None


ATTR_NIGHTS: Final = "nights"
ATTR_MEDIAN: Final = "percentile_50"
ATTR_BAD_NIGHT: Final = "percentile_90"
ATTR_DISCHARGE_FLOOR: Final = "discharge_floor"


def _of_nights(outlook: Outlook) -> Mapping[str, object]:
    """Return how many nights were like, and the lowest state of charge by what was drawn in them."""
    if (night := outlook.night) is None:
        return {}
    return {
        ATTR_NIGHTS: night.nights,
        ATTR_MEDIAN: round(night.expected, 1),
        ATTR_BAD_NIGHT: round(night.in_bad_night, 1),
        ATTR_DISCHARGE_FLOOR: night.discharge_floor,
    }


_outlook = partial(OutlookSensorDescription, state_class=SensorStateClass.MEASUREMENT)

OUTLOOK_SENSORS: Final = (
    _outlook(
        key="use_from_battery",
        native_unit_of_measurement=AMPERE_HOURS,
        suggested_display_precision=1,
        value_fn=_rounded("use"),
    ),
    _outlook(
        key="median_day",
        native_unit_of_measurement=AMPERE_HOURS,
        suggested_display_precision=1,
        value_fn=_rounded("median_day"),
    ),
    _outlook(
        key="quiet_draw",
        device_class=SensorDeviceClass.CURRENT,
        native_unit_of_measurement=UnitOfElectricCurrent.MILLIAMPERE,
        suggested_display_precision=0,
        value_fn=_rounded("quiet_draw", digits=0, factor=MILLIAMPERES_PER_AMPERE),
    ),
    _outlook(
        key="days_left",
        # No measurement: the time to go is known by being the only one among the durations.
        state_class=None,
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.DAYS,
        suggested_display_precision=1,
        value_fn=_rounded("days_left"),
    ),
)
NIGHT_SENSORS: Final = (
    OutlookSensorDescription(
        key="lasts_the_night",
        device_class=SensorDeviceClass.ENUM,
        options=list(LastsTheNight),
        value_fn=_lasts,
        attributes_fn=_of_nights,
    ),
    _outlook(
        key="expected_lowest_state_of_charge",
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        suggested_display_precision=0,
        value_fn=_expected_lowest,
    ),
)


class SmallBmsOutlookSensor(OutlookEntity, SensorEntity):
    """One number of what is to be expected."""

    _unrecorded_attributes = frozenset({ATTR_NIGHTS, ATTR_MEDIAN, ATTR_BAD_NIGHT, ATTR_DISCHARGE_FLOOR})
    entity_description: OutlookSensorDescription

    @override
    def _shown(self) -> object:
        description, outlook = self.entity_description, self.coordinator.data
        self._attr_native_value = description.value_fn(outlook)
        attributes = dict(description.attributes_fn(outlook)) if description.attributes_fn else {}
        self._attr_extra_state_attributes = attributes
        return self._attr_native_value, attributes


class SmallBmsNightSensor(SmallBmsOutlookSensor, RestoreEntity):
    """What is to be expected of the night; remembers where its nights are, as those elsewhere tell nothing."""

    @property
    @override
    def extra_restore_state_data(self) -> ExtraStoredData | None:
        place = self.coordinator.place
        return RestoredExtraData(asdict(place)) if place else None

    @override
    async def async_added_to_hass(self) -> None:
        if (extra := await self.async_get_last_extra_data()) and self.coordinator.place is None:
            self.coordinator.place = Place.from_dict(extra.as_dict())
        await super().async_added_to_hass()


PARALLEL_UPDATES: Final = 0


def _without_minus_zero(value: StateType, precision: int | None) -> StateType:
    """Return 0 instead of a value that would be displayed as "-0", such as -0.4 W."""
    if isinstance(value, float) and precision is not None and not round(value, precision):
        return max(0.0, value)
    return value


NO_ERROR: Final = "none"
# The source of the state of charge. Not recorded.
ATTR_SOURCE: Final = "source"


@dataclass(frozen=True, kw_only=True)
class SmallBmsSensorDescription(SensorEntityDescription):
    """One sensor: the quantity that it shows, its value, and its attributes if it has any."""

    quantity: str
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
    quantity: str,
) -> SmallBmsSensorDescription:
    return SmallBmsSensorDescription(
        key=key,
        quantity=quantity,
        device_class=device_class,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=unit,
        suggested_display_precision=precision,
        value_fn=attrgetter(quantity),
    )


def _power_one_way(key: str, sign: int) -> SmallBmsSensorDescription:
    """Return a sensor for the power in one direction, which the Energy dashboard can take instead of both."""

    def value(shown: ShownValues) -> StateType:
        return None if shown.power is None else max(0.0, sign * shown.power)

    power = _measurement(key, SensorDeviceClass.POWER, UnitOfPower.WATT, 0, "power")
    return replace(power, value_fn=value, entity_registry_enabled_default=False)


def _level(name: str) -> SmallBmsSensorDescription:
    return SmallBmsSensorDescription(
        key=name,
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=list(Level),
        quantity=name,
        value_fn=attrgetter(name),
    )


SENSORS: Final = (
    replace(
        _measurement("battery_level", SensorDeviceClass.BATTERY, UnitOfRatio.PERCENTAGE, 1, "state_of_charge"),
        attributes_fn=lambda shown: {ATTR_SOURCE: shown.charge_source},
    ),
    _measurement("voltage", SensorDeviceClass.VOLTAGE, UnitOfElectricPotential.VOLT, 2, "voltage"),
    _measurement("current", SensorDeviceClass.CURRENT, UnitOfElectricCurrent.AMPERE, 1, "current"),
    _measurement("power", SensorDeviceClass.POWER, UnitOfPower.WATT, 0, "power"),
    _power_one_way("charge_power", 1),
    _power_one_way("discharge_power", -1),
    # Shown in hours: a hundred are usual, and up to 65534 minutes are possible.
    replace(
        _measurement("time_to_go", SensorDeviceClass.DURATION, UnitOfTime.MINUTES, 1, "time_to_go"),
        suggested_unit_of_measurement=UnitOfTime.HOURS,
    ),
    replace(
        _measurement("time_to_full", SensorDeviceClass.DURATION, UnitOfTime.MINUTES, 1, "time_to_full"),
        state_class=None,
        suggested_unit_of_measurement=UnitOfTime.HOURS,
    ),
    _measurement("temperature", SensorDeviceClass.TEMPERATURE, UnitOfTemperature.CELSIUS, 0, "temperature"),
    _measurement("consumed_amphours", None, AMPERE_HOURS, 1, "consumed_amphours"),
    _measurement("remaining_amphours", None, AMPERE_HOURS, 1, "remaining_amphours"),
    *(_level(condition.name) for condition in CONDITIONS if condition.in_manual),
    SmallBmsSensorDescription(
        key="error",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[NO_ERROR, *KNOWN_ERROR_STATES],
        quantity="error",
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
    return rounded(highest - lowest, 3)


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
_energy_counter = partial(
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
    _fact(key="serial_number", source=Name.SERIAL_NUMBER),
    _fact(key="firmware_version", source=Name.FIRMWARE_VERSION),
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
    _energy_counter(key="history_discharged_energy", source=Name.DISCHARGED_ENERGY),
    _energy_counter(key="history_charged_energy", source=Name.CHARGED_ENERGY),
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

# The settings, as sensors where the device does not let anybody change them.
SETTING_SENSORS: Final = tuple(
    _fact(
        key=setting.name,
        source=setting.name,
        device_class=SensorDeviceClass(setting.device_class) if setting.device_class else None,
        native_unit_of_measurement=setting.unit,
    )
    for setting in SETTINGS
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
    if CONF_RESIDUAL_CURRENT not in entry.options:
        async_remove_reserve(hass, entry.runtime_data.instant_readout)
    async_add_to_devices(hass, entry, async_add_entities, _sensors(entry))
    async_add_offered(entry, async_add_entities, _offers, _ruled_out)


def _sensors(entry: SmallBmsConfigEntry) -> Iterator[SmallBmsEntity]:
    """Yield the sensors that an entry has whatever its device offers."""
    coordinator, pages = entry.runtime_data.instant_readout, entry.runtime_data.pages
    outlook = entry.runtime_data.outlook
    yield from (SmallBmsSensor(coordinator, description) for description in SENSORS)
    yield SmallBmsStatus(coordinator, STATUS, pages)
    yield from (SmallBmsEnergySensor(coordinator, description) for description in ENERGY_SENSORS)
    yield from (SmallBmsRadioSensor(coordinator, description) for description in RADIO_SENSORS)
    yield from (SmallBmsOutlookSensor(outlook, description) for description in OUTLOOK_SENSORS)
    yield from (SmallBmsNightSensor(outlook, description) for description in NIGHT_SENSORS)
    if CONF_RESIDUAL_CURRENT in entry.options:
        yield SmallBmsReserveSensor(coordinator, RESERVE_TIME)
    if pages:
        yield SmallBmsConnectionSensor(pages, CONNECTION)


def _offers(pages: PagesCoordinator) -> Offers:
    offers: dict[str, Callable[[], PageEntity]] = {
        row.key: partial(SmallBmsPageSensor, pages, row) for row in PAGE_SENSORS if pages.offered(row.source)
    }
    for row in SETTING_SENSORS:
        if pages.offered(row.source) and not pages.can_write(row.source):
            offers[row.key] = partial(SmallBmsPageSensor, pages, row)
    for battery in pages.batteries:
        offers |= _battery_offers(pages, battery)
    return offers


def _ruled_out(pages: PagesCoordinator) -> Iterator[tuple[Platform, str]]:
    """Yield the settings that are numbers."""
    return ((Platform.SENSOR, row.key) for row in SETTING_SENSORS if pages.can_write(row.source))


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
    """One measurement or level of the battery."""

    _unrecorded_attributes = frozenset({ATTR_SOURCE})
    entity_description: SmallBmsSensorDescription

    def __init__(self, coordinator: InstantReadoutCoordinator, description: SmallBmsSensorDescription) -> None:
        quantities = {description.quantity, CHARGE_SOURCE} if description.attributes_fn else {description.quantity}
        super().__init__(coordinator, description, quantities)
        self._attr_options = description.options

    @override
    def _shown(self) -> object:
        description, shown = self.entity_description, self.coordinator.published
        value = _without_minus_zero(description.value_fn(shown), description.suggested_display_precision)
        self._attr_native_value = value
        if self._attr_options is not None and isinstance(value, str) and value not in self._attr_options:
            # An error that is not in the manual is shown by its number.
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
        self._want = RegisterKey(name=description.source, battery=battery)
        super().__init__(coordinator, description, self._want, part=part)

    @override
    def _shown(self) -> object:
        description = self.entity_description
        value = self.coordinator.values.value(self._want)
        number = description.value_fn(value)
        self._attr_native_value = _without_minus_zero(number, description.suggested_display_precision)
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
