"""The VE.Smart server: the captured sessions replayed, every step of the session, every quirk, garbage."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import batched

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.personality.quirks import Arrays, RefusalCodes
from emulator.ve_smart.server import EVERY_REGISTER, Channel, Order, Quirks, VeSmartServer

from .register_dict import CURRENT, MODE, VOLTAGE, Box

OPENING = "fa80ff", "f980"
READ_MODE = "050081190200"
MODE_IS_ON = "08001902004103"
MODE_IS_OFF = "08001902004104"
SET_MODE_OFF = "0600821902004104"
SET_MODE_ON = "0600821902004103"


class Clock:
    """Seconds, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Central:
    """The other end of the link: writes hex, collects what is notified."""

    def __init__(self, box: Box | None = None, *, mtu: int = 247, quirks: Quirks | None = None) -> None:
        self.clock = Clock()
        self.box = box or Box()
        self.notified: list[tuple[Channel, bytes]] = []
        self.server = VeSmartServer(self.box, self._notified, mtu=mtu, quirks=quirks, clock=self.clock)

    def _notified(self, channel: Channel, data: bytes) -> None:
        self.notified.append((channel, data))

    def control(self, *written: str) -> list[str]:
        """Write to Control, and return what Control said."""
        for text in written:
            self.server.write(Channel.CONTROL, bytes.fromhex(text))
        return self.take_control()

    def open(self, *, subscribe: int | None = 0) -> Central:
        self.control(*OPENING)
        if subscribe is not None:
            self.ask(f"03{subscribe:02x}")
        return self

    def ask(self, request: str) -> list[str]:
        """Write a request in one chunk, and return the streams that came."""
        self.server.write(Channel.LAST_DATA, bytes.fromhex(request))
        return self.take_streams()

    def wait(self, seconds: float) -> list[str]:
        """Let time go by, tick when the server wants it, and return the streams that came."""
        until = self.clock.now + seconds
        while not self.server.wants_disconnect and (deadline := self.server.next_deadline) <= until:
            self.clock.now = max(self.clock.now, deadline)
            self.server.tick()
        self.clock.now = until
        return self.take_streams()

    def take_control(self) -> list[str]:
        taken = [data.hex() for channel, data in self.notified if channel is Channel.CONTROL]
        self.notified = [item for item in self.notified if item[0] is not Channel.CONTROL]
        return taken

    def take_chunks(self) -> list[tuple[Channel, bytes]]:
        taken = [item for item in self.notified if item[0] is not Channel.CONTROL]
        self.notified = [item for item in self.notified if item[0] is Channel.CONTROL]
        return taken

    def take_streams(self) -> list[str]:
        streams, held = [], b""
        for channel, data in self.notified:
            if channel is Channel.CONTROL:
                held = b"" if data == b"\xf8" else held
                continue
            held += data
            if channel is Channel.LAST_DATA:
                streams.append(held.hex())
                held = b""
        assert not held, "a stream without its end"
        self.take_chunks()
        return streams


def records(streams: Iterable[str], *known: str) -> list[str]:
    """Cut streams into the known records, in the order in which they came."""
    text, found = "".join(streams), []
    while text:
        record = next(record for record in known if text.startswith(record))
        found.append(record)
        text = text.removeprefix(record)
    return found


# The captured sessions


def test_battery_protect_session_gets_the_captured_answers() -> None:
    central = Central(mtu=23)
    assert central.server.read_control().hex() == "00010001501400"
    assert central.control("fa80ff") == []
    assert central.control("f980") == ["f901"]
    assert central.ask("01") == ["029f0000ff"]
    assert central.ask("0300") == ["07000300"]
    assert central.ask(READ_MODE) == [MODE_IS_ON]
    assert central.ask(SET_MODE_OFF) == []
    assert central.ask(READ_MODE) == [MODE_IS_OFF]
    assert central.ask(SET_MODE_ON) == []
    assert central.ask(READ_MODE) == [MODE_IS_ON]
    central.take_control()
    assert central.ask("0a00") == []
    assert central.take_control() == ["f901", "f70300"]
    assert central.control("f941") == []


def test_mppt_session_gets_the_captured_answers() -> None:
    box = Box((0, 0), (1, 0), (3, 1))
    quirks = Quirks(
        largest_request=0xDE, control_second_field=0x0400, path_refused_on_control=False, answers_before_subscribe=True
    )
    central = Central(box, mtu=77, quirks=quirks)
    assert central.server.read_control().hex() == "00040001de4a00"
    assert central.control(*OPENING) == ["f901"]
    assert central.ask("01") == ["029f000001000301ff"]
    assert central.ask("0303") == ["07030300"]
    assert central.ask("0309") == ["07090302"]
    assert central.ask("0a03") == ["070a0302"]
    assert central.ask("05038219ed8d19ed8c") == ["080319ed8d42b809" + "080319ed8c44c4ffffff"]


# Opening and credit


def test_nothing_is_sent_before_the_central_gives_credit() -> None:
    central = Central()
    assert central.ask("01") == []
    central.control("f901")
    assert central.take_streams() == ["029f0000ff"]


def test_sending_stops_when_the_credit_is_used_up() -> None:
    central = Central(mtu=23)
    central.control("f903")
    central.ask("0300")
    central.server.write(Channel.LAST_DATA, bytes.fromhex("05008319010c19010c19010c"))
    assert len(central.take_chunks()) == 2
    central.control("f904")
    assert len(central.take_chunks()) == 4
    central.control("f980")
    # Three records of 71 bytes make 213, in chunks of 20.
    assert len(central.take_chunks()) == 11 - 6


def test_credit_adds_up() -> None:
    central = Central()
    central.control("f901", "f901", "f900")
    assert [central.ask("01") for _ in range(3)] == [["029f0000ff"], ["029f0000ff"], []]


def test_every_chunk_taken_gives_the_central_credit_for_another() -> None:
    central = Central()
    assert central.control("f980") == ["f901"]
    central.server.write(Channel.DATA, bytes.fromhex("05"))
    assert central.take_control() == ["f901"]
    central.server.write(Channel.LAST_DATA, bytes.fromhex("0080"))
    assert central.take_control() == ["f901"]
    assert central.server.chunks_without_credit == 0


@pytest.mark.parametrize(("enforces", "answer"), [(False, ["029f0000ff"]), (True, [])])
def test_chunks_without_credit_are_counted_and_ignored_if_enforced(enforces: bool, answer: list[str]) -> None:
    central = Central(quirks=Quirks(enforces_credit=enforces))
    central.server.write(Channel.LAST_DATA, b"\x01")
    central.control("f980")
    assert central.take_streams() == answer
    assert central.server.chunks_without_credit == 1


@pytest.mark.parametrize("written", ["", "f9", "f98080", "f7", "00", "f8", "fa", "80f9"])
def test_other_control_writes_are_ignored(written: str) -> None:
    central = Central()
    assert central.control(written) == []
    assert central.ask("01") == []


# Fragments


@pytest.mark.parametrize("mtu", [20, 23, 24, 50, 77, 185, 247, 517])
def test_an_answer_is_cut_to_the_mtu(mtu: int) -> None:
    central = Central(mtu=mtu).open()
    central.server.write(Channel.LAST_DATA, bytes.fromhex("05008419010c19010c19010c190200"))
    chunks = central.take_chunks()
    stream = b"".join(data for _, data in chunks)
    size = max(20, mtu - 3)
    assert stream.hex() == ("080019010c5840" + "78" * 64) * 3 + MODE_IS_ON
    assert [len(data) for _, data in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert 0 < len(chunks[-1][1]) <= size
    assert [channel for channel, _ in chunks] == [Channel.DATA] * (len(chunks) - 1) + [Channel.LAST_DATA]


@given(st.integers(1, 79), st.integers(1, 40))
@settings(max_examples=60)
def test_a_request_in_any_chunks_is_one_request(first: int, size: int) -> None:
    request = bytes.fromhex("05009818" + "19ed8d" * 23 + "190200")
    central = Central(quirks=Quirks(missing={VOLTAGE}, silent_about_missing=True)).open()
    parts = [request[:first], *(bytes(part) for part in batched(request[first:], size, strict=False))]
    *earlier, last = [part for part in parts if part]
    for part in earlier:
        central.server.write(Channel.DATA, part)
    assert central.take_streams() == []
    assert central.ask(last.hex()) == [MODE_IS_ON]


def test_a_request_that_is_too_long_is_refused_once_and_the_next_one_answered() -> None:
    central = Central().open()
    central.take_control()
    for _ in range(1000):
        central.server.write(Channel.DATA, b"\x01" * 20)
    central.server.write(Channel.LAST_DATA, b"\x01")
    said = central.take_control()
    assert said.count("f702") == 1
    assert central.take_streams() == []
    assert central.ask(READ_MODE) == [MODE_IS_ON]


def test_the_largest_request_shown_is_the_largest_taken() -> None:
    central = Central(quirks=Quirks(largest_request=9)).open()
    assert central.server.read_control()[4] == 9
    assert central.ask("05008219020019ffff") == [MODE_IS_ON + "090019ffff02"]
    assert central.ask("05008319020019020004") == []
    assert central.take_control()[-1] == "f702"


def test_a_false_start_is_thrown_away() -> None:
    central = Central(mtu=23, quirks=Quirks(false_starts=True)).open()
    central.server.write(Channel.LAST_DATA, bytes.fromhex("05008119010c"))
    chunks = [data for channel, data in central.notified if channel is not Channel.CONTROL]
    assert chunks[0] == chunks[1]
    assert (Channel.CONTROL, b"\xf8") in central.notified
    assert central.take_streams() == ["080019010c5840" + "78" * 64]


# Requests


def test_several_records_in_one_request_are_all_answered() -> None:
    central = Central().open(subscribe=None)
    assert central.ask("010300" + READ_MODE) == ["029f0000ff", "07000300", MODE_IS_ON]


def test_reads_before_subscribe_get_no_answer() -> None:
    central = Central().open(subscribe=None)
    assert central.ask(READ_MODE) == []
    assert central.ask("0300") == ["07000300"]
    assert central.ask(READ_MODE) == [MODE_IS_ON]
    assert central.ask("0400") == ["07000400"]
    assert central.ask(READ_MODE) == []


def test_reads_before_subscribe_can_be_answered() -> None:
    central = Central(quirks=Quirks(answers_before_subscribe=True)).open(subscribe=None)
    assert central.ask(READ_MODE) == [MODE_IS_ON]


def test_a_subscription_is_for_one_instance() -> None:
    central = Central(Box((0, 0), (1, 0))).open(subscribe=1)
    assert central.ask(READ_MODE) == []
    assert central.ask("050181190200") == ["08011902004103"]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [("0309", "07090302"), ("0409", "07090402"), ("050981190200", "07090502"), ("0609821902004104", "07090602")],
)
def test_an_instance_that_is_not_there_is_refused(request_: str, answer: str) -> None:
    assert Central().open().ask(request_) == [answer]


def test_an_unknown_register_is_refused_and_the_others_answered() -> None:
    central = Central().open()
    assert central.ask("05008319123419020004") == ["090019123402" + MODE_IS_ON + "09000402"]


def test_a_register_with_several_values_sends_each() -> None:
    cells = "".join(f"08001903814400{cell:02x}4a01" for cell in range(4))
    assert Central().open().ask("050081190381") == [cells]


def test_a_write_changes_only_what_is_valid() -> None:
    central = Central().open()
    assert central.ask("060086" + "19ed8d42ffff" + "19020040" + "1902004104") == []
    assert central.ask("05008219ed8d190200") == ["080019ed8d42b809" + MODE_IS_OFF]


@pytest.mark.parametrize("opcode", [0x00, 0x02, 0x07, 0x08, 0x09, 0x0A, 0x10, 0x11, 0xFF])
def test_what_the_device_does_not_know_is_refused_on_control(opcode: int) -> None:
    central = Central().open()
    central.take_control()
    assert central.ask(f"18{opcode:02x}00") == []
    assert central.take_control() == ["f901", "f70300"]
    assert central.ask(READ_MODE) == [MODE_IS_ON]


def test_a_malformed_write_changes_nothing() -> None:
    central = Central().open()
    central.take_control()
    assert central.ask("060083190200410419") == []
    assert central.take_control() == ["f901", "f701"]
    assert central.ask(READ_MODE) == [MODE_IS_ON]


# Keep-alive


def test_a_link_without_keep_alive_is_dropped_by_the_devices_own_limit() -> None:
    central = Central().open()
    central.wait(59.9)
    central.ask(READ_MODE)
    assert not central.server.wants_disconnect
    central.wait(0.1)
    assert central.server.wants_disconnect


def test_keep_alive_replaces_the_limit_and_starts_anew_each_time() -> None:
    central = Central().open(subscribe=None)
    for _ in range(10):
        assert central.ask("0600821893421027") == []
        central.wait(9.9)
        assert not central.server.wants_disconnect
    central.wait(0.1)
    assert central.server.wants_disconnect


def test_keep_alive_can_be_read() -> None:
    central = Central().open()
    assert central.ask("0500811893") == ["080018934260ea"]
    central.ask("0600821893421027")
    assert central.ask("0500811893") == ["08001893421027"]


@pytest.mark.parametrize("payload", ["40", "4110", "43102700"])
def test_keep_alive_of_another_size_is_refused(payload: str) -> None:
    central = Central(quirks=Quirks(acknowledges_writes=True)).open()
    assert central.ask(f"0600821893{payload}") == ["0900189302"]
    central.wait(59.9)
    assert not central.server.wants_disconnect


def test_keep_alive_of_zero_is_the_devices_own_limit() -> None:
    central = Central(quirks=Quirks(keep_alive=30)).open()
    central.ask("0600821893421027")
    central.ask("0600821893420000")
    central.wait(29.9)
    assert not central.server.wants_disconnect
    central.wait(0.1)
    assert central.server.wants_disconnect


def test_no_limit_of_its_own_is_possible() -> None:
    central = Central(quirks=Quirks(keep_alive=float("inf"))).open()
    central.clock.now += 1e9
    assert not central.server.wants_disconnect
    assert central.ask("0500811893") == ["0800189342ffff"]


# Unasked values


def test_changed_values_are_sent_after_subscribe_and_only_once() -> None:
    central = Central().open()
    assert central.wait(5) == []
    central.box.values[0, MODE] = (b"\x04",)
    central.box.values[0, VOLTAGE] = (bytes.fromhex("ba09"),)
    central.box.values[0, CURRENT] = (bytes(4),)
    assert central.wait(1.1) == [MODE_IS_OFF + "080019ed8d42ba09"]
    assert central.wait(5) == []


def test_no_unasked_values_without_a_subscription() -> None:
    central = Central().open()
    central.ask("0400")
    central.box.values[0, MODE] = (b"\x04",)
    assert central.wait(5) == []


def test_a_central_out_of_credit_gets_the_newest_value_later() -> None:
    central = Central()
    central.control("f901")
    central.ask("0300")
    for number in range(5):
        central.box.values[0, VOLTAGE] = (bytes((number, 0)),)
        assert central.wait(2) == []
    central.control("f980")
    assert central.wait(2) == ["080019ed8d420400"]


# Quirks


@pytest.mark.parametrize(("refused", "answer"), [(frozenset[int](), "090019020000"), (EVERY_REGISTER, "090019020002")])
def test_writes_can_be_acknowledged(refused: frozenset[int] | range, answer: str) -> None:
    central = Central(quirks=Quirks(acknowledges_writes=True, refused_writes=refused)).open()
    assert central.ask(SET_MODE_OFF) == [answer]
    assert central.ask(READ_MODE) == [MODE_IS_ON if refused else MODE_IS_OFF]


def test_each_record_can_be_a_stream() -> None:
    central = Central(quirks=Quirks(one_stream=False)).open()
    assert central.ask("05008219020019ed8d") == [MODE_IS_ON, "080019ed8d42b809"]


ASKED = "05008419020019ed8d19ed8c191234"
ANSWERED = [MODE_IS_ON, "080019ed8d42b809", "080019ed8c44c4ffffff", "090019123402"]


def test_answers_can_come_in_reverse() -> None:
    central = Central(quirks=Quirks(order=Order.REVERSED)).open()
    assert central.ask(ASKED) == ["".join(reversed(ANSWERED))]


def test_answers_can_come_shuffled_and_the_same_seed_shuffles_alike() -> None:
    def orders(seed: int) -> list[list[str]]:
        central = Central(quirks=Quirks(order=Order.SHUFFLED, seed=seed)).open()
        return [records(central.ask(ASKED), *ANSWERED) for _ in range(8)]

    assert all(sorted(order) == sorted(ANSWERED) for order in orders(1))
    assert any(order != ANSWERED for order in orders(1))
    assert orders(1) == orders(1) != orders(2)


def test_the_instance_can_be_another() -> None:
    central = Central(Box((0, 0), (1, 0)), quirks=Quirks(instance_offset=3)).open(subscribe=None)
    assert central.ask("01") == ["029f03000400ff"]
    assert central.ask("0300") == ["07000302"]
    assert central.ask("0303") == ["07030300"]
    assert central.ask("050381190200") == ["08031902004103"]
    assert central.ask("0603821902004104") == []
    assert central.wait(1.1) == ["08031902004104"]


def test_keep_alive_is_taken_on_instance_0_whatever_the_instances_are() -> None:
    central = Central(quirks=Quirks(instance_offset=3)).open(subscribe=3)
    assert central.ask("0600821893421027") == []
    central.wait(10)
    assert central.server.wants_disconnect


def test_the_batteries_can_be_no_instances() -> None:
    central = Central(Box((0, 0), (1, 0)), quirks=Quirks(main_instance_only=True)).open(subscribe=None)
    assert central.ask("01") == ["029f0000ff"]
    assert central.ask("0301") == ["07010302"]


@pytest.mark.parametrize(("silent", "answer"), [(False, ["090019020002"]), (True, [])])
def test_a_register_can_be_missing(silent: bool, answer: list[str]) -> None:
    central = Central(quirks=Quirks(missing={MODE}, silent_about_missing=silent)).open()
    assert central.ask(READ_MODE) == answer
    assert central.ask(SET_MODE_OFF) == []
    assert central.box.values[0, MODE] == (b"\x03",)
    assert central.wait(5) == []


def test_refusals_can_have_wide_codes() -> None:
    central = Central(quirks=Quirks(refusal_codes=RefusalCodes.WIDE, acknowledges_writes=True)).open()
    assert central.ask("05008104") == ["090004198000"]
    assert central.ask("06008419020040" + "19ed8d40") == ["0900190200198300" + "090019ed8d198300"]


def test_refusals_can_have_codes_with_a_meaning() -> None:
    quirks = Quirks(refusal_codes=RefusalCodes.BY_MEANING, reports_refused_writes=True, refused_writes={0x010C})
    central = Central(quirks=quirks).open()
    assert central.ask("05008119ffff") == ["090019ffff01"]
    written = "19ffff4100" + "19020040" + "19ed8d40" + "19010c4100"
    assert central.ask("060088" + written) == ["090019ffff01" + "090019020002" + "090019ed8d03" + "090019010c03"]
    assert central.ask(SET_MODE_OFF) == []
    assert central.ask(READ_MODE) == [MODE_IS_OFF]


@pytest.mark.parametrize(
    ("arrays", "refused", "taken"),
    [
        (Arrays.INDEFINITE, ("050081190200", "0600821902004104"), ("05009f190200ff", "06009f1902004104ff")),
        (Arrays.DEFINITE, ("05009f190200ff", "06009f1902004104ff"), ("050081190200", "0600821902004104")),
    ],
)
@pytest.mark.parametrize(("silent", "said"), [(False, ["f901", "f701"]), (True, ["f901"])])
def test_one_form_of_arrays_only(
    arrays: Arrays, refused: tuple[str, str], taken: tuple[str, str], silent: bool, said: list[str]
) -> None:
    central = Central(quirks=Quirks(arrays=arrays, silent_about_other_arrays=silent)).open()
    central.take_control()
    for request in refused:
        assert central.ask(request) == []
        assert central.take_control() == said
    assert central.ask(taken[0]) == [MODE_IS_ON]
    central.ask(taken[1])
    assert central.ask(taken[0]) == [MODE_IS_OFF]


def test_the_device_list_can_be_definite() -> None:
    quirks = Quirks(answers_in_definite_arrays=True)
    assert Central(Box((0, 0), (1, 0)), quirks=quirks).open().ask("01") == ["028400000100"]
    assert Central(Box(*((number, 0) for number in range(12))), quirks=quirks).open().ask("01")[0].startswith("029818")


def test_the_key_can_need_another_opcode() -> None:
    key = "080019ec6550" + bytes(range(16)).hex()
    plain, other = Central().open(), Central(quirks=Quirks(gives_key_only_to_0x25=True)).open()
    for central in (plain, other):
        central.box.values[0, 0xEC65] = (bytes(range(16)),)
    assert plain.ask("05008119ec65") == [key]
    plain.take_control()
    assert plain.ask("25008119ec65") == []
    assert plain.take_control() == ["f901", "f70300"]
    assert other.ask("05008219ec65190200") == ["090019ec6502" + MODE_IS_ON]
    assert other.ask("25009f19ec65190200ff") == [key + MODE_IS_ON]


def test_the_link_can_be_dropped_on_chunk_sizes() -> None:
    central = Central(quirks=Quirks(drops_link_on_chunk_sizes=True))
    central.control("f980")
    before = central.server.wants_disconnect
    central.control("fa80ff")
    assert [before, central.server.wants_disconnect] == [False, True]
    assert central.server.next_deadline == central.clock.now
    assert not Central().open().server.wants_disconnect


def test_the_first_read_can_be_swallowed() -> None:
    central = Central(quirks=Quirks(swallows_first_read=True)).open()
    assert central.ask(READ_MODE) == []
    assert central.ask(READ_MODE) == [MODE_IS_ON]
    assert central.ask(READ_MODE) == [MODE_IS_ON]


def test_a_register_can_be_one_that_is_only_read() -> None:
    central = Central(quirks=Quirks(refused_writes={MODE}, acknowledges_writes=True)).open()
    assert central.ask(SET_MODE_OFF) == ["090019020002"]
    assert central.ask(READ_MODE) == [MODE_IS_ON]


def test_unasked_values_can_come_between() -> None:
    central = Central(quirks=Quirks(unasked_between=True)).open()
    streams = central.ask("05008219ed8c19ed8c")
    current, voltage = "080019ed8c44c4ffffff", "080019ed8d42b809"
    assert records(streams, MODE_IS_ON, voltage, current) == [MODE_IS_ON, current, voltage, current]


def test_answers_can_be_slow_and_keep_their_order() -> None:
    central = Central(quirks=Quirks(answer_delay=2)).open()
    assert central.wait(2) == ["07000300"]
    assert central.ask("01") == []
    assert central.wait(1) == []
    central.server.quirks = replace(central.server.quirks, answer_delay=0)
    assert central.ask(READ_MODE) == []
    assert central.wait(0.9) == []
    assert central.wait(0.1) == ["029f0000ff", MODE_IS_ON]
    assert central.ask("01") == ["029f0000ff"]


def test_a_central_that_takes_nothing_is_refused_before_memory_fills() -> None:
    central = Central()
    for _ in range(1000):
        central.server.write(Channel.LAST_DATA, bytes.fromhex("0300" + "05008519010c" + "19010c" * 4))
    said = central.take_control()
    assert "f704" in said
    central.control(*["f9ff"] * 100)
    assert sum(len(data) for _, data in central.take_chunks()) < 40_000
    assert central.ask(READ_MODE) == [MODE_IS_ON]


# Anything at all

ANYTHING = st.lists(st.tuples(st.sampled_from(Channel), st.binary(max_size=30)), max_size=30)
MANGLED = st.builds(
    lambda request, at, byte: bytes((*request[:at], byte, *request[at + 1 :])),
    st.sampled_from([bytes.fromhex(t) for t in ("01", "0300", READ_MODE, SET_MODE_OFF, "05008319010c190381190200")]),
    st.integers(0, 11),
    st.integers(0, 255),
)
QUIRKS = st.builds(
    Quirks,
    acknowledges_writes=st.booleans(),
    answers_before_subscribe=st.booleans(),
    one_stream=st.booleans(),
    order=st.sampled_from(Order),
    unasked_between=st.booleans(),
    false_starts=st.booleans(),
    instance_offset=st.integers(0, 3),
    path_refused_on_control=st.booleans(),
    enforces_credit=st.booleans(),
    refusal_codes=st.sampled_from(RefusalCodes),
    reports_refused_writes=st.booleans(),
    arrays=st.sampled_from(Arrays),
    silent_about_other_arrays=st.booleans(),
    swallows_first_read=st.booleans(),
    gives_key_only_to_0x25=st.booleans(),
)


@given(ANYTHING, st.lists(MANGLED, max_size=10), QUIRKS)
@settings(max_examples=150, deadline=None)
def test_garbage_never_raises_and_the_session_goes_on(
    written: list[tuple[Channel, bytes]], requests: list[bytes], quirks: Quirks
) -> None:
    central = Central(mtu=23, quirks=quirks)
    central.control(*OPENING)
    for channel, data in written:
        central.server.write(channel, data)
        central.server.tick()
    for request in requests:
        central.server.write(Channel.LAST_DATA, request)
    central.server.write(Channel.LAST_DATA, b"")
    central.control("f9ff", "f9ff", "f9ff", "f9ff")
    central.notified.clear()
    assert central.ask("01") == [f"029f{quirks.instance_offset:02x}00ff"]
