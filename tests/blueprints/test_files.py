"""The files of the blueprints: what Home Assistant asks of them, and what their users do."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint
from homeassistant.core import HomeAssistant, split_entity_id
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.selector import selector, validate_selector
from homeassistant.util.yaml import extract_inputs, load_yaml_dict
import pytest
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.smallbms_ng.const import DOMAIN
from tests.integration.bench import Bench, a_bench
from tests.integration.conftest import Radio, entity_id
from tests.sources import FOLDER as INTEGRATION
from tests.sources import ROOT, read_json

from .owner import BLUEPRINTS, FOLDER, IMPORTED, Owner

REPOSITORY: Final = str(read_json(INTEGRATION / "manifest.json")["documentation"])
RAW: Final = REPOSITORY.replace("https://github.com", "https://raw.githubusercontent.com")
DOCS: Final = ROOT / "docs" / "automations.md"
README: Final = ROOT / "README.md"
# Which of our entities each selector offers, by the end of their unique ids; those of the PIN among them.
BINARY: Final = {
    "allowed_to_charge",
    "allowed_to_discharge",
    "battery_low",
    "charging",
    "pre_alarm",
    "problem",
    "remote_on",
}
OFFERED: Final = {
    # Those that have a device class are refused.
    ("away_guard", "allowed_to_charge"): BINARY,
    ("away_guard", "allowed_to_discharge"): BINARY,
    ("cold_heater", "allowed_to_charge"): BINARY,
    ("charge_source", "allowed_to_charge"): BINARY,
    ("charge_source", "pre_alarm"): {"pre_alarm"},
    ("charge_source", "state_of_charge"): {"battery_level"},
    ("cold_heater", "state_of_charge"): {"battery_level"},
    # Those of single batteries are not. Of these, the automation refuses those of the history.
    ("cold_heater", "temperature"): {
        "temperature",
        "cell_temperature_min",
        "cell_temperature_max",
        "history_lowest_temperature",
        "history_highest_temperature",
    },
    ("full_charge_reminder", "since_full_charge"): {
        "days_left",
        "history_since_full_charge",
        "time_to_full",
        "time_to_go",
    },
    ("load_shedding", "state_of_charge"): {"battery_level"},
}
# Those that offer more, of which this has to be one.
OFFERED_AMONG_OTHERS: Final = {
    ("charge_source", "balancer_status"): {"balancer_status"},
    ("charge_source", "current"): {"current"},
    ("charge_source", "since_full_charge"): {"history_since_full_charge"},
    ("away_guard", "days_left"): {"days_left"},
    ("full_charge_reminder", "fullness"): {"battery_level", "consumed_amphours"},
}

type Filter = Mapping[str, object]


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.yaml"


def load(name: str) -> Blueprint:
    return Blueprint(
        load_yaml_dict(path_of(name)), path=name, expected_domain="automation", schema=AUTOMATION_BLUEPRINT_SCHEMA
    )


def selectors(name: str) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """Return the inputs of a blueprint with kind and options of their selectors."""
    for key, one in load(name).inputs.items():
        [(kind, options)] = one["selector"].items()
        yield key, kind, options or {}


def listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def filters(options: Mapping[str, object], key: str) -> list[Filter]:
    """Return the filters of a selector that ask for our entities."""
    found = [one for one in listed(options.get(key)) if isinstance(one, Mapping)]
    return [one for one in found if one.get("integration") == DOMAIN]


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_home_assistant_takes_it(name: str) -> None:
    assert load(name).validate() is None


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_where_it_comes_from(name: str) -> None:
    about = load(name).metadata
    wanted = read_json(ROOT / "hacs.json")["homeassistant"]

    assert about["source_url"] == f"{REPOSITORY}/blob/main/{path_of(name).relative_to(ROOT).as_posix()}"
    assert about["homeassistant"]["min_version"] == wanted
    assert about["name"].startswith("smallBMS NG: ")
    assert about["author"]
    assert about["description"].endswith(".")


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_every_input_is_used(name: str) -> None:
    blueprint = load(name)

    assert extract_inputs(blueprint.data) == set(blueprint.inputs)


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_every_input_is_explained(name: str) -> None:
    for key, one in load(name).inputs.items():
        assert one["name"], key
        assert one["description"].endswith("."), key
        assert validate_selector(one["selector"]), key


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_every_default_may_be_chosen(name: str) -> None:
    for key, one in load(name).inputs.items():
        # Nothing chosen is an empty list for Home Assistant, also where one may be chosen.
        if one.get("default", []) != []:
            check: Callable[[object], object] = selector(one["selector"])  # type: ignore[assignment]  # all of them are
            assert check(one["default"]) == one["default"], key


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_numbers_have_limits(name: str) -> None:
    for key, kind, options in selectors(name):
        assert kind != "number" or {"min", "max", "unit_of_measurement"} <= options.keys(), key


def all_keys(value: object) -> Iterator[str]:
    """Return the keys of all objects that are steps; what is given to actions and variables is not looked at."""
    match value:
        case dict():
            for key, below in value.items():
                yield str(key)
                if key not in {"variables", "data", "blueprint"}:
                    yield from all_keys(below)
        case list():
            for below in value:
                yield from all_keys(below)


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_the_words_are_those_of_today(name: str) -> None:
    content = load_yaml_dict(path_of(name))

    assert {"triggers", "actions"} <= content.keys()
    assert not {"trigger", "condition", "action"} & content.keys()
    assert not {"platform", "service", "data_template"} & set(all_keys(content))


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    """All entities that there can be."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        yield bench


def fits(hass: HomeAssistant, one: er.RegistryEntry, wanted: Filter) -> bool:
    """Return whether a filter of a selector lets an entity through, as the user interface decides it."""
    state = hass.states.get(one.entity_id)
    device = dr.async_get(hass).async_get(one.device_id or "")
    unit = state.attributes.get("unit_of_measurement") if state else one.unit_of_measurement
    has = {
        "integration": one.platform,
        "domain": split_entity_id(one.entity_id)[0],
        "device_class": one.device_class or one.original_device_class,
        "unit_of_measurement": unit,
    }
    # A part of another device, such as a battery, has no manufacturer of its own.
    of_device = {"manufacturer": device.manufacturer} if isinstance(device, dr.DeviceEntry) else {}
    asked = wanted.get("device", {})
    assert isinstance(asked, Mapping)
    return all(of_device.get(key) == value for key, value in asked.items()) and all(
        has[key] in listed(value) for key, value in wanted.items() if key != "device"
    )


def offered(hass: HomeAssistant, wanted: Iterable[Filter]) -> set[str]:
    """Return which of our entities filters let through, by the end of their unique ids."""
    entities = [one for one in er.async_get(hass).entities.values() if one.platform == DOMAIN]
    found = [one for one in entities if any(fits(hass, one, filter_) for filter_ in wanted)]
    return {one.unique_id.partition("_")[2] for one in found}


async def test_selectors_offer_our_entities(bench: Bench) -> None:
    found = {
        (name, key): offered(bench.hass, filters(options, "filter"))
        for name in BLUEPRINTS
        for key, kind, options in selectors(name)
        if kind == "entity" and filters(options, "filter")
    }

    assert found.keys() == {*OFFERED, *OFFERED_AMONG_OTHERS}
    assert {key: found[key] for key in OFFERED} == OFFERED
    assert all(found[key] >= expected for key, expected in OFFERED_AMONG_OTHERS.items())


async def test_the_device_is_offered_and_its_batteries_are_not(bench: Bench) -> None:
    asked = [
        filters(options, "entity") for name in BLUEPRINTS for _, kind, options in selectors(name) if kind == "device"
    ]
    entities = [one for one in er.async_get(bench.hass).entities.values() if one.platform == DOMAIN]
    ours = {er.async_get(bench.hass).entities[entity_id(bench.hass, "event", "code")].device_id}

    assert len({one.device_id for one in entities}) > 1
    for wanted in (one for one in asked if one):
        assert {one.device_id for one in entities if any(fits(bench.hass, one, filter_) for filter_ in wanted)} == ours


@pytest.mark.parametrize("name", BLUEPRINTS)
async def test_imported_by_its_address(
    hass: HomeAssistant,
    owner: Owner,
    hass_ws_client: WebSocketGenerator,
    aioclient_mock: AiohttpClientMocker,
    name: str,
) -> None:
    """With the link of the docs, in the user interface of Home Assistant."""
    content = path_of(name).read_text(encoding="utf-8")
    address = f"{RAW}/main/{path_of(name).relative_to(ROOT).as_posix()}"
    aioclient_mock.get(address, text=content)  # type: ignore[no-untyped-call]
    client = await hass_ws_client(hass)
    await client.send_json_auto_id({"type": "blueprint/import", "url": load(name).metadata["source_url"]})
    answer = await client.receive_json()

    assert answer["success"], answer
    assert answer["result"]["suggested_filename"] == f"{IMPORTED}/{name}"
    assert answer["result"]["validation_errors"] is None
    assert answer["result"]["raw_data"] == content


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_documented(name: str) -> None:
    """With a link that imports it, and each input by its name."""
    blueprint = load(name)
    address = str(blueprint.metadata["source_url"]).replace(":", "%3A").replace("/", "%2F")
    text = DOCS.read_text(encoding="utf-8")

    assert f"https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url={address}" in text
    assert [one["name"] for one in blueprint.inputs.values() if one["name"] not in text] == []
    assert "docs/automations.md" in README.read_text(encoding="utf-8")
