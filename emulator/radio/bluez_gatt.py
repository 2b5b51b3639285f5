"""GATT objects of the BlueZ double: a service, a characteristic, a descriptor."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from typing import Final, Protocol

from dbus_fast.annotations import DBusBool, DBusBytes, DBusObjectPath, DBusStr, DBusUInt16
from dbus_fast.service import ServiceInterface, dbus_method

from emulator.gatt import CCCD_UUID, Characteristic, Link, Property, Service

from .bluez_bus import DBusObjectPaths, DBusOptions, DBusSocket, DBusStrings, bluez_error, readable

_FLAGS: Final = {
    Property.READ: "read",
    Property.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Property.WRITE: "write",
    Property.NOTIFY: "notify",
}


class Connected(Protocol):
    """The device that the objects belong to."""

    path: str

    @property
    def mtu(self) -> int:
        """The link's ATT MTU."""

    async def attempt[T](self, operation: Callable[[Link], Awaitable[T]], *, subscribing: bool = False) -> T:
        """Do something over the link; DBusError if that fails."""
        ...


class GattService(ServiceInterface):
    """org.bluez.GattService1."""

    def __init__(self, device: Connected, service: Service) -> None:
        super().__init__("org.bluez.GattService1")
        self.path = f"{device.path}/service{service.handle:04x}"
        self._device = device
        self._service = service

    @readable("UUID")
    def uuid(self) -> DBusStr:
        """Show which service it is."""
        return self._service.uuid

    @readable("Device")
    def device(self) -> DBusObjectPath:
        """Return the path of the device."""
        return self._device.path

    @readable("Primary")
    def primary(self) -> DBusBool:
        """Return that it is a primary service."""
        return True

    @readable("Includes")
    def includes(self) -> DBusObjectPaths:
        """Return that it includes no other service."""
        return []


@dataclass(frozen=True, kw_only=True)
class _Acquired:
    """The two ends of a socket that carries notifications."""

    ours: socket
    theirs: socket


class GattCharacteristic(ServiceInterface):
    """org.bluez.GattCharacteristic1. Its path has the handle of the declaration, one below the value's."""

    def __init__(self, device: Connected, service: GattService, characteristic: Characteristic) -> None:
        super().__init__("org.bluez.GattCharacteristic1")
        self.path = f"{service.path}/char{characteristic.handle - 1:04x}"
        self.characteristic = characteristic
        self._device = device
        self._service = service
        self._value = b""
        self._notifying = False
        self._acquired: _Acquired | None = None

    def notify(self, value: bytes, *, empty: bool) -> None:
        """Pass on a notification, by the socket if there is one; otherwise on the bus, without its bytes if empty."""
        if self._acquired is None:
            self.show(b"" if empty else value)
            return
        # The reply with this end has been sent by now: nothing notifies before.
        self._acquired.theirs.close()
        try:
            self._acquired.ours.send(value)
        except OSError:
            # The other end was closed.
            self.release()

    def release(self) -> None:
        """Close the socket of acquired notifications."""
        if self._acquired is not None:
            self._acquired.ours.close()
            self._acquired.theirs.close()
            self._acquired = None

    def show(self, value: bytes) -> None:
        """Show a value that was notified or read; BlueZ treats both alike."""
        self._value = value
        self.emit_properties_changed({"Value": value})

    @readable("UUID")
    def uuid(self) -> DBusStr:
        """Show which characteristic it is."""
        return self.characteristic.uuid

    @readable("Service")
    def service(self) -> DBusObjectPath:
        """Show where it belongs."""
        return self._service.path

    @readable("Value")
    def value(self) -> DBusBytes:
        """Show the last value."""
        return self._value

    @readable("Notifying")
    def notifying(self) -> DBusBool:
        """Show whether somebody listens."""
        return self._notifying

    @readable("NotifyAcquired")
    def notify_acquired(self) -> DBusBool:
        """Return whether the notifications were acquired."""
        return self._acquired is not None

    @readable("Flags")
    def flags(self) -> DBusStrings:
        """Show what can be done with it."""
        return [_FLAGS[one] for one in self.characteristic.properties]

    @readable("MTU")
    def mtu(self) -> DBusUInt16:
        """Show the link's ATT MTU."""
        return self._device.mtu

    @dbus_method(name="ReadValue")
    async def read_value(self, options: DBusOptions) -> DBusBytes:  # noqa: ARG002 - part of the method
        """Read over the air."""
        value = await self._device.attempt(lambda link: link.read(self.characteristic.handle))
        self.show(value)
        return value

    @dbus_method(name="WriteValue")
    async def write_value(self, value: DBusBytes, options: DBusOptions) -> None:
        """Write over the air, as command or request."""
        response = self._with_response(options)
        data = bytes(value)
        await self._device.attempt(lambda link: link.write(self.characteristic.handle, data, response=response))

    @dbus_method(name="StartNotify")
    async def start_notify(self) -> None:
        """Subscribe."""
        if not self.characteristic.cccd:
            raise bluez_error("NotSupported", "Operation is not supported")
        await self._subscribe(on=True)

    @dbus_method(name="AcquireNotify")
    async def acquire_notify(self, options: DBusOptions) -> DBusSocket:  # noqa: ARG002 - part of the method
        """Subscribe, and return the end of a socket that carries the notifications."""
        if self._acquired is not None or self._notifying:
            raise bluez_error("NotPermitted", "Notify acquired")
        await self._subscribe(on=True)
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        ours.setblocking(False)
        self._acquired = _Acquired(ours=ours, theirs=theirs)
        return theirs.fileno(), self._device.mtu

    @dbus_method(name="StopNotify")
    async def stop_notify(self) -> None:
        """End that."""
        if not self._notifying:
            raise bluez_error("Failed", "No notify session started")
        await self._subscribe(on=False)

    async def _subscribe(self, *, on: bool) -> None:
        await self._device.attempt(lambda link: link.subscribe(self.characteristic.handle, on=on), subscribing=on)
        self._notifying = on
        self.emit_properties_changed({"Notifying": on})

    def _with_response(self, options: DBusOptions) -> bool:
        if "type" in options:
            return bool(options["type"].value != "command")
        return Property.WRITE_WITHOUT_RESPONSE not in self.characteristic.properties


class GattDescriptor(ServiceInterface):
    """org.bluez.GattDescriptor1, of which there is one kind: it switches notifications."""

    def __init__(self, device: Connected, characteristic: GattCharacteristic) -> None:
        super().__init__("org.bluez.GattDescriptor1")
        self._device = device
        self._characteristic = characteristic
        self._handle = characteristic.characteristic.cccd
        self.path = f"{characteristic.path}/desc{self._handle:04x}"

    @readable("UUID")
    def uuid(self) -> DBusStr:
        """Show which descriptor it is."""
        return CCCD_UUID

    @readable("Characteristic")
    def characteristic(self) -> DBusObjectPath:
        """Show where it belongs."""
        return self._characteristic.path

    @readable("Value")
    def value(self) -> DBusBytes:
        """Show nothing: it was not read."""
        return b""

    @dbus_method(name="ReadValue")
    async def read_value(self, options: DBusOptions) -> DBusBytes:  # noqa: ARG002 - part of the method
        """Read over the air."""
        return await self._device.attempt(lambda link: link.read(self._handle))

    @dbus_method(name="WriteValue")
    def write_value(self, value: DBusBytes, options: DBusOptions) -> None:  # noqa: ARG002 - part of the method
        """Refuse: StartNotify is the way."""
        raise bluez_error("NotPermitted", "Write not permitted")


type GattObject = GattService | GattCharacteristic | GattDescriptor


def gatt_objects(device: Connected, services: tuple[Service, ...]) -> Iterator[GattObject]:
    """Make the objects of these services, parents first."""
    for service in services:
        parent = GattService(device, service)
        yield parent
        for characteristic in service.characteristics:
            child = GattCharacteristic(device, parent, characteristic)
            yield child
            if characteristic.cccd:
                yield GattDescriptor(device, child)
