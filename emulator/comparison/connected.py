"""What is assumed of connections: how they begin, and how requests are made and answered."""

from collections.abc import Callable
from itertools import chain
from typing import Final

from emulator.comparison.findings import Assumption, Check, Findings, Grade, finding, unless_learned
from emulator.comparison.observed import Message, Observed, Talk
from emulator.recording import Direction, Operation
from emulator.ve_smart.cbor_records import GetValues, Opcode, Response, SetValues, Value
from emulator.ve_smart.chunks import Channel
from emulator.ve_smart.responder import INSTANT_READOUT_KEY, KEEP_ALIVE, OK
from emulator.ve_smart.server import CHUNK_SIZES, GRANT

_CONTROL_LENGTH: Final = 7
_BANK: Final = 0x0380
_CLOSED: Final = "closed"
# How radios say that a bond is missing.
_WITHOUT_BOND: Final = ("authentication", "not paired", "0x05", "error 5")


def _each(check: Callable[[Talk], Findings]) -> Check:
    """Return a check of every connection by itself."""
    return lambda observed: chain.from_iterable(map(check, observed.talks))


def _needs_a_bond(talk: Talk) -> Findings:
    for frame in talk.connection.frames:
        if frame.error is not None and any(words in frame.error.lower() for words in _WITHOUT_BOND):
            yield finding(agrees=True, proof=f"{frame.error} ({talk.place}, {frame.at:.3f} s)")


def _notifies_with_bytes(talk: Talk) -> Findings:
    for channel in Channel:
        for frame in talk.frames(Direction.IN, Operation.NOTIFY, channel):
            yield finding(agrees=bool(frame.bytes), proof=talk.proof(frame))


def _has_seven_bytes(talk: Talk) -> Findings:
    for direction in Direction:
        for frame in talk.frames(direction, Operation.READ, Channel.CONTROL):
            if frame.bytes:
                yield finding(agrees=len(frame.bytes) == _CONTROL_LENGTH, proof=talk.proof(frame))


def _stands_chunk_sizes(talk: Talk) -> Findings:
    """Yield whether anything came after them; silence proves nothing unless the connection was lost."""
    notified = [frame.at for frame in talk.frames(Direction.IN, Operation.NOTIFY)]
    for frame in talk.frames(Direction.OUT, Operation.WRITE, Channel.CONTROL):
        goes_on = any(at >= frame.at for at in notified)
        ended = talk.connection.ended not in {None, _CLOSED}
        if frame.bytes[:1] == bytes((CHUNK_SIZES,)) and (goes_on or ended):
            yield finding(agrees=goes_on, proof=talk.proof(frame))


def _gives_credit(talk: Talk) -> Findings:
    notified = talk.frames(Direction.IN, Operation.NOTIFY, Channel.CONTROL)
    granted = next((frame for frame in notified if frame.bytes[:1] == bytes((GRANT,))), None)
    if granted is not None:
        yield finding(agrees=True, proof=talk.proof(granted))
    elif values := talk.of_kind(Value):
        yield finding(agrees=False, proof=values[0])


def _subscribes(talk: Talk) -> Findings:
    for message in talk.of_kind(Response):
        if message.content.opcode == Opcode.SUBSCRIBE:
            yield finding(agrees=message.content.code == OK, proof=message)


def _lists_in_indefinite_arrays(observed: Observed) -> Findings:
    return (finding(agrees=not listed.content.definite, proof=listed) for listed in observed.device_lists)


def _has_instance_0(observed: Observed) -> Findings:
    return (finding(agrees=0 in dict(listed.content.pairs), proof=listed) for listed in observed.device_lists)


def _batteries_are_instances(observed: Observed) -> Findings:
    banks = [payload[0] for payload, _ in observed.values(_BANK) if payload]
    for listed in observed.device_lists if banks else ():
        yield finding(agrees=len(listed.content.pairs) - 1 == banks[-1], proof=listed)


def _is_answered(talk: Talk, request: Message[GetValues]) -> bool:
    return next(talk.answers_to(request), None) is not None


def _takes_definite_arrays(observed: Observed) -> Findings:
    """Yield a read with such an array; one without an answer counts once the other form got an answer."""
    reads = [(read, _is_answered(talk, read)) for talk in observed.talks for read in talk.of_kind(GetValues)]
    definite = [(read, answered) for read, answered in reads if read.content.definite]
    taken = next((read for read, answered in definite if answered), None)
    if taken is not None:
        yield finding(agrees=True, proof=taken)
    elif definite and any(answered for _, answered in reads):
        yield finding(agrees=False, proof=definite[0][0])


def _answers_the_first_read(talk: Talk) -> Findings:
    """Yield the first read; one without an answer counts once the same bytes got an answer."""
    reads = talk.of_kind(GetValues)
    if not reads:
        return
    first, *others = reads
    answered = _is_answered(talk, first)
    if answered or any(other.bytes == first.bytes and _is_answered(talk, other) for other in others):
        yield finding(agrees=answered, proof=first)


def _gives_the_key(observed: Observed) -> Findings:
    for talk in observed.talks:
        for read in talk.of_kind(GetValues):
            if (read.content.opcode, read.content.instance) == (Opcode.GET_VALUES, observed.main):
                yield from _key_findings(talk, read)


def _key_findings(talk: Talk, read: Message[GetValues]) -> Findings:
    for answer in talk.answers_to(read):
        if answer.content.register == INSTANT_READOUT_KEY:
            yield finding(agrees=isinstance(answer.content, Value), proof=answer)


def _writes(talk: Talk) -> list[Message[SetValues]]:
    """Return the writes of the device's registers: the keep-alive is the connection's."""
    return [write for write in talk.of_kind(SetValues) if KEEP_ALIVE not in dict(write.content.values)]


def _does_not_acknowledge(talk: Talk) -> Findings:
    for write in _writes(talk):
        for answer in talk.answers_to(write):
            if isinstance(answer.content, Value):
                yield finding(agrees=True, proof=write)
            elif answer.content.code == OK:
                yield finding(agrees=False, proof=answer)


def _can_be_written(talk: Talk) -> Findings:
    """Yield refusals, and values that were read back as they were written; others may be old or rounded."""
    for write in _writes(talk):
        written = dict(write.content.values)
        for answer in talk.answers_to(write):
            if not isinstance(answer.content, Value):
                yield finding(agrees=answer.content.code == OK, proof=answer)
            elif answer.content.payload == written[answer.content.register]:
                yield finding(agrees=True, proof=answer)


CONNECTED: Final = (
    Assumption(
        id="bond",
        grade=Grade.LIVE,
        sentence="Without a bond, Control cannot be read.",
        check=_each(_needs_a_bond),
    ),
    Assumption(
        id="notifications",
        grade=Grade.ASSUMED,
        sentence="Notifications arrive with their bytes, also through BlueZ's usual method.",
        check=unless_learned(_each(_notifies_with_bytes), "acquire_notifications", needed=True),
    ),
    Assumption(
        id="control",
        grade=Grade.LIVE,
        sentence="Control has seven bytes.",
        check=_each(_has_seven_bytes),
    ),
    Assumption(
        id="chunk-sizes",
        grade=Grade.LIVE,
        sentence="The device keeps the connection when it is told chunk sizes (fa 80 ff).",
        check=unless_learned(_each(_stands_chunk_sizes), "chunk_sizes", needed=False),
    ),
    Assumption(
        id="credit",
        grade=Grade.LIVE,
        sentence="The device gives credit for chunks (f9).",
        check=_each(_gives_credit),
    ),
    Assumption(
        id="list-form",
        grade=Grade.LIVE,
        sentence="The list of instances is an array of indefinite length.",
        check=_lists_in_indefinite_arrays,
    ),
    Assumption(
        id="instance-0",
        grade=Grade.LIVE,
        sentence="The device as a whole is instance 0.",
        check=_has_instance_0,
    ),
    Assumption(
        id="batteries",
        grade=Grade.ASSUMED,
        sentence="Every battery is an instance of its own.",
        check=_batteries_are_instances,
    ),
    Assumption(
        id="subscribe",
        grade=Grade.LIVE,
        sentence="A subscription is answered with code 0.",
        check=_each(_subscribes),
    ),
    Assumption(
        id="arrays",
        grade=Grade.LIVE,
        sentence="A request is answered whose array begins with its length.",
        check=unless_learned(_takes_definite_arrays, "array_form", needed="indefinite"),
    ),
    Assumption(
        id="first-read",
        grade=Grade.LIVE,
        sentence="The first read of a connection is answered.",
        check=_each(_answers_the_first_read),
    ),
    Assumption(
        id="key-opcode",
        grade=Grade.ASSUMED,
        sentence="The Instant Readout key is read by opcode 05, as every register.",
        check=unless_learned(_gives_the_key, "flagged_key_request", needed=True),
    ),
    Assumption(
        id="acknowledgment",
        grade=Grade.LIVE,
        sentence="The device does not acknowledge what was written.",
        check=_each(_does_not_acknowledge),
    ),
    Assumption(
        id="writable",
        grade=Grade.PUBLISHED,
        sentence="Mode, settings and actions can be written.",
        check=_each(_can_be_written),
    ),
)
