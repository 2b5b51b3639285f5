"""JSON, and what is expected in it."""

from .errors import DemoError

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type JsonObject = dict[str, Json]


def as_object(value: Json) -> JsonObject:
    """Return the value if it is an object, otherwise raise DemoError."""
    if isinstance(value, dict):
        return value
    raise _unexpected("an object", value)


def as_objects(value: Json) -> list[JsonObject]:
    """Return the value if it is a list of objects, otherwise raise DemoError."""
    if isinstance(value, list):
        return [as_object(item) for item in value]
    raise _unexpected("a list", value)


def text(source: JsonObject, name: str) -> str:
    """Return the text of this name, otherwise raise DemoError."""
    value = source.get(name)
    if isinstance(value, str):
        return value
    raise _unexpected(f"text in “{name}”", value)


def whole_number(source: JsonObject, name: str) -> int:
    """Return the whole number of this name, otherwise raise DemoError."""
    value = source.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _unexpected(f"a whole number in “{name}”", value)


def _unexpected(wanted: str, value: Json) -> DemoError:
    return DemoError(f"Expected {wanted}, but got {value!r}.")
