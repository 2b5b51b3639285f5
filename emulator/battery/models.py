"""The batteries that can be in a bank (M-B1, M-B2, M-B3)."""

from dataclasses import dataclass
from typing import Final

CELL_NOMINAL_VOLTAGE: Final = 3.2  # V
RECOMMENDED_CHARGE_RATE: Final = 0.3  # C (M-B3)
RECOMMENDED_DISCHARGE_RATE: Final = 0.5
CONTINUOUS_RATE: Final = 1.0  # C, both ways (the contradiction of M-B2, read as its text says)
PULSE_SECONDS: Final = 10.0
# Limits are about what loads and chargers do. What a BMS takes for itself, 3 mA (M-W1), comes on top; the rest is for
# rounding. In A and s.
CURRENT_TOLERANCE: Final = 0.0035
TIME_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class BatteryModel:
    """One kind of battery: voltages in V, capacity in Ah, pulse currents in A for at most PULSE_SECONDS."""

    name: str
    nominal_voltage: float
    cells: int
    capacity_ah: int
    pulse_discharge_a: float
    pulse_charge_a: float

    @property
    def continuous_a(self) -> float:
        """The current in A that may flow without end, in and out."""
        return CONTINUOUS_RATE * self.capacity_ah

    @property
    def recommended_charge_a(self) -> float:
        """The charge current in A that the manual recommends."""
        return RECOMMENDED_CHARGE_RATE * self.capacity_ah

    @property
    def recommended_discharge_a(self) -> float:
        """The discharge current in A that the manual recommends."""
        return RECOMMENDED_DISCHARGE_RATE * self.capacity_ah

    @property
    def energy_wh(self) -> float:
        """The nominal energy in Wh."""
        return self.nominal_voltage * self.capacity_ah


def _model(cells: int, capacity_ah: int, pulse_discharge_a: float, pulse_charge_a: float) -> BatteryModel:
    nominal_voltage = round(cells * CELL_NOMINAL_VOLTAGE, 1)
    return BatteryModel(
        name=f"{nominal_voltage}/{capacity_ah}",
        nominal_voltage=nominal_voltage,
        cells=cells,
        capacity_ah=capacity_ah,
        pulse_discharge_a=pulse_discharge_a,
        pulse_charge_a=pulse_charge_a,
    )


_ALL: Final = (
    _model(4, 100, 200, 200),
    _model(4, 150, 300, 225),
    _model(4, 200, 400, 400),
    _model(4, 300, 600, 450),
    _model(8, 100, 200, 200),
    _model(8, 200, 400, 400),
    _model(8, 300, 600, 450),
    _model(16, 100, 200, 200),
)

# Every model by its name, such as "12.8/100".
MODELS: Final[dict[str, BatteryModel]] = {model.name: model for model in _ALL}
