"""Reading YAML that people write: every error is one sentence with file, line and what is allowed.

The text of a scalar is read as what is asked for, not as what YAML 1.1 would make of it: 06:30 is a time of day there
(and not 390), and on is a word.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from math import isfinite
import re
from typing import Final

import yaml

SECONDS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(SECONDS)})")
_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_BOOLEANS: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class ScenarioError(ValueError):
    """Something is wrong with a scenario; the text is one sentence for the user."""


class Node:
    """A value in a file; name is its key, for errors."""

    def __init__(self, file: str, name: str, node: yaml.Node) -> None:
        self.name = name
        self._file = file
        self._node = node

    @property
    def text(self) -> str:
        """The text of a scalar. Raises ScenarioError."""
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.wrong("a single value")
        text: str = self._node.value
        return text

    @property
    def is_scalar(self) -> bool:
        """Whether it is a single value."""
        return isinstance(self._node, yaml.ScalarNode)

    def fields(self) -> Fields:
        """Return the fields of a mapping. Raises ScenarioError."""
        return Fields(self, dict(self.pairs()))

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Yield keys and values of a mapping. Raises ScenarioError."""
        if self._is_empty:
            return
        if not isinstance(self._node, yaml.MappingNode):
            raise self.wrong("a block of keys with values")
        seen = set()
        for key, value in self._node.value:
            key_node = Node(self._file, self.name, key)
            if key_node.text in seen:
                raise key_node.error(f"{key_node.text} is there twice")
            seen.add(key_node.text)
            yield key_node, Node(self._file, key_node.text, value)

    def items(self) -> Iterator[Node]:
        """Yield the items of a list. Raises ScenarioError."""
        if self._is_empty:
            return
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.wrong("a list, every item of which begins with a dash")
        for item in self._node.value:
            yield Node(self._file, f"an item of {self.name}", item)

    @property
    def _is_empty(self) -> bool:
        return isinstance(self._node, yaml.ScalarNode) and not self._node.value and not self._node.style

    def error(self, problem: str) -> ScenarioError:
        """Return an error at this place."""
        return ScenarioError(f"{self._file}, line {self._node.start_mark.line + 1}: {problem}.")

    def wrong(self, wanted: str) -> ScenarioError:
        """Return the error that says what is allowed here."""
        given = repr(self._node.value) if self.is_scalar else "that"
        return self.error(f"{self.name} should be {wanted}, not {given}")


type Reader[Value] = Callable[[Node], Value]


class Fields:
    """The fields of a mapping. What was never asked for is an error in the end."""

    def __init__(self, node: Node, fields: dict[Node, Node]) -> None:
        self.node = node
        self._keys = {key.text: key for key in fields}
        self._fields = {key.text: value for key, value in fields.items()}
        self._known: list[str] = []

    def need[Value](self, key: str, read: Reader[Value]) -> Value:
        """Return a field. Raises ScenarioError if it is missing or wrong."""
        self._known.append(key)
        if key not in self._fields:
            raise self.node.error(f"{key} is missing")
        return read(self._fields[key])

    def get[Value](self, key: str, read: Reader[Value], default: Value) -> Value:
        """Return a field, or a default if it is not there. Raises ScenarioError if it is wrong."""
        self._known.append(key)
        return read(self._fields[key]) if key in self._fields else default

    def list[Value](self, key: str, read: Reader[Value]) -> tuple[Value, ...]:
        """Return a list, which is empty if it is not there. Raises ScenarioError."""
        return self.get(key, lambda node: tuple(read(item) for item in node.items()), ())

    def has(self, key: str) -> bool:
        """Return whether a field is there."""
        return key in self._fields

    def at(self, key: str) -> Node:
        """Return a field that is there, for an error that comes up later."""
        return self._fields[key]

    def done(self) -> None:
        """Raise ScenarioError if there is a field that nobody asked for."""
        for key, node in self._keys.items():
            if key not in self._known:
                raise node.error(f"{key} is not known here; known are {', '.join(self._known)}")


def parse(text: str, file: str) -> Node:
    """Return the document in a text. Raises ScenarioError."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise ScenarioError(f"{file}, line {line}: this is no YAML ({error.problem}).") from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{file} holds a character that YAML does not allow.") from error
    except RecursionError as error:
        raise ScenarioError(f"{file} is nested too deeply.") from error
    if node is None:
        raise ScenarioError(f"{file} is empty.")
    return Node(file, "the file", node)


def number(minimum: float, maximum: float) -> Reader[float]:
    """Return a reader of numbers."""

    def read(node: Node) -> float:
        try:
            value = float(node.text)
        except ValueError:
            value = float("nan")
        if not (isfinite(value) and minimum <= value <= maximum):
            raise node.wrong(f"a number from {minimum:g} to {maximum:g}")
        return value

    return read


percent: Final = number(0, 100)


def whole_number(minimum: int, maximum: int) -> Reader[int]:
    """Return a reader of whole numbers."""

    def read(node: Node) -> int:
        if not re.fullmatch(r"-?\d{1,18}", node.text, re.ASCII) or not minimum <= int(node.text) <= maximum:
            raise node.wrong(f"a whole number from {minimum} to {maximum}")
        return int(node.text)

    return read


def text(node: Node) -> str:
    """Read a text that is not empty."""
    value = node.text.strip()
    if not value:
        raise node.wrong("a text")
    return value


def matching(pattern: str, wanted: str) -> Reader[str]:
    """Return a reader of texts of a form."""

    def read(node: Node) -> str:
        if not re.fullmatch(pattern, node.text, re.ASCII):
            raise node.wrong(wanted)
        return node.text

    return read


def choice(allowed: Collection[str]) -> Reader[str]:
    """Return a reader of one of some words."""

    def read(node: Node) -> str:
        if node.text not in allowed:
            raise node.wrong(f"one of {', '.join(allowed)}")
        return node.text

    return read


def boolean(node: Node) -> bool:
    """Read yes or no."""
    if node.text.lower() not in _BOOLEANS:
        raise node.wrong("yes or no")
    return _BOOLEANS[node.text.lower()]


def duration(minimum: float = 1.0) -> Reader[float]:
    """Return a reader of durations with a unit, in s."""

    def read(node: Node) -> float:
        match = _DURATION.fullmatch(node.text)
        seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
        if seconds < minimum or not isfinite(seconds):
            raise node.wrong(f"a time of at least {minimum:g} s, such as 90 s, 12 min or 2 h")
        return seconds

    return read


def time_of_day(node: Node) -> float:
    """Read a time such as 06:30, in s."""
    match = _TIME_OF_DAY.fullmatch(node.text)
    if match is None:
        raise node.wrong("a time from 00:00 to 23:59")
    return int(match[1]) * SECONDS["h"] + int(match[2]) * SECONDS["min"]


def date_time(node: Node) -> datetime:
    """Read a date with a time; without an offset it is in UTC."""
    try:
        moment = datetime.fromisoformat(node.text)
    except ValueError as error:
        raise node.wrong("a date with a time, such as 2026-06-15 06:00+02:00") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
