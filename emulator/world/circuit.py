"""Batteries, chargers and loads at one point: which voltage they settle at, and what each charger gives."""

from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """Something that takes a current in A which rises in a straight line with the voltage in V, as a battery does."""

    conductance: float
    offset: float

    def current(self, voltage: float) -> float:
        """Return the current that it takes at a voltage."""
        return self.conductance * voltage - self.offset

    def voltage(self, current: float) -> float:
        """Return the voltage at which it takes a current."""
        return (current + self.offset) / self.conductance

    def beside(self, other: Line) -> Line:
        """Return both in parallel."""
        return Line(self.conductance + other.conductance, self.offset + other.offset)


class Source(NamedTuple):
    """A charger: it gives its limit in A until the voltage reaches its setpoint in V, and never pushes it higher."""

    limit: float
    setpoint: float


class Balance(NamedTuple):
    """The voltage in V, and the current in A of every source."""

    voltage: float
    currents: tuple[float, ...]


def balance(line: Line, sources: Sequence[Source], load: float) -> Balance:
    """Return how a battery, some sources and a load in A settle. The source of the lowest setpoint gives way first."""
    currents = [source.limit for source in sources]
    for index in sorted(range(len(sources)), key=lambda number: sources[number].setpoint):
        setpoint = sources[index].setpoint
        if line.voltage(sum(currents) - load) <= setpoint:
            break
        others = sum(currents) - currents[index]
        currents[index] = max(0.0, line.current(setpoint) + load - others)
    return Balance(line.voltage(sum(currents) - load), tuple(currents))
