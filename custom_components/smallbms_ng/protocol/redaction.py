"""Stand-ins of the same length for what identifies a device, its owner or its radios, in bytes and in texts."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
import re
from typing import Final

from .registers import BY_ID, PIN_REGISTER, PUK_REGISTER, Name, named


class Kind(StrEnum):
    """What a stand-in stands for. Text stand-ins begin with this word."""

    KEY = "key"
    PIN = "pin"
    SERIAL_NUMBER = "serial"
    NAME = "name"
    ADDRESS = "address"
    TEXT = "text"


_ADDRESS_REGISTER: Final = 0xEC66


def _of(name: Name, kind: Kind) -> dict[int, Kind]:
    return {row.id: kind for row in named(name)}


_SECRET: Final = {
    PIN_REGISTER: Kind.PIN,
    PUK_REGISTER: Kind.PIN,
    _ADDRESS_REGISTER: Kind.ADDRESS,
    **_of(Name.INSTANT_READOUT_KEY, Kind.KEY),
    **_of(Name.SERIAL_NUMBER, Kind.SERIAL_NUMBER),
    **_of(Name.CUSTOM_NAME, Kind.NAME),
}
IDENTIFYING: Final = frozenset(_SECRET)
"""Registers whose values no dump may show."""
# All registers in the table but the secret ones: numbers, and the model name.
_HARMLESS: Final = frozenset(BY_ID) - _SECRET.keys()

# Here Victron keeps what belongs to the connection: PIN, PUK, key, address. What is not in the table may be as secret.
_CONNECTION_SETTINGS: Final = frozenset(range(0xEC00, 0xED00))
_SHORTEST_CODE: Final = 6

_OF_BYTES: Final = frozenset({Kind.KEY, Kind.PIN, Kind.ADDRESS})
# Text is padded with either of these.
_PADDING: Final = b"\x00\xff"
# Shorter values are too common: replacing them everywhere would destroy other data.
_SHORTEST: Final = 4
# In bytes: more secrets are never counted.
_LARGEST_COUNT: Final = 4
_PRINTABLE: Final = re.compile(rb"[\x20-\x7e]{%d,}" % _SHORTEST)
_ADDRESS: Final = re.compile(
    r"(?<![0-9A-F])[0-9A-F]{2}(?:([:_-])[0-9A-F]{2})(?:\1[0-9A-F]{2}){4}(?![0-9A-F])", re.IGNORECASE
)


class StandIns:
    """Replaces secrets. The same secret always gets the same stand-in, which has the same number of bytes."""

    def __init__(self) -> None:
        self._stand_ins: dict[bytes, bytes] = {}
        self._counts: dict[Kind, int] = {}

    def learn(self, kind: Kind, secret: bytes) -> None:
        """Learn a secret, which is from now on replaced wherever it occurs."""
        if secret.strip(_PADDING):
            self._stand_in(kind, secret if kind in _OF_BYTES else secret.rstrip(_PADDING))

    def learn_text(self, kind: Kind, secret: str) -> None:
        """Learn a secret that is a text."""
        self.learn(kind, secret.encode())

    def learn_address(self, address: str) -> None:
        """Learn a Bluetooth address, in both orders of its bytes. ValueError if it is none."""
        if (match := _ADDRESS.fullmatch(address)) is None:
            raise ValueError(f"{address} is no address")
        octets = bytes.fromhex(address.replace(match[1], ""))
        self.learn(Kind.ADDRESS, octets)
        self._stand_ins[octets[::-1]] = self._stand_ins[octets][::-1]

    def learn_payloads(self, stream: bytes) -> None:
        """Learn the secrets in a stream of VE.Smart records."""
        for piece in _payloads(stream):
            self.learn_payload(piece.register, stream[piece.start : piece.end])

    def learn_payload(self, register: int, payload: bytes) -> None:
        """Learn the payload of a register if it is a secret."""
        if kind := _SECRET.get(register):
            self.learn(kind, payload)

    def payload(self, register: int, payload: bytes) -> bytes:
        """Return the payload of a register without secrets."""
        if kind := _SECRET.get(register):
            return self._whole(kind, payload)
        if register in _CONNECTION_SETTINGS - _HARMLESS and len(payload) >= _SHORTEST_CODE:
            return self._whole(Kind.KEY, payload)
        known = self._without_known(payload)
        return known if register in _HARMLESS else self._without_text(known)

    def stream(self, stream: bytes) -> bytes:
        """Return a stream of VE.Smart records without secrets. What cannot be parsed has no text left."""
        redacted = bytearray()
        at = 0
        for piece in _payloads(stream):
            redacted += stream[at : piece.start]
            redacted += self.payload(piece.register, stream[piece.start : piece.end])
            at = piece.end
        rest = stream[at:]
        redacted += rest if _is_parsed(rest) else self._without_text(self._without_known(rest))
        # Once more as a whole: in a damaged stream a secret may lie across what looks like two payloads.
        return self._without_known(bytes(redacted))

    def name(self, name: str) -> str:
        """Return the stand-in for a name."""
        return self._whole(Kind.NAME, name.encode()).decode()

    def text(self, text: str) -> str:
        """Return a text, such as an error message, without secrets."""
        text = _ADDRESS.sub(self._address, text)
        for secret in self._known():
            for spelling, stand_in in _spellings(secret, self._stand_ins[secret]):
                text = re.sub(re.escape(spelling), stand_in, text, flags=re.IGNORECASE)
        return text

    def _address(self, match: re.Match[str]) -> str:
        octets = bytes.fromhex(match[0].replace(match[1], ""))
        return self._stand_in(Kind.ADDRESS, octets).hex(match[1]).upper()

    def _whole(self, kind: Kind, payload: bytes) -> bytes:
        if not payload.strip(_PADDING):
            return payload
        if kind in _OF_BYTES:
            return self._stand_in(kind, payload)
        bare = payload.rstrip(_PADDING)
        return self._stand_in(kind, bare) + payload[len(bare) :]

    def _stand_in(self, kind: Kind, secret: bytes) -> bytes:
        if secret not in self._stand_ins:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            self._stand_ins[secret] = _make(kind, number, secret)
        return self._stand_ins[secret]

    def _known(self) -> list[bytes]:
        """Return the secrets that are long enough to look for, the longest first: one may be part of another."""
        return sorted((secret for secret in self._stand_ins if len(secret) >= _SHORTEST), key=len, reverse=True)

    def _without_known(self, data: bytes) -> bytes:
        for secret in self._known():
            data = data.replace(secret, self._stand_ins[secret])
        return data

    def _without_text(self, data: bytes) -> bytes:
        return _PRINTABLE.sub(lambda match: self._text_stand_in(match[0]), data)

    def _text_stand_in(self, text: bytes) -> bytes:
        return text if text in self._stand_ins.values() else self._stand_in(Kind.TEXT, text)


def _make(kind: Kind, number: int, secret: bytes) -> bytes:
    """Return a stand-in. That of a key begins with 00, as the key check byte does in a recording."""
    size = len(secret)
    if secret.isdigit():
        return str(number).encode().rjust(size, b"0")[-size:]
    if kind in _OF_BYTES:
        return number.to_bytes(size + _LARGEST_COUNT, "big")[-size:]
    text = f"{kind} {number}".encode()
    return text.ljust(size, b"x") if len(text) <= size else str(number).encode().rjust(size, b"x")[-size:]


def _spellings(secret: bytes, stand_in: bytes) -> Iterator[tuple[str, str]]:
    """Yield how a secret may be written in a text, each with the stand-in written the same way."""
    yield secret.hex(), stand_in.hex()
    yield from ((secret.hex(mark), stand_in.hex(mark)) for mark in ": _-")
    if _PRINTABLE.fullmatch(secret):
        yield secret.decode(), stand_in.decode(errors="replace")
    elif len(secret) > _SHORTEST:
        yield secret.decode(errors="replace"), stand_in.decode(errors="replace")


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Where the payload of a register is in a stream. The last one may be cut off."""

    register: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class _Item:
    """The head of a CBOR item: its type, its number or length, and where its content begins."""

    major: int
    number: int | None
    start: int


_UNSIGNED: Final = 0
_BYTES: Final = 2
_TEXT: Final = 3
_ARRAY: Final = 4
_SIMPLE: Final = 7
_INDEFINITE: Final = 31
_ONE_BYTE: Final = 24
_EIGHT_BYTES: Final = 27


def _payloads(stream: bytes) -> Iterator[_Piece]:
    """Yield the payloads in a stream: a byte string belongs to the number before it, in every kind of record."""
    register = 0
    for item in _items(stream):
        if item.major == _UNSIGNED and item.number is not None:
            register = item.number
        elif item.major in (_BYTES, _TEXT) and item.number is not None:
            yield _Piece(register=register, start=item.start, end=min(item.start + item.number, len(stream)))


def _is_parsed(rest: bytes) -> bool:
    """Return whether what follows the last payload holds numbers and arrays only."""
    end = max((item.start for item in _items(rest)), default=0)
    return end == len(rest)


def _items(stream: bytes) -> Iterator[_Item]:
    """Yield the items of a stream one after the other, those of arrays too, up to what is no VE.Smart."""
    at = 0
    while at < len(stream) and (item := _item(stream, at)) is not None:
        yield item
        at = item.start + (item.number or 0 if item.major in (_BYTES, _TEXT) else 0)


def _item(stream: bytes, at: int) -> _Item | None:
    """Return the head of the item at a place; None if VE.Smart has no such item."""
    major, argument = divmod(stream[at], 1 << 5)
    if argument == _INDEFINITE:
        return _Item(major=major, number=None, start=at + 1) if major in (_ARRAY, _SIMPLE) else None
    if argument > _EIGHT_BYTES or major not in (_UNSIGNED, _BYTES, _TEXT, _ARRAY):
        return None
    if argument < _ONE_BYTE:
        return _Item(major=major, number=argument, start=at + 1)
    start = at + 1 + (1 << argument - _ONE_BYTE)
    if start > len(stream):
        return None
    return _Item(major=major, number=int.from_bytes(stream[at + 1 : start], "big"), start=start)
