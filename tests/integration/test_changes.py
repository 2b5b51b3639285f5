"""Codes are known before anything else of a connection, and what belongs to a code is read soon after it."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, override

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import BadAnswer
from custom_components.smallbms_ng.connection.link import Answer
from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL
from custom_components.smallbms_ng.coordinator import KEEP_OPEN
from custom_components.smallbms_ng.protocol.registers import Name
from emulator.personality.quirks import Quirks
from emulator.ve_smart.register_box import Refusal

from .bench import MAIN, QUICK, Bench, CountingBox, a_bench, is_lost
from .conftest import Radio

KEEP_ALIVE: Final = 0x0093
ERROR: Final = 0x2101
CELL: Final = 0x0381
CELL_VOLTAGES: Final = 0x0385
CHARGED_ENERGY: Final = 0x0311
TAIL_CURRENT: Final = 0x1002
STATUS: Final = frozenset(
    {0x0200, 0x0201, 0x2100, ERROR, 0x2107, 0x2108, 0xEC46, 0xEC47, 0x0207, 0xED8D, 0xED8C, 0xED8F, 0xED8E}
    | {0x0FFF, 0x0FFE, 0xEEFF, 0xEDEC}
)
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
# The second cell of the third battery, how many V the BMS misses there, and after how many s it cuts off the loads.
LOW_CELL: Final = (2, 1)
TOO_LOW: Final = -0.6
CUT_AFTER: Final = 31


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


@pytest.fixture
async def loaded(bench: Bench) -> Bench:
    """Return a bench that was read and heard, and counts from then on."""
    await bench.load()
    await live(bench, seconds=3)
    bench.box.forget()
    return bench


@pytest.fixture
def connections(loaded: Bench) -> Counter[str]:
    return loaded.radio.count_connections()


async def live(bench: Bench, seconds: int) -> None:
    """Let the battery live, and be heard every second."""
    for _ in range(seconds):
        bench.bms.step(current=-1, ambient=20, seconds=1)
        await bench.wait(SECOND)


def begin(bench: Bench) -> None:
    """Let a cell be too low for so long that the loads are cut off."""
    bench.bms.faults.cell_voltage_offsets[LOW_CELL] = TOO_LOW
    for _ in range(CUT_AFTER):
        bench.bms.step(current=-1, ambient=20, seconds=1)


def end(bench: Bench) -> None:
    bench.bms.faults.cell_voltage_offsets.clear()
    bench.bms.step(current=0, ambient=20, seconds=1)


def is_told(bench: Bench) -> bool:
    return bench.state("sensor", "low_cell_voltage").state == "alarm"


def pages_read(bench: Bench) -> list[int]:
    """Return how often each page was read that belongs to a code: of the bank, of a battery, of the history."""
    return [bench.box.reads[one] for one in ((MAIN, CELL_VOLTAGES), (3, CELL), (MAIN, CHARGED_ENERGY))]


# What comes first in a connection


async def test_codes_come_before_the_other_pages(loaded: Bench) -> None:
    loaded.service.quirks = Quirks(answer_delay=0.05)
    begin(loaded)
    reading = loaded.hass.async_create_task(loaded.pages.async_read_now())
    await loaded.until(lambda: is_told(loaded) or reading.done())
    assert loaded.state("binary_sensor", "allowed_to_discharge").state == "off"
    assert loaded.state("sensor", "discharge_off_reason").state == "battery"
    assert pages_read(loaded) == [0, 0, 0]
    await loaded.settle()
    assert pages_read(loaded) == [1, 1, 1]


async def change(bench: Bench) -> None:
    await bench.pages.async_write(Name.TAIL_CURRENT, 5)


async def act(bench: Bench) -> None:
    await bench.pages.async_act(Name.SYNCHRONIZE)


async def read_registers(bench: Bench) -> None:
    await bench.pages.async_read_registers([TAIL_CURRENT])


@pytest.mark.parametrize("do", [change, act, read_registers])
async def test_codes_come_before_what_a_user_does(
    loaded: Bench, do: Callable[[Bench], Coroutine[None, None, None]]
) -> None:
    loaded.service.quirks = Quirks(answer_delay=0.05)
    begin(loaded)
    done = loaded.hass.async_create_task(do(loaded))
    await loaded.until(lambda: is_told(loaded) or done.done())
    assert not [register for register, _ in loaded.box.writes if register != KEEP_ALIVE]
    assert not loaded.box.reads[MAIN, TAIL_CURRENT]
    await loaded.settle()


async def test_once_in_a_connection_before_what_a_user_does(loaded: Bench) -> None:
    """Each change is followed by a look at the status anyway."""
    await loaded.set("tail_current", 5)
    assert loaded.box.reads[MAIN, ERROR] == 2
    await loaded.set("tail_current", 6)
    assert loaded.box.reads[MAIN, ERROR] == 3
    await loaded.wait(KEEP_OPEN + SECOND)
    loaded.radio.scanner.advertise()
    await loaded.set("tail_current", 7)
    assert loaded.box.reads[MAIN, ERROR] == 5


@pytest.mark.parametrize("silent", [False, True])
async def test_a_device_without_a_status_takes_changes(bench: Bench, silent: bool) -> None:
    await bench.load(Quirks(missing=STATUS, silent_about_missing=silent))
    await bench.set("tail_current", 5)
    assert bench.bms.settings.tail_current == 5
    assert not is_lost(bench)


async def test_a_status_that_makes_no_sense_stops_no_change(loaded: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read = VeSmartClient.read

    async def odd(self: VeSmartClient, instance: int, registers: Iterable[int]) -> dict[int, Answer]:
        asked = tuple(registers)
        if ERROR in asked:
            monkeypatch.undo()
            raise BadAnswer("error ff")
        return await read(self, instance, asked)

    monkeypatch.setattr(VeSmartClient, "read", odd)
    await loaded.set("tail_current", 5)
    assert loaded.bms.settings.tail_current == 5
    assert loaded.state("number", "tail_current").state == "5.0"


# What belongs to a code


async def test_what_belongs_to_a_code_is_read_soon(loaded: Bench, connections: Counter[str]) -> None:
    begin(loaded)
    await live(loaded, seconds=3)
    assert is_told(loaded)
    assert loaded.state("sensor", "discharge_off_reason").state == "battery"
    assert float(loaded.state("sensor", "battery_3_cell_2").state) < 2.8
    assert pages_read(loaded) == [1, 1, 1]
    await live(loaded, seconds=30)
    assert connections.total() == 1, "what is known is not read again"


async def test_a_permission_alone_is_enough(loaded: Bench, connections: Counter[str]) -> None:
    loaded.bms.faults.cell_voltage_offsets[LOW_CELL] = -TOO_LOW
    await live(loaded, seconds=3)
    assert not loaded.bms.codes
    assert loaded.state("binary_sensor", "allowed_to_charge").state == "off"
    assert pages_read(loaded) == [1, 1, 1]
    end(loaded)
    await live(loaded, seconds=20)
    assert loaded.state("binary_sensor", "allowed_to_charge").state == "on"
    assert pages_read(loaded) == [2, 2, 2]
    assert connections.total() == 2


async def test_several_changes_are_read_together(loaded: Bench, connections: Counter[str]) -> None:
    """The first at once; what follows it closely, together a little later."""
    begin(loaded)
    await live(loaded, seconds=2)
    loaded.bms.faults.hardware_fault = True
    await live(loaded, seconds=2)
    end(loaded)
    await live(loaded, seconds=20)
    assert connections.total() == 2
    assert pages_read(loaded) == [2, 2, 2]


async def test_a_code_that_comes_and_goes_leaves_the_device_to_others(loaded: Bench, connections: Counter[str]) -> None:
    """Only so much is read in an hour because of changes; the usual reads go on."""
    for _ in range(10):
        begin(loaded)
        await live(loaded, seconds=8)
        end(loaded)
        await live(loaded, seconds=8)
    assert connections.total() == 12
    await loaded.wait(5 * MINUTE)
    assert connections.total() == 13
    assert pages_read(loaded) == [13, 13, 13]


async def test_no_change_no_connection(loaded: Bench, connections: Counter[str]) -> None:
    await live(loaded, seconds=60)
    assert not connections


async def test_not_before_the_back_off_is_over(loaded: Bench, connections: Counter[str]) -> None:
    loaded.device.faults.refuse_connections = True
    await loaded.wait(5 * MINUTE + SECOND)
    assert is_lost(loaded)
    tried = connections.total()
    begin(loaded)
    await live(loaded, seconds=30)
    assert is_told(loaded)
    assert connections.total() == tried
    loaded.device.faults.refuse_connections = False
    await live(loaded, seconds=35)
    assert loaded.state("sensor", "discharge_off_reason").state == "battery"
    assert pages_read(loaded) == [1, 1, 1]


@pytest.mark.parametrize("by", ["option", "polling"])
async def test_who_wants_no_connections_gets_none(hass: HomeAssistant, radio: Radio, by: str) -> None:
    """But what belongs to a change is read with the next one that is wanted."""
    bench = Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0} if by == "option" else {})
    async with a_bench(bench):
        hass.config_entries.async_update_entry(bench.entry, pref_disable_polling=by == "polling")
        await bench.load()
        await bench.press("read_now")
        await live(bench, seconds=3)
        bench.box.forget()
        connections = radio.count_connections()
        begin(bench)
        await live(bench, seconds=20)
        assert is_told(bench)
        assert not connections
        await bench.set("tail_current", 5)
        assert pages_read(bench) == [1, 1, 1]


async def test_what_a_connection_finds_changed_is_read_in_it(loaded: Bench, connections: Counter[str]) -> None:
    begin(loaded)
    await loaded.set("tail_current", 5)
    assert pages_read(loaded) == [1, 1, 1]
    await loaded.wait(KEEP_OPEN + SECOND)
    await live(loaded, seconds=20)
    assert connections.total() == 1, "nor is it read again when it is advertised"


async def test_what_has_ended_since_a_connection_is_read(loaded: Bench) -> None:
    begin(loaded)
    await loaded.press("read_now")
    assert loaded.state("sensor", "discharge_off_reason").state == "battery"
    end(loaded)
    assert not loaded.bms.codes
    await live(loaded, seconds=12)
    assert loaded.state("sensor", "discharge_off_reason").state == "none"


@pytest.mark.parametrize("announces", [False, True])
async def test_a_change_while_a_connection_is_held(loaded: Bench, announces: bool) -> None:
    """Whether or not the device tells of it by itself, it is known within a second."""
    loaded.box.announces = announces
    await loaded.set("tail_current", 5)
    loaded.box.forget()
    begin(loaded)
    assert loaded.device.connected
    await loaded.wait(SECOND)
    assert is_told(loaded)
    await live(loaded, seconds=20)
    assert loaded.state("sensor", "discharge_off_reason").state == "battery"
    assert pages_read(loaded) == [1, 1, 1]
    assert loaded.idle


class Contradicting(CountingBox):
    """Answers another error than is advertised, always."""

    @override
    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        answer = super().read(instance, register)
        return (bytes([11]),) if (instance, register) == (MAIN, ERROR) else answer


async def test_who_answers_something_else_than_it_advertises_is_left_alone(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, box_class=Contradicting)) as bench:
        await bench.load()
        await live(bench, seconds=20)
        connections = radio.count_connections()
        begin(bench)
        await live(bench, seconds=60)
        assert connections.total() == 1


async def test_a_held_connection_without_an_answer_ends_in_time(loaded: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a device that falls silent, when Home Assistant is to stop."""
    monkeypatch.setattr("custom_components.smallbms_ng.coordinator.TIMING", replace(QUICK, answer=1000, finish=0.1))
    await loaded.reload()
    await loaded.set("tail_current", 5)
    loaded.service.quirks = Quirks(answer_delay=1000)
    loaded.box.forget()
    loaded.radio.tick(SECOND)
    async_fire_time_changed(loaded.hass)
    await loaded.until(lambda: bool(loaded.box.reads))
    async with asyncio.timeout(5):
        await loaded.unload()
    assert loaded.idle


async def test_a_held_connection_that_breaks_off_is_no_failure(loaded: Bench) -> None:
    await loaded.set("tail_current", 5)
    loaded.device.peripheral.drop_link()
    await loaded.wait(2 * SECOND)
    assert loaded.idle
    assert not is_lost(loaded)
