"""Devices of a personality, in one line: `emulated("mppt").device`."""

from dataclasses import dataclass, field

from emulator.bms.bms import SmallBms
from emulator.device import EmulatedDevice
from emulator.personality.table import PERSONALITIES
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService

from .banks import FOUR_AS_24V, make_bms


def take_on(name: str, device: EmulatedDevice, service: VeSmartService) -> None:
    """Let a device and what it serves behave as a personality."""
    device.quirks, service.quirks = PERSONALITIES[name].radio, PERSONALITIES[name].connection


@dataclass
class Emulated:
    """A bank of four batteries with its BMS, registers, radio and VE.Smart server."""

    name: str
    bms: SmallBms = field(default_factory=lambda: make_bms(FOUR_AS_24V))
    now: float = 0.0

    def __post_init__(self) -> None:
        self.bms.step(current=-4.2, ambient=20, seconds=60)
        self.device = EmulatedDevice(self.bms.snapshot, board=self.bms, clock=lambda: self.now)
        self.box = BmsRegisters(self.bms, self.device)
        self.service = VeSmartService(self.box)
        self.device.make_ve_smart_server = self.service.serve
        take_on(self.name, self.device, self.service)


def emulated(name: str) -> Emulated:
    """Return a device of a personality."""
    return Emulated(name)
