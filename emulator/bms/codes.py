"""The warnings, alarms and errors of the BMS (M-C)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from emulator.snapshot import Level, LevelField


class Severity(IntEnum):
    """How serious a code is; a higher number is worse."""

    WARNING = 1
    ALARM = 2
    ERROR = 3


class Code(StrEnum):
    """The twelve codes, as the app writes them."""

    W_B01 = "W-B01"
    W_B05 = "W-B05"
    W_B07 = "W-B07"
    A_B01 = "A-B01"
    A_B05 = "A-B05"
    A_B07 = "A-B07"
    A_B08 = "A-B08"
    A_B09 = "A-B09"
    E_B01 = "E-B01"
    E_B05 = "E-B05"
    E_B09 = "E-B09"
    E_B11 = "E-B11"


@dataclass(frozen=True, kw_only=True)
class CodeDescription:
    """What one code says, and what to do; level is the field of the record that carries it, None for errors."""

    code: Code
    severity: Severity
    number: int
    meaning: str
    advice: str
    level: LevelField | None = None


def _warning(code: Code, level: LevelField, meaning: str, advice: str) -> CodeDescription:
    return _description(code, Severity.WARNING, meaning, advice, level)


def _alarm(code: Code, level: LevelField, meaning: str, advice: str) -> CodeDescription:
    return _description(code, Severity.ALARM, meaning, advice, level)


def _error(code: Code, meaning: str, advice: str) -> CodeDescription:
    return _description(code, Severity.ERROR, meaning, advice, None)


def _description(
    code: Code, severity: Severity, meaning: str, advice: str, level: LevelField | None
) -> CodeDescription:
    return CodeDescription(
        code=code, severity=severity, number=_number(code), meaning=meaning, advice=advice, level=level
    )


def _number(code: Code) -> int:
    return int(code[-2:])


_CHARGE_IN_TIME: Final = "Charge, or reduce the load, before the loads are switched off."
_CHARGE: Final = "Charge. The loads come back once the battery is charged enough."
_CABLES: Final = "Check the cables between the BMS and the batteries."
_TOO_HOT: Final = "Too hot to charge: bring the ambient temperature down."
_ARRANGEMENT: Final = "Look at the battery page, and check that all BMS cables are connected."

_ALL: Final = (
    _warning(Code.W_B01, LevelField.LOW_CELL_VOLTAGE, "low cell voltage", _CHARGE_IN_TIME),  # M-C1
    _warning(Code.W_B05, LevelField.BATTERY_COMMUNICATION, "communication with a battery lost", _CABLES),  # M-C2
    _warning(Code.W_B07, LevelField.LOW_SOC, "low state of charge", _CHARGE_IN_TIME),  # M-C3
    _alarm(Code.A_B01, LevelField.LOW_CELL_VOLTAGE, "low cell voltage", _CHARGE),  # M-C4
    _alarm(Code.A_B05, LevelField.BATTERY_COMMUNICATION, "communication with a battery lost", _CABLES),  # M-C5
    _alarm(Code.A_B07, LevelField.LOW_SOC, "low state of charge", _CHARGE),  # M-C6
    _alarm(Code.A_B08, LevelField.LOW_BANK_VOLTAGE, "low bank voltage", _CHARGE),  # M-C7
    _alarm(
        Code.A_B09,
        LevelField.HIGH_BATTERY_TEMPERATURE,
        "high battery temperature",
        "Too hot to charge: bring the ambient temperature down.",
    ),  # M-C8
    _error(Code.E_B01, "battery configuration invalid", _ARRANGEMENT),  # M-C9
    _error(Code.E_B05, "battery configuration invalid", _ARRANGEMENT),  # M-C10
    _error(Code.E_B09, "battery voltage not allowed", "Check the battery voltage and the battery settings."),  # M-C11
    _error(Code.E_B11, "hardware fault", "Contact the dealer."),  # M-C12
)

# Every code, in the order in which the app lists them.
CODES: Final[dict[Code, CodeDescription]] = {description.code: description for description in _ALL}

# What the manual of this BMS has no code for.
_NOT_SUPPORTED: Final = {
    LevelField.HIGH_CURRENT,
    LevelField.HIGH_BMS_TEMPERATURE,
    LevelField.CONTACTOR,
    LevelField.LOAD_DISCONNECT,
}
_QUIET: Final = {field: Level.NOT_SUPPORTED if field in _NOT_SUPPORTED else Level.OK for field in LevelField}
_LEVELS: Final = {Severity.WARNING: Level.WARNING, Severity.ALARM: Level.ALARM}


def error_number(codes: Iterable[Code]) -> int:
    """Return the number of the active error, the lowest if there are several; 0 = none."""
    errors = [CODES[code].number for code in codes if CODES[code].severity is Severity.ERROR]
    return min(errors, default=0)


def levels(codes: Iterable[Code]) -> dict[LevelField, Level]:
    """Return every field of the record with its level."""
    active = [CODES[code] for code in codes]
    raised = {each.level: _LEVELS[each.severity] for each in active if each.level is not None}
    return _QUIET | raised
