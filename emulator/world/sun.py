"""The sun on a solar panel: where it stands, what a clear sky lets through, and clouds.

Position: J. J. Michalsky, "The Astronomical Almanac's algorithm for approximate solar position (1950-2050)", Solar
Energy 40 (1988) 227. Air mass: F. Kasten and A. T. Young, "Revised optical air mass tables and approximation formula",
Applied Optics 28 (1989) 4735. Clear sky: A. B. Meinel and M. P. Meinel, "Applied Solar Energy" (1976), with a tenth of
the direct light added as light from the sky. Clouds: F. Kasten and G. Czeplak, "Solar and terrestrial radiation
dependent on the amount and type of cloud", Solar Energy 24 (1980) 177.
"""

from datetime import UTC, datetime
from math import asin, atan2, cos, degrees, radians, sin
from typing import Annotated, Final, NamedTuple

from emulator.reading.sections import Section
from emulator.reading.values import number
from emulator.world.noise import Noise
from emulator.world.weather import Weather

J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
SECONDS_PER_DAY: Final = 86400.0
DEGREES_PER_HOUR: Final = 15.0
HOURS_PER_DAY: Final = 24

SOLAR_CONSTANT: Final = 1353.0  # W/m², as Meinel and Meinel have it
STANDARD_IRRADIANCE: Final = 1000.0  # W/m² at which a panel gives its peak power

# Assumed: what is left after dirt, warm cells and cables.
PANEL_YIELD: Final = 0.86

# Assumed: clouds come and go in hours, with gaps of minutes (s, and share of the whole swing).
SLOW_CLOUDS: Final = (3 * 3600.0, 0.6)
FAST_CLOUDS: Final = (600.0, 0.4)


class Place(Section):
    """A place in degrees: north and east are positive."""

    latitude: Annotated[float, number(-90, 90)]
    longitude: Annotated[float, number(-180, 180)]


class SunPosition(NamedTuple):
    """Where the sun is, in degrees: above the horizon, and clockwise from north."""

    elevation: float
    azimuth: float


def sun_position(place: Place, days: float) -> SunPosition:
    """Return where the sun is; days are counted from J2000."""
    declination, right_ascension = _equatorial(days)
    hour_angle = radians(_sidereal_degrees(days) + place.longitude) - right_ascension
    latitude = radians(place.latitude)
    elevation = asin(sin(declination) * sin(latitude) + cos(declination) * cos(latitude) * cos(hour_angle))
    azimuth = atan2(
        -cos(declination) * sin(hour_angle),
        sin(declination) * cos(latitude) - cos(declination) * sin(latitude) * cos(hour_angle),
    )
    return SunPosition(degrees(elevation), degrees(azimuth) % 360)


def days_since_j2000(moment: datetime) -> float:
    """Return the days from J2000 to a moment with a time zone."""
    return (moment - J2000).total_seconds() / SECONDS_PER_DAY


def _equatorial(days: float) -> tuple[float, float]:
    """Return declination and right ascension of the sun in radians."""
    mean_longitude = 280.460 + 0.9856474 * days
    anomaly = radians(357.528 + 0.9856003 * days)
    longitude = radians(mean_longitude + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    obliquity = radians(23.439 - 0.0000004 * days)
    return asin(sin(obliquity) * sin(longitude)), atan2(cos(obliquity) * sin(longitude), cos(longitude))


def _sidereal_degrees(days: float) -> float:
    """Return the mean sidereal time at Greenwich."""
    universal_time = (days + 0.5) % 1 * HOURS_PER_DAY
    return (6.697375 + 0.0657098242 * days + universal_time) % HOURS_PER_DAY * DEGREES_PER_HOUR


def direct_irradiance(elevation: float) -> float:
    """Return the direct light of a clear sky in W/m², on a surface that faces the sun at this elevation in degrees."""
    if elevation <= 0:
        return 0.0
    air_mass = 1 / (sin(radians(elevation)) + 0.50572 * (elevation + 6.07995) ** -1.6364)
    irradiance: float = SOLAR_CONSTANT * 0.7 ** (air_mass**0.678)
    return irradiance


def cloud_transmission(cover: float) -> float:
    """Return the share of the light that a cloud cover (0 to 1) lets through."""
    transmission: float = 1 - 0.75 * cover**3.4
    return transmission


class Panel(Section):
    """A solar panel: peak power in W, tilt from flat and azimuth clockwise from north in degrees."""

    peak_power: Annotated[float, number(0, 1_000_000)]
    tilt: Annotated[float, number(0, 90)] = 0.0
    azimuth: Annotated[float, number(0, 360)] = 180.0

    def power(self, sun: SunPosition, cover: float) -> float:
        """Return the power in W under a cloud cover (0 to 1)."""
        return self.peak_power * PANEL_YIELD * self.irradiance(sun, cover) / STANDARD_IRRADIANCE

    def irradiance(self, sun: SunPosition, cover: float) -> float:
        """Return the light on the panel in W/m². Assumed: clouds weaken light from all sides alike."""
        direct = direct_irradiance(sun.elevation)
        tilt, elevation = radians(self.tilt), radians(sun.elevation)
        towards = cos(radians(sun.azimuth - self.azimuth))
        incidence = sin(elevation) * cos(tilt) + cos(elevation) * sin(tilt) * towards
        sky = 0.1 * direct * (1 + cos(tilt)) / 2
        return (direct * max(incidence, 0.0) + sky) * cloud_transmission(cover)


class Clouds:
    """Clouds that come and go around a mean cover (0 to 1), which may change with the weather.

    The same seed makes the same clouds at every time.
    """

    def __init__(self, *, mean: float, seed: str, weather: Weather | None = None) -> None:
        self._mean = mean
        self._weather = weather
        self._slow = Noise(f"{seed}/slow", SLOW_CLOUDS[0])
        self._fast = Noise(f"{seed}/fast", FAST_CLOUDS[0])

    def cover(self, elapsed: float) -> float:
        """Return the cover (0 to 1) after some seconds."""
        mean = self._mean_at(elapsed)
        swing = min(mean, 1 - mean) * 2  # none where the sky is clear all day, or covered all day
        noise = SLOW_CLOUDS[1] * self._slow.value(elapsed) + FAST_CLOUDS[1] * self._fast.value(elapsed)
        return min(max(mean + swing * noise, 0.0), 1.0)

    def _mean_at(self, elapsed: float) -> float:
        """Return the mean cover (0 to 1) of the weather of these days."""
        if self._weather is None:
            return self._mean
        return min(max(self._mean + self._weather.cloudier(elapsed), 0.0), 1.0)


class Sky:
    """Sun and clouds over a place, from a start on."""

    def __init__(self, *, place: Place, start: datetime, clouds: Clouds) -> None:
        self._place = place
        self._start = days_since_j2000(start)
        self._clouds = clouds

    def sun(self, elapsed: float) -> SunPosition:
        """Return where the sun is some seconds after the start."""
        return sun_position(self._place, self._start + elapsed / SECONDS_PER_DAY)

    def power(self, panel: Panel, elapsed: float) -> float:
        """Return the power in W of a panel some seconds after the start."""
        sun = self.sun(elapsed)
        return panel.power(sun, self._clouds.cover(elapsed)) if sun.elevation > 0 else 0.0
