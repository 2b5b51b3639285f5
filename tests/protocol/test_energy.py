"""Energy from power, and from ampere-hours where nothing was heard."""

from dataclasses import asdict
from math import inf

from hypothesis import given
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.energy import (
    LONGEST_STEP,
    Energy,
    EnergyMeter,
    Sample,
)
from custom_components.smallbms_ng.protocol.payloads import HIGHEST_CURRENT

HOUR = 3600.0


def at(time: float, *, voltage: float = 10.0, current: float = 0.0, amphours: float | None = None) -> Sample:
    """Return a sample of a time in s."""
    return Sample(at=time, voltage=voltage, current=current, consumed_amphours=amphours)


def counted(*samples: Sample) -> EnergyMeter:
    """Return a meter that took samples."""
    meter = EnergyMeter()
    for sample in samples:
        meter.take(sample)
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
    meter = counted(at(0, current=begin), at(60, current=end))
    assert totals(meter) == pytest.approx((charged, discharged))
    assert meter.energy.bridged_time == meter.energy.unknown_time == 0


def test_nothing_is_counted_before_the_second_reading() -> None:
    assert totals(counted(at(5000, current=100))) == (0, 0)


def test_the_longest_step_is_still_measured() -> None:
    meter = counted(at(0, current=36), at(LONGEST_STEP, current=36))
    assert meter.energy.charged == pytest.approx(360 * LONGEST_STEP / HOUR)


@pytest.mark.parametrize(("moved", "charged", "discharged"), [(5.0, 60.0, 0.0), (-5.0, 0.0, 60.0), (0.0, 0.0, 0.0)])
def test_a_gap_is_bridged_by_the_ampere_hours(moved: float, charged: float, discharged: float) -> None:
    """Whatever the currents at its ends are. The voltage is the mean of both ends."""
    begin = at(0, voltage=13, current=100, amphours=-20)
    meter = counted(begin, at(HOUR, voltage=11, current=-100, amphours=-20 + moved))
    assert totals(meter) == pytest.approx((charged, discharged))
    assert (meter.energy.bridged_charged, meter.energy.bridged_discharged) == totals(meter)
    assert (meter.energy.bridged_time, meter.energy.unknown_time) == (HOUR, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, None), (-20.0, None), (None, -20.0), (-2 * HIGHEST_CURRENT, 0.0), (0.0, -2 * HIGHEST_CURRENT)],
)
def test_nothing_is_invented(before: float | None, after: float | None) -> None:
    """Not even when the ampere-hours jump, as they do when the state of charge is set."""
    meter = counted(at(0, current=100, amphours=before), at(HOUR, current=100, amphours=after))
    assert totals(meter) == (0, 0)
    assert (meter.energy.bridged_time, meter.energy.unknown_time) == (0, HOUR)


@pytest.mark.parametrize(("begin", "end", "charged"), [(36, 18, 180.0), (18, 36, 180.0), (36, -5, 0.0), (0, 0, 0.0)])
def test_of_a_full_battery_the_amphours_tell_nothing(begin: float, end: float, charged: float) -> None:
    """They stay at zero while it is charged on: the lesser current is taken to have flowed."""
    meter = counted(at(0, current=begin, amphours=0.0), at(HOUR, current=end, amphours=0.0))
    assert totals(meter) == (charged, 0)


def test_after_a_gap_it_goes_on_measuring() -> None:
    meter = counted(*(at(time, current=36) for time in (0, HOUR, HOUR + 60)))
    assert totals(meter) == pytest.approx((6, 0))


def test_a_latecomer_counts_as_if_it_came_now() -> None:
    """The clocks of two proxies, or their delays, differ."""
    meter = counted(*(at(time, current=36) for time in (0, 60, 58, 60, 120)))
    assert totals(meter) == pytest.approx((12, 0))


def test_it_goes_on_from_what_was_kept() -> None:
    first = counted(at(0, current=36), at(60, current=36))
    second = EnergyMeter(first.energy, first.last)
    second.take(at(120, current=36))
    assert totals(second) == pytest.approx((12, 0))


def test_what_was_kept_is_not_current() -> None:
    """It lacks what has flowed since."""
    assert not EnergyMeter(Energy(charged=5.0), at(0)).is_current
    assert counted(at(0)).is_current


def test_whole_watt_hours_are_shown() -> None:
    meter = counted(at(0, current=36), at(100, current=36))
    assert totals(meter) == pytest.approx((10, 0))
    meter.take(at(100, current=-36))
    meter.take(at(119.9, current=-36))
    assert meter.shown == (10, 1)


@pytest.mark.parametrize(("moved", "charged", "gaps"), [(80.0, 800.0, 0), (None, 0.0, 1), (20000.0, 0.0, 1)])
def test_a_gap_of_unknown_length(moved: float | None, charged: float, gaps: int) -> None:
    """What the ampere-hours say is believed, as far as any bank holds it."""
    meter = EnergyMeter(None, at(-inf, amphours=-80))
    meter.take(at(5, amphours=None if moved is None else -80 + moved))
    assert totals(meter) == (charged, 0)
    assert (meter.energy.unknown_gaps, meter.energy.unknown_time, meter.energy.bridged_time) == (gaps, 0, 0)


SAMPLES = st.builds(
    Sample,
    at=st.floats(0, 1e6),
    voltage=st.floats(5, 75),
    current=st.floats(-1000, 1000),
    consumed_amphours=st.none() | st.floats(-15000, 0),
)


@given(st.lists(SAMPLES))
def test_nothing_ever_goes_backwards(samples: list[Sample]) -> None:
    meter = EnergyMeter()
    before = asdict(meter.energy)
    for sample in samples:
        meter.take(sample)
        after = asdict(meter.energy)
        assert all(after[name] >= value for name, value in before.items())
        before = after


def test_it_goes_on_from_what_was_shown_last_if_that_is_more() -> None:
    shown = at(-inf, amphours=-10)
    meter = EnergyMeter(Energy(charged=100.9, discharged=30.0), at(0))
    meter.go_on_from(charged=150.0, discharged=20.0, last=shown)
    assert meter.shown == (150, 30)
    assert meter.last is shown


def test_it_goes_on_from_its_own_if_that_is_as_much() -> None:
    """Only whole Wh are shown."""
    meter = EnergyMeter(Energy(charged=100.9, discharged=30.9), at(0))
    meter.go_on_from(charged=100.0, discharged=30.0, last=at(-inf))
    assert (meter.energy.charged, meter.energy.discharged) == (100.9, 30.9)
    assert meter.last == at(0)
