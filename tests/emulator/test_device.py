"""The emulated device: what it advertises, and what it offers over GATT."""

from dataclasses import replace
from typing import Final

from bluetooth_data_tools import parse_advertisement_data_bytes
import pytest
from victron_ble.devices import LynxSmartBMSData, detect_device_type
from victron_ble.exceptions import AdvertisementKeyMismatchError

from emulator.device import (
    BASE_CHARACTERISTICS,
    DEFAULT_KEY,
    DEFAULT_NAME,
    DEFAULT_PIN,
    NONCE_PERIOD,
    VE_SMART_CHANNELS,
    BareBoard,
    EmulatedDevice,
    VeSmartLink,
)
from emulator.gatt import AttError, ConnectionRefusedByPeripheralError, LinkLostError
from emulator.instant_readout import COMPANY_ID
from emulator.radio_faults import WEAK_RSSI
from emulator.snapshot import Snapshot
from emulator.ve_smart.chunks import Channel

from .conftest import Bench

LEGACY_LENGTH: Final = 31
SERIAL_NUMBER: Final = "00002a25-0000-1000-8000-00805f9b34fb"


def received(device: EmulatedDevice) -> bytes:
    """Return the manufacturer data of the device's next advertisement."""
    return parse_advertisement_data_bytes(device.advertisement().joined)[3][COMPANY_ID]


def voltage(data: bytes) -> float | None:
    """Read an advertised voltage the way others do."""
    decoder = detect_device_type(data)
    assert decoder
    read = decoder(DEFAULT_KEY.hex()).parse(data)
    assert isinstance(read, LynxSmartBMSData)
    return read.get_voltage()


def nonce(data: bytes) -> int:
    return int.from_bytes(data[5:7], "little")


def test_advertisement_and_scan_response_fit(device: EmulatedDevice) -> None:
    advertisement = device.advertisement()
    assert len(advertisement.advertising_data) <= LEGACY_LENGTH
    assert len(advertisement.scan_response) <= LEGACY_LENGTH
    assert DEFAULT_NAME.encode() in advertisement.scan_response
    assert DEFAULT_NAME.encode() not in advertisement.advertising_data


@pytest.mark.parametrize(("name", "heard"), [("x" * 40, "x" * 29), ("x" * 28 + "é", "x" * 28), ("", "")])
def test_a_name_is_cut_to_what_fits(bench: Bench, name: str, heard: str) -> None:
    advertisement = bench.device(name=name).advertisement()
    assert advertisement.scan_response[2:].decode() == heard
    assert len(advertisement.scan_response) <= LEGACY_LENGTH


def test_advertises_what_it_shows_now(device: EmulatedDevice, bench: Bench) -> None:
    assert voltage(received(device)) == 13.28
    bench.snapshot = replace(bench.snapshot, voltage=13.3)
    assert voltage(received(device)) == 13.3


def test_the_same_content_keeps_its_nonce_for_a_period(device: EmulatedDevice, bench: Bench) -> None:
    first = received(device)
    bench.now = NONCE_PERIOD / 2
    assert received(device) == first
    bench.now = NONCE_PERIOD
    assert nonce(received(device)) == nonce(first) + 1


def test_silent_while_a_connection_is_held(device: EmulatedDevice) -> None:
    link = device.peripheral.connect("phone")
    assert not device.advertises
    link.close()
    seen = device.advertises
    assert seen


@pytest.mark.parametrize("fault", ["weak_signal", "garbage", "repeated", "reordered"])
def test_without_instant_readout_no_record_is_sent_but_the_device_stays_in_sight(
    device: EmulatedDevice, fault: str
) -> None:
    setattr(device.faults, fault, True)
    device.instant_readout_on = False
    assert device.advertises
    heard = parse_advertisement_data_bytes(device.advertisement().joined)
    assert heard[0] == DEFAULT_NAME
    assert not heard[3]
    # So it can still be connected, and switched on again.
    device.peripheral.connect("phone").close()
    device.instant_readout_on = True
    assert COMPANY_ID in parse_advertisement_data_bytes(device.advertisement().joined)[3]


@pytest.mark.parametrize("lost", ["powered", "bluetooth_enabled"])
def test_without_supply_or_bluetooth_there_is_no_radio(device: EmulatedDevice, lost: str) -> None:
    board = BareBoard()
    device.board = board
    link = device.peripheral.connect("phone")
    device.follow_supply()
    assert link.open
    setattr(board, lost, False)
    device.follow_supply()
    gone = not link.open
    assert gone
    assert not device.advertises
    with pytest.raises(ConnectionRefusedByPeripheralError):
        device.peripheral.connect("phone")
    setattr(board, lost, True)
    device.peripheral.connect("phone")


def test_m_l1_the_board_hears_of_a_link(device: EmulatedDevice) -> None:
    link = device.peripheral.connect("phone")
    assert device.board.connected
    link.drop()
    assert not device.board.connected


# GATT


@pytest.mark.parametrize("uuid", BASE_CHARACTERISTICS)
async def test_writing_the_base_service_is_refused_and_counted(device: EmulatedDevice, uuid: str) -> None:
    """A write without response is refused too; only nobody is told."""
    link = device.peripheral.connect("phone")
    handle = device.peripheral.characteristic(uuid).handle
    with pytest.raises(AttError) as refusal:
        await link.write(handle, b"\x00", response=True)
    assert refusal.value.code == 3
    await link.write(handle, b"\x00", response=False)
    assert device.forbidden_writes == {uuid: 2}


async def test_device_information_needs_no_bond(device: EmulatedDevice) -> None:
    link = device.peripheral.connect("phone")
    handle = device.peripheral.characteristic(SERIAL_NUMBER).handle
    assert await link.read(handle) == device.serial_number.encode()


@pytest.mark.parametrize("channel", Channel)
async def test_ve_smart_needs_a_bond(device: EmulatedDevice, channel: Channel) -> None:
    link = device.peripheral.connect("phone")
    characteristic = device.peripheral.characteristic(VE_SMART_CHANNELS[channel])
    with pytest.raises(AttError) as refusal:
        await link.subscribe(characteristic.handle, on=True)
    assert refusal.value.code == 5
    await link.pair(DEFAULT_PIN)
    await link.subscribe(characteristic.handle, on=True)


async def test_without_a_server_control_is_empty(device: EmulatedDevice) -> None:
    link = device.peripheral.connect("phone")
    await link.pair(DEFAULT_PIN)
    assert await link.read(device.peripheral.characteristic(VE_SMART_CHANNELS[Channel.CONTROL]).handle) == b""
    last_data = device.peripheral.characteristic(VE_SMART_CHANNELS[Channel.LAST_DATA]).handle
    await link.write(last_data, b"\x01", response=False)
    link.close()


class EchoServer:
    """Sends back what is written to LastData; hangs up when Control is written."""

    def __init__(self, link: VeSmartLink) -> None:
        self.link = link
        self.over = False

    def read_control(self) -> bytes:
        return bytes((self.link.mtu,))

    def write(self, channel: Channel, data: bytes) -> None:
        if channel is Channel.CONTROL:
            self.link.disconnect()
        else:
            self.link.notify(Channel.DATA, channel.encode() + data)

    def closed(self) -> None:
        self.over = True


async def test_each_link_has_a_server_of_its_own(device: EmulatedDevice) -> None:
    servers: list[EchoServer] = []

    def make(link: VeSmartLink) -> EchoServer:
        servers.append(EchoServer(link))
        return servers[-1]

    device.make_ve_smart_server = make
    handles = {one: device.peripheral.characteristic(uuid).handle for one, uuid in VE_SMART_CHANNELS.items()}
    heard: list[tuple[int, bytes]] = []
    for _ in range(2):
        link = device.peripheral.connect("phone", on_notify=lambda *one: heard.append(one))
        await link.pair(DEFAULT_PIN)
        assert await link.read(handles[Channel.CONTROL]) == bytes((link.mtu,))
        await link.subscribe(handles[Channel.DATA], on=True)
        await link.write(handles[Channel.LAST_DATA], b"!", response=False)
        await link.write(handles[Channel.CONTROL], b"", response=False)
        with pytest.raises(LinkLostError):
            await link.read(handles[Channel.CONTROL])
    assert heard == [(handles[Channel.DATA], b"last_data!")] * 2
    assert [server.over for server in servers] == [True, True]


# Radio faults


def test_fault_silent(device: EmulatedDevice) -> None:
    device.faults.silent = True
    assert not device.advertises


def test_fault_weak_signal(device: EmulatedDevice) -> None:
    assert device.faults.rssi(-60) == -60
    device.faults.weak_signal = True
    assert device.faults.rssi(-60) == WEAK_RSSI
    assert device.faults.rssi(-99) == -99


def test_fault_garbage(device: EmulatedDevice, bench: Bench) -> None:
    good = received(device)
    device.faults.garbage = True
    garbage = [received(device) for _ in range(20)]
    assert good not in garbage
    assert len(set(garbage)) > 10
    same = bench.device()
    same.faults.garbage = True
    assert garbage == [received(same) for _ in range(20)]
    device.faults.garbage = False
    assert received(device) == good


def test_fault_repeated(device: EmulatedDevice, bench: Bench) -> None:
    first = received(device)
    device.faults.repeated = True
    bench.snapshot = replace(bench.snapshot, voltage=11.0)
    bench.now = 10 * NONCE_PERIOD
    assert received(device) == first
    device.faults.repeated = False
    assert voltage(received(device)) == 11.0


def test_fault_repeated_from_the_start(device: EmulatedDevice) -> None:
    device.faults.repeated = True
    assert voltage(received(device)) == 13.28


def test_fault_reordered(device: EmulatedDevice, bench: Bench) -> None:
    device.faults.reordered = True
    heard = []
    for step in range(5):
        bench.snapshot = replace(bench.snapshot, voltage=13.0 + step)
        heard.append(nonce(received(device)))
    assert heard == [0, 1, 0, 3, 2]
    device.faults.reordered = False
    assert nonce(received(device)) == 4


def test_fault_changed_key(device: EmulatedDevice) -> None:
    before = received(device)
    device.faults.changed_key = True
    changed = received(device)
    assert nonce(changed) == nonce(before) + 1
    with pytest.raises(AdvertisementKeyMismatchError):
        voltage(changed)
    device.faults.changed_key = False
    assert voltage(received(device)) == 13.28


def test_a_new_key(device: EmulatedDevice, bench: Bench) -> None:
    bench.snapshot = Snapshot(voltage=12.0)
    device.key = bytes(range(16))
    assert received(device)[7] == 0
