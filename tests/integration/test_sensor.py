"""The sensors and binary sensors of one device."""

from datetime import datetime, timedelta
from functools import partial

from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.const import EVENT_STATE_REPORTED, STATE_UNAVAILABLE, STATE_UNKNOWN, EntityCategory
from homeassistant.core import Event, EventStateChangedData, EventStateReportedData, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.smallbms_ng.const import CONF_CAPACITY, CONF_UPDATE_INTERVAL, DOMAIN
from emulator.snapshot import IoField, Level, LevelField, Snapshot
from tests.options import WITHOUT_STATE_OF_CHARGE

from .conftest import ADDRESS, FIRST_SNAPSHOT, UNTIL_SILENT, Radio, entity_id, state_of

LEVEL_KEYS = {
    LevelField.LOW_CELL_VOLTAGE: "low_cell_voltage",
    LevelField.BATTERY_COMMUNICATION: "battery_communication",
    LevelField.LOW_SOC: "low_soc",
    LevelField.LOW_BANK_VOLTAGE: "low_bank_voltage",
    LevelField.HIGH_BATTERY_TEMPERATURE: "high_temperature",
}


@pytest.mark.skipif(f"config.getoption('{WITHOUT_STATE_OF_CHARGE}')", reason="another source is shown")
async def test_entities(hass: HomeAssistant, entry: MockConfigEntry, snapshot: SnapshotAssertion) -> None:
    entities = sorted(
        er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id), key=lambda found: found.entity_id
    )
    assert entities
    for found in entities:
        assert found == snapshot(name=f"{found.entity_id}-entry")
        if found.original_device_class != SensorDeviceClass.TIMESTAMP:
            assert hass.states.get(found.entity_id) == snapshot(name=f"{found.entity_id}-state")


async def test_device(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    (device,) = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert device.identifiers == {(DOMAIN, ADDRESS)}
    assert device.connections == {(dr.CONNECTION_BLUETOOTH, ADDRESS)}
    assert (device.manufacturer, device.model, device.model_id) == ("Victron Energy", "smallBMS NG", "0xA3EC")
    assert device.name == entry.title


@pytest.mark.usefixtures("entry")
async def test_what_the_device_does_not_give_is_unknown(hass: HomeAssistant, radio: Radio) -> None:
    radio.snapshot = Snapshot()
    await radio.confirm()
    for key in ("battery_level", "voltage", "current", "power", "time_to_go", "temperature", "consumed_amphours"):
        assert state_of(hass, "sensor", key).state == STATE_UNKNOWN
    for key in (*LEVEL_KEYS.values(), "status"):
        assert state_of(hass, "sensor", key).state == STATE_UNKNOWN
    for key in (
        "allowed_to_charge",
        "allowed_to_discharge",
        "pre_alarm",
        "charging",
        "battery_low",
        "problem",
        "remote_on",
    ):
        assert state_of(hass, "binary_sensor", key).state == STATE_UNKNOWN


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize("level", [Level.OK, Level.WARNING, Level.ALARM])
@pytest.mark.parametrize(("field", "key"), LEVEL_KEYS.items())
async def test_level(hass: HomeAssistant, radio: Radio, field: LevelField, key: str, level: Level) -> None:
    await radio.send_levels({field: level})
    assert {other: state_of(hass, "sensor", other).state for other in LEVEL_KEYS.values()} == {
        **dict.fromkeys(LEVEL_KEYS.values(), "ok"),
        key: level.value,
    }


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(
    ("levels", "error", "status", "codes"),
    [
        ({}, 0, "ok", []),
        ({LevelField.LOW_SOC: Level.WARNING}, 0, "warning", ["W-B07"]),
        ({LevelField.LOW_SOC: Level.WARNING, LevelField.LOW_CELL_VOLTAGE: Level.ALARM}, 0, "alarm", ["A-B01", "W-B07"]),
        ({LevelField.BATTERY_COMMUNICATION: Level.WARNING}, 11, "error", ["E-B11", "W-B05"]),
        ({LevelField.HIGH_CURRENT: Level.ALARM}, 77, "error", ["E-B77", "A-B02"]),
    ],
)
async def test_status_and_codes(
    hass: HomeAssistant, radio: Radio, levels: dict[LevelField, Level], error: int, status: str, codes: list[str]
) -> None:
    await radio.confirm(error=error)
    await radio.send_levels(levels)
    state = state_of(hass, "sensor", "status")
    assert (state.state, state.attributes["codes"]) == (status, codes)
    assert state_of(hass, "binary_sensor", "problem").state == ("on" if codes else "off")


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(("error", "state"), [(0, "none"), (1, "e_b01"), (9, "e_b09"), (7, "E-B07"), (255, "E-B255")])
async def test_error(hass: HomeAssistant, radio: Radio, error: int, state: str) -> None:
    await radio.confirm(error=error)
    assert state_of(hass, "sensor", "error").state == state
    assert state in state_of(hass, "sensor", "error").attributes["options"]


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(
    ("field", "key"),
    [
        (IoField.ALLOWED_TO_CHARGE, "allowed_to_charge"),
        (IoField.ALLOWED_TO_DISCHARGE, "allowed_to_discharge"),
        (IoField.REMOTE_ON, "remote_on"),
    ],
)
@pytest.mark.parametrize(("value", "state"), [(True, "on"), (False, "off"), (None, STATE_UNKNOWN)])
async def test_io(hass: HomeAssistant, radio: Radio, field: IoField, key: str, value: bool | None, state: str) -> None:
    await radio.confirm(io={**FIRST_SNAPSHOT.io, field: value})
    assert state_of(hass, "binary_sensor", key).state == state


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(
    ("field", "level", "pre_alarm", "battery_low"),
    [
        (LevelField.LOW_CELL_VOLTAGE, Level.WARNING, "on", "on"),
        (LevelField.LOW_CELL_VOLTAGE, Level.ALARM, "on", "on"),
        (LevelField.LOW_SOC, Level.WARNING, "on", "on"),
        (LevelField.LOW_SOC, Level.ALARM, "on", "on"),
        (LevelField.LOW_BANK_VOLTAGE, Level.ALARM, "off", "on"),
        (LevelField.HIGH_BATTERY_TEMPERATURE, Level.ALARM, "off", "off"),
        (LevelField.LOW_SOC, Level.OK, "off", "off"),
    ],
)
async def test_pre_alarm_and_battery_low(
    hass: HomeAssistant, radio: Radio, field: LevelField, level: Level, pre_alarm: str, battery_low: str
) -> None:
    await radio.send_levels({field: level})
    assert state_of(hass, "binary_sensor", "pre_alarm").state == pre_alarm
    assert state_of(hass, "binary_sensor", "battery_low").state == battery_low


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(("current", "charging"), [(0.3, "on"), (0.2, "off"), (0.0, "off"), (-0.3, "off")])
async def test_charging(hass: HomeAssistant, radio: Radio, current: float, charging: str) -> None:
    await radio.confirm(current=current, error=1)
    assert state_of(hass, "binary_sensor", "charging").state == charging


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(("first", "charging"), [(0.0, "off"), (5.0, "on")])
async def test_charging_does_not_flap(hass: HomeAssistant, radio: Radio, first: float, charging: str) -> None:
    """In the dead band, it stays what it was."""
    await radio.confirm(current=first, error=1)
    writes = Writes(hass, entity_id(hass, "binary_sensor", "charging"))
    for _ in range(5):
        for current in (0.1, 0.2):
            await radio.send(current=current)
            await radio.wait(timedelta(seconds=6))
    assert state_of(hass, "binary_sensor", "charging").state == charging
    assert writes.states == []


@pytest.mark.usefixtures("entry")
async def test_power_is_voltage_times_current(hass: HomeAssistant, radio: Radio) -> None:
    await radio.confirm(voltage=12.5, current=10.0, error=1)
    assert state_of(hass, "sensor", "power").state == "125.0"


@pytest.mark.usefixtures("entry")
async def test_categories_keep_the_device_page_short(hass: HomeAssistant) -> None:
    registry = er.async_get(hass)
    diagnostic = {*LEVEL_KEYS.values(), "error"}
    for key in diagnostic:
        found = registry.async_get(entity_id(hass, "sensor", key))
        assert found
        assert found.entity_category is EntityCategory.DIAGNOSTIC


class Writes:
    """Counts the state changes of one entity."""

    def __init__(self, hass: HomeAssistant, entity: str) -> None:
        self.states: list[str] = []
        self.undo = async_track_state_change_event(hass, entity, self._changed)
        self.reported = 0
        self.undo_reported = hass.bus.async_listen(
            EVENT_STATE_REPORTED, self._reported, event_filter=callback(lambda data: data["entity_id"] == entity)
        )

    @callback
    def _changed(self, event: Event[EventStateChangedData]) -> None:
        if new := event.data["new_state"]:
            self.states.append(new.state)

    @callback
    def _reported(self, _event: Event[EventStateReportedData]) -> None:
        self.reported += 1


@pytest.mark.usefixtures("entry")
async def test_measurements_wait_for_the_interval(hass: HomeAssistant, radio: Radio) -> None:
    writes = Writes(hass, entity_id(hass, "sensor", "voltage"))
    for voltage in (13.1, 13.2, 13.4):
        await radio.send(voltage=voltage)
    assert writes.states == []
    await radio.wait(timedelta(seconds=5))
    assert writes.states == ["13.4"]
    await radio.wait(timedelta(seconds=5))
    await radio.send(voltage=13.5)
    assert writes.states == ["13.4", "13.5"]


@pytest.mark.usefixtures("entry")
async def test_small_changes_wait_for_the_minute(hass: HomeAssistant, radio: Radio) -> None:
    """A large one comes at once, also between them; power and current are then the mean of the minute."""
    writes = Writes(hass, entity_id(hass, "sensor", "current"))
    for second in range(70):
        radio.advertise(current=-4.2 - second % 2 * 0.4)
        await radio.jump(timedelta(seconds=1))
    assert writes.states == ["-4.4"]
    for _ in range(2):
        await radio.send(current=-9.0)
    assert writes.states == ["-4.4", "-9.0"]
    assert float(state_of(hass, "sensor", "power").state) == pytest.approx(-9.0 * 13.28, abs=0.05)


@pytest.fixture
async def every_second(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Let the owner choose an update interval of a second."""
    hass.config_entries.async_update_entry(entry, options={CONF_UPDATE_INTERVAL: 1})
    assert await hass.config_entries.async_reload(entry.entry_id)


@pytest.mark.usefixtures("every_second")
async def test_at_an_interval_of_a_second_every_change_is_written(hass: HomeAssistant, radio: Radio) -> None:
    writes = Writes(hass, entity_id(hass, "sensor", "voltage"))
    voltages = [13.2, 13.21, 13.2, 13.22]
    for voltage in voltages:
        await radio.send(voltage=voltage)
        await radio.wait(timedelta(seconds=1))
    assert writes.states == list(map(str, voltages))


async def test_listeners_hear_only_of_what_they_follow(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    coordinator = entry.runtime_data.instant_readout
    heard: list[str] = []
    follows = {"voltage": {"voltage"}, "codes": {"error", "low_soc"}, "nothing": set(), "all": None}
    for name, quantities in follows.items():
        coordinator.async_add_listener(partial(heard.append, name), quantities)
    await radio.wait(timedelta(seconds=5))
    await radio.send(voltage=13.0)
    assert heard == ["voltage", "all"]
    heard.clear()
    await radio.wait(timedelta(seconds=5))
    await radio.send(voltage=13.01)
    assert heard == []
    await radio.confirm(error=9)
    assert heard == ["voltage", "codes", "all"]
    heard.clear()
    await radio.wait(UNTIL_SILENT)
    assert set(heard) == set(follows), "all hear of silence"


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(("current", "power"), [(-0.04, "0.0"), (0.0, "0.0"), (-0.1, "-1.3")])
async def test_nothing_is_minus_zero(hass: HomeAssistant, radio: Radio, current: float, power: str) -> None:
    await radio.confirm(current=current, drawn_amphours=0.0, error=1)
    assert state_of(hass, "sensor", "power").state == power
    for key in ("current", "power", "consumed_amphours"):
        assert state_of(hass, "sensor", key).state != "-0.0"


@pytest.mark.usefixtures("entry")
async def test_codes_and_permissions_do_not_wait(hass: HomeAssistant, radio: Radio) -> None:
    await radio.send_levels({LevelField.LOW_SOC: Level.WARNING})
    assert state_of(hass, "sensor", "low_soc").state == "warning"
    await radio.confirm(io={**FIRST_SNAPSHOT.io, IoField.ALLOWED_TO_DISCHARGE: False})
    assert state_of(hass, "binary_sensor", "allowed_to_discharge").state == "off"
    await radio.confirm(error=9)
    assert state_of(hass, "sensor", "error").state == "e_b09"


@pytest.mark.usefixtures("entry")
async def test_only_what_changed_is_written(hass: HomeAssistant, radio: Radio) -> None:
    """Not even the same state again, which Home Assistant would report."""
    writes = Writes(hass, entity_id(hass, "sensor", "temperature"))
    for voltage in (13.1, 13.2, 13.3):
        await radio.send(voltage=voltage)
        await radio.wait(timedelta(seconds=10))
    assert state_of(hass, "sensor", "voltage").state == "13.3"
    assert (writes.states, writes.reported) == ([], 0)


@pytest.mark.usefixtures("entry")
async def test_available_and_unknown_differ(hass: HomeAssistant, radio: Radio) -> None:
    await radio.confirm(time_to_go=None, error=1)
    assert state_of(hass, "sensor", "time_to_go").state == STATE_UNKNOWN
    assert state_of(hass, "sensor", "voltage").state != STATE_UNAVAILABLE


@pytest.mark.usefixtures("entry")
async def test_an_automation_on_the_pre_alarm_finds_the_codes(hass: HomeAssistant, radio: Radio) -> None:
    """It may run before all entities are written."""
    found: list[object] = []

    @callback
    def pre_alarm_changed(_event: Event[EventStateChangedData]) -> None:
        found.append(state_of(hass, "sensor", "status").attributes["codes"])

    async_track_state_change_event(hass, entity_id(hass, "binary_sensor", "pre_alarm"), pre_alarm_changed)
    await radio.send_levels({LevelField.LOW_CELL_VOLTAGE: Level.WARNING})
    assert found == [["W-B01"]]


@pytest.mark.usefixtures("entry")
async def test_last_heard_is_written_once_a_minute(hass: HomeAssistant, radio: Radio) -> None:
    entity = entity_id(hass, "sensor", "last_heard")
    writes = Writes(hass, entity)
    for second in range(120):
        radio.advertise(current=second / 10)
        await radio.jump(timedelta(seconds=1))
    assert len(writes.states) == 2
    heard = datetime.fromisoformat(state_of(hass, "sensor", "last_heard").state)
    assert abs(heard - radio.later(0)) < timedelta(seconds=2)


@pytest.mark.usefixtures("entry")
async def test_last_heard_stays_while_the_device_is_silent(hass: HomeAssistant, radio: Radio) -> None:
    await radio.wait(timedelta(minutes=2))
    before = state_of(hass, "sensor", "last_heard").state
    await radio.wait(timedelta(minutes=20))
    assert state_of(hass, "sensor", "voltage").state == STATE_UNAVAILABLE
    assert state_of(hass, "sensor", "last_heard").state == before


@pytest.mark.usefixtures("entry")
async def test_time_to_full(hass: HomeAssistant, radio: Radio) -> None:
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    hass.config_entries.async_update_entry(entry, options={CONF_CAPACITY: 200.0})
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.confirm(state_of_charge=50.0, drawn_amphours=100.0, current=20.0, error=1)
    assert float(state_of(hass, "sensor", "time_to_full").state) == pytest.approx(5.0)
    await radio.confirm(current=-20.0, error=0)
    assert state_of(hass, "sensor", "time_to_full").state == STATE_UNKNOWN
