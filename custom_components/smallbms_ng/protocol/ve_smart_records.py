"""The records of VE.Smart, concatenated CBOR: requests to bytes, streams to events."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from itertools import batched
from typing import Final

from cbor2 import CBORDecodeError, CBORDecoder, dumps

from .registers import NEVER_WRITTEN

DEEPEST_NESTING: Final = 16
OK: Final = 0


class ProtocolError(Exception):
    """The bytes are no VE.Smart, or a request is one that is never made."""


class Opcode(IntEnum):
    """First item of a record. The path requests, 0x0A to 0x10, are refused by every device seen and never made."""

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
    """The instances that there are. What the second number of each pair means is not known."""

    pairs: tuple[tuple[int, int], ...]

    @property
    def instances(self) -> tuple[int, ...]:
        """The first number of each pair."""
        return tuple(instance for instance, _ in self.pairs)


@dataclass(frozen=True, kw_only=True)
class Response:
    """What became of a whole request; code 0 is success."""

    instance: int
    opcode: int
    code: int


@dataclass(frozen=True, kw_only=True)
class ReceivedValue:
    """The payload of a register, asked for or not."""

    instance: int
    register: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one register of a request; code 0 is success."""

    instance: int
    register: int
    code: int


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """The rest of a stream could not be read."""

    reason: str


type Record = DeviceList | Response | ReceivedValue | Outcome


def get_devices() -> bytes:
    """Ask which instances there are."""
    return _encoded(Opcode.GET_DEVICES)


def subscribe(instance: int) -> bytes:
    """Begin with an instance. Before that, some devices do not answer for it."""
    return _encoded(Opcode.SUBSCRIBE, instance)


def get_values(instance: int, registers: Iterable[int]) -> bytes:
    """Ask for the values of registers."""
    return _encoded(Opcode.GET_VALUES, instance, list(registers))


def set_values(instance: int, values: Mapping[int, bytes]) -> bytes:
    """Write registers. Raises ProtocolError for those that are never written."""
    if forbidden := NEVER_WRITTEN.intersection(values):
        raise ProtocolError(f"{', '.join(f'0x{register:04X}' for register in sorted(forbidden))} is never written")
    items: list[int | bytes] = [item for pair in values.items() for item in pair]
    return _encoded(Opcode.SET_VALUES, instance, items)


def batches(instance: int, registers: Iterable[int], size: int) -> Iterator[tuple[int, ...]]:
    """Yield registers as they fit requests of so many bytes; one that fits none is asked for alone."""
    batch: tuple[int, ...] = ()
    for register in registers:
        if batch and len(get_values(instance, (*batch, register))) > size:
            yield batch
            batch = ()
        batch = (*batch, register)
    if batch:
        yield batch


def records(stream: bytes) -> Iterator[Record | Malformed]:
    """Yield the records of a stream. Where they cannot be told apart any more, Malformed is the last."""
    items = _Items(stream)
    try:
        while not items.at_end:
            yield _record(items)
    except ProtocolError as error:
        yield Malformed(reason=str(error))


def _encoded(*items: int | list[int] | list[int | bytes]) -> bytes:
    return b"".join(map(dumps, items))


def _record(items: _Items) -> Record:
    opcode = items.unsigned()
    if (reader := _READERS.get(opcode)) is None:
        # How many items it has is not known, and so neither where the next record begins.
        raise ProtocolError(f"record 0x{opcode:02X}")
    return reader(items)


def _refuse_tag(*_args: object) -> object:
    raise ValueError("VE.Smart has no tags")


class _NoTags(dict[int, Callable[..., object]]):
    """Has a refusal for every tag: some make much of few bytes, such as huge powers."""

    def __missing__(self, _tag: int) -> Callable[..., object]:
        return _refuse_tag


class _Items:
    """Reads the items of a stream one after the other; ProtocolError for what VE.Smart has not."""

    def __init__(self, stream: bytes) -> None:
        self._size = len(stream)
        self._bytes = BytesIO(stream)
        # One byte at a time, so that the position is that of the next item.
        self._decoder = CBORDecoder(self._bytes, read_size=1, max_depth=DEEPEST_NESTING, semantic_decoders=_NoTags())

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._bytes.tell() >= self._size

    def unsigned(self) -> int:
        """Take a number."""
        return _as_unsigned(self._next())

    def payload(self) -> bytes:
        """Take a byte string."""
        item = self._next()
        if not isinstance(item, bytes):
            raise ProtocolError(f"{type(item).__name__} instead of a byte string")
        return item

    def numbers(self) -> Sequence[int]:
        """Take an array of numbers."""
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
    # Not isinstance: true and false are numbers to Python.
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
    Opcode.RESPONSE: lambda items: Response(instance=items.unsigned(), opcode=items.unsigned(), code=items.unsigned()),
    Opcode.VALUE: lambda items: ReceivedValue(
        instance=items.unsigned(), register=items.unsigned(), payload=items.payload()
    ),
    Opcode.VALUE_RESPONSE: lambda items: Outcome(
        instance=items.unsigned(), register=items.unsigned(), code=items.unsigned()
    ),
}
