"""Which value of a quantity is shown, where it comes from, and for how long."""

from collections.abc import Mapping
from math import inf

from hypothesis import given
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.advertisement import read_record
from custom_components.smallbms_ng.protocol.codes import Level
from custom_components.smallbms_ng.protocol.payloads import BOUNDS
from custom_components.smallbms_ng.protocol.quantities import (
    BY_NAME,
    QUANTITIES,
    VALUE_FIELDS,
    Candidate,
    Quantities,
    Source,
)

from .packer import pack

ADVERTISED, CONNECTION, CALCULATED, RESTORED = Source
GOOD_FOR = {ADVERTISED: 90.0, CONNECTION: 600.0, RESTORED: 300.0}


def quantities(capacity: float | None = None) -> Quantities:
    return Quantities(GOOD_FOR, capacity)


def shown(of: Quantities, name: str, now: float) -> tuple[object, Source] | None:
    """Return what is shown of a quantity, and where it comes from."""
    found = of.best(name, now)
    return (found.value, found.source) if found else None


def test_every_field_has_a_row() -> None:
    assert set(VALUE_FIELDS) <= BY_NAME.keys()


def test_the_latest_is_shown() -> None:
    of = quantities()
    of.take(ADVERTISED, {"voltage": 13.0}, 10)
    of.take(CONNECTION, {"voltage": 13.1}, 11)
    assert shown(of, "voltage", 12) == (13.1, CONNECTION)
    of.take(ADVERTISED, {"voltage": 13.2}, 12)
    assert shown(of, "voltage", 12) == (13.2, ADVERTISED)


def test_of_the_same_moment_the_advertised_one_is_shown() -> None:
    of = quantities()
    of.take(CONNECTION, {"voltage": 13.1}, 10)
    of.take(ADVERTISED, {"voltage": 13.2}, 10)
    assert shown(of, "voltage", 10) == (13.2, ADVERTISED)


def test_each_source_is_good_for_its_time() -> None:
    of = quantities()
    of.take(ADVERTISED, {"voltage": 13.2}, 100)
    of.take(CONNECTION, {"voltage": 13.1}, 50)
    assert shown(of, "voltage", 190) == (13.2, ADVERTISED)
    assert shown(of, "voltage", 191) == (13.1, CONNECTION)
    assert shown(of, "voltage", 651) is None
    assert of.heard(650)
    assert not of.heard(651)


def test_what_a_source_does_not_give_any_more_comes_from_another() -> None:
    of = quantities()
    of.take(CONNECTION, {"state_of_charge": 55.0}, 10)
    of.take(ADVERTISED, {"state_of_charge": 56.0, "voltage": 13.0}, 20)
    of.take(ADVERTISED, {"state_of_charge": None}, 21)
    assert shown(of, "state_of_charge", 22) == (55.0, CONNECTION)
    assert shown(of, "voltage", 22) == (13.0, ADVERTISED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("voltage", -300.0),
        ("voltage", 75.1),
        ("voltage", float("nan")),
        ("voltage", True),
        ("voltage", "13"),
        ("current", 1000.1),
        ("state_of_charge", 600.0),
        ("consumed_amphours", 0.1),
        ("temperature", 120.0),
        ("error", 256),
        ("allowed_to_charge", 1),
        ("low_soc", True),
    ],
)
def test_what_no_bank_has_is_not_shown(name: str, value: object) -> None:
    of = quantities()
    of.take(CONNECTION, {name: value}, 10)
    assert shown(of, name, 10) is None
    assert of.implausible == {name: 1}


def test_values_have_the_decimals_of_the_record() -> None:
    of = quantities()
    of.take(CONNECTION, {"voltage": 13.2049, "current": -0.06, "state_of_charge": 55.55, "temperature": 20.6}, 10)
    known = of.shown(10)
    assert (known.voltage, known.current, known.state_of_charge, known.temperature) == (13.2, -0.1, 55.5, 21)


def test_what_is_restored_gives_way() -> None:
    of = quantities()
    of.restore({"voltage": Candidate(value=12.9, source=RESTORED, at=95, origin=CONNECTION)})
    assert shown(of, "voltage", 100) == (12.9, RESTORED)
    of.take(ADVERTISED, {"voltage": 13.0}, 90)
    assert shown(of, "voltage", 100) == (13.0, ADVERTISED)


def test_what_was_restored_ends_when_its_source_has_none() -> None:
    of = quantities()
    of.restore({"current": Candidate(value=5.0, source=RESTORED, at=95, origin=ADVERTISED)})
    of.take(CONNECTION, {"current": None}, 96)
    assert shown(of, "current", 100) == (5.0, RESTORED)
    of.take(ADVERTISED, {"current": None}, 97)
    assert shown(of, "current", 100) is None


def test_of_unknown_age_is_not_shown() -> None:
    of = quantities()
    of.restore({"voltage": Candidate(value=12.9, source=RESTORED, at=-inf)})
    assert shown(of, "voltage", 100) is None


def test_what_lasts_is_not_forgotten() -> None:
    of = quantities()
    at = Candidate(value=200, source=RESTORED, at=-inf)
    of.restore({"capacity": at, "voltage": Candidate(value=12.9, source=RESTORED, at=95)})
    of.forget(RESTORED)
    assert of.capacity(1e9) == 200
    assert shown(of, "voltage", 100) is None


# The state of charge


def test_it_is_calculated_from_what_was_drawn() -> None:
    of = quantities(capacity=200)
    of.take(ADVERTISED, {"consumed_amphours": -50.0, "state_of_charge": None}, 10)
    assert shown(of, "state_of_charge", 11) == (75.0, CALCULATED)
    assert of.shown(11).remaining_amphours == 150


@pytest.mark.parametrize(("drawn", "capacity"), [(None, 200), (-50.0, None)])
def test_it_is_not_guessed(drawn: float | None, capacity: float | None) -> None:
    of = quantities(capacity=capacity)
    of.take(ADVERTISED, {"consumed_amphours": drawn, "state_of_charge": None}, 10)
    assert shown(of, "state_of_charge", 11) is None


def test_between_two_connections_it_moves_with_the_amphours() -> None:
    """What the device says of itself does not fit what was drawn; both go on alike."""
    of = quantities()
    of.take(ADVERTISED, {"consumed_amphours": -50.0, "state_of_charge": None}, 10)
    of.take(CONNECTION, {"state_of_charge": 60.0, "consumed_amphours": -50.0, "capacity": 200}, 11)
    assert shown(of, "state_of_charge", 11) == (60.0, CONNECTION)
    of.take(ADVERTISED, {"consumed_amphours": -60.0, "state_of_charge": None}, 1000)
    assert shown(of, "state_of_charge", 1000) == (55.0, CALCULATED)
    of.take(CONNECTION, {"state_of_charge": 54.0, "consumed_amphours": -60.0}, 1001)
    of.take(ADVERTISED, {"consumed_amphours": -60.0, "state_of_charge": None}, 1002)
    assert shown(of, "state_of_charge", 1002) == (54.0, CALCULATED)


@pytest.mark.parametrize("now", [0.0, -20.0])
def test_a_synchronization_ends_what_was_known(now: float) -> None:
    """The battery is full, or no current explains that the device counts from elsewhere."""
    of = quantities(capacity=200)
    of.take(CONNECTION, {"state_of_charge": 40.0, "consumed_amphours": -100.0}, 10)
    of.take(ADVERTISED, {"consumed_amphours": now, "state_of_charge": None}, 20)
    assert shown(of, "state_of_charge", 20) == (100 + now / 2, CALCULATED)


def test_a_device_that_does_not_know_it_is_believed() -> None:
    """It counts from where it was switched on, which is not the last full charge."""
    of = quantities(capacity=200)
    of.take(CONNECTION, {"state_of_charge": None, "consumed_amphours": -5.0}, 10)
    of.take(ADVERTISED, {"consumed_amphours": -5.0, "state_of_charge": None}, 20)
    assert shown(of, "state_of_charge", 20) is None
    of.take(CONNECTION, {"state_of_charge": 80.0}, 30)
    assert shown(of, "state_of_charge", 30) == (80.0, CONNECTION)


def test_it_stays_within_its_bounds() -> None:
    of = quantities(capacity=100)
    of.take(ADVERTISED, {"consumed_amphours": -130.0}, 10)
    assert shown(of, "state_of_charge", 10) == (0.0, CALCULATED)


def test_it_is_no_fresher_than_what_was_drawn() -> None:
    of = quantities(capacity=100)
    of.take(ADVERTISED, {"consumed_amphours": -30.0}, 10)
    assert shown(of, "state_of_charge", 101) is None
    of.restore({"consumed_amphours": Candidate(value=-30.0, source=RESTORED, at=99)})
    assert shown(of, "state_of_charge", 101) == (70.0, RESTORED)


def test_what_the_device_told_counts_for_more_than_what_was_entered() -> None:
    of = quantities(capacity=100)
    of.take(CONNECTION, {"capacity": 200}, 10)
    assert of.capacity(1e9) == 200


# Charging, and what a bank can do


def test_charging_has_a_dead_band() -> None:
    of = quantities()
    seen = []
    for current in (0.0, 0.1, 0.2, 0.3, 0.2, 0.1, 0.0, 0.1, -5.0):
        of.take(ADVERTISED, {"current": current}, 10)
        seen.append(of.shown(10).charging)
    assert seen == [False, False, False, True, True, True, False, False, False]


def test_charging_is_unknown_without_a_current() -> None:
    of = quantities()
    assert of.shown(10).charging is None
    of.take(ADVERTISED, {"current": 5.0}, 10)
    of.take(ADVERTISED, {"current": None}, 11)
    assert of.shown(11).charging is None


@pytest.mark.parametrize(
    ("capacity", "current", "plausible"),
    [(None, 9000, True), (100, 5900, True), (100, 6500, False), (100, -6500, False), (1000, 9000, True)],
)
def test_power_is_judged_by_the_bank(capacity: float | None, current: int, plausible: bool) -> None:
    """6 C of a bank of 100 Ah at 13.28 V are 8 kW."""
    of = quantities(capacity=1)
    if capacity:
        of.take(CONNECTION, {"capacity": capacity}, 0)
    record = int.from_bytes(pack({"current": current % 0x10000}), "little")
    reading = read_record(record, product_id=0xA3EC, nonce=1)
    assert of.is_plausible(reading, 10) is plausible


# Anything, in any order

VALUES: Mapping[str, st.SearchStrategy[object]] = {
    "voltage": st.none() | st.floats(-100, 100),
    "current": st.none() | st.floats(-2000, 2000),
    "state_of_charge": st.none() | st.floats(-10, 700),
    "consumed_amphours": st.none() | st.floats(-20000, 100),
    "capacity": st.none() | st.integers(-1, 20000),
    "allowed_to_charge": st.none() | st.booleans(),
    "low_soc": st.none() | st.sampled_from(Level),
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from([ADVERTISED, CONNECTION]),
        st.fixed_dictionaries({}, optional=VALUES),
        st.floats(-500, 5000),
        st.floats(0, 5000),
    ),
    max_size=30,
)


@given(STEPS, st.none() | st.integers(1, 15000))
def test_nothing_is_shown_beyond_its_time(
    steps: list[tuple[Source, dict[str, object], float, float]], capacity: int | None
) -> None:
    """Whatever comes in whatever order, and however late: no value out of bounds, or older than its row allows."""
    of, now = Quantities(GOOD_FOR, capacity), 10_000.0
    for source, values, back, pause in steps:
        of.take(source, values, now - max(back, 0.0))
        now += pause
        for row in QUANTITIES:
            if (found := of.best(row.name, now)) is None:
                continue
            assert found.at <= now
            if row.name in BOUNDS and isinstance(found.value, int | float):
                assert BOUNDS[row.name].hold(found.value)
            if found.source in GOOD_FOR:
                assert now - found.at <= row.good_for.get(found.source, GOOD_FOR[found.source])
