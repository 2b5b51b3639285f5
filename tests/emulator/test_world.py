"""Loads and chargers around the bank, and how they obey the outputs."""

import pytest

from emulator.bms.faults import BmsFaults
from emulator.simulation.simulation import Simulation
from emulator.world.switches import SwitchKind
from emulator.world.world import CannotForceError, UnknownItemError

from .scenarios import current, item, simulation

HOUR = 3600.0
DAY = 24 * HOUR


def with_load(follows: str, switches: str = "") -> Simulation:
    return simulation(f"""
        switches: [{switches}]
        loads:
          - {{name: Lamp, follows: {follows}, current: 10}}
        """)


def with_charger(follows: str, switches: str = "") -> Simulation:
    return simulation(f"""
        switches: [{switches}]
        chargers:
          - {{name: Charger, kind: shore, follows: {follows}, current: 10}}
        """)


LOADS = [
    pytest.param("load-output", "", 0.0, id="load output"),
    pytest.param("inverting-cable", "", 0.0, id="inverting cable"),
    pytest.param("Own", "{name: Own, kind: battery-protect}", 30.0, id="BatteryProtect"),
    pytest.param("Own", "{name: Own, kind: cyrix-li-load}", 30.0, id="Cyrix-Li-Load"),
]
CHARGERS = [
    pytest.param("charger-output", "", 0.0, id="charger output"),
    pytest.param("ve-direct-cable", "", 0.0, id="VE.Direct cable"),
    pytest.param("Own", "{name: Own, kind: cyrix-li-charge}", 3.0, id="Cyrix-Li-Charge"),
]


@pytest.mark.parametrize(("follows", "switches", "delay"), LOADS)
def test_m_o5_loads_obey_the_load_output(follows: str, switches: str, delay: float) -> None:
    running = with_load(follows, switches)
    running.advance(1)
    assert current(running, "Lamp") == -10.0
    running.bms.set_mode(False)
    running.advance(1)
    assert current(running, "Lamp") == 0.0
    running.bms.set_mode(True)
    running.advance(delay - 1 if delay else 0)
    assert current(running, "Lamp") == 0.0
    running.advance(2)
    assert current(running, "Lamp") == -10.0


@pytest.mark.parametrize(("follows", "switches", "delay"), CHARGERS)
def test_m_o5_chargers_obey_the_charger_output(follows: str, switches: str, delay: float) -> None:
    running = with_charger(follows, switches)
    running.advance(5)
    assert current(running, "Charger") == 10.0
    running.bms.set_mode(False)
    running.advance(1)
    assert current(running, "Charger") == 0.0
    running.bms.set_mode(True)
    running.advance(max(delay - 1, 0))
    assert current(running, "Charger") == 0.0
    running.advance(3)
    assert current(running, "Charger") == 10.0


@pytest.mark.parametrize("cable", ["load-output", "inverting-cable"])
def test_m_o5_inverter_and_what_is_behind_it_obey_the_load_output(cable: str) -> None:
    running = simulation(f"""
        switches:
          - {{name: Inverter, kind: inverter, follows: {cable}, efficiency: 80, idle_power: 13}}
        loads:
          - {{name: Kettle, follows: Inverter, power: 800}}
        """)
    running.advance(1)
    voltage = running.bms.bank.voltage
    assert current(running, "Kettle") == pytest.approx(-1000 / voltage, rel=0.01)
    assert current(running, "Inverter (idle)") == pytest.approx(-13 / voltage, rel=0.01)
    running.bms.set_mode(False)
    running.advance(1)
    assert current(running, "Kettle") == current(running, "Inverter (idle)") == 0.0
    running.bms.set_mode(True)
    running.advance(1)
    assert current(running, "Kettle") < 0


def test_m_o5_a_high_cell_stops_chargers_and_no_loads() -> None:
    running = simulation("""
        loads: [{name: Lamp, follows: load-output, current: 2}]
        chargers: [{name: Charger, kind: shore, follows: charger-output, current: 10}]
        """)
    running.bms.faults.cell_voltage_offsets[0, 0] = 0.7
    running.bms.refresh()
    running.advance(1)
    assert current(running, "Charger") == 0.0
    assert current(running, "Lamp") == -2.0


def test_m_o5_a_low_cell_stops_loads_and_no_chargers() -> None:
    running = simulation("""
        loads: [{name: Lamp, follows: load-output, current: 20}]
        chargers: [{name: Charger, kind: shore, follows: charger-output, current: 10}]
        """)
    running.bms.faults.cell_voltage_offsets[0, 0] = -0.7
    running.bms.refresh()
    running.advance(29)
    assert current(running, "Lamp") == -20.0
    running.advance(2)
    assert current(running, "Lamp") == 0.0
    assert current(running, "Charger") == 10.0


def test_m_d1_a_residual_current_goes_on_after_the_shutdown() -> None:
    running = simulation(
        """
        settings: {discharge_floor: 0, low_soc_warning: 0}
        loads:
          - {name: Lamp, follows: load-output, current: 20}
          - {name: Clock, follows: nothing, current: 0.010}
        """,
        bank="bank: {model: 12.8/200, state_of_charge: 3}",
    )
    running.advance(2 * HOUR)
    assert not running.bms.outputs.load
    assert current(running, "Lamp") == 0.0
    assert current(running, "Clock") == -0.010
    left = running.bms.reserve_ah
    running.advance(DAY)
    # The clock, and the 1.2 mA of the BMS (M-W1); self-discharge comes on top.
    assert left - running.bms.reserve_ah == pytest.approx(24 * 0.0112, abs=0.2)
    assert left - running.bms.reserve_ah > 24 * 0.0112


def test_what_follows_nothing_goes_on_with_the_system_off() -> None:
    running = simulation("""
        loads: [{name: Clock, follows: nothing, current: 0.5}]
        chargers: [{name: Dynamo, kind: shore, follows: nothing, current: 3}]
        """)
    running.bms.set_mode(False)
    running.advance(60)
    assert current(running, "Clock") == -0.5
    assert current(running, "Dynamo") == 3.0


def test_the_bank_gets_chargers_less_loads() -> None:
    running = simulation("""
        loads:
          - {name: Lamp, follows: load-output, current: 3}
          - {name: Heater, follows: load-output, resistance: 2}
          - {name: Radio, follows: load-output, power: 26}
        chargers: [{name: Charger, kind: shore, follows: charger-output, current: 20}]
        """)
    running.advance(60)
    total = sum(status.current for status in running.world.status(running.elapsed))
    assert running.bms.bank.current == pytest.approx(total)
    voltage = running.bms.bank.voltage
    assert current(running, "Heater") == pytest.approx(-voltage / 2, rel=0.01)
    assert current(running, "Radio") == pytest.approx(-26 / voltage, rel=0.01)


def test_profile_and_duty_cycle_switch_at_their_times() -> None:
    running = simulation("""
        loads:
          - {name: Lights, follows: load-output, current: {"00:00": 0, "12:10": 4, "13:00": 1}}
          - {name: Pump, follows: load-output, current: 5, duty: {on: 2 min, every: 10 min}}
        """)
    lights, pump = [], []
    for _ in range(120):
        running.advance(60)
        lights.append(current(running, "Lights"))
        pump.append(current(running, "Pump"))
    assert lights == [0.0] * 10 + [-4.0] * 50 + [-1.0] * 60
    assert pump.count(-5.0) == pytest.approx(24, abs=2)
    assert running.bms.bank.ledger.discharged == pytest.approx((50 * 4 + 60 * 1 + 24 * 5) / 60 * 1e9, rel=0.03)


def test_charger_goes_through_bulk_absorption_and_float() -> None:
    running = simulation(
        """
        loads: [{name: Lamp, follows: load-output, current: 1}]
        chargers:
          - {name: Charger, kind: shore, follows: charger-output, current: 20, absorption_time: 1 h}
        """,
        bank="bank: {model: 12.8/100, state_of_charge: 90}",
    )
    stages, held = [], []
    for _ in range(12 * 12):
        running.advance(300)
        stages.append(item(running, "Charger").detail)
        held.append(running.bms.bank.voltage)
    assert [stage for stage, before in zip(stages, [None, *stages], strict=False) if stage != before] == [
        "bulk",
        "absorption",
        "float",
    ]
    assert stages.count("absorption") == 12
    assert max(held) == pytest.approx(14.2, abs=0.01)
    assert held[-1] == pytest.approx(13.5, abs=0.03)


def test_charging_to_the_absorption_voltage_synchronizes_the_monitor() -> None:
    running = simulation(
        "chargers: [{name: Charger, kind: shore, follows: charger-output, current: 20}]",
        bank="bank: {model: 12.8/100, state_of_charge: 80, state_of_charge_known: no}",
    )
    assert running.bms.monitor.state_of_charge is None
    running.advance(3 * HOUR)
    # At rest above its float voltage the battery carries the BMS.
    assert running.bms.monitor.state_of_charge == pytest.approx(100.0, abs=0.01)


def test_a_load_that_the_charger_cannot_carry_begins_a_new_cycle() -> None:
    running = simulation(
        """
        loads: [{name: Lamp, follows: load-output, current: 30}]
        chargers:
          - {name: Charger, kind: shore, follows: charger-output, current: 10, absorption_time: 10 min}
        """,
        bank="bank: {model: 12.8/100, state_of_charge: 99}",
    )
    running.world.force("Lamp", on=False)
    running.advance(4 * HOUR)
    assert item(running, "Charger").detail == "float"
    running.world.force("Lamp", on=None)
    running.advance(HOUR)
    assert item(running, "Charger").detail == "bulk"


def test_chargers_of_different_voltage_work_together() -> None:
    running = simulation(
        """
        chargers:
          - {name: Low, kind: shore, follows: charger-output, current: 5, absorption_voltage: 13.6, float_voltage: 13.5}
          - {name: High, kind: shore, follows: charger-output, current: 5}
        """,
        bank="bank: {model: 12.8/100, state_of_charge: 97}",
    )
    running.advance(1)
    assert current(running, "Low") == current(running, "High") == 5.0
    running.advance(HOUR)
    assert current(running, "Low") == 0.0
    assert current(running, "High") > 0.0
    assert running.bms.bank.voltage > 13.6


SOLAR = """
chargers:
  - {name: MPPT, kind: solar, follows: charger-output, current: 15, panel: {peak_power: 200}}
"""


def test_solar_charger_follows_the_sun() -> None:
    running = simulation(SOLAR, bank="bank: {model: 12.8/300, state_of_charge: 20}")
    by_hour = {}
    for _ in range(24):
        running.advance(HOUR)
        by_hour[running.now.hour] = current(running, "MPPT")
    assert by_hour[0] == by_hour[1] == by_hour[2] == 0.0
    assert 0 < by_hour[6] < by_hour[9] < by_hour[12]
    assert by_hour[12] == pytest.approx(200 * 0.86 * 0.95 * 0.98 / 13.3, rel=0.1)
    assert max(by_hour.values()) <= 15.0


def test_solar_charger_gives_at_most_its_current() -> None:
    running = simulation(SOLAR.replace("200", "2000"))
    running.advance(60)
    assert current(running, "MPPT") == 15.0


def test_solar_charger_is_off_at_night_and_starts_afresh_in_the_morning() -> None:
    load = "loads: [{name: Lamp, follows: load-output, current: 1}]"
    running = simulation(SOLAR + load, bank="bank: {model: 12.8/100, state_of_charge: 95}")
    running.advance(6 * HOUR)
    assert item(running, "MPPT").detail == "float"
    running.advance(6 * HOUR)
    assert item(running, "MPPT").detail == "off"
    running.advance(4.5 * HOUR)
    assert item(running, "MPPT").detail == "bulk"


def test_a_short_interruption_does_not_begin_the_charge_cycle_again() -> None:
    running = with_charger("charger-output")
    running.bms.set_state_of_charge(95)
    running.advance(8 * HOUR)
    assert item(running, "Charger").detail == "float"
    running.bms.set_mode(False)
    running.advance(0.5 * HOUR)
    assert item(running, "Charger").detail == "off"
    running.bms.set_mode(True)
    running.advance(10)
    assert item(running, "Charger").detail == "float"


def test_a_long_interruption_begins_the_charge_cycle_again() -> None:
    running = with_charger("charger-output")
    running.advance(8 * HOUR)
    assert item(running, "Charger").detail == "float"
    running.bms.set_mode(False)
    running.advance(1.1 * HOUR)
    running.bms.set_mode(True)
    running.advance(60)
    assert item(running, "Charger").detail in ("bulk", "absorption")


def test_mains_come_and_go_by_the_clock() -> None:
    running = simulation("""
        chargers:
          - name: Charger
            kind: shore
            follows: charger-output
            current: 5
            mains: [{from: 18:00, to: 06:00, days: [monday]}]
        """)
    on = []
    for _ in range(48):
        running.advance(HOUR)
        on.append(item(running, "Charger").on)
    # From noon on: six hours until it is plugged in, then twelve hours.
    assert on == [False] * 6 + [True] * 12 + [False] * 30


CAMPER = """
switches:
  - {name: Cyrix, kind: cyrix-li-ct, starter_battery: {capacity: 95, state_of_charge: 80}}
loads: [{name: Lamp, follows: load-output, current: 5}]
chargers:
  - {name: Alternator, kind: alternator, follows: Cyrix, current: 60, driving: [{from: 13:00, to: 14:30}]}
"""


def test_m_o5_cyrix_li_ct_lets_the_alternator_charge_both_batteries() -> None:
    running = simulation(CAMPER)
    running.advance(HOUR)
    assert not item(running, "Cyrix").on
    assert running.bms.bank.current == pytest.approx(-5)
    running.advance(60)
    assert item(running, "Cyrix").on
    starter = -current(running, "Cyrix")
    assert starter > 1.0
    assert running.bms.bank.current == pytest.approx(60 - 5 - starter)
    running.advance(80 * 60)
    assert running.bms.bank.voltage == pytest.approx(14.4, abs=0.02)


def test_m_o5_cyrix_li_ct_parts_the_batteries_when_the_charger_output_floats() -> None:
    running = simulation(CAMPER)
    running.advance(HOUR + 120)
    assert item(running, "Cyrix").on
    running.bms.faults.forced_temperature = 2.0
    running.bms.refresh()
    running.advance(1)
    assert not item(running, "Cyrix").on
    assert running.bms.bank.current == pytest.approx(-5)
    assert item(running, "Cyrix").detail == "starter battery 14.40 V"
    running.bms.faults = BmsFaults()
    running.advance(60)
    assert item(running, "Cyrix").on


def test_cyrix_li_ct_parts_the_batteries_at_a_low_voltage_and_keeps_the_starter_battery() -> None:
    running = simulation(CAMPER)
    running.advance(5 * HOUR)
    running.world.force("Alternator", on=False)
    running.advance(20 * HOUR)
    assert running.bms.bank.voltage < 13.2
    assert not item(running, "Cyrix").on
    assert float(item(running, "Cyrix").detail.split()[2]) > 12.6


def test_going_back_undoes_everything_that_a_step_does() -> None:
    running = simulation(CAMPER)
    world, bms = running.world, running.bms
    for _ in range(8):
        running.advance(1000)
        before = world.copy()
        world.flow(running.elapsed, bms, 700)
        world.advance(running.elapsed, bms, 700)
        assert world.copy() != before
        world.restore(before)
        assert world.copy() == before


def test_battery_protect_opens_by_itself_on_a_low_voltage() -> None:
    running = simulation(
        """
        settings: {discharge_floor: 0, low_soc_warning: 0}
        switches: [{name: Protect, kind: battery-protect, disconnects: 12.6, reconnects: 13.0}]
        loads: [{name: Lamp, follows: Protect, current: 20}]
        """,
        bank="bank: {model: 12.8/100, state_of_charge: 12}",
    )
    running.advance(0.5 * HOUR)
    assert not item(running, "Protect").on
    assert running.bms.outputs.load
    assert running.bms.bank.voltage < 13.0


def test_thresholds_are_multiples_of_those_of_12_volts() -> None:
    running = simulation(
        """
        switches: [{name: Protect, kind: battery-protect}]
        loads: [{name: Lamp, follows: Protect, power: 100}]
        chargers: [{name: Charger, kind: shore, follows: charger-output, current: 50}]
        """,
        bank="bank: {model: 51.2/100, state_of_charge: 95}",
    )
    running.advance(2 * HOUR)
    assert running.bms.bank.voltage == pytest.approx(4 * 14.2, abs=0.05)
    assert item(running, "Protect").on


def test_ambient_temperature_warms_the_batteries() -> None:
    running = simulation('temperature: {"06:00": 10, "14:00": 30}')
    assert running.world.ambient(0.0) == pytest.approx(25.0)
    running.advance(DAY)
    assert 10 < float(running.bms.bank.temperature[0]) < 30


def test_loads_and_chargers_can_be_switched_by_hand() -> None:
    running = simulation("""
        loads: [{name: Lamp, follows: load-output, current: 2, duty: {on: 1 min, every: 100 h}}]
        chargers: [{name: Charger, kind: shore, follows: charger-output, current: 10, mains: no}]
        """)
    running.advance(120)
    assert current(running, "Lamp") == current(running, "Charger") == 0.0
    running.world.force("Lamp", on=True)
    running.world.force("Charger", on=True)
    running.advance(1)
    assert (current(running, "Lamp"), current(running, "Charger")) == (-2.0, 10.0)
    running.world.force("Lamp", on=None)
    running.world.force("Charger", on=None)
    running.advance(1)
    assert current(running, "Lamp") == current(running, "Charger") == 0.0


def test_the_sun_cannot_be_switched_on() -> None:
    running = simulation(SOLAR)
    with pytest.raises(CannotForceError, match=r"^MPPT runs on the sun, which cannot be switched on, only off\.$"):
        running.world.force("MPPT", on=True)
    assert running.world.forced == {}
    running.world.force("MPPT", on=False)
    assert running.world.forced == {"MPPT": False}


def test_a_load_that_has_a_supply_is_on_only_while_it_runs() -> None:
    running = simulation("""
        loads: [{name: Lamp, follows: load-output, current: 2, duty: {on: 1 h, every: 100 h}}]
        """)
    running.world.force("Lamp", on=False)
    running.advance(60)
    lamp = item(running, "Lamp")
    assert (lamp.supplied, lamp.on, str(lamp.current)) == (True, False, "0.0")
    running.world.force("Lamp", on=True)
    assert item(running, "Lamp").on
    running.bms.set_mode(False)
    running.advance(60)
    lamp = item(running, "Lamp")
    assert (lamp.supplied, lamp.on) == (False, False)


def test_what_is_not_there_cannot_be_switched() -> None:
    running = simulation("loads: [{name: Lamp, follows: nothing, current: 2}]")
    with pytest.raises(UnknownItemError, match="no load or charger 'Lmap'; there are Lamp"):
        running.world.force("Lmap", on=True)


def test_every_kind_of_switch_can_be_built() -> None:
    switches = ", ".join(f"{{name: {kind.value.upper()}, kind: {kind.value}}}" for kind in SwitchKind)
    running = simulation(f"switches: [{switches}]")
    assert {status.kind for status in running.world.status(running.elapsed)} == {
        *(kind.value for kind in SwitchKind),
        "load",
    }


def test_a_voltage_too_low_for_a_load_of_constant_power_ends_it() -> None:
    running = simulation(
        "loads: [{name: Heater, follows: nothing, power: 500}]",
        bank="bank: {model: 12.8/100, state_of_charge: 0.5}",
    )
    running.advance(HOUR)
    assert current(running, "Heater") == 0.0
