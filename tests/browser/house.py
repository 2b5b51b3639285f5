"""A Home Assistant of its own, near an emulated device: a proxy connects to it, an adapter of the machine pairs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
import os
from pathlib import Path
from typing import Final
from unittest.mock import patch

from demo.answers import as_objects, text
from demo.children import Children
from demo.config import INTEGRATION, write_config
from demo.emulator import Emulator
from demo.flows import add_proxy
from demo.home_assistant import HomeAssistant, address_of, log_in, start_home_assistant
from demo.ports import free_port
from emulator.__main__ import make_proxy
from emulator.device import EmulatedDevice
from emulator.radio.bluez import Bluez, LocalAdapter
from emulator.rig import HOST, Rig
from emulator.simulation.scenario import load
from tests.bluez_bus import running_bus

SCENARIO: Final = "bench"
_BUS_VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"


@dataclass(frozen=True, kw_only=True)
class House:
    """Where Home Assistant is, we logged in to it, and the device with the BlueZ that hears it."""

    address: str
    hass: HomeAssistant
    device: EmulatedDevice
    bluez: Bluez

    async def remove_device(self) -> None:
        """Let Home Assistant forget the device, and the machine the bond with it."""
        for entry in as_objects(await self.hass.get(f"/api/config/config_entries/entry?domain={INTEGRATION}")):
            await self.hass.delete(f"/api/config/config_entries/entry/{text(entry, 'entry_id')}")
        for adapter in self.bluez.adapters.values():
            for device in adapter.devices:
                device.forget()
            adapter.hear()


@asynccontextmanager
async def _emulated(bus_address: str) -> AsyncIterator[tuple[Rig, Bluez]]:
    """Yield a device in reach of a proxy, and the BlueZ on a bus that hears it too."""
    rig = Rig(load(SCENARIO), make_proxy=make_proxy)
    await rig.start(0)
    bluez = Bluez(LocalAdapter(devices=tuple(station.device for station in rig.stations)))
    try:
        await bluez.start(bus_address)
        for adapter in bluez.adapters.values():
            adapter.hear()
        yield rig, bluez
    finally:
        await bluez.stop()
        await rig.stop()


@asynccontextmanager
async def move_in(folder: Path) -> AsyncIterator[House]:
    """Yield a house in which everything runs."""
    port = free_port()
    write_config(folder / "config", port=port)
    with running_bus() as (bus_address, _process):
        async with _emulated(bus_address) as (rig, bluez), Children() as children:
            with patch.dict(os.environ, {_BUS_VARIABLE: bus_address}):
                await start_home_assistant(children, config=folder / "config", log=folder / "log")
            async with log_in(address_of(port), fresh=True) as hass:
                await add_proxy(hass, Emulator(host=HOST, port=rig.ports[0], control="", devices=()))
                yield House(address=address_of(port), hass=hass, device=rig.stations[0].device, bluez=bluez)
