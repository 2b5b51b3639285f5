"""The table of registers, where each battery is read, and the rules for writing the state-of-charge thresholds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntFlag, StrEnum
from functools import partial
from itertools import islice
from typing import Final

from .codes import IO_FIELDS, LEVEL_FIELDS, Level
from .payloads import (
    BOUNDS,
    KEY_LENGTH,
    Bounds,
    BytesPayload,
    ChoicePayload,
    FlagsPayload,
    NoPayload,
    NumberPayload,
    NumbersPayload,
    Payload,
    PayloadError,
    TextPayload,
    TwoBitPayload,
    Value,
    VersionPayload,
)
from .session import NEVER_WRITTEN

SMALLEST_SYSTEM_VOLTAGE: Final = 12

# The largest bank (M-B4), and the cells of a 48 V battery. More than this is not plausible.
MOST_BATTERIES: Final = 50
MOST_CELLS: Final = 16


class Page(StrEnum):
    """Registers that are read together."""

    SESSION = "session"
    IDENTITY = "identity"
    STATUS = "status"
    BATTERY = "battery"
    SETTINGS = "settings"
    HISTORY = "history"
    ACTIONS = "actions"


class Evidence(StrEnum):
    """The evidence for a register."""

    LIVE = "live"
    """Seen on another Victron device, with its bytes."""
    HEADER = "header"
    """In the register list that Victron published before the NG products."""


class Scale(StrEnum):
    """Groups of registers whose voltages are all in 0.01 V, or all in mV."""

    CELLS = "cells"
    PRE_ALARM = "pre_alarm"
    HISTORY = "history"


class Name(StrEnum):
    """The meaning of a register. Registers with the same name are alternatives; the one listed first is preferred."""

    KEEP_ALIVE = "keep_alive"

    PRODUCT_ID = "product_id"
    FIRMWARE_VERSION = "firmware_version"
    SERIAL_NUMBER = "serial_number"
    MODEL_NAME = "model_name"
    CUSTOM_NAME = "custom_name"
    CAPABILITIES = "capabilities"
    INSTANT_READOUT_KEY = "instant_readout_key"
    INSTANT_READOUT_ON = "instant_readout_on"
    PIN_CHANGED = "pin_changed"

    MODE = "mode"
    STATE = "state"
    FLAGS = "flags"
    ERROR = "error"
    LEVELS = "levels"
    IO = "io"
    DISCHARGE_OFF_REASON = "discharge_off_reason"
    CHARGE_OFF_REASON = "charge_off_reason"
    OFF_REASON = "off_reason"
    VOLTAGE = "voltage"
    CURRENT = "current"
    POWER = "power"
    STATE_OF_CHARGE = "state_of_charge"
    TIME_TO_GO = "time_to_go"
    CONSUMED_AMPHOURS = "consumed_amphours"
    TEMPERATURE = "temperature"

    BANK = "bank"
    CAPACITY = "capacity"
    BALANCER_STATUS = "balancer_status"
    CELL_VOLTAGES = "cell_voltages"
    CELL_TEMPERATURES = "cell_temperatures"
    CELL = "cell"

    CHARGED_VOLTAGE = "charged_voltage"
    TAIL_CURRENT = "tail_current"
    CHARGED_DETECTION_TIME = "charged_detection_time"
    LOW_SOC_WARNING = "low_soc_warning"
    DISCHARGE_FLOOR = "discharge_floor"
    PRE_ALARM_CELL_VOLTAGE = "pre_alarm_cell_voltage"

    DEEPEST_DISCHARGE = "history_deepest_discharge"
    CUMULATIVE_AMPHOURS = "history_cumulative_amphours"
    DISCHARGED_ENERGY = "history_discharged_energy"
    CHARGED_ENERGY = "history_charged_energy"
    SYNCHRONIZATIONS = "history_synchronizations"
    CYCLES = "history_cycles"
    SINCE_FULL_CHARGE = "history_since_full_charge"
    LOWEST_VOLTAGE = "history_lowest_voltage"
    HIGHEST_VOLTAGE = "history_highest_voltage"
    HISTORY_CELL_VOLTAGES = "history_cell_voltages"
    LOWEST_TEMPERATURE = "history_lowest_temperature"
    HIGHEST_TEMPERATURE = "history_highest_temperature"

    SYNCHRONIZE = "synchronize"
    RESTORE_DEFAULTS = "restore_defaults"
    CLEAR_HISTORY = "clear_history"


class BmsFlags(IntFlag):
    """The state of the BMS as flags."""

    CHARGED = 1 << 0
    ALMOST_CHARGED = 1 << 1
    DISCHARGED = 1 << 2
    ALMOST_DISCHARGED = 1 << 3
    CHARGING = 1 << 4
    DISCHARGING = 1 << 5
    BALANCING = 1 << 6
    HIGH_VOLTAGE_ALARM = 1 << 9
    HIGH_VOLTAGE_WARNING = 1 << 10
    LOW_VOLTAGE_ALARM = 1 << 11
    LOW_VOLTAGE_WARNING = 1 << 12
    HIGH_TEMPERATURE_ALARM = 1 << 15
    HIGH_TEMPERATURE_WARNING = 1 << 16
    LOW_TEMPERATURE_CHARGE_WARNING = 1 << 17
    LOW_TEMPERATURE_CHARGE_ALARM = 1 << 18
    LOW_TEMPERATURE_DISCHARGE_WARNING = 1 << 19
    LOW_TEMPERATURE_DISCHARGE_ALARM = 1 << 20
    LOW_SOC = 1 << 21
    LOW_TEMPERATURE_ALARM = 1 << 22
    HARDWARE_FAILURE = 1 << 24
    ALLOWED_TO_CHARGE = 1 << 25
    ALLOWED_TO_DISCHARGE = 1 << 26
    PRE_ALARM = 1 << 27


class NotAllowedReason(IntFlag):
    """Why charging or discharging is not allowed."""

    BATTERY = 1 << 0
    LOW_INPUT_VOLTAGE = 1 << 1
    HIGH_TEMPERATURE = 1 << 2
    REMOTE_INPUT = 1 << 3
    INTERNAL = 1 << 4
    OVERLOAD = 1 << 5
    HIGH_BATTERY_VOLTAGE = 1 << 6
    SOFT_POWER_SWITCH = 1 << 7


class OffReason(IntFlag):
    """Why the device is off."""

    NO_INPUT_POWER = 1 << 0
    POWER_SWITCH = 1 << 1
    SOFT_POWER_SWITCH = 1 << 2
    REMOTE_INPUT = 1 << 3
    INTERNAL = 1 << 4
    BMS = 1 << 6
    LOW_BATTERY_TEMPERATURE = 1 << 9
    LOW_BATTERY = 1 << 11
    ACTIVE_ALARM = 1 << 15


class Capabilities(IntFlag):
    """What the device can do."""

    PRE_ALARM = 1 << 0


class Mode(StrEnum):
    """The mode that the system was set to (M-V1)."""

    ON = "on"
    OFF = "off"
    STANDBY = "standby"


class BalancerStatus(StrEnum):
    """Whether the cells are balanced (M-V3)."""

    UNKNOWN = "unknown"
    BALANCED = "balanced"
    BALANCING = "balancing"
    IMBALANCED = "imbalanced"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The values that may be written, in the unit of the register."""

    low: float
    high: float
    step: float
    per_12_volts: bool = False
    """The limits are those of a 12 V system, and grow with the system voltage."""

    def at(self, system_voltage: int) -> Limits:
        """Return the limits in a system of 12, 24 or 48 V."""
        if not self.per_12_volts:
            return self
        times = system_voltage // SMALLEST_SYSTEM_VOLTAGE
        return Limits(low=self.low * times, high=self.high * times, step=self.step)

    def allow(self, value: Value) -> bool:
        """Return whether a value is within the limits and on a step."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = value / self.step
        # Binary fractions do not hit a decimal step exactly.
        return abs(steps - round(steps)) < _SAME_STEP


class OutOfLimits(PayloadError):
    """A value outside the limits, or between two steps."""

    def __init__(self, register: Register, limits: Limits, value: Value) -> None:
        super().__init__(f"{register.name} must be {limits}, not {value!r}")
        self.register = register
        self.limits = limits


@dataclass(frozen=True, kw_only=True)
class Register:
    """One register.

    tolerance: how far a value may differ, in its unit, when it is read back. key_size: if not 0, the register has
    several payloads, distinguished by this many first bytes. finer_payload: how the register is decoded if its voltages
    are in mV; registers with the same scale share that.
    """

    id: int
    name: Name
    page: Page
    payload: Payload
    unit: str | None = None
    limits: Limits | None = None
    writable: bool = False
    tolerance: float = 0
    key_size: int = 0
    finer_payload: Payload | None = None
    scale: Scale | None = None
    only_rises: bool = False
    """A lifetime counter: a value lower than before is doubted."""
    evidence: Evidence = Evidence.HEADER

    def decode(self, data: bytes, *, finer: bool = False) -> Value:
        """Return the value of a payload. Raises PayloadError. finer: the voltages are known to be in mV."""
        return self._payload(finer=finer or self.is_finer(data)).decode(data)

    def is_finer(self, data: bytes) -> bool:
        """Return whether the voltages in a payload are plausible only in mV. Raises PayloadError."""
        return self.finer_payload is not None and any(
            coarse is None and isinstance(fine, float) and fine >= _CERTAIN_IN_MILLIVOLTS
            for coarse, fine in zip(
                _numbers(self.payload.decode(data)), _numbers(self.finer_payload.decode(data)), strict=True
            )
        )

    def encode(self, value: Value, system_voltage: int | None = None, *, finer: bool = False) -> bytes:
        """Return the payload to write. Raises PayloadError if it is outside the limits.

        The limits are those of a system voltage in V; None: of any. finer: the register is in mV.
        """
        if not self.writable or self.id in NEVER_WRITTEN:
            raise PayloadError(f"{self.name} is never written")
        self._check_limits(value, system_voltage)
        return self._payload(finer=finer).encode(value)

    def _payload(self, *, finer: bool) -> Payload:
        return self.finer_payload if finer and self.finer_payload else self.payload

    def confirms(self, wanted: bytes, found: bytes) -> bool:
        """Return whether the payload found is the wanted one, within the tolerance."""
        return wanted == found or self._is_near(wanted, found)

    def _is_near(self, wanted: bytes, found: bytes) -> bool:
        try:
            one, other = self.decode(wanted), self.decode(found)
        except PayloadError:
            return False
        return isinstance(one, float) and isinstance(other, float) and abs(one - other) <= self.tolerance

    def _check_limits(self, value: Value, system_voltage: int | None) -> None:
        if self.limits is None:
            return
        low = self.limits.at(system_voltage or SMALLEST_SYSTEM_VOLTAGE).low
        high = self.limits.at(system_voltage or LARGEST_SYSTEM_VOLTAGE).high
        limits = Limits(low=low, high=high, step=self.limits.step)
        if not limits.allow(value):
            raise OutOfLimits(self, limits, value)


# A voltage that no battery and no cell has in 0.01 V is in mV if that makes at least this, in V; less is damaged.
_CERTAIN_IN_MILLIVOLTS: Final = 2.0


def _numbers(value: Value) -> tuple[object, ...]:
    return tuple(value.values()) if isinstance(value, Mapping) else (value,)


LARGEST_SYSTEM_VOLTAGE: Final = 48
_SAME_STEP: Final = 1e-6
_ZERO_CELSIUS: Final = 273.15

_U8: Final = NumberPayload(size=1)
_U16: Final = NumberPayload(size=2)
_VOLTAGE: Final = NumberPayload(size=2, signed=True, per_unit=100, not_available=0x7FFF, bounds=BOUNDS["voltage"])
_TEMPERATURE: Final = NumberPayload(
    size=2, per_unit=100, below_zero=_ZERO_CELSIUS, not_available=0xFFFF, bounds=BOUNDS["temperature"]
)
_LOW_TEMPERATURE: Final = replace(_TEMPERATURE, not_available=0)
_PERMILLE: Final = NumberPayload(size=2, per_unit=10)
# Assumed: "not available" is that of other registers of this size.
_CELL_VOLTAGE: Final = NumberPayload(size=2, per_unit=100, not_available=0xFFFF, bounds=Bounds(low=0, high=6))
# Assumed: newer firmware may give mV, as Victron's displays show three decimals of a cell since 2026.
_CELL_MILLIVOLTS: Final = replace(_CELL_VOLTAGE, per_unit=1000)
_AMPHOURS: Final = NumberPayload(size=4, signed=True, per_unit=10, not_available=0x7FFFFFFF)
# A bank that was once found empty may give 0.
_EXTREME_VOLTAGE: Final = NumberPayload(
    size=4, signed=True, per_unit=100, not_available=0x7FFFFFFF, bounds=replace(BOUNDS["voltage"], low=0)
)
# Seen on a sister product.
_EXTREME_MILLIVOLTS: Final = replace(_EXTREME_VOLTAGE, per_unit=1000)
_WHOLE: Final = NumberPayload(size=4, signed=True, not_available=0x7FFFFFFF)
_ENERGY: Final = NumberPayload(size=4, per_unit=100, not_available=0xFFFFFFFF)
_OFF_ON: Final = ChoicePayload(meanings={0: False, 1: True})
_REASON: Final = FlagsPayload(size=2, flags=NotAllowedReason)


def _range(part: NumberPayload) -> NumbersPayload:
    return NumbersPayload(parts={"minimum": part, "maximum": part})


def _cell(voltage: NumberPayload) -> NumbersPayload:
    return NumbersPayload(parts={"battery": _U8, "cell": _U8, "voltage": voltage})


_identity = partial(Register, page=Page.IDENTITY)
_status = partial(Register, page=Page.STATUS)
_battery = partial(Register, page=Page.BATTERY)
_setting = partial(Register, page=Page.SETTINGS, writable=True)
_history = partial(Register, page=Page.HISTORY)
_lifetime = partial(_history, only_rises=True)
_cell_range = partial(
    Register, payload=_range(_CELL_VOLTAGE), finer_payload=_range(_CELL_MILLIVOLTS), scale=Scale.CELLS, unit="V"
)
_extreme = partial(_history, payload=_EXTREME_VOLTAGE, finer_payload=_EXTREME_MILLIVOLTS, scale=Scale.HISTORY, unit="V")
_action = partial(Register, page=Page.ACTIONS, payload=NoPayload(), writable=True)

# Assumed: all limits. The manual gives none; these are those of Victron's other battery monitors.
_LEVEL_LIMITS: Final = Limits(low=0, high=99, step=1)

REGISTERS: Final = (
    Register(id=0x0093, name=Name.KEEP_ALIVE, page=Page.SESSION, payload=_U16, unit="ms", writable=True),
    _identity(
        id=0x0100,
        name=Name.PRODUCT_ID,
        payload=NumbersPayload(parts={"first": _U8, "product_id": _U16, "flags": _U8}),
    ),
    _identity(id=0x0102, name=Name.FIRMWARE_VERSION, payload=VersionPayload()),
    _identity(id=0x010A, name=Name.SERIAL_NUMBER, payload=TextPayload(longest=32)),
    _identity(id=0x010B, name=Name.MODEL_NAME, payload=TextPayload(longest=64)),
    _identity(id=0x010C, name=Name.CUSTOM_NAME, payload=TextPayload(longest=64)),
    _identity(id=0x0144, name=Name.CAPABILITIES, payload=FlagsPayload(size=4, flags=Capabilities)),
    _identity(id=0xEC65, name=Name.INSTANT_READOUT_KEY, payload=BytesPayload(size=KEY_LENGTH)),
    _identity(id=0xEC7D, name=Name.INSTANT_READOUT_ON, payload=_OFF_ON, writable=True),
    _identity(id=0xEC3F, name=Name.PIN_CHANGED, payload=_OFF_ON),
    _status(
        id=0x0200,
        name=Name.MODE,
        payload=ChoicePayload(meanings={3: Mode.ON, 4: Mode.OFF, 0xFC: Mode.STANDBY}),
        writable=True,
        evidence=Evidence.LIVE,
    ),
    _status(id=0x0201, name=Name.STATE, payload=_U8),
    _status(id=0x2100, name=Name.FLAGS, payload=FlagsPayload(size=4, flags=BmsFlags)),
    _status(id=0x2101, name=Name.ERROR, payload=_U8),
    _status(
        id=0x2107,
        name=Name.LEVELS,
        payload=TwoBitPayload(names=LEVEL_FIELDS, states=(None, Level.OK, Level.WARNING, Level.ALARM)),
    ),
    _status(id=0x2108, name=Name.IO, payload=TwoBitPayload(names=IO_FIELDS, states=(None, True, False, False))),
    _status(id=0xEC46, name=Name.DISCHARGE_OFF_REASON, payload=_REASON),
    _status(id=0xEC47, name=Name.CHARGE_OFF_REASON, payload=_REASON),
    _status(id=0x0207, name=Name.OFF_REASON, payload=FlagsPayload(size=4, flags=OffReason)),
    _status(id=0xED8D, name=Name.VOLTAGE, payload=_VOLTAGE, unit="V", evidence=Evidence.LIVE),
    _status(
        id=0xED8C,
        name=Name.CURRENT,
        payload=NumberPayload(size=4, signed=True, per_unit=1000, not_available=0x7FFFFFFF, bounds=BOUNDS["current"]),
        unit="A",
        evidence=Evidence.LIVE,
    ),
    _status(
        id=0xED8F,
        name=Name.CURRENT,
        payload=NumberPayload(size=2, signed=True, per_unit=10, not_available=0x7FFF, bounds=BOUNDS["current"]),
        unit="A",
        evidence=Evidence.LIVE,
    ),
    _status(id=0xED8E, name=Name.POWER, payload=NumberPayload(size=2, signed=True, not_available=0x7FFF), unit="W"),
    _status(
        id=0x0FFF,
        name=Name.STATE_OF_CHARGE,
        payload=NumberPayload(size=2, per_unit=100, not_available=0xFFFF, bounds=BOUNDS["state_of_charge"]),
        unit="%",
        writable=True,
        limits=Limits(low=0, high=100, step=1),
        # It changes by itself, and the device may report it more coarsely than it accepts it.
        tolerance=0.5,
    ),
    _status(id=0x0FFE, name=Name.TIME_TO_GO, payload=NumberPayload(size=2, not_available=0xFFFF), unit="min"),
    _status(id=0xEEFF, name=Name.CONSUMED_AMPHOURS, payload=_AMPHOURS, unit="Ah"),
    _status(id=0xEDEC, name=Name.TEMPERATURE, payload=_TEMPERATURE, unit="°C"),
    _battery(
        id=0x0380,
        name=Name.BANK,
        payload=NumbersPayload(parts={"batteries": _U8, "cells": _U8, "parallel": _U8, "series": _U8}),
    ),
    _battery(id=0x1000, name=Name.CAPACITY, payload=NumberPayload(size=2, bounds=BOUNDS["capacity"]), unit="Ah"),
    _battery(
        id=0xEA15,
        name=Name.BALANCER_STATUS,
        payload=ChoicePayload(
            meanings={
                0: BalancerStatus.UNKNOWN,
                1: BalancerStatus.BALANCED,
                2: BalancerStatus.BALANCING,
                3: BalancerStatus.IMBALANCED,
            }
        ),
    ),
    _cell_range(id=0x0385, name=Name.CELL_VOLTAGES, page=Page.BATTERY),
    _battery(id=0x0386, name=Name.CELL_TEMPERATURES, payload=_range(_TEMPERATURE), unit="°C"),
    _battery(
        id=0x0381,
        name=Name.CELL,
        payload=_cell(_CELL_VOLTAGE),
        finer_payload=_cell(_CELL_MILLIVOLTS),
        scale=Scale.CELLS,
        unit="V",
        key_size=2,
    ),
    _setting(
        id=0x1001,
        name=Name.CHARGED_VOLTAGE,
        payload=_PERMILLE,
        unit="V",
        limits=Limits(low=12, high=16, step=0.1, per_12_volts=True),
    ),
    _setting(id=0x1002, name=Name.TAIL_CURRENT, payload=_PERMILLE, unit="%", limits=Limits(low=0.5, high=10, step=0.1)),
    _setting(
        id=0x1003, name=Name.CHARGED_DETECTION_TIME, payload=_U16, unit="min", limits=Limits(low=1, high=50, step=1)
    ),
    _setting(id=0x0328, name=Name.LOW_SOC_WARNING, payload=_PERMILLE, unit="%", limits=_LEVEL_LIMITS),
    # Which of the two the device has is unknown. The first one is the BMS's own in Victron's list.
    _setting(id=0x210B, name=Name.DISCHARGE_FLOOR, payload=_PERMILLE, unit="%", limits=_LEVEL_LIMITS),
    _setting(id=0x1008, name=Name.DISCHARGE_FLOOR, payload=_PERMILLE, unit="%", limits=_LEVEL_LIMITS),
    _setting(
        id=0xEC85,
        name=Name.PRE_ALARM_CELL_VOLTAGE,
        payload=_CELL_VOLTAGE,
        finer_payload=_CELL_MILLIVOLTS,
        scale=Scale.PRE_ALARM,
        unit="V",
        # Above 3.20 V a cell is not low any more (M-P5), and a pre-alarm above that would never end.
        limits=Limits(low=2.8, high=3.2, step=0.01),
    ),
    _history(id=0x0300, name=Name.DEEPEST_DISCHARGE, payload=_AMPHOURS, unit="Ah"),
    _lifetime(id=0x0305, name=Name.CUMULATIVE_AMPHOURS, payload=_AMPHOURS, unit="Ah"),
    _lifetime(id=0x0310, name=Name.DISCHARGED_ENERGY, payload=_ENERGY, unit="kWh"),
    _lifetime(id=0x0311, name=Name.CHARGED_ENERGY, payload=_ENERGY, unit="kWh"),
    _lifetime(id=0x0309, name=Name.SYNCHRONIZATIONS, payload=_WHOLE),
    _lifetime(id=0x0303, name=Name.CYCLES, payload=_WHOLE),
    _history(id=0x0308, name=Name.SINCE_FULL_CHARGE, payload=_WHOLE, unit="s"),
    _extreme(id=0x0306, name=Name.LOWEST_VOLTAGE),
    _extreme(id=0x0307, name=Name.HIGHEST_VOLTAGE),
    _cell_range(id=0x0384, name=Name.HISTORY_CELL_VOLTAGES, page=Page.HISTORY),
    _history(id=0x0313, name=Name.LOWEST_TEMPERATURE, payload=_LOW_TEMPERATURE, unit="°C"),
    _history(id=0x0312, name=Name.HIGHEST_TEMPERATURE, payload=_LOW_TEMPERATURE, unit="°C"),
    _action(id=0x102C, name=Name.SYNCHRONIZE),
    _action(id=0x0004, name=Name.RESTORE_DEFAULTS),
    _action(id=0x1030, name=Name.CLEAR_HISTORY),
)

BY_ID: Final = {register.id: register for register in REGISTERS}
SECRETS: Final = frozenset(register.id for register in REGISTERS if register.name is Name.INSTANT_READOUT_KEY)
"""The registers that no download or action may reveal."""
PIN_REGISTER: Final = 0xEC10
PUK_REGISTER: Final = 0xEC11
NEVER_READ: Final = SECRETS | {PIN_REGISTER, PUK_REGISTER}
"""Not asked for on demand. Whether a device gives its PIN is not known, and nobody shall find out by this."""

_OF_ONE_BATTERY: Final = (
    Name.SERIAL_NUMBER,
    Name.CAPACITY,
    Name.FIRMWARE_VERSION,
    Name.VOLTAGE,
    Name.CURRENT,
    Name.TEMPERATURE,
    Name.CELL,
)


# What the advertisement contains too, and the capacity, which calculations need.
OF_BATTERY: Final = (
    Name.VOLTAGE,
    Name.CURRENT,
    Name.STATE_OF_CHARGE,
    Name.TIME_TO_GO,
    Name.CONSUMED_AMPHOURS,
    Name.TEMPERATURE,
    Name.ERROR,
    Name.LEVELS,
    Name.IO,
    Name.CAPACITY,
)


def battery_values(values: Mapping[Name, Value]) -> dict[str, object]:
    """Return the values of registers by the names of their quantities."""
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= value if isinstance(value, Mapping) else {name.value: value}
    consumed = found.get(Name.CONSUMED_AMPHOURS)
    if isinstance(consumed, int | float):
        # Unknown: whether the register counts below zero, as the advertisement does.
        found[Name.CONSUMED_AMPHOURS.value] = -abs(consumed) or 0.0
    return found


def named(name: Name) -> tuple[Register, ...]:
    """Return the registers of a name, the preferred one first."""
    return tuple(register for register in REGISTERS if register.name is name)


def on_page(page: Page) -> tuple[Register, ...]:
    """Return the registers of a page."""
    return tuple(register for register in REGISTERS if register.page is page)


def choose(name: Name, answered: Iterable[int]) -> Register | None:
    """Return the preferred register of a name among those that the device answers; None if there is none."""
    known = frozenset(answered)
    return next((register for register in named(name) if register.id in known), None)


@dataclass(frozen=True, kw_only=True)
class BatterySource:
    """The instance and the registers of one battery of the bank; numbers count from 1."""

    number: int
    instance: int
    registers: tuple[Register, ...]


def battery_sources(main: int, instances: Sequence[int]) -> tuple[BatterySource, ...]:
    """Return where each battery is read, given the main instance and all instances; at most MOST_BATTERIES.

    Assumed: every other instance is a battery, in the order of the bank. No register of a battery is public.
    """
    others = islice((instance for instance in dict.fromkeys(instances) if instance != main), MOST_BATTERIES)
    registers = tuple(named(name)[0] for name in _OF_ONE_BATTERY)
    return tuple(
        BatterySource(number=number, instance=instance, registers=registers)
        for number, instance in enumerate(others, start=1)
    )


def cells_by_battery(payloads: Iterable[bytes]) -> Mapping[int, tuple[bytes, ...]]:
    """Return the payloads of the cells of a whole bank by the number of the battery, which counts from 1 here.

    Assumed: the first byte is that number, and counts from 0 or from 1.
    """
    found: defaultdict[int, list[bytes]] = defaultdict(list)
    for payload in filter(None, payloads):
        found[payload[0]].append(payload)
    first = 0 if 0 in found else 1
    return {number - first + 1: tuple(found[number]) for number in sorted(found)[:MOST_BATTERIES]}


def payload_key(register: int, payload: bytes) -> bytes:
    """Return the first bytes that distinguish this payload from others of its register; empty if there is only one."""
    row = BY_ID.get(register)
    return payload[: row.key_size] if row else b""


def main_instance(instances: Sequence[int]) -> int:
    """Return the instance of the device as a whole: 0 as on products with one function, else the first."""
    return 0 if 0 in instances or not instances else instances[0]


def expected_payloads(register: int, bank: Mapping[str, object], *, whole_bank: bool) -> int | None:
    """Return how many payloads a register has, given the value of the bank register; None if unknown."""
    row = BY_ID.get(register)
    if row is None or not row.key_size:
        return 1
    cells, batteries = bank.get("cells"), bank.get("batteries")
    if not isinstance(cells, int) or not isinstance(batteries, int):
        return None
    return cells * batteries if whole_bank else cells


THRESHOLDS: Final = (Name.LOW_SOC_WARNING, Name.DISCHARGE_FLOOR)


@dataclass(frozen=True, kw_only=True)
class ThresholdConflict:
    """A warning threshold that is not above the discharge floor; both in %."""

    warning: float
    floor: float


def threshold_conflict(levels: Mapping[Name, Value]) -> ThresholdConflict | None:
    """Return the thresholds if they conflict (M-S5); None if not, or if one is unknown. A floor of 0 is off (M-S6)."""
    warning, floor = levels.get(Name.LOW_SOC_WARNING), levels.get(Name.DISCHARGE_FLOOR)
    if not isinstance(warning, int | float) or not isinstance(floor, int | float):
        return None
    return ThresholdConflict(warning=warning, floor=floor) if floor and warning <= floor else None


def write_order(values: Mapping[Name, Value], floor: Value) -> list[Name]:
    """Return the order in which to write, so that the warning never falls below the floor; floor: the present one."""
    new = values.get(Name.DISCHARGE_FLOOR)
    lowered = isinstance(new, int | float) and isinstance(floor, int | float) and new < floor
    return sorted(values, key=lambda name: (name is Name.DISCHARGE_FLOOR) is not lowered)
