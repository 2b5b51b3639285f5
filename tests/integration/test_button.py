"""Buttons: what the device does when it is told to."""

from collections.abc import AsyncGenerator

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest

from emulator.bms.settings import SettingKey, Settings
from emulator.personality.quirks import EVERY_REGISTER, Quirks

from .bench import Bench, a_bench
from .conftest import Radio, entity_id

DISABLED = ("restore_defaults", "clear_history")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        yield bench


async def enable_all(bench: Bench) -> None:
    """Enable what is disabled at first, as a user does."""
    for key in DISABLED:
        er.async_get(bench.hass).async_update_entity(entity_id(bench.hass, "button", key), disabled_by=None)
    await bench.reload()


async def test_m_s3_synchronize(bench: Bench) -> None:
    before = bench.bms.history.synchronizations
    await bench.press("synchronize")
    assert bench.bms.monitor.state_of_charge == 100
    assert bench.state("sensor", "battery_level").state == "100.0"
    assert bench.state("sensor", "history_synchronizations").state == str(before + 1)


async def test_what_cannot_be_undone_is_disabled_at_first(bench: Bench) -> None:
    registry = er.async_get(bench.hass)
    buttons = [found for found in registry.entities.values() if found.domain == "button"]
    assert {found.unique_id.split("_", 1)[1] for found in buttons if found.disabled_by} == {*DISABLED, "survey"}
    assert {found.disabled_by for found in buttons} == {None, er.RegistryEntryDisabler.INTEGRATION}


async def test_m_x1_restore_defaults(bench: Bench) -> None:
    for key, value in (
        (SettingKey.TAIL_CURRENT, 8),
        (SettingKey.LOW_SOC_WARNING, 40),
        (SettingKey.DISCHARGE_FLOOR, 30),
    ):
        bench.bms.change_setting(key, value)
    await enable_all(bench)
    await bench.press("read_now")
    assert bench.state("number", "discharge_floor").state == "30.0"
    await bench.press("restore_defaults")
    assert bench.bms.settings == Settings.defaults(24)
    shown = {key: float(bench.state("number", key).state) for key in SettingKey}
    assert shown == {key: bench.bms.settings.get(key) for key in SettingKey}


async def test_m_v5_clear_history(bench: Bench) -> None:
    bench.bms.step(current=-50, ambient=20, seconds=3600)
    await enable_all(bench)
    await bench.press("read_now")
    assert float(bench.state("sensor", "history_discharged_energy").state) > 1
    await bench.press("clear_history")
    assert float(bench.state("sensor", "history_discharged_energy").state) == 0
    assert bench.bms.history.discharged_energy_kwh == 0


async def test_a_refused_action(bench: Bench) -> None:
    bench.service.quirks = Quirks(refused_writes=EVERY_REGISTER, acknowledges_writes=True)
    with pytest.raises(HomeAssistantError) as raised:
        await bench.press("synchronize")
    assert raised.value.translation_key == "refused_with_code"
    assert bench.bms.monitor.state_of_charge == 50


async def test_not_reachable(bench: Bench) -> None:
    bench.device.faults.refuse_connections = True
    for key in ("synchronize", "read_now"):
        with pytest.raises(HomeAssistantError) as raised:
            await bench.press(key)
        assert raised.value.translation_key == "not_reachable"
    assert bench.bms.monitor.state_of_charge == 50
