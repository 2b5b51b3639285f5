"""Home Assistant with its real Bluetooth manager, and an emulated device near an in-process radio."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final
from unittest.mock import PropertyMock, patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_clear_advertisement_history,
    async_last_service_info,
)
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.const import CONF_ADDRESS
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion

from custom_components.smallbms_ng.const import CONF_CAPACITY, CONF_KEY, CONF_PRODUCT_ID, DOMAIN
from custom_components.smallbms_ng.coordinator import AGES_CHECK, UNLEARNED_SILENCE
from emulator.device import DEFAULT_ADDRESS, DEFAULT_KEY, DEFAULT_NAME, EmulatedDevice
from emulator.gatt import Link
from emulator.radio.in_process import EmulatedScanner
from emulator.snapshot import IoField, Level, LevelField, Snapshot
from tests.options import WITHOUT_STATE_OF_CHARGE

ADDRESS: Final = DEFAULT_ADDRESS
KEY: Final = DEFAULT_KEY.hex()
PRODUCT_ID: Final = 0xA3EC

# Ah of the whole bank, as an owner enters it whose device does not send its state of charge.
ENTERED_CAPACITY: Final = 1000.0

LONGEST_STEP: Final = timedelta(seconds=90)
# After so long without an advertisement, a device of which the usual interval is not known is silent.
UNTIL_SILENT: Final = UNLEARNED_SILENCE + AGES_CHECK

FIRST_SNAPSHOT: Final = Snapshot(
    voltage=13.28,
    current=-4.2,
    state_of_charge=76.5,
    time_to_go=600,
    temperature=21,
    drawn_amphours=23.5,
    io={IoField.ALLOWED_TO_CHARGE: True, IoField.ALLOWED_TO_DISCHARGE: True, IoField.REMOTE_ON: True},
    levels=dict.fromkeys(LevelField, Level.OK),
)


@pytest.fixture
def all_enabled() -> Iterator[None]:
    """Let every entity be enabled when it is added, also those that a user has to enable."""
    with patch("homeassistant.helpers.entity.Entity.entity_registry_enabled_default", PropertyMock(return_value=True)):
        yield


@pytest.fixture(autouse=True)
def _custom_integrations(enable_custom_integrations: None) -> None:
    """Let Home Assistant load the integration."""


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no progress be shown for a browser that is not there."""
    for module in ("config_flow", "repairs"):
        monkeypatch.setattr(f"custom_components.smallbms_ng.{module}.SHORTEST_PROGRESS", 0)


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Compare without what differs from run to run."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


class Clock:
    """The monotonic clock of advertisements and ages, which stands still but for what a test lets pass."""

    def __init__(self) -> None:
        self.now = monotonic()

    def __call__(self) -> float:
        return self.now


@dataclass
class Radio:
    """One emulated device and the radios that hear it, as a test turns them."""

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory
    snapshot: Snapshot = FIRST_SNAPSHOT
    undo: list[Callable[[], None]] = field(default_factory=list)
    advertises_state_of_charge: bool = True

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.device = self.make_device()
        self.scanner = self.add(EmulatedScanner(self.device))

    def make_device(self, address: str = DEFAULT_ADDRESS, name: str = DEFAULT_NAME, nonce: int = 0) -> EmulatedDevice:
        """Return a device that shows the same battery."""
        return EmulatedDevice(
            self._readout,
            address=address,
            name=name,
            nonce=nonce,
            clock=self.clock,
            advertises_state_of_charge=self.advertises_state_of_charge,
        )

    def _readout(self) -> Snapshot:
        """Return what the battery shows; without its state of charge, the Ah that were drawn tell the same.

        A test that says what was drawn is about that.
        """
        snapshot = self.snapshot
        if self.advertises_state_of_charge or snapshot.drawn_amphours != FIRST_SNAPSHOT.drawn_amphours:
            return snapshot
        percent = snapshot.state_of_charge
        return replace(snapshot, drawn_amphours=None if percent is None else (100 - percent) / 100 * ENTERED_CAPACITY)

    def add(self, scanner: EmulatedScanner) -> EmulatedScanner:
        """Add a radio to Home Assistant until the end of the test."""
        self.undo.append(scanner.register(self.hass))
        return scanner

    async def send(self, scanner: EmulatedScanner | None = None, **changes: object) -> None:
        """Change what the battery shows, advertise it once, and let Home Assistant take it in."""
        self.advertise(scanner, **changes)
        await self.settle()

    async def confirm(self, scanner: EmulatedScanner | None = None, **changes: object) -> None:
        """Change what the battery shows, and advertise it in two records, so that its flags are believed."""
        self.advertise(scanner, **changes)
        self.clock.now += 1
        for device in (scanner or self.scanner).devices.values():
            device.renew_nonce()
        await self.send(scanner)

    def advertise(self, scanner: EmulatedScanner | None = None, **changes: object) -> None:
        """Change what the battery shows and advertise it once."""
        self.snapshot = replace(self.snapshot, **changes)  # type: ignore[arg-type]  # names and types are the caller's
        (scanner or self.scanner).advertise()

    async def send_levels(self, levels: Mapping[LevelField, Level]) -> None:
        """Advertise with other levels, the rest being OK."""
        await self.confirm(levels={**dict.fromkeys(LevelField, Level.OK), **levels})

    async def send_bytes(self, manufacturer_data: bytes) -> None:
        """Advertise any bytes in place of a record."""
        self.scanner.advertise_bytes(self.device, manufacturer_data)
        await self.settle()

    def count_connections(self) -> Counter[str]:
        """Return a count, by radio, of the connections that the device gets from now on."""
        counted: Counter[str] = Counter()
        connect = self.device.peripheral.connect

        def connected(
            central: str,
            *,
            on_notify: Callable[[int, bytes], None] = lambda _handle, _data: None,
            on_lost: Callable[[], None] = lambda: None,
            has_key: bool = True,
        ) -> Link:
            counted[central] += 1
            return connect(central, on_notify=on_notify, on_lost=on_lost, has_key=has_key)

        self.device.peripheral.connect = connected  # type: ignore[method-assign]  # for the rest of the test
        return counted

    def later(self, seconds: float) -> datetime:
        """Return a time to come."""
        return utcnow() + timedelta(seconds=seconds)

    def service_info(self) -> BluetoothServiceInfoBleak:
        """Return what Bluetooth holds of the device."""
        info = async_last_service_info(self.hass, self.device.address, connectable=False)
        assert info
        return info

    def forget(self) -> None:
        """Let Bluetooth forget what it heard, as a restart without a stored history does."""
        async_clear_advertisement_history(self.hass, self.device.address)

    async def settle(self) -> None:
        """Let Home Assistant finish; discovery runs in the background."""
        await self.hass.async_block_till_done(wait_background_tasks=True)

    async def run[Result](self, work: Coroutine[object, object, Result]) -> Result:
        """Let the clock, which stands still in these tests, go on while something takes its time."""
        task = asyncio.ensure_future(work)
        while not task.done():
            self.tick(timedelta(seconds=0.01))
            await asyncio.sleep(0)
        return task.result()

    async def until(self, come: Callable[[], bool]) -> None:
        """Let things go on until something has come."""
        while not come():
            self.tick(timedelta(seconds=0.01))
            await asyncio.sleep(0)

    def tick(self, duration: timedelta) -> None:
        """Let time pass on all clocks, and no timer notice."""
        self.clock.now += duration.total_seconds()
        self.freezer.tick(duration)

    async def jump(self, duration: timedelta) -> None:
        """Let time pass at one go: each timer has one turn."""
        self.tick(duration)
        async_fire_time_changed(self.hass)
        await self.settle()

    async def wait(self, duration: timedelta) -> None:
        """Let time pass, in steps small enough for every timer to have all its turns."""
        while duration > timedelta():
            step = min(duration, LONGEST_STEP)
            await self.jump(step)
            duration -= step


@pytest.fixture
async def radio(
    pytestconfig: pytest.Config,
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    mock_bluetooth_adapters: None,
    mock_bleak_scanner_start: None,
) -> AsyncGenerator[Radio]:
    """Return a radio that hears one emulated device, which has sent nothing yet."""
    assert await async_setup_component(hass, "bluetooth", {})
    await hass.async_block_till_done()
    without = pytestconfig.getoption(WITHOUT_STATE_OF_CHARGE)
    EnteredOptions.now = {CONF_CAPACITY: ENTERED_CAPACITY} if without else {}
    radio = Radio(hass, freezer, advertises_state_of_charge=not without)
    with (
        patch("emulator.radio.in_process.monotonic_time_coarse", radio.clock),
        patch("custom_components.smallbms_ng.clock.monotonic_time_coarse", radio.clock),
    ):
        yield radio
        for one in radio.undo:
            one()


class EnteredOptions:
    """What an owner has entered as options; the capacity, where the device does not send its state of charge."""

    now: dict[str, float] = {}  # noqa: RUF012  # one for all tests of a run


def make_entry(address: str = ADDRESS, key: str = KEY, title: str = DEFAULT_NAME) -> MockConfigEntry:
    """Return a config entry as the flow makes it."""
    return MockConfigEntry(
        domain=DOMAIN,
        unique_id=address,
        title=title,
        data={CONF_ADDRESS: address, CONF_KEY: key, CONF_PRODUCT_ID: PRODUCT_ID},
        options=EnteredOptions.now,
    )


@pytest.fixture
async def entry(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[MockConfigEntry]:
    """Return the loaded entry of a device that was heard once."""
    entry = make_entry()
    entry.add_to_hass(hass)
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    yield entry
    if entry.state is ConfigEntryState.LOADED:
        await hass.config_entries.async_unload(entry.entry_id)


def entity_id(hass: HomeAssistant, platform: str, key: str, address: str = ADDRESS) -> str:
    """Return the entity that has a key."""
    found = er.async_get(hass).async_get_entity_id(platform, DOMAIN, f"{address.lower()}_{key}")
    assert found, f"there is no {platform} {key}"
    return found


def state_of(hass: HomeAssistant, platform: str, key: str, address: str = ADDRESS) -> State:
    """Return the state of the entity that has a key."""
    state = hass.states.get(entity_id(hass, platform, key, address))
    assert state, f"{platform} {key} has no state"
    return state


def flows(hass: HomeAssistant, handler: str = DOMAIN) -> list[ConfigFlowResult]:
    """Return the flows in progress of an integration."""
    return hass.config_entries.flow.async_progress_by_handler(handler)
