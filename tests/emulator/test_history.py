"""The thirteen history values."""

import pytest

from emulator.bms.history import History, HistoryState
from emulator.reading.state import as_json, from_json

from .banks import charge_fully, charge_to, make_bms, run


def test_m_v5_a_new_history_is_empty() -> None:
    history = History()
    assert (history.synchronizations, history.cycles) == (0, 0)
    assert (history.deepest_discharge_ah, history.cumulative_drawn_ah) == (0, 0)
    assert (history.discharged_energy_kwh, history.charged_energy_kwh) == (0, 0)
    assert history.seconds_since_full is None
    assert history.lowest_battery_voltage is None


def test_m_v5_deepest_discharge_stays_when_the_battery_is_charged() -> None:
    bms = make_bms(soc=90)
    bms.synchronize()
    run(bms, 3600, current=-30)
    run(bms, 3600, current=20)
    run(bms, 3600, current=-5)
    assert bms.history.deepest_discharge_ah == pytest.approx(30, abs=0.01)


def test_m_v5_cumulative_drawn_counts_discharges_only() -> None:
    bms = make_bms(soc=60)
    run(bms, 3600, current=-30)
    run(bms, 3600, current=20)
    run(bms, 3600, current=-5)
    assert bms.history.cumulative_drawn_ah == pytest.approx(35, abs=0.01)


def test_m_v5_energies() -> None:
    bms = make_bms(soc=60)
    run(bms, 3600, current=-20)
    run(bms, 3600, current=10)
    assert bms.history.discharged_energy_kwh == pytest.approx(20 * 13.0 / 1000, rel=0.02)
    assert bms.history.charged_energy_kwh == pytest.approx(10 * 13.3 / 1000, rel=0.02)


def test_m_v5_synchronizations_by_itself_and_by_hand() -> None:
    bms = make_bms(soc=95)
    charge_to(bms, 14.2, limit=30, seconds=3600)
    assert bms.history.synchronizations == 1
    bms.synchronize()
    assert bms.history.synchronizations == 2


def test_m_v5_a_cycle_is_a_discharge_and_a_charge() -> None:
    bms = make_bms(soc=80)
    for hour, current, cycles in ((1, -20, 0), (1, 20, 0), (0.6, 20, 1), (1.4, -20, 1), (1.6, 20, 2)):
        run(bms, hour * 3600, current=current)
        assert bms.history.cycles == cycles


def test_m_v5_a_small_swing_is_no_cycle() -> None:
    bms = make_bms(soc=80)
    for current in (-10, 10, -10, 15):
        run(bms, 3600, current=current)
    assert bms.history.cycles == 0


def test_m_v5_time_since_the_last_full_charge() -> None:
    bms = make_bms(soc=99)
    charge_fully(bms)
    charged = bms.history.seconds_since_full
    assert charged is not None
    run(bms, 7200, current=-1)
    assert bms.history.seconds_since_full == pytest.approx(charged + 7200)


def test_m_v3_a_synchronization_by_hand_is_no_full_charge() -> None:
    bms = make_bms(soc=80)
    bms.synchronize()
    run(bms, 7200, current=-1)
    assert bms.history.seconds_since_full is None


def test_m_v5_a_new_device_has_no_deepest_discharge() -> None:
    bms = make_bms(soc=40)
    run(bms, 3600, current=20)
    assert bms.history.deepest_discharge_ah == 0
    run(bms, 3600, current=-10)
    assert bms.history.deepest_discharge_ah == pytest.approx(10, abs=0.01)


def test_m_v5_extremes_of_voltage_and_cells() -> None:
    bms = make_bms(soc=50)
    run(bms, 60, current=-80)
    lowest, lowest_cell = bms.voltage, bms.bank.cell_voltages.min()
    run(bms, 60, current=80)
    highest, highest_cell = bms.voltage, bms.bank.cell_voltages.max()
    run(bms, 600, current=0)
    history = bms.history
    assert history.lowest_battery_voltage == pytest.approx(lowest)
    assert history.highest_battery_voltage == pytest.approx(highest)
    assert history.lowest_cell_voltage == pytest.approx(lowest_cell)
    assert history.highest_cell_voltage == pytest.approx(highest_cell)


def test_m_v5_extremes_of_temperature() -> None:
    bms = make_bms(temperature=20)
    for temperature in (-7.5, 41.0, None):
        bms.faults.forced_temperature = temperature
        run(bms, 10)
    assert bms.history.lowest_temperature == -7.5
    assert bms.history.highest_temperature == 41.0


def test_m_v5_clearing_begins_anew() -> None:
    bms = make_bms(soc=60)
    run(bms, 3600, current=-20)
    bms.clear_history()
    assert bms.history.copy() == History().copy()
    run(bms, 1)
    assert bms.history.lowest_battery_voltage == bms.history.highest_battery_voltage == bms.voltage


def test_history_survives_saving() -> None:
    bms = make_bms(soc=60)
    bms.synchronize()
    run(bms, 3600, current=-20)
    assert from_json(HistoryState, as_json(bms.history.copy())) == bms.history.copy()
