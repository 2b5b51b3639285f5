"""A timer in simulated seconds."""

from dataclasses import dataclass

from emulator.reading.state import Number


@dataclass(slots=True)
class Timer:
    """Counts how long a condition has held; elapsed is None while it does not."""

    elapsed: Number | None = None

    def advance(self, holds: bool, seconds: float) -> None:
        """Let time pass. The time before the condition was first seen does not count."""
        if not holds:
            self.elapsed = None
        elif self.elapsed is None:
            self.elapsed = 0.0
        else:
            self.elapsed += seconds

    def restart(self) -> None:
        """Start again from 0, if it is running."""
        if self.elapsed is not None:
            self.elapsed = 0.0

    def reached(self, limit: float) -> bool:
        """Return whether the condition has held for this many seconds."""
        return self.elapsed is not None and self.elapsed >= limit

    def remaining(self, limit: float) -> float | None:
        """Return the seconds until the limit; None if it is reached or the condition does not hold."""
        if self.elapsed is None or self.elapsed >= limit:
            return None
        return limit - self.elapsed
