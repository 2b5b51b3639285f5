"""What takes current from the bank."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from emulator.world.schedule import DutyCycle, Timetable

# Below it a load that draws constant power takes no more current: its converter has given up. Assumed.
LOWEST_VOLTAGE: Final = 6.0  # V, of a 12 V system


class Draw(StrEnum):
    """What of a load is given, and stays the same when the voltage changes."""

    POWER = "power"  # W
    CURRENT = "current"  # A
    RESISTANCE = "resistance"  # Ohm


@dataclass(frozen=True, kw_only=True)
class LoadSpec:
    """A load: how much it draws over the week, and what it follows.

    on and every are its duty cycle in s; every = 0 means that it runs without pause.
    """

    name: str
    follows: str
    draw: Draw
    amount: Timetable
    on: float = 0.0
    every: float = 0.0


class Load:
    """A load in the world. efficiency: of what stands between the bank and it; phase: of its duty cycle, 0 to 1."""

    def __init__(self, spec: LoadSpec, *, efficiency: float = 1.0, factor: float = 1.0, phase: float = 0.0) -> None:
        self.spec = spec
        self.name = spec.name
        self._efficiency = efficiency
        self._lowest_voltage = LOWEST_VOLTAGE * factor
        self._cycle = DutyCycle(on=spec.on, every=spec.every, phase=phase * spec.every) if spec.every else None

    def runs(self, moment: float) -> bool:
        """Return whether its own switch is on."""
        return self._cycle is None or self._cycle.is_on(moment)

    def current(self, moment: float, voltage: float) -> float:
        """Return the current in A that it takes while it runs."""
        amount = self.spec.amount.value(moment)
        match self.spec.draw:
            case Draw.POWER:
                return amount / self._efficiency / voltage if voltage >= self._lowest_voltage else 0.0
            case Draw.CURRENT:
                return amount
            case Draw.RESISTANCE:
                return max(voltage, 0.0) / amount

    def until_change(self, moment: float) -> float | None:
        """Return the seconds until it draws something else by itself."""
        profile = self.spec.amount.until_change(moment)
        if self._cycle is None:
            return profile
        cycle = self._cycle.until_change(moment)
        return cycle if profile is None else min(profile, cycle)
