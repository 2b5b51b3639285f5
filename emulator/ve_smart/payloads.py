"""Payloads of registers: little-endian numbers, texts, two-bit fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import re
from typing import Final, Protocol

CELSIUS_ZERO: Final = 273.15  # K
# More digits than any scale has: rounding to them removes the errors of binary fractions.
DIGITS: Final = 6


class PayloadError(ValueError):
    """The bytes are no payload of this kind."""


class Payload[T](Protocol):
    """How a register's value is written as bytes."""

    def encode(self, value: T) -> bytes:
        """Return the payload."""

    def decode(self, payload: bytes) -> T:
        """Return the value. Raises PayloadError."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number: value = raw * scale - offset. None is not available, which some registers can say."""

    size: int
    scale: float = 1.0
    offset: float = 0.0
    signed: bool = False
    not_available: int | None = None

    def encode(self, value: float | None) -> bytes:
        """Return the payload, at the nearest end of the range if the value does not fit."""
        return self._raw(value).to_bytes(self.size, "little", signed=self.signed)

    def decode(self, payload: bytes) -> float | None:
        """Return the value. Raises PayloadError."""
        if len(payload) != self.size:
            raise PayloadError(f"{len(payload)} bytes instead of {self.size}")
        raw = int.from_bytes(payload, "little", signed=self.signed)
        return None if raw == self.not_available else round(raw * self.scale - self.offset, DIGITS)

    def _raw(self, value: float | None) -> int:
        if value is None:
            return self.not_available or 0
        lowest, highest = self._range
        return round(min(max((value + self.offset) / self.scale, lowest), highest))

    @property
    def _range(self) -> tuple[int, int]:
        """The lowest and highest raw value, leaving out "not available" at either end of the range."""
        lowest = -(1 << 8 * self.size - 1) if self.signed else 0
        highest = (1 << 8 * self.size) - 1 + lowest
        return lowest + (self.not_available == lowest), highest - (self.not_available == highest)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Several numbers in a row."""

    parts: tuple[Number, ...]

    def encode(self, value: Iterable[float | None]) -> bytes:
        """Return the payload."""
        return b"".join(part.encode(number) for part, number in zip(self.parts, value, strict=True))

    def decode(self, payload: bytes) -> tuple[float | None, ...]:
        """Return the numbers. Raises PayloadError."""
        numbers = []
        for part in self.parts:
            numbers.append(part.decode(payload[: part.size]))
            payload = payload[part.size :]
        if payload:
            raise PayloadError(f"{len(payload)} bytes too many")
        return tuple(numbers)


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text of at most this many bytes; padded texts end with a zero byte and have their full size."""

    size: int
    padded: bool = False

    def encode(self, value: str) -> bytes:
        """Return the payload, cut between characters if it is too long."""
        room = self.size - self.padded
        text = value.encode()[:room].decode(errors="ignore").encode()
        return text.ljust(self.size, b"\0") if self.padded else text

    def decode(self, payload: bytes) -> str:
        """Return the text. Raises PayloadError."""
        if len(payload) > self.size:
            raise PayloadError(f"{len(payload)} bytes, more than {self.size}")
        try:
            return payload.partition(b"\0")[0].rstrip(b"\xff").decode()
        except UnicodeDecodeError as error:
            raise PayloadError("not a text") from error


@dataclass(frozen=True, kw_only=True)
class Octets:
    """Bytes as they are."""

    size: int

    def encode(self, value: bytes) -> bytes:
        """Return the payload."""
        return value

    def decode(self, payload: bytes) -> bytes:
        """Return the value. Raises PayloadError."""
        if len(payload) != self.size:
            raise PayloadError(f"{len(payload)} bytes instead of {self.size}")
        return payload


@dataclass(frozen=True, kw_only=True)
class Fields[Key, State]:
    """Two-bit fields in a row, one for each key, from the least significant bits up; a key without state is 0."""

    size: int
    keys: tuple[Key, ...]
    states: Mapping[State, int]

    def encode(self, value: Mapping[Key, State]) -> bytes:
        """Return the payload."""
        present = ((place, self.states[value[key]]) for place, key in enumerate(self.keys) if key in value)
        return sum(state << 2 * place for place, state in present).to_bytes(self.size, "little")

    def decode(self, payload: bytes) -> Mapping[Key, State]:
        """Return the states. Raises PayloadError."""
        if len(payload) != self.size:
            raise PayloadError(f"{len(payload)} bytes instead of {self.size}")
        bits = int.from_bytes(payload, "little")
        by_number = {number: state for state, number in self.states.items()}
        found = ((key, bits >> 2 * place & 3) for place, key in enumerate(self.keys))
        return {key: by_number[number] for key, number in found if number in by_number}


class FirmwareVersion:
    """A version such as `v1.05` or `v1.05-beta-02`, whose digits are the payload's hexadecimal ones."""

    SIZE: Final = 4
    NOT_AVAILABLE: Final = b"\xff\xff\xff"
    _PATTERN: Final = re.compile(r"v([0-9]{1,2})\.([0-9]{2})(?:-beta-([0-9]{2}))?")

    def encode(self, value: str) -> bytes:
        """Return the payload; a text that is no version is not available."""
        match = self._PATTERN.fullmatch(value)
        if match is None:
            return b"\0" + self.NOT_AVAILABLE
        major, minor, beta = match.groups()
        parts = (major, minor, beta) if beta else ("0", major, minor)
        return bytes((0, *(int(part, 16) for part in reversed(parts))))

    def decode(self, payload: bytes) -> str:
        """Return the version. Raises PayloadError."""
        if len(payload) != self.SIZE or payload[1:] == self.NOT_AVAILABLE:
            raise PayloadError("not a version")
        _, low, middle, high = payload
        if high == 0:
            return f"v{middle:x}.{low:02x}"
        return f"v{high:x}.{middle:02x}" + (f"-beta-{low:02x}" if low != self.NOT_AVAILABLE[0] else "")


def unsigned(size: int, *, scale: float = 1.0, not_available: int | None = None) -> Number:
    """Return the payload of an unsigned number of this many bytes."""
    return Number(size=size, scale=scale, not_available=not_available)


def signed(size: int, *, scale: float = 1.0, not_available: int | None = None) -> Number:
    """Return the payload of a signed number of this many bytes."""
    return Number(size=size, scale=scale, not_available=not_available, signed=True)


def kelvin(*, not_available: int) -> Number:
    """Return the payload of a temperature: °C in the emulator, hundredths of a kelvin on the wire."""
    return Number(size=2, scale=0.01, offset=CELSIUS_ZERO, not_available=not_available)
