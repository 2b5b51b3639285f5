"""The resting voltage of a LiFePO4 cell over its state of charge.

M. Safari and C. Delacourt, "Modeling of a Commercial Graphite/LiFePO4 Cell", Journal of The Electrochemical Society 158
(2011) A562, table I: the equilibrium potentials of both electrodes. Where graphite stands at 0 and 100 % is after
M. Schimpe et al., "Comprehensive Modeling of Temperature-Dependent Degradation Mechanisms in Lithium Iron Phosphate
Batteries", Journal of The Electrochemical Society 165 (2018) A181.

The electrodes of that paper go on taking charge where a cell is full, so that its voltage would rise slowly. Assumed: a
sharp knee from 100 % on, as large cells show it, is added to the published functions.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

# 0.0085 there. A little less here, so that about one hundredth of the capacity is left in a cell at 2.80 V (M-D1).
_GRAPHITE_EMPTY: Final = 0.0068
_GRAPHITE_FULL: Final = 0.78
_PHOSPHATE_EMPTY: Final = 0.916
# Chosen so that a cell at 100 % rests at 3.38 V. Full cells are reported to come to rest at 3.35 V ("Cell voltages drop
# after the charge completes", help.evolveelectrics.com) to 3.39 V ("Voltage Settle After Charge", diyelectriccar.com, a
# measurement of 60 cells of 180 Ah over six days).
_PHOSPHATE_FULL: Final = 0.06

# The knee: what is added at a charge of 1 + x is KNEE * (1 - exp(-x / WIDTH)) + RISE * x, in V. Assumed, so that the
# charge of 0.25 % takes a cell to 3.55 V (14.2 V of a 12 V battery), and 0.8 % to 3.75 V.
_KNEE: Final = 0.33
_KNEE_WIDTH: Final = 0.0045
_RISE: Final = 12.0
_KNEE_BEND: Final = 0.0003

# The functions hold from here to there; beyond, a reversed cell falls to 0 V and an overcharged one goes on rising.
_LOWEST: Final = -0.0085
_HIGHEST: Final = 1.035
_REVERSED: Final = (-0.02, 0.0)  # state of charge, V
_OVERCHARGED: Final = (1.15, 6.0)
_FINE_STEP: Final = 0.0005
_COARSE_STEP: Final = 0.0025
_KNEE_STEP: Final = 0.0001


def _phosphate_potential(lithiation: Floats) -> Floats:
    empty = 1 - lithiation
    potential: Floats = (
        3.4323
        - 0.8428 * np.exp(-80.2493 * empty**1.3198)
        - 3.2474e-6 * np.exp(20.2645 * empty**3.8003)
        + 3.2482e-6 * np.exp(20.2646 * empty**3.7995)
    )
    return potential


def _graphite_potential(lithiation: Floats) -> Floats:
    potential: Floats = (
        0.6379
        + 0.5416 * np.exp(-305.5309 * lithiation)
        + 0.044 * np.tanh(-(lithiation - 0.1958) / 0.1088)
        - 0.1978 * np.tanh((lithiation - 1.0571) / 0.0854)
        - 0.6875 * np.tanh((lithiation + 0.0117) / 0.0529)
        - 0.0175 * np.tanh((lithiation - 0.5692) / 0.0875)
    )
    return potential


def _cell_voltage(charge: Floats) -> Floats:
    phosphate = _PHOSPHATE_EMPTY + charge * (_PHOSPHATE_FULL - _PHOSPHATE_EMPTY)
    graphite = _GRAPHITE_EMPTY + charge * (_GRAPHITE_FULL - _GRAPHITE_EMPTY)
    voltage: Floats = _phosphate_potential(phosphate) - _graphite_potential(graphite)
    return voltage


def _above_full(charge: Floats) -> Floats:
    beyond = _KNEE_BEND * np.logaddexp((charge - 1.0) / _KNEE_BEND, 0.0)  # bent, where a maximum would have a corner
    added: Floats = _KNEE * (1 - np.exp(-beyond / _KNEE_WIDTH)) + _RISE * beyond
    return added


def _grid() -> Floats:
    bottom = np.arange(_LOWEST, 0.10, _FINE_STEP)
    middle = np.arange(0.10, 0.93, _COARSE_STEP)
    top = np.arange(0.93, 0.995, _FINE_STEP)
    knee = np.arange(0.995, _HIGHEST, _KNEE_STEP)
    return np.unique(np.round(np.concatenate((bottom, middle, top, knee)), 6))


def _with_ends(values: Floats, lowest: float, highest: float) -> Floats:
    return np.concatenate(([lowest], values, [highest]))


_CHARGES: Final = _with_ends(_grid(), _REVERSED[0], _OVERCHARGED[0])
_VOLTAGES: Final = _with_ends(_cell_voltage(_grid()) + _above_full(_grid()), _REVERSED[1], _OVERCHARGED[1])
_SLOPES: Final[Floats] = np.gradient(_VOLTAGES, _CHARGES)


def open_circuit_voltage(charge: Floats) -> Floats:
    """Return the resting voltage in V of cells at a state of charge (1 = full)."""
    return np.interp(charge, _CHARGES, _VOLTAGES)


def open_circuit_slope(charge: Floats) -> Floats:
    """Return how fast the resting voltage rises, in V per whole charge (never negative)."""
    return np.interp(charge, _CHARGES, _SLOPES)
