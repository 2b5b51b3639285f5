"""The lead-acid starter battery on the other side of a Cyrix-Li-ct."""

from dataclasses import dataclass
from typing import Annotated, Final

from emulator.reading.sections import Percent, Section
from emulator.reading.state import Number
from emulator.reading.values import number
from emulator.world.circuit import Line

# All assumed: a 12 V lead-acid battery.
EMPTY_VOLTAGE: Final = 11.9  # V, at rest
FULL_VOLTAGE: Final = 12.75
RESISTANCE_TIMES_CAPACITY: Final = 0.8  # Ohm Ah
# It takes less and less the fuller it is, as if its resistance rose without end; here it ends at this many times.
HIGHEST_CHARGE_RESISTANCE: Final = 500.0
STANDBY_CURRENT: Final = 0.02  # A, what the vehicle takes while it is parked

SECONDS_PER_HOUR: Final = 3600.0


class StarterBatterySpec(Section):
    """A starter battery: Ah, and % at the start."""

    capacity: Annotated[float, number(1, 10_000)] = 95.0
    state_of_charge: Percent = 95.0


@dataclass(frozen=True)
class StarterBatteryState:
    """The state of a starter battery. charge: 1 = full."""

    charge: Number


class StarterBattery:
    """A starter battery in the world. factor: how many times 12 V the system has."""

    def __init__(self, spec: StarterBatterySpec, *, factor: float = 1.0) -> None:
        self._capacity_ah = spec.capacity
        self._factor = factor
        self.charge = spec.state_of_charge / 100  # 1 = full

    @property
    def rest_voltage(self) -> float:
        """The voltage in V without current."""
        return self._factor * (EMPTY_VOLTAGE + (FULL_VOLTAGE - EMPTY_VOLTAGE) * self.charge)

    def line(self, charging: bool) -> Line:
        """Return what it takes at each voltage, while it is charged or discharged."""
        resistance = self._factor * RESISTANCE_TIMES_CAPACITY / self._capacity_ah
        if charging:
            resistance *= min(1 / max(1 - self.charge, 1e-9), HIGHEST_CHARGE_RESISTANCE)
        return Line(1 / resistance, self.rest_voltage / resistance)

    def advance(self, current: float, seconds: float) -> None:
        """Let a current in A flow for some seconds; positive charges it."""
        taken = self.charge + current * seconds / SECONDS_PER_HOUR / self._capacity_ah
        self.charge = min(max(taken, 0.0), 1.0)

    def resume(self, state: StarterBatteryState) -> None:
        """Continue in a saved state."""
        self.charge = min(max(state.charge, 0.0), 1.0)
