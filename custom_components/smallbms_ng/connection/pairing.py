"""Bond with a device by its PIN, on a Bluetooth adapter of this machine, through BlueZ.

Where an adapter is named, that is by the kernel's name, such as hci0, or by its address. bus_address is that of the
system bus if it is not the usual one.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
import logging
import re
from typing import Final
from weakref import WeakKeyDictionary

from dbus_fast import DBusError, Message, MessageType, Variant

from .bluez import (
    ADAPTER,
    DEVICE,
    Bluez,
    ConnectionWatch,
    Device,
    DeviceNotVisible,
    NoLocalAdapter,
    Objects,
    PairingRefused,
    adapters_in,
    before,
    best_of,
    devices_in,
    finally_call,
    forget_device,
    from_now,
    name_of,
    open_bluez,
    translated,
    try_to_call,
)
from .errors import Lost, NotPaired, NotReachable, VeSmartError, WrongPin

_LOGGER = logging.getLogger(__name__)

PAIRING_TIME: Final = 60.0
SEARCH_TIME: Final = 20.0

_MANAGER_PATH: Final = "/org/bluez"
_AGENT_PATH: Final = "/smallbms_ng/pairing"
_AGENT: Final = "org.bluez.Agent1"
_AGENT_MANAGER: Final = "org.bluez.AgentManager1"

_KEYBOARD_ONLY: Final = "KeyboardOnly"
_REJECTED: Final = "org.bluez.Error.Rejected"
_ALREADY_PAIRED: Final = "org.bluez.Error.AlreadyExists"
_CANCELED: Final = "org.bluez.Error.AuthenticationCanceled"
_FAILED_TO_AUTHENTICATE: Final = "org.bluez.Error.AuthenticationFailed"
_IN_PROGRESS: Final = "org.bluez.Error.InProgress"

# A bond that BlueZ does not keep may have fallen into a change of the default agent.
_ATTEMPTS: Final = 2

_PIN: Final = re.compile(r"[0-9]{6}")

# One pairing at a time: BlueZ would refuse the second one, and the end of it would be that of the first one, too.
_turns: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]()


class InvalidPin(NotPaired):
    """The PIN is not six digits. Nothing was tried."""


class PinNotAsked(NotPaired):
    """There was a pairing without a PIN, which proves nothing. The bond was removed."""


class _PairedElsewhere(PairingRefused):
    """Somebody else pairs with the device just now."""


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

    Without an adapter, the one that hears the device best is taken. Times are in seconds; the search, and the wait for
    the connection, are part of the limit. A bond that there is already stays, and then the PIN proves nothing:
    remove_bond comes before a new one. A connection to the device ends.
    """
    passkey = _passkey(pin)
    deadline = from_now(time_limit)
    async with AsyncExitStack() as stack:
        async with before(deadline):
            await stack.enter_async_context(_turn())
            bluez = await stack.enter_async_context(open_bluez(bus_address))
            await bluez.follow()
            device = await _find(bluez, address, adapter, search_time)
            agent = _Agent(device=device.path, passkey=passkey, bluez=await bluez.owner())
        if not device.bonded:
            await _bond(bluez, device, agent, deadline, search_time)


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


def _turn() -> asyncio.Lock:
    """Return what those who pair take turns at."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def _find(bluez: Bluez, address: str, adapter: str | None, search_time: float) -> Device:
    """Return the device as the best adapter knows it, after a search if none hears it."""
    objects = await bluez.objects()
    usable = _usable(objects, adapter)
    if device := best_of(devices_in(objects, address), usable):
        return device
    with suppress(TimeoutError):
        async with asyncio.timeout(search_time), _discovery(bluez, usable):
            return await _appearance(bluez, address, usable)
    raise _not_visible(address, usable)


def _not_visible(address: str, adapters: Collection[str]) -> DeviceNotVisible:
    names = [name_of(path) for path in adapters]
    return DeviceNotVisible(f"{address} is not heard by {', '.join(names)}", names)


def _usable(objects: Objects, wanted: str | None) -> Collection[str]:
    """Return the paths of the adapters to look at; NoLocalAdapter if there are none."""
    adapters = adapters_in(objects)
    usable = [adapter.path for adapter in adapters if adapter.powered and adapter.is_called(wanted)]
    if usable:
        return usable
    known = ", ".join(adapter.name if adapter.powered else f"{adapter.name} (off)" for adapter in adapters)
    raise NoLocalAdapter(
        f"No Bluetooth adapter {wanted or ''} to pair with; there are: {known or 'none'}",
        [adapter.name for adapter in adapters],
    )


async def _appearance(bluez: Bluez, address: str, adapters: Collection[str]) -> Device:
    """Wait until one of the adapters hears the device."""
    while True:
        bluez.news.clear()
        if device := best_of(await bluez.devices(address), adapters):
            return device
        await bluez.news.wait()


@asynccontextmanager
async def _discovery(bluez: Bluez, adapters: Collection[str]) -> AsyncGenerator[None]:
    """Let the adapters scan."""
    async with AsyncExitStack() as stack:
        for adapter in adapters:
            await stack.enter_async_context(finally_call(bluez, adapter, ADAPTER, "StopDiscovery"))
            await bluez.call(adapter, ADAPTER, "SetDiscoveryFilter", "a{sv}", {"Transport": Variant("s", "le")})
            await bluez.call(adapter, ADAPTER, "StartDiscovery")
        yield


async def _bond(bluez: Bluez, device: Device, agent: _Agent, deadline: float, connect_time: float) -> None:
    """Pair with a device that there is no bond with, and end the connection that this leaves.

    BlueZ asks the agent of the connection that Pair comes from, so ours never asks to be the default one. It becomes
    that for the moment where there is no other; what others want of it is rejected.
    """
    bluez.bus.add_message_handler(agent.answer)
    async with (
        finally_call(bluez, _MANAGER_PATH, _AGENT_MANAGER, "UnregisterAgent", _AGENT_PATH),
        _finally_disconnect(bluez, device),
        before(deadline),
    ):
        await bluez.call(_MANAGER_PATH, _AGENT_MANAGER, "RegisterAgent", "os", _AGENT_PATH, _KEYBOARD_ONLY)
        for _ in range(_ATTEMPTS):
            await _pair(bluez, device, agent, connect_time)
            if await _is_kept(bluez, device):
                return
            await try_to_call(bluez, device.path, DEVICE, "Disconnect")
    raise PairingRefused("BlueZ does not keep the bond")


async def _pair(bluez: Bluez, device: Device, agent: _Agent, connect_time: float) -> None:
    """Pair; a pairing that never asked for the passkey is undone."""
    watch = ConnectionWatch(bluez, device)
    pairing = asyncio.create_task(bluez.call(device.path, DEVICE, "Pair"))
    try:
        if not device.connected:
            await _connection(watch, pairing, device, connect_time)
        await pairing
    except DBusError as error:
        if error.type != _ALREADY_PAIRED:
            raise _pairing_error(error, agent) from error
        return
    finally:
        pairing.cancel()
    if not agent.answered:
        await forget_device(bluez, device)
        raise PinNotAsked("There was a pairing, but nobody asked for the PIN")


async def _connection(
    watch: ConnectionWatch, pairing: asyncio.Task[Message], device: Device, connect_time: float
) -> None:
    """Wait until a connection stands, or the pairing has ended. BlueZ waits for ever for a device that is gone."""
    flip = asyncio.create_task(watch.flipped.wait())
    try:
        done, _ = await asyncio.wait({flip, pairing}, timeout=connect_time, return_when=asyncio.FIRST_COMPLETED)
    finally:
        flip.cancel()
    if not done:
        raise _not_visible(device.address, [device.adapter])


async def _is_kept(bluez: Bluez, device: Device) -> bool:
    """Return whether the bond will be there when the connection has ended."""
    return any(one.bonded for one in await bluez.devices(device.address) if one.path == device.path)


@asynccontextmanager
async def _finally_disconnect(bluez: Bluez, device: Device) -> AsyncGenerator[None]:
    """End the connection in all cases but one: that it is of somebody else's pairing."""
    ours = True
    try:
        yield
    except _PairedElsewhere:
        ours = False
        raise
    finally:
        if ours:
            await try_to_call(bluez, device.path, DEVICE, "Disconnect")


def _pairing_error(error: DBusError, agent: _Agent) -> VeSmartError:
    """Return what it means that Pair failed, which depends on whether the passkey was asked for."""
    if error.type == _IN_PROGRESS:
        return _PairedElsewhere("Somebody else pairs with the device just now")
    if error.type == _CANCELED:
        return (Lost if agent.answered else NotReachable)("The connection ended while pairing")
    if error.type == _FAILED_TO_AUTHENTICATE and agent.answered:
        return WrongPin("The device refused the PIN")
    return translated(error)


def _passkey(pin: str) -> int:
    """Return the number that BlueZ wants for a PIN: 000000 is 0."""
    if not _PIN.fullmatch(pin):
        raise InvalidPin("A PIN has six digits")
    return int(pin)
