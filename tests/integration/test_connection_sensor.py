"""The sensor that tells how it stands with the connection, and when the last good one was."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from habluetooth import DiscoveredDeviceAdvertisementData
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, State
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import mock_restore_cache

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL
from custom_components.smallbms_ng.coordinator import KEEP_OPEN
from emulator.radio.in_process import EmulatedScanner
from emulator.ve_smart.register_box import Refusal

from .bench import Bench, a_bench
from .conftest import Radio, entity_id

INTERVAL = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
OTHER_RADIO = "02:00:00:00:E5:04"
RESTORED = "2026-11-01T10:00:00+00:00"


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


def shown(bench: Bench) -> str:
    return bench.state("sensor", "connection").state


def last_connected(bench: Bench) -> datetime | None:
    value = bench.state("sensor", "connection").attributes["last_connected"]
    assert value is None or isinstance(value, datetime)
    return value


class Written:
    """The states that were written from now on."""

    def __init__(self, bench: Bench) -> None:
        self.states: list[str] = []
        async_track_state_change_event(bench.hass, entity_id(bench.hass, "sensor", "connection"), self._changed)

    @property
    def different(self) -> list[str]:
        """The states, without those in which only an attribute changed: the first one was ready."""
        return [state for before, state in pairwise(["ready", *self.states]) if state != before]

    def _changed(self, event: Event[EventStateChangedData]) -> None:
        if new := event.data["new_state"]:
            self.states.append(new.state)


async def test_a_routine_read_does_not_change_the_state(bench: Bench) -> None:
    """Each change is a row in the logbook. What changes is when the last good connection was."""
    await bench.load()
    before, written = last_connected(bench), Written(bench)
    for _ in range(3):
        await bench.wait(INTERVAL)
    assert set(written.states) == {"ready"}
    now = last_connected(bench)
    assert before
    assert now
    assert timedelta() <= utcnow() - now < MINUTE < now - before


async def test_nor_does_what_a_user_writes(bench: Bench) -> None:
    await bench.load()
    written = Written(bench)
    await bench.set("tail_current", 5)
    await bench.wait(KEEP_OPEN + timedelta(seconds=1))
    assert set(written.states) == {"ready"}


async def test_backing_off_until_it_works_again(bench: Bench) -> None:
    await bench.load()
    good, written = last_connected(bench), Written(bench)
    bench.device.faults.refuse_connections = True
    for _ in range(9):
        await bench.wait(MINUTE)
    # Several attempts, and one state.
    assert written.states == ["backing_off"]
    assert last_connected(bench) == good
    bench.device.faults.refuse_connections = False
    await bench.press("read_now")
    assert written.states == ["backing_off", "ready"]


async def test_broken_off_in_the_middle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.load()
    written, read = Written(bench), bench.box.read

    def read_and_lose_link(instance: int, register: int) -> Sequence[bytes] | Refusal:
        bench.device.faults.lose_link_after = 0
        return read(instance, register)

    monkeypatch.setattr(bench.box, "read", read_and_lose_link)
    await bench.wait(INTERVAL)
    assert written.states == ["backing_off"]


async def test_not_paired(bench: Bench) -> None:
    await bench.load()
    bench.radio.scanner.pin = None
    bench.device.peripheral.bonds.clear()
    await bench.wait(INTERVAL)
    assert shown(bench) == "not_paired"


async def test_nothing_to_connect_with(hass: HomeAssistant, radio: Radio) -> None:
    radio.undo.pop()()
    radio.scanner = radio.add(EmulatedScanner(radio.device, connectable=False))
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        await bench.wait(INTERVAL)
        assert shown(bench) == "no_path"
        assert last_connected(bench) is None


async def test_the_only_proxy_goes_and_comes_back(bench: Bench) -> None:
    """Home Assistant remembers what a proxy has heard, also when it is gone."""
    await bench.load()
    written = Written(bench)
    bench.radio.scanner.advertise()
    bench.radio.undo.pop()()
    assert shown(bench) == "no_path"
    bench.radio.scanner = bench.radio.add(EmulatedScanner(bench.device, pin=bench.device.pin))
    bench.radio.scanner.advertise()
    await bench.wait(MINUTE)
    assert written.different == ["no_path", "ready"]


async def test_one_of_two_radios_goes(bench: Bench) -> None:
    await bench.load()
    written = Written(bench)
    other = bench.radio.add(EmulatedScanner(bench.device, source=OTHER_RADIO, pin=bench.device.pin))
    other.advertise()
    bench.radio.undo.pop(0)()
    assert shown(bench) == "ready"
    bench.radio.undo.pop()()
    await bench.settle()
    assert written.different == ["no_path"]


async def test_the_device_is_silent(bench: Bench) -> None:
    """The proxy is there, and drops what it has heard after some minutes. Nothing tells of that."""
    await bench.load()
    nothing = DiscoveredDeviceAdvertisementData(True, 195, {}, {})
    bench.radio.scanner.restore_discovered_devices(nothing)
    assert shown(bench) == "ready"
    await bench.run(bench.radio.wait(MINUTE))
    assert shown(bench) == "no_path"


async def test_on_demand_only_nothing_is_tried_again(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0})) as bench:
        await bench.load()
        bench.device.faults.refuse_connections = True
        with pytest.raises(Exception, match="connect"):
            await bench.press("read_now")
        assert shown(bench) == "ready"


async def test_the_last_good_one_outlasts_a_restart(hass: HomeAssistant, radio: Radio) -> None:
    found = State("sensor.smallbms_ng_hq2642emu01_connection", "ready", {"last_connected": RESTORED})
    mock_restore_cache(hass, (found,))
    async with a_bench(Bench(hass, radio)) as bench:
        bench.device.faults.refuse_connections = True
        await bench.load()
        assert shown(bench) == "backing_off"
        assert last_connected(bench) == datetime.fromisoformat(RESTORED)
        bench.device.faults.refuse_connections = False
        await bench.press("read_now")
        assert last_connected(bench) != datetime.fromisoformat(RESTORED)


async def test_without_a_pin_there_is_none(hass: HomeAssistant, radio: Radio) -> None:
    """Also not where one was taken away."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        assert bench.has("sensor", "connection")
        await bench.unload()
        data = {key: value for key, value in bench.entry.data.items() if key != "pin"}
        hass.config_entries.async_update_entry(bench.entry, data=data)
        await bench.load()
        assert not bench.has("sensor", "connection")
