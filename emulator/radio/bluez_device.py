"""One device as an adapter of the BlueZ double knows it: its advertisements, its connection, its bond."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt16, DBusObjectPath, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from emulator.device import EmulatedDevice
from emulator.gatt import AttCode, AttError, ConnectionRefusedByPeripheralError, Link, LinkLostError

from .bluez_agents import Agent, AgentManager
from .bluez_bus import CALLER, DBusBytesById, DBusStrings, att_error, bluez_error, readable
from .bluez_gatt import GattCharacteristic, GattObject, gatt_objects

_NAME, _MANUFACTURER_DATA = 0x09, 0xFF
# Assumed. Not abort-by-local: after that bleak waits for the end of a connection.
_REFUSED = "le-connection-abort-by-remote"


class Host(Protocol):
    """What a device knows of the adapter that hears it."""

    path: str
    address: str
    rssi: int
    bus: MessageBus
    agents: AgentManager


class Device(ServiceInterface):
    """org.bluez.Device1. With just_works, passkeys are asked for no more: the two cannot agree to use one."""

    def __init__(self, host: Host, device: EmulatedDevice) -> None:
        super().__init__("org.bluez.Device1")
        self.path = f"{host.path}/dev_{device.address.replace(':', '_')}"
        self.device = device
        self.shown = False
        self.bonded = False
        self.just_works = False
        self._host = host
        self._name = device.address.replace(":", "-")
        self._manufacturer_data: dict[int, Variant] = {}
        self._trusted = False
        self._link: Link | None = None
        # The agent whose abilities the link came up with.
        self._link_agent: Agent | None = None
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
        if self.shown:
            self._changed("Name", "Alias", "RSSI", *(() if record is None else ("ManufacturerData",)))
        else:
            self.shown = True
            self._host.bus.export(self.path, self)

    def forget(self) -> None:
        """Drop bond and object."""
        self.close()
        self.bonded = False
        # Assumed: the device forgets too. Its half of a bond is worth nothing alone.
        self.device.peripheral.bonds.discard(self._host.address)
        self.shown = False
        self._host.bus.unexport(self.path)

    def close(self) -> None:
        """End pairing and connection, as this side does."""
        if self._pairing is not None:
            self._pairing.cancel()
        if self._link is not None:
            self._link.close()
            self._closed()

    def caller_left(self, caller: str) -> None:
        """End the pairing that a connection asked for which is gone."""
        if self._pairing is not None and self._pairing_for == caller:
            self.close()

    @property
    def mtu(self) -> int:
        """The link's ATT MTU."""
        return self._connected_link().mtu

    async def attempt[T](self, operation: Callable[[Link], Awaitable[T]]) -> T:
        """Do something over the link; where that needs a bond, try to make one first, as BlueZ does by itself."""
        try:
            return await self._bonding_if_needed(operation)
        except AttError as error:
            raise att_error(error.code) from error
        except LinkLostError as error:
            raise bluez_error("Failed", "Not connected") from error

    async def _bonding_if_needed[T](self, operation: Callable[[Link], Awaitable[T]]) -> T:
        link = self._connected_link()
        try:
            return await operation(link)
        except AttError as error:
            if error.code is not AttCode.INSUFFICIENT_AUTHENTICATION or self.bonded:
                raise
            with suppress(DBusError):
                await self._bond(self._link_agent)
            return await operation(link)

    # Connection

    @dbus_method(name="Connect")
    async def connect(self) -> None:
        """Open a connection, or keep the one there is."""
        if self._pairing is not None:
            raise bluez_error("InProgress", "In Progress")
        if self._link is None:
            await self._open(self._host.agents.default)

    @dbus_method(name="Disconnect")
    def disconnect(self) -> None:
        """End the connection, and a pairing with it."""
        self.close()

    async def _open(self, agent: Agent | None) -> None:
        try:
            self._link = self.device.peripheral.connect(
                self._host.address, on_notify=self._notified, on_lost=self._closed
            )
            self._link_agent = agent
            self._changed("Connected")
            services = await self._link.discover()
        except (ConnectionRefusedByPeripheralError, LinkLostError) as error:
            raise bluez_error("Failed", _REFUSED) from error
        self._objects = tuple(gatt_objects(self, services))
        for one in self._objects:
            self._host.bus.export(one.path, one)
        self._changed("ServicesResolved")

    def _closed(self) -> None:
        """Clean up after the link, whoever ended it."""
        self._link = self._link_agent = None
        objects, self._objects = self._objects, ()
        self._changed("ServicesResolved", "Connected")
        for one in reversed(objects):
            self._host.bus.unexport(one.path)

    def _notified(self, handle: int, data: bytes) -> None:
        for one in self._objects:
            if isinstance(one, GattCharacteristic) and one.characteristic.handle == handle:
                one.show(data)

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
        self._pairing = asyncio.create_task(self._connect_and_bond(self._host.agents.agent_of(self._pairing_for)))
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
        if self._link is None:
            try:
                await self._open(agent)
            except DBusError as error:
                raise bluez_error("ConnectionAttemptFailed", "Page Timeout") from error
        await self._bond(agent)

    async def _bond(self, agent: Agent | None) -> None:
        """Pair over the link. Its abilities are those it came up with, whoever would answer now."""
        link = self._connected_link()
        able = self._link_agent is not None and self._link_agent.can_enter_passkeys and not self.just_works
        try:
            await link.pair(await self._passkey(agent) if able and agent else None)
        except AttError as error:
            raise bluez_error("AuthenticationFailed", "Authentication Failed") from error
        except LinkLostError as error:
            raise bluez_error("AuthenticationCanceled", "Authentication Canceled") from error
        self.bonded = True
        self._changed("Paired", "Bonded")

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
                "RSSI": self.device.faults.rssi(self._host.rssi),
                "Connected": self._link is not None,
                "ServicesResolved": bool(self._objects),
                "Paired": self.bonded,
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
        """Show the same: nobody gave it another name."""
        return self._name

    @readable("Adapter")
    def adapter(self) -> DBusObjectPath:
        """Show who hears it."""
        return self._host.path

    @readable("RSSI")
    def rssi(self) -> DBusInt16:
        """Show the signal strength in dBm."""
        return self.device.faults.rssi(self._host.rssi)

    @readable("ManufacturerData")
    def manufacturer_data(self) -> DBusBytesById:
        """Show what it last advertised."""
        return self._manufacturer_data

    @readable("UUIDs")
    def uuids(self) -> DBusStrings:
        """Show the services that it advertises: none."""
        return []

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
        """Show whether there is a bond."""
        return self.bonded

    @readable("Bonded")
    def bonded_(self) -> DBusBool:
        """Show whether it is kept, which it always is."""
        return self.bonded

    @dbus_property(name="Trusted")
    def trusted(self) -> DBusBool:
        """Show whether it may use services of ours; bleak sets it before it pairs."""
        return self._trusted

    @trusted.setter  # type: ignore[no-redef]  # mypy knows the setters of built-in properties alone
    def trusted(self, trusted: DBusBool) -> None:
        self._trusted = trusted

    @readable("Blocked")
    def blocked(self) -> DBusBool:
        """Show that it is not."""
        return False

    @readable("LegacyPairing")
    def legacy_pairing(self) -> DBusBool:
        """Show that it is not that old."""
        return False


def _structures(data: bytes) -> list[tuple[int, bytes]]:
    """Take an advertisement apart into types and contents."""
    structures = []
    while data:
        length = data[0]
        structures.append((data[1], data[2 : length + 1]))
        data = data[length + 1 :]
    return structures
