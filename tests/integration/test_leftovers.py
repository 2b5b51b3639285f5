"""What is left when something ends: a PIN that is taken away, a battery of an entry that is off, a setup that fails."""

from collections.abc import AsyncGenerator
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.const import CONF_PIN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.smallbms_ng.const import DOMAIN

from .bench import Bench, a_bench
from .conftest import ADDRESS, Radio, make_entry, state_of

WITHOUT_A_CONNECTION: Final = {Platform.SENSOR, Platform.BINARY_SENSOR, Platform.EVENT}


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        yield bench


def batteries(bench: Bench) -> list[str]:
    """Return the ids of the devices of batteries."""
    found = dr.async_child_entries_for_config_entry(dr.async_get(bench.hass), bench.entry.entry_id)
    return [battery.id for battery in found]


def registered(bench: Bench) -> dict[tuple[str, str], er.RegistryEntry]:
    """Return the entities by platform and unique id, disabled ones too."""
    entries = er.async_entries_for_config_entry(er.async_get(bench.hass), bench.entry.entry_id)
    return {(one.domain, one.unique_id): one for one in entries}


async def take_pin_away(bench: Bench) -> None:
    data = {name: value for name, value in bench.entry.data.items() if name != CONF_PIN}
    bench.hass.config_entries.async_update_entry(bench.entry, data=data)
    assert await bench.run(bench.hass.config_entries.async_reload(bench.entry.entry_id))
    await bench.settle()


async def test_without_the_pin_nothing_dead_is_left(
    hass: HomeAssistant, bench: Bench, hass_storage: dict[str, Any]
) -> None:
    await take_pin_away(bench)
    assert batteries(bench) == []
    left = registered(bench)
    assert {platform for platform, _ in left} == WITHOUT_A_CONNECTION
    # What is there is what an entry has that never had a PIN: nothing more, and nothing less.
    assert all(hass.states.get(one.entity_id) or one.disabled_by for one in left.values())
    never = make_entry("C0:3A:5E:00:00:09")
    never.add_to_hass(hass)
    assert await bench.run(hass.config_entries.async_setup(never.entry_id))
    entities = er.async_entries_for_config_entry(er.async_get(hass), never.entry_id)
    assert len(left) == len(entities)
    assert hass_storage[f"smallbms_ng.{bench.entry.entry_id}"]["data"]["pages"] == {}
    await bench.run(hass.config_entries.async_unload(never.entry_id))


async def test_what_its_owner_disabled_stays_so(hass: HomeAssistant, bench: Bench) -> None:
    key = (Platform.SENSOR, f"{ADDRESS.lower()}_charge_power")
    assert registered(bench)[key].disabled_by
    await take_pin_away(bench)
    assert registered(bench)[key].disabled_by


@pytest.mark.parametrize("disabled", [True, False])
async def test_a_battery_of_an_entry_that_is_off_is_removed(
    hass: HomeAssistant, bench: Bench, hass_ws_client: WebSocketGenerator, disabled: bool
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await bench.run(hass_ws_client(hass))
    if disabled:
        disabler = ConfigEntryDisabler.USER
        await bench.run(hass.config_entries.async_set_disabled_by(bench.entry.entry_id, disabler))
    else:
        await bench.unload()
    first, *others = batteries(bench)
    assert (await bench.run(client.remove_device(first)))["success"]
    assert batteries(bench) == others
    bench.device.faults.refuse_connections = True
    if disabled:
        await bench.run(hass.config_entries.async_set_disabled_by(bench.entry.entry_id, None))
    else:
        await bench.load()
    await bench.settle()
    assert batteries(bench) == others, "it is not there until it is read again"
    bench.device.faults.refuse_connections = False
    await bench.press("read_now")
    assert len(batteries(bench)) == len(others) + 1


async def test_a_setup_that_fails_listens_no_more(hass: HomeAssistant, radio: Radio) -> None:
    delete = ir.async_delete_issue

    def fail(hass: HomeAssistant, domain: str, issue_id: str) -> None:
        if domain == DOMAIN:
            raise LookupError
        delete(hass, domain, issue_id)

    entry = make_entry()
    entry.add_to_hass(hass)
    with patch("homeassistant.helpers.issue_registry.async_delete_issue", fail):
        assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    failed = entry.runtime_data.instant_readout
    await radio.send()
    assert failed.accepted == 0
    # What was set up of it is no hindrance to the next attempt.
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.confirm(voltage=13.1, error=1)
    assert state_of(hass, "sensor", "voltage").state == "13.1"
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_everything_is_stored_once(bench: Bench) -> None:
    saved: list[str] = []
    save = Store.async_save

    async def count(store: Store[dict[str, object]], data: dict[str, object]) -> None:
        saved.append(store.key)
        await save(store, data)

    with patch.object(Store, "async_save", count):
        await bench.unload()
    assert saved == [f"smallbms_ng.{bench.entry.entry_id}"]
