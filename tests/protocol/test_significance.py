"""Which changes are written at once, and what is written once a minute."""

from collections.abc import Iterable
from random import Random

import pytest

from custom_components.smallbms_ng.protocol.quantities import power_of
from custom_components.smallbms_ng.protocol.significance import MINUTE, Mean, SignificantChanges

USUAL, EVERY_SECOND = 5, 1


def begun(interval: float = USUAL, /, **values: object) -> SignificantChanges:
    """Return the policy after all values were written at 0."""
    changes = SignificantChanges(interval)
    assert changes.choose(values, 0, heard_at=0, everything=True) == values.keys()
    return changes


def written(changes: SignificantChanges, at: float, **values: object) -> dict[str, object]:
    """Return what is written of values at a time."""
    changed = changes.choose({**changes.written, **values}, at, heard_at=at)
    return {name: changes.written[name] for name in changed}


@pytest.mark.parametrize(
    ("name", "before", "small", "large"),
    [
        ("voltage", 13.28, 13.33, 13.34),
        ("current", -4.0, -4.5, -4.6),
        ("current", 100.0, 102.0, 102.1),
        ("state_of_charge", 76.5, 76.0, 75.9),
        ("consumed_amphours", -23.5, -24.0, -24.1),
        ("remaining_amphours", 76.5, 76.0, 75.9),
        ("temperature", 21, 20, 19),
        ("time_to_go", 600, 630, 631),
        ("time_to_full", 100, 95, 94),
        ("energy_charged", 1000, 1100, 1101),
    ],
)
def test_a_value_is_written_when_it_moved_by_more_than_its_threshold(
    name: str, before: float, small: float, large: float
) -> None:
    changes = begun(**{name: before})
    assert not changes.is_significant({name: small}, 5)
    assert written(changes, 5, **{name: small}) == {}
    assert changes.is_significant({name: large}, 10)
    assert written(changes, 10, **{name: large}) == {name: large}
    assert not changes.is_significant({name: large}, 15)


def test_a_single_record_may_be_noise() -> None:
    changes = begun(current=4.0)
    assert not changes.is_significant({"current": 4.0}, 1)
    assert not changes.is_significant({"current": 9.0}, 2)
    assert not changes.is_significant({"current": 4.0}, 3)
    assert not changes.is_significant({"current": 9.0}, 4)
    assert changes.is_significant({"current": 9.1}, 5)


def test_where_little_is_heard_a_single_record_is_enough() -> None:
    changes = begun(current=4.0)
    assert not changes.is_significant({"current": 4.0}, 1)
    assert changes.is_significant({"current": 9.0}, 1 + USUAL)


def test_slow_moves_add_up() -> None:
    changes = begun(voltage=13.20)
    assert [written(changes, step, voltage=13.20 + step / 100) for step in range(1, 7)] == [{}] * 5 + [
        {"voltage": 13.26}
    ]


@pytest.mark.parametrize(
    ("name", "before", "now"),
    [("charging", False, True), ("low_soc", "ok", "warning"), ("capacity", 200.0, 201.0), ("charge_source", "a", "b")],
)
def test_what_has_no_threshold_is_always_significant(name: str, before: object, now: object) -> None:
    changes = begun(**{name: before})
    assert changes.is_significant({name: now}, 5)
    assert written(changes, 5, **{name: now}) == {name: now}


@pytest.mark.parametrize(("before", "now"), [(13.28, None), (None, 13.28)])
def test_becoming_known_or_unknown_is_significant(before: float | None, now: float | None) -> None:
    changes = begun(voltage=before)
    assert changes.is_significant({"voltage": now}, 5)
    assert written(changes, 5, voltage=now) == {"voltage": now}


def test_once_a_minute_everything_that_changed_is_written() -> None:
    changes = begun(voltage=13.28, temperature=21, state_of_charge=50.0)
    assert written(changes, MINUTE - 1, voltage=13.29, temperature=22) == {}
    assert not changes.is_minute_over(MINUTE - 1)
    assert changes.is_minute_over(MINUTE)
    assert written(changes, MINUTE, voltage=13.29, temperature=22) == {"voltage": 13.29, "temperature": 22}
    assert not changes.is_minute_over(2 * MINUTE - 1)


def test_a_long_update_interval_takes_the_place_of_the_minute() -> None:
    changes = begun(300, voltage=13.28)
    assert not changes.is_minute_over(299)
    assert changes.is_minute_over(300)


def test_the_minute_begins_with_what_was_heard() -> None:
    """The look at it came 30 s late."""
    changes = begun(voltage=13.28)
    changes.choose({"voltage": 13.28}, MINUTE + 30, heard_at=MINUTE)
    assert changes.is_minute_over(2 * MINUTE)


@pytest.mark.parametrize(("interval", "small", "large"), [(3, 0.02, 0.03), (5, 0.05, 0.06), (300, 0.05, 0.06)])
def test_the_thresholds_follow_the_update_interval(interval: float, small: float, large: float) -> None:
    changes = begun(interval, voltage=13.0)
    assert not changes.is_significant({"voltage": 13.0 + small}, 0)
    assert changes.is_significant({"voltage": 13.0 + large}, interval)


def test_at_one_second_everything_is_written_as_it_comes() -> None:
    changes = begun(EVERY_SECOND, voltage=13.28, current=-4.0, power=-53.1)
    for second in range(1, 200):
        now = {"voltage": 13.28 + second % 2 / 100, "current": -4.0 - second % 3 / 10}
        power = power_of(now["voltage"], now["current"])
        changes.take({**now, "power": power}, second)
        written(changes, second, **now, power=power)
        assert changes.written == {**now, "power": power}


def test_power_is_written_with_the_current() -> None:
    changes = begun(voltage=52.0, current=4.0, power=208.0)
    assert written(changes, 5, voltage=52.04, current=4.5, power=234.2) == {}
    assert written(changes, 5, voltage=52.04, current=4.6, power=239.4) == {"current": 4.6, "power": 239.4}


def test_power_that_becomes_unknown_does_not_wait() -> None:
    changes = begun(voltage=52.0, current=4.0, power=208.0)
    assert written(changes, 5, voltage=None, power=None) == {"voltage": None, "power": None}


def test_after_a_minute_the_mean_is_written() -> None:
    changes = begun(current=-4.0, power=-52.0)
    for second in range(int(MINUTE) + 1):
        changes.take({"current": -4.4 if second >= 30 else -4.0, "power": -57.2 if second >= 30 else -52.0}, second)
    assert written(changes, MINUTE, current=-4.4, power=-57.2) == {"current": -4.2, "power": -54.6}


def test_what_has_just_moved_is_written_as_it_is() -> None:
    """The minute ends within the update interval after a step."""
    changes = begun(current=-4.0, power=-52.0)
    for second in range(int(MINUTE) + 1):
        changes.take({"current": -9.0 if second >= 58 else -4.0, "power": None}, second)
    assert written(changes, MINUTE, current=-9.0, power=-117.0) == {"current": -9.0, "power": -117.0}


def test_a_mean_is_never_minus_zero() -> None:
    changes = begun(current=0.1, power=1.3)
    for second in range(int(MINUTE) + 1):
        changes.take({"current": -0.1 if second % 2 else 0.08, "power": -0.01}, second)
    written(changes, MINUTE, current=-0.1, power=-1.3)
    assert str(changes.written) == "{'current': 0.0, 'power': 0.0}"


def test_with_a_long_interval_only_means_are_written() -> None:
    changes = begun(300, current=0.0, power=0.0)
    for second in range(301):
        changes.take({"current": 10.0 if second >= 150 else 0.0, "power": None}, second)
    assert written(changes, 300, current=10.0) == {"current": 5.0}


def test_what_is_unknown_has_no_mean() -> None:
    changes = begun(current=4.0, power=52.0)
    changes.take({"current": 4.0, "power": 52.0}, 1)
    assert written(changes, MINUTE, current=None, power=None) == {"current": None, "power": None}


def test_what_is_not_known_any_more_is_noticed() -> None:
    changes = begun(voltage=13.28, current=None)
    assert not changes.has_lost({"voltage": 13.3, "current": 1.0})
    assert changes.has_lost({"voltage": None, "current": 1.0})


def test_a_mean_follows_time_and_not_the_number_of_samples() -> None:
    mean = Mean()
    for value, at in ((2.0, 0), (2.0, 50), (4.0, 50), (4.0, 51), (4.0, 52), (4.0, 60)):
        mean.take(value, at)
    assert mean.value == pytest.approx((50 * 2 + 10 * 4) / 60)
    mean.restart()
    assert mean.value == 4.0


def test_a_mean_of_nothing_is_unknown() -> None:
    mean = Mean()
    mean.take(4.0, 0)
    mean.take(None, 1)
    assert mean.value is None


def loads(random: Random) -> Iterable[float]:
    """Yield the current of a day, once a second: sun behind clouds, a refrigerator, and noise."""
    cover = 1.0
    for second in range(86_400):
        if not second % 20:
            cover = min(1.0, max(0.2, cover + random.uniform(-0.3, 0.3)))
        sun = max(0.0, 1 - abs(second - 43_200) / 25_000) * 30 * cover
        refrigerator = 5.0 if second % 2400 < 840 else 0.2
        yield round(sun - refrigerator + random.gauss(0, 0.2), 1)


@pytest.mark.parametrize(("interval", "error"), [(1, 0), (5, 0.01), (60, 0.02), (300, 0.05)])
def test_the_energy_of_what_is_written_is_right(interval: int, error: float) -> None:
    """Whoever holds each value until the next is written finds the energy of the day, in and out.

    With an interval of five minutes, what flows both ways within it is missing from both.
    """
    random = Random(interval)
    changes = SignificantChanges(interval)
    true, seen, shown, last = [0.0, 0.0], [0.0, 0.0], 0.0, -300.0
    writes = 0
    for second, current in enumerate(loads(random)):
        known = {"voltage": 13.0, "current": current, "power": power_of(13.0, current)}
        changes.take(known, second)
        is_due = changes.is_minute_over(second) or changes.is_significant(known, second)
        if second - last >= interval and is_due and changes.choose(known, second, heard_at=second):
            last, writes = second, writes + 1
        shown = float(str(changes.written["power"]))
        for energies, power in ((true, round(13.0 * current, 1)), (seen, shown)):
            energies[power > 0] += abs(power)
    assert seen == pytest.approx(true, rel=error or 1e-6)
    assert seen[1] - seen[0] == pytest.approx(true[1] - true[0], rel=error / 2 or 1e-6)
    assert writes <= 86_400 / interval
