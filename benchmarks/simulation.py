"""How many times faster than real time the emulator runs: python -m benchmarks.simulation."""

from dataclasses import dataclass
from statistics import median
import sys
from time import process_time
from typing import Final

from emulator.simulation.scenario import Scenario, load, parse_scenario
from emulator.simulation.simulation import Simulation

from .figures import Row

RUNS: Final = 7
DAY: Final = 86400.0
SECONDS: Final = 2 * DAY

# One battery under sun and loads much like those of the scenario solar.
ONE_BATTERY: Final = """
start: 2026-06-15 00:00
place: {latitude: 52.37, longitude: 4.90}
clouds: 35
temperature: {"05:00": 11, "15:00": 23}
bank: {model: 12.8/200, state_of_charge: 62}
switches: [{name: BatteryProtect, kind: battery-protect}]
loads:
  - {name: Refrigerator, follows: BatteryProtect, power: 60, duty: {on: 14 min, every: 40 min}}
  - {name: Lights, follows: BatteryProtect, power: {"06:30": 20, "08:00": 0, "19:00": 40, "23:30": 5}}
chargers:
  - {name: MPPT, kind: solar, follows: ve-direct-cable, current: 30, panel: {peak_power: 300, tilt: 30}}
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured: a scenario, and how many times real time it should reach at least."""

    name: str
    scenario: Scenario
    goal: float | None = None


CASES: Final = (
    Case(
        name="one 12.8 V battery, solar day",
        scenario=parse_scenario(ONE_BATTERY, name="one-battery", file="one-battery"),
        goal=20_000,
    ),
    Case(name="50 batteries of 25.6 V, 400 cells", scenario=load("largest-bank"), goal=500),
    Case(name="scenario solar", scenario=load("solar")),
    Case(name="scenario camper-alternator", scenario=load("camper-alternator")),
    Case(name="scenario camper-inverter", scenario=load("camper-inverter")),
)


def speed(case: Case, seed: int) -> float:
    """Return how many times faster than real time one run is, by the processor time that it takes."""
    simulation = Simulation(case.scenario, seed)
    begun = process_time()
    simulation.advance(SECONDS)
    return SECONDS / (process_time() - begun)


def run(runs: int = RUNS) -> dict[str, float]:
    """Return the median of every case. The cases take turns, so that what else the machine does meets all of them."""
    speeds: dict[str, list[float]] = {case.name: [] for case in CASES}
    for seed in range(runs):
        for case in CASES:
            speeds[case.name].append(speed(case, seed))
    return {name: median(values) for name, values in speeds.items()}


def show(medians: dict[str, float]) -> None:
    """Print the table."""
    print(f"{SECONDS / DAY:.0f} simulated days, median of {RUNS} seeds, processor time\n")
    print(f"| {'simulation':40} | times real time |")
    print(f"| {'-' * 40} | --------------: |")
    for name, value in medians.items():
        print(f"| {name:40} | {value:15,.0f} |")
    print()


def judge(medians: dict[str, float]) -> bool:
    """Print for every figure whether it is met; return whether all are."""
    goals = {case.name: case.goal for case in CASES if case.goal is not None}
    for name, goal in goals.items():
        met = medians[name] >= goal
        print(f"{'met    ' if met else 'NOT MET'}  {name}: at least {goal:,.0f} x real time")
    return all(medians[name] >= goal for name, goal in goals.items())


def rows(quick: bool) -> list[Row]:
    """Measure what is in the table of all benchmarks."""
    medians = run(1 if quick else RUNS)
    return [
        Row(figure=f"emulator, {case.name}", unit="times real time", ours=medians[case.name], least=case.goal)
        for case in CASES
        if case.goal
    ]


def main() -> int:
    """Measure, show and judge."""
    medians = run()
    show(medians)
    return 0 if judge(medians) else 1


if __name__ == "__main__":
    sys.exit(main())
