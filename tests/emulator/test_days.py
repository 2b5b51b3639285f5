"""How one day differs from the next, when a scenario asks for it."""

from collections.abc import Iterator
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from emulator.simulation.grid import COARSE_STEP
from emulator.simulation.scenario import parse_scenario
from emulator.simulation.simulation import Simulation
from emulator.world.days import ALWAYS, Guests, GuestsSpec, Habits
from emulator.world.loads import Load, LoadSpec
from emulator.world.weather import Weather, WeatherSpec

from .scenarios import BASE, current, item, scenario, simulation

HOUR = 3600.0
DAY = 24 * HOUR
LARGE = "bank: {model: 12.8/300, state_of_charge: 95}"
LAMP = "name: Lamp, follows: nothing, current: 0.1"
PUMP = "name: Pump, follows: nothing, current: 0.1, duty: {on: 15 min, every: 1 h}"


def running_with(content: str) -> Simulation:
    """Return a simulation of a large bank that gets through weeks quickly."""
    return Simulation(scenario(content, bank=LARGE), longest_step=COARSE_STEP)


def draws(running: Simulation, name: str, days: int) -> Iterator[float]:
    """Yield what a load draws at noon of each day from the Monday of the start on, in tenths of an A."""
    for _ in range(days):
        running.advance(1)
        yield -10 * current(running, name)
        running.advance(DAY - 1)


def minutes_on(running: Simulation, name: str, hours: int) -> int:
    """Return for how many minutes a load runs."""
    on = 0
    for _ in range(hours * 60):
        running.advance(60)
        on += item(running, name).on
    return on


def habits(*, varies: float = 0, weekend: float = ALWAYS, guests: float = ALWAYS, seed: str = "1") -> Habits:
    return Habits(varies=varies, weekend=weekend, guests=guests, visits=None, seed=seed)


# Loads


def test_a_weekend_is_saturday_and_sunday() -> None:
    running = running_with(f"loads: [{{{LAMP}, weekend: 150}}]")
    assert [round(draw, 3) for draw in draws(running, "Lamp", 8)] == [1, 1, 1, 1, 1, 1.5, 1.5, 1]


def test_its_use_changes_at_midnight() -> None:
    running = running_with(f"loads: [{{{LAMP}, weekend: 0}}]")
    running.advance(4.5 * DAY - 1)
    assert current(running, "Lamp") == -0.1
    running.advance(2)
    assert current(running, "Lamp") == 0


def test_one_with_a_duty_cycle_is_on_for_longer() -> None:
    running = running_with(f"loads: [{{{PUMP}, weekend: 200}}]")
    ordinary = minutes_on(running, "Pump", 24)
    running.advance(4 * DAY)
    assert (ordinary, minutes_on(running, "Pump", 12)) == (24 * 15, 12 * 30)
    assert current(running, "Pump") in (0, -0.1)


def test_one_that_would_be_on_for_longer_than_its_cycle_never_pauses() -> None:
    running = running_with(f"loads: [{{{PUMP}, weekend: 900}}]")
    running.advance(5 * DAY)
    assert minutes_on(running, "Pump", 3) == 180


@pytest.mark.parametrize("amount", [{"power": 24}, {"current": 2}, {"resistance": 6}])
def test_any_other_draws_more(amount: dict[str, float]) -> None:
    (name, value), *_ = amount.items()
    spec = LoadSpec.model_validate({"name": "Load", "follows": "nothing", name: str(value), "weekend": "150"})
    load = Load(spec, habits=habits(weekend=150))
    assert [load.current(day * DAY, 12.0) for day in (4, 5)] == [2, 3]


def test_days_differ_by_as_much_as_is_asked_for() -> None:
    uses = [habits(varies=30).use(day * DAY) for day in range(2000)]
    assert fmean(uses) == pytest.approx(1, abs=0.02)
    assert pstdev(uses) == pytest.approx(0.3, abs=0.03)
    assert min(uses) > 0


def test_the_same_seed_makes_the_same_days() -> None:
    one, again, other = ([habits(varies=30, seed=seed).use(day * DAY) for day in range(20)] for seed in ("1", "1", "2"))
    assert one == again
    assert one != other


def test_loads_of_one_scenario_differ_each_in_its_own_way() -> None:
    running = simulation("""
        loads:
          - {name: A, follows: nothing, current: 1, varies: 30}
          - {name: B, follows: nothing, current: 1, varies: 30}
        """)
    running.advance(1)
    assert current(running, "A") != current(running, "B")


def test_without_differences_nothing_but_the_load_itself_changes_anything() -> None:
    running = running_with("loads: [{name: A, follows: nothing, current: 1}]")
    assert running.world.next_change(0) is None


# Guests


def test_guests_come_as_often_as_is_asked_for_and_stay() -> None:
    there = [Guests(GuestsSpec(chance=10, stay=3), seed="1").are_there(day) for day in range(4000)]
    arrivals = sum(not before and now for before, now in pairwise(there))
    # Of those who stay for 1, 2 or 3 days, some arrive while others are there.
    assert 250 < arrivals < 400
    assert 1.5 < sum(there) / arrivals < 2.6


def test_guests_use_more() -> None:
    running = running_with(f"guests: {{chance: 30, stay: 2}}\nloads: [{{{LAMP}, guests: 200}}]")
    assert {round(draw, 3) for draw in draws(running, "Lamp", 15)} == {1, 2}


# Weather


def test_weather_stays_for_some_days() -> None:
    weather = Weather(WeatherSpec(clouds=40, temperature=8, lasts=3), seed="1")
    cloudier = [weather.cloudier(day * DAY) for day in range(400)]
    warmer = [weather.warmer(day * DAY) for day in range(400)]
    assert -0.4 <= min(cloudier) < -0.3
    assert 0.3 < max(cloudier) <= 0.4
    assert -8 <= min(warmer) < -6
    assert 6 < max(warmer) <= 8
    from_day_to_day = fmean(abs(after - before) for before, after in pairwise(cloudier))
    from_week_to_week = fmean(abs(after - before) for before, after in zip(cloudier, cloudier[7:], strict=False))
    assert from_day_to_day < 0.7 * from_week_to_week


def sunshine_of_days(content: str) -> list[float]:
    """Return the mean sunshine of each of some days, in W/m²."""
    world = simulation(content).world
    hours = range(24)
    return [fmean(world.sunshine(day * DAY + hour * HOUR) for hour in hours) for day in range(20)]


def test_the_sun_differs_from_day_to_day() -> None:
    alike, different = sunshine_of_days("clouds: 50"), sunshine_of_days("clouds: 50\nweather: {clouds: 50, lasts: 1}")
    assert pstdev(different) > 1.5 * pstdev(alike)


def test_the_air_is_warmer_on_some_days() -> None:
    running = simulation("temperature: 10\nweather: {temperature: 5, lasts: 1}")
    around = [running.world.ambient(day * DAY) for day in range(30)]
    assert 5 <= min(around) < 8
    assert 12 < max(around) <= 15


# What the seed chooses


def bank(capacity: str) -> str:
    return f"bank: {{model: 12.8/100, state_of_charge: 50, capacity: {capacity}}}"


def test_a_bank_may_hold_less_than_the_bms_believes() -> None:
    running = simulation(bank=bank("70"))
    assert running.bms.reserve_ah == pytest.approx(20, abs=1)
    assert running.bms.monitor.state_of_charge == 50


def test_a_bank_that_holds_less_than_is_missing_is_empty() -> None:
    running = simulation(bank="bank: {model: 12.8/100, state_of_charge: 10, capacity: 70}")
    assert running.bms.reserve_ah == 0


def test_the_seed_chooses_the_capacity() -> None:
    reserves = {simulation(bank=bank("{from: 70, to: 102}"), seed=seed).bms.reserve_ah for seed in range(8)}
    assert len(reserves) == 8
    assert 19 < min(reserves) < 35
    assert 35 < max(reserves) < 55


def test_what_is_always_drawn() -> None:
    currents = set()
    for seed in range(8):
        running = simulation("quiet_current: {from: 0.005, to: 0.2}", seed=seed)
        running.advance(1)
        currents.add(-current(running, "Quiet loads"))
    assert len(currents) == 8
    assert all(0.005 <= quiet <= 0.2 for quiet in currents)


def test_one_number_is_no_choice() -> None:
    running = simulation("quiet_current: 0.05", seed=3)
    running.advance(1)
    assert current(running, "Quiet loads") == -0.05


# Months


YEAR = f"""{BASE}
bank: {{model: 12.8/200, state_of_charge: 62}}
clouds: 40
weather: {{clouds: 40, lasts: 2}}
loads:
  - {{name: Refrigerator, follows: nothing, power: 50, duty: {{on: 14 min, every: 40 min}}, varies: 15}}
  - {{name: Lights, follows: nothing, power: {{"19:00": 40, "23:00": 5}}, weekend: 150}}
chargers:
  - {{name: MPPT, kind: solar, follows: nothing, current: 30, panel: {{peak_power: 300, tilt: 30}}}}
"""


def test_a_coarse_run_comes_to_the_same() -> None:
    year = parse_scenario(YEAR, name="year", file="year.yaml")
    fine, coarse = Simulation(year, 1), Simulation(year, 1, longest_step=COARSE_STEP)
    fine.advance(DAY)
    coarse.advance(DAY)
    one, other = fine.bms.history, coarse.bms.history
    assert other.charged_energy_kwh == pytest.approx(one.charged_energy_kwh, rel=0.02)
    assert other.discharged_energy_kwh == pytest.approx(one.discharged_energy_kwh, rel=0.01)
    assert coarse.bms.monitor.state_of_charge == pytest.approx(fine.bms.monitor.state_of_charge, abs=1)


def test_a_saved_run_goes_on_with_the_same_days() -> None:
    year = parse_scenario(f"{YEAR}quiet_current: {{from: 0.005, to: 0.2}}\n", name="year", file="year.yaml")
    whole = Simulation(year, 5)
    whole.advance(5 * HOUR)
    resumed = Simulation.load_state(year, whole.save_state())
    for running in (whole, resumed):
        running.advance(10 * HOUR)
    assert resumed.save_state() == whole.save_state()
