"""The GATT peripheral, without any transport."""

import asyncio
from typing import Final

import pytest

from emulator.gatt import (
    AttCode,
    AttError,
    Characteristic,
    ConnectionRefusedByPeripheralError,
    Link,
    LinkLostError,
    Peripheral,
    Property,
    Service,
)
from emulator.radio_faults import RadioFaults

PIN: Final = "000042"
OPEN, SECRET, COMMAND = "open", "secret", "command"
SERVICES: Final = (
    Service(uuid="first", characteristics=(Characteristic(uuid=OPEN, properties=Property.READ | Property.WRITE),)),
    Service(
        uuid="second",
        characteristics=(
            Characteristic(
                uuid=SECRET,
                properties=Property.READ | Property.WRITE | Property.WRITE_WITHOUT_RESPONSE | Property.NOTIFY,
                authenticated=True,
            ),
            Characteristic(uuid=COMMAND, properties=Property.WRITE_WITHOUT_RESPONSE | Property.NOTIFY),
        ),
    ),
)


class Box:
    """What stands behind a link: it keeps what is written."""

    def __init__(self, _link: Link) -> None:
        self.values: dict[str, bytes] = {}
        self.over = 0

    def read(self, uuid: str) -> bytes:
        return self.values.get(uuid, b"")

    def write(self, uuid: str, data: bytes) -> None:
        self.values[uuid] = data

    def closed(self) -> None:
        self.over += 1


class Bench:
    """A peripheral, and what its boxes and its central heard."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.heard: list[tuple[int, bytes]] = []
        self.lost = 0
        self.faults = RadioFaults()
        self.peripheral = Peripheral(SERVICES, self.serve, pin=PIN, faults=self.faults, mtu=23)

    def serve(self, link: Link) -> Box:
        self.boxes.append(Box(link))
        return self.boxes[-1]

    def connect(self, central: str = "phone") -> Link:
        return self.peripheral.connect(central, on_notify=lambda *one: self.heard.append(one), on_lost=self.lose)

    def lose(self) -> None:
        self.lost += 1

    def handle(self, uuid: str) -> int:
        return self.peripheral.characteristic(uuid).handle

    def cccd(self, uuid: str) -> int:
        return self.peripheral.characteristic(uuid).cccd


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_handles_are_unique_and_rise(bench: Bench) -> None:
    handles = []
    for service in bench.peripheral.services:
        handles.append(service.handle)
        for one in service.characteristics:
            handles += [one.handle, one.cccd] if one.cccd else [one.handle]
    assert handles == sorted(set(handles))
    assert [bool(bench.cccd(uuid)) for uuid in (OPEN, SECRET, COMMAND)] == [False, True, True]


async def test_read_and_write(bench: Bench) -> None:
    link = bench.connect()
    await link.write(bench.handle(OPEN), b"value")
    assert await link.read(bench.handle(OPEN)) == b"value"


async def test_discovery(bench: Bench) -> None:
    assert await bench.connect().discover() == bench.peripheral.services


@pytest.mark.parametrize(
    ("uuid", "code"),
    [
        (None, AttCode.INVALID_HANDLE),
        (SECRET, AttCode.INSUFFICIENT_AUTHENTICATION),
        (COMMAND, AttCode.READ_NOT_PERMITTED),
    ],
)
async def test_refused_reads(bench: Bench, uuid: str | None, code: AttCode) -> None:
    handle = 0xFFFF if uuid is None else bench.handle(uuid)
    with pytest.raises(AttError) as refusal:
        await bench.connect().read(handle)
    assert (refusal.value.code, refusal.value.handle) == (code, handle)


@pytest.mark.parametrize(
    ("uuid", "code"),
    [
        (None, AttCode.INVALID_HANDLE),
        (SECRET, AttCode.INSUFFICIENT_AUTHENTICATION),
        (COMMAND, AttCode.WRITE_NOT_PERMITTED),
    ],
)
async def test_refused_writes(bench: Bench, uuid: str | None, code: AttCode) -> None:
    with pytest.raises(AttError) as refusal:
        await bench.connect().write(0xFFFF if uuid is None else bench.handle(uuid), b"x")
    assert refusal.value.code == code
    assert bench.boxes[0].values == {}


@pytest.mark.parametrize("uuid", [None, SECRET, OPEN])
async def test_refused_writes_without_response_vanish(bench: Bench, uuid: str | None) -> None:
    await bench.connect().write(0xFFFF if uuid is None else bench.handle(uuid), b"x", response=False)
    assert bench.boxes[0].values == {}


async def test_write_without_response(bench: Bench) -> None:
    await bench.connect().write(bench.handle(COMMAND), b"x", response=False)
    assert bench.boxes[0].values == {COMMAND: b"x"}


# Bonds


@pytest.mark.parametrize("passkey", [None, "", "42", "000043"])
async def test_another_passkey_makes_no_bond(bench: Bench, passkey: str | None) -> None:
    link = bench.connect()
    with pytest.raises(AttError) as refusal:
        await link.pair(passkey)
    assert refusal.value.code == AttCode.INSUFFICIENT_AUTHENTICATION
    assert not link.bonded


async def test_a_bond_opens_what_needs_one(bench: Bench) -> None:
    link = bench.connect()
    await link.pair(PIN)
    await link.write(bench.handle(SECRET), b"x")
    assert await link.read(bench.handle(SECRET)) == b"x"


async def test_a_bond_belongs_to_one_central_and_lasts(bench: Bench) -> None:
    link = bench.connect("phone")
    await link.pair(PIN)
    link.close()
    other = bench.connect("tablet")
    assert not other.bonded
    other.close()
    again = bench.connect("phone")
    assert await again.read(bench.handle(SECRET)) == b""
    await again.unpair()
    with pytest.raises(AttError):
        await again.read(bench.handle(SECRET))


async def test_pairing_that_may_fail(bench: Bench) -> None:
    link = bench.connect()
    await link.pair_if_accepted("999999")
    assert not link.bonded
    await link.pair_if_accepted(PIN)
    assert link.bonded


# Notifications


async def test_notifications_once_subscribed(bench: Bench) -> None:
    link = bench.connect()
    link.notify(COMMAND, b"unheard")
    await link.subscribe(bench.handle(COMMAND), on=True)
    assert await link.read(bench.cccd(COMMAND)) == b"\x01\x00"
    link.notify(COMMAND, b"heard")
    await link.subscribe(bench.handle(COMMAND), on=False)
    assert await link.read(bench.cccd(COMMAND)) == b"\x00\x00"
    link.notify(COMMAND, b"unheard")
    assert bench.heard == [(bench.handle(COMMAND), b"heard")]


async def test_subscriptions_end_with_the_link(bench: Bench) -> None:
    link = bench.connect()
    await link.subscribe(bench.handle(COMMAND), on=True)
    link.close()
    link.notify(COMMAND, b"late")
    bench.connect().notify(COMMAND, b"early")
    assert bench.heard == []


async def test_a_notification_fits_the_mtu(bench: Bench) -> None:
    link = bench.connect()
    await link.subscribe(bench.handle(COMMAND), on=True)
    link.notify(COMMAND, bytes(20))
    with pytest.raises(ValueError, match="21 bytes"):
        link.notify(COMMAND, bytes(21))


@pytest.mark.parametrize(
    ("uuid", "data", "code"),
    [
        (SECRET, b"\x01\x00", AttCode.INSUFFICIENT_AUTHENTICATION),
        (COMMAND, b"\x01", AttCode.INVALID_ATTRIBUTE_VALUE_LENGTH),
        (OPEN, b"\x01\x00", AttCode.INVALID_HANDLE),
    ],
)
async def test_refused_subscriptions(bench: Bench, uuid: str, data: bytes, code: AttCode) -> None:
    link = bench.connect()
    with pytest.raises(AttError) as refusal:
        await link.write_descriptor(bench.cccd(uuid), data)
    assert refusal.value.code == code


async def test_subscribing_to_nothing(bench: Bench) -> None:
    with pytest.raises(AttError) as refusal:
        await bench.connect().subscribe(0xFFFF, on=True)
    assert refusal.value.code == AttCode.INVALID_HANDLE


# Links


async def test_one_connection_at_a_time(bench: Bench) -> None:
    link = bench.connect()
    with pytest.raises(ConnectionRefusedByPeripheralError):
        bench.connect("tablet")
    link.close()
    assert bench.connect("tablet").open


async def test_the_central_ends_the_link(bench: Bench) -> None:
    link = bench.connect()
    link.close()
    link.close()
    assert (bench.boxes[0].over, bench.lost) == (1, 0)
    with pytest.raises(LinkLostError):
        await link.read(bench.handle(OPEN))


async def test_the_peripheral_ends_the_link(bench: Bench) -> None:
    bench.peripheral.drop_link()
    bench.connect()
    bench.peripheral.drop_link()
    bench.peripheral.drop_link()
    assert (bench.boxes[0].over, bench.lost) == (1, 1)


async def test_an_end_in_the_middle_of_an_operation(bench: Bench) -> None:
    bench.faults.answer_delay = 0.001
    reading = asyncio.create_task(bench.connect().read(bench.handle(OPEN)))
    await asyncio.sleep(0)
    bench.peripheral.drop_link()
    with pytest.raises(LinkLostError):
        await reading


# Faults


async def test_fault_refuse_connections(bench: Bench) -> None:
    bench.faults.refuse_connections = True
    with pytest.raises(ConnectionRefusedByPeripheralError):
        bench.connect()


@pytest.mark.parametrize("good", range(5))
async def test_fault_link_lost_at_any_step(bench: Bench, good: int) -> None:
    link = bench.connect()
    bench.faults.lose_link_after = good
    steps = (
        link.discover,
        lambda: link.pair(PIN),
        lambda: link.subscribe(bench.handle(SECRET), on=True),
        lambda: link.write(bench.handle(COMMAND), b"x", response=False),
        lambda: link.read(bench.handle(SECRET)),
    )
    for step in steps[:good]:
        await step()
    with pytest.raises(LinkLostError):
        await steps[good]()
    assert (link.open, bench.lost) == (False, 1)


async def test_fault_refuse_writes(bench: Bench) -> None:
    bench.faults.refuse_writes = True
    link = bench.connect()
    with pytest.raises(AttError) as refusal:
        await link.write(bench.handle(OPEN), b"x")
    assert refusal.value.code == AttCode.WRITE_NOT_PERMITTED
    await link.write(bench.handle(COMMAND), b"x", response=False)
    assert bench.boxes[0].values == {}


async def test_fault_wrong_pin(bench: Bench) -> None:
    bench.faults.wrong_pin = True
    link = bench.connect()
    with pytest.raises(AttError):
        await link.pair(PIN)
    assert not link.bonded


async def test_faults_can_be_cleared(bench: Bench) -> None:
    faults = bench.faults
    faults.wrong_pin = faults.refuse_writes = faults.silent = True
    faults.lose_link_after = 0
    faults.clear()
    assert faults == RadioFaults()
