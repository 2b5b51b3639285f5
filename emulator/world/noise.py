"""Random values that change smoothly, and are the same whenever they are asked for."""

from math import floor
from random import Random


class Noise:
    """A smooth line through random values between -1 and 1, one every period (in s)."""

    def __init__(self, seed: str, period: float) -> None:
        self._seed = seed
        self._period = period
        self._between: tuple[int, float, float] = (-1, 0.0, 0.0)

    def value(self, time: float) -> float:
        """Return the value at a time in s."""
        position = time / self._period
        number = floor(position)
        if self._between[0] != number:
            self._between = (number, self._random(number), self._random(number + 1))
        _, low, high = self._between
        share = position - number
        return low + (high - low) * share * share * (3 - 2 * share)

    def _random(self, number: int) -> float:
        return Random(f"{self._seed}/{number}").uniform(-1, 1)
