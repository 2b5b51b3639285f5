"""The check: our entities live, the same numbers as Home Assistant's own integration, nothing in the log."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
import re
from typing import Final

from .config import INTEGRATION
from .emulator import Device
from .flows import HOME_ASSISTANTS_OWN, add_device
from .home_assistant import HomeAssistant, State
from .progress import detail, say
from .waiting import until

_LIMIT: Final = 30.0
_REMEMBERED: Final = 50  # looks; ten seconds, twice our usual update interval
_OTHER: Final = HOME_ASSISTANTS_OWN.domain
_ABSENT: Final = State(value="not there", unit=None)
_WITHOUT_VALUE: Final = ("unknown", "unavailable", _ABSENT.value)

# What every advertisement carries. Not time to go: without a discharge there is none.
LIVE: Final = (
    "battery_level",
    "voltage",
    "current",
    "power",
    "temperature",
    "consumed_amphours",
    "energy_charged",
    "energy_discharged",
    "low_cell_voltage",
    "battery_communication",
    "low_soc",
    "low_bank_voltage",
    "high_temperature",
    "error",
    "status",
    "allowed_to_charge",
    "allowed_to_discharge",
    "pre_alarm",
    "charging",
    "battery_low",
    "problem",
    "remote_on",
)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What both integrations show: the ends of their unique ids, and the resolution of Instant Readout."""

    name: str
    ours: str
    theirs: str
    resolution: float


QUANTITIES: Final = (
    Quantity(name="Voltage", ours="voltage", theirs="voltage", resolution=0.01),
    Quantity(name="Current", ours="current", theirs="current", resolution=0.1),
    Quantity(name="State of charge", ours="battery_level", theirs="state_of_charge", resolution=0.1),
    Quantity(name="Temperature", ours="temperature", theirs="battery_temperature", resolution=1),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One quantity as both show it at the same moment."""

    quantity: Quantity
    ours: State
    theirs: State

    @property
    def agrees(self) -> bool:
        """Return whether both show the same number, but for rounding, in the same unit."""
        difference = abs(_number(self.ours) - _number(self.theirs))
        return self.ours.unit == self.theirs.unit and difference < self.quantity.resolution / 2


def _number(state: State) -> float:
    try:
        return float(state.value)
    except ValueError:
        return math.nan


def compare(ours: Mapping[str, State], theirs: Mapping[str, State]) -> tuple[Row, ...]:
    """Put side by side what both show, each by the ends of its unique ids."""
    return tuple(
        Row(
            quantity=quantity,
            ours=ours.get(quantity.ours, _ABSENT),
            theirs=theirs.get(quantity.theirs, _ABSENT),
        )
        for quantity in QUANTITIES
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text to print."""
    lines = [("", INTEGRATION, _OTHER, "")]
    lines += [
        (row.quantity.name, _shown(row.ours), _shown(row.theirs), "same" if row.agrees else "different") for row in rows
    ]
    return "\n".join(f"  {name:<16}{ours:>14}{theirs:>14}  {verdict}".rstrip() for name, ours, theirs, verdict in lines)


def _shown(state: State) -> str:
    return f"{state.value} {state.unit}" if state.unit else state.value


def without_value(ours: Mapping[str, State]) -> list[str]:
    """Return the keys of LIVE that show nothing yet."""
    return [key for key in LIVE if ours.get(key, _ABSENT).value in _WITHOUT_VALUE]


_RECORD_START: Final = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", re.MULTILINE)
_SERIOUS: Final = re.compile(r"^\S+ \S+ (WARNING|ERROR|CRITICAL) ")
# Home Assistant says this of every custom integration.
_EXPECTED: Final = "[homeassistant.loader] We found a custom integration"


def complaints(log: Path) -> list[str]:
    """Return the records of Home Assistant's log, warnings and worse, that have to do with our integration."""
    records = _RECORD_START.split(log.read_text(errors="replace")) if log.exists() else []
    return [record.rstrip() for record in records if _is_complaint(record)]


def _is_complaint(record: str) -> bool:
    return bool(_SERIOUS.match(record)) and INTEGRATION in record and _EXPECTED not in record


class SideBySide:
    """Both integrations' view of one device, looked at again and again.

    Both get the same advertisements, but ours may show them later, at its update interval. So it has to show what the
    other one shows now or has shown not long ago.
    """

    def __init__(self) -> None:
        self.rows: tuple[Row, ...] = ()
        self._recent: deque[Mapping[str, State]] = deque(maxlen=_REMEMBERED)
        self._first: Mapping[str, State] | None = None

    @property
    def agreed(self) -> bool:
        """Return whether both agreed at least once."""
        return self._first is not None

    def look(self, ours: Mapping[str, State], theirs: Mapping[str, State]) -> bool:
        """Return whether both agree, and ours was seen to change."""
        self._recent.appendleft(theirs)
        candidates = [compare(ours, earlier) for earlier in self._recent]
        self.rows = next((rows for rows in candidates if all(row.agrees for row in rows)), candidates[0])
        if not all(row.agrees for row in self.rows):
            return False
        self._first = self._first or ours
        return ours != self._first

    def failure(self) -> str:
        """Return what is still wrong, as a sentence."""
        if different := ", ".join(row.quantity.name.lower() for row in self.rows if not row.agrees):
            return f"{INTEGRATION} and {_OTHER} still differed after {_LIMIT:.0f} seconds ({different})."
        return f"Nothing that {INTEGRATION} shows changed within {_LIMIT:.0f} seconds."


# Changes something on the emulated device that both integrations show.
type Change = Callable[[], Awaitable[None]]


async def check_device(hass: HomeAssistant, device: Device, ours: Mapping[str, str], change: Change) -> None:
    """Check the entities of one device (entity ids by key) and print the comparison; DemoError if anything is wrong."""
    say(f"Waiting for live values of {device.name} …")
    await _wait_for_values(hass, device, ours)
    detail(f"{len(LIVE)} entities have values.")
    say(f"Comparing with Home Assistant's own {_OTHER} …")
    await add_device(hass, HOME_ASSISTANTS_OWN, device)
    await _wait_for_agreement(hass, ours, await hass.entities(_OTHER, f"{device.address}-"), change)


async def _wait_for_values(hass: HomeAssistant, device: Device, ours: Mapping[str, str]) -> None:
    missing = list(LIVE)

    async def all_there() -> bool | None:
        missing[:] = without_value(_shown_by(ours, await hass.states()))
        return not missing or None

    await until(
        all_there,
        limit=_LIMIT,
        otherwise=lambda: f"{device.name} has no values of {', '.join(missing)} after {_LIMIT:.0f} seconds.",
    )


async def _wait_for_agreement(
    hass: HomeAssistant, ours: Mapping[str, str], theirs: Mapping[str, str], change: Change
) -> None:
    """Wait until both agree, and agree again after a change: a battery that is full may have nothing else to tell."""
    side_by_side = SideBySide()
    changed = False

    async def agreed() -> bool | None:
        nonlocal changed
        states = await hass.states()
        done = side_by_side.look(_shown_by(ours, states), _shown_by(theirs, states))
        if side_by_side.agreed and not changed:
            changed = True
            await change()
        return done or None

    try:
        await until(agreed, limit=_LIMIT, otherwise=side_by_side.failure)
    finally:
        print(table(side_by_side.rows), flush=True)


def _shown_by(entities: Mapping[str, str], states: Mapping[str, State]) -> dict[str, State]:
    """Return the states of these entities (ids by key) by key."""
    return {key: states[entity] for key, entity in entities.items() if entity in states}
