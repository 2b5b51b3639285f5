"""What was heard of one device lately and what went over its connections: in memory only, for diagnostics."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from math import inf
from struct import Struct
from typing import Final
import zlib

from homeassistant.components.bluetooth import BluetoothServiceInfoBleak, async_current_scanners
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_ADDRESS, CONF_PIN, __version__
from homeassistant.core import HomeAssistant, callback
from homeassistant.loader import async_get_integration
from homeassistant.util.hass_dict import HassKey
from homeassistant.util.json import JsonObjectType, JsonValueType

from . import clock
from .connection.link import Answer, Reading, Refusal, Silence
from .connection.recorder import Direction, Frame, RecordedConnection, Recorder
from .const import CONF_KEY, DOMAIN, bluetooth_is_up
from .protocol.advertisement import COMPANY_ID, PRODUCT_NAMES, decrypt, parse_key
from .protocol.redaction import Kind, StandIns
from .protocol.registers import SECRETS

FORMAT: Final = 1

MOST_ADVERTISEMENTS: Final = 256
# Of one advertisement. Records of Instant Readout have 24 bytes at most.
_LONGEST_DATA: Final = 48
# Radios, names, services and keys, as they come together. More of them are nothing that a device does.
_MOST_CIRCUMSTANCES: Final = 32
_MOST_SERVICES: Final = 4
_LONGEST_NAME: Final = 64

# Time, signal, outcome and circumstances; the manufacturer data follows.
_HEAD: Final = Struct("<dbBB")
_WEAKEST_SIGNAL: Final = -128
_STRONGEST_SIGNAL: Final = 127

_UNKNOWN_RADIO: Final = "unknown"

# In manufacturer data: the first byte of the key, after which the record follows.
_KEY_CHECK: Final = 7

_PIN_SIZE: Final = 4


class Outcome(StrEnum):
    """What became of an advertisement."""

    BELIEVED = "believed"
    REPEATED = "repeated"
    HELD_BACK = "held_back"
    SHORT_BEACON = "short_beacon"
    NO_DATA = "no_data"
    OTHER_RECORD = "other_record"
    MALFORMED = "malformed"
    IMPLAUSIBLE = "implausible"
    WRONG_KEY = "wrong_key"


_OUTCOMES: Final = tuple(Outcome)
_NUMBERS: Final = {outcome: number for number, outcome in enumerate(_OUTCOMES)}

type _Circumstances = tuple[str, str, tuple[str, ...], bytes | None]
"""The source of the radio, the name, the services, and the key at the time."""


@dataclass(frozen=True, kw_only=True)
class Advertisement:
    """One advertisement as it was heard; at is in s of the monotonic clock."""

    at: float
    signal: int
    outcome: Outcome
    data: bytes
    source: str
    name: str
    services: tuple[str, ...]
    key: bytes | None


class Recording:
    """The latest advertisements and connections of one device.

    Nothing is decrypted or redacted before somebody downloads it.
    """

    def __init__(self) -> None:
        self.recorder = Recorder(clock.now)
        self.survey: SurveyRecord | None = None
        self._advertisements: deque[bytes] = deque(maxlen=MOST_ADVERTISEMENTS)
        self._circumstances: dict[_Circumstances, int] = {}

    @callback
    def hear(self, info: BluetoothServiceInfoBleak, outcome: Outcome, key: bytes | None) -> None:
        """Add an advertisement."""
        # Without a name, Home Assistant gives the address as name.
        name = info.name[:_LONGEST_NAME] if info.name != info.address else ""
        together = (info.source, name, tuple(info.service_uuids[:_MOST_SERVICES]), key)
        if (number := self._circumstances.get(together)) is None:
            number = self._number(together)
        signal = info.rssi if _WEAKEST_SIGNAL <= info.rssi <= _STRONGEST_SIGNAL else _STRONGEST_SIGNAL
        data = info.manufacturer_data.get(COMPANY_ID, b"")
        self._advertisements.append(_HEAD.pack(info.time, signal, _NUMBERS[outcome], number) + data[:_LONGEST_DATA])

    @callback
    def keep_survey(self, survey: SurveyRecord) -> None:
        """Keep what a survey finds, in place of the one before."""
        self.survey = survey

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever heard."""
        return not (self._advertisements or self.recorder.connections)

    @property
    def oldest(self) -> float:
        """When the oldest of what is kept was heard or begun, in s of the monotonic clock."""
        return min(
            *(one.at for one in self.advertisements),
            *(one.began for one in self.recorder.connections),
            self.survey.began if self.survey else inf,
            clock.now(),
        )

    @property
    def advertisements(self) -> list[Advertisement]:
        """The advertisements that are kept, in the order of their time: a proxy may deliver them late."""
        return sorted(self._unpacked(), key=lambda one: one.at)

    def _unpacked(self) -> Iterator[Advertisement]:
        circumstances = list(self._circumstances)
        for row in self._advertisements:
            at, signal, outcome, number = _HEAD.unpack_from(row)
            source, name, services, key = circumstances[number]
            yield Advertisement(
                at=at,
                signal=signal,
                outcome=_OUTCOMES[outcome],
                data=row[_HEAD.size :],
                source=source,
                name=name,
                services=services,
                key=key,
            )

    def _number(self, together: _Circumstances) -> int:
        """Return the number of new circumstances. If there are too many, begin anew."""
        if len(self._circumstances) == _MOST_CIRCUMSTANCES:
            self._circumstances.clear()
            self._advertisements.clear()
        self._circumstances[together] = number = len(self._circumstances)
        return number


_RECORDINGS: Final = HassKey[dict[str, Recording]](f"{DOMAIN}_recordings")


@callback
def async_recording_of(hass: HomeAssistant, address: str) -> Recording:
    """Return the recording of a device, which outlasts a reload of its entry.

    Those of devices that were not added after all are given up when another one begins.
    """
    recordings = hass.data.setdefault(_RECORDINGS, {})
    if address not in recordings:
        kept = {entry.data[CONF_ADDRESS] for entry in hass.config_entries.async_entries(DOMAIN)}
        for other in recordings.keys() - kept:
            del recordings[other]
        recordings[address] = Recording()
    return recordings[address]


@callback
def async_forget_recording(hass: HomeAssistant, address: str) -> None:
    """Forget the recording of a device."""
    hass.data.get(_RECORDINGS, {}).pop(address, None)


async def async_download(
    hass: HomeAssistant,
    entry: ConfigEntry,
    *,
    learned: Mapping[str, JsonValueType],
    secrets: Iterable[tuple[int, bytes]],
) -> JsonObjectType | None:
    """Return the recording without what identifies anything or anybody; None where nothing was ever heard.

    learned: what is remembered of the device, without secrets. secrets: registers and payloads that were read.
    """
    recording = async_recording_of(hass, entry.data[CONF_ADDRESS])
    if recording.is_empty:
        return None
    integration = await async_get_integration(hass, DOMAIN)
    versions = {"integration": str(integration.version), "home_assistant": __version__}
    redaction = _Redaction(recording)
    redaction.learn_entry(entry)
    if bluetooth_is_up(hass):
        redaction.learn_radios(hass)
    for register, payload in secrets:
        redaction.stand_ins.learn_payload(register, payload)
    return {"format": FORMAT, **versions, **redaction.download(), "learned": dict(learned)}


class _Redaction:
    """Makes a download of a recording. Radios are numbered; other secrets have stand-ins of their length."""

    def __init__(self, recording: Recording) -> None:
        self.stand_ins = StandIns()
        self._recording = recording
        self._now = clock.now()
        self._radios: dict[str, str] = {}
        self._learn_recorded()

    def learn_entry(self, entry: ConfigEntry) -> None:
        """Learn what an entry keeps secret."""
        self.stand_ins.learn_address(entry.data[CONF_ADDRESS])
        if key := entry.data.get(CONF_KEY):
            self.stand_ins.learn(Kind.KEY, parse_key(key))
        if pin := entry.data.get(CONF_PIN):
            self.stand_ins.learn_text(Kind.PIN, pin)
            self.stand_ins.learn(Kind.PIN, int(pin).to_bytes(_PIN_SIZE, "little"))
        if entry.title not in PRODUCT_NAMES.values():
            self.stand_ins.learn_text(Kind.NAME, entry.title)

    def learn_radios(self, hass: HomeAssistant) -> None:
        """Learn the names of the radios, which people name after rooms."""
        for scanner in async_current_scanners(hass):
            self.stand_ins.learn_text(Kind.NAME, scanner.name)
            self._learn_source(scanner.source)

    def download(self) -> JsonObjectType:
        """Return what was recorded; times are in s since the oldest of it."""
        zero = self._recording.oldest
        return {
            "length": round(self._now - zero, 1),
            "advertisements": [self._advertisement(one, zero) for one in self._recording.advertisements],
            "connections": [self._connection(one, zero) for one in self._recording.recorder.connections],
            "survey": self._survey(self._recording.survey, zero),
        }

    def _learn_recorded(self) -> None:
        for one in self._recording.advertisements:
            self._learn_source(one.source)
            if one.name:
                self.stand_ins.learn_text(Kind.NAME, one.name)
            if one.key:
                self.stand_ins.learn(Kind.KEY, one.key)
        for connection in self._recording.recorder.connections:
            for stream in _streams(connection):
                self.stand_ins.learn_payloads(stream.data)
        for row in self._recording.survey.rows if self._recording.survey else ():
            self.stand_ins.learn_payload(row.register, row.payload or b"")

    def _learn_source(self, source: str) -> None:
        """Learn the address of a radio. That of an adapter may be a name such as hci0, which tells nothing."""
        with suppress(ValueError):
            self.stand_ins.learn_address(source)

    def _radio(self, source: str | None) -> str:
        return _UNKNOWN_RADIO if source is None else self._radios.setdefault(source, f"radio {len(self._radios) + 1}")

    def _advertisement(self, one: Advertisement, zero: float) -> JsonObjectType:
        plain = decrypt(one.data, one.key) if one.key else None
        row: JsonObjectType = {"at": _seconds(one.at - zero), "radio": self._radio(one.source), "signal": one.signal}
        if one.name:
            row["name"] = self.stand_ins.name(one.name)
        if one.services:
            row["services"] = list(one.services)
        data = one.data[:_KEY_CHECK] + bytes(len(one.data[_KEY_CHECK:])) if plain is None else plain
        return row | {"bytes": data.hex(), "decrypted": plain is not None, "outcome": one.outcome}

    def _connection(self, one: RecordedConnection, zero: float) -> JsonObjectType:
        frames = self._frames(one)
        return {
            "at": _seconds(one.began - zero),
            "radio": self._radio(one.radio),
            "kind": "proxy" if one.by_proxy else "adapter",
            "mtu": one.mtu,
            "ended": one.ended and self.stand_ins.text(one.ended),
            "errors": [{"at": _seconds(error.at), "text": self.stand_ins.text(error.text)} for error in one.errors],
            "frames": [self._frame(frame, data) for frame, data in frames],
            "dropped_frames": one.dropped_frames,
        }

    def _survey(self, survey: SurveyRecord | None, zero: float) -> JsonObjectType | None:
        if survey is None:
            return None
        ended = self._now if survey.ended is None else survey.ended
        return {
            "at": _seconds(survey.began - zero),
            "finished": survey.finished,
            "duration": _seconds(ended - survey.began),
            "answers": [self._surveyed(row) for row in survey.rows],
        }

    def _surveyed(self, row: SurveyedRegister) -> JsonObjectType:
        asked: JsonObjectType = {"instance": row.instance, "register": f"0x{row.register:04X}"}
        if row.payload is not None:
            return asked | {"value": self.stand_ins.payload(row.register, row.payload).hex()}
        return asked | ({"silent": True} if row.code is None else {"code": row.code})

    def _frame(self, frame: Frame, data: bytes) -> JsonObjectType:
        row: JsonObjectType = {
            "at": _seconds(frame.at),
            "direction": frame.direction,
            "operation": frame.operation,
            "characteristic": frame.characteristic,
            "bytes": data.hex(),
        }
        return row if frame.error is None else row | {"error": self.stand_ins.text(frame.error)}

    def _frames(self, connection: RecordedConnection) -> Iterator[tuple[Frame, bytes]]:
        """Yield the frames, each with its bytes as they may be shown."""
        shown: dict[int, bytes] = {}
        for stream in _streams(connection):
            data = self.stand_ins.stream(stream.data) if stream.is_whole else bytes(len(stream.data))
            shown |= stream.cut(data)
        for number, frame in enumerate(connection.frames):
            yield frame, shown.get(number, frame.data)


def _seconds(seconds: float) -> float:
    return round(seconds, 3)


_DATA: Final = "data"
_LAST_DATA: Final = "last_data"


@dataclass(kw_only=True)
class _Stream:
    """Frames that belong together, by their number. It is not whole where its beginning was not kept."""

    is_whole: bool = True
    frames: dict[int, bytes] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """The bytes of all frames."""
        return b"".join(self.frames.values())

    def cut(self, data: bytes) -> dict[int, bytes]:
        """Cut other bytes of the same length into the same frames."""
        ends = accumulate(map(len, self.frames.values()))
        return {
            number: data[end - len(frame) : end] for (number, frame), end in zip(self.frames.items(), ends, strict=True)
        }


def _streams(connection: RecordedConnection) -> Iterator[_Stream]:
    """Yield what was said each way: data up to and including the last data. Other frames are streams by themselves."""
    open_streams = {direction: _Stream() for direction in Direction}
    gap = connection.frames_before_gap if connection.dropped_frames else None
    for number, frame in enumerate(connection.frames):
        if number == gap:
            yield from open_streams.values()
            open_streams = {direction: _Stream(is_whole=False) for direction in Direction}
        if frame.characteristic not in (_DATA, _LAST_DATA):
            yield _Stream(frames={number: frame.data})
            continue
        open_streams[frame.direction].frames[number] = frame.data
        if frame.characteristic == _LAST_DATA:
            yield open_streams[frame.direction]
            open_streams[frame.direction] = _Stream()
    yield from open_streams.values()


# The survey may hold as much memory, in bytes, of one device.
LARGEST_SURVEY: Final = 12 * 1024
_COMPRESSED_FROM: Final = 4 * 1024
_ANSWERED: Final = 0
_REFUSED: Final = 1
_SILENT: Final = 2

# Instance, register, outcome, and the code or the length of the payload that follows.
_ROW: Final = Struct("<HHBH")


@dataclass(frozen=True, kw_only=True)
class SurveyedRegister:
    """What became of one register; neither a payload nor a code: the device did not answer."""

    instance: int
    register: int
    payload: bytes | None = None
    code: int | None = None


class SurveyRecord:
    """What a survey has found, in little memory. Times are in s of the monotonic clock.

    ended: None while the survey goes on. finished: whether everything was asked for.
    """

    def __init__(self) -> None:
        self.began = clock.now()
        self.ended: float | None = None
        self.finished = False
        self.answered = 0
        self._rows = bytearray()
        self._compressed: list[bytes] = []

    @property
    def full(self) -> bool:
        """Whether no more can be kept."""
        return sum(map(len, self._compressed)) + len(self._rows) >= LARGEST_SURVEY

    @property
    def rows(self) -> Iterator[SurveyedRegister]:
        """What became of the registers, in the order in which they were asked for."""
        for rows in (*map(zlib.decompress, self._compressed), bytes(self._rows)):
            yield from _unpacked(rows)

    def take(self, instance: int, answer: Answer) -> None:
        """Keep an answer."""
        match answer:
            case Reading(register=register, payloads=payloads):
                self.answered += 1
                for payload in payloads:
                    # The key is never kept; that the device gives it is.
                    kept = bytes(len(payload)) if register in SECRETS else payload
                    self._rows += _ROW.pack(instance, register, _ANSWERED, len(kept)) + kept
            case Refusal(register=register, code=code):
                self._rows += _ROW.pack(instance, register, _REFUSED, code)
            case Silence(register=register):
                self._rows += _ROW.pack(instance, register, _SILENT, 0)
        if len(self._rows) >= _COMPRESSED_FROM:
            self._compress()

    def end(self, *, finished: bool) -> None:
        """Note that the survey has ended."""
        self.ended, self.finished = clock.now(), finished
        self._compress()

    def _compress(self) -> None:
        self._compressed.append(zlib.compress(self._rows))
        self._rows.clear()


def _unpacked(rows: bytes) -> Iterator[SurveyedRegister]:
    place = 0
    while place < len(rows):
        instance, register, outcome, number = _ROW.unpack_from(rows, place)
        place += _ROW.size
        size = number if outcome == _ANSWERED else 0
        yield SurveyedRegister(
            instance=instance,
            register=register,
            payload=rows[place : place + size] if outcome == _ANSWERED else None,
            code=number if outcome == _REFUSED else None,
        )
        place += size
