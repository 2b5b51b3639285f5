"""Whatever stands in a file, what does not have its shape is noticed."""

from enum import StrEnum
import math
from typing import NotRequired, TypedDict

import pytest

from custom_components.smallbms_ng.shape import WrongShape, check_shape


class Kind(StrEnum):
    """A choice."""

    ONE = "one"


class Part(TypedDict):
    """A part."""

    number: float
    count: NotRequired[int]


class Whole(TypedDict, total=False):
    """A whole."""

    part: Part
    parts: list[Part]
    by_name: dict[str, float | None]
    kind: Kind
    known: Known
    yes: bool
    whatever: object


type Known = float | Kind

INTACT: dict[str, object] = {
    "part": {"number": 1, "count": 2},
    "parts": [{"number": 1.5}, {"number": -1, "more": "of a newer version"}],
    "by_name": {"a": 1.0, "b": None},
    "kind": "one",
    "known": "one",
    "yes": True,
    "whatever": [{}],
}


def test_what_is_intact() -> None:
    check_shape(INTACT, Whole)
    check_shape({}, Whole)


@pytest.mark.parametrize(
    ("name", "junk", "told"),
    [
        ("part", None, ".part is None"),
        ("part", {}, ".part.number is missing"),
        ("part", {"number": "1"}, ".part.number is '1'"),
        ("part", {"number": True}, ".part.number is True"),
        ("part", {"number": math.nan}, ".part.number is nan"),
        ("part", {"number": math.inf}, ".part.number is inf"),
        ("part", {"number": 1, "count": 1.0}, ".part.count is 1.0"),
        ("parts", {}, ".parts is {}"),
        ("parts", "number", ".parts is 'number'"),
        ("parts", [{"number": 1}, 7], ".parts[1] is 7"),
        ("by_name", [], ".by_name is []"),
        ("by_name", {"a": "x"}, ".by_name.a is 'x'"),
        ("kind", "two", ".kind is 'two'"),
        ("kind", 1, ".kind is 1"),
        ("known", "two", ".known is 'two'"),
        ("known", [], ".known is []"),
        ("yes", 1, ".yes is 1"),
    ],
)
def test_what_is_not(name: str, junk: object, told: str) -> None:
    with pytest.raises(WrongShape) as raised:
        check_shape(INTACT | {name: junk}, Whole)
    assert str(raised.value) == told


def test_not_even_an_object() -> None:
    with pytest.raises(WrongShape, match="it is 7"):
        check_shape(7, Whole)
