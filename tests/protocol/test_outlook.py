"""What the past hours tell about the coming ones, on hours as Home Assistant records them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import floor
from typing import Final

import pytest

from custom_components.smallbms_ng.protocol.outlook import (
    LONGEST_GAP,
    Battery,
    History,
    HourRecord,
    LastsTheNight,
    Night,
    Outlook,
    Range,
    night_course,
    outlook,
)

HOUR: Final = 3600
DAY: Final = 24 * HOUR
VOLTAGE: Final = 13.0
# A midnight.
NOW: Final = 20_000 * DAY
BATTERY: Final = Battery(state_of_charge=60.0, capacity=100.0, discharge_floor=10.0)


def stepped(value: float) -> float:
    """Return a value in the steps of the record."""
    return floor(value * 10 + 0.5) / 10


def records(
    current: Callable[[int], float], hours: int, *, consumed: float | None = -20.0, until: int = NOW
) -> list[HourRecord]:
    """Return hours of a current in A, as the BMS tells it: in steps of 0.1 A, and consumed Ah in steps of 0.1 Ah."""
    return list(_records(current, range(until - hours * HOUR, until, HOUR), consumed))


def _records(current: Callable[[int], float], starts: range, consumed: float | None) -> Iterator[HourRecord]:
    for start in starts:
        flows = current(start)
        shown = stepped(flows)
        seen = None
        if consumed is not None:
            course = [stepped(consumed + flows * minute / 60) for minute in range(61)]
            seen = Range(low=min(course), high=max(course), mean=sum(course) / len(course))
            consumed = min(consumed + flows, 0.0)
        yield HourRecord(
            start=start,
            charged=max(shown, 0.0) * VOLTAGE,
            discharged=max(-shown, 0.0) * VOLTAGE,
            voltage=VOLTAGE,
            consumed=seen,
        )


def constant(current: float) -> Callable[[int], float]:
    return lambda _start: current


def sunny(start: int) -> float:
    """Return 10 A from 8:00 to 14:00, and a load of 2 A at all other times."""
    return 10.0 if 8 <= start % DAY // HOUR < 14 else -2.0


def test_use_is_what_was_drawn_whatever_was_charged() -> None:
    assert History(records(sunny, 48)).use() == pytest.approx(18 * 2.0)


@pytest.mark.parametrize("load", [0.02, 0.04, 0.26, 3.14])
def test_use_counts_what_the_steps_of_the_current_hide(load: float) -> None:
    assert History(records(constant(-load), 48)).use() == pytest.approx(24 * load, abs=0.11)


def test_without_consumed_ah_use_is_as_good_as_the_current() -> None:
    history = History(records(constant(-2.04), 48, consumed=None))
    assert history.use() == pytest.approx(48.0)
    assert history.quiet_draw() is None


def test_consumed_ah_that_were_set_anew_are_not_use() -> None:
    """Of that hour nothing is known."""
    found = records(constant(-2.0), 48)
    assert found[-5].consumed
    found[-5] = replace(found[-5], consumed=replace(found[-5].consumed, high=0.0))
    history = History(found)
    assert history.at(NOW - 5 * HOUR) is None
    assert history.use() == pytest.approx(48.0)


def test_where_consumed_ah_are_counted_in_another_way_the_energy_counts() -> None:
    found = [
        replace(one, consumed=replace(one.consumed, low=one.consumed.high - 2.7))
        for one in records(constant(-2.0), 48)
        if one.consumed
    ]
    assert History(found).use() == pytest.approx(48.0)


@pytest.mark.parametrize(("hours", "known"), [(18, False), (19, True), (60, True)])
def test_a_day_takes_18_hours(hours: int, known: bool) -> None:
    """The first hour that was recorded counts since nobody knows when."""
    use = History(records(constant(-2.0), hours)).use()
    assert (use == pytest.approx(48.0)) if known else use is None


def test_the_median_day_leaves_out_the_guests_of_one_day() -> None:
    def guests(start: int) -> float:
        return -9.0 if NOW - 4 * DAY <= start < NOW - 3 * DAY else -2.0

    assert History(records(guests, 8 * 24)).median_day() == pytest.approx(48.0)


@pytest.mark.parametrize(("days", "known"), [(2, False), (3, True)])
def test_the_median_takes_three_days(days: int, known: bool) -> None:
    assert (History(records(constant(-2.0), days * 24)).median_day() is not None) is known


# The quiet draw


@pytest.mark.parametrize("milliamperes", [0, 5, 12, 20, 37, 50, 110, 200, 950])
def test_quiet_draw_is_finer_than_the_steps_of_the_current(milliamperes: int) -> None:
    drawn = History(records(constant(-milliamperes / 1000), 49)).quiet_draw()
    assert drawn is not None
    assert drawn * 1000 == pytest.approx(milliamperes, rel=0.1, abs=5)


def test_quiet_draw_is_not_that_of_a_kettle() -> None:
    kettle = NOW - 20 * HOUR
    drawn = History(records(lambda start: -8.0 if start == kettle else -0.05, 73)).quiet_draw()
    assert drawn == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(("hours", "known"), [(24, True), (23, False)])
def test_quiet_draw_takes_a_day_without_charging(hours: int, known: bool) -> None:
    charged = NOW - (hours + 1) * HOUR
    found = records(lambda start: 5.0 if start <= charged else -0.05, 72, consumed=-200.0)
    assert (History(found).quiet_draw() is not None) is known


@pytest.mark.parametrize("jump", [20.0, 0.5, -5.0])
def test_quiet_draw_begins_anew_when_the_state_of_charge_is_set(jump: float) -> None:
    """As it is unknown for a day, it never mixes what was counted before with what was counted after."""

    def with_jump(hours_ago: int) -> float | None:
        before = records(constant(-0.05), 48, until=NOW - hours_ago * HOUR)
        after = records(constant(-0.05), hours_ago, consumed=-22.4 + jump)
        return History([*before, *after]).quiet_draw()

    assert with_jump(20) is None
    assert with_jump(30) == pytest.approx(0.05, abs=0.005)


# Records that are missing, or cannot be true


def test_what_was_counted_over_a_short_gap_is_shared_out() -> None:
    found = records(constant(-2.0), 48, consumed=None)
    gap = slice(-10, -10 + LONGEST_GAP)
    after = -10 + LONGEST_GAP
    found[after] = replace(found[after], discharged=(LONGEST_GAP + 1) * 2.0 * VOLTAGE)
    del found[gap]
    history = History(found)
    assert history.use() == pytest.approx(48.0)
    between = history.at(NOW - 10 * HOUR)
    assert between
    assert between.drawn == pytest.approx(2.0)


def test_of_a_long_gap_nothing_is_known() -> None:
    found = records(constant(-2.0), 48)
    del found[-12 : -12 + LONGEST_GAP + 1]
    history = History(found)
    assert history.at(NOW - 12 * HOUR) is None
    assert history.at(NOW - (12 - LONGEST_GAP - 1) * HOUR) is None
    assert history.use() == pytest.approx(48.0)


@pytest.mark.parametrize("wrong", [-500.0, 1_000_000.0, None])
def test_what_cannot_be_true_is_left_out_with_what_follows_it(wrong: float | None) -> None:
    """A sum that was mended by hand, or one from a clock that was wrong, also makes the next change wrong."""
    found = records(constant(-2.0), 48)
    found[-6] = replace(found[-6], discharged=wrong)
    found[-5] = replace(found[-5], discharged=900.0)
    history = History(found, capacity=100.0)
    assert history.at(NOW - 6 * HOUR) is history.at(NOW - 5 * HOUR) is None
    assert history.use() == pytest.approx(48.0)


@pytest.mark.parametrize("late", [-HOUR - 1, LONGEST_GAP * HOUR + 1])
def test_hours_long_past_and_still_to_come_tell_nothing(late: int) -> None:
    assert outlook(History(records(constant(-2.0), 48)), BATTERY, (), NOW + late) == Outlook()


def test_nothing_is_known_of_nothing() -> None:
    assert outlook(History(), BATTERY, (), NOW) == Outlook()


# Days left


def test_days_left() -> None:
    """Of 50 Ah above the floor, 24 Ah a day."""
    found = outlook(History(records(constant(-1.0), 48)), BATTERY, (), NOW)
    assert found.days_left == pytest.approx(50 / 24, rel=0.02)


def test_days_left_of_who_charges_are_those_without_charging() -> None:
    found = outlook(History(records(sunny, 48)), BATTERY, (), NOW)
    assert found.days_left == pytest.approx(50 / 36, rel=0.02)


def test_days_left_are_unknown_while_nothing_is_drawn() -> None:
    found = outlook(History(records(constant(0.0), 48)), BATTERY, (), NOW)
    assert (found.use, found.quiet_draw, found.days_left) == (0.0, 0.0, None)


def test_none_are_left_below_the_floor() -> None:
    battery = replace(BATTERY, state_of_charge=8.0)
    assert outlook(History(records(constant(-1.0), 48)), battery, (), NOW).days_left == 0.0


def test_without_state_of_charge_or_capacity_only_use_is_known() -> None:
    found = outlook(History(records(constant(-1.0), 48)), None, nights(14), NOW)
    assert found.use == pytest.approx(24.0)
    assert (found.days_left, found.night) == (None, None)


# The night


def nights(number: int, begin: float = 21.0, sunrise: float = 6.5) -> list[Night]:
    """Return nights up to the last midnight, from a time of day on."""
    midnights = [NOW - ago * DAY for ago in range(1, number + 1)]
    return [
        Night(
            begin=midnight - DAY + begin * HOUR,
            sunset=midnight - 4 * HOUR,
            sunrise=midnight + sunrise * HOUR,
            midday=midnight + 13 * HOUR,
        )
        for midnight in midnights
    ]


def loads(start: int) -> float:
    """Return 10 A of sun from 8:00 to 14:00, 3 A in the evening, 1 A at all other times."""
    hour = start % DAY // HOUR
    return 10.0 if 8 <= hour < 14 else -3.0 if 18 <= hour < 23 else -1.0


def course(current: Callable[[int], float], **of_night: float) -> Sequence[float] | None:
    return night_course(History(records(current, 72, consumed=None)), nights(1, **of_night)[0])


def test_a_night_lasts_until_something_charges() -> None:
    found = course(loads)
    assert found == pytest.approx([3.0, 3.0, *[1.0] * 9])


def test_a_night_begins_at_the_present_minute() -> None:
    found = course(loads, begin=21.75)
    assert found is not None
    assert found[0] == pytest.approx(0.75)


def test_a_night_without_a_morning_ends_two_hours_after_sunrise() -> None:
    found = course(constant(-1.0))
    assert found is not None
    assert sum(found) == pytest.approx(3 + 6.5 + 2)


def test_a_night_that_is_over_draws_nothing() -> None:
    assert course(loads, begin=24 + 8.5) == []


def test_a_day_and_a_night() -> None:
    """From 10:00 on, what is charged by day counts up to a full battery."""
    found = course(loads, begin=10.0)
    assert found is not None
    assert sum(found) == pytest.approx(-40 + 4 + 15 + 9)
    assert BATTERY.lowest(found) == pytest.approx(60.0)
    assert replace(BATTERY, state_of_charge=95.0).lowest(found) == pytest.approx(72.0)


@pytest.mark.parametrize(("hour", "counts"), [(20, False), (3, False), (6, True), (19, True)])
def test_a_night_in_which_something_charged_in_the_dark_is_left_out(hour: int, counts: bool) -> None:
    """The hours of sunrise and sunset are no dark ones: sunset is at 20:00, sunrise at 6:30."""
    found = course(lambda start: 10.0 if start % DAY // HOUR == hour else -1.0, begin=19.0)
    assert (found is not None) is counts


def test_a_night_of_which_an_hour_is_missing_is_left_out() -> None:
    found = records(loads, 72)
    del found[-24:-19]
    assert night_course(History(found), nights(1)[0]) is None


@pytest.mark.parametrize(
    ("state_of_charge", "lasts", "expected"),
    [(60.0, LastsTheNight.YES, 45.0), (28.0, LastsTheNight.MAYBE, 13.0), (24.0, LastsTheNight.NO, 9.0)],
)
def test_lasts_the_night(state_of_charge: float, lasts: LastsTheNight, expected: float) -> None:
    """15 Ah are drawn in a usual night, and 21 Ah in each fifth one."""

    def guests(start: int) -> float:
        return loads(start) - (3.0 if start // DAY % 5 == 0 and 21 <= start % DAY // HOUR < 23 else 0.0)

    found = outlook(
        History(records(guests, 16 * 24, consumed=None)),
        replace(BATTERY, state_of_charge=state_of_charge),
        nights(14),
        NOW,
    ).night
    assert found
    assert (found.nights, found.lasts) == (14, lasts)
    assert found.expected == pytest.approx(expected)
    assert found.in_bad_night == pytest.approx(state_of_charge - 21)


@pytest.mark.parametrize(("number", "known"), [(4, False), (5, True)])
def test_five_nights_are_needed(number: int, known: bool) -> None:
    found = outlook(History(records(loads, 16 * 24, consumed=None)), BATTERY, nights(number), NOW)
    assert (found.night is not None) is known


def test_less_than_nothing_is_never_expected() -> None:
    battery = replace(BATTERY, state_of_charge=5.0)
    found = outlook(History(records(loads, 16 * 24, consumed=None)), battery, nights(14), NOW).night
    assert found
    assert (found.expected, found.in_bad_night) == (0.0, 0.0)
