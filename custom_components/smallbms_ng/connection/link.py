"""One VE.Smart connection through bleak: notifications in, writes out, and the answers to each request."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
import bleak_retry_connector

from ..protocol.payloads import PayloadError, Value
from ..protocol.registers import BY_ID, Name, named, part_of
from ..protocol.session import (
    OK,
    Channel,
    ControlError,
    DeviceList,
    Event,
    Malformed,
    Opcode,
    Outcome,
    ReceivedValue,
    Response,
    Session,
    get_devices,
    set_values,
)
from .errors import BadAnswer, Lost, ServicesMoved, opening

# Codes of Victron's other protocols: busy, time-out, initializing. The same question may get an answer later.
TRANSIENT_CODES: Final = frozenset({0x8200, 0x8400, 0x8600})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A register was answered, most of them with one payload."""

    register: int
    payloads: tuple[bytes, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """What the payloads say, as far as they say anything; as they are where the register is not in the table."""
        return tuple(value for payload in self.payloads if (value := self._decoded(payload)) is not None)

    @property
    def value(self) -> Value:
        """What the first payload that says anything says. None: not available."""
        return next(iter(self.values), None)

    def _decoded(self, payload: bytes) -> Value:
        row = BY_ID.get(self.register)
        try:
            return payload if row is None else row.decode(payload)
        except PayloadError:
            return None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The device does not give a register. 2 is the only code that was ever seen."""

    register: int
    code: int

    @property
    def transient(self) -> bool:
        """Whether it may give it later."""
        return self.code in TRANSIENT_CODES


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The device answers for other registers but says nothing of this one."""

    register: int


type Answer = Reading | Refusal | Silence


class LatestPayloads:
    """What was said last of each part of each register, asked or not."""

    def __init__(self) -> None:
        self._payloads: dict[tuple[int, int, bytes], bytes] = {}

    def forget(self) -> None:
        """Begin anew."""
        self._payloads.clear()

    def take(self, value: ReceivedValue) -> None:
        """Take a value, in the order of coming."""
        self._payloads[value.instance, value.register, part_of(value.register, value.payload)] = value.payload

    def of(self, instance: int, answer: Answer) -> Answer:
        """Return an answer with what was said after it in its place."""
        if not isinstance(answer, Reading):
            return answer
        register = answer.register
        parts = ((instance, register, part_of(register, payload)) for payload in answer.payloads)
        latest = (self._payloads.get(part, payload) for part, payload in zip(parts, answer.payloads, strict=True))
        return replace(answer, payloads=tuple(latest))


class PendingResponse:
    """Collects the answers to one request, in whatever order and company they come.

    expected says how many payloads a register has; None where nobody knows.
    """

    def __init__(self, instance: int, registers: Iterable[int], expected: Mapping[int, int | None]) -> None:
        self._instance = instance
        self._expected = expected
        self._payloads: dict[int, dict[bytes, bytes]] = {register: {} for register in registers}
        self._refusals: dict[int, Refusal] = {}
        self.begun = False
        self.problem: str | None = None

    @property
    def unanswered(self) -> frozenset[int]:
        """The registers of which nothing was heard."""
        return frozenset(
            register for register, payloads in self._payloads.items() if not payloads and register not in self._refusals
        )

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come."""
        return not self.unanswered and not any(map(self._lacks, self._payloads))

    def answers(self) -> dict[int, Answer]:
        """Return what was heard."""
        return {register: self._answer(register) for register in self._payloads}

    def take(self, event: Event) -> bool:
        """Take what the device said; return whether it has to do with the request."""
        match event:
            case ReceivedValue(instance=self._instance, register=register, payload=payload):
                concerned = self._take_payload(register, payload)
            case Outcome(instance=self._instance, register=register, code=code) if code != OK:
                concerned = self._refuse(register, code)
            case Response(instance=self._instance, opcode=Opcode.GET_VALUES, code=code) if code != OK:
                concerned = self._refuse_rest(code)
            case _:
                concerned = self._note_problem(event)
        self.begun |= concerned
        return concerned

    def _take_payload(self, register: int, payload: bytes) -> bool:
        if register not in self._payloads:
            return False
        # A payload that is sent again, unasked, takes the place of the one before.
        self._payloads[register][part_of(register, payload)] = payload
        return True

    def _refuse(self, register: int, code: int) -> bool:
        if register not in self.unanswered:
            return False
        self._refusals[register] = Refusal(register=register, code=code)
        return True

    def _refuse_rest(self, code: int) -> bool:
        rest = self.unanswered
        self._refusals |= {register: Refusal(register=register, code=code) for register in rest}
        return bool(rest)

    def _note_problem(self, event: Event) -> bool:
        match event:
            case Malformed(reason=reason):
                self.problem = reason
            case ControlError(data=data):
                self.problem = f"error {data.hex()}"
        return False

    def _lacks(self, register: int) -> bool:
        if register in self._refusals:
            return False
        expected = self._expected.get(register, 1)
        return expected is None or len(self._payloads[register]) < expected

    def _answer(self, register: int) -> Answer:
        if register in self._refusals:
            return self._refusals[register]
        if payloads := self._payloads[register]:
            return Reading(register=register, payloads=tuple(payloads.values()))
        return Silence(register=register)


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

    async def collect(self, pending: PendingResponse) -> None:
        """Wait until a request is answered, or nothing more comes."""
        deadline = self._after(self._timing.answer)
        while not pending.complete and (event := await self._next_event(deadline)):
            if pending.take(event):
                deadline = self._after(self._timing.between if pending.unanswered else self._timing.settle)

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
