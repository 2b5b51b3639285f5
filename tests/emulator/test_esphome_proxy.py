"""The ESPHome proxy, through aioesphomeapi's own client on a real socket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
import gc
import logging
from random import Random
import socket
from typing import Final, Self, override

from aioesphomeapi.api_pb2 import (  # type: ignore[attr-defined] # untyped protobuf
    BluetoothGATTNotifyDataResponse,
    BluetoothLERawAdvertisementsResponse,
)
from aioesphomeapi.client import APIClient
from aioesphomeapi.core import (
    APIConnectionError,
    BluetoothConnectionDroppedError,
    BluetoothGATTAPIError,
    InvalidEncryptionKeyAPIError,
    RequiresEncryptionAPIError,
)
from aioesphomeapi.model import BluetoothProxyFeature, BluetoothScannerMode
from aioesphomeapi.noise import NoiseHandshake
from bluetooth_data_tools import parse_advertisement_data_bytes
import pytest

from emulator.device import DEFAULT_PIN, VE_SMART_CHANNELS, VE_SMART_SERVICE, EmulatedDevice
from emulator.instant_readout import COMPANY_ID
from emulator.radio.esphome_connection import OPERATIONS
from emulator.radio.esphome_messages import message
from emulator.radio.esphome_proxy import EsphomeProxy
from emulator.radio.esphome_session import HANDLERS
from emulator.ve_smart.chunks import Channel

from .conftest import Bench

pytestmark = pytest.mark.usefixtures("socket_enabled")

LIMIT: Final = 60.0
FEATURES: Final = sum(BluetoothProxyFeature)
KEY: Final = "c21hbGxCTVMgTkcgZW11bGF0ZWQgcHJveHkga2V5ISE="
OTHER_KEY: Final = "b3RoZXIgQk1TIE5HIGVtdWxhdGVkIHByb3h5IGtleSE="
OTHER_ADDRESS: Final = "C0:3A:5E:00:00:02"
MODEL_NUMBER: Final = "00002a24-0000-1000-8000-00805f9b34fb"
CONTROL: Final = VE_SMART_CHANNELS[Channel.CONTROL]
LAST_DATA: Final = VE_SMART_CHANNELS[Channel.LAST_DATA]
NEVER: Final = 3600.0


class RecordingServer:
    """A VE.Smart server that remembers."""

    def __init__(self) -> None:
        self.written: list[tuple[Channel, bytes]] = []
        self.over = asyncio.Event()

    def read_control(self) -> bytes:
        return str(len(self.written)).encode()

    def write(self, channel: Channel, data: bytes) -> None:
        self.written.append((channel, data))

    def closed(self) -> None:
        self.over.set()


def number(device: EmulatedDevice) -> int:
    return int(device.address.replace(":", ""), 16)


class Lab:
    """Proxies and clients that end with the test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.ports: dict[EsphomeProxy, int] = {}

    async def start(self, proxy: EsphomeProxy) -> EsphomeProxy:
        self.ports[proxy] = await proxy.start()
        self.stack.push_async_callback(proxy.stop)
        return proxy

    async def client(self, proxy: EsphomeProxy, key: str | None = None) -> APIClient:
        client = APIClient("127.0.0.1", self.ports[proxy], None, noise_psk=key)
        await client.connect(login=True)
        self.stack.push_async_callback(client.disconnect, force=True)
        return client


@pytest.fixture
async def lab() -> AsyncGenerator[Lab]:
    async with AsyncExitStack() as stack:
        yield Lab(stack)


class Heard:
    """A client's advertisements."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[int, int, bytes]] = asyncio.Queue()

    @classmethod
    async def of(cls, client: APIClient) -> Self:
        """Subscribe, and wait until the proxy has said that it is scanning."""
        heard = cls()
        scanning = asyncio.Event()
        client.subscribe_bluetooth_scanner_state(lambda _: scanning.set())
        client.subscribe_bluetooth_le_raw_advertisements(heard._take)
        await asyncio.wait_for(scanning.wait(), LIMIT)
        return heard

    def _take(self, response: BluetoothLERawAdvertisementsResponse) -> None:
        for one in response.advertisements:
            self.queue.put_nowait((one.address, one.rssi, one.data))

    async def next(self) -> tuple[int, int, bytes]:
        return await asyncio.wait_for(self.queue.get(), LIMIT)


class Connected:
    """One device behind one client."""

    def __init__(self, client: APIClient, device: EmulatedDevice) -> None:
        self.client = client
        self.device = device
        self.address = number(device)
        self.states: asyncio.Queue[tuple[bool, int]] = asyncio.Queue()

    async def open(self) -> tuple[bool, int]:
        """Connect, and return whether that succeeded and the error."""
        await self.client.bluetooth_device_connect(
            self.address,
            lambda connected, _mtu, error: self.states.put_nowait((connected, error)),
            feature_flags=FEATURES,
            address_type=1,
            timeout=LIMIT,
        )
        return await self.state()

    async def state(self) -> tuple[bool, int]:
        return await asyncio.wait_for(self.states.get(), LIMIT)

    async def pair(self) -> bool:
        """Ask the proxy to encrypt the link, and return whether it did."""
        return bool((await self.client.bluetooth_device_pair(self.address, LIMIT)).paired)

    async def close(self) -> None:
        await self.client.bluetooth_device_disconnect(self.address, timeout=LIMIT)

    def handle(self, uuid: str) -> int:
        return self.device.peripheral.characteristic(uuid).handle

    async def read(self, uuid: str) -> bytes:
        return bytes(await self.client.bluetooth_gatt_read(self.address, self.handle(uuid), LIMIT))

    async def write(self, uuid: str, data: bytes, *, response: bool) -> None:
        await self.client.bluetooth_gatt_write(self.address, self.handle(uuid), data, response, LIMIT)

    async def configure(self, uuid: str, data: bytes) -> None:
        """Write the descriptor that switches notifications."""
        cccd = self.device.peripheral.characteristic(uuid).cccd
        await self.client.bluetooth_gatt_write_descriptor(self.address, cccd, data, LIMIT)

    async def listen(self, uuid: str) -> asyncio.Queue[bytes]:
        """Subscribe, and return where notifications arrive."""
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        await self.client.bluetooth_gatt_start_notify(
            self.address, self.handle(uuid), lambda _, data: heard.put_nowait(bytes(data)), LIMIT
        )
        await self.configure(uuid, b"\x01\x00")
        return heard


@pytest.fixture
async def bonded(lab: Lab, device: EmulatedDevice) -> Connected:
    """A connection through a proxy that has the PIN, and was asked to encrypt it."""
    proxy = await lab.start(EsphomeProxy(device, pin=DEFAULT_PIN, period=NEVER))
    connected = Connected(await lab.client(proxy), device)
    assert await connected.open() == (True, 0)
    assert await connected.pair()
    return connected


# What any client learns


@pytest.mark.parametrize("key", [None, KEY], ids=["plaintext", "noise"])
async def test_describes_itself(lab: Lab, device: EmulatedDevice, key: str | None) -> None:
    proxy = await lab.start(EsphomeProxy(device, name="shed", mac="02:00:00:E5:90:0F", key=key))
    info, entities, actions = await (await lab.client(proxy, key)).device_info_and_list_entities()
    assert (info.name, info.mac_address) == ("shed", "02:00:00:E5:90:0F")
    assert info.bluetooth_mac_address == "02:00:00:E5:90:11"
    assert info.bluetooth_proxy_feature_flags == FEATURES
    assert info.api_encryption_supported is (key is not None)
    assert (entities, actions) == ([], [])


async def test_capabilities(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    capabilities = await (await lab.client(proxy)).device_capabilities()
    assert capabilities.bluetooth_proxy.feature_flags == FEATURES


async def test_another_key_is_refused(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device, key=KEY))
    with pytest.raises(InvalidEncryptionKeyAPIError):
        await lab.client(proxy, OTHER_KEY)


async def test_plaintext_is_told_that_a_key_is_needed(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device, key=KEY))
    with pytest.raises(RequiresEncryptionAPIError):
        await lab.client(proxy)


@pytest.mark.parametrize("key", ["", "short", KEY[:-4], "!" * 44])
def test_what_is_no_key(device: EmulatedDevice, key: str) -> None:
    with pytest.raises(ValueError, match=r"key|base64|padding"):
        EsphomeProxy(device, key=key)


# Advertisements


@pytest.mark.parametrize("key", [None, KEY], ids=["plaintext", "noise"])
async def test_advertisement_arrives(lab: Lab, device: EmulatedDevice, key: str | None) -> None:
    proxy = await lab.start(EsphomeProxy(device, rssi={device.address: -77}, key=key, period=NEVER))
    heard = await Heard.of(await lab.client(proxy, key))
    proxy.advertise()
    address, rssi, data = await heard.next()
    assert (address, rssi) == (number(device), -77)
    name, _, _, manufacturer_data, _ = parse_advertisement_data_bytes(data)
    assert name == device.name
    assert manufacturer_data == {COMPANY_ID: device.manufacturer_data()}


async def test_advertises_by_itself(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device, period=0.01))
    heard = await Heard.of(await lab.client(proxy))
    assert [(await heard.next())[0] for _ in range(3)] == [number(device)] * 3


async def test_each_proxy_has_its_own_signal_strength_for_each_device(lab: Lab, bench: Bench) -> None:
    one, two = bench.device(), bench.device(OTHER_ADDRESS, "the other")
    strengths = ({one.address: -50, two.address: -80}, {one.address: -85, two.address: -45})
    for strength in strengths:
        proxy = await lab.start(EsphomeProxy(one, two, rssi=strength, period=NEVER))
        heard = await Heard.of(await lab.client(proxy))
        proxy.advertise()
        found = dict([(await heard.next())[:2] for _ in range(2)])
        assert found == {number(one): strength[one.address], number(two): strength[two.address]}


async def test_silent_while_a_phone_is_connected(lab: Lab, bench: Bench) -> None:
    one, two = bench.device(), bench.device(OTHER_ADDRESS, "the other")
    proxy = await lab.start(EsphomeProxy(one, two, period=NEVER))
    heard = await Heard.of(await lab.client(proxy))
    phone = one.peripheral.connect("phone")
    proxy.advertise()
    assert (await heard.next())[0] == number(two)
    phone.close()
    proxy.advertise(one.address)
    assert (await heard.next())[0] == number(one)


async def test_any_bytes_can_be_advertised(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device, period=NEVER))
    heard = await Heard.of(await lab.client(proxy))
    proxy.advertise_bytes(device, b"\x10\xff")
    _, _, data = await heard.next()
    assert parse_advertisement_data_bytes(data)[3] == {COMPANY_ID: b"\x10\xff"}


async def test_after_unsubscribing_nothing_arrives(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device, period=NEVER))
    client = await lab.client(proxy)
    heard = Heard()
    unsubscribe = client.subscribe_bluetooth_le_raw_advertisements(lambda _: None)
    await client.device_info()
    unsubscribe()
    await client.device_info()
    client._get_connection().add_message_callback(heard._take, (BluetoothLERawAdvertisementsResponse,))
    proxy.advertise()
    await client.device_info()
    assert heard.queue.empty()


async def test_scanner_mode(lab: Lab, device: EmulatedDevice) -> None:
    client = await lab.client(await lab.start(EsphomeProxy(device)))
    modes: asyncio.Queue[object] = asyncio.Queue()
    client.subscribe_bluetooth_scanner_state(lambda state: modes.put_nowait(state.mode))
    for mode in (BluetoothScannerMode.ACTIVE, BluetoothScannerMode.PASSIVE):
        client.bluetooth_scanner_set_mode(mode)
        assert await asyncio.wait_for(modes.get(), LIMIT) is mode


# Connections


async def test_services(bonded: Connected) -> None:
    found = (await bonded.client.bluetooth_gatt_get_services(bonded.address)).services
    seen = {one.uuid: [(c.uuid, c.handle, c.properties) for c in one.characteristics] for one in found}
    assert seen == {
        service.uuid: [(c.uuid, c.handle, int(c.properties)) for c in service.characteristics]
        for service in bonded.device.peripheral.services
    }
    smart = next(one for one in found if one.uuid == VE_SMART_SERVICE)
    assert all(len(characteristic.descriptors) == 1 for characteristic in smart.characteristics)


async def test_read(bonded: Connected) -> None:
    assert await bonded.read(MODEL_NUMBER) == b"smallBMS NG"


async def test_with_the_pin_a_link_is_encrypted_once_the_client_asks(bonded: Connected) -> None:
    assert await bonded.read(CONTROL) == b""


async def test_each_connection_is_asked_for_anew(bonded: Connected) -> None:
    """The bond that there is serves then, whatever PIN the proxy has by now."""
    await bonded.close()
    assert await bonded.state() == (False, 0x16)
    await bonded.open()
    with pytest.raises(BluetoothGATTAPIError) as refusal:
        await bonded.read(CONTROL)
    assert refusal.value.error.error == 5
    bonded.device.peripheral.pin = "271828"
    assert await bonded.pair()
    assert await bonded.read(CONTROL) == b""


@pytest.mark.parametrize(("pin", "reason"), [(None, 80), ("999999", 81)])
async def test_without_the_pin_ve_smart_is_refused(
    lab: Lab, device: EmulatedDevice, pin: str | None, reason: int
) -> None:
    proxy = await lab.start(EsphomeProxy(device, pin=pin))
    connected = Connected(await lab.client(proxy), device)
    await connected.open()
    assert await connected.read(MODEL_NUMBER)
    for refused in (connected.read(CONTROL), connected.configure(CONTROL, b"\x01\x00")):
        with pytest.raises(BluetoothGATTAPIError) as refusal:
            await refused
        assert refusal.value.error.error == 5
    pairing = await connected.client.bluetooth_device_pair(connected.address, LIMIT)
    assert (pairing.paired, pairing.error) == (False, reason)


async def test_pairing_on_request(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    connected = Connected(await lab.client(proxy), device)
    await connected.open()
    proxy.pin = DEFAULT_PIN
    assert (await connected.client.bluetooth_device_pair(connected.address, LIMIT)).paired
    assert await connected.read(CONTROL) == b""
    assert (await connected.client.bluetooth_device_unpair(connected.address, LIMIT)).success
    with pytest.raises(BluetoothGATTAPIError):
        await connected.read(CONTROL)


async def test_notifications(bonded: Connected) -> None:
    heard = await bonded.listen(LAST_DATA)
    link = bonded.device.peripheral.link
    assert link
    link.notify(LAST_DATA, b"one")
    assert await asyncio.wait_for(heard.get(), LIMIT) == b"one"
    await bonded.configure(LAST_DATA, b"\x00\x00")
    link.notify(LAST_DATA, b"two")
    await bonded.configure(LAST_DATA, b"\x01\x00")
    link.notify(LAST_DATA, b"three")
    assert await asyncio.wait_for(heard.get(), LIMIT) == b"three"


async def test_notifications_only_where_the_client_listens(bonded: Connected) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await bonded.listen(LAST_DATA)
    bonded.client.bluetooth_gatt_stop_notify(bonded.address, bonded.handle(LAST_DATA))
    # Past the client's own bookkeeping, which has forgotten the value as well.
    bonded.client._get_connection().add_message_callback(heard.put_nowait, (BluetoothGATTNotifyDataResponse,))
    await bonded.read(MODEL_NUMBER)
    link = bonded.device.peripheral.link
    assert link
    link.notify(LAST_DATA, b"unheard")
    await bonded.read(MODEL_NUMBER)
    assert heard.empty()


async def test_writes_reach_the_ve_smart_server_in_order(lab: Lab, device: EmulatedDevice) -> None:
    server = RecordingServer()
    device.make_ve_smart_server = lambda _link: server
    device.faults.answer_delay = 0.001
    proxy = await lab.start(EsphomeProxy(device, pin=DEFAULT_PIN))
    connected = Connected(await lab.client(proxy), device)
    await connected.open()
    assert await connected.pair()
    for place in range(20):
        await connected.write(LAST_DATA, bytes((place,)), response=False)
    assert await connected.read(CONTROL) == b"20"
    assert server.written == [(Channel.LAST_DATA, bytes((place,))) for place in range(20)]
    await connected.close()
    await asyncio.wait_for(server.over.wait(), LIMIT)


async def test_a_write_with_response_is_not_offered(bonded: Connected) -> None:
    with pytest.raises(BluetoothGATTAPIError) as refusal:
        await bonded.write(LAST_DATA, b"x", response=True)
    assert refusal.value.error.error == 3


async def test_unknown_handle(bonded: Connected) -> None:
    with pytest.raises(BluetoothGATTAPIError) as refusal:
        await bonded.client.bluetooth_gatt_read(bonded.address, 0xFFFF, LIMIT)
    assert refusal.value.error.error == 1


async def test_operation_without_a_connection(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    connected = Connected(await lab.client(proxy), device)
    with pytest.raises(BluetoothGATTAPIError) as refusal:
        await connected.read(MODEL_NUMBER)
    assert refusal.value.error.error == -1


async def test_the_device_ends_the_link(bonded: Connected) -> None:
    bonded.device.peripheral.drop_link()
    assert await bonded.state() == (False, 0x13)
    assert bonded.device.advertises
    assert await bonded.open() == (True, 0)


async def test_link_lost_in_the_middle(bonded: Connected) -> None:
    bonded.device.faults.lose_link_after = 0
    with pytest.raises(BluetoothConnectionDroppedError):
        await bonded.read(MODEL_NUMBER)
    assert await bonded.state() == (False, 0x13)


async def test_link_lost_while_pairing(lab: Lab, device: EmulatedDevice) -> None:
    device.faults.lose_link_after = 0
    proxy = await lab.start(EsphomeProxy(device, pin=DEFAULT_PIN))
    connected = Connected(await lab.client(proxy), device)
    await connected.open()
    with pytest.raises(BluetoothConnectionDroppedError):
        await connected.pair()
    assert await connected.state() == (False, 0x13)
    assert proxy.free_slots == proxy.slots


async def test_slow_answers_can_be_cut_short(bonded: Connected) -> None:
    bonded.device.faults.answer_delay = 3600
    reading = asyncio.create_task(bonded.read(MODEL_NUMBER))
    await asyncio.sleep(0)
    await bonded.close()
    with pytest.raises(BluetoothConnectionDroppedError):
        await reading
    assert not bonded.device.connected


async def test_nothing_in_reach(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy())
    connected = Connected(await lab.client(proxy), device)
    assert await connected.open() == (False, 0x3E)
    assert proxy.free_slots == proxy.slots


async def test_another_central_holds_the_link(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    connected = Connected(await lab.client(proxy), device)
    phone = device.peripheral.connect("phone")
    assert await connected.open() == (False, 0x3E)
    phone.close()
    assert await connected.open() == (True, 0)


async def test_slots(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device, slots=1))
    client = await lab.client(proxy)
    told: asyncio.Queue[tuple[int, int, list[int]]] = asyncio.Queue()
    client.subscribe_bluetooth_connections_free(lambda *numbers: told.put_nowait(numbers))
    connected = Connected(client, device)
    assert await asyncio.wait_for(told.get(), LIMIT) == (1, 1, [])
    await connected.open()
    assert await asyncio.wait_for(told.get(), LIMIT) == (0, 1, [number(device)])
    await connected.close()
    assert await asyncio.wait_for(told.get(), LIMIT) == (1, 1, [])
    proxy.slots = 0
    assert await asyncio.wait_for(told.get(), LIMIT) == (0, 0, [])
    connected.states = asyncio.Queue()
    assert (await connected.open())[0] is False


async def test_connecting_twice_is_connected(bonded: Connected) -> None:
    again = Connected(bonded.client, bonded.device)
    assert await again.open() == (True, 0)


async def test_disconnecting_what_is_not_connected(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    await Connected(await lab.client(proxy), device).close()


async def test_connection_parameters_and_cache(bonded: Connected) -> None:
    await bonded.client.bluetooth_device_set_connection_params(bonded.address, 8, 8, 0, 600, LIMIT)
    assert (await bonded.client.bluetooth_device_clear_cache(bonded.address, LIMIT)).success


async def test_a_server_that_breaks_ends_the_connection(lab: Lab, device: EmulatedDevice) -> None:
    class BrokenServer(RecordingServer):
        @override
        def read_control(self) -> bytes:
            raise ZeroDivisionError

    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context["exception"]))
    device.make_ve_smart_server = lambda _link: BrokenServer()
    proxy = await lab.start(EsphomeProxy(device, pin=DEFAULT_PIN))
    connected = Connected(await lab.client(proxy), device)
    await connected.open()
    assert await connected.pair()
    with pytest.raises(BluetoothConnectionDroppedError):
        await connected.read(CONTROL)
    assert device.advertises
    gc.collect()
    assert [type(one) for one in broken] == [ZeroDivisionError]


# Clients that leave or misbehave


async def test_a_client_that_vanishes_frees_the_device(lab: Lab, device: EmulatedDevice) -> None:
    server = RecordingServer()
    device.make_ve_smart_server = lambda _link: server
    proxy = await lab.start(EsphomeProxy(device))
    connected = Connected(await lab.client(proxy), device)
    await connected.open()
    device.faults.answer_delay = NEVER
    reading = asyncio.create_task(connected.read(MODEL_NUMBER))
    await asyncio.sleep(0)
    await connected.client.disconnect(force=True)
    await asyncio.wait_for(server.over.wait(), LIMIT)
    assert device.advertises
    with pytest.raises(APIConnectionError):
        await reading


async def test_a_proxy_that_stops_lets_everybody_go_and_starts_again(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    client = APIClient("127.0.0.1", lab.ports[proxy], None)
    gone = asyncio.Event()

    async def on_stop(_expected: bool) -> None:
        gone.set()

    await client.connect(on_stop=on_stop, login=True)
    await Connected(client, device).open()
    await proxy.stop()
    await asyncio.wait_for(gone.wait(), LIMIT)
    assert not device.connected
    lab.ports[proxy] = await proxy.start()
    assert await (await lab.client(proxy)).device_info()


async def test_stopping_twice(device: EmulatedDevice) -> None:
    proxy = EsphomeProxy(device)
    await proxy.stop()
    await proxy.start()
    await proxy.stop()
    await proxy.stop()


SUBSCRIBE = b"\x00\x00\x42"
GARBAGE = (
    b"\x01\x00\x00",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x00\xff\xff\xff\xff\xff\xff\xff",
    b"\x00\xff\xff\x7f\x01",
    b"\x00\x00\xff\xff\xff",
    b"\x00\x03\x01\xff\xff\xff",
    b"\x01\xff\xff",
    b"\x01\x00\x00" + b"\x01\x00\x31" + b"\x00" + b"\xff" * 48,
    b"\x01\x00\x00" + b"\x01\x00\x02" + b"\x00\xff",
    b"\x01\x00\x00" + b"\x01\x00\x00",
)


@pytest.mark.parametrize("key", [None, KEY], ids=["plaintext", "noise"])
@pytest.mark.parametrize("garbage", GARBAGE, ids=bytes.hex)
async def test_garbage_ends_that_client_alone(
    lab: Lab, device: EmulatedDevice, key: str | None, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await lab.start(EsphomeProxy(device, key=key))
    good = await lab.client(proxy, key)
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.ports[proxy])
    writer.write(garbage)
    writer.write_eof()
    async with asyncio.timeout(LIMIT):
        while await reader.read(1024):
            pass
    writer.close()
    assert (await good.device_info()).name == proxy.name
    assert proxy.clients == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() | HANDLERS.keys()))
async def test_any_payload_of_any_request(
    lab: Lab, device: EmulatedDevice, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await lab.start(EsphomeProxy(device, pin=DEFAULT_PIN))
    number = message(name).number
    random = Random(number)
    for length in range(0, 24, 3):
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.ports[proxy])
        writer.write(bytes((0, length, number)) + random.randbytes(length))
        writer.write_eof()
        async with asyncio.timeout(LIMIT):
            await reader.read()
        writer.close()
    assert (await (await lab.client(proxy)).device_info()).name == proxy.name
    assert not device.connected
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("content", [b"", bytes(16), bytes(200), None])
async def test_garbage_after_a_good_handshake(lab: Lab, device: EmulatedDevice, content: bytes | None) -> None:
    proxy = await lab.start(EsphomeProxy(device, key=KEY))
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.ports[proxy])

    def send(frame: bytes) -> None:
        writer.write(b"\x01" + len(frame).to_bytes(2) + frame)

    async def receive() -> bytes:
        header = await asyncio.wait_for(reader.readexactly(3), LIMIT)
        return await asyncio.wait_for(reader.readexactly(int.from_bytes(header[1:])), LIMIT)

    handshake = NoiseHandshake(KEY, b"NoiseAPIInit\x00\x00")
    send(b"")
    send(b"\x00" + handshake.write_message())
    assert (await receive())[:1] == b"\x01"
    handshake.read_message((await receive())[1:])
    # Without content, what is decrypted is shorter than its own header.
    send(handshake.get_ciphers()[0].encrypt(b"\x00") if content is None else content)
    assert await asyncio.wait_for(reader.read(), LIMIT) == b""
    writer.close()
    assert (await (await lab.client(proxy, KEY)).device_info()).name == proxy.name


async def test_unknown_messages_are_ignored(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.ports[proxy])
    writer.write(b"\x00\x02\xff\x7f\xff\xff" + b"\x00\x00\x2a" + b"\x00\x00\x07")
    assert await asyncio.wait_for(reader.readexactly(3), LIMIT) == b"\x00\x00\x08"
    writer.close()


async def test_an_oversize_frame_is_not_waited_for(lab: Lab, device: EmulatedDevice) -> None:
    proxy = await lab.start(EsphomeProxy(device))
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.ports[proxy])
    writer.write(b"\x00\xff\xff\x7f\x01")
    assert await asyncio.wait_for(reader.read(), LIMIT) == b""
    writer.close()


@asynccontextmanager
async def deaf_client(port: int) -> AsyncGenerator[None]:
    """Subscribe to advertisements, and never read them."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, SUBSCRIBE)
        assert await asyncio.wait_for(loop.sock_recv(client, 1), LIMIT)
        yield


async def test_a_client_that_never_reads_is_let_go(
    lab: Lab, device: EmulatedDevice, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await lab.start(EsphomeProxy(device, period=NEVER))
    async with deaf_client(lab.ports[proxy]), asyncio.timeout(LIMIT):
        while proxy.clients:
            for _ in range(1000):
                proxy.advertise_bytes(device, bytes(200))
            await asyncio.sleep(0)
    assert "does not read" in caplog.text


async def test_stopping_does_not_wait_for_a_client_that_never_reads(
    lab: Lab, device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.radio.esphome_session.LARGEST_BACKLOG", 1 << 30)
    proxy = await lab.start(EsphomeProxy(device, period=NEVER))
    async with deaf_client(lab.ports[proxy]):
        (session,) = proxy._sessions
        # More than all the buffers on the way hold.
        for _ in range(300):
            session.reply("DeviceInfoResponse", name="x" * 60_000)
        await asyncio.wait_for(proxy.stop(), LIMIT)
    assert proxy.clients == 0


async def test_too_many_operations_at_once(bonded: Connected) -> None:
    bonded.device.faults.answer_delay = 3600
    busy = [asyncio.create_task(bonded.read(MODEL_NUMBER)) for _ in range(300)]
    done, _ = await asyncio.wait(busy, timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
    refusal = done.pop().exception()
    assert isinstance(refusal, BluetoothGATTAPIError)
    assert refusal.error.error == 0x84
    await bonded.close()
    await asyncio.wait(busy, timeout=LIMIT)
    assert all(task.done() for task in busy)
