"""The wall clock of Home Assistant, which a soak steps; that of the machine is left alone."""

from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import subprocess
from typing import Final

_SOURCE: Final = Path(__file__).with_name("step_clock.c")
_DAY: Final = 86400
_BYTES: Final = 8


@dataclass
class WallClock:
    """Steps by whole days, so that what was recorded tells by itself in which step that was."""

    shift: Path
    library: Path | None
    days: int = 0

    @classmethod
    def build(cls, folder: Path) -> WallClock:
        """Return a clock that can be stepped, or, on a machine without a C compiler, one that cannot."""
        shift, library = folder / "clock_shift", folder / "step_clock.so"
        shift.write_bytes(bytes(_BYTES))
        if (compiler := shutil.which("cc")) is None:
            return cls(shift=shift, library=None)
        command = (compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl")
        built = subprocess.run(command, check=False, capture_output=True)
        return cls(shift=shift, library=library if built.returncode == 0 else None)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which Home Assistant follows this clock."""
        if self.library is None:
            return os.environ
        return {**os.environ, "LD_PRELOAD": str(self.library), "STEP_CLOCK_FILE": str(self.shift)}

    def step(self, days: int) -> None:
        """Set the clock so many days ahead of the machine's."""
        if self.library is None:
            return
        self.days = days
        with self.shift.open("r+b") as file:
            file.write((days * _DAY).to_bytes(_BYTES, "little"))


def unstepped(recorded: float, began: float) -> float:
    """Return the machine's time of something that was recorded by a stepped clock, in a run of less than half a day."""
    return recorded - round((recorded - began) / _DAY) * _DAY
