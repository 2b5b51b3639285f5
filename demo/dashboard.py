"""The dashboard: which entities are shown, and how. Core cards only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from .answers import Json, JsonObject, as_objects, text
from .home_assistant import HomeAssistant

URL_PATH: Final = "small-bms"
_PANEL: Final[JsonObject] = {
    "url_path": URL_PATH,
    "title": "Battery",
    "icon": "mdi:battery-heart-variant",
    "show_in_sidebar": True,
}
# Made by Home Assistant for a new owner; its tiles come from the internet.
_UNWANTED: Final = "map"

_WIDE: Final[JsonObject] = {"columns": "full"}
_HALF: Final[JsonObject] = {"columns": 6}
_SHORT_NAME: Final[JsonObject] = {"type": "entity"}  # without the device's name before it
# Short, as the demo is young.
_TREND_HOURS: Final = 0.05
_GRAPH_HOURS: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card that is made from the entity ids of these keys, as far as they exist, and left out if none does."""

    keys: tuple[str, ...]
    make: Callable[[list[str]], JsonObject]


def _gauge(key: str, name: str) -> Card:
    def make(entities: list[str]) -> JsonObject:
        scale: JsonObject = {"min": 0, "max": 100, "severity": {"green": 30, "yellow": 15, "red": 0}}
        return {"type": "gauge", "entity": entities[0], "name": name, "grid_options": _WIDE, **scale}

    return Card(keys=(key,), make=make)


def _tile(key: str, color: str, *, size: JsonObject = _HALF, features: tuple[JsonObject, ...] = ()) -> Card:
    def make(entities: list[str]) -> JsonObject:
        look: JsonObject = {"color": color, "grid_options": size, "features": list(features)}
        return {"type": "tile", "entity": entities[0], "name": _SHORT_NAME, **look}

    return Card(keys=(key,), make=make)


def _trend(key: str, color: str) -> Card:
    return _tile(key, color, features=({"type": "trend-graph", "hours_to_show": _TREND_HOURS},))


def _list(title: str, *keys: str) -> Card:
    def make(entities: list[str]) -> JsonObject:
        rows: list[Json] = [{"entity": entity, "name": _SHORT_NAME} for entity in entities]
        return {"type": "entities", "title": title, "entities": rows, "grid_options": _WIDE}

    return Card(keys=keys, make=make)


def _graph(title: str, *keys: str) -> Card:
    def make(entities: list[str]) -> JsonObject:
        rows: list[Json] = [{"entity": entity, "name": _SHORT_NAME} for entity in entities]
        span: JsonObject = {"hours_to_show": _GRAPH_HOURS, "grid_options": _WIDE}
        return {"type": "history-graph", "title": title, "entities": rows, **span}

    return Card(keys=keys, make=make)


def _logbook(title: str, *keys: str) -> Card:
    def make(entities: list[str]) -> JsonObject:
        size: JsonObject = {"grid_options": {**_WIDE, "rows": 5}}
        return {"type": "logbook", "title": title, "target": {"entity_id": [*entities]}, "hours_to_show": 24, **size}

    return Card(keys=keys, make=make)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A column of the dashboard; on a narrow screen they follow one another."""

    title: str
    icon: str
    cards: tuple[Card, ...]


_SECTIONS: Final = (
    Section(
        title="Battery",
        icon="mdi:battery-heart-variant",
        cards=(
            _gauge("battery_level", "State of charge"),
            _trend("power", "amber"),
            _trend("current", "orange"),
            _trend("voltage", "blue"),
            _trend("temperature", "red"),
            _tile("time_to_go", "teal", size=_WIDE),
            _tile("consumed_amphours", "teal", size=_WIDE),
            _tile("energy_charged", "green"),
            _tile("energy_discharged", "orange"),
        ),
    ),
    Section(
        title="Protection",
        icon="mdi:shield-check",
        cards=(
            _tile("status", "blue", size=_WIDE),
            _tile("allowed_to_charge", "green"),
            _tile("allowed_to_discharge", "green"),
            _tile("pre_alarm", "amber"),
            _tile("problem", "red"),
            _tile("charging", "green"),
            _tile("remote_on", "blue"),
            _list(
                "Warnings and alarms",
                "low_cell_voltage",
                "battery_communication",
                "low_soc",
                "low_bank_voltage",
                "high_temperature",
                "error",
            ),
        ),
    ),
    Section(
        title="History",
        icon="mdi:chart-line",
        cards=(
            _graph("State of charge", "battery_level"),
            _graph("Power", "power"),
            _logbook(
                "What happened", "code", "status", "allowed_to_charge", "allowed_to_discharge", "pre_alarm", "charging"
            ),
        ),
    ),
)


def view(title: str, entities: Mapping[str, str]) -> JsonObject:
    """Return the view of one battery; entities are the entity ids by key."""
    sections: list[Json] = [_made(section, entities) for section in _SECTIONS]
    return {"title": title, "type": "sections", "max_columns": len(sections), "sections": sections}


def _made(section: Section, entities: Mapping[str, str]) -> JsonObject:
    found = ((card, [entities[key] for key in card.keys if key in entities]) for card in section.cards)
    heading: JsonObject = {"type": "heading", "heading": section.title, "icon": section.icon}
    return {"type": "grid", "cards": [heading, *(card.make(ids) for card, ids in found if ids)]}


async def save_dashboard(hass: HomeAssistant, views: list[JsonObject]) -> None:
    """Make the dashboard, the one that opens first."""
    await hass.command("lovelace/dashboards/create", **_PANEL)
    await hass.command("lovelace/config/save", url_path=URL_PATH, config={"views": [*views]})
    await hass.command("frontend/set_system_data", key="core", value={"default_panel": URL_PATH})
    for dashboard in as_objects(await hass.command("lovelace/dashboards/list")):
        if dashboard.get("url_path") == _UNWANTED:
            await hass.command("lovelace/dashboards/delete", dashboard_id=text(dashboard, "id"))
