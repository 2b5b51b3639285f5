"""A bank: strings, terminals, heat, limits."""

import json

import numpy as np
import pytest

from emulator.battery.bank import COOLING_SECONDS, LONGEST_STEP, VOLTAGE_STEP, Bank, CurrentUse
from emulator.battery.cells import NAH_PER_AH
from emulator.battery.layout import BankLayout
from emulator.battery.models import PULSE_SECONDS

from .banks import FOUR_AS_24V, MIXED, ONE_12V, ONE_48V, TWO_IN_PARALLEL, UNEQUAL, make_bank


def step(bank: Bank, current: float, seconds: float, *, ambient: float = 20.0) -> None:
    bank.step(current=current, own_consumption=0.0, ambient=ambient, seconds=seconds)


def test_m_b6_every_battery_has_its_own_identity() -> None:
    bank = make_bank(FOUR_AS_24V)
    assert len({battery.serial_number for battery in bank.batteries}) == 4
    assert all(battery.firmware_version.startswith("v") for battery in bank.batteries)
    assert [battery.model.capacity_ah for battery in bank.batteries] == [100] * 4


def test_terminals_show_the_sum_of_the_cells_of_a_string() -> None:
    bank = make_bank(ONE_48V)
    step(bank, -20.0, 30.0)
    assert bank.voltage == pytest.approx(bank.cell_voltages.sum())
    assert len(bank.cell_voltages) == 16


@pytest.mark.parametrize("layout", [ONE_12V, TWO_IN_PARALLEL, FOUR_AS_24V])
def test_current_at_is_the_inverse_of_terminal_voltage(layout: BankLayout) -> None:
    bank = make_bank(layout)
    step(bank, 15.0, 40.0)
    for current in (-150.0, 0.0, 33.3):
        assert bank.current_at(bank.terminal_voltage(current)) == pytest.approx(current, abs=1e-6)


@pytest.mark.parametrize("layout", [ONE_12V, TWO_IN_PARALLEL, FOUR_AS_24V])
def test_current_at_hits_the_voltage_at_the_end_of_the_step(layout: BankLayout) -> None:
    bank = make_bank(layout, soc=98)
    target = 3.45 * 4 * len(bank.layout.strings[0])
    for longest in (1.0, 10.0, 10.0, *(30.0,) * 200):
        seconds = min(longest, bank.longest_step(bank.current_at(target)))
        step(bank, bank.current_at(target, seconds), seconds)
        assert bank.voltage == pytest.approx(target, abs=0.02)


def test_current_sags_the_voltage_more_the_longer_it_flows() -> None:
    bank = make_bank()
    rest = bank.voltage
    step(bank, -50.0, 0.01)
    at_once = bank.voltage
    step(bank, -50.0, 60.0)
    after_a_minute = bank.voltage
    assert rest - at_once == pytest.approx(50 * bank.cells.resistance.sum(), rel=0.01)
    assert after_a_minute < at_once - 0.05


def test_strings_share_a_current_by_their_voltages_and_resistances() -> None:
    bank = make_bank(TWO_IN_PARALLEL)
    # The first string has more in it, so it gives more (or takes less).
    bank.cells.charge = bank.cells.charge + np.repeat([50 * NAH_PER_AH, -50 * NAH_PER_AH], 4)
    step(bank, -40.0, 1.0)
    first, second = bank.string_currents
    assert first + second == pytest.approx(-40.0)
    assert first < second


def test_strings_even_out_without_any_current_at_the_terminals() -> None:
    bank = make_bank(TWO_IN_PARALLEL)
    bank.cells.charge = bank.cells.charge + np.repeat([50 * NAH_PER_AH, -50 * NAH_PER_AH], 4)
    for _ in range(600):
        step(bank, 0.0, 60.0)
    first, second = bank.cells.state_of_charge.reshape(2, 4).mean(axis=1)
    assert 0 < first - second < 0.4
    assert bank.string_currents.sum() == pytest.approx(0.0, abs=1e-6)


def uneven_at_the_top() -> Bank:
    bank = make_bank(TWO_IN_PARALLEL, soc=99.5)
    bank.cells.charge = bank.cells.charge + np.repeat([2 * NAH_PER_AH, -2 * NAH_PER_AH], 4)
    return bank


def test_steps_as_long_as_they_may_be_do_not_make_strings_swing() -> None:
    bank, signs, elapsed = uneven_at_the_top(), [], 0.0
    while elapsed < 3600:
        seconds = bank.longest_step(0.0)
        step(bank, 0.0, seconds)
        elapsed += seconds
        signs.append(bank.string_currents[0] <= 1e-3)
    assert all(signs), "the fuller string took charge from the emptier one"


def test_long_steps_do_not_make_strings_swing() -> None:
    bank = uneven_at_the_top()
    step(bank, 0.0, 60.0)
    for _ in range(50):
        step(bank, 0.0, 60.0)
        assert bank.string_currents[0] < 15, "of 260 A at the beginning"


def test_step_size_hardly_matters_while_it_is_no_longer_than_it_may_be() -> None:
    coarse, fine = make_bank(soc=12), make_bank(soc=12)
    remaining = 1800.0
    while remaining > 0:
        seconds = min(coarse.longest_step(-15.0), remaining)
        step(coarse, -15.0, seconds)
        remaining -= seconds
    for _ in range(1800):
        step(fine, -15.0, 1.0)
    assert coarse.cell_voltages == pytest.approx(fine.cell_voltages, abs=0.001)
    assert coarse.temperature == pytest.approx(fine.temperature, abs=0.01)


def test_longest_step_is_long_when_quiet_and_short_when_a_cell_moves() -> None:
    assert make_bank().longest_step(0.5) == LONGEST_STEP
    steep = make_bank(soc=0.5)
    before = steep.cell_voltages.min()
    seconds = steep.longest_step(-100.0)
    step(steep, -100.0, 0.001)  # the drop over the resistance comes at once
    before = steep.cells.open_circuit().min()
    step(steep, -100.0, seconds)
    assert seconds < LONGEST_STEP / 5
    assert 0.5 * VOLTAGE_STEP < before - steep.cells.open_circuit().min() < 2 * VOLTAGE_STEP


def test_batteries_follow_the_ambient_temperature_slowly() -> None:
    bank = make_bank(temperature=20.0)
    step(bank, 0.0, COOLING_SECONDS, ambient=-10.0)
    assert bank.temperature[0] == pytest.approx(-10 + 30 / np.e, abs=0.1)


def test_current_warms_a_battery() -> None:
    bank = make_bank(soc=90)
    for _ in range(60):
        step(bank, -100.0, 30.0)
    assert 22.0 < bank.temperature[0] < 35.0


def test_only_the_battery_that_carries_the_current_warms() -> None:
    bank = make_bank(UNEQUAL, soc=90)
    for _ in range(60):
        step(bank, -50.0, 30.0)
    assert bank.temperature[0] > 20.5
    assert bank.temperature[2] == pytest.approx(20.0)
    assert bank.battery_current(2) == 0.0


def test_mixed_capacities_can_be_wired_and_share_by_resistance() -> None:
    bank = make_bank(MIXED)
    step(bank, -30.0, 1.0)
    small, large = bank.string_currents
    assert large < small < 0


@pytest.mark.parametrize(
    ("current", "use"),
    [
        (30.0, CurrentUse.RECOMMENDED),
        (31.0, CurrentUse.CONTINUOUS),
        (-50.0, CurrentUse.RECOMMENDED),
        (-51.0, CurrentUse.CONTINUOUS),
        (-101.0, CurrentUse.PULSE),
        (201.0, CurrentUse.TOO_HIGH),
    ],
)
def test_m_b3_use_of_current(current: float, use: CurrentUse) -> None:
    bank = make_bank()
    step(bank, current, 1.0)
    assert bank.current_use is use


def test_m_b3_a_pulse_may_last_ten_seconds() -> None:
    bank = make_bank()
    step(bank, -150.0, PULSE_SECONDS)
    assert not bank.over_pulse
    step(bank, -100.0, 1.0)
    step(bank, -150.0, PULSE_SECONDS)
    assert not bank.over_pulse
    step(bank, -150.0, 0.5)
    assert bank.over_pulse


def test_m_b2_more_than_the_pulse_current_is_too_much_at_once() -> None:
    bank = make_bank()
    step(bank, -201.0, 0.1)
    assert bank.over_pulse


OWN_CONSUMPTION = 0.003  # A (M-W1)


@pytest.mark.parametrize(
    ("current", "use"),
    [
        (30.0, CurrentUse.RECOMMENDED),
        (-50.0, CurrentUse.RECOMMENDED),
        (-100.0, CurrentUse.CONTINUOUS),
        (100.0, CurrentUse.CONTINUOUS),
        (-200.0, CurrentUse.PULSE),
        (-200.1, CurrentUse.TOO_HIGH),
    ],
)
def test_m_b3_what_the_bms_takes_does_not_count_against_the_limits(current: float, use: CurrentUse) -> None:
    bank = make_bank()
    bank.step(current=current, own_consumption=OWN_CONSUMPTION, ambient=20.0, seconds=10.0)
    assert bank.current_use is use


@pytest.mark.parametrize("current", [-100.0, 100.0])
def test_m_b2_exactly_1_c_may_flow_without_end(current: float) -> None:
    bank = make_bank()
    for _ in range(120):
        bank.step(current=current, own_consumption=OWN_CONSUMPTION, ambient=20.0, seconds=1.0)
    assert not bank.over_pulse


@pytest.mark.parametrize("seconds", [10.0, 1.0, 0.1, 0.3125])
def test_m_b2_300_a_may_flow_for_exactly_10_s(seconds: float) -> None:
    bank = make_bank(BankLayout.of("12.8/150"))
    for _ in range(round(PULSE_SECONDS / seconds)):
        bank.step(current=-300.0, own_consumption=OWN_CONSUMPTION, ambient=20.0, seconds=seconds)
    assert not bank.over_pulse
    bank.step(current=-300.0, own_consumption=OWN_CONSUMPTION, ambient=20.0, seconds=0.1)
    assert bank.over_pulse


@pytest.mark.parametrize("layout", [ONE_12V, FOUR_AS_24V])
def test_saved_and_loaded_bank_goes_on_as_if_nothing_had_been(layout: BankLayout) -> None:
    bank = make_bank(layout, soc=97)
    for seconds in (0.3, 7.7, 60.0, 12.1):
        step(bank, 25.0, seconds, ambient=3.0)
    loaded = Bank.load(json.loads(json.dumps(bank.save())))
    for each in (bank, loaded):
        for seconds in (1.1, 33.0, 5.5):
            step(each, 19.0, seconds, ambient=-3.0)
    assert loaded.save() == bank.save()
    assert loaded.cell_voltages.tolist() == bank.cell_voltages.tolist()
    assert loaded.voltage == bank.voltage


def test_restoring_a_copy_goes_back() -> None:
    bank = make_bank(FOUR_AS_24V, soc=99)
    step(bank, 25.0, 33.3)
    saved, checkpoint, voltages = bank.save(), bank.copy(), bank.cell_voltages.tolist()
    step(bank, -220.0, 77.7, ambient=40.0)
    assert bank.save() != saved
    bank.restore(checkpoint)
    assert bank.save() == saved
    assert bank.cell_voltages.tolist() == voltages
