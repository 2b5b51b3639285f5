"""Switches between outputs and what obeys them, with their delays."""

import pytest

from emulator.bms.outputs import Output
from emulator.world.switches import (
    WIRINGS,
    BatteryProtect,
    CyrixLiCharge,
    CyrixLiCt,
    CyrixLiLoad,
    Direct,
    Inverter,
    Situation,
    Switch,
)


def see(
    switch: Switch,
    seconds: float,
    *,
    signal: bool = True,
    voltage: float = 13.2,
    other_voltage: float = 0.0,
    powered: bool = True,
) -> bool:
    """Let seconds pass, one by one, and return whether the switch is closed then."""
    situation = Situation(signal=signal, voltage=voltage, other_voltage=other_voltage, powered=powered)
    for _ in range(int(seconds)):
        switch.settle(situation)
        switch.advance(situation, 1.0)
    return switch.closed


def reopened(switch: Switch) -> Switch:
    """Return a switch that was just opened by its output."""
    see(switch, 5)
    assert not see(switch, 1, signal=False)
    return switch


@pytest.mark.parametrize("name", WIRINGS)
def test_m_o5_wires_and_cables_pass_the_signal_on(name: str) -> None:
    switch = Direct(WIRINGS[name])
    switch.settle(Situation(signal=False, voltage=13.2))
    assert not switch.closed
    switch.settle(Situation(signal=True, voltage=13.2))
    assert switch.closed


def test_m_o5_every_wiring_is_on_the_right_output() -> None:
    assert {name: wiring.output for name, wiring in WIRINGS.items()} == {
        "load-output": Output.LOAD,
        "inverting-cable": Output.LOAD,
        "charger-output": Output.CHARGER,
        "ve-direct-cable": Output.CHARGER,
        "skylla-tg-cable": Output.CHARGER,
        "skylla-i-cable": Output.CHARGER,
        "nothing": None,
    }


def test_battery_protect_reconnects_after_30_seconds() -> None:
    switch = reopened(BatteryProtect("Protect"))
    assert not see(switch, 30)
    assert see(switch, 1)


def test_battery_protect_stays_open_below_its_reconnect_voltage() -> None:
    switch = reopened(BatteryProtect("Protect"))
    assert not see(switch, 300, voltage=11.9)
    assert see(switch, 31, voltage=12.0)


def test_battery_protect_disconnects_after_90_seconds_below_its_voltage() -> None:
    switch = BatteryProtect("Protect")
    assert see(switch, 89, voltage=10.4)
    assert see(switch, 1, voltage=10.6)
    assert see(switch, 90, voltage=10.4)
    assert not see(switch, 1, voltage=10.4)


def test_battery_protect_opens_at_once_on_a_voltage_that_is_too_high() -> None:
    switch = BatteryProtect("Protect", factor=2.0)
    assert see(switch, 10, voltage=31.9)
    assert not see(switch, 1, voltage=32.1)
    assert not see(switch, 60, voltage=32.1)


def test_a_switch_says_when_it_may_change() -> None:
    switch = reopened(BatteryProtect("Protect"))
    assert switch.next_timer() is None
    see(switch, 11)
    assert switch.next_timer() == pytest.approx(20.0)


def test_cyrix_li_load_tries_three_times_and_then_waits_for_a_charger() -> None:
    switch = CyrixLiLoad("Cyrix")
    for _ in range(3):
        see(switch, 1, signal=False, voltage=12.0)
        assert not see(switch, 30, voltage=12.0)
        assert see(switch, 1, voltage=12.0)
    see(switch, 1, signal=False, voltage=12.0)
    assert not see(switch, 3600, voltage=12.0)
    assert see(switch, 31, voltage=13.1)


def test_cyrix_li_load_forgets_its_attempts_when_it_sees_a_charger() -> None:
    switch = CyrixLiLoad("Cyrix")
    for _ in range(3):
        see(switch, 1, signal=False, voltage=12.0)
        see(switch, 31, voltage=12.0)
    see(switch, 31, voltage=13.5)
    see(switch, 1, signal=False, voltage=12.0)
    assert see(switch, 31, voltage=12.0)


def test_cyrix_li_charge_connects_after_three_seconds_twice_and_then_after_ten_minutes() -> None:
    switch = CyrixLiCharge("Cyrix")
    for _ in range(2):
        see(switch, 1, signal=False)
        assert not see(switch, 3, voltage=13.6)
        assert see(switch, 1, voltage=13.6)
    see(switch, 1, signal=False)
    assert not see(switch, 600, voltage=13.6)
    assert see(switch, 1, voltage=13.6)


def test_cyrix_li_charge_waits_for_a_charger_with_power() -> None:
    switch = reopened(CyrixLiCharge("Cyrix"))
    assert not see(switch, 3600, powered=False)
    assert see(switch, 4)


def test_cyrix_li_charge_looks_once_an_hour_whether_the_charger_is_still_there() -> None:
    switch = CyrixLiCharge("Cyrix")
    assert see(switch, 3600, voltage=13.3)
    assert not see(switch, 1, voltage=13.3)
    assert see(switch, 4, voltage=13.3)


def test_cyrix_li_ct_engages_on_a_voltage_of_either_side() -> None:
    for voltage, other_voltage in ((13.4, 12.6), (13.0, 14.4)):
        switch = CyrixLiCt("Cyrix")
        assert not see(switch, 30, voltage=voltage, other_voltage=other_voltage)
        assert see(switch, 1, voltage=voltage, other_voltage=other_voltage)


def test_cyrix_li_ct_disengages_at_once() -> None:
    switch = CyrixLiCt("Cyrix")
    assert see(switch, 31, voltage=13.4)
    assert see(switch, 60, voltage=13.21)
    assert not see(switch, 1, voltage=13.19)
    assert see(switch, 31, voltage=13.4)
    assert not see(switch, 1, voltage=13.4, signal=False)
    assert not see(switch, 60, voltage=13.4, signal=False)


def test_inverter_guards_itself_against_a_low_voltage() -> None:
    switch = Inverter("Inverter")
    assert see(switch, 10, voltage=9.4)
    assert not see(switch, 1, voltage=9.2)
    assert not see(switch, 60, voltage=10.8)
    assert not see(switch, 30, voltage=11.0)
    assert see(switch, 1, voltage=11.0)


def test_inverter_that_was_off_for_a_low_voltage_restarts_by_its_remote() -> None:
    switch = Inverter("Inverter")
    see(switch, 1, voltage=9.2)
    see(switch, 1, voltage=10.0, signal=False)
    assert see(switch, 1, voltage=10.0)
