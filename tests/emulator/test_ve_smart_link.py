"""VE.Smart over the emulated device's link: characteristics, timers, the end of the link."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from emulator.device import VE_SMART_CHANNELS, EmulatedDevice
from emulator.gatt import AttCode, AttError, Link
from emulator.ve_smart.chunks import Channel
from emulator.ve_smart.link import VeSmartService
from emulator.ve_smart.server import EVERY_REGISTER, Quirks

from .register_dict import MODE, VOLTAGE, Box

CENTRAL = "local adapter"
READ_MODE = "050081190200"
MODE_IS_ON = "08001902004103"


class Central:
    """A bonded central with its ends of the three characteristics."""

    def __init__(self, device: EmulatedDevice) -> None:
        self.device = device
        self.lost = asyncio.Event()
        self.notified: asyncio.Queue[tuple[Channel, str]] = asyncio.Queue()
        self.by_handle = {self.handle(channel): channel for channel in Channel}
        self.link: Link

    def handle(self, channel: Channel) -> int:
        return self.device.peripheral.characteristic(VE_SMART_CHANNELS[channel]).handle

    async def connect(self) -> Central:
        self.device.peripheral.bonds.add(CENTRAL)
        self.link = self.device.peripheral.connect(CENTRAL, on_notify=self._notified, on_lost=self.lost.set)
        for handle in self.by_handle:
            await self.link.subscribe(handle, on=True)
        return self

    def _notified(self, handle: int, data: bytes) -> None:
        self.notified.put_nowait((self.by_handle[handle], data.hex()))

    async def write(self, channel: Channel, data: str) -> None:
        await self.link.write(self.handle(channel), bytes.fromhex(data), response=False)

    async def stream(self) -> str:
        """Wait for the next last chunk."""
        async with asyncio.timeout(5):
            while True:
                channel, data = await self.notified.get()
                if channel is Channel.LAST_DATA:
                    return data

    async def open(self) -> Central:
        await self.connect()
        await self.write(Channel.CONTROL, "f980")
        await self.write(Channel.LAST_DATA, "0300")
        assert await self.stream() == "07000300"
        return self


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def plug(device: EmulatedDevice, box: Box) -> Iterator[Callable[[Quirks], Central]]:
    """Give the device a server with these quirks, and return a central for it."""

    def plugged(quirks: Quirks) -> Central:
        device.make_ve_smart_server = VeSmartService(box, quirks).serve
        return Central(device)

    yield plugged
    device.peripheral.drop_link()


async def test_a_session_over_the_link(plug: Callable[[Quirks], Central]) -> None:
    central = await plug(Quirks()).open()
    assert (await central.link.read(central.handle(Channel.CONTROL))).hex() == "0001000150f400"
    await central.write(Channel.DATA, "0500")
    await central.write(Channel.LAST_DATA, "81190200")
    assert await central.stream() == MODE_IS_ON


async def test_without_a_bond_control_is_refused_and_writes_vanish(
    plug: Callable[[Quirks], Central], device: EmulatedDevice
) -> None:
    central = await plug(Quirks()).connect()
    device.peripheral.bonds.clear()
    with pytest.raises(AttError) as refused:
        await central.link.read(central.handle(Channel.CONTROL))
    assert refused.value.code is AttCode.INSUFFICIENT_AUTHENTICATION
    await central.write(Channel.CONTROL, "f980")
    assert central.notified.empty()


async def test_the_device_drops_the_link_when_the_keep_alive_runs_out(plug: Callable[[Quirks], Central]) -> None:
    central = await plug(Quirks()).open()
    await central.write(Channel.LAST_DATA, "0600821893420500")
    async with asyncio.timeout(5):
        await central.lost.wait()
    assert not central.link.open


async def test_slow_answers_arrive(plug: Callable[[Quirks], Central]) -> None:
    central = await plug(Quirks(answer_delay=0.01)).open()
    await central.write(Channel.LAST_DATA, READ_MODE)
    assert await central.stream() == MODE_IS_ON


async def test_changed_values_arrive_unasked(plug: Callable[[Quirks], Central], box: Box) -> None:
    central = await plug(Quirks()).open()
    box.values[0, VOLTAGE] = (bytes.fromhex("ba09"),)
    assert await central.stream() == "080019ed8d42ba09"


async def test_no_timer_is_left_behind_when_the_central_ends_the_link(device: EmulatedDevice, box: Box) -> None:
    service = VeSmartService(box)
    device.make_ve_smart_server = service.serve
    central = await Central(device).connect()
    control = central.handle(Channel.CONTROL)
    link = device.peripheral.link
    assert link is not None
    link._on_notify = lambda _handle, _data: link.close()
    await link.write(control, bytes.fromhex("f980"), response=False)
    assert not link.open
    assert service.session is not None
    assert service.session._timer.cancelled()


async def test_quirks_can_change_while_a_link_lives(device: EmulatedDevice, box: Box) -> None:
    service = VeSmartService(box)
    device.make_ve_smart_server = service.serve
    service.quirks = Quirks(acknowledges_writes=True)
    central = await Central(device).open()
    await central.write(Channel.LAST_DATA, "0600821902004104")
    assert await central.stream() == "090019020000"
    service.quirks = replace(service.quirks, refused_writes=EVERY_REGISTER)
    await central.write(Channel.LAST_DATA, "0600821902004103")
    assert await central.stream() == "090019020002"
    assert box.values[0, MODE] == (b"\x04",)
    device.peripheral.drop_link()


async def test_every_link_begins_anew(device: EmulatedDevice, box: Box) -> None:
    device.make_ve_smart_server = VeSmartService(box).serve
    for _ in range(2):
        central = await Central(device).open()
        await central.write(Channel.LAST_DATA, "0600821893421027")
        central.link.close()
    central = await Central(device).connect()
    await central.write(Channel.CONTROL, "f980")
    await central.write(Channel.LAST_DATA, READ_MODE + "01")
    assert await central.stream() == "029f0000ff"
    central.link.close()
