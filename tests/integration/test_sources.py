"""Every value has a source and an age: over connections, restarts, and clocks that are wrong."""

from collections.abc import AsyncGenerator, Callable
from copy import deepcopy
from datetime import timedelta
from itertools import pairwise
import logging
from typing import Any, Final

from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import CONF_CAPACITY, CONF_KEY, CONF_PAGES_INTERVAL, DOMAIN
from custom_components.smallbms_ng.issues import ASKED_AFTER
from custom_components.smallbms_ng.pages import SETTINGS_SHOWN_FOR, SHOWN_FOR
from emulator.personality.quirks import Quirks
from emulator.snapshot import Level, LevelField
from tests.options import WITHOUT_STATE_OF_CHARGE

from .bench import Bench, a_bench, is_lost
from .conftest import ADDRESS, Radio, make_entry, state_of
from .repairs_client import Repair

# A device without a state of charge is what much of this is about.
pytestmark = pytest.mark.skipif(f"config.getoption('{WITHOUT_STATE_OF_CHARGE}')", reason="begins with one that has it")

MINUTE: Final = timedelta(minutes=1)
SECOND: Final = timedelta(seconds=1)
BOOT_ID: Final = "custom_components.smallbms_ng.clock.BOOT_ID"
CHARGED_ENERGY: Final = 0x0311
STATE_OF_CHARGE: Final = 0x0FFF
ALL_OK: Final = dict.fromkeys(LevelField, Level.OK)
EMPTY: Final = {**ALL_OK, LevelField.LOW_SOC: Level.ALARM}


def charge(hass: HomeAssistant) -> tuple[str, object]:
    """Return the state of charge that is shown, and its source."""
    state = state_of(hass, "sensor", "battery_level")
    return state.state, state.attributes.get("source")


@pytest.fixture
async def owner(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    """Return a bench whose device does not advertise its state of charge, as one that an owner reported."""
    radio.device.advertises_state_of_charge = False
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


async def live(bench: Bench, minutes: int, current: float) -> None:
    """Let a battery live that is heard every 30 s."""
    for _ in range(2 * minutes):
        bench.bms.step(current=current, ambient=20, seconds=30)
        await bench.wait(timedelta(seconds=30))


# A record without a state of charge


async def test_with_a_pin_it_is_read_and_moved_on(owner: Bench) -> None:
    await owner.load()
    assert charge(owner.hass) == ("50.0", "connection")
    changes: list[Event[EventStateChangedData]] = async_capture_events(owner.hass, EVENT_STATE_CHANGED)
    await live(owner, 30, current=-40)
    level = owner.state("sensor", "battery_level")
    shown = levels(changes, level.entity_id)
    assert float(level.state) == pytest.approx(owner.bms.monitor.state_of_charge, abs=0.3)
    assert float(level.state) < 45
    steps = [later - earlier for earlier, later in pairwise(shown)]
    # A third of a percent is drawn between two records, and a move of more than half a percent is written.
    assert -0.7 < min(steps) <= max(steps) < 0.15, "it never jumps"
    assert float(owner.state("sensor", "remaining_amphours").state) == pytest.approx(2 * float(level.state), abs=0.2)


def levels(changes: list[Event[EventStateChangedData]], entity: str) -> list[float]:
    """Return the states of charge that were shown, one after the other; it was never unknown."""
    states = [change.data["new_state"] for change in changes if change.data["entity_id"] == entity]
    return [float(state.state) for state in states if state]


async def test_while_the_phone_has_it_nothing_is_lost(owner: Bench) -> None:
    """No connection comes about for hours; the records go on."""
    await owner.load()
    owner.device.faults.refuse_connections = True
    await live(owner, 90, current=-40)
    assert is_lost(owner)
    state, source = charge(owner.hass)
    assert float(state) == pytest.approx(owner.bms.monitor.state_of_charge, abs=0.6)
    assert source == "calculated"


async def test_with_a_key_and_the_capacity_it_is_calculated(hass: HomeAssistant, radio: Radio) -> None:
    radio.device.advertises_state_of_charge = False
    entry = make_entry()
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_CAPACITY: 100.0})
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    assert charge(hass) == ("76.5", "calculated")
    assert state_of(hass, "sensor", "remaining_amphours").state == "76.5"
    assert await hass.config_entries.async_unload(entry.entry_id)


@pytest.fixture
async def without_capacity(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[MockConfigEntry]:
    """Return the loaded entry of a device of which only the key is known."""
    radio.device.advertises_state_of_charge = False
    entry = make_entry()
    entry.add_to_hass(hass)
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    yield entry
    await hass.config_entries.async_unload(entry.entry_id)


async def hear(radio: Radio, duration: timedelta) -> None:
    """Let a quiet battery be heard for a while."""
    for _ in range(duration // MINUTE):
        radio.advertise()
        await radio.jump(MINUTE)


def asked(hass: HomeAssistant, entry: MockConfigEntry) -> bool:
    return ir.async_get(hass).async_get_issue(DOMAIN, f"capacity_unknown.{entry.entry_id}") is not None


async def test_the_capacity_is_asked_for(
    hass: HomeAssistant, radio: Radio, without_capacity: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    await hear(radio, ASKED_AFTER - MINUTE)
    assert not asked(hass, without_capacity)
    await hear(radio, 2 * MINUTE)
    assert asked(hass, without_capacity)
    assert charge(hass) == (STATE_UNKNOWN, None)

    repair = Repair(hass, hass_client)
    await repair.begin("capacity_unknown")
    with pytest.raises(AssertionError, match="too small"):
        await repair.submit(capacity=0)
    await repair.submit(capacity=200)
    assert repair.answer["type"] == "create_entry"
    await radio.settle()
    await radio.send()
    assert charge(hass) == ("88.2", "calculated")
    assert not asked(hass, without_capacity)
    assert without_capacity.options[CONF_CAPACITY] == 200


@pytest.mark.parametrize("missing", ["silent", "no amp hours"])
async def test_the_capacity_is_not_asked_for_where_it_would_not_help(
    hass: HomeAssistant, radio: Radio, without_capacity: MockConfigEntry, missing: str
) -> None:
    if missing == "no amp hours":
        await radio.send(drawn_amphours=None)
        await hear(radio, ASKED_AFTER + MINUTE)
    else:
        await radio.wait(ASKED_AFTER + MINUTE)
    assert not asked(hass, without_capacity)


# Ages


async def test_each_quantity_ages_by_itself(owner: Bench) -> None:
    """Connections go on, but give neither a state of charge nor the levels; advertisements have ended."""
    owner.device.advertises_state_of_charge = True
    await owner.load(Quirks(missing={STATE_OF_CHARGE, 0x2107, 0x2101}))
    await owner.wait(SECOND)
    assert charge(owner.hass)[0] == "50.0"
    assert owner.state("binary_sensor", "problem").state == "off"
    owner.device.faults.silent = True
    for _ in range(36):
        await owner.wait(timedelta(minutes=5))
    assert not is_lost(owner)
    assert owner.state("sensor", "voltage").state != STATE_UNAVAILABLE
    assert owner.state("binary_sensor", "problem").state == STATE_UNKNOWN
    assert charge(owner.hass)[0] in {STATE_UNKNOWN, "50.0"}
    assert charge(owner.hass)[1] != "advertised"


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_is_read_on_demand_ages_too(hass: HomeAssistant, radio: Radio, restarts: bool) -> None:
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0})) as bench:
        await bench.load()
        await bench.press("read_now")
        assert bench.state("sensor", "cell_voltage_min").state != STATE_UNAVAILABLE
        await bench.wait(SHOWN_FOR + timedelta(minutes=10))
        await bench.wait(timedelta(minutes=5))
        assert bench.state("sensor", "cell_voltage_min").state == STATE_UNAVAILABLE
        assert bench.state("number", "discharge_floor").state == "10.0"
        await bench.wait(SETTINGS_SHOWN_FOR)
        if restarts:
            await bench.reload()
        await bench.wait(timedelta(minutes=5))
        assert bench.state("number", "discharge_floor").state == STATE_UNAVAILABLE
        await bench.press("read_now")
        assert bench.state("number", "discharge_floor").state == "10.0"


# Clocks


@pytest.mark.parametrize("step", [timedelta(hours=-2), timedelta(days=30)], ids=["put back", "far ahead"])
async def test_a_clock_that_jumps_changes_nothing(owner: Bench, step: timedelta) -> None:
    """It is set after a connection; then the battery is discharged until the BMS switches the loads off."""
    owner.device.advertises_state_of_charge = True
    await owner.load()
    changes: list[Event[EventStateChangedData]] = async_capture_events(owner.hass, EVENT_STATE_CHANGED)
    owner.radio.freezer.move_to(utcnow() + step)
    for _ in range(42):
        await live(owner, 5, current=-24)
    entity = owner.state("sensor", "battery_level").entity_id
    shown = levels(changes, entity)
    assert owner.state("sensor", "low_soc").state == "alarm"
    assert float(charge(owner.hass)[0]) == pytest.approx(owner.bms.monitor.state_of_charge, abs=0.2)
    assert shown == sorted(shown, reverse=True)
    event = owner.state("event", "code").entity_id
    told = [change.data["new_state"] for change in changes if change.data["entity_id"] == event]
    assert [state.attributes["code"] for state in told if state] == ["W-B07", "W-B07", "A-B07"]


# Restarts


async def test_with_a_pin_alone_a_restart_shows_what_was_known(hass: HomeAssistant, radio: Radio) -> None:
    bench = Bench(hass, radio)
    data = {key: value for key, value in bench.entry.data.items() if key != CONF_KEY}
    hass.config_entries.async_update_entry(bench.entry, data=data)
    async with a_bench(bench):
        await bench.load()
        assert charge(hass) == ("50.0", "connection")
        await bench.unload()
        bench.device.faults.refuse_connections = True
        await bench.load()
        assert charge(hass) == ("50.0", "restored")
        assert bench.state("sensor", "error").state == "none"
        for _ in range(5):
            await bench.wait(timedelta(minutes=3))
        assert charge(hass)[0] == STATE_UNAVAILABLE


async def test_after_a_reload_a_repeated_packet_is_read(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    """Bluetooth tells it to nobody else, since it is the same as before."""
    radio.device.faults.repeated = True
    await radio.send()
    assert await hass.config_entries.async_unload(entry.entry_id)
    await radio.wait(timedelta(minutes=12))
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert state_of(hass, "sensor", "voltage").state == STATE_UNAVAILABLE
    await radio.send()
    assert state_of(hass, "sensor", "voltage").state == "13.28"


async def test_killed_while_a_code_is_active(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """Home Assistant itself keeps states every 15 minutes only."""
    for _ in range(3):
        radio.clock.now += 1
        await radio.send()
    await radio.confirm(levels=EMPTY)
    before = state_of(hass, "event", "code")
    assert before.attributes["code"] == "A-B07"
    written = deepcopy(hass_storage)
    assert await hass.config_entries.async_unload(entry.entry_id)
    hass_storage.clear()
    hass_storage.update(written)
    assert await hass.config_entries.async_setup(entry.entry_id)
    after = state_of(hass, "event", "code")
    assert (after.state, after.attributes["code"]) == (before.state, "A-B07")
    assert after.attributes["event_type"] == "a_b07"


def newer_version(stored: dict[str, Any]) -> None:
    stored["version"] = 9


def without_a_value(stored: dict[str, Any]) -> None:
    del stored["data"]["quantities"]["voltage"]["value"]


def without_a_register(stored: dict[str, Any]) -> None:
    for rows in stored["data"]["pages"]["registers"]:
        del rows["register"]


@pytest.mark.parametrize("damage", [newer_version, without_a_value, without_a_register])
async def test_a_store_that_is_not_understood_begins_anew(
    hass: HomeAssistant,
    radio: Radio,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[dict[str, Any]], None],
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        await bench.unload()
        damage(hass_storage[f"{DOMAIN}.{bench.entry.entry_id}"])
        await bench.load()
        assert bench.state("sensor", "voltage").state != STATE_UNAVAILABLE
        assert bench.state("number", "discharge_floor").state == "10.0"
    said = [record for record in caplog.records if record.levelno == logging.WARNING and DOMAIN in record.name]
    assert len(said) == 1
    assert "starting without it" in said[0].getMessage()


# What a connection says


def count(bench: Bench, energy: float) -> None:
    """Let the device have counted so many kWh into the battery."""
    more = energy - bench.bms.history.charged_energy_kwh
    bench.bms.history.add_energy(voltage=25.0, current=40.0, moved=0, seconds=more * 3600)


async def test_a_counter_that_falls_once_is_not_shown(owner: Bench) -> None:
    count(owner, 512.0)
    await owner.load()
    assert float(owner.state("sensor", "history_charged_energy").state) == 512
    owner.bms.history.clear()
    await owner.press("read_now")
    assert float(owner.state("sensor", "history_charged_energy").state) == 512
    count(owner, 512.5)
    await owner.wait(timedelta(minutes=5))
    assert float(owner.state("sensor", "history_charged_energy").state) == 512.5


async def test_a_counter_that_fell_is_shown_when_it_is_read_again(owner: Bench) -> None:
    """Somebody cleared the history with the app."""
    count(owner, 512.0)
    await owner.load()
    owner.bms.history.clear()
    count(owner, 0.25)
    await owner.press("read_now")
    await owner.reload()
    assert float(owner.state("sensor", "history_charged_energy").state) == 512
    await owner.wait(timedelta(minutes=31))
    assert float(owner.state("sensor", "history_charged_energy").state) == 512
    await owner.wait(timedelta(minutes=5))
    assert float(owner.state("sensor", "history_charged_energy").state) == 0.25


async def test_a_history_that_is_cleared_here_is_shown_at_once(owner: Bench) -> None:
    registry = er.async_get(owner.hass)
    await owner.load()
    count(owner, 512.0)
    await owner.press("read_now")
    button = registry.async_get_entity_id("button", DOMAIN, f"{ADDRESS.lower()}_clear_history")
    assert button
    registry.async_update_entity(button, disabled_by=None)
    await owner.reload()
    await owner.press("clear_history")
    assert float(owner.state("sensor", "history_charged_energy").state) == 0


async def test_when_the_device_is_heard_again_a_connection_is_tried(owner: Bench) -> None:
    """The phone had it for an hour, so that the next attempt would be an hour away."""
    owner.service.quirks = Quirks(keep_alive=timedelta(days=1).total_seconds())
    await owner.load(owner.service.quirks)
    phone = owner.device.peripheral.connect("phone", on_notify=lambda *_: None, on_lost=lambda: None)
    for _ in range(60):
        await owner.radio.wait(MINUTE)
    assert is_lost(owner)
    phone.close()
    for _ in range(6):
        await owner.wait(MINUTE)
    assert not is_lost(owner)
