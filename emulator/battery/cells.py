"""The cells of a bank as arrays: charge counted in whole nano-ampere-hours, resistance, self-discharge, balancing."""

from dataclasses import dataclass, fields
from random import Random
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from emulator.battery.layout import BankLayout
from emulator.battery.open_circuit import Floats, open_circuit_slope, open_circuit_voltage
from emulator.bms.state import JsonObject, JsonValue, StateError, get_bools, get_float, get_floats, get_int, get_ints

type Integers = NDArray[np.int64]
type Booleans = NDArray[np.bool_]

NAH_PER_AH: Final = 1_000_000_000
NAH_PER_AMPERE_SECOND: Final = NAH_PER_AH / 3600

# All assumed: typical of large prismatic LiFePO4 cells.
RESISTANCE_TIMES_CAPACITY: Final = 0.1  # Ohm Ah: 1 mOhm for 100 Ah, connections included
POLARIZATION_TIMES_CAPACITY: Final = 0.08  # Ohm Ah, the slow part
RESISTANCE_SPREAD: Final = 0.05  # standard deviation, relative
CAPACITY_SURPLUS: Final = 0.02  # a cell holds its nominal capacity and up to this much more
SELF_DISCHARGE_PER_MONTH: Final = 0.02  # of the charge
SELF_DISCHARGE_SPREAD: Final = 0.3  # relative, to both sides
HOURS_PER_MONTH: Final = 720
RESISTANCE_REFERENCE: Final = 25.0  # °C
RESISTANCE_PER_DEGREE: Final = 0.02  # more for every degree below the reference
LOWEST_RESISTANCE_FACTOR: Final = 0.7

# Self-discharge, temperature and the choice of cells to balance go on in ticks of this many seconds: they are slow, and
# whole numbers of ticks keep the charge whole.
TICK: Final = 10.0

# Assumed: passive balancing through a resistor in every battery.
BALANCING_CURRENT: Final = 1.0  # A
BALANCING_VOLTAGE: Final = 3.40  # V; below, differences of voltage say nothing about charge
BALANCING_STARTS: Final = 0.010  # V above the lowest cell of the string
BALANCING_ENDS: Final = 0.003


@dataclass(kw_only=True)
class Ledger:
    """Where charge went, in nAh: through the terminals of the bank, and lost inside the cells (summed over them)."""

    charged: int = 0
    discharged: int = 0
    own_consumption: int = 0
    self_discharged: int = 0
    balanced: int = 0
    drained: int = 0

    def save(self) -> dict[str, JsonValue]:
        """Return the ledger as JSON."""
        return dict(vars(self))

    @classmethod
    def load(cls, data: JsonObject) -> Self:
        """Return a saved ledger. Raises StateError."""
        return cls(**{field.name: get_int(data, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class CellsCheckpoint:
    """What changes in cells."""

    charge: Integers
    bleeding: Booleans | None
    balancing_carry: float


class Cells:
    """All cells, string after string and battery after battery.

    string_of and battery_of give the number of each cell's string and battery. Capacities and charges are in nAh,
    resistances in Ohm at the reference temperature, self-discharge in nAh a tick when full.
    """

    def __init__(
        self,
        *,
        layout: BankLayout,
        capacity: Integers,
        charge: Integers,
        resistance: Floats,
        polarization: Floats,
        self_discharge: Integers,
    ) -> None:
        self.capacity = capacity
        self.charge = charge
        self.nominal_resistance = resistance
        self.nominal_polarization = polarization
        self.self_discharge = self_discharge
        self.bleeding: Booleans | None = None
        self._balancing_carry = 0.0
        self._index(layout)
        self._per_nah = 1.0 / capacity
        self.resistance = resistance
        self.polarization = polarization

    def _index(self, layout: BankLayout) -> None:
        cells = [model.cells for model in layout.batteries]
        strings = [sum(model.cells for model in string) for string in layout.strings]
        self.battery_of = np.repeat(np.arange(len(cells)), cells)
        self.string_of = np.repeat(np.arange(len(strings)), strings)
        self.battery_starts = _starts(cells)
        self.string_starts = _starts(strings)

    @classmethod
    def build(cls, layout: BankLayout, *, state_of_charge: float, random: Random) -> Self:
        """Return new cells, balanced as they leave the factory: all of them are full at the same moment.

        state_of_charge is in % of the nominal capacity.
        """
        nominal = np.array(
            [model.capacity_ah for model in layout.batteries for _ in range(model.cells)], dtype=np.float64
        )
        spread = np.array([[random.random(), random.gauss(), random.uniform(-1, 1)] for _ in nominal])
        capacity = (nominal * NAH_PER_AH * (1 + CAPACITY_SURPLUS * spread[:, 0])).astype(np.int64)
        missing = (nominal * NAH_PER_AH * (1 - state_of_charge / 100)).astype(np.int64)
        factor = 1 + RESISTANCE_SPREAD * np.clip(spread[:, 1], -3, 3)
        per_tick = nominal * NAH_PER_AH * SELF_DISCHARGE_PER_MONTH / (HOURS_PER_MONTH * 3600 / TICK)
        return cls(
            layout=layout,
            capacity=capacity,
            charge=capacity - missing,
            resistance=RESISTANCE_TIMES_CAPACITY / nominal * factor,
            polarization=POLARIZATION_TIMES_CAPACITY / nominal * factor,
            self_discharge=(per_tick * (1 + SELF_DISCHARGE_SPREAD * spread[:, 2])).astype(np.int64),
        )

    @property
    def state_of_charge(self) -> Floats:
        """The true charge of every cell (1 = full)."""
        return self.charge * self._per_nah

    def open_circuit(self) -> Floats:
        """Return the resting voltage of every cell in V."""
        return open_circuit_voltage(self.state_of_charge)

    def slope(self) -> Floats:
        """Return how fast the resting voltage of every cell rises, in V per As."""
        return open_circuit_slope(self.state_of_charge) * (self._per_nah * NAH_PER_AMPERE_SECOND)

    def warm(self, temperature: Floats) -> None:
        """Set the resistances for the temperatures of the batteries in °C."""
        factor = 1 + RESISTANCE_PER_DEGREE * (RESISTANCE_REFERENCE - temperature)
        by_cell = np.maximum(factor, LOWEST_RESISTANCE_FACTOR)[self.battery_of]
        self.resistance = self.nominal_resistance * by_cell
        self.polarization = self.nominal_polarization * by_cell

    def add(self, through: Integers) -> None:
        """Charge every cell with what went through its string, in nAh."""
        self.charge = self.charge + through[self.string_of]

    def discharge_themselves(self, ticks: int, ledger: Ledger) -> None:
        """Lose the self-discharge of some ticks."""
        lost = (np.maximum(self.state_of_charge, 0.0) * (self.self_discharge * ticks)).astype(np.int64)
        self.charge = self.charge - lost
        ledger.self_discharged += int(lost.sum())

    def drain(self, cell: int, amount: int, ledger: Ledger) -> None:
        """Lose charge in one cell, in nAh."""
        self.charge = self.charge.copy()
        self.charge[cell] -= amount
        ledger.drained += amount

    def balance(self, seconds: float, ledger: Ledger) -> None:
        """Lose the charge that the balancing resistors take."""
        if self.bleeding is None:
            return
        amount = BALANCING_CURRENT * NAH_PER_AMPERE_SECOND * seconds + self._balancing_carry
        whole = int(amount)
        self._balancing_carry = amount - whole
        self.charge = self.charge - self.bleeding * np.int64(whole)
        ledger.balanced += whole * int(np.count_nonzero(self.bleeding))

    def choose_bleeding(self, voltage: Floats) -> None:
        """Switch the balancing resistors by the voltages of the cells in V."""
        if float(voltage.max()) < BALANCING_VOLTAGE:
            self.bleeding = None
            return
        above = voltage - np.minimum.reduceat(voltage, self.string_starts)[self.string_of]
        wanted = above > BALANCING_STARTS
        if self.bleeding is not None:
            wanted |= self.bleeding & (above > BALANCING_ENDS)
        wanted &= voltage > BALANCING_VOLTAGE
        self.bleeding = wanted if wanted.any() else None

    def copy(self) -> CellsCheckpoint:
        """Return what restore takes. Arrays are replaced, never changed in place, so that sharing them is safe."""
        return CellsCheckpoint(self.charge, self.bleeding, self._balancing_carry)

    def restore(self, checkpoint: CellsCheckpoint) -> None:
        """Go back to a copy."""
        self.charge = checkpoint.charge
        self.bleeding = checkpoint.bleeding
        self._balancing_carry = checkpoint.balancing_carry

    def save(self) -> dict[str, JsonValue]:
        """Return the cells as JSON."""
        return {
            "capacity": self.capacity.tolist(),
            "charge": self.charge.tolist(),
            "resistance": self.nominal_resistance.tolist(),
            "polarization": self.nominal_polarization.tolist(),
            "self_discharge": self.self_discharge.tolist(),
            "bleeding": [] if self.bleeding is None else self.bleeding.tolist(),
            "balancing_carry": self._balancing_carry,
        }

    @classmethod
    def load(cls, data: JsonObject, layout: BankLayout) -> Self:
        """Return saved cells. Raises StateError."""
        count = sum(model.cells for model in layout.batteries)
        cells = cls(
            layout=layout,
            capacity=_positive(np.array(get_ints(data, "capacity", count), dtype=np.int64)),
            charge=np.array(get_ints(data, "charge", count), dtype=np.int64),
            resistance=_positive(np.array(get_floats(data, "resistance", count))),
            polarization=_positive(np.array(get_floats(data, "polarization", count))),
            self_discharge=np.array(get_ints(data, "self_discharge", count), dtype=np.int64),
        )
        if data.get("bleeding"):
            cells.bleeding = np.array(get_bools(data, "bleeding", count))
        cells._balancing_carry = get_float(data, "balancing_carry")
        return cells


def _positive[Number: (np.int64, np.float64)](values: NDArray[Number]) -> NDArray[Number]:
    if values.min() <= 0:
        raise StateError("The saved state is damaged: capacity and resistance of a cell should be above zero.")
    return values


def _starts(lengths: list[int]) -> Integers:
    return np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
