"""Keeps the latest connections of one device as frames, in bounded memory, whatever client makes them."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from struct import Struct
from time import monotonic
from typing import Final

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic

from ..protocol.session import Channel
from .adapters import AdapterPreference

MOST_CONNECTIONS: Final = 3
# Bytes of the frames that are kept of one connection: the opening, and then the latest.
OPENING_SIZE: Final = 2 * 1024
LATEST_SIZE: Final = 5 * 1024
_MOST_ERRORS: Final = 8
_LONGEST_ERROR: Final = 240
_MOST_CHARACTERISTICS: Final = 32
# What an ATT packet carries beside a value.
_ATT_HEADER: Final = 3

# Time, operation, characteristic, error, and the length of the bytes that follow.
_HEAD: Final = Struct("<fBBBH")


class Direction(StrEnum):
    """Seen from Home Assistant."""

    OUT = "out"
    IN = "in"


class Operation(StrEnum):
    """What was done to a characteristic, or to the connection."""

    READ = "read"
    WRITE = "write"
    NOTIFY = "notify"
    SUBSCRIBE = "subscribe"
    PAIR = "pair"


class Ending(StrEnum):
    """How a connection ended, unless an error tells more."""

    CLOSED = "closed"
    LOST = "lost"


_OPERATIONS: Final = tuple(Operation)
# The result of a read, and what the device sends by itself.
_INWARD: Final = frozenset({Operation.READ, Operation.NOTIFY})
_CHANNELS: Final[dict[str, str]] = {Channel.CONTROL: "control", Channel.LAST_DATA: "last_data", Channel.DATA: "data"}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One operation; at is in s since the connection began."""

    at: float
    operation: Operation
    characteristic: str
    data: bytes
    error: str | None

    @property
    def direction(self) -> Direction:
        """Which way its bytes went."""
        return Direction.IN if self.operation in _INWARD else Direction.OUT


@dataclass(frozen=True, kw_only=True)
class RecordedError:
    """An error that a radio or a client reported; at is in s since the connection began."""

    at: float
    text: str


class Frames:
    """Frames in the order of their time. When there are too many, those after the opening go first."""

    def __init__(self) -> None:
        self.dropped = 0
        self._added = 0
        self._in_opening = 0
        self._opening = bytearray()
        self._latest = bytearray()
        self._characteristics: list[str] = [""]

    def add(self, at: float, operation: Operation, characteristic: str, data: bytes) -> int:
        """Add a frame; return its number."""
        self._added += 1
        head = _HEAD.pack(at, _OPERATIONS.index(operation), self._index(characteristic), 0, len(data))
        size = len(head) + len(data)
        if not self._latest and len(self._opening) + size <= OPENING_SIZE:
            self._opening += head + data
            self._in_opening += 1
        else:
            self._add_latest(head + data)
        return self._added

    def set_error(self, number: int, error: int) -> None:
        """Set which error came of a frame; both count from 1. Does nothing if the frame is not kept any more."""
        in_latest = number - self._in_opening - self.dropped
        part, index = (self._opening, number) if number <= self._in_opening else (self._latest, in_latest)
        if index < 1:
            return
        place = next(islice(_places(part), index - 1, None))
        at, operation, characteristic, _, length = _HEAD.unpack_from(part, place)
        _HEAD.pack_into(part, place, at, operation, characteristic, error, length)

    def _add_latest(self, frame: bytes) -> None:
        self._latest += frame
        while len(self._latest) > max(LATEST_SIZE, len(frame)):
            *_, length = _HEAD.unpack_from(self._latest)
            del self._latest[: _HEAD.size + length]
            self.dropped += 1

    @property
    def in_opening(self) -> int:
        """How many frames stand before those that were dropped."""
        return self._in_opening

    def all(self, errors: list[RecordedError]) -> Iterator[Frame]:
        """Yield the frames that are kept."""
        for part in (self._opening, self._latest):
            for place in _places(part):
                yield self._frame(part, place, errors)

    def _frame(self, part: bytearray, place: int, errors: list[RecordedError]) -> Frame:
        at, operation, characteristic, error, length = _HEAD.unpack_from(part, place)
        start = place + _HEAD.size
        return Frame(
            at=at,
            operation=_OPERATIONS[operation],
            characteristic=self._characteristics[characteristic],
            data=bytes(part[start : start + length]),
            error=errors[error - 1].text if error else None,
        )

    def _index(self, characteristic: str) -> int:
        if characteristic not in self._characteristics:
            if len(self._characteristics) == _MOST_CHARACTERISTICS:
                return 0
            self._characteristics.append(characteristic)
        return self._characteristics.index(characteristic)


def _places(part: bytearray) -> Iterator[int]:
    """Yield where each frame begins."""
    place = 0
    while place < len(part):
        yield place
        *_, length = _HEAD.unpack_from(part, place)
        place += _HEAD.size + length


class RecordedConnection:
    """One connection, or the attempt to make one.

    began: in s of the recorder's clock. radio: the source of the radio, None if it is not known. ended: how the
    connection ended; None while it is open.
    """

    radio: str | None = None
    by_proxy = False
    mtu: int | None = None
    ended: str | None = None

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.began = clock()
        self.errors: list[RecordedError] = []
        self._frames = Frames()

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames that are kept, in the order of their time."""
        return tuple(self._frames.all(self.errors))

    @property
    def dropped_frames(self) -> int:
        """How many frames are not kept."""
        return self._frames.dropped

    @property
    def frames_before_gap(self) -> int:
        """How many of the frames come before those that are not kept."""
        return self._frames.in_opening

    @property
    def heard(self) -> int:
        """How many bytes the device has said, of those that are kept."""
        return sum(len(frame.data) for frame in self.frames if frame.direction is Direction.IN)

    def add(self, operation: Operation, characteristic: str = "", data: bytes = b"") -> int:
        """Add a frame; return its number."""
        return self._frames.add(self._clock() - self.began, operation, characteristic, data)

    @contextmanager
    def operation(self, operation: Operation, characteristic: str = "", data: bytes = b"") -> Iterator[None]:
        """Add a frame of what the context does, and its error if it has one."""
        number = self.add(operation, characteristic, data)
        try:
            yield
        except BaseException as error:
            self.note_failure(number, error)
            raise

    def note_failure(self, number: int, error: BaseException) -> None:
        """Note which error came of a frame."""
        self._frames.set_error(number, self._note(error))

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Note how an attempt to connect ends, if that is by an error."""
        try:
            yield
        except BaseException as error:
            self._note(error)
            self.ended = self.errors[-1].text
            raise
        self.ended = None

    def end(self, ending: str) -> None:
        """Note how the connection ended; only what comes first counts."""
        self.ended = self.ended or ending

    def _note(self, error: BaseException) -> int:
        """Note an error; return its number."""
        if len(self.errors) == _MOST_ERRORS:
            # The first errors tell more than the same ones again.
            self.errors.pop()
        text = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        self.errors.append(RecordedError(at=self._clock() - self.began, text=text))
        return len(self.errors)


class Recorder:
    """Keeps the latest connections to one device, and the one in which it said most.

    While it is paused, no connection is added.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.connections: deque[RecordedConnection] = deque()
        self._clock = clock
        self._paused = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Add no connection that is made in the context."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def recorded(self, client_class: type[BleakClient], preference: AdapterPreference) -> type[BleakClient]:
        """Return a class for one client, whose connection is kept; the preference tells by which radio it is made.

        A class that has not what bleak's has is returned as it is: to connect is more important than to keep how.
        """
        if self._paused or not all(hasattr(client_class, name) for name in _TELLING):
            return client_class
        return type(client_class.__name__, (client_class,), _methods(client_class, self._begin(), preference))

    @contextmanager
    def pairing(self) -> Iterator[None]:
        """Keep what comes of a pairing that no client makes."""
        connection = self._begin()
        with connection.connecting(), connection.operation(Operation.PAIR):
            yield
        connection.end(Ending.CLOSED)

    def _begin(self) -> RecordedConnection:
        if len(self.connections) == MOST_CONNECTIONS:
            self.connections.remove(self._least_worth)
        connection = RecordedConnection(self._clock)
        self.connections.append(connection)
        return connection

    @property
    def _least_worth(self) -> RecordedConnection:
        """The connection to make room: the oldest failed attempt, of which there may be many, else the oldest one.

        The one that says most stays: the first, in which everything is read, says what later ones do not repeat.
        """
        richest = max(self.connections, key=lambda connection: connection.heard)
        others = [connection for connection in self.connections if connection is not richest]
        return next((connection for connection in others if not connection.heard), others[0])


type _Method = Callable[..., object]

# The methods of a client that tell a connection what they do.
_TELLING: Final = ("connect", "pair", "disconnect", "read_gatt_char", "write_gatt_char", "start_notify")


def _methods(
    client_class: type[BleakClient], connection: RecordedConnection, preference: AdapterPreference
) -> dict[str, _Method]:
    """Return the methods of a client that tell a connection what they do."""
    return _of_connecting(client_class, connection, preference) | _of_reading_and_writing(client_class, connection)


def _of_connecting(
    client_class: type[BleakClient], connection: RecordedConnection, preference: AdapterPreference
) -> dict[str, _Method]:
    initialize: _Method = client_class.__init__
    connect: Callable[..., Awaitable[object]] = client_class.connect
    pair: Callable[..., Awaitable[object]] = client_class.pair
    disconnect: Callable[..., Awaitable[object]] = client_class.disconnect

    def recorded_init(
        client: BleakClient,
        device: object,
        disconnected_callback: Callable[[BleakClient], None] | None = None,
        *more: object,
        **options: object,
    ) -> None:
        def ended(one: BleakClient) -> None:
            connection.end(Ending.LOST)
            if disconnected_callback:
                disconnected_callback(one)

        initialize(client, device, ended, *more, **options)

    async def recorded_connect(client: BleakClient, *more: object, **options: object) -> None:
        try:
            with connection.connecting():
                await connect(client, *more, **options)
        finally:
            connection.radio, connection.by_proxy = preference.source, preference.proxy is not None
        connection.mtu = _mtu(client)

    async def recorded_pair(client: BleakClient, *more: object, **options: object) -> object:
        with connection.operation(Operation.PAIR):
            return await pair(client, *more, **options)

    async def recorded_disconnect(client: BleakClient) -> object:
        connection.end(Ending.CLOSED)
        return await disconnect(client)

    return {
        "__init__": recorded_init,
        "connect": recorded_connect,
        "pair": recorded_pair,
        "disconnect": recorded_disconnect,
    }


def _of_reading_and_writing(client_class: type[BleakClient], connection: RecordedConnection) -> dict[str, _Method]:
    read: Callable[..., Awaitable[bytearray]] = client_class.read_gatt_char
    write: Callable[..., Awaitable[None]] = client_class.write_gatt_char
    subscribe: Callable[..., Awaitable[None]] = client_class.start_notify

    async def recorded_read(client: BleakClient, characteristic: object, **options: object) -> bytearray:
        try:
            data = await read(client, characteristic, **options)
        except BaseException as error:
            connection.note_failure(connection.add(Operation.READ, _name(characteristic)), error)
            raise
        connection.add(Operation.READ, _name(characteristic), bytes(data))
        return data

    async def recorded_write(
        client: BleakClient, characteristic: object, data: bytes, *more: object, **options: object
    ) -> None:
        # Before it is done: the answer may come meanwhile.
        with connection.operation(Operation.WRITE, _name(characteristic), bytes(data)):
            await write(client, characteristic, data, *more, **options)

    async def recorded_subscribe(
        client: BleakClient,
        characteristic: object,
        notified: Callable[[BleakGATTCharacteristic, bytearray], None],
        **options: object,
    ) -> None:
        def recorded_notification(source: BleakGATTCharacteristic, data: bytearray) -> None:
            connection.add(Operation.NOTIFY, _name(source), bytes(data))
            notified(source, data)

        with connection.operation(Operation.SUBSCRIBE, _name(characteristic)):
            await subscribe(client, characteristic, recorded_notification, **options)

    return {"read_gatt_char": recorded_read, "write_gatt_char": recorded_write, "start_notify": recorded_subscribe}


def _name(characteristic: object) -> str:
    """Return what a characteristic is called in a recording: its role in VE.Smart, else its UUID."""
    uuid = characteristic.uuid if isinstance(characteristic, BleakGATTCharacteristic) else str(characteristic)
    return _CHANNELS.get(uuid, uuid)


def _mtu(client: BleakClient) -> int | None:
    """Return the MTU; None where there is no such characteristic. BlueZ tells it only of characteristics."""
    characteristic = client.services.get_characteristic(Channel.CONTROL)
    return None if characteristic is None else characteristic.max_write_without_response_size + _ATT_HEADER
