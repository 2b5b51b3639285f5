"""Energy from power, and from ampere-hours where nothing was heard."""

from dataclasses import asdict, dataclass

from hypothesis import given
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.energy import (
    HIGHEST_MEAN_CURRENT,
    LONGEST_STEP,
    Energy,
    EnergyMeter,
    Sample,
)

HOUR = 3600.0


@dataclass(frozen=True)
class Measured:
    """What the meter takes of a reading."""

    voltage: float | None = 10.0
    current: float | None = 0.0
    consumed_amphours: float | None = None


def counted(*readings: tuple[float, Measured]) -> EnergyMeter:
    """Return a meter that took readings at times in s."""
    meter = EnergyMeter()
    for at, measured in readings:
        meter.take(measured, at)
    return meter


def totals(meter: EnergyMeter) -> tuple[float, float]:
    return meter.energy.charged, meter.energy.discharged


@pytest.mark.parametrize(
    ("begin", "end", "charged", "discharged"),
    [
        (36.0, 36.0, 6.0, 0.0),
        (-36.0, -36.0, 0.0, 6.0),
        (0.0, 36.0, 3.0, 0.0),
        (-36.0, 0.0, 0.0, 3.0),
        (0.0, 0.0, 0.0, 0.0),
        # The line crosses zero halfway, or after a quarter of the time.
        (36.0, -36.0, 1.5, 1.5),
        (-36.0, 36.0, 1.5, 1.5),
        (36.0, -108.0, 0.75, 6.75),
        (-36.0, 108.0, 6.75, 0.75),
    ],
)
def test_the_area_under_a_straight_line(begin: float, end: float, charged: float, discharged: float) -> None:
    """36 A at 10 V for a minute are 6 Wh."""
    meter = counted((0, Measured(current=begin)), (60, Measured(current=end)))
    assert totals(meter) == pytest.approx((charged, discharged))
    assert meter.energy.bridged_time == meter.energy.unknown_time == 0


def test_nothing_is_counted_before_the_second_reading() -> None:
    assert totals(counted((5000, Measured(current=100)))) == (0, 0)


@pytest.mark.parametrize("missing", [Measured(voltage=None, current=100), Measured(current=None)])
def test_a_reading_without_power_is_passed_over(missing: Measured) -> None:
    steady = Measured(current=36)
    assert totals(counted((0, steady), (30, missing), (60, steady))) == pytest.approx((6, 0))


def test_the_longest_step_is_still_measured() -> None:
    steady = Measured(current=36)
    assert counted((0, steady), (LONGEST_STEP, steady)).energy.charged == pytest.approx(360 * LONGEST_STEP / HOUR)


@pytest.mark.parametrize(("moved", "charged", "discharged"), [(5.0, 60.0, 0.0), (-5.0, 0.0, 60.0), (0.0, 0.0, 0.0)])
def test_a_gap_is_bridged_by_the_ampere_hours(moved: float, charged: float, discharged: float) -> None:
    """Whatever the currents at its ends are. The voltage is the mean of both ends."""
    begin = Measured(voltage=13, current=100, consumed_amphours=-20)
    end = Measured(voltage=11, current=-100, consumed_amphours=-20 + moved)
    meter = counted((0, begin), (HOUR, end))
    assert totals(meter) == pytest.approx((charged, discharged))
    assert (meter.energy.bridged_charged, meter.energy.bridged_discharged) == totals(meter)
    assert (meter.energy.bridged_time, meter.energy.unknown_time) == (HOUR, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, None), (-20.0, None), (None, -20.0), (-2 * HIGHEST_MEAN_CURRENT, 0.0), (0.0, -2 * HIGHEST_MEAN_CURRENT)],
)
def test_nothing_is_invented(before: float | None, after: float | None) -> None:
    """Not even when the ampere-hours jump, as they do when the state of charge is set."""
    begin, end = (Measured(current=100, consumed_amphours=consumed) for consumed in (before, after))
    meter = counted((0, begin), (HOUR, end))
    assert totals(meter) == (0, 0)
    assert (meter.energy.bridged_time, meter.energy.unknown_time) == (0, HOUR)


def test_after_a_gap_it_goes_on_measuring() -> None:
    steady = Measured(current=36)
    meter = counted((0, steady), (HOUR, steady), (HOUR + 60, steady))
    assert totals(meter) == pytest.approx((6, 0))


def test_a_latecomer_counts_as_if_it_came_now() -> None:
    """The clocks of two proxies, or their delays, differ."""
    steady = Measured(current=36)
    meter = counted((0, steady), (60, steady), (58, steady), (60, steady), (120, steady))
    assert totals(meter) == pytest.approx((12, 0))


def test_it_goes_on_from_what_was_kept() -> None:
    steady = Measured(current=36)
    first = counted((0, steady), (60, steady))
    second = EnergyMeter(first.energy, first.last)
    second.take(steady, 120)
    assert totals(second) == pytest.approx((12, 0))


def test_whole_watt_hours_are_shown() -> None:
    meter = counted((0, Measured(current=36)), (100, Measured(current=36)))
    assert totals(meter) == pytest.approx((10, 0))
    meter.take(Measured(current=-36), 100)
    meter.take(Measured(current=-36), 119.9)
    assert meter.shown == (10, 1)


MEASURED = st.builds(
    Measured,
    voltage=st.none() | st.floats(5, 75),
    current=st.none() | st.floats(-3276, 3276),
    consumed_amphours=st.none() | st.floats(-15000, 0),
)


@given(st.lists(st.tuples(st.floats(0, 1e6), MEASURED)))
def test_nothing_ever_goes_backwards(readings: list[tuple[float, Measured]]) -> None:
    meter = EnergyMeter()
    before = asdict(meter.energy)
    for at, measured in readings:
        meter.take(measured, at)
        after = asdict(meter.energy)
        assert all(after[name] >= value for name, value in before.items())
        before = after


def test_it_goes_on_from_what_was_counted_before() -> None:
    meter = EnergyMeter()
    meter.go_on_from(charged=150.0)
    meter.go_on_from(discharged=20.0)
    assert meter.shown == (150, 20)


def test_it_goes_on_from_its_own_when_it_has_counted() -> None:
    meter = EnergyMeter(Energy(charged=100.0), Sample(at=0.0, voltage=10.0, current=1.0))
    meter.go_on_from(charged=150.0)
    assert meter.shown == (100, 0)
