"""One VE.Smart connection through bleak: notifications in, writes out, and the waiting between."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
import bleak_retry_connector

from .errors import BadAnswer, Lost, ServicesMoved, opening
from .protocol.answers import Gathering
from .protocol.registers import Name, named
from .protocol.ve_smart import Channel, ControlError, Event, Session
from .protocol.ve_smart_records import DeviceList, Outcome, ReceivedValue, Response, get_devices, set_values

type OnValue = Callable[[ReceivedValue], None]

_KEEP_ALIVE: Final = named(Name.KEEP_ALIVE)[0]
# It is the connection's, not an instance's, and always written here.
_KEEP_ALIVE_INSTANCE: Final = 0
# More than the longest stream can hold of the shortest records, so that no answer is pushed out.
_MOST_EVENTS: Final = 32 * 1024


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long to wait, in seconds.

    For the connection, for a proxy to encrypt it, for its opening, and where the radio is known to have no bond; for
    one operation, for the end;
    for the first answer to a request, between its values, for more
    values of a register whose number nobody knows; for the device's credit, for the acknowledgment of an action; for
    what is under way over a connection when nobody is to connect any more.
    keep_alive is when the device drops a connection that nothing is heard of.
    """

    connect: float = 30
    pairing: float = 15
    opening: float = 20
    opening_without_bond: float = 8
    operation: float = 60
    disconnect: float = 10
    answer: float = 5
    between: float = 1.5
    settle: float = 0.3
    credit: float = 2
    acknowledgment: float = 1
    finish: float = 5
    keep_alive: float = 15
    read_back: tuple[float, ...] = (0, 0.3, 1, 2)


class Link:
    """One connection, from its opening to its end. Whoever uses it does so from one task at a time, but for renew."""

    def __init__(self, client: BleakClient, timing: Timing, on_value: OnValue) -> None:
        self.session = Session()
        self.subscribed: set[int] = set()
        self.joins_records = True
        self._client = client
        self._timing = timing
        self._on_value = on_value
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._arrived = asyncio.Event()
        self._writing = asyncio.Lock()
        self._broken = False
        self._characteristics: dict[Channel, BleakGATTCharacteristic] = {}
        self._heard: set[Channel] = set()

    @property
    def alive(self) -> bool:
        """Whether it can be used."""
        return self._client.is_connected and not self._broken

    def end(self) -> None:
        """Hear that the connection has ended."""
        self._broken = True
        self._arrived.set()

    async def open(self) -> Self:
        """Get to where requests can be made; again, once the link is encrypted, if that was missing.

        After ServicesMoved, the next connection looks for them anew.
        """
        try:
            with opening():
                value = await self._listen()
        except ServicesMoved:
            await self._forget_services()
            raise
        self.session.begin(value, self._characteristics[Channel.CONTROL].max_write_without_response_size)
        await self._flush()
        return self

    def forget(self) -> None:
        """Forget what came while nobody waited for anything."""
        self._events.clear()

    async def send(self, request: bytes) -> None:
        """Send a request, as the device gives credit. A device that gives none is taken to want none."""
        self.session.queue(request)
        await self._flush()
        while self.session.blocked:
            if not await self._arrival(self._after(self._timing.credit)):
                self.session.assume_credit()
            await self._flush()

    async def gather(self, gathering: Gathering) -> None:
        """Wait until a request is answered, or nothing more comes."""
        deadline = self._after(self._timing.answer)
        while not gathering.complete and (event := await self._next_event(deadline)):
            if gathering.take(event):
                deadline = self._after(self._timing.between if gathering.unanswered else self._timing.settle)

    async def ask_for_devices(self) -> DeviceList | None:
        """Return which instances there are; None if the device keeps silent."""
        await self.send(get_devices())
        deadline = self._after(self._timing.answer)
        while event := await self._next_event(deadline):
            if isinstance(event, DeviceList):
                return event
        return None

    async def outcome(self, instance: int, opcode: int, register: int | None = None) -> int | None:
        """Return the code that a request, or a register in it, was answered with; None if there was no answer."""
        deadline = self._after(self._timing.acknowledgment)
        while event := await self._next_event(deadline):
            match event:
                case Response(instance=one, opcode=other, code=code) if (one, other) == (instance, opcode):
                    return code
                case Outcome(instance=one, register=other, code=code) if (one, other) == (instance, register):
                    return code
                case ControlError(data=data):
                    raise BadAnswer(f"error {data.hex()}")
        return None

    async def renew(self) -> None:
        """Begin the time anew after which the device drops the connection."""
        if self.session.blocked:
            return
        milliseconds = _KEEP_ALIVE.encode(self._timing.keep_alive * 1000)
        self.session.queue(set_values(_KEEP_ALIVE_INSTANCE, {_KEEP_ALIVE.id: milliseconds}))
        await self._flush()

    async def _listen(self) -> bytes:
        """Begin to hear what the device says, and return the value of Control."""
        for channel in Channel:
            characteristic = self._client.services.get_characteristic(channel)
            if characteristic is None:
                raise ServicesMoved(f"there is no characteristic {channel}")
            self._characteristics[channel] = characteristic
        for channel, characteristic in self._characteristics.items():
            if channel not in self._heard:
                await self._client.start_notify(characteristic, partial(self._notified, channel))
                self._heard.add(channel)
        return bytes(await self._client.read_gatt_char(self._characteristics[Channel.CONTROL]))

    async def _forget_services(self) -> None:
        if isinstance(self._client, bleak_retry_connector.BleakClientWithServiceCache):
            await self._client.clear_cache()

    def _notified(self, channel: Channel, _characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
        events = self.session.receive(channel, bytes(data))
        self._events.extend(events)
        self._arrived.set()
        for event in events:
            if isinstance(event, ReceivedValue):
                self._on_value(event)

    async def _flush(self) -> None:
        """Write what can be written. What fails in the middle leaves half a request behind, so that all is over."""
        async with self._writing:
            try:
                for write in self.session.writes():
                    await self._client.write_gatt_char(self._characteristics[write.channel], write.data, response=False)
            except BaseException:
                self._broken = True
                raise

    async def _next_event(self, deadline: float) -> Event | None:
        """Return the next event; None at the deadline."""
        while not self._events:
            if not await self._arrival(deadline):
                return None
        return self._events.popleft()

    async def _arrival(self, deadline: float) -> bool:
        """Wait until something comes; return whether it did before the deadline. Raises Lost."""
        self._arrived.clear()
        await self._flush()
        if not self.alive:
            raise Lost("the connection ended")
        try:
            async with asyncio.timeout_at(deadline):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def _after(self, seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds
