"""The settings that go together: at which state of charge the BMS warns, and switches the loads off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .payloads import Value
from .registers import Name

LEVELS: Final = (Name.LOW_SOC_WARNING, Name.DISCHARGE_FLOOR)


@dataclass(frozen=True, kw_only=True)
class Clash:
    """A warning that would come no sooner than the discharge floor; both in %."""

    warning: float
    floor: float


def clash(levels: Mapping[Name, Value]) -> Clash | None:
    """Return which levels do not go together (M-S5); None where one is not known. A floor of 0 is none (M-S6)."""
    warning, floor = levels.get(Name.LOW_SOC_WARNING), levels.get(Name.DISCHARGE_FLOOR)
    if not isinstance(warning, int | float) or not isinstance(floor, int | float):
        return None
    return Clash(warning=warning, floor=floor) if floor and warning <= floor else None


def in_order(values: Mapping[Name, Value], floor: Value) -> list[Name]:
    """Return what to write when, given the present floor: the warning is to be above the floor in between, too."""
    new = values.get(Name.DISCHARGE_FLOOR)
    lowered = isinstance(new, int | float) and isinstance(floor, int | float) and new < floor
    return sorted(values, key=lambda name: (name is Name.DISCHARGE_FLOOR) is not lowered)
