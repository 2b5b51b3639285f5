"""A double of BlueZ on a D-Bus: adapters of this machine with emulated devices near them, and PIN pairing."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from dbus_fast import BusType, Message, MessageType, NameFlag, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface

from emulator.device import EmulatedDevice

from .bluez_adapter import Adapter
from .bluez_agents import AgentManager
from .bluez_bus import CALLER, Bus
from .bluez_release import BLUEZ_5_66, Release, Times

BLUEZ: Final = "org.bluez"
DEFAULT_ADAPTER_ADDRESS: Final = "02:00:00:00:B1:00"

_BUS: Final = "org.freedesktop.DBus"


@dataclass(frozen=True, kw_only=True)
class LocalAdapter:
    """An adapter of this machine, and what is near it; rssi in dBm."""

    name: str = "hci0"
    address: str = DEFAULT_ADAPTER_ADDRESS
    powered: bool = True
    rssi: int = -60
    devices: tuple[EmulatedDevice, ...] = ()


class NameTakenError(Exception):
    """Another BlueZ is on this bus."""


class _Root(ServiceInterface):
    """Makes "/" an object, so that it lists all others."""

    def __init__(self) -> None:
        super().__init__("org.bluez.Root")


class Bluez:
    """BlueZ on a bus, from start to stop."""

    def __init__(self, *adapters: LocalAdapter, release: Release = BLUEZ_5_66, times: Times | None = None) -> None:
        self.agents = AgentManager()
        self.adapters: dict[str, Adapter] = {}
        self._wanted = adapters
        self._release = release
        self._times = times or Times()
        self._bus: MessageBus | None = None

    async def start(self, bus_address: str | None = None) -> None:
        """Appear on the bus at this address, else on the system bus; NameTakenError if there is a BlueZ already."""
        bus = await Bus(bus_address, BusType.SYSTEM, negotiate_unix_fd=True).connect()
        bus.add_message_handler(self._notice)
        self._bus = bus
        self.adapters = {wanted.name: self._adapter(wanted, bus) for wanted in self._wanted}
        bus.export("/", _Root())
        bus.export("/org/bluez", self.agents)
        for adapter in self.adapters.values():
            bus.export(adapter.path, adapter)
        await _follow_owners(bus)
        if await bus.request_name(BLUEZ, NameFlag.DO_NOT_QUEUE) is not RequestNameReply.PRIMARY_OWNER:
            await self.stop()
            raise NameTakenError

    async def stop(self) -> None:
        """Vanish from the bus, whatever is under way; its connections end."""
        if self._bus is None:
            return
        bus, self._bus = self._bus, None
        if bus.connected:
            bus.disconnect()
        with suppress(EOFError, OSError):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast does not annotate it
        # What is under way ends below and would still answer; dbus-fast sends nothing without a name.
        bus.unique_name = None
        for adapter in self.adapters.values():
            for device in adapter.devices:
                device.close()

    def advertise(self) -> None:
        """Receive one advertisement of each device, at the adapters that scan."""
        for adapter in self.adapters.values():
            adapter.advertise()

    def _adapter(self, wanted: LocalAdapter, bus: MessageBus) -> Adapter:
        return Adapter(
            wanted.name,
            wanted.address,
            wanted.devices,
            powered=wanted.powered,
            rssi=wanted.rssi,
            bus=bus,
            agents=self.agents,
            release=self._release,
            times=self._times,
        )

    def _notice(self, message: Message) -> None:
        """See who calls, and who leaves the bus."""
        if message.message_type is MessageType.METHOD_CALL:
            CALLER.set(str(message.sender))
        elif message.member == "NameOwnerChanged" and not message.body[2]:
            self._left(message.body[0])

    def _left(self, name: str) -> None:
        self.agents.forget(name)
        for adapter in self.adapters.values():
            adapter.caller_left(name)


async def _follow_owners(bus: MessageBus) -> None:
    """Ask to be told who comes and goes."""
    await bus.call(
        Message(
            destination=_BUS,
            path="/org/freedesktop/DBus",
            interface=_BUS,
            member="AddMatch",
            signature="s",
            body=[f"sender='{_BUS}',member='NameOwnerChanged'"],
        )
    )
