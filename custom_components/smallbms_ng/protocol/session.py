"""VE.Smart without I/O: encodes requests, decodes notifications, and keeps the state of one session."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from io import BytesIO
from itertools import batched
from struct import Struct
from typing import Final, Self

from cbor2 import CBORDecodeError, CBORDecoder, dumps

# PIN, PUK, Bluetooth off, not connectable, and others that could lock an owner out. set_values refuses them.
NEVER_WRITTEN: Final = frozenset({0xEC10, 0xEC11, 0x0090, 0x0092, 0x0024})


DEEPEST_NESTING: Final = 16
OK: Final = 0


class RefusalReason(StrEnum):
    """Why the device refuses a register."""

    MISSING = "missing"
    """It has no such register."""
    VALUE = "value"
    """It does not accept this value."""
    READ_ONLY = "read_only"
    TRANSIENT = "transient"
    """It is busy: the same request may succeed later."""
    UNKNOWN = "unknown"


# Codes 1 to 3 were seen on an IP22 charger and an Orion. The 16-bit codes are those of Victron's other protocols.
# Assumed: they mean the same here.
_REASONS: Final[Mapping[int, RefusalReason]] = {
    1: RefusalReason.MISSING,
    2: RefusalReason.VALUE,
    3: RefusalReason.READ_ONLY,
    0x8000: RefusalReason.MISSING,
    0x8100: RefusalReason.MISSING,
    0x8200: RefusalReason.TRANSIENT,
    0x8300: RefusalReason.VALUE,
    0x8400: RefusalReason.TRANSIENT,
    0x8600: RefusalReason.TRANSIENT,
}


def refusal_reason(code: int) -> RefusalReason:
    """Return the meaning of the code of a refusal."""
    return _REASONS.get(code, RefusalReason.UNKNOWN)


class ProtocolError(Exception):
    """The bytes are not valid VE.Smart, or a request is never allowed."""


class Opcode(IntEnum):
    """The first item of a record. Path requests (0x0A to 0x10) are never sent: every device seen refuses them."""

    GET_DEVICES = 0x01
    DEVICE_LIST = 0x02
    SUBSCRIBE = 0x03
    UNSUBSCRIBE = 0x04
    GET_VALUES = 0x05
    SET_VALUES = 0x06
    RESPONSE = 0x07
    VALUE = 0x08
    VALUE_RESPONSE = 0x09


@dataclass(frozen=True, kw_only=True)
class DeviceList:
    """The instances of the device, as pairs. The meaning of the second number is unknown."""

    pairs: tuple[tuple[int, int], ...]

    @property
    def instances(self) -> tuple[int, ...]:
        """The instances: the first number of each pair."""
        return tuple(instance for instance, _ in self.pairs)


@dataclass(frozen=True, kw_only=True)
class Response:
    """The result of a whole request; code 0 is success."""

    instance: int
    opcode: int
    code: int


@dataclass(frozen=True, kw_only=True)
class ReceivedValue:
    """The payload of a register, requested or not."""

    instance: int
    register: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result for one register of a request; code 0 is success."""

    instance: int
    register: int
    code: int


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """The rest of a stream cannot be decoded."""

    reason: str


type Record = DeviceList | Response | ReceivedValue | Outcome


def get_devices() -> bytes:
    """Return a request for the instances."""
    return _encoded(Opcode.GET_DEVICES)


def subscribe(instance: int) -> bytes:
    """Return a request to subscribe to an instance. Before it, some devices do not answer for the instance."""
    return _encoded(Opcode.SUBSCRIBE, instance)


class ArrayForm(StrEnum):
    """How an array of a request is encoded. Each form was seen to be the only one that some product accepts."""

    DEFINITE = "definite"
    """Begins with its number of items."""
    INDEFINITE = "indefinite"
    """Ends with a break byte."""

    @property
    def other(self) -> ArrayForm:
        """The other form."""
        return ArrayForm.INDEFINITE if self is ArrayForm.DEFINITE else ArrayForm.DEFINITE


# An Orion gives its key only to the opcode with this bit.
_FLAG: Final = 0x20


def get_values(
    instance: int, registers: Iterable[int], form: ArrayForm = ArrayForm.DEFINITE, *, flagged: bool = False
) -> bytes:
    """Return a request for the values of registers. flagged: with the opcode 0x25."""
    opcode = bytes((Opcode.GET_VALUES | (_FLAG if flagged else 0),))
    return opcode + dumps(instance) + _array(form, list(registers))


def set_values(instance: int, values: Mapping[int, bytes], form: ArrayForm = ArrayForm.DEFINITE) -> bytes:
    """Return a request to write registers. Raises ProtocolError for those in NEVER_WRITTEN."""
    if forbidden := NEVER_WRITTEN.intersection(values):
        raise ProtocolError(f"{', '.join(f'0x{register:04X}' for register in sorted(forbidden))} is never written")
    items: list[int | bytes] = [item for pair in values.items() for item in pair]
    return _encoded(Opcode.SET_VALUES, instance) + _array(form, items)


def batches(
    instance: int, registers: Iterable[int], size: int, form: ArrayForm = ArrayForm.DEFINITE
) -> Iterator[tuple[int, ...]]:
    """Yield the registers in batches whose requests fit into size bytes; one that is too long comes alone."""
    batch: tuple[int, ...] = ()
    for register in registers:
        if batch and len(get_values(instance, (*batch, register), form)) > size:
            yield batch
            batch = ()
        batch = (*batch, register)
    if batch:
        yield batch


def records(stream: bytes) -> Iterator[Record | Malformed]:
    """Yield the records of a stream; a Malformed ends it if the rest cannot be decoded."""
    items = _Items(stream)
    try:
        while not items.at_end:
            yield _record(items)
    except ProtocolError as error:
        yield Malformed(reason=str(error))


def _encoded(*items: int | bytes) -> bytes:
    return b"".join(map(dumps, items))


def _array(form: ArrayForm, items: Sequence[int | bytes]) -> bytes:
    if form is ArrayForm.DEFINITE:
        return dumps(items)
    return _BEGIN_ARRAY + _encoded(*items) + _BREAK


_BEGIN_ARRAY: Final = b"\x9f"
_BREAK: Final = b"\xff"


def _record(items: _Items) -> Record:
    opcode = items.unsigned()
    if (reader := _READERS.get(opcode)) is None:
        # Its number of items is unknown, so the next record cannot be found.
        raise ProtocolError(f"record 0x{opcode:02X}")
    return reader(items)


def _refuse_tag(*_args: object) -> object:
    raise ValueError("VE.Smart has no tags")


class _NoTags(dict[int, Callable[..., object]]):
    """Refuses every CBOR tag: some turn a few bytes into huge values."""

    def __missing__(self, _tag: int) -> Callable[..., object]:
        return _refuse_tag


class _Items:
    """Reads the items of a stream one by one. Raises ProtocolError."""

    def __init__(self, stream: bytes) -> None:
        self._size = len(stream)
        self._bytes = BytesIO(stream)
        # Reads no further than the item, so that the position is that of the next one.
        self._decoder = CBORDecoder(self._bytes, read_size=1, max_depth=DEEPEST_NESTING, semantic_decoders=_NoTags())

    @property
    def at_end(self) -> bool:
        """Whether the stream is at its end."""
        return self._bytes.tell() >= self._size

    def unsigned(self) -> int:
        """Read an unsigned number."""
        return _as_unsigned(self._next())

    def opcode(self) -> int:
        """Read an opcode. With its bit 0x20 set, the byte is a negative number."""
        item = self._next()
        return _FLAG | ~item if type(item) is int and item < 0 else _as_unsigned(item)

    def payload(self) -> bytes:
        """Read a byte string."""
        item = self._next()
        if not isinstance(item, bytes):
            raise ProtocolError(f"{type(item).__name__} instead of a byte string")
        return item

    def numbers(self) -> Sequence[int]:
        """Read an array of unsigned numbers."""
        item = self._next()
        if not isinstance(item, list):
            raise ProtocolError(f"{type(item).__name__} instead of an array")
        return tuple(map(_as_unsigned, item))

    def _next(self) -> object:
        try:
            item: object = self._decoder.decode()
        except CBORDecodeError as error:
            raise ProtocolError(str(error)) from error
        return item


def _as_unsigned(item: object) -> int:
    # Not isinstance: bool is a subclass of int.
    if type(item) is not int or item < 0:
        raise ProtocolError(f"{type(item).__name__} instead of an unsigned number")
    return item


def _device_list(items: _Items) -> DeviceList:
    numbers = items.numbers()
    if len(numbers) % 2:
        raise ProtocolError("half a pair in the device list")
    return DeviceList(pairs=tuple((instance, second) for instance, second in batched(numbers, 2, strict=True)))


_READERS: Final[Mapping[int, Callable[[_Items], Record]]] = {
    Opcode.DEVICE_LIST: _device_list,
    Opcode.RESPONSE: lambda items: Response(instance=items.unsigned(), opcode=items.opcode(), code=items.unsigned()),
    Opcode.VALUE: lambda items: ReceivedValue(
        instance=items.unsigned(), register=items.unsigned(), payload=items.payload()
    ),
    Opcode.VALUE_RESPONSE: lambda items: Outcome(
        instance=items.unsigned(), register=items.unsigned(), code=items.unsigned()
    ),
}


# The VE.Smart service. Some products have the second one beside it, which was not seen to work.
SERVICES: Final = frozenset({"306b0001-b081-4037-83dc-e59fcc3cdfd0", "306b0001-b081-4037-83dc-e59fcc3cdfd1"})


class Channel(StrEnum):
    """The characteristics of the VE.Smart service."""

    CONTROL = "306b0002-b081-4037-83dc-e59fcc3cdfd0"
    LAST_DATA = "306b0003-b081-4037-83dc-e59fcc3cdfd0"
    DATA = "306b0004-b081-4037-83dc-e59fcc3cdfd0"


SMALLEST_CHUNK: Final = 20
LARGEST_CHUNK: Final = 512  # of an attribute
# The largest ATT MTU, without the three bytes of its header.
_LARGEST_PACKET: Final = 517 - 3
LONGEST_STREAM: Final = 64 * 1024

_CREDIT: Final = b"\xf9"
_CHUNK_SIZES: Final = b"\xfa"
_RESET: Final = b"\xf8"
_ERROR: Final = b"\xf7"
_GRANTED: Final = 0x80
# Received chunks are reported, and so granted again, in lots of this size, as the app does.
_CHUNKS_PER_REPORT: Final = 0x41
_LARGEST_REPORT: Final = 0xFF
_LARGEST_CREDIT: Final = 0xFFFF

_CONTROL_INFO: Final = Struct(">BHBB2s")


@dataclass(frozen=True, kw_only=True)
class Write:
    """Bytes to write to a characteristic, without response."""

    channel: Channel
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Credit:
    """The device allows this many more chunks."""

    chunks: int


@dataclass(frozen=True, kw_only=True)
class ControlError:
    """The device reports an error. Only 03 00 is known: it does not know the record."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Reset:
    """The device withdraws the fragments that it has sent so far."""


type Event = DeviceList | Response | ReceivedValue | Outcome | Malformed | Credit | ControlError | Reset

# The first writes of a session: chunk sizes, then credit. An MPPT charger was reported to drop the link on the first.
OPENING: Final = (
    Write(channel=Channel.CONTROL, data=_CHUNK_SIZES + b"\x80\xff"),
    Write(channel=Channel.CONTROL, data=_CREDIT + bytes((_GRANTED,))),
)
_OPENING_WITHOUT_CHUNK_SIZES: Final = OPENING[1:]


@dataclass(frozen=True, kw_only=True)
class ControlInfo:
    """What the device reports before a session: its largest request and its largest chunk, in bytes."""

    largest_request: int
    chunk: int

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Decode the value of Control. Raises ProtocolError."""
        if len(data) < _CONTROL_INFO.size:
            raise ProtocolError(f"Control has {len(data)} bytes, fewer than {_CONTROL_INFO.size}")
        *_, largest_request, chunk = _CONTROL_INFO.unpack_from(data)
        return cls(largest_request=max(largest_request, SMALLEST_CHUNK), chunk=_plausible_chunk(chunk))


def _plausible_chunk(data: bytes) -> int:
    """Return the chunk size, trying both byte orders (4a00 and 1400 were seen), at most LARGEST_CHUNK.

    A device may report the size of its packets, which is more than an attribute holds.
    """
    readings = (int.from_bytes(data, "little"), int.from_bytes(data, "big"))
    size = next((size for size in readings if SMALLEST_CHUNK <= size <= _LARGEST_PACKET), SMALLEST_CHUNK)
    return min(size, LARGEST_CHUNK)


class Session:
    """The state of one VE.Smart session.

    The caller passes every notification to receive, calls begin with the value of Control, and after each step writes
    to the device what writes yields. largest_request: in bytes.
    """

    def __init__(self) -> None:
        self.largest_request = SMALLEST_CHUNK
        self._chunk = SMALLEST_CHUNK
        self._inbox = _Inbox()
        self._chunks_received = 0
        self._opening: deque[Write] = deque()
        self._waiting: deque[Write] = deque()
        self._credit = 0
        self._needs_credit = True

    @property
    def waits_for_credit(self) -> bool:
        """Whether chunks wait for credit from the device."""
        return bool(self._waiting) and not self._may_send

    def begin(self, control: bytes, largest_write: int, *, chunk_sizes: bool = True) -> None:
        """Open the session. Raises ProtocolError.

        control: the value of Control. largest_write: how many bytes one write can carry. chunk_sizes: whether to
        send them.
        """
        info = ControlInfo.read(control)
        self.largest_request = info.largest_request
        self._chunk = max(SMALLEST_CHUNK, min(info.chunk, largest_write))
        self._opening.extend(OPENING if chunk_sizes else _OPENING_WITHOUT_CHUNK_SIZES)

    def receive(self, channel: Channel, data: bytes) -> tuple[Event, ...]:
        """Return the events in a notification."""
        if channel is Channel.CONTROL:
            return self._control(data)
        self._chunks_received += 1
        return tuple(self._inbox.take(channel, data))

    def queue(self, request: bytes) -> None:
        """Queue a request."""
        *earlier, last = (bytes(chunk) for chunk in batched(request, self._chunk, strict=False))
        self._waiting.extend(Write(channel=Channel.DATA, data=chunk) for chunk in earlier)
        self._waiting.append(Write(channel=Channel.LAST_DATA, data=last))

    def writes(self) -> Iterator[Write]:
        """Yield what may be written now."""
        while self._opening:
            yield self._opening.popleft()
        while self._chunks_received >= _CHUNKS_PER_REPORT:
            reported = min(self._chunks_received, _LARGEST_REPORT)
            self._chunks_received -= reported
            yield Write(channel=Channel.CONTROL, data=_CREDIT + bytes((reported,)))
        while self._waiting and self._may_send:
            self._credit -= self._needs_credit
            yield self._waiting.popleft()

    def assume_credit(self) -> None:
        """Send without credit from now on, as the device grants none."""
        self._needs_credit = False

    @property
    def _may_send(self) -> bool:
        return self._credit > 0 or not self._needs_credit

    def _control(self, data: bytes) -> tuple[Event, ...]:
        opcode, rest = data[:1], data[1:]
        if opcode == _CREDIT and rest:
            self._credit = min(self._credit + rest[0], _LARGEST_CREDIT)
            return (Credit(chunks=rest[0]),)
        if opcode == _RESET:
            self._inbox.clear()
            return (Reset(),)
        return (ControlError(data=rest) if opcode == _ERROR else Malformed(reason=f"Control {data.hex()}"),)


class _Inbox:
    """Joins chunks to streams, and decodes them."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skipping = False

    def clear(self) -> None:
        """Drop the chunks collected so far."""
        self._held.clear()
        self._skipping = False

    def take(self, channel: Channel, chunk: bytes) -> Iterator[Event]:
        """Take a chunk; if it is the last one of its stream, yield the events of the stream."""
        if len(self._held) + len(chunk) > LONGEST_STREAM and not self._skipping:
            self._held.clear()
            self._skipping = True
            yield Malformed(reason="stream too long")
        if not self._skipping:
            self._held += chunk
        if channel is Channel.LAST_DATA:
            stream = bytes(self._held)
            self.clear()
            yield from records(stream)
