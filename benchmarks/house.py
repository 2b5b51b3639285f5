"""A Home Assistant whose clock the benchmark moves: with our integration, or with the peer, Home Assistant's own."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from time import monotonic, process_time
from typing import Final, override
from unittest.mock import AsyncMock, PropertyMock, patch

from habluetooth import BaseHaRemoteScanner, BluetoothScanningMode
from homeassistant.components.bluetooth import async_register_scanner
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_ACCESS_TOKEN, CONF_ADDRESS
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant

from custom_components.smallbms_ng.const import CONF_KEY, CONF_PRODUCT_ID, DOMAIN
from emulator.device import DEFAULT_NAME

from .trace import KEY, PRODUCT_ID

COMPANY: Final = 0x02E1
SOURCE: Final = "02:00:00:00:E5:01"
# How long the loop waits at most for what the executor does, before it looks again, in s.
_PATIENCE: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Integration:
    """An integration that hears the device, and its config entry for a device with this key."""

    name: str
    domain: str
    data: Mapping[str, object]


OURS: Final = Integration(name="smallbms_ng", domain=DOMAIN, data={CONF_KEY: KEY.hex(), CONF_PRODUCT_ID: PRODUCT_ID})
PEER: Final = Integration(name="core victron_ble", domain="victron_ble", data={CONF_ACCESS_TOKEN: KEY.hex()})


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still but for what the benchmark adds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = monotonic()
        select = self._selector.select  # type: ignore[attr-defined]  # the loop's own
        self._selector.select = lambda timeout=None: select(_PATIENCE if timeout is None else min(timeout, _PATIENCE))  # type: ignore[attr-defined]

    @override
    def time(self) -> float:
        return self.now


def run[T](work: Coroutine[None, None, T]) -> T:
    """Run in a loop whose clock is moved."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(work)


class Player(BaseHaRemoteScanner):
    """A radio that plays what it is given."""

    def __init__(self) -> None:
        modes = BluetoothScanningMode.ACTIVE, BluetoothScanningMode.ACTIVE
        super().__init__(SOURCE, "player", None, False, *modes)

    def play(self, address: str, data: bytes, at: float) -> None:
        """Receive an advertisement."""
        self._async_on_advertisement(address, -60, DEFAULT_NAME, [], {}, {COMPANY: data}, None, {}, at)


@contextmanager
def moved_clocks(loop: SteppedLoop) -> Iterator[None]:
    """Have all ages told by the clock of the loop, and no adapter of this machine found."""
    linux = "bluetooth_adapters.systems.linux.LinuxAdapters"
    with (
        patch("custom_components.smallbms_ng.clock.monotonic_time_coarse", loop.time),
        patch("habluetooth.manager.monotonic_time_coarse", loop.time),
        patch("habluetooth.channels.bluez.MGMTBluetoothCtl.setup", AsyncMock(side_effect=OSError)),
        patch(f"{linux}.refresh", AsyncMock()),
        patch(f"{linux}.adapters", PropertyMock(return_value={})),
    ):
        yield


@dataclass
class House:
    """A Home Assistant with one integration, and the devices that it hears."""

    hass: HomeAssistant
    loop: SteppedLoop
    integration: Integration
    player: Player
    entries: Sequence[MockConfigEntry]
    # Moves the clock of the wall, where that matters.
    tick: Callable[[float], object] | None = None

    @property
    def addresses(self) -> list[str]:
        """The addresses of the devices."""
        return [str(entry.unique_id) for entry in self.entries]

    async def second(self, *data: bytes) -> None:
        """Let a second pass, and hear one advertisement of each device."""
        self.loop.now += 1
        if self.tick:
            self.tick(1)
        for address, one in zip(self.addresses, data, strict=False):
            self.player.play(address, one, self.loop.now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def settle(self) -> None:
        """Let everything finish that does not wait for the clock."""
        await self.hass.async_block_till_done(wait_background_tasks=True)

    async def processor(self, seconds: Sequence[Sequence[bytes]]) -> float:
        """Return the s of processor time that these seconds take, each with its advertisements."""
        begun = process_time()
        for data in seconds:
            await self.second(*data)
        return process_time() - begun

    def entity(self, platform: str, key: str) -> str | None:
        """Return the id of one of our entities of the first device."""
        unique_id = f"{self.addresses[0].lower()}_{key}"
        return er.async_get(self.hass).async_get_entity_id(platform, DOMAIN, unique_id)

    def entities(self) -> int:
        """Return how many entities of the first device show something."""
        registry = er.async_get(self.hass)
        found = (
            one for entry in self.entries[:1] for one in er.async_entries_for_config_entry(registry, entry.entry_id)
        )
        return sum(self.hass.states.get(one.entity_id) is not None for one in found)


def address(number: int) -> str:
    """Return the address of one of many devices."""
    return f"C0:3A:5E:00:{number >> 8:02X}:{number & 0xFF:02X}"


def entry_of(integration: Integration, number: int, options: Mapping[str, object] | None = None) -> MockConfigEntry:
    """Return the config entry of one of many devices."""
    data = {CONF_ADDRESS: address(number), **integration.data}
    title = f"{DEFAULT_NAME} {number}"
    return MockConfigEntry(
        domain=integration.domain, unique_id=address(number), title=title, data=data, options=options or {}
    )


@asynccontextmanager
async def a_house(
    integration: Integration,
    first: Sequence[bytes],
    *,
    prepare: Callable[[HomeAssistant], Coroutine[None, None, None]] | None = None,
    options: Mapping[str, object] | None = None,
    tick: Callable[[float], object] | None = None,
) -> AsyncGenerator[House]:
    """Set up a house with one device for each first advertisement. prepare: called before anything is set up."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    with TemporaryDirectory() as folder, moved_clocks(loop):
        async with async_test_home_assistant(config_dir=folder) as hass:
            hass.data.pop(DATA_CUSTOM_COMPONENTS)
            if prepare:
                await prepare(hass)
            assert await async_setup_component(hass, "bluetooth", {})
            player = Player()
            undo = async_register_scanner(hass, player), player.async_setup()
            entries = [entry_of(integration, number, options) for number in range(len(first))]
            house = House(hass, loop, integration, player, entries, tick)
            for entry in entries:
                entry.add_to_hass(hass)
            await house.second(*first)
            for entry in entries:
                if entry.state is ConfigEntryState.NOT_LOADED:
                    assert await hass.config_entries.async_setup(entry.entry_id)
            await house.settle()
            yield house
            for entry in entries:
                await hass.config_entries.async_unload(entry.entry_id)
            for one in undo:
                one()
            await hass.async_stop(force=True)
