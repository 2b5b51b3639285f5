"""Registers of bits, each of which says one thing about the BMS."""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from emulator.bms.bms import SmallBms
from emulator.bms.codes import CODES, Code, Severity
from emulator.bms.firmware import FirmwareState
from emulator.bms.monitor import IDLE_CURRENT, BalancerStatus
from emulator.bms.rules import Permission, Reason

FULL: Final = 100.0  # %
ALMOST_CHARGED: Final = 95.0  # assumed

_EMPTY: Final = frozenset({Reason.LOW_CELL_VOLTAGE, Reason.LOW_BANK_VOLTAGE, Reason.DISCHARGE_FLOOR})
_INTERNAL: Final = frozenset({Reason.HARDWARE_FAULT, Reason.FIRMWARE_UPDATE})

type Bits = tuple[tuple[int, Callable[[SmallBms], bool]], ...]

# What each bit says is Victron's; when this device sets it is assumed throughout. Left out is what it never says:
# warnings of over-voltage and of temperatures (it has no such codes), and low temperature for discharging.
BMS_FLAGS: Final[Bits] = (
    (0, lambda bms: _soc(bms) >= FULL),
    (1, lambda bms: ALMOST_CHARGED <= _soc(bms) < FULL),
    (2, lambda bms: not _EMPTY.isdisjoint(bms.discharge_off_reasons)),
    (3, lambda bms: bms.allowed_to_discharge is Permission.PRE_ALARM),
    (4, lambda bms: _current(bms) > IDLE_CURRENT),
    (5, lambda bms: _current(bms) < -IDLE_CURRENT),
    (6, lambda bms: bms.monitor.balancer_status is BalancerStatus.BALANCING),
    (9, lambda bms: not {Reason.HIGH_CELL_VOLTAGE, Reason.BATTERY_VOLTAGE}.isdisjoint(bms.charge_off_reasons)),
    (11, lambda bms: not {Code.A_B01, Code.A_B08}.isdisjoint(bms.codes)),
    (12, lambda bms: Code.W_B01 in bms.codes),
    (15, lambda bms: Code.A_B09 in bms.codes),
    (18, lambda bms: Reason.LOW_TEMPERATURE in bms.charge_off_reasons),
    (21, lambda bms: not {Code.W_B07, Code.A_B07}.isdisjoint(bms.codes)),
    (24, lambda bms: Code.E_B11 in bms.codes),
    (25, lambda bms: bms.allowed_to_charge is Permission.YES),
    (26, lambda bms: bms.allowed_to_discharge is not Permission.NO),
    (27, lambda bms: bms.allowed_to_discharge is Permission.PRE_ALARM),
)

OFF_REASONS: Final[Bits] = (
    (2, lambda bms: not bms.mode_on),
    (3, lambda bms: not _remote_on(bms)),
    (4, lambda bms: not _INTERNAL.isdisjoint(bms.discharge_off_reasons)),
    (11, lambda bms: not _EMPTY.isdisjoint(bms.discharge_off_reasons)),
    (15, lambda bms: any(CODES[code].severity is Severity.ALARM for code in bms.codes)),
)

# The bit for each reason, assumed: the register has fewer reasons than the BMS.
_NOT_ALLOWED_BITS: Final = {
    Reason.LOW_CELL_VOLTAGE: 0,
    Reason.HIGH_CELL_VOLTAGE: 0,
    Reason.LOW_TEMPERATURE: 0,
    Reason.DISCHARGE_FLOOR: 0,
    Reason.BATTERY_COMMUNICATION: 0,
    Reason.BATTERY_CONFIGURATION: 0,
    Reason.LOW_BANK_VOLTAGE: 1,
    Reason.HIGH_TEMPERATURE: 2,
    Reason.HARDWARE_FAULT: 4,
    Reason.FIRMWARE_UPDATE: 4,
    Reason.BATTERY_VOLTAGE: 6,
}
_REMOTE_BIT: Final = 3
_SOFT_SWITCH_BIT: Final = 7


class State(IntEnum):
    """The device's state. Assumed: numbered as Victron's GX devices number the states of a battery."""

    RUNNING = 9
    ERROR = 10
    SHUTDOWN = 12
    UPDATING = 13
    STANDBY = 14


def bits(table: Bits, bms: SmallBms) -> int:
    """Return the register with every bit set that is true."""
    return sum(1 << bit for bit, holds in table if holds(bms))


def not_allowed(reasons: frozenset[Reason], bms: SmallBms) -> int:
    """Return why charging or discharging is not allowed, as bits."""
    numbers = {_NOT_ALLOWED_BITS[reason] for reason in reasons}
    if not _remote_on(bms):
        numbers.add(_REMOTE_BIT)
    if not bms.mode_on:
        numbers.add(_SOFT_SWITCH_BIT)
    return sum(1 << number for number in numbers)


def state(bms: SmallBms) -> State:
    """Return the device's state."""
    if bms.firmware_state is FirmwareState.UPDATING:
        return State.UPDATING
    if any(CODES[code].severity is Severity.ERROR for code in bms.codes):
        return State.ERROR
    if not bms.system_on:
        return State.STANDBY
    return State.SHUTDOWN if bms.allowed_to_discharge is Permission.NO else State.RUNNING


def _soc(bms: SmallBms) -> float:
    return bms.monitor.state_of_charge or 0.0


def _current(bms: SmallBms) -> float:
    return bms.current or 0.0


def _remote_on(bms: SmallBms) -> bool:
    return bms.remote.is_on(bms.voltage)
