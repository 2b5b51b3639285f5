"""What the solar chargers yield, which only the demo can tell Home Assistant."""

from datetime import UTC, datetime, timedelta

import pytest

from demo.answers import JsonObject
from demo.home_assistant import HomeAssistant
from demo.past import Hour
from demo.run import connection_interval
from demo.solar import ENTITY, add_past_yield, chargers, has_chargers, power, tell, yields

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")

START = datetime(2026, 6, 15, 10, tzinfo=UTC)
UNIT: JsonObject = {"statistic_id": ENTITY, "statistics_unit_of_measurement": "kWh"}


def state(current: float | None) -> JsonObject:
    flows: list[JsonObject] = [{"kind": "load", "current": -3.0}, {"kind": "solar", "current": current}]
    return {"status": {"voltage": 12.5}, "flows": [*flows]}


def hours(*currents: float) -> list[Hour]:
    return [
        Hour(start=START + number * timedelta(hours=1), states=(state(current), state(current)))
        for number, current in enumerate(currents)
    ]


def test_only_the_sun_counts() -> None:
    assert power(state(8.0)) == 100
    assert power(state(None)) == 0
    assert len(chargers(state(0.0))) == 1
    assert has_chargers(hours(0))
    assert not has_chargers([Hour(start=START, states=({"flows": []},))])


def test_all_devices_together() -> None:
    ends = yields([hours(8, 0, 16), hours(8, 8, 0)])
    assert [(start, round(energy, 6)) for start, energy in ends] == [
        (START, 0.2),
        (START + timedelta(hours=1), 0.3),
        (START + timedelta(hours=2), 0.5),
    ]


async def test_the_past_is_told_as_statistics(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.results = {"recorder/list_statistic_ids": [UNIT], "recorder/import_statistics": None}
    stand_in.answers[("POST", f"/api/states/{ENTITY}")] = {}
    await add_past_yield(hass, yields([hours(8, 8)]), 0.1)
    imported = next(command for command in stand_in.commands if command["type"] == "recorder/import_statistics")
    rows = imported["stats"]
    assert isinstance(rows, list)
    assert [row["sum"] for row in rows if isinstance(row, dict)] == [0.0, 0.1]
    [(_, told)] = [sent for sent in stand_in.sent if sent[0].endswith(ENTITY)]
    assert isinstance(told, dict)
    assert told["state"] == "0.200"


async def test_a_total_of_energy(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.answers[("POST", f"/api/states/{ENTITY}")] = {}
    await tell(hass, 1.23456)
    [(_, told)] = [sent for sent in stand_in.sent if sent[0].endswith(ENTITY)]
    assert isinstance(told, dict)
    attributes = told["attributes"]
    assert isinstance(attributes, dict)
    assert (told["state"], attributes["device_class"], attributes["state_class"]) == (
        "1.235",
        "energy",
        "total_increasing",
    )


@pytest.mark.parametrize(("speed", "minutes"), [(1, 15), (0.5, 15), (3, 5), (15, 1), (60, 1), (1e6, 1)])
def test_it_connects_as_often_as_usual_in_the_life_of_the_battery(speed: float, minutes: int) -> None:
    assert connection_interval(speed) == minutes
