"""Faults of the bank, the BMS and the radio by name, switched on and off while everything runs.

What is on is read from the switches that the faults turn, so that it stays true whoever turns them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, isfinite
import re
from typing import Final, Protocol

from emulator.bms.bms import SmallBms
from emulator.bms.faults import CellPosition
from emulator.bms.remote import OPEN, WIRE_LOOP, Remote
from emulator.bms.rules import HIGHEST_BATTERY_VOLTAGE, LOWEST_BATTERY_VOLTAGE
from emulator.bms.sensing import cell_index
from emulator.radio_faults import RadioFaults

HIGH_CELL: Final = 3.80  # V, above M-P5's threshold
LOW_CELL: Final = 2.75  # V, below it
DRAIN: Final = 0.5  # A
HOT: Final = 55.0  # °C
FROZEN: Final = -5.0
TEMPERATE: Final = 20.0  # what is above is hot, and what is below is cold
LOW_BANK: Final = 8.5  # V, outside of what E-B09 allows (M-C11)
HIGH_BANK: Final = 61.0
# What either fault takes: never what the bank could really have, so that it stays clear which of them is on.
LOW_BANKS: Final = (0.0, LOWEST_BATTERY_VOLTAGE - 0.1)
HIGH_BANKS: Final = (HIGHEST_BATTERY_VOLTAGE + 0.1, 100.0)
GOOD_OPERATIONS: Final = 3
ANSWER_DELAY: Final = 5.0  # s

_CELL: Final = re.compile(r"(?P<value>[^@]*)(?:@(?P<battery>\d{1,4})/(?P<cell>\d{1,4}))?", re.ASCII)


class FaultError(ValueError):
    """A fault that is not known or cannot be switched; its text is one sentence for the user."""


class HasSlots(Protocol):
    """A Bluetooth proxy or adapter with connection slots."""

    slots: int


class SharedSlots:
    """The slots of proxies that several devices share: whoever takes them, whoever gives them back."""

    def __init__(self, proxies: Iterable[HasSlots] = ()) -> None:
        self.proxies = tuple(proxies)
        self._before: tuple[int, ...] = ()

    @property
    def taken(self) -> bool:
        """Whether there are proxies, and no slot."""
        return bool(self.proxies) and not any(proxy.slots for proxy in self.proxies)

    def take(self) -> None:
        """Leave no proxy a slot."""
        if not self.taken:
            self._before = tuple(proxy.slots for proxy in self.proxies)
        for proxy in self.proxies:
            proxy.slots = 0

    def give_back(self) -> None:
        """Give the proxies the slots that they had."""
        for proxy, slots in zip(self.proxies, self._before, strict=False):
            proxy.slots = slots


class FaultTarget:
    """What faults happen to. Without radio or proxies, their faults cannot be switched on.

    bonds: of the radio. remote: what the wires are that come back when they were out from the beginning.
    """

    def __init__(
        self,
        bms: SmallBms,
        radio: RadioFaults | None = None,
        slots: SharedSlots | None = None,
        bonds: set[str] | None = None,
        remote: Remote = WIRE_LOOP,
    ) -> None:
        self.bms = bms
        self.bonds = set[str]() if bonds is None else bonds
        self.slots = slots or SharedSlots()
        self.remote_before = remote
        self._radio = radio

    @property
    def radio(self) -> RadioFaults:
        """The faults of the radio. Raises FaultError if there is none."""
        if self._radio is None:
            raise FaultError("There is no radio here that could have this fault.")
        return self._radio

    @property
    def has_radio(self) -> bool:
        """Whether there is a radio."""
        return self._radio is not None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. argument says what may be given, and what it is otherwise; empty = nothing may."""

    name: str
    description: str
    argument: str = ""
    apply: Callable[[FaultTarget, str], None]
    clear: Callable[[FaultTarget], None]
    is_active: Callable[[FaultTarget], bool]


def _number(argument: str, default: float, minimum: float, maximum: float, unit: str) -> float:
    if not argument:
        return default
    try:
        value = float(argument)
    except ValueError:
        value = inf
    if not (isfinite(value) and minimum <= value <= maximum):
        raise FaultError(f"This fault takes a number from {minimum:g} to {maximum:g} {unit}, not {argument!r}.")
    return value


def _whole(argument: str, default: int, minimum: int, maximum: int) -> int:
    if not argument:
        return default
    if not re.fullmatch(r"\d{1,9}", argument, re.ASCII) or not minimum <= int(argument) <= maximum:
        raise FaultError(f"This fault takes a whole number from {minimum} to {maximum}, not {argument!r}.")
    return int(argument)


def _nothing(argument: str) -> None:
    if argument:
        raise FaultError(f"This fault takes nothing, not {argument!r}.")


# Cells


def _cell(target: FaultTarget, argument: str) -> tuple[str, CellPosition]:
    """Return the value and the cell of an argument such as 3.9@2/3: the third cell of the second battery."""
    match = _CELL.fullmatch(argument)
    if match is None:
        raise FaultError(f"A cell is written like @2/3, the third cell of the second battery, not like {argument!r}.")
    position = (int(match["battery"] or 1) - 1, int(match["cell"] or 1) - 1)
    try:
        cell_index(target.bms.bank, position)
    except ValueError as error:
        raise FaultError(f"The bank has no cell {position[1] + 1} in a battery {position[0] + 1}.") from error
    return match["value"], position


def _read_cell_as(direction: float, default: float) -> Callable[[FaultTarget, str], None]:
    """Return what makes a cell read a voltage now, and as much beside the truth from then on."""

    def apply(target: FaultTarget, argument: str) -> None:
        text, position = _cell(target, argument)
        wanted = _number(text, default, 0, 5, "V")
        true = float(target.bms.bank.cell_voltages[cell_index(target.bms.bank, position)])
        if (wanted - true) * direction <= 0:
            raise FaultError(f"The cell has {true:.2f} V, which {wanted:g} V does not pass.")
        target.bms.faults.cell_voltage_offsets[position] = wanted - true

    return apply


def _clear_cells(direction: float) -> Callable[[FaultTarget], None]:
    def clear(target: FaultTarget) -> None:
        offsets = target.bms.faults.cell_voltage_offsets
        target.bms.faults.cell_voltage_offsets = {
            position: offset for position, offset in offsets.items() if offset * direction <= 0
        }

    return clear


def _cells_read(direction: float) -> Callable[[FaultTarget], bool]:
    return lambda target: any(offset * direction > 0 for offset in target.bms.faults.cell_voltage_offsets.values())


def _cell_reads(name: str, description: str, *, direction: float, default: float) -> Fault:
    return Fault(
        name=name,
        description=description,
        argument=f"V@battery/cell, otherwise {default:g}@1/1",
        apply=_read_cell_as(direction, default),
        clear=_clear_cells(direction),
        is_active=_cells_read(direction),
    )


def _drain_cell(target: FaultTarget, argument: str) -> None:
    text, position = _cell(target, argument)
    target.bms.faults.cell_drains[position] = _number(text, DRAIN, 0.001, 10, "A")


# Bank and BMS


def _force_temperature(default: float, minimum: float, maximum: float) -> Callable[[FaultTarget, str], None]:
    def apply(target: FaultTarget, argument: str) -> None:
        target.bms.faults.forced_temperature = _number(argument, default, minimum, maximum, "°C")

    return apply


def _temperature_is(direction: float) -> Callable[[FaultTarget], bool]:
    def is_active(target: FaultTarget) -> bool:
        forced = target.bms.faults.forced_temperature
        return forced is not None and (forced - TEMPERATE) * direction > 0

    return is_active


def _clear_temperature(target: FaultTarget) -> None:
    target.bms.faults.forced_temperature = None


def _force_voltage(default: float, minimum: float, maximum: float) -> Callable[[FaultTarget, str], None]:
    def apply(target: FaultTarget, argument: str) -> None:
        target.bms.faults.forced_bank_voltage = _number(argument, default, minimum, maximum, "V")

    return apply


def _voltage_is(minimum: float, maximum: float) -> Callable[[FaultTarget], bool]:
    def is_active(target: FaultTarget) -> bool:
        forced = target.bms.faults.forced_bank_voltage
        return forced is not None and minimum <= forced <= maximum

    return is_active


def _clear_voltage(target: FaultTarget) -> None:
    target.bms.faults.forced_bank_voltage = None


def _unplug(target: FaultTarget, argument: str) -> None:
    """Hide a battery and all behind it: the cables are a chain."""
    count = len(target.bms.bank.batteries)
    target.bms.faults.unplugged = frozenset(range(_whole(argument, 1, 1, count) - 1, count))


def _plug_in(target: FaultTarget) -> None:
    target.bms.faults.unplugged = frozenset()


def _open_remote(target: FaultTarget, argument: str) -> None:
    _nothing(argument)
    if target.bms.remote != OPEN:
        target.remote_before = target.bms.remote
    target.bms.remote = OPEN


def _close_remote(target: FaultTarget) -> None:
    target.bms.remote = target.remote_before


def _break_hardware(target: FaultTarget, argument: str) -> None:
    _nothing(argument)
    target.bms.faults.hardware_fault = True


def _mend_hardware(target: FaultTarget) -> None:
    target.bms.faults.hardware_fault = False


# Radio


def _radio_switch(name: str, description: str, field: str) -> Fault:
    """Return a fault that is one switch of the radio."""

    def apply(target: FaultTarget, argument: str) -> None:
        _nothing(argument)
        setattr(target.radio, field, True)

    return Fault(
        name=name,
        description=description,
        apply=apply,
        clear=lambda target: setattr(target.radio, field, False),
        is_active=lambda target: target.has_radio and bool(getattr(target.radio, field)),
    )


def _lose_link(target: FaultTarget, argument: str) -> None:
    target.radio.lose_link_after = _whole(argument, GOOD_OPERATIONS, 0, 1000)


def _keep_link(target: FaultTarget) -> None:
    target.radio.lose_link_after = None


def _slow_down(target: FaultTarget, argument: str) -> None:
    target.radio.answer_delay = _number(argument, ANSWER_DELAY, 0.01, 600, "s")


def _speed_up(target: FaultTarget) -> None:
    target.radio.answer_delay = 0.0


def _change_pin(target: FaultTarget, argument: str) -> None:
    _nothing(argument)
    target.radio.wrong_pin = True
    # Assumed: who changes the PIN of the device makes it forget who has paired.
    target.bonds.clear()


def _restore_pin(target: FaultTarget) -> None:
    target.radio.wrong_pin = False


def _take_slots(target: FaultTarget, argument: str) -> None:
    _nothing(argument)
    if not target.slots.proxies:
        raise FaultError("There is no proxy here whose slots could be taken.")
    target.slots.take()


_ALL: Final = (
    _cell_reads("cell-high", "A cell reads a voltage that is too high.", direction=1.0, default=HIGH_CELL),
    _cell_reads("cell-low", "A cell reads a voltage that is too low.", direction=-1.0, default=LOW_CELL),
    Fault(
        name="cell-drift",
        description="A cell loses charge inside, and drifts away from the others.",
        argument=f"A@battery/cell, otherwise {DRAIN:g}@1/1",
        apply=_drain_cell,
        clear=lambda target: target.bms.faults.cell_drains.clear(),
        is_active=lambda target: bool(target.bms.faults.cell_drains),
    ),
    Fault(
        name="hot",
        description="The batteries are too hot to be charged.",
        argument=f"°C, otherwise {HOT:g}",
        apply=_force_temperature(HOT, TEMPERATE + 1, 100),
        clear=_clear_temperature,
        is_active=_temperature_is(1.0),
    ),
    Fault(
        name="frozen",
        description="The batteries are too cold to be charged.",
        argument=f"°C, otherwise {FROZEN:g}",
        apply=_force_temperature(FROZEN, -40, TEMPERATE - 1),
        clear=_clear_temperature,
        is_active=_temperature_is(-1.0),
    ),
    Fault(
        name="cable-unplugged",
        description="The BMS cable of a battery is out, which hides it and all behind it.",
        argument="number of the battery, otherwise 1",
        apply=_unplug,
        clear=_plug_in,
        is_active=lambda target: bool(target.bms.faults.unplugged),
    ),
    Fault(
        name="remote-open",
        description="The wire between the remote terminals L and H is out, which switches the system off.",
        apply=_open_remote,
        clear=_close_remote,
        is_active=lambda target: target.bms.remote == OPEN,
    ),
    Fault(
        name="hardware",
        description="The BMS has a hardware fault.",
        apply=_break_hardware,
        clear=_mend_hardware,
        is_active=lambda target: target.bms.faults.hardware_fault,
    ),
    Fault(
        name="bank-voltage-low",
        description="The bank reads a voltage that is too low.",
        argument=f"V, otherwise {LOW_BANK:g}",
        apply=_force_voltage(LOW_BANK, *LOW_BANKS),
        clear=_clear_voltage,
        is_active=_voltage_is(*LOW_BANKS),
    ),
    Fault(
        name="bank-voltage-high",
        description="The bank reads a voltage that is too high.",
        argument=f"V, otherwise {HIGH_BANK:g}",
        apply=_force_voltage(HIGH_BANK, *HIGH_BANKS),
        clear=_clear_voltage,
        is_active=_voltage_is(*HIGH_BANKS),
    ),
    _radio_switch("silence", "Nothing is sent.", "silent"),
    _radio_switch("weak-signal", "The signal is as weak as can still be received.", "weak_signal"),
    _radio_switch("garbage", "Advertisements carry bytes without meaning.", "garbage"),
    _radio_switch("repeated", "The last advertisement is sent again and again.", "repeated"),
    _radio_switch("reordered", "Each advertisement comes once more after its successor.", "reordered"),
    _radio_switch("changed-key", "Advertisements are encrypted with another key.", "changed_key"),
    _radio_switch("connection-refused", "The device takes no connection.", "refuse_connections"),
    Fault(
        name="link-lost",
        description="The connection is lost after some operations.",
        argument=f"number of operations that work, otherwise {GOOD_OPERATIONS}",
        apply=_lose_link,
        clear=_keep_link,
        is_active=lambda target: target.has_radio and target.radio.lose_link_after is not None,
    ),
    Fault(
        name="no-free-slot",
        description="No proxy has a free connection slot.",
        apply=_take_slots,
        clear=lambda target: target.slots.give_back(),
        is_active=lambda target: target.slots.taken,
    ),
    Fault(
        name="slow",
        description="Answers take long.",
        argument=f"s, otherwise {ANSWER_DELAY:g}",
        apply=_slow_down,
        clear=_speed_up,
        is_active=lambda target: target.has_radio and target.radio.answer_delay > 0,
    ),
    _radio_switch("refused-writes", "Writing is refused.", "refuse_writes"),
    Fault(
        name="wrong-pin",
        description="No PIN is the right one, and who had paired is forgotten.",
        apply=_change_pin,
        clear=_restore_pin,
        is_active=lambda target: target.has_radio and target.radio.wrong_pin,
    ),
)

# Every fault by its name.
FAULTS: Final[dict[str, Fault]] = {fault.name: fault for fault in _ALL}


class FaultBoard:
    """Switches faults by name. A fault that is on already takes its new argument."""

    def __init__(
        self,
        bms: SmallBms,
        radio: RadioFaults | None = None,
        slots: SharedSlots | None = None,
        bonds: set[str] | None = None,
        remote: Remote = WIRE_LOOP,
    ) -> None:
        self._target = FaultTarget(bms, radio, slots, bonds, remote)

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the faults that are on."""
        return tuple(fault.name for fault in _ALL if fault.is_active(self._target))

    def apply(self, name: str, argument: str = "") -> None:
        """Switch a fault on. Raises FaultError."""
        self._find(name).apply(self._target, argument)
        self._target.bms.refresh()

    def clear(self, name: str) -> None:
        """Switch a fault off. Raises FaultError if there is no such fault."""
        fault = self._find(name)
        if fault.is_active(self._target):
            fault.clear(self._target)
            self._target.bms.refresh()

    def clear_all(self) -> None:
        """Switch every fault off."""
        for name in self.active:
            self.clear(name)

    def _find(self, name: str) -> Fault:
        if name not in FAULTS:
            raise FaultError(f"There is no fault {name!r}; there are {', '.join(FAULTS)}.")
        return FAULTS[name]
