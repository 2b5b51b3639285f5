"""Giving Home Assistant the statistics of the past."""

from datetime import UTC, datetime

import pytest

from demo.answers import Json, JsonObject
from demo.errors import DemoError
from demo.home_assistant import HomeAssistant
from demo.past import Hour
from demo.statistics import add_past_power, number_of

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
