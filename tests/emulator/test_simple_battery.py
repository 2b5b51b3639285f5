"""The small battery: smooth, plausible, the same every time."""

from itertools import pairwise

import pytest

from emulator.simple_battery import CAPACITY, CYCLE, SimpleBattery, resting_voltage
from emulator.snapshot import IoField, Level, LevelField

STEPS = 1000


@pytest.fixture
def battery() -> SimpleBattery:
    return SimpleBattery()


def one_cycle(battery: SimpleBattery) -> list[tuple[float, float, float]]:
    """Return voltage, current and state of charge over a cycle."""
    shown = [battery.snapshot(CYCLE * step / STEPS) for step in range(STEPS + 1)]
    return [(s.voltage or 0, s.current or 0, s.state_of_charge or 0) for s in shown]


def test_repeats_itself(battery: SimpleBattery) -> None:
    assert battery.snapshot(1234.5) == SimpleBattery().snapshot(1234.5)
    shown = one_cycle(battery)
    assert shown[0] == pytest.approx(shown[-1], abs=1e-6)


def test_moves_smoothly_within_what_a_battery_can(battery: SimpleBattery) -> None:
    shown = one_cycle(battery)
    for (voltage, current, charge), (next_voltage, next_current, next_charge) in pairwise(shown):
        assert 11.5 < voltage < 14.2
        assert abs(current) <= CAPACITY
        assert 0 < charge < 100
        assert abs(next_voltage - voltage) < 0.05
        assert abs(next_current - current) < 1
        assert abs(next_charge - charge) < 1


def test_the_current_is_what_moves_the_charge(battery: SimpleBattery) -> None:
    hours = CYCLE / STEPS / 3600
    for (_, current, charge), (_, next_current, next_charge) in pairwise(one_cycle(battery)):
        moved = (current + next_current) / 2 * hours / CAPACITY * 100
        assert next_charge - charge == pytest.approx(moved, abs=1e-3)


def test_time_to_go_while_discharging_only(battery: SimpleBattery) -> None:
    discharging, charging = battery.snapshot(CYCLE / 4), battery.snapshot(CYCLE * 3 / 4)
    assert discharging.current is not None
    assert discharging.state_of_charge is not None
    hours = (discharging.state_of_charge - 10) / 100 * CAPACITY / -discharging.current
    assert discharging.time_to_go == round(hours * 60)
    assert charging.time_to_go is None


def test_almost_no_current_gives_the_longest_time(battery: SimpleBattery) -> None:
    assert battery.snapshot(10).time_to_go == 14400


def test_m_s5_m_s6_levels_near_the_low_end(battery: SimpleBattery) -> None:
    seen = []
    for step in range(STEPS // 2):
        shown = battery.snapshot(CYCLE * step / STEPS)
        now = (shown.levels[LevelField.LOW_SOC], shown.io[IoField.ALLOWED_TO_DISCHARGE])
        if now not in seen:
            seen.append(now)
            charge = shown.state_of_charge
    assert seen == [(Level.OK, True), (Level.WARNING, True), (Level.ALARM, False)]
    assert charge == pytest.approx(10, abs=0.5)


def test_drawn_amphours_are_what_is_missing(battery: SimpleBattery) -> None:
    shown = battery.snapshot(CYCLE / 2)
    assert shown.state_of_charge == pytest.approx(8)
    assert shown.drawn_amphours == pytest.approx(92)


@pytest.mark.parametrize(("charge", "voltage"), [(0, 10.8), (5, 12.0), (7.5, 12.3), (100, 13.6), (101, 13.6)])
def test_resting_voltage(charge: float, voltage: float) -> None:
    assert resting_voltage(charge) == pytest.approx(voltage)
