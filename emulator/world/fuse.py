"""The main fuse between the bank and everything else."""

from dataclasses import dataclass
from math import inf
from typing import Annotated, Final

from emulator.reading.values import number

# Assumed: one for 1.5 times the continuous current of the batteries.
FUSE_FACTOR: Final = 1.5
# Assumed: it melts by the square of the current. Twice its rating for this long takes a third of it, in s.
FUSE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class FuseState:
    """The state of a fuse: how far it has melted, from 0 to 1, and whether it has blown."""

    melted: Annotated[float, number(0, 1)] = 0.0
    blown: bool = False


class Fuse:
    """A fuse for a current in A."""

    def __init__(self, rating: float = inf) -> None:
        self.rating = rating
        self.state = FuseState()

    @property
    def blown(self) -> bool:
        """Whether it has blown."""
        return self.state.blown

    def until_blown(self, current: float) -> float | None:
        """Return the seconds until it blows at a current in A; None if it never does."""
        heating = self._heating(current)
        return None if self.blown or heating <= 0 else (1 - self.state.melted) / heating

    def advance(self, current: float, seconds: float) -> None:
        """Let a current in A flow for some seconds."""
        if self.blown or (self.state.melted == 0 and abs(current) <= self.rating):
            return
        melted = max(self.state.melted + self._heating(current) * seconds, 0.0)
        # Nearly blown counts as blown, so that rounding cannot leave a rest forever.
        self.state = FuseState(melted=min(melted, 1.0), blown=melted >= 1 - 1e-9)

    def replace(self) -> None:
        """Put a new one in."""
        self.state = FuseState()

    def _heating(self, current: float) -> float:
        """Return how fast it melts, or cools down if negative, for each s."""
        return ((current / self.rating) ** 2 - 1) / FUSE_SECONDS
