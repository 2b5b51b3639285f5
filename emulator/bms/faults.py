"""Faults of the bank and the BMS that can be switched on and off while it runs."""

from dataclasses import dataclass, field
import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from emulator.reading.state import Count, Number
from emulator.reading.values import should_be


def _position(key: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", key, re.ASCII)
    if match is None:
        raise should_be("the number of a battery and of a cell")
    return int(match[1]), int(match[2])


# Number of the battery, number of the cell in it, both from 0. JSON has them as one key, such as "0/3".
type CellPosition = Annotated[
    tuple[Count, Count], BeforeValidator(_position), PlainSerializer(lambda position: "/".join(map(str, position)))
]


@dataclass(kw_only=True)
class BmsFaults:
    """The active faults. cell_drains change the cells; all others only change what the BMS measures.

    unplugged: batteries that do not answer. cell_voltage_offsets: V added to what is measured. cell_drains: A that leak
    inside a cell. forced_temperature: °C measured in every battery. forced_bank_voltage: V measured at the bank.
    """

    unplugged: Annotated[frozenset[Count], PlainSerializer(sorted)] = frozenset()
    hardware_fault: bool = False
    cell_voltage_offsets: dict[CellPosition, Number] = field(default_factory=dict)
    cell_drains: dict[CellPosition, Number] = field(default_factory=dict)
    forced_temperature: Number | None = None
    forced_bank_voltage: Number | None = None

    @property
    def unplugged_battery(self) -> int | None:
        """The first battery that does not answer. Setting it makes this battery the only one; None makes all answer."""
        return min(self.unplugged, default=None)

    @unplugged_battery.setter
    def unplugged_battery(self, battery: int | None) -> None:
        self.unplugged = frozenset() if battery is None else frozenset({battery})
