"""The front panel without a browser: the page, and the events that feed it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
import json
from math import inf
import re

from aiohttp import ClientResponse, ClientSession
import pytest

from emulator.bms.codes import CODES
from emulator.control import ROUTES, Control
from emulator.panel.panel import PAGE
from emulator.panel.recorder import MOST_SAMPLES, Recorder
from emulator.reading.state import JsonObject
from emulator.rig import Rig
from emulator.simulation.faults import FAULTS

from .rigs import rig_of, two

pytestmark = pytest.mark.usefixtures("socket_enabled")

LIMIT = 60.0
SOURCE = PAGE.read_text(encoding="utf-8")


@pytest.fixture
async def rig() -> AsyncGenerator[Rig]:
    rig = rig_of(two())
    await rig.start(0)
    yield rig
    await rig.stop()


@pytest.fixture
async def control(rig: Rig) -> AsyncGenerator[Control]:
    control = Control(rig, panel=True)
    await control.start(0)
    yield control
    await control.stop()


@asynccontextmanager
async def events(control: Control, device: int = 1) -> AsyncIterator[ClientResponse]:
    async with ClientSession() as session, session.get(f"{control.address}/events?device={device}") as response:
        assert response.content_type == "text/event-stream"
        yield response


async def following(response: ClientResponse, name: str) -> JsonObject:
    """Return the next event of a name."""
    found = ""
    while True:
        line = (await asyncio.wait_for(response.content.readline(), LIMIT)).decode().rstrip("\n")
        if line.startswith("event: "):
            found = line.removeprefix("event: ")
        if line.startswith("data: ") and found == name:
            content: JsonObject = json.loads(line.removeprefix("data: "))
            return content


async def post(control: Control, path: str, body: JsonObject) -> int:
    async with ClientSession() as session, session.post(control.address + path, json=body) as response:
        return response.status


async def test_the_page_needs_nothing_else(control: Control) -> None:
    async with ClientSession() as session, session.get(f"{control.address}/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "connect-src 'self'" in response.headers["Content-Security-Policy"]
        assert await response.text() == SOURCE
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", SOURCE)
    assert "http" not in SOURCE.replace("http://www.w3.org/2000/svg", "")


async def test_without_the_option_there_is_no_panel(rig: Rig) -> None:
    control = Control(rig)
    await control.start(0)
    async with ClientSession() as session:
        for path in ("/", "/events"):
            async with session.get(control.address + path) as response:
                assert response.status == 404
    await control.stop()


async def test_what_the_page_asks_for_exists() -> None:
    asked = set(re.findall(r'ask\("([A-Z]+)", [`"]([^`"$]*)', SOURCE))
    known = {(route.method, route.path.replace("*", "")) for route in ROUTES}
    assert len(asked) > 10
    assert asked <= known


async def test_a_browser_is_told_everything_at_first(control: Control) -> None:
    async with events(control) as response:
        catalog = await following(response, "catalog")
        assert catalog["devices"] == [{"number": 1, "name": "Port"}, {"number": 2, "name": "Starboard"}]
        faults, codes = catalog["faults"], catalog["codes"]
        assert isinstance(faults, list)
        assert isinstance(codes, list)
        assert [fault["name"] for fault in faults] == list(FAULTS)
        assert [code["code"] for code in codes] == list(CODES)
        assert all(code["advice"].endswith(".") for code in codes)
        assert set(await following(response, "history")) == {"elapsed", "current", "power", "state_of_charge"}
        assert (await following(response, "state"))["faults"] == []


async def test_a_change_is_told(control: Control, rig: Rig) -> None:
    async with events(control) as response:
        await following(response, "state")
        assert await post(control, "/faults/frozen", {}) == 200
        state = await following(response, "state")
        assert state["faults"] == ["frozen"]
        assert state["outputs"] == {"load": True, "charger": False, "pre_alarm": False}
    assert not rig.stations[0].bms.outputs.charger


async def test_each_browser_sees_the_device_that_it_asks_for(control: Control, rig: Rig) -> None:
    rig.stations[1].faults.apply("hot")
    async with events(control, device=2) as response:
        assert (await following(response, "state"))["faults"] == ["hot"]
    async with ClientSession() as session, session.get(f"{control.address}/events?device=3") as response:
        assert response.status == 404


async def test_samples_follow_the_time_of_the_battery(control: Control, rig: Rig) -> None:
    async with events(control) as response:
        await following(response, "history")
        await post(control, "/advance", {"seconds": 5})
        assert (await following(response, "sample"))["elapsed"] == [5.0]
        await post(control, "/advance", {"seconds": 3600})
        # What was before a leap is not of the last minutes.
        assert (await following(response, "history"))["elapsed"] == [3605.0]
    assert rig.stations[0].simulation.elapsed == 3605


async def test_a_change_of_speed_is_no_leap() -> None:
    (station, _) = rig_of(two()).stations
    recorder = Recorder(station)
    for speed in (60.0, 60.0, 1.0, 1.0, 300.0, inf, inf):
        recorder.record(speed)
        station.simulation.elapsed += min(speed, 1e6)
    assert recorder.beginnings == 0


async def test_open_browsers_do_not_keep_it_from_ending(rig: Rig) -> None:
    control = Control(rig, panel=True)
    await control.start(0)
    async with events(control) as response:
        await following(response, "state")
        await asyncio.wait_for(control.stop(), LIMIT)
        rest = await asyncio.wait_for(response.content.read(), LIMIT)
    assert b"event: state" not in rest


async def test_strangers_see_no_events(control: Control) -> None:
    headers = {"Origin": "http://example.org"}
    async with ClientSession() as session, session.get(f"{control.address}/events", headers=headers) as response:
        assert response.status == 403


async def test_a_recorder_keeps_the_last_minutes_and_no_moment_twice() -> None:
    (station, _) = rig_of(two()).stations
    recorder = Recorder(station)
    for _ in range(MOST_SAMPLES + 10):
        station.simulation.elapsed += 1
        recorder.record(1.0)
        recorder.record(1.0)
    elapsed = recorder.all()["elapsed"]
    assert elapsed == [float(number) for number in range(11, MOST_SAMPLES + 11)]
    assert recorder.latest()["elapsed"] == [MOST_SAMPLES + 10.0]


# What its sliders set


async def test_the_world_by_hand(control: Control, rig: Rig) -> None:
    simulation = rig.stations[0].simulation
    body: JsonObject = {"additional_load": 500, "sunshine": 250, "temperature": -8}
    assert await post(control, "/world", body) == 200
    simulation.advance(10)
    status = {item.name: item.current for item in simulation.world.status(simulation.elapsed)}
    assert status["Additional load"] * simulation.bms.bank.voltage == pytest.approx(-500, rel=0.01)
    assert simulation.world.sunshine(simulation.elapsed) == pytest.approx(250)
    assert simulation.world.ambient(simulation.elapsed) == -8
    await post(control, "/world", {"temperature": None, "additional_load": None})
    assert simulation.world.ambient(simulation.elapsed) > 0
    assert "Additional load" not in {item.name for item in simulation.world.status(simulation.elapsed)}
    assert simulation.world.by_hand.sunshine == 250


async def test_the_additional_load_obeys_the_load_output(control: Control, rig: Rig) -> None:
    simulation = rig.stations[0].simulation
    await post(control, "/world", {"additional_load": 500})
    simulation.bms.set_mode(False)
    simulation.advance(1)
    assert simulation.bms.current == pytest.approx(-0.0012)


@pytest.mark.parametrize("wrong", [{"sunshine": -1}, {"temperature": 81}, {"additional_load": "much"}, {"wind": 1}])
async def test_a_world_that_cannot_be(control: Control, rig: Rig, wrong: JsonObject) -> None:
    before = rig.stations[0].simulation.world.by_hand
    assert await post(control, "/world", wrong) == 400
    assert rig.stations[0].simulation.world.by_hand == before


async def test_what_is_set_by_hand_is_saved(rig: Rig, control: Control) -> None:
    simulation = rig.stations[0].simulation
    await post(control, "/world", {"additional_load": 120, "temperature": 3})
    loaded = type(simulation).load_state(simulation.scenario, json.loads(json.dumps(simulation.save_state())))
    assert loaded.world.by_hand == simulation.world.by_hand
    loaded.advance(1)
    assert "Additional load" in {item.name for item in loaded.world.status(loaded.elapsed)}
