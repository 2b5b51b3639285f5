"""Pairs a local Bluetooth adapter with a device by its PIN, through BlueZ.

adapter: its name, such as hci0, or its address. bus_address: the address of the system bus; None: the usual one.
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
    adapter_name,
    adapters_in,
    before,
    best_device,
    call_ignoring_errors,
    call_on_exit,
    deadline_in,
    devices_in,
    forget_device,
    open_bluez,
    translated,
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

# BlueZ may lose a bond that is made while the default agent changes.
_ATTEMPTS: Final = 2

_PIN: Final = re.compile(r"[0-9]{6}")

# One pairing at a time, by event loop: BlueZ would refuse the second one, whose end would end the first one too.
_pairing_locks: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]()


class InvalidPin(NotPaired):
    """The PIN does not have six digits. Nothing was sent."""


class PinNotAsked(NotPaired):
    """The device paired without asking for the PIN, which proves nothing. The bond was removed."""


class _PairedElsewhere(PairingRefused):
    """Another program is pairing with the device."""


async def pair(
    address: str,
    pin: str,
    *,
    adapter: str | None = None,
    bus_address: str | None = None,
    time_limit: float = PAIRING_TIME,
    search_time: float = SEARCH_TIME,
) -> None:
    """Pair with the device at this address. Raises NotPaired or NotReachable if there is no bond afterwards.

    adapter: None uses the one that hears the device best. time_limit: in seconds, including the search (search_time)
    and the wait for the connection. An existing bond is kept, and the PIN is not checked then: call remove_bond first
    to check it. Ends any connection to the device.
    """
    passkey = _passkey(pin)
    deadline = deadline_in(time_limit)
    async with AsyncExitStack() as stack:
        async with before(deadline):
            await stack.enter_async_context(_pairing_lock())
            bluez = await stack.enter_async_context(open_bluez(bus_address))
            await bluez.follow()
            device = await _find_device(bluez, address, adapter, search_time)
            agent = _Agent(device=device.path, passkey=passkey, bluez=await bluez.owner())
        if not device.bonded:
            await _bond(bluez, device, agent, deadline, search_time)


@dataclass(kw_only=True)
class _Agent:
    """Gives BlueZ the passkey for one device. Rejects every other request."""

    device: str
    passkey: int = field(repr=False)
    bluez: str
    answered: bool = False

    def answer(self, message: Message) -> Message | None:
        """Return the reply to a call of the agent; None for other messages."""
        if message.message_type is not MessageType.METHOD_CALL or message.interface != _AGENT:
            return None
        if message.sender != self.bluez:
            return Message.new_error(message, _REJECTED, "Only BlueZ may ask")
        if message.member == "RequestPasskey" and message.body == [self.device]:
            self.answered = True
            return Message.new_method_return(message, "u", [self.passkey])
        if message.member in {"Cancel", "Release"}:
            return Message.new_method_return(message)
        return Message.new_error(message, _REJECTED, "This agent gives one passkey for one device")


def _pairing_lock() -> asyncio.Lock:
    """Return the lock of the running event loop."""
    return _pairing_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def _find_device(bluez: Bluez, address: str, adapter: str | None, search_time: float) -> Device:
    """Return the device as the best adapter knows it, searching if none hears it. Raises DeviceNotVisible."""
    objects = await bluez.objects()
    usable = _usable(objects, adapter)
    if device := best_device(devices_in(objects, address), usable):
        return device
    with suppress(TimeoutError):
        async with asyncio.timeout(search_time), _discovery(bluez, usable):
            return await _wait_until_heard(bluez, address, usable)
    raise _not_visible(address, usable)


def _not_visible(address: str, adapters: Collection[str]) -> DeviceNotVisible:
    names = [adapter_name(path) for path in adapters]
    return DeviceNotVisible(f"{address} is not heard by {', '.join(names)}", names)


def _usable(objects: Objects, wanted: str | None) -> Collection[str]:
    """Return the paths of the adapters that are on and wanted. Raises NoLocalAdapter if there are none."""
    adapters = adapters_in(objects)
    usable = [adapter.path for adapter in adapters if adapter.powered and adapter.matches(wanted)]
    if usable:
        return usable
    known = ", ".join(adapter.name if adapter.powered else f"{adapter.name} (off)" for adapter in adapters)
    raise NoLocalAdapter(
        f"No Bluetooth adapter {wanted or ''} to pair with; there are: {known or 'none'}",
        [adapter.name for adapter in adapters],
    )


async def _wait_until_heard(bluez: Bluez, address: str, adapters: Collection[str]) -> Device:
    """Return the device as soon as one of the adapters hears it."""
    while True:
        bluez.changed.clear()
        if device := best_device(await bluez.devices(address), adapters):
            return device
        await bluez.changed.wait()


@asynccontextmanager
async def _discovery(bluez: Bluez, adapters: Collection[str]) -> AsyncGenerator[None]:
    """Make the adapters scan."""
    async with AsyncExitStack() as stack:
        for adapter in adapters:
            await stack.enter_async_context(call_on_exit(bluez, adapter, ADAPTER, "StopDiscovery"))
            await bluez.call(adapter, ADAPTER, "SetDiscoveryFilter", "a{sv}", {"Transport": Variant("s", "le")})
            await bluez.call(adapter, ADAPTER, "StartDiscovery")
        yield


async def _bond(bluez: Bluez, device: Device, agent: _Agent, deadline: float, connect_time: float) -> None:
    """Pair with a device without a bond, and end the connection that this leaves. Raises VeSmartError.

    BlueZ asks the agent of the caller of Pair, so this agent does not request to be the default agent. If there is no
    other, BlueZ makes it the default for the moment; it rejects the requests of other programs.
    """
    bluez.bus.add_message_handler(agent.answer)
    async with (
        call_on_exit(bluez, _MANAGER_PATH, _AGENT_MANAGER, "UnregisterAgent", _AGENT_PATH),
        _finally_disconnect(bluez, device),
        before(deadline),
    ):
        await bluez.call(_MANAGER_PATH, _AGENT_MANAGER, "RegisterAgent", "os", _AGENT_PATH, _KEYBOARD_ONLY)
        for _ in range(_ATTEMPTS):
            await _pair(bluez, device, agent, connect_time)
            if await _has_bond(bluez, device):
                return
            await call_ignoring_errors(bluez, device.path, DEVICE, "Disconnect")
    raise PairingRefused("BlueZ did not store the bond")


async def _pair(bluez: Bluez, device: Device, agent: _Agent, connect_time: float) -> None:
    """Pair; undo a pairing that did not ask for the passkey. Raises VeSmartError."""
    watch = ConnectionWatch(bluez, device)
    pairing = asyncio.create_task(bluez.call(device.path, DEVICE, "Pair"))
    try:
        if not device.connected:
            await _wait_for_connection(watch, pairing, device, connect_time)
        await pairing
    except DBusError as error:
        if error.type != _ALREADY_PAIRED:
            raise _pairing_error(error, agent) from error
        return
    finally:
        pairing.cancel()
    if not agent.answered:
        await forget_device(bluez, device)
        raise PinNotAsked("The device paired without asking for the PIN")


async def _wait_for_connection(
    watch: ConnectionWatch, pairing: asyncio.Task[Message], device: Device, connect_time: float
) -> None:
    """Wait until the device is connected or the pairing has ended. Raises DeviceNotVisible after connect_time.

    BlueZ itself would wait forever for a device that is gone.
    """
    change = asyncio.create_task(watch.changed.wait())
    try:
        done, _ = await asyncio.wait({change, pairing}, timeout=connect_time, return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
    if not done:
        raise _not_visible(device.address, [device.adapter])


async def _has_bond(bluez: Bluez, device: Device) -> bool:
    """Return whether BlueZ has stored a bond, which outlasts the connection."""
    return any(one.bonded for one in await bluez.devices(device.address) if one.path == device.path)


@asynccontextmanager
async def _finally_disconnect(bluez: Bluez, device: Device) -> AsyncGenerator[None]:
    """End the connection on exit, unless another program is pairing over it."""
    ours = True
    try:
        yield
    except _PairedElsewhere:
        ours = False
        raise
    finally:
        if ours:
            await call_ignoring_errors(bluez, device.path, DEVICE, "Disconnect")


def _pairing_error(error: DBusError, agent: _Agent) -> VeSmartError:
    """Return the error for a failed Pair: it depends on whether BlueZ asked for the passkey."""
    if error.type == _IN_PROGRESS:
        return _PairedElsewhere("Another program is pairing with the device")
    if error.type == _CANCELED:
        return (Lost if agent.answered else NotReachable)("The connection ended while pairing")
    if error.type == _FAILED_TO_AUTHENTICATE and agent.answered:
        return WrongPin("The device refused the PIN")
    return translated(error)


def _passkey(pin: str) -> int:
    """Return the number that BlueZ expects for a PIN: 0 for 000000. Raises InvalidPin."""
    if not _PIN.fullmatch(pin):
        raise InvalidPin("A PIN has six digits")
    return int(pin)
