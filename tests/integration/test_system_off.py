"""A system that is switched off shows it, and what by."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta

from homeassistant.core import Event, EventStateChangedData, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.translation import async_get_translations
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.smallbms_ng.const import DOMAIN
from custom_components.smallbms_ng.pages import SHOWN_FOR
from emulator.bms.remote import OPEN, WIRE_LOOP
from emulator.personality.quirks import EVERY_REGISTER, Quirks
from emulator.snapshot import IoField, Level, LevelField

from .bench import Bench, a_bench
from .conftest import Radio, entity_id, state_of

MODE, STATE, OFF_REASON, DISCHARGE_OFF, CHARGE_OFF = 0x0200, 0x0201, 0x0207, 0xEC46, 0xEC47
LOW_SOC, LOW_CELL = {LevelField.LOW_SOC: Level.WARNING}, {LevelField.LOW_CELL_VOLTAGE: Level.ALARM}


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


def status(bench: Bench) -> str:
    return bench.state("sensor", "status").state


async def test_in_the_app(bench: Bench) -> None:
    await bench.load()
    assert status(bench) == "ok"
    bench.bms.set_mode(on=False)
    await bench.press("read_now")
    assert status(bench) == "off_by_app"
    bench.bms.set_mode(on=True)
    await bench.press("read_now")
    assert status(bench) == "ok"


async def test_in_home_assistant(hass: HomeAssistant, bench: Bench) -> None:
    """At no moment is anything else said."""
    await bench.load()
    changes: list[Event[EventStateChangedData]] = async_capture_events(hass, "state_changed")
    await bench.call("switch", "turn_off", "system")
    await bench.call("switch", "turn_on", "system")
    own = entity_id(hass, "sensor", "status")
    states = [change.data["new_state"] for change in changes if change.data["entity_id"] == own]
    assert [state.state for state in states if state] == ["off_by_home_assistant", "ok"]


async def test_in_the_app_after_home_assistant_had_done_it(bench: Bench) -> None:
    await bench.load()
    await bench.call("switch", "turn_off", "system")
    bench.bms.set_mode(on=True)
    await bench.press("read_now")
    bench.bms.set_mode(on=False)
    await bench.press("read_now")
    assert status(bench) == "off_by_app"


async def test_what_is_off_already_is_not_ours(bench: Bench) -> None:
    await bench.load()
    bench.bms.set_mode(on=False)
    await bench.press("read_now")
    await bench.call("switch", "turn_off", "system")
    assert status(bench) == "off_by_app"


@pytest.mark.parametrize("quirks", [Quirks(refused_writes=EVERY_REGISTER), Quirks()])
async def test_what_was_not_done_is_not_ours(bench: Bench, quirks: Quirks) -> None:
    await bench.load()
    bench.service.quirks = quirks
    bench.device.faults.refuse_connections = quirks == Quirks()
    with pytest.raises(HomeAssistantError):
        await bench.call("switch", "turn_off", "system")
    bench.device.faults.refuse_connections = False
    bench.service.quirks = Quirks()
    bench.bms.set_mode(on=False)
    await bench.press("read_now")
    assert status(bench) == "off_by_app"


async def test_still_known_after_a_power_cut(
    bench: Bench, hass_storage: dict[str, dict[str, dict[str, object]]]
) -> None:
    """Home Assistant may be among the loads that it switches off."""
    await bench.load()
    await bench.call("switch", "turn_off", "system")
    assert hass_storage[f"{DOMAIN}.{bench.entry.entry_id}"]["data"]["switched_off"] is True
    await bench.reload()
    assert status(bench) == "off_by_home_assistant"


async def test_m_r4_by_the_remote_input(bench: Bench) -> None:
    await bench.load()
    bench.bms.remote = OPEN
    await bench.hear_twice()
    assert status(bench) == "off_by_remote"
    bench.bms.remote = WIRE_LOOP
    await bench.hear_twice()
    assert status(bench) == "ok"


@pytest.mark.usefixtures("entry")
async def test_by_the_remote_input_without_a_pin(hass: HomeAssistant, radio: Radio) -> None:
    io = {**radio.snapshot.io, IoField.REMOTE_ON: False}
    await radio.confirm(io=io)
    assert state_of(hass, "sensor", "status").state == "off_by_remote"


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(("levels", "state"), [(LOW_SOC, "off_by_remote"), (LOW_CELL, "alarm")])
async def test_worse_than_off(hass: HomeAssistant, radio: Radio, levels: dict[LevelField, Level], state: str) -> None:
    """An alarm is; a warning, which is of what will be switched off, is not. The codes are told beside."""
    radio.snapshot = replace(radio.snapshot, io={**radio.snapshot.io, IoField.REMOTE_ON: False})
    await radio.send_levels(levels)
    shown = state_of(hass, "sensor", "status")
    assert (shown.state, len(shown.attributes["codes"])) == (state, 1)


@pytest.mark.usefixtures("entry")
async def test_a_device_that_does_not_tell_of_its_remote_input(hass: HomeAssistant, radio: Radio) -> None:
    await radio.confirm(io={**radio.snapshot.io, IoField.REMOTE_ON: None})
    assert state_of(hass, "sensor", "status").state == "ok"


@pytest.mark.parametrize(
    ("missing", "state"),
    [
        ({MODE}, "off_by_app"),
        ({MODE, OFF_REASON}, "off_by_app"),
        ({MODE, OFF_REASON, DISCHARGE_OFF}, "off_by_app"),
        ({MODE, OFF_REASON, DISCHARGE_OFF, CHARGE_OFF}, "off"),
        ({MODE, OFF_REASON, DISCHARGE_OFF, CHARGE_OFF, STATE}, "ok"),
    ],
)
async def test_a_device_that_lacks_registers(bench: Bench, missing: set[int], state: str) -> None:
    """Each says what it can, and nothing is made up."""
    bench.bms.set_mode(on=False)
    await bench.load(Quirks(missing=missing))
    assert status(bench) == state


async def test_a_state_that_means_something_else_does_no_harm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers are those of another product."""
    read = bench.box.read
    standby = (bytes((14,)),)
    monkeypatch.setattr(bench.box, "read", lambda one, number: standby if number == STATE else read(one, number))
    await bench.load()
    assert status(bench) == "ok"


async def test_no_longer_than_the_switch_says_so(bench: Bench) -> None:
    bench.bms.set_mode(on=False)
    await bench.load()
    bench.device.faults.refuse_connections = True
    for _ in range(2):
        await bench.wait(SHOWN_FOR)
    await bench.wait(timedelta(minutes=1))
    assert bench.state("switch", "system").state == "unavailable"
    assert status(bench) == "ok"


async def test_why_charging_is_blocked_names_no_wrong_one(bench: Bench, entry_words: dict[str, str]) -> None:
    """The bit is the same, whether the app or Home Assistant has set it."""
    await bench.load()
    await bench.call("switch", "turn_off", "system")
    state = bench.state("sensor", "charge_off_reason").state
    assert "Home Assistant" in entry_words[state]


@pytest.fixture
async def entry_words(hass: HomeAssistant) -> dict[str, str]:
    """The words for what switches charging off."""
    prefix = f"component.{DOMAIN}.entity.sensor.charge_off_reason.state."
    words = await async_get_translations(hass, "en", "entity", [DOMAIN])
    return {key.removeprefix(prefix): text for key, text in words.items() if key.startswith(prefix)}
