"""The battery monitor."""

import pytest

from emulator.bms.bms import SmallBms
from emulator.bms.monitor import LONGEST_TIME_REMAINING, BalancerStatus, Monitor, MonitorState
from emulator.bms.rules import Permission
from emulator.bms.settings import SettingKey, Settings
from emulator.reading.state import as_json, from_json

from .banks import charge_to, make_bms, run, run_until

SETTINGS = Settings.defaults(12)
DAY = 24 * 3600.0


def advance(
    monitor: Monitor, seconds: float, *, voltage: float = 14.2, current: float = 3.0, settings: Settings = SETTINGS
) -> bool:
    return monitor.advance(
        voltage=voltage,
        current=current,
        lowest_cell=voltage / 4,
        highest_cell=voltage / 4,
        balancing=False,
        settings=settings,
        seconds=seconds,
    )


def detect_for(monitor: Monitor, seconds: int, *, voltage: float = 14.2, current: float = 3.0) -> int:
    """Show the monitor the same for some seconds, after a first look; return how often it synchronized."""
    advance(monitor, 1.0, voltage=voltage, current=current)
    return sum(advance(monitor, 1.0, voltage=voltage, current=current) for _ in range(seconds))


def test_state_of_charge_is_counted() -> None:
    bms = make_bms(soc=80)
    run(bms, 3600, current=-10)
    assert bms.monitor.state_of_charge == pytest.approx(70, abs=0.01)
    run(bms, 3600, current=5)
    assert bms.monitor.state_of_charge == pytest.approx(75, abs=0.01)


def test_m_s1_synchronizes_after_the_detection_time() -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    assert detect_for(monitor, 179) == 0
    assert monitor.state_of_charge == 97
    assert advance(monitor, 1.0)
    assert monitor.state_of_charge == 100


@pytest.mark.parametrize(
    ("voltage", "current"),
    [(14.0, 3.0), (13.9, 3.0), (14.2, 4.0), (14.2, 30.0), (14.2, -5.0)],
)
def test_m_s1_needs_the_voltage_and_the_tail_current(voltage: float, current: float) -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    assert detect_for(monitor, 1000, voltage=voltage, current=current) == 0


def test_m_s1_the_tail_current_is_a_part_of_the_capacity() -> None:
    monitor = Monitor(capacity_ah=400, state_of_charge=97)
    assert detect_for(monitor, 180, current=15.0) == 1


def test_m_s1_an_interruption_starts_the_time_anew() -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    detect_for(monitor, 170)
    advance(monitor, 1.0, current=20.0)
    assert detect_for(monitor, 170) == 0
    assert monitor.next_timer(SETTINGS) == 10


def test_m_s1_synchronizes_once_in_a_charge() -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    assert detect_for(monitor, 3600) == 1
    advance(monitor, 60.0, voltage=13.4)
    assert detect_for(monitor, 3600) == 1


def test_m_s1_a_charger_that_holds_its_voltage_synchronizes_the_emulated_battery() -> None:
    bms = make_bms(soc=85)
    bms.set_state_of_charge(80)
    charge_to(bms, 14.2, limit=30, seconds=4 * 3600)
    assert bms.monitor.state_of_charge == 100
    assert bms.history.synchronizations == 1
    assert bms.bank.cells.state_of_charge.min() == pytest.approx(1, abs=0.03)


def test_m_s2_settings_change_the_detection() -> None:
    settings = SETTINGS.changed(SettingKey.CHARGED_DETECTION_TIME, 1).changed(SettingKey.CHARGED_VOLTAGE, 13.8)
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    advance(monitor, 1.0, voltage=13.9, settings=settings)
    assert advance(monitor, 60.0, voltage=13.9, settings=settings)


def test_m_s3_set_by_hand() -> None:
    bms = make_bms(soc=80)
    consumed = bms.monitor.consumed_ah
    bms.set_state_of_charge(33.3)
    assert bms.monitor.state_of_charge == pytest.approx(33.3)
    assert bms.monitor.consumed_ah == consumed


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan")])
def test_m_s3_only_a_percentage_can_be_set(percent: float) -> None:
    with pytest.raises(ValueError, match="0 to 100 %"):
        make_bms().set_state_of_charge(percent)


def test_m_s3_synchronize_by_hand() -> None:
    bms = make_bms(soc=40)
    bms.synchronize()
    assert bms.monitor.state_of_charge == 100
    assert bms.monitor.consumed_ah == 0


def test_m_s3_raising_the_state_of_charge_by_hand_lets_the_loads_on_at_once() -> None:
    bms = make_bms(soc=9)
    assert bms.allowed_to_discharge is Permission.NO
    bms.set_state_of_charge(12)
    assert bms.outputs.load


def test_m_s4_time_remaining_is_until_the_discharge_floor() -> None:
    bms = make_bms(soc=60)
    run(bms, 1, current=-20)
    # 50 % of 100 Ah at 20 A.
    assert bms.time_remaining == pytest.approx(150, abs=0.2)
    bms.change_setting(SettingKey.DISCHARGE_FLOOR, 0)
    assert bms.time_remaining == pytest.approx(180, abs=0.2)


def test_m_s4_the_emulated_battery_reaches_its_floor_when_it_said() -> None:
    bms = make_bms(soc=20)
    run(bms, 1, current=-25)
    expected = bms.time_remaining
    assert expected is not None
    seconds = run_until(bms, lambda: bms.allowed_to_discharge is Permission.NO, current=-25, pace=5)
    assert seconds / 60 == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("current", [0.0, 0.5, 20.0])
def test_m_s4_no_time_remaining_without_a_discharge(current: float) -> None:
    bms = make_bms()
    run(bms, 1, current=current)
    assert bms.time_remaining is None


def test_m_s4_time_remaining_ends_at_zero_and_at_its_limit() -> None:
    bms = make_bms(soc=9)
    run(bms, 1, current=-20)
    assert bms.time_remaining == 0
    bms.set_state_of_charge(100)
    run(bms, 1, current=-0.2)
    assert bms.time_remaining == LONGEST_TIME_REMAINING


def test_m_s7_consumed_counts_since_the_last_full_charge() -> None:
    bms = make_bms(soc=50)
    bms.synchronize()
    run(bms, 3600, current=-10)
    run(bms, 3600, current=4)
    assert bms.monitor.consumed_ah == pytest.approx(6, abs=0.01)
    run(bms, 3600, current=8)
    assert bms.monitor.consumed_ah == 0


def test_an_unknown_state_of_charge_stays_so_until_it_is_set() -> None:
    bms = make_bms(soc=5, known=False)
    run(bms, 60, current=-5)
    assert bms.monitor.state_of_charge is None
    assert bms.time_remaining is None
    assert bms.status_page().consumed_ah is None
    assert bms.outputs.load
    bms.synchronize()
    assert bms.monitor.state_of_charge == 100


def full(bms: SmallBms) -> None:
    charge_to(bms, 14.2, limit=30, seconds=3 * 3600)
    assert bms.history.synchronizations >= 1


def test_m_v3_balancer_is_unknown_until_the_first_full_charge() -> None:
    bms = make_bms(soc=90)
    assert bms.bank_page().balancer_status is BalancerStatus.UNKNOWN
    full(bms)
    assert bms.bank_page().balancer_status is BalancerStatus.BALANCED


def test_m_v3_balancer_stays_unknown_after_a_synchronization_by_hand() -> None:
    bms = make_bms(soc=60)
    bms.synchronize()
    assert bms.bank_page().balancer_status is BalancerStatus.UNKNOWN


def test_m_v3_a_synchronization_by_hand_does_not_make_a_full_charge_younger() -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    detect_for(monitor, 180)
    advance(monitor, 29 * DAY, voltage=13.2)
    monitor.synchronize()
    advance(monitor, 2 * DAY, voltage=13.2)
    assert monitor.balancer_status is BalancerStatus.UNKNOWN


def test_m_v3_balancer_is_unknown_more_than_30_days_after_a_full_charge() -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    detect_for(monitor, 180)
    advance(monitor, 30 * DAY, voltage=13.2)
    in_time = monitor.balancer_status
    advance(monitor, 1.0, voltage=13.2)
    assert (in_time, monitor.balancer_status) == (BalancerStatus.BALANCED, BalancerStatus.UNKNOWN)


def test_m_v3_balancer_is_unknown_while_the_state_of_charge_is() -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=None)
    assert monitor.balancer_status is BalancerStatus.UNKNOWN


def test_m_v3_balancer_is_unknown_when_a_battery_was_added() -> None:
    bms = make_bms(soc=90)
    full(bms)
    bms.faults.unplugged_battery = 0
    bms.power_cycle()
    bms.faults.unplugged_battery = None
    bms.refresh()
    assert not bms.codes
    assert bms.bank_page().balancer_status is BalancerStatus.UNKNOWN


def test_m_v3_a_drifting_cell_is_balanced_by_full_charges() -> None:
    bms = make_bms(soc=90)
    full(bms)
    run(bms, 3600, current=-20)
    bms.faults.cell_drains = {(0, 2): 0.3}
    run(bms, 10 * 3600)
    bms.faults.cell_drains = {}
    charge_to(bms, 14.2, limit=20, seconds=75 * 60)
    assert bms.bank_page().balancer_status is BalancerStatus.BALANCING
    run(bms, 60)
    assert bms.bank_page().balancer_status is BalancerStatus.IMBALANCED
    charge_to(bms, 14.2, limit=10, seconds=5 * 3600)
    run(bms, 60)
    assert bms.bank_page().balancer_status is BalancerStatus.BALANCED


def test_monitor_survives_saving() -> None:
    monitor = Monitor(capacity_ah=100, state_of_charge=97)
    detect_for(monitor, 100)
    loaded = Monitor(capacity_ah=100, state_of_charge=None)
    loaded.restore(from_json(MonitorState, as_json(monitor.copy())))
    assert advance(loaded, 80.0)
    assert loaded.state_of_charge == 100
