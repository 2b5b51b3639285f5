"""What the emulated device shows to the outside at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class IoField(StrEnum):
    """The seven inputs, outputs and permissions of the record."""

    CONTACTOR_CLOSED = "contactor_closed"
    ALLOWED_TO_CHARGE = "allowed_to_charge"
    ALLOWED_TO_DISCHARGE = "allowed_to_discharge"
    USER_RELAY = "user_relay"
    AUX_OUTPUT = "aux_output"
    REMOTE_ON = "remote_on"
    ALTERNATOR_ALLOWED_TO_CHARGE = "alternator_allowed_to_charge"


class LevelField(StrEnum):
    """The nine things the record warns of, in the order of their codes B01 to B09."""

    LOW_CELL_VOLTAGE = "low_cell_voltage"
    HIGH_CURRENT = "high_current"
    HIGH_BMS_TEMPERATURE = "high_bms_temperature"
    CONTACTOR = "contactor"
    BATTERY_COMMUNICATION = "battery_communication"
    LOAD_DISCONNECT = "load_disconnect"
    LOW_SOC = "low_soc"
    LOW_BANK_VOLTAGE = "low_bank_voltage"
    HIGH_BATTERY_TEMPERATURE = "high_battery_temperature"


class Level(StrEnum):
    """How serious one of the nine things is."""

    NOT_SUPPORTED = "not_supported"
    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One state of the device. None, or a field missing from a mapping, means not available.

    error is the number of the E-B code (0 = none), time_to_go is in minutes, voltage in V, current in A (positive =
    charging), temperature in °C, state_of_charge in %, drawn_amphours in Ah drawn since the last full charge (>= 0).
    """

    error: int = 0
    time_to_go: int | None = None
    voltage: float | None = None
    current: float | None = None
    temperature: int | None = None
    state_of_charge: float | None = None
    drawn_amphours: float | None = None
    io: Mapping[IoField, bool | None] = field(default_factory=dict)
    levels: Mapping[LevelField, Level] = field(default_factory=dict)
