"""How long the rest lasts after a shutdown for low cell voltage (M-D1)."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smallbms_ng.const import CONF_CAPACITY, CONF_RESIDUAL_CURRENT, DOMAIN
from custom_components.smallbms_ng.coordinator import RENEWED_EVERY
from emulator.snapshot import Level, LevelField

from .bench import Bench, a_bench
from .conftest import ADDRESS, Radio, make_entry, state_of

ALL_OK: Final = dict.fromkeys(LevelField, Level.OK)
SHUT_DOWN: Final = {**ALL_OK, LevelField.LOW_CELL_VOLTAGE: Level.ALARM}
OPTIONS: Final = {CONF_RESIDUAL_CURRENT: 10.0, CONF_CAPACITY: 200.0}


def days(hass: HomeAssistant) -> float:
    return float(state_of(hass, "sensor", "reserve_time").state)


async def shut_down(radio: Radio) -> None:
    """Let the BMS say twice that it has switched the loads off."""
    for time_to_go in (1, 2):
        await radio.confirm(current=0.0, time_to_go=time_to_go, levels=SHUT_DOWN)


@pytest.fixture
async def entry(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[MockConfigEntry]:
    """Return the loaded entry of a device of which the owner knows the residual current and the capacity."""
    entry = make_entry()
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options=OPTIONS)
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    yield entry
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("entry")
async def test_it_counts_down_and_ends_with_the_alarm(hass: HomeAssistant, radio: Radio) -> None:
    assert state_of(hass, "sensor", "reserve_time").state == STATE_UNKNOWN
    await shut_down(radio)
    assert days(hass) == pytest.approx(200 / 24, abs=0.1)
    await radio.confirm(levels=ALL_OK)
    await radio.confirm(levels=ALL_OK, time_to_go=3)
    assert state_of(hass, "sensor", "reserve_time").state == STATE_UNKNOWN


@pytest.mark.usefixtures("entry")
async def test_a_silent_device_draws_on(hass: HomeAssistant, radio: Radio) -> None:
    await shut_down(radio)
    await radio.wait(timedelta(hours=1))
    assert state_of(hass, "sensor", "voltage").state == STATE_UNAVAILABLE
    radio.tick(timedelta(days=2))
    await radio.wait(RENEWED_EVERY)
    assert days(hass) == pytest.approx(200 / 24 - 2, abs=0.1)


@pytest.mark.usefixtures("entry")
async def test_a_record_that_is_repeated_tells_that_its_current_flows_on(hass: HomeAssistant, radio: Radio) -> None:
    await shut_down(radio)
    await radio.send(current=-1.0, time_to_go=3)
    for _ in range(60):
        radio.advertise()
        await radio.jump(timedelta(seconds=30))
        assert days(hass) < 2 / 24
    assert days(hass) == pytest.approx(1.5 / 24, abs=0.1 / 24)


async def test_it_goes_on_over_a_restart(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    await shut_down(radio)
    assert await hass.config_entries.async_unload(entry.entry_id)
    radio.tick(timedelta(days=3))
    radio.forget()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    assert days(hass) == pytest.approx(200 / 24 - 3, abs=0.1)


@pytest.mark.parametrize("kept", [{"amphours": "much"}, {"amphours": 1.0}, [1.0], "nonsense"])
async def test_what_is_kept_and_not_understood(
    hass: HomeAssistant, radio: Radio, hass_storage: dict[str, object], kept: object
) -> None:
    entry = make_entry()
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options=OPTIONS)
    hass_storage[f"{DOMAIN}.{entry.entry_id}"] = {"version": 1, "minor_version": 1, "data": {"reserve": kept}}
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await shut_down(radio)
    assert days(hass) == pytest.approx(200 / 24, abs=0.1)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_without_the_capacity_nobody_knows(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    hass.config_entries.async_update_entry(entry, options={CONF_RESIDUAL_CURRENT: 10.0})
    await hass.config_entries.async_reload(entry.entry_id)
    await shut_down(radio)
    assert state_of(hass, "sensor", "reserve_time").state == STATE_UNKNOWN


async def test_there_is_none_without_a_residual_current(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    hass.config_entries.async_update_entry(entry, options={CONF_CAPACITY: 200.0})
    await hass.config_entries.async_reload(entry.entry_id)
    await shut_down(radio)
    unique_id = f"{ADDRESS.lower()}_reserve_time"
    assert er.async_get(hass).async_get_entity_id("sensor", DOMAIN, unique_id) is None


async def test_the_capacity_that_the_device_tells_counts(hass: HomeAssistant, radio: Radio) -> None:
    bench = Bench(hass, radio, options={CONF_RESIDUAL_CURRENT: 10, CONF_CAPACITY: 999})
    async with a_bench(bench):
        await bench.load()
        assert bench.state("sensor", "capacity").state == "200"
        bench.device.readout = lambda: radio.snapshot
        await shut_down(radio)
        assert days(hass) == pytest.approx(200 / 24, abs=0.1)
