"""What a user has to enable, and what stays enabled for those who did."""

from collections.abc import AsyncGenerator

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.smallbms_ng.const import DOMAIN

from .bench import Bench, a_bench
from .conftest import ADDRESS, Radio

SENSORS_OF_THE_DEVICE = {
    "batteries",
    "batteries_parallel",
    "batteries_series",
    "cells",
    "charge_power",
    "discharge_power",
    "history_highest_cell_voltage",
    "history_highest_temperature",
    "history_highest_voltage",
    "history_lowest_cell_voltage",
    "history_lowest_temperature",
    "history_lowest_voltage",
    "signal_strength",
}
SENSORS_OF_A_BATTERY = {"battery_model", "firmware_version", "serial_number"}
BUTTONS = {"clear_history", "restore_defaults", "survey"}


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


def disabled(bench: Bench) -> set[str]:
    """Return the keys of the entities that are there, but disabled."""
    entries = er.async_entries_for_config_entry(er.async_get(bench.hass), bench.entry.entry_id)
    return {one.unique_id.removeprefix(f"{ADDRESS.lower()}_") for one in entries if one.disabled_by}


async def test_what_is_disabled_by_default(bench: Bench) -> None:
    await bench.load()
    of_batteries = {f"battery_{number}_{key}" for number in range(1, 5) for key in SENSORS_OF_A_BATTERY}
    assert disabled(bench) == SENSORS_OF_THE_DEVICE | BUTTONS | of_batteries


async def test_what_was_enabled_before_stays_so(hass: HomeAssistant, bench: Bench) -> None:
    """As an earlier version has registered it."""
    keys = ("batteries", "history_lowest_voltage", "battery_2_serial_number")
    for key in keys:
        er.async_get(hass).async_get_or_create("sensor", DOMAIN, f"{ADDRESS.lower()}_{key}", config_entry=bench.entry)
    bench.bms.step(current=-30, ambient=20, seconds=600)
    await bench.load()
    assert bench.state("sensor", "batteries").state == "4"
    assert float(bench.state("sensor", "history_lowest_voltage").state) > 20
    assert bench.state("sensor", "battery_2_serial_number").state == bench.bms.bank.batteries[1].serial_number
    assert disabled(bench).isdisjoint(keys)


async def test_a_battery_is_known_by_a_serial_number_that_nobody_shows(bench: Bench) -> None:
    """One that is missing at the next start of the BMS leaves its number free."""
    await bench.load()
    bench.bms.faults.unplugged_battery = 0
    bench.bms.power_cycle()
    await bench.press("read_now")
    assert bench.state("sensor", "battery_1_voltage").state == "unavailable"
    assert float(bench.state("sensor", "battery_2_voltage").state) > 10
