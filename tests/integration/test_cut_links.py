"""The link is cut at every single place, through Home Assistant: whatever was under way, all is right before long."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.smallbms_ng.coordinator import KEEP_OPEN
from emulator.gatt import DEFAULT_MTU

from .bench import Bench, a_bench, is_lost
from .conftest import Radio, entity_id
from .traffic import NOWHERE, Traffic

# The places of a whole read are divided among so many tests, so that each stays short.
PARTS: Final = 3
SMALLEST_MTU: Final = 23
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
READINGS: Final = (("sensor", "voltage"), ("sensor", "battery_level"), ("binary_sensor", "allowed_to_charge"))
FLOORS: Final = (10, 12)

# Also what a user has to enable.
pytestmark = pytest.mark.usefixtures("all_enabled")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


@pytest.fixture
def traffic(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Traffic:
    traffic = Traffic(bench.device)
    traffic.tap(monkeypatch)
    return traffic


class Readings:
    """Watches whether a reading that was there becomes unavailable, be it for a moment."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._ids = {entity_id(bench.hass, platform, key) for platform, key in READINGS}
        self.lost: list[str] = []
        self.end = bench.hass.bus.async_listen(EVENT_STATE_CHANGED, self._changed)

    @callback
    def _changed(self, event: Event[EventStateChangedData]) -> None:
        old, new = event.data["old_state"], event.data["new_state"]
        if old and new and old.state != STATE_UNAVAILABLE == new.state and new.entity_id in self._ids:
            self.lost.append(new.entity_id)

    @property
    def all_shown(self) -> bool:
        """Whether all are there, and were all the time."""
        return not self.lost and all(
            self._bench.state(platform, key).state != STATE_UNAVAILABLE for platform, key in READINGS
        )


async def load_anew(bench: Bench, hass_storage: dict[str, Any]) -> None:
    """Let the entry read for the first time, as if nothing had ever been kept."""
    await bench.unload()
    if stored := hass_storage.get(f"smallbms_ng.{bench.entry.entry_id}"):
        stored["data"]["pages"] = {}
    await bench.load()


@pytest.mark.parametrize("part", range(PARTS))
async def test_the_first_read(bench: Bench, traffic: Traffic, hass_storage: dict[str, Any], part: int) -> None:
    with traffic.cut_at(NOWHERE):
        await bench.load()
    for place in traffic.places[part::PARTS]:
        await bench.unload()
        readings = Readings(bench)
        with traffic.cut_at(place):
            await load_anew(bench, hass_storage)
        assert bench.idle, place
        await bench.wait(MINUTE + SECOND)
        assert not is_lost(bench), place
        assert readings.all_shown, place
        assert bench.state("number", "discharge_floor").state == "10.0", place
        assert bench.state("sensor", "batteries").state == "4", place
        assert float(bench.state("sensor", "battery_4_cell_4").state) > 3, place
        assert bench.idle, place
        readings.end()


@pytest.mark.parametrize("mtu", [DEFAULT_MTU, SMALLEST_MTU])
async def test_a_write(bench: Bench, traffic: Traffic, mtu: int) -> None:
    """The number shows the old value or the new one, but before long what the device has."""
    bench.device.peripheral.mtu = mtu
    await bench.load()
    # The first write learns how the device takes writes; all later ones take the same places.
    await bench.set("discharge_floor", FLOORS[1])
    await bench.wait(KEEP_OPEN + SECOND)
    with traffic.cut_at(NOWHERE):
        await bench.set("discharge_floor", FLOORS[0])
    await bench.wait(KEEP_OPEN + SECOND)
    readings = Readings(bench)
    for place in traffic.places:
        old = bench.bms.settings.discharge_floor
        new = sum(FLOORS) - old
        with traffic.cut_at(place), suppress(HomeAssistantError):
            await bench.set("discharge_floor", new)
        # For a moment, a number that was refused shows nothing.
        shown = bench.state("number", "discharge_floor").state
        assert shown == STATE_UNKNOWN or float(shown) in {old, new}, place
        await bench.wait(KEEP_OPEN + SECOND)
        assert bench.idle, place
        await bench.wait(MINUTE + SECOND)
        assert not is_lost(bench), place
        assert bench.bms.settings.discharge_floor in {old, new}, place
        assert float(bench.state("number", "discharge_floor").state) == bench.bms.settings.discharge_floor, place
        assert bench.idle, place
    assert readings.all_shown
    readings.end()
