"""The remote terminals L and H (M-R)."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BeforeValidator

from emulator.reading.state import Number
from emulator.reading.values import wanted

L_BELOW: Final = 3.5  # V (M-R2)
H_ABOVE: Final = 2.9  # V (M-R3)
# Assumed: how far the measured voltages of H and of the battery may differ although they are the same, in V.
MEASURING_TOLERANCE: Final = 0.1


class Wire(StrEnum):
    """A wire from a terminal to a pole of the battery."""

    PLUS = "plus"
    MINUS = "minus"


def _wire(word: str) -> Wire:
    return Wire(word)


# A voltage in V, a wire, or nothing.
type Terminal = Annotated[
    Number | Annotated[Wire, BeforeValidator(_wire)] | None, wanted(f"{', '.join(Wire)}, a voltage, or null")
]


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What is connected to the terminals: a wire between them, and the source of voltage at each.

    switch: the position of a switch in these wires, closed = True; None = there is no switch.
    """

    joined: bool = False
    l_voltage: Terminal = None
    h_voltage: Terminal = None
    switch: bool | None = None

    def is_on(self, battery_voltage: float) -> bool:
        """Return whether the terminals switch the system on. With nothing connected they do not (M-R4)."""
        if self.switch is False:
            return False
        if self.joined:  # M-R1
            return True
        low, high = _volts(self.l_voltage, battery_voltage), _volts(self.h_voltage, battery_voltage)
        if low is not None and low < L_BELOW:
            return True
        # M-R3: up to and including battery plus. The specification says below it, but the feature list and all system
        # examples switch H to battery plus itself.
        return high is not None and H_ABOVE < high <= battery_voltage + MEASURING_TOLERANCE

    def switched(self, closed: bool) -> Self:
        """Return the same wires with their switch in a position; a switch is added if there is none."""
        return replace(self, switch=closed)


def _volts(terminal: Terminal, battery_voltage: float) -> float | None:
    if terminal is Wire.PLUS:
        return battery_voltage
    return 0.0 if terminal is Wire.MINUS else terminal


WIRE_LOOP: Final = Remote(joined=True)
SWITCHED_LOOP: Final = Remote(joined=True, switch=True)
OPEN: Final = Remote()
