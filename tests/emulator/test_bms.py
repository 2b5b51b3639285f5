"""The whole device: bank, rules, monitor and history together."""

from collections.abc import Callable
import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from emulator.battery.cells import NAH_PER_AH
from emulator.battery.layout import BankLayout
from emulator.bms.bms import CONSUMPTION_LOW, CONSUMPTION_ON, ShownTemperature, SmallBms
from emulator.bms.codes import Code
from emulator.bms.monitor import BalancerStatus
from emulator.bms.outputs import Output
from emulator.bms.remote import OPEN, WIRE_LOOP, Remote
from emulator.bms.rules import PRE_ALARM_SECONDS, Permission, Reason
from emulator.bms.settings import SettingKey
from emulator.snapshot import IoField, Level, LevelField

from .banks import FOUR_AS_24V, MIXED, ONE_12V, ONE_24V, ONE_48V, TWO_IN_PARALLEL, charge_to, make_bms, run, run_until


def without_floor(soc: float, layout: BankLayout = ONE_12V) -> SmallBms:
    """Return a device that only the low-cell shutdown protects."""
    bms = make_bms(layout, soc=soc)
    bms.change_setting(SettingKey.DISCHARGE_FLOOR, 0)
    bms.change_setting(SettingKey.LOW_SOC_WARNING, 0)
    return bms


def loads_off(bms: SmallBms) -> bool:
    return not bms.outputs.load


def all_off(bms: SmallBms) -> bool:
    return not (bms.outputs.load or bms.outputs.charger)


# Bank


@pytest.mark.parametrize(("layout", "voltage"), [(ONE_12V, 13.2), (ONE_24V, 26.5), (ONE_48V, 52.9)])
def test_m_b1_bank_voltages(layout: BankLayout, voltage: float) -> None:
    assert make_bms(layout, soc=50).voltage == pytest.approx(voltage, abs=0.1)


def test_m_b4_largest_bank_works() -> None:
    bms = make_bms(BankLayout.of("25.6/300", parallel=50), soc=60)
    run(bms, 600, current=-1000)
    assert not bms.codes
    assert bms.bank_page().capacity_ah == 15000


def test_m_b5_m_v2_bank_page() -> None:
    bms = make_bms(FOUR_AS_24V, soc=60)
    run(bms, 60, current=-20)
    page = bms.bank_page()
    assert (page.batteries, page.cells, page.series, page.parallel) == (4, 16, 2, 2)
    assert page.balancer_status is BalancerStatus.UNKNOWN
    assert page.lowest_cell == pytest.approx(bms.bank.cell_voltages.min())
    assert page.highest_cell == pytest.approx(bms.bank.cell_voltages.max())
    assert page.lowest_temperature == pytest.approx(20, abs=0.1)
    assert page.highest_temperature == pytest.approx(20, abs=0.1)


def test_m_b6_m_v4_battery_pages() -> None:
    bms = make_bms(FOUR_AS_24V, soc=60)
    run(bms, 60, current=-20)
    pages = [bms.battery_page(battery) for battery in range(4)]
    assert all(page is not None for page in pages)
    first, second, third, _ = [page for page in pages if page is not None]
    assert first.current == second.current != third.current
    assert first.current + third.current == pytest.approx(-20, abs=0.01)
    assert first.voltage + second.voltage == pytest.approx(bms.voltage)
    assert first.voltage == pytest.approx(sum(first.cell_voltages))
    assert len(first.cell_voltages) == 4
    assert (first.capacity_ah, first.model) == (100, "12.8/100")
    assert first.serial_number != second.serial_number


@pytest.mark.parametrize(("layout", "code"), [(MIXED, Code.E_B01), (BankLayout.of("12.8/100", series=3), Code.E_B01)])
def test_m_c9_wrong_wiring_is_an_error_of_the_device(layout: BankLayout, code: Code) -> None:
    bms = make_bms(layout)
    run(bms, 60)
    assert bms.codes == {code}
    assert all_off(bms)
    assert bms.snapshot().error == 1


def test_m_c10_battery_missing_from_the_beginning() -> None:
    bms = SmallBms.build(TWO_IN_PARALLEL, random=Random(1), unplugged_battery=1)
    run(bms, 600)
    assert bms.codes == {Code.E_B05}
    assert bms.snapshot().error == 5
    assert bms.bank_page().batteries == 1
    bms.faults.unplugged_battery = None
    run(bms, 1)
    assert not bms.codes
    assert bms.outputs.load


# Discharge


@pytest.mark.parametrize("current", [-5.0, -40.0, -200.0])
def test_m_o3_pre_alarm_comes_30_seconds_before_the_loads_go(current: float) -> None:
    bms = without_floor(3)
    run_until(bms, lambda: bms.outputs.pre_alarm, current=current, pace=0.5)
    assert bms.outputs.load
    assert bms.codes == {Code.W_B01}
    waited = run_until(bms, lambda: loads_off(bms), current=current, pace=0.5)
    assert waited >= PRE_ALARM_SECONDS
    assert bms.codes >= {Code.A_B01}
    assert not bms.outputs.pre_alarm


def test_m_o3_pre_alarm_of_a_cell_that_fails_at_once() -> None:
    bms = make_bms(soc=60)
    bms.faults.cell_voltage_offsets = {(0, 3): -1.5}
    bms.refresh()
    run(bms, 29.9, current=-10)
    assert bms.outputs.pre_alarm
    assert bms.outputs.load
    run(bms, 0.2, current=-10)
    assert loads_off(bms)


def test_m_o3_switching_on_into_a_pre_alarm_gives_it_its_whole_time() -> None:
    bms = make_bms(soc=60)
    bms.faults.cell_voltage_offsets = {(0, 0): -0.45}
    bms.set_mode(False)
    run(bms, 3600)
    bms.set_mode(True)
    assert bms.outputs.pre_alarm
    bms.faults.cell_voltage_offsets = {(0, 0): -1.0}
    run(bms, 29)
    assert bms.outputs.load
    run(bms, 1)
    assert loads_off(bms)


def test_m_o1_loads_come_back_after_a_charge() -> None:
    bms = without_floor(2)
    run_until(bms, lambda: loads_off(bms), current=-10)
    run(bms, 600)
    assert loads_off(bms)
    run_until(bms, lambda: bms.outputs.load, current=30)
    assert bms.bank.cell_voltages.min() > 3.2


def test_m_s6_floor_opens_the_loads_without_waiting() -> None:
    bms = make_bms(soc=16)
    run_until(bms, lambda: bms.outputs.pre_alarm, current=-20)
    assert bms.monitor.state_of_charge == pytest.approx(15, abs=0.02)
    assert bms.codes == {Code.W_B07}
    run_until(bms, lambda: loads_off(bms), current=-20)
    assert bms.monitor.state_of_charge == pytest.approx(10, abs=0.02)
    assert bms.outputs.charger


def test_m_d1_about_one_ah_per_100_ah_is_left_after_a_low_cell_shutdown() -> None:
    bms = without_floor(2, BankLayout.of("12.8/200"))
    run_until(bms, lambda: loads_off(bms), current=-20)
    assert bms.reserve_ah == pytest.approx(2, rel=0.1)


def test_m_d1_a_residual_current_of_10_ma_ruins_a_200_ah_battery_in_about_8_days() -> None:
    bms = without_floor(2, BankLayout.of("12.8/200"))
    run_until(bms, lambda: loads_off(bms), current=-20)
    assert not bms.bank.ruined
    # 200 h at 10 mA, but the BMS takes its own 1.2 mA too.
    days = run_until(bms, lambda: bms.bank.ruined, current=-0.010, pace=3600, at_most=20 * 86400) / 86400
    assert 6.5 < days < 9


def test_m_d2_the_floor_acts_before_the_low_cell_shutdown() -> None:
    bms = make_bms(soc=20)
    run_until(bms, lambda: loads_off(bms), current=-100)
    assert bms.discharge_off_reasons == {Reason.DISCHARGE_FLOOR}
    assert bms.bank.cell_voltages.min() > 2.9


def test_m_d2_the_remote_switch_acts_before_the_low_cell_shutdown() -> None:
    bms = without_floor(10)
    bms.remote = OPEN
    assert loads_off(bms)
    assert not bms.codes


# Off


@pytest.mark.parametrize("remote", [OPEN, Remote(h_voltage=0.0)])
def test_m_o4_remote_off_floats_load_and_charger(remote: Remote) -> None:
    bms = make_bms()
    bms.remote = remote
    assert bms.outputs.voltage(Output.LOAD) is None
    assert bms.outputs.voltage(Output.CHARGER) is None
    run(bms, 10)
    assert bms.snapshot().io[IoField.REMOTE_ON] is False


def test_m_o4_m_v1_mode_off_floats_load_and_charger() -> None:
    bms = make_bms()
    bms.set_mode(False)
    run(bms, 10)
    assert all_off(bms)
    assert not bms.status_page().mode_on
    bms.set_mode(True)
    assert bms.outputs.is_high(Output.LOAD)
    assert bms.outputs.is_high(Output.CHARGER)


def test_m_p4_outputs_follow_the_permissions_while_the_system_is_on() -> None:
    bms = make_bms(soc=60)
    bms.faults.forced_temperature = 0.0
    run(bms, 1)
    assert (bms.outputs.charger, bms.outputs.load) == (False, True)
    bms.set_state_of_charge(5)
    assert (bms.outputs.charger, bms.outputs.load) == (False, False)
    bms.faults.forced_temperature = None
    run(bms, 1)
    assert (bms.outputs.charger, bms.outputs.load) == (True, False)
    bms.set_mode(False)
    assert (bms.outputs.charger, bms.outputs.load) == (False, False)
    assert bms.allowed_to_charge is Permission.YES


# Supply


def test_m_w1_own_consumption_on_off_and_after_a_low_cell() -> None:
    bms = make_bms()
    assert bms.own_consumption == CONSUMPTION_ON == 0.003
    bms.remote = OPEN
    assert bms.own_consumption == CONSUMPTION_LOW == 0.0012
    low = without_floor(2)
    run_until(low, lambda: loads_off(low), current=-30)
    assert low.own_consumption == CONSUMPTION_LOW


def test_m_w1_own_consumption_is_drawn_from_the_bank() -> None:
    bms = make_bms()
    run(bms, 10 * 3600)
    assert bms.bank.ledger.own_consumption == pytest.approx(0.03 * NAH_PER_AH)
    assert bms.current == pytest.approx(-0.003)


@pytest.mark.parametrize(("voltage", "powered"), [(7.99, False), (8.0, True), (70.0, True), (70.1, False)])
def test_m_w1_supply_range(voltage: float, powered: bool) -> None:
    bms = make_bms()
    bms.faults.forced_bank_voltage = voltage
    run(bms, 1)
    assert bms.powered is powered
    assert (bms.own_consumption > 0) is powered
    if powered:
        assert bms.codes >= {Code.E_B09}
    else:
        assert all_off(bms)
        assert not bms.codes
        assert bms.snapshot().voltage is None


def test_m_w1_supply_that_comes_back_starts_the_device_anew() -> None:
    bms = make_bms()
    bms.faults.forced_bank_voltage = 5.0
    run(bms, 60)
    bms.faults.forced_bank_voltage = None
    run(bms, 1)
    assert bms.outputs.load
    assert not bms.codes


@pytest.mark.parametrize(("ambient", "within"), [(-20.5, False), (-20, True), (50, True), (50.5, False)])
def test_m_w2_operating_temperature(ambient: float, within: bool) -> None:
    bms = make_bms()
    run(bms, 1, ambient=ambient)
    assert bms.within_operating_temperature is within
    assert bms.outputs.load


# Cold, heat, high cells, by what happens and not by faults


def test_m_p1_a_frozen_battery_does_not_charge_until_it_is_warm() -> None:
    bms = make_bms(soc=60, temperature=-5)
    run(bms, 60, ambient=-5)
    assert bms.charge_off_reasons == {Reason.LOW_TEMPERATURE}
    hours = 0
    while not bms.outputs.charger:
        run(bms, 3600, ambient=15)
        hours += 1
        assert hours < 24
    assert bms.bank.temperature[0] > 6


def test_m_p1_a_charge_without_end_stops_at_the_high_cell() -> None:
    bms = make_bms(soc=97)
    run_until(bms, lambda: not bms.outputs.charger, current=20)
    assert bms.charge_off_reasons == {Reason.HIGH_CELL_VOLTAGE}
    assert bms.bank.cell_voltages.max() == pytest.approx(3.75, abs=0.02)


# Faults


def test_m_c2_m_c5_cable_unplugged_while_running() -> None:
    bms = make_bms(TWO_IN_PARALLEL, soc=60)
    bms.faults.unplugged_battery = 1
    run(bms, 1)
    assert bms.codes == {Code.W_B05}
    assert bms.outputs.load
    assert bms.battery_page(1) is None
    assert bms.battery_page(0) is not None
    run(bms, 60)
    assert bms.codes == {Code.A_B05}
    assert all_off(bms)
    bms.faults.unplugged_battery = None
    run(bms, 1)
    assert not bms.codes


def test_the_only_battery_takes_its_measurements_with_it() -> None:
    bms = make_bms(soc=60)
    bms.faults.unplugged_battery = 0
    run(bms, 600, current=-10)
    snapshot = bms.snapshot()
    assert (snapshot.current, snapshot.temperature, snapshot.time_to_go) == (None, None, None)
    assert snapshot.state_of_charge == 60
    assert snapshot.voltage == pytest.approx(13.2, abs=0.2)
    assert bms.bank_page().lowest_cell is None


def test_faults_in_cells_that_are_not_there_are_refused() -> None:
    bms = make_bms()
    for faults in ({"cell_voltage_offsets": {(0, 4): 0.1}}, {"cell_drains": {(1, 0): 0.1}}, {"unplugged_battery": 1}):
        for name, value in faults.items():
            setattr(bms.faults, name, value)
            with pytest.raises(ValueError, match="The bank has no"):
                bms.refresh()
            setattr(bms.faults, name, {} if isinstance(value, dict) else None)


def offset_high(bms: SmallBms) -> None:
    bms.faults.cell_voltage_offsets = {(0, 1): 0.6}


def offset_low(bms: SmallBms) -> None:
    bms.faults.cell_voltage_offsets = {(0, 1): -0.45}


def hot(bms: SmallBms) -> None:
    bms.faults.forced_temperature = 60.0


def frozen(bms: SmallBms) -> None:
    bms.faults.forced_temperature = -10.0


def unplug(bms: SmallBms) -> None:
    bms.faults.unplugged_battery = 0


def break_hardware(bms: SmallBms) -> None:
    bms.faults.hardware_fault = True


def raise_voltage(bms: SmallBms) -> None:
    bms.faults.forced_bank_voltage = 61.0


def lower_voltage(bms: SmallBms) -> None:
    bms.faults.forced_bank_voltage = 10.0


@pytest.mark.parametrize(
    ("happens", "codes", "load", "charger"),
    [
        (offset_high, set(), True, False),
        (offset_low, {Code.W_B01}, True, True),
        (hot, {Code.A_B09}, True, False),
        (frozen, set(), True, False),
        (unplug, {Code.A_B05}, False, False),
        (break_hardware, {Code.E_B11}, False, False),
        (raise_voltage, {Code.E_B09}, False, False),
        (lower_voltage, {Code.A_B08}, False, True),
    ],
)
def test_faults_come_and_go(happens: Callable[[SmallBms], None], codes: set[Code], load: bool, charger: bool) -> None:
    bms = make_bms(soc=60)
    healthy = type(bms.faults)()
    happens(bms)
    run(bms, 1)
    run(bms, 100)
    assert bms.codes == codes
    assert (bms.outputs.load, bms.outputs.charger) == (load, charger)
    bms.faults = healthy
    run(bms, 1)
    assert not bms.codes
    assert (bms.outputs.load, bms.outputs.charger) == (True, True)


# Status page and Instant Readout


def test_m_v1_status_page() -> None:
    bms = make_bms(soc=60)
    run(bms, 60, current=-20)
    page = bms.status_page()
    assert page.mode_on
    assert page.state_of_charge == pytest.approx(60 - 100 * 20 / 60 / 100, abs=0.01)
    assert page.voltage == bms.voltage
    assert page.power == pytest.approx(page.voltage * -20.003)
    assert page.consumed_ah == pytest.approx(40 + 20 / 60, abs=0.01)
    assert page.time_remaining == pytest.approx(149, abs=1)


def test_m_v7_snapshot_of_a_healthy_device() -> None:
    bms = make_bms(soc=60)
    run(bms, 60, current=-20)
    snapshot = bms.snapshot()
    assert snapshot.error == 0
    assert snapshot.voltage == bms.voltage
    assert snapshot.current == pytest.approx(-20.003)
    assert snapshot.state_of_charge == pytest.approx(59.67, abs=0.01)
    assert snapshot.time_to_go == 149
    assert snapshot.temperature == 20
    assert snapshot.drawn_amphours == pytest.approx(40.33, abs=0.01)
    assert snapshot.io == {
        IoField.ALLOWED_TO_CHARGE: True,
        IoField.ALLOWED_TO_DISCHARGE: True,
        IoField.REMOTE_ON: True,
    }
    assert snapshot.levels[LevelField.LOW_SOC] is Level.OK
    assert snapshot.levels[LevelField.HIGH_CURRENT] is Level.NOT_SUPPORTED


def test_m_v7_snapshot_tells_of_warnings_alarms_and_errors() -> None:
    bms = make_bms(soc=12)
    assert bms.snapshot().levels[LevelField.LOW_SOC] is Level.WARNING
    assert bms.snapshot().io[IoField.ALLOWED_TO_DISCHARGE] is True
    bms.set_state_of_charge(5)
    assert bms.snapshot().levels[LevelField.LOW_SOC] is Level.ALARM
    assert bms.snapshot().io[IoField.ALLOWED_TO_DISCHARGE] is False
    bms.faults.hardware_fault = True
    bms.refresh()
    assert bms.snapshot().error == 11


def test_m_v7_unknown_state_of_charge_is_not_available() -> None:
    snapshot = make_bms(known=False).snapshot()
    assert snapshot.state_of_charge is None
    assert snapshot.drawn_amphours is None


# Stepping


def test_a_long_step_is_the_same_as_many_short_ones() -> None:
    long, short = make_bms(soc=18), make_bms(soc=18)
    run(long, 1800, current=-25)
    for _ in range(360):
        run(short, 5, current=-25)
    assert long.codes == short.codes
    assert long.voltage == pytest.approx(short.voltage, abs=0.002)
    assert long.monitor.state_of_charge == pytest.approx(short.monitor.state_of_charge)
    assert long.history.discharged_energy_kwh == pytest.approx(short.history.discharged_energy_kwh, rel=1e-3)


def test_a_step_ends_timers_on_time() -> None:
    bms = make_bms()
    bms.faults.unplugged_battery = 0
    bms.refresh()
    assert bms.next_timer() == 60
    run(bms, 59.999)
    assert bms.codes == {Code.W_B05}
    run(bms, 0.001)
    assert bms.codes == {Code.A_B05}


def test_conditions_change_with_everything_that_flips_and_with_nothing_else() -> None:
    bms = make_bms(soc=60)
    before = bms.conditions()
    run(bms, 300, current=-10)
    assert bms.conditions() == before
    bms.faults.forced_temperature = 55.0
    run(bms, 1)
    hot_now = bms.conditions()
    assert hot_now != before
    bms.faults.forced_temperature = None
    bms.remote = OPEN
    run(bms, 1)
    assert bms.conditions() not in (before, hot_now)


def test_conditions_change_when_a_synchronization_comes_into_sight() -> None:
    bms = make_bms(soc=97)
    bms.faults.forced_bank_voltage = 14.2
    before = bms.conditions()
    run(bms, 1, current=2)
    assert bms.conditions() != before
    assert bms.next_timer() == 180


def test_no_crossing_is_lost_when_the_step_is_halved_until_nothing_flips() -> None:
    """Step as a simulation does: go back and step shorter whenever something flipped."""
    bms, seconds, elapsed = make_bms(soc=16), 60.0, 0.0
    while bms.outputs.load:
        checkpoint, before = bms.copy(), bms.conditions()
        run(bms, seconds, current=-20)
        if bms.conditions() != before and seconds > 0.01:
            bms.restore(checkpoint)
            seconds /= 2
            continue
        elapsed += seconds
        seconds = min(60.0, seconds * 2)
    assert bms.monitor.state_of_charge == pytest.approx(10, abs=0.0001)
    assert elapsed == pytest.approx(6 / 20.003 * 3600, rel=0.001)


def test_restoring_a_copy_goes_back() -> None:
    bms = make_bms(soc=16)
    run(bms, 100, current=-20)
    bms.remote = OPEN
    run(bms, 1)
    bms.remote = WIRE_LOOP
    saved, checkpoint, shown = bms.save(), bms.copy(), bms.snapshot()
    run(bms, 3600, current=-20, ambient=-30)
    bms.begin_firmware_update()
    run(bms, 10)
    assert bms.save() != saved
    bms.restore(checkpoint)
    assert bms.save() == saved
    assert bms.snapshot() == shown
    run(bms, 100, current=-20)
    bms.restore(checkpoint)
    assert bms.save() == saved


# Saving


events = st.lists(
    st.tuples(
        st.sampled_from(["flow", "charge", "unplug", "plug", "offset", "off", "on", "update", "fail", "soc", "drain"]),
        st.floats(0.1, 200),
    ),
    max_size=6,
)


def happen(bms: SmallBms, event: str, size: float) -> None:
    """Let one thing happen, and some time pass."""
    if event == "unplug":
        bms.faults.unplugged_battery = 0
    elif event == "plug":
        bms.faults.unplugged_battery = None
    elif event == "offset":
        bms.faults.cell_voltage_offsets = {(0, 2): -size / 200}
    elif event == "drain":
        bms.faults.cell_drains = {(0, 1): size / 200}
    elif event in ("on", "off"):
        bms.set_mode(event == "on")
    elif event == "update" and bms.firmware_state == "idle":
        bms.begin_firmware_update()
    elif event == "fail" and bms.firmware_state == "updating":
        bms.finish_firmware_update(ok=False)
    elif event == "soc":
        bms.set_state_of_charge(size / 2)
    run(bms, size, current=size / 10 if event == "charge" else -size / 8, ambient=size / 10)


@settings(max_examples=40, deadline=None)
@given(first=events, then=events, layout=st.sampled_from([ONE_12V, TWO_IN_PARALLEL]), soc=st.floats(0.5, 100))
def test_saved_and_loaded_device_goes_on_as_if_nothing_had_been(
    first: list[tuple[str, float]], then: list[tuple[str, float]], layout: BankLayout, soc: float
) -> None:
    bms = make_bms(layout, soc=soc)
    for event, size in first:
        happen(bms, event, size)
    loaded = SmallBms.load(json.loads(json.dumps(bms.save())))
    assert loaded.snapshot() == bms.snapshot()
    for event, size in then:
        happen(bms, event, size)
        happen(loaded, event, size)
        assert loaded.conditions() == bms.conditions()
    assert loaded.save() == bms.save()
    assert loaded.snapshot() == bms.snapshot()


@pytest.mark.parametrize("fault", ["cell", "bank", None])
def test_one_battery_alone_shows_the_voltage_of_the_bank(fault: str | None) -> None:
    bms = make_bms()
    if fault == "cell":
        bms.faults.cell_voltage_offsets[0, 0] = -0.5
    if fault == "bank":
        bms.faults.forced_bank_voltage = 9.5
    run(bms, 60, current=-30)
    page = bms.battery_page(0)
    assert page is not None
    assert page.voltage == pytest.approx(bms.status_page().voltage)


def test_m_c7_a_low_bank_voltage_shows_what_it_waits_for() -> None:
    bms = make_bms()
    bms.faults.forced_bank_voltage = 10.0
    bms.refresh()
    assert bms.waiting == {Reason.LOW_BANK_VOLTAGE: 30.0}
    run(bms, 12)
    assert bms.waiting == {Reason.LOW_BANK_VOLTAGE: pytest.approx(18.0)}
    assert bms.codes == set()
    run(bms, 18)
    assert bms.waiting == {}
    assert bms.codes == {Code.A_B08}


def test_what_else_is_waited_for() -> None:
    bms = make_bms(TWO_IN_PARALLEL)
    bms.faults.cell_voltage_offsets[0, 0] = 2.85 - float(bms.bank.cell_voltages[0])
    run(bms, 5)
    assert bms.waiting == {}, "the pre-alarm is on, but nothing will be switched off"
    bms.faults.cell_voltage_offsets[0, 0] -= 0.1
    bms.faults.unplugged = frozenset({1})
    bms.begin_firmware_update()
    bms.finish_firmware_update(ok=False)
    run(bms, 10)
    assert set(bms.waiting) == {Reason.LOW_CELL_VOLTAGE, Reason.BATTERY_COMMUNICATION, Reason.FIRMWARE_UPDATE}


@pytest.mark.parametrize(
    ("shown", "temperature"),
    [(ShownTemperature.HOTTEST, 12), (ShownTemperature.COLDEST, 3), (ShownTemperature.MEAN, 6)],
)
def test_m_v7_which_temperature_is_shown_where_there_is_room_for_one(shown: ShownTemperature, temperature: int) -> None:
    bms = make_bms(BankLayout.of("12.8/100", parallel=3))
    bms.bank.temperature = np.array([4.0, 12.0, 3.0])
    bms.shown_temperature = shown
    bms.refresh()
    assert bms.snapshot().temperature == temperature
    bms.faults.unplugged = frozenset({0, 1, 2})
    bms.refresh()
    assert bms.snapshot().temperature is None
    assert SmallBms.load(bms.save()).shown_temperature is shown


def test_destroyed_outputs_stay_so_after_loading() -> None:
    bms = make_bms()
    bms.draw_from_output(Output.CHARGER, 2.0)
    loaded = SmallBms.load(json.loads(json.dumps(bms.save())))
    assert not loaded.outputs.charger
    assert loaded.own_consumption == bms.own_consumption


def test_m_v3_a_full_charge_is_remembered_over_saving() -> None:
    bms = make_bms(soc=95)
    charge_to(bms, 14.2, limit=30, seconds=3600)
    loaded = SmallBms.load(json.loads(json.dumps(bms.save())))
    assert loaded.bank_page() == bms.bank_page()
    assert loaded.bank_page().balancer_status is BalancerStatus.BALANCED
