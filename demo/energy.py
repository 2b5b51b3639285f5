"""The Energy dashboard."""

from collections.abc import Iterable, Mapping
from typing import Final

from .answers import Json, JsonObject
from .home_assistant import HomeAssistant

# What Home Assistant wants to know of a battery, by our keys.
_STATISTICS: Final = {
    "stat_energy_from": "energy_discharged",
    "stat_energy_to": "energy_charged",
    "stat_soc": "battery_level",
}
# Victron counts charging as positive, Home Assistant as negative.
_POWER: Final = "power"


def battery(name: str, entities: Mapping[str, str]) -> JsonObject:
    """Return a battery as the Energy dashboard wants it; entities are the entity ids by key."""
    statistics: JsonObject = {field: entities[key] for field, key in _STATISTICS.items()}
    return {"type": "battery", "name": name, **statistics, "power_config": {"stat_rate_inverted": entities[_POWER]}}


async def save_energy(hass: HomeAssistant, batteries: Iterable[JsonObject]) -> None:
    """Set the Energy dashboard up."""
    sources: list[Json] = [*batteries]
    await hass.command("energy/save_prefs", energy_sources=sources)
