"""The in-process radio, through Home Assistant's own Bluetooth manager and its bleak clients."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from unittest.mock import patch

from bleak import BleakClient
from bleak.exc import BleakError, BleakGATTProtocolError
import bleak_retry_connector
from habluetooth import get_manager
from homeassistant.components import bluetooth
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from emulator.device import DEFAULT_PIN, VE_SMART_CHANNELS, EmulatedDevice, VeSmartLink
from emulator.instant_readout import COMPANY_ID
from emulator.personality.quirks import RadioQuirks
from emulator.radio.in_process import DEFAULT_SOURCE, EmulatedScanner
from emulator.ve_smart.chunks import Channel

from .conftest import Bench

pytestmark = pytest.mark.usefixtures("hass", "mock_bluetooth_adapters", "mock_bleak_scanner_start")

MODEL_NUMBER = "00002a24-0000-1000-8000-00805f9b34fb"
CONTROL = VE_SMART_CHANNELS[Channel.CONTROL]
LAST_DATA = VE_SMART_CHANNELS[Channel.LAST_DATA]
OTHER_ADDRESS = "C0:3A:5E:00:00:02"
OTHER_SOURCE = "02:00:00:00:E5:02"


class AdapterPreference:
    """Home Assistant's Bluetooth, with what a test adds to it."""

    def __init__(self, hass: HomeAssistant) -> None:
        self.hass = hass
        self.undo: list[Callable[[], None]] = []

    def add(self, scanner: EmulatedScanner) -> EmulatedScanner:
        """Register a scanner until the end of the test."""
        self.undo.append(scanner.register(self.hass))
        return scanner

    async def connect(
        self, device: EmulatedDevice, on_lost: Callable[[BleakClient], None] | None = None
    ) -> BleakClient:
        """Connect as an integration does."""
        found = bluetooth.async_ble_device_from_address(self.hass, device.address, connectable=True)
        assert found
        # Home Assistant replaces the class when Bluetooth starts: take what is there now.
        client_class = bleak_retry_connector.BleakClientWithServiceCache
        return await bleak_retry_connector.establish_connection(
            client_class, found, device.name, on_lost, max_attempts=1
        )


@pytest.fixture
async def radios(hass: HomeAssistant) -> AsyncGenerator[AdapterPreference]:
    assert await async_setup_component(hass, "bluetooth", {})
    await hass.async_block_till_done()
    radios = AdapterPreference(hass)
    # The waits between attempts: nothing here gets better by waiting.
    with patch("bleak_retry_connector.calculate_backoff_time", return_value=0):
        yield radios
    # The discovery of other integrations, which must not be cut off in the middle.
    await hass.async_block_till_done(wait_background_tasks=True)
    for one in radios.undo:
        one()


def last(radios: AdapterPreference, device: EmulatedDevice) -> bluetooth.BluetoothServiceInfoBleak:
    """Return what Home Assistant holds of a device."""
    info = bluetooth.async_last_service_info(radios.hass, device.address, connectable=False)
    assert info
    return info


async def test_advertisement_arrives(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device, rssi={device.address: -71}))
    scanner.advertise()
    info = last(radios, device)
    assert (info.name, info.rssi, info.source, info.connectable) == (device.name, -71, DEFAULT_SOURCE, True)
    assert info.manufacturer_data == {COMPANY_ID: device.manufacturer_data()}


async def test_every_change_arrives(radios: AdapterPreference, device: EmulatedDevice, bench: Bench) -> None:
    scanner = radios.add(EmulatedScanner(device))
    heard = set()
    for voltage in (13.1, 13.2, 13.3):
        bench.snapshot = replace(bench.snapshot, voltage=voltage)
        scanner.advertise()
        heard.add(last(radios, device).manufacturer_data[COMPANY_ID])
    assert len(heard) == 3


async def test_any_bytes_can_be_received(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device))
    for data in (b"", b"\x10", b"\xff" * 24):
        scanner.advertise_bytes(device, data)
        assert last(radios, device).manufacturer_data == {COMPANY_ID: data}


async def test_each_scanner_has_its_own_signal_strength_for_each_device(
    radios: AdapterPreference, bench: Bench
) -> None:
    one, two = bench.device(), bench.device(OTHER_ADDRESS, "the other")
    near = radios.add(EmulatedScanner(one, two, rssi={one.address: -50, two.address: -80}))
    far = radios.add(EmulatedScanner(one, two, source=OTHER_SOURCE, rssi={one.address: -85, two.address: -45}))
    for scanner in (near, far):
        scanner.advertise()
    paths = {
        (device.address, path.scanner.source): path.advertisement.rssi
        for device in (one, two)
        for path in bluetooth.async_scanner_devices_by_address(radios.hass, device.address, connectable=True)
    }
    assert paths == {
        (one.address, DEFAULT_SOURCE): -50,
        (one.address, OTHER_SOURCE): -85,
        (two.address, DEFAULT_SOURCE): -80,
        (two.address, OTHER_SOURCE): -45,
    }


async def test_one_address_advertises_alone(radios: AdapterPreference, bench: Bench) -> None:
    one, two = bench.device(), bench.device(OTHER_ADDRESS, "the other")
    radios.add(EmulatedScanner(one, two)).advertise(two.address)
    assert bluetooth.async_last_service_info(radios.hass, one.address) is None
    assert last(radios, two).name == "the other"


async def test_a_radio_that_only_listens(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device, connectable=False)).advertise()
    assert not last(radios, device).connectable
    assert bluetooth.async_ble_device_from_address(radios.hass, device.address, connectable=True) is None


async def test_unregister_removes_the_radio(radios: AdapterPreference, device: EmulatedDevice) -> None:
    before = bluetooth.async_scanner_count(radios.hass, connectable=True)
    unregister = EmulatedScanner(device).register(radios.hass)
    assert bluetooth.async_scanner_count(radios.hass, connectable=True) == before + 1
    unregister()
    assert bluetooth.async_scanner_count(radios.hass, connectable=True) == before


async def test_silent_while_connected(radios: AdapterPreference, device: EmulatedDevice, bench: Bench) -> None:
    scanner = radios.add(EmulatedScanner(device))
    scanner.advertise()
    before = last(radios, device).manufacturer_data
    client = await radios.connect(device)
    bench.snapshot = replace(bench.snapshot, voltage=14.0)
    scanner.advertise()
    assert last(radios, device).manufacturer_data == before
    await client.disconnect()
    scanner.advertise()
    assert last(radios, device).manufacturer_data != before


async def test_read_and_disconnect(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device))
    scanner.advertise()
    client = await radios.connect(device)
    assert client.name == device.name
    assert await client.read_gatt_char(MODEL_NUMBER) == b"smallBMS NG"
    assert scanner.get_allocations().allocated == [device.address]
    await client.disconnect()
    assert scanner.get_allocations().free == scanner.slots
    assert not client.is_connected
    assert not device.connected


async def test_services_as_bleak_shows_them(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device)).advertise()
    client = await radios.connect(device)
    control = client.services.get_characteristic(CONTROL)
    assert control
    assert set(control.properties) == {"read", "write-without-response", "notify"}
    assert control.max_write_without_response_size == client.mtu_size - 3
    assert len(control.descriptors) == 1
    await client.disconnect()


async def test_without_a_bond_ve_smart_is_refused(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device)).advertise()
    client = await radios.connect(device)
    with pytest.raises(BleakGATTProtocolError) as refusal:
        await client.read_gatt_char(CONTROL)
    assert refusal.value.code == 5
    with pytest.raises(BleakGATTProtocolError):
        await client.start_notify(CONTROL, lambda *_: None)
    await client.disconnect()


async def test_pairing_needs_the_pin(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device))
    scanner.advertise()
    client = await radios.connect(device)
    with pytest.raises(BleakError):
        await client.pair()
    scanner.pin = DEFAULT_PIN
    await client.pair()
    assert await client.read_gatt_char(CONTROL) == b""
    await client.disconnect()


async def test_a_bond_lasts_until_unpaired(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device, pin=DEFAULT_PIN))
    scanner.advertise()
    await (await radios.connect(device)).disconnect()
    scanner.pin = None
    client = await radios.connect(device)
    assert await client.read_gatt_char(CONTROL) == b""
    await client.unpair()
    with pytest.raises(BleakGATTProtocolError):
        await client.read_gatt_char(CONTROL)
    await client.disconnect()


async def test_a_radio_with_another_pin_connects_without_a_bond(
    radios: AdapterPreference, device: EmulatedDevice
) -> None:
    radios.add(EmulatedScanner(device, pin="999999")).advertise()
    client = await radios.connect(device)
    assert await client.read_gatt_char(MODEL_NUMBER)
    with pytest.raises(BleakGATTProtocolError):
        await client.read_gatt_char(CONTROL)
    await client.disconnect()


async def test_notifications_until_stopped(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device, pin=DEFAULT_PIN)).advertise()
    client = await radios.connect(device)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await client.start_notify(LAST_DATA, lambda _, data: heard.put_nowait(bytes(data)))
    link = device.peripheral.link
    assert link
    link.notify(LAST_DATA, b"one")
    assert await asyncio.wait_for(heard.get(), 5) == b"one"
    await client.stop_notify(LAST_DATA)
    link.notify(LAST_DATA, b"two")
    await radios.hass.async_block_till_done()
    assert heard.empty()
    await client.disconnect()


@pytest.mark.parametrize(
    ("bluez_name", "start_notify", "heard"), [("hci0", True, b""), ("hci0", False, b"one"), (None, True, b"one")]
)
async def test_notifications_can_be_empty_through_an_adapter(
    radios: AdapterPreference, device: EmulatedDevice, bluez_name: str | None, start_notify: bool, heard: bytes
) -> None:
    device.quirks = RadioQuirks(empty_notifications=True)
    radios.add(EmulatedScanner(device, pin=DEFAULT_PIN, bluez_name=bluez_name)).advertise()
    client = await radios.connect(device)
    received: asyncio.Queue[bytes] = asyncio.Queue()
    await client.start_notify(
        LAST_DATA, lambda _, data: received.put_nowait(bytes(data)), bluez={"use_start_notify": start_notify}
    )
    link = device.peripheral.link
    assert link
    link.notify(LAST_DATA, b"one")
    assert await asyncio.wait_for(received.get(), 5) == heard
    await client.disconnect()


async def test_descriptors_and_cache(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device, pin=DEFAULT_PIN)).advertise()
    client = await radios.connect(device)
    cccd = device.peripheral.characteristic(CONTROL).cccd
    await client.start_notify(CONTROL, lambda *_: None)
    assert await client.read_gatt_descriptor(cccd) == b"\x01\x00"
    assert await client.clear_cache()  # type: ignore[attr-defined] # of the subclass that was connected
    await client.disconnect()


async def test_pairing_while_connecting(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device, pin=DEFAULT_PIN)).advertise()
    found = bluetooth.async_ble_device_from_address(radios.hass, device.address, connectable=True)
    assert found
    client_class = bleak_retry_connector.BleakClientWithServiceCache
    client = await bleak_retry_connector.establish_connection(client_class, found, device.name, pair=True)
    assert await client.read_gatt_char(CONTROL) == b""
    await client.disconnect()


class EchoServer:
    """Sends back what is written, in the midst of the write."""

    def __init__(self, link: VeSmartLink) -> None:
        self.link = link

    def read_control(self) -> bytes:
        return b""

    def write(self, channel: Channel, data: bytes) -> None:
        self.link.notify(channel, data)

    def closed(self) -> None:
        """Nothing to do."""


async def test_answers_come_after_the_write(radios: AdapterPreference, device: EmulatedDevice) -> None:
    device.make_ve_smart_server = EchoServer
    radios.add(EmulatedScanner(device, pin=DEFAULT_PIN)).advertise()
    client = await radios.connect(device)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await client.start_notify(LAST_DATA, lambda _, data: heard.put_nowait(bytes(data)))
    await client.write_gatt_char(LAST_DATA, b"\x01", response=False)
    assert heard.empty()
    assert await asyncio.wait_for(heard.get(), 5) == b"\x01"
    await client.write_gatt_char(LAST_DATA, b"\x02", response=False)
    await client.disconnect()
    await radios.hass.async_block_till_done()
    assert heard.empty()


async def test_a_write_with_response_is_refused(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device, pin=DEFAULT_PIN)).advertise()
    client = await radios.connect(device)
    with pytest.raises(BleakGATTProtocolError):
        await client.write_gatt_char(LAST_DATA, b"\x02", response=True)
    await client.disconnect()


async def test_a_connection_given_up_is_not_reported_as_lost(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device))
    scanner.advertise()
    found = bluetooth.async_ble_device_from_address(radios.hass, device.address, connectable=True)
    assert found
    lost: list[BleakClient] = []
    with pytest.raises(BleakError):
        await bleak_retry_connector.establish_connection(
            bleak_retry_connector.BleakClientWithServiceCache, found, device.name, lost.append, pair=True
        )
    assert lost == []
    assert not device.connected
    assert scanner.get_allocations().free == scanner.slots


async def test_the_device_ends_the_link(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device))
    scanner.advertise()
    lost = asyncio.Event()
    client = await radios.connect(device, lambda _: lost.set())
    device.peripheral.drop_link()
    await asyncio.wait_for(lost.wait(), 5)
    assert not client.is_connected
    assert scanner.get_allocations().free == scanner.slots
    with pytest.raises(BleakError):
        await client.read_gatt_char(MODEL_NUMBER)


async def test_link_lost_in_the_middle(radios: AdapterPreference, device: EmulatedDevice) -> None:
    radios.add(EmulatedScanner(device)).advertise()
    device.faults.lose_link_after = 2
    client = await radios.connect(device)
    await client.read_gatt_char(MODEL_NUMBER)
    with pytest.raises(BleakError, match="Not connected"):
        await client.read_gatt_char(MODEL_NUMBER)
    assert not client.is_connected


async def test_link_lost_while_connecting_frees_the_slot(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device, pin=DEFAULT_PIN))
    scanner.advertise()
    device.faults.lose_link_after = 0
    with pytest.raises(BleakError):
        await radios.connect(device)
    assert scanner.get_allocations().free == scanner.slots


async def test_another_central_holds_the_link(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device))
    scanner.advertise()
    phone = device.peripheral.connect("phone")
    with pytest.raises(BleakError):
        await radios.connect(device)
    phone.close()
    await (await radios.connect(device)).disconnect()


async def test_no_free_slot(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device, slots=0))
    scanner.advertise()
    with pytest.raises(bleak_retry_connector.BleakOutOfConnectionSlotsError):
        await radios.connect(device)
    scanner.slots = 1
    await (await radios.connect(device)).disconnect()


async def test_home_assistant_hears_of_slots(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device, slots=2))
    scanner.advertise()
    told: list[tuple[int, int, list[str]]] = []
    stop = get_manager().async_register_allocation_callback(
        lambda one: told.append((one.slots, one.free, one.allocated)), scanner.source
    )
    client = await radios.connect(device)
    scanner.slots = 1
    await client.disconnect()
    stop()
    assert told == [(2, 1, [device.address]), (1, 0, [device.address]), (1, 1, [])]


async def test_out_of_reach(radios: AdapterPreference, device: EmulatedDevice) -> None:
    scanner = radios.add(EmulatedScanner(device))
    scanner.advertise()
    del scanner.devices[device.address]
    with pytest.raises(BleakError):
        await radios.connect(device)


async def test_weak_signal(radios: AdapterPreference, device: EmulatedDevice) -> None:
    device.faults.weak_signal = True
    radios.add(EmulatedScanner(device, rssi={device.address: -50})).advertise()
    assert last(radios, device).rssi == -97
