"""One VE.Smart connection through bleak: writes requests, takes notifications, collects the answers."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self

from bleak import BleakClient
from bleak.args.bluez import BlueZNotifyArgs
from bleak.backends.characteristic import BleakGATTCharacteristic
import bleak_retry_connector

from ..protocol.learned import DeviceMemory
from ..protocol.payloads import PayloadError, Value
from ..protocol.registers import BY_ID, Name, named, payload_key
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
    RefusalReason,
    Response,
    Session,
    get_devices,
    refusal_reason,
    set_values,
)
from .errors import BadAnswer, Lost, ServicesMoved, opening


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The answer to a register: one payload for most, several for some."""

    register: int
    payloads: tuple[bytes, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """The decoded payloads, without those that hold no value; as bytes if the register is not in the table."""
        return self.decoded()

    def decoded(self, *, finer: bool = False) -> tuple[Value, ...]:
        """Return the values; finer: voltages are known to be in mV."""
        return tuple(value for payload in self.payloads if (value := self._decoded(payload, finer=finer)) is not None)

    @property
    def value(self) -> Value:
        """The first value; None if no payload holds one."""
        return next(iter(self.values), None)

    def _decoded(self, payload: bytes, *, finer: bool) -> Value:
        row = BY_ID.get(self.register)
        try:
            return payload if row is None else row.decode(payload, finer=finer)
        except PayloadError:
            return None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The device refuses a register, with a code."""

    register: int
    code: int

    @property
    def reason(self) -> RefusalReason:
        """What the code means."""
        return refusal_reason(self.code)

    @property
    def transient(self) -> bool:
        """Whether the device may give it later."""
        return self.reason is RefusalReason.TRANSIENT


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The device answers for other registers but not for this one."""

    register: int


type Answer = Reading | Refusal | Silence


class LatestPayloads:
    """The latest payload of each register, requested or not."""

    def __init__(self) -> None:
        self._payloads: dict[tuple[int, int, bytes], bytes] = {}

    def forget(self) -> None:
        """Forget all payloads."""
        self._payloads.clear()

    def take(self, value: ReceivedValue) -> None:
        """Take a received value."""
        self._payloads[value.instance, value.register, payload_key(value.register, value.payload)] = value.payload

    def of(self, instance: int, answer: Answer) -> Answer:
        """Return an answer with its payloads replaced by later ones."""
        if not isinstance(answer, Reading):
            return answer
        register = answer.register
        parts = ((instance, register, payload_key(register, payload)) for payload in answer.payloads)
        latest = (self._payloads.get(part, payload) for part, payload in zip(parts, answer.payloads, strict=True))
        return replace(answer, payloads=tuple(latest))


class PendingResponse:
    """Collects the answers to one request, in any order and among other values.

    expected: how many payloads each register has; None if that is unknown.
    begun: whether anything was answered. problem: what could not be read; None if nothing. is_rejected: whether the
    device reported an error instead of an answer.
    """

    def __init__(self, instance: int, registers: Iterable[int], expected: Mapping[int, int | None]) -> None:
        self._instance = instance
        self._expected = expected
        self._payloads: dict[int, dict[bytes, bytes]] = {register: {} for register in registers}
        self._refusals: dict[int, Refusal] = {}
        self.begun = False
        self.problem: str | None = None
        self.is_rejected = False

    @property
    def unanswered(self) -> frozenset[int]:
        """The registers without any answer."""
        return frozenset(
            register for register, payloads in self._payloads.items() if not payloads and register not in self._refusals
        )

    @property
    def complete(self) -> bool:
        """Whether every expected answer has arrived."""
        return not self.unanswered and not any(map(self._is_incomplete, self._payloads))

    def answers(self) -> dict[int, Answer]:
        """Return the answer of each register."""
        return {register: self._answer(register) for register in self._payloads}

    def take(self, event: Event) -> bool:
        """Take an event; return whether it answers the request."""
        match event:
            case ReceivedValue(instance=self._instance, register=register, payload=payload):
                concerned = self._take_payload(register, payload)
            case Outcome(instance=self._instance, register=register, code=code) if code != OK:
                concerned = self._refuse(register, code)
            case Response(instance=self._instance, opcode=Opcode.GET_VALUES, code=code) if code != OK:
                concerned = self._refuse_rest(code)
            # An Orion puts the register in the place of the instance.
            case Response(instance=register, code=code) if code != OK and register in self._payloads:
                concerned = self._refuse(register, code)
            case _:
                concerned = self._note_problem(event)
        self.begun |= concerned
        return concerned

    def _take_payload(self, register: int, payload: bytes) -> bool:
        if register not in self._payloads:
            return False
        # A payload that is sent again replaces the earlier one.
        self._payloads[register][payload_key(register, payload)] = payload
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
                self.is_rejected = True
        return False

    def _is_incomplete(self, register: int) -> bool:
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
# By default, bleak uses StartNotify.
_ACQUIRE_NOTIFY: Final[BlueZNotifyArgs] = {"use_start_notify": False}
# The keep-alive belongs to the connection and is always written to this instance.
_KEEP_ALIVE_INSTANCE: Final = 0
# More than the longest stream of the shortest records holds, so that no answer is lost.
_MOST_EVENTS: Final = 32 * 1024


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Time limits and pauses, in seconds."""

    connect: float = 30
    pairing: float = 15
    """Until a proxy has encrypted its link."""
    opening: float = 20
    """From connected to ready for requests."""
    opening_without_bond: float = 8
    """The same, if the radio is known to have no bond."""
    operation: float = 60
    """One read or write."""
    disconnect: float = 10
    answer: float = 5
    """Until the first answer to a request."""
    between: float = 1.5
    """Between two answers to a request."""
    settle: float = 0.3
    """Until no more payloads of a register are expected, if their number is unknown."""
    credit: float = 2
    """Until the device is taken to grant no credit."""
    acknowledgment: float = 1
    finish: float = 5
    """For a session under way when the connection is closed for good."""
    keep_alive: float = 15
    """After this long without a renewal, the device drops the connection."""
    read_back: tuple[float, ...] = (0, 0.3, 1, 2)
    """The pause before each attempt to read back a written value."""


class Link:
    """One open connection. Only one task at a time may use it; renew may be called beside it.

    has_answered: whether a request for values was answered.
    """

    def __init__(self, client: BleakClient, timing: Timing, on_value: OnValue, memory: DeviceMemory) -> None:
        self.session = Session()
        self.subscribed: set[int] = set()
        self.joins_records = True
        self.has_answered = False
        self._was_opened = False
        self._has_records = False
        self._memory = memory
        # By whether they have content.
        self._notifications: Counter[bool] = Counter()
        self._client = client
        self._timing = timing
        self._on_value = on_value
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._arrived = asyncio.Event()
        self._writing = asyncio.Lock()
        self._broken = False
        self._characteristics: dict[Channel, BleakGATTCharacteristic] = {}
        self._subscribed_channels: set[Channel] = set()

    @property
    def was_lost_while_opening(self) -> bool:
        """Whether the device sent no record after the session was opened."""
        return self._was_opened and not self._has_records

    @property
    def gets_empty_notifications(self) -> bool:
        """Whether notifications arrive, but none has any content."""
        return bool(self._notifications[False]) and not self._notifications[True]

    @property
    def alive(self) -> bool:
        """Whether it is usable: connected, and no write has failed."""
        return self._client.is_connected and not self._broken

    def end(self) -> None:
        """Note that the connection has ended, and wake whoever waits for an answer."""
        self._broken = True
        self._arrived.set()

    async def open(self) -> Self:
        """Subscribe to the notifications and open the session; may be repeated once the link is encrypted.

        Raises ServicesMoved if a characteristic is missing; the next connection then discovers the services again.
        """
        try:
            with opening():
                value = await self._listen()
        except ServicesMoved:
            await self._forget_services()
            raise
        largest_write = self._characteristics[Channel.CONTROL].max_write_without_response_size
        self.session.begin(value, largest_write, chunk_sizes=self._memory.learned.chunk_sizes)
        self._was_opened = True
        await self._flush()
        return self

    def forget(self) -> None:
        """Drop the events that arrived outside of a request."""
        self._events.clear()

    async def send(self, request: bytes) -> None:
        """Send a request within the device's credit. A device that grants none is taken to need none."""
        self.session.queue(request)
        await self._flush()
        while self.session.waits_for_credit:
            if not await self._wait_for_notification(self._deadline_in(self._timing.credit)):
                self.session.assume_credit()
            await self._flush()

    async def collect(self, pending: PendingResponse) -> None:
        """Wait until a request is completely answered, or no more answers arrive."""
        deadline = self._deadline_in(self._timing.answer)
        while not pending.complete and (event := await self._next_event(deadline)):
            if pending.take(event):
                deadline = self._deadline_in(self._timing.between if pending.unanswered else self._timing.settle)
            elif pending.is_rejected and not pending.begun:
                return
        # A stream may hold more payloads of a register than were expected.
        while self._events:
            pending.take(self._events.popleft())

    async def ask_for_devices(self) -> DeviceList | None:
        """Return the instances; None if the device does not answer."""
        await self.send(get_devices())
        deadline = self._deadline_in(self._timing.answer)
        while event := await self._next_event(deadline):
            if isinstance(event, DeviceList):
                return event
        return None

    async def outcome(self, instance: int, opcode: int, register: int | None = None) -> int | None:
        """Return the code with which a request, or a register in it, was answered; None if it was not.

        Raises BadAnswer if the device reports an error.
        """
        deadline = self._deadline_in(self._timing.acknowledgment)
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
        """Restart the time after which the device drops the connection.

        Not before the device has answered a request: until then, the form of arrays is not certain, and an error of the
        device could be about this write as well.
        """
        if self.session.waits_for_credit or not self.has_answered:
            return
        milliseconds = _KEEP_ALIVE.encode(self._timing.keep_alive * 1000)
        self.session.queue(
            set_values(_KEEP_ALIVE_INSTANCE, {_KEEP_ALIVE.id: milliseconds}, self._memory.learned.array_form)
        )
        await self._flush()

    async def _listen(self) -> bytes:
        """Subscribe to the notifications, and return the value of Control."""
        for channel in Channel:
            characteristic = self._client.services.get_characteristic(channel)
            if characteristic is None:
                raise ServicesMoved(f"there is no characteristic {channel}")
            self._characteristics[channel] = characteristic
        for channel, characteristic in self._characteristics.items():
            if channel not in self._subscribed_channels:
                await self._start_notify(channel, characteristic)
                self._subscribed_channels.add(channel)
        return bytes(await self._client.read_gatt_char(self._characteristics[Channel.CONTROL]))

    async def _start_notify(self, channel: Channel, characteristic: BleakGATTCharacteristic) -> None:
        notified = partial(self._notified, channel)
        if self._memory.learned.acquire_notifications:
            await self._client.start_notify(characteristic, notified, bluez=_ACQUIRE_NOTIFY)
        else:
            await self._client.start_notify(characteristic, notified)

    async def _forget_services(self) -> None:
        if isinstance(self._client, bleak_retry_connector.BleakClientWithServiceCache):
            await self._client.clear_cache()

    def _notified(self, channel: Channel, _characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
        self._notifications[bool(data)] += 1
        self._has_records = self._has_records or channel is not Channel.CONTROL
        events = self.session.receive(channel, bytes(data))
        self._events.extend(events)
        self._arrived.set()
        for event in events:
            if isinstance(event, ReceivedValue):
                self._on_value(event)

    async def _flush(self) -> None:
        """Write what may be sent now. A failed write leaves half a request behind and breaks the link."""
        async with self._writing:
            try:
                for write in self.session.writes():
                    await self._client.write_gatt_char(self._characteristics[write.channel], write.data, response=False)
            except BaseException:
                self._broken = True
                raise

    async def _next_event(self, deadline: float) -> Event | None:
        """Return the next event; None at the deadline. Raises Lost."""
        while not self._events:
            if not await self._wait_for_notification(deadline):
                return None
        return self._events.popleft()

    async def _wait_for_notification(self, deadline: float) -> bool:
        """Wait for a notification; return whether one came before the deadline. Raises Lost."""
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

    def _deadline_in(self, seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds
