"""The warning, alarm and error codes of the smallBMS NG: W-B01 … E-B11."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

# The IO fields of the record, in their order. Each is yes, no, or not available.
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
    """The level of one of the supervised conditions."""

    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"


class Severity(StrEnum):
    """How severe a code is, or the worst active code; mildest first. No code is OK."""

    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"
    ERROR = "error"

    @property
    def letter(self) -> str:
        """The first letter of its codes."""
        return self.value[0].upper()


@dataclass(frozen=True, kw_only=True)
class Code:
    """One code: a warning precedes a shutdown, an alarm is its reason, an error is a fault."""

    severity: Severity
    number: int

    def __str__(self) -> str:
        """Return the code as the manual prints it."""
        return f"{self.severity.letter}-B{self.number:02}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the code from its text in the manual. Raises ValueError."""
        letter, _, number = text.partition("-B")
        severity = next((one for one in Severity if one.letter == letter), Severity.OK)
        if severity is Severity.OK:
            raise ValueError(f"{text} is not a code")
        return cls(severity=severity, number=int(number))

    @property
    def slug(self) -> str:
        """The code as it appears in keys: w_b01."""
        return str(self).lower().replace("-", "_")

    @property
    def subject(self) -> tuple[bool, int]:
        """What the code is about: the same for the warning and the alarm of one number."""
        return self.severity is Severity.ERROR, self.number

    @property
    def sort_key(self) -> tuple[int, int]:
        """Sorts the worst code first."""
        return _WORST_FIRST.index(self.severity), self.number


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One of the 2-bit fields of warnings and alarms, and the number of its codes.

    Deduced: field n has the codes number n + 1, see docs/protocol.md. The record has nine fields; a register has room
    for more.
    """

    name: str
    number: int
    in_manual: bool
    advertised: bool = True


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
    # The manual of a sister product has a code B10, whose meaning is not public.
    Condition(name="condition_10", number=10, in_manual=False, advertised=False),
)

LEVEL_FIELDS: Final = tuple(condition.name for condition in CONDITIONS)
ADVERTISED_LEVEL_FIELDS: Final = tuple(condition.name for condition in CONDITIONS if condition.advertised)

# The error numbers that the manual explains (M-C9 … M-C12). Others are shown by their number.
KNOWN_ERRORS: Final = (1, 5, 9, 11)
# The errors for batteries that do not form a valid bank (M-C9, M-C10).
CONFIGURATION_ERRORS: Final = (1, 5)

# Every code that has a name.
CODES: Final = (
    *(
        Code(severity=severity, number=condition.number)
        for severity in (Severity.WARNING, Severity.ALARM)
        for condition in CONDITIONS
    ),
    *(Code(severity=Severity.ERROR, number=number) for number in KNOWN_ERRORS),
)

# The shutdown for low cell voltage (M-D2), after which little capacity is left.
LOW_CELL_SHUTDOWN: Final = Code(severity=Severity.ALARM, number=1)

_SEVERITY_OF_LEVEL: Final = {Level.WARNING: Severity.WARNING, Level.ALARM: Severity.ALARM}
_WORST_FIRST: Final = tuple(reversed(Severity))


@dataclass(frozen=True, kw_only=True)
class CodeChanges:
    """The codes that began and those that ended, the worst last in each."""

    begun: tuple[Code, ...]
    ended: tuple[Code, ...]


def code_changes(before: Iterable[Code], now: Iterable[Code]) -> CodeChanges:
    """Return the difference between two sets of active codes."""
    old, new = frozenset(before), frozenset(now)
    return CodeChanges(begun=worst_first(new - old)[::-1], ended=worst_first(old - new)[::-1])


def worst_first(codes: Iterable[Code]) -> tuple[Code, ...]:
    """Return codes in order of severity, then number."""
    return tuple(sorted(codes, key=lambda code: code.sort_key))


def error_code(error: int) -> Code | None:
    """Return the code of an error number; None for 0 (no error)."""
    return Code(severity=Severity.ERROR, number=error) if error else None


def active_codes(error: int, levels: Mapping[str, Level | None]) -> tuple[Code, ...]:
    """Return the codes of an error number and of the level of each condition, the worst first."""
    codes = [
        Code(severity=_SEVERITY_OF_LEVEL[level], number=condition.number)
        for condition in CONDITIONS
        if (level := levels[condition.name]) in _SEVERITY_OF_LEVEL
    ]
    if code := error_code(error):
        codes.append(code)
    return worst_first(codes)
