"""Home Assistant's long-term statistics of the hours before it was started."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from .answers import Json, JsonObject, as_object, as_objects
from .errors import DemoError
from .home_assistant import HomeAssistant
from .past import Hour
from .waiting import until

_LIMIT: Final = 30.0
_TAKEN: Final = ("statistic_id", "source", "name", "has_sum", "mean_type", "unit_class")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the emulator tells a value of ours, in which unit, and with how many digits the device tells a counter."""

    part: str
    name: str
    unit: str
    sign: int = 1
    digits: int = 2

    def of(self, states: Iterable[JsonObject]) -> list[float]:
        """Return the values, as far as they are known."""
        values = (as_object(state.get(self.part)).get(self.name) for state in states)
        return [self.sign * value for value in values if isinstance(value, int | float)]


# By our keys: what has a mean, and what is counted.
MEASURED: Final[Mapping[str, Source]] = {
    "battery_level": Source(part="status", name="state_of_charge", unit="%"),
    "voltage": Source(part="status", name="voltage", unit="V"),
    "current": Source(part="status", name="current", unit="A"),
    "power": Source(part="status", name="power", unit="W"),
    "consumed_amphours": Source(part="status", name="consumed_ah", unit="Ah", sign=-1),
    "temperature": Source(part="bank", name="highest_temperature", unit="°C"),
    "cell_voltage_min": Source(part="bank", name="lowest_cell", unit="V"),
    "cell_voltage_max": Source(part="bank", name="highest_cell", unit="V"),
}
COUNTED: Final[Mapping[str, Source]] = {
    "history_cumulative_amphours": Source(part="history", name="cumulative_drawn_ah", unit="Ah", digits=1),
    "history_charged_energy": Source(part="history", name="charged_energy_kwh", unit="kWh"),
    "history_discharged_energy": Source(part="history", name="discharged_energy_kwh", unit="kWh"),
}
# Counted by the integration, which did not hear what the battery has lived through at once: these begin with the demo.
COUNTED_HERE: Final[Mapping[str, Source]] = {
    "energy_charged": COUNTED["history_charged_energy"],
    "energy_discharged": COUNTED["history_discharged_energy"],
}
# What the Energy dashboard makes of our power.
INVERTED_POWER: Final = Source(part="status", name="power", unit="W", sign=-1)

_LAST_ADDED: Final = list(COUNTED_HERE)[-1]
# One of the entities that look at statistics: they look together.
_OUTLOOK: Final = "lasts_the_night"


def measured(source: Source, hours: Sequence[Hour]) -> list[JsonObject]:
    """Return the statistics of what has a mean. The lowest and the highest may be what an hour begins with."""
    known = [source.of(hour.states) for hour in hours]
    return [
        {
            "start": hour.start.isoformat(),
            "mean": fmean(values),
            "min": min(*before[-1:], *values, values[0]),
            "max": max(*before[-1:], *values, values[0]),
        }
        for hour, before, values in zip(hours, ([], *known), known, strict=False)
        if values
    ]


def counted(source: Source, hours: Sequence[Hour], zero: float) -> list[JsonObject]:
    """Return the statistics of a counter. Home Assistant counts its sum from the first state that it knew, the zero."""
    ends = [(hour.start, values[-1]) for hour in hours if (values := source.of(hour.states))]
    rounded = [(start, round(end, source.digits)) for start, end in ends]
    return [{"start": start.isoformat(), "state": end, "sum": end - zero} for start, end in rounded]


async def counters(hass: HomeAssistant, entities: Mapping[str, str]) -> dict[str, float]:
    """Return what the counters of a device show, by our keys; entities are the entity ids by key."""
    return {key: await number_of(hass, entities[key]) for key in COUNTED}


async def add_past(
    hass: HomeAssistant, entities: Mapping[str, str], hours: Sequence[Hour], zeros: Mapping[str, float]
) -> None:
    """Give Home Assistant the statistics of these hours; zeros are what the counters showed before, by our keys."""
    for key, source in MEASURED.items():
        await _add(hass, entities[key], source, measured(source, hours))
    for key, source in COUNTED.items():
        await _add(hass, entities[key], source, counted(source, hours, zeros[key]))
    for key, source in COUNTED_HERE.items():
        await _add(hass, entities[key], source, counted(source, hours, _end_of(source, hours)))


def _end_of(source: Source, hours: Sequence[Hour]) -> float:
    """Return what the emulator has counted in the end."""
    return round(
        next((values[-1] for hour in reversed(hours) if (values := source.of(hour.states))), 0.0), source.digits
    )


async def show_outlook(hass: HomeAssistant, entities: Mapping[str, str], hours: Sequence[Hour]) -> None:
    """Let the outlook of a device be told anew, once Home Assistant has the statistics of these hours."""
    entity = entities[_LAST_ADDED]

    async def recorded() -> bool | None:
        start = hours[-1].start.isoformat()
        found = await hass.command(
            "recorder/statistics_during_period", start_time=start, statistic_ids=[entity], period="hour"
        )
        return bool(as_object(found)) or None

    await until(recorded, limit=_LIMIT, otherwise=lambda: f"{entity} has no statistics after {_LIMIT:.0f} seconds.")
    await hass.post("/api/services/homeassistant/update_entity", {"entity_id": entities[_OUTLOOK]})


async def add_past_power(hass: HomeAssistant, entity: str, hours: Sequence[Hour]) -> None:
    """Give Home Assistant the statistics of the power that it inverts itself."""
    await number_of(hass, entity)
    await _add(hass, entity, INVERTED_POWER, measured(INVERTED_POWER, hours))


async def add_energy(hass: HomeAssistant, entity: str, rows: list[JsonObject]) -> None:
    """Give Home Assistant the statistics of an energy in kWh."""
    await _add(hass, entity, Source(part="", name=entity, unit="kWh"), rows)


async def number_of(hass: HomeAssistant, entity: str) -> float:
    """Return the number that an entity shows, as soon as it does."""

    async def shown() -> float | None:
        state = (await hass.states()).get(entity)
        try:
            return float(state.value) if state else None
        except ValueError:
            return None

    return await until(shown, limit=_LIMIT, otherwise=lambda: f"{entity} shows no number after {_LIMIT:.0f} seconds.")


async def _add(hass: HomeAssistant, entity: str, source: Source, rows: list[JsonObject]) -> None:
    known = await _known(hass, entity)
    unit = known.get("statistics_unit_of_measurement")
    if unit != source.unit:
        raise DemoError(f"{entity} is in {unit}, the emulator's {source.name} in {source.unit}.")
    taken: JsonObject = {name: known.get(name) for name in _TAKEN}
    stats: list[Json] = [*rows]
    await hass.command("recorder/import_statistics", metadata={**taken, "unit_of_measurement": unit}, stats=stats)


async def _known(hass: HomeAssistant, entity: str) -> JsonObject:
    """Return what Home Assistant knows of the statistics that it makes of an entity."""
    items = as_objects(await hass.command("recorder/list_statistic_ids"))
    return next((item for item in items if item.get("statistic_id") == entity), {})
