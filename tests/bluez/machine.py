"""The machine that bluetoothd runs on: its adapters, and what they know of the device, as programs on the bus see."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
import os
from pathlib import Path
import subprocess
from typing import Final

from bleak.backends.device import BLEDevice
from dbus_fast import Variant
from dbus_fast.aio import MessageBus

from emulator.device import DEFAULT_ADDRESS, DEFAULT_NAME
from tests.bluez_bus import Program

ADAPTERS: Final = ("hci0", "hci1")
RESULTS: Final = Path("/mnt")

_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_ADAPTER: Final = "org.bluez.Adapter1"
_PATIENCE: Final = 20.0
_PAUSE: Final = 0.05


def adapter_path(adapter: str) -> str:
    """Return the path of an adapter on the bus."""
    return f"/org/bluez/{adapter}"


def device_path(adapter: str = "hci0") -> str:
    """Return the path of the device, as this adapter knows it."""
    return f"{adapter_path(adapter)}/dev_{DEFAULT_ADDRESS.replace(':', '_')}"


def way(adapter: str = "hci0") -> BLEDevice:
    """Return the way to the device by this adapter, as a scan gives it to bleak."""
    details = {
        "path": device_path(adapter),
        "props": {"Alias": DEFAULT_NAME, "Adapter": adapter_path(adapter), "Address": DEFAULT_ADDRESS},
    }
    return BLEDevice(DEFAULT_ADDRESS, DEFAULT_NAME, details)


async def until(condition: Callable[[], object]) -> None:
    """Let the real world go on until this is so."""
    async with asyncio.timeout(_PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event, that is the point
            await asyncio.sleep(_PAUSE)


class Bluetoothd:
    """The daemon, from start to stop."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it knows the bonds that were stored before."""
        with (RESULTS / "bluetoothd.log").open("ab") as log:
            command = (f"{os.environ['BLUEZ']}/bluetoothd", "--nodetach", "--debug")
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self) -> None:
        """Let it end as the system does."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None


class Machine:
    """What a program can see of the adapters and do with them."""

    def __init__(self, bluetoothd: Bluetoothd, program: Program) -> None:
        self.bluetoothd = bluetoothd
        self.program = program

    async def device(self, adapter: str = "hci0") -> Mapping[str, object]:
        """Return the properties of the device; none if the adapter does not know it."""
        properties = await self.program.properties(device_path(adapter))
        return {name: variant.value for name, variant in properties.items()}

    async def bonded(self) -> set[str]:
        """Return the adapters that have a bond."""
        return {adapter for adapter in ADAPTERS if (await self.device(adapter)).get("Bonded")}

    async def set_adapter(self, adapter: str, name: str, variant: Variant) -> None:
        """Change a property of an adapter."""
        await self.program.call_interface(_PROPERTIES, adapter_path(adapter), "Set", "ssv", _ADAPTER, name, variant)

    async def switch(self, adapter: str, *, on: bool) -> None:
        """Switch an adapter on or off, and wait until it is."""
        async with asyncio.timeout(_PATIENCE):
            while await self._powered(adapter) is not on:
                await self.set_adapter(adapter, "Powered", Variant("b", on))
                await asyncio.sleep(_PAUSE)

    async def forget(self) -> None:
        """Have every adapter forget the device with its bond."""
        for adapter in ADAPTERS:
            await self.program.call(adapter_path(adapter), "RemoveDevice", "o", device_path(adapter))

    async def reset(self) -> None:
        """Have all adapters on, and none know the device."""
        for adapter in ADAPTERS:
            await self.switch(adapter, on=True)
        await self.forget()

    @asynccontextmanager
    async def scanning(self, *adapters: str) -> AsyncGenerator[None]:
        """Scan by these adapters, as Home Assistant does all the time; begin when they hear the device."""
        for adapter in adapters:
            await self.program.call(
                adapter_path(adapter), "SetDiscoveryFilter", "a{sv}", {"Transport": Variant("s", "le")}
            )
            await self.program.succeed(adapter_path(adapter), "StartDiscovery")
        try:
            for adapter in adapters:
                await self.until_heard(adapter)
            yield
        finally:
            for adapter in adapters:
                await self.program.call(adapter_path(adapter), "StopDiscovery")

    async def hear(self, *adapters: str) -> None:
        """Have these adapters hear the device once, so that they know it."""
        async with self.scanning(*(adapters or ADAPTERS[:1])):
            """That is all."""

    async def until_heard(self, adapter: str) -> None:
        """Wait until an adapter hears the device."""
        async with asyncio.timeout(_PATIENCE):
            while not {"RSSI", "ManufacturerData"} <= set(await self.device(adapter)):  # noqa: ASYNC110 - nor is there one
                await asyncio.sleep(_PAUSE)

    async def _powered(self, adapter: str) -> bool | None:
        powered = (await self.program.properties(adapter_path(adapter))).get("Powered")
        return None if powered is None else bool(powered.value)


@asynccontextmanager
async def program() -> AsyncGenerator[Program]:
    """Give another program on the bus."""
    bus = await MessageBus(os.environ["DBUS_SYSTEM_BUS_ADDRESS"]).connect()
    try:
        yield Program(bus)
    finally:
        bus.disconnect()
