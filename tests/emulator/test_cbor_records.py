"""VE.Smart records: requests read, answers written, nonsense refused."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.ve_smart.cbor_records import (
    DeviceList,
    GetDevices,
    GetValues,
    MalformedRecordError,
    PathRequest,
    Reader,
    Response,
    SetValues,
    Subscribe,
    UnknownRequest,
    Unsubscribe,
    Value,
    ValueResponse,
    answers,
    device_list,
    path_response,
    requests,
    response,
    value,
    value_response,
)

MPPT_REGISTERS = (0xEDBB, 0xEDBD, 0xEDBC, 0xED8D, 0xED8C, 0x0201, 0xEDA8, 0xEDAD, 0xEDAA, 0xED8F, 0xED8E)


@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        ("01", GetDevices()),
        ("0300", Subscribe(instance=0)),
        ("0303", Subscribe(instance=3)),
        ("050081190200", GetValues(instance=0, registers=(0x0200,))),
        (
            "05038b19edbb19edbd19edbc19ed8d19ed8c19020119eda819edad19edaa19ed8f19ed8e",
            GetValues(instance=3, registers=MPPT_REGISTERS),
        ),
        ("0600821902004104", SetValues(instance=0, values=((0x0200, b"\x04"),))),
        ("0600821902004103", SetValues(instance=0, values=((0x0200, b"\x03"),))),
        ("0a03", PathRequest(opcode=0x0A, instance=3)),
    ],
)
def test_captured_requests_are_read(captured: str, expected: object) -> None:
    assert list(requests(bytes.fromhex(captured))) == [expected]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("0400", [Unsubscribe(instance=0)]),
        ("060082189342 1027", [SetValues(instance=0, values=((0x93, b"\x10\x27"),))]),
        ("05009f041902 00ff", [GetValues(instance=0, registers=(4, 0x0200))]),
        ("050080", [GetValues(instance=0, registers=())]),
        ("0600821a0000020059 000103", [SetValues(instance=0, values=((0x0200, b"\x03"),))]),
        ("18011803 1b0000000000000000", [GetDevices(), Subscribe(instance=0)]),
        ("0103000400", [GetDevices(), Subscribe(instance=0), Unsubscribe(instance=0)]),
        ("011103", [GetDevices(), UnknownRequest(opcode=0x11)]),
        ("1003ffff", [PathRequest(opcode=0x10, instance=3)]),
        ("0200", [UnknownRequest(opcode=0x02)]),
        ("", []),
    ],
)
def test_every_length_form_and_several_records_are_read(sent: str, expected: list[object]) -> None:
    assert list(requests(bytes.fromhex(sent))) == expected


@pytest.mark.parametrize(
    "sent",
    [
        "03",  # no instance
        "0500",  # no array
        "050082190200",  # one register too few
        "05009f190200",  # no break
        "05008119 02",  # cut in a number
        "05008141 00",  # byte string for a register
        "0500811c",  # reserved length form
        "0500811f",  # indefinite number
        "05009bffffffffffffffff00",  # array of 2**64 - 1
        "0600821902005bffffffffffffffff",  # byte string of as many
        "0600821902004203",  # byte string cut short
        "060081190200",  # register without payload
        "060082410019 0200",  # the wrong way round
        "0600829f",  # nested array
        "20",  # negative
        "6161",  # text
        "a0",  # map
        "c000",  # tag
        "ff",  # stray break
    ],
)
def test_nonsense_is_malformed(sent: str) -> None:
    with pytest.raises(MalformedRecordError):
        list(requests(bytes.fromhex(sent)))


def test_requests_before_nonsense_are_kept() -> None:
    read = requests(bytes.fromhex("01ff"))
    assert next(read) == GetDevices()
    with pytest.raises(MalformedRecordError):
        next(read)


@given(st.binary(max_size=100))
@settings(max_examples=300)
def test_any_bytes_are_requests_or_malformed(data: bytes) -> None:
    with suppress(MalformedRecordError):
        assert len(list(requests(data))) <= len(data)


@pytest.mark.parametrize(
    ("encoded", "captured"),
    [
        (device_list([(0, 0)]), "029f0000ff"),
        (device_list([(0, 0), (1, 0), (3, 1)]), "029f000001000301ff"),
        (response(0, 3, 0), "07000300"),
        (response(9, 3, 2), "07090302"),
        (path_response(PathRequest(opcode=0x0A, instance=3), 2), "070a0302"),
        (value(3, 0xED8D, bytes.fromhex("b809")), "080319ed8d42b809"),
        (value(3, 0xED8C, (-60).to_bytes(4, "little", signed=True)), "080319ed8c44c4ffffff"),
        (value(3, 0x0200, b"\x01"), "08031902004101"),
        (
            value(3, 0x104F, bytes.fromhex("010012000000f7dc0100f7dc01006b14e80a1e0100ffffffffffffffffffffffffff")),
            "080319104f5822010012000000f7dc0100f7dc01006b14e80a1e0100ffffffffffffffffffffffffff",
        ),
    ],
)
def test_answers_are_encoded_as_captured(encoded: bytes, captured: str) -> None:
    assert encoded.hex() == captured


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (value_response(0, 0x0004, 0), "09000400"),
        (value_response(0, 0x0093, 2), "0900189302"),
        (value_response(24, 0x0200, 0x8300), "091818190200198300"),
        (value(0, 0x10000, b""), "08001a0001000040"),
    ],
)
def test_answers_use_the_shortest_form(encoded: bytes, expected: str) -> None:
    assert encoded.hex() == expected


@given(st.integers(0, 2**64 - 1), st.binary(max_size=300))
@settings(max_examples=100)
def test_what_is_encoded_reads_back(number: int, payload: bytes) -> None:
    reader = Reader(value(number, number, payload))
    assert (reader.unsigned(), reader.unsigned(), reader.unsigned()) == (8, number, number)
    assert reader.octets() == payload
    assert reader.at_end


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=20), st.booleans())
def test_a_device_list_is_read_back(pairs: list[tuple[int, int]], definite: bool) -> None:
    stream = device_list(pairs, definite=definite)
    assert list(answers(stream)) == [(DeviceList(pairs=tuple(pairs), definite=definite), stream)]


def test_answers_are_read_one_by_one() -> None:
    parts = [response(0, 3, 0), value(1, 0xED8D, b"\xb8\x09"), value_response(0, 0x0004, 2)]
    assert list(answers(b"".join(parts))) == [
        (Response(instance=0, opcode=3, code=0), parts[0]),
        (Value(instance=1, register=0xED8D, payload=b"\xb8\x09"), parts[1]),
        (ValueResponse(instance=0, register=0x0004, code=2), parts[2]),
    ]


@pytest.mark.parametrize("stream", ["0a00", "0500", "029f00ff", "0800190200", "028300"])
def test_answers_that_cannot_be_told_apart(stream: str) -> None:
    with pytest.raises(MalformedRecordError):
        list(answers(bytes.fromhex(stream)))
