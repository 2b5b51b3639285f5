"""Adding a device, changing its key and its options: every way, every error, and the way back from it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from homeassistant.config_entries import (
    SOURCE_BLUETOOTH,
    SOURCE_IGNORE,
    SOURCE_USER,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.const import CONF_ADDRESS
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData, UnknownFlow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.smallbms_ng.checks import WAIT_FOR_RECORDS
from custom_components.smallbms_ng.const import (
    CONF_CAPACITY,
    CONF_KEY,
    CONF_PAGES_INTERVAL,
    CONF_PRODUCT_ID,
    CONF_REPAIRS_FOR_WARNINGS,
    CONF_RESIDUAL_CURRENT,
    CONF_UPDATE_INTERVAL,
    DEFAULT_PAGES_INTERVAL,
    DOMAIN,
)
from emulator.device import DEFAULT_KEY, DEFAULT_NAME
from emulator.radio.in_process import EmulatedScanner

from .conftest import ADDRESS, KEY, PRODUCT_ID, EnteredOptions, Radio, flows, make_entry, state_of

OTHER_KEY = bytes(reversed(DEFAULT_KEY))
# The same first byte, so it passes the check and gives nonsense.
NEAR_KEY = DEFAULT_KEY[:1] + bytes(15)
OTHER_ADDRESS = "C0:3A:5E:00:00:02"

# A few records of other Victron products, as their owners published them.
OTHER_PRODUCTS = {
    "battery monitor": "100289a302b040af925d09a4d89aa0128bdef48c6298a9",
    "battery sense": "1000a4a3025f150d8dcbff517f30eb65e76b22a04ac4e1",
    "solar charger": "100242a0016207adceb37b605d7e0ee21b24df5c",
    "DC-DC converter": "1000c0a304121d64ca8d442b90bbdf6a8cba",
    "BatteryProtect": "1080b0a3093523fadedea38b1af8bcbde91ca8b6dbb60e",
    "VE.Bus": "100380270c1252dad26f0b8eb39162074d140df410",
    "DC energy meter": "100289a30d787fafde83ccec982199fd815286",
    "Lynx Smart BMS": "1002e5a30a0100" + "00" * 17,
    "cut off": "1002eca30a0100",
}

type Answer = Callable[[ConfigFlowResult, str], Awaitable[ConfigFlowResult]]


@pytest.fixture
def answer(hass: HomeAssistant, radio: Radio) -> Answer:
    """Enter a key while the device goes on sending, and return what comes of it."""

    async def enter(flow: ConfigFlowResult, key: str) -> ConfigFlowResult:
        # Not waited for by Home Assistant, which would wait for what is only sent below.
        configure = hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_KEY: key})
        task = asyncio.create_task(configure)
        for current in (1.0, 2.0, 3.0):
            await asyncio.sleep(0)
            radio.advertise(current=current)
        async_fire_time_changed(hass, radio.later(WAIT_FOR_RECORDS + 1))
        result = await task
        await radio.settle()
        return result

    return enter


async def discovered(hass: HomeAssistant, radio: Radio) -> ConfigFlowResult:
    """Return the flow of the device that was found by Bluetooth."""
    await radio.send()
    (flow,) = flows(hass)
    return flow


async def chosen(hass: HomeAssistant, address: str = ADDRESS) -> ConfigFlowResult:
    """Return the flow of a user who chose a device from the list."""
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "user")
    return await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_ADDRESS: address})


def assert_added(result: ConfigFlowResult) -> None:
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == DEFAULT_NAME
    assert result["data"] == {CONF_ADDRESS: ADDRESS, CONF_KEY: KEY, CONF_PRODUCT_ID: PRODUCT_ID}
    assert result["result"].unique_id == ADDRESS


async def remove(hass: HomeAssistant) -> None:
    """Unload what the test added, so that no timer is left."""
    for entry in hass.config_entries.async_entries(DOMAIN):
        if entry.state is ConfigEntryState.LOADED:
            await hass.config_entries.async_unload(entry.entry_id)


async def test_discovery(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    flow = await discovered(hass, radio)
    assert (flow["step_id"], flow["context"]["source"]) == ("credentials", SOURCE_BLUETOOTH)
    assert flow["context"]["title_placeholders"] == {"name": DEFAULT_NAME}
    assert_added(await answer(flow, KEY))
    assert state_of(hass, "sensor", "voltage").state == "13.28"
    await remove(hass)


@pytest.mark.parametrize("data", OTHER_PRODUCTS.values(), ids=OTHER_PRODUCTS)
async def test_other_victron_products_show_no_card(hass: HomeAssistant, radio: Radio, data: str) -> None:
    await radio.send_bytes(bytes.fromhex(data))
    assert not flows(hass)


@pytest.mark.parametrize("product_id", [0x0000, 0xA3EC, 0xA3ED, 0xFFFF])
async def test_an_unknown_product_id_is_no_reason_to_refuse(hass: HomeAssistant, radio: Radio, product_id: int) -> None:
    """The id of the smallBMS NG is not public."""
    radio.device.product_id = product_id
    await radio.send()
    assert len(flows(hass)) == 1


async def test_a_configured_device_shows_no_card(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    await radio.send(voltage=13.0)
    assert not flows(hass)
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_BLUETOOTH}, data=radio.service_info()
    )
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")


async def test_one_card_for_a_device(hass: HomeAssistant, radio: Radio) -> None:
    await radio.send()
    await radio.send(voltage=13.0)
    assert len(flows(hass)) == 1


async def test_a_device_without_a_name(hass: HomeAssistant, radio: Radio) -> None:
    """A scanner that only listens does not get the name."""
    radio.device.name = ""
    flow = await discovered(hass, radio)
    assert flow["context"]["title_placeholders"] == {"name": "smallBMS NG 00:01"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[x](https://y.z) <b>", "xhttpsy.z b"),
        ("Büro_2.-", "Büro_2.-"),
        ("|*#`\u202e", "smallBMS NG 00:01"),
        (" \n", "smallBMS NG 00:01"),
    ],
)
async def test_anybody_may_send_a_name(hass: HomeAssistant, radio: Radio, name: str, shown: str) -> None:
    """It is shown in dialogs and repairs, which understand Markdown."""
    radio.device.name = name
    flow = await discovered(hass, radio)
    assert flow["context"]["title_placeholders"] == {"name": shown}


async def test_user(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    await radio.send()
    flow = await chosen(hass)
    assert (flow["step_id"], flow["errors"]) == ("credentials", {})
    assert_added(await answer(flow, KEY))
    assert not flows(hass), "the card of the discovered device is gone"
    await remove(hass)


async def test_user_sees_only_new_devices_of_ours(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    charger = radio.make_device(OTHER_ADDRESS, "Charger")
    radio.scanner.devices[OTHER_ADDRESS] = charger
    radio.scanner.advertise_bytes(charger, bytes.fromhex(OTHER_PRODUCTS["solar charger"]))
    await radio.settle()
    result = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "no_devices_found")


async def test_user_adds_an_ignored_device(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    MockConfigEntry(domain=DOMAIN, unique_id=ADDRESS, source=SOURCE_IGNORE).add_to_hass(hass)
    await radio.send()
    assert not flows(hass)
    assert_added(await answer(await chosen(hass), KEY))
    await remove(hass)


async def test_nothing_in_range(hass: HomeAssistant, radio: Radio) -> None:
    result = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "no_devices_found")


async def test_user_enters_no_device_of_the_list(hass: HomeAssistant, radio: Radio) -> None:
    await radio.send()
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    with pytest.raises(InvalidData):
        await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_ADDRESS: OTHER_ADDRESS})


async def test_configured_in_two_windows(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    """Both forms are open; with the first the second has nothing to add any more."""
    await radio.send()
    first, second = await chosen(hass), await chosen(hass)
    assert_added(await answer(first, KEY))
    with pytest.raises(UnknownFlow):
        await answer(second, KEY)
    await remove(hass)


async def test_configured_while_the_list_is_open(hass: HomeAssistant, radio: Radio) -> None:
    await radio.send()
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    make_entry().add_to_hass(hass)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_ADDRESS: ADDRESS})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")


SPACED = " ".join(KEY[i : i + 2] for i in range(0, 32, 2))


@pytest.mark.parametrize(
    "text",
    [
        KEY.upper(),
        SPACED,
        SPACED.replace(" ", ":"),
        SPACED.replace(" ", "-").upper(),
        f"\u00a0{KEY}\u200b\n",
        f"\t{KEY} ",
    ],
)
async def test_a_key_however_it_was_copied(hass: HomeAssistant, radio: Radio, answer: Answer, text: str) -> None:
    assert_added(await answer(await discovered(hass, radio), text))
    await remove(hass)


NO_KEYS = [
    "0",
    KEY[:-1],
    KEY + "0",
    "g" + KEY[1:],
    "🔑" * 32,
    KEY.replace("5", "５"),
    "\x00" * 32,
    "0x" + KEY,
    "a" * 10_000,
]
NOT_THE_KEY = {"wrong_key": OTHER_KEY.hex(), "implausible": NEAR_KEY.hex()}


@pytest.mark.parametrize("text", NO_KEYS, ids=range(len(NO_KEYS)))
async def test_no_key_at_all(hass: HomeAssistant, radio: Radio, answer: Answer, text: str) -> None:
    flow = await discovered(hass, radio)
    result = await answer(flow, text)
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {CONF_KEY: "invalid_key"})
    assert_added(await answer(flow, KEY))
    await remove(hass)


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
async def test_nothing_entered(hass: HomeAssistant, radio: Radio, answer: Answer, text: str) -> None:
    """And nothing that connects is near, which could hold the PIN."""
    radio.undo.pop()()
    radio.scanner = radio.add(EmulatedScanner(radio.device, connectable=False))
    flow = await discovered(hass, radio)
    result = await answer(flow, text)
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"base": "nothing_entered"})
    assert_added(await answer(flow, KEY))
    await remove(hass)


@pytest.mark.parametrize(("error", "key"), NOT_THE_KEY.items())
async def test_not_the_key_of_this_device(
    hass: HomeAssistant, radio: Radio, answer: Answer, error: str, key: str
) -> None:
    flow = await discovered(hass, radio)
    result = await answer(flow, key)
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {CONF_KEY: error})
    assert not hass.config_entries.async_entries(DOMAIN)
    assert_added(await answer(flow, KEY))
    await remove(hass)


async def test_not_heard_any_more(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    flow = await discovered(hass, radio)
    radio.device.faults.silent = True
    radio.forget()
    result = await answer(flow, KEY)
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {CONF_KEY: "not_heard"})
    radio.device.faults.silent = False
    assert_added(await answer(flow, KEY))
    await remove(hass)


async def test_one_record_is_enough_when_no_other_comes(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    flow = await discovered(hass, radio)
    radio.device.faults.repeated = True
    assert_added(await answer(flow, KEY))
    await remove(hass)


async def test_the_key_changed_just_now(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    """What was heard last is still of the old key."""
    flow = await discovered(hass, radio)
    radio.device.key = OTHER_KEY
    result = await answer(flow, OTHER_KEY.hex())
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"][CONF_KEY] == OTHER_KEY.hex()
    await remove(hass)


async def test_garbage_between_does_not_matter(hass: HomeAssistant, radio: Radio) -> None:
    flow = await discovered(hass, radio)
    configure = hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_KEY: KEY})
    task = asyncio.create_task(configure)
    await asyncio.sleep(0)
    radio.scanner.advertise_bytes(radio.device, b"\x11\x22")
    radio.advertise(current=1.0)
    assert_added(await task)
    await radio.settle()
    await remove(hass)


async def start_reauth(hass: HomeAssistant, entry: MockConfigEntry) -> ConfigFlowResult:
    return await entry.start_reauth_flow(hass)


async def start_reconfigure(hass: HomeAssistant, entry: MockConfigEntry) -> ConfigFlowResult:
    return await entry.start_reconfigure_flow(hass)


type Start = Callable[[HomeAssistant, MockConfigEntry], Awaitable[ConfigFlowResult]]


@pytest.mark.parametrize(
    ("start", "step", "reason"),
    [
        (start_reauth, "reauth_confirm", "reauth_successful"),
        (start_reconfigure, "reconfigure", "reconfigure_successful"),
    ],
)
@pytest.mark.parametrize(
    ("error", "wrong"),
    [(None, ""), ("invalid_key", "1234"), *NOT_THE_KEY.items()],
    ids=["none", "no key", "wrong", "near"],
)
async def test_change_of_key(
    hass: HomeAssistant,
    radio: Radio,
    entry: MockConfigEntry,
    answer: Answer,
    start: Start,
    step: str,
    reason: str,
    error: str | None,
    wrong: str,
) -> None:
    new_key = DEFAULT_KEY[:1] + OTHER_KEY[1:] if error == "implausible" else OTHER_KEY
    radio.device.key = new_key
    flow = await start(hass, entry)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, step)
    assert (flow["description_placeholders"] or {})["name"] == entry.title
    if error:
        attempt = KEY if error == "wrong_key" else wrong
        assert (await answer(flow, attempt))["errors"] == {CONF_KEY: error}
        assert entry.data[CONF_KEY] == KEY
    result = await answer(flow, new_key.hex())
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, reason)
    assert entry.data == {CONF_ADDRESS: ADDRESS, CONF_KEY: new_key.hex(), CONF_PRODUCT_ID: PRODUCT_ID}
    await radio.confirm(voltage=12.9, error=1)
    assert state_of(hass, "sensor", "voltage").state == "12.9"


async def test_options(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "init")
    result = await hass.config_entries.options.async_configure(flow["flow_id"], {CONF_UPDATE_INTERVAL: 60})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {
        CONF_UPDATE_INTERVAL: 60,
        CONF_PAGES_INTERVAL: DEFAULT_PAGES_INTERVAL,
        CONF_REPAIRS_FOR_WARNINGS: True,
    }
    await radio.settle()
    await radio.confirm(voltage=13.2, error=1)
    await radio.send(voltage=13.1)
    await radio.wait(timedelta(seconds=59))
    assert state_of(hass, "sensor", "voltage").state == "13.2"
    await radio.wait(timedelta(seconds=2))
    assert state_of(hass, "sensor", "voltage").state == "13.1"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((CONF_UPDATE_INTERVAL, interval) for interval in (0, 301, -5, "often", None)),
        *((CONF_PAGES_INTERVAL, interval) for interval in (1441, -1, "often", None)),
        *((CONF_RESIDUAL_CURRENT, current) for current in (0, -1, 10_001, "little", None)),
        *((CONF_CAPACITY, capacity) for capacity in (0, 15_001, "large", None)),
    ],
)
async def test_options_out_of_bounds(hass: HomeAssistant, entry: MockConfigEntry, option: str, value: object) -> None:
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    with pytest.raises(InvalidData):
        await hass.config_entries.options.async_configure(
            flow["flow_id"], {CONF_UPDATE_INTERVAL: 5, CONF_PAGES_INTERVAL: 5, option: value}
        )
    assert entry.options == EnteredOptions.now
    result = await hass.config_entries.options.async_configure(flow["flow_id"], {CONF_UPDATE_INTERVAL: 300})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_options_between_two_steps(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """They are not rounded behind the back of whoever entered them."""
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    entered = {CONF_UPDATE_INTERVAL: 5.5, CONF_PAGES_INTERVAL: 7, CONF_RESIDUAL_CURRENT: 1.2}
    result = await hass.config_entries.options.async_configure(flow["flow_id"], entered)
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {CONF_UPDATE_INTERVAL: "not_whole"})
    assert result["data_schema"]
    shown = {str(field): (field.description or {}).get("suggested_value") for field in result["data_schema"].schema}
    assert {name: shown[name] for name in entered} == entered
    assert entry.options == EnteredOptions.now
    result = await hass.config_entries.options.async_configure(flow["flow_id"], entered | {CONF_UPDATE_INTERVAL: 6.0})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == entered | {CONF_UPDATE_INTERVAL: 6, CONF_REPAIRS_FOR_WARNINGS: True}


async def test_beside_home_assistants_own_integration(hass: HomeAssistant, radio: Radio, answer: Answer) -> None:
    """Home Assistant's victron_ble finds the device too; both may be set up."""
    flow = await discovered(hass, radio)
    (theirs,) = flows(hass, "victron_ble")
    result = await hass.config_entries.flow.async_configure(theirs["flow_id"], {"access_token": KEY})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert_added(await answer(flow, KEY))
    await remove(hass)
    await hass.config_entries.async_unload(result["result"].entry_id)
