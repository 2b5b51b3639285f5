"""The dashboard for owners, on a bank as it is made for."""

from collections.abc import AsyncGenerator, Iterator
import re

from homeassistant.core import HomeAssistant
import pytest

from custom_components.smallbms_ng.protocol.system import SwitchedOff
from demo.answers import Json, JsonObject, as_object, as_objects
from demo.dashboard import FILE, NAME, load, views
from tests.emulator.banks import ONE_48V, TWO_IN_PARALLEL, make_bms

from .bench import Bench, a_bench
from .conftest import Radio

# What is done by tiles, in the form of an entity id.
ACTIONS = {"button.press", "switch.turn_off", "switch.turn_on"}
ENTITY_ID = re.compile(rf"\b(?:binary_sensor|button|event|number|sensor|switch)\.{NAME}_\w+")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio, bms=make_bms(TWO_IN_PARALLEL))) as bench:
        await bench.load()
        yield bench


def ids_of_file() -> set[str]:
    return set(ENTITY_ID.findall(FILE.read_text())) - ACTIONS


def cards(view: int) -> Iterator[JsonObject]:
    for section in as_objects(load()[view]["sections"]):
        yield from as_objects(section["cards"])


def ids_in(item: Json) -> set[str]:
    """Return the entity ids anywhere in a part of the dashboard."""
    if isinstance(item, str):
        return {item} if re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", item) else set()
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return {found for part in parts for found in ids_in(part)}


def test_the_file_names_entities_in_no_other_way() -> None:
    """Else replacing the name would not reach them."""
    assert ids_in([*load()]) - ACTIONS == ids_of_file()


async def test_every_entity_of_the_file_is_there(hass: HomeAssistant, bench: Bench) -> None:
    there = bench.entities()
    shown = ids_in([*views(there)]) - ACTIONS
    assert len(shown) == len(ids_of_file())
    assert {entity for entity in shown if hass.states.get(entity) is None} == set()


async def test_on_another_bank_what_is_not_there_is_left_out(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, bms=make_bms(ONE_48V))) as bench:
        await bench.load()
        shown = ids_in([*views(bench.entities())]) - ACTIONS
        assert {entity for entity in shown if hass.states.get(entity) is None} == set()
        assert not any("battery_2" in entity for entity in shown)
        assert any("battery_1" in entity for entity in shown)


def test_a_system_that_is_off_comes_first() -> None:
    """The first card of the first view, whatever it is off by, and only then."""
    first = next(card for card in cards(0) if card["type"] != "heading")
    [condition] = as_objects(first["visibility"])
    assert first["entity"] == condition["entity"] == f"sensor.{NAME}_status"
    assert condition["state"] == sorted(SwitchedOff)


# What a tile is shown in, by its color.
COLORS = {
    "ok": "green",
    "warning": "amber",
    "alarm": "red",
    "error": "red",
    "none": "green",
    "e_b11": "red",
    "E-B77": "red",
}


def is_shown(card: JsonObject, state: str) -> bool:
    """Return whether a card is shown while its entity has a state."""
    [condition] = as_objects(card["visibility"])
    wanted = condition.get("state", condition.get("state_not"))
    return (state in (wanted if isinstance(wanted, list) else [wanted])) == ("state" in condition)


@pytest.mark.parametrize(
    ("key", "states"),
    [
        ("status", ["ok", "warning", "alarm", "error", "off", "unknown"]),
        ("cell_voltage_alarm", ["ok", "warning", "alarm", "unknown"]),
        ("battery_communication_alarm", ["ok", "warning", "alarm", "unknown"]),
        ("state_of_charge_alarm", ["ok", "warning", "alarm", "unknown"]),
        ("bank_voltage_alarm", ["ok", "warning", "alarm", "unknown"]),
        ("battery_temperature_alarm", ["ok", "warning", "alarm", "unknown"]),
        ("bms_error", ["none", "e_b11", "E-B77", "unknown"]),
    ],
)
def test_the_color_of_a_tile_is_its_severity(key: str, states: list[str]) -> None:
    """In every state, exactly one of the tiles is shown."""
    first, *others = [card for card in cards(0) if card.get("entity") == f"sensor.{NAME}_{key}"]
    tiles = others if first.get("name") == "System" else [first, *others]
    for state in states:
        [shown] = [tile for tile in tiles if is_shown(tile, state)]
        assert shown["color"] == COLORS.get(state, shown["color"])


def test_what_happened_lists_the_status_and_the_switch() -> None:
    [logbook] = [card for card in cards(0) if card["type"] == "logbook"]
    listed = as_object(logbook["target"])["entity_id"]
    assert isinstance(listed, list)
    assert {f"sensor.{NAME}_status", f"switch.{NAME}_system", f"event.{NAME}_code"} <= {*map(str, listed)}


def test_who_switches_the_system_is_asked_which_way() -> None:
    """Home Assistant's own cards ask what stands there: each way has a tile of its own."""
    tiles = [card for card in cards(2) if card.get("entity") == f"switch.{NAME}_system"]
    asked = {}
    for tile in tiles:
        action, [condition] = as_object(tile["tap_action"]), as_objects(tile["visibility"])
        assert tile["icon_tap_action"] == action
        assert condition["entity"] == tile["entity"]
        asked[action["perform_action"]] = (
            {key: value for key, value in condition.items() if key.startswith("state")},
            as_object(action["confirmation"])["title"],
        )
    assert asked == {
        "switch.turn_off": ({"state": "on"}, "Switch the system off?"),
        "switch.turn_on": ({"state_not": "on"}, "Switch the system on again?"),
    }
