"""Radios that can connect come and go: that there is none is no failure, and reading begins as soon as there is one."""

from collections.abc import AsyncGenerator
from datetime import timedelta
import logging
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest

from emulator.personality.quirks import Quirks
from emulator.radio.in_process import EmulatedScanner

from .bench import Bench, a_bench, is_lost
from .conftest import Radio
from .repairs_client import issues

SHELLY: Final = "02:00:00:00:E5:03"
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
# Between two reads.
INTERVAL: Final = timedelta(minutes=5)


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


def take_away(bench: Bench) -> None:
    """Let the proxy go away, as one does that starts anew. What it heard is remembered."""
    bench.radio.undo.pop()()


async def bring_back(bench: Bench) -> None:
    """Let the proxy be there again, and hear the device."""
    bench.radio.scanner = bench.radio.add(EmulatedScanner(bench.device, pin=bench.device.pin))
    bench.radio.scanner.advertise()
    await bench.settle()


async def pass_time(bench: Bench, duration: timedelta) -> None:
    """Let time pass, in which the device is heard by nobody."""
    await bench.run(bench.radio.wait(duration))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "over a connection" in record.getMessage()]


async def test_the_first_read_waits_for_a_radio(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """After a start, what is known of the device is of a proxy that is not there yet."""
    bench.radio.scanner.advertise()
    take_away(bench)
    await bench.load()
    await pass_time(bench, 40 * SECOND)
    assert not bench.has("number", "discharge_floor")
    await bring_back(bench)
    assert bench.state("number", "discharge_floor").state == "10.0"
    assert not said(caplog)


async def test_it_waits_for_a_radio_that_can_connect(bench: Bench) -> None:
    take_away(bench)
    listener = bench.radio.add(EmulatedScanner(bench.device, source=SHELLY, connectable=False))
    bench.radio.scanner = listener
    await bench.load()
    for _ in range(3):
        await bench.wait(10 * SECOND)
    assert bench.state("sensor", "voltage").state != "unavailable"
    assert not bench.has("number", "discharge_floor")
    await bring_back(bench)
    assert bench.state("number", "discharge_floor").state == "10.0"


async def test_a_proxy_that_starts_anew_when_it_is_time_to_read(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.load()
    bench.box.forget()
    await bench.wait(INTERVAL - 30 * SECOND)
    bench.radio.scanner.advertise()
    take_away(bench)
    await pass_time(bench, 45 * SECOND)
    assert not bench.box.reads
    await bring_back(bench)
    assert bench.box.reads
    assert not said(caplog)


async def test_a_proxy_that_goes_while_it_is_read(bench: Bench) -> None:
    await bench.load()
    bench.service.quirks = Quirks(answer_delay=0.05)
    bench.box.forget()
    reading = bench.hass.async_create_task(bench.pages.async_refresh())
    await bench.until(lambda: bool(bench.box.reads))
    take_away(bench)
    bench.device.peripheral.drop_link()
    await bench.run(wait_for(reading))
    await pass_time(bench, 10 * SECOND)
    assert is_lost(bench)
    bench.service.quirks = Quirks()
    await bring_back(bench)
    assert not is_lost(bench)


async def wait_for(task: object) -> None:
    await task  # type: ignore[misc]  # whatever it returns


async def test_a_user_is_told_that_there_is_no_way(bench: Bench) -> None:
    """And not that all connections are taken."""
    await bench.load()
    take_away(bench)
    with pytest.raises(HomeAssistantError) as raised:
        await bench.press("read_now")
    assert raised.value.translation_key == "not_reachable"
    await bring_back(bench)
    await bench.press("read_now")


async def test_a_change_that_failed_is_looked_at_as_soon_as_there_is_a_way(bench: Bench) -> None:
    await bench.load()
    take_away(bench)
    with pytest.raises(HomeAssistantError):
        await bench.set("tail_current", 5)
    await pass_time(bench, MINUTE + SECOND)
    bench.box.forget()
    await bring_back(bench)
    assert bench.box.reads


async def test_that_there_is_none_is_told_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await bench.load()
    take_away(bench)
    await pass_time(bench, timedelta(hours=2))
    assert is_lost(bench)
    await bring_back(bench)
    assert not is_lost(bench)
    lost, regained = said(caplog)
    assert "cannot be read" in lost
    assert "can be read over a connection again" in regained


async def test_a_failure_before_it_goes_is_no_reason_to_wait(bench: Bench) -> None:
    """The last failures of a proxy that hangs keep nobody waiting once it is back."""
    await bench.load()
    bench.device.faults.refuse_connections = True
    for _ in range(14):
        await bench.wait(MINUTE)
    take_away(bench)
    bench.device.faults.refuse_connections = False
    for _ in range(15):
        await pass_time(bench, MINUTE)
    assert is_lost(bench)
    await bring_back(bench)
    assert not is_lost(bench)


# The repair


@pytest.fixture
async def only_heard(bench: Bench) -> Bench:
    """Return a device that was read by a proxy, and is heard by a radio that cannot connect from then on."""
    await bench.load()
    take_away(bench)
    listener = EmulatedScanner(bench.device, source=SHELLY, connectable=False)
    bench.radio.scanner = bench.radio.add(listener)
    return bench


async def hear(bench: Bench, duration: timedelta) -> None:
    for _ in range(round(duration / MINUTE)):
        await bench.wait(MINUTE)


async def test_the_repair_goes_as_soon_as_a_radio_can_connect(only_heard: Bench) -> None:
    await hear(only_heard, 16 * MINUTE)
    assert set(issues(only_heard.hass)) == {"no_connection_path"}
    await bring_back(only_heard)
    assert not issues(only_heard.hass)


async def test_who_was_away_is_not_heard_for_long(only_heard: Bench) -> None:
    """Back after hours, the device is heard by one radio a moment before the other."""
    await hear(only_heard, 6 * MINUTE)
    assert not issues(only_heard.hass)
    for _ in range(60):
        await pass_time(only_heard, MINUTE)
    await hear(only_heard, 3 * MINUTE)
    assert is_lost(only_heard)
    assert not issues(only_heard.hass)
