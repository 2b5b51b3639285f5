"""The settings of the BMS, their defaults and limits (M-V6, M-O6, M-S2, M-S5, M-S6, M-X1)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from emulator.reading.state import Number

# Assumed: M-S2 gives 14.0 V for a 12 V system, which is 3.5 V a cell.
DEFAULT_CHARGED_VOLTAGE_PER_12V: Final = 14.0  # V
DEFAULT_TAIL_CURRENT: Final = 4.0  # % of the capacity
DEFAULT_CHARGED_DETECTION_TIME: Final = 3.0  # min
DEFAULT_LOW_SOC_WARNING: Final = 15.0  # %, assumed (M-S5)
DEFAULT_DISCHARGE_FLOOR: Final = 10.0  # %, assumed (M-S6); far above where a low cell ends it (M-D2)
DEFAULT_PRE_ALARM_CELL_VOLTAGE: Final = 2.90  # V, assumed (M-O6)
SMALLEST_SYSTEM_VOLTAGE: Final = 12


class SettingKey(StrEnum):
    """The five settings of the battery monitor, and the level of the pre-alarm.

    The feature list of the manual says that the latter can be set; its settings chapter does not list it.
    """

    CHARGED_VOLTAGE = "charged_voltage"
    TAIL_CURRENT = "tail_current"
    CHARGED_DETECTION_TIME = "charged_detection_time"
    LOW_SOC_WARNING = "low_soc_warning"
    DISCHARGE_FLOOR = "discharge_floor"
    PRE_ALARM_CELL_VOLTAGE = "pre_alarm_cell_voltage"


# The settings that a reset keeps: it restores exactly the other five (M-X1).
KEPT_BY_RESET: Final = (SettingKey.PRE_ALARM_CELL_VOLTAGE,)


class SettingError(ValueError):
    """A value that a setting does not take; its text is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class SettingLimits:
    """What a setting takes, in its unit."""

    minimum: float
    maximum: float
    step: float
    unit: str


# Assumed: the manual gives no limits. Those of charged voltage are wide enough for every system voltage.
LIMITS: Final[Mapping[SettingKey, SettingLimits]] = {
    SettingKey.CHARGED_VOLTAGE: SettingLimits(minimum=8.0, maximum=70.0, step=0.1, unit="V"),
    SettingKey.TAIL_CURRENT: SettingLimits(minimum=0.5, maximum=10.0, step=0.1, unit="%"),
    SettingKey.CHARGED_DETECTION_TIME: SettingLimits(minimum=1.0, maximum=50.0, step=1.0, unit="min"),
    SettingKey.LOW_SOC_WARNING: SettingLimits(minimum=0.0, maximum=99.0, step=0.1, unit="%"),
    SettingKey.DISCHARGE_FLOOR: SettingLimits(minimum=0.0, maximum=99.0, step=0.1, unit="%"),
    SettingKey.PRE_ALARM_CELL_VOLTAGE: SettingLimits(minimum=2.80, maximum=3.20, step=0.01, unit="V"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings: voltages in V, tail current in % of the capacity, time in min, levels in %. Raises SettingError."""

    charged_voltage: Number
    tail_current: Number = DEFAULT_TAIL_CURRENT
    charged_detection_time: Number = DEFAULT_CHARGED_DETECTION_TIME
    low_soc_warning: Number = DEFAULT_LOW_SOC_WARNING
    discharge_floor: Number = DEFAULT_DISCHARGE_FLOOR
    pre_alarm_cell_voltage: Number = DEFAULT_PRE_ALARM_CELL_VOLTAGE

    def __post_init__(self) -> None:
        for key in SettingKey:
            _check(key, self.get(key))

    @classmethod
    def defaults(cls, system_voltage: int) -> Self:
        """Return the defaults of a 12, 24 or 48 V system."""
        return cls(charged_voltage=DEFAULT_CHARGED_VOLTAGE_PER_12V * system_voltage / SMALLEST_SYSTEM_VOLTAGE)

    def changed(self, key: SettingKey, value: float) -> Self:
        """Return the settings with one of them changed. Raises SettingError."""
        _check(key, value)
        return replace(self, **{key.value: float(value)})

    def reset(self, system_voltage: int) -> Self:
        """Return the settings after a reset to defaults."""
        defaults = self.defaults(system_voltage)
        return replace(defaults, **{key.value: self.get(key) for key in KEPT_BY_RESET})

    def get(self, key: SettingKey) -> float:
        """Return one setting, in its unit."""
        value: float = getattr(self, key.value)
        return value


def _check(key: SettingKey, value: float) -> None:
    limits = LIMITS[key]
    if not limits.minimum <= value <= limits.maximum:  # false for NaN too
        name = key.replace("_", " ")
        raise SettingError(f"The {name} must be {limits.minimum} to {limits.maximum} {limits.unit}, not {value}.")
