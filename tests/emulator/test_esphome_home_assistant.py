"""The ESPHome proxy, added to an unmodified Home Assistant."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final
from unittest.mock import AsyncMock, patch

from bleak.exc import BleakError
import bleak_retry_connector
from homeassistant.components import bluetooth
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
import pytest

from custom_components.smallbms_ng.connection.adapters import AdapterPreference
from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import ProxyPinOutdated
from emulator.device import DEFAULT_PIN, VE_SMART_CHANNELS, EmulatedDevice
from emulator.instant_readout import COMPANY_ID
from emulator.radio.esphome_proxy import EsphomeProxy
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.chunks import Channel
from emulator.ve_smart.link import VeSmartService

from .banks import FOUR_AS_24V, make_bms
from .conftest import Bench

pytestmark = pytest.mark.usefixtures(
    "socket_enabled", "hass", "mock_async_zeroconf", "mock_bluetooth_adapters", "mock_bleak_scanner_start"
)

LIMIT: Final = 60.0
KEY: Final = "c21hbGxCTVMgTkcgZW11bGF0ZWQgcHJveHkga2V5ISE="
CONTROL: Final = VE_SMART_CHANNELS[Channel.CONTROL]
MODEL_NUMBER: Final = "00002a24-0000-1000-8000-00805f9b34fb"


@pytest.fixture(autouse=True)
async def home_assistant(hass: HomeAssistant) -> AsyncGenerator[None]:
    """Set up what an ordinary installation has."""
    assert await async_setup_component(hass, "homeassistant", {})
    with patch("homeassistant.components.ffmpeg.FFVersion.get_version", AsyncMock(return_value="7.0")):
        yield
        # The discovery of other integrations, which must not be cut off in the middle.
        await hass.async_block_till_done(wait_background_tasks=True)


async def heard(hass: HomeAssistant, device: EmulatedDevice) -> bluetooth.BluetoothServiceInfoBleak:
    """Return the advertisement with what the device shows now, once Home Assistant's Bluetooth has heard it."""
    expected = {COMPANY_ID: device.manufacturer_data()}
    found: asyncio.Future[bluetooth.BluetoothServiceInfoBleak] = hass.loop.create_future()

    def take(info: bluetooth.BluetoothServiceInfoBleak, _change: bluetooth.BluetoothChange) -> None:
        if not found.done() and info.manufacturer_data == expected:
            found.set_result(info)

    matcher = bluetooth.BluetoothCallbackMatcher(address=device.address, connectable=True)
    stop = bluetooth.async_register_callback(hass, take, matcher, bluetooth.BluetoothScanningMode.ACTIVE)
    try:
        return await asyncio.wait_for(found, LIMIT)
    finally:
        stop()


async def add(hass: HomeAssistant, port: int, key: str | None = None) -> ConfigEntry:
    """Add the proxy as a user does."""
    flows = hass.config_entries.flow
    result = await flows.async_init("esphome", context={"source": "user"})
    result = await flows.async_configure(result["flow_id"], {"host": "127.0.0.1", "port": port})
    if key is not None:
        assert result["step_id"] == "encryption_key"
        result = await flows.async_configure(result["flow_id"], {"noise_psk": key})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    return result["result"]


@pytest.mark.parametrize("key", [None, KEY], ids=["plaintext", "noise"])
async def test_hears_and_connects(hass: HomeAssistant, device: EmulatedDevice, key: str | None) -> None:
    proxy = EsphomeProxy(device, pin=DEFAULT_PIN, rssi={device.address: -66}, key=key, period=0.05)
    entry = await add(hass, await proxy.start(), key)
    info = await heard(hass, device)
    assert (info.name, info.rssi, info.source) == (device.name, -66, proxy.source)

    client = await bleak_retry_connector.establish_connection(
        bleak_retry_connector.BleakClientWithServiceCache, info.device, device.name
    )
    assert await client.read_gatt_char(MODEL_NUMBER) == b"smallBMS NG"
    await client.pair()
    assert await client.read_gatt_char(CONTROL) == b""
    notified: asyncio.Queue[bytes] = asyncio.Queue()
    await client.start_notify(CONTROL, lambda _, data: notified.put_nowait(bytes(data)))
    link = device.peripheral.link
    assert link
    link.notify(CONTROL, b"\xf9\x01")
    assert await asyncio.wait_for(notified.get(), LIMIT) == b"\xf9\x01"
    await client.disconnect()
    assert not device.connected

    await hass.config_entries.async_unload(entry.entry_id)
    await proxy.stop()


async def test_the_integration_has_the_link_encrypted(hass: HomeAssistant, device: EmulatedDevice) -> None:
    """Over the connection that the device refused, and over the next one at once."""
    service = VeSmartService(BmsRegisters(make_bms(FOUR_AS_24V), device))
    device.make_ve_smart_server = service.serve
    proxy = EsphomeProxy(device, pin=DEFAULT_PIN, period=0.05)
    entry = await add(hass, await proxy.start())
    info = await heard(hass, device)
    radios = AdapterPreference()
    client = VeSmartClient(lambda: info.device, preference=radios)
    for _ in range(2):
        async with client:
            assert client.batteries
        await heard(hass, device)
    assert (radios.asked, radios.paired) == ({proxy.source}, set())
    proxy.pin = "123456"
    device.peripheral.bonds.clear()
    with pytest.raises(ProxyPinOutdated) as refused:
        await client.connect()
    assert proxy.name in refused.value.proxy
    await hass.config_entries.async_unload(entry.entry_id)
    await proxy.stop()


async def test_without_the_pin_refused(hass: HomeAssistant, device: EmulatedDevice) -> None:
    proxy = EsphomeProxy(device, period=0.05)
    entry = await add(hass, await proxy.start())
    info = await heard(hass, device)
    client = await bleak_retry_connector.establish_connection(
        bleak_retry_connector.BleakClientWithServiceCache, info.device, device.name
    )
    with pytest.raises(BleakError, match="error=5"):
        await client.read_gatt_char(CONTROL)
    await client.disconnect()
    await hass.config_entries.async_unload(entry.entry_id)
    await proxy.stop()


async def test_comes_back_after_a_restart(hass: HomeAssistant, device: EmulatedDevice, bench: Bench) -> None:
    proxy = EsphomeProxy(device, period=0.05)
    port = await proxy.start()
    entry = await add(hass, port)
    await heard(hass, device)
    await proxy.stop()
    bench.snapshot = replace(bench.snapshot, voltage=12.0)
    await proxy.start(port=port)
    await heard(hass, device)
    assert entry.state is ConfigEntryState.LOADED
    await hass.config_entries.async_unload(entry.entry_id)
    await proxy.stop()
