"""Where the demo's Home Assistant is at home."""

from datetime import UTC, datetime, timedelta, timezone
from math import isclose

import pytest

from demo.place import home
from emulator.world.sun import Place, days_since_j2000, sun_position

CABIN = Place(latitude=52.37, longitude=4.90)
SUMMER = timezone(timedelta(hours=2))
JUNE = datetime(2026, 6, 15, 6, tzinfo=SUMMER)


def elevation(place: Place, local: datetime) -> float:
    return sun_position(place, days_since_j2000(local.astimezone(UTC))).elevation


@pytest.mark.parametrize("month", [1, 2, 4, 5, 6, 7, 8, 11, 12])
@pytest.mark.parametrize("zone", [UTC, SUMMER, timezone(timedelta(hours=-8)), timezone(timedelta(hours=11))])
def test_the_sun_is_up_by_the_clock_as_in_the_scenario(month: int, zone: timezone) -> None:
    """All through the day, but for an hour at its ends."""
    now = datetime(2026, month, 20, tzinfo=zone)
    found = home(CABIN, scenario=JUNE, now=now)
    here = Place.model_validate(found)
    ups = [
        (elevation(CABIN, JUNE.replace(hour=hour)) > 0, elevation(here, now.replace(hour=hour)) > 0)
        for hour in range(24)
    ]
    assert sum(there is not now_here for there, now_here in ups) <= 2


def test_in_the_season_of_the_scenario_it_is_where_the_scenario_is() -> None:
    found = home(CABIN, scenario=JUNE, now=JUNE)
    assert isclose(float(str(found["latitude"])), CABIN.latitude, abs_tol=0.01)
    assert found["longitude"] == pytest.approx(CABIN.longitude)


@pytest.mark.parametrize("day", range(76, 84))
def test_the_equinox_has_an_answer(day: int) -> None:
    found = home(CABIN, scenario=JUNE, now=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day))
    assert -60 <= float(str(found["latitude"])) <= 60
