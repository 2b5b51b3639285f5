"""State as JSON: its types, writing it and reading it back.

State is kept in plain dataclasses. The annotations of their fields say which values are allowed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
from typing import Annotated, Final

from pydantic import TypeAdapter, ValidationError

from emulator.reading.values import allowed_by, number, whole_number

type JsonValue = bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None
type JsonObject = Mapping[str, JsonValue]

# Far above any number here, charges in nAh included, and small enough for sums of it to fit 64 bits.
LARGEST: Final = 10**15
# Charge that has gone through a bank, in nAh, is counted without end: what the largest one could move in centuries.
LARGEST_COUNT: Final = 10**21

type Number = Annotated[float, number(-LARGEST, LARGEST, "a reasonable number")]
type Amount = Annotated[int, whole_number(-LARGEST, LARGEST, "a reasonable whole number")]
type Count = Annotated[int, whole_number(-LARGEST_COUNT, LARGEST_COUNT, "a reasonable whole number")]

_ADAPTERS: Final[dict[object, TypeAdapter[object]]] = {}


class StateError(ValueError):
    """A saved state that this program cannot have written; its text is one sentence for the user."""


def as_json(remembered: object) -> dict[str, JsonValue]:
    """Return a dataclass as JSON."""
    saved: dict[str, JsonValue] = _adapter(type(remembered)).dump_python(remembered, mode="json")
    return saved


def from_json[Remembered](kind: type[Remembered], saved: JsonValue) -> Remembered:
    """Return a dataclass of a kind from JSON, in which no field may be missing. Raises StateError."""
    try:
        remembered = _adapter(kind).validate_json(json.dumps(saved), strict=True)
    except ValidationError as error:
        raise damaged(_problem(error)) from error
    assert isinstance(remembered, kind)  # noqa: S101 -- for the type checker
    missing = _missing(_adapter(kind).dump_python(remembered, mode="json"), saved)
    if missing is not None:
        raise damaged(f"{missing} is missing")
    return remembered


@dataclass(frozen=True)
class _Version:
    version: Count


def version_of(saved: JsonObject) -> int:
    """Return the version of a saved state. Raises StateError."""
    return from_json(_Version, saved).version


def damaged(problem: str) -> StateError:
    """Return the error for a problem with a saved state."""
    return StateError(f"The saved state is damaged: {problem.removesuffix('.')}.")


def _adapter(kind: type) -> TypeAdapter[object]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _problem(error: ValidationError) -> str:
    """Return the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    keys = [key for key in first["loc"] if isinstance(key, str) and key != "[key]"]
    key = keys[-1] if keys else "it"
    if first["type"] in {"missing", "missing_argument"}:
        return f"{key} is missing" if key == first["loc"][-1] else f"{key} should be a longer list"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    return f"{key} should be {allowed_by(first['type'], first.get('ctx', {}))}"


def _missing(wanted: JsonValue, saved: JsonValue) -> str | None:
    """Return the name of a field that is not in the saved state, and got its default instead; None if there is none."""
    if isinstance(wanted, list) and isinstance(saved, list):
        pairs = list(zip(wanted, saved, strict=False))
    elif isinstance(wanted, dict) and isinstance(saved, Mapping):
        for name in wanted:
            if name not in saved:
                return str(name)
        pairs = [(value, saved[name]) for name, value in wanted.items()]
    else:
        return None
    return next((name for pair in pairs if (name := _missing(*pair)) is not None), None)
