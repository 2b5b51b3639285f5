"""How the use of a load differs from one day to the next: by habit, on weekends, and while there are guests.

A moment is in seconds since a Monday 00:00, local time, and a day is the number of days since then.
"""

from math import exp
from random import Random
from typing import Annotated, Final

from emulator.reading.sections import Percent, Section
from emulator.reading.values import number, whole_number
from emulator.world.schedule import DAYS_PER_WEEK, SECONDS_PER_DAY, TOLERANCE

WEEKEND: Final = (5, 6)  # 0 = Monday
ALWAYS: Final = 100.0  # %
LONGEST_STAY: Final = 30  # days

type Use = Annotated[float, number(0, 1000)]  # % of the use on an ordinary day


class GuestsSpec(Section):
    """Guests: how likely they arrive on a day, in %, and how many days they stay at most."""

    chance: Percent
    stay: Annotated[int, whole_number(1, LONGEST_STAY)] = 1


class Guests:
    """When there are guests. The same seed makes the same visits."""

    def __init__(self, spec: GuestsSpec, *, seed: str) -> None:
        self._spec = spec
        self._seed = seed

    def are_there(self, day: int) -> bool:
        """Return whether there are guests on a day."""
        return any(self._stay_from(day - before) > before for before in range(self._spec.stay))

    def _stay_from(self, day: int) -> int:
        """Return for how many days the guests stay that arrive on a day; 0 if none do."""
        random = Random(f"{self._seed}/{day}")
        return random.randint(1, self._spec.stay) if random.uniform(0, 100) < self._spec.chance else 0


class Habits:
    """How much a load is used on a day, 1 = as on an ordinary one. The same seed makes the same days.

    varies: how much a day usually differs from the mean, in %; weekend and guests: the use then, in %.
    """

    def __init__(self, *, varies: float, weekend: float, guests: float, visits: Guests | None, seed: str) -> None:
        self._varies = varies / 100
        self._weekend = weekend / 100
        self._guests = guests / 100
        self._visits = visits
        self._seed = seed
        self._known: tuple[int, float] | None = None

    def use(self, moment: float) -> float:
        """Return the use on the day of a moment."""
        day = day_of(moment)
        if self._known is None or self._known[0] != day:
            self._known = (day, self._use_on(day))
        return self._known[1]

    def until_change(self, moment: float) -> float:
        """Return the seconds until the next day."""
        return (day_of(moment) + 1) * SECONDS_PER_DAY - moment

    def _use_on(self, day: int) -> float:
        weekend = self._weekend if day % DAYS_PER_WEEK in WEEKEND else 1.0
        guests = self._guests if self._visits is not None and self._visits.are_there(day) else 1.0
        return weekend * guests * self._chance(day)

    def _chance(self, day: int) -> float:
        """Return what the day makes of it by chance: never below 0, and 1 on average."""
        spread = Random(f"{self._seed}/{day}").gauss() * self._varies
        return exp(spread - self._varies**2 / 2)


def day_of(moment: float) -> int:
    """Return the number of the day of a moment."""
    return int((moment + TOLERANCE) // SECONDS_PER_DAY)
