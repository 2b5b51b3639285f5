"""Adding a device by its PIN: over a radio that holds a bond, by an adapter that makes one, and when neither works."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
import logging
from typing import Final
from unittest.mock import patch

from bleak.exc import BleakError
from bluetooth_data_tools import monotonic_time_coarse
from habluetooth import HaScannerMgmt
from homeassistant.components.bluetooth import (
    BluetoothScanningMode,
    async_ble_device_from_address,
    async_register_scanner,
)
from homeassistant.config_entries import SOURCE_REAUTH, SOURCE_RECONFIGURE, ConfigEntryState, ConfigFlowResult
from homeassistant.const import CONF_ADDRESS, CONF_PIN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import EVENT_DATA_ENTRY_FLOW_PROGRESSED, FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.smallbms_ng.config_flow import CONF_REMOVE_PIN, CONF_SWITCH_ON
from custom_components.smallbms_ng.connection.bluez import is_bonded, remove_bond
from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import Lost
from custom_components.smallbms_ng.connection.pairing import pair
from custom_components.smallbms_ng.const import (
    CONF_KEY,
    CONF_PAGES_INTERVAL,
    CONF_PRODUCT_ID,
    DOMAIN,
    SHORTEST_PROGRESS,
)
from emulator.device import DEFAULT_KEY, EmulatedDevice
from emulator.gatt import Peripheral
from emulator.radio.bluez import DEFAULT_ADAPTER_ADDRESS, Bluez, LocalAdapter
from emulator.radio.bluez_release import Times
from emulator.radio.in_process import EmulatedScanner

from .bench import Bench, a_bench
from .conftest import ADDRESS, KEY, PRODUCT_ID, Radio, flows, make_entry, state_of
from .connected import BMS_ERROR, INSTANT_READOUT_KEY, INSTANT_READOUT_ON, PIN, Mute, Served, without_bluez

pytest_plugins = ("tests.bluez_bus",)

PROXY: Final = "02:00:00:00:E5:02"
WRONG_PIN: Final = "123456"
NEW_PIN: Final = "271828"
OTHER_KEY: Final = bytes(reversed(DEFAULT_KEY))
THIRD_KEY: Final = bytes(byte ^ 0xFF for byte in DEFAULT_KEY)

type Enter = Callable[[ConfigFlowResult, Mapping[str, object]], Awaitable[ConfigFlowResult]]


@pytest.fixture(autouse=True)
def _no_waiting() -> Generator[None]:
    """Try again at once: nothing here gets better by waiting."""
    with patch("bleak_retry_connector.calculate_backoff_time", return_value=0):
        yield


async def turns_until(condition: Callable[[], object]) -> None:
    """Let others have their turns until this is so. The clock stands still here, so nothing can wait by it."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("it never was so")


async def many_turns() -> None:
    """Let others have more turns than anything here takes."""
    for _ in range(1000):
        await asyncio.sleep(0)


async def unload(hass: HomeAssistant) -> None:
    """Unload what the test added."""
    for entry in hass.config_entries.async_entries(DOMAIN):
        if entry.state is ConfigEntryState.LOADED:
            assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


@pytest.fixture(autouse=True)
async def _unload(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[None]:
    yield
    await unload(hass)


@pytest.fixture(autouse=True)
def _no_bluez(monkeypatch: pytest.MonkeyPatch) -> None:
    without_bluez(monkeypatch)


@pytest.fixture
async def served(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Served]:
    """Return the served registers of the device, near a radio that holds a bond."""
    radio.scanner.pin = radio.device.pin
    served = Served(radio.device)
    yield served
    await unload(hass)
    assert served.untouched
    assert radio.scanner.free_slots == radio.scanner.slots


def adapters_in(result: ConfigFlowResult) -> str:
    """Return the adapters that a form names."""
    return (result["description_placeholders"] or {})["adapters"]


@pytest.fixture
async def flow(hass: HomeAssistant, radio: Radio) -> ConfigFlowResult:
    """Return the flow of the discovered device."""
    await radio.send()
    (flow,) = flows(hass)
    return flow


@pytest.fixture
def bms(radio: Radio) -> EmulatedDevice:
    """Return the device that BlueZ hears: the one that Home Assistant hears too."""
    return radio.device


@pytest.fixture
def times() -> Times:
    """Return that bluetoothd takes no time: the clock stands still."""
    return Times(link=0, disconnect=0)


@pytest.fixture
async def local(radio: Radio, bluez: Bluez, bus_address: str, monkeypatch: pytest.MonkeyPatch) -> Bluez:
    """Return the BlueZ of this machine, whose adapter is the radio that Home Assistant connects by."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_address)
    radio.undo.pop()()
    radio.scanner = radio.add(EmulatedScanner(radio.device, source=DEFAULT_ADAPTER_ADDRESS, bluez_name="hci0"))
    return bluez


@pytest.fixture
async def served_locally(hass: HomeAssistant, local: Bluez, radio: Radio) -> AsyncGenerator[Served]:
    served = Served(radio.device)
    yield served
    await unload(hass)
    assert served.untouched
    assert not local.agents.agents


@pytest.fixture
def enter(hass: HomeAssistant) -> Enter:
    """Enter something, wait while the flow shows progress, and return what comes of it."""

    async def enter(flow: ConfigFlowResult, entered: Mapping[str, object]) -> ConfigFlowResult:
        result = await hass.config_entries.flow.async_configure(flow["flow_id"], dict(entered))
        if result["type"] is FlowResultType.SHOW_PROGRESS:
            assert (result["step_id"], result["progress_action"]) == ("connect", "connect")
            await hass.async_block_till_done()
            result = await hass.config_entries.flow.async_configure(flow["flow_id"])
        await hass.async_block_till_done(wait_background_tasks=True)
        return result

    return enter


def assert_added(result: ConfigFlowResult, *, key: str = KEY, pin: str = PIN) -> None:
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"] == {CONF_ADDRESS: ADDRESS, CONF_KEY: key, CONF_PIN: pin, CONF_PRODUCT_ID: PRODUCT_ID}


def assert_error(result: ConfigFlowResult, errors: Mapping[str, str], step: str = "credentials") -> None:
    assert (result["type"], result["step_id"], result["errors"]) == (FlowResultType.FORM, step, errors)


async def test_with_a_pin_nobody_types_the_key(
    hass: HomeAssistant, radio: Radio, flow: ConfigFlowResult, served: Served, enter: Enter
) -> None:
    assert_added(await enter(flow, {CONF_PIN: PIN}))
    await radio.confirm(voltage=13.11, error=1)
    assert state_of(hass, "sensor", "voltage").state == "13.11"


@pytest.mark.parametrize("text", [f" {PIN} ", " ".join(PIN), f"{PIN[:3]} {PIN[3:]}", f"{PIN[:3]}-{PIN[3:]}\u200b"])
async def test_a_pin_however_it_was_copied(flow: ConfigFlowResult, served: Served, enter: Enter, text: str) -> None:
    assert_added(await enter(flow, {CONF_PIN: text}))


async def test_the_key_of_the_device_is_better_than_the_one_entered(
    flow: ConfigFlowResult, served: Served, enter: Enter
) -> None:
    assert_added(await enter(flow, {CONF_PIN: PIN, CONF_KEY: OTHER_KEY.hex()}))


async def test_a_device_that_does_not_tell_its_key_is_added_without(
    served: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    served.service.quirks = replace(served.service.quirks, missing={INSTANT_READOUT_KEY})
    result = await enter(flow, {CONF_PIN: PIN})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"] == {CONF_ADDRESS: ADDRESS, CONF_PIN: PIN, CONF_PRODUCT_ID: PRODUCT_ID}


async def test_the_key_is_checked_if_the_device_does_not_tell_it(
    hass: HomeAssistant, radio: Radio, flow: ConfigFlowResult, served: Served, enter: Enter
) -> None:
    served.service.quirks = replace(served.service.quirks, missing={INSTANT_READOUT_KEY})
    assert_error(await enter(flow, {CONF_PIN: PIN, CONF_KEY: "12"}), {CONF_KEY: "invalid_key"})
    await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: PIN, CONF_KEY: KEY})
    for turn in range(500):
        radio.advertise(current=turn / 10)
        await asyncio.sleep(0)
    await radio.settle()
    assert_added(await hass.config_entries.flow.async_configure(flow["flow_id"]))


@pytest.mark.parametrize("text", ["1", "12345", "1234567", "abcdef", "０１４９１６", "12345six"])
async def test_no_pin_at_all(
    hass: HomeAssistant, flow: ConfigFlowResult, served: Served, enter: Enter, text: str
) -> None:
    """Nothing is tried, so there is no progress to show."""
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: text})
    assert_error(result, {CONF_PIN: "invalid_pin"})
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: text, CONF_KEY: text})
    assert_error(result, {CONF_PIN: "invalid_pin", CONF_KEY: "invalid_key"})
    assert_added(await enter(flow, {CONF_PIN: PIN}))


def fields_of(result: ConfigFlowResult) -> dict[str, object]:
    """Return the fields of a form, with the kind of those that take text."""
    schema = result["data_schema"]
    assert schema
    assert not any(field.description for field in schema.schema), "what was entered, or is stored, is not shown"
    return {str(field): selector.config.get("type") for field, selector in schema.schema.items()}


async def test_secrets_are_hidden_and_never_shown_again(
    hass: HomeAssistant, flow: ConfigFlowResult, served: Served, enter: Enter
) -> None:
    hidden = {CONF_PIN: "password", CONF_KEY: "password"}
    assert fields_of(await hass.config_entries.flow.async_configure(flow["flow_id"])) == hidden
    result = await enter(flow, {CONF_PIN: "12345", CONF_KEY: KEY})
    assert fields_of(result) == hidden
    assert KEY not in str(result)


async def test_no_radio_has_a_bond_nor_can_make_one(
    radio: Radio, flow: ConfigFlowResult, served: Served, enter: Enter
) -> None:
    radio.scanner.pin = None
    result = await enter(flow, {CONF_PIN: PIN})
    assert_error(result, {CONF_PIN: "proxy_has_no_pin"})
    assert adapters_in(result) == ""
    radio.scanner.pin = PIN
    assert_added(await enter(flow, {CONF_PIN: PIN}))


async def test_the_phone_holds_the_device(radio: Radio, flow: ConfigFlowResult, served: Served, enter: Enter) -> None:
    phone = radio.device.peripheral.connect("phone")
    assert_error(await enter(flow, {CONF_PIN: PIN}), {CONF_PIN: "not_reachable"})
    phone.close()
    assert_added(await enter(flow, {CONF_PIN: PIN}))


async def test_no_slot(radio: Radio, flow: ConfigFlowResult, served: Served, enter: Enter) -> None:
    slots, radio.scanner.slots = radio.scanner.slots, 0
    assert_error(await enter(flow, {CONF_PIN: PIN}), {CONF_PIN: "no_slot"})
    radio.scanner.slots = slots
    assert_added(await enter(flow, {CONF_PIN: PIN}))


async def test_the_connection_breaks_off(radio: Radio, flow: ConfigFlowResult, served: Served, enter: Enter) -> None:
    radio.device.faults.lose_link_after = 5
    assert_error(await enter(flow, {CONF_PIN: PIN}), {CONF_PIN: "lost"})
    radio.device.faults.clear()
    assert_added(await enter(flow, {CONF_PIN: PIN}))


async def test_what_is_answered_makes_no_sense(radio: Radio, flow: ConfigFlowResult, enter: Enter) -> None:
    """Nobody serves the registers, so that reading the first characteristic gives nothing."""
    radio.scanner.pin = PIN
    assert_error(await enter(flow, {CONF_PIN: PIN}), {CONF_PIN: "bad_answer"})


async def test_nothing_is_answered(
    hass: HomeAssistant, radio: Radio, served: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    serve, radio.device.make_ve_smart_server = radio.device.make_ve_smart_server, lambda _link: Mute()
    await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: PIN})
    for _ in range(500):
        radio.tick(timedelta(seconds=0.1))
        await asyncio.sleep(0)
    await radio.settle()
    assert_error(await hass.config_entries.flow.async_configure(flow["flow_id"]), {CONF_PIN: "no_answer"})
    radio.device.make_ve_smart_server = serve
    assert_added(await enter(flow, {CONF_PIN: PIN}))


async def test_only_radios_that_listen(hass: HomeAssistant, radio: Radio, enter: Enter) -> None:
    radio.undo.pop()()
    radio.scanner = radio.add(EmulatedScanner(radio.device, connectable=False))
    await radio.send()
    (flow,) = flows(hass)
    assert_error(await enter(flow, {CONF_PIN: PIN}), {CONF_PIN: "no_path"})


async def test_without_the_pin_the_key_is_enough(
    hass: HomeAssistant, radio: Radio, flow: ConfigFlowResult, enter: Enter
) -> None:
    """No adapter can pair; the readings come all the same."""
    Served(radio.device)
    assert_error(await enter(flow, {CONF_PIN: PIN, CONF_KEY: KEY}), {CONF_PIN: "proxy_has_no_pin"})
    task = asyncio.create_task(hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_KEY: KEY}))
    for current in (1.0, 2.0, 3.0):
        await asyncio.sleep(0)
        radio.advertise(current=current)
    result = await task
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"] == {CONF_ADDRESS: ADDRESS, CONF_KEY: KEY, CONF_PRODUCT_ID: PRODUCT_ID}
    await radio.confirm(current=5.5, error=1)
    assert state_of(hass, "sensor", "current").state == "5.5"


async def test_closing_the_flow_ends_the_attempt(hass: HomeAssistant, flow: ConfigFlowResult, served: Served) -> None:
    started = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: PIN})
    assert started["type"] is FlowResultType.SHOW_PROGRESS
    await turns_until(lambda: served.device.connected)
    hass.config_entries.flow.async_abort(flow["flow_id"])
    await turns_until(lambda: served.untouched)


async def test_an_attempt_that_fails_at_once_is_shown_for_a_while(
    hass: HomeAssistant, radio: Radio, flow: ConfigFlowResult, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a browser, which takes a while to listen, would never hear of its end."""
    monkeypatch.setattr("custom_components.smallbms_ng.config_flow.SHORTEST_PROGRESS", SHORTEST_PROGRESS)
    radio.scanner.pin = None
    ended = async_capture_events(hass, EVENT_DATA_ENTRY_FLOW_PROGRESSED)
    await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: PIN})
    await many_turns()
    radio.freezer.tick(1.9)
    await many_turns()
    assert not ended
    radio.freezer.tick(0.2)
    await turns_until(lambda: ended)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert_error(result, {CONF_PIN: "proxy_has_no_pin"})


async def test_closing_the_flow_ends_the_wait(
    hass: HomeAssistant, radio: Radio, flow: ConfigFlowResult, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.smallbms_ng.config_flow.SHORTEST_PROGRESS", SHORTEST_PROGRESS)
    await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: PIN})
    await many_turns()
    hass.config_entries.flow.async_abort(flow["flow_id"])
    await radio.settle()


async def test_what_nobody_foresaw_is_an_end_too(
    flow: ConfigFlowResult, served: Served, enter: Enter, caplog: pytest.LogCaptureFixture
) -> None:
    with patch("bleak_retry_connector.establish_connection", side_effect=LookupError("a surprise")):
        result = await enter(flow, {CONF_PIN: PIN})
    assert_error(result, {"base": "unknown"})
    assert "a surprise" in caplog.text
    caplog.clear()
    assert_added(await enter(flow, {CONF_PIN: PIN}))


# By an adapter of this machine


async def test_an_adapter_pairs(served_locally: Served, flow: ConfigFlowResult, enter: Enter) -> None:
    result = await enter(flow, {CONF_PIN: PIN})
    assert_added(result)
    assert result["description"] is None
    assert served_locally.device.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}


async def test_a_nearer_proxy_without_a_bond(
    radio: Radio, served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    """The adapter pairs, and is also the one to connect by. A bond that it has already is not made anew for that."""
    proxy = radio.add(EmulatedScanner(radio.device, source=PROXY, rssi={ADDRESS: -30}))
    proxy.advertise()
    await pair(ADDRESS, PIN)
    served_locally.device.faults.wrong_pin = True
    assert_added(await enter(flow, {CONF_PIN: PIN}))
    assert served_locally.device.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}
    assert proxy.free_slots == proxy.slots


async def test_a_wrong_pin(served_locally: Served, flow: ConfigFlowResult, enter: Enter) -> None:
    assert_error(await enter(flow, {CONF_PIN: WRONG_PIN}), {CONF_PIN: "wrong_pin"})
    assert not served_locally.device.peripheral.bonds
    assert_added(await enter(flow, {CONF_PIN: PIN}))


async def test_closing_the_flow_ends_the_pairing(
    hass: HomeAssistant, local: Bluez, served_locally: Served, flow: ConfigFlowResult
) -> None:
    served_locally.device.faults.answer_delay = 3600
    await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: PIN})
    await turns_until(lambda: local.agents.agents and served_locally.device.connected)
    hass.config_entries.flow.async_abort(flow["flow_id"])
    await turns_until(lambda: not local.agents.agents and served_locally.untouched)


async def test_a_bond_that_is_there_is_used(served_locally: Served, flow: ConfigFlowResult, enter: Enter) -> None:
    """And it is said that the PIN was not checked."""
    await pair(ADDRESS, PIN)
    result = await enter(flow, {CONF_PIN: WRONG_PIN})
    assert_added(result, pin=WRONG_PIN)
    assert result["description"] == "already_paired"


async def test_a_bond_that_the_device_forgot_is_made_anew(
    served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    await pair(ADDRESS, PIN)
    served_locally.device.peripheral.bonds.clear()
    result = await enter(flow, {CONF_PIN: PIN})
    assert_added(result)
    assert result["description"] is None, "the PIN was checked"
    assert served_locally.device.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}


async def test_a_pairing_without_a_question_proves_no_pin(
    local: Bluez, served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    device = local.adapters["hci0"].devices[0]
    device.just_works = True
    assert_error(await enter(flow, {CONF_PIN: WRONG_PIN}), {CONF_PIN: "pin_not_asked"})
    assert not await is_bonded(ADDRESS)
    device.just_works = False
    assert_added(await enter(flow, {CONF_PIN: PIN}))


async def test_a_good_bond_stays_when_another_radio_has_none(
    radio: Radio, served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    """The adapter with the bond is out of reach; a proxy nearby is asked to pair, and cannot."""
    await pair(ADDRESS, PIN)
    proxy = radio.add(EmulatedScanner(radio.device, source=PROXY))
    proxy.advertise()
    radio.scanner.devices.clear()
    radio.undo.pop(0)()
    assert_error(await enter(flow, {CONF_PIN: PIN}), {CONF_PIN: "other_way"})
    assert await is_bonded(ADDRESS)
    assert served_locally.device.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}


async def test_only_the_bond_that_was_refused_is_replaced(
    radio: Radio, local: Bluez, served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    """By the adapter that had it, however well others hear the device."""
    await pair(ADDRESS, PIN)
    served_locally.device.peripheral.bonds.clear()
    assert_error(await enter(flow, {CONF_PIN: WRONG_PIN}), {CONF_PIN: "wrong_pin"})
    assert_added(await enter(flow, {CONF_PIN: PIN}))
    assert served_locally.device.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}


async def test_a_device_that_wants_no_bond_has_not_lost_one(
    hass: HomeAssistant, radio: Radio, served_locally: Served
) -> None:
    """The adapter has none, and got through without. A link that breaks off is no more than that."""
    device = radio.device
    device.peripheral = Peripheral(
        (
            replace(one, characteristics=tuple(replace(each, authenticated=False) for each in one.characteristics))
            for one in device.peripheral.services
        ),
        device.peripheral.make_handler,
        pin=PIN,
        faults=device.faults,
    )
    await radio.send()
    client = VeSmartClient(partial(async_ble_device_from_address, hass, ADDRESS, connectable=True))
    async with client:
        assert client.instances
    device.faults.lose_link_after = 2
    with pytest.raises(Lost):
        await client.connect()


def add_adapter_without_bluez(hass: HomeAssistant, radio: Radio) -> HaScannerMgmt:
    """Let Home Assistant have an adapter of this machine that it drives by itself, and that hears the device."""
    scanner = HaScannerMgmt(BluetoothScanningMode.ACTIVE, "hci0", DEFAULT_ADAPTER_ADDRESS)
    for undo in (scanner.async_setup(), async_register_scanner(hass, scanner)):
        radio.undo.insert(0, undo)
    data = radio.device.advertisement().joined
    scanner._async_on_raw_advertisement(ADDRESS, -50, data, {}, monotonic_time_coarse())
    return scanner


@pytest.mark.parametrize("proxy_near", [False, True])
async def test_an_adapter_that_bluez_does_not_drive(
    hass: HomeAssistant, radio: Radio, served: Served, enter: Enter, proxy_near: bool
) -> None:
    """It is told that this one cannot pair; nobody waits for an agent."""
    radio.scanner.pin = None
    radio.scanner.rssi[ADDRESS] = -40
    if proxy_near:
        radio.scanner.advertise()
    scanner = add_adapter_without_bluez(hass, radio)
    await radio.settle()
    (flow,) = flows(hass)
    # This test has no such adapter.
    with patch("habluetooth.client_mgmt.HaMgmtClient.connect", side_effect=BleakError("no such adapter")):
        result = await enter(flow, {CONF_PIN: PIN})
    assert_error(result, {CONF_PIN: "not_bluez"})
    assert adapters_in(result) == scanner.name


@pytest.mark.parametrize("adapters", [(LocalAdapter(powered=False),)])
async def test_an_adapter_that_is_off(served_locally: Served, flow: ConfigFlowResult, enter: Enter) -> None:
    result = await enter(flow, {CONF_PIN: PIN})
    assert_error(result, {CONF_PIN: "no_adapter"})
    assert adapters_in(result) == "hci0"


@pytest.mark.parametrize("adapters", [(LocalAdapter(),)])
async def test_an_adapter_that_does_not_hear_the_device(
    served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    with patch("custom_components.smallbms_ng.checks._SEARCH_TIME", 0):
        result = await enter(flow, {CONF_PIN: PIN})
    assert_error(result, {CONF_PIN: "adapter_too_far"})
    assert adapters_in(result) == "hci0"


async def test_home_assistant_has_a_proxy_only(
    hass: HomeAssistant, radio: Radio, served_locally: Served, enter: Enter
) -> None:
    """The adapter pairs, but Home Assistant does not use it."""
    radio.undo.pop()()
    proxy = radio.add(EmulatedScanner(radio.device, source=PROXY))
    await radio.send(proxy)
    (flow,) = flows(hass)
    assert_error(await enter(flow, {CONF_PIN: PIN}), {CONF_PIN: "other_way"})
    radio.scanner = radio.add(radio.scanner)
    await radio.send()
    assert_added(await enter(flow, {CONF_PIN: PIN}))


# Instant Readout is off


async def switched_off(hass: HomeAssistant, radio: Radio, enter: Enter) -> ConfigFlowResult:
    """Return the flow of a device whose Instant Readout was switched off after it was discovered."""
    await radio.send()
    radio.device.instant_readout_on = False
    (flow,) = flows(hass)
    result = await enter(flow, {CONF_PIN: PIN})
    assert_error(result, {}, "instant_readout")
    return result


async def test_instant_readout_is_switched_on_if_the_user_wants(
    hass: HomeAssistant, radio: Radio, served: Served, enter: Enter
) -> None:
    flow = await switched_off(hass, radio, enter)
    assert not radio.device.instant_readout_on, "nobody was asked yet"
    assert_added(await enter(flow, {CONF_SWITCH_ON: True}))
    assert radio.device.instant_readout_on


async def test_instant_readout_stays_off_if_the_user_wants(
    hass: HomeAssistant, radio: Radio, served: Served, enter: Enter
) -> None:
    flow = await switched_off(hass, radio, enter)
    assert_added(await enter(flow, {CONF_SWITCH_ON: False}))
    assert not radio.device.instant_readout_on


async def test_instant_readout_cannot_be_switched_on(
    hass: HomeAssistant, radio: Radio, served: Served, enter: Enter
) -> None:
    flow = await switched_off(hass, radio, enter)
    phone = radio.device.peripheral.connect("phone")
    result = await enter(flow, {CONF_SWITCH_ON: True})
    assert_error(result, {CONF_SWITCH_ON: "not_reachable"}, "instant_readout")
    phone.close()
    assert_added(await enter(flow, {CONF_SWITCH_ON: True}))


async def test_without_the_pin_nobody_offers_to_switch_it_on(
    hass: HomeAssistant, radio: Radio, served: Served, flow: ConfigFlowResult
) -> None:
    """Not even when an attempt before, with the PIN, found it off."""
    served.service.quirks = replace(served.service.quirks, missing={INSTANT_READOUT_KEY})
    radio.device.instant_readout_on = False

    async def enter_slowly(entered: dict[str, str]) -> ConfigFlowResult:
        task = asyncio.create_task(hass.config_entries.flow.async_configure(flow["flow_id"], entered))
        for _ in range(500):
            radio.tick(timedelta(seconds=0.1))
            await asyncio.sleep(0)
        await radio.settle()
        result = await task
        if result["type"] is FlowResultType.SHOW_PROGRESS:
            return await hass.config_entries.flow.async_configure(flow["flow_id"])
        return result

    assert_error(await enter_slowly({CONF_PIN: PIN, CONF_KEY: OTHER_KEY.hex()}), {CONF_KEY: "wrong_key"})
    result = await enter_slowly({CONF_KEY: KEY})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert CONF_PIN not in result["data"]


async def test_a_device_that_does_not_tell_whether_it_is_on(
    flow: ConfigFlowResult, served: Served, enter: Enter
) -> None:
    served.service.quirks = replace(served.service.quirks, missing={INSTANT_READOUT_ON})
    assert_added(await enter(flow, {CONF_PIN: PIN}))


# Afterwards


async def with_entry(hass: HomeAssistant, radio: Radio, **data: str) -> MockConfigEntry:
    """Return the loaded entry of a device that was added with this."""
    entry = make_entry()
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data=entry.data | data)
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    return entry


def credentials(entry: MockConfigEntry) -> dict[str, str]:
    return {name: entry.data[name] for name in (CONF_KEY, CONF_PIN) if name in entry.data}


async def heard_until(radio: Radio, condition: Callable[[], object]) -> None:
    """Let the device be heard again and again, until this is so."""
    for turn in range(2000):
        if condition():
            return
        radio.advertise(current=turn / 10)
        for _ in range(20):
            await asyncio.sleep(0)
    pytest.fail("it never was so")


def question(hass: HomeAssistant) -> ConfigFlowResult | None:
    """Return the flow that asks for a new key, if there is one."""
    return next((flow for flow in flows(hass) if flow["step_id"] == "reauth_confirm"), None)


async def test_a_new_key_is_read_without_a_question(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    radio.device.key = OTHER_KEY
    await heard_until(radio, lambda: credentials(entry) == {CONF_KEY: OTHER_KEY.hex(), CONF_PIN: PIN})
    await radio.settle()
    assert not flows(hass)
    await radio.confirm(voltage=12.77, error=1)
    assert state_of(hass, "sensor", "voltage").state == "12.77"


async def with_unread_entry(hass: HomeAssistant, radio: Radio) -> MockConfigEntry:
    """Return the loaded entry of a device that it does not connect to by itself, so that no radio is known."""
    entry = make_entry()
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data=entry.data | {CONF_PIN: PIN}, options={CONF_PAGES_INTERVAL: 0})
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    return entry


async def test_no_key_is_taken_over_an_unknown_radio(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    """Anybody may answer there under the address of the device."""
    entry = await with_unread_entry(hass, radio)
    connections = radio.count_connections()
    radio.device.key = OTHER_KEY
    await heard_until(radio, lambda: question(hass))
    assert not connections
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_no_key_is_taken_over_the_radio_beside_the_known_one(
    hass: HomeAssistant, radio: Radio, served: Served
) -> None:
    """The known one has no free connection just now."""
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    other = radio.add(EmulatedScanner(radio.device, source=PROXY))
    other.pin = PIN
    other.advertise()
    slots, radio.scanner.slots = radio.scanner.slots, 0
    connections = radio.count_connections()
    radio.device.key = OTHER_KEY
    await heard_until(radio, lambda: question(hass))
    assert set(connections) == {PROXY}
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}
    radio.scanner.slots = slots


async def test_no_key_is_taken_that_reads_nothing(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    """The device that is heard is another one than the one that answers, or it lies."""
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    radio.device.key = THIRD_KEY
    flow = asyncio.ensure_future(entry.start_reauth_flow(hass))
    await turns_until(lambda: served.device.connected)
    await turns_until(lambda: not served.device.connected)
    radio.device.key = OTHER_KEY
    await heard_until(radio, flow.done)
    assert_error(flow.result(), {}, "reauth_confirm")
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_the_bond_of_an_adapter_gives_the_key(hass: HomeAssistant, radio: Radio, served_locally: Served) -> None:
    entry = await with_unread_entry(hass, radio)
    await pair(ADDRESS, PIN)
    radio.device.key = OTHER_KEY
    await heard_until(radio, lambda: credentials(entry) == {CONF_KEY: OTHER_KEY.hex(), CONF_PIN: PIN})
    await radio.settle()


async def test_an_adapter_whose_bond_was_removed_gives_no_key(
    hass: HomeAssistant, radio: Radio, served_locally: Served
) -> None:
    """Whoever answers there now, without asking for one, is not known."""
    await pair(ADDRESS, PIN)
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    await remove_bond(ADDRESS)
    radio.device.peripheral.bonds.add(DEFAULT_ADAPTER_ADDRESS)
    connections = radio.count_connections()
    radio.device.key = OTHER_KEY
    await heard_until(radio, lambda: question(hass))
    assert not connections
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


@pytest.mark.parametrize("bond_here", [True, False])
async def test_nobody_pairs_without_a_person(
    hass: HomeAssistant, radio: Radio, local: Bluez, served_locally: Served, bond_here: bool
) -> None:
    """The device knows no bond, and takes the PIN that is stored. Whoever wants to be told it may pretend that."""
    entry = await with_unread_entry(hass, radio)
    if bond_here:
        await pair(ADDRESS, PIN)
        served_locally.device.peripheral.bonds.clear()
    radio.device.key = OTHER_KEY
    await heard_until(radio, lambda: question(hass))
    assert not served_locally.device.peripheral.bonds
    assert await is_bonded(ADDRESS) is bond_here, "a bond that is there is not removed either"
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_a_question_that_was_withdrawn_changes_nothing(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    """The old key reads the device again while the new one is being read."""
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    radio.device.key = OTHER_KEY
    flow = asyncio.ensure_future(entry.start_reauth_flow(hass))
    await turns_until(lambda: served.device.connected)
    await turns_until(lambda: not served.device.connected)
    (started,) = entry.async_get_active_flows(hass, {SOURCE_REAUTH})
    hass.config_entries.flow.async_abort(started["flow_id"])
    await heard_until(radio, flow.done)
    assert (await flow)["reason"] == "over"
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_a_new_key_is_asked_for_when_it_cannot_be_read(
    hass: HomeAssistant, radio: Radio, served: Served, enter: Enter
) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    radio.device.key = OTHER_KEY
    radio.device.faults.refuse_connections = True
    flow = await entry.start_reauth_flow(hass)
    assert_error(flow, {}, "reauth_confirm")
    radio.device.faults.refuse_connections = False
    result = await enter(flow, {CONF_PIN: PIN})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_paired")
    assert credentials(entry) == {CONF_KEY: OTHER_KEY.hex(), CONF_PIN: PIN}


async def test_a_device_that_does_not_tell_its_new_key(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    radio.device.key = OTHER_KEY
    served.service.quirks = replace(served.service.quirks, missing={INSTANT_READOUT_KEY})
    assert_error(await entry.start_reauth_flow(hass), {}, "reauth_confirm")
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_after_the_pin_was_changed(
    hass: HomeAssistant, radio: Radio, served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    """The device has a new key and knows no bond any more; the old PIN makes none, so the new one is asked for."""
    assert_added(await enter(flow, {CONF_PIN: PIN}))
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    radio.device.peripheral.pin = NEW_PIN
    radio.device.peripheral.bonds.clear()
    radio.device.key = OTHER_KEY
    await heard_until(radio, lambda: question(hass))
    asked = question(hass)
    assert asked
    assert_error(await enter(asked, {CONF_PIN: PIN}), {CONF_PIN: "wrong_pin"}, "reauth_confirm")
    result = await enter(asked, {CONF_PIN: NEW_PIN})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reauth_successful")
    assert (entry.data[CONF_KEY], entry.data[CONF_PIN]) == (OTHER_KEY.hex(), NEW_PIN)
    assert served_locally.device.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}


async def test_entering_the_new_key_keeps_the_pin(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    radio.device.faults.refuse_connections = True
    radio.device.key = OTHER_KEY
    flow = await entry.start_reauth_flow(hass)
    entered = {CONF_KEY: OTHER_KEY.hex()}
    task = asyncio.create_task(hass.config_entries.flow.async_configure(flow["flow_id"], entered))
    for current in (1.0, 2.0, 3.0):
        await asyncio.sleep(0)
        radio.advertise(current=current)
    assert (await task)["reason"] == "reauth_successful"
    assert credentials(entry) == {CONF_KEY: OTHER_KEY.hex(), CONF_PIN: PIN}
    await radio.settle()


async def test_a_key_that_is_not_new_is_no_answer(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    """Or else advertisements that cannot be read would have it connect again and again."""
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    assert_error(await entry.start_reauth_flow(hass), {}, "reauth_confirm")


async def test_reconfigure_adds_the_pin(hass: HomeAssistant, radio: Radio, served: Served, enter: Enter) -> None:
    entry = await with_entry(hass, radio)
    flow = await entry.start_reconfigure_flow(hass)
    assert_error(flow, {}, "reconfigure")
    assert_error(await enter(flow, {CONF_PIN: "12"}), {CONF_PIN: "invalid_pin"}, "reconfigure")
    result = await enter(flow, {CONF_PIN: PIN})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_paired")
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_the_entry_lets_go_of_the_device_for_a_flow(hass: HomeAssistant, radio: Radio, enter: Enter) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        await bench.set("tail_current", 5)
        assert bench.device.connected, "it is held for the next change"
        flow = await bench.entry.start_reconfigure_flow(hass)
        result = await enter(flow, {CONF_PIN: PIN})
        assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_paired")
        assert not bench.pages.lost


async def test_a_flow_reads_the_status_first(hass: HomeAssistant, radio: Radio, enter: Enter) -> None:
    """A device that is connected advertises nothing, so a code that it has now would be late."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        flow = await bench.entry.start_reconfigure_flow(hass)
        bench.box.forget()
        result = await enter(flow, {CONF_PIN: PIN})
        assert result["type"] is FlowResultType.ABORT
        registers = [register for _instance, register in bench.box.reads]
        assert registers.index(BMS_ERROR) < registers.index(INSTANT_READOUT_KEY)


async def test_reconfigure_shows_no_secret(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    flow = await entry.start_reconfigure_flow(hass)
    assert fields_of(flow) == {CONF_PIN: "password", CONF_KEY: "password", CONF_REMOVE_PIN: None}


async def test_there_is_no_pin_to_take_away(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, enter: Enter
) -> None:
    flow = await entry.start_reconfigure_flow(hass)
    assert fields_of(flow) == {CONF_PIN: "password", CONF_KEY: "password"}
    assert_error(await enter(flow, {}), {CONF_PIN: "proxy_has_no_pin"}, "reconfigure")
    radio.undo.pop()()
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {})
    assert_error(result, {"base": "nothing_entered"}, "reconfigure")


async def test_reconfigure_takes_the_pin_away(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    flow = await entry.start_reconfigure_flow(hass)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_REMOVE_PIN: True})
    assert result["reason"] == "reconfigure_successful"
    assert credentials(entry) == {CONF_KEY: KEY}
    await radio.settle()


async def test_a_pin_is_not_entered_and_taken_away_at_once(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    flow = await entry.start_reconfigure_flow(hass)
    entered = {CONF_PIN: NEW_PIN, CONF_REMOVE_PIN: True}
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], entered)
    assert_error(result, {CONF_REMOVE_PIN: "pin_entered"}, "reconfigure")
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_without_pin_and_key_nothing_would_be_left(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    data = {name: value for name, value in entry.data.items() if name != CONF_KEY}
    hass.config_entries.async_update_entry(entry, data=data)
    flow = await entry.start_reconfigure_flow(hass)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_REMOVE_PIN: True})
    assert_error(result, {CONF_KEY: "key_needed"}, "reconfigure")
    task = asyncio.ensure_future(
        hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_REMOVE_PIN: True, CONF_KEY: KEY})
    )
    await heard_until(radio, task.done)
    assert task.result()["reason"] == "reconfigure_successful"
    assert credentials(entry) == {CONF_KEY: KEY}
    await radio.settle()


async def test_reconfigure_keeps_what_is_left_empty(hass: HomeAssistant, radio: Radio, served: Served) -> None:
    entry = await with_entry(hass, radio, **{CONF_PIN: PIN})
    radio.device.key = OTHER_KEY
    flow = await entry.start_reconfigure_flow(hass)
    entered = {CONF_KEY: OTHER_KEY.hex()}
    task = asyncio.ensure_future(hass.config_entries.flow.async_configure(flow["flow_id"], entered))
    await heard_until(radio, task.done)
    assert task.result()["reason"] == "reconfigure_successful"
    assert credentials(entry) == {CONF_KEY: OTHER_KEY.hex(), CONF_PIN: PIN}
    await radio.settle()


async def test_the_key_is_kept_if_the_device_does_not_tell_it(
    hass: HomeAssistant, radio: Radio, served: Served, enter: Enter
) -> None:
    entry = await with_entry(hass, radio)
    served.service.quirks = replace(served.service.quirks, missing={INSTANT_READOUT_KEY})
    flow = await entry.start_reconfigure_flow(hass)
    assert (await enter(flow, {CONF_PIN: PIN}))["reason"] == "already_paired"
    assert credentials(entry) == {CONF_KEY: KEY, CONF_PIN: PIN}


async def test_with_nothing_entered_the_stored_pin_pairs_again(
    hass: HomeAssistant, radio: Radio, served_locally: Served, flow: ConfigFlowResult, enter: Enter
) -> None:
    """A person submitted the form, so that this may pair."""
    assert_added(await enter(flow, {CONF_PIN: PIN}))
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    radio.device.peripheral.bonds.clear()
    again = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    assert (await enter(again, {}))["reason"] == "reconfigure_successful"
    assert served_locally.device.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}
    assert (entry.data[CONF_KEY], entry.data[CONF_PIN]) == (KEY, PIN)


async def test_the_pin_is_in_no_log(
    served_locally: Served, flow: ConfigFlowResult, enter: Enter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await enter(flow, {CONF_PIN: WRONG_PIN})
    assert_added(await enter(flow, {CONF_PIN: PIN}))
    assert caplog.records
    assert not [text for text in map(str, caplog.messages) if PIN in text or WRONG_PIN in text]
