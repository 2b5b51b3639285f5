"""What was asked over the recorded connections, and what the device said to it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from emulator.comparison.observed import Place
from emulator.recording import Connection, Direction, Frame, Operation, Recording
from emulator.ve_smart.cbor_records import Answer, MalformedRecordError, Value, answers
from emulator.ve_smart.chunks import THROW_AWAY, Channel
from emulator.ve_smart.server import GRANT

CLOSED: Final = "closed"

# A whole stream goes to LAST_DATA, the rest to CONTROL.
type Reply = tuple[Channel, bytes]


@dataclass(kw_only=True)
class Exchange:
    """One request, and all that the device said until the next one."""

    request: bytes
    replies: list[Reply] = field(default_factory=list)

    @property
    def answers(self) -> Iterator[Answer]:
        """The answers among the replies, as far as they can be read."""
        for channel, stream in self.replies:
            if channel is Channel.LAST_DATA:
                with suppress(MalformedRecordError):
                    for answer, _ in answers(stream):
                        yield answer

    @property
    def payloads(self) -> dict[Place, list[bytes]]:
        """The payloads of each register; several where a register stands for several values."""
        found: dict[Place, list[bytes]] = {}
        for answer in self.answers:
            if isinstance(answer, Value):
                found.setdefault((answer.instance, answer.register), []).append(answer.payload)
        return found


def exchanges(connection: Connection) -> tuple[Exchange, ...]:
    """Return the exchanges of a connection. What was said before the first request belongs to none."""
    return _Listener(connection).exchanges


class _Listener:
    """Joins the frames of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._held = dict.fromkeys(Direction, b"")
        self._found: list[Exchange] = []
        for frame in connection.frames:
            if frame.error is None and frame.operation in (Operation.WRITE, Operation.NOTIFY):
                self._take(frame)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All exchanges, in their order."""
        return tuple(self._found)

    def _take(self, frame: Frame) -> None:
        match frame.characteristic:
            case Channel.CONTROL if frame.direction is Direction.IN:
                self._take_control(frame.bytes)
            case Channel.DATA:
                self._held[frame.direction] += frame.bytes
            case Channel.LAST_DATA:
                stream, self._held[frame.direction] = self._held[frame.direction] + frame.bytes, b""
                self._take_stream(frame.direction, stream)

    def _take_control(self, data: bytes) -> None:
        if data == THROW_AWAY:
            self._held[Direction.IN] = b""
        elif data[:1] != bytes((GRANT,)) and self._found:
            self._found[-1].replies.append((Channel.CONTROL, data))

    def _take_stream(self, direction: Direction, stream: bytes) -> None:
        if direction is Direction.OUT:
            self._found.append(Exchange(request=stream))
        elif self._found:
            self._found[-1].replies.append((Channel.LAST_DATA, stream))


class KnownReplies:
    """The replies to the same request, connection by connection, each time that it was made.

    Connections of which frames are missing are left out, and so is what was asked last before one was lost.
    """

    def __init__(self, recording: Recording) -> None:
        self._connections = [known for each in recording.connections if (known := _whole(each))]

    def of_connection(self, number: int) -> RepliesByTurn:
        """Return the replies for a connection; number counts the connections from 0."""
        if not self._connections:
            return RepliesByTurn(())
        return RepliesByTurn(self._connections[number % len(self._connections)])


class RepliesByTurn:
    """Gives the replies to a request in their order; after the last ones, the last ones again."""

    def __init__(self, known: tuple[Exchange, ...]) -> None:
        self._left: dict[bytes, list[list[Reply]]] = {}
        for exchange in known:
            self._left.setdefault(exchange.request, []).append(exchange.replies)

    def take(self, request: bytes) -> list[Reply] | None:
        """Return what the device said to a request; None if it was not made."""
        turns = self._left.get(request)
        if turns is None:
            return None
        return turns.pop(0) if len(turns) > 1 else turns[0]


def _whole(connection: Connection) -> tuple[Exchange, ...]:
    if connection.dropped_frames:
        return ()
    found = exchanges(connection)
    return found if connection.ended == CLOSED else found[:-1]
