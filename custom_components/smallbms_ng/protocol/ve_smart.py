"""One VE.Smart session without I/O: notifications in, events out; requests in, writes out."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import batched
from struct import Struct
from typing import Final, Self

from .ve_smart_records import DeviceList, Malformed, Outcome, ProtocolError, ReceivedValue, Response, records

SERVICE: Final = "306b0001-b081-4037-83dc-e59fcc3cdfd0"


class Channel(StrEnum):
    """The characteristics of the service."""

    CONTROL = "306b0002-b081-4037-83dc-e59fcc3cdfd0"
    LAST_DATA = "306b0003-b081-4037-83dc-e59fcc3cdfd0"
    DATA = "306b0004-b081-4037-83dc-e59fcc3cdfd0"


SMALLEST_CHUNK: Final = 20
LARGEST_CHUNK: Final = 512  # of an attribute
# Of the largest ATT MTU, three bytes are not for the value.
_LARGEST_PACKET: Final = 517 - 3
LONGEST_STREAM: Final = 64 * 1024

_CREDIT: Final = b"\xf9"
_CHUNK_SIZES: Final = b"\xfa"
_RESET: Final = b"\xf8"
_ERROR: Final = b"\xf7"
_GRANTED: Final = 0x80
# As the app does: what was taken is given back once so many chunks have come.
_REPORTED: Final = 0x41
_MOST_REPORTED: Final = 0xFF
_MOST_CREDIT: Final = 0xFFFF

_CONTROL_INFO: Final = Struct(">BHBB2s")


@dataclass(frozen=True, kw_only=True)
class Write:
    """Something to write to a characteristic, without response."""

    channel: Channel
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Credit:
    """So many more chunks may be sent."""

    chunks: int


@dataclass(frozen=True, kw_only=True)
class ControlError:
    """The device could not take a request. What the bytes mean is not known, but 03 00 is a record it does not know."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Reset:
    """What was collected so far is void."""


type Event = DeviceList | Response | ReceivedValue | Outcome | Malformed | Credit | ControlError | Reset

# As in every session seen.
OPENING: Final = (
    Write(channel=Channel.CONTROL, data=_CHUNK_SIZES + b"\x80\xff"),
    Write(channel=Channel.CONTROL, data=_CREDIT + bytes((_GRANTED,))),
)


@dataclass(frozen=True, kw_only=True)
class ControlInfo:
    """What the device says of itself before a session: bytes of the largest request, and of the largest chunk."""

    largest_request: int
    chunk: int

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Return what the value of Control says. Raises ProtocolError."""
        if len(data) < _CONTROL_INFO.size:
            raise ProtocolError(f"Control has {len(data)} bytes, fewer than {_CONTROL_INFO.size}")
        *_, largest_request, chunk = _CONTROL_INFO.unpack_from(data)
        return cls(largest_request=max(largest_request, SMALLEST_CHUNK), chunk=_plausible_chunk(chunk))


def _plausible_chunk(data: bytes) -> int:
    """Return the chunk size in the way of reading it that makes sense: 4a00 and 1400 were seen, others never.

    More than an attribute holds is cut down to that: a device may tell what its packets hold.
    """
    readings = (int.from_bytes(data, "little"), int.from_bytes(data, "big"))
    size = next((size for size in readings if SMALLEST_CHUNK <= size <= _LARGEST_PACKET), SMALLEST_CHUNK)
    return min(size, LARGEST_CHUNK)


class Session:
    """Everything between the opening and the end of one connection.

    Whoever drives it passes on every notification from the start, begins once Control was read, and writes what
    `writes` yields. largest_request is in bytes.
    """

    def __init__(self) -> None:
        self.largest_request = SMALLEST_CHUNK
        self._chunk = SMALLEST_CHUNK
        self._inbox = _Inbox()
        self._taken = 0
        self._opening: deque[Write] = deque()
        self._waiting: deque[Write] = deque()
        self._credit = 0
        self._metered = True

    @property
    def blocked(self) -> bool:
        """Whether chunks wait for the device's credit."""
        return bool(self._waiting) and not self._may_send

    def begin(self, control: bytes, largest_write: int) -> None:
        """Open with the value of Control, and with the bytes that a write can carry. Raises ProtocolError."""
        info = ControlInfo.read(control)
        self.largest_request = info.largest_request
        self._chunk = max(SMALLEST_CHUNK, min(info.chunk, largest_write))
        self._opening.extend(OPENING)

    def receive(self, channel: Channel, data: bytes) -> tuple[Event, ...]:
        """Take a notification, whatever it is, and return what it says."""
        if channel is Channel.CONTROL:
            return self._control(data)
        self._taken += 1
        return tuple(self._inbox.take(channel, data))

    def queue(self, request: bytes) -> None:
        """Put a request in line."""
        *earlier, last = (bytes(chunk) for chunk in batched(request, self._chunk, strict=False))
        self._waiting.extend(Write(channel=Channel.DATA, data=chunk) for chunk in earlier)
        self._waiting.append(Write(channel=Channel.LAST_DATA, data=last))

    def writes(self) -> Iterator[Write]:
        """Yield what can be written now."""
        while self._opening:
            yield self._opening.popleft()
        while self._taken >= _REPORTED:
            reported = min(self._taken, _MOST_REPORTED)
            self._taken -= reported
            yield Write(channel=Channel.CONTROL, data=_CREDIT + bytes((reported,)))
        while self._waiting and self._may_send:
            self._credit -= self._metered
            yield self._waiting.popleft()

    def assume_credit(self) -> None:
        """Send without credit from now on: the device grants none."""
        self._metered = False

    @property
    def _may_send(self) -> bool:
        return self._credit > 0 or not self._metered

    def _control(self, data: bytes) -> tuple[Event, ...]:
        opcode, rest = data[:1], data[1:]
        if opcode == _CREDIT and rest:
            self._credit = min(self._credit + rest[0], _MOST_CREDIT)
            return (Credit(chunks=rest[0]),)
        if opcode == _RESET:
            self._inbox.clear()
            return (Reset(),)
        return (ControlError(data=rest) if opcode == _ERROR else Malformed(reason=f"Control {data.hex()}"),)


class _Inbox:
    """Joins the chunks of a stream."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skipping = False

    def clear(self) -> None:
        """Throw away what was collected so far."""
        self._held.clear()
        self._skipping = False

    def take(self, channel: Channel, chunk: bytes) -> Iterator[Event]:
        """Take a chunk, and yield what its stream says if it was the last."""
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
