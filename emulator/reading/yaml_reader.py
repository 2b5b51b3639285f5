"""Reading YAML that people write: every error is one sentence with file, line and what is allowed."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import PydanticCustomError
import yaml

from emulator.reading.sections import KIND, Section
from emulator.reading.values import allowed_by

type Content = str | list[Content] | dict[str, Content]
type Context = Mapping[str, object]
type Path = tuple[str | int, ...]

# What is allowed, in the words of people who write YAML.
_ALLOWED: Final[Mapping[str, str]] = {
    "dict_type": "a block of keys with values",
    "model_attributes_type": "a block of keys with values",
    "model_type": "a block of keys with values",
    "tuple_type": "a list, every item of which begins with a dash",
}


class ScenarioError(ValueError):
    """Something is wrong with a scenario; the text is one sentence for the user."""


def read_yaml[Kind: Section, Result](text: str, file: str, kind: type[Kind], build: Callable[[Kind], Result]) -> Result:
    """Return what is built of a text that is a section of a kind. Raises ScenarioError."""
    document = _Document(text, file)
    try:
        return build(kind.model_validate(document.content))
    except ValidationError as error:
        refused = [(each["type"], each["loc"], each.get("ctx", {})) for each in error.errors(include_url=False)]
        raise document.error(*min(refused, key=lambda each: document.line(*each))) from error
    except PydanticCustomError as error:
        raise document.error(error.type, (), error.context or {}) from error


class _Place(NamedTuple):
    """A value in a file, with its name and its key for errors."""

    name: str
    value: yaml.Node
    key: yaml.Node

    def __str__(self) -> str:
        return repr(self.value.value) if isinstance(self.value, yaml.ScalarNode) else "that"


class _Document:
    """A file: its content, and where in it something is. Raises ScenarioError."""

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
            raise ScenarioError(f"{self._file}, line {line}: this is no YAML ({error.problem}).") from error
        except yaml.YAMLError as error:
            raise ScenarioError(f"{self._file} holds a character that YAML does not allow.") from error
        if root is None:
            raise ScenarioError(f"{self._file} is empty.")
        return root

    def _content(self, node: yaml.Node) -> Content:
        """Return the content of a node. What several places refer to is read once, however often they do."""
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        if id(node) not in self._read:
            self._read[id(node)] = None
            self._read[id(node)] = self._block(node)
        content = self._read[id(node)]
        if content is None:
            raise self._wrong(node, "this refers to itself")
        return content

    def _block(self, node: yaml.Node) -> Content:
        if isinstance(node, yaml.SequenceNode):
            return [self._content(item) for item in node.value]
        block: dict[str, Content] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._wrong(key, "a key should be a single word")
            if key.value in block:
                raise self._wrong(key, f"{key.value} is there twice")
            block[key.value] = self._content(value)
        return block

    def _wrong(self, node: yaml.Node, problem: str) -> ScenarioError:
        return ScenarioError(f"{self._file}, line {_line(node)}: {problem}.")

    def line(self, kind: str, path: Path, context: Context) -> int:
        """Return the line in which something was refused."""
        return _line(self._problem(kind, path, context)[0])

    def error(self, kind: str, path: Path, context: Context) -> ScenarioError:
        """Return the sentence for what was refused at a path."""
        return self._wrong(*self._problem(kind, path, context))

    def _problem(self, kind: str, path: Path, context: Context) -> tuple[yaml.Node, str]:
        """Return where something was refused, and why."""
        place = self._find((*path, *_keys(kind, context)))
        match kind:
            case "unknown":
                return place.key, str(context["problem"])
            case "problem":
                return place.value, str(context["problem"])
            case "missing":
                return self._find(path[:-1]).value, f"{path[-1]} is missing"
            case "union_tag_not_found":
                return place.value, f"{KIND} is missing"
            case _:
                return place.value, f"{place.name} should be {allowed_by(kind, context, _ALLOWED)}, not {place}"

    def _find(self, path: Path) -> _Place:
        """Return where a path leads, as far as it does: pydantic puts names into it that are none of the file's."""
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


def _keys(kind: str, context: Context) -> Path:
    """Return where below its path an error is."""
    if kind == "union_tag_invalid":
        return (KIND,)
    at = context.get("at", ())
    return at if isinstance(at, tuple) else ()


def _step(place: _Place, part: str | int) -> _Place | None:
    """Return the value under a key, or an item of a list; None if there is none."""
    if isinstance(place.value, yaml.MappingNode):
        found = ((key, value) for key, value in place.value.value if key.value == part)
        return next((_Place(key.value, value, key) for key, value in found), None)
    if isinstance(place.value, yaml.SequenceNode) and isinstance(part, int):
        item = place.value.value[part]
        return _Place(f"an item of {place.name}", item, item)
    return None
