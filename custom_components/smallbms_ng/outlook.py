"""What is to be expected of a battery, from the long-term statistics that Home Assistant keeps of its sensors."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
import logging
from math import inf
from typing import Final, Self, override

from homeassistant.components.recorder import DOMAIN as RECORDER
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.history import state_changes_during_period
from homeassistant.components.recorder.models import StatisticMetaData
from homeassistant.components.recorder.statistics import StatisticsRow, get_metadata, statistics_during_period
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import (
    CONF_ADDRESS,
    EVENT_CORE_CONFIG_UPDATE,
    SUN_EVENT_SUNRISE,
    SUN_EVENT_SUNSET,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfRatio,
)
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.start import async_at_started
from homeassistant.helpers.sun import get_astral_event_date
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import ElectricPotentialConverter, EnergyConverter
from sqlalchemy.exc import SQLAlchemyError

from .const import AMPERE_HOURS
from .protocol.codes import Level
from .protocol.outlook import AFTER_SUNRISE, NIGHTS, Battery, History, HourRecord, Night, Outlook, Range, outlook
from .protocol.quantities import ENERGY_CHARGED, ENERGY_DISCHARGED
from .storage import sensor_ids

_LOGGER = logging.getLogger(__name__)

READ_EVERY: Final = timedelta(minutes=15)
# Of how long ago statistics are read: the nights, and a day on either side.
_READ_BACK: Final = timedelta(days=NIGHTS + 2)
# Of how long ago shutdowns for low cell voltage are looked for: Home Assistant keeps states as long by default.
_SHUTDOWNS_BACK: Final = timedelta(days=10)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)

_VOLTAGE: Final = "voltage"
_CONSUMED: Final = "consumed_amphours"
_STATE_OF_CHARGE: Final = "battery_level"
# Its states are read, as it has no statistics.
_LOW_CELL_VOLTAGE: Final = "low_cell_voltage"
# In which units statistics are read. The others have no other one.
_UNITS: Final[dict[str, str]] = {
    EnergyConverter.UNIT_CLASS: UnitOfEnergy.WATT_HOUR,
    ElectricPotentialConverter.UNIT_CLASS: UnitOfElectricPotential.VOLT,
}


def _converts(unit_class: str) -> Callable[[StatisticMetaData], bool]:
    """Return what tells whether the recorder can convert a statistic to the unit in which it is read."""
    return lambda metadata: metadata["unit_class"] == unit_class


# The statistics that are read, by the key of their sensor, and what tells whether their unit is understood: it can be
# changed by hand.
_UNDERSTOOD: Final[Mapping[str, Callable[[StatisticMetaData], bool]]] = {
    ENERGY_CHARGED: _converts(EnergyConverter.UNIT_CLASS),
    ENERGY_DISCHARGED: _converts(EnergyConverter.UNIT_CLASS),
    _VOLTAGE: _converts(ElectricPotentialConverter.UNIT_CLASS),
    _CONSUMED: lambda metadata: metadata["unit_of_measurement"] == AMPERE_HOURS,
    _STATE_OF_CHARGE: lambda metadata: metadata["unit_of_measurement"] == UnitOfRatio.PERCENTAGE,
}
_READ: Final = (*_UNDERSTOOD, _LOW_CELL_VOLTAGE)

type _Rows = Mapping[str, Mapping[int, StatisticsRow]]
"""Statistics by the key of their sensor, and by when the hour began."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the nights of the past were: degrees, hours from UTC without daylight saving, and since when, in s."""

    latitude: float
    longitude: float
    utc_offset: float
    since: float

    @classmethod
    def here(cls, hass: HomeAssistant, since: float) -> Self:
        """Return where Home Assistant is set to be now."""
        zone, now = dt_util.get_default_time_zone(), dt_util.utcnow()
        local = now.astimezone(zone)
        offset = (local.utcoffset() or timedelta()) - (local.dst() or timedelta())
        return cls(
            latitude=hass.config.latitude,
            longitude=hass.config.longitude,
            utc_offset=offset / _HOUR,
            since=since,
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, float]) -> Self | None:
        """Return a place that was stored; None if this version cannot read it."""
        try:
            return cls(**{name: float(value) for name, value in stored.items()})
        except TypeError, ValueError:
            return None

    def is_far_from(self, other: Place) -> bool:
        """Return whether the sun, or the clock, is so different that the nights there tell nothing about those here."""
        east = abs(self.longitude - other.longitude)
        return (
            min(east, _ALL_AROUND - east) >= _FAR_EAST
            or abs(self.latitude - other.latitude) >= _FAR_NORTH
            or abs(self.utc_offset - other.utc_offset) >= _FAR_BY_CLOCK
        )


_ALL_AROUND: Final = 360.0
# At 15 degrees to the east the sun rises an hour earlier. At 10 degrees to the north, a summer night is about an hour
# shorter.
_FAR_EAST: Final = 15.0
_FAR_NORTH: Final = 10.0
# One hour alone is a neighbor's choice of clock, and daylight saving where it is not told as such.
_FAR_BY_CLOCK: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Past:
    """What was read: the hours, the nights, and the state of charge at which cells were empty lately, in %."""

    records: Sequence[HourRecord] = ()
    nights: Sequence[Night] = ()
    empty_at: float | None = None


class OutlookCoordinator(DataUpdateCoordinator[Outlook]):
    """Reads the statistics of a device, and tells what is to be expected.

    battery: returns the present state of the battery; None while it is unknown. capacity: the same of its Ah.
    place: where the nights are that can be compared.
    """

    config_entry: ConfigEntry
    place: Place | None = None

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        *,
        battery: Callable[[], Battery | None],
        capacity: Callable[[], float | None],
    ) -> None:
        super().__init__(
            hass,
            _LOGGER,
            config_entry=entry,
            name=f"the outlook of {entry.title}",
            update_interval=READ_EVERY,
            always_update=False,
        )
        self.data = Outlook()
        self._past = Past()
        self._battery = battery
        self._capacity = capacity
        self._battery_seen: Battery | None = None
        self._distrusted_until = -inf

    @callback
    def async_start(self) -> None:
        """Read as soon as Home Assistant has started, and when it is told to be in another place."""
        entry = self.config_entry
        entry.async_on_unload(async_at_started(self.hass, self._async_started))
        entry.async_on_unload(self.hass.bus.async_listen(EVENT_CORE_CONFIG_UPDATE, self._async_moved))

    @callback
    def _async_started(self, _hass: HomeAssistant) -> None:
        if self._listeners:
            self.config_entry.async_create_background_task(self.hass, self.async_refresh(), f"read for {self.name}")

    async def _async_moved(self, _event: Event) -> None:
        if self._listeners:
            await self.async_refresh()

    @callback
    def async_look_at_battery(self) -> None:
        """Tell anew what is to be expected if something became known of the battery that changes seldom."""
        battery, seen = self._battery(), self._battery_seen
        if not self._listeners or _is_alike(battery, seen):
            return
        self.data = self._look(battery)
        self.async_update_listeners()

    @override
    async def _async_update_data(self) -> Outlook:
        self._past = await self._async_read()
        return self._look(self._battery())

    def _look(self, battery: Battery | None) -> Outlook:
        self._battery_seen = battery
        past = self._past
        if battery and past.empty_at is not None:
            # Cells that have aged, or are out of balance, are empty before the bank is.
            battery = replace(battery, discharge_floor=max(battery.discharge_floor, past.empty_at))
        history = History(past.records, self._capacity())
        return outlook(history, battery, past.nights, dt_util.utcnow().timestamp())

    async def _async_read(self) -> Past:
        """Return what is known of the past: nothing where there is no recorder, or it cannot be read."""
        if RECORDER not in self.hass.config.components:
            return Past()
        ids = sensor_ids(self.hass, self.config_entry.data[CONF_ADDRESS], _READ)
        now = dt_util.utcnow()
        self._settle(now)
        since = self.place.since if self.place else 0.0
        try:
            past = await get_instance(self.hass).async_add_executor_job(_read, self.hass, ids, now)
        except SQLAlchemyError as error:
            _LOGGER.debug("Cannot read the statistics of %s: %s", self.config_entry.title, error)
            return Past()
        nights = [night for night in past.nights if night.begin >= since]
        return replace(past, records=self._trusted(past.records, now), nights=nights)

    @callback
    def _settle(self, now: datetime) -> None:
        """Note where Home Assistant is, and since when it is not far from there."""
        before = self.place
        if before is None:
            self.place = Place.here(self.hass, 0.0)
        elif before.is_far_from(here := Place.here(self.hass, now.timestamp())):
            self.place = here

    @callback
    def _trusted(self, records: Sequence[HourRecord], now: datetime) -> list[HourRecord]:
        """Return the records that can be trusted.

        One that begins in a time to come was made while the clock was ahead. Home Assistant records no hour twice:
        until that time is over, what flows is not recorded, and all of it is counted in the hour after.
        """
        ahead = [record.start for record in records if record.start > now.timestamp()]
        if ahead:
            self._distrusted_until = max(ahead) + _HOUR.total_seconds()
        return [record for record in records if record.start >= self._distrusted_until]


def _is_alike(one: Battery | None, other: Battery | None) -> bool:
    """Return whether two states of a battery differ at most in the state of charge."""
    if one is None or other is None:
        return one is other
    return (one.capacity, one.discharge_floor) == (other.capacity, other.discharge_floor)


def _read(hass: HomeAssistant, ids: Mapping[str, str], now: datetime) -> Past:
    """Return what was recorded, and the nights of that time. Works in the recorder's executor."""
    rows = _rows(hass, {key: ids[key] for key in _UNDERSTOOD if key in ids}, now)
    low_cell_voltage = ids.get(_LOW_CELL_VOLTAGE)
    return Past(
        records=list(_records(rows)),
        nights=list(nights_before(hass, now)),
        empty_at=_empty_at(rows, _shutdowns(hass, low_cell_voltage, now)) if low_cell_voltage else None,
    )


def _shutdowns(hass: HomeAssistant, entity_id: str, now: datetime) -> Iterator[datetime]:
    """Yield when low cell voltage has switched the loads off, by the states of its sensor."""
    before: str = Level.ALARM
    found = state_changes_during_period(hass, now - _SHUTDOWNS_BACK, now, entity_id, no_attributes=True)
    for state in found.get(entity_id, ()):
        if state.state in list(Level):
            if state.state == Level.ALARM != before:
                yield state.last_changed
            before = state.state


def _empty_at(rows: _Rows, shutdowns: Iterable[datetime]) -> float | None:
    """Return the highest state of charge in %, by the hour, at which the loads were switched off; None if never."""
    levels = rows.get(_STATE_OF_CHARGE, {})
    hours = (int(at.replace(minute=0, second=0, microsecond=0).timestamp()) for at in shutdowns)
    found = [level for hour in hours if (level := _number(levels.get(hour), "min")) is not None]
    return max(found, default=None)


def _rows(hass: HomeAssistant, ids: Mapping[str, str], now: datetime) -> _Rows:
    """Return the statistics that are understood, those of a time shortly to come included."""
    metadata = get_metadata(hass, statistic_ids=set(ids.values()))
    understood = {
        key: statistic_id
        for key, statistic_id in ids.items()
        if statistic_id in metadata and _UNDERSTOOD[key](metadata[statistic_id][1])
    }
    if not understood:
        return {}
    found = statistics_during_period(
        hass,
        now - _READ_BACK,
        now + _DAY,
        set(understood.values()),
        "hour",
        _UNITS,
        {"change", "max", "mean", "min"},
    )
    return {
        key: {int(row["start"]): row for row in found.get(statistic_id, ())} for key, statistic_id in understood.items()
    }


def _records(rows: _Rows) -> Iterator[HourRecord]:
    """Yield what was recorded of each hour, the earliest first."""
    for start in sorted({start for by_start in rows.values() for start in by_start}):
        row = {key: by_start.get(start) for key, by_start in rows.items()}
        yield HourRecord(
            start=start,
            charged=_number(row.get(ENERGY_CHARGED), "change"),
            discharged=_number(row.get(ENERGY_DISCHARGED), "change"),
            voltage=_number(row.get(_VOLTAGE), "mean"),
            consumed=_range(row.get(_CONSUMED)),
        )


def _number(row: StatisticsRow | None, of: str) -> float | None:
    value = row.get(of) if row else None
    return float(value) if isinstance(value, int | float) else None


def _range(row: StatisticsRow | None) -> Range | None:
    low, high, mean = (_number(row, of) for of in ("min", "max", "mean"))
    return None if low is None or high is None or mean is None else Range(low=low, high=high, mean=mean)


def nights_before(hass: HomeAssistant, now: datetime) -> Iterator[Night]:
    """Yield the past nights, each from the same time of day as now. Where the sun does not rise, there are none."""
    local = dt_util.as_local(now)
    for ago in range(1, NIGHTS + 1):
        begin = dt_util.as_utc(local - ago * _DAY)
        if night := _night(hass, begin):
            yield night


def _night(hass: HomeAssistant, begin: datetime) -> Night | None:
    """Return the night that follows a time, or that is just ending."""
    not_over = begin - timedelta(seconds=AFTER_SUNRISE)
    day = not_over.date()
    sunrise = next((one for one in _events(hass, SUN_EVENT_SUNRISE, day, range(3)) if one > not_over), None)
    if sunrise is None or sunrise - not_over > _DAY + _HOUR:
        return None
    day = sunrise.date()
    midday = next((one for one in _events(hass, "noon", day, range(2)) if one > sunrise), None)
    sunset = next((one for one in _events(hass, SUN_EVENT_SUNSET, day, range(0, -2, -1)) if one < sunrise), None)
    if midday is None or sunset is None:
        return None
    return Night(
        begin=begin.timestamp(),
        sunset=sunset.timestamp(),
        sunrise=sunrise.timestamp(),
        midday=midday.timestamp(),
    )


def _events(hass: HomeAssistant, event: str, day: date, offsets: Iterable[int]) -> Iterator[datetime]:
    """Yield an event of the sun on some days, in UTC, where there is one."""
    for offset in offsets:
        if found := get_astral_event_date(hass, event, day + offset * _DAY):
            yield found
