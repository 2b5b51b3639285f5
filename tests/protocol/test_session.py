"""VE.Smart without I/O: records, sessions, answers; replays of what real devices sent."""

from collections.abc import Iterable
from itertools import batched, pairwise
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.connection.link import Answer, PendingResponse, Reading, Refusal, Silence
from custom_components.smallbms_ng.protocol.session import (
    LONGEST_STREAM,
    NEVER_WRITTEN,
    OPENING,
    ArrayForm,
    Channel,
    ControlError,
    ControlInfo,
    Credit,
    DeviceList,
    Event,
    Malformed,
    Opcode,
    Outcome,
    ProtocolError,
    ReceivedValue,
    RefusalReason,
    Reset,
    Response,
    Session,
    batches,
    get_devices,
    get_values,
    records,
    refusal_reason,
    set_values,
    subscribe,
)
from emulator.ve_smart import cbor_records

from .session_captures import (
    CONTROL,
    CONTROL_NOTIFICATIONS,
    DEVICE_LISTS,
    REQUESTS,
    RESPONSES,
    VALUES,
)

MODE: Final = 0x0200
VOLTAGE: Final = 0xED8D
CURRENT: Final = 0xED8C
CELL: Final = 0x0381


def value(register: int, payload: str, instance: int = 3) -> ReceivedValue:
    return ReceivedValue(instance=instance, register=register, payload=bytes.fromhex(payload))


# Records


@pytest.mark.parametrize(
    ("name", "pairs", "instances"),
    [("battery_protect", ((0, 0),), (0,)), ("mppt", ((0, 0), (1, 0), (3, 1)), (0, 1, 3))],
)
def test_device_lists(name: str, pairs: tuple[tuple[int, int], ...], instances: tuple[int, ...]) -> None:
    (devices,) = records(DEVICE_LISTS[name])
    assert devices == DeviceList(pairs=pairs)
    assert isinstance(devices, DeviceList)
    assert devices.instances == instances


@pytest.mark.parametrize(
    ("name", "response"),
    [
        ("subscribed", Response(instance=0, opcode=Opcode.SUBSCRIBE, code=0)),
        ("subscription_refused", Response(instance=9, opcode=Opcode.SUBSCRIBE, code=2)),
        # With the opcode first, which cannot be told from an instance.
        ("path_refused", Response(instance=10, opcode=3, code=2)),
    ],
)
def test_responses(name: str, response: Response) -> None:
    assert list(records(RESPONSES[name])) == [response]


def test_values() -> None:
    assert list(records(VALUES["voltage"])) == [value(VOLTAGE, "b809")]
    assert list(records(VALUES["current"])) == [value(CURRENT, "c4ffffff")]
    assert list(records(VALUES["two"])) == [value(VOLTAGE, "ba09"), value(0xEDBB, "000b")]
    assert [one.register for one in records(VALUES["five"]) if isinstance(one, ReceivedValue)] == [
        0xED8F,
        CURRENT,
        0xEC8A,
        0xEDBC,
        0xEDBB,
    ]


@pytest.mark.parametrize("stream", VALUES.values(), ids=VALUES)
def test_no_value_that_was_seen_is_malformed(stream: bytes) -> None:
    seen = list(records(stream))
    assert seen
    assert all(isinstance(one, ReceivedValue) and one.instance == 3 for one in seen)


def test_an_acknowledged_write() -> None:
    assert list(records(bytes.fromhex("0900190200 02"))) == [Outcome(instance=0, register=MODE, code=2)]


def test_requests_are_those_that_were_seen() -> None:
    eleven = (0xEDBB, 0xEDBD, 0xEDBC, VOLTAGE, CURRENT, 0x0201, 0xEDA8, 0xEDAD, 0xEDAA, 0xED8F, 0xED8E)
    assert get_devices() == REQUESTS["get_devices"]
    assert subscribe(0) == REQUESTS["subscribe_0"]
    assert subscribe(3) == REQUESTS["subscribe_3"]
    assert get_values(3, eleven) == REQUESTS["get_eleven"]
    assert get_values(0, [MODE]) == REQUESTS["read_mode"]
    assert set_values(0, {MODE: b"\x04"}) == REQUESTS["set_off"]
    assert set_values(0, {MODE: b"\x03"}) == REQUESTS["set_on"]
    assert set_values(0, {0x0093: b"\x10\x27"}).hex() == "0600821893421027"


@pytest.mark.parametrize("register", sorted(NEVER_WRITTEN))
def test_what_is_never_written(register: int) -> None:
    with pytest.raises(ProtocolError, match=f"0x{register:04X}"):
        set_values(0, {MODE: b"\x03", register: b"\x00"})


def test_requests_with_the_other_form_of_arrays() -> None:
    """The form in which an IP22 charger and an Orion were seen to be asked."""
    assert get_values(0, [0xEC66, 0xEC65], ArrayForm.INDEFINITE).hex() == "05009f19ec6619ec65ff"
    assert set_values(0, {MODE: b"\x04"}, ArrayForm.INDEFINITE).hex() == "06009f1902004104ff"
    assert get_values(0, [0xEC65], ArrayForm.INDEFINITE, flagged=True).hex() == "25009f19ec65ff"
    assert [form.other for form in ArrayForm] == [ArrayForm.INDEFINITE, ArrayForm.DEFINITE]


def test_a_refusal_of_the_key_to_either_opcode() -> None:
    assert list(records(bytes.fromhex("0719ec650502" + "0719ec652502"))) == [
        Response(instance=0xEC65, opcode=0x05, code=2),
        Response(instance=0xEC65, opcode=0x25, code=2),
    ]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1, RefusalReason.MISSING),
        (2, RefusalReason.VALUE),
        (3, RefusalReason.READ_ONLY),
        (4, RefusalReason.UNKNOWN),
        (0x8000, RefusalReason.MISSING),
        (0x8100, RefusalReason.MISSING),
        (0x8200, RefusalReason.TRANSIENT),
        (0x8300, RefusalReason.VALUE),
        (0x8600, RefusalReason.TRANSIENT),
    ],
)
def test_what_the_code_of_a_refusal_means(code: int, reason: RefusalReason) -> None:
    assert refusal_reason(code) is reason


GARBAGE: Final = {
    "nothing known": "0b00",
    "a path": "0a03",
    "no number": "40",
    "negative": "20",
    "true": "f5",
    "a break": "ff",
    "cut short": "0803",
    "payload cut short": "080319ed8d42b8",
    "payload a number": "080319ed8d05",
    "payload a text": "080319ed8d6161",
    "payload without end": "080319ed8d5bffffffffffffffff",
    "instance a payload": "084000",
    "devices a number": "0200",
    "devices too many": "029bffffffffffffffff",
    "devices without end": "029f00",
    "devices in pieces": "029f000001ff",
    "devices as texts": "02826161",
    "devices as payloads": "02824040",
    "a map": "a0",
    "a fraction": "f90000",
    "a date": "c074323031332d30332d32315432303a30343a30305a",
    "a huge power": "02c5821b00000000ffffffff03",
    "a tag in a list": "0282c100c100",
    "reserved": "1c",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_ends_a_stream(garbage: str) -> None:
    good, bad = records(VALUES["voltage"] + bytes.fromhex(garbage))
    assert good == value(VOLTAGE, "b809")
    assert isinstance(bad, Malformed)
    assert bad.reason


@pytest.mark.parametrize(("depth", "reason"), [(16, "list instead of an unsigned number"), (17, "depth")])
def test_nesting_is_bounded(depth: int, reason: str) -> None:
    (bad,) = records(b"\x02" + b"\x81" * depth + b"\x00")
    assert isinstance(bad, Malformed)
    assert reason in bad.reason


def test_a_register_too_many_begins_a_new_batch() -> None:
    registers = tuple(range(0x0200, 0x0300))
    for size in (20, 33, 0x50, 0xDE):
        found = tuple(batches(0, registers, size))
        assert tuple(one for batch in found for one in batch) == registers
        assert all(len(get_values(0, batch)) <= size for batch in found)
        assert all(len(get_values(0, (*batch, following[0]))) > size for batch, following in pairwise(found))


def test_no_registers_make_no_batch() -> None:
    assert tuple(batches(0, (), 80)) == ()


def test_a_register_that_fits_no_request_is_asked_for_alone() -> None:
    assert tuple(batches(0, (MODE, VOLTAGE), 3)) == ((MODE,), (VOLTAGE,))


# What the emulator, which shares no code with this, makes of it.

ids = st.integers(min_value=0, max_value=0xFFFF)
instances = st.integers(min_value=0, max_value=0xFF)


@given(instance=instances, registers=st.lists(ids, max_size=40))
def test_reads_are_understood(instance: int, registers: list[int]) -> None:
    stream = subscribe(instance) + get_values(instance, registers) + get_devices()
    assert list(cbor_records.requests(stream)) == [
        cbor_records.Subscribe(instance=instance),
        cbor_records.GetValues(instance=instance, registers=tuple(registers)),
        cbor_records.GetDevices(),
    ]


@given(instance=instances, values=st.dictionaries(ids.filter(lambda one: one not in NEVER_WRITTEN), st.binary()))
def test_writes_are_understood(instance: int, values: dict[int, bytes]) -> None:
    assert list(cbor_records.requests(set_values(instance, values))) == [
        cbor_records.SetValues(instance=instance, values=tuple(values.items()))
    ]


@given(
    pairs=st.lists(st.tuples(instances, instances), max_size=60),
    values=st.lists(st.tuples(instances, ids, st.binary(max_size=300)), max_size=20),
    codes=st.lists(st.tuples(instances, ids, ids), max_size=20),
)
def test_answers_are_understood(
    pairs: list[tuple[int, int]], values: list[tuple[int, int, bytes]], codes: list[tuple[int, int, int]]
) -> None:
    stream = b"".join(
        (
            cbor_records.device_list(pairs),
            *(cbor_records.value(*one) for one in values),
            *(cbor_records.value_response(*one) for one in codes),
            *(cbor_records.response(*one) for one in codes),
        )
    )
    assert list(records(stream)) == [
        DeviceList(pairs=tuple(pairs)),
        *(ReceivedValue(instance=one, register=register, payload=payload) for one, register, payload in values),
        *(Outcome(instance=one, register=register, code=code) for one, register, code in codes),
        *(Response(instance=one, opcode=opcode, code=code) for one, opcode, code in codes),
    ]


@given(stream=st.binary(max_size=400))
def test_any_stream_can_be_read(stream: bytes) -> None:
    *earlier, last = (None, *records(stream))
    assert not any(isinstance(one, Malformed) for one in earlier)
    assert (last is None) is (not stream)


@given(stream=st.sampled_from([*VALUES.values(), *DEVICE_LISTS.values()]), data=st.data())
def test_damaged_streams_can_be_read(stream: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(min_value=0, max_value=len(stream) - 1))
    damaged = stream[:at] + bytes((data.draw(st.integers(min_value=0, max_value=255)),)) + stream[at + 1 :]
    assert len(list(records(damaged))) <= len(stream)


# Sessions


@pytest.mark.parametrize(("name", "largest_request", "chunk"), [("mppt", 0xDE, 74), ("battery_protect", 0x50, 20)])
def test_control_as_it_was_seen(name: str, largest_request: int, chunk: int) -> None:
    assert ControlInfo.read(CONTROL[name]) == ControlInfo(largest_request=largest_request, chunk=chunk)


@pytest.mark.parametrize(
    ("field", "chunk"),
    [
        ("f400", 244),
        ("00f4", 244),
        ("004a", 74),
        ("1400", 20),
        ("0002", 512),
        ("0202", 512),
        ("0302", 20),
        ("0000", 20),
        ("1300", 20),
        ("ffff", 20),
    ],
)
def test_the_chunk_size_is_read_as_it_makes_sense(field: str, chunk: int) -> None:
    assert ControlInfo.read(bytes.fromhex("0001000150" + field)).chunk == chunk


def test_a_request_can_always_have_some_bytes() -> None:
    assert ControlInfo.read(bytes.fromhex("00010001021400")).largest_request == 20


def test_longer_control_is_no_harm() -> None:
    assert ControlInfo.read(CONTROL["mppt"] + b"\x01") == ControlInfo.read(CONTROL["mppt"])


@pytest.mark.parametrize("control", [b"", CONTROL["mppt"][:6]])
def test_shorter_control_is(control: bytes) -> None:
    with pytest.raises(ProtocolError):
        Session().begin(control, 20)


def opened(control: bytes = CONTROL["mppt"], largest_write: int = 512) -> Session:
    session = Session()
    session.begin(control, largest_write)
    assert tuple(session.writes()) == OPENING
    return session


def written(session: Session) -> list[tuple[Channel, str]]:
    return [(write.channel, write.data.hex()) for write in session.writes()]


def test_an_opening_without_chunk_sizes() -> None:
    session = Session()
    session.begin(CONTROL["mppt"], 244, chunk_sizes=False)
    assert tuple(session.writes()) == OPENING[1:]


def test_the_opening_is_the_one_that_was_seen() -> None:
    assert [(one.channel, one.data) for one in OPENING] == [
        (Channel.CONTROL, REQUESTS["chunk_sizes"]),
        (Channel.CONTROL, REQUESTS["credit_128"]),
    ]


def test_a_replayed_session() -> None:
    session = opened(CONTROL["battery_protect"])
    session.queue(get_devices())
    assert written(session) == []
    assert session.receive(Channel.CONTROL, CONTROL_NOTIFICATIONS["credit"]) == (Credit(chunks=1),)
    assert written(session) == [(Channel.LAST_DATA, "01")]
    assert session.receive(Channel.LAST_DATA, DEVICE_LISTS["battery_protect"]) == (DeviceList(pairs=((0, 0),)),)
    session.receive(Channel.CONTROL, CONTROL_NOTIFICATIONS["credit"])
    session.queue(subscribe(0))
    assert written(session) == [(Channel.LAST_DATA, "0300")]
    assert session.receive(Channel.LAST_DATA, RESPONSES["subscribed"]) == (Response(instance=0, opcode=3, code=0),)
    assert session.receive(Channel.CONTROL, CONTROL_NOTIFICATIONS["refused"]) == (ControlError(data=b"\x03\x00"),)


def test_long_requests_go_in_chunks_as_credit_comes() -> None:
    session = opened(CONTROL["battery_protect"])
    request = get_values(0, range(0x0200, 0x0210))
    session.queue(request)
    chunks = []
    for _ in range(3):
        session.receive(Channel.CONTROL, b"\xf9\x01")
        chunks += list(session.writes())
    assert not session.waits_for_credit
    assert [chunk.channel for chunk in chunks] == [Channel.DATA, Channel.DATA, Channel.LAST_DATA]
    assert b"".join(chunk.data for chunk in chunks) == request
    assert [len(chunk.data) for chunk in chunks][:2] == [20, 20]


@pytest.mark.parametrize(("largest_write", "chunk"), [(512, 74), (30, 30), (5, 20)])
def test_chunks_fit_the_link_and_the_device(largest_write: int, chunk: int) -> None:
    session = opened(largest_write=largest_write)
    session.assume_credit()
    session.queue(bytes(200))
    assert next(len(write.data) for write in session.writes()) == chunk


def test_requests_wait_in_line() -> None:
    session = opened()
    session.queue(subscribe(0))
    session.queue(get_devices())
    session.receive(Channel.CONTROL, b"\xf9\x01")
    assert written(session) == [(Channel.LAST_DATA, "0300")]
    assert session.waits_for_credit
    session.receive(Channel.CONTROL, b"\xf9\x05")
    assert written(session) == [(Channel.LAST_DATA, "01")]


def test_without_credit_it_goes_on_once_told_so() -> None:
    session = opened()
    session.queue(get_devices())
    session.assume_credit()
    assert not session.waits_for_credit
    assert written(session) == [(Channel.LAST_DATA, "01")]
    session.queue(get_devices())
    assert written(session) == [(Channel.LAST_DATA, "01")]


def test_credit_is_bounded() -> None:
    session = opened()
    for _ in range(1000):
        session.receive(Channel.CONTROL, b"\xf9\xff")
    assert session._credit == 0xFFFF


def test_what_was_taken_is_reported_at_65() -> None:
    session = opened()
    for _ in range(64):
        session.receive(Channel.LAST_DATA, VALUES["voltage"])
    assert written(session) == []
    session.receive(Channel.DATA, b"")
    assert written(session) == [(Channel.CONTROL, REQUESTS["credit_65"].hex())]
    assert written(session) == []


def test_what_was_taken_is_reported_in_parts_that_fit() -> None:
    session = opened()
    for _ in range(300):
        session.receive(Channel.LAST_DATA, VALUES["voltage"])
    reported = [bytes.fromhex(data)[1] for _, data in written(session)]
    assert max(reported) <= 0xFF
    assert 300 - 65 < sum(reported) <= 300


@pytest.mark.parametrize("size", [1, 7, 20, 100])
@pytest.mark.parametrize("stream", VALUES.values(), ids=VALUES)
def test_streams_are_joined(stream: bytes, size: int) -> None:
    session = opened()
    *earlier, last = (bytes(chunk) for chunk in batched(stream, size, strict=False))
    for chunk in earlier:
        assert session.receive(Channel.DATA, chunk) == ()
    assert session.receive(Channel.LAST_DATA, last) == tuple(records(stream))
    assert session.receive(Channel.LAST_DATA, VALUES["voltage"]) == (value(VOLTAGE, "b809"),)


def test_what_was_collected_is_thrown_away_when_told() -> None:
    session = opened()
    session.receive(Channel.DATA, b"\xff\xff")
    assert session.receive(Channel.CONTROL, b"\xf8") == (Reset(),)
    assert session.receive(Channel.LAST_DATA, VALUES["voltage"]) == (value(VOLTAGE, "b809"),)


def test_what_is_held_is_bounded() -> None:
    session = opened()
    chunk = bytes(512)
    for _ in range(LONGEST_STREAM // len(chunk)):
        assert session.receive(Channel.DATA, chunk) == ()
    assert len(session._inbox._held) == LONGEST_STREAM
    assert session.receive(Channel.DATA, b"\x00") == (Malformed(reason="stream too long"),)
    assert session.receive(Channel.DATA, chunk) == ()
    assert not session._inbox._held
    assert session.receive(Channel.LAST_DATA, VALUES["voltage"]) == ()
    assert session.receive(Channel.LAST_DATA, VALUES["voltage"]) == (value(VOLTAGE, "b809"),)


def test_a_stream_that_becomes_too_long_with_its_last_chunk() -> None:
    session = opened()
    session.receive(Channel.DATA, bytes(LONGEST_STREAM))
    assert session.receive(Channel.LAST_DATA, b"\x00") == (Malformed(reason="stream too long"),)
    assert session.receive(Channel.LAST_DATA, VALUES["voltage"]) == (value(VOLTAGE, "b809"),)


@pytest.mark.parametrize("data", [b"", b"\xf9", b"\x00", b"\xfa\x01\x02"])
def test_control_without_meaning(data: bytes) -> None:
    (event,) = opened().receive(Channel.CONTROL, data)
    assert isinstance(event, Malformed)


@given(
    notifications=st.lists(
        st.tuples(
            st.sampled_from(Channel),
            st.one_of(st.binary(max_size=60), st.sampled_from([*VALUES.values(), b"\xf8", b"\xf9\x01", b"\xf7"])),
        ),
        max_size=60,
    )
)
def test_any_notifications_can_be_taken(notifications: list[tuple[Channel, bytes]]) -> None:
    session = opened()
    session.queue(get_devices())
    for channel, data in notifications:
        session.receive(channel, data)
        list(session.writes())
    session.receive(Channel.CONTROL, b"\xf8")
    assert session.receive(Channel.LAST_DATA, VALUES["voltage"]) == (value(VOLTAGE, "b809"),)


# Answers


def gathered(events: Iterable[Event], registers: Iterable[int] = (VOLTAGE, CURRENT)) -> PendingResponse:
    pending = PendingResponse(3, registers, {})
    for event in events:
        pending.take(event)
    return pending


def refused(register: int, code: int = 2) -> Outcome:
    return Outcome(instance=3, register=register, code=code)


@pytest.mark.parametrize(
    ("events", "answers", "complete"),
    [
        ((), {VOLTAGE: Silence(register=VOLTAGE), CURRENT: Silence(register=CURRENT)}, False),
        (
            (value(CURRENT, "c4ffffff"), value(VOLTAGE, "b809")),
            {
                VOLTAGE: Reading(register=VOLTAGE, payloads=(b"\xb8\x09",)),
                CURRENT: Reading(register=CURRENT, payloads=(b"\xc4\xff\xff\xff",)),
            },
            True,
        ),
        (
            (refused(CURRENT), value(VOLTAGE, "b809")),
            {
                VOLTAGE: Reading(register=VOLTAGE, payloads=(b"\xb8\x09",)),
                CURRENT: Refusal(register=CURRENT, code=2),
            },
            True,
        ),
        (
            (Response(instance=3, opcode=Opcode.GET_VALUES, code=2),),
            {VOLTAGE: Refusal(register=VOLTAGE, code=2), CURRENT: Refusal(register=CURRENT, code=2)},
            True,
        ),
        (
            # A newer value takes the place of the one before.
            (value(VOLTAGE, "b809"), value(VOLTAGE, "ba09")),
            {VOLTAGE: Reading(register=VOLTAGE, payloads=(b"\xba\x09",)), CURRENT: Silence(register=CURRENT)},
            False,
        ),
    ],
)
def test_answers(events: tuple[Event, ...], answers: dict[int, Answer], complete: bool) -> None:
    pending = gathered(events)
    assert pending.answers() == answers
    assert pending.complete is complete
    assert pending.begun is bool(events)


@pytest.mark.parametrize(
    "event",
    [
        value(VOLTAGE, "b809", instance=0),
        value(MODE, "03"),
        refused(MODE),
        Outcome(instance=0, register=VOLTAGE, code=2),
        Outcome(instance=3, register=VOLTAGE, code=0),
        Response(instance=3, opcode=Opcode.SUBSCRIBE, code=2),
        Response(instance=3, opcode=Opcode.GET_VALUES, code=0),
        Credit(chunks=1),
        Reset(),
        DeviceList(pairs=()),
    ],
    ids=str,
)
def test_what_has_nothing_to_do_with_the_request(event: Event) -> None:
    pending = gathered(())
    assert not pending.take(event)
    assert not pending.begun
    assert pending.problem is None


@pytest.mark.parametrize(
    ("event", "problem"),
    [(Malformed(reason="record 0x0B"), "record 0x0B"), (ControlError(data=b"\x03\x00"), "error 0300")],
)
def test_problems_are_noted(event: Event, problem: str) -> None:
    pending = gathered((event,))
    assert not pending.begun
    assert pending.problem == problem


def test_a_refusal_after_the_value_changes_nothing() -> None:
    pending = gathered((value(VOLTAGE, "b809"), refused(VOLTAGE), refused(CURRENT), refused(CURRENT, 5)))
    assert isinstance(pending.answers()[VOLTAGE], Reading)
    assert pending.answers()[CURRENT] == Refusal(register=CURRENT, code=2)


def test_a_whole_refusal_after_all_answers_changes_nothing() -> None:
    pending = gathered((value(VOLTAGE, "b809"),), [VOLTAGE])
    assert not pending.take(Response(instance=3, opcode=Opcode.GET_VALUES, code=2))


def cell(number: int, payload: str = "4a01") -> ReceivedValue:
    return value(CELL, f"01{number:02x}{payload}")


@pytest.mark.parametrize(("number", "complete"), [(3, True), (None, False)])
def test_as_many_cells_as_there_are(number: int | None, complete: bool) -> None:
    waiting = PendingResponse(3, [CELL], {CELL: number})
    for event in (cell(1), cell(2), cell(2, "4b01"), cell(3)):
        assert not waiting.complete
        waiting.take(event)
    assert waiting.complete is complete
    assert not waiting.unanswered
    reading = waiting.answers()[CELL]
    assert isinstance(reading, Reading)
    assert [one["voltage"] for one in reading.values if isinstance(one, dict)] == [3.3, 3.31, 3.3]


def test_too_few_cells_are_not_all() -> None:
    waiting = PendingResponse(3, [CELL], {CELL: 3})
    waiting.take(cell(1))
    assert not waiting.complete
    assert not waiting.unanswered


def test_refused_cells_are_all() -> None:
    waiting = PendingResponse(3, [CELL], {CELL: None})
    waiting.take(refused(CELL))
    assert waiting.complete


@pytest.mark.parametrize(
    ("register", "payload", "found"),
    [(VOLTAGE, "b809", 24.88), (VOLTAGE, "ff7f", None), (VOLTAGE, "00", None), (0x9999, "0102", b"\x01\x02")],
)
def test_what_a_reading_says(register: int, payload: str, found: float | bytes | None) -> None:
    assert Reading(register=register, payloads=(bytes.fromhex(payload),)).value == found


@pytest.mark.parametrize(("code", "transient"), [(2, False), (0x8000, False), (0x8200, True), (0x8400, True)])
def test_a_refusal_may_be_for_now(code: int, transient: bool) -> None:
    assert Refusal(register=VOLTAGE, code=code).transient is transient
