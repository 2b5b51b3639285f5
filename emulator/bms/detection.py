"""What the BMS detects of its bank (M-B4, M-B5)."""

from dataclasses import dataclass
from typing import Final

from emulator.battery.layout import BankLayout
from emulator.battery.models import BatteryModel
from emulator.bms.codes import Code

# Nominal voltage of a string in V -> system voltage.
SYSTEM_VOLTAGES: Final = {12.8: 12, 25.6: 24, 51.2: 48}
MOST_BATTERIES: Final = {12.8: 50, 25.6: 50, 51.2: 25}  # by nominal voltage of a battery


@dataclass(frozen=True, kw_only=True)
class Detected:
    """The bank as the BMS detected it (M-B5). system_voltage: 0 if there is none; capacity_ah: of the whole bank."""

    error: Code | None
    system_voltage: int
    capacity_ah: int
    batteries: int
    cells_per_battery: int
    series: int
    parallel: int

    @property
    def cells(self) -> int:
        """How many cells the bank has."""
        return self.batteries * self.cells_per_battery


def detect(layout: BankLayout, missing: int | frozenset[int] | None = None) -> Detected:
    """Detect the bank. missing: the indices, in layout.batteries, of batteries that do not answer.

    Assumed, as the manual gives both errors the same meaning: E-B01 = the batteries found do not make a bank (models
    mixed, too many, no system voltage), E-B05 = the bank is not complete (a battery does not answer, strings of unequal
    length).
    """
    silent = missing if isinstance(missing, frozenset) else {missing}
    found = [model for index, model in enumerate(layout.batteries) if index not in silent]
    first = found[0] if found else layout.batteries[0]
    series = max(len(string) for string in layout.strings)
    error = _error(layout, found, series)
    return Detected(
        error=error,
        system_voltage=SYSTEM_VOLTAGES.get(_string_voltage(first, series), 0),
        capacity_ah=first.capacity_ah * len(layout.strings),
        batteries=len(found),
        cells_per_battery=first.cells,
        series=series,
        parallel=len(layout.strings),
    )


def _error(layout: BankLayout, found: list[BatteryModel], series: int) -> Code | None:
    if found and not _makes_a_bank(found, series):
        return Code.E_B01
    if len(found) < len(layout.strings) * series:
        return Code.E_B05
    return None


def _makes_a_bank(found: list[BatteryModel], series: int) -> bool:
    """Apply M-B4."""
    if len(set(found)) > 1:
        return False
    if len(found) > MOST_BATTERIES[found[0].nominal_voltage]:
        return False
    return _string_voltage(found[0], series) in SYSTEM_VOLTAGES


def _string_voltage(model: BatteryModel, series: int) -> float:
    return round(model.nominal_voltage * series, 1)
