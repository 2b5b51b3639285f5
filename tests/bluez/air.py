"""The emulated device on the air, and adapters that the kernel drives: bumble's controllers, host, GATT server and SMP.

bumble is a toolbox for tests itself. What it gets wrong for Linux is put right here, each in its place.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Final, override

from bumble import hci, ll
from bumble.att import ATT_Error
from bumble.controller import Controller
from bumble.core import PhysicalTransport
from bumble.device import Connection, Device
from bumble.gatt import (
    GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
    Attribute,
    CharacteristicValue,
    Descriptor,
)
from bumble.gatt import (
    Characteristic as BumbleCharacteristic,
)
from bumble.gatt import (
    Service as BumbleService,
)
from bumble.hci import Address, LeFeatureMask
from bumble.host import Host
from bumble.keys import MemoryKeyStore, PairingKeys
from bumble.link import LocalLink
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport import open_transport
from bumble.transport.common import AsyncPipeSink

from emulator.device import EmulatedDevice
from emulator.gatt import AttError, Characteristic, ConnectionRefusedByPeripheralError, Link, LinkLostError, Property

ADAPTER_ADDRESSES: Final = ("00:1A:7D:DA:71:13", "00:1A:7D:DA:71:14")
PHONE_ADDRESS: Final = "00:1A:7D:DA:71:99"
ADVERTISING_INTERVAL: Final = 0.2
UNLIKELY_ERROR: Final = 0x0E

_Permissions = Attribute.Permissions
_OPEN: Final = _Permissions.READABLE | _Permissions.WRITEABLE
# bumble's controller claims these but does without, and Linux then waits for events that never come.
_NOT_REALLY: Final = LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING


class Air(LocalLink):  # type: ignore[misc]  # bumble is not there where types are checked
    """Who hears whom."""

    @override
    def send_acl_data(
        self, sender_controller: Controller, destination_address: Address, transport: PhysicalTransport, data: bytes
    ) -> None:
        """Send from the address that the connection was made with: Linux does not use its random one for it."""
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection is None or receiver is None:
            super().send_acl_data(sender_controller, destination_address, transport, data)
            return
        asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)


class Adapter(Controller):  # type: ignore[misc]  # bumble is not there where types are checked
    """A controller that the kernel drives; rssi in dBm. A deaf one hears nothing."""

    rssi: int = -50
    deaf: bool = False
    pending_le_connection: hci.HCI_LE_Create_Connection_Command | None

    @override
    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Report an advertisement with its scan response and signal, and connect if that is wanted."""
        if self.deaf:
            return
        if self.le_scan_enable:
            self._report(pdu)
        wanted = self.pending_le_connection
        if wanted and wanted.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)

    def _report(self, pdu: ll.AdvInd) -> None:
        kinds = hci.HCI_LE_Advertising_Report_Event.EventType
        for kind, data in ((kinds.ADV_IND, pdu.data), (kinds.SCAN_RSP, self._scan_response(pdu.advertiser_address))):
            report = hci.HCI_LE_Advertising_Report_Event.Report(
                event_type=kind,
                address_type=pdu.advertiser_address.address_type,
                address=pdu.advertiser_address,
                data=data,
                rssi=self.rssi,
            )
            self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))

    def _scan_response(self, address: Address) -> bytes:
        senders = (one for one in self.link.controllers if one.random_address == address)
        return b"".join(one.le_legacy_advertiser.scan_response_data for one in senders)

    @override
    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """End the attempt and say so, or else the kernel waits for it for ever."""
        wanted, self.pending_le_connection = self.pending_le_connection, None
        if wanted is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        event = hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=hci.Role.CENTRAL,
            peer_address_type=wanted.peer_address.address_type,
            peer_address=wanted.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        asyncio.get_running_loop().call_soon(self.send_hci_packet, event)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def lose_links(self) -> None:
        """Tell the kernel that nothing is heard any more of those that it is connected to."""
        for connection in list(self.le_connections.values()):
            self.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)


async def open_adapter(air: Air, address: str, rssi: int) -> Adapter:
    """Give the kernel one more adapter."""
    transport = await open_transport("vhci")
    adapter = Adapter(
        f"adapter {address}",
        host_source=transport.source,
        host_sink=transport.sink,
        link=air,
        public_address=address,
    )
    adapter.le_features &= ~_NOT_REALLY
    adapter.rssi = rssi
    adapter.transport = transport
    return adapter


class _Passkey(int):
    """A passkey that is true even if it is 0, as bumble wants it."""

    def __bool__(self) -> bool:
        return True


class _Display(PairingDelegate):  # type: ignore[misc]  # bumble is not there where types are checked
    """Asks for the PIN of the device, as if that were on a display."""

    def __init__(self, radio: DeviceRadio, capability: PairingDelegate.IoCapability) -> None:
        super().__init__(capability)
        self._radio = radio

    @override
    async def generate_passkey(self) -> int:
        return await self._radio.tell_passkey()


class DeviceRadio:
    """One emulated device on the air.

    With refusing, every connection ends at once. With just_works, it can show no passkey. The passkey comes after
    passkey_delay seconds; with drops_at_passkey the link is lost then.
    """

    def __init__(self, device: EmulatedDevice, air: Air) -> None:
        self.device = device
        self.refusing = False
        self.just_works = False
        self.secure_connections = True
        self.passkey_delay = 0.0
        self.drops_at_passkey = False
        self.passkeys_asked = 0
        self.connections = 0
        self._connection: Connection | None = None
        self._link: Link | None = None
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Future[object]] = set()
        self._characteristics: dict[int, BumbleCharacteristic] = {}
        controller = Controller("device", link=air, public_address="00:00:5E:00:00:99")
        controller.le_features &= ~_NOT_REALLY
        self._host = Device(
            name=device.name,
            address=Address(device.address, Address.RANDOM_DEVICE_ADDRESS),
            host=Host(controller, AsyncPipeSink(controller)),
        )
        self._host.keystore = MemoryKeyStore()
        self._host.host.long_term_key_provider = self._long_term_key
        self._host.pairing_config_factory = self._pairing_config
        for service in device.peripheral.services:
            characteristics = [self._characteristic(one) for one in service.characteristics]
            self._host.add_service(BumbleService(service.uuid, characteristics))
        self._host.on("connection", self._connected)
        self.set_mtu(device.peripheral.mtu)

    async def start(self) -> None:
        """Switch it on, and advertise for ever."""
        await self._host.power_on()
        self._begin(self._advertise())

    async def stop(self) -> None:
        """Let go of everything that is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def set_mtu(self, mtu: int) -> None:
        """Offer another ATT MTU to the next central."""
        self.device.peripheral.mtu = mtu
        self._host.gatt_server.max_mtu = mtu

    async def forget_bonds(self) -> None:
        """Know of no bond any more."""
        await self._host.keystore.delete_all()
        self.device.peripheral.bonds.clear()

    async def tell_passkey(self) -> int:
        """Return what the central has to enter."""
        self.passkeys_asked += 1
        await asyncio.sleep(self.passkey_delay)
        if self.drops_at_passkey:
            self.device.peripheral.drop_link()
        return _Passkey(self.device.pin)

    def _begin(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Advertising

    async def _advertise(self) -> None:
        """Send what the device sends, while it does."""
        while True:
            if not self.device.advertises:
                await self._host.stop_advertising()
            elif not self._host.is_advertising:
                await self._start_advertising()
            else:
                await self._renew_advertisement()
            await asyncio.sleep(ADVERTISING_INTERVAL)

    async def _start_advertising(self) -> None:
        advertisement = self.device.advertisement()
        interval = ADVERTISING_INTERVAL * 1000
        await self._host.start_advertising(
            auto_restart=False,
            advertising_data=advertisement.advertising_data,
            scan_response_data=advertisement.scan_response,
            advertising_interval_min=interval,
            advertising_interval_max=interval,
        )

    async def _renew_advertisement(self) -> None:
        data = self.device.advertisement().advertising_data
        await self._host.host.send_sync_command(hci.HCI_LE_Set_Advertising_Data_Command(advertising_data=data))

    # Connection

    def _connected(self, connection: Connection) -> None:
        self.connections += 1
        try:
            self._link = self._open_link(connection)
        except ConnectionRefusedByPeripheralError:
            self._end(connection)
            return
        self._connection = connection
        connection.on("connection_att_mtu_update", partial(self._mtu_changed, connection))
        connection.on("connection_encryption_change", partial(self._encryption_changed, connection))
        connection.on("disconnection", self._disconnected)

    def _open_link(self, connection: Connection) -> Link:
        if self.refusing:
            raise ConnectionRefusedByPeripheralError
        link = self.device.peripheral.connect(
            connection.peer_address.to_string(with_type_qualifier=False),
            on_notify=partial(self._notify, connection),
            on_lost=partial(self._end, connection),
        )
        # Until the central asks for more.
        link.mtu = 23
        return link

    def _end(self, connection: Connection) -> None:
        self._begin(self._disconnect(connection))

    async def _disconnect(self, connection: Connection) -> None:
        try:
            await connection.disconnect()
        except hci.HCI_Error:
            # The central was first.
            return

    def _disconnected(self, _reason: int) -> None:
        if self._link is not None:
            self._link.close()
        self._link = self._connection = None

    def _mtu_changed(self, connection: Connection) -> None:
        if self._link is not None:
            self._link.mtu = connection.att_mtu

    def _encryption_changed(self, connection: Connection) -> None:
        if self._link is not None and connection.authenticated:
            self.device.peripheral.bonds.add(self._link.central)

    # Pairing

    def _pairing_config(self, _connection: Connection) -> PairingConfig:
        capabilities = PairingDelegate.IoCapability
        capability = capabilities.NO_OUTPUT_NO_INPUT if self.just_works else capabilities.DISPLAY_OUTPUT_ONLY
        return PairingConfig(
            sc=self.secure_connections,
            mitm=not self.just_works,
            bonding=True,
            delegate=_Display(self, capability),
        )

    async def _long_term_key(self, handle: int, rand: bytes, ediv: int) -> bytes | None:
        """Return the key that the device gave to a central; bumble gives that of the central for the older pairing."""
        connection = self._host.lookup_connection(handle)
        if connection is None:
            return None
        if key := self._host.smp_manager.get_long_term_key(connection, rand, ediv):
            return bytes(key)
        keys: PairingKeys | None = await self._host.keystore.get(str(connection.peer_address))
        stored = keys and (keys.ltk or keys.ltk_central)
        return stored.value if stored else None

    # GATT

    def _characteristic(self, one: Characteristic) -> BumbleCharacteristic:
        characteristic = BumbleCharacteristic(
            one.uuid,
            BumbleCharacteristic.Properties(int(one.properties)),
            _permissions(one),
            CharacteristicValue(read=partial(self._read, one), write=partial(self._write, one)),
        )
        if one.cccd:
            characteristic.descriptors = (
                Descriptor(
                    GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
                    _OPEN | (_Permissions.WRITE_REQUIRES_AUTHENTICATION if one.authenticated else _Permissions(0)),
                    self._host.gatt_server.make_descriptor_value(characteristic),
                ),
            )
            characteristic.on(characteristic.EVENT_SUBSCRIPTION, partial(self._subscribed, one))
        self._characteristics[one.handle] = characteristic
        return characteristic

    def _subscribed(self, one: Characteristic, _bearer: object, notify: bool, _indicate: bool) -> None:
        if self._link is not None:
            self._begin(self._link.subscribe(one.handle, on=notify))

    def _notify(self, connection: Connection, handle: int, data: bytes) -> None:
        self._begin(self._host.notify_subscriber(connection, self._characteristics[handle], data))

    async def _read(self, one: Characteristic, _connection: Connection) -> bytes:
        return await self._attempt(lambda link: link.read(one.handle))

    async def _write(self, one: Characteristic, _connection: Connection, value: bytes) -> None:
        response = Property.WRITE in one.properties
        await self._attempt(lambda link: link.write(one.handle, value, response=response))

    async def _attempt[T](self, operation: Callable[[Link], Awaitable[T]]) -> T:
        """Do one operation after the other, as they came."""
        async with self._turn:
            if self._link is None:
                raise ATT_Error(error_code=UNLIKELY_ERROR)
            try:
                return await operation(self._link)
            except AttError as error:
                raise ATT_Error(error_code=int(error.code)) from error
            except LinkLostError as error:
                raise ATT_Error(error_code=UNLIKELY_ERROR) from error


def _permissions(one: Characteristic) -> Attribute.Permissions:
    permissions = _Permissions(0)
    if Property.READ in one.properties:
        permissions |= _Permissions.READABLE
    if one.properties & (Property.WRITE | Property.WRITE_WITHOUT_RESPONSE):
        permissions |= _Permissions.WRITEABLE
    if one.authenticated and permissions & _Permissions.READABLE:
        permissions |= _Permissions.READ_REQUIRES_AUTHENTICATION
    if one.authenticated and permissions & _Permissions.WRITEABLE:
        permissions |= _Permissions.WRITE_REQUIRES_AUTHENTICATION
    return permissions
