"""Limits of values, and the words that say what is allowed when a value is refused."""

from collections.abc import Callable, Mapping
import re
from typing import Final

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

SHOULD_BE: Final = "should_be"  # the type of our own errors, whose context says what is allowed

# What to say is allowed, by the type of the error that pydantic reports.
_ALLOWED: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "dataclass_type": "an object",
    "dict_type": "an object",
    "enum": "one of {expected}",
    "frozen_set_type": "a list",
    "greater_than": "above zero",
    "json_invalid": "valid JSON",
    "list_type": "a list",
    "set_type": "a list",
    "string_type": "a text",
    "too_long": "a list of {max_length}",
    "tuple_type": "a list",
    "union_tag_invalid": "one of {expected_tags}",
}


def should_be(allowed: str, *at: str | int) -> PydanticCustomError:
    """Return an error that says what is allowed. at: the path of keys to the value that is not."""
    return PydanticCustomError(SHOULD_BE, "should be {allowed}", {"allowed": allowed, "at": at})


def wanted(allowed: str, accepts: Callable[[object], bool] = lambda _: True, *, written: str = ".*") -> WrapValidator:
    """Return a validator that says what is allowed, in these words, whenever a value is refused.

    accepts: a check of the value once it is read. written: a pattern for the text that it is read from.
    """

    def judge(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        if isinstance(value, str) and not re.fullmatch(written, value, re.ASCII | re.DOTALL):
            raise should_be(allowed)
        try:
            result: object = handler(value)
        except ValidationError:
            raise should_be(allowed) from None
        if not accepts(result):
            raise should_be(allowed)
        return result

    return WrapValidator(judge)


def number(minimum: float, maximum: float, allowed: str = "") -> WrapValidator:
    """Return a validator of numbers between two limits. allowed: other words than the limits themselves."""
    return wanted(allowed or f"a number from {minimum:.15g} to {maximum:.15g}", _between(minimum, maximum))


def whole_number(minimum: int, maximum: int, allowed: str = "") -> WrapValidator:
    """Return a validator of whole numbers between two limits. allowed: other words than the limits themselves."""
    words = allowed or f"a whole number from {minimum} to {maximum}"
    return wanted(words, _between(minimum, maximum), written=r"-?\d+")


def _between(minimum: float, maximum: float) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int | float) and minimum <= value <= maximum  # false for NaN


def allowed_by(kind: str, context: Mapping[str, object], words: Mapping[str, str] | None = None) -> str:
    """Return what is allowed, by the type and the context of an error.

    words: other words than the usual ones, by type.
    """
    if kind == SHOULD_BE:
        return str(context["allowed"])
    template = {**_ALLOWED, **(words or {})}.get(kind, "something else")
    return template.format_map({key: _words(value) for key, value in context.items()})


def _words(value: object) -> object:
    """Return a list of words as we write it; pydantic writes "'on' or 'off'"."""
    return ", ".join(re.findall(r"'([^']*)'", value)) if isinstance(value, str) else value
