"""What one device has taught: where the protocol leaves room, what a device needs is remembered and then used first."""

from dataclasses import dataclass, field, replace

from .session import ArrayForm

type RegisterOf = tuple[int | None, int]
"""A register of a battery, or of the device as a whole (None)."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The assumptions about one device, as its answers have corrected them. The defaults are what most devices need.

    firmware_version: the version that taught all this; None until it is known.
    array_form: the form of arrays that the device answers.
    chunk_sizes: whether to send chunk sizes when a session begins. Some device drops the connection then.
    acquire_notifications: whether to use BlueZ's AcquireNotify, as notifications come empty otherwise.
    flagged_key_request: whether the device gave its key only to the opcode 0x25.
    missing: the registers that the device, or a battery, does not have.
    read_only: the settings that the device does not let anybody change.
    finer: the groups of registers whose voltages are in mV instead of 0.01 V.
    """

    firmware_version: str | None = None
    array_form: ArrayForm = ArrayForm.DEFINITE
    chunk_sizes: bool = True
    acquire_notifications: bool = False
    flagged_key_request: bool = False
    missing: frozenset[RegisterOf] = field(default_factory=frozenset)
    read_only: frozenset[int] = field(default_factory=frozenset)
    finer: frozenset[str] = field(default_factory=frozenset)


class DeviceMemory:
    """Holds what one device has taught, for all that talk to it."""

    def __init__(self) -> None:
        self.learned = Learned()

    def note_firmware_version(self, version: str) -> None:
        """Forget what another firmware may have changed, but not by what means its version was just read."""
        now = self.learned
        if now.firmware_version not in {None, version}:
            now = Learned(array_form=now.array_form, acquire_notifications=now.acquire_notifications)
        self.learned = replace(now, firmware_version=version)
