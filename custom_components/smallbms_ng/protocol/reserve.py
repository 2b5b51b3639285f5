"""What is left in the batteries after a shutdown for low cell voltage, and how long that lasts (M-D1)."""

from dataclasses import dataclass
from typing import Final

from .energy import LONGEST_STEP, SECONDS_PER_HOUR
from .quantities import DEAD_BAND

# What is left is so much of the capacity: about 1 Ah of 100 Ah (M-D1).
RESERVE_SHARE: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How many Ah were drawn since the shutdown, up to a time in s of any clock."""

    amphours: float
    at: float


class ReserveCountdown:
    """Counts down after a shutdown: the residual current, in A, is drawn, or what was measured if that is more.

    What is charged is given back. holds_for is for how many s a measured current is taken to flow unless another is
    measured. drawn is None while there is no shutdown.
    """

    def __init__(self, residual_current: float, drawn: Drawn | None = None, *, holds_for: float = LONGEST_STEP) -> None:
        """Go on from what was drawn before."""
        self.residual_current = residual_current
        self.drawn = drawn
        self._holds_for = holds_for
        self._flow = residual_current

    def take(self, *, shut_down: bool, current: float | None, at: float) -> None:
        """Take whether it is shut down, and a current in A (positive = charging), at a time in s."""
        if not shut_down:
            self.drawn = None
            return
        amphours = self._drawn_until(self.drawn, at) if self.drawn else 0.0
        self.drawn = Drawn(amphours=max(amphours, 0.0), at=at)
        self._flow = self._out_of_battery(current or 0.0)

    def left(self, capacity: float, at: float) -> float | None:
        """Return the Ah that are left of a capacity in Ah; None while there is no shutdown."""
        if self.drawn is None:
            return None
        reserve = capacity * RESERVE_SHARE
        return min(max(reserve - self._drawn_until(self.drawn, at), 0.0), reserve)

    def time_left(self, capacity: float, at: float) -> float | None:
        """Return for how many hours that lasts; None while there is no shutdown, or no residual current is known."""
        left = self.left(capacity, at)
        if self.drawn is None or left is None or not self.residual_current:
            return None
        holds = at - self.drawn.at <= self._holds_for
        return left / max(self.residual_current, self._flow if holds else 0.0)

    def _out_of_battery(self, measured: float) -> float:
        """Return what flows out, in A, when a current is measured."""
        if abs(measured) <= DEAD_BAND:
            return self.residual_current
        return -measured if measured > 0 else max(-measured, self.residual_current)

    def _drawn_until(self, drawn: Drawn, at: float) -> float:
        """Return the Ah drawn in all up to a time."""
        seconds = max(at - drawn.at, 0.0)
        known = min(seconds, self._holds_for)
        more = self._flow * known + self.residual_current * (seconds - known)
        return drawn.amphours + more / SECONDS_PER_HOUR
