"""The switches and cables between the outputs of the BMS and loads and chargers (M-O5).

Thresholds are for a 12 V system; others have multiples of them. They are from the manufacturer's data sheets; where
those say nothing, the line says assumed.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, override

from emulator.bms.outputs import Output
from emulator.reading.state import Count, Number

# BatteryProtect.
PROTECT_DISCONNECTS: Final = 10.5  # V, the default
PROTECT_RECONNECTS: Final = 12.0
PROTECT_TOO_HIGH: Final = 16.0
PROTECT_DISCONNECT_SECONDS: Final = 90.0  # at once if the BMS asks for it
PROTECT_RECONNECT_SECONDS: Final = 30.0
PROTECT_SHORT_CIRCUIT: Final = 600.0  # A, assumed: above it, it opens at once, and stays open until it is switched off

# Cyrix-Li-Load.
LI_LOAD_SECONDS: Final = 30.0
LI_LOAD_ATTEMPTS: Final = 3
LI_LOAD_CHARGING: Final = 13.0  # V that end the wait after the last attempt

# Cyrix-Li-Charge.
LI_CHARGE_SECONDS: Final = 3.0
LI_CHARGE_ATTEMPTS: Final = 2
LI_CHARGE_LATER_SECONDS: Final = 600.0
LI_CHARGE_LOW: Final = 13.5  # V below which it opens once an hour, to see whether the charger still gives anything
LI_CHARGE_LOW_SECONDS: Final = 3600.0

# Cyrix-Li-ct.
LI_CT_ENGAGES: Final = 13.4  # V on either side
LI_CT_DISENGAGES: Final = 13.2
LI_CT_SECONDS: Final = 30.0  # assumed: how long the voltage must last

# Inverters.
INVERTER_SHUTS_DOWN: Final = 9.3  # V, the default
INVERTER_RESTARTS: Final = 10.9
INVERTER_RESTART_SECONDS: Final = 30.0

TOLERANCE: Final = 1e-6  # s, for rounding


class SwitchKind(StrEnum):
    """The separate switches that a scenario can place between an output and loads or chargers."""

    BATTERY_PROTECT = "battery-protect"
    SMART_BATTERY_PROTECT = "smart-battery-protect"
    CYRIX_LI_LOAD = "cyrix-li-load"
    INVERTER = "inverter"
    CYRIX_LI_CHARGE = "cyrix-li-charge"
    CYRIX_LI_CT = "cyrix-li-ct"


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """How a load or charger is wired to an output without a separate switch."""

    name: str
    output: Output | None
    how: str


# What a load or charger can follow, besides a switch. A cable inverts the signal only to fit what its end expects: on
# the whole it passes high on as on.
STRAIGHT: Final = "nothing"  # the name of the wiring of what is straight at the bank

WIRINGS: Final[dict[str, Wiring]] = {
    wiring.name: wiring
    for wiring in (
        Wiring(name="load-output", output=Output.LOAD, how="its remote terminal hangs on the load output"),
        Wiring(name="inverting-cable", output=Output.LOAD, how="an inverting remote on-off cable of a VE.Bus inverter"),
        Wiring(name="charger-output", output=Output.CHARGER, how="its remote terminal hangs on the charger output"),
        Wiring(name="ve-direct-cable", output=Output.CHARGER, how="a VE.Direct non-inverting remote on-off cable"),
        Wiring(
            name="skylla-tg-cable", output=Output.CHARGER, how="the non-inverting remote on-off cable of a Skylla TG"
        ),
        Wiring(name="skylla-i-cable", output=Output.CHARGER, how="the remote on-off cable of a Skylla-i"),
        Wiring(name=STRAIGHT, output=None, how="straight at the bank, and switched by nobody"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a switch sees.

    signal: its output of the BMS. voltage: V at the bank. other_voltage: V on its other side. powered: whether a
    charger there has power. current: A that the loads behind it take.
    """

    signal: bool
    voltage: float
    other_voltage: float = 0.0
    powered: bool = False
    current: float = 0.0


@dataclass(frozen=True, slots=True)
class SwitchState:
    """The state of a switch. waiting: for how many s the condition that will change it has held; None = it does not."""

    closed: bool = True
    waiting: Number | None = None
    attempts: Count = 0

    def waited(self, holds: bool, seconds: float) -> SwitchState:
        """Return the state after some seconds; the time before the condition was first seen does not count."""
        if not holds:
            return self if self.waiting is None else replace(self, waiting=None)
        return replace(self, waiting=0.0 if self.waiting is None else self.waiting + seconds)


OPEN: Final = SwitchState(closed=False)


class Switch:
    """A switch that follows one output. factor: how many times 12 V the system has."""

    output: Output | None = None

    def __init__(self, name: str, *, factor: float = 1.0) -> None:
        self.name = name
        self.state = SwitchState()
        self._factor = factor

    @property
    def closed(self) -> bool:
        """Whether current flows."""
        return self.state.closed

    @property
    def conditions(self) -> Hashable:
        """The discrete states whose changes a step must not miss."""
        return self.state.closed, self.state.waiting is None

    def next_timer(self) -> float | None:
        """Return the seconds until it may change by itself; None if it does not wait."""
        return None if self.state.waiting is None else self._patience() - self.state.waiting

    def settle(self, situation: Situation) -> None:
        """React at once to what is seen."""
        if self.state.closed and self._must_open(situation):
            self.state = replace(OPEN, attempts=self.state.attempts)

    def advance(self, situation: Situation, seconds: float) -> None:
        """Let some seconds pass that end with what is seen."""
        self.settle(situation)
        self.state = self.state.waited(self._waits(situation), seconds)
        if self.state.waiting is not None and self.state.waiting >= self._patience() - TOLERANCE:
            self.state = self._changed()

    def _must_open(self, situation: Situation) -> bool:
        return not situation.signal

    def _waits(self, situation: Situation) -> bool:
        """Return whether what is seen will change it, if it lasts."""
        raise NotImplementedError

    def _patience(self) -> float:
        """Return how long it must last, in s."""
        raise NotImplementedError

    def _changed(self) -> SwitchState:
        return SwitchState(closed=not self.state.closed)

    def resume(self, state: SwitchState) -> None:
        """Continue in a saved state."""
        self.state = state


class Direct(Switch):
    """The thing itself, by its remote terminal, or a cable: on exactly while the output is high."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring.name)
        self.output = wiring.output

    @override
    def resume(self, state: SwitchState) -> None:
        # It never waits.
        self.state = SwitchState(closed=state.closed)

    @override
    def settle(self, situation: Situation) -> None:
        if self.state.closed is not situation.signal:
            self.state = SwitchState(closed=situation.signal)

    @override
    def _waits(self, situation: Situation) -> bool:
        return False


class BatteryProtect(Switch):
    """A BatteryProtect: opens with the output, on a voltage that is too low for long, and on one that is too high.

    It opens on a short circuit, too, which it remembers as an attempt.
    """

    output = Output.LOAD

    def __init__(
        self,
        name: str,
        *,
        factor: float = 1.0,
        disconnects: float = PROTECT_DISCONNECTS,
        reconnects: float = PROTECT_RECONNECTS,
    ) -> None:
        super().__init__(name, factor=factor)
        self._disconnects = disconnects * factor
        self._reconnects = reconnects * factor
        self._too_high = PROTECT_TOO_HIGH * factor

    @override
    def settle(self, situation: Situation) -> None:
        if not situation.signal:
            self.state = OPEN
        elif self.state.closed and situation.current > PROTECT_SHORT_CIRCUIT:
            self.state = replace(OPEN, attempts=1)
        else:
            super().settle(situation)

    @override
    def _must_open(self, situation: Situation) -> bool:
        return not situation.signal or situation.voltage > self._too_high

    @override
    def _waits(self, situation: Situation) -> bool:
        if self.state.closed:
            return situation.voltage < self._disconnects
        return not self.state.attempts and situation.signal and self._reconnects <= situation.voltage <= self._too_high

    @override
    def _patience(self) -> float:
        return PROTECT_DISCONNECT_SECONDS if self.state.closed else PROTECT_RECONNECT_SECONDS


class CyrixLiLoad(Switch):
    """A Cyrix-Li-Load: opens with the output, tries again three times, and then waits for a charger."""

    output = Output.LOAD

    @override
    def _waits(self, situation: Situation) -> bool:
        charging = situation.voltage > LI_LOAD_CHARGING * self._factor
        if self.state.closed:
            # Assumed: a voltage that shows a charger makes it forget its attempts.
            return charging and self.state.attempts > 0
        return situation.signal and (charging or self.state.attempts < LI_LOAD_ATTEMPTS)

    @override
    def _patience(self) -> float:
        return LI_LOAD_SECONDS

    @override
    def _changed(self) -> SwitchState:
        if self.state.closed:
            return SwitchState()
        return SwitchState(attempts=min(self.state.attempts + 1, LI_LOAD_ATTEMPTS))


class Inverter(Switch):
    """An inverter by its remote terminal, or an inverting cable; it guards itself against a low voltage."""

    def __init__(self, name: str, *, factor: float = 1.0, wiring: Wiring = WIRINGS["load-output"]) -> None:
        super().__init__(name, factor=factor)
        self.output = wiring.output

    @override
    def settle(self, situation: Situation) -> None:
        if not situation.signal:
            self.state = OPEN
        elif situation.voltage < INVERTER_SHUTS_DOWN * self._factor:
            self.state = replace(OPEN, attempts=1)
        elif not self.state.closed and not self._guarding:
            self.state = SwitchState()

    @property
    def _guarding(self) -> bool:
        """Whether it is off for a low voltage, which it remembers as an attempt."""
        return not self.state.closed and self.state.attempts > 0

    @override
    def _waits(self, situation: Situation) -> bool:
        return self._guarding and situation.voltage > INVERTER_RESTARTS * self._factor

    @override
    def _patience(self) -> float:
        return INVERTER_RESTART_SECONDS


class CyrixLiCharge(Switch):
    """A Cyrix-Li-Charge: connects a charger that has power, opens with the output, and looks once an hour."""

    output = Output.CHARGER

    @override
    def _waits(self, situation: Situation) -> bool:
        if self.state.closed:
            return situation.voltage < LI_CHARGE_LOW * self._factor
        # Assumed: a charger that has power shows enough voltage on its open terminals.
        return situation.signal and situation.powered

    @override
    def _patience(self) -> float:
        if self.state.closed:
            return LI_CHARGE_LOW_SECONDS
        return LI_CHARGE_SECONDS if self.state.attempts < LI_CHARGE_ATTEMPTS else LI_CHARGE_LATER_SECONDS

    @override
    def _changed(self) -> SwitchState:
        # Assumed: the hourly look ends a row of attempts.
        if self.state.closed:
            return OPEN
        return SwitchState(attempts=min(self.state.attempts + 1, LI_CHARGE_ATTEMPTS))


class CyrixLiCt(Switch):
    """A Cyrix-Li-ct: puts a starter battery and the bank in parallel while one of them is being charged."""

    output = Output.CHARGER

    def __init__(self, name: str, *, factor: float = 1.0) -> None:
        super().__init__(name, factor=factor)
        self.state = OPEN

    @override
    def advance(self, situation: Situation, seconds: float) -> None:
        # Not in settle: right after it has closed, the voltage is still that of the bank alone.
        if self.state.closed and situation.voltage < LI_CT_DISENGAGES * self._factor:
            self.state = OPEN
        super().advance(situation, seconds)

    @override
    def _waits(self, situation: Situation) -> bool:
        if self.state.closed:
            return False
        return situation.signal and max(situation.voltage, situation.other_voltage) >= LI_CT_ENGAGES * self._factor

    @override
    def _patience(self) -> float:
        return LI_CT_SECONDS
