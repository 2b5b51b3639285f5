"""VE.Smart records as concatenated CBOR: reads requests, writes answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import batched
from typing import Final


class Opcode(IntEnum):
    """First item of a record."""

    GET_DEVICES = 0x01
    DEVICE_LIST = 0x02
    SUBSCRIBE = 0x03
    UNSUBSCRIBE = 0x04
    GET_VALUES = 0x05
    SET_VALUES = 0x06
    RESPONSE = 0x07
    VALUE = 0x08
    VALUE_RESPONSE = 0x09


PATH_OPCODES: Final = range(0x0A, 0x11)
# Reads like GET_VALUES. Some Orion chargers give their key to this opcode only. On the wire it is this single byte,
# although that is no unsigned number in CBOR.
ENCRYPTED_GET_VALUES: Final = 0x25


class MalformedRecordError(ValueError):
    """The bytes are not a whole record in the CBOR that VE.Smart uses."""


@dataclass(frozen=True, kw_only=True)
class GetDevices:
    """Ask which instances there are."""


@dataclass(frozen=True, kw_only=True)
class Subscribe:
    """Ask for the values of an instance, now and when they change."""

    instance: int


@dataclass(frozen=True, kw_only=True)
class Unsubscribe:
    """Ask for no more unasked values of an instance."""

    instance: int


@dataclass(frozen=True, kw_only=True)
class GetValues:
    """Read registers of an instance. definite: whether their array begins with its length."""

    instance: int
    registers: tuple[int, ...]
    opcode: int = Opcode.GET_VALUES
    definite: bool = field(default=True, compare=False)


@dataclass(frozen=True, kw_only=True)
class SetValues:
    """Write registers of an instance: pairs of register and payload, in order. definite: as for GetValues."""

    instance: int
    values: tuple[tuple[int, bytes], ...]
    definite: bool = field(default=True, compare=False)


@dataclass(frozen=True, kw_only=True)
class PathRequest:
    """A record of the path interface, of which only the first field is known to be an unsigned number."""

    opcode: int
    instance: int


@dataclass(frozen=True, kw_only=True)
class UnknownRequest:
    """A record of which neither the fields nor the end are known."""

    opcode: int


@dataclass(frozen=True, kw_only=True)
class DeviceList:
    """The instances, each with a second number. definite: whether their array begins with its length."""

    pairs: tuple[tuple[int, int], ...]
    definite: bool


@dataclass(frozen=True, kw_only=True)
class Response:
    """What became of a whole request; code 0 is success."""

    instance: int
    opcode: int
    code: int


@dataclass(frozen=True, kw_only=True)
class Value:
    """One register's value."""

    instance: int
    register: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class ValueResponse:
    """What became of one register of a request; code 0 is success."""

    instance: int
    register: int
    code: int


type Answer = DeviceList | Response | Value | ValueResponse
type Request = GetDevices | Subscribe | Unsubscribe | GetValues | SetValues | PathRequest | UnknownRequest
type Item = int | bytes

# Major types, the upper three bits of an item's first byte.
_UNSIGNED: Final = 0
_OCTETS: Final = 2
_ARRAY: Final = 4
# The lower five bits: the argument itself, the size of the argument that follows, or "until the break byte".
_LARGEST_INLINE: Final = 23
_ARGUMENT_SIZE: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_INDEFINITE: Final = 31
_BREAK: Final = b"\xff"


class Reader:
    """Reads the items that VE.Smart uses from bytes, one after the other; anything else raises MalformedRecordError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._data)

    @property
    def position(self) -> int:
        """How many bytes were taken."""
        return self._at

    @property
    def at_definite_array(self) -> bool:
        """Whether what comes next is not an array of indefinite length."""
        return self._peek() != _ARRAY << 5 | _INDEFINITE

    def opcode(self) -> int:
        """Take the first item of a request."""
        return self._take(1)[0] if self._peek() == ENCRYPTED_GET_VALUES else self.unsigned()

    def unsigned(self) -> int:
        """Take an unsigned number."""
        return self._argument(_UNSIGNED)

    def octets(self) -> bytes:
        """Take a byte string."""
        return self._take(self._argument(_OCTETS))

    def array(self) -> tuple[Item, ...]:
        """Take an array, of either length form, of unsigned numbers and byte strings."""
        if not self.at_definite_array:
            self._take(1)
            return tuple(self._until_break())
        count = self._argument(_ARRAY)
        # The length may be far more than the bytes that follow, so check it before looping.
        if count > len(self._data) - self._at:
            raise MalformedRecordError("array longer than its bytes")
        return tuple(self._item() for _ in range(count))

    def _until_break(self) -> Iterator[Item]:
        while self._peek() != _BREAK[0]:
            yield self._item()
        self._take(1)

    def _item(self) -> Item:
        return self.octets() if self._peek() >> 5 == _OCTETS else self.unsigned()

    def _argument(self, major: int) -> int:
        head = self._take(1)[0]
        if head >> 5 != major:
            raise MalformedRecordError(f"item of another type: {head:#04x}")
        low = head & 0x1F
        if low <= _LARGEST_INLINE:
            return low
        if low not in _ARGUMENT_SIZE:
            raise MalformedRecordError(f"item of another length form: {head:#04x}")
        return int.from_bytes(self._take(_ARGUMENT_SIZE[low]))

    def _peek(self) -> int:
        if self.at_end:
            raise MalformedRecordError("record cut short")
        return self._data[self._at]

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise MalformedRecordError("record cut short")
        taken = self._data[self._at : end]
        self._at = end
        return taken


def _get_values(reader: Reader, opcode: int = Opcode.GET_VALUES) -> GetValues:
    instance, definite = reader.unsigned(), reader.at_definite_array
    registers = tuple(map(_as_unsigned, reader.array()))
    return GetValues(instance=instance, registers=registers, opcode=opcode, definite=definite)


def _set_values(reader: Reader) -> SetValues:
    instance, definite = reader.unsigned(), reader.at_definite_array
    pairs = batched(reader.array(), 2, strict=False)
    return SetValues(instance=instance, values=tuple(map(_as_value, pairs)), definite=definite)


def _as_unsigned(item: Item) -> int:
    if isinstance(item, bytes):
        raise MalformedRecordError("byte string for a register")
    return item


def _as_value(pair: tuple[Item, ...]) -> tuple[int, bytes]:
    match pair:
        case (int(register), bytes(payload)):
            return register, payload
    raise MalformedRecordError("not a register and its payload")


_PARSERS: Final[dict[int, Callable[[Reader], Request]]] = {
    Opcode.GET_DEVICES: lambda _: GetDevices(),
    Opcode.SUBSCRIBE: lambda reader: Subscribe(instance=reader.unsigned()),
    Opcode.UNSUBSCRIBE: lambda reader: Unsubscribe(instance=reader.unsigned()),
    Opcode.GET_VALUES: _get_values,
    Opcode.SET_VALUES: _set_values,
    ENCRYPTED_GET_VALUES: partial(_get_values, opcode=ENCRYPTED_GET_VALUES),
}


def requests(stream: bytes) -> Iterator[Request]:
    """Yield the requests of a stream as far as they can be told apart; raises MalformedRecordError where they cannot.

    Path and unknown requests are the last ones yielded: where they end is not known.
    """
    reader = Reader(stream)
    while not reader.at_end:
        opcode = reader.opcode()
        if opcode in PATH_OPCODES:
            yield PathRequest(opcode=opcode, instance=reader.unsigned())
            return
        if opcode not in _PARSERS:
            yield UnknownRequest(opcode=opcode)
            return
        yield _PARSERS[opcode](reader)


def _device_list(reader: Reader) -> DeviceList:
    definite = reader.at_definite_array
    numbers = batched(map(_as_unsigned, reader.array()), 2, strict=False)
    return DeviceList(pairs=tuple(map(_as_pair, numbers)), definite=definite)


def _as_pair(numbers: tuple[int, ...]) -> tuple[int, int]:
    match numbers:
        case (instance, second):
            return instance, second
    raise MalformedRecordError("half a pair in the device list")


_ANSWERS: Final[dict[int, Callable[[Reader], Answer]]] = {
    Opcode.DEVICE_LIST: _device_list,
    Opcode.RESPONSE: lambda reader: Response(
        instance=reader.unsigned(), opcode=reader.unsigned(), code=reader.unsigned()
    ),
    Opcode.VALUE: lambda reader: Value(instance=reader.unsigned(), register=reader.unsigned(), payload=reader.octets()),
    Opcode.VALUE_RESPONSE: lambda reader: ValueResponse(
        instance=reader.unsigned(), register=reader.unsigned(), code=reader.unsigned()
    ),
}


def answers(stream: bytes) -> Iterator[tuple[Answer, bytes]]:
    """Yield the answers of a stream with their bytes; raises MalformedRecordError where they cannot be told apart."""
    reader = Reader(stream)
    while not reader.at_end:
        start, opcode = reader.position, reader.unsigned()
        if opcode not in _ANSWERS:
            raise MalformedRecordError(f"record {opcode:#04x}")
        answer = _ANSWERS[opcode](reader)
        yield answer, stream[start : reader.position]


def device_list(pairs: Iterable[tuple[int, int]], *, definite: bool = False) -> bytes:
    """Encode the answer to GetDevices. The devices seen send an array of indefinite length."""
    numbers = [number for pair in pairs for number in pair]
    items = _unsigneds(*numbers)
    if definite:
        return _unsigned(Opcode.DEVICE_LIST) + _head(_ARRAY, len(numbers)) + items
    return bytes((Opcode.DEVICE_LIST, _ARRAY << 5 | _INDEFINITE)) + items + _BREAK


def response(instance: int, opcode: int, code: int) -> bytes:
    """Encode the answer to a whole request; code 0 is success."""
    return _unsigneds(Opcode.RESPONSE, instance, opcode, code)


def path_response(request: PathRequest, code: int) -> bytes:
    """Encode the answer to a path request, whose opcode stands *before* the instance on the wire."""
    return _unsigneds(Opcode.RESPONSE, request.opcode, request.instance, code)


def value(instance: int, register: int, payload: bytes) -> bytes:
    """Encode one register's value."""
    return _unsigneds(Opcode.VALUE, instance, register) + _head(_OCTETS, len(payload)) + payload


def value_response(instance: int, register: int, code: int) -> bytes:
    """Encode what became of one register of a request; code 0 is success."""
    return _unsigneds(Opcode.VALUE_RESPONSE, instance, register, code)


def _unsigneds(*numbers: int) -> bytes:
    return b"".join(map(_unsigned, numbers))


def _unsigned(number: int) -> bytes:
    return _head(_UNSIGNED, number)


def _head(major: int, argument: int) -> bytes:
    if argument <= _LARGEST_INLINE:
        return bytes((major << 5 | argument,))
    form, size = next((form, size) for form, size in _ARGUMENT_SIZE.items() if argument < 1 << 8 * size)
    return bytes((major << 5 | form,)) + argument.to_bytes(size)
