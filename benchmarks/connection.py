"""What one full read of a bank of four batteries costs, in virtual time. Run with: python -m benchmarks.connection."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from random import Random
import selectors
import sys
from typing import Final, override

from bleak import BleakClient
from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection

from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.link import Answer, Reading, Refusal
from custom_components.smallbms_ng.protocol.registers import Page, on_page
from custom_components.smallbms_ng.protocol.session import Channel
from emulator.battery.layout import BankLayout
from emulator.bms.bms import SmallBms
from emulator.device import EmulatedDevice
from emulator.gatt import ATT_NOTIFICATION_HEADER, Link
from emulator.personality.quirks import Quirks
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService

from .figures import Row

# As Linux and the proxies ask for at first.
CONNECTION_INTERVAL: Final = 0.030  # s
# How many packets fit one connection event in each direction: phones and adapters manage four to six.
PACKETS: Final = 4
# How long one of them takes, about.
PACKET: Final = 0.0005  # s
MTUS: Final = (23, 247)

MOST_ROUND_TRIPS: Final = 8
MOST_SECONDS: Final = 3.0

FOUR_BATTERIES: Final = BankLayout.of("12.8/100", series=2, parallel=2)
PAGES: Final = (Page.IDENTITY, Page.STATUS, Page.BATTERY, Page.SETTINGS, Page.HISTORY)
REGISTERS: Final = tuple(register.id for page in PAGES for register in on_page(page))
STATUS: Final = tuple(register.id for register in on_page(Page.STATUS))
OTHERS: Final = tuple(register for register in REGISTERS if register not in STATUS)
CENTRAL: Final = "benchmark"

type Answers = list[dict[int, Answer]]


class _Clock(selectors.SelectSelector):
    """Passes the time that a loop would wait, instead of waiting."""

    now = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time."""

    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)

    @override
    def time(self) -> float:
        return self._virtual.now


class Air:
    """Says when a packet arrives: at the next connection event that has room for it. Counts what goes over it."""

    def __init__(self) -> None:
        self.bytes = 0
        self.requests = 0
        self._used: Counter[tuple[str, int]] = Counter()

    async def up(self, data: bytes = b"") -> None:
        """Wait until bytes of the central are with the device."""
        self.bytes += len(data)
        await asyncio.sleep(self._delay("up"))

    async def round_trip(self) -> None:
        """Wait for a request and the answer, one connection event later."""
        await self.up()
        await asyncio.sleep(self._delay("down"))

    def down(self, data: bytes, deliver: Callable[[], None]) -> None:
        """Deliver bytes of the device when they are with the central."""
        self.bytes += len(data)
        asyncio.get_running_loop().call_later(self._delay("down"), deliver)

    def _delay(self, direction: str) -> float:
        now = asyncio.get_running_loop().time()
        event = int(now / CONNECTION_INTERVAL + 1e-6) + 1
        while self._used[direction, event] >= PACKETS:
            event += 1
        self._used[direction, event] += 1
        # One after the other within the event, too: timers for the same time come in no order.
        return event * CONNECTION_INTERVAL + self._used[direction, event] * PACKET - now


class AirClient(BleakClient):
    """A bleak client whose device is the emulated one, at the far end of the air."""

    device: EmulatedDevice
    air: Air

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        self._link: Link | None = None
        self._callbacks: dict[int, Callable[[bytearray], None]] = {}

    @property
    @override
    def is_connected(self) -> bool:
        return self._link is not None and self._link.open

    @property
    @override
    def services(self) -> BleakGATTServiceCollection:
        return self._services

    @override
    async def connect(self, **_kwargs: object) -> None:
        self.device.peripheral.bonds.add(CENTRAL)
        self._link = link = self.device.peripheral.connect(CENTRAL, on_notify=self._notified)
        # That services are known from the last time, as is usual, costs nothing.
        self._services = _services(link)

    @override
    async def disconnect(self) -> None:
        self._open.close()

    @property
    def _open(self) -> Link:
        assert self._link
        return self._link

    @override
    async def start_notify(self, char_specifier: object, callback: object, **_kwargs: object) -> None:
        assert isinstance(char_specifier, BleakGATTCharacteristic)
        assert callable(callback)
        characteristic = char_specifier
        self._callbacks[characteristic.handle] = lambda data: callback(characteristic, data)
        await self.air.round_trip()
        await self._open.subscribe(characteristic.handle, on=True)

    @override
    async def read_gatt_char(self, char_specifier: object, **_kwargs: object) -> bytearray:
        assert isinstance(char_specifier, BleakGATTCharacteristic)
        await self.air.round_trip()
        return bytearray(await self._open.read(char_specifier.handle))

    @override
    async def write_gatt_char(self, char_specifier: object, data: SizedBuffer, response: bool | None = None) -> None:
        assert isinstance(char_specifier, BleakGATTCharacteristic)
        self.air.requests += char_specifier.uuid == Channel.LAST_DATA
        await self.air.up(bytes(data))
        await self._open.write(char_specifier.handle, bytes(data), response=False)

    def _notified(self, handle: int, data: bytes) -> None:
        callback = self._callbacks[handle]
        self.air.down(data, lambda: callback(bytearray(data)))


def _services(link: Link) -> BleakGATTServiceCollection:
    collection = BleakGATTServiceCollection()
    size = link.mtu - ATT_NOTIFICATION_HEADER
    properties: list[CharacteristicPropertyName] = ["write-without-response", "notify"]
    for service in link.peripheral.services:
        found = BleakGATTService(service, service.handle, service.uuid)
        collection.add_service(found)
        for one in service.characteristics:
            collection.add_characteristic(
                BleakGATTCharacteristic(one, one.handle, one.uuid, properties, lambda: size, found)
            )
    return collection


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one session took: requests after the opening, bytes both ways, seconds to open and in all."""

    name: str
    mtu: int
    round_trips: int
    bytes: int
    opening: float
    held: float
    answered: int
    asked: int


async def together(client: VeSmartClient) -> Answers:
    """Read everything as the integration does: the status, the rest of the device, and what each battery has."""
    answers = [await client.read(client.main_instance, registers) for registers in (STATUS, OTHERS)]
    answers.extend(
        [
            await client.read(source.instance, [register.id for register in source.registers])
            for source in client.batteries
        ]
    )
    return answers


async def one_by_one(client: VeSmartClient) -> Answers:
    """Read everything one register at a time."""
    answers = [await client.read(client.main_instance, [register]) for register in REGISTERS]
    for source in client.batteries:
        answers.extend([await client.read(source.instance, [register.id]) for register in source.registers])
    return answers


async def measure(name: str, mtu: int, read: Callable[[VeSmartClient], Awaitable[Answers]]) -> Cost:
    """Connect, read, disconnect."""
    bms = SmallBms.build(FOUR_BATTERIES, random=Random(1))
    device = EmulatedDevice(bms.snapshot)
    device.peripheral.mtu = mtu
    # Strict in what can cost time: credit for one chunk at a time, the smallest requests seen.
    device.make_ve_smart_server = VeSmartService(BmsRegisters(bms, device), Quirks(enforces_credit=True)).serve
    air = Air()
    client_class = type("Client", (AirClient,), {"device": device, "air": air})
    client = VeSmartClient(lambda: BLEDevice(device.address, device.name, {}), client_class=client_class)
    clock = asyncio.get_running_loop().time
    begun = clock()
    await client.connect()
    opened, air.requests = clock(), 0
    answers = [answer for some in await read(client) for answer in some.values()]
    await client.disconnect()
    assert all(isinstance(answer, Reading | Refusal) for answer in answers)
    return Cost(
        name=name,
        mtu=mtu,
        round_trips=air.requests,
        bytes=air.bytes,
        opening=opened - begun,
        held=clock() - begun,
        answered=sum(isinstance(answer, Reading) for answer in answers),
        asked=len(answers),
    )


def in_virtual_time[T](work: Coroutine[None, None, T]) -> T:
    """Run to the end without waiting."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


def figures(cost: Cost) -> Iterator[tuple[bool, str]]:
    """Yield what has to be reached, and whether it was."""
    yield cost.round_trips <= MOST_ROUND_TRIPS, f"at most {MOST_ROUND_TRIPS} round trips: {cost.round_trips}"
    yield cost.held < MOST_SECONDS, f"less than {MOST_SECONDS:.0f} s: {cost.held:.2f} s"


def rows(_quick: bool) -> list[Row]:
    """Measure what is in the table of all benchmarks: the smallest packets there are."""
    ours, peer = (in_virtual_time(measure(name, MTUS[0], read)) for name, read in (("", together), ("", one_by_one)))
    name = "full read of four batteries, beside one register a request"
    return [
        Row(figure=name, unit="round trips", ours=ours.round_trips, peer=peer.round_trips),
        Row(figure="the same", unit="round trips", ours=ours.round_trips, most=MOST_ROUND_TRIPS),
        Row(figure=name, unit="s held", ours=ours.held, peer=peer.held),
        Row(figure="the same", unit="s held", ours=ours.held, most=MOST_SECONDS),
    ]


def main() -> int:
    """Measure and print; 1 if a figure is not met."""
    reads = (("smallbms_ng", together), ("one register at a time", one_by_one))
    costs = [in_virtual_time(measure(name, mtu, read)) for mtu in MTUS for name, read in reads]
    print("| client                 | MTU | registers answered | round trips | bytes | s to open | s held |")
    print("| ---------------------- | --: | -----------------: | ----------: | ----: | --------: | -----: |")
    for cost in costs:
        print(
            f"| {cost.name:22} | {cost.mtu:3} | {f'{cost.answered} of {cost.asked}':>18} | {cost.round_trips:11} "
            f"| {cost.bytes:5} | {cost.opening:9.2f} | {cost.held:6.2f} |"
        )
    print()
    results = [
        (met, f"MTU {cost.mtu}, {text}") for cost in costs if cost.name == "smallbms_ng" for met, text in figures(cost)
    ]
    for met, text in results:
        print(f"{'met' if met else 'MISSED':8} {text}")
    return 0 if all(met for met, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
