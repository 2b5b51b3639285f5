"""BlueZ over D-Bus: the local adapters, what they know about a device, and its errors as VeSmartError."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
import logging
import os
from typing import Final

from dbus_fast import BusType, DBusError, DBusFastError, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.auth import UID_NOT_SPECIFIED, AuthExternal

from .errors import NotPaired, NotReachable, VeSmartError

_LOGGER = logging.getLogger(__name__)

# Seconds. Connecting to a nearby device takes about one, or a few during a scan.
PROBE_TIME: Final = 10.0

# BlueZ's text for a connection that was not established, or ended at once.
_ABORTED: Final = "le-connection-abort-by-local"

_KEY_REFUSED: Final = "org.bluez.Reason.Authentication"

# If BlueZ gives no reason for disconnects, this many in a row are probably caused by the bond.
_PROBES: Final = 2


ANSWER_TIME: Final = 10.0
# Seconds. bluetoothd takes two to end a connection.
CLEANUP_TIME: Final = 5.0

ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"

FAILED: Final = "org.bluez.Error.Failed"

# bleak uses this variable too: in a rootless container, it holds the user id on the host.
_UID_VARIABLE: Final = "BLEAK_DBUS_AUTH_UID"

_BLUEZ: Final = "org.bluez"
_BUS: Final = "org.freedesktop.DBus"
_OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
_CHANGED: Final = "PropertiesChanged"
_ADDED: Final = "InterfacesAdded"
# Weaker than any signal, for a device that BlueZ knows but does not hear.
_NOT_HEARD: Final = -1000

type Objects = Mapping[str, Mapping[str, Mapping[str, Variant]]]
type Signal = Callable[[Message], None]


class NoLocalAdapter(NotPaired):
    """No such adapter, or it is off, or BlueZ does not run. adapters: the names of all adapters, on or off."""

    def __init__(self, message: str, adapters: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.adapters = tuple(adapters)


class DeviceNotVisible(NotReachable):
    """No local adapter hears the device; a proxy may. adapters: the names of those that listened."""

    def __init__(self, message: str, adapters: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.adapters = tuple(adapters)


class PairingRefused(NotPaired):
    """The device, BlueZ or another program ended the pairing before the PIN was checked."""


class PairingTimedOut(NotPaired):
    """BlueZ did not finish in time."""


# By the name of a D-Bus error. All others become PairingRefused.
_ERRORS: Final[Mapping[str, type[VeSmartError]]] = {
    "org.bluez.Error.AuthenticationTimeout": PairingTimedOut,
    "org.bluez.Error.ConnectionAttemptFailed": NotReachable,
    "org.bluez.Error.DoesNotExist": DeviceNotVisible,
    FAILED: NotReachable,
    "org.bluez.Error.NotReady": NoLocalAdapter,
    "org.freedesktop.DBus.Error.NameHasNoOwner": NoLocalAdapter,
    "org.freedesktop.DBus.Error.NoReply": NoLocalAdapter,
    "org.freedesktop.DBus.Error.ServiceUnknown": NoLocalAdapter,
    "org.freedesktop.DBus.Error.UnknownMethod": DeviceNotVisible,
    "org.freedesktop.DBus.Error.UnknownObject": DeviceNotVisible,
}


def translated(error: DBusError) -> VeSmartError:
    """Return the VeSmartError for an error of BlueZ or the bus."""
    return _ERRORS.get(error.type, PairingRefused)(f"{error.type}: {error.text}")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter as BlueZ describes it."""

    path: str
    address: str
    powered: bool

    @property
    def name(self) -> str:
        """The name that the kernel gives it, such as hci0."""
        return adapter_name(self.path)

    def matches(self, wanted: str | None) -> bool:
        """Return whether this is its name or its address; None matches every adapter."""
        return wanted in {None, self.name, self.address}


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device as one adapter knows it. rssi is in dBm."""

    path: str
    address: str
    adapter: str
    bonded: bool
    connected: bool
    resolved: bool
    rssi: int

    @property
    def in_use(self) -> bool:
        """Whether there is a usable connection, not only an attempt."""
        return self.connected and self.resolved

    @property
    def is_there(self) -> bool:
        """Whether it can be connected to: it was heard, or is known. BlueZ waits forever for a device that is gone."""
        return self.bonded or self.connected or self.rssi > _NOT_HEARD


class Bluez:
    """BlueZ, called over a D-Bus connection."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        # Set when an object appears or a property changes.
        self.changed = asyncio.Event()
        self._listeners: list[Signal] = []
        bus.add_message_handler(self._notice)

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> Message:
        """Call a method and return its reply. Raises DBusError."""
        return await self._call(_BLUEZ, path, interface, member, signature, *body)

    async def objects(self) -> Objects:
        """Return all objects with their interfaces and properties."""
        objects: Objects = (await self.call("/", _OBJECT_MANAGER, "GetManagedObjects")).body[0]
        return objects

    async def devices(self, address: str, adapter: str | None = None) -> list[Device]:
        """Return the device as every adapter knows it, or as the one of this name or address does."""
        return devices_in(await self.objects(), address, adapter)

    async def owner(self) -> str:
        """Return the unique name of BlueZ on the bus."""
        return str((await self._call_bus("GetNameOwner", _BLUEZ)).body[0])

    async def follow(self) -> None:
        """Subscribe to the signals about devices."""
        for rule in (f"interface='{_OBJECT_MANAGER}',member='{_ADDED}'", f"arg0='{DEVICE}'", f"interface='{DEVICE}'"):
            await self._call_bus("AddMatch", f"type='signal',sender='{_BLUEZ}',{rule}")

    def listen(self, listener: Signal) -> None:
        """Call a listener with every signal."""
        self._listeners.append(listener)

    async def _call_bus(self, member: str, argument: str) -> Message:
        return await self._call(_BUS, "/org/freedesktop/DBus", _BUS, member, "s", argument)

    async def _call(
        self, destination: str, path: str, interface: str, member: str, signature: str, *body: object
    ) -> Message:
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            # If BlueZ does not run, do not start it.
            flags=MessageFlag.NO_AUTOSTART,
        )
        reply = await self.bus.call(message)
        if reply.message_type is MessageType.ERROR:
            raise DBusError(str(reply.error_name), " ".join(map(str, reply.body)))
        return reply

    def _notice(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        for listener in self._listeners:
            listener(message)
        if message.member in {_ADDED, _CHANGED}:
            self.changed.set()


class ConnectionWatch:
    """Watches the connection to one device.

    changed: set once a connection begins or ends. reason: why the last one ended; None if BlueZ does not tell (5.66
    does not, 5.87 does).
    """

    def __init__(self, bluez: Bluez, device: Device) -> None:
        self.changed = asyncio.Event()
        self.reason: str | None = None
        self._path = device.path
        bluez.listen(self._notice)

    def _notice(self, message: Message) -> None:
        if message.path != self._path:
            return
        if message.member == "Disconnected":
            self.reason = str(message.body[0])
        elif message.member == _CHANGED and "Connected" in message.body[1]:
            self.changed.set()


@asynccontextmanager
async def open_bluez(bus_address: str | None) -> AsyncGenerator[Bluez]:
    """Yield BlueZ over a bus connection of its own. Raises VeSmartError for errors of BlueZ and the bus."""
    try:
        bus = await MessageBus(bus_address, BusType.SYSTEM, AuthExternal(_user_id())).connect()
    except (OSError, DBusFastError) as error:
        raise NoLocalAdapter("There is no system bus, so there is no BlueZ") from error
    try:
        yield Bluez(bus)
    except DBusError as error:
        raise translated(error) from error
    except (OSError, EOFError) as error:
        raise NoLocalAdapter("The system bus went away") from error
    finally:
        # When the connection ends, bluetoothd ends its agent, discovery and pairing.
        if bus.connected:
            bus.disconnect()
        with suppress(OSError, EOFError):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast does not annotate it


@asynccontextmanager
async def query_bluez(bus_address: str | None) -> AsyncGenerator[Bluez]:
    """Yield BlueZ for a query that does not involve the device. Raises PairingTimedOut after ANSWER_TIME."""
    async with open_bluez(bus_address) as bluez, before(deadline_in(ANSWER_TIME)):
        yield bluez


@asynccontextmanager
async def before(deadline: float) -> AsyncGenerator[None]:
    """Raise PairingTimedOut at this time of the event loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise PairingTimedOut("Pairing took too long") from error


@asynccontextmanager
async def call_on_exit(bluez: Bluez, path: str, interface: str, member: str, *body: str) -> AsyncGenerator[None]:
    """Call a method on exit, ignoring its errors."""
    try:
        yield
    finally:
        await call_ignoring_errors(bluez, path, interface, member, *body)


async def call_ignoring_errors(bluez: Bluez, path: str, interface: str, member: str, *body: str) -> None:
    """Call a method, ignoring its errors."""
    with suppress(DBusError, TimeoutError, OSError, EOFError):
        async with asyncio.timeout(CLEANUP_TIME):
            await bluez.call(path, interface, member, "o" * len(body), *body)


def deadline_in(seconds: float) -> float:
    """Return the time of the event loop's clock in this many seconds."""
    return asyncio.get_running_loop().time() + seconds


def adapter_name(path: str) -> str:
    """Return the name of the adapter with this object path."""
    return path.rpartition("/")[2]


def adapters_in(objects: Objects) -> list[Adapter]:
    """Return the adapters among BlueZ's objects."""
    return [
        Adapter(
            path=path,
            address=str(interfaces[ADAPTER]["Address"].value),
            powered=bool(interfaces[ADAPTER]["Powered"].value),
        )
        for path, interfaces in objects.items()
        if ADAPTER in interfaces
    ]


def devices_in(objects: Objects, address: str, adapter: str | None = None) -> list[Device]:
    """Return the device as every adapter knows it, or as the one of this name or address does."""
    wanted = {one.path for one in adapters_in(objects) if one.matches(adapter)}
    found = (
        _device(path, interfaces[DEVICE])
        for path, interfaces in objects.items()
        if DEVICE in interfaces and interfaces[DEVICE]["Address"].value == address.upper()
    )
    return [device for device in found if device.adapter in wanted]


def best_device(devices: Iterable[Device], adapters: Collection[str]) -> Device | None:
    """Return the device as one of these adapters knows it: one with a bond, else the one that hears it best."""
    there = [device for device in devices if device.adapter in adapters and device.is_there]
    return max(there, key=lambda device: (device.bonded, device.rssi), default=None)


def _device(path: str, properties: Mapping[str, Variant]) -> Device:
    values = {name: variant.value for name, variant in properties.items()}
    return Device(
        path=path,
        address=values["Address"],
        adapter=values["Adapter"],
        # BlueZ before 5.66 has no Bonded.
        bonded=values.get("Bonded", values["Paired"]),
        connected=values["Connected"],
        resolved=values["ServicesResolved"],
        rssi=values.get("RSSI", _NOT_HEARD),
    )


def _user_id() -> int:
    given = os.environ.get(_UID_VARIABLE, "")
    return int(given) if given.isdecimal() else UID_NOT_SPECIFIED


async def is_bonded(address: str, *, adapter: str | None = None, bus_address: str | None = None) -> bool:
    """Return whether any local adapter, or this one, has a bond with the device. Raises PairingTimedOut."""
    with suppress(NoLocalAdapter):
        async with query_bluez(bus_address) as bluez:
            return any(device.bonded for device in await bluez.devices(address, adapter))
    return False


async def bonded_adapters(address: str, *, bus_address: str | None = None) -> frozenset[str]:
    """Return the addresses of the local adapters that have a bond with the device. Raises PairingTimedOut."""
    bonds = await bonds_of_adapters(address, bus_address=bus_address)
    return frozenset(adapter for adapter, bonded in bonds.items() if bonded)


async def bonds_of_adapters(address: str, *, bus_address: str | None = None) -> Mapping[str, bool]:
    """Return whether each local adapter has a bond with the device, by its address. Raises PairingTimedOut."""
    with suppress(NoLocalAdapter):
        async with query_bluez(bus_address) as bluez:
            objects = await bluez.objects()
            bonded = {device.adapter for device in devices_in(objects, address) if device.bonded}
            return {adapter.address: adapter.path in bonded for adapter in adapters_in(objects)}
    return {}


async def has_bond(address: str, adapter: str, *, bus_address: str | None = None) -> bool | None:
    """Return whether this adapter has a bond with the device; None if BlueZ does not answer."""
    with suppress(NoLocalAdapter, PairingTimedOut):
        async with query_bluez(bus_address) as bluez:
            return any(device.bonded for device in await bluez.devices(address, adapter))
    return None


async def bond_is_refused(address: str, adapter: str, *, bus_address: str | None = None) -> bool | None:
    """Try to connect; return whether the device has lost its bond with this adapter, and so refuses the connection.

    Returns None if that is likely but a weak signal could be the cause too: BlueZ 5.66 does not tell why a connection
    ended. Returns False if the device is away or in use, or if the adapter has no bond.
    """
    try:
        async with open_bluez(bus_address) as bluez, before(deadline_in(ANSWER_TIME + PROBE_TIME)):
            await bluez.follow()
            for device in await bluez.devices(address, adapter):
                return device.bonded and not device.in_use and await _is_bond_refused(bluez, device)
    except VeSmartError as error:
        _LOGGER.debug("%s: cannot tell whether the device refuses the bond of %s: %s", address, adapter, error)
    return False


async def remove_bond(address: str, *, adapter: str | None = None, bus_address: str | None = None) -> None:
    """Remove every bond with the device, or that of this adapter. Raises NotPaired if BlueZ cannot."""
    async with query_bluez(bus_address) as bluez:
        for device in await bluez.devices(address, adapter):
            if device.bonded:
                await forget_device(bluez, device)


async def local_adapters(*, bus_address: str | None = None) -> tuple[str, ...]:
    """Return the names of the local adapters that are on. Raises PairingTimedOut."""
    with suppress(NoLocalAdapter):
        async with query_bluez(bus_address) as bluez:
            adapters = adapters_in(await bluez.objects())
            return tuple(sorted(adapter.name for adapter in adapters if adapter.powered))
    return ()


async def forget_device(bluez: Bluez, device: Device) -> None:
    """Make the adapter forget the device and its bond. Raises DBusError."""
    await bluez.call(device.adapter, ADAPTER, "RemoveDevice", "o", device.path)


async def _is_bond_refused(bluez: Bluez, device: Device) -> bool | None:
    """Return whether the device ends each connection because of the bond; None if BlueZ gives no reason."""
    refusals = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(PROBE_TIME):
            # End an abandoned attempt that may still be under way: its outcome would be mistaken for ours.
            await call_ignoring_errors(bluez, device.path, DEVICE, "Disconnect")
            while refusals < _PROBES:
                watch = ConnectionWatch(bluez, device)
                if await _connects(bluez, device):
                    return False
                if watch.reason is not None:
                    return watch.reason == _KEY_REFUSED
                refusals += watch.changed.is_set()
    return None if refusals else False


async def _connects(bluez: Bluez, device: Device) -> bool:
    """Connect and disconnect; return False if the connection was aborted. Raises DBusError for other failures."""
    async with call_on_exit(bluez, device.path, DEVICE, "Disconnect"):
        try:
            await bluez.call(device.path, DEVICE, "Connect")
        except DBusError as error:
            _LOGGER.debug("%s: cannot connect with the bond: %s", device.path, error.text)
            if (error.type, error.text) != (FAILED, _ABORTED):
                raise
            return False
    return True
