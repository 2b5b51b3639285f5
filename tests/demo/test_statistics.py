"""Giving Home Assistant the statistics of the past."""

from datetime import UTC, datetime

import pytest

from demo.answers import Json, JsonObject, as_object, as_objects
from demo.errors import DemoError
from demo.home_assistant import HomeAssistant
from demo.past import Hour
from demo.statistics import COUNTED, COUNTED_HERE, MEASURED, add_past, add_past_power, number_of, show_outlook

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")

HOURS = [Hour(start=datetime(2026, 11, 25, tzinfo=UTC), states=({"status": {"power": 20}}, {"status": {"power": 40}}))]
KNOWN: JsonObject = {
    "statistic_id": "sensor.inverted",
    "source": "recorder",
    "name": None,
    "has_sum": False,
    "mean_type": 1,
    "unit_class": "power",
}


def show(stand_in: StandIn, unit: str) -> None:
    """Let a sensor show a number, of which Home Assistant makes statistics."""
    state: Json = {"entity_id": "sensor.inverted", "state": "-30", "attributes": {"unit_of_measurement": unit}}
    stand_in.answers["GET", "/api/states"] = [state]
    stand_in.results = {
        "recorder/list_statistic_ids": [
            {**KNOWN, "display_unit_of_measurement": "kW", "statistics_unit_of_measurement": unit}
        ],
        "recorder/import_statistics": None,
    }


async def test_they_are_as_home_assistant_would_make_them(stand_in: StandIn, hass: HomeAssistant) -> None:
    show(stand_in, "W")
    await add_past_power(hass, "sensor.inverted", HOURS)
    sent = stand_in.commands[-1]
    assert sent["metadata"] == {**KNOWN, "unit_of_measurement": "W"}
    assert sent["stats"] == [{"start": "2026-11-25T00:00:00+00:00", "mean": -30, "min": -40, "max": -20}]


async def test_another_unit_is_a_sentence(stand_in: StandIn, hass: HomeAssistant) -> None:
    show(stand_in, "kW")
    with pytest.raises(DemoError, match=r"sensor.inverted is in kW, the emulator's power in W\."):
        await add_past_power(hass, "sensor.inverted", HOURS)


async def test_the_number_of_an_entity(stand_in: StandIn, hass: HomeAssistant) -> None:
    show(stand_in, "W")
    assert await number_of(hass, "sensor.inverted") == -30


ENTITIES = {key: f"sensor.cabin_{key}" for key in (*MEASURED, *COUNTED, *COUNTED_HERE, "lasts_the_night")}
COUNTED_HOURS = [
    Hour(
        start=datetime(2026, 11, 25, hour, tzinfo=UTC),
        states=({"status": {}, "bank": {}, "history": {"discharged_energy_kwh": counter}},),
    )
    for hour, counter in enumerate((7.0, 7.5, 9.25))
]


async def test_what_is_counted_here_begins_with_the_demo(stand_in: StandIn, hass: HomeAssistant) -> None:
    """Home Assistant makes sums from 0 on of what it has not heard."""
    rows = {**MEASURED, **COUNTED, **COUNTED_HERE}
    stand_in.results = {
        "recorder/list_statistic_ids": [
            {**KNOWN, "statistic_id": ENTITIES[key], "statistics_unit_of_measurement": source.unit}
            for key, source in rows.items()
        ],
        "recorder/import_statistics": None,
    }
    await add_past(hass, ENTITIES, COUNTED_HOURS, dict.fromkeys(COUNTED, 0.0))
    imports = [command for command in stand_in.commands if command["type"] == "recorder/import_statistics"]
    sums = {
        as_object(command["metadata"])["statistic_id"]: [row["sum"] for row in as_objects(command["stats"])]
        for command in imports
        if any("sum" in row for row in as_objects(command["stats"]))
    }
    assert sums[ENTITIES["energy_discharged"]] == [-2.25, -1.75, 0.0]
    assert sums[ENTITIES["history_discharged_energy"]] == [7.0, 7.5, 9.25]


async def test_the_outlook_is_told_once_the_past_is_there(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.results = {"recorder/statistics_during_period": {ENTITIES["energy_discharged"]: [{}]}}
    stand_in.answers["POST", "/api/services/homeassistant/update_entity"] = []
    await show_outlook(hass, ENTITIES, COUNTED_HOURS)
    assert stand_in.sent[-1] == (
        "/api/services/homeassistant/update_entity",
        {"entity_id": ENTITIES["lasts_the_night"]},
    )
