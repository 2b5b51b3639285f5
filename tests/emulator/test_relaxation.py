"""A bank at the top: how it takes its last charge, comes to rest, and lets the BMS charge again."""

from itertools import pairwise

import pytest

from emulator.bms.bms import SmallBms
from emulator.bms.rules import Permission

from .banks import charge_fully, charge_to, make_bms, run, run_until
from .scenarios import simulation

MINUTE = 60.0
HOUR = 3600.0
ABSORPTION = 14.2


def constant_voltage_seconds(bms: SmallBms, limit: float, tail: float) -> float:
    """Charge to the absorption voltage; return how long the current takes from its limit down to the tail current."""
    seconds, pace = 0.0, 5.0
    while (current := min(limit, max(0.0, bms.current_at(ABSORPTION, pace)))) > tail:
        run(bms, pace, current=current)
        seconds = seconds + pace if current < limit else 0.0
    return seconds


def test_constant_voltage_lasts_some_minutes_at_the_recommended_current() -> None:
    bms = make_bms(soc=90)
    assert 5 * MINUTE < constant_voltage_seconds(bms, limit=30.0, tail=4.0) < 20 * MINUTE


@pytest.mark.parametrize("absorption", [0.0, 0.5 * HOUR, 2 * HOUR])
def test_a_full_bank_comes_to_rest_within_two_hours(absorption: float) -> None:
    bms = make_bms(soc=95)
    charge_fully(bms)
    charge_to(bms, ABSORPTION, limit=30, seconds=absorption)
    assert bms.voltage > 14.0
    run(bms, 2 * HOUR)
    assert 13.4 < bms.voltage < 13.6
    settled = bms.voltage
    run(bms, 22 * HOUR)
    assert bms.voltage == pytest.approx(settled, abs=0.1)


def test_the_voltage_falls_fast_at_first_and_slowly_then() -> None:
    bms = make_bms(soc=95)
    charge_fully(bms)
    charge_to(bms, ABSORPTION, limit=30, seconds=HOUR)
    voltages = [bms.voltage]
    for _ in range(4):
        run(bms, 0.5 * HOUR)
        voltages.append(bms.voltage)
    falls = [before - after for before, after in pairwise(voltages)]
    assert falls == sorted(falls, reverse=True)
    assert falls[0] > 3 * falls[-1]


@pytest.mark.parametrize("current", [2.0, 30.0])
def test_m_p5_a_high_cell_lets_charging_go_on_within_hours(current: float) -> None:
    bms = make_bms(soc=98)
    run_until(bms, lambda: bms.allowed_to_charge is Permission.NO, current=current, pace=2.0)
    waited = run_until(bms, lambda: bms.allowed_to_charge is Permission.YES, current=0.0, pace=5.0)
    assert MINUTE < waited < 3 * HOUR


def test_float_keeps_a_full_bank_above_99_percent() -> None:
    running = simulation(
        "chargers: [{name: Charger, kind: shore, follows: charger-output, current: 30}]",
        bank="bank: {model: 12.8/100, state_of_charge: 90}",
    )
    running.advance(2 * 24 * HOUR)
    assert running.bms.bank.voltage == pytest.approx(13.5, abs=0.02)
    assert running.bms.monitor.state_of_charge is not None
    assert running.bms.monitor.state_of_charge > 99
    assert running.bms.bank.cells.state_of_charge.min() > 0.99


def test_charging_shows_a_cell_fuller_than_it_is() -> None:
    charged, rested = make_bms(soc=95), make_bms(soc=95)
    run_until(charged, lambda: charged.voltage > ABSORPTION, current=30.0)
    run(charged, 2 * HOUR)
    while rested.bank.charge_ah < charged.bank.charge_ah:
        run(rested, 30.0, current=1.0)
    run(rested, 2 * HOUR)
    assert charged.voltage == pytest.approx(rested.voltage, abs=0.02)
