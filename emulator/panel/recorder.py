"""What the last minutes were like, for the plots of the panel."""

from collections import deque
from typing import Final

from emulator.bms.state import JsonObject
from emulator.rig import Station

MOST_SAMPLES: Final = 600
PERIOD: Final = 1.0  # s of real time between two samples

type Sample = tuple[float, float | None, float | None, float | None]


class Recorder:
    """Samples of one device: s since the start, A, W and %; None = not known. Each moment counts once."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)

    def record(self) -> None:
        """Take a sample, unless time stands still."""
        status, elapsed = self._station.bms.status_page(), self._station.simulation.elapsed
        if self._samples and self._samples[-1][0] >= elapsed:
            return
        self._samples.append((elapsed, status.current, status.power, status.state_of_charge))

    def all(self) -> JsonObject:
        """Return the samples, oldest first, column by column."""
        columns = ("elapsed", "current", "power", "state_of_charge")
        return {name: [sample[number] for sample in self._samples] for number, name in enumerate(columns)}

    def latest(self) -> JsonObject:
        """Return the last sample."""
        return {name: values[-1:] for name, values in self.all().items() if isinstance(values, list)}
