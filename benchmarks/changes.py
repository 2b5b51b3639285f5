"""How long after a code begins its pages are shown by Home Assistant. Run with: python -m benchmarks.changes."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
import sys
from time import monotonic
from typing import Final, override
from unittest.mock import AsyncMock, PropertyMock, patch

from homeassistant.const import CONF_ADDRESS, CONF_PIN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant

from custom_components.smallbms_ng.const import CONF_KEY, CONF_PRODUCT_ID, DOMAIN
from emulator.battery.layout import BankLayout
from emulator.bms.bms import SmallBms
from emulator.device import DEFAULT_KEY, EmulatedDevice
from emulator.personality.quirks import Quirks
from emulator.radio.in_process import EmulatedClient, EmulatedScanner
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService

from .figures import Row

MOST_SECONDS: Final = 15.0
TIMES: Final = 3
# What a connection by a proxy takes, and each answer, in s. Assumed, on the slow side.
CONNECTING: Final = 4.0
ANSWERING: Final = 0.3
BETWEEN_ADVERTISEMENTS: Final = 1.0

FOUR_BATTERIES: Final = BankLayout.of("12.8/100", series=2, parallel=2)
# The second cell of the third battery, how many V the BMS misses there, and after how many s it cuts off the loads.
LOW_CELL: Final = (2, 1)
TOO_LOW: Final = -0.6
CUT_AFTER: Final = 31
LOW: Final = 3.0  # V
PRODUCT_ID: Final = 0xA3EC


class SlowClient(EmulatedClient):
    """Connects as slowly as a proxy at some distance."""

    @override
    async def connect(self, pair: bool, **kwargs: object) -> None:
        await asyncio.sleep(CONNECTING)
        await super().connect(pair, **kwargs)


@contextmanager
def no_adapter() -> Generator[None]:
    """Have Home Assistant find no adapter of this machine."""
    linux = "bluetooth_adapters.systems.linux.LinuxAdapters"
    with (
        patch("habluetooth.channels.bluez.MGMTBluetoothCtl.setup", AsyncMock(side_effect=OSError)),
        patch(f"{linux}.refresh", AsyncMock()),
        patch(f"{linux}.adapters", PropertyMock(return_value={})),
        patch("emulator.radio.in_process.EmulatedClient", SlowClient),
    ):
        yield


@dataclass
class House:
    """A Home Assistant with one device, which is read through a proxy."""

    hass: HomeAssistant
    bms: SmallBms
    scanner: EmulatedScanner
    entry: MockConfigEntry

    @classmethod
    async def set_up(cls, hass: HomeAssistant) -> House:
        """Add the device, and let it be read for the first time."""
        hass.data.pop(DATA_CUSTOM_COMPONENTS)
        assert await async_setup_component(hass, "bluetooth", {})
        bms = SmallBms.build(FOUR_BATTERIES, random=Random(1))
        device = EmulatedDevice(bms.snapshot)
        device.make_ve_smart_server = VeSmartService(BmsRegisters(bms, device), Quirks(answer_delay=ANSWERING)).serve
        scanner = EmulatedScanner(device, pin=device.pin)
        scanner.register(hass)
        key = DEFAULT_KEY.hex()
        data = {CONF_ADDRESS: device.address, CONF_KEY: key, CONF_PRODUCT_ID: PRODUCT_ID, CONF_PIN: device.pin}
        entry = MockConfigEntry(domain=DOMAIN, unique_id=device.address, title=device.name, data=data)
        entry.add_to_hass(hass)
        house = cls(hass, bms, scanner, entry)
        assert await hass.config_entries.async_setup(entry.entry_id)
        await house.until(lambda: house.state("history_cycles") is not None)
        await house.until(lambda: not device.connected)
        return house

    def state(self, key: str) -> str | None:
        """Return what a sensor shows; None if it is not there."""
        unique_id = f"{self.entry.data[CONF_ADDRESS].lower()}_{key}"
        found = er.async_get(self.hass).async_get_entity_id("sensor", DOMAIN, unique_id)
        state = self.hass.states.get(found) if found else None
        return state.state if state else None

    async def until(self, come: Callable[[], bool]) -> None:
        """Let the battery live, and be heard every second, until something has come."""
        while not come():
            self.bms.step(current=-1, ambient=20, seconds=BETWEEN_ADVERTISEMENTS)
            self.scanner.advertise()
            await asyncio.sleep(BETWEEN_ADVERTISEMENTS)

    async def measure(self) -> float:
        """Let a cell be low; return after how many s all that belongs to that is shown."""
        self.bms.faults.cell_voltage_offsets[LOW_CELL] = TOO_LOW
        for _ in range(CUT_AFTER):
            self.bms.step(current=-1, ambient=20, seconds=1)
        begun = monotonic()
        await self.until(lambda: self.state("discharge_off_reason") == "battery" and self._cell_is_low)
        took = monotonic() - begun
        self.bms.faults.cell_voltage_offsets.clear()
        await self.until(lambda: self.state("discharge_off_reason") == "none" and not self._cell_is_low)
        return took

    @property
    def _cell_is_low(self) -> bool:
        battery, cell = LOW_CELL
        return float(self.state(f"battery_{battery + 1}_cell_{cell + 1}") or 0) < LOW


async def measure() -> list[float]:
    """Return how long it took each time."""
    with no_adapter():
        async with async_test_home_assistant() as hass:
            house = await House.set_up(hass)
            took = [await house.measure() for _ in range(TIMES)]
            await hass.config_entries.async_unload(house.entry.entry_id)
            await hass.async_stop(force=True)
    return took


def rows(quick: bool) -> list[Row]:
    """Measure what is in the table of all benchmarks; nothing if it has to be quick."""
    if quick:
        return []
    return [
        Row(figure="a code until its pages are shown", unit="s", ours=max(asyncio.run(measure())), most=MOST_SECONDS)
    ]


def main() -> int:
    """Measure and print; 1 if the figure is not met."""
    took = asyncio.run(measure())
    print(f"{', '.join(f'{seconds:.1f}' for seconds in took)} s after the code\n")
    met = max(took) <= MOST_SECONDS
    print(f"{'met' if met else 'MISSED':8} at most {MOST_SECONDS:.0f} s: {max(took):.1f} s")
    return 0 if met else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
