"""Weather: some days are cloudier or warmer than others."""

from typing import Annotated, Final

from emulator.reading.sections import Percent, Section
from emulator.reading.values import number
from emulator.world.noise import Noise

SECONDS_PER_DAY: Final = 86400.0
DEFAULT_LASTS: Final = 2.0  # days


class WeatherSpec(Section):
    """The weather: how far the cloud cover of a day is off its mean at most, in %, and its temperature, in °C.

    lasts: about how many days the weather stays alike.
    """

    clouds: Percent = 0.0
    temperature: Annotated[float, number(0, 40)] = 0.0
    lasts: Annotated[float, number(0.5, 60)] = DEFAULT_LASTS


class Weather:
    """Weather that comes and goes. The same seed makes the same weather."""

    def __init__(self, spec: WeatherSpec, *, seed: str) -> None:
        self._spec = spec
        period = spec.lasts * SECONDS_PER_DAY
        self._clouds = Noise(f"{seed}/clouds", period)
        self._temperature = Noise(f"{seed}/temperature", period)

    def cloudier(self, elapsed: float) -> float:
        """Return how much more of the sky is covered than on average (-1 to 1) after some seconds."""
        return self._spec.clouds / 100 * self._clouds.value(elapsed) if self._spec.clouds else 0.0

    def warmer(self, elapsed: float) -> float:
        """Return how many °C it is warmer than on average after some seconds."""
        return self._spec.temperature * self._temperature.value(elapsed) if self._spec.temperature else 0.0
