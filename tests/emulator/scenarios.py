"""Small scenarios for tests."""

from textwrap import dedent

from emulator.simulation.scenario import Scenario, parse_scenario
from emulator.simulation.simulation import Simulation
from emulator.world.world import ItemStatus

BASE = """\
start: 2026-06-15 12:00
place: {latitude: 52.37, longitude: 4.90}
"""
BANK = "bank: {model: 12.8/100, state_of_charge: 50}"


def scenario(content: str = "", *, bank: str = BANK) -> Scenario:
    """Return a scenario that begins on a Monday at noon, with a battery of 100 Ah unless it has a bank of its own.

    The bank is in line 3, and content begins in line 4.
    """
    return parse_scenario(f"{BASE}{bank}\n{dedent(content).strip()}\n", name="test", file="test.yaml")


def simulation(content: str = "", *, bank: str = BANK, seed: int = 1) -> Simulation:
    """Return a simulation of such a scenario."""
    return Simulation(scenario(content, bank=bank), seed)


def item(running: Simulation, name: str) -> ItemStatus:
    """Return what a load, charger or switch does."""
    return next(status for status in running.world.status(running.elapsed) if status.name == name)


def current(running: Simulation, name: str) -> float:
    """Return the current in A that something puts into the bank, or takes from it if it is negative."""
    return item(running, name).current
