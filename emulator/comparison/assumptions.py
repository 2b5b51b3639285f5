"""Every assumption about the protocol, with its evidence and what a recording has for or against it."""

from collections.abc import Iterator, Mapping
from typing import Final

from emulator.comparison.advertised import ADVERTISED
from emulator.comparison.answered import ANSWERED, REGISTERS
from emulator.comparison.connected import CONNECTED
from emulator.comparison.findings import Assumption, Judgment
from emulator.comparison.observed import Observed
from emulator.recording import Recording

ASSUMPTIONS: Final[Mapping[str, Assumption]] = {row.id: row for row in (*ADVERTISED, *CONNECTED, *ANSWERED, *REGISTERS)}


def compare(recording: Recording) -> Iterator[Judgment]:
    """Yield what a recording makes of each assumption."""
    observed = Observed(recording)
    return (assumption.judge(observed) for assumption in ASSUMPTIONS.values())
