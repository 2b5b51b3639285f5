"""What is to be expected of the battery, from statistics of a real recorder."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime, timedelta
import logging
from typing import Any, Final
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.db_schema import Statistics, StatisticsShortTerm
from homeassistant.components.recorder.models import StatisticData, StatisticMeanType, StatisticMetaData
from homeassistant.components.recorder.statistics import (
    async_import_statistics,
    async_update_statistics_metadata,
    get_metadata,
)
from homeassistant.components.recorder.util import session_scope
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, mock_restore_cache_with_extra_data
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_recorder_block_till_done,
    do_adhoc_statistics,
)
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager
from sqlalchemy.exc import OperationalError

from custom_components.smallbms_ng.const import CONF_CAPACITY, CONF_RESIDUAL_CURRENT, DOMAIN
from custom_components.smallbms_ng.outlook import READ_EVERY, nights_before
from custom_components.smallbms_ng.protocol.outlook import Night
from emulator.snapshot import Level, LevelField

from .conftest import ADDRESS, Radio, entity_id, make_entry, state_of

OUTLOOK: Final = "custom_components.smallbms_ng.outlook"
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
# In the summer of Amsterdam: 21:00, before sunset.
NOW: Final = datetime(2026, 6, 20, 19, 0, 30, tzinfo=dt_util.UTC)
VOLTAGE: Final = 13.0
KEYS: Final = ("use_from_battery", "median_day", "quiet_draw", "days_left", "lasts_the_night")
LOWEST: Final = "expected_lowest_state_of_charge"
ALL: Final = (*KEYS, LOWEST)

# Charge counts in Ah since midnight UTC: 1 A is drawn at all times, and 10 A are charged from 8:00 to 12:00.
_DRAWN_IN_A_DAY: Final = 20.0


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Let the recorder be prepared before Home Assistant."""


@pytest.fixture(autouse=True)
def _quiet_database(caplog: pytest.LogCaptureFixture) -> None:
    """Let the database not log all it does, which takes longer than doing it."""
    for name in ("sqlalchemy.engine", "homeassistant.components.recorder"):
        caplog.set_level(logging.WARNING, logger=name)


@pytest.fixture
async def hass(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> HomeAssistant:
    freezer.move_to(NOW)
    await hass.config.async_update(latitude=52.37, longitude=4.9, time_zone="Europe/Amsterdam")
    return hass


@pytest.fixture
async def recorder(hass: HomeAssistant, async_test_recorder: RecorderInstanceContextManager) -> AsyncGenerator[None]:
    """Record in memory."""
    async with async_test_recorder(hass):
        yield


@pytest.fixture
async def entry(hass: HomeAssistant, recorder: None, radio: Radio) -> AsyncGenerator[MockConfigEntry]:
    """Return the loaded entry of a device whose owner has entered a capacity of 100 Ah, at 60 %."""
    entry = make_entry()
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_CAPACITY: 100.0})
    await radio.send(state_of_charge=60.0, drawn_amphours=40.0, voltage=VOLTAGE)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    yield entry
    await hass.config_entries.async_unload(entry.entry_id)


def sunny(start: datetime) -> float:
    return 10.0 if 8 <= start.hour < 12 else -1.0


def quiet(_start: datetime) -> float:
    return -0.5


class Past:
    """What Home Assistant has recorded of the sensors."""

    def __init__(self, hass: HomeAssistant, radio: Radio) -> None:
        self.hass = hass
        self.radio = radio
        self.units = {"energy_charged": "kWh", "energy_discharged": "kWh", "voltage": "V", "consumed_amphours": "Ah"}
        self.classes = {"energy_charged": "energy", "energy_discharged": "energy", "voltage": "voltage"}

    async def record(
        self, current: Callable[[datetime], float] = sunny, *, hours: int = 16 * 24, until: datetime = NOW
    ) -> None:
        """Let it have recorded a current in A for so many hours, up to the last full one."""
        end = until.replace(minute=0, second=0)
        charged = discharged = 0.0
        consumed = -40.0
        rows: dict[str, list[StatisticData]] = defaultdict(list)
        for start in (end - number * HOUR for number in range(hours, 0, -1)):
            flow = current(start)
            charged += max(flow, 0.0) * VOLTAGE / 1000
            discharged += max(-flow, 0.0) * VOLTAGE / 1000
            rows["energy_charged"].append({"start": start, "state": charged, "sum": charged})
            rows["energy_discharged"].append({"start": start, "state": discharged, "sum": discharged})
            rows["voltage"].append({"start": start, "mean": VOLTAGE, "min": VOLTAGE, "max": VOLTAGE})
            low, high = sorted((consumed, consumed + flow))
            rows["consumed_amphours"].append({"start": start, "mean": (low + high) / 2, "min": low, "max": high})
            consumed += flow
        rows = {key: rows[key] for key in self.units}
        for key, found in rows.items():
            self.add(key, found[:1])
        await async_recorder_block_till_done(self.hass)
        await get_instance(self.hass).async_add_executor_job(self._insert, rows)
        await self.read()

    def _insert(self, rows: Mapping[str, list[StatisticData]]) -> None:
        """Insert all but the first rows at one go: an import looks each one up."""
        ids = {key: entity_id(self.hass, "sensor", key) for key in rows}
        known = get_metadata(self.hass, statistic_ids=set(ids.values()))
        with session_scope(session=get_instance(self.hass).get_session()) as session:
            for key, found in rows.items():
                number = known[ids[key]][0]
                session.add_all(Statistics.from_stats(number, row) for row in found[1:])
                # What the recorder goes on from.
                session.add(StatisticsShortTerm.from_stats(number, found[-1]))

    def add(self, key: str, rows: list[StatisticData], **metadata: object) -> None:
        """Let a user, or another integration, import statistics."""
        is_sum = key.startswith("energy")
        described = StatisticMetaData(
            mean_type=StatisticMeanType.NONE if is_sum else StatisticMeanType.ARITHMETIC,
            has_sum=is_sum,
            name=None,
            source="recorder",
            statistic_id=entity_id(self.hass, "sensor", key),
            unit_class=self.classes.get(key),
            unit_of_measurement=self.units[key],
        )
        async_import_statistics(self.hass, described | metadata, rows)  # type: ignore[arg-type]  # as the caller names it

    async def read(self) -> None:
        """Let the recorder work, and the next reading follow; then the device is heard again."""
        await async_recorder_block_till_done(self.hass)
        await self.radio.jump(READ_EVERY)
        await self.radio.send()

    async def go_on(self, duration: timedelta) -> None:
        """Let time pass, which the device has a part in."""
        self.radio.tick(duration)
        await self.read()


@pytest.fixture
def past(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> Past:
    return Past(hass, radio)


def shown(hass: HomeAssistant, *keys: str) -> list[str]:
    return [state_of(hass, "sensor", key).state for key in keys or ALL]


def unknown(hass: HomeAssistant, *keys: str) -> bool:
    return set(shown(hass, *keys)) == {STATE_UNKNOWN}


def number(hass: HomeAssistant, key: str) -> float:
    return float(state_of(hass, "sensor", key).state)


async def test_what_is_to_be_expected(hass: HomeAssistant, past: Past) -> None:
    """20 hours a day draw 1 Ah each. From 21:15 to 10:00 local time, 12.75 Ah of 60 are drawn."""
    assert unknown(hass)
    await past.record()
    assert number(hass, "use_from_battery") == pytest.approx(_DRAWN_IN_A_DAY)
    assert number(hass, "median_day") == pytest.approx(_DRAWN_IN_A_DAY)
    assert number(hass, "days_left") == pytest.approx(50 / 20)
    assert number(hass, LOWEST) == pytest.approx(60 - 12.75, abs=0.5)
    assert unknown(hass, "quiet_draw")
    lasts = state_of(hass, "sensor", "lasts_the_night")
    assert lasts.state == "yes"
    assert lasts.attributes["nights"] == 14
    assert lasts.attributes["discharge_floor"] == 10
    assert lasts.attributes["percentile_90"] <= lasts.attributes["percentile_50"]


async def test_the_quiet_draw_is_suggested_as_residual_current(
    hass: HomeAssistant, past: Past, entry: MockConfigEntry
) -> None:
    await past.record(quiet, hours=72)
    assert number(hass, "quiet_draw") == pytest.approx(500)
    assert await suggested(hass, entry) == 500
    hass.config_entries.async_update_entry(entry, options={CONF_CAPACITY: 100.0, CONF_RESIDUAL_CURRENT: 7.0})
    assert await suggested(hass, entry) == 7.0


async def test_no_residual_current_is_suggested_while_something_charges(
    hass: HomeAssistant, past: Past, entry: MockConfigEntry
) -> None:
    await past.record()
    assert await suggested(hass, entry) is None


async def suggested(hass: HomeAssistant, entry: MockConfigEntry) -> object:
    """Return what the form of the options suggests as residual current."""
    form = await hass.config_entries.options.async_init(entry.entry_id)
    assert form["data_schema"]
    (field,) = [field for field in form["data_schema"].schema if field == CONF_RESIDUAL_CURRENT]
    hass.config_entries.options.async_abort(form["flow_id"])
    description: Mapping[str, object] = field.description or {}
    return description.get("suggested_value")


# What Home Assistant itself makes of our sensors


async def test_statistics_that_home_assistant_has_compiled(hass: HomeAssistant, past: Past, radio: Radio) -> None:
    """After a day of half an ampere comes an hour of 24 A, whose last minute is not written any more."""
    await past.record(quiet, hours=30)
    radio.tick(HOUR - timedelta(minutes=15, seconds=30))
    begin = utcnow()
    for minute in range(61):
        await radio.confirm(current=-24.0, voltage=VOLTAGE, drawn_amphours=40 + 24 * minute / 60)
        radio.tick(timedelta(minutes=1))
    for period in range(12):
        do_adhoc_statistics(hass, start=begin + timedelta(minutes=5 * period))
    await past.read()
    assert number(hass, "use_from_battery") == pytest.approx(23 * 0.5 + 24, abs=1.1)


# What may go wrong


async def test_without_a_recorder_nothing_is_known(hass: HomeAssistant, radio: Radio) -> None:
    entry = make_entry()
    entry.add_to_hass(hass)
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.jump(READ_EVERY)
    assert "recorder" not in hass.config.components
    assert unknown(hass)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_a_database_that_cannot_be_read(
    hass: HomeAssistant, past: Past, caplog: pytest.LogCaptureFixture
) -> None:
    await past.record()
    with patch(f"{OUTLOOK}.statistics_during_period", side_effect=OperationalError("select", None, Exception())):
        await past.read()
    assert unknown(hass)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in warnings if record.name.startswith("custom_components")]
    await past.read()
    assert not unknown(hass, "days_left")


async def test_a_silent_device(hass: HomeAssistant, past: Past, radio: Radio) -> None:
    """What was used stays known for a while; what would be left is not."""
    await past.record()
    await radio.wait(timedelta(minutes=10))
    await radio.jump(READ_EVERY)
    assert number(hass, "use_from_battery") == pytest.approx(_DRAWN_IN_A_DAY)
    assert unknown(hass, "days_left", "lasts_the_night", LOWEST)
    await radio.send()
    assert not unknown(hass, "days_left")
    await past.go_on(4 * HOUR)
    assert unknown(hass)


async def test_statistics_that_were_deleted(hass: HomeAssistant, past: Past) -> None:
    await past.record()
    ids = [entity_id(hass, "sensor", key) for key in past.units]
    get_instance(hass).async_clear_statistics(ids)
    await past.read()
    assert unknown(hass)
    await past.record(hours=19)
    assert not unknown(hass, "use_from_battery", "days_left")
    assert unknown(hass, "lasts_the_night", LOWEST)


@pytest.mark.parametrize("adjustment", [-3.0, 5.0])
async def test_a_sum_that_was_adjusted_by_hand(hass: HomeAssistant, past: Past, adjustment: float) -> None:
    """What cannot be true is left out: of that hour, and of the one after it, nothing is known."""
    await past.record()
    get_instance(hass).async_adjust_statistics(
        statistic_id=entity_id(hass, "sensor", "energy_discharged"),
        start_time=(NOW - 5 * HOUR).replace(minute=0, second=0),
        sum_adjustment=adjustment,
        adjustment_unit="kWh",
    )
    await past.read()
    assert number(hass, "use_from_battery") == pytest.approx(_DRAWN_IN_A_DAY, abs=1)


@pytest.mark.parametrize(("key", "unit"), [("energy_discharged", "MWh"), ("voltage", "mV"), ("energy_charged", "GJ")])
async def test_another_unit(hass: HomeAssistant, past: Past, key: str, unit: str) -> None:
    await past.record()
    before = shown(hass, *KEYS)
    er.async_get(hass).async_update_entity_options(
        entity_id(hass, "sensor", key), "sensor", {"unit_of_measurement": unit}
    )
    await past.read()
    assert state_of(hass, "sensor", key).attributes["unit_of_measurement"] == unit
    assert shown(hass, *KEYS) == before


@pytest.mark.parametrize("key", ["energy_discharged", "energy_charged", "voltage"])
async def test_statistics_whose_unit_is_not_understood(hass: HomeAssistant, past: Past, key: str) -> None:
    """As a user can make them under the developer tools."""
    await past.record()
    statistic = entity_id(hass, "sensor", key)
    async_update_statistics_metadata(hass, statistic, new_unit_class=None, new_unit_of_measurement="bananas")
    await past.read()
    assert unknown(hass)
    async_update_statistics_metadata(
        hass, statistic, new_unit_class=past.classes[key], new_unit_of_measurement=past.units[key]
    )
    await past.read()
    assert not unknown(hass, "days_left")


async def test_sensors_that_were_renamed(hass: HomeAssistant, past: Past) -> None:
    await past.record()
    before = shown(hass, *KEYS)
    for key in past.units:
        er.async_get(hass).async_update_entity(
            entity_id(hass, "sensor", key), new_entity_id=f"sensor.boat_{key}_of_mine"
        )
    await past.read()
    assert shown(hass, *KEYS) == before


async def test_a_sensor_that_was_disabled(hass: HomeAssistant, past: Past, entry: MockConfigEntry) -> None:
    registry = er.async_get(hass)
    await past.record()
    voltage = entity_id(hass, "sensor", "voltage")
    registry.async_update_entity(voltage, disabled_by=er.RegistryEntryDisabler.USER)
    assert await hass.config_entries.async_reload(entry.entry_id)
    del past.units["voltage"]
    await past.go_on(4 * HOUR)
    await past.record(hours=3, until=NOW + 4 * HOUR)
    assert unknown(hass)


async def test_daylight_saving_ends(hass: HomeAssistant, past: Past, radio: Radio) -> None:
    """The evening begins with 5 A at nine by the clock of the wall: all nights are alike."""
    later = datetime(2026, 10, 29, 20, 0, 30, tzinfo=dt_util.UTC)
    zone = dt_util.get_default_time_zone()

    def by_the_clock(start: datetime) -> float:
        hour = start.astimezone(zone).hour
        return 10.0 if 9 <= hour < 14 else -5.0 if 21 <= hour < 22 else -1.0

    radio.freezer.move_to(later)
    await past.record(by_the_clock, until=later)
    lasts = state_of(hass, "sensor", "lasts_the_night")
    assert lasts.attributes["nights"] == 14
    # The hour that one of the nights has more is all that differs.
    assert lasts.attributes["percentile_50"] == pytest.approx(60 - 0.75 * 5 - 11, abs=0.2)
    assert lasts.attributes["percentile_90"] == pytest.approx(lasts.attributes["percentile_50"], abs=1.1)


async def test_a_clock_that_was_a_day_ahead(hass: HomeAssistant, past: Past, radio: Radio) -> None:
    """What was recorded ahead of time is not that of today, and the hour after it counts what was not recorded."""
    await past.record(until=NOW + 6 * HOUR)
    assert unknown(hass)
    await past.go_on(7 * HOUR)
    await past.record(lambda _start: -30.0, hours=1, until=NOW + 7 * HOUR)
    assert unknown(hass)


async def test_a_clock_that_jumped_ahead(hass: HomeAssistant, past: Past) -> None:
    """Of the hours that it left out nothing is known, nor of the one that counts what flowed meanwhile."""
    await past.record()
    await past.go_on(12 * HOUR)
    assert unknown(hass)


FAR_AWAY: Final = {"time_zone": "America/New_York"}


@pytest.mark.parametrize("place", [FAR_AWAY, {"latitude": 28.1, "longitude": -15.4}, {"longitude": -73.9}])
async def test_nights_elsewhere_tell_nothing(hass: HomeAssistant, past: Past, place: dict[str, Any]) -> None:
    await past.record()
    await hass.config.async_update(**place)
    await past.radio.settle()
    assert unknown(hass, "lasts_the_night", LOWEST)
    assert number(hass, "use_from_battery") == pytest.approx(_DRAWN_IN_A_DAY)
    assert not unknown(hass, "days_left")


async def test_nights_nearby_are_the_same(hass: HomeAssistant, past: Past) -> None:
    await past.record()
    await hass.config.async_update(latitude=51.5, longitude=-0.1, time_zone="Europe/London")
    await past.radio.settle()
    assert state_of(hass, "sensor", "lasts_the_night").state == "yes"


async def test_after_five_nights_in_the_new_place_they_count(hass: HomeAssistant, past: Past) -> None:
    await past.record()
    await hass.config.async_update(**FAR_AWAY)
    await past.radio.settle()
    later = NOW + 5 * DAY + READ_EVERY
    past.radio.tick(later - utcnow())
    get_instance(hass).async_clear_statistics([entity_id(hass, "sensor", key) for key in past.units])
    await past.record(until=later)
    assert state_of(hass, "sensor", "lasts_the_night").attributes["nights"] == 5


@pytest.mark.parametrize(("longitude", "known"), [(4.9, True), (-73.9, False)])
async def test_a_restart_remembers_where_the_nights_were(
    hass: HomeAssistant, recorder: None, radio: Radio, longitude: float, known: bool
) -> None:
    """Set to be elsewhere while it was down."""
    entry = make_entry()
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_CAPACITY: 100.0})
    place = {"latitude": 52.37, "longitude": longitude, "utc_offset": 1.0, "since": 0.0}
    entity = "sensor.smallbms_ng_lasts_the_night"
    er.async_get(hass).async_get_or_create(
        "sensor", DOMAIN, f"{ADDRESS.lower()}_lasts_the_night", suggested_object_id=entity.removeprefix("sensor.")
    )
    mock_restore_cache_with_extra_data(hass, [(State(entity, "yes"), place)])
    await radio.send(state_of_charge=60.0, drawn_amphours=40.0, voltage=VOLTAGE)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    await Past(hass, radio).record()
    assert (not unknown(hass, "lasts_the_night")) is known
    await hass.config_entries.async_unload(entry.entry_id)


async def shut_down(past: Past, state_of_charge: float) -> None:
    """Let low cell voltage switch the loads off, at a state of charge that the hour is recorded with."""
    await past.radio.send_levels({LevelField.LOW_CELL_VOLTAGE: Level.WARNING})
    await past.radio.send_levels({LevelField.LOW_CELL_VOLTAGE: Level.ALARM})
    past.units["battery_level"] = "%"
    start = utcnow().replace(minute=0, second=0, microsecond=0)
    past.add("battery_level", [{"start": start, "mean": 50.0, "min": state_of_charge, "max": 60.0}])
    del past.units["battery_level"]


@pytest.mark.parametrize(("state_of_charge", "floor"), [(34.0, 34.0), (8.0, 10.0)])
async def test_cells_that_were_empty_above_the_floor(
    hass: HomeAssistant, past: Past, state_of_charge: float, floor: float
) -> None:
    """As those of a bank that has aged: what is below that cannot be used."""
    await shut_down(past, state_of_charge)
    await past.record()
    assert state_of(hass, "sensor", "lasts_the_night").attributes["discharge_floor"] == floor
    assert number(hass, "days_left") == pytest.approx((60 - floor) / 20, abs=0.05)


async def test_a_shutdown_is_one_whatever_was_heard_in_between(hass: HomeAssistant, past: Past) -> None:
    """A device that was silent, or a restart, makes no new one of it at another state of charge."""
    await shut_down(past, 34.0)
    past.radio.tick(2 * HOUR)
    await past.radio.jump(READ_EVERY)
    assert state_of(hass, "sensor", "low_cell_voltage").state == "unavailable"
    past.units["battery_level"] = "%"
    start = utcnow().replace(minute=0, second=0, microsecond=0)
    past.add("battery_level", [{"start": start, "mean": 50.0, "min": 50.0, "max": 60.0}])
    del past.units["battery_level"]
    await past.radio.confirm()
    await past.record(until=utcnow())
    assert state_of(hass, "sensor", "low_cell_voltage").state == "alarm"
    assert state_of(hass, "sensor", "lasts_the_night").attributes["discharge_floor"] == 34


@pytest.mark.parametrize(
    ("latitude", "longitude", "zone"),
    [
        (52.4, 4.9, "Europe/Amsterdam"),
        (-36.8, 174.8, "Pacific/Auckland"),
        (19.1, 72.9, "Asia/Kolkata"),
        (21.3, -157.9, "Pacific/Honolulu"),
    ],
)
async def test_nights_all_over_the_world(hass: HomeAssistant, latitude: float, longitude: float, zone: str) -> None:
    """Each is the one that follows its beginning, or that is just ending."""
    await hass.config.async_update(latitude=latitude, longitude=longitude, time_zone=zone)
    for now in (NOW + number * 3 * HOUR for number in range(8)):
        nights = list(nights_before(hass, now))
        assert [night.begin for night in nights] == [(now - ago * DAY).timestamp() for ago in range(1, 15)]
        check(nights)


def check(nights: list[Night]) -> None:
    for night in nights:
        assert night.sunset < night.sunrise < night.midday < night.sunset + DAY.total_seconds()
        assert -2 <= (night.sunrise - night.begin) / HOUR.total_seconds() <= 22.1


async def test_there_are_no_nights_where_the_sun_does_not_set(hass: HomeAssistant) -> None:
    await hass.config.async_update(latitude=69.6, longitude=18.9)
    assert list(nights_before(hass, NOW)) == []
