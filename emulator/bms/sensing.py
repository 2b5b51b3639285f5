"""What the BMS measures of its bank, faults included."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from emulator.battery.bank import Bank
from emulator.battery.open_circuit import Floats
from emulator.bms.faults import BmsFaults, CellPosition

# Assumed: cells, temperature and current of a battery that does not answer are unknown.


@dataclass(slots=True, kw_only=True)
class Sensed:
    """V, A and °C; None = no battery in sight that tells."""

    voltage: float
    current: float | None
    lowest_cell: float | None
    highest_cell: float | None
    lowest_temperature: float | None
    highest_temperature: float | None


NOTHING: Final = (None, None)


def cell_index(bank: Bank, position: CellPosition) -> int:
    """Return the number of a cell among all. Raises ValueError."""
    battery, cell = position
    if not (0 <= battery < len(bank.batteries) and 0 <= cell < bank.batteries[battery].model.cells):
        raise ValueError(f"The bank has no cell {cell} in a battery {battery}.")
    return bank.first_cell(battery) + cell


def check_faults(bank: Bank, faults: BmsFaults) -> None:
    """Raise ValueError, with one sentence for the user, if a fault names a battery or cell that the bank has not."""
    for position in (*faults.cell_voltage_offsets, *faults.cell_drains):
        cell_index(bank, position)
    for battery in faults.unplugged:
        if not 0 <= battery < len(bank.batteries):
            raise ValueError(f"The bank has no battery {battery}.")


def cell_voltages(bank: Bank, faults: BmsFaults) -> Floats:
    """Return the voltages in V as they are measured."""
    if not faults.cell_voltage_offsets:
        return bank.cell_voltages
    voltages = bank.cell_voltages.copy()
    for position, offset in faults.cell_voltage_offsets.items():
        voltages[cell_index(bank, position)] += offset
    return voltages


def temperatures(bank: Bank, faults: BmsFaults) -> Floats:
    """Return the temperatures in °C as they are measured."""
    if faults.forced_temperature is None:
        return bank.temperature
    return np.full_like(bank.temperature, faults.forced_temperature)


def sense(bank: Bank, faults: BmsFaults) -> Sensed:
    """Measure everything that the rules need."""
    cells, batteries = cell_voltages(bank, faults), temperatures(bank, faults)
    lost = faults.unplugged
    if lost:
        cells = cells[~np.isin(bank.cells.battery_of, list(lost))]
        batteries = np.delete(batteries, list(lost))
    lowest_cell, highest_cell = _extremes(cells)
    lowest_temperature, highest_temperature = _extremes(batteries)
    return Sensed(
        voltage=bank.voltage if faults.forced_bank_voltage is None else faults.forced_bank_voltage,
        current=None if lost and _hides_a_string(bank, lost) else bank.net_current,
        lowest_cell=lowest_cell,
        highest_cell=highest_cell,
        lowest_temperature=lowest_temperature,
        highest_temperature=highest_temperature,
    )


def _extremes(values: Floats) -> tuple[float, float] | tuple[None, None]:
    if len(values) == 0:
        return NOTHING
    return float(values.min()), float(values.max())


def known_temperatures(bank: Bank, faults: BmsFaults) -> Floats:
    """Return the temperatures in °C of the batteries that answer."""
    return np.delete(temperatures(bank, faults), list(faults.unplugged))


def _hides_a_string(bank: Bank, lost: frozenset[int]) -> bool:
    """Return whether there is a string of which no battery answers, so that nobody measures its current."""
    answering = {bank.string_of_battery(number) for number in range(len(bank.batteries)) if number not in lost}
    return len(answering) < len(bank.layout.strings)
