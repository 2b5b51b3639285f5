"""What a battery says of itself at one moment, and what follows from that."""

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Final

from .codes import CONDITIONS, Code, Level, Severity, active_codes

IO_FIELDS: Final = (
    "contactor_closed",
    "allowed_to_charge",
    "allowed_to_discharge",
    "user_relay",
    "aux_output",
    "remote_on",
    "alternator_allowed_to_charge",
)
LEVEL_FIELDS: Final = tuple(condition.name for condition in CONDITIONS)

# Everything that is no measurement: it is confirmed before anybody hears of it.
FLAG_FIELDS: Final = ("error", *IO_FIELDS, *LEVEL_FIELDS)

type Flag = int | Level | None
"""An error number, yes or no, or a level; None where the device does not say."""


@dataclass(frozen=True, kw_only=True)
class BatteryValues:
    """What is known of the battery. None means that nobody says.

    Volts, amperes (positive = charging), percent, minutes, ampere-hours (negative = drawn since full), degrees Celsius.
    """

    error: int | None
    time_to_go: int | None
    voltage: float | None
    current: float | None
    state_of_charge: float | None
    consumed_amphours: float | None
    temperature: float | None

    contactor_closed: bool | None
    allowed_to_charge: bool | None
    allowed_to_discharge: bool | None
    user_relay: bool | None
    aux_output: bool | None
    remote_on: bool | None
    alternator_allowed_to_charge: bool | None

    low_cell_voltage: Level | None
    high_current: Level | None
    high_bms_temperature: Level | None
    contactor: Level | None
    battery_communication: Level | None
    load_disconnect: Level | None
    low_soc: Level | None
    low_bank_voltage: Level | None
    high_temperature: Level | None

    @property
    def power(self) -> float | None:
        """Watts into the battery; negative = out of it."""
        if self.voltage is None or self.current is None:
            return None
        return round(self.voltage * self.current, 1)

    @property
    def codes(self) -> tuple[Code, ...]:
        """The active codes, the worst first."""
        return active_codes(self.error or 0, {name: getattr(self, name) for name in LEVEL_FIELDS})

    @property
    def severity(self) -> Severity | None:
        """The worst of the active codes; None when there is none, but no condition is supported either."""
        if codes := self.codes:
            return codes[0].severity
        return Severity.OK if any(getattr(self, name) for name in LEVEL_FIELDS) else None

    @property
    def problem(self) -> bool | None:
        """Whether any code is active."""
        return None if self.severity is None else self.severity is not Severity.OK

    @property
    def pre_alarm(self) -> bool | None:
        """Whether the loads are about to be switched off, or are already: low cell voltage or low state of charge."""
        return _any_raised(self.low_cell_voltage, self.low_soc)

    @property
    def battery_low(self) -> bool | None:
        """Whether the battery says by any of its conditions that it wants charging."""
        return _any_raised(self.low_cell_voltage, self.low_soc, self.low_bank_voltage)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Everything that is no measurement, in the order of FLAG_FIELDS."""
        return _flags_of(self)


_flags_of = attrgetter(*FLAG_FIELDS)

VALUE_FIELDS: Final = tuple(row.name for row in fields(BatteryValues))
MEASURED_FIELDS: Final = tuple(name for name in VALUE_FIELDS if name not in FLAG_FIELDS)


def _any_raised(*levels: Level | None) -> bool | None:
    """Return whether one of the levels is a warning or an alarm; None when none of them is supported."""
    supported = [level for level in levels if level is not None]
    return any(level is not Level.OK for level in supported) if supported else None
