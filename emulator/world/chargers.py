"""What charges the bank: solar chargers, shore chargers, alternators, and the stages that they go through.

Voltages are for a 12 V system; others have multiples of them.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import Annotated, Final, Literal, override

from pydantic import Field

from emulator.reading.sections import (
    Amperes,
    Duration,
    Items,
    Section,
    Text,
    TimeOfDay,
    Volts,
    WordOr,
    YesOrNo,
    one_of,
)
from emulator.reading.state import Number
from emulator.world.schedule import Timetable, Window
from emulator.world.sun import Panel

# The lithium setting of the manufacturer's chargers, V.
ABSORPTION_VOLTAGE: Final = 14.2
FLOAT_VOLTAGE: Final = 13.5
# All assumed.
ABSORPTION_SECONDS: Final = 2 * 3600.0
ALTERNATOR_VOLTAGE: Final = 14.4
REBULK_BELOW_FLOAT: Final = 0.1  # V
REBULK_SECONDS: Final = 60.0
AT_SETPOINT: Final = 0.02  # V: how near to its setpoint a charger counts as holding it

# A charger that had no power for this long begins again from the start, in s.
NEW_CYCLE_SECONDS: Final = 3600.0

# Assumed, of solar chargers.
MPPT_EFFICIENCY: Final = 0.98
MPPT_LOWEST_POWER: Final = 1.0  # W
MPPT_LOWEST_VOLTAGE: Final = 5.0  # V at the battery

TOLERANCE: Final = 1e-6  # s, for rounding

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class ChargerKind(StrEnum):
    """The source of power of a charger."""

    SOLAR = "solar"
    SHORE = "shore"
    ALTERNATOR = "alternator"


class Stage(StrEnum):
    """The stage of a charger."""

    OFF = "off"
    BULK = "bulk"
    ABSORPTION = "absorption"
    FLOAT = "float"


class WindowSpec(Section):
    """A stretch of some days."""

    begins: TimeOfDay = Field(alias="from")
    ends: TimeOfDay = Field(alias="to")
    days: Items[Annotated[str, one_of(DAYS)]] = DAYS


type Times = WordOr[YesOrNo, Items[WindowSpec]]  # when something is there


class ChargerSpec(Section):
    """A charger: its maximum current in A, and what it follows. Voltages are those of the system, in V."""

    name: Text
    kind: ChargerKind
    follows: Text
    current: Amperes

    def setpoints(self, factor: float) -> tuple[float, float | None]:
        """Return absorption and float voltage in V; the latter is None without stages.

        factor: how many times 12 V the system has.
        """
        raise NotImplementedError


class StagedSpec(ChargerSpec):
    """A charger that goes through stages."""

    absorption_voltage: Volts | None = None
    float_voltage: Volts | None = None
    absorption_time: Duration = ABSORPTION_SECONDS

    @override
    def setpoints(self, factor: float) -> tuple[float, float]:
        return self.absorption_voltage or ABSORPTION_VOLTAGE * factor, self.float_voltage or FLOAT_VOLTAGE * factor


class SolarSpec(StagedSpec):
    """A solar charger."""

    kind: Literal[ChargerKind.SOLAR]
    panel: Panel


class ShoreSpec(StagedSpec):
    """A shore charger. mains: when it has power."""

    kind: Literal[ChargerKind.SHORE]
    mains: Times = True


class AlternatorSpec(ChargerSpec):
    """An alternator. driving: when its engine runs."""

    kind: Literal[ChargerKind.ALTERNATOR]
    voltage: Volts | None = None
    driving: Times

    @override
    def setpoints(self, factor: float) -> tuple[float, None]:
        return self.voltage or ALTERNATOR_VOLTAGE * factor, None


type AnyCharger = SolarSpec | ShoreSpec | AlternatorSpec


def _timetable(spec: AnyCharger) -> Timetable:
    """Return when a charger has mains or its engine; the sun counts as always there."""
    times = True if isinstance(spec, SolarSpec) else spec.mains if isinstance(spec, ShoreSpec) else spec.driving
    if isinstance(times, bool):
        return Timetable.constant(float(times))
    return Timetable.windows(
        Window(begins=window.begins, ends=window.ends, days=frozenset(map(DAYS.index, window.days))) for window in times
    )


@dataclass(frozen=True, slots=True)
class ChargerState:
    """The state of a charger. Times in s: at the absorption voltage, below the float voltage, without power."""

    stage: Stage = Stage.OFF
    resumes: Stage = Stage.BULK
    absorbed: Number = 0.0
    low: Number | None = None
    off: Number = 0.0


class Charger:
    """A charger in the world. factor: how many times 12 V the system has."""

    def __init__(self, spec: AnyCharger, *, factor: float = 1.0) -> None:
        self.spec = spec
        self.name = spec.name
        self.state = ChargerState()
        self.current = 0.0  # A, at present
        self.panel = spec.panel if isinstance(spec, SolarSpec) else None
        setpoints: tuple[float, float | None] = spec.setpoints(factor)
        self.absorption_voltage, self.float_voltage = setpoints
        self._absorption_seconds = spec.absorption_time if isinstance(spec, StagedSpec) else inf
        self._times = _timetable(spec)
        self._factor = factor

    @property
    def conditions(self) -> Hashable:
        """The discrete states whose changes a step must not miss."""
        return self.state.stage, self.state.low is None

    @property
    def setpoint(self) -> float:
        """The voltage in V that it does not exceed."""
        if self.state.stage is Stage.FLOAT and self.float_voltage is not None:
            return self.float_voltage
        return self.absorption_voltage

    def limit(self, solar_power: float, voltage: float) -> float:
        """Return the current in A that it can give at a voltage; solar_power in W is what its panel has."""
        if self.panel is None:
            return self.spec.current
        return min(self.spec.current, solar_power * MPPT_EFFICIENCY / max(voltage, MPPT_LOWEST_VOLTAGE))

    def has_power(self, moment: float, solar_power: float) -> bool:
        """Return whether sun, mains or engine are there."""
        if self.panel is not None:
            return solar_power >= MPPT_LOWEST_POWER
        return self._times.value(moment) > 0

    def until_change(self, moment: float) -> float | None:
        """Return the seconds until mains or engine come or go."""
        return None if self.panel is not None else self._times.until_change(moment)

    def next_timer(self) -> float | None:
        """Return the seconds until its stage may change by time."""
        if self.state.stage is Stage.ABSORPTION and self.float_voltage is not None:
            return self._absorption_seconds - self.state.absorbed
        return None if self.state.low is None else REBULK_SECONDS - self.state.low

    def settle(self, runs: bool) -> None:
        """Start or stop: whether it has power, and is allowed to charge."""
        state = self.state
        if state.stage is not Stage.OFF and not runs:
            self.state = replace(state, stage=Stage.OFF, resumes=state.stage, low=None, off=0.0)
        elif state.stage is Stage.OFF and runs:
            fresh = state.off >= NEW_CYCLE_SECONDS
            self.state = ChargerState(Stage.BULK) if fresh else replace(state, stage=state.resumes, off=0.0)

    def advance(self, voltage: float, seconds: float) -> None:
        """Let some seconds pass that end at a voltage in V."""
        state = self.state
        match state.stage:
            case Stage.OFF:
                self.state = replace(state, off=state.off + seconds)
            case Stage.BULK if self.float_voltage is not None and self._holds(voltage):
                self.state = replace(state, stage=Stage.ABSORPTION)
            case Stage.ABSORPTION if self.float_voltage is not None and self._holds(voltage):
                # The time does not run while clouds or loads keep it from its voltage.
                absorbed = state.absorbed + seconds
                done = absorbed >= self._absorption_seconds - TOLERANCE
                self.state = ChargerState(Stage.FLOAT) if done else replace(state, absorbed=absorbed)
            case Stage.FLOAT if self.float_voltage is not None:
                self.state = _floated(state, voltage < self.float_voltage - REBULK_BELOW_FLOAT * self._factor, seconds)

    def _holds(self, voltage: float) -> bool:
        return voltage >= self.absorption_voltage - AT_SETPOINT * self._factor


def _floated(state: ChargerState, low: bool, seconds: float) -> ChargerState:
    """Return what becomes of the float stage: a voltage that stays too low begins a new cycle."""
    if not low:
        return state if state.low is None else replace(state, low=None)
    waited = 0.0 if state.low is None else state.low + seconds
    return ChargerState(Stage.BULK) if waited >= REBULK_SECONDS - TOLERANCE else replace(state, low=waited)
