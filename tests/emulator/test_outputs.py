"""Outputs: voltages and limits."""

import pytest

from emulator.bms.outputs import CURRENT_LIMITS, Output, Outputs

from .banks import make_bms, run


def test_m_o1_load_output_is_high_and_a_tenth_of_a_volt_below_the_battery() -> None:
    bms = make_bms()
    run(bms, 10, current=-5)
    assert bms.outputs.voltage(Output.LOAD) == pytest.approx(bms.voltage - 0.1)


def test_m_o2_charger_output_is_high_and_a_tenth_of_a_volt_below_the_battery() -> None:
    bms = make_bms()
    run(bms, 10, current=5)
    assert bms.outputs.voltage(Output.CHARGER) == pytest.approx(bms.voltage - 0.1)


def test_m_o3_pre_alarm_output_floats_normally_and_is_high_in_a_pre_alarm() -> None:
    assert make_bms().outputs.voltage(Output.PRE_ALARM) is None
    bms = make_bms(soc=14)
    assert bms.outputs.voltage(Output.PRE_ALARM) == pytest.approx(bms.voltage - 0.1)


@pytest.mark.parametrize(("output", "limit"), [("load", 1.0), ("charger", 0.5), ("pre_alarm", 0.5)])
def test_m_o1_m_o2_m_o3_limits(output: str, limit: float) -> None:
    assert CURRENT_LIMITS[Output(output)] == limit


@pytest.mark.parametrize("output", [Output.LOAD, Output.CHARGER])
def test_m_o1_m_o2_an_output_survives_its_limit_and_nothing_above(output: Output) -> None:
    bms = make_bms()
    bms.draw_from_output(output, CURRENT_LIMITS[output])
    assert bms.outputs.is_high(output)
    bms.draw_from_output(output, 40.0)
    bms.draw_from_output(output, 0.0)
    assert not bms.outputs.is_high(output)


def test_what_hangs_on_an_output_is_drawn_while_it_is_high() -> None:
    bms = make_bms()
    quiet = bms.own_consumption
    bms.draw_from_output(Output.LOAD, 0.4)
    assert bms.own_consumption == pytest.approx(quiet + 0.4)
    bms.set_mode(False)
    assert bms.own_consumption < quiet


def test_outputs_are_equal_whatever_the_voltage() -> None:
    one = Outputs(load=True, charger=True, pre_alarm=False, battery_voltage=13.0)
    other = Outputs(load=True, charger=True, pre_alarm=False, battery_voltage=13.1)
    assert one == other
    assert hash(one) == hash(other)
