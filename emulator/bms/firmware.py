"""A firmware update as the rules see it (M-X2)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from emulator.bms.state import JsonObject, JsonValue, StateError, get_object, get_str
from emulator.bms.timer import Timer

RETRY_SECONDS: Final = 120.0


class FirmwareState(StrEnum):
    """How far an update is."""

    IDLE = "idle"
    UPDATING = "updating"
    FAILED = "failed"  # a new attempt is possible
    GIVEN_UP = "given_up"


class FirmwareUpdateError(RuntimeError):
    """An update that cannot begin or end now; its text is one sentence for the user."""


@dataclass(slots=True)
class FirmwareUpdate:
    """One update, its failure and the time that is left for another attempt."""

    state: FirmwareState = FirmwareState.IDLE
    since_failure: Timer = field(default_factory=Timer)

    def begin(self) -> None:
        """Begin an update, or a new attempt. Raises FirmwareUpdateError."""
        if self.state in (FirmwareState.UPDATING, FirmwareState.GIVEN_UP):
            raise FirmwareUpdateError("A firmware update cannot begin now.")
        self.state = FirmwareState.UPDATING
        self.since_failure = Timer()

    def finish(self, ok: bool) -> None:
        """End an update. Raises FirmwareUpdateError."""
        if self.state is not FirmwareState.UPDATING:
            raise FirmwareUpdateError("No firmware update is under way.")
        self.state = FirmwareState.IDLE if ok else FirmwareState.FAILED
        self.since_failure.advance(not ok, 0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if self.state is not FirmwareState.FAILED:
            return
        self.since_failure.advance(True, seconds)
        if self.since_failure.reached(RETRY_SECONDS):
            self.state = FirmwareState.GIVEN_UP

    @property
    def remaining(self) -> float | None:
        """The seconds that are left for another attempt; None if there is no hurry, or none are left."""
        return self.since_failure.remaining(RETRY_SECONDS)

    def copy(self) -> FirmwareUpdate:
        """Return a copy."""
        return FirmwareUpdate(self.state, Timer(self.since_failure.elapsed))

    def save(self) -> dict[str, JsonValue]:
        """Return the update as JSON."""
        return {"state": self.state.value, "since_failure": self.since_failure.save()}

    @classmethod
    def load(cls, data: JsonObject) -> Self:
        """Return a saved update. Raises StateError."""
        state = get_str(data, "state")
        if state not in FirmwareState:
            raise StateError("The saved state is damaged: state of the firmware update is unknown.")
        return cls(FirmwareState(state), Timer.load(get_object(data, "since_failure")))
