"""What is kept over restarts: our own stores, and what the recorder knows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
import logging
from math import inf, isfinite
from typing import Final, NotRequired, TypedDict

from homeassistant.components.recorder import DOMAIN as RECORDER
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.history import get_last_state_changes
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, Platform, UnitOfElectricPotential, UnitOfEnergy
from homeassistant.core import HomeAssistant, State, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import format_mac
from homeassistant.helpers.storage import Store
from homeassistant.util.dt import parse_datetime
from homeassistant.util.unit_conversion import BaseUnitConverter, ElectricPotentialConverter, EnergyConverter
from sqlalchemy.exc import SQLAlchemyError

from . import clock
from .clock import Stamp
from .const import DOMAIN
from .protocol.codes import Code
from .protocol.energy import Drawn, Energy, EnergyMeter, Sample
from .protocol.quantities import BY_NAME, Candidate, ChargeMark, Known, Source

_LOGGER = logging.getLogger(__name__)

STORAGE_VERSION: Final = 1

# What is kept is written this seldom, to spare SD cards, and when Home Assistant or the entry stops.
STORAGE_DELAY: Final = 900

# What reading a store that this version did not write may raise.
_NOT_UNDERSTOOD: Final = (
    HomeAssistantError,
    NotImplementedError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class StoredValue(TypedDict):
    """A value of a quantity."""

    value: Known
    source: str
    age: float | None


class StoredMark(TypedDict):
    """The last state of charge that the device gave, and its consumed Ah then."""

    state_of_charge: float
    consumed_amphours: float


class StoredSample(TypedDict):
    """What the energy meter took last."""

    voltage: float
    current: float
    consumed_amphours: float | None
    age: NotRequired[float | None]


class StoredEnergy(TypedDict):
    """What was counted, and up to where."""

    counted: dict[str, float]
    last: StoredSample | None


class StoredEvent(TypedDict):
    """The last event that was told: its type, its attributes, and when, as ISO 8601."""

    event_type: str
    attributes: dict[str, object]
    at: str


class StoredReserve(TypedDict):
    """How many Ah were drawn since a shutdown, and how long ago that was counted."""

    amphours: float
    age: NotRequired[float]


class StoredReadings(TypedDict, total=False):
    """What is kept of what a device sends."""

    saved: Stamp
    quantities: dict[str, StoredValue]
    mark: StoredMark | None
    lost: bool
    codes: list[str]
    event: StoredEvent | None
    energy: StoredEnergy
    reserve: StoredReserve | None
    switched_off: bool


@dataclass(frozen=True, kw_only=True)
class LastEvent:
    """The last event that was told."""

    event_type: str
    attributes: Mapping[str, object]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class KeptState:
    """What is kept of what a device sends, with times in s of the monotonic clock of now.

    codes: those that were told; None if that is not known. lost: the device was silent. switched_off: the system is
    off, and Home Assistant has switched it.
    """

    quantities: Mapping[str, Candidate] = field(default_factory=dict)
    mark: ChargeMark | None = None
    lost: bool = False
    codes: Sequence[Code] | None = None
    event: LastEvent | None = None
    meter: EnergyMeter = field(default_factory=EnergyMeter)
    drawn: Drawn | None = None
    switched_off: bool = False


class StoredRegister(TypedDict):
    """A register: of the device as a whole or of a battery, with its payloads.

    since: how long they have been the same. confirmed: the highest that a counter was, where that is not in payloads.
    """

    battery: int | None
    register: int
    payloads: list[str]
    age: NotRequired[float | None]
    since: NotRequired[float]
    confirmed: NotRequired[float]


class StoredRefusal(TypedDict):
    """A register that the device does not have."""

    battery: int | None
    register: int


class StoredBattery(TypedDict):
    """A battery, and how long ago it was there.

    absent: for how long it is known to be away, and not missed.
    """

    number: int
    seen: float | None
    absent: NotRequired[float]


class StoredPages(TypedDict, total=False):
    """What is kept of what was read over a connection, and which radios have a bond for one, or none."""

    saved: Stamp
    registers: list[StoredRegister]
    refused: list[StoredRefusal]
    batteries: list[StoredBattery]
    unpaired: list[str]
    paired: list[str]
    asked: list[str]


class DelayedStore[Content: Mapping[str, object]]:
    """Keeps what something returns when it is asked for it: seldom."""

    def __init__(self, store: Store[Content], content: Callable[[], Content]) -> None:
        self._store = store
        self._content = content
        self._waits = False

    async def async_load[Parsed](self, parse: Callable[[Content], Parsed]) -> Parsed | None:
        """Return what was kept; None when there is nothing, or nothing that this version understands."""
        try:
            stored = await self._store.async_load()
            return None if stored is None else parse(stored)
        except _NOT_UNDERSTOOD as error:
            _LOGGER.warning("What was kept in %s is not understood, and begins anew: %r", self._store.key, error)
            return None

    async def async_save(self) -> None:
        """Write now."""
        await self._store.async_save(self._taken())

    @callback
    def async_save_later(self) -> None:
        """Write after a while. Asked again meanwhile, the store would put it off each time."""
        if not self._waits:
            self._waits = True
            self._store.async_delay_save(self._taken, STORAGE_DELAY)

    @callback
    def _taken(self) -> Content:
        self._waits = False
        return self._content()


def reading_store(hass: HomeAssistant, entry_id: str) -> Store[StoredReadings]:
    """Return the store of what the device of an entry sends."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}")


def pages_store(hass: HomeAssistant, entry_id: str) -> Store[StoredPages]:
    """Return the store of what was read over the connections of an entry."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}.pages")


def without_battery(stored: StoredPages, number: int | None) -> StoredPages:
    """Return what is kept, without a battery."""
    kept = stored.copy()
    kept["registers"] = [
        row for row in stored.get("registers", ()) if row["battery"] is None or row["battery"] != number
    ]
    kept["refused"] = [row for row in stored.get("refused", ()) if row["battery"] is None or row["battery"] != number]
    kept["batteries"] = [row for row in stored.get("batteries", ()) if row["number"] != number]
    return kept


def age_of(at: float) -> float | None:
    """Return how old something of a moment is, as it is kept."""
    return clock.now() - at if isfinite(at) else None


def moment_of(age: float | None, saved: Stamp | None) -> float:
    """Return the moment of something that had an age when it was kept; -inf if nobody knows."""
    passed = clock.elapsed(saved)
    return -inf if age is None or passed is None else clock.now() - passed - age


def to_store(kept: KeptState) -> StoredReadings:
    """Return what to keep."""
    stored = StoredReadings(
        saved=clock.stamp(),
        quantities={name: _value_to_store(one) for name, one in kept.quantities.items()},
        mark=_mark_to_store(kept.mark),
        lost=kept.lost,
        event=_event_to_store(kept.event),
        energy=_energy_to_store(kept.meter),
        reserve=_reserve_to_store(kept.drawn),
        switched_off=kept.switched_off,
    )
    if kept.codes is not None:
        stored["codes"] = [str(code) for code in kept.codes]
    return stored


def from_store(stored: StoredReadings) -> KeptState:
    """Return what was kept. Raises one of many errors when it is not understood."""
    saved, mark, codes = stored.get("saved"), stored.get("mark"), stored.get("codes")
    return KeptState(
        quantities={
            name: _candidate(name, row, saved) for name, row in stored.get("quantities", {}).items() if name in BY_NAME
        },
        mark=ChargeMark(**mark) if mark else None,
        lost=stored.get("lost", False),
        codes=None if codes is None else [Code.parse(code) for code in codes],
        event=_event_from_store(stored.get("event")),
        meter=_energy_from_store(stored.get("energy"), saved),
        drawn=_reserve_from_store(stored.get("reserve"), saved),
        switched_off=stored.get("switched_off", False),
    )


def _mark_to_store(mark: ChargeMark | None) -> StoredMark | None:
    if mark is None:
        return None
    return StoredMark(state_of_charge=mark.state_of_charge, consumed_amphours=mark.consumed_amphours)


def _value_to_store(one: Candidate) -> StoredValue:
    return StoredValue(value=one.value, source=one.origin or one.source, age=age_of(one.at))


def _candidate(name: str, row: StoredValue, saved: Stamp | None) -> Candidate:
    value = BY_NAME[name].parse(row["value"])
    origin = Source(row["source"])
    return Candidate(value=value, source=Source.RESTORED, at=moment_of(row["age"], saved), origin=origin)


def _event_to_store(event: LastEvent | None) -> StoredEvent | None:
    if event is None:
        return None
    return StoredEvent(event_type=event.event_type, attributes=dict(event.attributes), at=event.at.isoformat())


def _event_from_store(stored: StoredEvent | None) -> LastEvent | None:
    if stored is None:
        return None
    if (at := parse_datetime(stored["at"])) is None:
        raise ValueError(f"{stored['at']} is no time")
    return LastEvent(event_type=stored["event_type"], attributes=stored["attributes"], at=at)


def _energy_to_store(meter: EnergyMeter) -> StoredEnergy:
    return StoredEnergy(counted=asdict(meter.energy), last=_sample_to_store(meter.last) if meter.last else None)


def _sample_to_store(last: Sample) -> StoredSample:
    return StoredSample(
        voltage=last.voltage, current=last.current, consumed_amphours=last.consumed_amphours, age=age_of(last.at)
    )


def _energy_from_store(stored: StoredEnergy | None, saved: Stamp | None) -> EnergyMeter:
    if stored is None:
        return EnergyMeter()
    last = stored["last"]
    energy = Energy(**stored["counted"])  # type: ignore[arg-type]  # the gaps are whole
    return EnergyMeter(energy, _sample_from_store(last, saved) if last else None)


def _sample_from_store(stored: StoredSample, saved: Stamp | None) -> Sample:
    return Sample(
        at=moment_of(stored.get("age"), saved),
        voltage=stored["voltage"],
        current=stored["current"],
        consumed_amphours=stored["consumed_amphours"],
    )


def _reserve_to_store(drawn: Drawn | None) -> StoredReserve | None:
    return None if drawn is None else StoredReserve(amphours=drawn.amphours, age=clock.now() - drawn.at)


def _reserve_from_store(stored: StoredReserve | None, saved: Stamp | None) -> Drawn | None:
    """Return what was drawn. It was drawn on while nobody counted, for as long as any clock tells."""
    if stored is None:
        return None
    at = clock.now() - stored.get("age", 0.0) - clock.elapsed_at_least(saved)
    return Drawn(amphours=float(stored["amphours"]), at=at)


ENERGY_CHARGED: Final = "energy_charged"
ENERGY_DISCHARGED: Final = "energy_discharged"
_VOLTAGE: Final = "voltage"
_CONSUMED: Final = "consumed_amphours"
_KEYS: Final = (ENERGY_CHARGED, ENERGY_DISCHARGED, _VOLTAGE, _CONSUMED)
# Among so many of the last states there is one with a value, unless the device was long gone.
_LAST_STATES: Final = 20

type _States = Mapping[str, State]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The Wh that were shown last, and what was measured then."""

    charged: float
    discharged: float
    last: Sample


async def async_last_recorded(hass: HomeAssistant, address: str) -> Recorded | None:
    """Return what was recorded last of a device; None where the recorder knows nothing of its energy."""
    if RECORDER not in hass.config.components:
        return None
    entity_ids = _entity_ids(hass, address)
    try:
        states = await get_instance(hass).async_add_executor_job(_last_states, hass, entity_ids)
    except SQLAlchemyError as error:
        _LOGGER.debug("The recorder does not say what it knows of %s: %s", address, error)
        return None
    return _recorded(states)


def _entity_ids(hass: HomeAssistant, address: str) -> dict[str, str]:
    """Return the entity ids of those sensors that there are, by key."""
    registry = er.async_get(hass)
    found = {
        key: registry.async_get_entity_id(Platform.SENSOR, DOMAIN, f"{format_mac(address)}_{key}") for key in _KEYS
    }
    return {key: entity_id for key, entity_id in found.items() if entity_id}


def _last_states(hass: HomeAssistant, entity_ids: Mapping[str, str]) -> dict[str, State]:
    """Return the last state with a value of each."""
    states = {
        key: _last_number(get_last_state_changes(hass, _LAST_STATES, entity_id).get(entity_id, ()))
        for key, entity_id in entity_ids.items()
    }
    return {key: state for key, state in states.items() if state}


def _last_number(states: Iterable[object]) -> State | None:
    numbers = (state for state in states if isinstance(state, State) and _number(state) is not None)
    return max(numbers, key=lambda state: state.last_updated, default=None)


def _number(state: State) -> float | None:
    try:
        return float(state.state)
    except ValueError:
        return None


def _recorded(states: _States) -> Recorded | None:
    charged, discharged = (
        _converted(states.get(key), EnergyConverter, UnitOfEnergy.WATT_HOUR)
        for key in (ENERGY_CHARGED, ENERGY_DISCHARGED)
    )
    if charged is None and discharged is None:
        return None
    return Recorded(charged=charged or 0.0, discharged=discharged or 0.0, last=_sample(states))


def _sample(states: _States) -> Sample:
    """Return what was measured then. When that was, no clock tells for sure; without a voltage, Ah tell no energy."""
    voltage, consumed = states.get(_VOLTAGE), states.get(_CONSUMED)
    volts = _converted(voltage, ElectricPotentialConverter, UnitOfElectricPotential.VOLT)
    amphours = _number(consumed) if consumed and volts is not None else None
    return Sample(at=-inf, voltage=volts or 0.0, current=0.0, consumed_amphours=amphours)


def _converted(state: State | None, converter: type[BaseUnitConverter], unit: str) -> float | None:
    """Return the number of a state, whatever unit its owner chose; None when there is none."""
    if state is None or (number := _number(state)) is None:
        return None
    return converter.convert(number, state.attributes.get(ATTR_UNIT_OF_MEASUREMENT, unit), unit)
