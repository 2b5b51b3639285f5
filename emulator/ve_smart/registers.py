"""The registers of the emulated smallBMS NG: names, payloads, what they show, and what writing them changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from emulator.battery.bank import Battery
from emulator.bms.bms import SmallBms
from emulator.bms.monitor import BalancerStatus
from emulator.bms.pages import BatteryPage
from emulator.bms.settings import SettingKey
from emulator.device import MODEL_NUMBER
from emulator.personality.quirks import Quirks, RadioQuirks
from emulator.snapshot import IoField, Level, LevelField
from emulator.ve_smart.payloads import (
    Fields,
    FirmwareVersion,
    Number,
    Numbers,
    Octets,
    Payload,
    Text,
    kelvin,
    signed,
    unsigned,
)
from emulator.ve_smart.register_bits import BMS_FLAGS, OFF_REASONS, bits, not_allowed, state

# Assumed: batteries are instances of their own, numbered from here in the order of the bank.
FIRST_BATTERY: Final = 1
# Assumed: where the numbers of a battery's cells begin.
FIRST_CELL: Final = 1
# Assumed: charge that was drawn is a negative number, as Victron's battery monitors show it.
DRAWN: Final = -1.0

# The key of a field without a name, which the advertisement does not have.
TENTH: Final = "tenth"

OLD_DEFAULT_PIN: Final = "000000"
HAS_PRE_ALARM: Final = 1 << 0
MODE_ON: Final = 3
MODE_OFF: Final = 4


class Identity(Protocol):
    """The identity of the device."""

    name: str
    key: bytes
    product_id: int
    serial_number: str
    instant_readout_on: bool
    quirks: RadioQuirks

    @property
    def pin(self) -> str:
        """The PIN, six digits."""


@dataclass(kw_only=True)
class Device:
    """What the registers of the device as a whole show and change."""

    bms: SmallBms
    identity: Identity

    @property
    def error(self) -> int:
        """The number of the error that it reports; 0 = none."""
        return self.bms.snapshot().error or self.identity.quirks.error


@dataclass(frozen=True, kw_only=True)
class OneBattery:
    """What the registers of one battery show; its index counts from 0."""

    bms: SmallBms
    index: int

    @property
    def number(self) -> int:
        """Its instance."""
        return self.index + FIRST_BATTERY

    @property
    def battery(self) -> Battery:
        """The battery's data that never change."""
        return self.bms.bank.batteries[self.index]

    def measured(self, value: Callable[[BatteryPage], float]) -> float | None:
        """Return what the battery measures; None while its cable is out."""
        page = self.bms.battery_page(self.index)
        return None if page is None else value(page)

    @property
    def cell_voltages(self) -> tuple[float | None, ...]:
        """The voltage in V of every cell; None while the battery's cable is out."""
        page = self.bms.battery_page(self.index)
        return (None,) * self.battery.model.cells if page is None else page.cell_voltages


@dataclass(frozen=True, kw_only=True)
class Register[Subject]:
    """One register. read returns a payload for each value that it stands for; write raises ValueError.

    decode returns what a payload says; PayloadError if it is not one of this register.
    """

    id: int
    name: str
    decode: Callable[[bytes], object]
    read: Callable[[Subject], Sequence[bytes]] | None = None
    write: Callable[[Subject, bytes], None] | None = None


_VOLTAGE: Final = signed(2, scale=0.01, not_available=0x7FFF)
_CURRENT: Final = signed(4, scale=0.001, not_available=0x7FFFFFFF)
_COARSE_CURRENT: Final = signed(2, scale=0.1, not_available=0x7FFF)
_POWER: Final = signed(2, not_available=0x7FFF)
_MINUTES: Final = unsigned(2, not_available=0xFFFF)
_STATE_OF_CHARGE: Final = unsigned(2, scale=0.01, not_available=0xFFFF)
_LEVEL: Final = unsigned(2, scale=0.1)
_AMPERE_HOURS: Final = signed(4, scale=0.1)
_ENERGY: Final = unsigned(4, scale=0.01)
_TEMPERATURE: Final = kelvin(not_available=0xFFFF)
_HISTORY_TEMPERATURE: Final = kelvin(not_available=0)
# Assumed: they say "not available" as others of their size do.
_CELL_VOLTAGE: Final = unsigned(2, scale=0.01, not_available=0xFFFF)
_CELL_MILLIVOLTS: Final = replace(_CELL_VOLTAGE, scale=0.001)
_HISTORY_VOLTAGE: Final = signed(4, scale=0.01, not_available=0x7FFFFFFF)
_HISTORY_MILLIVOLTS: Final = replace(_HISTORY_VOLTAGE, scale=0.001)
_WHOLE: Final = signed(4, not_available=0x7FFFFFFF)

_U8: Final = unsigned(1)
_U16: Final = unsigned(2)
_U32: Final = unsigned(4)
_TEMPERATURES: Final = Numbers(parts=(_TEMPERATURE, _TEMPERATURE))
_BANK: Final = Numbers(parts=(_U8, _U8, _U8, _U8))
# Assumed: the last byte, flags.
_PRODUCT_ID: Final = Numbers(parts=(_U8, _U16, _U8))
_SERIAL_NUMBER: Final = Text(size=32, padded=True)
_NAME: Final = Text(size=64)
_KEY: Final = Octets(size=16)
_NOTHING: Final = Octets(size=0)
_FIRMWARE: Final = FirmwareVersion()
# Assumed: as many bytes as the fields need.
_IO: Final = Fields(size=2, keys=tuple(IoField), states={None: 0, True: 1, False: 2})
_LEVEL_STATES: Final = {Level.NOT_SUPPORTED: 0, Level.OK: 1, Level.WARNING: 2, Level.ALARM: 3}
_LEVELS: Final = Fields(size=4, keys=(*LevelField, TENTH), states=_LEVEL_STATES)
_BALANCER_STATUS: Final = {
    BalancerStatus.UNKNOWN: 0,
    BalancerStatus.BALANCED: 1,
    BalancerStatus.BALANCING: 2,
    BalancerStatus.IMBALANCED: 3,
}


def _row[Subject, Value](
    number: int,
    name: str,
    payload: Payload[Value],
    get: Callable[[Subject], Value],
    put: Callable[[Subject, Value], None] | None = None,
) -> Register[Subject]:
    return Register(
        id=number,
        name=name,
        decode=payload.decode,
        read=lambda subject: (payload.encode(get(subject)),),
        write=None if put is None else _writer(payload, put),
    )


def _writer[Subject, Value](
    payload: Payload[Value], put: Callable[[Subject, Value], None]
) -> Callable[[Subject, bytes], None]:
    def write(subject: Subject, data: bytes) -> None:
        put(subject, payload.decode(data))

    return write


def _of_bms[Value](
    number: int,
    name: str,
    payload: Payload[Value],
    get: Callable[[SmallBms], Value],
    put: Callable[[SmallBms, Value], None] | None = None,
) -> Register[Device]:
    return _row(number, name, payload, lambda device: get(device.bms), None if put is None else _on_bms(put))


def _on_bms[Value](put: Callable[[SmallBms, Value], None]) -> Callable[[Device, Value], None]:
    def change(device: Device, value: Value) -> None:
        put(device.bms, value)

    return change


def _of_identity[Value](
    number: int, name: str, payload: Payload[Value], get: Callable[[Identity], Value]
) -> Register[Device]:
    return _row(number, name, payload, lambda device: get(device.identity))


def _setting(number: int, name: str, payload: Number, key: SettingKey) -> Register[Device]:
    def change(bms: SmallBms, value: float | None) -> None:
        bms.change_setting(key, _given(value))

    return _of_bms(number, name, payload, lambda bms: bms.settings.get(key), change)


def _action(number: int, name: str, act: Callable[[SmallBms], None]) -> Register[Device]:
    def write(device: Device, data: bytes) -> None:
        if data:
            raise ValueError("An action takes no payload.")
        act(device.bms)

    return Register(id=number, name=name, decode=_NOTHING.decode, write=write)


def _given(value: float | None) -> float:
    if value is None:
        raise ValueError("Not available cannot be set.")
    return value


def _set_mode(bms: SmallBms, mode: float | None) -> None:
    # Assumed: standby, which Victron's other devices know, cannot be set.
    if mode not in (MODE_ON, MODE_OFF):
        raise ValueError("There is no such mode.")
    bms.set_mode(mode == MODE_ON)


def _set_state_of_charge(bms: SmallBms, percent: float | None) -> None:
    bms.set_state_of_charge(_given(percent))


def _set_instant_readout(device: Device, on: float | None) -> None:
    if on not in (0, 1):
        raise ValueError("Neither off nor on.")
    device.identity.instant_readout_on = bool(on)


def _one_cell(voltage: Number) -> Numbers:
    """Return the payload of one cell: the numbers of battery and cell, and its voltage."""
    return Numbers(parts=(_U8, _U8, voltage))


def _cells(voltage: Number, battery: OneBattery) -> list[bytes]:
    cells = enumerate(battery.cell_voltages, FIRST_CELL)
    return [_one_cell(voltage).encode((battery.number, cell, value)) for cell, value in cells]


def batteries(bms: SmallBms) -> list[OneBattery]:
    """Return the batteries that the BMS found when it started, in the order of the bank."""
    everything = range(len(bms.bank.batteries))
    missing = bms.faults.unplugged if bms.detected.batteries < len(everything) else ()
    return [OneBattery(bms=bms, index=index) for index in everything if index not in missing]


def _all_cells(voltage: Number, device: Device) -> list[bytes]:
    return [cell for battery in batteries(device.bms) for cell in _cells(voltage, battery)]


def _cell_registers(voltage: Number) -> tuple[Register[Device], ...]:
    """Return what the device says of cells, with voltages of this payload."""
    two = Numbers(parts=(voltage, voltage))
    return (
        _of_bms(
            0x0385,
            "lowest and highest cell voltage",
            two,
            lambda bms: (bms.bank_page().lowest_cell, bms.bank_page().highest_cell),
        ),
        _of_bms(
            0x0384,
            "lowest and highest cell voltage so far",
            two,
            lambda bms: (bms.history.lowest_cell_voltage, bms.history.highest_cell_voltage),
        ),
        Register(id=0x0381, name="one cell", decode=_one_cell(voltage).decode, read=partial(_all_cells, voltage)),
    )


def _cell_registers_of_battery(voltage: Number) -> tuple[Register[OneBattery], ...]:
    read = partial(_cells, voltage)
    return (Register(id=0x0381, name="one cell", decode=_one_cell(voltage).decode, read=read),)


def _voltage_history(voltage: Number) -> tuple[Register[Device], ...]:
    """Return the history of the battery voltage, in this payload."""
    return (
        _of_bms(0x0306, "lowest battery voltage", voltage, lambda bms: bms.history.lowest_battery_voltage),
        _of_bms(0x0307, "highest battery voltage", voltage, lambda bms: bms.history.highest_battery_voltage),
    )


def _levels(level: Level) -> tuple[Register[Device], ...]:
    """Return the warnings and alarms, with this level in the tenth field."""
    return (_of_bms(0x2107, "warnings and alarms", _LEVELS, lambda bms: {**bms.snapshot().levels, TENTH: level}),)


IDENTITY: Final[tuple[Register[Device], ...]] = (
    _of_identity(0x0100, "product id", _PRODUCT_ID, lambda identity: (0, identity.product_id, 0)),
    _of_bms(0x0102, "firmware version", _FIRMWARE, lambda bms: bms.firmware_version),
    _of_identity(0x010A, "serial number", _SERIAL_NUMBER, lambda identity: identity.serial_number),
    _of_identity(0x010B, "model name", _NAME, lambda _: MODEL_NUMBER),
    _of_identity(0x010C, "custom name", _NAME, lambda identity: identity.name),
    _of_identity(0x0144, "capabilities 5", _U32, lambda _: HAS_PRE_ALARM),
    _of_identity(0xEC65, "Instant Readout key", _KEY, lambda identity: identity.key),
    _of_identity(0xEC3F, "PIN state", _U8, lambda identity: identity.pin != OLD_DEFAULT_PIN),
    _row(0xEC7D, "Instant Readout on", _U8, lambda device: device.identity.instant_readout_on, _set_instant_readout),
)

STATUS: Final[tuple[Register[Device], ...]] = (
    _of_bms(0x0200, "mode", _U8, lambda bms: MODE_ON if bms.mode_on else MODE_OFF, _set_mode),
    _of_bms(0x0201, "state", _U8, state),
    _of_bms(0x2100, "BMS flags", _U32, lambda bms: bits(BMS_FLAGS, bms)),
    _row(0x2101, "BMS error", _U8, lambda device: device.error),
    *_levels(Level.NOT_SUPPORTED),
    _of_bms(0x2108, "IO", _IO, lambda bms: bms.snapshot().io),
    _of_bms(0xEC46, "why discharge is not allowed", _U16, lambda bms: not_allowed(bms.discharge_off_reasons, bms)),
    _of_bms(0xEC47, "why charge is not allowed", _U16, lambda bms: not_allowed(bms.charge_off_reasons, bms)),
    _of_bms(0x0207, "off reason", _U32, lambda bms: bits(OFF_REASONS, bms)),
    _of_bms(0xED8D, "battery voltage", _VOLTAGE, lambda bms: bms.voltage),
    _of_bms(0xED8C, "battery current", _CURRENT, lambda bms: bms.current),
    _of_bms(0xED8F, "battery current in 0.1 A", _COARSE_CURRENT, lambda bms: bms.current),
    _of_bms(0xED8E, "battery power", _POWER, lambda bms: bms.status_page().power),
    _of_bms(0x0FFF, "SoC", _STATE_OF_CHARGE, lambda bms: bms.monitor.state_of_charge, _set_state_of_charge),
    _of_bms(0x0FFE, "time to go", _MINUTES, lambda bms: bms.time_remaining),
    _of_bms(0xEEFF, "consumed Ah", _AMPERE_HOURS, lambda bms: DRAWN * bms.monitor.consumed_ah),
    _of_bms(0xEDEC, "battery temperature", _TEMPERATURE, lambda bms: bms.record_temperature),
)

BATTERY: Final[tuple[Register[Device], ...]] = (
    _of_bms(
        0x0380,
        "bank",
        _BANK,
        lambda bms: (
            bms.detected.batteries,
            bms.detected.cells_per_battery,
            bms.detected.parallel,
            bms.detected.series,
        ),
    ),
    _of_bms(0x1000, "capacity", _U16, lambda bms: bms.detected.capacity_ah),
    _of_bms(0xEA15, "balancer status", _U8, lambda bms: _BALANCER_STATUS[bms.monitor.balancer_status]),
    _of_bms(
        0x0386,
        "lowest and highest cell temperature",
        _TEMPERATURES,
        lambda bms: (bms.bank_page().lowest_temperature, bms.bank_page().highest_temperature),
    ),
    *_cell_registers(_CELL_VOLTAGE),
)

SETTINGS: Final[tuple[Register[Device], ...]] = (
    _setting(0x1001, "charged voltage", unsigned(2, scale=0.1), SettingKey.CHARGED_VOLTAGE),
    _setting(0x1002, "tail current", _LEVEL, SettingKey.TAIL_CURRENT),
    _setting(0x1003, "charged detection time", _U16, SettingKey.CHARGED_DETECTION_TIME),
    _setting(0x0328, "low-SoC warning level", _LEVEL, SettingKey.LOW_SOC_WARNING),
    # Which of the two a device has is not known: this one has both.
    _setting(0x1008, "discharge floor", _LEVEL, SettingKey.DISCHARGE_FLOOR),
    _setting(0x210B, "discharge floor, elsewhere", _LEVEL, SettingKey.DISCHARGE_FLOOR),
    _setting(0xEC85, "pre-alarm cell voltage", _CELL_VOLTAGE, SettingKey.PRE_ALARM_CELL_VOLTAGE),
)

ACTIONS: Final[tuple[Register[Device], ...]] = (
    _action(0x102C, "synchronize to 100 %", SmallBms.synchronize),
    _action(0x0004, "restore defaults", SmallBms.restore_defaults),
    _action(0x1030, "clear history", SmallBms.clear_history),
)

HISTORY: Final[tuple[Register[Device], ...]] = (
    _of_bms(0x0300, "deepest discharge", _AMPERE_HOURS, lambda bms: DRAWN * bms.history.deepest_discharge_ah),
    _of_bms(0x0305, "cumulative Ah drawn", _AMPERE_HOURS, lambda bms: DRAWN * bms.history.cumulative_drawn_ah),
    _of_bms(0x0310, "discharged energy", _ENERGY, lambda bms: bms.history.discharged_energy_kwh),
    _of_bms(0x0311, "charged energy", _ENERGY, lambda bms: bms.history.charged_energy_kwh),
    _of_bms(0x0309, "synchronizations", _WHOLE, lambda bms: bms.history.synchronizations),
    _of_bms(0x0303, "cycles", _WHOLE, lambda bms: bms.history.cycles),
    _of_bms(0x0308, "seconds since last full charge", _WHOLE, lambda bms: bms.history.seconds_since_full),
    *_voltage_history(_HISTORY_VOLTAGE),
    _of_bms(0x0313, "lowest temperature", _HISTORY_TEMPERATURE, lambda bms: bms.history.lowest_temperature),
    _of_bms(0x0312, "highest temperature", _HISTORY_TEMPERATURE, lambda bms: bms.history.highest_temperature),
)

# Assumed: what a battery's instance answers.
ONE_BATTERY: Final[tuple[Register[OneBattery], ...]] = (
    _row(0x010A, "serial number", _SERIAL_NUMBER, lambda one: one.battery.serial_number),
    _row(0x0102, "firmware version", _FIRMWARE, lambda one: one.battery.firmware_version),
    _row(0x1000, "capacity", _U16, lambda one: one.battery.model.capacity_ah),
    _row(0xED8D, "voltage", _VOLTAGE, lambda one: one.measured(lambda page: page.voltage)),
    _row(0xED8C, "current", _CURRENT, lambda one: one.measured(lambda page: page.current)),
    _row(0xEDEC, "temperature", _TEMPERATURE, lambda one: one.measured(lambda page: page.temperature)),
    *_cell_registers_of_battery(_CELL_VOLTAGE),
)


def of_device(quirks: Quirks) -> dict[int, Register[Device]]:
    """Return the registers of the device as a whole, by number."""
    rows = [*IDENTITY, *STATUS, *BATTERY, *SETTINGS, *ACTIONS, *HISTORY, *_levels(quirks.tenth_level)]
    if quirks.cells_in_millivolts:
        rows += _cell_registers(_CELL_MILLIVOLTS)
    if quirks.history_in_millivolts:
        rows += _voltage_history(_HISTORY_MILLIVOLTS)
    return {row.id: row for row in rows}


def of_battery(quirks: Quirks) -> dict[int, Register[OneBattery]]:
    """Return the registers of each battery's instance, by number."""
    cells = _cell_registers_of_battery(_CELL_MILLIVOLTS) if quirks.cells_in_millivolts else ()
    return {row.id: row for row in (*ONE_BATTERY, *cells)}
