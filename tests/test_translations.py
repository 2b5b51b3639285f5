"""Every word that the integration needs is there, in every language, and no other; likewise every icon."""

import ast
from collections.abc import Iterator
from functools import cache
import json
from pathlib import Path
import re
from string import Formatter
from typing import Final

import hass_frontend
from homeassistant.config_entries import ConfigFlow, OptionsFlow
from homeassistant.const import CONF_ADDRESS, CONF_PIN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.generated.languages import LANGUAGES as KNOWN_LANGUAGES
from homeassistant.helpers.entity import EntityDescription
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import yaml

from custom_components.smallbms_ng import PLATFORMS
from custom_components.smallbms_ng.checks import AccessProof
from custom_components.smallbms_ng.const import CONF_KEY, CONF_PRODUCT_ID, DOMAIN

from .sources import (
    ENGLISH,
    FOLDER,
    Words,
    all_syntax,
    calls,
    descriptions,
    device_class,
    entity_name,
    keywords,
    languages,
    last_name,
    module,
    part,
    read_words,
    rows,
    states,
    strings,
    syntax_of,
    texts,
    words_key,
)

LANGUAGES: Final = languages()
WORDS: Final = LANGUAGES[ENGLISH]
ICONS: Final = read_words(FOLDER / "icons.json")

KEY: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
ICON: Final = re.compile(r"mdi:([a-z0-9]+(?:-[a-z0-9]+)*)")
# What no text may contain.
FLAWS: Final = (
    re.compile(r"<[a-z/!]", re.IGNORECASE),
    re.compile(r"\b[a-z]+://|\bwww\.", re.IGNORECASE),
    # To the frontend, an apostrophe right before a brace starts a quotation: l'{name} would stay as it is.
    re.compile(r"'[{}]"),
    re.compile(r"\[%"),
    re.compile(r"^\s|\s$"),
    re.compile(r"^$"),
)

# What Home Assistant reads of these files. Keys in angle brackets are free.
type Form = dict[str, type | Form]

_STATES: Final[Form] = {"<state>": str}
_FORM: Final[Form] = {
    "title": str,
    "description": str,
    "submit": str,
    "data": {"<field>": str},
    "data_description": {"<field>": str},
    "menu_options": {"<step>": str},
    "menu_option_descriptions": {"<step>": str},
    "sections": {"<section>": {"name": str, "description": str, "data": dict, "data_description": dict}},
}
_FLOW: Final[Form] = {
    "flow_title": str,
    "step": {"<step>": _FORM},
    "error": {"<error>": str},
    "abort": {"<reason>": str},
    "progress": {"<action>": str},
    "create_entry": {"<description>": str},
}
_FIELDS: Final[Form] = {"<field>": {"name": str, "description": str, "example": str}}
FORM_OF_WORDS: Final[Form] = {
    "title": str,
    "config": _FLOW,
    "options": _FLOW,
    "entity": {
        "<platform>": {
            "<entity>": {
                "name": str,
                "state": _STATES,
                "state_attributes": {"<attribute>": {"name": str, "state": _STATES}},
                "unit_of_measurement": str,
            }
        }
    },
    "device": {"<device>": {"name": str}},
    "exceptions": {"<exception>": {"message": str}},
    "issues": {"<issue>": {"title": str, "description": str, "fix_flow": _FLOW}},
    "selector": {"<selector>": {"options": {"<option>": str}, "unit_of_measurement": {"<unit>": str}}},
    "services": {"<action>": {"name": str, "description": str, "fields": _FIELDS}},
    "system_health": {"info": {"<row>": str}},
}
FORM_OF_ICONS: Final[Form] = {
    "entity": {"<platform>": {"<entity>": {"default": str, "state": _STATES, "state_attributes": dict}}},
    "services": {"<action>": {"service": str, "sections": {"<section>": str}}},
}
every_language = pytest.mark.parametrize("language", LANGUAGES)
every_row = pytest.mark.parametrize(
    ("platform", "row"), [pytest.param(platform, row, id=f"{platform}-{row.key}") for platform, row in rows()]
)


def _misfits(words: Words, form: Form, *path: str) -> Iterator[str]:
    """Return where words have a place that Home Assistant does not read."""
    free = next((below for key, below in form.items() if key.startswith("<")), None)
    for key, value in words.items():
        place = "/".join((*path, key))
        match form.get(key, free):
            case dict() as below if isinstance(value, dict):
                yield from _misfits(value, below, *path, key)
            case type() as wanted if isinstance(value, wanted):
                pass
            case _:
                yield place


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


# The files


@every_language
def test_language_is_one_that_home_assistant_has(language: str) -> None:
    assert language in KNOWN_LANGUAGES


@every_language
def test_form(language: str) -> None:
    assert list(_misfits(LANGUAGES[language], FORM_OF_WORDS)) == []


@every_language
def test_keys(language: str) -> None:
    keys = {key for path, _ in texts(LANGUAGES[language]) for key in path}

    assert [key for key in keys if not KEY.fullmatch(key)] == []


@every_language
def test_texts(language: str) -> None:
    assert [(path, text) for path, text in texts(LANGUAGES[language]) if any(flaw.search(text) for flaw in FLAWS)] == []


@every_language
def test_same_keys_as_in_english(language: str) -> None:
    here = {path for path, _ in texts(LANGUAGES[language])}

    assert here == {path for path, _ in texts(WORDS)}


@every_language
def test_same_placeholders_as_in_english(language: str) -> None:
    english = {path: _placeholders(text) for path, text in texts(WORDS)}

    assert {path: _placeholders(text) for path, text in texts(LANGUAGES[language])} == english


@every_language
def test_placeholders(language: str) -> None:
    for path, text in texts(LANGUAGES[language]):
        placeholders = _placeholders(text)
        assert all(name.isidentifier() for name in placeholders), path
        assert not placeholders or "state" not in path, path


@pytest.mark.parametrize(
    "text",
    ["<b>bold</b>", "see https://example.org", "www.example.org", "'{name}'", "l'{name}", "[%key:x%]", " blank", ""],
)
def test_flaws_are_noticed(text: str) -> None:
    assert any(flaw.search(text) for flaw in FLAWS)


@pytest.mark.parametrize("words", [{"config": {"steps": {}}}, {"title": {}}, {"entity": {"sensor": "x"}}])
def test_misfits_are_noticed(words: Words) -> None:
    assert len(list(_misfits(words, FORM_OF_WORDS))) == 1


# Entities


def test_every_platform_has_rows() -> None:
    """The tests below go through the tables of the platforms: they must find them."""
    modules = {Platform(path.stem) for path in FOLDER.glob("*.py") if path.stem in list(Platform)}

    assert modules == set(PLATFORMS)
    assert all(descriptions(platform) for platform in PLATFORMS)


@every_row
def test_entity_has_a_name(platform: Platform, row: EntityDescription) -> None:
    named = "name" in part(WORDS, "entity", platform, words_key(row))

    assert named or device_class(row), "neither we nor a device class names it"
    assert entity_name(ENGLISH, platform, row)


@every_language
@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_two_entities_have_one_name(language: str, platform: Platform) -> None:
    names = {words_key(row): entity_name(language, platform, row) for row in descriptions(platform)}

    assert len(set(names.values())) == len(names), names


@every_row
def test_every_state_has_a_word(platform: Platform, row: EntityDescription) -> None:
    words = set(part(WORDS, "entity", platform, words_key(row), "state"))

    if platform is Platform.BINARY_SENSOR:
        assert words in (set(), {"on", "off"})
    else:
        assert words == (states(row) or set())


@every_row
def test_every_event_type_has_a_word(platform: Platform, row: EntityDescription) -> None:
    words = part(WORDS, "entity", platform, words_key(row), "state_attributes", "event_type", "state")

    assert set(words) == set(getattr(row, "event_types", None) or [])


@every_row
def test_attributes_have_names(platform: Platform, row: EntityDescription) -> None:
    named = set(part(WORDS, "entity", platform, words_key(row), "state_attributes"))

    assert bool(named) == bool(getattr(row, "attributes_fn", None) or getattr(row, "event_types", None))
    assert named <= {text for tree in all_syntax() for text in strings(tree)} | {"event_type"}


@pytest.mark.parametrize("words", [WORDS, ICONS], ids=["words", "icons"])
def test_every_key_belongs_to_an_entity(words: Words) -> None:
    for platform in part(words, "entity"):
        keys = {words_key(row) for row in descriptions(Platform(platform))}
        assert set(part(words, "entity", platform)) <= keys


# Icons


@cache
def _material_design_icons() -> set[str]:
    folder = Path(hass_frontend.where()) / "static" / "mdi"
    metadata = (folder / "iconMetadata.json").read_text(encoding="utf-8")
    return {name for part in json.loads(metadata)["parts"] for name in read_words(folder / f"{part['file']}.json")}


def test_form_of_icons() -> None:
    assert list(_misfits(ICONS, FORM_OF_ICONS)) == []


def test_icons_exist() -> None:
    for path, icon in texts(ICONS):
        match = ICON.fullmatch(icon)
        assert match, f"{icon} of {path} is not from Material Design Icons"
        assert match[1] in _material_design_icons(), f"there is no {icon}, as {path} has it"


@every_row
def test_state_icons(platform: Platform, row: EntityDescription) -> None:
    icons = part(ICONS, "entity", platform, words_key(row))
    by_state = part(icons, "state")
    known = {"on", "off"} if platform in (Platform.BINARY_SENSOR, Platform.SWITCH) else states(row) or set()

    assert not by_state or "default" in icons
    assert icons.get("default") not in by_state.values(), "the same as without the state"
    assert set(by_state) <= known


# Flows


def _steps_shown(flow: type[ConfigFlow | OptionsFlow]) -> set[str]:
    """Return the steps of a flow that show something: they are called by their name somewhere in the module."""
    prefix = "async_step_"
    return {
        step
        for name in dir(flow)
        if name.startswith(prefix)
        and getattr(flow, name) is not getattr(ConfigFlow, name, None)
        and (step := name.removeprefix(prefix)) in strings(syntax_of("config_flow"))
    }


def _flows(base: type[ConfigFlow | OptionsFlow]) -> list[type[ConfigFlow | OptionsFlow]]:
    """Return the flows of the integration that are of a kind."""
    values = vars(module("config_flow")).values()
    return [
        value
        for value in values
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module("config_flow").__name__
    ]


@pytest.mark.parametrize(("section", "base"), [("config", ConfigFlow), ("options", OptionsFlow)])
def test_every_step_has_words(section: str, base: type[ConfigFlow | OptionsFlow]) -> None:
    (flow,) = _flows(base)

    assert set(part(WORDS, section, "step")) == _steps_shown(flow)


def _flow_forms() -> Iterator[Words]:
    for section in ("config", "options"):
        yield from (part(WORDS, section, "step", step) for step in part(WORDS, section, "step"))
    for issue in part(WORDS, "issues"):
        steps = part(WORDS, "issues", issue, "fix_flow", "step")
        yield from (part(steps, step) for step in steps)


def test_every_field_is_explained() -> None:
    for form in _flow_forms():
        assert set(part(form, "data")) == set(part(form, "data_description")), form


def _field(node: ast.expr) -> str:
    """Return the name of a field, written out or as a constant."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return str(getattr(module("config_flow"), last_name(node)))


def test_every_field_has_words() -> None:
    fields = {
        _field(call.args[0]) for name, call in calls(syntax_of("config_flow")) if name in {"Required", "Optional"}
    }
    forms = [
        part(WORDS, section, "step", step) for section in ("config", "options") for step in part(WORDS, section, "step")
    ]

    assert fields == {field for form in forms for field in part(form, "data")}


@pytest.mark.usefixtures("enable_bluetooth", "enable_custom_integrations")
@pytest.mark.parametrize("source", ["reauth", "reconfigure", "options"])
async def test_form_has_its_words(hass: HomeAssistant, source: str) -> None:
    data = {CONF_ADDRESS: "C0:FF:EE:00:00:01", CONF_KEY: "0f" * 16, CONF_PRODUCT_ID: 0xA3EC}
    # With a PIN there is one to take away. To ask for a new key would be to connect first.
    pin = {} if source == "reauth" else {CONF_PIN: "014916"}
    entry = MockConfigEntry(domain=DOMAIN, data=data | pin)
    entry.add_to_hass(hass)
    starts = {
        "reauth": lambda: entry.start_reauth_flow(hass),
        "reconfigure": lambda: entry.start_reconfigure_flow(hass),
        "options": lambda: hass.config_entries.options.async_init(entry.entry_id),
    }

    form = await starts[source]()

    assert form["data_schema"]
    words = part(WORDS, "options" if source == "options" else "config", "step", form["step_id"])
    assert {str(field) for field in form["data_schema"].schema} == set(part(words, "data"))
    assert _placeholders(str(words.get("description", ""))) <= set(form["description_placeholders"] or ())


def _errors_in(tree: ast.Module) -> set[str]:
    """Return the errors that a module shows in its forms: texts that something is mapped to, but no placeholders."""
    placeholders = {
        id(keywords(call)["description_placeholders"])
        for _, call in calls(tree)
        if "description_placeholders" in keywords(call)
    }
    mappings = (node for node in ast.walk(tree) if isinstance(node, ast.Dict) and id(node) not in placeholders)
    values = (value for mapping in mappings for value in mapping.values)
    return {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}


def test_every_error_has_words() -> None:
    errors = _errors_in(syntax_of("config_flow"))

    assert errors
    assert errors == {*part(WORDS, "config", "error"), *part(WORDS, "options", "error")}


# What Home Assistant aborts with on its own, by the method that makes it so. That a flow is already in progress, and
# that a key was changed, it says in its own words.
ABORTS: Final = {
    "_abort_if_unique_id_configured": "already_configured",
    "_abort_if_unique_id_mismatch": "unique_id_mismatch",
    "_async_abort_entries_match": "already_configured",
}


def _aborts_in(tree: ast.Module) -> Iterator[str]:
    for name, call in calls(tree):
        if name in ABORTS:
            yield ABORTS[name]
        reasons = [*call.args[:1], *keywords(call).values()] if name in {"async_abort", "AbortFlow"} else []
        yield from (str(reason.value) for reason in reasons if isinstance(reason, ast.Constant))


def test_every_reason_to_abort_has_words() -> None:
    assert {*_aborts_in(syntax_of("config_flow")), *set(AccessProof) - {AccessProof.PIN}} == {
        *part(WORDS, "config", "abort"),
        *part(WORDS, "options", "abort"),
    }


def test_every_proof_has_words() -> None:
    """How a device was connected to, once it is added; that its PIN was checked needs none."""
    assert set(part(WORDS, "config", "create_entry")) == set(AccessProof) - {AccessProof.PIN}


def test_title_of_a_flow_is_filled_in() -> None:
    """A card in the list of discovered devices is named by what the flow puts into its context."""
    titles = {
        str(key.value)
        for node in ast.walk(syntax_of("config_flow"))
        if isinstance(node, ast.Assign) and "title_placeholders" in strings(node)
        for mapping in ast.walk(node.value)
        if isinstance(mapping, ast.Dict)
        for key in mapping.keys
        if isinstance(key, ast.Constant)
    }

    assert _placeholders(str(part(WORDS, "config")["flow_title"])) == titles


# Errors, repairs and the rest


def _translation_keys(pattern: str) -> set[str]:
    """Return the translation keys that are given to calls of certain names."""
    found = (keywords(call).get("translation_key") for name, call in calls(*all_syntax()) if re.search(pattern, name))
    return {str(key.value) for key in found if isinstance(key, ast.Constant)}


@pytest.mark.parametrize(
    ("section", "pattern"),
    [
        ("device", r"DeviceInfo$"),
        ("exceptions", r"(Error|Failed|NotReady|Invalid)$"),
        ("issues", r"^async_create_issue$"),
        ("selector", r"Selector(Config)?$"),
    ],
)
def test_every_translation_key_has_words(section: str, pattern: str) -> None:
    """A key that is not written out where it is used is at least written somewhere."""
    words = set(part(WORDS, section))

    assert _translation_keys(pattern) <= words
    assert words <= {text for tree in all_syntax() for text in strings(tree)}


def test_every_reason_to_give_up_a_repair_has_words() -> None:
    flows = [part(WORDS, "issues", issue, "fix_flow") for issue in part(WORDS, "issues")]

    assert {reason for flow in flows for reason in part(flow, "abort")} == set(_aborts_in(syntax_of("repairs")))
    assert all(set(part(flow, "step")) == {"confirm"} for flow in flows if flow)


def test_every_action_has_words() -> None:
    """And each of its fields, and an icon."""
    actions = yaml.safe_load((FOLDER / "services.yaml").read_text(encoding="utf-8"))

    assert actions.keys() == part(WORDS, "services").keys() == part(ICONS, "services").keys()
    for name, action in actions.items():
        fields = part(WORDS, "services", name, "fields")
        assert action["fields"].keys() == fields.keys(), name
        assert all({"name", "description"} <= part(fields, field).keys() for field in fields), name


def test_an_issue_is_explained_or_can_be_fixed() -> None:
    for key in part(WORDS, "issues"):
        issue = part(WORDS, "issues", key)
        assert "title" in issue, key
        assert ("description" in issue) != ("fix_flow" in issue), key
