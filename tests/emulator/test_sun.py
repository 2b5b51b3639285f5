"""Sun, clouds and panels."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

# It has no types; an independent position of the sun is worth it.
from astral import Observer  # type: ignore[import-untyped]
from astral.sun import azimuth, elevation  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
import pytest

from emulator.world.sun import (
    PANEL_YIELD,
    Clouds,
    Panel,
    Place,
    Sky,
    SunPosition,
    cloud_transmission,
    days_since_j2000,
    direct_irradiance,
    sun_position,
)

AMSTERDAM = Place(latitude=52.37, longitude=4.90)
MIDSUMMER = datetime(2026, 6, 21, tzinfo=UTC)
MIDWINTER = datetime(2026, 12, 21, tzinfo=UTC)
DAY = 86400


def clear_sky(place: Place = AMSTERDAM, start: datetime = MIDSUMMER) -> Sky:
    return Sky(place=place, start=start, clouds=Clouds(mean=0.0, seed="clear"))


def energy_of_a_day(panel: Panel, sky: Sky) -> float:
    """In Wh."""
    return sum(sky.power(panel, second) for second in range(0, DAY, 600)) / 6


@pytest.mark.parametrize(
    ("place", "moment"),
    [
        (AMSTERDAM, datetime(2026, 6, 15, 11, 43, tzinfo=UTC)),
        (AMSTERDAM, datetime(2026, 1, 3, 8, 20, tzinfo=UTC)),
        (Place(latitude=-33.86, longitude=151.21), datetime(2031, 3, 20, 2, 0, tzinfo=UTC)),
        (Place(latitude=69.65, longitude=18.96), datetime(2026, 6, 21, 23, 0, tzinfo=UTC)),
        (Place(latitude=0.0, longitude=-78.5), datetime(2049, 9, 23, 15, 30, tzinfo=UTC)),
        (Place(latitude=37.18, longitude=-3.60), datetime(1999, 8, 11, 18, 5, tzinfo=UTC)),
    ],
)
def test_position_agrees_with_astral(place: Place, moment: datetime) -> None:
    observer = Observer(place.latitude, place.longitude)
    sun = sun_position(place, days_since_j2000(moment))
    assert sun.elevation == pytest.approx(elevation(observer, moment, with_refraction=False), abs=0.03)
    assert sun.azimuth == pytest.approx(azimuth(observer, moment), abs=0.05)


def test_sun_moves_through_the_south_at_noon() -> None:
    sky = clear_sky()
    morning, noon, evening = (sky.sun(hours * 3600) for hours in (6.0, 11.7, 17.0))
    assert morning.azimuth < 120
    assert noon.azimuth == pytest.approx(180, abs=3)
    assert noon.elevation == pytest.approx(90 - 52.37 + 23.44, abs=0.1)
    assert evening.azimuth > 240


def test_clear_sky_at_the_zenith_is_what_its_authors_give() -> None:
    assert direct_irradiance(90.0) == pytest.approx(1353 * 0.7, rel=0.001)
    assert direct_irradiance(30.0) == pytest.approx(1353 * 0.7 ** (2**0.678), rel=0.01)
    assert direct_irradiance(-0.1) == 0.0


def test_flat_panel_gets_what_a_clear_summer_day_has() -> None:
    # About 8 kWh/m² fall on flat ground there on a clear day at midsummer.
    energy = energy_of_a_day(Panel(peak_power=1000), clear_sky())
    assert 7500 < energy / PANEL_YIELD < 9000


def test_tilt_and_azimuth_matter() -> None:
    sky = clear_sky(start=MIDWINTER)
    flat, south, north = (
        energy_of_a_day(panel, sky)
        for panel in (
            Panel(peak_power=100),
            Panel(peak_power=100, tilt=60),
            Panel(peak_power=100, tilt=60, azimuth=0),
        )
    )
    assert south > 3 * flat
    assert north < flat


def test_east_panel_has_its_best_hour_in_the_morning() -> None:
    sky, panel = clear_sky(), Panel(peak_power=100, tilt=60, azimuth=90)
    best = max(range(0, DAY, 600), key=lambda second: sky.power(panel, second))
    assert best < 9 * 3600


def test_overcast_sky_lets_a_quarter_through() -> None:
    assert cloud_transmission(0.0) == 1.0
    assert cloud_transmission(1.0) == pytest.approx(0.25)
    sun = SunPosition(50.0, 180.0)
    assert Panel(peak_power=100).power(sun, 1.0) == pytest.approx(Panel(peak_power=100).power(sun, 0.0) / 4)


@given(
    latitude=st.floats(-90, 90),
    tilt=st.floats(0, 90),
    panel_azimuth=st.floats(0, 360),
    mean=st.floats(0, 1),
    elapsed=st.floats(0, 3e7),
)
def test_power_is_never_negative_nor_beyond_the_sun(
    latitude: float, tilt: float, panel_azimuth: float, mean: float, elapsed: float
) -> None:
    sky = Sky(place=Place(latitude=latitude, longitude=0), start=MIDSUMMER, clouds=Clouds(mean=mean, seed="1"))
    power = sky.power(Panel(peak_power=100, tilt=tilt, azimuth=panel_azimuth), elapsed)
    assert 0.0 <= power < 100
    if sky.sun(elapsed).elevation < 0:
        assert power == 0.0


def test_clouds_follow_their_seed() -> None:
    times = range(0, DAY, 60)
    one, again, other = ([Clouds(mean=0.5, seed=seed).cover(second) for second in times] for seed in ("1", "1", "2"))
    assert one == again
    assert one != other


def test_clouds_do_not_depend_on_the_order_in_which_they_are_looked_at() -> None:
    clouds = Clouds(mean=0.5, seed="1")
    forwards = [clouds.cover(second) for second in range(0, DAY, 60)]
    backwards = [clouds.cover(second) for second in range(DAY - 60, -1, -60)]
    assert backwards == forwards[::-1]


def test_clouds_come_and_go_without_jumps() -> None:
    covers = [Clouds(mean=0.5, seed="1").cover(second) for second in range(0, 7 * DAY, 60)]
    assert max(abs(after - before) for before, after in pairwise(covers)) < 0.2
    assert min(covers) < 0.2
    assert max(covers) > 0.8
    assert sum(covers) / len(covers) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_sky_can_be_always_clear_or_always_covered(mean: float) -> None:
    clouds = Clouds(mean=mean, seed="1")
    assert {clouds.cover(second) for second in range(0, DAY, 60)} == {mean}


def test_time_zone_of_the_start_does_not_matter() -> None:
    panel = Panel(peak_power=100)
    local = MIDSUMMER.astimezone(tz=None)
    assert clear_sky(start=local).power(panel, 30000) == clear_sky().power(panel, 30000)
    assert clear_sky(start=MIDSUMMER + timedelta(hours=1)).power(panel, 26400) == pytest.approx(
        clear_sky().power(panel, 30000)
    )
