"""Reading YAML that people write: every error is one sentence with file, line and what is allowed."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails
import yaml

from emulator.reading.sections import KIND, Section
from emulator.reading.values import allowed_by

type Content = str | list[Content] | dict[str, Content]
type Path = tuple[str | int, ...]

# The words that differ in YAML, as in reading/values.py.
_ALLOWED: Final[Mapping[str, str]] = {
    "dict_type": "a block of keys with values",
    "model_attributes_type": "a block of keys with values",
    "model_type": "a block of keys with values",
    "tuple_type": "a list, every item of which begins with a dash",
}


class ScenarioError(ValueError):
    """Something is wrong with a scenario; the text is one sentence for the user."""


def read_yaml[Kind: Section](text: str, file: str, kind: type[Kind]) -> Kind:
    """Return the section in a text. Raises ScenarioError for the first mistake in the file."""
    document = _Document(text, file)
    try:
        return kind.model_validate(document.content)
    except ValidationError as error:
        refused = [document.problem(each) for each in error.errors(include_url=False)]
        raise document.error(*min(refused, key=lambda each: _line(each[0]))) from error


class _Place(NamedTuple):
    """A value in a file, with its name and its key, for errors."""

    name: str
    value: yaml.Node
    key: yaml.Node

    def __str__(self) -> str:
        return repr(self.value.value) if isinstance(self.value, yaml.ScalarNode) else "that"


class _Document:
    """A file: its content, and the lines of its values. Raises ScenarioError."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._read: dict[int, Content | None] = {}
        try:
            self._root = self._compose(text)
            self.content = self._content(self._root)
        except RecursionError as error:
            raise ScenarioError(f"{file} is nested too deeply.") from error

    def _compose(self, text: str) -> yaml.Node:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = 1 if error.problem_mark is None else error.problem_mark.line + 1
            raise ScenarioError(f"{self._file}, line {line}: this is not valid YAML ({error.problem}).") from error
        except yaml.YAMLError as error:
            raise ScenarioError(f"{self._file} holds a character that YAML does not allow.") from error
        if root is None:
            raise ScenarioError(f"{self._file} is empty.")
        return root

    def _content(self, node: yaml.Node) -> Content:
        """Return the content of a node. A node with several references is read only once."""
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        if id(node) not in self._read:
            self._read[id(node)] = None
            self._read[id(node)] = self._block(node)
        content = self._read[id(node)]
        if content is None:
            raise self.error(node, "this refers to itself")
        return content

    def _block(self, node: yaml.Node) -> Content:
        if isinstance(node, yaml.SequenceNode):
            return [self._content(item) for item in node.value]
        block: dict[str, Content] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, "a key should be a single word")
            if key.value in block:
                raise self.error(key, f"{key.value} appears twice")
            block[key.value] = self._content(value)
        return block

    def error(self, node: yaml.Node, problem: str) -> ScenarioError:
        """Return the sentence that says what is wrong with a node."""
        return ScenarioError(f"{self._file}, line {_line(node)}: {problem}.")

    def problem(self, refused: ErrorDetails) -> tuple[yaml.Node, str]:
        """Return the node that is wrong, and the reason."""
        kind, path, context = refused["type"], refused["loc"], refused.get("ctx", {})
        place = self._find((*path, *context.get("at", ())))
        match kind:
            case "unknown":
                return place.key, context["problem"]
            case "problem":
                return place.value, context["problem"]
            case "missing":
                return self._find(path[:-1]).value, f"{path[-1]} is missing"
            case "union_tag_not_found":
                return place.value, f"{KIND} is missing"
            case "union_tag_invalid":
                place = self._find((*path, KIND))
        return place.value, f"{place.name} should be {allowed_by(kind, context, _ALLOWED)}, not {place}"

    def _find(self, path: Path) -> _Place:
        """Return the place at a path. Parts that are not in the file, such as tags of unions, are skipped."""
        above = place = _Place("the file", self._root, self._root)
        for part in path:
            if part == "[key]":
                return _Place(above.name, place.key, place.key)
            below = _step(place, part)
            if below is not None:
                above, place = place, below
        return place


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _step(place: _Place, part: str | int) -> _Place | None:
    """Return the value of a key, or an item of a list; None if there is none."""
    if isinstance(place.value, yaml.MappingNode):
        found = ((key, value) for key, value in place.value.value if key.value == part)
        return next((_Place(key.value, value, key) for key, value in found), None)
    if isinstance(place.value, yaml.SequenceNode) and isinstance(part, int):
        item = place.value.value[part]
        return _Place(f"an item of {place.name}", item, item)
    return None
