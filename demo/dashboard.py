"""The dashboard: docs/dashboard.yaml, for the devices of the demo."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
import re
from typing import Final

import yaml

from .answers import Json, JsonObject, as_object, as_objects, text
from .errors import DemoError
from .home_assistant import HomeAssistant

FILE: Final = Path(__file__).parent.parent / "docs" / "dashboard.yaml"
# The name in the entity ids of the file.
NAME: Final = "smallbms_ng_cabin"
URL_PATH: Final = "small-bms"
_PANEL: Final[JsonObject] = {
    "url_path": URL_PATH,
    "title": "Battery",
    "icon": "mdi:battery-heart-variant",
    "show_in_sidebar": True,
}
# Made by Home Assistant for a new owner; its tiles come from the internet.
_UNWANTED: Final = "map"

_ENTITY_ID: Final = re.compile(r"[a-z_]+\.\w+")
_LEVEL: Final = "battery_level"
_LEVEL_ID: Final = re.compile(r"sensor\.(?P<name>\w+)_state_of_charge")


def load() -> list[JsonObject]:
    """Return the views of the file."""
    content: Json = yaml.safe_load(FILE.read_text())
    return as_objects(as_object(content).get("views"))


def views(entities: Mapping[str, str]) -> list[JsonObject]:
    """Return the views of the file for one battery; entities are the entity ids by key.

    The file is for one bank. Where another one has less, cards are left out; what it has more is not shown.
    """
    name, there = name_of(entities), frozenset(entities.values())
    return [as_object(_with(item, name, there)) for item in load()]


def name_of(entities: Mapping[str, str]) -> str:
    """Return the name that the entity ids of a device carry."""
    found = _LEVEL_ID.fullmatch(entities[_LEVEL])
    if not found:
        raise DemoError(f"The dashboard does not know the name in {entities[_LEVEL]}.")
    return found["name"]


def _with(item: Json, name: str, there: AbstractSet[str]) -> Json:
    """Return a part of the dashboard with another name in its entity ids, and without entities that are not there."""
    if isinstance(item, str):
        return item.replace(NAME, name)
    if isinstance(item, list):
        return [new for new in (_with(old, name, there) for old in item) if _shows_something(new, there)]
    if isinstance(item, dict):
        return {key: _with(value, name, there) for key, value in item.items()}
    return item


def _shows_something(item: Json, there: AbstractSet[str]) -> bool:
    if isinstance(item, str):
        return item in there or not _ENTITY_ID.fullmatch(item)
    if not isinstance(item, dict):
        return True
    entity, cards = item.get("entity"), item.get("cards")
    if isinstance(cards, list):
        return any(as_object(card).get("type") != "heading" for card in cards)
    return item.get("entities") != [] and (not isinstance(entity, str) or entity in there)


async def save_dashboard(hass: HomeAssistant, shown: Mapping[str, list[JsonObject]]) -> None:
    """Make the dashboard, the one that opens first, of the views of each battery by its name."""
    several = len(shown) > 1
    config: list[Json] = [
        {**view, "title": f"{name}: {view['title']}"} if several else view
        for name, views_of_one in shown.items()
        for view in views_of_one
    ]
    await hass.command("lovelace/dashboards/create", **_PANEL)
    await hass.command("lovelace/config/save", url_path=URL_PATH, config={"views": config})
    await hass.command("frontend/set_system_data", key="core", value={"default_panel": URL_PATH})
    for dashboard in as_objects(await hass.command("lovelace/dashboards/list")):
        if dashboard.get("url_path") == _UNWANTED:
            await hass.command("lovelace/dashboards/delete", dashboard_id=text(dashboard, "id"))
