"""The dashboard."""

import pytest

from demo.answers import Json, JsonObject, as_object, as_objects
from demo.check import LIVE
from demo.dashboard import save_dashboard, view
from demo.home_assistant import HomeAssistant

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")

ENTITIES = {key: f"sensor.{key}" for key in (*LIVE, "time_to_go")}
SHOWN_OTHERWISE = {"battery_low"}  # by the state of charge


def cards(built: JsonObject) -> list[JsonObject]:
    return [card for section in as_objects(built["sections"]) for card in as_objects(section["cards"])]


def shown(card: JsonObject) -> set[object]:
    """Return the entity ids of a card."""
    if "entity" in card:
        return {card["entity"]}
    if "target" in card:
        ids = as_object(card["target"])["entity_id"]
        return set(ids) if isinstance(ids, list) else set()
    return {row["entity"] for row in as_objects(card.get("entities", []))}


def test_everything_of_the_advertisement_is_shown() -> None:
    entities = {entity for card in cards(view("A battery", ENTITIES)) for entity in shown(card)}
    assert entities == {entity for key, entity in ENTITIES.items() if key not in SHOWN_OTHERWISE}


def test_what_does_not_exist_is_left_out() -> None:
    built = cards(view("A battery", {"voltage": "sensor.renamed", "error": "sensor.error"}))
    assert [(card["type"], shown(card)) for card in built if card["type"] != "heading"] == [
        ("tile", {"sensor.renamed"}),
        ("entities", {"sensor.error"}),
    ]


async def test_it_opens_first_and_the_map_is_gone(stand_in: StandIn, hass: HomeAssistant) -> None:
    dashboards: list[Json] = [{"url_path": "map", "id": "the map"}, {"url_path": "small-bms", "id": "ours"}]
    stand_in.results = {
        "lovelace/dashboards/create": None,
        "lovelace/config/save": None,
        "frontend/set_system_data": None,
        "lovelace/dashboards/list": dashboards,
        "lovelace/dashboards/delete": None,
    }
    await save_dashboard(hass, [{"title": "A battery"}])
    created, saved, default, _, *deleted = stand_in.commands
    assert created["url_path"] == "small-bms"
    assert saved["config"] == {"views": [{"title": "A battery"}]}
    assert default["value"] == {"default_panel": "small-bms"}
    assert [command["dashboard_id"] for command in deleted] == ["the map"]
