"""Energy: what is counted between two advertisements, over silence, and over restarts."""

from contextlib import nullcontext
from datetime import timedelta
from unittest.mock import patch

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smallbms_ng.const import DEFAULT_UPDATE_INTERVAL, DOMAIN
from custom_components.smallbms_ng.protocol.registers import Name
from emulator.radio.in_process import EmulatedScanner

from .conftest import Radio, entity_id, state_of
from .test_sensor import Writes

INTERVAL = timedelta(seconds=DEFAULT_UPDATE_INTERVAL)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def steady(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> MockConfigEntry:
    """Return the loaded entry of a device that charges with 360 W, heard just now."""
    await radio.send(voltage=10.0, current=36.0, drawn_amphours=50.0)
    await radio.wait(INTERVAL)
    return entry


def energy(hass: HomeAssistant) -> tuple[float, float]:
    """Return the Wh charged and discharged that are shown, in whole Wh."""
    keys = ("energy_charged", "energy_discharged")
    states = [state_of(hass, "sensor", key) for key in keys]
    assert {state.attributes["unit_of_measurement"] for state in states} == {"kWh"}
    charged, discharged = (round(float(state.state) * 1000) for state in states)
    return charged, discharged


async def hear(radio: Radio, after: timedelta, **changes: object) -> None:
    """Let time pass, and hear the device."""
    await radio.wait(after)
    await radio.confirm(None, **changes)


@pytest.mark.usefixtures("steady")
async def test_power_is_counted(hass: HomeAssistant, radio: Radio) -> None:
    await hear(radio, MINUTE - INTERVAL, current=36.0, error=1)
    assert energy(hass) == (6, 0)
    await hear(radio, timedelta(0), current=-36.0, error=0)
    await hear(radio, MINUTE, error=1)
    assert energy(hass) == (6, 6)


@pytest.mark.usefixtures("steady")
async def test_what_is_not_shown_counts_too(hass: HomeAssistant, radio: Radio) -> None:
    """Within one update interval much flows for two seconds; none of these readings is shown."""
    await radio.confirm(error=1)
    writes = Writes(hass, entity_id(hass, "sensor", "energy_charged"))
    for current in (936.0, 900.0, 36.0):
        radio.clock.now += 1
        await radio.send(current=current)
    assert writes.states == []
    await radio.wait(MINUTE)
    writes.undo()
    writes.undo_reported()
    # (486 + 918 + 468) A s at 10 V, and what flowed while the test began
    assert [float(state) for state in writes.states] == [0.005]


@pytest.mark.usefixtures("steady")
async def test_a_battery_that_shows_the_same_all_the_time_is_counted(hass: HomeAssistant, radio: Radio) -> None:
    before = state_of(hass, "sensor", "voltage")
    for _ in range(4):
        # The same content has another nonce after a minute.
        await hear(radio, MINUTE)
        await radio.wait(INTERVAL)
    assert state_of(hass, "sensor", "voltage") == before
    assert energy(hass)[0] == pytest.approx(26, abs=1)


@pytest.mark.usefixtures("steady")
async def test_silence_is_bridged_by_the_ampere_hours(hass: HomeAssistant, radio: Radio) -> None:
    await hear(radio, HOUR, drawn_amphours=40.0)
    assert energy(hass) == (100, 0)
    await hear(radio, HOUR, drawn_amphours=45.0)
    assert energy(hass) == (100, 50)


@pytest.mark.usefixtures("steady")
async def test_silence_is_not_invented(hass: HomeAssistant, radio: Radio) -> None:
    await hear(radio, HOUR, drawn_amphours=None)
    assert energy(hass) == (0, 0)


BOOT_ID = "custom_components.smallbms_ng.clock.BOOT_ID"


@pytest.mark.parametrize("rebooted", [False, True])
async def test_a_restart_goes_on(hass: HomeAssistant, radio: Radio, steady: MockConfigEntry, rebooted: bool) -> None:
    """Also one of the machine, whose clock of advertisements then begins anew, and nobody knows how long it was off."""
    await hear(radio, HOUR, drawn_amphours=40.0)
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    await radio.wait(5 * MINUTE)
    with patch(BOOT_ID, "another") if rebooted else nullcontext():
        radio.clock.now = 5.0 if rebooted else radio.clock.now
        assert await hass.config_entries.async_setup(steady.entry_id)
        assert not_known(hass)
        await radio.send(drawn_amphours=30.0)
        assert energy(hass) == (200, 0)
        bridged = steady.runtime_data.instant_readout.meter.energy.bridged_time
        assert bridged == pytest.approx(3600 + (0 if rebooted else 300), abs=60)
        assert await hass.config_entries.async_unload(steady.entry_id)


def not_known(hass: HomeAssistant) -> bool:
    """Return whether the counters say nothing: less than before would count as a reset."""
    states = {state_of(hass, "sensor", key).state for key in ("energy_charged", "energy_discharged")}
    return states <= {STATE_UNKNOWN, STATE_UNAVAILABLE}


@pytest.mark.parametrize("wall", [-HOUR, timedelta(seconds=5)], ids=["behind", "stood still"])
@pytest.mark.parametrize("amphours", [130.0, None])
async def test_nobody_knows_how_long_the_machine_was_off(
    hass: HomeAssistant, radio: Radio, steady: MockConfigEntry, wall: timedelta, amphours: float | None
) -> None:
    """Its clock was not running meanwhile. 80 Ah are more than any current moves in 5 s, and are believed."""
    await radio.send(drawn_amphours=210.0)
    await radio.wait(INTERVAL)
    before = energy(hass)[0]
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    radio.freezer.move_to(utcnow() + wall)
    with patch(BOOT_ID, "another"):
        radio.clock.now = 5.0
        assert await hass.config_entries.async_setup(steady.entry_id)
        assert state_of(hass, "sensor", "voltage").state == STATE_UNAVAILABLE
        await radio.send(drawn_amphours=amphours)
        counted = steady.runtime_data.instant_readout.meter.energy
        assert energy(hass)[0] - before == (800 if amphours else 0)
        assert counted.unknown_gaps == (0 if amphours else 1)
        assert await hass.config_entries.async_unload(steady.entry_id)


@pytest.mark.usefixtures("steady")
async def test_without_a_recorder_it_goes_on_from_what_was_kept(hass: HomeAssistant, radio: Radio) -> None:
    assert "recorder" not in hass.config.components
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    await hear(radio, HOUR, drawn_amphours=40.0)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.send(drawn_amphours=40.0)
    assert energy(hass)[0] == pytest.approx(100, abs=1)


async def test_a_clock_that_was_put_back_stops_nothing(
    hass: HomeAssistant, radio: Radio, steady: MockConfigEntry
) -> None:
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    radio.freezer.move_to(utcnow() - 24 * HOUR)
    assert await hass.config_entries.async_setup(steady.entry_id)
    await radio.send()
    await hear(radio, MINUTE)
    assert energy(hass) == (6, 0)


@pytest.mark.parametrize("amphours", [50.0, None])
async def test_a_record_that_is_repeated_is_a_sample(
    hass: HomeAssistant, radio: Radio, steady: MockConfigEntry, amphours: float | None
) -> None:
    """360 W for ten minutes, and always the same bytes, with or without consumed Ah."""
    await radio.send(drawn_amphours=amphours)
    before = steady.runtime_data.instant_readout.meter.energy.charged
    radio.device.faults.repeated = True
    for _ in range(600):
        radio.advertise()
        radio.tick(timedelta(seconds=1))
    await radio.send()
    await radio.wait(INTERVAL)
    counted = steady.runtime_data.instant_readout.meter.energy
    assert counted.charged - before == pytest.approx(60, rel=0.05)
    assert counted.bridged_time == counted.unknown_time == 0
    assert energy(hass)[0] == pytest.approx(before + 60, abs=2)


async def test_a_record_with_an_impossible_current_is_not_counted(
    hass: HomeAssistant, radio: Radio, steady: MockConfigEntry
) -> None:
    meter = steady.runtime_data.instant_readout.meter
    before = meter.energy.charged
    for current in (36.0, 3200.0, 36.0):
        await hear(radio, MINUTE / 2, current=current)
    assert meter.energy.charged - before == pytest.approx(9, rel=0.1)


async def test_another_proxy_takes_over(hass: HomeAssistant, radio: Radio, steady: MockConfigEntry) -> None:
    """It may have heard the next record before the first one delivered its own."""
    second = radio.add(EmulatedScanner(radio.device, source="AA:BB:CC:DD:EE:02"))
    meter = steady.runtime_data.instant_readout.meter
    before = meter.energy.charged
    await radio.send(error=1)
    radio.undo.pop(0)()
    radio.clock.now -= 1
    await radio.send(second, error=2)
    radio.clock.now += 61
    await radio.send(second, error=3)
    assert meter.energy.charged - before == pytest.approx(0.5 + 6)


async def test_what_is_read_over_a_connection_counts(
    hass: HomeAssistant, radio: Radio, steady: MockConfigEntry
) -> None:
    """During it, the device sends nothing."""
    coordinator = steady.runtime_data.instant_readout
    for _ in range(2):
        await radio.wait(MINUTE)
        coordinator.async_take_connection_values({Name.VOLTAGE: 10.0, Name.CURRENT: 36.0})
    counted = coordinator.meter.energy.charged
    await radio.wait(MINUTE)
    coordinator.async_take_connection_values({Name.VOLTAGE: 10.0})
    assert coordinator.meter.energy.charged == counted == pytest.approx(12.5)


@pytest.mark.usefixtures("entry")
async def test_power_each_way_is_off_by_default(hass: HomeAssistant) -> None:
    for key in ("charge_power", "discharge_power"):
        found = er.async_get(hass).async_get(entity_id(hass, "sensor", key))
        assert found
        assert found.disabled_by is er.RegistryEntryDisabler.INTEGRATION


@pytest.mark.parametrize(
    ("current", "charge", "discharge"),
    [(5.0, "50.0", "0.0"), (-5.0, "0.0", "50.0"), (0.0, "0.0", "0.0"), (None, "unknown", "unknown")],
)
async def test_power_each_way(
    hass: HomeAssistant,
    radio: Radio,
    entry: MockConfigEntry,
    current: float | None,
    charge: str,
    discharge: str,
) -> None:
    for key in ("charge_power", "discharge_power"):
        er.async_get(hass).async_update_entity(entity_id(hass, "sensor", key), disabled_by=None)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.confirm(voltage=10.0, current=current, error=1)
    assert state_of(hass, "sensor", "charge_power").state == charge
    assert state_of(hass, "sensor", "discharge_power").state == discharge
