"""The battery monitor: state of charge, synchronization, time remaining, balancer status (M-S, M-V3)."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from emulator.battery.cells import BALANCING_VOLTAGE, NAH_PER_AH
from emulator.bms.settings import Settings
from emulator.bms.timer import Timer
from emulator.reading.state import Count, Number

SECONDS_PER_MINUTE: Final = 60
MINUTES_PER_HOUR: Final = 60
BALANCER_UNKNOWN_AFTER: Final = 30 * 24 * 3600.0  # s without a full charge (M-V3)

FULL: Final = 100.0  # %

# All assumed.
IDLE_CURRENT: Final = 0.1  # A: the resolution of the shown current; a smaller one is neither charge nor discharge
LONGEST_TIME_REMAINING: Final = 240 * 60.0  # min; a sister product was seen to end there
IMBALANCE: Final = 0.100  # V between the cells near full


class BalancerStatus(StrEnum):
    """What the app says about the balance of the cells (M-V3)."""

    UNKNOWN = "unknown"
    BALANCED = "balanced"
    BALANCING = "balancing"
    IMBALANCED = "imbalanced"


@dataclass(slots=True, kw_only=True)
class MonitorState:
    """What the monitor remembers. Charges in nAh: counted in the battery (None = unknown), drawn since it was full."""

    counted: Count | None
    drawn: Count = 0
    detecting: Number | None = None
    synchronized: bool = False
    since_full: Number | None = None
    imbalanced: bool = False
    balancing: bool = False


class Monitor:
    """Counts charge. Synchronizations are reported to whoever calls."""

    def __init__(self, *, capacity_ah: float, state_of_charge: float | None) -> None:
        self.capacity_ah = capacity_ah
        self._capacity = round(capacity_ah * NAH_PER_AH)
        counted = None if state_of_charge is None else round(self._capacity * state_of_charge / 100)
        self._state = MonitorState(counted=counted, drawn=0 if counted is None else self._capacity - counted)

    @property
    def state_of_charge(self) -> float | None:
        """The state of charge in %; None = unknown."""
        counted = self._state.counted
        return None if counted is None else 100 * counted / self._capacity

    @property
    def consumed_ah(self) -> float:
        """The charge in Ah drawn since the last full charge (M-S7)."""
        return self._state.drawn / NAH_PER_AH

    @property
    def detecting(self) -> bool:
        """Whether the detection time before a synchronization is running."""
        return self._state.detecting is not None and not self._state.synchronized

    @property
    def balancer_status(self) -> BalancerStatus:
        """The balancer status (M-V3)."""
        state = self._state
        if state.since_full is None or state.counted is None or state.since_full > BALANCER_UNKNOWN_AFTER:
            return BalancerStatus.UNKNOWN
        if state.balancing:
            return BalancerStatus.BALANCING
        return BalancerStatus.IMBALANCED if state.imbalanced else BalancerStatus.BALANCED

    def time_remaining(self, current: float | None, discharge_floor: float) -> float | None:
        """Return the minutes at a current in A until the floor in % (M-S4); None if nothing is discharging."""
        soc = self.state_of_charge
        if soc is None or current is None or current >= -IDLE_CURRENT:
            return None
        left_ah = max(0.0, soc - discharge_floor) / 100 * self.capacity_ah
        return min(left_ah / -current * MINUTES_PER_HOUR, LONGEST_TIME_REMAINING)

    def next_timer(self, settings: Settings) -> float | None:
        """Return the seconds until a synchronization; None if no detection time is running."""
        if not self.detecting:
            return None
        return Timer(self._state.detecting).remaining(settings.charged_detection_time * SECONDS_PER_MINUTE)

    def count(self, moved: int) -> None:
        """Count charge in nAh that went in (or out, if negative)."""
        state = self._state
        state.drawn = max(0, state.drawn - moved)
        if state.counted is not None:
            state.counted = min(max(0, state.counted + moved), self._capacity)

    def advance(
        self,
        *,
        voltage: float,
        current: float | None,
        lowest_cell: float | None,
        highest_cell: float | None,
        balancing: bool,
        settings: Settings,
        seconds: float,
    ) -> bool:
        """Let time pass that ended with these measurements in V and A; return whether it synchronized (M-S1)."""
        state = self._state
        if state.since_full is not None:
            state.since_full += seconds
        state.balancing = balancing and current is not None and current > IDLE_CURRENT
        charged = current is not None and self._looks_charged(voltage, current, settings)
        if lowest_cell is not None and highest_cell is not None:
            self._judge_balance(lowest_cell, highest_cell, charged)
        timer = Timer(state.detecting)
        timer.advance(charged, seconds)
        state.detecting = timer.elapsed
        if not timer.reached(settings.charged_detection_time * SECONDS_PER_MINUTE):
            state.synchronized = state.synchronized and charged
            return False
        return self._synchronize_once()

    def _looks_charged(self, voltage: float, current: float, settings: Settings) -> bool:
        # Assumed: a discharge current does not count as a charge current below the tail current.
        tail = settings.tail_current / 100 * self.capacity_ah
        return voltage > settings.charged_voltage and -IDLE_CURRENT < current < tail

    def _judge_balance(self, lowest: float, highest: float, charged: bool) -> None:
        """Compare cells near full: below that, equal voltages do not mean equal charges."""
        if highest > BALANCING_VOLTAGE and highest - lowest > IMBALANCE:
            self._state.imbalanced = True
        elif charged:
            self._state.imbalanced = False

    def _synchronize_once(self) -> bool:
        """Synchronize, but only once while the battery stays charged."""
        if self._state.synchronized:
            return False
        self._state.synchronized = True
        self._state.since_full = 0.0
        self.synchronize()
        return True

    def synchronize(self) -> None:
        """Take the state of charge for 100 % (M-S3). By hand it is no full charge: the cells need not be balanced."""
        self._state.counted = self._capacity
        self._state.drawn = 0

    def set_state_of_charge(self, percent: float) -> None:
        """Set the state of charge by hand (M-S3). Raises ValueError outside 0 to 100 %."""
        if not 0 <= percent <= FULL:
            raise ValueError(f"The state of charge must be 0 to 100 %, not {percent}.")
        # Assumed: what was drawn since the last full charge stays what was counted.
        self._state.counted = round(self._capacity * percent / 100)

    def battery_added(self) -> None:
        """Make the balancer status unknown (M-V3)."""
        self._state.since_full = None

    def copy(self) -> MonitorState:
        """Return a copy of the state, for restore."""
        return replace(self._state)

    def restore(self, checkpoint: MonitorState) -> None:
        """Go back to the state in a copy."""
        self._state = replace(checkpoint)
