"""Checks that what was read from a file has the shape that a type describes: the file may be damaged."""

from collections.abc import Callable, Mapping
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Final, TypeAliasType, get_args, get_origin, get_type_hints, is_typeddict

# True and false are numbers to Python, but not here.
_NUMBERS: Final = (int, float)


class WrongShape(ValueError):
    """Something is not what its type says."""


def check_shape(value: object, shape: object, path: str = "") -> None:
    """Raise WrongShape unless a value, as JSON gives it, is of this type.

    Understood are TypedDict, list, dict, unions, enumerations, None and what JSON has. A number must be finite. Keys
    that a TypedDict does not know are no fault: a newer version may have written them.
    """
    if not _fits(value, shape, path):
        raise WrongShape(f"{path or 'it'} is {value!r}")


def _fits(value: object, shape: object, path: str) -> bool:
    if isinstance(shape, TypeAliasType):
        return _fits(value, shape.__value__, path)
    if is_typeddict(shape):
        return _check_fields(value, shape, path)
    if isinstance(shape, UnionType):
        return any(_is_of(value, one, path) for one in get_args(shape))
    if (check := _CONTAINERS.get(get_origin(shape))) is not None:
        return check(value, get_args(shape), path)
    return _is_plain(value, shape)


def _is_of(value: object, shape: object, path: str) -> bool:
    try:
        return _fits(value, shape, path)
    except WrongShape:
        return False


def _check_fields(value: object, shape: object, path: str) -> bool:
    if not isinstance(value, Mapping):
        return False
    required: frozenset[str] = getattr(shape, "__required_keys__")  # noqa: B009  # mypy knows no TypedDict as a value
    if missing := required - value.keys():
        raise WrongShape(f"{path}.{min(missing)} is missing")
    for name, part in get_type_hints(shape).items():
        if name in value:
            check_shape(value[name], part, f"{path}.{name}")
    return True


def _check_list(value: object, shapes: tuple[object, ...], path: str) -> bool:
    if not isinstance(value, list):
        return False
    for index, item in enumerate(value):
        check_shape(item, shapes[0], f"{path}[{index}]")
    return True


def _check_dict(value: object, shapes: tuple[object, ...], path: str) -> bool:
    if not isinstance(value, Mapping):
        return False
    for name, item in value.items():
        check_shape(item, shapes[1], f"{path}.{name}")
    return True


_CONTAINERS: Final[Mapping[object, Callable[[object, tuple[object, ...], str], bool]]] = {
    list: _check_list,
    dict: _check_dict,
}


def _is_plain(value: object, shape: object) -> bool:
    """Return whether a value that holds no others is of a type."""
    if shape is object:
        return True
    if shape is float:
        return type(value) in _NUMBERS and isfinite(float(value))  # type: ignore[arg-type]
    if shape in {None, NoneType}:
        return value is None
    if isinstance(shape, type) and issubclass(shape, Enum):
        return value in [member.value for member in shape]
    return type(value) is shape
