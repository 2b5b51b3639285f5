"""The grid on which steps of the simulation end: whole minutes, and minutes halved over and over.

The grid of a coarse run has five minutes instead.
"""

from math import floor
from typing import Final

LONGEST_STEP: Final = 60.0  # s
# Of a run through months, where nobody looks at single minutes.
COARSE_STEP: Final = 300.0  # s
TOLERANCE: Final = 1e-9
# Times off the grid are multiples of this, in s: sums of them are exact.
TICKS_PER_SECOND: Final = 2**20


def stride_within(seconds: float, longest: float = LONGEST_STEP) -> float:
    """Return the coarsest stride of the grid that is not longer than some seconds."""
    stride = longest
    while stride > seconds:
        stride /= 2
    return stride


def next_on_grid(elapsed: float, stride: float) -> float:
    """Return the next point of the grid after some elapsed seconds."""
    return (floor(elapsed / stride + TOLERANCE) + 1) * stride


def to_ticks(elapsed: float) -> float:
    """Return the nearest time that sums keep exact."""
    return round(elapsed * TICKS_PER_SECOND) / TICKS_PER_SECOND
