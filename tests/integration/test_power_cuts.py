"""Home Assistant is killed: what the recorder knows keeps the counters of energy from falling."""

from collections.abc import AsyncGenerator
from copy import deepcopy
from datetime import timedelta
from itertools import pairwise

from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events
from pytest_homeassistant_custom_component.components.recorder.common import async_wait_recording_done
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager

from .conftest import Radio, entity_id
from .test_energy import HOUR, INTERVAL, MINUTE, hear, not_known, steady

__all__ = ["steady"]


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Let the recorder be prepared before Home Assistant."""


@pytest.fixture
async def recorder(hass: HomeAssistant, async_test_recorder: RecorderInstanceContextManager) -> AsyncGenerator[None]:
    """Record all states in memory."""
    async with async_test_recorder(hass):
        yield


class Killed:
    """A Home Assistant that is killed: nothing is written any more, but what the recorder has."""

    def __init__(self, hass: HomeAssistant, radio: Radio, storage: dict[str, object], entry: MockConfigEntry) -> None:
        self._hass = hass
        self._radio = radio
        self._storage = storage
        self._entry = entry

    async def restart(self) -> None:
        """Kill it, and start it again with what was written until then."""
        await async_wait_recording_done(self._hass)
        written = deepcopy(self._storage)
        assert await self._hass.config_entries.async_unload(self._entry.entry_id)
        self._storage.clear()
        self._storage.update(written)
        self._radio.forget()
        assert await self._hass.config_entries.async_setup(self._entry.entry_id)


@pytest.mark.usefixtures("recorder")
async def test_twelve_power_cuts_lose_nothing(
    hass: HomeAssistant, radio: Radio, steady: MockConfigEntry, hass_storage: dict[str, object]
) -> None:
    """What the recorder knows is newer than what was kept. A battery that changes direction loses nothing either."""
    killed = Killed(hass, radio, hass_storage, steady)
    changes = async_capture_events(hass, EVENT_STATE_CHANGED)
    drawn = 50.0
    for cut in range(12):
        for current, minutes in ((36.0, 8), (-18.0, 8 + cut % 2)):
            await hear(radio, timedelta(0), current=current)
            for _ in range(minutes):
                drawn -= current / 60
                await hear(radio, MINUTE, current=current, drawn_amphours=drawn)
        await radio.wait(INTERVAL)
        await killed.restart()
        assert not_known(hass)
    await hear(radio, MINUTE, drawn_amphours=drawn)
    for key, expected in (("energy_charged", 12 * 8 * 6), ("energy_discharged", 12 * 8.5 * 3)):
        assert risen(changes, entity_id(hass, "sensor", key)) == pytest.approx(expected, rel=0.01)
        assert never_falls(changes, entity_id(hass, "sensor", key))


@pytest.mark.usefixtures("recorder")
async def test_what_was_recorded_at_different_moments_fits_together(
    hass: HomeAssistant, radio: Radio, steady: MockConfigEntry, hass_storage: dict[str, object]
) -> None:
    """The consumed Ah may have been recorded later than the energy: what flowed in between is not lost."""
    changes = async_capture_events(hass, EVENT_STATE_CHANGED)
    began = radio.clock.now

    async def charge(seconds: int) -> float:
        """Let 180 A flow for a while, which is 0.5 Wh a second; return the Wh since the beginning."""
        await radio.wait(timedelta(seconds=seconds))
        amphours = (radio.clock.now - began) / 20
        await radio.send(current=180.0, drawn_amphours=500 - amphours)
        return amphours * 10

    for _ in range(3):
        flowed = await charge(60)
    (shown_first,) = shown(changes, entity_id(hass, "sensor", "energy_charged"))[-1:]
    for seconds in (60, 60, 20, 20):
        await charge(seconds)
    await Killed(hass, radio, hass_storage, steady).restart()
    for _ in range(3):
        flowed_last = await charge(60)
    (shown_last,) = shown(changes, entity_id(hass, "sensor", "energy_charged"))[-1:]
    assert shown_last - shown_first == pytest.approx(flowed_last - flowed, abs=2)


def shown(changes: list[Event[EventStateChangedData]], entity: str) -> list[float]:
    """Return the Wh that were shown, one after the other."""
    states = [change.data["new_state"] for change in changes if change.data["entity_id"] == entity]
    return [float(state.state) * 1000 for state in states if state and state.state.replace(".", "").isdigit()]


def risen(changes: list[Event[EventStateChangedData]], entity: str) -> float:
    """Return what the recorder's statistics make of what was shown: a counter that falls has begun anew."""
    values = shown(changes, entity)
    return sum(later - earlier if later >= earlier else later for earlier, later in pairwise(values))


def never_falls(changes: list[Event[EventStateChangedData]], entity: str) -> bool:
    values = shown(changes, entity)
    return values == sorted(values)


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("unit", ["kWh", "Wh", "MWh"])
async def test_without_what_the_meter_kept_it_goes_on_from_what_was_recorded(
    hass: HomeAssistant,
    radio: Radio,
    steady: MockConfigEntry,
    hass_storage: dict[str, dict[str, object]],
    unit: str,
) -> None:
    """Whatever unit the owner chose."""
    charged = entity_id(hass, "sensor", "energy_charged")
    er.async_get(hass).async_update_entity_options(charged, "sensor", {"unit_of_measurement": unit})
    await hear(radio, HOUR, drawn_amphours=40.0)
    await radio.wait(INTERVAL)
    await async_wait_recording_done(hass)
    assert await hass.config_entries.async_unload(steady.entry_id)
    radio.forget()
    del hass_storage[f"smallbms_ng.{steady.entry_id}"]
    assert await hass.config_entries.async_setup(steady.entry_id)
    await radio.send(drawn_amphours=35.0)
    assert steady.runtime_data.instant_readout.meter.energy.charged == pytest.approx(150, abs=1.1)
