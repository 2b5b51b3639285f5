"""The dashboard, which is the one for owners."""

from collections.abc import Iterator

import pytest

from demo.answers import Json, JsonObject, as_objects
from demo.dashboard import load, name_of, save_dashboard, views
from demo.errors import DemoError
from demo.home_assistant import HomeAssistant

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")

# Of what comes with Home Assistant's frontend. An integration of the community is not needed for any of them.
CORE_CARDS = {"entities", "gauge", "heading", "history-graph", "logbook", "tile"}
LEVEL = {"battery_level": "sensor.my_boat_state_of_charge"}


def cards(shown: list[JsonObject]) -> Iterator[JsonObject]:
    for view in shown:
        for section in as_objects(view["sections"]):
            yield from as_objects(section["cards"])


def headings(shown: list[JsonObject]) -> list[Json]:
    return [card["heading"] for card in cards(shown) if card["type"] == "heading"]


def test_core_cards_only() -> None:
    assert {card["type"] for card in cards(load())} == CORE_CARDS
    assert {view["type"] for view in load()} == {"sections"}


def test_the_name_is_replaced() -> None:
    (gauge,) = [card for card in cards(views(LEVEL)) if card["type"] == "gauge"]
    assert gauge["entity"] == LEVEL["battery_level"]


def test_what_is_not_there_is_left_out() -> None:
    shown = views({**LEVEL, "error": "sensor.my_boat_bms_error", "code": "event.my_boat_code"})
    by_type = {card["type"]: card for card in cards(shown)}
    assert headings(shown) == ["Battery", "Protection", "Allowed", "Warnings and alarms"]
    assert set(by_type) == {"heading", "gauge", "history-graph", "tile", "logbook"}
    assert {card["entity"] for card in cards(shown) if card["type"] == "tile"} == {"sensor.my_boat_bms_error"}
    assert by_type["logbook"]["target"] == {"entity_id": ["event.my_boat_code"]}


def test_entity_ids_that_were_changed_are_a_sentence() -> None:
    with pytest.raises(DemoError, match=r"The dashboard does not know the name in sensor\.battery\."):
        name_of({"battery_level": "sensor.battery"})


def saved_views(stand_in: StandIn) -> Json:
    (saved,) = [command for command in stand_in.commands if command["type"] == "lovelace/config/save"]
    return saved["config"]


@pytest.fixture
def willing(stand_in: StandIn) -> StandIn:
    """Let the dashboard be saved."""
    stand_in.results = {
        "lovelace/dashboards/create": None,
        "lovelace/config/save": None,
        "frontend/set_system_data": None,
        "lovelace/dashboards/list": [{"url_path": "map", "id": "the map"}, {"url_path": "small-bms", "id": "ours"}],
        "lovelace/dashboards/delete": None,
    }
    return stand_in


async def test_it_opens_first_and_the_map_is_gone(willing: StandIn, hass: HomeAssistant) -> None:
    await save_dashboard(hass, {"A battery": [{"title": "Cells"}]})
    created, _, default, _, *deleted = willing.commands
    assert created["url_path"] == "small-bms"
    assert saved_views(willing) == {"views": [{"title": "Cells"}]}
    assert default["value"] == {"default_panel": "small-bms"}
    assert [command["dashboard_id"] for command in deleted] == ["the map"]


async def test_several_batteries_are_told_apart(willing: StandIn, hass: HomeAssistant) -> None:
    await save_dashboard(hass, {"One": [{"title": "Cells"}], "Two": [{"title": "Cells"}]})
    assert saved_views(willing) == {"views": [{"title": "One: Cells"}, {"title": "Two: Cells"}]}
