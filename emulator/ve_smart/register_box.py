"""What a VE.Smart server reads and writes: instances with registers."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, Protocol

from emulator.personality.quirks import Quirks

# PIN, PUK, Bluetooth off, not connectable, firmware update. Every box refuses to write them, and counts the attempts.
NEVER_WRITTEN: Final = frozenset({0xEC10, 0xEC11, 0x0090, 0x0092, 0x0024})


class Refusal(StrEnum):
    """Why a register was not read or written."""

    UNKNOWN = "unknown register"
    READ_ONLY = "cannot be written"
    INVALID = "invalid value"
    BUSY = "busy"


class RegisterBox(Protocol):
    """Registers by instance. An instance that is not in the list is never asked for.

    quirks is how the device behaves: it may change how registers are written as bytes.
    """

    quirks: Quirks

    def instances(self) -> Sequence[tuple[int, int]]:
        """Return the pairs of the device list; the first number of each is the instance. The main one comes first."""

    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        """Return the payloads to send: one, or for a register that stands for several values, one for each."""

    def write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        """Take a payload, or say why not."""

    def announced(self, instance: int) -> Iterable[int]:
        """Return the registers that a subscriber is sent unasked when they change."""
