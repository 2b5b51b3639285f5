"""The Energy dashboard."""

from collections.abc import Iterable, Mapping
from typing import Final

from .answers import Json, JsonObject, as_object, as_objects, text
from .errors import DemoError
from .home_assistant import HomeAssistant, State

# What Home Assistant wants to know of a battery, by our keys. The counters of the BMS live as fast as the battery;
# those of the integration count in real time.
_STATISTICS: Final = {
    "stat_energy_from": "history_discharged_energy",
    "stat_energy_to": "history_charged_energy",
    "stat_soc": "battery_level",
}
# Victron counts charging as positive, Home Assistant as negative.
_POWER: Final = "power"
# What makes the capacity in Wh: Ah, and the voltage, which tells how many 12 V are in series.
CAPACITY: Final = ("capacity", "voltage")
_NOMINAL: Final = 12.8  # V, of four LiFePO4 cells
_FULL: Final = 14.6  # V, the most of them
_IN_SERIES: Final = (1, 2, 4)


def battery(name: str, entities: Mapping[str, str], states: Mapping[str, State]) -> JsonObject:
    """Return a battery as the Energy dashboard wants it; entities are the entity ids by key, states by entity id."""
    statistics: JsonObject = {field: entities[key] for field, key in _STATISTICS.items()}
    power: JsonObject = {"power_config": {"stat_rate_inverted": entities[_POWER]}}
    return {"type": "battery", "name": name, **statistics, **power, "capacity": _capacity(entities, states)}


def _capacity(entities: Mapping[str, str], states: Mapping[str, State]) -> float:
    """Return the capacity in kWh."""
    amphours, voltage = (float(states[entities[key]].value) for key in CAPACITY)
    series = next((one for one in _IN_SERIES if voltage <= one * _FULL), _IN_SERIES[-1])
    return amphours * series * _NOMINAL / 1000


async def save_energy(hass: HomeAssistant, batteries: Iterable[JsonObject], *others: JsonObject) -> list[str]:
    """Set the Energy dashboard up; return the entity ids of the inverted power of each battery, in the same order."""
    sources: list[Json] = [*batteries, *others]
    saved = as_object(await hass.command("energy/save_prefs", energy_sources=sources))
    kept = as_objects(saved.get("energy_sources"))
    return [text(source, "stat_rate") for source in kept if source.get("type") == "battery"]


async def check_energy(hass: HomeAssistant) -> None:
    """Let Home Assistant look for mistakes in what was set up; DemoError if there are any."""
    validation = as_object(await hass.command("energy/validate"))
    if found := [issue for issues in _lists(validation.get("energy_sources")) for issue in issues]:
        raise DemoError(f"The Energy dashboard complains: {found}.")


def _lists(value: Json) -> list[list[Json]]:
    """Return the issues of each source."""
    return [issues for issues in value if isinstance(issues, list)] if isinstance(value, list) else []
