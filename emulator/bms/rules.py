"""What the BMS decides: codes, permission to charge and to discharge, pre-alarm (M-O3, M-P, M-S5, M-S6, M-C)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from emulator.bms.codes import CODES, Code, Severity
from emulator.bms.firmware import FirmwareState, FirmwareUpdate
from emulator.bms.monitor import FULL
from emulator.bms.settings import Settings
from emulator.bms.timer import Timer
from emulator.reading.state import JsonValue, Number
from emulator.reading.values import should_be

PRE_ALARM_SECONDS: Final = 30.0  # at least, before the load output opens (M-O3)
LOWEST_BATTERY_VOLTAGE: Final = 9.0  # V, outside is E-B09 (M-C11)
HIGHEST_BATTERY_VOLTAGE: Final = 60.0

# Assumed: how long a battery may be silent before W-B05 becomes A-B05.
COMMUNICATION_SECONDS: Final = 60.0
# Assumed: how long A-B08's voltage must last, so that the pre-alarm comes first here too.
LOW_BANK_VOLTAGE_SECONDS: Final = PRE_ALARM_SECONDS
# Assumed: how far the state of charge in % must rise above a level before its code goes.
LOW_SOC_RELEASE: Final = 1.0
DISCHARGE_FLOOR_RELEASE: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A threshold that is let go at another value. inclusive: whether the value itself trips it."""

    trips: float
    releases: float
    inclusive: bool

    def holds(self, before: bool, value: float) -> bool:
        """Return whether it is tripped, given whether it was."""
        direction = 1.0 if self.trips > self.releases else -1.0
        if before:
            return (value - self.releases) * direction >= 0
        distance = (value - self.trips) * direction
        return distance >= 0 if self.inclusive else distance > 0


# Assumed (M-P5): V of a cell and °C of a battery.
LOW_CELL: Final = 2.80
LOW_CELL_RELEASE: Final = 3.20  # ends the low cell and the pre-alarm, whatever the level of the latter (M-O6) is
HIGH_CELL: Final = Threshold(trips=3.75, releases=3.60, inclusive=True)
LOW_BANK: Final = Threshold(trips=2.70, releases=3.20, inclusive=True)  # V of the bank by its cells in series
TOO_HOT: Final = Threshold(trips=50.0, releases=45.0, inclusive=False)
TOO_COLD: Final = Threshold(trips=5.0, releases=6.0, inclusive=False)


class Permission(StrEnum):
    """Allowed to charge or discharge; PRE_ALARM is for discharging only (M-P3)."""

    YES = "yes"
    PRE_ALARM = "pre_alarm"
    NO = "no"


class Reason(StrEnum):
    """Why charging or discharging is not allowed."""

    LOW_CELL_VOLTAGE = "low_cell_voltage"
    HIGH_CELL_VOLTAGE = "high_cell_voltage"
    LOW_TEMPERATURE = "low_temperature"
    HIGH_TEMPERATURE = "high_temperature"
    DISCHARGE_FLOOR = "discharge_floor"
    LOW_BANK_VOLTAGE = "low_bank_voltage"
    BATTERY_COMMUNICATION = "battery_communication"
    BATTERY_CONFIGURATION = "battery_configuration"
    BATTERY_VOLTAGE = "battery_voltage"
    HARDWARE_FAULT = "hardware_fault"
    FIRMWARE_UPDATE = "firmware_update"


@dataclass(slots=True, kw_only=True)
class Measurements:
    """What the rules look at: V, °C and %; None = not known. cells is the number in series."""

    bank_voltage: float
    cells: int
    lowest_cell: float | None
    highest_cell: float | None
    lowest_temperature: float | None
    highest_temperature: float | None
    state_of_charge: float | None
    battery_lost: bool = False
    configuration_error: Code | None = None
    hardware_fault: bool = False


class Flags(NamedTuple):
    """Everything that the rules remember to be true or false."""

    low_cell_warning: bool = False
    low_cell: bool = False
    high_cell: bool = False
    too_hot: bool = False
    too_cold: bool = False
    low_soc: bool = False
    discharge_floor: bool = False
    low_bank_pending: bool = False
    low_bank: bool = False
    battery_lost: bool = False
    battery_lost_long: bool = False
    voltage_too_low: bool = False
    voltage_too_high: bool = False
    hardware_fault: bool = False
    not_a_bank: bool = False
    not_complete: bool = False


type _Test = Callable[[Flags], bool]

# When each code is active. An alarm takes the place of its warning.
_CODES: Final[tuple[tuple[Code, _Test], ...]] = (
    (Code.W_B01, lambda flags: flags.low_cell_warning and not flags.low_cell),
    (Code.W_B05, lambda flags: flags.battery_lost and not flags.battery_lost_long),
    (Code.W_B07, lambda flags: flags.low_soc and not flags.discharge_floor),
    (Code.A_B01, lambda flags: flags.low_cell),
    (Code.A_B05, lambda flags: flags.battery_lost_long),
    (Code.A_B07, lambda flags: flags.discharge_floor),
    (Code.A_B08, lambda flags: flags.low_bank),
    (Code.A_B09, lambda flags: flags.too_hot),
    (Code.E_B01, lambda flags: flags.not_a_bank),
    (Code.E_B05, lambda flags: flags.not_complete),
    (Code.E_B09, lambda flags: flags.voltage_too_low or flags.voltage_too_high),
    (Code.E_B11, lambda flags: flags.hardware_fault),
)

# Assumed: what forbids both. A voltage below E-B09 does not: only a charger can bring it back, and A-B08 has opened the
# load.
_BOTH: Final[tuple[tuple[Reason, _Test], ...]] = (
    (Reason.BATTERY_COMMUNICATION, lambda flags: flags.battery_lost_long),
    (Reason.BATTERY_CONFIGURATION, lambda flags: flags.not_a_bank or flags.not_complete),
    (Reason.BATTERY_VOLTAGE, lambda flags: flags.voltage_too_high),
    (Reason.HARDWARE_FAULT, lambda flags: flags.hardware_fault),
)
_CHARGE_OFF: Final[tuple[tuple[Reason, _Test], ...]] = (
    (Reason.LOW_TEMPERATURE, lambda flags: flags.too_cold),
    (Reason.HIGH_TEMPERATURE, lambda flags: flags.too_hot),
    (Reason.HIGH_CELL_VOLTAGE, lambda flags: flags.high_cell),
    *_BOTH,
)
_DISCHARGE_OFF: Final[tuple[tuple[Reason, _Test], ...]] = (
    (Reason.DISCHARGE_FLOOR, lambda flags: flags.discharge_floor),
    (Reason.LOW_CELL_VOLTAGE, lambda flags: flags.low_cell),
    (Reason.LOW_BANK_VOLTAGE, lambda flags: flags.low_bank),
    *_BOTH,
)


def _active[Item](table: tuple[tuple[Item, _Test], ...], flags: Flags) -> frozenset[Item]:
    return frozenset(item for item, holds in table if holds(flags))


def _known_flags(saved: JsonValue) -> JsonValue:
    if not isinstance(saved, Mapping):
        raise should_be("an object")
    return {name: saved[name] for name in Flags._fields if name in saved}


@dataclass(slots=True, kw_only=True)
class RulesCheckpoint:
    """The state of the rules that steps change. Times in s."""

    flags: Annotated[Flags, BeforeValidator(_known_flags), PlainSerializer(Flags._asdict)]
    low_cell: Number | None
    low_bank: Number | None
    lost: Number | None
    firmware: FirmwareUpdate


class Rules:
    """The decisions. They change by advance alone, and by the firmware update."""

    def __init__(self) -> None:
        self.flags = Flags()
        self.firmware = FirmwareUpdate()
        self._low_cell = Timer()
        self._low_bank = Timer()
        self._lost = Timer()
        self.decide()

    @property
    def _timers(self) -> tuple[tuple[Timer, float], ...]:
        return (
            (self._low_cell, PRE_ALARM_SECONDS),
            (self._low_bank, LOW_BANK_VOLTAGE_SECONDS),
            (self._lost, COMMUNICATION_SECONDS),
        )

    @property
    def worst(self) -> Severity | None:
        """The worst severity of the active codes."""
        return max((CODES[code].severity for code in self.codes), default=None)

    @property
    def allowed_to_charge(self) -> Permission:
        """ATC (M-P1)."""
        return Permission.NO if self.charge_off else Permission.YES

    @property
    def allowed_to_discharge(self) -> Permission:
        """ATD (M-P2, M-P3)."""
        if self.discharge_off:
            return Permission.NO
        return Permission.PRE_ALARM if self.pre_alarm else Permission.YES

    def waiting(self, lowest_cell: float | None) -> dict[Reason, float]:
        """Return the seconds until each active condition switches something off, by reason.

        lowest_cell: V, as measured last.
        """
        flags, too_low = self.flags, lowest_cell is not None and lowest_cell <= LOW_CELL
        remaining = {
            Reason.LOW_CELL_VOLTAGE: self._low_cell.remaining(PRE_ALARM_SECONDS) if too_low else None,
            Reason.LOW_BANK_VOLTAGE: self._low_bank.remaining(LOW_BANK_VOLTAGE_SECONDS),
            Reason.BATTERY_COMMUNICATION: self._lost.remaining(COMMUNICATION_SECONDS) if flags.battery_lost else None,
            Reason.FIRMWARE_UPDATE: self.firmware.remaining,
        }
        return {reason: seconds for reason, seconds in remaining.items() if seconds is not None}

    def next_timer(self) -> float | None:
        """Return the seconds until the next timer expires; None if none runs."""
        remaining = [timer.remaining(limit) for timer, limit in self._timers]
        remaining.append(self.firmware.remaining)
        return min((seconds for seconds in remaining if seconds is not None), default=None)

    def advance(self, measured: Measurements, settings: Settings, seconds: float) -> None:
        """Let time pass that ended with these measurements."""
        before = self.flags
        low_cell_warning, low_cell = self._cell_too_low(measured, settings, seconds)
        low_bank_pending, low_bank = self._bank_too_low(measured, seconds)
        low_soc, discharge_floor = _soc_too_low(before, measured, settings)
        self._lost.advance(measured.battery_lost, seconds)
        self.firmware.advance(seconds)
        self.flags = Flags(
            low_cell_warning=low_cell_warning,
            low_cell=low_cell,
            high_cell=_holds(HIGH_CELL, before.high_cell, measured.highest_cell),
            too_hot=_holds(TOO_HOT, before.too_hot, measured.highest_temperature),
            too_cold=_holds(TOO_COLD, before.too_cold, measured.lowest_temperature),
            low_soc=low_soc,
            discharge_floor=discharge_floor,
            low_bank_pending=low_bank_pending,
            low_bank=low_bank,
            battery_lost=measured.battery_lost,
            battery_lost_long=self._lost.reached(COMMUNICATION_SECONDS),
            voltage_too_low=measured.bank_voltage < LOWEST_BATTERY_VOLTAGE,
            voltage_too_high=measured.bank_voltage > HIGHEST_BATTERY_VOLTAGE,
            hardware_fault=measured.hardware_fault,
            not_a_bank=measured.configuration_error is Code.E_B01,
            not_complete=measured.configuration_error is Code.E_B05,
        )
        if self._decided != (self.flags, self.firmware.state):
            self._decide_again()

    def forget_soc(self) -> None:
        """Reset the state-of-charge flags, after the state of charge or a threshold was set by hand."""
        self.flags = self.flags._replace(low_soc=False, discharge_floor=False)

    def forget_pre_alarm(self) -> None:
        """Reset the pre-alarm, after its level was set by hand. A low cell stays low until it is released."""
        self.flags = self.flags._replace(low_cell_warning=self.flags.low_cell)

    def announce_anew(self) -> None:
        """Restart the time of the pre-alarm, because the loads have just come back (M-O3)."""
        self._low_cell.restart()
        self._low_bank.restart()

    def _decide_again(self) -> None:
        were_off = bool(self.discharge_off)
        self.decide()
        if were_off and not self.discharge_off:
            self.announce_anew()

    def decide(self) -> None:
        """Compute codes and permissions from the flags."""
        self._decided = (self.flags, self.firmware.state)
        self.codes = _active(_CODES, self.flags)
        self.charge_off = _active(_CHARGE_OFF, self.flags)
        self.discharge_off = _active(_DISCHARGE_OFF, self.flags)
        if self.firmware.state is not FirmwareState.IDLE:
            self.charge_off |= {Reason.FIRMWARE_UPDATE}
        if self.firmware.loads_off:
            self.discharge_off |= {Reason.FIRMWARE_UPDATE}
        about_to_open = self.flags.low_cell_warning or self.flags.low_soc or self.flags.low_bank_pending
        # Assumed: once the load is off there is nothing left to announce, and a relay would drain the reserve (M-D1).
        self.pre_alarm = about_to_open and not self.discharge_off

    def _cell_too_low(self, measured: Measurements, settings: Settings, seconds: float) -> tuple[bool, bool]:
        """Apply M-O3: the warning comes first and lasts long enough, however fast the cell falls."""
        lowest, before = measured.lowest_cell, self.flags
        level = LOW_CELL_RELEASE if before.low_cell_warning else settings.pre_alarm_cell_voltage
        warning = before.low_cell_warning if lowest is None else lowest <= level
        self._low_cell.advance(warning, seconds)
        if not warning or before.low_cell:
            return warning, warning
        too_low = lowest is not None and lowest <= LOW_CELL
        return True, too_low and self._low_cell.reached(PRE_ALARM_SECONDS)

    def _bank_too_low(self, measured: Measurements, seconds: float) -> tuple[bool, bool]:
        low = LOW_BANK.holds(self.flags.low_bank, measured.bank_voltage / measured.cells)
        self._low_bank.advance(low, seconds)
        return low, low and self._low_bank.reached(LOW_BANK_VOLTAGE_SECONDS)

    def copy(self) -> RulesCheckpoint:
        """Return a copy of the state, for restore."""
        return RulesCheckpoint(
            flags=self.flags,
            low_cell=self._low_cell.elapsed,
            low_bank=self._low_bank.elapsed,
            lost=self._lost.elapsed,
            firmware=self.firmware.copy(),
        )

    def restore(self, checkpoint: RulesCheckpoint) -> None:
        """Go back to the state in a copy."""
        self.flags = checkpoint.flags
        self._low_cell.elapsed = checkpoint.low_cell
        self._low_bank.elapsed = checkpoint.low_bank
        self._lost.elapsed = checkpoint.lost
        self.firmware = checkpoint.firmware.copy()
        self.decide()


def _holds(threshold: Threshold, before: bool, value: float | None) -> bool:
    """Return whether a threshold is tripped; an unknown value changes nothing."""
    return before if value is None else threshold.holds(before, value)


def _soc_too_low(before: Flags, measured: Measurements, settings: Settings) -> tuple[bool, bool]:
    """Apply M-S5 and M-S6."""
    soc, floor = measured.state_of_charge, settings.discharge_floor
    if soc is None:
        return before.low_soc, before.discharge_floor
    low = _soc_holds(before.low_soc, soc, settings.low_soc_warning, LOW_SOC_RELEASE)
    return low, floor > 0 and _soc_holds(before.discharge_floor, soc, floor, DISCHARGE_FLOOR_RELEASE)


def _soc_holds(before: bool, soc: float, level: float, release: float) -> bool:
    return soc < min(level + release, FULL) if before else soc <= level
