"""Codes name the battery, and the cell, that they come from, once that was read."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.util.unit_system import US_CUSTOMARY_SYSTEM
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL
from emulator.snapshot import Level, LevelField

from .bench import Bench, a_bench
from .conftest import Radio, state_of
from .repairs_client import Repair, issues

# The third cell of the second battery; both count from 0.
CELL: Final = (1, 2)
WARNING, ALARM = -0.42, -0.55


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    # Read when a test wants it, and not by itself.
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0})) as bench:
        await bench.load()
        await bench.press("read_now")
        # What was read at first is older than any code.
        await bench.wait(timedelta(minutes=1))
        yield bench


@pytest.fixture
def repair(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> Repair:
    return Repair(hass, hass_client)


async def lower(bench: Bench, offset: float) -> None:
    """Let one cell be lower than the others, by V."""
    bench.bms.faults.cell_voltage_offsets = {CELL: offset}
    await bench.hear_twice()


async def unplug(bench: Bench) -> None:
    """Pull the BMS cable of the second battery out."""
    bench.bms.faults.unplugged_battery = 1
    await bench.hear_twice()


def named(hass: HomeAssistant) -> dict[str, dict[str, str]]:
    """Return what the title of each repair names, by the key of its words."""
    found = {key: issue.translation_placeholders or {} for key, issue in issues(hass).items()}
    return {
        key: {name: part for name, part in parts.items() if name not in {"name", "code"}}
        for key, parts in found.items()
    }


def places(bench: Bench) -> object:
    return bench.state("sensor", "status").attributes["places"]


async def test_a_low_cell(bench: Bench, repair: Repair) -> None:
    await lower(bench, WARNING)
    assert named(bench.hass) == {"w_b01": {}}
    assert places(bench) == {}
    await bench.press("read_now")
    voltage = bench.state("sensor", "battery_2_cell_3").state
    assert named(bench.hass) == {"w_b01_cell": {"battery": "2", "cell": "3"}}
    assert places(bench) == {"W-B01": {"battery": "2", "cell": "3", "measured": f"{float(voltage):.2f} V"}}
    await bench.run(repair.begin("w_b01_cell"))
    shown = repair.answer["description_placeholders"]
    assert (shown["battery"], shown["cell"], shown["measured"]) == ("2", "3", f"{float(voltage):.2f} V")


async def test_the_event_of_the_alarm_names_what_was_read_since_the_warning(bench: Bench) -> None:
    await lower(bench, WARNING)
    assert "battery" not in bench.state("event", "code").attributes
    await bench.press("read_now")
    told = bench.state("event", "code")
    assert "battery" not in told.attributes, "what is read later is no event"
    await lower(bench, ALARM)
    bench.bms.step(current=-1, ambient=20, seconds=60)
    await bench.hear_twice()
    told = bench.state("event", "code")
    assert (told.attributes["code"], told.attributes["battery"], told.attributes["cell"]) == ("A-B01", "2", "3")


async def test_what_was_read_before_does_not_tell(bench: Bench) -> None:
    """It may contradict the code."""
    await lower(bench, WARNING)
    assert named(bench.hass) == {"w_b01": {}}


async def test_what_was_read_long_ago_does_not_tell(bench: Bench) -> None:
    await lower(bench, WARNING)
    await bench.press("read_now")
    bench.device.faults.refuse_connections = True
    for _ in range(10):
        await bench.wait(timedelta(minutes=10))
    assert named(bench.hass) == {"w_b01": {}}


async def test_the_repair_is_not_written_for_another_voltage(bench: Bench) -> None:
    await lower(bench, WARNING)
    await bench.press("read_now")
    written = async_capture_events(bench.hass, ir.EVENT_REPAIRS_ISSUE_REGISTRY_UPDATED)
    await lower(bench, WARNING - 0.02)
    await bench.press("read_now")
    assert not written


async def test_it_ends_with_the_code(bench: Bench) -> None:
    await lower(bench, WARNING)
    await bench.press("read_now")
    await lower(bench, 0)
    assert not issues(bench.hass)
    assert places(bench) == {}


async def test_whatever_the_owner_wants_to_see(hass: HomeAssistant, bench: Bench) -> None:
    """Cells that nobody looks at are not read, but for this."""
    for key, entity in bench.entities().items():
        if "_cell_" in key and key.startswith("battery_"):
            er.async_get(hass).async_update_entity(entity, disabled_by=er.RegistryEntryDisabler.USER)
    await bench.reload()
    await lower(bench, WARNING)
    await bench.press("read_now")
    assert named(hass) == {"w_b01_cell": {"battery": "2", "cell": "3"}}


async def test_after_a_restart_once_it_was_read(bench: Bench) -> None:
    await lower(bench, WARNING)
    await bench.press("read_now")
    await bench.reload()
    await bench.press("read_now")
    assert named(bench.hass) == {"w_b01_cell": {"battery": "2", "cell": "3"}}


async def test_not_while_a_battery_was_not_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells may be lower still."""
    await bench.wait(timedelta(minutes=1))
    await lower(bench, WARNING)
    read = bench.box.read
    monkeypatch.setattr(
        bench.box, "read", lambda one, number: () if (one, number) == (4, 0x0381) else read(one, number)
    )
    await bench.press("read_now")
    assert named(bench.hass) == {"w_b01": {}}


async def test_a_battery_that_does_not_answer(bench: Bench) -> None:
    await unplug(bench)
    assert named(bench.hass) == {"w_b05": {}}
    await bench.press("read_now")
    assert named(bench.hass) == {"w_b05_battery": {"battery": "2"}}
    assert places(bench) == {"W-B05": {"battery": "2"}}


async def test_several_batteries_that_do_not_answer(bench: Bench) -> None:
    bench.bms.faults.unplugged = frozenset({1, 3})
    await bench.hear_twice()
    await bench.press("read_now")
    assert named(bench.hass) == {"w_b05_battery": {"battery": "2, 4"}}


async def test_a_bank_that_makes_no_sense(bench: Bench) -> None:
    bench.bms.faults.unplugged_battery = 1
    bench.bms.power_cycle()
    await bench.hear_twice()
    await bench.press("read_now")
    [(key, parts)] = named(bench.hass).items()
    assert (key.startswith("e_b0"), key.endswith("_battery"), parts) == (True, True, {"battery": "2"})


async def test_the_warmest_battery(bench: Bench) -> None:
    bench.hass.config.units = US_CUSTOMARY_SYSTEM
    bench.bms.bank.temperature[2] = 60.0
    await bench.hear_twice()
    await bench.press("read_now")
    assert named(bench.hass) == {"a_b09_battery": {"battery": "3"}}
    assert places(bench) == {"A-B09": {"battery": "3", "measured": "140 °F"}}


@pytest.mark.usefixtures("entry")
async def test_without_a_pin_nothing_is_named(hass: HomeAssistant, radio: Radio) -> None:
    await radio.send_levels({LevelField.LOW_CELL_VOLTAGE: Level.WARNING})
    assert named(hass) == {"w_b01": {}}
    assert "places" not in state_of(hass, "sensor", "status").attributes


async def test_a_code_of_the_whole_bank_names_none(bench: Bench) -> None:
    bench.bms.set_state_of_charge(12)
    await bench.hear_twice()
    await bench.press("read_now")
    assert named(bench.hass) == {"w_b07": {}}
