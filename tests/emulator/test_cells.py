"""Cells: an exact account of charge, spread, self-discharge, balancing."""

from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from emulator.battery.bank import Bank
from emulator.battery.cells import (
    BALANCING_CURRENT,
    BALANCING_STARTS,
    BALANCING_VOLTAGE,
    CAPACITY_SURPLUS,
    NAH_PER_AH,
    NAH_PER_AMPERE_SECOND,
    SELF_DISCHARGE_PER_MONTH,
    Cells,
    Ledger,
)
from emulator.battery.layout import BankLayout

from .banks import FOUR_AS_24V, ONE_12V, TWO_IN_PARALLEL, make_bank

MICRO_AMPERE_HOUR = 1000  # nAh

flows = st.lists(
    st.tuples(
        st.floats(-600, 450, allow_nan=False),
        st.floats(0, 0.5, allow_nan=False),
        st.floats(1e-4, 300, allow_nan=False),
    ),
    min_size=1,
    max_size=40,
)


def inside_loss(ledger: Ledger) -> int:
    return ledger.self_discharged + ledger.balanced + ledger.drained


def flow(bank: Bank, steps: list[tuple[float, float, float]]) -> int:
    """Let currents flow; return what all cells together gained, in nAh."""
    before = bank.cells.charge
    for current, own, seconds in steps:
        bank.step(current=current, own_consumption=own, ambient=20.0, seconds=seconds)
    return int((bank.cells.charge - before).sum())


@settings(max_examples=60, deadline=None)
@given(steps=flows, layout=st.sampled_from([ONE_12V, TWO_IN_PARALLEL, FOUR_AS_24V]), soc=st.floats(0, 100))
def test_what_goes_in_less_what_comes_out_is_what_is_stored(
    steps: list[tuple[float, float, float]], layout: BankLayout, soc: float
) -> None:
    bank = make_bank(layout, soc=soc)
    bank.drains = {1: 0.25}
    gained = flow(bank, steps)
    ledger = bank.ledger
    moved = ledger.charged - ledger.discharged - ledger.own_consumption
    # In series every cell of a string gets the whole charge: what all cells gained, with their inner losses, is the
    # charge that went through the strings times the cells of a string.
    in_series = sum(model.cells for model in layout.strings[0])
    assert gained + inside_loss(ledger) == moved * in_series


@settings(max_examples=60, deadline=None)
@given(steps=flows)
def test_the_ledger_is_what_flowed_to_the_last_micro_ampere_hour(steps: list[tuple[float, float, float]]) -> None:
    bank = make_bank()
    flow(bank, steps)
    flowed = sum(Fraction(current) * Fraction(seconds) for current, _, seconds in steps) * NAH_PER_AH / 3600
    own = sum(Fraction(own) * Fraction(seconds) for _, own, seconds in steps) * NAH_PER_AH / 3600
    assert abs(bank.ledger.charged - bank.ledger.discharged - flowed) < MICRO_AMPERE_HOUR
    assert abs(bank.ledger.own_consumption - own) < MICRO_AMPERE_HOUR


def test_dividing_a_step_changes_nothing_of_the_charge() -> None:
    whole, divided = make_bank(), make_bank()
    whole.step(current=7.7, own_consumption=0.003, ambient=20.0, seconds=30.0)
    for _ in range(240):
        divided.step(current=7.7, own_consumption=0.003, ambient=20.0, seconds=0.125)
    assert abs(whole.ledger.charged - divided.ledger.charged) <= 1
    assert whole.cells.charge == pytest.approx(divided.cells.charge, abs=MICRO_AMPERE_HOUR)


def test_cells_differ_and_all_hold_their_nominal_capacity() -> None:
    capacity = make_bank().cells.capacity
    assert len(set(capacity.tolist())) == 4
    assert capacity.min() >= 100 * NAH_PER_AH
    assert capacity.max() <= 100 * NAH_PER_AH * (1 + CAPACITY_SURPLUS)


def test_new_cells_are_full_at_the_same_moment() -> None:
    cells = make_bank(soc=40).cells
    missing = cells.capacity - cells.charge
    assert missing.tolist() == [60 * NAH_PER_AH] * 4


def test_the_same_seed_gives_the_same_cells() -> None:
    one, same, other = make_bank(seed=7), make_bank(seed=7), make_bank(seed=8)
    assert one.save() == same.save()
    assert one.save() != other.save()


def test_cells_discharge_themselves_each_at_its_rate() -> None:
    bank = make_bank(soc=80)
    before = bank.cells.charge
    for _ in range(30 * 24):
        bank.step(current=0.0, own_consumption=0.0, ambient=20.0, seconds=3600.0)
    lost_ah = (before - bank.cells.charge) / NAH_PER_AH
    assert lost_ah.mean() == pytest.approx(80 * SELF_DISCHARGE_PER_MONTH, rel=0.3)
    assert lost_ah.max() - lost_ah.min() > 0.05


def uneven_cells() -> Cells:
    """Return full cells, the first with more in it than the others."""
    cells = Cells.build(ONE_12V, state_of_charge=100.1, random=Random(1))
    cells.charge = cells.charge + np.array([1, 0, 0, 0]) * NAH_PER_AH
    return cells


def bleeding(cells: Cells) -> list[int]:
    """Return the numbers of the cells that are being balanced."""
    return [] if cells.bleeding is None else np.flatnonzero(cells.bleeding).tolist()


def test_balancing_takes_charge_from_the_high_cell_only() -> None:
    cells, ledger = uneven_cells(), Ledger()
    cells.choose_bleeding(cells.open_circuit())
    before = cells.charge
    cells.balance(600.0, ledger)
    taken = before - cells.charge
    assert taken[0] == pytest.approx(BALANCING_CURRENT * 600 * NAH_PER_AMPERE_SECOND, abs=1)
    assert taken[1:].tolist() == [0, 0, 0]
    assert ledger.balanced == taken[0]


def test_balancing_ends_when_the_cells_are_even() -> None:
    cells, ledger = uneven_cells(), Ledger()
    for _ in range(1000):
        cells.choose_bleeding(cells.open_circuit())
        cells.balance(10.0, ledger)
    assert cells.bleeding is None
    voltages = cells.open_circuit()
    assert voltages.max() - voltages.min() < BALANCING_STARTS


def test_balancing_goes_on_for_longer_than_it_takes_to_start() -> None:
    cells, voltages = uneven_cells(), np.array([3.506, 3.5, 3.5, 3.5])
    cells.choose_bleeding(voltages)
    assert bleeding(cells) == []
    cells.choose_bleeding(voltages + np.array([0.01, 0, 0, 0]))
    cells.choose_bleeding(voltages)
    assert bleeding(cells) == [0]


def test_balancing_loses_nothing_in_short_steps() -> None:
    cells, ledger = uneven_cells(), Ledger()
    cells.choose_bleeding(cells.open_circuit())
    for _ in range(3000):
        cells.balance(0.001, ledger)
    assert ledger.balanced == pytest.approx(BALANCING_CURRENT * 3 * NAH_PER_AMPERE_SECOND, abs=1)


def test_no_balancing_below_the_top() -> None:
    cells = uneven_cells()
    cells.choose_bleeding(np.array([BALANCING_VOLTAGE - 0.001, 3.30, 3.30, 3.30]))
    assert cells.bleeding is None


def test_cold_cells_resist_more() -> None:
    cells = make_bank().cells
    cells.warm(np.array([-10.0]))
    cold = cells.resistance
    cells.warm(np.array([25.0]))
    assert cold / cells.resistance == pytest.approx(np.full(4, 3.0), rel=0.02)
    assert cells.resistance.tolist() == cells.nominal_resistance.tolist()
    cells.warm(np.array([45.0]))
    assert np.all(cells.resistance < 0.7 * cells.nominal_resistance)


def test_restoring_a_copy_goes_back() -> None:
    cells = uneven_cells()
    cells.choose_bleeding(cells.open_circuit())
    saved, checkpoint = cells.save(), cells.copy()
    cells.balance(12.3, Ledger())
    cells.drain(2, 5, Ledger())
    assert cells.save() != saved
    cells.restore(checkpoint)
    assert cells.save() == saved
