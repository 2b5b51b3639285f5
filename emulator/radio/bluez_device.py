"""One device as an adapter of the BlueZ double knows it: its advertisements, its connection, its bond."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from itertools import batched
from typing import Annotated, Protocol
from uuid import UUID

from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt16, DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from emulator.device import EmulatedDevice
from emulator.gatt import AttCode, AttError, ConnectionRefusedByPeripheralError, Link, LinkLostError

from .bluez_agents import Agent, AgentManager
from .bluez_bus import CALLER, NO_RSSI, DBusBytesById, DBusStrings, att_error, bluez_error, readable
from .bluez_gatt import GattCharacteristic, GattObject, gatt_objects
from .bluez_release import Release, Times

_SERVICE_UUIDS, _NAME, _MANUFACTURER_DATA = 0x07, 0x09, 0xFF
_UUID_LENGTH = 16
# The error of a connection that did not come up in time, or ended before its services were known.
_ABORTED = "le-connection-abort-by-local"
# Seconds between two checks whether a device is there.
_LOOK_AGAIN = 0.01
_UNLIKELY = "Operation failed with ATT error: 0x0e"


class _Reason(StrEnum):
    """Why a connection ended."""

    AUTHENTICATION = "org.bluez.Reason.Authentication"
    LOCAL = "org.bluez.Reason.Local"
    REMOTE = "org.bluez.Reason.Remote"


class _TurnedAwayError(Exception):
    """The connection ended before its services were known."""


class Host(Protocol):
    """What a device knows of the adapter that hears it."""

    path: str
    address: str
    rssi: int
    bus: MessageBus
    agents: AgentManager
    release: Release
    times: Times
    scanning_for: set[str]


class Device(ServiceInterface):
    """org.bluez.Device1.

    With just_works, the two pair without asking for a passkey; with no_pairing, the device wants none. A bond that is
    not kept (keeps_bond) ends with the connection.
    """

    def __init__(self, host: Host, device: EmulatedDevice) -> None:
        super().__init__("org.bluez.Device1")
        self.path = f"{host.path}/dev_{device.address.replace(':', '_')}"
        self.device = device
        self.shown = False
        self.bonded = False
        self.just_works = False
        self.no_pairing = False
        self.keeps_bond = True
        self.paired_ = False
        self._heard = False
        self._host = host
        self._name = device.address.replace(":", "-")
        self._manufacturer_data: dict[int, Variant] = {}
        self._uuids: list[str] = []
        self._trusted = False
        self._link: Link | None = None
        self._given_up = asyncio.Event()
        self._objects: tuple[GattObject, ...] = ()
        self._pairing: asyncio.Task[None] | None = None
        self._pairing_for = ""

    # What is sent and what happens

    def hear(self) -> None:
        """Receive one advertisement, if the device sends."""
        if not self.device.advertises:
            return
        heard = dict(_structures(self.device.advertisement().joined))
        self._name = heard[_NAME].decode()
        record = heard.get(_MANUFACTURER_DATA)
        if record is not None:
            self._manufacturer_data = {int.from_bytes(record[:2], "little"): Variant("ay", record[2:])}
        services = heard.get(_SERVICE_UUIDS, b"")
        uuids = [str(UUID(bytes=bytes(uuid[::-1]))) for uuid in batched(services, _UUID_LENGTH, strict=True)]
        # BlueZ also keeps the UUIDs of earlier advertisements.
        self._uuids += [uuid for uuid in uuids if uuid not in self._uuids]
        self._heard = True
        if self.shown:
            changed = ("ManufacturerData",) if record is not None else ()
            self._changed("Name", "Alias", "RSSI", *changed, *(("UUIDs",) if uuids else ()))
        else:
            self.shown = True
            self._host.bus.export(self.path, self)

    def lose_signal(self) -> None:
        """Forget the signal strength, as nobody scans any more."""
        self._heard = False
        if self.shown:
            self.emit_properties_changed({}, ["RSSI"])

    def forget(self) -> None:
        """Remove bond and object. The device does not learn of it."""
        self.close()
        self.bonded = self.paired_ = False
        self.shown = self._heard = False
        self._host.bus.unexport(self.path)

    def close(self) -> None:
        """End pairing and connection from this side."""
        if self._pairing is not None:
            self._pairing.cancel()
        self._give_up()
        if self._link is not None:
            self._link.close()
            self._closed(_Reason.LOCAL)

    def caller_left(self, caller: str) -> None:
        """Cancel the pairing of a program that has left the bus."""
        if self._pairing is not None and self._pairing_for == caller:
            self.close()

    @property
    def mtu(self) -> int:
        """The link's ATT MTU."""
        return self._connected_link().mtu

    async def attempt[T](self, operation: Callable[[Link], Awaitable[T]], *, subscribing: bool = False) -> T:
        """Do something over the link; where that needs a bond, try to make one first, as BlueZ does by itself."""
        try:
            return await self._bonding_if_needed(operation, subscribing=subscribing)
        except AttError as error:
            raise att_error(error.code) from error
        except LinkLostError as error:
            raise bluez_error("Failed", "Not connected") from error

    async def _bonding_if_needed[T](self, operation: Callable[[Link], Awaitable[T]], *, subscribing: bool) -> T:
        link = self._connected_link()
        try:
            return await operation(link)
        except AttError as error:
            if error.code is not AttCode.INSUFFICIENT_AUTHENTICATION or self.bonded:
                raise
        try:
            await self._bond(self._host.agents.default)
        except DBusError as error:
            if not subscribing or self._host.release.holds_subscriptions_back:
                await self._given_up_within(self._host.times.held_back)
            raise bluez_error("Failed", _UNLIKELY) from error
        return await operation(link)

    # Connection

    @dbus_method(name="Connect")
    async def connect(self) -> None:
        """Open a connection, or keep the one there is."""
        if self._pairing is not None:
            raise bluez_error("InProgress", "In Progress")
        if self._link is not None:
            return
        try:
            async with asyncio.timeout(self._host.times.connect):
                await self._open()
        except (_TurnedAwayError, TimeoutError) as error:
            raise bluez_error("Failed", _ABORTED) from error

    @dbus_method(name="Disconnect")
    async def disconnect(self) -> None:
        """End the connection, and a pairing with it."""
        if self._pairing is not None:
            self._pairing.cancel()
        link = self._link
        if link is not None:
            await asyncio.sleep(self._host.times.disconnect)
        if self._link is link:
            self.close()

    async def _open(self) -> None:
        """Connect, once the device is there."""
        while not self.device.advertises:
            if await self._given_up_within(_LOOK_AGAIN):
                raise _TurnedAwayError
        if await self._given_up_within(self._host.times.link):
            raise _TurnedAwayError
        try:
            link = self._link = self.device.peripheral.connect(
                self._host.address, on_notify=self._notified, on_lost=self._lost, has_key=self.bonded
            )
        except ConnectionRefusedByPeripheralError as error:
            self._flicker(_Reason.REMOTE)
            raise _TurnedAwayError from error
        self._changed("Connected")
        if self.bonded and not link.bonded:
            link.close()
            self._closed(_Reason.AUTHENTICATION)
            raise _TurnedAwayError
        try:
            services = await link.discover()
        except LinkLostError as error:
            raise _TurnedAwayError from error
        self._objects = tuple(gatt_objects(self, services))
        for one in self._objects:
            self._host.bus.export(one.path, one)
        self._changed("ServicesResolved")

    async def _given_up_within(self, seconds: float) -> bool:
        """Wait, and return whether the connection was given up or ended meanwhile, which ends the wait."""
        if not seconds:
            return False
        try:
            async with asyncio.timeout(seconds):
                return await self._given_up.wait()
        except TimeoutError:
            return False

    def _give_up(self) -> None:
        """Wake everything that waits for the connection."""
        self._given_up.set()
        self._given_up = asyncio.Event()

    def _lost(self) -> None:
        """Take note that the device has ended the link."""
        self._closed(_Reason.REMOTE)

    def _closed(self, reason: _Reason) -> None:
        """Clean up after the link, whoever ended it."""
        self._link = None
        self._give_up()
        if not self.bonded:
            self.paired_ = False
        objects, self._objects = self._objects, ()
        self._changed("ServicesResolved", "Paired")
        self._tell_why(reason)
        self._changed("Connected")
        for one in reversed(objects):
            if isinstance(one, GattCharacteristic):
                one.release()
            self._host.bus.unexport(one.path)

    def _flicker(self, reason: _Reason) -> None:
        """Tell of a connection that came up and ended."""
        self._changed("Connected")
        self._tell_why(reason)

    def _tell_why(self, reason: _Reason) -> None:
        if self._host.release.tells_why_connections_end and self.shown:
            self.disconnected(reason)

    @dbus_signal(name="Disconnected")
    def disconnected(self, reason: str) -> Annotated[tuple[str, str], DBusSignature("ss")]:
        """Tell why a connection ended."""
        return reason, "Connection terminated"

    def _notified(self, handle: int, data: bytes) -> None:
        for one in self._objects:
            if isinstance(one, GattCharacteristic) and one.characteristic.handle == handle:
                one.notify(data, empty=self.device.quirks.empty_notifications)

    def _connected_link(self) -> Link:
        if self._link is None:
            raise bluez_error("Failed", "Not connected")
        return self._link

    # Bond

    @dbus_method(name="Pair")
    async def pair(self) -> None:
        """Make a bond, with the help of the caller's agent."""
        if self._pairing is not None:
            raise bluez_error("InProgress", "In Progress")
        if self.bonded:
            raise bluez_error("AlreadyExists", "Already Exists")
        self._pairing_for = CALLER.get()
        agent = self._host.agents.agent_of(self._pairing_for)
        self._pairing = asyncio.create_task(self._connect_and_bond(agent))
        try:
            await self._pairing
        except asyncio.CancelledError:
            raise bluez_error("AuthenticationCanceled", "Authentication Canceled") from None
        finally:
            self._pairing = None

    @dbus_method(name="CancelPairing")
    def cancel_pairing(self) -> None:
        """End a pairing."""
        if self._pairing is None:
            raise bluez_error("DoesNotExist", "Does Not Exist")
        self._pairing.cancel()

    async def _connect_and_bond(self, agent: Agent | None) -> None:
        """Pair once connected. Like BlueZ, wait for the connection without a limit."""
        if self._link is None:
            try:
                await self._open()
            except _TurnedAwayError as error:
                raise bluez_error("AuthenticationCanceled", "Authentication Canceled") from error
        await self._bond(agent)

    async def _bond(self, agent: Agent | None) -> None:
        """Pair over the link."""
        link = self._connected_link()
        try:
            if not self.just_works:
                await link.pair(await self._entered(agent))
        except AttError as error:
            raise bluez_error("AuthenticationFailed", "Authentication Failed") from error
        except LinkLostError as error:
            raise bluez_error("AuthenticationCanceled", "Authentication Canceled") from error
        self.paired_ = True
        self.bonded = self.keeps_bond
        self._changed("Paired", "Bonded")

    async def _entered(self, agent: Agent | None) -> str | None:
        """Return the passkey; None if nobody is asked for it or nobody answers."""
        if self.no_pairing or agent is None or not agent.can_enter_passkeys:
            return None
        return await self._passkey(agent)

    async def _passkey(self, agent: Agent) -> str | None:
        """Ask the agent; None if it gives no answer."""
        reply = await self._host.bus.call(
            Message(
                destination=agent.owner,
                path=agent.path,
                interface="org.bluez.Agent1",
                member="RequestPasskey",
                signature="o",
                body=[self.path],
            )
        )
        return f"{reply.body[0]:06d}" if reply.message_type is MessageType.METHOD_RETURN else None

    # Properties

    def _changed(self, *names: str) -> None:
        if self.shown:
            values = {
                "Name": self._name,
                "Alias": self._name,
                "ManufacturerData": self._manufacturer_data,
                "UUIDs": self._uuids,
                "RSSI": self._rssi,
                "Connected": self._link is not None,
                "ServicesResolved": bool(self._objects),
                "Paired": self.paired_,
                "Bonded": self.bonded,
            }
            self.emit_properties_changed({name: values[name] for name in names})

    @readable("Address")
    def address(self) -> DBusStr:
        """Show the address."""
        return self.device.address

    @readable("AddressType")
    def address_type(self) -> DBusStr:
        """Show the kind of address."""
        return "random"

    @readable("Name")
    def name_(self) -> DBusStr:
        """Show the name that the device sends."""
        return self._name

    @readable("Alias")
    def alias(self) -> DBusStr:
        """Return the same name: nobody set another one."""
        return self._name

    @readable("Adapter")
    def adapter(self) -> DBusObjectPath:
        """Show who hears it."""
        return self._host.path

    @readable("RSSI")
    def rssi(self) -> DBusInt16:
        """Show the signal strength in dBm."""
        return self._rssi

    @property
    def _rssi(self) -> int:
        return self.device.faults.rssi(self._host.rssi) if self._heard else NO_RSSI

    @readable("ManufacturerData")
    def manufacturer_data(self) -> DBusBytesById:
        """Show what it last advertised."""
        return self._manufacturer_data

    @readable("UUIDs")
    def uuids(self) -> DBusStrings:
        """Show the services that it advertised."""
        return self._uuids

    @readable("Connected")
    def connected(self) -> DBusBool:
        """Show whether there is a connection."""
        return self._link is not None

    @readable("ServicesResolved")
    def services_resolved(self) -> DBusBool:
        """Show whether its services are known."""
        return bool(self._objects)

    @readable("Paired")
    def paired(self) -> DBusBool:
        """Show whether the two have paired."""
        return self.paired_

    @readable("Bonded")
    def bonded_(self) -> DBusBool:
        """Return whether the bond outlasts the connection."""
        return self.bonded

    @dbus_property(name="Trusted")
    def trusted(self) -> DBusBool:
        """Return whether the device is trusted; bleak sets this before it pairs."""
        return self._trusted

    @trusted.setter  # type: ignore[no-redef]  # mypy knows the setters of built-in properties alone
    def trusted(self, trusted: DBusBool) -> None:
        self._trusted = trusted

    @readable("Blocked")
    def blocked(self) -> DBusBool:
        """Return that the device is not blocked."""
        return False

    @readable("LegacyPairing")
    def legacy_pairing(self) -> DBusBool:
        """Return that the device does not need legacy pairing."""
        return False


def _structures(data: bytes) -> list[tuple[int, bytes]]:
    """Split an advertisement into the types and contents of its AD structures."""
    structures = []
    while data:
        length = data[0]
        structures.append((data[1], data[2 : length + 1]))
        data = data[length + 1 :]
    return structures
