"""In-process radio: emulated devices behind a remote scanner of Home Assistant's own Bluetooth manager."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, override

from bleak.args import SizedBuffer
from bleak.args.bluez import BlueZNotifyArgs
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError, BleakGATTProtocolError
from bluetooth_data_tools import monotonic_time_coarse
from habluetooth import (
    Allocations,
    BaseHaRemoteScanner,
    BluetoothScanningMode,
    HaBluetoothConnector,
    get_manager,
)
from homeassistant.components.bluetooth import async_register_scanner
from homeassistant.core import CALLBACK_TYPE, HomeAssistant

from emulator.device import Advertisement, EmulatedDevice
from emulator.gatt import (
    ATT_NOTIFICATION_HEADER,
    CCCD_UUID,
    DEFAULT_MTU,
    AttError,
    ConnectionRefusedByPeripheralError,
    Link,
    LinkLostError,
    Property,
    Service,
)

DEFAULT_SOURCE: Final = "02:00:00:00:E5:01"
DEFAULT_RSSI: Final = -60
DEFAULT_SLOTS: Final = 3
ADAPTER: Final = "smallbms-emulator"

# The errors of Home Assistant's clients; bleak-retry-connector recognizes them by their wording.
_REFUSED: Final = "Error ESP_GATT_CONN_FAIL_ESTABLISH while connecting: Connection failed to establish"
_NO_SLOT: Final = "No free connection slot"
_GONE: Final = "Not connected"
# The ESP32's reasons for a failed pairing: it has no passkey, or a wrong one.
_NO_PASSKEY: Final = 80
_WRONG_PASSKEY: Final = 81

_PROPERTY_NAMES: Final[Mapping[Property, CharacteristicPropertyName]] = {
    Property.READ: "read",
    Property.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Property.WRITE: "write",
    Property.NOTIFY: "notify",
}


@contextmanager
def _bleak_errors() -> Iterator[None]:
    """Raise the errors of a link as those of bleak."""
    try:
        yield
    except AttError as error:
        raise BleakGATTProtocolError(error.code) from error
    except LinkLostError as error:
        raise BleakError(_GONE) from error


def _service_collection(services: Iterable[Service], mtu: int) -> BleakGATTServiceCollection:
    """Return a peripheral's services as bleak's clients see them."""
    collection = BleakGATTServiceCollection()
    for service in services:
        bleak_service = BleakGATTService(service, service.handle, service.uuid)
        collection.add_service(bleak_service)
        for characteristic in service.characteristics:
            bleak_characteristic = BleakGATTCharacteristic(
                characteristic,
                characteristic.handle,
                characteristic.uuid,
                [_PROPERTY_NAMES[one] for one in characteristic.properties],
                lambda: mtu - ATT_NOTIFICATION_HEADER,
                bleak_service,
            )
            collection.add_characteristic(bleak_characteristic)
            if characteristic.cccd:
                cccd = BleakGATTDescriptor(characteristic, characteristic.cccd, CCCD_UUID, bleak_characteristic)
                collection.add_descriptor(cccd)
    return collection


class EmulatedClient(BaseBleakClient):
    """A bleak backend bound to one scanner, whose devices it connects to."""

    scanner: EmulatedScanner

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        timeout: float = 10.0,
        disconnected_callback: Callable[[], None] | None = None,
        **_kwargs: object,
    ) -> None:
        super().__init__(address_or_ble_device, timeout=timeout, disconnected_callback=disconnected_callback)
        self._link: Link | None = None
        self._callbacks: dict[int, NotifyCallback] = {}
        self._emptied: set[int] = set()

    @property
    @override
    def name(self) -> str:
        device = self.scanner.devices.get(self.address)
        return self.address if device is None else device.name

    @property
    @override
    def mtu_size(self) -> int:
        return DEFAULT_MTU if self._link is None else self._link.mtu

    @property
    @override
    def is_connected(self) -> bool:
        return self._link is not None

    @override
    async def connect(self, pair: bool, **_kwargs: object) -> None:
        with self.scanner.connecting():
            await asyncio.sleep(0)
            self._link = self.scanner.open_link(self.address, on_notify=self._notified, on_lost=self._ended)
        try:
            await self._prepare(self._link, pair=pair)
        except BaseException:
            # Nobody uses this client yet, so nobody needs to hear that it is disconnected.
            self._disconnected_callback = None
            await self.disconnect()
            raise

    async def _prepare(self, link: Link, *, pair: bool) -> None:
        """Bond if the radio has the PIN or is asked to, and discover the services."""
        with _bleak_errors():
            if pair:
                await link.pair(self.scanner.pin)
            elif self.scanner.pin is not None and not self.scanner.waits_to_be_asked:
                await link.pair_if_accepted(self.scanner.pin)
            found = self.scanner.known_services.get(self.address) or await link.discover()
        if self.scanner.remembers_services:
            self.scanner.known_services[self.address] = found
        self.services = _service_collection(found, link.mtu)

    @override
    async def disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._ended()

    @override
    async def pair(self, *_args: object, **_kwargs: object) -> None:
        try:
            with _bleak_errors():
                await self._connected_link().encrypt(self.scanner.pin)
        except BleakGATTProtocolError as error:
            reason = _NO_PASSKEY if self.scanner.pin is None else _WRONG_PASSKEY
            raise BleakError(f"Pairing failed due to error: {reason}") from error

    @override
    async def unpair(self) -> None:
        with _bleak_errors():
            await self._connected_link().unpair()

    async def clear_cache(self) -> bool:
        """Forget the services, so that the next connection discovers them again."""
        self.scanner.known_services.pop(self.address, None)
        return True

    @override
    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_kwargs: object
    ) -> bytearray:
        with _bleak_errors():
            return bytearray(await self._connected_link().read(characteristic.handle))

    @override
    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_kwargs: object
    ) -> bytearray:
        with _bleak_errors():
            return bytearray(await self._connected_link().read(descriptor.handle))

    @override
    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        with _bleak_errors():
            await self._connected_link().write(characteristic.handle, bytes(data), response=response)

    @override
    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        # The only descriptors are those that start_notify writes, and bleak refuses to write these.
        raise NotImplementedError

    @override
    async def start_notify(
        self,
        characteristic: BleakGATTCharacteristic,
        callback: NotifyCallback,
        *,
        bluez: BlueZNotifyArgs | None = None,
        **_kwargs: object,
    ) -> None:
        await self._configure_notifications(characteristic, on=True)
        self._callbacks[characteristic.handle] = callback
        self._emptied.discard(characteristic.handle)
        if (bluez or {}).get("use_start_notify", True) and self.scanner.empties_notifications(self.address):
            self._emptied.add(characteristic.handle)

    @override
    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        self._callbacks.pop(characteristic.handle, None)
        await self._configure_notifications(characteristic, on=False)

    async def _configure_notifications(self, characteristic: BleakGATTCharacteristic, *, on: bool) -> None:
        with _bleak_errors():
            await self._connected_link().subscribe(characteristic.handle, on=on)

    def _connected_link(self) -> Link:
        if self._link is None:
            raise BleakError(_GONE)
        return self._link

    def _notified(self, handle: int, data: bytes) -> None:
        # With a real radio, a notification never arrives during the write that caused it.
        asyncio.get_running_loop().call_soon(self._deliver, handle, data)

    def _deliver(self, handle: int, data: bytes) -> None:
        if (callback := self._callbacks.get(handle)) is not None:
            callback(bytearray(b"" if handle in self._emptied else data))

    def _ended(self) -> None:
        """Clean up after the link, whoever ended it."""
        self._link = None
        self._callbacks.clear()
        self.services = BleakGATTServiceCollection()
        self.scanner.link_ended(self.address)
        if self._disconnected_callback is not None:
            self._disconnected_callback()


class EmulatedScanner(BaseHaRemoteScanner):
    """One radio near some emulated devices. Make it after Home Assistant's bluetooth was set up.

    rssi holds the signal strength in dBm by address; devices that it does not name arrive with DEFAULT_RSSI. Without
    connectable it only listens. pin makes every connection a bonded one, if it is the device's PIN. One that waits to
    be asked, as proxies do, encrypts no link before a client pairs, whether there is a bond or not. With a bluez_name,
    such as hci0, it passes for an adapter that BlueZ knows by that name. rssi, slots, pin and devices may be changed
    while it runs. If it remembers_services, it looks for those of a device once only, as real radios do.
    """

    def __init__(
        self,
        *devices: EmulatedDevice,
        source: str = DEFAULT_SOURCE,
        rssi: Mapping[str, int] | None = None,
        connectable: bool = True,
        slots: int = DEFAULT_SLOTS,
        pin: str | None = None,
        waits_to_be_asked: bool = False,
        bluez_name: str | None = None,
    ) -> None:
        class Client(EmulatedClient):
            scanner = self

        connector = HaBluetoothConnector(Client, source, lambda: self.free_slots > 0)
        super().__init__(
            source,
            ADAPTER,
            connector if connectable else None,
            connectable,
            BluetoothScanningMode.ACTIVE,
            BluetoothScanningMode.ACTIVE,
        )
        self.devices = {device.address: device for device in devices}
        self.rssi = dict(rssi or {})
        self._slots = slots
        self.pin = pin
        self.waits_to_be_asked = waits_to_be_asked
        self.bluez_name = bluez_name
        self.remembers_services = False
        self.known_services: dict[str, tuple[Service, ...]] = {}
        self._links: dict[str, Link] = {}

    @property
    def slots(self) -> int:
        """How many connections this radio can carry."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots = slots
        self._slots_changed()

    @property
    def free_slots(self) -> int:
        """How many more connections it can carry now."""
        return max(0, self.slots - len(self._links))

    @override
    def get_allocations(self) -> Allocations:
        return Allocations(self.source, self.slots, self.free_slots, list(self._links))

    def register(self, hass: HomeAssistant) -> CALLBACK_TYPE:
        """Add this radio to Home Assistant; returns what removes it again."""
        undo: Iterable[CALLBACK_TYPE] = (async_register_scanner(hass, self), self.async_setup())

        def unregister() -> None:
            for one in undo:
                one()

        return unregister

    def advertise(self, address: str | None = None) -> None:
        """Receive one advertisement of each device that sends, or of the one with this address."""
        for device in self.devices.values():
            if device.advertises and address in (None, device.address):
                self._receive(device, device.advertisement())

    def advertise_bytes(self, device: EmulatedDevice, manufacturer_data: bytes) -> None:
        """Receive an advertisement as if from this device, with any bytes in place of its record."""
        self._receive(device, device.advertisement(manufacturer_data))

    def open_link(self, address: str, *, on_notify: Callable[[int, bytes], None], on_lost: Callable[[], None]) -> Link:
        """Connect to a device through this radio; BleakError if that fails."""
        if not self.free_slots:
            raise BleakError(_NO_SLOT)
        if (device := self.devices.get(address)) is None:
            raise BleakError(_REFUSED)
        try:
            link = device.peripheral.connect(
                self.source, on_notify=on_notify, on_lost=on_lost, has_key=not self.waits_to_be_asked
            )
        except ConnectionRefusedByPeripheralError as error:
            raise BleakError(_REFUSED) from error
        self._links[address] = link
        self._slots_changed()
        return link

    def empties_notifications(self, address: str) -> bool:
        """Return whether notifications of a device arrive empty by BlueZ's StartNotify."""
        device = self.devices.get(address)
        return self.bluez_name is not None and device is not None and device.quirks.empty_notifications

    def link_ended(self, address: str) -> None:
        """Free the slot of a link."""
        self._links.pop(address, None)
        self._slots_changed()

    def _slots_changed(self) -> None:
        get_manager().async_on_allocation_changed(self.get_allocations())

    def _bluez_details(self, device: EmulatedDevice) -> dict[str, str]:
        """Return the device's path in BlueZ, if this is one of its adapters."""
        if self.bluez_name is None:
            return {}
        return {"path": f"/org/bluez/{self.bluez_name}/dev_{device.address.replace(':', '_')}"}

    def _receive(self, device: EmulatedDevice, advertisement: Advertisement) -> None:
        self._async_on_raw_advertisement(
            device.address,
            device.faults.rssi(self.rssi.get(device.address, DEFAULT_RSSI)),
            advertisement.joined,
            {"address_type": "random"} | self._bluez_details(device),
            monotonic_time_coarse(),
        )
