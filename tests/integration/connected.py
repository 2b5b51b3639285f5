"""A device that can be connected to, near a radio that may hold a bond with it."""

from dataclasses import dataclass, field

import pytest
import pytest_socket

from emulator.bms.bms import SmallBms
from emulator.device import DEFAULT_PIN, EmulatedDevice, VeSmartServer
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.chunks import Channel
from emulator.ve_smart.link import VeSmartService
from tests.emulator.banks import FOUR_AS_24V, make_bms

PIN = DEFAULT_PIN
BMS_ERROR = 0x2101
INSTANT_READOUT_KEY = 0xEC65
INSTANT_READOUT_ON = 0xEC7D


@dataclass
class Served:
    """The registers of an emulated device, and how it serves them."""

    device: EmulatedDevice
    bms: SmallBms = field(default_factory=lambda: make_bms(FOUR_AS_24V))

    def __post_init__(self) -> None:
        self.box = BmsRegisters(self.bms, self.device)
        self.service = VeSmartService(self.box)
        self.device.make_ve_smart_server = self.service.serve

    @property
    def untouched(self) -> bool:
        """Whether nobody is connected, and nobody tried to write what must not be written."""
        return not (self.device.connected or self.box.forbidden_writes or self.device.forbidden_writes)


class Mute(VeSmartServer):
    """Takes every request and answers none."""

    def read_control(self) -> bytes:
        return bytes.fromhex("00010001501400")

    def write(self, channel: Channel, data: bytes) -> None:
        pass

    def closed(self) -> None:
        pass


def without_bluez(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no system bus, whatever the machine has."""
    pytest_socket.socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
