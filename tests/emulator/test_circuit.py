"""Chargers, loads and batteries at one point."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from emulator.world.circuit import Line, Source, balance

BATTERY = Line(conductance=100.0, offset=1300.0)  # rests at 13 V, 10 mOhm


def test_without_chargers_the_battery_carries_the_load() -> None:
    found = balance(BATTERY, [], 20.0)
    assert found.voltage == pytest.approx(12.8)
    assert BATTERY.current(found.voltage) == pytest.approx(-20.0)


def test_charger_below_its_setpoint_gives_its_limit() -> None:
    found = balance(BATTERY, [Source(50.0, 14.2)], 20.0)
    assert found.currents == (50.0,)
    assert found.voltage == pytest.approx(13.3)


def test_charger_holds_its_setpoint() -> None:
    found = balance(BATTERY, [Source(500.0, 14.2)], 20.0)
    assert found.voltage == pytest.approx(14.2)
    assert found.currents[0] == pytest.approx(140.0)


def test_charger_of_the_lower_setpoint_gives_way_first() -> None:
    found = balance(BATTERY, [Source(100.0, 13.5), Source(100.0, 14.2)], 0.0)
    assert found.currents == pytest.approx((0.0, 100.0))
    assert found.voltage == pytest.approx(14.0)


def test_two_chargers_share_between_setpoints() -> None:
    found = balance(BATTERY, [Source(100.0, 14.2), Source(100.0, 13.5)], 80.0)
    assert found.currents == pytest.approx((100.0, 30.0))
    assert found.voltage == pytest.approx(13.5)


def test_charger_pushes_nothing_into_a_battery_above_its_setpoint() -> None:
    found = balance(BATTERY, [Source(50.0, 12.5)], 10.0)
    assert found.currents == (0.0,)
    assert found.voltage == pytest.approx(12.9)


def test_batteries_side_by_side_exchange_current() -> None:
    starter = Line(conductance=50.0, offset=600.0)  # rests at 12 V
    found = balance(BATTERY.beside(starter), [], 0.0)
    assert BATTERY.current(found.voltage) == pytest.approx(-starter.current(found.voltage))
    assert 12.0 < found.voltage < 13.0


@given(
    sources=st.lists(st.builds(Source, st.floats(0, 300), st.floats(10, 16)), max_size=5),
    load=st.floats(0, 500),
    conductance=st.floats(1, 5000),
    rest=st.floats(8, 15),
)
def test_currents_add_up_and_no_charger_exceeds_limit_or_setpoint(
    sources: list[Source], load: float, conductance: float, rest: float
) -> None:
    line = Line(conductance, conductance * rest)
    found = balance(line, sources, load)
    assert sum(found.currents) == pytest.approx(line.current(found.voltage) + load, abs=1e-6)
    for source, current in zip(sources, found.currents, strict=True):
        assert -1e-9 <= current <= source.limit + 1e-6
        assert current <= 1e-6 or found.voltage <= source.setpoint + 1e-6
        # Only a voltage at its setpoint makes it give less than it could.
        assert current >= source.limit - 1e-6 or found.voltage >= source.setpoint - 1e-6
