"""What survives a restart: the stores of the integration, and what the recorder knows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
import logging
from math import inf, isfinite
from typing import Final, NotRequired, TypedDict, override

from homeassistant.components.recorder import DOMAIN as RECORDER
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.history import get_last_state_changes
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, Platform, UnitOfElectricPotential, UnitOfEnergy
from homeassistant.core import HomeAssistant, State, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import format_mac
from homeassistant.helpers.json import JSONEncoder
from homeassistant.helpers.storage import Store
from homeassistant.util.dt import parse_datetime
from homeassistant.util.unit_conversion import BaseUnitConverter, ElectricPotentialConverter, EnergyConverter
from sqlalchemy.exc import SQLAlchemyError

from . import clock
from .clock import Stamp
from .const import DOMAIN
from .protocol.codes import Code
from .protocol.energy import Drawn, Energy, EnergyMeter, Sample
from .protocol.learned import Learned
from .protocol.quantities import (
    BY_NAME,
    ENERGY_CHARGED,
    ENERGY_DISCHARGED,
    Candidate,
    ChargeMark,
    Known,
    Source,
)
from .protocol.session import ArrayForm
from .shape import WrongShape, check_shape

_LOGGER = logging.getLogger(__name__)

STORAGE_VERSION: Final = 1

# How often the store is written, in s, to spare SD cards. It is also written when Home Assistant stops and when the
# entry is unloaded, and soon after a change that must not be lost, but for those not more often than every SOON.
STORAGE_DELAY: Final = 900
SOON: Final = 60
# Ages are stored with so many decimals.
_DECIMALS_OF_AGES: Final = 1

# The errors that a store may raise which another version has written.
_NOT_UNDERSTOOD: Final = (
    HomeAssistantError,
    NotImplementedError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class StoredValue(TypedDict):
    """A value of a quantity; age in s, None if it is unknown."""

    value: bool | Known
    source: str
    age: float | None


class StoredMark(TypedDict):
    """The last state of charge from the device, in %, and the consumed Ah at that moment."""

    state_of_charge: float
    consumed_amphours: float


class StoredSample(TypedDict):
    """The last sample of the energy meter, in V, A and Ah; age in s, None if it is unknown."""

    voltage: float
    current: float
    consumed_amphours: float | None
    age: NotRequired[float | None]


class StoredEnergy(TypedDict):
    """The counters of the energy meter, and its last sample."""

    counted: dict[str, float]
    last: StoredSample | None


class StoredEvent(TypedDict):
    """The last event of the event entity: its type, its attributes, and its time as ISO 8601."""

    event_type: str
    attributes: dict[str, object]
    at: str


class StoredReserve(TypedDict):
    """The Ah drawn since a shutdown, and how many s ago they were counted."""

    amphours: float
    age: NotRequired[float]


class StoredReadings(TypedDict, total=False):
    """The stored state of the coordinator of Instant Readout."""

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
    """The last event of the event entity."""

    event_type: str
    attributes: Mapping[str, object]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class KeptState:
    """The state of the coordinator of Instant Readout that survives a restart; times in s of the monotonic clock.

    codes: the active codes that were reported; None if they are unknown. lost: the device was silent.
    switched_off: the system is off because Home Assistant switched it off.
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
    """The payloads of a register of a battery, or of the device (battery: None).

    age: how many s ago they were read. since: how many s ago they last changed. confirmed: the highest value of a
    counter, if it is known.
    """

    battery: int | None
    register: int
    payloads: list[str]
    age: NotRequired[float | None]
    since: NotRequired[float]
    confirmed: NotRequired[float]


class StoredRefusal(TypedDict):
    """A register that the device, or a battery, does not have."""

    battery: int | None
    register: int


class StoredBattery(TypedDict):
    """A battery, and how many s ago it was last seen.

    absent: for how many s it has been absent without the BMS reporting it as lost.
    """

    number: int
    seen: float | None
    absent: NotRequired[float]


class StoredLearned(TypedDict, total=False):
    """What the device has taught, see Learned, but for the registers that it does not have."""

    firmware_version: str | None
    array_form: str
    chunk_sizes: bool
    acquire_notifications: bool
    flagged_key_request: bool
    read_only: list[int]
    finer: list[str]


class StoredPages(TypedDict, total=False):
    """The stored values of connections, what the device has taught, and what is known of the bonds of radios.

    unpaired, paired, asked: the sources of radios without a bond, with one, and that encrypt the link when asked.
    """

    saved: Stamp
    registers: list[StoredRegister]
    refused: list[StoredRefusal]
    learned: StoredLearned
    batteries: list[StoredBattery]
    unpaired: list[str]
    paired: list[str]
    asked: list[str]


class StoredEntry(StoredReadings, total=False):
    """Everything that is stored of an entry: the readings, and beside them the pages, empty without a PIN."""

    pages: StoredPages


class _CompactEncoder(JSONEncoder):
    """Writes JSON without spaces, which would be almost half of it."""

    @override
    def encode(self, o: object) -> str:
        self.item_separator, self.key_separator = ",", ":"
        self.indent = None  # type: ignore[assignment]  # all on one line
        return super().encode(o)


class EntryStore:
    """The store of one entry, which is written seldom.

    readings, pages: return what to store; each coordinator sets its own.
    """

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        self.readings: Callable[[], StoredReadings] = StoredReadings
        self.pages: Callable[[], StoredPages] = StoredPages
        self._hass = hass
        key = f"{DOMAIN}.{entry_id}"
        self._store: Store[StoredEntry] = Store(hass, STORAGE_VERSION, key, encoder=_CompactEncoder)
        # Where earlier versions stored the pages.
        self._former_pages: Store[StoredPages] = Store(hass, STORAGE_VERSION, f"{key}.pages")
        self._has_former_pages = False
        self._stored = StoredEntry()
        self._due = inf
        self._saved_at = -inf

    async def async_load(self) -> None:
        """Load what is stored. What this version cannot read is left out."""
        self._stored = await self._async_read(self._store) or StoredEntry()
        if "pages" not in self._stored and (pages := await self._async_read(self._former_pages)):
            self._stored = StoredEntry(**self._stored, pages=pages)
            self._has_former_pages = True

    async def async_merge(self) -> None:
        """Write what an earlier version stored in two files into one, once the coordinators have taken it over."""
        if self._has_former_pages:
            self._has_former_pages = False
            await self.async_save()
            await self._former_pages.async_remove()

    async def _async_read[Content: Mapping[str, object]](self, store: Store[Content]) -> Content | None:
        try:
            stored = await store.async_load()
        except _NOT_UNDERSTOOD as error:
            self._warn(error)
            return None
        if not isinstance(stored, dict | None):
            self._warn(WrongShape(f"it is {stored!r}"))
            return None
        return stored

    def parse_readings[Parsed](self, parse: Callable[[StoredReadings], Parsed]) -> Parsed | None:
        """Return the parsed readings; None if none are stored, they are damaged, or this version cannot read them."""
        return self._parse(self._stored, StoredReadings, parse)

    def parse_pages[Parsed](self, parse: Callable[[StoredPages], Parsed]) -> Parsed | None:
        """Return the parsed pages; None if none are stored, they are damaged, or this version cannot read them."""
        return self._parse(self.stored_pages, StoredPages, parse)

    def _parse[Part: Mapping[str, object], Parsed](
        self, stored: Part, shape: type[Part], parse: Callable[[Part], Parsed]
    ) -> Parsed | None:
        if not stored:
            return None
        try:
            check_shape(stored, shape)
            return parse(stored)
        except _NOT_UNDERSTOOD as error:
            self._warn(error)
            return None

    @property
    def stored_pages(self) -> StoredPages:
        """The pages as they were loaded."""
        return self._stored.get("pages", StoredPages())

    def _warn(self, error: Exception) -> None:
        _LOGGER.warning("Cannot read the stored data in %s; starting without it: %r", self._store.key, error)

    async def async_save(self) -> None:
        """Write the content now."""
        await self._store.async_save(self._content())

    async def async_save_pages(self, pages: StoredPages) -> None:
        """Write other pages, while no coordinator is running."""
        self._stored["pages"] = pages
        await self._store.async_save(self._stored)

    async def async_remove(self) -> None:
        """Remove everything that is stored."""
        await self._store.async_remove()
        await self._former_pages.async_remove()

    @callback
    def async_save_later(self) -> None:
        """Write the content within STORAGE_DELAY."""
        self._async_save_by(clock.now() + STORAGE_DELAY)

    @callback
    def async_save_soon(self) -> None:
        """Write the content at once, or SOON after it was last written."""
        due = self._saved_at + SOON
        if due > clock.now():
            self._async_save_by(due)
        else:
            self._hass.async_create_task(self.async_save(), f"write {self._store.key}")

    @callback
    def _async_save_by(self, due: float) -> None:
        """Ask the store to write by a time, unless it will: asking it again would postpone the write."""
        if due < self._due:
            self._due = due
            self._store.async_delay_save(self._content, due - clock.now())

    @callback
    def _content(self) -> StoredEntry:
        self._due, self._saved_at = inf, clock.now()
        return StoredEntry(**self.readings(), pages=self.pages())


def without_battery(stored: StoredPages, number: int | None) -> StoredPages:
    """Return the stored pages without one battery."""
    kept = stored.copy()
    kept["registers"] = [
        row for row in stored.get("registers", ()) if row["battery"] is None or row["battery"] != number
    ]
    kept["refused"] = [row for row in stored.get("refused", ()) if row["battery"] is None or row["battery"] != number]
    kept["batteries"] = [row for row in stored.get("batteries", ()) if row["number"] != number]
    return kept


def age_of(at: float) -> float | None:
    """Return the age in s of a monotonic time, to be stored; None if it is not finite."""
    return round(clock.now() - at, _DECIMALS_OF_AGES) if isfinite(at) else None


def moment_of(age: float | None, saved: Stamp | None) -> float:
    """Return the monotonic time in s of something that had this age when it was stored; -inf if that is unknown."""
    passed = clock.elapsed(saved)
    return -inf if age is None or passed is None else clock.now() - passed - age


def to_store(kept: KeptState) -> StoredReadings:
    """Return the state in its stored form."""
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
    """Return the state from its stored form. Raises one of several errors if it cannot be read."""
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


def learned_to_store(learned: Learned) -> StoredPages:
    """Return what a device has taught in its stored form."""
    return StoredPages(
        refused=[StoredRefusal(battery=battery, register=register) for battery, register in learned.missing],
        learned=StoredLearned(
            firmware_version=learned.firmware_version,
            array_form=learned.array_form,
            chunk_sizes=learned.chunk_sizes,
            acquire_notifications=learned.acquire_notifications,
            flagged_key_request=learned.flagged_key_request,
            read_only=sorted(learned.read_only),
            finer=sorted(learned.finer),
        ),
    )


def learned_from_store(stored: StoredPages) -> Learned:
    """Return what a device has taught from its stored form. Raises one of several errors if it cannot be read."""
    rest = stored.get("learned", StoredLearned())
    return Learned(
        firmware_version=rest.get("firmware_version"),
        array_form=ArrayForm(rest.get("array_form", ArrayForm.DEFINITE)),
        chunk_sizes=rest.get("chunk_sizes", True),
        acquire_notifications=rest.get("acquire_notifications", False),
        flagged_key_request=rest.get("flagged_key_request", False),
        missing=frozenset((row["battery"], row["register"]) for row in stored.get("refused", ())),
        read_only=frozenset(rest.get("read_only", ())),
        finer=frozenset(rest.get("finer", ())),
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
    """Return what was drawn. The countdown includes the downtime, as far as it is known."""
    if stored is None:
        return None
    at = clock.now() - stored.get("age", 0.0) - clock.elapsed_at_least(saved)
    return Drawn(amphours=float(stored["amphours"]), at=at)


_VOLTAGE: Final = "voltage"
_CONSUMED: Final = "consumed_amphours"
_COUNTERS: Final = (ENERGY_CHARGED, ENERGY_DISCHARGED)
# States that are written together get times a little apart.
_SAME_MOMENT: Final = timedelta(seconds=0.5)
_KEYS: Final = (*_COUNTERS, _VOLTAGE, _CONSUMED)
# Among this many latest states at least one has a value, unless the device was away for long.
_LAST_STATES: Final = 20

type _States = Mapping[str, State]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The energy shown last, in Wh, and what was measured at that moment."""

    charged: float
    discharged: float
    last: Sample


async def async_last_recorded(hass: HomeAssistant, address: str) -> Recorded | None:
    """Return the latest recorded energy of a device; None if the recorder has none."""
    if RECORDER not in hass.config.components:
        return None
    entity_ids = sensor_ids(hass, address, _KEYS)
    try:
        states = await get_instance(hass).async_add_executor_job(_last_states, hass, entity_ids)
    except SQLAlchemyError as error:
        _LOGGER.debug("Cannot read the recorded states of %s: %s", address, error)
        return None
    return _recorded(states)


@callback
def sensor_ids(hass: HomeAssistant, address: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the entity ids of those sensors of a device that exist, by key."""
    registry = er.async_get(hass)
    found = {key: registry.async_get_entity_id(Platform.SENSOR, DOMAIN, f"{format_mac(address)}_{key}") for key in keys}
    return {key: entity_id for key, entity_id in found.items() if entity_id}


def _last_states(hass: HomeAssistant, entity_ids: Mapping[str, str]) -> dict[str, State]:
    """Return the last state with a number, by key: of the energy, and of the rest at the moment of that.

    What was measured later is left out: the energy that flowed until then was not recorded.
    """
    numbers = {
        key: _numbers(get_last_state_changes(hass, _LAST_STATES, entity_id).get(entity_id, ()))
        for key, entity_id in entity_ids.items()
    }
    counters = {key: states[-1] for key in _COUNTERS if (states := numbers.get(key))}
    if not counters:
        return {}
    moment = max(state.last_updated for state in counters.values())
    measured = {key: _at(moment, states) for key, states in numbers.items() if states and key not in counters}
    return {**counters, **measured}


def _numbers(states: Iterable[object]) -> list[State]:
    """Return the states with a number, oldest first."""
    numbers = (state for state in states if isinstance(state, State) and _number(state) is not None)
    return sorted(numbers, key=lambda state: state.last_updated)


def _at(moment: datetime, states: Sequence[State]) -> State:
    """Return the last state up to a moment, or the first one if all are later."""
    return next((state for state in reversed(states) if state.last_updated <= moment + _SAME_MOMENT), states[0])


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
    """Return what was measured then, at an unknown time.

    Without a voltage the consumed Ah are left out: they give no energy.
    """
    voltage, consumed = states.get(_VOLTAGE), states.get(_CONSUMED)
    volts = _converted(voltage, ElectricPotentialConverter, UnitOfElectricPotential.VOLT)
    amphours = _number(consumed) if consumed and volts is not None else None
    return Sample(at=-inf, voltage=volts or 0.0, current=0.0, consumed_amphours=amphours)


def _converted(state: State | None, converter: type[BaseUnitConverter], unit: str) -> float | None:
    """Return the number of a state, converted to this unit; None if it has none."""
    if state is None or (number := _number(state)) is None:
        return None
    return converter.convert(number, state.attributes.get(ATTR_UNIT_OF_MEASUREMENT, unit), unit)
