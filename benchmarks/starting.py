"""What setting up takes, and what is written to disk by what outlasts a restart."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from gc import collect
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
import tracemalloc
from unittest.mock import patch

from homeassistant.const import CONF_ADDRESS, CONF_PIN
from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant

from custom_components.smallbms_ng.const import CONF_KEY, CONF_PRODUCT_ID, DOMAIN
from emulator.battery.layout import BankLayout
from emulator.bms.bms import SmallBms
from emulator.device import DEFAULT_KEY, EmulatedDevice
from emulator.radio.in_process import EmulatedScanner
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService

from .figures import Row
from .house import OURS, SteppedLoop, a_house, entry_of, moved_clocks, run
from .trace import DAY, PRODUCT_ID, noisy_records

RUNS = 7
FOUR = BankLayout.of("12.8/100", series=2, parallel=2)
FORTY_EIGHT = BankLayout.of("12.8/100", series=4, parallel=12)
_MIB = 2**20
# So long, in s, is written what a day is told by.
_WRITING = 4 * 3600


async def key_only(entries: int) -> tuple[float, float]:
    """Return the s of processor time, and the bytes, that an entry without a PIN takes: the medians of some."""
    records = noisy_records(200, 6 * 3600)
    times, sizes = [], []
    async with a_house(OURS, records[:1]) as house:
        for number in range(1, entries + 1):
            entry = entry_of(OURS, number)
            house.player.play(str(entry.unique_id), records[number], house.loop.now)
            await house.settle()
            entry.add_to_hass(house.hass)
            collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            assert await house.hass.config_entries.async_setup(entry.entry_id)
            await house.settle()
            collect()
            sizes.append(float(tracemalloc.get_traced_memory()[0] - before))
            tracemalloc.stop()
            # Measured apart, as tracing takes its time.
            await house.hass.config_entries.async_unload(entry.entry_id)
            begun = process_time()
            assert await house.hass.config_entries.async_setup(entry.entry_id)
            times.append(process_time() - begun)
            await house.hass.config_entries.async_unload(entry.entry_id)
    return median(times), median(sizes)


@asynccontextmanager
async def connected(layout: BankLayout) -> AsyncGenerator[tuple[HomeAssistant, MockConfigEntry, Passing]]:
    """Set up a device that was read over a connection."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    with TemporaryDirectory() as folder, moved_clocks(loop):
        async with async_test_home_assistant(config_dir=folder) as hass:
            hass.data.pop(DATA_CUSTOM_COMPONENTS)
            assert await async_setup_component(hass, "bluetooth", {})
            bms = SmallBms.build(layout, random=Random(1))
            device = EmulatedDevice(bms.snapshot, clock=loop.time)
            device.make_ve_smart_server = VeSmartService(BmsRegisters(bms, device)).serve
            scanner = EmulatedScanner(device, pin=device.pin)
            data = {CONF_ADDRESS: device.address, CONF_KEY: DEFAULT_KEY.hex(), CONF_PRODUCT_ID: PRODUCT_ID}
            entry = MockConfigEntry(
                domain=DOMAIN, unique_id=device.address, title=device.name, data={**data, CONF_PIN: device.pin}
            )
            entry.add_to_hass(hass)
            with patch("emulator.radio.in_process.monotonic_time_coarse", loop.time):
                undo = scanner.register(hass)
                scanner.advertise()
                assert await hass.config_entries.async_setup(entry.entry_id)
                passing = Passing(loop, bms, scanner)
                while not entry.runtime_data.pages.was_read:
                    await passing.step(0.01)
                await passing.step(30)
                yield hass, entry, passing
                await hass.config_entries.async_unload(entry.entry_id)
                undo()
            await hass.async_stop(force=True)


class Passing:
    """Lets time pass for a battery."""

    def __init__(self, loop: SteppedLoop, bms: SmallBms, scanner: EmulatedScanner) -> None:
        self._loop = loop
        self._bms = bms
        self._scanner = scanner

    async def step(self, seconds: float) -> None:
        """Let some time pass, and be heard at its end."""
        self._loop.now += seconds
        self._bms.step(current=-5, ambient=20, seconds=seconds)
        self._scanner.advertise()
        for _ in range(20):
            await asyncio.sleep(0)


async def largest_bank(runs: int) -> float:
    """Return the s of processor time that setting up takes with 48 batteries, known from before."""
    times = []
    async with connected(FORTY_EIGHT) as (hass, entry, _):
        for _ in range(runs):
            await hass.config_entries.async_unload(entry.entry_id)
            begun = process_time()
            assert await hass.config_entries.async_setup(entry.entry_id)
            times.append(process_time() - begun)
    return median(times)


@contextmanager
def counted_writes() -> Iterator[list[int]]:
    """Count the bytes of each write of a store of the integration."""
    sizes: list[int] = []
    write = Store._write_prepared_data  # noqa: SLF001  # whatever is written comes by here

    def count(store: Store[dict[str, object]], mode: str, data: str | bytes) -> None:
        if store.key.startswith(DOMAIN):
            sizes.append(len(data))
        write(store, mode, data)

    with patch.object(Store, "_write_prepared_data", count):
        yield sizes


async def written() -> float:
    """Return how many bytes a day the store of a bank of four batteries is written with."""
    async with connected(FOUR) as (_, _, passing):
        with counted_writes() as sizes:
            for _ in range(_WRITING // 5):
                await passing.step(5)
    return sum(sizes) * DAY / _WRITING


def rows(quick: bool) -> list[Row]:
    """Measure."""
    runs = 1 if quick else RUNS
    time, size = run(key_only(runs))
    return [
        Row(figure="set-up of an entry", unit="ms", ours=time * 1000, most=50),
        Row(figure="memory of an entry", unit="MiB", ours=size / _MIB, most=1),
        Row(figure="set-up of an entry with 48 batteries", unit="ms", ours=run(largest_bank(runs)) * 1000, most=400),
        Row(figure="written to disk a day, four batteries", unit="MiB", ours=run(written()) / _MIB, most=1),
    ]
