"""Timetables, curves and duty cycles."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from emulator.world.schedule import (
    SECONDS_PER_DAY,
    SECONDS_PER_WEEK,
    DailyCurve,
    DutyCycle,
    Timetable,
    Window,
)

HOUR = 3600.0


def hours(*points: tuple[float, float]) -> list[tuple[float, float]]:
    return [(time * HOUR, value) for time, value in points]


def test_profile_holds_until_the_next_time() -> None:
    profile = Timetable.daily(hours((6, 20.0), (8, 0.0), (19, 60.0)))
    assert [profile.value(hour * HOUR) for hour in (6, 7.9, 8, 18, 19, 23)] == [20, 20, 0, 0, 60, 60]


def test_before_the_first_time_yesterdays_last_value_holds() -> None:
    profile = Timetable.daily(hours((6, 20.0), (19, 60.0)))
    assert profile.value(3 * HOUR) == 60.0
    assert profile.value(SECONDS_PER_DAY + 3 * HOUR) == 60.0


def test_constant_never_changes() -> None:
    assert Timetable.constant(5.0).until_change(12345.0) is None
    assert Timetable.constant(5.0).value(12345.0) == 5.0


def test_windows_are_on_their_days_only() -> None:
    driving = Timetable.windows([Window(begins=9 * HOUR, ends=11 * HOUR, days=frozenset({0, 6}))])
    on = [driving.value(day * SECONDS_PER_DAY + 10 * HOUR) for day in range(7)]
    assert on == [1, 0, 0, 0, 0, 0, 1]


def test_window_may_pass_midnight_and_the_end_of_the_week() -> None:
    mains = Timetable.windows([Window(begins=22 * HOUR, ends=6 * HOUR, days=frozenset({6}))])
    assert mains.value(6 * SECONDS_PER_DAY + 23 * HOUR) == 1
    assert mains.value(SECONDS_PER_WEEK + 5.9 * HOUR) == 1
    assert mains.value(5.9 * HOUR) == 1
    assert mains.value(6 * HOUR) == 0


def test_window_that_ends_when_it_begins_lasts_a_day() -> None:
    mains = Timetable.windows([Window(begins=HOUR, ends=HOUR, days=frozenset({2}))])
    assert mains.value(2 * SECONDS_PER_DAY + 2 * HOUR) == 1
    assert mains.value(3 * SECONDS_PER_DAY) == 1
    assert mains.value(3 * SECONDS_PER_DAY + 2 * HOUR) == 0


def test_curve_goes_in_straight_lines_and_closes_at_midnight() -> None:
    curve = DailyCurve.through(hours((5, 10.0), (15, 20.0)))
    assert curve.value(10 * HOUR) == pytest.approx(15.0)
    assert curve.value(22 * HOUR) == pytest.approx(15.0)
    assert curve.value(0.0) == pytest.approx(curve.value(SECONDS_PER_DAY - 1e-3), abs=1e-6)
    assert DailyCurve.through([(HOUR, 7.0)]).value(20 * HOUR) == 7.0


def test_duty_cycle_is_on_first_and_then_off() -> None:
    cycle = DutyCycle(on=10.0, every=30.0)
    assert [cycle.is_on(second) for second in (0, 9.99, 10, 29.99, 30, 39)] == [True, True, False, False, True, True]
    assert cycle.until_change(4.0) == pytest.approx(6.0)
    assert cycle.until_change(12.0) == pytest.approx(18.0)


def test_phase_shifts_a_duty_cycle() -> None:
    cycle = DutyCycle(on=10.0, every=30.0, phase=25.0)
    assert [cycle.is_on(second) for second in (0, 4.9, 5, 14.9, 15)] == [False, False, True, True, False]


PROFILE = Timetable.daily(hours((0.1, 1.0), (6, 2.0), (19.33, 3.0)))


@given(moment=st.floats(0, 1e9))
def test_value_holds_until_the_change_and_not_beyond(moment: float) -> None:
    wait = PROFILE.until_change(moment)
    assert wait is not None
    assert wait > 0
    assert PROFILE.value(moment + wait / 2) == PROFILE.value(moment)
    assert PROFILE.value(moment + wait) != PROFILE.value(moment)


@given(moment=st.floats(0, 1e9), phase=st.floats(0, 1000))
def test_duty_cycle_switches_at_its_change(moment: float, phase: float) -> None:
    cycle = DutyCycle(on=300.0, every=1000.0, phase=phase)
    wait = cycle.until_change(moment)
    assert wait > 0
    assert cycle.is_on(moment + wait / 2) == cycle.is_on(moment)
    assert cycle.is_on(moment + wait) != cycle.is_on(moment)
