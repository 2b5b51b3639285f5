"""A bank of batteries behind a device that can be connected to, and the entry that does so."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, override
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_PIN
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smallbms_ng.connection.link import Timing
from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL, DOMAIN
from custom_components.smallbms_ng.coordinator import PagesCoordinator
from emulator.bms.bms import SmallBms
from emulator.personality.quirks import Quirks
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService
from emulator.ve_smart.register_box import Refusal
from tests.emulator.banks import FOUR_AS_24V, make_bms
from tests.emulator.personalities import take_on

from .conftest import ADDRESS, Radio, entity_id, make_entry, state_of

MAIN: Final = 0
# What would take seconds with a real device. The answers of the emulated one come at once.
QUICK: Final = Timing(
    connect=5,
    operation=5,
    answer=0.1,
    between=0.1,
    settle=0.05,
    credit=0.1,
    acknowledgment=0.02,
    read_back=(0, 0.01, 0.02),
)


class CountingBox(BmsRegisters):
    """Counts what is read, by instance and register, and lists what is written.

    Unless it is to announce, nothing is sent unasked: the device looks at that all the time to see whether it changed.
    """

    announces: bool = False
    left_out: frozenset[int] = frozenset()
    """Instances of batteries that were taken out of the bank, with which the BMS is content."""
    reads: Counter[tuple[int, int]]
    writes: list[tuple[int, bytes]]

    @override
    def instances(self) -> Sequence[tuple[int, int]]:
        return tuple(row for row in super().instances() if row[0] not in self.left_out)

    @override
    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        self.reads[instance, register] += 1
        return super().read(instance, register)

    @override
    def write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        self.writes.append((register, payload))
        return super().write(instance, register, payload)

    @override
    def announced(self, instance: int) -> Iterable[int]:
        return super().announced(instance) if self.announces else ()

    def forget(self) -> None:
        """Begin to count anew."""
        self.reads = Counter()
        self.writes = []


@dataclass
class Bench:
    """One device with its bank, near the radio of the other tests, which holds a bond with it."""

    hass: HomeAssistant
    radio: Radio
    bms: SmallBms = field(default_factory=lambda: make_bms(FOUR_AS_24V))
    data: Mapping[str, str] = field(default_factory=dict)
    # Shorter than by default, so that a test needs to let less time pass.
    options: Mapping[str, int] = field(default_factory=lambda: {CONF_PAGES_INTERVAL: 5})
    box_class: type[CountingBox] = CountingBox
    by_flow: bool = False
    """The entry is to be made by a flow."""

    def __post_init__(self) -> None:
        self.device = self.radio.device
        self.device.readout = self.bms.snapshot
        self.radio.scanner.pin = self.device.pin
        self.box = self.box_class(self.bms, self.device)
        self.box.forget()
        self.service = VeSmartService(self.box)
        self.device.make_ve_smart_server = self.service.serve
        entry = make_entry()
        self.entry = MockConfigEntry(
            domain=DOMAIN,
            unique_id=ADDRESS,
            title=entry.title,
            data={**entry.data, CONF_PIN: self.device.pin, **self.data},
            options=dict(self.options),
        )
        if not self.by_flow:
            self.entry.add_to_hass(self.hass)

    @property
    def pages(self) -> PagesCoordinator:
        """What the entry connects with."""
        pages = self.entry.runtime_data.pages
        assert isinstance(pages, PagesCoordinator)
        return pages

    @property
    def idle(self) -> bool:
        """Whether nobody holds the device, nor a slot of the radio."""
        return not self.device.connected and self.radio.scanner.free_slots == self.radio.scanner.slots

    async def run[Result](self, work: Coroutine[object, object, Result]) -> Result:
        """Let the clock, which stands still in these tests, go on while something takes its time."""
        return await self.radio.run(work)

    async def until(self, come: Callable[[], bool]) -> None:
        """Let things go on until something has come."""
        await self.radio.until(come)

    async def settle(self) -> None:
        """Let Home Assistant finish."""
        await self.run(self.radio.settle())

    async def load(self, quirks: Quirks | None = None, *, personality: str | None = None) -> None:
        """Set the entry up, and let it read for the first time."""
        self.service.quirks = quirks or Quirks()
        if personality is not None:
            take_on(personality, self.device, self.service)
        self.radio.scanner.advertise()
        assert await self.run(self.hass.config_entries.async_setup(self.entry.entry_id))
        await self.settle()

    async def unload(self) -> None:
        """Take the entry down, if it is up."""
        if self.entry.state is ConfigEntryState.LOADED:
            assert await self.run(self.hass.config_entries.async_unload(self.entry.entry_id))
            await self.settle()

    async def reload(self) -> None:
        """Take the entry down and set it up again."""
        await self.unload()
        await self.load(self.service.quirks)

    async def wait(self, duration: timedelta) -> None:
        """Let time pass, during which the device advertises now and then if it can."""
        self.radio.scanner.advertise()
        await self.run(self.radio.jump(duration))

    async def hear_twice(self) -> None:
        """Let what the battery shows now be heard often enough to be believed."""
        for current in (-1, -2):
            self.bms.step(current=current, ambient=20, seconds=1)
            await self.radio.send()

    async def call(self, platform: str, action: str, key: str, **data: object) -> None:
        """Do something with an entity, as a user does."""
        target = {"entity_id": entity_id(self.hass, platform, key)}
        await self.run(self.hass.services.async_call(platform, action, {**target, **data}, blocking=True))
        await self.settle()

    async def press(self, key: str) -> None:
        """Press a button."""
        await self.call("button", "press", key)

    async def set(self, key: str, value: float) -> None:
        """Set a number."""
        await self.call("number", "set_value", key, value=value)

    def state(self, platform: str, key: str) -> State:
        """Return the state of an entity."""
        return state_of(self.hass, platform, key)

    def entities(self) -> dict[str, str]:
        """Return the entity ids of the device by key."""
        entries = er.async_entries_for_config_entry(er.async_get(self.hass), self.entry.entry_id)
        return {
            entry.unique_id.removeprefix(f"{ADDRESS.lower()}_"): entry.entity_id
            for entry in entries
            if entry.disabled_by is None
        }

    def has(self, platform: str, key: str) -> bool:
        """Return whether there is such an entity."""
        unique_id = f"{ADDRESS.lower()}_{key}"
        return er.async_get(self.hass).async_get_entity_id(platform, DOMAIN, unique_id) is not None


def is_lost(bench: Bench) -> bool:
    """Return whether the last attempt to read failed."""
    return bench.pages.lost


@asynccontextmanager
async def a_bench(bench: Bench) -> AsyncGenerator[Bench]:
    """Make sure that nothing is left of it in the end."""
    with (
        patch("custom_components.smallbms_ng.coordinator.TIMING", QUICK),
        patch("bleak_retry_connector.calculate_backoff_time", return_value=0),
    ):
        yield bench
        await bench.unload()
    assert bench.idle
    assert not bench.box.forbidden_writes
    assert not bench.device.forbidden_writes
