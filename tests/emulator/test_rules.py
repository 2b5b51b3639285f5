"""The decisions of the BMS, from measurements alone."""

from dataclasses import replace
from typing import TypedDict, Unpack

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.bms.codes import CODES, Code, Severity, error_number, levels
from emulator.bms.rules import (
    COMMUNICATION_SECONDS,
    PRE_ALARM_SECONDS,
    Measurements,
    Permission,
    Reason,
    Rules,
    RulesCheckpoint,
)
from emulator.bms.settings import SettingKey, Settings
from emulator.reading.state import as_json, from_json
from emulator.snapshot import Level, LevelField

SETTINGS = Settings.defaults(12)
NO_FLOOR = SETTINGS.changed(SettingKey.DISCHARGE_FLOOR, 0)
HEALTHY = Measurements(
    bank_voltage=13.2,
    cells=4,
    lowest_cell=3.30,
    highest_cell=3.30,
    lowest_temperature=20.0,
    highest_temperature=22.0,
    state_of_charge=70.0,
)


class Measured(TypedDict, total=False):
    """What differs from the healthy bank."""

    bank_voltage: float
    lowest_cell: float | None
    highest_cell: float | None
    lowest_temperature: float | None
    highest_temperature: float | None
    state_of_charge: float | None
    battery_lost: bool
    configuration_error: Code
    hardware_fault: bool


def advance(
    rules: Rules, seconds: float = 1.0, *, with_settings: Settings = SETTINGS, **measured: Unpack[Measured]
) -> Rules:
    rules.advance(replace(HEALTHY, **measured), with_settings, seconds)
    return rules


def low_cell(rules: Rules, voltage: float, seconds: float = 1.0, *, with_settings: Settings = SETTINGS) -> Rules:
    """Measure one low cell; the bank as a whole stays at rest voltage."""
    return advance(rules, seconds, with_settings=with_settings, lowest_cell=voltage)


def test_nothing_is_wrong_with_a_healthy_bank() -> None:
    rules = advance(Rules())
    assert not rules.codes
    assert rules.allowed_to_charge is Permission.YES
    assert atd(rules) is Permission.YES
    assert not rules.pre_alarm
    assert rules.next_timer() is None


def atd(rules: Rules) -> Permission:
    return rules.allowed_to_discharge


# Low cell


def test_m_o3_pre_alarm_is_on_for_30_seconds_before_the_loads_go_off() -> None:
    rules = low_cell(Rules(), 2.89)
    assert rules.pre_alarm
    low_cell(rules, 2.79, 20)
    low_cell(rules, 2.79, 9.9)
    assert rules.pre_alarm
    assert atd(rules) is Permission.PRE_ALARM
    low_cell(rules, 2.79, 0.1)
    assert atd(rules) is Permission.NO


def test_m_o3_pre_alarm_is_on_for_30_seconds_even_if_the_cell_falls_at_once() -> None:
    rules = low_cell(advance(Rules()), 1.5, 600)
    assert rules.pre_alarm
    assert rules.next_timer() == PRE_ALARM_SECONDS == 30
    low_cell(rules, 1.2, 29.9)
    assert atd(rules) is Permission.PRE_ALARM
    low_cell(rules, 1.0, 0.2)
    assert atd(rules) is Permission.NO


def test_m_o3_a_cell_that_recovers_in_time_keeps_the_loads_on() -> None:
    rules = low_cell(Rules(), 2.75)
    low_cell(rules, 2.75, 25)
    low_cell(rules, 2.85, 10)
    assert atd(rules) is Permission.PRE_ALARM
    low_cell(rules, 3.21, 1)
    assert atd(rules) is Permission.YES


readings = st.lists(
    st.tuples(st.floats(0.5, 3.6), st.floats(2.0, 14.4), st.floats(0, 100), st.floats(0.1, 60)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(readings=readings)
def test_m_o3_the_loads_never_go_off_for_a_low_voltage_without_30_seconds_of_pre_alarm(
    readings: list[tuple[float, float, float, float]],
) -> None:
    rules, pre_alarm_for = Rules(), 0.0
    for lowest, bank_voltage, soc, seconds in readings:
        was_on, announced = rules.allowed_to_discharge is not Permission.NO, rules.pre_alarm
        pre_alarm_for = pre_alarm_for + seconds if announced else 0.0
        advance(rules, seconds, lowest_cell=lowest, bank_voltage=bank_voltage, state_of_charge=soc)
        if was_on and rules.discharge_off and Reason.DISCHARGE_FLOOR not in rules.discharge_off:
            assert pre_alarm_for >= PRE_ALARM_SECONDS


@pytest.mark.parametrize("level", [2.80, 2.95, 3.20])
def test_m_o6_the_pre_alarm_begins_at_its_level(level: float) -> None:
    chosen = Settings.defaults(12).changed(SettingKey.PRE_ALARM_CELL_VOLTAGE, level)
    rules, shown = Rules(), []
    for voltage, seconds in ((level + 0.01, 1), (level, 1), (3.20, 3600), (3.21, 1)):
        low_cell(rules, voltage, seconds, with_settings=chosen)
        shown.append(rules.pre_alarm)
    assert shown == [False, True, True, False]


@pytest.mark.parametrize("level", [2.80, 3.20])
def test_m_o3_the_pre_alarm_lasts_30_seconds_at_every_level(level: float) -> None:
    chosen = Settings.defaults(12).changed(SettingKey.PRE_ALARM_CELL_VOLTAGE, level)
    rules = low_cell(Rules(), 2.5, with_settings=chosen)
    low_cell(rules, 2.5, PRE_ALARM_SECONDS - 0.1, with_settings=chosen)
    assert atd(rules) is Permission.PRE_ALARM
    low_cell(rules, 2.5, 0.1, with_settings=chosen)
    assert rules.discharge_off == {Reason.LOW_CELL_VOLTAGE}


def test_m_p2_low_cell_threshold() -> None:
    rules = low_cell(Rules(), 2.81, 1)
    low_cell(rules, 2.81, 3600)
    assert atd(rules) is Permission.PRE_ALARM
    low_cell(rules, 2.80, 1)
    assert rules.discharge_off == {Reason.LOW_CELL_VOLTAGE}


def test_m_p5_a_low_cell_is_released_above_3_20() -> None:
    rules = low_cell(Rules(), 2.7)
    low_cell(rules, 2.7, 30)
    low_cell(rules, 3.20, 60)
    assert atd(rules) is Permission.NO
    low_cell(rules, 3.201)
    assert atd(rules) is Permission.YES


def test_m_p5_pre_alarm_threshold() -> None:
    assert not low_cell(Rules(), 2.91).pre_alarm
    assert low_cell(Rules(), 2.90).pre_alarm


def test_m_c1_low_cell_warning_comes_and_goes() -> None:
    rules = low_cell(Rules(), 2.85)
    assert rules.codes == {Code.W_B01}
    low_cell(rules, 3.15)
    assert rules.codes == {Code.W_B01}
    low_cell(rules, 3.25)
    assert not rules.codes


def test_m_c4_low_cell_alarm_takes_the_place_of_the_warning_and_goes_after_a_charge() -> None:
    rules = low_cell(Rules(), 2.75)
    low_cell(rules, 2.75, 30)
    assert rules.codes == {Code.A_B01}
    assert not rules.pre_alarm
    assert rules.allowed_to_charge is Permission.YES
    low_cell(rules, 3.25)
    assert not rules.codes


# Charging


def test_m_p1_too_cold_to_charge() -> None:
    assert advance(Rules(), lowest_temperature=5.0).allowed_to_charge is Permission.YES
    rules = advance(Rules(), lowest_temperature=4.9)
    assert rules.charge_off == {Reason.LOW_TEMPERATURE}
    assert atd(rules) is Permission.YES
    assert not rules.codes


def test_m_p5_cold_is_released_above_6() -> None:
    rules = advance(Rules(), lowest_temperature=4.9)
    assert advance(rules, lowest_temperature=6.0).allowed_to_charge is Permission.NO
    assert advance(rules, lowest_temperature=6.1).allowed_to_charge is Permission.YES


def test_m_p1_too_hot_to_charge() -> None:
    assert advance(Rules(), highest_temperature=50.0).allowed_to_charge is Permission.YES
    rules = advance(Rules(), highest_temperature=50.1)
    assert rules.charge_off == {Reason.HIGH_TEMPERATURE}
    assert atd(rules) is Permission.YES


def test_m_p5_heat_is_released_below_45() -> None:
    rules = advance(Rules(), highest_temperature=50.1)
    assert advance(rules, highest_temperature=45.0).allowed_to_charge is Permission.NO
    assert advance(rules, highest_temperature=44.9).allowed_to_charge is Permission.YES


def test_m_c8_high_temperature_alarm_comes_and_goes() -> None:
    rules = advance(Rules(), highest_temperature=51.0)
    assert rules.codes == {Code.A_B09}
    advance(rules, highest_temperature=44.0)
    assert not rules.codes


def test_m_p1_high_cell_stops_the_charge() -> None:
    assert advance(Rules(), highest_cell=3.74).allowed_to_charge is Permission.YES
    rules = advance(Rules(), highest_cell=3.75)
    assert rules.charge_off == {Reason.HIGH_CELL_VOLTAGE}
    assert not rules.codes


def test_m_p5_a_high_cell_is_released_below_3_60() -> None:
    rules = advance(Rules(), highest_cell=3.75)
    assert advance(rules, highest_cell=3.60).allowed_to_charge is Permission.NO
    assert advance(rules, highest_cell=3.59).allowed_to_charge is Permission.YES


# State of charge


def test_m_s5_low_soc_warning_at_or_below_its_level() -> None:
    assert not advance(Rules(), state_of_charge=15.1).codes
    rules = advance(Rules(), state_of_charge=15.0)
    assert rules.codes == {Code.W_B07}
    assert rules.pre_alarm
    assert atd(rules) is Permission.PRE_ALARM


def test_m_s6_discharge_floor_opens_the_loads_at_once_and_lets_the_charger_be() -> None:
    rules = advance(Rules(), state_of_charge=10.0)
    assert rules.codes == {Code.A_B07}
    assert rules.discharge_off == {Reason.DISCHARGE_FLOOR}
    assert rules.allowed_to_charge is Permission.YES


def test_m_s6_floor_of_zero_switches_the_function_off() -> None:
    rules = advance(Rules(), with_settings=NO_FLOOR, state_of_charge=0.0)
    assert rules.codes == {Code.W_B07}
    assert atd(rules) is Permission.PRE_ALARM


def test_m_c3_low_soc_warning_comes_and_goes() -> None:
    rules = advance(Rules(), state_of_charge=14.9)
    assert advance(rules, state_of_charge=15.9).codes == {Code.W_B07}
    assert not advance(rules, state_of_charge=16.0).codes


def test_m_c6_low_soc_alarm_goes_when_charged_enough() -> None:
    rules = advance(Rules(), state_of_charge=9.9)
    assert advance(rules, state_of_charge=14.9).codes == {Code.A_B07}
    assert advance(rules, state_of_charge=15.5).codes == {Code.W_B07}
    assert not advance(rules, state_of_charge=16.5).codes


@pytest.mark.parametrize("key", [SettingKey.DISCHARGE_FLOOR, SettingKey.LOW_SOC_WARNING])
def test_m_c6_a_full_battery_releases_even_the_highest_level(key: SettingKey) -> None:
    highest = SETTINGS.changed(key, 99)
    rules = advance(Rules(), with_settings=highest, state_of_charge=98.0)
    assert rules.codes
    assert not advance(rules, with_settings=highest, state_of_charge=100.0).codes


def test_m_p3_allowed_to_discharge_has_three_values() -> None:
    shown = [advance(Rules(), state_of_charge=soc).allowed_to_discharge for soc in (50.0, 12.0, 5.0)]
    assert shown == [Permission.YES, Permission.PRE_ALARM, Permission.NO]


# Communication


def test_m_c2_lost_battery_warns_at_once() -> None:
    rules = advance(Rules(), battery_lost=True)
    assert rules.codes == {Code.W_B05}
    assert atd(rules) is Permission.YES
    assert rules.allowed_to_charge is Permission.YES
    assert not advance(rules).codes


def test_m_c5_lost_battery_switches_everything_off_in_the_end() -> None:
    rules = advance(Rules(), battery_lost=True)
    assert rules.next_timer() == COMMUNICATION_SECONDS
    advance(rules, COMMUNICATION_SECONDS - 0.1, battery_lost=True)
    assert rules.codes == {Code.W_B05}
    advance(rules, 0.1, battery_lost=True)
    assert rules.codes == {Code.A_B05}
    assert rules.charge_off == rules.discharge_off == {Reason.BATTERY_COMMUNICATION}
    assert not advance(rules).codes


# Voltage of the bank


def test_m_c7_low_bank_voltage_comes_after_a_pre_alarm_and_goes_after_a_charge() -> None:
    rules = advance(Rules(), bank_voltage=10.7)
    assert rules.pre_alarm
    assert not rules.codes
    advance(rules, 29.9, bank_voltage=10.7)
    assert not rules.codes
    advance(rules, 0.1, bank_voltage=10.7)
    assert rules.codes == {Code.A_B08}
    assert rules.discharge_off == {Reason.LOW_BANK_VOLTAGE}
    assert advance(rules, bank_voltage=12.7).codes == {Code.A_B08}
    assert not advance(rules, bank_voltage=12.9).codes


def test_m_c7_a_short_dip_of_the_bank_voltage_is_nothing() -> None:
    rules = advance(Rules(), bank_voltage=10.7)
    advance(rules, 20, bank_voltage=10.7)
    advance(rules, bank_voltage=11.5)
    advance(rules, bank_voltage=10.7)
    advance(rules, 20, bank_voltage=10.7)
    assert not rules.codes


@pytest.mark.parametrize(("voltage", "error"), [(8.99, True), (9.0, False), (60.0, False), (60.1, True)])
def test_m_c11_voltage_outside_9_to_60(voltage: float, error: bool) -> None:
    rules = advance(Rules(), bank_voltage=voltage)
    assert (Code.E_B09 in rules.codes) is error
    assert Code.E_B09 not in advance(rules).codes


def test_m_c11_above_60_volt_everything_is_off_and_below_9_a_charger_may_help() -> None:
    high, low = advance(Rules(), bank_voltage=61.0), advance(Rules(), bank_voltage=8.5)
    assert high.charge_off == high.discharge_off == {Reason.BATTERY_VOLTAGE}
    assert low.allowed_to_charge is Permission.YES


# Errors


@pytest.mark.parametrize("code", [Code.E_B01, Code.E_B05])
def test_m_c9_m_c10_invalid_configuration(code: Code) -> None:
    rules = advance(Rules(), configuration_error=code)
    assert rules.codes == {code}
    assert rules.charge_off == rules.discharge_off == {Reason.BATTERY_CONFIGURATION}
    assert not advance(rules).codes


def test_m_c12_hardware_fault() -> None:
    rules = advance(Rules(), hardware_fault=True)
    assert rules.codes == {Code.E_B11}
    assert rules.charge_off == rules.discharge_off == {Reason.HARDWARE_FAULT}


# The table of codes


def test_m_c_there_are_twelve_codes_each_with_its_severity() -> None:
    assert len(CODES) == 12
    letters = {"W": Severity.WARNING, "A": Severity.ALARM, "E": Severity.ERROR}
    assert all(CODES[code].severity is letters[code[0]] for code in Code)


@pytest.mark.parametrize(
    ("code", "field"),
    [
        (Code.W_B01, LevelField.LOW_CELL_VOLTAGE),
        (Code.A_B05, LevelField.BATTERY_COMMUNICATION),
        (Code.W_B07, LevelField.LOW_SOC),
        (Code.A_B08, LevelField.LOW_BANK_VOLTAGE),
        (Code.A_B09, LevelField.HIGH_BATTERY_TEMPERATURE),
    ],
)
def test_m_c_codes_are_shown_in_their_field(code: Code, field: LevelField) -> None:
    shown = levels({code})
    assert shown[field] is (Level.WARNING if code.startswith("W") else Level.ALARM)
    assert shown[LevelField.CONTACTOR] is Level.NOT_SUPPORTED
    assert sum(level in (Level.WARNING, Level.ALARM) for level in shown.values()) == 1


def test_m_c_errors_are_shown_by_number() -> None:
    assert error_number({Code.A_B01}) == 0
    assert error_number({Code.E_B11}) == 11
    assert error_number({Code.E_B11, Code.E_B05, Code.W_B01}) == 5


def test_rules_survive_saving_in_the_middle_of_a_pre_alarm() -> None:
    rules = low_cell(Rules(), 2.7)
    low_cell(rules, 2.7, 20)
    loaded = Rules()
    loaded.restore(from_json(RulesCheckpoint, as_json(rules.copy())))
    assert loaded.pre_alarm
    assert loaded.next_timer() == pytest.approx(10)
    low_cell(loaded, 2.7, 10)
    assert loaded.codes == {Code.A_B01}
    assert rules.codes == {Code.W_B01}


def test_what_is_not_measured_leaves_everything_as_it_was() -> None:
    rules = advance(Rules(), lowest_cell=2.85, highest_temperature=55.0, state_of_charge=12.0)
    before = rules.codes
    advance(
        rules,
        lowest_cell=None,
        highest_cell=None,
        lowest_temperature=None,
        highest_temperature=None,
        state_of_charge=None,
    )
    assert rules.codes == before != frozenset()
