"""The codes in which the smallBMS NG explains itself: W-B01 … E-B11."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

# What the record tells beside the codes: yes, no, or nothing.
IO_FIELDS: Final = (
    "contactor_closed",
    "allowed_to_charge",
    "allowed_to_discharge",
    "user_relay",
    "aux_output",
    "remote_on",
    "alternator_allowed_to_charge",
)


class Level(StrEnum):
    """How far one of the nine supervised conditions has gone."""

    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"


class Severity(StrEnum):
    """The worst of what is active, mildest first. A code is of one of the last three kinds."""

    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"
    ERROR = "error"

    @property
    def letter(self) -> str:
        """The first letter of the codes of this kind."""
        return self.value[0].upper()


@dataclass(frozen=True, kw_only=True)
class Code:
    """One code: a warning announces a shutdown, an alarm gives its reason, an error is a fault."""

    severity: Severity
    number: int

    def __str__(self) -> str:
        """Return the code as the manual prints it."""
        return f"{self.severity.letter}-B{self.number:02}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the code that the manual prints so; ValueError when it is none."""
        letter, _, number = text.partition("-B")
        severity = next((one for one in Severity if one.letter == letter), Severity.OK)
        if severity is Severity.OK:
            raise ValueError(f"{text} is no code")
        return cls(severity=severity, number=int(number))

    @property
    def slug(self) -> str:
        """Return the code as keys have it: w_b01."""
        return str(self).lower().replace("-", "_")

    @property
    def subject(self) -> tuple[bool, int]:
        """What tells apart what codes speak of: a warning and an alarm of one number speak of the same."""
        return self.severity is Severity.ERROR, self.number

    @property
    def rank(self) -> tuple[int, int]:
        """What to sort codes by, to have the worst first."""
        return _WORST_FIRST.index(self.severity), self.number


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One of the nine 2-bit fields of warnings and alarms.

    That field n speaks with the codes W-B and A-B number n + 1 is deduced: see docs/protocol.md.
    """

    name: str
    number: int
    in_manual: bool


CONDITIONS: Final = (
    Condition(name="low_cell_voltage", number=1, in_manual=True),
    Condition(name="high_current", number=2, in_manual=False),
    Condition(name="high_bms_temperature", number=3, in_manual=False),
    Condition(name="contactor", number=4, in_manual=False),
    Condition(name="battery_communication", number=5, in_manual=True),
    Condition(name="load_disconnect", number=6, in_manual=False),
    Condition(name="low_soc", number=7, in_manual=True),
    Condition(name="low_bank_voltage", number=8, in_manual=True),
    Condition(name="high_temperature", number=9, in_manual=True),
)

LEVEL_FIELDS: Final = tuple(condition.name for condition in CONDITIONS)

# The error numbers that the manual explains (M-C9 … M-C12). Others are shown by their number.
KNOWN_ERRORS: Final = (1, 5, 9, 11)
# Of these, those that say that the batteries which are found make no bank (M-C9, M-C10).
CONFIGURATION_ERRORS: Final = (1, 5)

# Every code that has a name, of the conditions and of the known errors.
CODES: Final = (
    *(
        Code(severity=severity, number=condition.number)
        for severity in (Severity.WARNING, Severity.ALARM)
        for condition in CONDITIONS
    ),
    *(Code(severity=Severity.ERROR, number=number) for number in KNOWN_ERRORS),
)

# The last resort of the BMS (M-D2), after which little is left.
LOW_CELL_SHUTDOWN: Final = Code(severity=Severity.ALARM, number=1)

_SEVERITY_OF_LEVEL: Final = {Level.WARNING: Severity.WARNING, Level.ALARM: Severity.ALARM}
_WORST_FIRST: Final = tuple(reversed(Severity))


@dataclass(frozen=True, kw_only=True)
class CodeChanges:
    """Which codes have begun and which have ended, each the worst last."""

    begun: tuple[Code, ...]
    ended: tuple[Code, ...]


def code_changes(before: Iterable[Code], now: Iterable[Code]) -> CodeChanges:
    """Return what has become of the codes."""
    old, new = frozenset(before), frozenset(now)
    return CodeChanges(begun=worst_first(new - old)[::-1], ended=worst_first(old - new)[::-1])


def worst_first(codes: Iterable[Code]) -> tuple[Code, ...]:
    """Return codes in order."""
    return tuple(sorted(codes, key=lambda code: code.rank))


def error_code(error: int) -> Code | None:
    """Return the code of an error number; None for 0, no error."""
    return Code(severity=Severity.ERROR, number=error) if error else None


def active_codes(error: int, levels: Mapping[str, Level | None]) -> tuple[Code, ...]:
    """Return the codes behind an error number and the levels by condition, the worst first."""
    codes = [
        Code(severity=_SEVERITY_OF_LEVEL[level], number=condition.number)
        for condition in CONDITIONS
        if (level := levels[condition.name]) in _SEVERITY_OF_LEVEL
    ]
    if code := error_code(error):
        codes.append(code)
    return worst_first(codes)
