"""Decodes and encodes the payloads of registers: numbers, texts, choices, bits. All are little-endian."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from math import isfinite
from struct import Struct
from typing import Final, Protocol

KEY_LENGTH: Final = 16


# In A. Assumed: no bank carries more for long, as it is far above the largest fuse of a bank.
HIGHEST_CURRENT: Final = 1000.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The range of values that a bank can have, wider than the manual allows."""

    low: float
    high: float

    def hold(self, value: float) -> bool:
        """Return whether a value is finite and within the bounds."""
        return isfinite(value) and self.low <= value <= self.high


# By quantity. The supply is 8 to 70 V (M-W1), and the largest bank has 15 000 Ah (M-B4).
BOUNDS: Final = {
    "error": Bounds(low=0, high=0xFF),
    "time_to_go": Bounds(low=0, high=0xFFFE),
    "voltage": Bounds(low=5, high=75),
    "current": Bounds(low=-HIGHEST_CURRENT, high=HIGHEST_CURRENT),
    "state_of_charge": Bounds(low=0, high=100),
    "consumed_amphours": Bounds(low=-15000, high=0),
    "temperature": Bounds(low=-40, high=86),
    "capacity": Bounds(low=1, high=15000),
}

type Number = float | None
"""None: not available."""
type Value = float | str | bytes | Mapping[str, object] | None
"""The value of a payload; whole numbers are int. None: not available, or without a meaning."""


# What a text may contain besides letters and digits. Anybody may send it, and it is shown where Markdown is rendered.
_SAFE_MARKS: Final = frozenset(" ._-")
_LONGEST_SAFE_TEXT: Final = 32


def safe_text(text: str) -> str:
    """Return a text from a device without the characters that could do harm where it is shown."""
    kept = "".join(character for character in text if character.isalnum() or character in _SAFE_MARKS)
    return kept.strip()[:_LONGEST_SAFE_TEXT].rstrip()


def rounded(value: float, decimals: int | None) -> float:
    """Return a value with so many decimals, whole without any; never -0, which nobody wants to read."""
    return round(value, decimals) + 0


class PayloadError(ValueError):
    """The bytes are not a valid payload, or the value cannot be encoded."""


class Payload(Protocol):
    """Converts between the value of a register and its bytes. Both ways raise PayloadError."""

    def decode(self, data: bytes) -> Value:
        """Return the value."""
        ...

    def encode(self, value: Value) -> bytes:
        """Return the bytes."""
        ...


@dataclass(frozen=True, kw_only=True)
class NumberPayload:
    """A number: value = raw / per_unit - below_zero; None if it is out of bounds."""

    size: int
    signed: bool = False
    per_unit: int = 1
    below_zero: float = 0
    not_available: int | None = None
    bounds: Bounds | None = None

    def decode(self, data: bytes) -> Number:
        """Return the number."""
        _check_size(data, self.size)
        raw = int.from_bytes(data, "little", signed=self.signed)
        if raw == self.not_available:
            return None
        # Rounds the binary fraction that is left when 273.15 is subtracted.
        value = raw if self._whole else rounded(raw / self.per_unit - self.below_zero, 3)
        return value if self.bounds is None or self.bounds.hold(value) else None

    def encode(self, value: Value) -> bytes:
        """Return the bytes of the nearest raw number."""
        # True and false are numbers to Python.
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise PayloadError(f"{value!r} is not a number")
        raw = round((value + self.below_zero) * self.per_unit)
        if raw == self.not_available:
            raise PayloadError(f"{value} means not available")
        try:
            return raw.to_bytes(self.size, "little", signed=self.signed)
        except OverflowError as error:
            raise PayloadError(f"{value} does not fit into {self.size} bytes") from error

    @property
    def _whole(self) -> bool:
        return self.per_unit == 1 and not self.below_zero


class _ReadOnly:
    """A payload that is never written."""

    def encode(self, value: Value) -> bytes:
        """Raise PayloadError."""
        raise PayloadError(f"the register cannot be written (value {value!r})")


@dataclass(frozen=True, kw_only=True)
class NumbersPayload(_ReadOnly):
    """Several numbers in a row, each with a name."""

    parts: Mapping[str, NumberPayload]

    def decode(self, data: bytes) -> Mapping[str, Number]:
        """Return the numbers by name."""
        _check_size(data, sum(part.size for part in self.parts.values()))
        numbers, start = {}, 0
        for name, part in self.parts.items():
            numbers[name] = part.decode(data[start : start + part.size])
            start += part.size
        return numbers


@dataclass(frozen=True, kw_only=True)
class TextPayload(_ReadOnly):
    """A text that ends at a zero byte and may be padded with 0x00 or 0xFF. Harmful characters are removed."""

    longest: int

    def decode(self, data: bytes) -> str:
        """Return the text."""
        if len(data) > self.longest:
            raise PayloadError(f"{len(data)} bytes, more than {self.longest}")
        return safe_text(data.partition(b"\0")[0].rstrip(b"\xff").decode(errors="ignore"))


@dataclass(frozen=True, kw_only=True)
class BytesPayload(_ReadOnly):
    """Bytes without a further meaning."""

    size: int

    def decode(self, data: bytes) -> bytes:
        """Return the bytes."""
        _check_size(data, self.size)
        return data


@dataclass(frozen=True, kw_only=True)
class ChoicePayload:
    """One byte that stands for a word or a truth value; None for any other byte."""

    meanings: Mapping[int, str | bool]

    def decode(self, data: bytes) -> str | bool | None:
        """Return the meaning."""
        _check_size(data, 1)
        return self.meanings.get(data[0])

    def encode(self, value: Value) -> bytes:
        """Return the byte."""
        for raw, meaning in self.meanings.items():
            if meaning == value:
                return bytes((raw,))
        raise PayloadError(f"{value!r} is not one of {list(self.meanings.values())}")


@dataclass(frozen=True, kw_only=True)
class FlagsPayload(_ReadOnly):
    """A number whose bits are flags."""

    size: int
    flags: type[IntFlag]

    def decode(self, data: bytes) -> int:
        """Return the flags, including bits without a name."""
        _check_size(data, self.size)
        return self.flags(int.from_bytes(data, "little"))


@dataclass(frozen=True, kw_only=True)
class TwoBitPayload(_ReadOnly):
    """2-bit fields in a row, each with a name, and the meanings of the four states.

    Assumed: the register may have any length up to longest. Fields beyond its end are not available.
    """

    names: tuple[str, ...]
    states: tuple[object, object, object, object]
    longest: int = 8

    def decode(self, data: bytes) -> Mapping[str, object]:
        """Return the meaning of each field, by name."""
        if not data or len(data) > self.longest:
            raise PayloadError(f"{len(data)} bytes instead of 1 to {self.longest}")
        bits = int.from_bytes(data, "little")
        return {name: self.states[bits >> 2 * place & 3] for place, name in enumerate(self.names)}


class VersionPayload(_ReadOnly):
    """A firmware version, given by the hexadecimal digits of its bytes."""

    _BYTES: Final = Struct("<xBBB")
    _NOT_AVAILABLE: Final = b"\xff\xff\xff"
    _RELEASED: Final = 0xFF

    def decode(self, data: bytes) -> str | None:
        """Return the version, such as v1.05 or v2.10-beta-03."""
        _check_size(data, self._BYTES.size)
        if data.endswith(self._NOT_AVAILABLE):
            return None
        low, middle, high = self._BYTES.unpack(data)
        if not high:
            return f"v{middle:x}.{low:02x}"
        return f"v{high:x}.{middle:02x}" + ("" if low == self._RELEASED else f"-beta-{low:02x}")


class NoPayload:
    """No bytes: writing the register is the command."""

    def decode(self, data: bytes) -> None:
        """Return None."""
        _check_size(data, 0)

    def encode(self, value: Value) -> bytes:
        """Return no bytes."""
        if value is not None:
            raise PayloadError("takes no value")
        return b""


def _check_size(data: bytes, size: int) -> None:
    if len(data) != size:
        raise PayloadError(f"{len(data)} bytes instead of {size}")
