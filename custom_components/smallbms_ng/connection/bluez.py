"""BlueZ over D-Bus: the adapters of this machine, what they know of a device, and its errors as our own."""

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

# A device that is near is connected to within a second, or a few while somebody scans.
PROBE_TIME: Final = 10.0

# How a connection fails that ends before it is of use, or does not come up.
_ABORTED: Final = "le-connection-abort-by-local"

_KEY_REFUSED: Final = "org.bluez.Reason.Authentication"

# Where BlueZ does not tell why a connection ended, so often in a row makes it likely that it is for the bond.
_PROBES: Final = 2


ANSWER_TIME: Final = 10.0
# bluetoothd takes two seconds for the end of a connection.
CLEANUP_TIME: Final = 5.0

ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"

FAILED: Final = "org.bluez.Error.Failed"

# What bleak goes by too: in a container without root, the user id on the host.
_UID_VARIABLE: Final = "BLEAK_DBUS_AUTH_UID"

_BLUEZ: Final = "org.bluez"
_BUS: Final = "org.freedesktop.DBus"
_OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
_CHANGED: Final = "PropertiesChanged"
_ADDED: Final = "InterfacesAdded"
# Weaker than any signal: a device that BlueZ knows but does not hear.
_NOT_HEARD: Final = -1000

type Objects = Mapping[str, Mapping[str, Mapping[str, Variant]]]
type Signal = Callable[[Message], None]


class NoLocalAdapter(NotPaired):
    """No such adapter, or it is off, or BlueZ does not run. adapters names those that there are, on or off."""

    def __init__(self, message: str, adapters: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.adapters = tuple(adapters)


class DeviceNotVisible(NotReachable):
    """No adapter of this machine hears the device; a proxy may. adapters names those that listened."""

    def __init__(self, message: str, adapters: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.adapters = tuple(adapters)


class PairingRefused(NotPaired):
    """The device, BlueZ or somebody else ended the pairing before it was clear whether the PIN is right."""


class PairingTimedOut(NotPaired):
    """There was no result in time."""


# What BlueZ and the bus say, and what it means. Anything else: refused.
_MEANINGS: Final[Mapping[str, type[VeSmartError]]] = {
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
    """Return what an error of BlueZ or the bus means."""
    return _MEANINGS.get(error.type, PairingRefused)(f"{error.type}: {error.text}")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter as BlueZ describes it."""

    path: str
    address: str
    powered: bool

    @property
    def name(self) -> str:
        """The kernel's name, such as hci0."""
        return name_of(self.path)

    def is_called(self, wanted: str | None) -> bool:
        """Return whether this is its name or its address. None is any adapter."""
        return wanted in {None, self.name, self.address}


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device as one adapter knows it; rssi in dBm."""

    path: str
    address: str
    adapter: str
    bonded: bool
    connected: bool
    resolved: bool
    rssi: int

    @property
    def in_use(self) -> bool:
        """Whether there is a connection that somebody can use, and not only an attempt at one."""
        return self.connected and self.resolved

    @property
    def is_there(self) -> bool:
        """Whether it was heard lately, or need not be heard first. BlueZ waits for ever for one that is gone."""
        return self.bonded or self.connected or self.rssi > _NOT_HEARD


class Bluez:
    """BlueZ at the other end of a bus."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        # Set when an object or a property is new.
        self.news = asyncio.Event()
        self._listeners: list[Signal] = []
        bus.add_message_handler(self._notice)

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> Message:
        """Call a method and return the reply; DBusError if that is an error."""
        return await self._call(_BLUEZ, path, interface, member, signature, *body)

    async def objects(self) -> Objects:
        """Return all objects with their interfaces and properties."""
        objects: Objects = (await self.call("/", _OBJECT_MANAGER, "GetManagedObjects")).body[0]
        return objects

    async def devices(self, address: str, adapter: str | None = None) -> list[Device]:
        """Return the device as each adapter knows it, or the adapter of this name or address."""
        return devices_in(await self.objects(), address, adapter)

    async def owner(self) -> str:
        """Return the unique name of BlueZ on the bus."""
        return str((await self._call_bus("GetNameOwner", _BLUEZ)).body[0])

    async def follow(self) -> None:
        """Ask to be told what is new."""
        for rule in (f"interface='{_OBJECT_MANAGER}',member='{_ADDED}'", f"arg0='{DEVICE}'", f"interface='{DEVICE}'"):
            await self._call_bus("AddMatch", f"type='signal',sender='{_BLUEZ}',{rule}")

    def listen(self, listener: Signal) -> None:
        """Pass on each signal that is told of."""
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
            # Where BlueZ does not run, it is not for us to start it.
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
            self.news.set()


class ConnectionWatch:
    """What BlueZ tells of the connection to one device, from now on.

    flipped is set once there is a connection, or the end of one. reason is why the last one ended; None where BlueZ
    does not tell: 5.66 never does, 5.87 does.
    """

    def __init__(self, bluez: Bluez, device: Device) -> None:
        self.flipped = asyncio.Event()
        self.reason: str | None = None
        self._path = device.path
        bluez.listen(self._notice)

    def _notice(self, message: Message) -> None:
        if message.path != self._path:
            return
        if message.member == "Disconnected":
            self.reason = str(message.body[0])
        elif message.member == _CHANGED and "Connected" in message.body[1]:
            self.flipped.set()


@asynccontextmanager
async def open_bluez(bus_address: str | None) -> AsyncGenerator[Bluez]:
    """Give BlueZ over a connection of our own; what it and the bus complain of is raised as a VeSmartError."""
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
        # With the connection, bluetoothd drops what is left of it: agent, discovery and pairing.
        if bus.connected:
            bus.disconnect()
        with suppress(OSError, EOFError):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast does not annotate it


@asynccontextmanager
async def ask_bluez(bus_address: str | None) -> AsyncGenerator[Bluez]:
    """Give BlueZ for a question that needs no device."""
    async with open_bluez(bus_address) as bluez, before(from_now(ANSWER_TIME)):
        yield bluez


@asynccontextmanager
async def before(deadline: float) -> AsyncGenerator[None]:
    """Give up at this time of the event loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise PairingTimedOut("Pairing took too long") from error


@asynccontextmanager
async def finally_call(bluez: Bluez, path: str, interface: str, member: str, *body: str) -> AsyncGenerator[None]:
    """Call a method at the end in all cases, however that ends."""
    try:
        yield
    finally:
        await try_to_call(bluez, path, interface, member, *body)


async def try_to_call(bluez: Bluez, path: str, interface: str, member: str, *body: str) -> None:
    """Call a method, however that ends."""
    with suppress(DBusError, TimeoutError, OSError, EOFError):
        async with asyncio.timeout(CLEANUP_TIME):
            await bluez.call(path, interface, member, "o" * len(body), *body)


def from_now(seconds: float) -> float:
    """Return a time of the event loop's clock."""
    return asyncio.get_running_loop().time() + seconds


def name_of(path: str) -> str:
    """Return the last part of a path, which is the name of an adapter."""
    return path.rpartition("/")[2]


def adapters_in(objects: Objects) -> list[Adapter]:
    """Return the adapters among the objects."""
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
    """Return the device as each adapter knows it, or the adapter of this name or address."""
    wanted = {one.path for one in adapters_in(objects) if one.is_called(adapter)}
    found = (
        _device(path, interfaces[DEVICE])
        for path, interfaces in objects.items()
        if DEVICE in interfaces and interfaces[DEVICE]["Address"].value == address.upper()
    )
    return [device for device in found if device.adapter in wanted]


def best_of(devices: Iterable[Device], adapters: Collection[str]) -> Device | None:
    """Return the device as that of these adapters knows it which has a bond, or else hears it best."""
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
    """Return whether an adapter of this machine, or this one, has a bond with the device.

    Raises PairingTimedOut if BlueZ does not answer.
    """
    with suppress(NoLocalAdapter):
        async with ask_bluez(bus_address) as bluez:
            return any(device.bonded for device in await bluez.devices(address, adapter))
    return False


async def bonded_adapters(address: str, *, bus_address: str | None = None) -> frozenset[str]:
    """Return the addresses of the adapters of this machine that have a bond with the device.

    Raises PairingTimedOut if BlueZ does not answer.
    """
    bonds = await bonds_of_adapters(address, bus_address=bus_address)
    return frozenset(adapter for adapter, bonded in bonds.items() if bonded)


async def bonds_of_adapters(address: str, *, bus_address: str | None = None) -> Mapping[str, bool]:
    """Return, by the address of each adapter of this machine, whether it has a bond with the device.

    Raises PairingTimedOut if BlueZ does not answer.
    """
    with suppress(NoLocalAdapter):
        async with ask_bluez(bus_address) as bluez:
            objects = await bluez.objects()
            bonded = {device.adapter for device in devices_in(objects, address) if device.bonded}
            return {adapter.address: adapter.path in bonded for adapter in adapters_in(objects)}
    return {}


async def has_bond(address: str, adapter: str, *, bus_address: str | None = None) -> bool | None:
    """Return whether this adapter has a bond with the device; None where BlueZ does not tell."""
    with suppress(NoLocalAdapter, PairingTimedOut):
        async with ask_bluez(bus_address) as bluez:
            return any(device.bonded for device in await bluez.devices(address, adapter))
    return None


async def bond_is_refused(address: str, adapter: str, *, bus_address: str | None = None) -> bool | None:
    """Return whether the device refuses a connection by the bond of this adapter: it does not know it any more.

    True is sure. None looks like it, but a weak signal may, too: older BlueZ, such as 5.66, does not tell why a
    connection ended. A device that is not there, a connection that stands, and an adapter without a bond: False.
    """
    try:
        async with open_bluez(bus_address) as bluez, before(from_now(ANSWER_TIME + PROBE_TIME)):
            await bluez.follow()
            for device in await bluez.devices(address, adapter):
                return device.bonded and not device.in_use and await _is_turned_away(bluez, device)
    except VeSmartError as error:
        _LOGGER.debug("%s: whether the bond of %s is refused is not known: %s", address, adapter, error)
    return False


async def remove_bond(address: str, *, adapter: str | None = None, bus_address: str | None = None) -> None:
    """Forget every bond with the device, or that of this adapter; raises NotPaired if it stays."""
    async with ask_bluez(bus_address) as bluez:
        for device in await bluez.devices(address, adapter):
            if device.bonded:
                await forget_device(bluez, device)


async def local_adapters(*, bus_address: str | None = None) -> tuple[str, ...]:
    """Return the names of the adapters of this machine that are on; PairingTimedOut if BlueZ does not answer."""
    with suppress(NoLocalAdapter):
        async with ask_bluez(bus_address) as bluez:
            adapters = adapters_in(await bluez.objects())
            return tuple(sorted(adapter.name for adapter in adapters if adapter.powered))
    return ()


async def forget_device(bluez: Bluez, device: Device) -> None:
    """Have the adapter forget the device, and the bond with it."""
    await bluez.call(device.adapter, ADAPTER, "RemoveDevice", "o", device.path)


async def _is_turned_away(bluez: Bluez, device: Device) -> bool | None:
    """Return whether the device ends each connection at once, for the bond; None if BlueZ does not tell why."""
    turned_away = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(PROBE_TIME):
            # An attempt that nobody waits for any more may still be under way, and would be taken for ours.
            await try_to_call(bluez, device.path, DEVICE, "Disconnect")
            while turned_away < _PROBES:
                watch = ConnectionWatch(bluez, device)
                if await _comes_to_stand(bluez, device):
                    return False
                if watch.reason is not None:
                    return watch.reason == _KEY_REFUSED
                turned_away += watch.flipped.is_set()
    return None if turned_away else False


async def _comes_to_stand(bluez: Bluez, device: Device) -> bool:
    """Connect; return False if the connection was given up, whoever did so. Raises DBusError for all else."""
    async with finally_call(bluez, device.path, DEVICE, "Disconnect"):
        try:
            await bluez.call(device.path, DEVICE, "Connect")
        except DBusError as error:
            _LOGGER.debug("%s: a connection by the bond failed: %s", device.path, error.text)
            if (error.type, error.text) != (FAILED, _ABORTED):
                raise
            return False
    return True
