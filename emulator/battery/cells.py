"""The cells of a bank as arrays: charge counted in whole nano-ampere-hours, resistance, self-discharge, balancing."""

from dataclasses import dataclass
from math import exp
from random import Random
from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from emulator.battery.layout import BankLayout
from emulator.battery.open_circuit import Floats, open_circuit_slope, open_circuit_voltage
from emulator.battery.saved import ArrayOf
from emulator.reading.state import Amount, Count, JsonValue, Number, as_json

type Integers = NDArray[np.int64]
type Booleans = NDArray[np.bool_]

NAH_PER_AH: Final = 1_000_000_000
NAH_PER_AMPERE_SECOND: Final = NAH_PER_AH / 3600

# Assumed where nothing else is said: typical of large prismatic LiFePO4 cells.
RESISTANCE_TIMES_CAPACITY: Final = 0.1  # Ohm Ah: 1 mOhm for 100 Ah, connections included
POLARIZATION_TIMES_CAPACITY: Final = 0.08  # Ohm Ah, the slow part
RESISTANCE_SPREAD: Final = 0.05  # standard deviation, relative
CAPACITY_SURPLUS: Final = 0.02  # a cell holds its nominal capacity and up to this much more
SELF_DISCHARGE_PER_MONTH: Final = 0.02  # of the charge
SELF_DISCHARGE_SPREAD: Final = 0.3  # relative, to both sides
HOURS_PER_MONTH: Final = 720

# How resistance depends on temperature: by the law of Arrhenius. The transfer of charge alone has 34 to 41 kJ/mol
# ("Effects of temperature on charge/discharge behaviors of LiFePO4 cathode for Li-ion batteries", Electrochimica Acta
# 60 (2012) 269); metal and electrolyte have less. Assumed: together they make the resistance at -10 °C three times that
# at 25 °C.
RESISTANCE_REFERENCE: Final = 25.0  # °C
ACTIVATION_ENERGY: Final = 20_500.0  # J/mol
GAS_CONSTANT: Final = 8.314  # J/(mol K)
ZERO_CELSIUS: Final = 273.15  # K

# The second, slower polarization. Lithium has to spread inside the electrodes, so that a cell which is being charged
# looks fuller than it is, and needs its time to come to rest. The literature describes it as a second element of
# resistance and capacitance that works for minutes to hours: M. A. Roscher and D. U. Sauer, Journal of Power Sources
# 196 (2011) 331; L. Pei et al., "Development of a voltage relaxation model for rapid open-circuit voltage prediction in
# lithium-ion batteries", Journal of Power Sources 253 (2014) 412; D. Theuerkauf and L. Swan, "Characteristics of Open
# Circuit Voltage Relaxation in Lithium-Ion Batteries", Batteries 8 (2022) 77. Here it is an apparent charge, as it
# shows in the voltage only where that rises with the charge. Assumed: its size, and that it grows between these charges
# (1 = full); at the lower end it would contradict the manual, by which 1 % is left after a low cell (M-D1).
SLOW_SECONDS: Final = 600.0  # time constant
SLOW_CHARGE_SECONDS: Final = 300.0  # As of apparent charge for every A that has flowed for long
SLOW_BEGINS: Final = 0.90
SLOW_REACHED: Final = 0.95
# Assumed: what a full cell takes beyond its capacity is lost in side reactions with this time constant, in s.
SURPLUS_SECONDS: Final = 1800.0

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
    """An account of charge in nAh: through the terminals of the bank, and lost inside the cells (their sum)."""

    charged: Count = 0
    discharged: Count = 0
    own_consumption: Count = 0
    self_discharged: Count = 0
    balanced: Count = 0
    drained: Count = 0


type _Positive[Value] = Annotated[Value, Field(gt=0)]


@dataclass(frozen=True)
class CellsCheckpoint:
    """The state of the cells that steps change."""

    charge: Annotated[Integers, ArrayOf(Amount)]
    bleeding: Annotated[Booleans | None, ArrayOf(bool, none_if_empty=True)]
    balancing_carry: Number


@dataclass(frozen=True, kw_only=True)
class SavedCells(CellsCheckpoint):
    """Saved cells."""

    capacity: Annotated[Integers, ArrayOf(_Positive[Amount])]
    resistance: Annotated[Floats, ArrayOf(_Positive[Number])]
    polarization: Annotated[Floats, ArrayOf(_Positive[Number])]
    self_discharge: Annotated[Integers, ArrayOf(Amount)]


class Look(NamedTuple):
    """How cells appear: their voltage in V without current, how fast it rises in V per As, and apparent charge.

    charge: 1 = full, apparent charge included. apparent_seconds: As for every A that the slow polarization feels;
    None = none in any cell.
    """

    charge: Floats
    open_circuit: Floats
    slope: Floats
    apparent_seconds: Floats | None


def resistance_factor(temperature: Floats) -> Floats:
    """Return the resistance at temperatures in °C, as a multiple of that at the reference temperature."""
    inverse = 1 / (temperature + ZERO_CELSIUS) - 1 / (RESISTANCE_REFERENCE + ZERO_CELSIUS)
    factor: Floats = np.exp(ACTIVATION_ENERGY / GAS_CONSTANT * inverse)
    return factor


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
    def build(cls, layout: BankLayout, *, state_of_charge: float, random: Random, capacity_factor: float = 1.0) -> Self:
        """Return new cells, balanced as they leave the factory: all of them are full at the same moment.

        state_of_charge is in % of the nominal capacity, as the BMS counts it. capacity_factor: how many times the
        capacity of new cells they have; what they lack of it is missing at the lower end.
        """
        nominal = np.array(
            [model.capacity_ah for model in layout.batteries for _ in range(model.cells)], dtype=np.float64
        )
        spread = np.array([[random.random(), random.gauss(), random.uniform(-1, 1)] for _ in nominal])
        capacity = (nominal * NAH_PER_AH * (1 + CAPACITY_SURPLUS * spread[:, 0]) * capacity_factor).astype(np.int64)
        missing = (nominal * NAH_PER_AH * (1 - state_of_charge / 100)).astype(np.int64)
        factor = 1 + RESISTANCE_SPREAD * np.clip(spread[:, 1], -3, 3)
        per_tick = nominal * NAH_PER_AH * SELF_DISCHARGE_PER_MONTH / (HOURS_PER_MONTH * 3600 / TICK)
        return cls(
            layout=layout,
            capacity=capacity,
            charge=np.maximum(capacity - missing, 0),
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

    def look(self, diffusing: Floats) -> Look:
        """Return how the cells appear from outside. diffusing: the smoothed current of each string in A."""
        true = self.state_of_charge
        apparent = self._apparent_seconds(true)
        if apparent is None:
            return Look(true, open_circuit_voltage(true), self.slope(true), None)
        surface = true + apparent * diffusing[self.string_of] * (self._per_nah * NAH_PER_AMPERE_SECOND)
        return Look(surface, open_circuit_voltage(surface), self.slope(surface), apparent)

    def after(self, charge: Floats, current: Floats, seconds: float) -> Floats:
        """Return charges (1 = full) after some seconds of a current in A in every cell."""
        return charge + current * seconds * (self._per_nah * NAH_PER_AMPERE_SECOND)

    def slope(self, charge: Floats) -> Floats:
        """Return how fast the resting voltage rises at charges (1 = full), in V per As."""
        return open_circuit_slope(charge) * (self._per_nah * NAH_PER_AMPERE_SECOND)

    def _apparent_seconds(self, charge: Floats) -> Floats | None:
        """Return As of apparent charge for every A of the slow polarization; None = none in any cell."""
        if float(charge.max()) <= SLOW_BEGINS:
            return None
        grown = np.clip((charge - SLOW_BEGINS) / (SLOW_REACHED - SLOW_BEGINS), 0.0, 1.0)
        return grown * SLOW_CHARGE_SECONDS

    def losses(self) -> Floats | None:
        """Return the current in A that each cell loses to balancing and to overcharge; None = no cell loses any."""
        surplus = self.charge - self.capacity
        lost: Floats | None = None
        if float(surplus.max()) > 0:
            lost = np.maximum(surplus, 0) * (1 / (NAH_PER_AMPERE_SECOND * SURPLUS_SECONDS))
        if self.bleeding is not None:
            bled = self.bleeding.astype(np.float64) * BALANCING_CURRENT
            lost = bled if lost is None else lost + bled
        return lost

    def warm(self, temperature: Floats) -> None:
        """Set the resistances for the temperatures of the batteries in °C."""
        by_cell = resistance_factor(temperature)[self.battery_of]
        self.resistance = self.nominal_resistance * by_cell
        self.polarization = self.nominal_polarization * by_cell

    def add(self, through: Integers) -> None:
        """Add to every cell the charge that went through its string, in nAh."""
        self.charge = self.charge + through[self.string_of]

    def discharge_themselves(self, ticks: int, ledger: Ledger) -> None:
        """Subtract the self-discharge of some ticks, and the losses of overcharged cells."""
        lost = (np.maximum(self.state_of_charge, 0.0) * (self.self_discharge * ticks)).astype(np.int64)
        surplus = self.charge - self.capacity
        if float(surplus.max()) > 0:
            gone = 1 - exp(-ticks * TICK / SURPLUS_SECONDS)
            lost = lost + (np.maximum(surplus, 0) * gone).astype(np.int64)
        self.charge = self.charge - lost
        ledger.self_discharged += int(lost.sum())

    def drain(self, cell: int, amount: int, ledger: Ledger) -> None:
        """Subtract charge from one cell, in nAh."""
        self.charge = self.charge.copy()
        self.charge[cell] -= amount
        ledger.drained += amount

    def balance(self, seconds: float, ledger: Ledger) -> None:
        """Subtract the charge that the balancing resistors take."""
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
        """Return a copy of the state, for restore. It shares the arrays, which never change in place."""
        return CellsCheckpoint(self.charge, self.bleeding, self._balancing_carry)

    def restore(self, checkpoint: CellsCheckpoint) -> None:
        """Go back to the state in a copy."""
        self.charge = checkpoint.charge
        self.bleeding = checkpoint.bleeding
        self._balancing_carry = checkpoint.balancing_carry

    def save(self) -> dict[str, JsonValue]:
        """Return the cells as JSON."""
        return {
            **as_json(self.copy()),
            "capacity": self.capacity.tolist(),
            "resistance": self.nominal_resistance.tolist(),
            "polarization": self.nominal_polarization.tolist(),
            "self_discharge": self.self_discharge.tolist(),
        }

    @classmethod
    def resumed(cls, saved: SavedCells, layout: BankLayout) -> Self:
        """Return saved cells."""
        cells = cls(
            layout=layout,
            capacity=saved.capacity,
            charge=saved.charge,
            resistance=saved.resistance,
            polarization=saved.polarization,
            self_discharge=saved.self_discharge,
        )
        cells.restore(saved)
        return cells


def _starts(lengths: list[int]) -> Integers:
    return np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
