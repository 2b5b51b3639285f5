"""Where the demo's Home Assistant is at home: where the sun goes today as it goes in the scenario, at its date.

The emulated date stays that of the scenario, which may be one in June. To a Home Assistant that counts November, its
solar panels would work in the dark.
"""

from datetime import datetime
from math import atan, degrees, pi, radians, sin, tan
from typing import Final

from emulator.world.sun import Place

from .answers import JsonObject
from .home_assistant import HomeAssistant

_OBLIQUITY: Final = 23.44  # degrees
_DAYS_PER_YEAR: Final = 365.25
_EQUINOX: Final = 80  # the day of the year
# Nearer to a pole there are days without a night. Around the equinoxes nothing else would do: days are then too short.
_FARTHEST: Final = 60.0
_DEGREES_PER_HOUR: Final = 15
_ALL_AROUND: Final = 360
_SECONDS_PER_HOUR: Final = 3600
_LITTLE: Final = 1e-9


def home(place: Place, *, scenario: datetime, now: datetime) -> JsonObject:
    """Return latitude and longitude of the home, for a place of a scenario and a date there; both times are local."""
    # How far the sun is from the south when it rises, as the sunrise equation has it.
    at_sunrise = -tan(radians(place.latitude)) * tan(_declination(scenario))
    latitude = degrees(atan(-at_sunrise / tan(_declination(now))))
    # The emulated clock shows the time of day that the clock here shows.
    later = _offset(now) - _offset(scenario)
    longitude = place.longitude + later * _DEGREES_PER_HOUR
    return {
        "latitude": min(max(latitude, -_FARTHEST), _FARTHEST),
        "longitude": (longitude + _ALL_AROUND / 2) % _ALL_AROUND - _ALL_AROUND / 2,
    }


def _declination(moment: datetime) -> float:
    """Return how far the sun is north of the equator, in rad; never 0, so that there is a latitude."""
    day = moment.timetuple().tm_yday - _EQUINOX
    return radians(_OBLIQUITY) * sin(2 * pi * day / _DAYS_PER_YEAR) or _LITTLE


def _offset(moment: datetime) -> float:
    """Return by how many hours a clock is ahead of UTC."""
    offset = moment.utcoffset()
    return offset.total_seconds() / _SECONDS_PER_HOUR if offset else 0.0


async def settle(hass: HomeAssistant, where: JsonObject) -> None:
    """Tell Home Assistant where it is at home."""
    await hass.command("config/core/update", **where)
