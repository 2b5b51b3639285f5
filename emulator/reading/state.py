"""State as JSON: its types, and reading it back with one clear sentence when it is wrong."""

from collections.abc import Mapping, Sequence
from typing import Final

type JsonValue = bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None
type JsonObject = Mapping[str, JsonValue]


# Far above any number here, charges in nAh included, and small enough for sums of it to fit 64 bits.
LARGEST: Final = 10**15
# Charge that has gone through a bank, in nAh, is counted without end: what the largest one could move in centuries.
LARGEST_COUNT: Final = 10**21


class StateError(ValueError):
    """A saved state that this program cannot have written; its text is one sentence for the user."""


def _wrong(key: str, wanted: str) -> StateError:
    return StateError(f"The saved state is damaged: {key} should be {wanted}.")


def _get(data: JsonObject, key: str) -> JsonValue:
    if key not in data:
        raise StateError(f"The saved state is damaged: {key} is missing.")
    return data[key]


def get_bool(data: JsonObject, key: str) -> bool:
    """Return a truth value. Raises StateError."""
    value = _get(data, key)
    if not isinstance(value, bool):
        raise _wrong(key, "true or false")
    return value


def get_optional_bool(data: JsonObject, key: str) -> bool | None:
    """Return a truth value or None. Raises StateError."""
    return None if _get(data, key) is None else get_bool(data, key)


def get_int(data: JsonObject, key: str) -> int:
    """Return a whole number. Raises StateError."""
    value = _get(data, key)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_COUNT:
        raise _wrong(key, "a reasonable whole number")
    return value


def get_float(data: JsonObject, key: str, *, lowest: float = -LARGEST, highest: float = LARGEST) -> float:
    """Return a number between two limits. Raises StateError."""
    value = _get(data, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(key, "a number")
    if not lowest <= value <= highest:
        raise _wrong(key, "a reasonable number")
    return float(value)


def get_optional_float(data: JsonObject, key: str) -> float | None:
    """Return a number or None. Raises StateError."""
    return None if _get(data, key) is None else get_float(data, key)


def get_optional_int(data: JsonObject, key: str) -> int | None:
    """Return a whole number or None. Raises StateError."""
    return None if _get(data, key) is None else get_int(data, key)


def get_str(data: JsonObject, key: str) -> str:
    """Return a text. Raises StateError."""
    value = _get(data, key)
    if not isinstance(value, str):
        raise _wrong(key, "a text")
    return value


def get_object(data: JsonObject, key: str) -> JsonObject:
    """Return an object. Raises StateError."""
    value = _get(data, key)
    if not isinstance(value, Mapping):
        raise _wrong(key, "an object")
    return value


def get_list(data: JsonObject, key: str) -> Sequence[JsonValue]:
    """Return a list. Raises StateError."""
    value = _get(data, key)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _wrong(key, "a list")
    return value


def get_ints(data: JsonObject, key: str, length: int) -> list[int]:
    """Return a list of this many whole numbers. Raises StateError."""
    numbers = [item for item in get_list(data, key) if isinstance(item, int) and not isinstance(item, bool)]
    if any(abs(number) > LARGEST for number in numbers):
        raise _wrong(key, "a list of reasonable numbers")
    return _of_length(numbers, data, key, length)


def get_numbers(data: JsonObject, key: str) -> frozenset[int]:
    """Return a list of whole numbers as a set. Raises StateError."""
    return frozenset(get_ints(data, key, len(get_list(data, key))))


def get_floats(
    data: JsonObject, key: str, length: int, *, lowest: float = -LARGEST, highest: float = LARGEST
) -> list[float]:
    """Return a list of this many numbers between two limits. Raises StateError."""
    items = get_list(data, key)
    numbers = [item for item in items if isinstance(item, int | float) and not isinstance(item, bool)]
    return _of_length([float(number) for number in numbers if lowest <= number <= highest], data, key, length)


def get_bools(data: JsonObject, key: str, length: int) -> list[bool]:
    """Return a list of this many truth values. Raises StateError."""
    return _of_length([item for item in get_list(data, key) if isinstance(item, bool)], data, key, length)


def get_strs(data: JsonObject, key: str, length: int) -> list[str]:
    """Return a list of this many texts. Raises StateError."""
    return _of_length([item for item in get_list(data, key) if isinstance(item, str)], data, key, length)


def _of_length[Item](items: list[Item], data: JsonObject, key: str, length: int) -> list[Item]:
    if len(items) != length or len(get_list(data, key)) != length:
        raise _wrong(key, f"a list of {length}")
    return items
