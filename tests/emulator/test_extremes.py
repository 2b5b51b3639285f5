"""What no bank should meet: short circuits, loads too heavy for it, heat, and lives without end."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from emulator.battery.bank import DESTROYING_TEMPERATURE
from emulator.bms.bms import SmallBms
from emulator.bms.codes import Code
from emulator.drive import Clockwork
from emulator.simulation.simulation import LONGEST_LIFE, Simulation
from emulator.world.fuse import FUSE_SECONDS, Fuse
from emulator.world.loads import LOWEST_VOLTAGE

from .banks import make_bank, make_bms
from .scenarios import current, item, scenario, simulation

SHORT = "{name: Short, follows: %s, resistance: 0.001}"


def short(follows: str, switches: str = "") -> Simulation:
    return simulation(f"switches: [{switches}]\nloads: [{SHORT % follows}]")


def test_a_short_circuit_draws_what_the_resistance_allows() -> None:
    running = short("nothing")
    flowing = running.world.flow(running.elapsed, running.bms, 0.0)
    inside = float(running.bms.bank.cells.resistance.sum())
    assert -flowing == pytest.approx(running.bms.voltage / (inside + 0.001), rel=0.01)
    assert flowing < -2000


def test_a_short_circuit_blows_the_main_fuse() -> None:
    running = short("nothing")
    running.advance(1)
    assert running.world.fuse.blown
    running.advance(60)
    assert current(running, "Short") == 0
    assert running.bms.voltage > 13
    assert running.bms.current == pytest.approx(-0.003)
    assert running.bms.bank.over_pulse


def test_a_new_fuse_blows_again_as_long_as_there_is_a_short_circuit() -> None:
    running = short("nothing")
    running.advance(1)
    running.world.fuse.replace()
    running.advance(1)
    assert running.world.fuse.blown
    running.world.force("Short", on=False)
    running.world.fuse.replace()
    running.advance(60)
    assert not running.world.fuse.blown


def test_without_its_fuse_a_bank_is_neither_charged_nor_discharged() -> None:
    running = simulation(
        """
        loads: [{name: Lamp, follows: nothing, current: 5}]
        chargers: [{name: Charger, kind: shore, follows: nothing, current: 10}]
        fuse: 3
        """
    )
    running.advance(600)
    assert running.world.fuse.blown
    assert (current(running, "Lamp"), current(running, "Charger")) == (0, 0)
    loaded = Simulation.load_state(running.scenario, json.loads(json.dumps(running.save_state())))
    assert loaded.world.fuse.blown


@pytest.mark.parametrize("kind", ["battery-protect", "smart-battery-protect"])
def test_a_battery_protect_opens_before_the_fuse_and_stays_open(kind: str) -> None:
    running = short("Protect", f"{{name: Protect, kind: {kind}}}")
    running.advance(120)
    assert not item(running, "Protect").on
    assert not running.world.fuse.blown
    assert running.bms.powered
    running.world.force("Short", on=False)
    running.advance(120)
    assert not item(running, "Protect").on
    running.bms.set_mode(False)
    running.advance(1)
    running.bms.set_mode(True)
    running.advance(31)
    assert item(running, "Protect").on


def test_m_b2_what_batteries_may_carry_blows_no_fuse() -> None:
    fuse = Fuse(150.0)
    for current_drawn, seconds in ((150.0, 1e6), (200.0, 10.0), (100.0, 60.0), (200.0, 10.0)):
        fuse.advance(current_drawn, seconds)
    assert not fuse.blown
    assert fuse.until_blown(150.0) is None
    wait = fuse.until_blown(300.0)
    assert wait is not None
    assert 0 < wait < FUSE_SECONDS
    fuse.advance(300.0, wait)
    assert fuse.blown


def test_a_constant_power_is_met_exactly() -> None:
    running = simulation("loads: [{name: Heater, follows: nothing, power: 1200}]\nfuse: 1000")
    running.advance(0.25)
    flowing = running.world.flow(running.elapsed, running.bms, 0.0)
    voltage = running.bms.terminal_voltage(flowing)
    assert -flowing * voltage == pytest.approx(1200, rel=1e-4)


def test_a_power_that_no_voltage_meets_collapses_and_does_not_flicker() -> None:
    running = simulation("loads: [{name: Furnace, follows: nothing, power: 15000}]\nfuse: 100000")
    seen = []
    for _ in range(240):
        running.advance(2.5)
        seen.append(current(running, "Furnace"))
    assert seen == [0.0] * 240
    assert running.bms.voltage > 13


def test_the_largest_load_gives_up_first() -> None:
    running = simulation(
        """
        loads:
          - {name: Furnace, follows: nothing, power: 15000}
          - {name: Kettle, follows: nothing, power: 1000}
        fuse: 100000
        """
    )
    running.advance(60)
    assert current(running, "Furnace") == 0
    assert current(running, "Kettle") < -70


def test_a_load_that_gave_up_starts_when_it_was_switched_off_or_can_be_carried() -> None:
    running = simulation(
        'loads: [{name: Furnace, follows: nothing, power: {"00:00": 15000, "12:10": 0, "12:20": 800}}]\nfuse: 100000'
    )
    running.advance(600)
    assert current(running, "Furnace") == 0
    running.advance(660)
    assert current(running, "Furnace") < -50


def test_an_emptied_bank_gives_no_more_and_starts_again_when_charged() -> None:
    running = simulation(
        """
        loads: [{name: Heater, follows: nothing, power: 600}]
        chargers: [{name: Charger, kind: shore, follows: nothing, current: 90, mains: no}]
        """,
        bank="bank: {model: 12.8/100, state_of_charge: 2}",
    )
    running.advance(3 * 3600)
    assert current(running, "Heater") == 0
    running.world.force("Charger", on=True)
    running.advance(3600)
    assert current(running, "Heater") < -30


@pytest.mark.parametrize("amount", ["current: 5000", "resistance: 0.001", "power: 20000"])
def test_no_load_draws_a_bank_below_0_v(amount: str) -> None:
    running = simulation(
        f"loads: [{{name: Heavy, follows: nothing, {amount}}}]\nfuse: 100000",
        bank="bank: {model: 12.8/100, state_of_charge: 1}",
    )
    for _ in range(60):
        running.advance(30)
        assert running.bms.bank.voltage >= -0.01
    assert running.bms.bank.temperature.max() <= DESTROYING_TEMPERATURE


def test_m_c12_heat_that_destroys_a_battery_ends_in_a_hardware_fault() -> None:
    bms = make_bms()
    for number in range(600):
        bms.step(current=3000.0 if number % 2 else -3000.0, ambient=20.0, seconds=1.0)
    assert bms.bank.temperature.max() == DESTROYING_TEMPERATURE
    bms.step(current=0.0, ambient=20.0, seconds=60.0)
    assert Code.E_B11 in bms.codes
    for _ in range(2000):
        bms.step(current=0.0, ambient=20.0, seconds=60.0)
    assert bms.bank.temperature.max() < 25
    loaded = SmallBms.load(json.loads(json.dumps(bms.save())))
    assert Code.E_B11 in loaded.codes
    assert not loaded.outputs.load


def test_heat_that_a_battery_bears_destroys_nothing() -> None:
    bank = make_bank(temperature=79.0)
    bank.step(current=-100.0, own_consumption=0.0, ambient=80.0, seconds=600.0)
    assert not bank.destroyed


# Whatever is written can be read

amounts = st.one_of(
    st.tuples(st.just("power"), st.floats(0, 1e6)),
    st.tuples(st.just("current"), st.floats(0, 1e4)),
    st.tuples(st.just("resistance"), st.floats(0.001, 1e6)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    amount=amounts,
    charge=st.floats(0, 1e4),
    soc=st.floats(0, 100),
    model=st.sampled_from(["12.8/100", "51.2/100"]),
    temperature=st.floats(-40, 80),
    fuse=st.sampled_from([50, 100_000]),
)
def test_whatever_happens_the_state_can_be_read_again(
    amount: tuple[str, float], charge: float, soc: float, model: str, temperature: float, fuse: float
) -> None:
    spec = scenario(
        f"""
        temperature: {temperature:.3f}
        loads: [{{name: Heavy, follows: nothing, {amount[0]}: {amount[1]:.3f}}}]
        chargers: [{{name: Charger, kind: shore, follows: nothing, current: {charge:.3f}, absorption_voltage: 70}}]
        fuse: {fuse}
        """,
        bank=f"bank: {{model: {model}, state_of_charge: {soc:.3f}}}",
    )
    running = Simulation(spec)
    running.advance(30)
    state = json.loads(json.dumps(running.save_state()))
    assert Simulation.load_state(spec, state).save_state() == running.save_state()


def test_a_bank_that_has_moved_more_than_fits_64_bits_can_be_read() -> None:
    bms = make_bms()
    state = bms.history.copy()
    state.drawn = 10**20
    bms.history.restore(state)
    bms.bank.ledger.charged = 10**20
    assert SmallBms.load(json.loads(json.dumps(bms.save()))).save() == bms.save()


def test_life_ends_where_a_state_could_not_be_read_any_more() -> None:
    running = simulation()
    running.elapsed = LONGEST_LIFE - 90
    clockwork = Clockwork([running], after=lambda: None)
    clockwork.advance(60)
    clockwork.advance(3600)
    assert clockwork.elapsed == LONGEST_LIFE
    assert running.now.year < 2200
    assert Simulation.load_state(running.scenario, running.save_state()).elapsed == LONGEST_LIFE


def test_a_load_gives_up_at_its_lowest_voltage() -> None:
    running = simulation("loads: [{name: Heater, follows: nothing, power: 500}]")
    (load,) = running.world.loads
    assert load.current(0.0, LOWEST_VOLTAGE) == pytest.approx(500 / LOWEST_VOLTAGE)
    assert load.current(0.0, LOWEST_VOLTAGE - 0.01) == 0


def test_a_bank_at_0_v_is_charged_again_although_loads_wait_for_it() -> None:
    running = simulation(
        """
        loads: [{name: Heater, follows: nothing, power: 100}, {name: Clock, follows: nothing, current: 1}]
        chargers: [{name: Charger, kind: shore, follows: nothing, current: 90, mains: no}]
        """
    )
    cells = running.bms.bank.cells
    cells.charge = (cells.capacity * -0.03).astype(np.int64)
    running.bms.bank.restore(running.bms.bank.copy())
    assert running.bms.bank.voltage == 0
    running.advance(60)
    assert not running.bms.powered
    assert (current(running, "Heater"), current(running, "Clock")) == (0, 0)
    running.world.force("Charger", on=True)
    running.advance(3600)
    assert running.bms.bank.voltage > 12
    assert current(running, "Heater") < -5
