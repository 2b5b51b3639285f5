"""The event loop of the tests: its clock runs while the loop waits, not while it works.

A time-out is about what does not come. On a slow or a busy machine, what comes may come late by any other clock.
"""

import asyncio
from selectors import DefaultSelector, SelectorKey
from time import monotonic
from typing import Final, override

# No round of the loop counts for more, however long it took: what comes in hundreds of pieces takes as many rounds.
# It must not be nothing: a test may wait in a busy loop.
LONGEST_ROUND: Final = 0.00005


class IdleSelector(DefaultSelector):
    """Adds up for how long it waited, in s."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self._seen = monotonic()

    @override
    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        began = monotonic()
        self.now += min(began - self._seen, LONGEST_ROUND)
        events = super().select(timeout)
        self._seen = monotonic()
        waited = self._seen - began
        self.now += waited if timeout is None else min(waited, timeout)
        return events


class PatientLoop(asyncio.SelectorEventLoop):
    """Times nothing out that is still being worked on."""

    def __init__(self) -> None:
        self._waited = IdleSelector()
        super().__init__(self._waited)

    @override
    def time(self) -> float:
        return self._waited.now
