"""One client of the proxy: its requests, and what it subscribed to."""

import asyncio
from collections.abc import Callable, Mapping
import logging
from typing import Final, Protocol

from aioesphomeapi.model import (
    BluetoothDeviceRequestType,
    BluetoothProxyFeature,
    BluetoothScannerMode,
    BluetoothScannerState,
)

from emulator.gatt import AttError, Link, Peripheral

from .esphome_connection import NOT_CONNECTED, OPERATIONS, Connection, Job, gatt_error
from .esphome_frames import FrameError, Frames
from .esphome_messages import Field, MalformedMessageError, Message, Request, message, parse

API_VERSION: Final = (1, 14)
ESPHOME_VERSION: Final = "2026.9.0"
FEATURES: Final = sum(BluetoothProxyFeature)
LEGACY_PROXY_VERSION: Final = 5
# As a proxy is by default: it asks for scan responses, which carry the names.
_CONFIGURED_MODE: Final = BluetoothScannerMode.ACTIVE
# Bytes that wait for a client which does not read; it is let go when there are more.
LARGEST_BACKLOG: Final = 1 << 20
# What the ESP32 reports when the device wants a passkey and there is none, and when those of the two sides differ.
NO_PASSKEY: Final = 0x50
WRONG_PASSKEY: Final = 0x51

_LOGGER = logging.getLogger(__name__)


class Proxy(Protocol):
    """What a session knows of the proxy that it belongs to."""

    name: str
    friendly_name: str
    mac: str
    source: str
    pin: str | None
    slots: int

    @property
    def encrypted(self) -> bool:
        """Whether clients need a key."""
        ...

    @property
    def free_slots(self) -> int:
        """How many more connections it can carry."""
        ...

    @property
    def connected_addresses(self) -> list[int]:
        """The addresses of its connections."""
        ...

    def peripheral(self, address: int) -> Peripheral | None:
        """Return what is in reach under this address."""
        ...

    def slots_changed(self) -> None:
        """Tell all who subscribed how many connections are free."""
        ...


class Session:
    """One client, from its connection to the end of it."""

    def __init__(self, proxy: Proxy, frames: Frames, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.connections: dict[int, Connection] = {}
        self._frames = frames
        self._writer = writer
        self._wants_advertisements = False
        self._wants_slots = False
        self._scanner_mode = int(_CONFIGURED_MODE)
        self._over = False

    async def run(self) -> None:
        """Serve the client until it leaves, or sends what nobody can read."""
        try:
            await self._frames.open()
            while not self._over:
                self._handle(await self._frames.receive())
        except (asyncio.IncompleteReadError, OSError, FrameError, MalformedMessageError) as error:
            _LOGGER.debug("Client gone: %r", error)
        finally:
            self.close()

    def close(self) -> None:
        """Let the client go, and end its connections."""
        self._over = True
        for connection in list(self.connections.values()):
            connection.close()
        self._writer.close()

    def send(self, outgoing: Message) -> None:
        """Send a message, unless the client is gone."""
        if self._writer.is_closing():
            return
        self._frames.send(outgoing)
        if self._writer.transport.get_write_buffer_size() > LARGEST_BACKLOG:
            _LOGGER.warning("A client does not read what it is sent, and is let go")
            self._writer.transport.abort()

    def advertise(self, advertisements: Message) -> None:
        """Pass on advertisements, if the client subscribed to them."""
        if self._wants_advertisements:
            self.send(advertisements)

    def slots_changed(self) -> None:
        """Pass on how many connections are free, if the client subscribed to it."""
        if self._wants_slots:
            self._send_slots()

    def reply(self, name: str, /, **content: Field) -> None:
        """Send the message of this name."""
        self.send(message(name, **content))

    def _handle(self, incoming: Message) -> None:
        if (parsed := parse(incoming)) is None:
            return
        name, request = parsed
        if (operation := OPERATIONS.get(name)) is not None:
            self._with_connection(request, lambda connection: connection.enqueue(operation, request))
        elif (handler := HANDLERS.get(name)) is not None:
            handler(self, request)
        else:
            _LOGGER.debug("Ignored %s", name)

    def _with_connection(self, request: Request, use: Callable[[Connection], None]) -> None:
        if (connection := self.connections.get(request.address)) is None:
            self.send(gatt_error(request.address, request.handle, NOT_CONNECTED))
        else:
            use(connection)

    # What any ESPHome device answers

    def hello(self, _request: Request) -> None:
        """Say what this is."""
        major, minor = API_VERSION
        self.reply(
            "HelloResponse",
            api_version_major=major,
            api_version_minor=minor,
            server_info=f"{self.proxy.name} (esphome {ESPHOME_VERSION})",
            name=self.proxy.name,
        )

    def authenticate(self, _request: Request) -> None:
        """Accept everybody: there is no password."""
        self.reply("AuthenticationResponse")

    def disconnect(self, _request: Request) -> None:
        """Say goodbye."""
        self.reply("DisconnectResponse")
        self.close()

    def ping(self, _request: Request) -> None:
        """Show that it lives."""
        self.reply("PingResponse")

    def device_info(self, _request: Request) -> None:
        """Describe the proxy."""
        self.reply(
            "DeviceInfoResponse",
            name=self.proxy.name,
            friendly_name=self.proxy.friendly_name,
            mac_address=self.proxy.mac,
            bluetooth_mac_address=self.proxy.source,
            esphome_version=ESPHOME_VERSION,
            compilation_time="Sep  1 2026, 00:00:00",
            manufacturer="Emulated",
            model="Bluetooth proxy",
            project_name="smallbms_ng.emulator",
            project_version="1",
            bluetooth_proxy_feature_flags=FEATURES,
            legacy_bluetooth_proxy_version=LEGACY_PROXY_VERSION,
            api_encryption_supported=self.proxy.encrypted,
        )

    def device_capabilities(self, _request: Request) -> None:
        """Say what the Bluetooth proxy can do."""
        self.reply(
            "DeviceCapabilitiesResponse",
            bluetooth_proxy={"feature_flags": FEATURES, "mac_address": self.proxy.source},
        )

    def list_entities(self, _request: Request) -> None:
        """End the list of entities: there are none."""
        self.reply("ListEntitiesDoneResponse")

    # What a Bluetooth proxy answers

    def subscribe_advertisements(self, _request: Request) -> None:
        """Begin to pass on advertisements. A client that hears no scanner state thinks it was not heard."""
        self._wants_advertisements = True
        self._send_scanner_state()

    def unsubscribe_advertisements(self, _request: Request) -> None:
        """End that."""
        self._wants_advertisements = False

    def set_scanner_mode(self, request: Request) -> None:
        """Take note of the mode; everything is heard in each."""
        self._scanner_mode = request.mode
        self._send_scanner_state()

    def subscribe_slots(self, _request: Request) -> None:
        """Begin to tell how many connections are free."""
        self._wants_slots = True
        self._send_slots()

    def set_connection_parameters(self, request: Request) -> None:
        """Accept any: nothing depends on them."""
        error = 0 if request.address in self.connections else NOT_CONNECTED
        self.reply("BluetoothSetConnectionParamsResponse", address=request.address, error=error)

    def listen(self, request: Request) -> None:
        """Pass on notifications of a value, or stop it. The client configures the device itself."""
        self._with_connection(request, lambda connection: self._listen(connection, request))

    def _listen(self, connection: Connection, request: Request) -> None:
        if request.enable:
            connection.listens_to.add(request.handle)
        else:
            connection.listens_to.discard(request.handle)
        self.reply("BluetoothGATTNotifyResponse", address=request.address, handle=request.handle)

    def device_request(self, request: Request) -> None:
        """Connect, disconnect, pair and so on."""
        if (handler := _DEVICE_REQUESTS.get(request.request_type)) is not None:
            handler(self, request)

    def connect_device(self, request: Request) -> None:
        """Connect to a device, if a slot is free."""
        address = request.address
        if (connection := self.connections.get(address)) is not None:
            connection.report_connected()
        elif not self.proxy.free_slots:
            self._report_no_connection(request)
        else:
            connection = Connection(address, central=self.proxy.source, send=self.send, ended=self._ended)
            self.connections[address] = connection
            self.proxy.slots_changed()
            connection.start(self.proxy.peripheral(address))

    def disconnect_device(self, request: Request) -> None:
        """End a connection."""
        if (connection := self.connections.get(request.address)) is not None:
            connection.close()
        else:
            self._report_no_connection(request)

    def pair(self, request: Request) -> None:
        """Encrypt the link, by a bond or with the PIN that the proxy has; the client has no way to tell one."""

        async def job(link: Link) -> list[Message]:
            error = await self._pairing_error(link)
            return [message("BluetoothDevicePairingResponse", address=request.address, paired=not error, error=error)]

        self._enqueue(request, job)

    async def _pairing_error(self, link: Link) -> int:
        try:
            await link.encrypt(self.proxy.pin)
        except AttError:
            return NO_PASSKEY if self.proxy.pin is None else WRONG_PASSKEY
        return 0

    def unpair(self, request: Request) -> None:
        """Forget the bond."""

        async def job(link: Link) -> list[Message]:
            await link.unpair()
            return [message("BluetoothDeviceUnpairingResponse", address=request.address, success=True)]

        self._enqueue(request, job)

    def clear_cache(self, request: Request) -> None:
        """Forget the services: none are kept."""
        self.reply("BluetoothDeviceClearCacheResponse", address=request.address, success=True)

    def _enqueue(self, request: Request, job: Job) -> None:
        if (connection := self.connections.get(request.address)) is not None:
            connection.enqueue_job(job)
        else:
            self._report_no_connection(request)

    def _report_no_connection(self, request: Request) -> None:
        self.reply("BluetoothDeviceConnectionResponse", address=request.address, connected=False)

    def _ended(self, connection: Connection) -> None:
        del self.connections[connection.address]
        self.proxy.slots_changed()

    def _send_scanner_state(self) -> None:
        self.reply(
            "BluetoothScannerStateResponse",
            state=BluetoothScannerState.RUNNING,
            mode=self._scanner_mode,
            configured_mode=_CONFIGURED_MODE,
        )

    def _send_slots(self) -> None:
        self.reply(
            "BluetoothConnectionsFreeResponse",
            free=self.proxy.free_slots,
            limit=self.proxy.slots,
            allocated=self.proxy.connected_addresses,
        )


HANDLERS: Final[Mapping[str, Callable[[Session, Request], None]]] = {
    "HelloRequest": Session.hello,
    "AuthenticationRequest": Session.authenticate,
    "DisconnectRequest": Session.disconnect,
    "PingRequest": Session.ping,
    "DeviceInfoRequest": Session.device_info,
    "DeviceCapabilitiesRequest": Session.device_capabilities,
    "ListEntitiesRequest": Session.list_entities,
    "SubscribeBluetoothLEAdvertisementsRequest": Session.subscribe_advertisements,
    "UnsubscribeBluetoothLEAdvertisementsRequest": Session.unsubscribe_advertisements,
    "BluetoothScannerSetModeRequest": Session.set_scanner_mode,
    "SubscribeBluetoothConnectionsFreeRequest": Session.subscribe_slots,
    "BluetoothSetConnectionParamsRequest": Session.set_connection_parameters,
    "BluetoothGATTNotifyRequest": Session.listen,
    "BluetoothDeviceRequest": Session.device_request,
}

_DEVICE_REQUESTS: Final[Mapping[int, Callable[[Session, Request], None]]] = {
    BluetoothDeviceRequestType.CONNECT_V3_WITH_CACHE: Session.connect_device,
    BluetoothDeviceRequestType.CONNECT_V3_WITHOUT_CACHE: Session.connect_device,
    BluetoothDeviceRequestType.DISCONNECT: Session.disconnect_device,
    BluetoothDeviceRequestType.PAIR: Session.pair,
    BluetoothDeviceRequestType.UNPAIR: Session.unpair,
    BluetoothDeviceRequestType.CLEAR_CACHE: Session.clear_cache,
}
