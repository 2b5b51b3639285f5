"""Bond with a device by its PIN, on a Bluetooth adapter of this machine, through BlueZ."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
import os
import re
from typing import Final

from dbus_fast import BusType, DBusError, DBusFastError, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.auth import UID_NOT_SPECIFIED, AuthExternal

from .errors import NotPaired, NotReachable, VeSmartError, WrongPin

PAIRING_TIME: Final = 60.0
SEARCH_TIME: Final = 20.0
ANSWER_TIME: Final = 10.0
# bluetoothd takes two seconds for the end of a connection.
CLEANUP_TIME: Final = 5.0

# What bleak goes by too: in a container without root, the user id on the host.
_UID_VARIABLE: Final = "BLEAK_DBUS_AUTH_UID"

_BLUEZ: Final = "org.bluez"
_MANAGER_PATH: Final = "/org/bluez"
_AGENT_PATH: Final = "/smallbms_ng/pairing"

_ADAPTER: Final = "org.bluez.Adapter1"
_AGENT: Final = "org.bluez.Agent1"
_AGENT_MANAGER: Final = "org.bluez.AgentManager1"
_DEVICE: Final = "org.bluez.Device1"
_OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"

_KEYBOARD_ONLY: Final = "KeyboardOnly"
_REJECTED: Final = "org.bluez.Error.Rejected"
_AUTHENTICATION_FAILED: Final = "org.bluez.Error.AuthenticationFailed"
# Weaker than any signal: a device that BlueZ knows but does not hear.
_NOT_HEARD: Final = -1000

_PIN: Final = re.compile(r"[0-9]{6}")

type _Objects = Mapping[str, Mapping[str, Mapping[str, Variant]]]


class InvalidPin(NotPaired):
    """The PIN is not six digits. Nothing was tried."""


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
    "org.bluez.Error.Failed": NotReachable,
    "org.bluez.Error.NotReady": NoLocalAdapter,
    "org.freedesktop.DBus.Error.NameHasNoOwner": NoLocalAdapter,
    "org.freedesktop.DBus.Error.NoReply": NoLocalAdapter,
    "org.freedesktop.DBus.Error.ServiceUnknown": NoLocalAdapter,
    "org.freedesktop.DBus.Error.UnknownMethod": DeviceNotVisible,
    "org.freedesktop.DBus.Error.UnknownObject": DeviceNotVisible,
}


async def pair(
    address: str,
    pin: str,
    *,
    adapter: str | None = None,
    bus_address: str | None = None,
    time_limit: float = PAIRING_TIME,
    search_time: float = SEARCH_TIME,
) -> None:
    """Bond with the device at this address; raises NotPaired or NotReachable if there is no bond afterwards.

    adapter is a name such as hci0; without one, the adapter that hears the device best is taken. bus_address is that
    of the system bus if it is not the usual one. Times are in seconds; the search is part of the limit. A bond that
    there is already stays, and then the PIN proves nothing: remove_bond comes before a new one. A connection to the
    device ends.
    """
    passkey = _passkey(pin)
    deadline = _from_now(time_limit)
    async with _open_bluez(bus_address) as bluez:
        async with _before(deadline):
            device = await _find(bluez, address, adapter, search_time)
            agent = _Agent(device=device.path, passkey=passkey, bluez=await bluez.owner())
        if not device.bonded:
            await _bond(bluez, device, agent, deadline)


async def is_bonded(address: str, *, adapter: str | None = None, bus_address: str | None = None) -> bool:
    """Return whether an adapter of this machine, or the one of this name, has a bond with the device.

    Raises PairingTimedOut if BlueZ does not answer.
    """
    with suppress(NoLocalAdapter):
        async with _ask_bluez(bus_address) as bluez:
            return any(device.bonded for device in _devices(await bluez.objects(), address, adapter))
    return False


async def bonds_of_adapters(address: str, *, bus_address: str | None = None) -> Mapping[str, bool]:
    """Return, by the address of each adapter of this machine, whether it has a bond with the device.

    Raises PairingTimedOut if BlueZ does not answer.
    """
    with suppress(NoLocalAdapter):
        async with _ask_bluez(bus_address) as bluez:
            objects = await bluez.objects()
            bonded = {device.adapter for device in _devices(objects, address) if device.bonded}
            adapters = {one.path: str(objects[one.path][_ADAPTER]["Address"].value) for one in _adapters(objects)}
            return {adapter: path in bonded for path, adapter in adapters.items()}
    return {}


async def remove_bond(address: str, *, adapter: str | None = None, bus_address: str | None = None) -> None:
    """Forget every bond with the device, or that of the adapter of this name; raises NotPaired if it stays."""
    async with _ask_bluez(bus_address) as bluez:
        for device in _devices(await bluez.objects(), address, adapter):
            if device.bonded:
                await bluez.call(device.adapter, _ADAPTER, "RemoveDevice", "o", device.path)


async def local_adapters(*, bus_address: str | None = None) -> tuple[str, ...]:
    """Return the names of the adapters of this machine that are on; PairingTimedOut if BlueZ does not answer."""
    with suppress(NoLocalAdapter):
        async with _ask_bluez(bus_address) as bluez:
            adapters = _adapters(await bluez.objects())
            return tuple(sorted(adapter.name for adapter in adapters if adapter.powered))
    return ()


@dataclass(frozen=True, kw_only=True)
class _Adapter:
    """An adapter as BlueZ describes it."""

    path: str
    powered: bool

    @property
    def name(self) -> str:
        return _name(self.path)


@dataclass(frozen=True, kw_only=True)
class _Device:
    """A device as one adapter knows it; rssi in dBm."""

    path: str
    adapter: str
    bonded: bool
    connected: bool
    rssi: int


@dataclass(kw_only=True)
class _Agent:
    """Enters the passkey for one device, when BlueZ asks for it. Everything else is rejected."""

    device: str
    passkey: int = field(repr=False)
    bluez: str
    answered: bool = False

    def answer(self, message: Message) -> Message | None:
        """Return the reply to a call of the agent; None for messages that are not for it."""
        if message.message_type is not MessageType.METHOD_CALL or message.interface != _AGENT:
            return None
        if message.sender != self.bluez:
            return Message.new_error(message, _REJECTED, "Only BlueZ may ask")
        if message.member == "RequestPasskey" and message.body == [self.device]:
            self.answered = True
            return Message.new_method_return(message, "u", [self.passkey])
        if message.member in {"Cancel", "Release"}:
            return Message.new_method_return(message)
        return Message.new_error(message, _REJECTED, "This agent enters one passkey for one device")


class _Bluez:
    """BlueZ at the other end of a bus."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.added = asyncio.Event()
        bus.add_message_handler(self._notice)

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> Message:
        """Call a method and return the reply; DBusError if that is an error."""
        return await self._call(_BLUEZ, path, interface, member, signature, *body)

    async def call_bus(self, member: str, argument: str) -> Message:
        """Call a method of the bus itself."""
        return await self._call(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", member, "s", argument
        )

    async def objects(self) -> _Objects:
        """Return all objects with their interfaces and properties."""
        objects: _Objects = (await self.call("/", _OBJECT_MANAGER, "GetManagedObjects")).body[0]
        return objects

    async def owner(self) -> str:
        """Return the unique name of BlueZ on the bus."""
        return str((await self.call_bus("GetNameOwner", _BLUEZ)).body[0])

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
        if message.member == "InterfacesAdded":
            self.added.set()


@asynccontextmanager
async def _open_bluez(bus_address: str | None) -> AsyncGenerator[_Bluez]:
    """Give BlueZ over a connection of our own; what it and the bus complain of is raised as a VeSmartError."""
    try:
        bus = await MessageBus(bus_address, BusType.SYSTEM, AuthExternal(_user_id())).connect()
    except (OSError, DBusFastError) as error:
        raise NoLocalAdapter("There is no system bus, so there is no BlueZ") from error
    try:
        yield _Bluez(bus)
    except DBusError as error:
        raise _translated(error) from error
    except (OSError, EOFError) as error:
        raise NoLocalAdapter("The system bus went away") from error
    finally:
        # With the connection, bluetoothd drops what is left of it: agent, discovery and pairing.
        if bus.connected:
            bus.disconnect()
        with suppress(OSError, EOFError):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast does not annotate it


@asynccontextmanager
async def _ask_bluez(bus_address: str | None) -> AsyncGenerator[_Bluez]:
    """Give BlueZ for a question that needs no device."""
    async with _open_bluez(bus_address) as bluez, _before(_from_now(ANSWER_TIME)):
        yield bluez


@asynccontextmanager
async def _before(deadline: float) -> AsyncGenerator[None]:
    """Give up at this time of the event loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise PairingTimedOut("Pairing took too long") from error


@asynccontextmanager
async def _finally_call(bluez: _Bluez, path: str, interface: str, member: str, *body: str) -> AsyncGenerator[None]:
    """Call a method at the end in all cases, however that ends."""
    try:
        yield
    finally:
        with suppress(DBusError, TimeoutError, OSError, EOFError):
            async with asyncio.timeout(CLEANUP_TIME):
                await bluez.call(path, interface, member, "o" * len(body), *body)


async def _find(bluez: _Bluez, address: str, adapter: str | None, search_time: float) -> _Device:
    """Return the device as the best adapter knows it, after a search if none does yet."""
    objects = await bluez.objects()
    usable = _usable(objects, adapter)
    if device := _best(objects, address, usable):
        return device
    with suppress(TimeoutError):
        async with asyncio.timeout(search_time), _discovery(bluez, usable):
            return await _appearance(bluez, address, usable)
    names = [_name(path) for path in usable]
    raise DeviceNotVisible(f"{address} is not heard by {', '.join(names)}", names)


def _usable(objects: _Objects, wanted: str | None) -> Collection[str]:
    """Return the paths of the adapters to look at; NoLocalAdapter if there are none."""
    adapters = _adapters(objects)
    usable = [adapter.path for adapter in adapters if adapter.powered and wanted in {None, adapter.name}]
    if usable:
        return usable
    known = ", ".join(adapter.name if adapter.powered else f"{adapter.name} (off)" for adapter in adapters)
    raise NoLocalAdapter(
        f"No Bluetooth adapter {wanted or ''} to pair with; there are: {known or 'none'}",
        [adapter.name for adapter in adapters],
    )


async def _appearance(bluez: _Bluez, address: str, adapters: Collection[str]) -> _Device:
    """Wait until one of the adapters knows the device."""
    while True:
        bluez.added.clear()
        if device := _best(await bluez.objects(), address, adapters):
            return device
        await bluez.added.wait()


@asynccontextmanager
async def _discovery(bluez: _Bluez, adapters: Collection[str]) -> AsyncGenerator[None]:
    """Let the adapters scan."""
    await bluez.call_bus("AddMatch", f"sender='{_BLUEZ}',interface='{_OBJECT_MANAGER}',member='InterfacesAdded'")
    async with AsyncExitStack() as stack:
        for adapter in adapters:
            await stack.enter_async_context(_finally_call(bluez, adapter, _ADAPTER, "StopDiscovery"))
            await bluez.call(adapter, _ADAPTER, "SetDiscoveryFilter", "a{sv}", {"Transport": Variant("s", "le")})
            await bluez.call(adapter, _ADAPTER, "StartDiscovery")
        yield


async def _bond(bluez: _Bluez, device: _Device, agent: _Agent, deadline: float) -> None:
    """Pair with a device that there is no bond with, and end the connection that this leaves.

    BlueZ asks the agent of the connection that Pair comes from, so ours never needs to be the default one: other
    programs' pairings go on as if we were not there.
    """
    bluez.bus.add_message_handler(agent.answer)
    async with (
        _finally_call(bluez, _MANAGER_PATH, _AGENT_MANAGER, "UnregisterAgent", _AGENT_PATH),
        _finally_call(bluez, device.path, _DEVICE, "Disconnect"),
        _before(deadline),
    ):
        if device.connected:
            # Over a connection that stands already, BlueZ would pair without asking anybody.
            await bluez.call(device.path, _DEVICE, "Disconnect")
        await bluez.call(_MANAGER_PATH, _AGENT_MANAGER, "RegisterAgent", "os", _AGENT_PATH, _KEYBOARD_ONLY)
        try:
            await bluez.call(device.path, _DEVICE, "Pair")
        except DBusError as error:
            raise _pairing_error(error, agent) from error


def _pairing_error(error: DBusError, agent: _Agent) -> VeSmartError:
    if error.type == _AUTHENTICATION_FAILED and agent.answered:
        return WrongPin("The device refused the PIN")
    return _translated(error)


def _translated(error: DBusError) -> VeSmartError:
    return _MEANINGS.get(error.type, PairingRefused)(f"{error.type}: {error.text}")


def _passkey(pin: str) -> int:
    """Return the number that BlueZ wants for a PIN: 000000 is 0."""
    if not _PIN.fullmatch(pin):
        raise InvalidPin("A PIN has six digits")
    return int(pin)


def _user_id() -> int:
    given = os.environ.get(_UID_VARIABLE, "")
    return int(given) if given.isdecimal() else UID_NOT_SPECIFIED


def _from_now(seconds: float) -> float:
    """Return a time of the event loop's clock."""
    return asyncio.get_running_loop().time() + seconds


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _adapters(objects: _Objects) -> list[_Adapter]:
    return [
        _Adapter(path=path, powered=bool(interfaces[_ADAPTER]["Powered"].value))
        for path, interfaces in objects.items()
        if _ADAPTER in interfaces
    ]


def _devices(objects: _Objects, address: str, adapter: str | None = None) -> list[_Device]:
    """Return the device as each adapter knows it, or the adapter of this name."""
    found = [
        _device(path, interfaces[_DEVICE])
        for path, interfaces in objects.items()
        if _DEVICE in interfaces and interfaces[_DEVICE]["Address"].value == address.upper()
    ]
    return [device for device in found if adapter in {None, _name(device.adapter)}]


def _device(path: str, properties: Mapping[str, Variant]) -> _Device:
    values = {name: variant.value for name, variant in properties.items()}
    return _Device(
        path=path,
        adapter=values["Adapter"],
        # BlueZ before 5.66 has no Bonded.
        bonded=values.get("Bonded", values["Paired"]),
        connected=values["Connected"],
        rssi=values.get("RSSI", _NOT_HEARD),
    )


def _best(objects: _Objects, address: str, adapters: Collection[str]) -> _Device | None:
    """Return the device as the adapter knows it that has a bond, or else hears it best."""
    known = [device for device in _devices(objects, address) if device.adapter in adapters]
    return max(known, key=lambda device: (device.bonded, device.rssi), default=None)
