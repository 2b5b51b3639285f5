"""What the last minutes were like, for the plots of the panel."""

from collections import deque
from typing import Final

from emulator.reading.state import JsonObject
from emulator.rig import Station

MOST_SAMPLES: Final = 600
PERIOD: Final = 1.0  # s of real time between two samples
LEAP: Final = 10.0  # times what should have passed since the sample before: somebody has let time pass at once

type Sample = tuple[float, float | None, float | None, float | None]


class Recorder:
    """Samples of one device: s since the start, A, W and %; None = not known. Each moment counts once.

    beginnings: how often it has begun anew, because time had made a leap. What was before is not of the last minutes.
    """

    def __init__(self, station: Station) -> None:
        self.beginnings = 0
        self._station = station
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._speed = 0.0

    def record(self, speed: float) -> None:
        """Take a sample, unless time stands still. speed: how many times faster than real time it passes."""
        status, elapsed = self._station.bms.status_page(), self._station.simulation.elapsed
        expected = PERIOD * max(speed, self._speed, 1.0)
        self._speed = speed
        passed = elapsed - self._samples[-1][0] if self._samples else expected
        if passed <= 0:
            return
        if passed > LEAP * expected:
            self._samples.clear()
            self.beginnings += 1
        self._samples.append((elapsed, status.current, status.power, status.state_of_charge))

    def all(self) -> JsonObject:
        """Return the samples, oldest first, column by column."""
        columns = ("elapsed", "current", "power", "state_of_charge")
        return {name: [sample[number] for sample in self._samples] for number, name in enumerate(columns)}

    def latest(self) -> JsonObject:
        """Return the last sample."""
        return {name: values[-1:] for name, values in self.all().items() if isinstance(values, list)}
