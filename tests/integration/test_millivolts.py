"""Voltages in mV where most devices give 0.01 V: what makes sense decides, and is remembered."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, override

from homeassistant.core import HomeAssistant
import pytest

from custom_components.smallbms_ng.protocol.registers import Scale
from emulator.personality.quirks import Quirks
from emulator.ve_smart.register_box import Refusal

from .bench import Bench, CountingBox, a_bench
from .conftest import Radio

pytestmark = pytest.mark.usefixtures("all_enabled")

FINER: Final = Quirks(cells_in_millivolts=True, history_in_millivolts=True)
PRE_ALARM: Final = 0xEC85
LOWEST: Final = 0x0306
EXTREME_CELLS: Final = 0x0384


class Millivolts(CountingBox):
    """Has its pre-alarm voltage in mV too, and whatever else a test sets."""

    pre_alarm = 3000
    payloads: Mapping[int, bytes] = MappingProxyType({})

    @override
    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        if register == PRE_ALARM:
            return (self.pre_alarm.to_bytes(2, "little"),)
        return (self.payloads[register],) if register in self.payloads else super().read(instance, register)

    @override
    def write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        if register == PRE_ALARM:
            self.pre_alarm = int.from_bytes(payload, "little")
            return None
        return super().write(instance, register, payload)


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio, box_class=Millivolts)) as bench:
        bench.bms.step(current=-1, ambient=20, seconds=60)
        yield bench


def volts(bench: Bench, key: str) -> float:
    return float(bench.state("sensor", key).state)


async def test_cells_and_history(bench: Bench) -> None:
    await bench.load(FINER)
    assert 3.2 < volts(bench, "battery_1_cell_1") < 3.4
    assert 3.2 < volts(bench, "cell_voltage_max") < 3.4
    assert 24 < volts(bench, "history_highest_voltage") < 28
    assert bench.pages.memory.learned.finer == {*Scale}


async def test_an_empty_battery_and_cell(bench: Bench) -> None:
    """What could be either, such as 7.00 V or 70.0 V, is as the others of its kind were."""
    await bench.load(FINER)
    box = bench.box
    assert isinstance(box, Millivolts)
    box.payloads = {LOWEST: (7000).to_bytes(4, "little"), EXTREME_CELLS: bytes.fromhex("f401e40c")}
    await bench.press("read_now")
    assert (volts(bench, "history_lowest_voltage"), volts(bench, "history_lowest_cell_voltage")) == (7.0, 0.5)
    await bench.reload()
    assert volts(bench, "history_lowest_voltage") == 7.0


async def test_a_firmware_that_counts_in_millivolts_no_more(bench: Bench) -> None:
    await bench.load(FINER)
    bench.bms.firmware_version = "v9.01"
    bench.service.quirks = Quirks()
    await bench.press("read_now")
    assert 3.2 < volts(bench, "battery_1_cell_1") < 3.4
    assert 24 < volts(bench, "history_highest_voltage") < 28


@pytest.mark.parametrize(("before", "after"), [(3000, 2900), (300, 290)])
async def test_a_setting_is_written_as_it_is_read(bench: Bench, before: int, after: int) -> None:
    """Its unit is looked at again right before that: 290 in mV would be no pre-alarm at all."""
    box = bench.box
    assert isinstance(box, Millivolts)
    box.pre_alarm = 300
    await bench.load()
    box.pre_alarm = before
    await bench.set("pre_alarm_cell_voltage", 2.9)
    assert box.pre_alarm == after
    assert bench.state("number", "pre_alarm_cell_voltage").state == "2.9"
