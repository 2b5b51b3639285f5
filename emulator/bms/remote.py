"""The remote terminals L and H (M-R)."""

from dataclasses import dataclass
from typing import Final, Self

from emulator.bms.state import JsonObject, JsonValue, get_bool, get_optional_float

L_BELOW: Final = 3.5  # V (M-R2)
H_ABOVE: Final = 2.9  # V (M-R3)


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What is connected to the terminals: a wire between them, and the voltage in V on each (None = nothing)."""

    joined: bool = False
    l_voltage: float | None = None
    h_voltage: float | None = None

    def is_on(self, battery_voltage: float) -> bool:
        """Return whether the terminals switch the system on. With nothing connected they do not (M-R4)."""
        if self.joined:  # M-R1
            return True
        if self.l_voltage is not None and self.l_voltage < L_BELOW:
            return True
        return self.h_voltage is not None and H_ABOVE < self.h_voltage < battery_voltage

    def save(self) -> dict[str, JsonValue]:
        """Return the terminals as JSON."""
        return {"joined": self.joined, "l_voltage": self.l_voltage, "h_voltage": self.h_voltage}

    @classmethod
    def load(cls, data: JsonObject) -> Self:
        """Return saved terminals. Raises StateError."""
        return cls(
            joined=get_bool(data, "joined"),
            l_voltage=get_optional_float(data, "l_voltage"),
            h_voltage=get_optional_float(data, "h_voltage"),
        )


WIRE_LOOP: Final = Remote(joined=True)
OPEN: Final = Remote()
