"""One adapter of the BlueZ double, and the devices near it."""

from collections.abc import Iterable
from typing import Final

from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusObjectPath, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method

from emulator.device import EmulatedDevice

from .bluez_agents import AgentManager
from .bluez_bus import CALLER, DBusOptions, DBusStrings, bluez_error, readable
from .bluez_device import Device
from .bluez_release import Release, Times

_MODEL: Final = "usb:v1D6Bp0246d0542"


class Adapter(ServiceInterface):
    """org.bluez.Adapter1. scanning_for holds the connections that asked for a discovery."""

    def __init__(
        self,
        name: str,
        address: str,
        devices: Iterable[EmulatedDevice],
        *,
        powered: bool,
        rssi: int,
        bus: MessageBus,
        agents: AgentManager,
        release: Release,
        times: Times,
    ) -> None:
        super().__init__("org.bluez.Adapter1")
        self.path = f"/org/bluez/{name}"
        self.address = address
        self.rssi = rssi
        self.bus = bus
        self.agents = agents
        self.release = release
        self.times = times
        self.devices = [Device(self, device) for device in devices]
        self.scanning_for: set[str] = set()
        self._powered = powered

    def advertise(self) -> None:
        """Receive one advertisement of each device that sends, if anybody wants to know."""
        if self.scanning_for:
            self.hear()

    def hear(self) -> None:
        """Receive one of each, asked for or not."""
        for device in self.devices:
            device.hear()

    def caller_left(self, caller: str) -> None:
        """End what a connection asked for which is gone."""
        self._end_discovery(caller)
        for device in self.devices:
            device.caller_left(caller)

    @dbus_method(name="SetDiscoveryFilter")
    def set_discovery_filter(self, properties: DBusOptions) -> None:
        """Take it, and go on with everything in reach."""

    @dbus_method(name="StartDiscovery")
    def start_discovery(self) -> None:
        """Scan, and hear everything in reach at once."""
        caller = CALLER.get()
        self._check_power()
        if caller in self.scanning_for:
            raise bluez_error("InProgress", "Operation already in progress")
        self.scanning_for.add(caller)
        self._discovering_changed()
        self.hear()

    @dbus_method(name="StopDiscovery")
    def stop_discovery(self) -> None:
        """Scan no more for the caller."""
        if CALLER.get() not in self.scanning_for:
            raise bluez_error("Failed", "No discovery started")
        self._end_discovery(CALLER.get())

    @dbus_method(name="RemoveDevice")
    def remove_device(self, path: DBusObjectPath) -> None:
        """Forget a device and the bond with it."""
        device = next((device for device in self.devices if device.shown and device.path == path), None)
        if device is None:
            raise bluez_error("DoesNotExist", "Does Not Exist")
        self._check_power()
        device.forget()

    def _end_discovery(self, caller: str) -> None:
        if caller not in self.scanning_for:
            return
        self.scanning_for.remove(caller)
        self._discovering_changed()
        if not self.scanning_for:
            for device in self.devices:
                device.lose_signal()

    def _discovering_changed(self) -> None:
        self.emit_properties_changed({"Discovering": bool(self.scanning_for)})

    def _check_power(self) -> None:
        if not self._powered:
            raise bluez_error("NotReady", "Resource Not Ready")

    @readable("Address")
    def address_(self) -> DBusStr:
        """Show the address."""
        return self.address

    @readable("AddressType")
    def address_type(self) -> DBusStr:
        """Show the kind of address."""
        return "public"

    @readable("Name")
    def name_(self) -> DBusStr:
        """Show the name of the machine."""
        return "emulated"

    @readable("Alias")
    def alias(self) -> DBusStr:
        """Show the same."""
        return "emulated"

    @readable("Powered")
    def powered(self) -> DBusBool:
        """Show whether it is on."""
        return self._powered

    @readable("Discovering")
    def discovering(self) -> DBusBool:
        """Show whether it scans."""
        return bool(self.scanning_for)

    @readable("UUIDs")
    def uuids(self) -> DBusStrings:
        """Show the services that it offers: none."""
        return []

    @readable("Modalias")
    def modalias(self) -> DBusStr:
        """Show who made it."""
        return _MODEL

    @readable("Roles")
    def roles(self) -> DBusStrings:
        """Show what it can do; bleak looks for central."""
        return ["central"]
