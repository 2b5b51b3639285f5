"""A firmware update as the rules see it (M-X2)."""

from dataclasses import dataclass, field
from enum import StrEnum
import re
from typing import Final

from emulator.bms.timer import Timer
from emulator.reading.state import Count

RETRY_SECONDS: Final = 120.0
FIRMWARE_VERSION: Final = "v1.05"  # of a new BMS, assumed


class FirmwareState(StrEnum):
    """The state of an update."""

    IDLE = "idle"
    UPDATING = "updating"
    FAILED = "failed"  # the load output is unchanged so far
    GIVEN_UP = "given_up"  # the load output floats


class FirmwareUpdateError(RuntimeError):
    """An update that cannot begin or end now; its text is one sentence for the user."""


@dataclass(slots=True)
class FirmwareUpdate:
    """An update, its failure, and the time left until the load output floats.

    subject: the number of the battery that is updated, from 0; None = the BMS. loads_off: whether the load output
    floats.

    The manual says that a new attempt is possible until the load output floats. Assumed: also after that, as the
    device could never be repaired otherwise; the loads come back once an attempt went well.
    """

    state: FirmwareState = FirmwareState.IDLE
    since_failure: Timer = field(default_factory=Timer)
    loads_off: bool = False
    subject: Count | None = None

    def begin(self, subject: int | None = None) -> None:
        """Begin an update, or a new attempt. Raises FirmwareUpdateError."""
        if self.state is FirmwareState.UPDATING:
            raise FirmwareUpdateError("A firmware update is under way.")
        if self.state is not FirmwareState.IDLE and subject != self.subject:
            raise FirmwareUpdateError(f"The update of {named(self.subject)} has failed: try that again first.")
        self.state = FirmwareState.UPDATING
        self.subject = subject
        self.since_failure = Timer()

    def finish(self, ok: bool) -> None:
        """End an update. Raises FirmwareUpdateError."""
        if self.state is not FirmwareState.UPDATING:
            raise FirmwareUpdateError("No firmware update is under way.")
        if ok:
            self.state, self.loads_off = FirmwareState.IDLE, False
        else:
            self.state = FirmwareState.GIVEN_UP if self.loads_off else FirmwareState.FAILED
        self.since_failure.advance(self.state is FirmwareState.FAILED, 0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if self.state is not FirmwareState.FAILED:
            return
        self.since_failure.advance(True, seconds)
        if self.since_failure.reached(RETRY_SECONDS):
            self.state, self.loads_off = FirmwareState.GIVEN_UP, True

    @property
    def remaining(self) -> float | None:
        """The seconds until the load output floats; None if it does not, or already does."""
        return self.since_failure.remaining(RETRY_SECONDS)

    def copy(self) -> FirmwareUpdate:
        """Return a copy."""
        return FirmwareUpdate(self.state, Timer(self.since_failure.elapsed), self.loads_off, self.subject)


def next_version(version: str) -> str:
    """Return the version after one such as v1.02. A text that is no version stays as it is."""
    match = re.fullmatch(r"v(\d+)\.(\d+)", version, re.ASCII)
    if match is None:
        return version
    major, minor = divmod(int(match[1]) * 100 + int(match[2]) + 1, 100)
    return f"v{major}.{minor:02}"


def named(subject: int | None) -> str:
    """Return what is updated, in words."""
    return "the BMS" if subject is None else f"battery {subject + 1}"
