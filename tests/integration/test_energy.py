"""Energy: what is counted between two advertisements, over silence, and over restarts."""

from collections.abc import Iterator
from datetime import timedelta
from time import monotonic
from unittest.mock import patch

from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, mock_restore_cache_with_extra_data

from custom_components.smallbms_ng.const import DEFAULT_UPDATE_INTERVAL
from custom_components.smallbms_ng.protocol.registers import Name
from emulator.radio.in_process import EmulatedScanner

from .conftest import Radio, entity_id, state_of
from .test_sensor import Writes

INTERVAL = timedelta(seconds=DEFAULT_UPDATE_INTERVAL)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Clock:
    """The clock of the advertisements, which stands still but for what a test lets pass."""

    def __init__(self, radio: Radio) -> None:
        self.now = monotonic()
        self._radio = radio

    def __call__(self) -> float:
        return self.now

    async def wait(self, duration: timedelta) -> None:
        """Let time pass on all clocks."""
        self.now += duration.total_seconds()
        await self._radio.wait(duration)


@pytest.fixture
def clock(radio: Radio) -> Iterator[Clock]:
    clock = Clock(radio)
    with (
        patch("emulator.radio.in_process.monotonic_time_coarse", clock),
        patch("custom_components.smallbms_ng.coordinator.monotonic_time_coarse", clock),
        patch("custom_components.smallbms_ng.stored_energy.MONOTONIC_TIME", clock),
    ):
        yield clock


@pytest.fixture
async def steady(hass: HomeAssistant, radio: Radio, clock: Clock, entry: MockConfigEntry) -> MockConfigEntry:
    """Return the loaded entry of a device that charges with 360 W, heard just now."""
    await radio.send(voltage=10.0, current=36.0, drawn_amphours=50.0)
    await clock.wait(INTERVAL)
    return entry


def energy(hass: HomeAssistant) -> tuple[float, float]:
    """Return the Wh charged and discharged that are shown, in whole Wh."""
    keys = ("energy_charged", "energy_discharged")
    states = [state_of(hass, "sensor", key) for key in keys]
    assert {state.attributes["unit_of_measurement"] for state in states} == {"kWh"}
    charged, discharged = (round(float(state.state) * 1000) for state in states)
    return charged, discharged


async def hear(radio: Radio, clock: Clock, after: timedelta, **changes: object) -> None:
    """Let time pass, and hear the device."""
    await clock.wait(after)
    await radio.send(None, **changes)


@pytest.mark.usefixtures("steady")
async def test_power_is_counted(hass: HomeAssistant, radio: Radio, clock: Clock) -> None:
    await hear(radio, clock, MINUTE - INTERVAL, current=36.0, error=1)
    assert energy(hass) == (6, 0)
    await hear(radio, clock, timedelta(0), current=-36.0, error=0)
    await hear(radio, clock, MINUTE, error=1)
    assert energy(hass) == (6, 6)


@pytest.mark.usefixtures("steady")
async def test_what_is_not_shown_counts_too(hass: HomeAssistant, radio: Radio, clock: Clock) -> None:
    """Within one update interval much flows for two seconds; none of these readings is shown."""
    await radio.send(error=1)
    writes = Writes(hass, entity_id(hass, "sensor", "energy_charged"))
    for current in (1836.0, 1800.0, 36.0):
        clock.now += 1
        await radio.send(current=current)
    assert writes.states == []
    await clock.wait(INTERVAL)
    writes.undo()
    writes.undo_reported()
    # (936 + 1818 + 918) A s at 10 V, and what flowed while the test began
    assert [float(state) for state in writes.states] == [0.010]


@pytest.mark.usefixtures("steady")
async def test_a_battery_that_shows_the_same_all_the_time_is_counted(
    hass: HomeAssistant, radio: Radio, clock: Clock
) -> None:
    radio.device._clock = clock
    before = state_of(hass, "sensor", "voltage")
    for _ in range(4):
        # The same content has another nonce after a minute.
        await hear(radio, clock, MINUTE)
        await clock.wait(INTERVAL)
    assert state_of(hass, "sensor", "voltage") == before
    assert energy(hass)[0] == pytest.approx(26, abs=1)


@pytest.mark.usefixtures("steady")
async def test_silence_is_bridged_by_the_ampere_hours(hass: HomeAssistant, radio: Radio, clock: Clock) -> None:
    await hear(radio, clock, HOUR, drawn_amphours=40.0)
    assert energy(hass) == (100, 0)
    await hear(radio, clock, HOUR, drawn_amphours=45.0)
    assert energy(hass) == (100, 50)


@pytest.mark.usefixtures("steady")
async def test_silence_is_not_invented(hass: HomeAssistant, radio: Radio, clock: Clock) -> None:
    await hear(radio, clock, HOUR, drawn_amphours=None)
    assert energy(hass) == (0, 0)


@pytest.mark.parametrize("uptime", [None, 5.0])
async def test_a_restart_goes_on(
    hass: HomeAssistant, radio: Radio, clock: Clock, steady: MockConfigEntry, uptime: float | None
) -> None:
    """Also one of the machine, whose clock of advertisements then begins anew."""
    await hear(radio, clock, HOUR, drawn_amphours=40.0)
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    await clock.wait(5 * MINUTE)
    clock.now = uptime or clock.now
    assert await hass.config_entries.async_setup(steady.entry_id)
    assert energy(hass) == (100, 0)
    await radio.send(drawn_amphours=30.0, error=1)
    assert energy(hass) == (200, 0)
    assert steady.runtime_data.instant_readout.meter.energy.bridged_time == pytest.approx(3600 + 300, abs=60)


def restore(hass: HomeAssistant, charged: int, discharged: int) -> None:
    """Make these Wh what Home Assistant says was shown last."""
    shown = {"energy_charged": charged, "energy_discharged": discharged}
    kept = [
        (State(entity_id(hass, "sensor", key), str(value)), {"native_value": value, "native_unit_of_measurement": "Wh"})
        for key, value in shown.items()
    ]
    mock_restore_cache_with_extra_data(hass, kept)


async def test_after_a_crash_nothing_goes_back(
    hass: HomeAssistant, radio: Radio, clock: Clock, steady: MockConfigEntry
) -> None:
    """What was shown last may be newer than what the meter kept, which bridges the time since."""
    await hear(radio, clock, HOUR, drawn_amphours=40.0)
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    restore(hass, 150, 20)
    await clock.wait(5 * MINUTE)
    assert await hass.config_entries.async_setup(steady.entry_id)
    assert energy(hass) == (150, 20)
    await radio.send(drawn_amphours=37.0, error=1)
    assert energy(hass) == (150, 20)
    await hear(radio, clock, 5 * MINUTE, drawn_amphours=30.0, error=0)
    assert energy(hass) == (200, 20)


@pytest.mark.parametrize("damage", [None, {}, {"energy": {"counted": {"of": 1.0}, "last": None}, "codes": [7]}])
async def test_without_what_the_meter_kept_it_goes_on_from_what_was_shown(
    hass: HomeAssistant,
    radio: Radio,
    clock: Clock,
    steady: MockConfigEntry,
    hass_storage: dict[str, dict[str, object]],
    damage: dict[str, object] | None,
) -> None:
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    if damage is None:
        del hass_storage[f"smallbms_ng.{steady.entry_id}"]
    else:
        hass_storage[f"smallbms_ng.{steady.entry_id}"]["data"] = damage
    restore(hass, 150, 20)
    assert await hass.config_entries.async_setup(steady.entry_id)
    await radio.send(error=1)
    assert energy(hass) == (150, 20)
    await hear(radio, clock, MINUTE, error=0)
    assert energy(hass) == (156, 20)


async def test_a_clock_that_was_put_back_stops_nothing(
    hass: HomeAssistant, radio: Radio, clock: Clock, steady: MockConfigEntry
) -> None:
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    radio.freezer.move_to(utcnow() - 24 * HOUR)
    assert await hass.config_entries.async_setup(steady.entry_id)
    await radio.send(error=1)
    await hear(radio, clock, MINUTE, error=0)
    assert energy(hass) == (6, 0)


async def test_another_proxy_takes_over(
    hass: HomeAssistant, radio: Radio, clock: Clock, steady: MockConfigEntry
) -> None:
    """It may have heard the next record before the first one delivered its own."""
    second = radio.add(EmulatedScanner(radio.device, source="AA:BB:CC:DD:EE:02"))
    meter = steady.runtime_data.instant_readout.meter
    before = meter.energy.charged
    await radio.send(error=1)
    radio.undo.pop(0)()
    clock.now -= 1
    await radio.send(second, error=2)
    clock.now += 61
    await radio.send(second, error=3)
    assert meter.energy.charged - before == pytest.approx(0.5 + 6)


async def test_what_is_read_over_a_connection_counts(
    hass: HomeAssistant, clock: Clock, steady: MockConfigEntry
) -> None:
    """During it, the device sends nothing."""
    coordinator = steady.runtime_data.instant_readout
    for _ in range(2):
        await clock.wait(MINUTE)
        coordinator.async_feed({Name.VOLTAGE: 10.0, Name.CURRENT: 36.0})
    counted = coordinator.meter.energy.charged
    await clock.wait(MINUTE)
    coordinator.async_feed({Name.VOLTAGE: 10.0})
    assert coordinator.meter.energy.charged == counted == pytest.approx(12.5)


@pytest.mark.usefixtures("entry")
async def test_power_each_way_is_off_by_default(hass: HomeAssistant) -> None:
    for key in ("charge_power", "discharge_power"):
        found = er.async_get(hass).async_get(entity_id(hass, "sensor", key))
        assert found
        assert found.disabled_by is er.RegistryEntryDisabler.INTEGRATION


@pytest.mark.parametrize(
    ("current", "charge", "discharge"),
    [(5.0, "50.0", "0.0"), (-5.0, "0.0", "50.0"), (0.0, "0.0", "0.0"), (None, "unknown", "unknown")],
)
async def test_power_each_way(
    hass: HomeAssistant,
    radio: Radio,
    entry: MockConfigEntry,
    current: float | None,
    charge: str,
    discharge: str,
) -> None:
    for key in ("charge_power", "discharge_power"):
        er.async_get(hass).async_update_entity(entity_id(hass, "sensor", key), disabled_by=None)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.send(voltage=10.0, current=current, error=1)
    assert state_of(hass, "sensor", "charge_power").state == charge
    assert state_of(hass, "sensor", "discharge_power").state == discharge
