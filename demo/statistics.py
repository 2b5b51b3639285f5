"""Home Assistant's long-term statistics of the hours before it was started."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from .answers import Json, JsonObject, as_object, as_objects, text
from .errors import DemoError
from .home_assistant import HomeAssistant
from .past import Hour
from .waiting import until

_LIMIT: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the emulator tells a value of ours, and in which unit."""

    part: str
    name: str
    unit: str

    def of(self, states: Iterable[JsonObject]) -> list[float]:
        """Return the values, as far as they are known."""
        values = (as_object(state.get(self.part)).get(self.name) for state in states)
        return [value for value in values if isinstance(value, int | float)]


# By our keys: what has a mean, and what is counted.
MEASURED: Final[Mapping[str, Source]] = {
    "battery_level": Source(part="status", name="state_of_charge", unit="%"),
    "voltage": Source(part="status", name="voltage", unit="V"),
    "current": Source(part="status", name="current", unit="A"),
    "power": Source(part="status", name="power", unit="W"),
    "cell_voltage_min": Source(part="bank", name="lowest_cell", unit="V"),
    "cell_voltage_max": Source(part="bank", name="highest_cell", unit="V"),
}
COUNTED: Final[Mapping[str, Source]] = {
    "history_charged_energy": Source(part="history", name="charged_energy_kwh", unit="kWh"),
    "history_discharged_energy": Source(part="history", name="discharged_energy_kwh", unit="kWh"),
}
_REGISTER_DIGITS: Final = 2  # of the counters, as the device tells them


def measured(source: Source, hours: Sequence[Hour]) -> list[JsonObject]:
    """Return the statistics of what has a mean."""
    known = [(hour.start, values) for hour in hours if (values := source.of(hour.states))]
    return [
        {"start": start.isoformat(), "mean": fmean(values), "min": min(values), "max": max(values)}
        for start, values in known
    ]


def counted(source: Source, hours: Sequence[Hour], zero: float) -> list[JsonObject]:
    """Return the statistics of a counter. Home Assistant counts its sum from the first state it knows, the zero.

    Before that state the sum is negative, so that it goes on without a jump.
    """
    ends = [(hour.start, values[-1]) for hour in hours if (values := source.of(hour.states))]
    rounded = [(start, round(end, _REGISTER_DIGITS)) for start, end in ends]
    return [{"start": start.isoformat(), "state": end, "sum": end - zero} for start, end in rounded]


async def add_past(hass: HomeAssistant, entities: Mapping[str, str], hours: Sequence[Hour]) -> None:
    """Give Home Assistant the statistics of these hours; entities are the entity ids by key."""
    known = await _metadata(hass)
    for key, source in MEASURED.items():
        await _add(hass, known[entities[key]], source, measured(source, hours))
    for key, source in COUNTED.items():
        zero = await number_of(hass, entities[key])
        await _add(hass, known[entities[key]], source, counted(source, hours, zero))


async def number_of(hass: HomeAssistant, entity: str) -> float:
    """Return the number that an entity shows, as soon as it does."""

    async def shown() -> float | None:
        state = (await hass.states()).get(entity)
        try:
            return float(state.value) if state else None
        except ValueError:
            return None

    return await until(shown, limit=_LIMIT, otherwise=lambda: f"{entity} shows no number after {_LIMIT:.0f} seconds.")


async def _metadata(hass: HomeAssistant) -> dict[str, JsonObject]:
    """Return what Home Assistant knows of the statistics that it makes, by their ids."""
    return {text(item, "statistic_id"): item for item in as_objects(await hass.command("recorder/list_statistic_ids"))}


async def _add(hass: HomeAssistant, known: JsonObject, source: Source, rows: list[JsonObject]) -> None:
    unit = known.get("statistics_unit_of_measurement")
    if unit != source.unit:
        raise DemoError(f"{known.get('statistic_id')} is in {unit}, the emulator's {source.name} in {source.unit}.")
    taken: JsonObject = {
        name: known.get(name) for name in ("statistic_id", "source", "name", "has_sum", "mean_type", "unit_class")
    }
    stats: list[Json] = [*rows]
    await hass.command("recorder/import_statistics", metadata={**taken, "unit_of_measurement": unit}, stats=stats)
