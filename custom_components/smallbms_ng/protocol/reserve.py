"""What is left in the batteries after a shutdown for low cell voltage, and how long that lasts (M-D1)."""

from dataclasses import dataclass
from typing import Final

SECONDS_PER_HOUR: Final = 3600

# What is left is so much of the capacity: about 1 Ah of 100 Ah (M-D1).
RESERVE_SHARE: Final = 0.01
# A current is taken to flow no longer than this, in s, after it was measured.
LONGEST_STEP: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How many Ah were drawn since the shutdown, up to a time in s since 1970."""

    amphours: float
    at: float


class ReserveCountdown:
    """Counts down after a shutdown: the residual current, in A, or what is measured if that is more, is drawn.

    What is charged is given back. drawn is None while there is no shutdown.
    """

    def __init__(self, residual_current: float, drawn: Drawn | None = None) -> None:
        """Go on from what was drawn before."""
        self.residual_current = residual_current
        self.drawn = drawn

    def take(self, *, shut_down: bool, current: float | None, at: float) -> None:
        """Take whether it is shut down, and a current in A (positive = charging), at a time in s since 1970."""
        if not shut_down:
            self.drawn = None
            return
        amphours = self._drawn_until(at, -(current or 0.0)) if self.drawn else 0.0
        self.drawn = Drawn(amphours=max(amphours, 0.0), at=at)

    def left(self, capacity: float, at: float) -> float | None:
        """Return the Ah that are left of a capacity in Ah; None while there is no shutdown."""
        if self.drawn is None:
            return None
        return max(capacity * RESERVE_SHARE - self._drawn_until(at), 0.0)

    def time_left(self, capacity: float, at: float) -> float | None:
        """Return for how many hours that lasts; None while there is no shutdown, or no residual current is known."""
        left = self.left(capacity, at)
        return left / self.residual_current if left is not None and self.residual_current else None

    def _drawn_until(self, at: float, measured: float = 0.0) -> float:
        """Return the Ah drawn up to a time, of which the last part at a measured current, in A, out of the battery."""
        if self.drawn is None:
            return 0.0
        seconds = max(at - self.drawn.at, 0.0)
        known = min(seconds, LONGEST_STEP)
        current = measured if measured < 0 else max(measured, self.residual_current)
        drawn = current * known + self.residual_current * (seconds - known)
        return self.drawn.amphours + drawn / SECONDS_PER_HOUR
