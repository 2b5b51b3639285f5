"""Starting and stopping, over and over, whatever is missing."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
import gc
import json
import logging
import math
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from homeassistant.components.bluetooth import async_scanner_count
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
import pytest

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL, DOMAIN
from custom_components.smallbms_ng.diagnostics import async_get_config_entry_diagnostics
from tests.options import RELOADS

from .bench import Bench, a_bench
from .conftest import ADDRESS, Radio, flows, make_entry, state_of

# What is made only once is there after so many reloads.
WARM_UP: Final = 3
STORES: Final = Path(__file__).parent / "stores"
OURS: Final = "custom_components.smallbms_ng"


# What its fixture holds that does not depend on the time since, and 3 Ah that were charged while nobody listened.
KEPT_BY_0_1_0: Final = {
    "sensor.energy_discharged": "0.072",
    "sensor.energy_charged": "0.079",
}


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


def voltage(hass: HomeAssistant) -> str:
    return state_of(hass, "sensor", "voltage").state


async def test_without_any_radio(hass: HomeAssistant, radio: Radio) -> None:
    """The first proxy may come up minutes after Home Assistant."""
    radio.undo.pop()()
    assert not async_scanner_count(hass, connectable=False)
    entry = make_entry()
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.wait(timedelta(minutes=10))
    assert entry.state is ConfigEntryState.LOADED
    assert voltage(hass) == STATE_UNAVAILABLE
    radio.add(radio.scanner)
    await radio.confirm(voltage=13.4)
    assert voltage(hass) == "13.4"
    assert await hass.config_entries.async_unload(entry.entry_id)


@pytest.fixture
def no_bluetooth() -> Iterator[None]:
    """Let Home Assistant fail to set Bluetooth up."""
    with patch("homeassistant.components.bluetooth.async_setup", return_value=False):
        yield


@pytest.mark.usefixtures("no_bluetooth")
async def test_without_bluetooth(hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> None:
    """Home Assistant tells that a part is missing; the entry is not lost, and it can be removed."""
    entry = make_entry()
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is not ConfigEntryState.LOADED
    found = await async_get_config_entry_diagnostics(hass, entry)
    assert found["last_advertisement"] is None
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert not hass.config_entries.async_entries(DOMAIN)
    assert "Traceback" not in caplog.text


def left_behind() -> Counter[str]:
    """Return what is alive of the integration, by class."""
    gc.collect()
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one).__module__.startswith(OURS))


def in_use(hass: HomeAssistant) -> dict[str, int]:
    """Return how much of what must not grow is in use."""
    return {
        "tasks": len(asyncio.all_tasks()),
        "timers": sum(not timer.cancelled() for timer in hass.loop._scheduled),  # type: ignore[attr-defined]
        "listeners": sum(hass.bus.async_listeners().values()),
        "objects": left_behind().total(),
        "states": len(hass.states.async_all()),
        "entities": len(er.async_get(hass).entities),
        "devices": len(list(dr.async_get(hass).devices)),
        "issues": len(ir.async_get(hass).issues),
    }


async def reload_often(bench: Bench, times: int) -> None:
    for _ in range(times):
        assert await bench.run(bench.hass.config_entries.async_reload(bench.entry.entry_id))
    await bench.settle()


async def test_reloads_leave_nothing_behind(bench: Bench, pytestconfig: pytest.Config) -> None:
    await bench.load()
    await bench.hear_twice()
    await reload_often(bench, WARM_UP)
    before = in_use(bench.hass)
    await reload_often(bench, pytestconfig.getoption(RELOADS))
    after = in_use(bench.hass)
    assert {name: after[name] for name in before if after[name] > before[name]} == {}
    assert bench.entry.state is ConfigEntryState.LOADED
    await bench.hear_twice()
    assert bench.state("sensor", "voltage").state not in {STATE_UNAVAILABLE, STATE_UNKNOWN}


async def test_removed_and_added_again(bench: Bench, hass_storage: dict[str, Any]) -> None:
    """Nothing of before is left, and nothing is doubled."""
    await bench.load()
    await bench.hear_twice()
    before = bench.entities()
    await bench.unload()
    assert [name for name in hass_storage if DOMAIN in name]
    await bench.run(bench.hass.config_entries.async_remove(bench.entry.entry_id))
    await bench.settle()
    assert not [name for name in hass_storage if DOMAIN in name]
    assert not [one for one in er.async_get(bench.hass).entities.values() if one.platform == DOMAIN]
    assert not ir.async_get(bench.hass).issues
    bench.radio.scanner.advertise()
    await bench.settle()
    assert [flow["context"]["unique_id"] for flow in flows(bench.hass)] == [ADDRESS]
    again = Bench(bench.hass, bench.radio)
    await again.load()
    await again.hear_twice()
    assert again.entities() == before
    await again.unload()


def stored(entry_id: str, version: str = "0.1.0") -> dict[str, Any]:
    """Return what this version has left in its stores."""
    text = (STORES / f"{version}.json").read_text()
    documents: dict[str, Any] = json.loads(text)
    return {key: {**one, "key": key} for name, one in documents.items() if (key := name.replace("ENTRY", entry_id))}


@pytest.mark.parametrize("version", [path.stem for path in STORES.glob("*.json")])
async def test_updated_from(bench: Bench, hass_storage: dict[str, Any], version: str) -> None:
    """What an earlier version has kept goes on: counters, codes that were told, batteries, settings and bonds."""
    hass_storage.update(stored(bench.entry.entry_id, version))
    # So that nothing is read before somebody wants it.
    bench.hass.config_entries.async_update_entry(bench.entry, options={CONF_PAGES_INTERVAL: 0})
    bench.radio.scanner.advertise()
    assert await bench.run(bench.hass.config_entries.async_setup(bench.entry.entry_id))
    shown = {row: bench.state(*row.split(".")).state for row in KEPT_BY_0_1_0}
    assert shown == KEPT_BY_0_1_0
    assert bench.state("event", "code").attributes["code"] == "A-B07"
    assert bench.pages.batteries == (1, 2, 3, 4)
    await bench.press("read_now")
    assert bench.state("number", "tail_current").state == "4.0", "the device has another"


DAMAGED: Final[dict[str, tuple[tuple[str | int, ...], object]]] = {
    "no attributes": (("event", "attributes"), None),
    "a text as number": (("energy", "counted", "charged"), "much"),
    "no number": (("energy", "counted", "discharged"), math.nan),
    "a list": (("energy",), []),
    "a truth value": (("mark", "consumed_amphours"), True),
    "no source": (("quantities", "voltage", "source"), "heaven"),
    "an unknown code": (("codes",), ["X-B99"]),
    "no stamp": (("saved", "wall"), None),
}


@pytest.mark.parametrize(("path", "junk"), DAMAGED.values(), ids=DAMAGED)
async def test_a_damaged_store(
    bench: Bench,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    path: tuple[str, ...],
    junk: object,
) -> None:
    """It is left aside with a warning, and does no more harm: not even when the entry is unloaded."""
    documents = stored(bench.entry.entry_id)
    part = next(one["data"] for one in documents.values() if path[0] in one["data"])
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = junk
    hass_storage.update(documents)
    await bench.load()
    await bench.hear_twice()
    await bench.press("read_now")
    assert "Cannot read the stored data" in caplog.text
    assert bench.state("sensor", "voltage").state not in {STATE_UNAVAILABLE, STATE_UNKNOWN}
    await bench.unload()
    assert bench.entry.state is ConfigEntryState.NOT_LOADED
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
