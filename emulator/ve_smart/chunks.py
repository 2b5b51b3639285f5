"""Streams cut into chunks: joined on the way in, sent within the central's credit on the way out."""

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from itertools import batched
from typing import Final

ATT_HEADER: Final = 3
SMALLEST_CHUNK: Final = 20
LARGEST_CHUNK: Final = 512  # of an attribute
THROW_AWAY: Final = b"\xf8"


class Channel(StrEnum):
    """The three characteristics of the VE.Smart service."""

    CONTROL = "control"
    LAST_DATA = "last_data"
    DATA = "data"


type Notify = Callable[[Channel, bytes], None]


class StreamTooLongError(ValueError):
    """A stream is longer than the receiver accepts."""


class Inbox:
    """Joins the chunks of a request; holds at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._skipping = False

    def take(self, channel: Channel, chunk: bytes) -> bytes | None:
        """Return the whole stream if this was its last chunk.

        Raises StreamTooLongError once for a stream that is too long; what still comes of it is thrown away.
        """
        last = channel is Channel.LAST_DATA
        if self._skipping:
            self._skipping = not last
            return None
        if len(self._held) + len(chunk) > self._limit:
            self._held.clear()
            self._skipping = not last
            raise StreamTooLongError
        self._held += chunk
        return self._release() if last else None

    def _release(self) -> bytes:
        stream = bytes(self._held)
        self._held.clear()
        return stream


class Outbox:
    """Sends streams in chunks, as many as the central has given credit for."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._waiting: deque[tuple[Channel, bytes]] = deque()
        self._credit = 0

    @property
    def size(self) -> int:
        """Bytes that wait for credit."""
        return sum(len(chunk) for _, chunk in self._waiting)

    @property
    def ready(self) -> bool:
        """Whether a stream would be sent at once."""
        return self._credit > 0 and not self._waiting

    def add_credit(self, chunks: int) -> None:
        """Allow so many more chunks to be sent."""
        self._credit += chunks
        self._pump()

    def put(self, stream: bytes, chunk_size: int, *, false_start: bool = False) -> None:
        """Queue a stream, and send what the credit allows.

        A false start sends the first of several chunks, has it thrown away, and begins again.
        """
        *earlier, last = (bytes(chunk) for chunk in batched(stream, chunk_size, strict=False))
        if false_start and earlier:
            self._waiting.extend(((Channel.DATA, earlier[0]), (Channel.CONTROL, THROW_AWAY)))
        self._waiting.extend((Channel.DATA, chunk) for chunk in earlier)
        self._waiting.append((Channel.LAST_DATA, last))
        self._pump()

    def _pump(self) -> None:
        while self._waiting and self._may_send(self._waiting[0][0]):
            self._notify(*self._waiting.popleft())

    def _may_send(self, channel: Channel) -> bool:
        """Return whether to send now, and use up one credit, which only chunks of streams need."""
        if channel is Channel.CONTROL:
            return True
        if not self._credit:
            return False
        self._credit -= 1
        return True
