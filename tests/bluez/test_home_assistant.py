"""A whole Home Assistant on the real Bluetooth stack, driven as a person does: by flows, actions and repairs."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from time import monotonic
from typing import Final

from homeassistant import bootstrap
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowContext,
    ConfigFlowResult,
)
from homeassistant.const import CONF_PIN, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import EVENT_DATA_ENTRY_FLOW_PROGRESSED, FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.runner import RuntimeConfig
import pytest

from custom_components.smallbms_ng.const import DOMAIN
from emulator.device import DEFAULT_PIN as PIN

from .machine import ADAPTERS, RESULTS, Machine
from .stage import Stage

ROOT: Final = Path(__file__).parents[2]
WRONG: Final = "123456"
CONFIGURATION: Final = """\
homeassistant: {unit_system: metric, time_zone: UTC, country: NL}
bluetooth:
logger:
  default: warning
  logs: {custom_components.smallbms_ng: debug, homeassistant.components.bluetooth: info, habluetooth: info}
"""
PATIENCE: Final = 90.0


async def until[T](found: Callable[[], T]) -> T:
    """Let Home Assistant go on until there is something, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not (one := found()):  # noqa: ASYNC110 - there is no event for all of this
            await asyncio.sleep(0.2)
    return one


@pytest.fixture
async def hass(machine: Machine, tmp_path: Path) -> AsyncGenerator[HomeAssistant]:
    """Return a Home Assistant with its default Bluetooth."""
    (tmp_path / "configuration.yaml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "custom_components").mkdir()
    (tmp_path / "custom_components" / DOMAIN).symlink_to(ROOT / "custom_components" / DOMAIN)
    hass = await bootstrap.async_setup_hass(
        RuntimeConfig(config_dir=str(tmp_path), skip_pip=True, log_file=str(RESULTS / "hass.log"), log_no_color=True)
    )
    assert hass
    await hass.async_start()
    yield hass
    await hass.async_stop(force=True)


def flows(hass: HomeAssistant, handler: str) -> list[ConfigFlowResult]:
    return hass.config_entries.flow.async_progress_by_handler(handler)


async def submit(hass: HomeAssistant, flow_id: str, **entered: object) -> ConfigFlowResult:
    """Submit a form, and return what comes after the progress, as the browser asks for it."""
    over = asyncio.Event()
    stop = hass.bus.async_listen(EVENT_DATA_ENTRY_FLOW_PROGRESSED, lambda _event: over.set())
    result = await hass.config_entries.flow.async_configure(flow_id, entered)
    if result["type"] is FlowResultType.SHOW_PROGRESS:
        async with asyncio.timeout(PATIENCE):
            await over.wait()
        result = await hass.config_entries.flow.async_configure(flow_id)
    stop()
    return result


async def add(hass: HomeAssistant) -> ConfigEntry:
    """Add the device that Home Assistant discovers, by its PIN. A new Home Assistant takes the adapters by itself."""
    await until(lambda: len(hass.config_entries.async_loaded_entries("bluetooth")) == len(ADAPTERS))
    (flow,) = await until(lambda: flows(hass, DOMAIN))
    assert (await submit(hass, flow["flow_id"], pin=WRONG))["errors"] == {CONF_PIN: "wrong_pin"}
    began = monotonic()
    assert (await submit(hass, flow["flow_id"], pin=f"{PIN[:3]} {PIN[3:]}"))["type"] is FlowResultType.CREATE_ENTRY
    assert monotonic() - began < 40
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    await until(lambda: entry.state is ConfigEntryState.LOADED)
    return entry


def discharge_floor(hass: HomeAssistant, entry: ConfigEntry) -> str | None:
    """Return the number's entity id, once it has a state."""
    found = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    ids = (one.entity_id for one in found if one.unique_id.endswith("_discharge_floor"))
    states = (hass.states.get(entity_id) for entity_id in ids)
    known = (state.entity_id for state in states if state and state.state not in {STATE_UNKNOWN, STATE_UNAVAILABLE})
    return next(known, None)


async def set_floor(hass: HomeAssistant, entry: ConfigEntry, value: float) -> None:
    target = {"entity_id": await until(lambda: discharge_floor(hass, entry))}
    await hass.services.async_call("number", "set_value", target | {"value": value}, blocking=True)


def is_issue(hass: HomeAssistant, key: str) -> bool:
    return any(domain == DOMAIN and issue.startswith(f"{key}.") for domain, issue in ir.async_get(hass).issues)


async def a_bond_is_lost_and_made_anew(hass: HomeAssistant, stage: Stage, entry: ConfigEntry) -> None:
    """The device is reset, or its PIN was changed by another phone."""
    await set_floor(hass, entry, 12)
    assert stage.bms.settings.discharge_floor == 12

    # The entry finds out after three attempts at most.
    stage.do(stage.device.peripheral.drop_link)
    stage.run(stage.radio.forget_bonds())
    for _ in range(3):
        with pytest.raises(HomeAssistantError):
            await set_floor(hass, entry, 13)
        if is_issue(hass, "not_paired"):
            break
    assert is_issue(hass, "not_paired")
    assert not stage.device.peripheral.bonds, "only a person may have it paired again"

    context = ConfigFlowContext(source=SOURCE_RECONFIGURE, entry_id=entry.entry_id)
    flow = await hass.config_entries.flow.async_init(DOMAIN, context=context)
    result = await submit(hass, flow["flow_id"], pin=PIN)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    await until(lambda: entry.state is ConfigEntryState.LOADED and not is_issue(hass, "not_paired"))
    await set_floor(hass, entry, 13)
    assert stage.bms.settings.discharge_floor == 13


async def the_nearer_adapter_has_no_bond(hass: HomeAssistant, stage: Stage, entry: ConfigEntry) -> None:
    """The device is read by the other one, within the time that the first one is given."""
    stage.adapters[0].rssi, stage.adapters[1].rssi = -85, -40
    await asyncio.sleep(5)
    await hass.config_entries.async_reload(entry.entry_id)
    began = monotonic()
    await set_floor(hass, entry, 11)
    assert monotonic() - began < 40
    assert stage.bms.settings.discharge_floor == 11
    assert len(stage.device.peripheral.bonds) == 1


async def test_home_assistant(hass: HomeAssistant, stage: Stage) -> None:
    """There can be one in a process, so that all is done with the same."""
    entry = await add(hass)
    await a_bond_is_lost_and_made_anew(hass, stage, entry)
    await the_nearer_adapter_has_no_bond(hass, stage, entry)
