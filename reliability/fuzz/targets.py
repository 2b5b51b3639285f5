"""What is fuzzed: each target takes any bytes, and fails when something does not hold that always has to.

The tests feed the same targets with the stored corpus and with what hypothesis thinks of.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
import json
from math import isfinite
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from custom_components.smallbms_ng.connection.link import LatestPayloads, PendingResponse
from custom_components.smallbms_ng.protocol.advertisement import (
    BatteryReading,
    InstantReadout,
    InstantReadoutError,
    is_smallbms_ng,
    parse_key,
)
from custom_components.smallbms_ng.protocol.codes import LEVEL_FIELDS
from custom_components.smallbms_ng.protocol.payloads import BOUNDS, PayloadError, Value
from custom_components.smallbms_ng.protocol.record_filter import KEY_LOST_AFTER, Confirmation, KeyTrust, NonceOrder
from custom_components.smallbms_ng.protocol.redaction import Kind, StandIns
from custom_components.smallbms_ng.protocol.registers import (
    BY_ID,
    MOST_BATTERIES,
    REGISTERS,
    Register,
    battery_sources,
    battery_values,
    main_instance,
)
from custom_components.smallbms_ng.protocol.session import (
    LONGEST_STREAM,
    Channel,
    DeviceList,
    Event,
    Malformed,
    ProtocolError,
    ReceivedValue,
    Session,
    get_devices,
    get_values,
)
from emulator.reading.state import JsonValue, StateError
from emulator.reading.yaml_reader import ScenarioError
from emulator.recording import RecordingError, parse_recording
from emulator.simulation.scenario import Scenario, load, parse_scenario
from emulator.simulation.simulation import Simulation

type Target = Callable[[bytes], None]

KEY: Final = bytes.fromhex("5eed0fba77e4b00e9a3c51d2c4f78e16")
_HEADER: Final = bytes.fromhex("1002eca30a")
# The first byte of an input chooses how the rest becomes an advertisement.
_MODES: Final = 4
_READOUT: Final = InstantReadout(KEY)


def decode_advertisement(data: bytes) -> None:
    """Decode advertisements; what is rejected changes nothing, what is accepted is plausible."""
    filters = _Filters()
    for advertisement in _advertisements(data):
        filters.take(advertisement)


def _advertisements(data: bytes) -> Iterator[bytes]:
    """Yield the bytes themselves, or several records that they give, encrypted as a device does it."""
    mode, rest = data[:1], data[1:]
    if not mode or mode[0] % _MODES == 0:
        yield rest
        return
    for start in range(0, max(len(rest), 1), 18):
        nonce, record = rest[start : start + 2].ljust(2, b"\0"), rest[start + 2 : start + 18]
        yield _advertise(mode[0] % _MODES, nonce, record)


def _advertise(mode: int, nonce: bytes, record: bytes) -> bytes:
    """Return a record as it is sent: with the right key, with one that begins like it, or cut short."""
    key = KEY if mode == 1 else KEY[:1] + bytes(15)
    whole = record.ljust(16, b"\0") if mode != 3 else record
    encrypted = Cipher(algorithms.AES(key), modes.CTR(nonce + bytes(14))).encryptor().update(whole)
    return _HEADER + nonce + key[:1] + encrypted


class _Filters:
    """What stands between the decoder and what is shown."""

    def __init__(self) -> None:
        self._order = NonceOrder()
        self._trust = KeyTrust()
        self._confirmation = Confirmation()
        self._now = 0.0

    def take(self, advertisement: bytes) -> None:
        """Take an advertisement, as the coordinator does."""
        self._now += 1 + len(advertisement) % 7
        try:
            reading = _READOUT.decode(advertisement)
        except InstantReadoutError as error:
            self._reject(error, advertisement)
            return
        assert is_smallbms_ng(advertisement) or reading.product_id
        _check_reading(reading, advertisement)
        if self._trust.believe():
            self._order.place(reading.nonce, self._now)
            self._confirmation.take_record({name: getattr(reading, name) for name in LEVEL_FIELDS}, self._now)
            self._confirmation.look(self._now)

    def _reject(self, error: InstantReadoutError, advertisement: bytes) -> None:
        believed = dict(self._confirmation.believed)
        self._trust.doubt(error, advertisement)
        assert dict(self._confirmation.believed) == believed
        assert all(len(doubts) <= KEY_LOST_AFTER[kind] for kind, doubts in self._trust._doubts.items())


def _check_reading(reading: BatteryReading, advertisement: bytes) -> None:
    """Check that every number is possible, and that the same bytes give the same reading."""
    assert len(reading.record_bytes) == 16
    assert _READOUT.decode(advertisement) == reading
    for name, bounds in BOUNDS.items():
        value = getattr(reading, name, None)
        assert value is None or (isfinite(value) and bounds.hold(value))
    assert len(set(reading.codes)) == len(reading.codes)
    assert all(str(code) for code in reading.codes)


def read_key(data: bytes) -> None:
    """Read what somebody entered as key; it has 16 bytes or is none."""
    try:
        key = parse_key(data.decode(errors="replace"))
    except ValueError:
        return
    assert len(key) == 16


_CHANNELS: Final = tuple(Channel)
_WELL_KNOWN: Final = bytes.fromhex("080319ed8d42b809")  # a voltage of 24.88 V
_ASKED: Final = (0xED8D, 0xED8C, 0x0381, 0x0380, 0x0100)


def run_session(data: bytes) -> None:
    """Run a connection in which any notifications come in any order; afterwards it works as before."""
    session = Session()
    try:
        session.begin(data[:8], 512)
    except ProtocolError:
        session.begin(bytes.fromhex("00010001504a00"), 512)
    session.queue(get_devices() + get_values(3, _ASKED))
    heard = _Heard()
    for channel, chunk in _notifications(data[8:]):
        for event in session.receive(channel, chunk):
            heard.take(event)
        assert len(session._inbox._held) <= LONGEST_STREAM
        assert all(len(write.data) <= 512 for write in session.writes())
    heard.check()
    session.receive(Channel.CONTROL, b"\xf8")
    assert list(session.receive(Channel.LAST_DATA, _WELL_KNOWN)) == [
        ReceivedValue(instance=3, register=0xED8D, payload=b"\xb8\x09")
    ]


def _notifications(data: bytes) -> Iterator[tuple[Channel, bytes]]:
    """Yield notifications: a byte for channel and length, then so many bytes; long ones are repeated."""
    start = 0
    while start < len(data):
        head = data[start]
        length = head >> 2
        chunk = data[start + 1 : start + 1 + length]
        # So that also streams come that are longer than anything a fuzzer makes up.
        yield _CHANNELS[head % len(_CHANNELS)], chunk * (512 if head % 4 == 3 else 1)
        start += 1 + length


class _Heard:
    """What is made of the events of a session."""

    def __init__(self) -> None:
        self._pending = PendingResponse(3, _ASKED, {})
        self._latest = LatestPayloads()

    def take(self, event: Event) -> None:
        """Take an event, as the client does."""
        assert not isinstance(event, Malformed) or event.reason
        self._pending.take(event)
        if isinstance(event, ReceivedValue):
            self._latest.take(event)
            _decode(event.register, event.payload)
        if isinstance(event, DeviceList):
            sources = battery_sources(main_instance(event.instances), event.instances)
            assert len(sources) <= MOST_BATTERIES

    def check(self) -> None:
        """Check that there is an answer for each register that was asked for."""
        answers = self._pending.answers()
        assert set(answers) == set(_ASKED)
        for answer in answers.values():
            self._latest.of(3, answer)
            assert self._pending.complete in {True, False}


def decode_register(data: bytes) -> None:
    """Decode a payload of any register; what may be written comes back as it was."""
    if not data:
        return
    register = REGISTERS[data[0] % len(REGISTERS)]
    value = _decode(register.id, data[1:])
    if value is not None and register.writable:
        _check_round_trip(register, value, finer=register.is_finer(data[1:]))


def _decode(number: int, payload: bytes) -> Value:
    register = BY_ID.get(number)
    if register is None:
        return None
    try:
        value = register.decode(payload)
    except PayloadError:
        return None
    battery_values({register.name: value})
    _check_plain(value)
    return value


def _check_plain(value: object) -> None:
    """Check that a value can be shown: JSON has it, a number is finite, a text has no control characters."""
    if isinstance(value, Mapping):
        for part in value.values():
            _check_plain(part)
    elif isinstance(value, float):
        assert isfinite(value)
    elif isinstance(value, str):
        assert value.isprintable()
        json.dumps(value).encode()


def _check_round_trip(register: Register, value: Value, *, finer: bool) -> None:
    try:
        written = register.encode(value, finer=finer)
    except PayloadError:
        return
    assert register.decode(written, finer=finer) == value
    assert register.confirms(written, written)


def read_scenario(data: bytes) -> None:
    """Read a scenario; a mistake is one sentence."""
    try:
        parse_scenario(data.decode(errors="replace"), name="fuzz", file="fuzz.yaml")
    except ScenarioError as error:
        assert str(error).endswith(".")


_JUNK: Final[tuple[JsonValue, ...]] = (
    *(None, True, -1, 0, 0.5, 1e300, float("nan"), float("inf"), 10**30),
    *("", "x", "9" * 40, [], {}, [[]], {"a": 1}),
)


def read_saved_state(data: bytes) -> None:
    """Read a saved state of the emulator that was damaged in several places; what is taken can go on."""
    scenario, state = _saved_state()
    for where, what in zip(data[::2], data[1::2], strict=False):
        _damage(state, where * 251, _JUNK[what % len(_JUNK)])
    try:
        simulation = Simulation.load_state(scenario, state)
    except StateError as error:
        assert str(error)
        return
    simulation.advance(1)


@cache
def _saved_text() -> tuple[Scenario, str]:
    scenario = load("bench")
    simulation = Simulation(scenario)
    simulation.advance(60)
    return scenario, json.dumps(simulation.save_state())


def _saved_state() -> tuple[Scenario, dict[str, JsonValue]]:
    scenario, text = _saved_text()
    state: dict[str, JsonValue] = json.loads(text)
    return scenario, state


def _damage(state: JsonValue, where: int, junk: JsonValue) -> None:
    """Put junk in the place of one part of a state, which a number chooses."""
    places = list(_places(state))
    holder, name = places[where % len(places)]
    # A copy, for a later place may be within it.
    holder[name] = deepcopy(junk)


def _places(state: JsonValue) -> Iterator[tuple[Any, str | int]]:
    """Yield whatever can be replaced in a state: what holds it, and its name there."""
    if isinstance(state, dict):
        for name, part in state.items():
            yield state, name
            yield from _places(part)
    elif isinstance(state, list):
        for index, part in enumerate(state):
            yield state, index
            yield from _places(part)


_RECORDING: Final[JsonValue] = {
    "format": 1,
    "integration": "0.1.0",
    "home_assistant": "2026.10.4",
    "length": 9.5,
    "advertisements": [
        {
            "at": 1.5,
            "radio": "radio 1",
            "signal": -61,
            "bytes": "100089a30a341200" + "00" * 16,
            "decrypted": True,
            "outcome": "believed",
        }
    ],
    "connections": [
        {
            "at": 2.0,
            "radio": "radio 1",
            "kind": "proxy",
            "mtu": 247,
            "ended": "closed",
            "errors": [{"at": 0.1, "text": "lost"}],
            "frames": [
                {
                    "at": 0.1,
                    "direction": "out",
                    "operation": "write",
                    "characteristic": "control",
                    "bytes": "fa80ff",
                }
            ],
            "dropped_frames": 0,
        }
    ],
    "survey": {
        "at": 3.0,
        "finished": True,
        "duration": 2.0,
        "answers": [
            {"instance": 0, "register": "0x0100", "value": "00eca3ff"},
            {"instance": 0, "register": "0x0200", "code": 1},
        ],
    },
    "learned": {"array": "indefinite"},
}


def read_a_recording(data: bytes) -> None:
    """Read a recording that was damaged in several places, or any text; what is wrong is one sentence."""
    download: JsonValue = {
        "integration_manifest": {"domain": "smallbms_ng"},
        "data": {"recording": deepcopy(_RECORDING)},
    }
    for where, what in zip(data[1::2], data[2::2], strict=False):
        _damage(download, where, _JUNK[what % len(_JUNK)])
    text = data[1:].decode(errors="replace") if data[:1] == b"{" else json.dumps(download)
    try:
        parse_recording(text, "fuzz.json")
    except RecordingError as error:
        assert str(error).endswith(".")


_PIN: Final = b"739265"


def redact(data: bytes) -> None:
    """Redact a stream with a key somewhere in it; it stays as long, and the key and the PIN are gone."""
    stand_ins = StandIns()
    stand_ins.learn(Kind.KEY, KEY)
    stand_ins.learn(Kind.PIN, _PIN)
    split = data[0] % len(data) if data else 0
    stream = data[:split] + KEY + data[split:] + _PIN
    stand_ins.learn_payloads(data)
    redacted = stand_ins.stream(stream)
    assert len(redacted) == len(stream)
    assert KEY not in redacted
    assert _PIN not in redacted
    assert KEY.hex() not in stand_ins.text(f"{data!r} {KEY.hex()} {stream.hex()}")


TARGETS: Final[Mapping[str, Target]] = {
    "decoder": decode_advertisement,
    "key": read_key,
    "session": run_session,
    "registers": decode_register,
    "scenario": read_scenario,
    "state": read_saved_state,
    "recording": read_a_recording,
    "redaction": redact,
}
