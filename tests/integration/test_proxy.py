"""Proxies that hold the PIN, and encrypt a link only when they are asked to, on each connection anew."""

from collections.abc import Generator
from typing import Any
from unittest.mock import patch

from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState, ConfigFlowResult
from homeassistant.const import CONF_PIN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.smallbms_ng.checks import async_read_key_by_bond
from custom_components.smallbms_ng.config_flow import CONF_REMOVE_PIN
from custom_components.smallbms_ng.connection.errors import NotPaired
from custom_components.smallbms_ng.const import CONF_KEY, CONF_PAIRED_BY_PROXY, DOMAIN
from emulator.radio.in_process import EmulatedScanner

from .bench import Bench, a_bench
from .conftest import ADDRESS, KEY, Radio, flows
from .connected import PIN, Served, without_bluez
from .repairs_client import issues

WRONG_PIN = "123456"
NEW_PIN = "271828"
PROXY = "smallbms-emulator (02:00:00:00:E5:01)"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Have no adapter in this machine, and try again at once."""
    without_bluez(monkeypatch)
    with patch("bleak_retry_connector.calculate_backoff_time", return_value=0):
        yield


@pytest.fixture
def served(radio: Radio) -> Served:
    """Return the served registers of the device, near a proxy that holds the PIN."""
    radio.scanner.pin, radio.scanner.waits_to_be_asked = radio.device.pin, True
    return Served(radio.device)


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> Bench:
    bench = Bench(hass, radio)
    radio.scanner.waits_to_be_asked = True
    return bench


async def enter(hass: HomeAssistant, flow: ConfigFlowResult, entered: dict[str, object]) -> ConfigFlowResult:
    """Enter something, wait while the flow shows progress, and return what comes of it."""
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], entered)
    while result["type"] is FlowResultType.SHOW_PROGRESS:
        await hass.async_block_till_done(wait_background_tasks=True)
        result = await hass.config_entries.flow.async_configure(flow["flow_id"])
    return result


async def discovered(hass: HomeAssistant, radio: Radio) -> ConfigFlowResult:
    await radio.send()
    (flow,) = flows(hass)
    return flow


async def unload(hass: HomeAssistant) -> None:
    for entry in hass.config_entries.async_entries(DOMAIN):
        if entry.state is ConfigEntryState.LOADED:
            assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


def placeholder(result: ConfigFlowResult, name: str) -> str:
    return (result["description_placeholders"] or {})[name]


async def test_it_is_read_through_the_proxy(hass: HomeAssistant, radio: Radio, bench: Bench) -> None:
    connections = radio.count_connections()
    async with a_bench(bench):
        await bench.load()
        assert bench.state("number", "discharge_floor").state == "10.0"
        await bench.press("read_now")
        assert connections.total() == 2, "asked over the connection that there is"


async def test_what_has_to_be_asked_is_known_after_a_restart(
    hass: HomeAssistant, radio: Radio, bench: Bench, hass_storage: dict[str, dict[str, Any]]
) -> None:
    async with a_bench(bench):
        await bench.load()
        await bench.unload()
        stored = hass_storage[f"smallbms_ng.{bench.entry.entry_id}"]["data"]["pages"]
        assert stored["asked"] == [radio.scanner.source]
        assert not stored["paired"]
        radio.scanner.advertise()
        await bench.load()
        assert bench.state("number", "discharge_floor").state == "10.0"


async def test_the_bond_stays(hass: HomeAssistant, radio: Radio, bench: Bench) -> None:
    async with a_bench(bench):
        await bench.load()
        assert radio.device.peripheral.bonds == {radio.scanner.source}


@pytest.mark.parametrize(
    ("pin", "told"), [(None, "proxy_has_no_pin"), (WRONG_PIN, "proxy_pin_refused")], ids=["no PIN", "wrong PIN"]
)
async def test_what_the_proxy_lacks_is_told(
    hass: HomeAssistant, radio: Radio, bench: Bench, pin: str | None, told: str
) -> None:
    radio.scanner.pin = pin
    async with a_bench(bench):
        await bench.load()
        with pytest.raises(HomeAssistantError) as raised:
            await bench.press("read_now")
        assert raised.value.translation_key == told
        assert raised.value.translation_placeholders == {"device": bench.entry.title, "proxy": PROXY}


async def test_the_pin_was_changed_on_the_device(hass: HomeAssistant, radio: Radio, bench: Bench) -> None:
    async with a_bench(bench):
        await bench.load()
        radio.device.peripheral.pin = NEW_PIN
        radio.device.peripheral.bonds.clear()
        for _ in range(2):
            with pytest.raises(HomeAssistantError) as raised:
                await bench.press("read_now")
            assert raised.value.translation_key == "proxy_pin_outdated"
            assert set(issues(hass)) == {"proxy_pin"}
        radio.scanner.pin = NEW_PIN
        await bench.press("read_now")
        assert not issues(hass)


async def test_added_without_a_pin(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    result = await enter(hass, await discovered(hass, radio), {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert (result["description"], placeholder(result, "proxy")) == ("paired_by_proxy", PROXY)
    entry = result["result"]
    assert (entry.data[CONF_KEY], entry.data[CONF_PAIRED_BY_PROXY]) == (KEY, True)
    assert CONF_PIN not in entry.data
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entry.runtime_data.pages.was_read
    await unload(hass)


async def test_a_pin_that_was_entered_is_not_what_paired(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    result = await enter(hass, await discovered(hass, radio), {CONF_PIN: WRONG_PIN})
    assert (result["type"], result["description"]) == (FlowResultType.CREATE_ENTRY, "paired_by_proxy")
    await unload(hass)


@pytest.mark.parametrize("entered", [{}, {CONF_PIN: PIN}], ids=["nothing", "PIN"])
@pytest.mark.parametrize(
    ("pin", "told"), [(None, "proxy_has_no_pin"), (WRONG_PIN, "proxy_pin_refused")], ids=["no PIN", "wrong PIN"]
)
async def test_the_flow_names_the_proxy(
    hass: HomeAssistant, radio: Radio, served: Served, pin: str | None, told: str, entered: dict[str, object]
) -> None:
    radio.scanner.pin = pin
    flow = await discovered(hass, radio)
    result = await enter(hass, flow, entered)
    assert (result["errors"], placeholder(result, "proxy")) == ({CONF_PIN: told}, PROXY)
    assert not hass.config_entries.async_entries(DOMAIN)
    assert served.untouched
    radio.scanner.pin = PIN
    assert (await enter(hass, flow, entered))["type"] is FlowResultType.CREATE_ENTRY
    await unload(hass)


async def test_the_proxy_has_gone_while_the_form_was_open(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    """What it heard is still remembered, but that is no way to the device."""
    flow = await discovered(hass, radio)
    radio.undo.pop()()
    result = await enter(hass, flow, {CONF_PIN: PIN})
    assert result["errors"] == {CONF_PIN: "no_path"}
    radio.scanner = radio.add(EmulatedScanner(radio.device, pin=PIN, source=radio.scanner.source))
    radio.scanner.waits_to_be_asked = True
    radio.scanner.advertise()
    assert (await enter(hass, flow, {}))["type"] is FlowResultType.CREATE_ENTRY
    await unload(hass)


async def test_the_connection_is_taken_away(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = (await enter(hass, await discovered(hass, radio), {}))["result"]
    await hass.async_block_till_done(wait_background_tasks=True)
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    result = await enter(hass, flow, {CONF_REMOVE_PIN: True})
    assert result["reason"] == "reconfigure_successful"
    assert CONF_PAIRED_BY_PROXY not in entry.data
    assert entry.runtime_data.pages is None
    await unload(hass)


async def test_no_key_is_taken_unasked_over_such_a_proxy(hass: HomeAssistant, radio: Radio, bench: Bench) -> None:
    """It may have paired with whoever answered."""
    async with a_bench(bench):
        await bench.load()
        assert not bench.pages.paired_radios
        with pytest.raises(NotPaired):
            await async_read_key_by_bond(hass, ADDRESS, bench.pages.paired_radios)
        with pytest.raises(NotPaired):
            await async_read_key_by_bond(hass, ADDRESS, frozenset({radio.scanner.source}))


async def test_the_proxy_with_the_wrong_pin_is_told_of(hass: HomeAssistant, radio: Radio, bench: Bench) -> None:
    """And not the nearer one, which was never meant to have it. The PIN may be in the wrong one of two, too."""
    radio.scanner.pin = WRONG_PIN
    near = EmulatedScanner(radio.device, source="02:00:00:00:E5:02", rssi={ADDRESS: -30})
    radio.add(near)
    async with a_bench(bench):
        near.advertise()
        await bench.load()
        with pytest.raises(HomeAssistantError) as raised:
            await bench.press("read_now")
        assert raised.value.translation_placeholders == {"device": bench.entry.title, "proxy": PROXY}
        near.pin, near.waits_to_be_asked = PIN, True
        await bench.press("read_now")
        assert not issues(hass)
