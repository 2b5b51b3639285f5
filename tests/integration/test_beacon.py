"""A device that says only that it is there: between its records, or with Instant Readout off."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from homeassistant.config_entries import SOURCE_USER, ConfigFlowResult
from homeassistant.const import CONF_ADDRESS, CONF_PIN, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smallbms_ng.config_flow import CONF_SWITCH_ON
from custom_components.smallbms_ng.const import CONF_KEY, CONF_PRODUCT_ID, DEFAULT_UPDATE_INTERVAL, DOMAIN
from emulator.device import DEFAULT_PIN, EmulatedDevice
from emulator.personality.quirks import RadioQuirks

from .bench import Bench, a_bench
from .conftest import ADDRESS, KEY, PRODUCT_ID, UNTIL_SILENT, Radio, flows, state_of
from .connected import without_bluez
from .test_pin_flow import Enter, enter, served

BEACON: Final = b"\x10\x00" + PRODUCT_ID.to_bytes(2, "little")
OF_A_CHARGER: Final = b"\x10\x00\x89\xa3"
FLAGS_AND_SERVICE: Final = 3 + 18
BEACONS_ONLY: Final = RadioQuirks(beacon_without_readout=True)

__all__ = ["enter", "served"]


@pytest.fixture(autouse=True)
def _no_bluez(monkeypatch: pytest.MonkeyPatch) -> None:
    without_bluez(monkeypatch)


def dropped(entry: MockConfigEntry) -> Mapping[str, int]:
    return dict(entry.runtime_data.instant_readout.dropped)


# Loaded


async def test_a_beacon_between_records_is_no_fault(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    await radio.send_bytes(BEACON)
    assert dropped(entry) == {"short_beacon": 1}
    assert state_of(hass, "sensor", "advertises").state == "readings"
    assert state_of(hass, "sensor", "voltage").state == "13.28"
    assert not list(entry.async_get_active_flows(hass, {"reauth"}))


async def test_a_device_that_only_beacons(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    states = [state_of(hass, "sensor", "advertises").state]
    for _ in range(8):
        await radio.wait(timedelta(minutes=1))
        await radio.send_bytes(BEACON)
    await radio.wait(timedelta(minutes=1))
    states.append(state_of(hass, "sensor", "advertises").state)
    assert state_of(hass, "sensor", "voltage").state == STATE_UNAVAILABLE
    await radio.wait(UNTIL_SILENT + timedelta(minutes=1))
    states.append(state_of(hass, "sensor", "advertises").state)
    assert states == ["readings", "no_readings", "nothing"]


async def test_without_a_key_nobody_knows(hass: HomeAssistant, radio: Radio) -> None:
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id=ADDRESS,
        data={CONF_ADDRESS: ADDRESS, CONF_PIN: DEFAULT_PIN, CONF_PRODUCT_ID: None},
        options={"pages_interval": 0},
    )
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.send_bytes(BEACON)
    assert state_of(hass, "sensor", "advertises").state == "unknown"
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_longer_record_is_read(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    radio.device.quirks = RadioQuirks(trailing_bytes=2)
    await radio.send(voltage=13.05)
    await radio.wait(timedelta(seconds=DEFAULT_UPDATE_INTERVAL))
    assert state_of(hass, "sensor", "voltage").state == "13.05"
    assert not dropped(entry)


async def test_a_phone_that_disconnects_from_a_device_that_only_beacons(hass: HomeAssistant, radio: Radio) -> None:
    """It is tried again soon, not after the back-off."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        bench.device.quirks = BEACONS_ONLY
        bench.device.instant_readout_on = False
        bench.device.faults.refuse_connections = True
        for _ in range(4):
            await bench.run(radio.jump(timedelta(minutes=10)))
        assert bench.pages.failures > 1
        bench.device.faults.refuse_connections = False
        radio.scanner.advertise()
        await bench.settle()
        await bench.run(radio.jump(timedelta(minutes=5)))
        assert not bench.pages.failures


# Discovered


async def test_a_card_for_a_device_that_only_beacons(
    hass: HomeAssistant, radio: Radio, served: object, enter: Enter
) -> None:
    radio.device.quirks, radio.device.instant_readout_on = BEACONS_ONLY, False
    await radio.send()
    (flow,) = flows(hass)
    result = await enter(flow, {CONF_PIN: DEFAULT_PIN})
    assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "instant_readout")
    result = await enter(result, {CONF_SWITCH_ON: True})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"] == {
        CONF_ADDRESS: ADDRESS,
        CONF_KEY: KEY,
        CONF_PIN: DEFAULT_PIN,
        CONF_PRODUCT_ID: PRODUCT_ID,
    }
    assert radio.device.instant_readout_on


@pytest.mark.parametrize(("data", "cards"), [(BEACON, 1), (OF_A_CHARGER, 0)])
async def test_a_beacon_brings_a_card_only_for_ours(hass: HomeAssistant, radio: Radio, data: bytes, cards: int) -> None:
    radio.device.name = "Boat"
    await radio.send_bytes(data)
    assert len(flows(hass)) == cards


async def test_a_product_with_another_id_has_a_card_by_its_name(hass: HomeAssistant, radio: Radio) -> None:
    await radio.send_bytes(OF_A_CHARGER)
    assert len(flows(hass)) == 1


async def choose(hass: HomeAssistant) -> ConfigFlowResult:
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})


async def test_a_device_that_hides_what_it_is_can_be_chosen(
    hass: HomeAssistant, radio: Radio, served: object, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends its service and a name that its owner has given it."""
    device = radio.device
    device.name, device.quirks, device.instant_readout_on = "Boat", BEACONS_ONLY, False
    advertisement = EmulatedDevice.advertisement

    def without_data(device: EmulatedDevice, data: bytes | None = None) -> object:
        whole = advertisement(device, data)
        service = whole.advertising_data[:FLAGS_AND_SERVICE]
        return replace(whole, advertising_data=service)

    monkeypatch.setattr(EmulatedDevice, "advertisement", without_data)
    await radio.send()
    assert not flows(hass)
    result = await choose(hass)
    assert result["type"] is FlowResultType.FORM
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {CONF_ADDRESS: ADDRESS})
    result = await enter(result, {CONF_PIN: DEFAULT_PIN})
    result = await enter(result, {CONF_SWITCH_ON: False})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"][CONF_PRODUCT_ID] == PRODUCT_ID


async def test_another_kind_of_product_cannot_be_chosen(hass: HomeAssistant, radio: Radio) -> None:
    radio.device.name = "Boat"
    await radio.send_bytes(b"\x10\x00\x89\xa3\x01" + bytes(15))
    assert (await choose(hass))["reason"] == "no_devices_found"
