"""Answers as a recorded device did: the same to the same request, else what is known of the registers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from emulator.comparison.observed import Observed
from emulator.device import VeSmartLink
from emulator.recording import Operation, Recording
from emulator.replay.exchanges import KnownReplies, RepliesByTurn, Reply
from emulator.replay.registers import RecordedRegisters
from emulator.ve_smart.cbor_records import (
    ENCRYPTED_GET_VALUES,
    GetDevices,
    GetValues,
    MalformedRecordError,
    Opcode,
    Request,
    SetValues,
    Subscribe,
    Unsubscribe,
    Value,
    ValueResponse,
    device_list,
    requests,
    response,
    value,
    value_response,
)
from emulator.ve_smart.chunks import (
    ATT_HEADER,
    LARGEST_CHUNK,
    SMALLEST_CHUNK,
    Channel,
    Inbox,
    Outbox,
    StreamTooLongError,
)
from emulator.ve_smart.responder import INSTANT_READOUT_KEY, OK, REFUSED, NotKnownError
from emulator.ve_smart.server import CHUNK_SIZES, ERROR_MALFORMED, ERROR_NOT_KNOWN, ERROR_TOO_LONG, GRANT, ONE_CHUNK

# What a Smart BatteryProtect showed, for a recording without it.
_CONTROL: Final = bytes.fromhex("00010001501400")
_LONGEST_REQUEST: Final = 0xFFFF
_GRANT: Final = bytes((GRANT,))
_CHUNK_SIZES: Final = bytes((CHUNK_SIZES,))


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How the device behaves beside its registers.

    control: what reading Control gives. definite_arrays: the form of arrays that it takes; None for both.
    stands_chunk_sizes: whether the connection goes on after them. flagged_key: whether it gives its key to the opcode
    0x25 only. gives_credit: whether it lets the central send a number of chunks. acknowledges: whether it answers
    writes that it accepts.
    """

    control: bytes = _CONTROL
    definite_arrays: bool | None = None
    stands_chunk_sizes: bool = True
    flagged_key: bool = False
    gives_credit: bool = True
    acknowledges: bool = False

    @classmethod
    def of(cls, recording: Recording) -> Self:
        """Return what a recording shows, and what the integration has learned."""
        observed = Observed(recording)
        frames = [frame for connection in recording.connections for frame in connection.frames]
        control = [frame.bytes for frame in frames if frame.operation is Operation.READ and frame.bytes]
        notified = [frame.bytes for frame in frames if frame.operation is Operation.NOTIFY]
        return cls(
            control=control[-1] if control else _CONTROL,
            definite_arrays=_array_form(recording, observed),
            stands_chunk_sizes=recording.learned.get("chunk_sizes") is not False,
            flagged_key=recording.learned.get("flagged_key_request") is True,
            gives_credit=not notified or any(data[:1] == _GRANT for data in notified),
            acknowledges=_acknowledges(observed),
        )


def _array_form(recording: Recording, observed: Observed) -> bool | None:
    """Return whether arrays must begin with their length, if that is known of the device; None if it takes both."""
    answered = {
        read.content.definite
        for talk in observed.talks
        for read in talk.of_kind(GetValues)
        if next(talk.answers_to(read), None) is not None
    }
    if len(answered) > 1 or recording.learned.get("array_form") != "indefinite":
        return None
    return False


def _acknowledges(observed: Observed) -> bool:
    return any(
        isinstance(answer.content, ValueResponse) and answer.content.code == OK
        for talk in observed.talks
        for write in talk.of_kind(SetValues)
        for answer in talk.answers_to(write)
    )


class ReplayService:
    """Serves the links of a replayed device, one after the other; serve is what the device calls for each."""

    def __init__(self, recording: Recording, key: bytes) -> None:
        self.registers = RecordedRegisters(recording, key)
        self.manners = Manners.of(recording)
        self._known = KnownReplies(recording)
        self._key = key
        self._secrets = _keys_in(recording)
        self._links = 0

    def serve(self, link: VeSmartLink) -> ReplaySession:
        """Begin the session of a link."""
        by_heart = self._known.of_connection(self._links)
        self._links += 1
        return ReplaySession(self, link, by_heart)

    def with_new_key(self, stream: bytes) -> bytes:
        """Return a stream with the new key where it has the one of the recording."""
        for secret in self._secrets:
            stream = stream.replace(secret, self._key)
        return stream


def _keys_in(recording: Recording) -> frozenset[bytes]:
    """Return the stand-ins of the key, as they were said in connections."""
    values = (value for talk in Observed(recording).talks for value in talk.of_kind(Value))
    found = {value.content.payload for value in values if value.content.register == INSTANT_READOUT_KEY}
    return frozenset(payload for payload in found if payload)


class ReplaySession:
    """One VE.Smart session with the replayed device."""

    def __init__(self, service: ReplayService, link: VeSmartLink, by_heart: RepliesByTurn) -> None:
        self._service = service
        self._registers, self._manners = service.registers, service.manners
        self._link = link
        self._by_heart = by_heart
        self._inbox = Inbox(_LONGEST_REQUEST)
        self._outbox = Outbox(link.notify)
        self._opened = False

    def read_control(self) -> bytes:
        """Return what reading Control gives."""
        return self._manners.control

    def write(self, channel: Channel, data: bytes) -> None:
        """Take what the central wrote."""
        if channel is Channel.CONTROL:
            self._take_control(data)
            return
        self._grant()
        try:
            stream = self._inbox.take(channel, data)
            if stream is not None:
                self._answer(stream)
        except StreamTooLongError:
            self._link.notify(Channel.CONTROL, ERROR_TOO_LONG)

    def closed(self) -> None:
        """Nothing goes on without a link."""

    def _take_control(self, data: bytes) -> None:
        if data[:1] == _CHUNK_SIZES and not self._manners.stands_chunk_sizes:
            self._link.disconnect()
        elif data[:1] == _GRANT and len(data) == len(ONE_CHUNK):
            if not self._opened:
                self._opened = True
                self._grant()
            self._outbox.add_credit(data[1])

    def _grant(self) -> None:
        if self._manners.gives_credit:
            self._link.notify(Channel.CONTROL, ONE_CHUNK)

    def _answer(self, stream: bytes) -> None:
        for channel, data in self._replies(stream):
            if channel is Channel.CONTROL:
                self._link.notify(channel, data)
            else:
                size = min(max(SMALLEST_CHUNK, self._link.mtu - ATT_HEADER), LARGEST_CHUNK)
                self._outbox.put(self._service.with_new_key(data), size)

    def _replies(self, stream: bytes) -> Iterable[Reply]:
        """Return what the device said to the same request; otherwise what is known of the registers."""
        try:
            asked = tuple(requests(stream))
            outdated = any(self._is_outdated(request) for request in asked)
            answers = [record for request in asked for record in self._records(request)]
        except MalformedRecordError:
            return self._by_heart.take(stream) or [(Channel.CONTROL, ERROR_MALFORMED)]
        except NotKnownError:
            return self._by_heart.take(stream) or [(Channel.CONTROL, ERROR_NOT_KNOWN)]
        by_heart = None if outdated else self._by_heart.take(stream)
        if by_heart is None:
            return [(Channel.LAST_DATA, b"".join(answers))] if answers else []
        return by_heart

    def _is_outdated(self, request: Request) -> bool:
        """Return whether what the device said was about a value that has been written since."""
        return isinstance(request, GetValues) and self._registers.is_written(request.instance, request.registers)

    def _records(self, request: Request) -> Iterator[bytes]:
        """Yield the answers to a request. Raises MalformedRecordError or NotKnownError where the device complains."""
        match request:
            case GetDevices():
                yield device_list(self._registers.instances, definite=self._registers.in_definite_array)
            case Subscribe(instance=instance):
                yield response(instance, Opcode.SUBSCRIBE, self._known_instance(instance))
            case Unsubscribe(instance=instance):
                yield response(instance, Opcode.UNSUBSCRIBE, self._known_instance(instance))
            case GetValues():
                yield from self._values(request)
            case SetValues():
                yield from self._written(request)
            case _:
                raise NotKnownError

    def _known_instance(self, instance: int) -> int:
        return OK if instance in dict(self._registers.instances) else REFUSED

    def _values(self, request: GetValues) -> Iterator[bytes]:
        self._check_array(definite=request.definite)
        flagged = request.opcode == ENCRYPTED_GET_VALUES
        if flagged and not self._manners.flagged_key:
            raise NotKnownError
        for register in request.registers:
            withheld = register == INSTANT_READOUT_KEY and self._manners.flagged_key and not flagged
            said = REFUSED if withheld else self._registers.read(request.instance, register)
            if isinstance(said, int):
                yield value_response(request.instance, register, said)
            else:
                yield from (value(request.instance, register, payload) for payload in said or ())

    def _written(self, request: SetValues) -> Iterator[bytes]:
        self._check_array(definite=request.definite)
        for register, payload in request.values:
            code = self._registers.write(request.instance, register, payload)
            if code != OK or self._manners.acknowledges:
                yield value_response(request.instance, register, code)

    def _check_array(self, *, definite: bool) -> None:
        if self._manners.definite_arrays not in (None, definite):
            raise MalformedRecordError("an array of the other form")
