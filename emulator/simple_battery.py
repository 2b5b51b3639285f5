"""A small battery that charges and discharges over and over: something to show without a scenario."""

from dataclasses import dataclass
from itertools import pairwise
from math import pi, sin
from typing import Final

from .snapshot import IoField, Level, LevelField, Snapshot

CYCLE: Final = 6 * 3600.0  # seconds from full to nearly empty and back
CAPACITY: Final = 100.0  # Ah
HIGHEST_SOC: Final = 99.0  # %
LOWEST_SOC: Final = 8.0
LOW_SOC_WARNING: Final = 15.0  # assumed, as M-S5
DISCHARGE_FLOOR: Final = 10.0  # assumed, as M-S6
RESISTANCE: Final = 0.008  # Ohm, four cells and their connections
MEAN_TEMPERATURE: Final = 22.0  # °C
TEMPERATURE_SWING: Final = 4.0
MINUTES_PER_HOUR: Final = 60
IDLE_CURRENT: Final = 0.05  # A; smaller currents give no time to go
LONGEST_TIME_TO_GO: Final = 14400  # min, where a real device was seen to end

# Resting voltage of a 12.8 V LiFePO4 battery at points of state of charge (%), the usual flat middle and steep ends.
_RESTING_VOLTAGE: Final = (
    (0, 10.8),
    (5, 12.0),
    (10, 12.6),
    (20, 12.9),
    (40, 13.1),
    (70, 13.25),
    (95, 13.35),
    (100, 13.6),
)

_ABSENT_LEVELS: Final = {LevelField.HIGH_BMS_TEMPERATURE, LevelField.CONTACTOR, LevelField.LOAD_DISCONNECT}


def resting_voltage(state_of_charge: float) -> float:
    """Return the voltage in V without current, at a state of charge in %."""
    for (low, low_voltage), (high, high_voltage) in pairwise(_RESTING_VOLTAGE):
        if state_of_charge <= high:
            return low_voltage + (high_voltage - low_voltage) * (state_of_charge - low) / (high - low)
    return _RESTING_VOLTAGE[-1][1]


@dataclass(frozen=True, kw_only=True)
class SimpleBattery:
    """A battery whose state depends on nothing but the seconds that it has run."""

    cycle: float = CYCLE
    capacity: float = CAPACITY

    def snapshot(self, elapsed: float) -> Snapshot:
        """Return the state after this many seconds; the first half of a cycle discharges."""
        state_of_charge, current = self._charge(elapsed)
        return Snapshot(
            voltage=resting_voltage(state_of_charge) + current * RESISTANCE,
            current=current,
            temperature=round(MEAN_TEMPERATURE + TEMPERATURE_SWING * sin(2 * pi * elapsed / self.cycle)),
            state_of_charge=state_of_charge,
            drawn_amphours=self.capacity * (1 - state_of_charge / 100),
            time_to_go=self._time_to_go(state_of_charge, current),
            io={
                IoField.ALLOWED_TO_CHARGE: True,
                IoField.ALLOWED_TO_DISCHARGE: state_of_charge > DISCHARGE_FLOOR,
                IoField.REMOTE_ON: True,
            },
            levels=_levels(state_of_charge),
        )

    def _charge(self, elapsed: float) -> tuple[float, float]:
        """Return state of charge in % and its derivative as a current in A."""
        angle = 2 * pi * elapsed / self.cycle
        middle, swing = (HIGHEST_SOC + LOWEST_SOC) / 2, (HIGHEST_SOC - LOWEST_SOC) / 2
        # A cosine, so that the current is its sine: smooth, and always what moves the charge.
        state_of_charge = middle + swing * sin(angle + pi / 2)
        per_hour = -swing * sin(angle) * 2 * pi / (self.cycle / 3600)
        return state_of_charge, self.capacity * per_hour / 100

    def _time_to_go(self, state_of_charge: float, current: float) -> int | None:
        """Return the minutes until the discharge floor (M-S4)."""
        if current > -IDLE_CURRENT:
            return None
        left = max(0.0, state_of_charge - DISCHARGE_FLOOR) / 100 * self.capacity
        return min(round(left / -current * MINUTES_PER_HOUR), LONGEST_TIME_TO_GO)


def _levels(state_of_charge: float) -> dict[LevelField, Level]:
    levels = {field: Level.OK for field in LevelField if field not in _ABSENT_LEVELS}
    levels[LevelField.LOW_SOC] = _low_soc(state_of_charge)
    return levels


def _low_soc(state_of_charge: float) -> Level:
    """Apply M-S5 and M-S6."""
    if state_of_charge <= DISCHARGE_FLOOR:
        return Level.ALARM
    if state_of_charge <= LOW_SOC_WARNING:
        return Level.WARNING
    return Level.OK
