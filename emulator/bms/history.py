"""The thirteen history values (M-V5)."""

from dataclasses import dataclass, replace
from typing import Final

from emulator.battery.cells import NAH_PER_AH
from emulator.reading.state import Count, Number

SECONDS_PER_HOUR: Final = 3600

# Assumed: a cycle is a discharge below the first and a charge above the second state of charge in %.
CYCLE_DISCHARGED: Final = 65.0
CYCLE_CHARGED: Final = 90.0


@dataclass(slots=True, kw_only=True)
class HistoryState:
    """The values so far; None = no value yet. Charges are in nAh.

    discharge: what was drawn since the history began, or since a synchronization.
    """

    deepest_discharge: Count = 0
    discharge: Count = 0
    drawn: Count = 0
    discharged_wh: Number = 0.0
    charged_wh: Number = 0.0
    synchronizations: Count = 0
    cycles: Count = 0
    cycle_begun: bool = False
    since_full: Number | None = None
    lowest_voltage: Number | None = None
    highest_voltage: Number | None = None
    lowest_cell: Number | None = None
    highest_cell: Number | None = None
    lowest_temperature: Number | None = None
    highest_temperature: Number | None = None


class History:
    """What happened since the installation or the last reset. Charges in Ah, voltages in V, temperatures in °C."""

    def __init__(self) -> None:
        self._state = HistoryState()

    @property
    def deepest_discharge_ah(self) -> float:
        """The deepest discharge so far, in Ah: 0 for a new device, whatever its state of charge."""
        return self._state.deepest_discharge / NAH_PER_AH

    @property
    def cumulative_drawn_ah(self) -> float:
        """The total charge drawn, in Ah."""
        return self._state.drawn / NAH_PER_AH

    @property
    def discharged_energy_kwh(self) -> float:
        """The energy taken out, in kWh."""
        return self._state.discharged_wh / 1000

    @property
    def charged_energy_kwh(self) -> float:
        """The energy put in, in kWh."""
        return self._state.charged_wh / 1000

    @property
    def synchronizations(self) -> int:
        """How often the state of charge was synchronized."""
        return self._state.synchronizations

    @property
    def cycles(self) -> int:
        """How many cycles there were."""
        return self._state.cycles

    @property
    def seconds_since_full(self) -> float | None:
        """The seconds since the last full charge."""
        return self._state.since_full

    @property
    def lowest_battery_voltage(self) -> float | None:
        """The lowest voltage of the bank."""
        return self._state.lowest_voltage

    @property
    def highest_battery_voltage(self) -> float | None:
        """The highest voltage of the bank."""
        return self._state.highest_voltage

    @property
    def lowest_cell_voltage(self) -> float | None:
        """The lowest voltage of any cell."""
        return self._state.lowest_cell

    @property
    def highest_cell_voltage(self) -> float | None:
        """The highest voltage of any cell."""
        return self._state.highest_cell

    @property
    def lowest_temperature(self) -> float | None:
        """The lowest temperature of any battery."""
        return self._state.lowest_temperature

    @property
    def highest_temperature(self) -> float | None:
        """The highest temperature of any battery."""
        return self._state.highest_temperature

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        if self._state.since_full is not None:
            self._state.since_full += seconds

    def add_energy(self, *, voltage: float, current: float, moved: int, seconds: float) -> None:
        """Add what flowed: V, A, and the charge in nAh."""
        state = self._state
        energy = voltage * current * seconds / SECONDS_PER_HOUR
        state.charged_wh += max(energy, 0.0)
        state.discharged_wh += max(-energy, 0.0)
        state.drawn += max(-moved, 0)
        state.discharge = max(state.discharge - moved, 0)
        state.deepest_discharge = max(state.deepest_discharge, state.discharge)

    def add_extremes(
        self,
        *,
        voltage: float,
        cells: tuple[float | None, float | None],
        temperatures: tuple[float | None, float | None],
    ) -> None:
        """Widen the lowest and highest values; cells and temperatures are (lowest, highest)."""
        state = self._state
        state.lowest_voltage = _lower(state.lowest_voltage, voltage)
        state.highest_voltage = _higher(state.highest_voltage, voltage)
        state.lowest_cell = _lower(state.lowest_cell, cells[0])
        state.highest_cell = _higher(state.highest_cell, cells[1])
        state.lowest_temperature = _lower(state.lowest_temperature, temperatures[0])
        state.highest_temperature = _higher(state.highest_temperature, temperatures[1])

    def follow_cycles(self, state_of_charge: float | None) -> None:
        """Count cycles by the state of charge in %."""
        state = self._state
        if state_of_charge is None:
            return
        if state_of_charge < CYCLE_DISCHARGED:
            state.cycle_begun = True
        elif state_of_charge > CYCLE_CHARGED and state.cycle_begun:
            state.cycle_begun = False
            state.cycles += 1

    def add_synchronization(self, *, fully_charged: bool) -> None:
        """Count a synchronization, by itself after a full charge, or by hand."""
        self._state.synchronizations += 1
        self._state.discharge = 0
        if fully_charged:
            self._state.since_full = 0.0

    def clear(self) -> None:
        """Begin anew."""
        self._state = HistoryState()

    def copy(self) -> HistoryState:
        """Return a copy of the state, for restore."""
        return replace(self._state)

    def restore(self, checkpoint: HistoryState) -> None:
        """Go back to the state in a copy."""
        self._state = replace(checkpoint)


def _lower(before: float | None, value: float | None) -> float | None:
    if before is None or value is None:
        return value if before is None else before
    return min(before, value)


def _higher(before: float | None, value: float | None) -> float | None:
    if before is None or value is None:
        return value if before is None else before
    return max(before, value)
