"""The integration as files, syntax trees and tables, for the tests that look at its form."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
import json
from pathlib import Path
import re
from types import ModuleType
from typing import Final

import homeassistant
from homeassistant.const import Platform
from homeassistant.helpers.entity import EntityDescription

from custom_components.smallbms_ng import PLATFORMS
from custom_components.smallbms_ng.const import DOMAIN

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "custom_components" / DOMAIN
CORE: Final = Path(homeassistant.__path__[0]) / "components"
PACKAGE: Final = f"custom_components.{DOMAIN}"

ENGLISH: Final = "en"

type Words = dict[str, str | Words]


def read_json(path: Path) -> dict[str, object]:
    """Return the object in a JSON file."""
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return content


def read_words(path: Path) -> Words:
    """Return the content of a file of translations or icons: objects all the way down to texts."""
    words: Words = json.loads(path.read_text(encoding="utf-8"))
    return words


@cache
def languages() -> dict[str, Words]:
    """Return the words of every language that the integration speaks."""
    return {path.stem: read_words(path) for path in sorted((FOLDER / "translations").glob("*.json"))}


def part(words: Words, *path: str) -> Words:
    """Return what is found under keys; nothing where one of them is missing."""
    for key in path:
        below = words.get(key, {})
        assert isinstance(below, dict), f"{key} in {path} is a text"
        words = below
    return words


def texts(words: Words, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return every text with the keys that lead to it."""
    for key, value in words.items():
        if isinstance(value, str):
            yield (*path, key), value
        else:
            yield from texts(value, *path, key)


@cache
def syntax(path: Path) -> ast.Module:
    """Return the syntax tree of a Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), path)


def syntax_of(module: str) -> ast.Module:
    """Return the syntax tree of a module of the integration, named by its file without ending."""
    return syntax(FOLDER / f"{module}.py")


def all_syntax() -> tuple[ast.Module, ...]:
    """Return the syntax trees of all modules of the integration."""
    return tuple(map(syntax, sorted(FOLDER.rglob("*.py"))))


def module(name: str) -> ModuleType:
    """Return a module of the integration."""
    return import_module(f"{PACKAGE}.{name}")


def strings(tree: ast.AST) -> set[str]:
    """Return all string constants."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def last_name(node: ast.expr) -> str:
    """Return the name, or the last part of the dotted name, that an expression is; nothing for any other."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def calls(*trees: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Return all calls with the last part of the name of what is called."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield last_name(node.func), node


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """Return the keyword arguments of a call."""
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def imports(tree: ast.Module) -> set[str]:
    """Return the full names of the modules that are imported from elsewhere, wherever that is done."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(name), level=0, names=aliases):
                names.update({name, *(f"{name}.{alias.name}" for alias in aliases)})
    return names


def registers_actions() -> bool:
    """Return whether the integration defines actions of its own."""
    names = {ast.unparse(call.func) for _, call in calls(*all_syntax())}
    return any(
        re.search(r"services\.async_register|async_register_admin_service|async_register\w*_entity_service", name)
        for name in names
    )


def _descriptions_in(value: object) -> tuple[EntityDescription, ...]:
    if isinstance(value, EntityDescription):
        return (value,)
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return tuple(row for row in value if isinstance(row, EntityDescription))
    return ()


@cache
def descriptions(platform: Platform) -> tuple[EntityDescription, ...]:
    """Return the rows of the tables of a platform."""
    values = vars(module(platform)).values()
    rows = {id(row): row for value in values for row in _descriptions_in(value)}
    return tuple(rows.values())


def rows() -> list[tuple[Platform, EntityDescription]]:
    """Return the rows of all tables, with their platform."""
    return [(platform, row) for platform in PLATFORMS for row in descriptions(platform)]


def words_key(row: EntityDescription) -> str:
    """Return the key under which words and icons of an entity are found."""
    return row.translation_key or row.key


def states(row: EntityDescription) -> set[str] | None:
    """Return the states that need words; None where they are free or known to Home Assistant."""
    options: list[str] | None = getattr(row, "options", None)
    return None if options is None else set(map(str, options))


@cache
def _core_words(platform: Platform, language: str) -> Words:
    """Return what Home Assistant calls the entities of a platform, by their device class."""
    words = read_words(CORE / platform / "translations" / f"{language}.json")
    return part(words, "entity_component")


def entity_name(language: str, platform: Platform, row: EntityDescription) -> str:
    """Return what an entity is called, by us or by its device class; nothing if neither names it."""
    ours = part(languages()[language], "entity", platform, words_key(row)).get("name")
    return str(ours or part(_core_words(platform, language), device_class(row) or "_").get("name", ""))


def device_class(row: EntityDescription) -> str | None:
    """Return the device class that gives an entity a name and an icon; an enumeration does not."""
    return None if row.device_class == "enum" else row.device_class
