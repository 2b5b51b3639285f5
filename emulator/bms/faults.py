"""Faults of the bank and the BMS that can be switched on and off while it runs."""

from dataclasses import dataclass, field
from typing import Self

from emulator.reading.state import (
    JsonObject,
    JsonValue,
    StateError,
    get_bool,
    get_float,
    get_numbers,
    get_object,
    get_optional_float,
)

type CellPosition = tuple[int, int]  # number of the battery, number of the cell in it, both from 0


@dataclass(kw_only=True)
class BmsFaults:
    """What is wrong. Only cell_drains touch the cells; all others are what the BMS measures.

    unplugged: batteries that do not answer. cell_voltage_offsets: V added to what is measured. cell_drains: A that leak
    inside a cell. forced_temperature: °C measured in every battery. forced_bank_voltage: V measured at the bank.
    """

    unplugged: frozenset[int] = frozenset()
    hardware_fault: bool = False
    cell_voltage_offsets: dict[CellPosition, float] = field(default_factory=dict)
    cell_drains: dict[CellPosition, float] = field(default_factory=dict)
    forced_temperature: float | None = None
    forced_bank_voltage: float | None = None

    @property
    def unplugged_battery(self) -> int | None:
        """The first battery that does not answer. Set it to let one alone not answer, or none."""
        return min(self.unplugged, default=None)

    @unplugged_battery.setter
    def unplugged_battery(self, battery: int | None) -> None:
        self.unplugged = frozenset() if battery is None else frozenset({battery})

    def save(self) -> dict[str, JsonValue]:
        """Return the faults as JSON."""
        return {
            "unplugged": sorted(self.unplugged),
            "hardware_fault": self.hardware_fault,
            "cell_voltage_offsets": _save_cells(self.cell_voltage_offsets),
            "cell_drains": _save_cells(self.cell_drains),
            "forced_temperature": self.forced_temperature,
            "forced_bank_voltage": self.forced_bank_voltage,
        }

    @classmethod
    def load(cls, data: JsonObject) -> Self:
        """Return saved faults. Raises StateError."""
        return cls(
            unplugged=get_numbers(data, "unplugged"),
            hardware_fault=get_bool(data, "hardware_fault"),
            cell_voltage_offsets=_load_cells(get_object(data, "cell_voltage_offsets")),
            cell_drains=_load_cells(get_object(data, "cell_drains")),
            forced_temperature=get_optional_float(data, "forced_temperature"),
            forced_bank_voltage=get_optional_float(data, "forced_bank_voltage"),
        )


def _save_cells(cells: dict[CellPosition, float]) -> dict[str, JsonValue]:
    return {f"{battery}/{cell}": value for (battery, cell), value in cells.items()}


def _load_cells(data: JsonObject) -> dict[CellPosition, float]:
    return {_position(key): get_float(data, key) for key in data}


def _position(key: str) -> CellPosition:
    battery, _, cell = key.partition("/")
    if not (battery.isdecimal() and cell.isdecimal()):
        raise StateError(f"The saved state is damaged: {key} should be the number of a battery and of a cell.")
    return int(battery), int(cell)
