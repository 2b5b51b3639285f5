"""The three outputs of the BMS and what they can carry (M-O1, M-O2, M-O3)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

VOLTAGE_DROP: Final = 0.1  # V below the battery


class Output(StrEnum):
    """The three outputs."""

    LOAD = "load"
    CHARGER = "charger"
    PRE_ALARM = "pre_alarm"


# In A. Above it an output is destroyed: none of them is short-circuit proof. The manual contradicts itself on the
# pre-alarm output; this is the safe one of its two numbers.
CURRENT_LIMITS: Final = {Output.LOAD: 1.0, Output.CHARGER: 0.5, Output.PRE_ALARM: 0.5}


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The state of the outputs: True = high, False = floating. Equal if the states are, whatever the voltage."""

    load: bool
    charger: bool
    pre_alarm: bool
    battery_voltage: float = field(compare=False)

    def is_high(self, output: Output) -> bool:
        """Return whether an output is high."""
        high: bool = getattr(self, output.value)
        return high

    def voltage(self, output: Output) -> float | None:
        """Return the voltage in V of an output; None while it floats."""
        return self.battery_voltage - VOLTAGE_DROP if self.is_high(output) else None
