"""The survey: all registers that the device may have, for the diagnostics."""

from collections.abc import AsyncGenerator
from dataclasses import replace
import json
import tracemalloc
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.connection.link import Reading, Refusal, Silence
from custom_components.smallbms_ng.protocol.registers import BY_ID, Name, Page
from custom_components.smallbms_ng.survey import KNOWN, LARGEST_SURVEY, OTHERS, RANGES, Pace, SurveyRecord
from emulator.device import DEFAULT_KEY
from emulator.personality.quirks import EVERY_REGISTER, Quirks

from .bench import MAIN, Bench, a_bench
from .conftest import Radio, entity_id
from .test_diagnostics import diagnostics_of

NO_PAUSE = Pace(pause=0)
PIN_AND_PUK = {0xEC10, 0xEC11}
# The emulated device has nothing to read there.
OF_SESSION = (Page.SESSION, Page.ACTIONS)


@pytest.fixture(autouse=True)
async def _diagnostics(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, "diagnostics", {})


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio, all_enabled: None) -> AsyncGenerator[Bench]:
    with patch("custom_components.smallbms_ng.survey.PACE", NO_PAUSE):
        async with a_bench(Bench(hass, radio)) as bench:
            await bench.load()
            yield bench


async def survey_of(hass: HomeAssistant, client: ClientSessionGenerator, bench: Bench) -> Any:  # noqa: ANN401
    """Return the survey as an owner downloads it."""
    return (await diagnostics_of(hass, client, bench.entry))["recording"]["survey"]


async def start(bench: Bench) -> None:
    """Press the button, and leave the survey to itself."""
    target = {"entity_id": entity_id(bench.hass, "button", "survey")}
    await bench.run(bench.hass.services.async_call("button", "press", target, blocking=True))


def outcomes(survey: Any) -> dict[tuple[int, int], Any]:  # noqa: ANN401
    """Return the answers by instance and register; the last one where there are several."""
    return {(row["instance"], int(row["register"], 16)): row for row in survey["answers"]}


async def test_all_registers_of_all_instances(
    hass: HomeAssistant, bench: Bench, hass_client: ClientSessionGenerator
) -> None:
    bench.box.forget()
    await start(bench)
    await bench.until(lambda: not bench.pages.survey.running)
    asked = {register for first, last in RANGES for register in range(first, last + 1)} | BY_ID.keys()
    every = {(instance, register) for instance in range(5) for register in asked - PIN_AND_PUK}
    of_registers = {
        register for register in asked - PIN_AND_PUK if register not in BY_ID or BY_ID[register].page not in OF_SESSION
    }
    assert {(instance, register) for instance in range(5) for register in of_registers} <= bench.box.reads.keys()
    assert not {register for _, register in bench.box.reads} & PIN_AND_PUK
    assert bench.box.writes == [], "the keep-alive is the session's"
    survey = await survey_of(hass, hass_client, bench)
    assert survey["finished"] is True
    found = outcomes(survey)
    assert found.keys() == every
    assert found[MAIN, 0x1002]["value"] == round(bench.bms.settings.tail_current * 10).to_bytes(2, "little").hex()
    assert len([row for row in survey["answers"] if (row["instance"], row["register"]) == (1, "0x0381")]) == 4
    assert found[MAIN, 0x0105]["code"] > 0
    state = bench.state("button", "survey")
    assert state.attributes["progress"] == 100
    assert state.attributes["answered_registers"] == len({key for key, row in found.items() if "value" in row})


async def test_the_key_is_not_kept(hass: HomeAssistant, bench: Bench, hass_client: ClientSessionGenerator) -> None:
    await start(bench)
    await bench.until(lambda: not bench.pages.survey.running)
    survey = await survey_of(hass, hass_client, bench)
    assert outcomes(survey)[MAIN, 0xEC65]["value"] == bytes(16).hex()
    text = json.dumps(survey)
    assert DEFAULT_KEY.hex() not in text
    assert bench.device.serial_number.encode().hex() not in text


async def test_progress(bench: Bench) -> None:
    seen = []
    bench.pages.async_add_listener(lambda: seen.append(bench.state("button", "survey").attributes.get("progress")))
    assert "progress" not in bench.state("button", "survey").attributes
    await start(bench)
    await bench.until(lambda: not bench.pages.survey.running)
    rising = [progress for progress in seen if progress is not None]
    assert rising == sorted(rising)
    assert len(set(rising)) > 20


async def test_whoever_wants_to_write_goes_first(bench: Bench) -> None:
    """The value is on the device long before the survey is over."""
    await start(bench)
    assert bench.pages.survey.running
    await bench.run(bench.pages.async_write(Name.TAIL_CURRENT, 3.5))
    assert bench.pages.survey.running
    assert bench.bms.settings.tail_current == 3.5
    await bench.until(lambda: not bench.pages.survey.running)
    assert bench.pages.survey.progress == 100


async def test_the_phone_gets_its_chance(bench: Bench) -> None:
    """The connection ends every few seconds."""
    held: list[float] = []
    began = bench.radio.clock.now
    connected = bench.device.connected
    with patch("custom_components.smallbms_ng.survey.PACE", Pace(hold=2, longest=3, pause=0.01)):
        await start(bench)

        def look() -> bool:
            nonlocal began, connected
            now = bench.radio.clock.now
            if bench.device.connected != connected:
                if connected:
                    held.append(now - began)
                began, connected = now, bench.device.connected
            return not bench.pages.survey.running

        await bench.until(look)
    assert len(held) > 2
    assert max(held) < 3
    assert Pace().hold < Pace().longest < 20


async def test_it_ends_after_five_minutes(
    hass: HomeAssistant, bench: Bench, hass_client: ClientSessionGenerator
) -> None:
    with patch("custom_components.smallbms_ng.survey.PACE", Pace(pause=0, limit=2)):
        await start(bench)
        await bench.until(lambda: not bench.pages.survey.running)
    survey = await survey_of(hass, hass_client, bench)
    assert survey["finished"] is False
    assert {instance for instance, _ in outcomes(survey)} == set(range(5)), "the known registers come first"
    assert bench.state("button", "survey").attributes["progress"] < 100
    assert Pace().limit == 300


async def test_a_second_one_at_the_same_time(bench: Bench) -> None:
    await start(bench)
    with pytest.raises(ServiceValidationError) as raised:
        await start(bench)
    assert raised.value.translation_key == "survey_runs"
    await bench.until(lambda: not bench.pages.survey.running)
    await start(bench)
    await bench.until(lambda: not bench.pages.survey.running)


async def test_without_a_connection(hass: HomeAssistant, bench: Bench, hass_client: ClientSessionGenerator) -> None:
    bench.device.faults.refuse_connections = True
    with pytest.raises(HomeAssistantError) as raised:
        await start(bench)
    assert raised.value.translation_key == "not_reachable"
    assert not bench.pages.survey.running
    assert await survey_of(hass, hass_client, bench) is None


async def test_a_connection_that_fails_in_between(
    hass: HomeAssistant, bench: Bench, hass_client: ClientSessionGenerator
) -> None:
    await start(bench)
    bench.device.peripheral.drop_link()
    await bench.until(lambda: not bench.pages.survey.running)
    assert (await survey_of(hass, hass_client, bench))["finished"] is True


async def test_unloading_ends_it(bench: Bench) -> None:
    await start(bench)
    survey = bench.pages.survey
    await bench.unload()
    assert not survey.running


async def test_the_recording_keeps_the_other_connections(
    hass: HomeAssistant, bench: Bench, hass_client: ClientSessionGenerator
) -> None:
    before = (await diagnostics_of(hass, hass_client, bench.entry))["recording"]["connections"]
    await start(bench)
    await bench.until(lambda: not bench.pages.survey.running)
    after = (await diagnostics_of(hass, hass_client, bench.entry))["recording"]["connections"]
    assert [one["frames"] for one in after] == [one["frames"] for one in before]


def test_memory_is_bounded() -> None:
    """Also of a device with many batteries that answers everything."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        record = SurveyRecord()
        for instance in range(51):
            for register in (*KNOWN, *OTHERS):
                if not record.full:
                    record.take(instance, Reading(register=register, payloads=(register.to_bytes(2) * 4,)))
        record.end(finished=False)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used < LARGEST_SURVEY + 2048
    assert record.answered > len(KNOWN) + len(OTHERS)


def test_what_is_kept_comes_back() -> None:
    record = SurveyRecord()
    record.take(1, Reading(register=0x0381, payloads=(b"\x01\x02", b"")))
    record.take(2, Refusal(register=0x1234, code=0x8000))
    record.take(2, Silence(register=0x1235))
    record.take(0, Reading(register=0xEC65, payloads=(DEFAULT_KEY,)))
    record.end(finished=True)
    assert [(row.instance, row.register, row.payload, row.code) for row in record.rows] == [
        (1, 0x0381, b"\x01\x02", None),
        (1, 0x0381, b"", None),
        (2, 0x1234, None, 0x8000),
        (2, 0x1235, None, None),
        (0, 0xEC65, bytes(16), None),
    ]


async def test_a_device_that_is_silent_about_what_it_does_not_have(
    hass: HomeAssistant, bench: Bench, hass_client: ClientSessionGenerator
) -> None:
    bench.service.quirks = replace(Quirks(), missing=EVERY_REGISTER, silent_about_missing=True)
    with patch("custom_components.smallbms_ng.survey.PACE", Pace(pause=0, limit=5)):
        await start(bench)
        await bench.until(lambda: not bench.pages.survey.running)
    survey = await survey_of(hass, hass_client, bench)
    assert all(row.get("silent") for row in survey["answers"])
