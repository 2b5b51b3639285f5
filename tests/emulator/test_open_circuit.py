"""The resting voltage of a cell."""

import numpy as np
import pytest

from emulator.battery.open_circuit import open_circuit_slope, open_circuit_voltage

CHARGES = np.linspace(-0.02, 1.15, 5000)


@pytest.mark.parametrize(
    ("charge", "voltage"),
    # U_p(y) - U_n(x) of the paper, at the stoichiometries of that charge.
    [(0.1, 3.1965), (0.5, 3.3090), (0.95, 3.3484)],
)
def test_voltage_follows_the_published_functions(charge: float, voltage: float) -> None:
    assert open_circuit_voltage(np.array([charge]))[0] == pytest.approx(voltage, abs=0.0005)


def test_a_full_cell_rests_where_real_ones_do_and_its_knee_is_sharp() -> None:
    full, at_14_2_v, too_high = open_circuit_voltage(np.array([1.0, 1.0025, 1.008]))
    assert 3.35 < full < 3.40
    assert at_14_2_v == pytest.approx(3.55, abs=0.02)
    assert too_high == pytest.approx(3.75, abs=0.02)


def test_voltage_always_rises() -> None:
    assert np.all(np.diff(open_circuit_voltage(CHARGES)) > 0)


def test_slope_is_that_of_the_voltage() -> None:
    middle = np.linspace(-0.006, 1.03, 4000)  # where the published functions hold
    step = 1e-4
    measured = (open_circuit_voltage(middle + step) - open_circuit_voltage(middle - step)) / (2 * step)
    assert open_circuit_slope(middle) == pytest.approx(measured, rel=0.15, abs=0.05)


def test_the_middle_is_flat_and_the_ends_are_steep() -> None:
    low, high = open_circuit_voltage(np.array([0.3, 0.9]))
    assert high - low < 0.08
    empty, full = open_circuit_slope(np.array([0.0, 1.0]))
    assert min(empty, full) > 50 * open_circuit_slope(np.array([0.5]))[0]


def test_a_reversed_cell_ends_at_zero() -> None:
    assert open_circuit_voltage(np.array([-0.5]))[0] == 0.0
