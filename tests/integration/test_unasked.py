"""What the device says by itself while a connection is held for the next change."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Final

from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
import pytest

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL
from custom_components.smallbms_ng.coordinator import KEEP_OPEN
from emulator.bms.settings import SettingKey
from emulator.personality.quirks import Quirks
from emulator.ve_smart.cbor_records import value
from emulator.ve_smart.register_box import Refusal
from emulator.ve_smart.server import VeSmartServer

from .bench import MAIN, Bench, a_bench, is_lost
from .conftest import Radio, entity_id

SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
OTHER_FLOOR: Final = 0x1008
CELL: Final = 0x0381
VOLTAGE: Final = 0xED8D
TAIL_CURRENT: Final = 0x1002
STATE_OF_CHARGE: Final = 0x0FFF


@pytest.fixture
async def held(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    """Return a bench whose connection was just made for a change, and is held. It reads on demand only."""
    bench = Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0})
    bench.box.announces = True
    async with a_bench(bench):
        await bench.load()
        await bench.press("read_now")
        # Everything is due again.
        await bench.wait(timedelta(hours=2))
        await bench.set("charged_voltage", 28)
        assert bench.device.connected
        yield bench


async def let_it_speak(bench: Bench) -> None:
    """Let the device say what has changed, and Home Assistant show it, over the connection that is held."""
    session = bench.service.session
    bench.box.forget()
    for _ in range(3):
        await bench.wait(2 * SECOND)
    assert bench.device.connected
    assert bench.service.session is session, "another connection was made"


def server_of(bench: Bench) -> VeSmartServer:
    """Return the device's end of the present session."""
    assert bench.service.session
    return bench.service.session.server


async def say(bench: Bench, *records: bytes) -> None:
    """Let the device send something by itself, and Home Assistant show it."""
    for record in records:
        server_of(bench).send(record)
    await bench.settle()
    await bench.wait(2 * SECOND)


@pytest.fixture
def writes(hass: HomeAssistant) -> Counter[str]:
    """Return how often the state of each entity changes, from then on."""
    writes: Counter[str] = Counter()

    @callback
    def count(event: Event[EventStateChangedData]) -> None:
        writes[event.data["entity_id"]] += 1

    hass.bus.async_listen(EVENT_STATE_CHANGED, count)
    return writes


async def test_a_setting_that_changes(held: Bench) -> None:
    held.bms.change_setting(SettingKey.TAIL_CURRENT, 6)
    await let_it_speak(held)
    assert held.state("number", "tail_current").state == "6.0"


async def test_the_state_of_charge_that_is_set_by_hand(held: Bench) -> None:
    held.bms.set_state_of_charge(81)
    await let_it_speak(held)
    assert held.state("sensor", "battery_level").state == "81.0"


async def test_what_is_measured(held: Bench) -> None:
    held.bms.step(current=-42, ambient=20, seconds=1)
    await let_it_speak(held)
    assert float(held.state("sensor", "current").state) == pytest.approx(-42, abs=0.1)
    assert float(held.state("sensor", "voltage").state) == pytest.approx(held.bms.voltage, abs=0.01)
    page = held.bms.battery_page(1)
    assert page
    assert float(held.state("sensor", "battery_2_current").state) == pytest.approx(page.current, abs=0.01)
    assert float(held.state("sensor", "battery_2_voltage").state) == pytest.approx(page.voltage, abs=0.01)


async def test_a_code(hass: HomeAssistant, held: Bench) -> None:
    """Over a connection it is sure, so that it is told at once."""
    told = hass.states.get(entity_id(hass, "event", "code"))
    held.bms.faults.hardware_fault = True
    held.bms.refresh()
    await let_it_speak(held)
    assert held.state("sensor", "error").state != "none"
    assert held.state("event", "code") != told


async def test_the_switch(held: Bench) -> None:
    """Somebody turns the system off at the device."""
    held.bms.set_mode(False)
    await let_it_speak(held)
    assert held.state("switch", "system").state == "off"


async def test_a_cell(held: Bench) -> None:
    """The register of the cells stands for many values, of which one may come alone."""
    others = {key: held.state("sensor", key).state for key in ("battery_1_cell_1", "battery_2_cell_3")}
    await say(held, value(2, CELL, bytes((2, 2)) + (333).to_bytes(2, "little")))
    assert held.state("sensor", "battery_2_cell_2").state == "3.33"
    assert {key: held.state("sensor", key).state for key in others} == others


async def test_a_cell_of_another_battery(held: Bench) -> None:
    cells = [f"battery_2_cell_{cell}" for cell in range(1, 5)]
    before = [held.state("sensor", key).state for key in cells]
    await say(held, value(2, CELL, bytes((3, 2)) + (333).to_bytes(2, "little")))
    assert [held.state("sensor", key).state for key in cells] == before
    assert not held.has("sensor", "battery_2_cell_5")


async def test_what_nobody_knows(held: Bench, writes: Counter[str]) -> None:
    """An instance that is not there, a register that was never read, one that is in no list, and nonsense."""
    await held.wait(2 * SECOND)
    writes.clear()
    await say(
        held,
        value(9, VOLTAGE, bytes(2)),
        value(2, TAIL_CURRENT, bytes(2)),
        value(MAIN, 0x7777, bytes(2)),
        value(MAIN, OTHER_FLOOR, (990).to_bytes(2, "little")),
    )
    assert not writes
    assert held.device.connected


async def test_much_at_once_is_shown_seldom(held: Bench, writes: Counter[str]) -> None:
    await say(held, *(value(MAIN, TAIL_CURRENT, tenths.to_bytes(2, "little")) for tenths in range(50, 90)))
    assert held.state("number", "tail_current").state == "8.9"
    assert writes[entity_id(held.hass, "number", "tail_current")] == 1


async def test_the_same_again_writes_nothing(held: Bench, writes: Counter[str]) -> None:
    await held.wait(2 * SECOND)
    writes.clear()
    await say(held, value(MAIN, TAIL_CURRENT, (40).to_bytes(2, "little")))
    assert not writes


async def test_what_came_last_is_shown_when_the_connection_ends(held: Bench) -> None:
    held.bms.change_setting(SettingKey.TAIL_CURRENT, 6)
    held.bms.set_state_of_charge(81)
    await held.wait(SECOND)
    server_of(held).announce()
    await held.settle()
    await held.press("read_now")
    assert held.idle
    assert held.state("number", "tail_current").state == "6.0"
    assert held.state("sensor", "battery_level").state == "81.0"


async def test_what_is_said_after_the_answer_counts(held: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the rest is asked for, in many small requests."""
    await held.wait(KEEP_OPEN + SECOND)
    assert held.idle
    held.device.peripheral.mtu = 23
    held.service.quirks = Quirks(largest_request=20)
    held.box.announces = False
    read, asked = held.box.read, list[int]()

    def interrupted(instance: int, register: int) -> Sequence[bytes] | Refusal:
        asked.append(register)
        # Far enough to be in another request.
        if asked[-10:-9] == [STATE_OF_CHARGE]:
            held.bms.set_state_of_charge(81)
            server_of(held).send(value(MAIN, STATE_OF_CHARGE, (8100).to_bytes(2, "little")))
        return read(instance, register)

    monkeypatch.setattr(held.box, "read", interrupted)
    await held.press("read_now")
    assert held.bms.monitor.state_of_charge == 81
    assert held.state("sensor", "battery_level").state == "81.0"


async def test_the_entry_ends_with_something_to_tell(held: Bench) -> None:
    await held.wait(SECOND)
    server_of(held).send(value(MAIN, TAIL_CURRENT, (60).to_bytes(2, "little")))
    await held.settle()
    await held.unload()
    assert held.idle


async def test_the_link_is_lost_with_something_to_tell(held: Bench) -> None:
    """The setting is what the device has. Of the readings, what it advertises by now is newer."""
    held.bms.change_setting(SettingKey.TAIL_CURRENT, 6)
    held.bms.step(current=-42, ambient=20, seconds=1)
    server_of(held).announce()
    await held.settle()
    held.device.peripheral.drop_link()
    held.bms.step(current=-5, ambient=20, seconds=1)
    await held.wait(2 * SECOND)
    await held.wait(MINUTE)
    assert held.state("number", "tail_current").state == "6.0"
    assert float(held.state("sensor", "current").state) == pytest.approx(-5, abs=0.1)


async def test_unasked_in_the_middle_of_a_write(held: Bench) -> None:
    """What comes in between disturbs neither the write nor what is read after it."""
    held.service.quirks = Quirks(unasked_between=True, one_stream=False)
    held.bms.set_state_of_charge(81)
    held.bms.change_setting(SettingKey.LOW_SOC_WARNING, 30)
    await held.set("tail_current", 6)
    assert held.bms.settings.tail_current == 6
    await let_it_speak(held)
    assert held.state("number", "tail_current").state == "6.0"
    assert held.state("number", "low_soc_warning").state == "30.0"
    assert held.state("sensor", "battery_level").state == "81.0"
    assert not is_lost(held)


async def test_what_came_by_itself_is_not_read_again_soon(held: Bench) -> None:
    for step in range(12):
        await held.set("charged_voltage", 27 + step / 10)
        await held.wait(9 * SECOND)
    await say(held, value(1, VOLTAGE, (1301).to_bytes(2, "little")))
    assert held.state("sensor", "battery_1_voltage").state == "13.01"
    await held.wait(14 * MINUTE)
    held.box.announces = False
    held.box.forget()
    await held.set("charged_voltage", 27)
    assert (held.box.reads[1, VOLTAGE], held.box.reads[2, VOLTAGE]) == (0, 1)
