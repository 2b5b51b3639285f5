"""Loads: what they draw, and when."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Self

from pydantic import model_validator

from emulator.reading.sections import Amperes, Daily, Duration, Percent, Section, Text, Watts, problem
from emulator.reading.values import number
from emulator.world.days import ALWAYS, Habits, Use
from emulator.world.schedule import DutyCycle, Timetable

# Assumed: the converter of a load that draws constant power gives up below the first voltage, and starts again when the
# battery would carry it above the second. V, of a 12 V system.
LOWEST_VOLTAGE: Final = 6.0
RESTART_VOLTAGE: Final = 10.0


# The name of the load that a user can add by hand.
ADDITIONAL_LOAD: Final = "Additional load"
# The name of the load that is made of the quiet current of a scenario.
QUIET_LOADS: Final = "Quiet loads"


class Draw(StrEnum):
    """The quantity that stays the same when the voltage changes."""

    POWER = "power"  # W
    CURRENT = "current"  # A
    RESISTANCE = "resistance"  # Ohm


class DutySpec(Section):
    """A duty cycle, in s."""

    on: Duration
    every: Duration

    @model_validator(mode="after")
    def _is_a_cycle(self) -> Self:
        if self.on >= self.every:
            raise problem("a load should be on for a shorter time than its whole cycle")
        return self


class LoadSpec(Section):
    """A load: what it follows, and one of power, current and resistance by time of day.

    Without a duty cycle it never pauses. varies, weekend, guests: how much its use usually differs from day to day,
    and what it is on weekends and while there are guests, in % of that on an ordinary day.
    """

    name: Text
    follows: Text
    power: Daily[Watts] | None = None
    current: Daily[Amperes] | None = None
    resistance: Daily[Annotated[float, number(0.001, 1_000_000)]] | None = None
    duty: DutySpec | None = None
    varies: Percent = 0.0
    weekend: Use = ALWAYS
    guests: Use = ALWAYS

    @property
    def is_alike_every_day(self) -> bool:
        """Whether its use never differs."""
        return not self.varies and self.weekend == self.guests == ALWAYS

    @property
    def amounts(self) -> Mapping[Draw, Mapping[float, float]]:
        """The one of them that is given."""
        amounts = {Draw.POWER: self.power, Draw.CURRENT: self.current, Draw.RESISTANCE: self.resistance}
        return {draw: amount for draw, amount in amounts.items() if amount is not None}

    @model_validator(mode="after")
    def _has_one_amount(self) -> Self:
        if len(self.amounts) != 1:
            raise problem(f"a load needs exactly one of {', '.join(Draw)}")
        return self


class Demand(NamedTuple):
    """What loads draw: a current in A, a power in W, and a conductance in S."""

    current: float = 0.0
    power: float = 0.0
    conductance: float = 0.0

    def at(self, voltage: float) -> float:
        """Return the current in A at a voltage in V above 0."""
        return self.current + self.power / voltage + self.conductance * voltage


NO_DEMAND: Final = Demand()


def total(demands: Iterable[Demand]) -> Demand:
    """Return what all draw together."""
    return Demand(*map(sum, zip(*demands, strict=True)))


class Load:
    """A load in the world. efficiency: of what stands between the bank and it; phase: of its duty cycle, 0 to 1.

    habits: how its use differs from day to day. A load with a duty cycle is on for longer then, others draw more.
    tripped: whether its converter has given up.
    """

    def __init__(
        self,
        spec: LoadSpec,
        *,
        efficiency: float = 1.0,
        factor: float = 1.0,
        phase: float = 0.0,
        habits: Habits | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self._efficiency = efficiency
        self.tripped = False
        self.lowest_voltage = LOWEST_VOLTAGE * factor
        self.restart_voltage = RESTART_VOLTAGE * factor
        ((self.draw, amount),) = spec.amounts.items()
        self.amount = Timetable.daily(amount.items())
        duty = spec.duty
        self._cycle = None if duty is None else DutyCycle(on=duty.on, every=duty.every, phase=phase * duty.every)
        self._habits = habits

    def runs(self, moment: float) -> bool:
        """Return whether its own switch is on."""
        cycle = self._cycle_at(moment)
        return cycle is None or cycle.is_on(moment)

    def demand(self, moment: float) -> Demand:
        """Return what it draws while it runs."""
        amount = self.amount.value(moment)
        use = self._use(moment) if self._cycle is None else 1.0
        match self.draw:
            case Draw.POWER:
                return Demand(power=use * amount / self._efficiency)
            case Draw.CURRENT:
                return Demand(current=use * amount)
            case Draw.RESISTANCE:
                return Demand(conductance=use / amount)

    def current(self, moment: float, voltage: float) -> float:
        """Return the current in A that it takes while it runs. Nothing draws from 0 V."""
        demand = self.demand(moment)
        if voltage <= 0 or (demand.power and voltage < self.lowest_voltage):
            return 0.0
        return demand.at(voltage)

    def until_change(self, moment: float) -> float | None:
        """Return the seconds until it draws something else by itself."""
        cycle = self._cycle_at(moment)
        changes = (
            self.amount.until_change(moment),
            None if cycle is None else cycle.until_change(moment),
            None if self._habits is None else self._habits.until_change(moment),
        )
        return min((change for change in changes if change is not None), default=None)

    def _use(self, moment: float) -> float:
        return 1.0 if self._habits is None else self._habits.use(moment)

    def _cycle_at(self, moment: float) -> DutyCycle | None:
        """Return its duty cycle on the day of a moment."""
        cycle = self._cycle
        if cycle is None or self._habits is None:
            return cycle
        return replace(cycle, on=min(cycle.on * self._use(moment), cycle.every))
