"""What quality_scale.yaml calls done is done, and what it calls exempt still is.

Home Assistant judges only its own integrations, so its rules are restated here.
"""

import ast
from collections.abc import Callable, Iterator
import json
from pathlib import Path
import re
import tomllib
from typing import Final

import homeassistant
from homeassistant.const import Platform
from homeassistant.helpers.entity import Entity
import pytest
import yaml

from custom_components.smallbms_ng import PLATFORMS

from .sources import (
    FOLDER,
    ROOT,
    all_syntax,
    calls,
    device_class,
    imports,
    keywords,
    last_name,
    module,
    part,
    read_json,
    read_words,
    registers_actions,
    rows,
    syntax,
    syntax_of,
    words_key,
)

BRONZE: Final = (
    "action-setup",
    "appropriate-polling",
    "brands",
    "common-modules",
    "config-flow-test-coverage",
    "config-flow",
    "dependency-transparency",
    "docs-actions",
    "docs-conditions",
    "docs-high-level-description",
    "docs-installation-instructions",
    "docs-removal-instructions",
    "docs-triggers",
    "entity-event-setup",
    "entity-unique-id",
    "has-entity-name",
    "runtime-data",
    "test-before-configure",
    "test-before-setup",
    "unique-config-entry",
)
SILVER: Final = (
    "action-exceptions",
    "config-entry-unloading",
    "docs-configuration-parameters",
    "docs-installation-parameters",
    "entity-unavailable",
    "integration-owner",
    "log-when-unavailable",
    "parallel-updates",
    "reauthentication-flow",
    "test-coverage",
)
GOLD: Final = (
    "devices",
    "diagnostics",
    "discovery-update-info",
    "discovery",
    "docs-data-update",
    "docs-examples",
    "docs-known-limitations",
    "docs-supported-devices",
    "docs-supported-functions",
    "docs-troubleshooting",
    "docs-use-cases",
    "dynamic-devices",
    "entity-category",
    "entity-device-class",
    "entity-disabled-by-default",
    "entity-translations",
    "exception-translations",
    "icon-translations",
    "reconfiguration-flow",
    "repair-issues",
    "stale-devices",
)
PLATINUM: Final = ("async-dependency", "inject-websession", "strict-typing")
# Each tier includes those before it.
TIERS: Final = {"bronze": BRONZE, "silver": SILVER, "gold": GOLD, "platinum": PLATINUM}
RULES: Final = tuple(rule for rules in TIERS.values() for rule in rules)

MANIFEST: Final = read_json(FOLDER / "manifest.json")
CORE: Final = Path(homeassistant.__path__[0]) / "components"

type Rule = str | dict[str, str]
STATED: Final[dict[str, Rule]] = yaml.safe_load((FOLDER / "quality_scale.yaml").read_text(encoding="utf-8"))["rules"]


def _status(rule: Rule) -> str:
    return rule if isinstance(rule, str) else rule["status"]


def _rules_that_are(status: str) -> list[str]:
    return [name for name, rule in STATED.items() if _status(rule) == status]


# The headings of README.md under which the rules of documentation are kept.
HEADINGS: Final = {
    "docs-actions": r"actions",
    "docs-conditions": r"conditions",
    "docs-triggers": r"triggers",
    "docs-high-level-description": r"^victron smallbms ng",
    "docs-installation-instructions": r"install(ation|ing)?( instructions)?$",
    "docs-removal-instructions": r"remov|uninstall",
    "docs-configuration-parameters": r"options|configuration parameters",
    "docs-installation-parameters": r"add(ing)? (a|the|your) (device|smallbms)|installation parameters|set(ting)? ?up",
    "docs-data-update": r"updates?\b|how .*(data|readings|values)",
    "docs-examples": r"examples?\b|automations?\b",
    "docs-known-limitations": r"limitations?\b|limits\b",
    "docs-supported-devices": r"(supported|which) (devices|hardware|models)",
    "docs-supported-functions": r"entities|(supported )?functions",
    "docs-troubleshooting": r"troubleshooting|problems",
    "docs-use-cases": r"use cases|what (it is|you can use it) for",
}
# Under a heading there has to be more than a promise.
WORDS_UNDER_A_HEADING: Final = 15

# The tests that show how something behaves.
PROOFS: Final = {
    "appropriate-polling": (
        "integration/test_pages.py::test_each_page_has_its_age",
        "integration/test_pages.py::test_only_what_enabled_entities_show_is_read",
        "integration/test_pages.py::test_failures_are_tried_ever_more_seldom",
    ),
    "brands": ("test_manifest.py::test_picture",),
    "config-flow-test-coverage": (
        "integration/test_config_flow.py::test_discovery",
        "integration/test_config_flow.py::test_user",
        "integration/test_config_flow.py::test_configured_in_two_windows",
        "integration/test_config_flow.py::test_not_heard_any_more",
        "integration/test_config_flow.py::test_change_of_key",
        "integration/test_config_flow.py::test_options",
        "integration/test_pin_flow.py::test_with_a_pin_nobody_types_the_key",
        "integration/test_pin_flow.py::test_a_wrong_pin",
    ),
    "config-flow": ("test_translations.py::test_every_field_is_explained",),
    "entity-unique-id": ("integration/test_sensor.py::test_entities",),
    "test-before-configure": ("integration/test_config_flow.py::test_not_the_key_of_this_device",),
    "unique-config-entry": ("integration/test_config_flow.py::test_a_configured_device_shows_no_card",),
    "action-exceptions": (
        "integration/test_number.py::test_not_reachable",
        "integration/test_number.py::test_a_refused_write",
        "integration/test_number.py::test_m_s5_the_warning_is_above_the_floor",
        "integration/test_button.py::test_not_reachable",
        "integration/test_switch.py::test_refused",
        "integration/test_actions.py::test_out_of_reach",
        "integration/test_actions.py::test_secrets_are_not_even_asked_for",
    ),
    "config-entry-unloading": (
        "integration/test_coordinator.py::test_unloaded_hears_nothing",
        "integration/test_pages.py::test_unloaded_in_the_middle_of_a_read",
    ),
    "entity-unavailable": (
        "integration/test_coordinator.py::test_silence_and_return",
        "integration/test_pages.py::test_no_connection_for_hours",
    ),
    "log-when-unavailable": (
        "integration/test_coordinator.py::test_silence_and_return",
        "integration/test_pages.py::test_no_connection_for_hours",
    ),
    "reauthentication-flow": (
        "integration/test_coordinator.py::test_changed_key_asks_for_the_new_one",
        "integration/test_config_flow.py::test_change_of_key",
        "integration/test_pin_flow.py::test_a_new_key_is_read_without_a_question",
    ),
    "devices": (
        "integration/test_sensor.py::test_device",
        "integration/test_batteries.py::test_each_is_a_child_of_the_device",
    ),
    "diagnostics": (
        "integration/test_diagnostics.py::test_what_helps",
        "integration/test_diagnostics.py::test_nothing_that_identifies_the_owner",
        "integration/test_diagnostics.py::test_registers_do_not_tell_whose_device_it_is",
    ),
    "discovery": ("integration/test_config_flow.py::test_discovery",),
    "dynamic-devices": ("integration/test_batteries.py::test_batteries_are_added_when_they_appear",),
    "stale-devices": (
        "integration/test_batteries.py::test_a_battery_is_gone_for_good",
        "integration/test_batteries.py::test_a_user_removes_a_battery",
    ),
    "entity-category": ("integration/test_sensor.py::test_categories_keep_the_device_page_short",),
    "entity-translations": (
        "test_translations.py::test_entity_has_a_name",
        "test_translations.py::test_every_state_has_a_word",
    ),
    "reconfiguration-flow": (
        "integration/test_config_flow.py::test_change_of_key",
        "integration/test_pin_flow.py::test_reconfigure_adds_the_pin",
    ),
}


# Checks of the code for what is done


def _functions(tree: ast.AST) -> dict[str, ast.AsyncFunctionDef | ast.FunctionDef]:
    """Return the functions at the top of a module or class."""
    body = getattr(tree, "body", [])
    return {node.name: node for node in body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}


def _methods(name: str) -> dict[str, ast.AsyncFunctionDef | ast.FunctionDef]:
    """Return the methods of all classes of a module."""
    classes = (node for node in syntax_of(name).body if isinstance(node, ast.ClassDef))
    return {name: method for one in classes for name, method in _functions(one).items()}


def _entity_classes() -> list[type[Entity]]:
    values = [value for platform in PLATFORMS for value in vars(module(platform)).values()]
    ours = (value for value in values if isinstance(value, type) and value.__module__.startswith("custom_components."))
    return [value for value in ours if issubclass(value, Entity)]


def _common_modules() -> None:
    base = module("entity").SmallBmsEntity

    assert (FOLDER / "coordinator.py").exists()
    assert len(_entity_classes()) > len(PLATFORMS)
    assert all(issubclass(entity, base) for entity in _entity_classes())


def _config_flow() -> None:
    assert MANIFEST["config_flow"] is True
    assert "async_setup_platform" not in {name for tree in all_syntax() for name in _functions(tree)}


def _entity_event_setup() -> None:
    """Nothing is subscribed to before an entity has been added."""
    subscribes = re.compile(r"async_(add_listener|register\w*|track_\w+|listen\w*|call_later|dispatcher_connect)")
    for name in ("entity", *PLATFORMS):
        started = _methods(name).get("__init__")
        assert not started or not any(subscribes.fullmatch(called) for called, _ in calls(started)), name


def _has_entity_name() -> None:
    """All entities have it from their common class, which common-modules is about."""
    classes = {node.name: node for node in syntax_of("entity").body if isinstance(node, ast.ClassDef)}
    base = classes["SmallBmsEntity"]

    assert "_attr_has_entity_name = True" in map(ast.unparse, base.body)


def _runtime_data() -> None:
    setup = _functions(syntax_of("__init__"))["async_setup_entry"]
    entry = setup.args.args[1].arg
    stored = [ast.unparse(node.targets[0]) for node in ast.walk(setup) if isinstance(node, ast.Assign)]

    assert f"{entry}.runtime_data" in stored
    # The recording outlasts a reload of the entry, and is also there for a device that is only just being added.
    others = [tree for tree in all_syntax() if ast.unparse(tree) != ast.unparse(syntax_of("recording"))]
    assert not any("hass.data" in ast.unparse(tree) for tree in others)


def _unique_config_entry() -> None:
    called = {name for name, _ in calls(syntax_of("config_flow"))}

    assert {"async_set_unique_id", "_abort_if_unique_id_configured"} <= called


def _config_entry_unloading() -> None:
    assert isinstance(_functions(syntax_of("__init__")).get("async_unload_entry"), ast.AsyncFunctionDef)


def _integration_owner() -> None:
    assert MANIFEST["codeowners"]


def _parallel_updates() -> None:
    """Nothing limits what is only read; what is written to a device goes one by one."""
    reads = {Platform.BINARY_SENSOR, Platform.SENSOR, Platform.EVENT}
    for platform in PLATFORMS:
        assert vars(module(platform))["PARALLEL_UPDATES"] == (0 if platform in reads else 1), platform


def _has_step(*steps: str) -> Callable[[], None]:
    def check() -> None:
        assert {f"async_step_{step}" for step in steps} <= set(_methods("config_flow"))

    return check


def _test_coverage() -> None:
    """The tests fail below a limit, and they are what is run."""
    text = (ROOT / "scripts" / "test").read_text(encoding="utf-8") + (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )
    limits = re.findall(r"fail[-_]under\s*=\s*(\d+)", text)

    assert limits
    assert all(int(limit) >= 95 for limit in limits)


def _diagnostics() -> None:
    functions = {"async_get_config_entry_diagnostics", "async_get_device_diagnostics"}

    assert functions & set(_functions(syntax_of("diagnostics")))


def _discovery() -> None:
    assert MANIFEST["bluetooth"]
    _has_step("bluetooth")()


def _entity_device_class() -> None:
    """Home Assistant has no device class for a charge in ampere-hours, nor for a part of one."""
    for platform, row in rows():
        unit = getattr(row, "native_unit_of_measurement", None)
        assert row.device_class or unit in (None, "Ah", "%"), f"{platform} {row.key}"


def _entity_disabled_by_default() -> None:
    assert any(not row.entity_registry_enabled_default for _, row in rows())


def _icon_translations() -> None:
    icons = read_words(FOLDER / "icons.json")
    for platform, row in rows():
        assert row.icon is None, f"{platform} {row.key}"
        assert device_class(row) or part(icons, "entity", platform, words_key(row)), f"{platform} {row.key}"


def _raised() -> Iterator[ast.Call]:
    """Yield the exceptions of Home Assistant that are raised."""
    for tree in all_syntax():
        raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
        for exception in raised:
            call = exception if isinstance(exception, ast.Call) else ast.Call(exception, [], [])
            if re.search(r"^(HomeAssistant|ServiceValidation|ConfigEntry|Update)\w*", last_name(call.func)):
                yield call


def _exception_translations() -> None:
    raised = list(_raised())

    assert raised
    for call in raised:
        assert {"translation_domain", "translation_key"} <= set(keywords(call)), ast.unparse(call)


def _repair_issues() -> None:
    assert "async_create_issue" in {name for name, _ in calls(*all_syntax())}


def _action_setup() -> None:
    """Actions are there before any entry is, so that an automation that uses them can be checked."""
    setup = _functions(syntax_of("__init__"))

    assert "async_setup" in setup
    assert not any("register" in name and "service" in name for name, _ in calls(setup["async_setup_entry"]))


# Functions that Home Assistant calls with an entry, by module.
ENTRY_FUNCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "__init__": (
        "async_migrate_entry",
        "async_remove_config_entry_device",
        "async_remove_entry",
        "async_setup_entry",
        "async_unload_entry",
    ),
    "diagnostics": ("async_get_config_entry_diagnostics", "async_get_device_diagnostics"),
}
ENTRY_FUNCTIONS_OF_PLATFORMS: Final = dict.fromkeys(map(str, PLATFORMS), ("async_setup_entry",))


def _entry_arguments() -> Iterator[ast.arg]:
    """Yield the arguments that are entries."""
    for name, functions in (ENTRY_FUNCTIONS | ENTRY_FUNCTIONS_OF_PLATFORMS).items():
        there = _functions(syntax_of(name))
        yield from (there[function].args.args[1] for function in functions if function in there)
    if options := _methods("config_flow").get("async_get_options_flow"):
        yield options.args.args[0]


def _strict_typing() -> None:
    """All that gets an entry says what the entry holds, and the type checker is strict."""
    checker = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]

    assert checker["strict"] is True
    assert f"custom_components.{FOLDER.name}" in checker["packages"]
    for argument in _entry_arguments():
        name = last_name(argument.annotation) if argument.annotation else ""
        assert re.fullmatch(r"[A-Za-z]+ConfigEntry", name), f"{argument.arg}: {name}"


def _dependency_transparency() -> None:
    """What is installed is one version of a package that the tests run with, too."""
    locked = (ROOT / "requirements" / "lock.txt").read_text()
    requirements = MANIFEST["requirements"]
    assert isinstance(requirements, list)
    assert all(f"{requirement} \\\n" in locked for requirement in requirements)


CHECKS: Final[dict[str, Callable[[], None]]] = {
    "action-setup": _action_setup,
    "common-modules": _common_modules,
    "config-flow": _config_flow,
    "dependency-transparency": _dependency_transparency,
    "entity-event-setup": _entity_event_setup,
    "has-entity-name": _has_entity_name,
    "runtime-data": _runtime_data,
    "unique-config-entry": _unique_config_entry,
    "config-entry-unloading": _config_entry_unloading,
    "integration-owner": _integration_owner,
    "parallel-updates": _parallel_updates,
    "reauthentication-flow": _has_step("reauth", "reauth_confirm"),
    "test-coverage": _test_coverage,
    "diagnostics": _diagnostics,
    "discovery": _discovery,
    "entity-device-class": _entity_device_class,
    "entity-disabled-by-default": _entity_disabled_by_default,
    "exception-translations": _exception_translations,
    "icon-translations": _icon_translations,
    "reconfiguration-flow": _has_step("reconfigure"),
    "repair-issues": _repair_issues,
    "strict-typing": _strict_typing,
}


# Reasons for exemptions


def _imported() -> set[str]:
    return {name for tree in all_syntax() for name in imports(tree)}


def _acts() -> bool:
    """Return whether users can make the device do something."""
    return registers_actions() or not {Platform.BINARY_SENSOR, Platform.SENSOR, Platform.EVENT}.issuperset(PLATFORMS)


def _polls() -> bool:
    return "homeassistant.helpers.update_coordinator" in _imported()


def _has_child_devices() -> bool:
    return any("ChildDeviceInfo" in ast.unparse(tree) or "via_device" in ast.unparse(tree) for tree in all_syntax())


def _installs_more_than_a_codec() -> bool:
    return not str(MANIFEST["requirements"]).startswith("['cbor2==")


# What ends an exemption.
ENDS: Final[dict[str, Callable[[], bool]]] = {
    "action-setup": registers_actions,
    "appropriate-polling": _polls,
    "docs-actions": registers_actions,
    "docs-conditions": (FOLDER / "condition.py").exists,
    "docs-triggers": (FOLDER / "trigger.py").exists,
    "test-before-setup": lambda: "async_config_entry_first_refresh" in {name for name, _ in calls(*all_syntax())},
    "action-exceptions": _acts,
    "discovery-update-info": lambda: bool(MANIFEST.keys() & {"dhcp", "homekit", "mqtt", "ssdp", "usb", "zeroconf"}),
    "dynamic-devices": _has_child_devices,
    "entity-disabled-by-default": lambda: any(not row.entity_registry_enabled_default for _, row in rows()),
    "exception-translations": lambda: any(_raised()) or _acts(),
    "stale-devices": _has_child_devices,
    "async-dependency": _installs_more_than_a_codec,
    "inject-websession": lambda: any(re.search(r"\b(aiohttp|httpx|requests|urllib)", name) for name in _imported()),
}


# The file


def test_all_rules_are_stated_in_order() -> None:
    assert tuple(STATED) == RULES


def test_rules_are_those_of_home_assistant() -> None:
    """A new Home Assistant may have new rules: an integration of its own of the highest tier has to state them all."""
    manifest = json.loads((CORE / "casper_glow" / "manifest.json").read_text(encoding="utf-8"))
    theirs = yaml.safe_load((CORE / "casper_glow" / "quality_scale.yaml").read_text(encoding="utf-8"))["rules"]

    assert manifest["quality_scale"] == "platinum"
    assert set(theirs) == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_statement(name: str) -> None:
    rule = STATED[name]

    assert _status(rule) in {"done", "todo", "exempt"}
    if isinstance(rule, dict):
        assert rule.keys() <= {"status", "comment"}
    if _status(rule) == "exempt":
        assert isinstance(rule, dict)
        assert rule["comment"].strip().endswith(".")


def test_claimed_tier_is_reached() -> None:
    claimed = str(MANIFEST.get("quality_scale", ""))
    if claimed not in TIERS:
        return
    asked = [rule for tier in list(TIERS)[: list(TIERS).index(claimed) + 1] for rule in TIERS[tier]]

    assert [rule for rule in asked if _status(STATED[rule]) == "todo"] == []


# What it states


def test_every_claim_is_checked() -> None:
    assert set(_rules_that_are("done")) <= {*CHECKS, *PROOFS, *HEADINGS}
    assert set(_rules_that_are("exempt")) <= ENDS.keys()


@pytest.mark.parametrize("name", [name for name in _rules_that_are("done") if name in CHECKS])
def test_done(name: str) -> None:
    CHECKS[name]()


@pytest.mark.parametrize("name", _rules_that_are("exempt"))
def test_exemption_still_holds(name: str) -> None:
    assert not ENDS[name](), "the reason for the exemption is gone"


@pytest.mark.parametrize("proof", sorted({proof for name in _rules_that_are("done") for proof in PROOFS.get(name, ())}))
def test_proof_is_among_the_tests(proof: str) -> None:
    file, _, test = proof.partition("::")

    assert test in _functions(syntax(ROOT / "tests" / file))


def _sections(markdown: str) -> dict[str, str]:
    """Return the text under each heading, that of smaller headings included; under the title only what is its own."""
    without_code = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    found = list(re.finditer(r"^(#+) +(.+?) *$", without_code, re.MULTILINE))
    sections = {}
    for place, match in enumerate(found):
        ends = (other.start() for other in found[place + 1 :] if match[1] == "#" or len(other[1]) <= len(match[1]))
        sections[match[2]] = without_code[match.end() : next(ends, None)]
    return sections


def test_sections_are_found() -> None:
    markdown = "# One\n```\n# a comment\n```\ntext\n## Two\nbelow\n### Three\nmore\n## Four\n"

    assert {name: text.split() for name, text in _sections(markdown).items()} == {
        "One": ["text"],
        "Two": ["below", "###", "Three", "more"],
        "Three": ["more"],
        "Four": [],
    }


def _documented(name: str) -> bool:
    sections = _sections((ROOT / "README.md").read_text(encoding="utf-8"))
    found = (text for heading, text in sections.items() if re.search(HEADINGS[name], heading, re.IGNORECASE))
    return any(len(text.split()) >= WORDS_UNDER_A_HEADING for text in found)


def test_documentation_is_there() -> None:
    assert [name for name in _rules_that_are("done") if name in HEADINGS and not _documented(name)] == []
