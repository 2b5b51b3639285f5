"""The warning and the discharge floor: what goes together, and in which order it is written."""

from typing import Final

import pytest

from custom_components.smallbms_ng.protocol.payloads import Value
from custom_components.smallbms_ng.protocol.registers import (
    THRESHOLDS,
    Name,
    ThresholdConflict,
    threshold_conflict,
    write_order,
)

WARNING, FLOOR = THRESHOLDS
OTHER: Final = Name.TAIL_CURRENT


@pytest.mark.parametrize("warning", [0, 9, 10])
def test_m_s5_a_warning_is_above_the_floor(warning: float) -> None:
    assert threshold_conflict({WARNING: warning, FLOOR: 10}) == ThresholdConflict(warning=warning, floor=10)
    assert threshold_conflict({WARNING: 11, FLOOR: 10}) is None


@pytest.mark.parametrize("warning", [0, 1, 99])
def test_m_s6_a_floor_of_0_is_none(warning: float) -> None:
    assert threshold_conflict({WARNING: warning, FLOOR: 0}) is None


@pytest.mark.parametrize("levels", [{}, {WARNING: 5}, {FLOOR: 5}, {WARNING: None, FLOOR: 5}, {WARNING: 5, FLOOR: None}])
def test_what_is_not_known_clashes_with_nothing(levels: dict[Name, Value]) -> None:
    assert threshold_conflict(levels) is None


@pytest.mark.parametrize(("old_warning", "old_floor"), [(15, 10), (50, 40), (5, 0), (99, 98)])
def test_the_warning_is_above_the_floor_in_between(old_warning: float, old_floor: float) -> None:
    every = ({WARNING: warning, FLOOR: floor} for warning in range(100) for floor in range(100))
    for wanted in every:
        if threshold_conflict(wanted):
            continue
        has: dict[Name, Value] = {WARNING: old_warning, FLOOR: old_floor}
        for name in write_order(wanted, old_floor):
            has[name] = wanted[name]
            assert threshold_conflict(has) is None, wanted


@pytest.mark.parametrize("floor", [None, 10])
def test_nothing_is_left_out(floor: Value) -> None:
    values: dict[Name, Value] = {FLOOR: 20, OTHER: 4, WARNING: 30}
    assert sorted(write_order(values, floor)) == sorted(values)
    assert write_order(values, floor)[-1] is FLOOR
