"""The remote terminals L and H (M-R)."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from emulator.reading.state import JsonObject, JsonValue, get_bool, get_optional_bool, get_optional_float

L_BELOW: Final = 3.5  # V (M-R2)
H_ABOVE: Final = 2.9  # V (M-R3)
# Assumed: how far apart the voltages of H and of the battery may be measured although they are the same, in V.
MEASURING_TOLERANCE: Final = 0.1


class Wire(StrEnum):
    """A wire from a terminal to a pole of the battery, whatever voltage that has."""

    PLUS = "plus"
    MINUS = "minus"


type Terminal = float | Wire | None  # a voltage in V, a wire, or nothing


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What is connected to the terminals: a wire between them, and what brings the voltage of each.

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
        """Return the same wires with their switch, which is put in if there was none, in this position."""
        return replace(self, switch=closed)

    def save(self) -> dict[str, JsonValue]:
        """Return the terminals as JSON."""
        return {
            "joined": self.joined,
            "l_voltage": self.l_voltage,
            "h_voltage": self.h_voltage,
            "switch": self.switch,
        }

    @classmethod
    def load(cls, data: JsonObject) -> Self:
        """Return saved terminals. Raises StateError."""
        return cls(
            joined=get_bool(data, "joined"),
            l_voltage=_load_terminal(data, "l_voltage"),
            h_voltage=_load_terminal(data, "h_voltage"),
            switch=get_optional_bool(data, "switch"),
        )


def _volts(terminal: Terminal, battery_voltage: float) -> float | None:
    if terminal is Wire.PLUS:
        return battery_voltage
    return 0.0 if terminal is Wire.MINUS else terminal


def _load_terminal(data: JsonObject, key: str) -> Terminal:
    value = data.get(key)
    return Wire(value) if isinstance(value, str) and value in Wire else get_optional_float(data, key)


WIRE_LOOP: Final = Remote(joined=True)
SWITCHED_LOOP: Final = Remote(joined=True, switch=True)
OPEN: Final = Remote()
