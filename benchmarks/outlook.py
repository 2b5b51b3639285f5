"""How well the outlook foretells the night, the use and the draw: python -m benchmarks.outlook [--plots]."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean, quantiles
import sys
from types import SimpleNamespace
from typing import Final, cast

from homeassistant.core import HomeAssistant

from benchmarks.cabins import (
    FLOOR,
    LATITUDE,
    LONGITUDE,
    QUIET_CAPACITY,
    cabin,
    capacity_of,
    left_alone,
    recorded,
)
from benchmarks.months import DAYS, SEEDS, Hour, live
from benchmarks.plots import Line, Plot, picture
from custom_components.smallbms_ng.outlook import nights_before
from custom_components.smallbms_ng.protocol.outlook import (
    AFTER_SUNRISE,
    Battery,
    History,
    HourRecord,
    LastsTheNight,
    Night,
    Outlook,
    outlook,
)

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"

_HOUR: Final = 3600
_HOURS_PER_DAY: Final = 24
_MINUTES_PER_HOUR: Final = 60
_MILLIAMPERES: Final = 1000  # of an A
_FULL: Final = 100.0
_ASKED_AT: Final = 21
# As many hours as the integration reads.
_READ_BACK: Final = 16 * _HOURS_PER_DAY
_SHUTDOWNS_BACK: Final = 10 * _HOURS_PER_DAY


# Evenings in cabins


@dataclass(frozen=True, kw_only=True)
class Evening:
    """What was foretold at 21:00, and what came: the lowest state of charge in %, and whether the loads were cut off.

    by_time_to_go: the lowest state of charge if what flows at 21:00 flowed all night. used: the Ah of the last day.
    """

    told: Outlook
    by_time_to_go: float
    lowest: float
    cut_off: bool
    used: float

    @property
    def lasted(self) -> bool:
        """Whether the battery lasted the night."""
        return self.lowest > FLOOR and not self.cut_off


def evenings(seed: int, days: int) -> list[Evening]:
    """Let a cabin live, and ask every evening on which its loads are on."""
    hours = list(live(cabin(seed), seed, days=days))
    records = list(recorded(hours))
    asked = range(_HOURS_PER_DAY, len(hours) - _HOURS_PER_DAY)
    return [
        _evening(hours, records, number, capacity_of(seed))
        for number in asked
        if hours[number].start.hour == _ASKED_AT - 1 and hours[number].allowed_to_discharge
    ]


def _evening(hours: Sequence[Hour], records: Sequence[HourRecord], number: int, capacity: float) -> Evening:
    """Return what is foretold at the end of an hour, and what comes."""
    last = hours[number]
    now, known = last.start + timedelta(hours=1), records[max(0, number - _READ_BACK) : number]
    battery = Battery(
        state_of_charge=last.last_state_of_charge or 0.0,
        capacity=capacity,
        discharge_floor=max([FLOOR, *_shutdowns(hours[max(0, number - _SHUTDOWNS_BACK) : number + 1])]),
    )
    (tonight,) = islice(nights_before(_where(), now + timedelta(days=1)), 1)
    to_come = records[number : number + _HOURS_PER_DAY]
    end = _end(to_come, tonight)
    night = [hour for hour in hours[number + 1 :][:_HOURS_PER_DAY] if hour.start.timestamp() + _HOUR / 2 < end]
    return Evening(
        told=outlook(History(known, capacity), battery, nights_before(_where(), now), now.timestamp()),
        by_time_to_go=_by_time_to_go(last, (tonight.sunrise + AFTER_SUNRISE - now.timestamp()) / _HOUR),
        lowest=min([battery.state_of_charge, *(hour.last_state_of_charge or 0.0 for hour in night)]),
        cut_off=not all(hour.allowed_to_discharge for hour in night),
        used=last.drawn_ah - hours[number - _HOURS_PER_DAY].drawn_ah,
    )


def _shutdowns(hours: Sequence[Hour]) -> Iterator[float]:
    """Yield the states of charge at which the loads were cut off."""
    for before, hour in pairwise(hours):
        if before.allowed_to_discharge and not hour.allowed_to_discharge and hour.last_state_of_charge is not None:
            yield hour.last_state_of_charge


def _where() -> HomeAssistant:
    """Return so much of a Home Assistant as tells where the sun rises."""
    config = SimpleNamespace(latitude=LATITUDE, longitude=LONGITUDE, elevation=0)
    return cast("HomeAssistant", SimpleNamespace(config=config))


def _end(to_come: Iterable[HourRecord], night: Night) -> float:
    """Return when more is charged than drawn in the morning; two hours after sunrise, if that is not so by midday."""
    for record in to_come:
        is_morning = record.start + _HOUR > night.sunrise and record.start < night.midday
        if is_morning and (record.charged or 0.0) > (record.discharged or 0.0):
            return record.start
    return night.sunrise + AFTER_SUNRISE


def _by_time_to_go(last: Hour, hours: float) -> float:
    """Return the state of charge after some hours if the current of now goes on, as the time to go has it."""
    charge = last.last_state_of_charge or 0.0
    if not last.time_to_go:
        return charge
    an_hour = (charge - FLOOR) / (last.time_to_go / _MINUTES_PER_HOUR)
    return max(charge - an_hour * hours, 0.0)


# Banks that are left alone


@dataclass(frozen=True, kw_only=True)
class Absence:
    """A constant current in A, what was told of it, and the days that were left after it was told."""

    current: float
    quiet_draw: float
    days_told: float
    days_left: float

    @property
    def allowed(self) -> float:
        """By how many A the quiet draw may be off."""
        return max(_QUIET_DRAW / _MILLIAMPERES, _QUIET_DRAW_SHARE * self.current)


# From little to what empties the bank within days, in A.
_CURRENTS: Final = (0.005, 0.008, 0.012, 0.018, 0.025, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.4, 0.8, 1.5)
_TOLD_AFTER: Final = 49  # h: the first hour is not known


def absences() -> Iterator[Absence]:
    """Leave banks alone, ask after two days, and see how long they last."""
    for seed, current in enumerate(_CURRENTS):
        hours = list(live(left_alone(current), seed, days=3))[:_TOLD_AFTER]
        last = hours[-1]
        battery = Battery(
            state_of_charge=last.last_state_of_charge or 0.0, capacity=QUIET_CAPACITY, discharge_floor=FLOOR
        )
        now = last.start.timestamp() + _HOUR
        told = outlook(History(recorded(hours), QUIET_CAPACITY), battery, (), now)
        drawn = (last.drawn_ah - hours[0].drawn_ah) / (len(hours) - 1)
        yield Absence(
            current=drawn,
            quiet_draw=told.quiet_draw or 0.0,
            days_told=told.days_left or 0.0,
            days_left=battery.usable / drawn / _HOURS_PER_DAY,
        )


# Figures

# What they are to be, in %.
_MEAN_ERROR: Final = 3.0
_HOLDS: Final = (85.0, 95.0)
_WRONG_YES: Final = 5.0
_DAILY_USE: Final = 3.0
_DAYS_LEFT: Final = 15.0
_TIMES_BETTER: Final = 2.0
# mA, and the share of the draw.
_QUIET_DRAW: Final = 5.0
_QUIET_DRAW_SHARE: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure, and whether it is as good as it should be."""

    name: str
    value: str
    met: bool


def of_nights(found: Sequence[Evening]) -> Iterator[Figure]:
    """Yield the figures of the nights."""
    known = [(evening, night) for evening in found if (night := evening.told.night)]
    error = fmean(abs(night.expected - evening.lowest) for evening, night in known)
    yield at_most("mean error of the lowest state of charge", error, _MEAN_ERROR)
    by_time_to_go = fmean(abs(evening.by_time_to_go - evening.lowest) for evening, _ in known)
    yield at_most("that error", error, by_time_to_go / _TIMES_BETTER, "half of that of time to go")
    holds, (low, high) = share(evening.lowest >= night.in_bad_night for evening, night in known), _HOLDS
    name = f"the lowest of the worst of ten holds, in {low:g} to {high:g} % of the nights"
    yield Figure(name=name, value=f"{holds:.1f} %", met=low <= holds <= high)
    wrong = share(not evening.lasted for evening, night in known if night.lasts is LastsTheNight.YES)
    yield at_most("yes, and it did not last", wrong, _WRONG_YES)


def of_use(found: Sequence[Evening]) -> Iterator[Figure]:
    """Yield the figure of the daily use."""
    days = [(evening.told.use, evening.used) for evening in found]
    errors = [abs(told / used - 1) * _FULL for told, used in days if told and used]
    yield at_most("error of the daily use, on 19 of 20 days", quantiles(errors, n=20)[-1], _DAILY_USE)


def of_absences(found: Sequence[Absence]) -> Iterator[Figure]:
    """Yield the figures of the banks that are left alone."""
    worst = max(found, key=lambda one: abs(one.quiet_draw - one.current) / one.allowed)
    off = abs(worst.quiet_draw - worst.current) * _MILLIAMPERES
    name = f"error of the quiet draw, of {worst.current * _MILLIAMPERES:.0f} mA"
    yield at_most(name, off, worst.allowed * _MILLIAMPERES, "5 mA or a tenth", "mA")
    days = max(abs(one.days_told / one.days_left - 1) for one in found) * _FULL
    yield at_most("error of the days left at a constant load", days, _DAYS_LEFT)


def at_most(name: str, value: float, limit: float, why: str = "", unit: str = "%") -> Figure:
    """Return a figure that has to be at most so large."""
    reason = f", {why}" if why else ""
    return Figure(name=f"{name}, at most {limit:.3g} {unit}{reason}", value=f"{value:.2f} {unit}", met=value <= limit)


def share(of: Iterable[bool]) -> float:
    """Return how many of them are true, in %."""
    return fmean(map(float, of)) * _FULL


# What is shown


def show(found: Sequence[Evening], absent: Sequence[Absence]) -> None:
    """Print what was found."""
    answers = [evening.told.night.lasts for evening in found if evening.told.night]
    print(f"{len(found)} evenings, of which {len(answers)} were told an outlook\n")
    print("| answer | evenings | lasted | did not |\n| --- | --: | --: | --: |")
    for lasts in LastsTheNight:
        lasted = [evening.lasted for evening in found if evening.told.night and evening.told.night.lasts is lasts]
        print(f"| {lasts} | {len(lasted)} | {sum(lasted)} | {len(lasted) - sum(lasted)} |")
    print("\n| drawn, mA | told | days left | told |\n| --: | --: | --: | --: |")
    for one in absent:
        told = f"{one.quiet_draw * _MILLIAMPERES:.0f} | {one.days_left:.1f} | {one.days_told:.1f}"
        print(f"| {one.current * _MILLIAMPERES:.1f} | {told} |")
    print()


def judge(figures: Sequence[Figure]) -> bool:
    """Print every figure, and whether it is met; return whether all are."""
    for figure in figures:
        print(f"{'met    ' if figure.met else 'NOT MET'}  {figure.name}: {figure.value}")
    return all(figure.met for figure in figures)


_SHOWN_EVENINGS: Final = 60


def course_of(found: Sequence[Evening]) -> Plot:
    """Draw what was expected over some weeks, and what came."""
    shown = [(evening, evening.told.night) for evening in found]
    known = [(evening, night) for evening, night in shown if night][:_SHOWN_EVENINGS]
    return Plot(
        name="outlook-nights",
        title="The lowest state of charge of each night, and what was told at 21:00",
        x=(0, _SHOWN_EVENINGS, 10),
        y=(0, 100, 20),
        units=("evenings", "%"),
        lines=[
            Line(name="as it came", points=[(x, evening.lowest) for x, (evening, _) in enumerate(known)]),
            Line(name="expected", points=[(x, night.expected) for x, (_, night) in enumerate(known)]),
            Line(name="worst of ten nights", points=[(x, night.in_bad_night) for x, (_, night) in enumerate(known)]),
            Line(name="by time to go", points=[(x, evening.by_time_to_go) for x, (evening, _) in enumerate(known)]),
        ],
    )


def errors_of(found: Sequence[Evening]) -> Plot:
    """Draw in how many of the nights the error is at most so large."""
    known = [(evening, evening.told.night) for evening in found]
    ours = [abs(night.expected - evening.lowest) for evening, night in known if night]
    others = [abs(evening.by_time_to_go - evening.lowest) for evening, night in known if night]
    within = range(31)
    return Plot(
        name="outlook-errors",
        title="How many nights end within so much of what was told at 21:00",
        x=(0, 30, 5),
        y=(0, 100, 20),
        units=("% of state of charge", "%"),
        lines=[
            Line(name=name, points=[(limit, share(error <= limit for error in errors)) for limit in within])
            for name, errors in (("expected lowest state of charge", ours), ("time to go", others))
        ],
    )


def draw(plots: Iterable[Plot]) -> None:
    """Write the plots for docs/outlook.md."""
    for plot in plots:
        (IMAGES / f"{plot.name}.svg").write_text(picture(plot), encoding="utf-8")


def main() -> int:
    """Live, ask, show and judge."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--plots", action="store_true", help="write the plots of docs/outlook.md")
    options = parser.parse_args()
    of_cabins = [evenings(seed, options.days) for seed in range(options.seeds)]
    found, absent = [evening for one in of_cabins for evening in one], list(absences())
    show(found, absent)
    if options.plots:
        draw([course_of(of_cabins[0]), errors_of(found)])
    return 0 if judge([*of_nights(found), *of_use(found), *of_absences(absent)]) else 1


if __name__ == "__main__":
    sys.exit(main())
