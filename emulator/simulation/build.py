"""Building the bank and the BMS of a scenario."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import numpy as np

from emulator.battery.bank import Bank
from emulator.battery.cells import NAH_PER_AH
from emulator.bms.bms import SmallBms
from emulator.reading.sections import Range
from emulator.simulation.scenario import BankSpec, BatterySpec, Scenario


def build_bms(scenario: Scenario, random: Random) -> SmallBms:
    """Return the BMS of a scenario with its bank, at the start."""
    spec = scenario.bank
    bank = Bank.build(
        spec.layout,
        random=random,
        state_of_charge=spec.state_of_charge,
        temperature=scenario.bank_temperature,
        capacity_factor=_capacity(spec, random) / 100,
    )
    different = {int(number) - 1: battery for number, battery in spec.batteries.items()}
    if different:
        bank = _with_different_batteries(bank, different.items())
    bms = SmallBms(bank=bank, state_of_charge=spec.state_of_charge if spec.state_of_charge_known else None)
    unplugged = [number for number, battery in different.items() if battery.unplugged]
    if unplugged:
        # Unplugged from the beginning: batteries that were never found (E-B05), not ones that were lost (W-B05).
        bms.faults.unplugged = frozenset(range(min(unplugged), len(bank.batteries)))
        bms.power_cycle()
    for key, value in scenario.settings.values():
        bms.change_setting(key, value)
    bms.remote = scenario.remote
    bms.refresh()
    return bms


def _capacity(spec: BankSpec, random: Random) -> float:
    """Return the capacity in % of the nominal one."""
    return spec.capacity.choose(random) if isinstance(spec.capacity, Range) else spec.capacity


def _with_different_batteries(bank: Bank, different: Iterable[tuple[int, BatterySpec]]) -> Bank:
    """Return the bank with some of its batteries changed."""
    batteries, temperature = list(bank.batteries), bank.temperature.copy()
    for number, spec in different:
        batteries[number] = replace(
            batteries[number],
            serial_number=spec.serial_number or batteries[number].serial_number,
            firmware_version=spec.firmware_version or batteries[number].firmware_version,
        )
        if spec.temperature is not None:
            temperature[number] = spec.temperature
        if spec.state_of_charge is not None:
            _charge_battery(bank, number, spec.state_of_charge)
    return Bank(layout=bank.layout, batteries=tuple(batteries), cells=bank.cells, temperature=temperature)


def _charge_battery(bank: Bank, battery: int, state_of_charge: float) -> None:
    """Set the charge of a battery's cells to a state of charge in %."""
    cells, where = bank.cells, bank.battery_cells(battery)
    missing = bank.batteries[battery].model.capacity_ah * NAH_PER_AH * (1 - state_of_charge / 100)
    cells.charge = cells.charge.copy()
    cells.charge[where] = np.maximum(cells.capacity[where] - np.int64(missing), 0)
