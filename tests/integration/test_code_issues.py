"""Every code that stands is something to put right, for as long as it stands."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.util.unit_system import US_CUSTOMARY_SYSTEM
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import CONF_CAPACITY, CONF_REPAIRS_FOR_WARNINGS, CONF_RESIDUAL_CURRENT, DOMAIN
from custom_components.smallbms_ng.coordinator import RENEWED_EVERY
from custom_components.smallbms_ng.repairs import LookAgain
from emulator.bms.settings import SettingKey
from emulator.snapshot import Level, LevelField
from emulator.ve_smart.register_box import Refusal

from .bench import Bench, a_bench
from .conftest import Radio, entity_id, make_entry, state_of
from .repairs_client import Repair, issues

ALL_OK: Final = dict.fromkeys(LevelField, Level.OK)
WARNING, ERROR = ir.IssueSeverity.WARNING, ir.IssueSeverity.ERROR
# Code, how the battery says it, key of the words.
OTHER: Final = "other_code"
OF_LEVELS: Final = [
    (code, LevelField(field), Level.WARNING if code[0] == "W" else Level.ALARM, key)
    for code, field, key in (
        ("W-B01", LevelField.LOW_CELL_VOLTAGE, "w_b01"),
        ("A-B01", LevelField.LOW_CELL_VOLTAGE, "a_b01"),
        ("W-B02", LevelField.HIGH_CURRENT, OTHER),
        ("A-B02", LevelField.HIGH_CURRENT, OTHER),
        ("W-B05", LevelField.BATTERY_COMMUNICATION, "w_b05"),
        ("A-B05", LevelField.BATTERY_COMMUNICATION, "a_b05"),
        ("W-B07", LevelField.LOW_SOC, "w_b07"),
        ("A-B07", LevelField.LOW_SOC, "a_b07"),
        ("W-B08", LevelField.LOW_BANK_VOLTAGE, "w_b08"),
        ("A-B08", LevelField.LOW_BANK_VOLTAGE, "a_b08"),
        ("W-B09", LevelField.HIGH_BATTERY_TEMPERATURE, "w_b09"),
        ("A-B09", LevelField.HIGH_BATTERY_TEMPERATURE, "a_b09"),
    )
]
OF_ERRORS: Final = [(1, "e_b01"), (5, "e_b05"), (9, "e_b09"), (11, "e_b11"), (77, OTHER)]
LOW_CELL_WARNING: Final = {LevelField.LOW_CELL_VOLTAGE: Level.WARNING}
LOW_CELL_ALARM: Final = {LevelField.LOW_CELL_VOLTAGE: Level.ALARM}


async def send(radio: Radio, levels: dict[LevelField, Level], times: int = 2) -> None:
    """Send records of a battery that is never quiet, so that each has a nonce of its own."""
    for _ in range(times):
        await radio.send(current=(radio.snapshot.current or 0) + 0.1, levels={**ALL_OK, **levels})


async def restart(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Stop, forget what does not outlast a restart, and start again."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    radio.forget()
    registry = ir.async_get(hass)
    for key, issue in registry.issues.items():
        registry.issues[key] = replace(issue, active=False, translation_key=None, severity=None, is_fixable=None)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()


def only(hass: HomeAssistant) -> ir.IssueEntry:
    (issue,) = issues(hass).values()
    return issue


@pytest.mark.parametrize(("code", "field", "level", "key"), OF_LEVELS)
async def test_a_warning_or_an_alarm(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, code: str, field: LevelField, level: Level, key: str
) -> None:
    await send(radio, {field: level})
    issue = only(hass)
    severity = WARNING if level is Level.WARNING else ERROR
    assert (issue.translation_key, issue.severity, issue.is_fixable) == (key, severity, True)
    assert issue.translation_placeholders == {"name": entry.title, "code": code}
    await send(radio, {})
    assert not issues(hass)


@pytest.mark.parametrize(("error", "key"), OF_ERRORS)
async def test_an_error(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, error: int, key: str) -> None:
    radio.snapshot = replace(radio.snapshot, error=error)
    await send(radio, {})
    issue = only(hass)
    assert (issue.translation_key, issue.severity, issue.is_fixable) == (key, ERROR, True)
    assert issue.translation_placeholders == {"name": entry.title, "code": f"E-B{error:02}"}
    radio.snapshot = replace(radio.snapshot, error=0)
    await send(radio, {})
    assert not issues(hass)


@pytest.mark.usefixtures("entry")
async def test_a_single_odd_record_is_none(hass: HomeAssistant, radio: Radio) -> None:
    await send(radio, {})
    await send(radio, LOW_CELL_ALARM, times=1)
    assert not issues(hass)
    await send(radio, {})
    assert not issues(hass)


@pytest.mark.usefixtures("entry")
async def test_several_stand_beside_each_other(hass: HomeAssistant, radio: Radio) -> None:
    levels = {LevelField.LOW_SOC: Level.WARNING, LevelField.HIGH_CURRENT: Level.WARNING}
    await send(radio, {**levels, LevelField.CONTACTOR: Level.ALARM})
    ids = {issue_id.partition(".")[0] for _, issue_id in ir.async_get(hass).issues}
    assert ids == {"w_b07", "w_b02", "a_b04"}


@pytest.mark.usefixtures("entry")
async def test_a_warning_that_becomes_an_alarm(hass: HomeAssistant, radio: Radio) -> None:
    await send(radio, LOW_CELL_WARNING)
    await send(radio, LOW_CELL_ALARM)
    assert set(issues(hass)) == {"a_b01"}


async def test_what_the_battery_measures_is_told_when_the_repair_is_opened(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, repair: Repair
) -> None:
    radio.snapshot = replace(radio.snapshot, voltage=12.04, state_of_charge=20.4, temperature=4, current=-8.0)
    await send(radio, LOW_CELL_WARNING)
    await radio.send(current=-9.0)
    await repair.begin("w_b01")
    told = {"name": entry.title, "error": "", "code": "W-B01", "now": "20 %, 12.0 V, -9 A, 4 °C"}
    unknown = dict.fromkeys(("battery", "cell", "measured"), "\u2013")
    assert repair.answer["description_placeholders"] == told | unknown
    await radio.send(voltage=11.0)
    await repair.submit()
    assert repair.answer["errors"] == {"base": "still_there"}
    assert "11.0 V" in repair.answer["description_placeholders"]["now"]
    await send(radio, {})
    await repair.submit()
    assert repair.answer["type"] == "create_entry"


@pytest.mark.usefixtures("entry")
async def test_numbers_are_as_the_language_writes_them(hass: HomeAssistant, radio: Radio, repair: Repair) -> None:
    """And nothing is less than nothing."""
    hass.config.language = "nl"
    radio.snapshot = replace(radio.snapshot, voltage=12.04, state_of_charge=20.4, temperature=4, current=-0.1)
    await send(radio, LOW_CELL_WARNING)
    await repair.begin("w_b01")
    now = repair.answer["description_placeholders"]["now"].split(", ")
    assert (now[0], now[1], now[-1]) == ("20 %", "12,0 V", "4 °C")
    assert "-0" not in now[2]


@pytest.mark.usefixtures("entry")
async def test_in_the_unit_of_the_user(hass: HomeAssistant, radio: Radio, repair: Repair) -> None:
    hass.config.units = US_CUSTOMARY_SYSTEM
    radio.snapshot = replace(radio.snapshot, temperature=4)
    await send(radio, LOW_CELL_WARNING)
    await repair.begin("w_b01")
    assert repair.answer["description_placeholders"]["now"].endswith(", 39 °F")


@pytest.mark.usefixtures("entry")
async def test_it_never_measures_minus_zero(hass: HomeAssistant, radio: Radio, repair: Repair) -> None:
    radio.snapshot = replace(radio.snapshot, voltage=12.04, state_of_charge=20.4, temperature=4, current=-0.4)
    await send(radio, LOW_CELL_WARNING)
    await repair.begin("w_b01")
    assert ", 0 A, " in repair.answer["description_placeholders"]["now"]


@pytest.mark.usefixtures("entry")
async def test_what_is_not_measured_is_left_out(hass: HomeAssistant, radio: Radio, repair: Repair) -> None:
    await radio.send(voltage=None, state_of_charge=None, temperature=None, current=None)
    for time_to_go in (1, 2):
        await radio.send(time_to_go=time_to_go, levels={**ALL_OK, **LOW_CELL_WARNING})
    await repair.begin("w_b01")
    assert repair.answer["description_placeholders"]["now"] == "\u2013"


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize("levels", [LOW_CELL_WARNING, LOW_CELL_ALARM])
async def test_what_stands_is_written_once(hass: HomeAssistant, radio: Radio, levels: dict[LevelField, Level]) -> None:
    """What the battery measures changes all the time; what there is to do does not."""
    await send(radio, levels)
    written = async_capture_events(hass, ir.EVENT_REPAIRS_ISSUE_REGISTRY_UPDATED)
    for voltage in range(10):
        await radio.send(voltage=11.0 + voltage / 10)
        await radio.wait(RENEWED_EVERY)
    assert not written


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize("error", [77, 11])
async def test_a_code_without_a_repair_of_its_own_is_looked_at_again(
    hass: HomeAssistant, radio: Radio, repair: Repair, error: int
) -> None:
    radio.snapshot = replace(radio.snapshot, error=error)
    await send(radio, {})
    await repair.begin(str(only(hass).translation_key))
    assert repair.answer["description_placeholders"]["code"] == f"E-B{error}"
    await repair.submit()
    assert repair.answer["errors"] == {"base": "still_there"}


async def test_what_stood_at_the_first_start(hass: HomeAssistant, radio: Radio) -> None:
    entry = make_entry()
    entry.add_to_hass(hass)
    await send(radio, LOW_CELL_ALARM)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await send(radio, LOW_CELL_ALARM)
    assert set(issues(hass)) == {"a_b01"}
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_right_again_after_a_restart(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Before anything is heard, as what stood is known; and what was ignored stays ignored."""
    await send(radio, {LevelField.LOW_SOC: Level.WARNING, **LOW_CELL_ALARM})
    ir.async_ignore_issue(hass, DOMAIN, issues(hass)["w_b07"].issue_id, ignore=True)
    await restart(hass, radio, entry)
    assert set(issues(hass)) == {"a_b01", "w_b07"}
    assert issues(hass)["w_b07"].dismissed_version
    await send(radio, {LevelField.LOW_SOC: Level.WARNING})
    assert set(issues(hass)) == {"w_b07"}


async def test_a_reload_keeps_what_is_ignored(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    await send(radio, LOW_CELL_WARNING)
    ir.async_ignore_issue(hass, DOMAIN, issues(hass)["w_b01"].issue_id, ignore=True)
    await hass.config_entries.async_reload(entry.entry_id)
    await radio.settle()
    assert issues(hass)["w_b01"].dismissed_version


async def test_warnings_are_left_out_where_nobody_wants_them(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    levels = {LevelField.LOW_SOC: Level.WARNING, **LOW_CELL_ALARM}
    await send(radio, levels)
    assert set(issues(hass)) == {"a_b01", "w_b07"}
    hass.config_entries.async_update_entry(entry, options={CONF_REPAIRS_FOR_WARNINGS: False})
    await hass.config_entries.async_reload(entry.entry_id)
    await send(radio, levels)
    assert set(issues(hass)) == {"a_b01"}


async def test_of_a_device_that_is_not_watched_nothing_is_said(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    await send(radio, LOW_CELL_ALARM)
    await hass.config_entries.async_set_disabled_by(entry.entry_id, ConfigEntryDisabler.USER)
    assert not issues(hass)
    await hass.config_entries.async_set_disabled_by(entry.entry_id, None)
    await radio.settle()
    assert set(issues(hass)) == {"a_b01"}
    await hass.config_entries.async_remove(entry.entry_id)
    assert not issues(hass)


# After a shutdown for low cell voltage (M-D1)


async def test_m_d1_how_long_the_rest_lasts(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, repair: Repair
) -> None:
    """A residual current of 10 mA uses up what is left of 200 Ah in 200 hours."""
    hass.config_entries.async_update_entry(entry, options={CONF_RESIDUAL_CURRENT: 10.0, CONF_CAPACITY: 200.0})
    await hass.config_entries.async_reload(entry.entry_id)
    radio.snapshot = replace(radio.snapshot, current=0.0)
    for time_to_go in (1, 2):
        await radio.send(time_to_go=time_to_go, levels={**ALL_OK, **LOW_CELL_ALARM})
    assert only(hass).translation_key == "a_b01_countdown"
    written = async_capture_events(hass, ir.EVENT_REPAIRS_ISSUE_REGISTRY_UPDATED)
    await repair.begin("a_b01_countdown")
    told = repair.answer["description_placeholders"]
    assert (told["reserve"], told["residual_current"], told["reserve_time"]) == ("2.0 Ah", "10 mA", "8 d 8 h")
    await radio.wait(timedelta(hours=1))
    assert state_of(hass, "sensor", "voltage").state == "unavailable"
    radio.tick(timedelta(hours=19) - 2 * RENEWED_EVERY)
    await radio.wait(RENEWED_EVERY)
    # Not over the web, whose session is over by now.
    flow = LookAgain(entry, "a_b01")
    flow.hass = hass
    shown = (await flow.async_step_init())["description_placeholders"]
    assert (shown or {})["reserve_time"] == "7 d 12 h", "it is drawn all the same"
    assert not written


# Repairs


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


@pytest.fixture
def repair(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> Repair:
    return Repair(hass, hass_client)


async def unplug(bench: Bench) -> None:
    """Pull the BMS cable of the second battery out, and let the BMS tell of it."""
    bench.bms.faults.unplugged_battery = 1
    await bench.hear_twice()


async def test_the_battery_that_does_not_answer(bench: Bench, repair: Repair) -> None:
    await bench.load()
    serial_number = bench.bms.bank.batteries[1].serial_number
    await unplug(bench)
    await bench.run(repair.begin("w_b05"))
    assert repair.progress == "look", "it is read before anything is shown"
    assert not repair.answer["errors"]
    shown = repair.answer["description_placeholders"]
    assert {name: shown[name] for name in ("batteries", "series", "parallel", "cells")} == {
        "batteries": "4",
        "series": "2",
        "parallel": "2",
        "cells": "4",
    }
    assert shown["missing"] == f"2 ({serial_number})"
    await bench.run(repair.submit())
    assert repair.answer["errors"] == {"base": "still_there"}
    assert set(issues(bench.hass)) == {"w_b05_battery"}

    bench.bms.faults.unplugged_battery = None
    bench.bms.step(current=0, ambient=20, seconds=1)
    await bench.run(repair.submit())
    assert repair.answer["type"] == "create_entry"
    assert not issues(bench.hass)


async def test_what_is_right_again_before_it_is_shown(bench: Bench, repair: Repair) -> None:
    await bench.load()
    await unplug(bench)
    bench.bms.faults.unplugged_battery = None
    bench.bms.step(current=0, ambient=20, seconds=1)
    await bench.run(repair.begin("w_b05"))
    assert repair.answer["type"] == "create_entry"
    assert not issues(bench.hass)


async def test_a_serial_number_does_no_harm(bench: Bench, repair: Repair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair understands Markdown, and anybody may answer in the place of the device."""
    known = bench.box.read

    def read(instance: int, register: int) -> Sequence[bytes] | Refusal:
        return (b"[HQ](x:y)" + 23 * b"9",) if (instance, register) == (2, 0x010A) else known(instance, register)

    monkeypatch.setattr(bench.box, "read", read)
    await bench.load()
    await unplug(bench)
    await bench.run(repair.begin("w_b05"))
    await bench.run(repair.submit())
    assert repair.answer["description_placeholders"]["missing"] == "2 (HQxy" + 23 * "9" + ")"


async def test_the_missing_battery_is_named_whatever_its_owner_wants_to_see(bench: Bench, repair: Repair) -> None:
    await bench.load()
    voltage = entity_id(bench.hass, "sensor", "battery_2_voltage")
    er.async_get(bench.hass).async_update_entity(voltage, disabled_by=er.RegistryEntryDisabler.USER)
    await bench.reload()
    await unplug(bench)
    await bench.run(repair.begin("w_b05"))
    await bench.run(repair.submit())
    assert repair.answer["description_placeholders"]["missing"].startswith("2 (")


async def test_a_battery_that_the_bank_lacks_from_the_beginning(bench: Bench, repair: Repair) -> None:
    await bench.load()
    bench.bms.faults.unplugged_battery = 1
    bench.bms.power_cycle()
    await bench.hear_twice()
    (key,) = issues(bench.hass)
    await bench.run(repair.begin(key))
    await bench.run(repair.submit())
    assert repair.answer["description_placeholders"]["missing"].startswith("2 (")


async def test_the_bank_cannot_be_read(bench: Bench, repair: Repair) -> None:
    """What went wrong is said in the language of the user, and the issue stays."""
    await bench.load()
    bench.device.faults.refuse_connections = True
    await unplug(bench)
    bench.hass.config.language = "nl"
    await bench.run(repair.begin("w_b05"))
    assert repair.answer["errors"] == {"base": "failed"}
    shown = repair.answer["description_placeholders"]
    assert {shown[part] for part in ("batteries", "series", "parallel", "cells", "missing")} == {"\u2013"}
    await bench.run(repair.submit())
    assert repair.answer["errors"] == {"base": "failed"}
    assert "niet bereikbaar" in repair.answer["description_placeholders"]["error"]
    assert set(issues(bench.hass)) == {"w_b05"}


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize("field", [LevelField.BATTERY_COMMUNICATION, LevelField.LOW_SOC])
async def test_without_a_pin_only_time_tells(
    hass: HomeAssistant, radio: Radio, repair: Repair, field: LevelField
) -> None:
    await send(radio, {field: Level.WARNING})
    (key,) = issues(hass)
    await repair.begin(key)
    assert repair.answer["data_schema"] == []
    await repair.submit()
    assert repair.answer["errors"] == {"base": "still_there"}
    assert set(issues(hass)) == {key}
    await send(radio, {})
    await repair.submit()
    assert repair.answer["type"] == "create_entry"


async def low(bench: Bench, percent: float) -> None:
    """Let the state of charge be so low."""
    bench.bms.set_state_of_charge(percent)
    await bench.hear_twice()


def defaults(repair: Repair) -> dict[str, float]:
    return {field["name"]: field["default"] for field in repair.answer["data_schema"]}


async def test_the_warning_comes_too_early(bench: Bench, repair: Repair) -> None:
    await bench.load()
    await low(bench, 14)
    await bench.run(repair.begin("w_b07"))
    assert defaults(repair) == {"low_soc_warning": 15, "discharge_floor": 10}
    await bench.run(repair.submit(low_soc_warning=12, discharge_floor=10))
    assert (repair.answer["type"], repair.answer["reason"]) == ("abort", "changed")
    assert bench.bms.settings.low_soc_warning == 12
    await bench.hear_twice()
    assert not issues(bench.hass)


@pytest.mark.parametrize(("warning", "floor"), [(8, 5), (40, 30), (3, 0)])
async def test_both_levels_at_once(bench: Bench, repair: Repair, warning: float, floor: float) -> None:
    """In between, too, the warning has to come before the floor."""
    await bench.load()
    await low(bench, 9)
    await bench.run(repair.begin("a_b07"))
    await bench.run(repair.submit(low_soc_warning=warning, discharge_floor=floor))
    assert repair.answer["reason"] == "changed"
    settings = bench.bms.settings
    assert (settings.low_soc_warning, settings.discharge_floor) == (warning, floor)


async def test_levels_that_make_no_sense(bench: Bench, repair: Repair) -> None:
    await bench.load()
    await low(bench, 14)
    await bench.run(repair.begin("w_b07"))
    bench.box.forget()
    await bench.run(repair.submit(low_soc_warning=20, discharge_floor=25))
    assert repair.answer["errors"] == {"base": "failed"}
    assert "20" in repair.answer["description_placeholders"]["error"]
    assert defaults(repair) == {"low_soc_warning": 20, "discharge_floor": 25}, "what was entered is not lost"
    assert bench.box.writes == []
    await bench.run(repair.submit(low_soc_warning=15, discharge_floor=10))
    assert repair.answer["errors"] == {"base": "still_there"}
    await low(bench, 50)
    await bench.run(repair.submit(low_soc_warning=15, discharge_floor=10))
    assert repair.answer["type"] == "create_entry"


async def test_levels_that_were_changed_elsewhere_meanwhile(bench: Bench, repair: Repair) -> None:
    """What the device has is read before anything is written."""
    await bench.load()
    await low(bench, 14)
    await bench.run(repair.begin("w_b07"))
    bench.bms.change_setting(SettingKey.DISCHARGE_FLOOR, 13)
    await bench.run(repair.submit(low_soc_warning=12, discharge_floor=10))
    assert repair.answer["errors"] == {"base": "failed"}
    assert bench.bms.settings.low_soc_warning == 15


async def test_what_was_not_touched_is_not_written(bench: Bench, repair: Repair) -> None:
    """The app has changed the floor while the form was open: it stays so."""
    await bench.load()
    await low(bench, 9)
    await bench.run(repair.begin("a_b07"))
    bench.bms.change_setting(SettingKey.DISCHARGE_FLOOR, 5)
    await bench.press("read_now")
    await bench.run(repair.submit(low_soc_warning=20, discharge_floor=10))
    assert repair.answer["reason"] == "changed"
    assert (bench.bms.settings.low_soc_warning, bench.bms.settings.discharge_floor) == (20, 5)


async def test_levels_that_become_known_while_the_form_is_open(bench: Bench, repair: Repair) -> None:
    bench.device.faults.refuse_connections = True
    await bench.load()
    await low(bench, 14)
    await bench.run(repair.begin("w_b07"))
    assert repair.answer["data_schema"] == []
    bench.device.faults.refuse_connections = False
    await bench.press("read_now")
    await bench.run(repair.submit())
    assert repair.answer["errors"] == {"base": "still_there"}
    assert defaults(repair) == {"low_soc_warning": 15, "discharge_floor": 10}


async def test_the_device_goes_away_while_it_is_read(bench: Bench, repair: Repair) -> None:
    await bench.load()
    await unplug(bench)
    await bench.run(repair.begin("w_b05"))
    await bench.unload()
    await repair.submit()
    assert (repair.answer["type"], repair.answer["reason"]) == ("abort", "not_loaded")


async def test_of_a_device_that_is_not_set_up(bench: Bench, repair: Repair) -> None:
    await bench.load()
    await low(bench, 14)
    await bench.unload()
    await repair.begin("w_b07")
    assert (repair.answer["type"], repair.answer["reason"]) == ("abort", "not_loaded")
