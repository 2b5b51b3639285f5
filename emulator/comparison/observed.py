"""What a recording shows: the records that were advertised, and every message of the connections."""

from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Final

from emulator.recording import Connection, Direction, Frame, HeardAdvertisement, Operation, Recording, SurveyAnswer
from emulator.ve_smart.cbor_records import (
    Answer,
    DeviceList,
    GetValues,
    MalformedRecordError,
    Request,
    SetValues,
    Value,
    ValueResponse,
    answers,
    requests,
)
from emulator.ve_smart.chunks import THROW_AWAY, Channel

# An instance and a register of it.
type Place = tuple[int, int]
type AboutRegister = Message[Value] | Message[ValueResponse]

HEADER_LENGTH: Final = 8  # bytes of an advertisement before the record
RECORD_LENGTH: Final = 16
MAIN: Final = 0


@dataclass(frozen=True, kw_only=True)
class Message[Content]:
    """One message of a connection: what it says, its bytes, and where it is. at: seconds since the connection began."""

    at: float
    place: str
    content: Content
    bytes: bytes

    def __str__(self) -> str:
        return f"{self.bytes.hex()} ({self.place}, {self.at:.3f} s)"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the device said to one register: a value or a refusal, to_write if it refused to have it written."""

    instance: int
    register: int
    payload: bytes | None
    code: int | None
    proof: str
    to_write: bool = False


@dataclass(frozen=True, kw_only=True)
class Advertised:
    """One decrypted record. proof: its bytes, and when it was heard."""

    record: int
    proof: str

    def field(self, start: int, width: int) -> int:
        """Return some bits of the record."""
        return self.record >> start & (1 << width) - 1


@dataclass(frozen=True, kw_only=True)
class Talk:
    """One connection, taken apart."""

    number: int
    connection: Connection

    @property
    def place(self) -> str:
        """Where it is in the recording, for people."""
        return f"connection {self.number}"

    @cached_property
    def messages(self) -> tuple[Message[Request | Answer], ...]:
        """Every request and answer, in the order of their times."""
        found = [*self._joined(Direction.OUT), *self._joined(Direction.IN)]
        return tuple(sorted(found, key=lambda message: message.at))

    def frames(self, direction: Direction, operation: Operation, channel: Channel | None = None) -> list[Frame]:
        """Return the frames of a kind that went well."""
        return [
            frame
            for frame in self.connection.frames
            if (frame.direction, frame.operation) == (direction, operation)
            and channel in {None, frame.characteristic}
            and frame.error is None
        ]

    def proof(self, frame: Frame) -> str:
        """Return the bytes of a frame, and where it is."""
        return f"{frame.bytes.hex() or 'no bytes'} ({self.place}, {frame.at:.3f} s)"

    def of_kind[Content](self, kind: type[Content]) -> list[Message[Content]]:
        """Return the messages of one kind."""
        return [
            Message(at=message.at, place=message.place, content=message.content, bytes=message.bytes)
            for message in self.messages
            if isinstance(message.content, kind)
        ]

    def answers_to(self, request: Message[GetValues] | Message[SetValues]) -> Iterator[AboutRegister]:
        """Yield what was said to the registers of a request, until one of them is read, or written, once more."""
        places = _places(request.content)
        others = (other for other in self.of_kind(type(request.content)) if other.at > request.at)
        until = min((other.at for other in others if places & _places(other.content)), default=inf)
        said: list[AboutRegister] = [*self.of_kind(Value), *self.of_kind(ValueResponse)]
        for answer in said:
            place = (answer.content.instance, answer.content.register)
            if request.at <= answer.at < until and place in places:
                yield answer

    def said(self) -> Iterator[Said]:
        """Yield what the device said to registers."""
        written: set[Place] = set()
        for message in self.messages:
            match message.content:
                case GetValues() as read:
                    written -= _places(read)
                case SetValues() as write:
                    written |= _places(write)
                case Value() | ValueResponse() as answer:
                    yield _said(answer, str(message), written)

    def _joined(self, direction: Direction) -> Iterator[Message[Request | Answer]]:
        """Yield the messages that went one way."""
        held = b""
        operation = Operation.WRITE if direction is Direction.OUT else Operation.NOTIFY
        for frame in self.frames(direction, operation):
            if frame.characteristic == Channel.CONTROL:
                held = b"" if frame.bytes == THROW_AWAY else held
            elif frame.characteristic in {Channel.DATA, Channel.LAST_DATA}:
                held += frame.bytes
            if frame.characteristic == Channel.LAST_DATA:
                yield from self._read(frame, held)
                held = b""

    def _read(self, frame: Frame, stream: bytes) -> Iterator[Message[Request | Answer]]:
        """Yield the messages of a stream as far as they can be read: frames in the middle may have been left out."""
        out = frame.direction is Direction.OUT
        parts: Iterable[tuple[Request | Answer, bytes]] = (
            ((request, stream) for request in requests(stream)) if out else answers(stream)
        )
        with suppress(MalformedRecordError):
            for content, own in parts:
                yield Message(at=frame.at, place=self.place, content=content, bytes=own)


def _places(request: GetValues | SetValues) -> frozenset[Place]:
    """Return the registers that a request is about, with its instance."""
    registers = request.registers if isinstance(request, GetValues) else dict(request.values)
    return frozenset((request.instance, register) for register in registers)


class Observed:
    """What a recording shows."""

    def __init__(self, recording: Recording) -> None:
        self.advertisements = recording.advertisements
        self.talks = tuple(
            Talk(number=number, connection=connection) for number, connection in enumerate(recording.connections, 1)
        )
        self.records = tuple(_advertised(each) for each in recording.advertisements if _has_record(each))
        self.learned = recording.learned
        self._survey = () if recording.survey is None else recording.survey.answers

    @cached_property
    def device_lists(self) -> tuple[Message[DeviceList], ...]:
        """The lists of instances."""
        return tuple(message for talk in self.talks for message in talk.of_kind(DeviceList))

    @cached_property
    def instances(self) -> tuple[int, ...]:
        """The instances by the last list; none where there is no list."""
        lists = self.device_lists
        return tuple(instance for instance, _ in lists[-1].content.pairs) if lists else ()

    @property
    def main(self) -> int:
        """The instance of the device as a whole."""
        return MAIN if MAIN in self.instances or not self.instances else self.instances[0]

    @cached_property
    def said(self) -> tuple[Said, ...]:
        """What the device said to registers, in connections and to the survey."""
        surveyed = (_surveyed(answer) for answer in self._survey if not answer.silent)
        return (*(said for talk in self.talks for said in talk.said()), *surveyed)

    def of_main(self, register: int) -> list[Said]:
        """Return what the device as a whole said to a register."""
        return [said for said in self.said if (said.instance, said.register) == (self.main, register)]

    def values(self, register: int) -> list[tuple[bytes, str]]:
        """Return the payloads of a register of the device as a whole, with their proof."""
        return [(said.payload, said.proof) for said in self.of_main(register) if said.payload is not None]

    def numbers(self, register: int) -> list[tuple[int, str]]:
        """Return the payloads of a register of the device as a whole as unsigned numbers, with their proof."""
        return [(int.from_bytes(payload, "little"), proof) for payload, proof in self.values(register)]


def _said(answer: Value | ValueResponse, proof: str, written: Container[Place]) -> Said:
    instance, register = answer.instance, answer.register
    if isinstance(answer, Value):
        return Said(instance=instance, register=register, payload=answer.payload, code=None, proof=proof)
    to_write = (instance, register) in written
    return Said(instance=instance, register=register, payload=None, code=answer.code, proof=proof, to_write=to_write)


def _surveyed(answer: SurveyAnswer) -> Said:
    what = f"code {answer.code}" if answer.value is None else answer.value.hex()
    proof = f"{what} (survey, 0x{answer.number:04X} of instance {answer.instance})"
    return Said(instance=answer.instance, register=answer.number, payload=answer.value, code=answer.code, proof=proof)


def _has_record(heard: HeardAdvertisement) -> bool:
    return heard.decrypted and len(heard.bytes) >= HEADER_LENGTH + RECORD_LENGTH


def _advertised(heard: HeardAdvertisement) -> Advertised:
    record = heard.bytes[HEADER_LENGTH : HEADER_LENGTH + RECORD_LENGTH]
    return Advertised(record=int.from_bytes(record, "little"), proof=f"{heard.bytes.hex()} (heard at {heard.at:.1f} s)")
