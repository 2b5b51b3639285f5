"""Months of an emulated battery, hour by hour, as Home Assistant's long-term statistics would know them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Final

from emulator.bms.rules import Permission
from emulator.simulation.grid import COARSE_STEP
from emulator.simulation.scenario import Scenario
from emulator.simulation.simulation import Simulation

DAYS: Final = 180
SEEDS: Final = 20

_HOUR: Final = 3600
_HOURS_PER_DAY: Final = 24
# As often as Home Assistant's own statistics look.
_LOOK: Final = 300


@dataclass(frozen=True, kw_only=True)
class Hour:
    """An hour: when it began, means over it in %, A and V, and at its end the state of charge and what was counted.

    time_to_go: in minutes, at its end; None while nothing is drawn. allowed_to_discharge: whether it was all the time.
    drawn_ah is what the history adds up, consumed_ah what was drawn since the last full charge. None = not known.
    reserve_ah is what really is left until the first cells are empty, which no device tells.
    """

    start: datetime
    state_of_charge: float | None
    current: float | None
    voltage: float | None
    last_state_of_charge: float | None
    time_to_go: int | None
    allowed_to_discharge: bool
    charged_kwh: float
    discharged_kwh: float
    drawn_ah: float
    consumed_ah: float | None
    reserve_ah: float


def live(scenario: Scenario, seed: int, *, days: int = DAYS) -> Iterator[Hour]:
    """Let a scenario live from a full hour on, and yield its hours."""
    return hours_of(Simulation(scenario, seed, longest_step=COARSE_STEP), days=days)


def hours_of(simulation: Simulation, *, days: int) -> Iterator[Hour]:
    """Let a simulation live on from a full hour, and yield its hours. What happens in between may change it."""
    for _ in range(days * _HOURS_PER_DAY):
        yield _hour_of(simulation)


def _hour_of(simulation: Simulation) -> Hour:
    bms, start = simulation.bms, simulation.now
    charges: list[float | None] = []
    currents: list[float | None] = []
    voltages: list[float | None] = []
    allowed = True
    for _ in range(_HOUR // _LOOK):
        simulation.advance(_LOOK)
        charges.append(bms.monitor.state_of_charge)
        currents.append(bms.current)
        voltages.append(bms.voltage)
        allowed = allowed and bms.allowed_to_discharge is not Permission.NO
    shown = simulation.snapshot()
    return Hour(
        start=start,
        state_of_charge=_mean(charges),
        current=_mean(currents),
        voltage=_mean(voltages),
        last_state_of_charge=charges[-1],
        time_to_go=shown.time_to_go,
        allowed_to_discharge=allowed,
        charged_kwh=bms.history.charged_energy_kwh,
        discharged_kwh=bms.history.discharged_energy_kwh,
        drawn_ah=bms.history.cumulative_drawn_ah,
        consumed_ah=shown.drawn_amphours,
        reserve_ah=bms.reserve_ah,
    )


def _mean(values: list[float | None]) -> float | None:
    """Return the mean of what is known."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
