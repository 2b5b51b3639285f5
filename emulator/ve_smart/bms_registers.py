"""The box of registers of one emulated smallBMS NG: the device as a whole and each of its batteries."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from emulator.bms.bms import SmallBms
from emulator.personality.quirks import Quirks
from emulator.ve_smart.register_box import NEVER_WRITTEN, Refusal
from emulator.ve_smart.registers import (
    FIRST_BATTERY,
    SETTINGS,
    STATUS,
    Device,
    Identity,
    OneBattery,
    Register,
    batteries,
    of_battery,
    of_device,
)

WHOLE_DEVICE: Final = 0
# Assumed: the second number of each pair in the device list, whose meaning is not known.
SECOND_NUMBER: Final = 0

# Assumed: what is sent unasked when it changes.
_ANNOUNCED: Final = tuple(row.id for row in (*STATUS, *SETTINGS))
_ANNOUNCED_BY_BATTERY: Final = (0xED8D, 0xED8C, 0xEDEC)


class BmsRegisters:
    """The registers of a device; see RegisterBox.

    device is what they show. forbidden_writes counts, by register, the attempts on what must never be written.
    """

    def __init__(self, bms: SmallBms, identity: Identity) -> None:
        self.device = Device(bms=bms, identity=identity)
        self.forbidden_writes: Counter[int] = Counter()
        self.quirks = Quirks()

    @property
    def quirks(self) -> Quirks:
        """How the device behaves."""
        return self._quirks

    @quirks.setter
    def quirks(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._of_device, self._of_battery = of_device(quirks), of_battery(quirks)

    def instances(self) -> Sequence[tuple[int, int]]:
        """Return the device as a whole, then every battery that it found."""
        found = (battery.number for battery in batteries(self.device.bms))
        return tuple((instance, SECOND_NUMBER) for instance in (WHOLE_DEVICE, *found))

    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        """Return the payloads of a register."""
        if instance == WHOLE_DEVICE:
            return _read(self._of_device, self.device, register)
        return _read(self._of_battery, self._battery(instance), register)

    def write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        """Write a register, or say why not."""
        if register in NEVER_WRITTEN:
            self.forbidden_writes[register] += 1
            return Refusal.READ_ONLY
        if instance == WHOLE_DEVICE:
            return _write(self._of_device, self.device, register, payload)
        return _write(self._of_battery, self._battery(instance), register, payload)

    def announced(self, instance: int) -> Iterable[int]:
        """Return the registers that are sent unasked."""
        return _ANNOUNCED if instance == WHOLE_DEVICE else _ANNOUNCED_BY_BATTERY

    def _battery(self, instance: int) -> OneBattery:
        return OneBattery(bms=self.device.bms, index=instance - FIRST_BATTERY)


def _read[Subject](
    table: Mapping[int, Register[Subject]], subject: Subject, register: int
) -> Sequence[bytes] | Refusal:
    row = table.get(register)
    if row is None:
        return Refusal.UNKNOWN
    # Assumed: an action cannot be read.
    return Refusal.INVALID if row.read is None else row.read(subject)


def _write[Subject](
    table: Mapping[int, Register[Subject]], subject: Subject, register: int, payload: bytes
) -> Refusal | None:
    row = table.get(register)
    if row is None:
        return Refusal.UNKNOWN
    if row.write is None:
        return Refusal.READ_ONLY
    try:
        row.write(subject, payload)
    except ValueError:
        return Refusal.INVALID
    return None
