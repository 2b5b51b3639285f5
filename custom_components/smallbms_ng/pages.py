"""Reads and writes the pages of a device: the latest value of each register, its age, and which registers are due."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, count
from math import inf
from typing import Final, Protocol

from . import clock
from .connection.client import VeSmartClient
from .connection.link import Answer, Reading, Refusal
from .messages import invalid_value, warning_not_above_floor
from .protocol.codes import CONFIGURATION_ERRORS, Level
from .protocol.learned import DeviceMemory, RegisterOf
from .protocol.payloads import PayloadError, Value
from .protocol.registers import (
    BY_ID,
    MOST_BATTERIES,
    OF_BATTERY,
    SMALLEST_SYSTEM_VOLTAGE,
    THRESHOLDS,
    BatterySource,
    Name,
    Page,
    Register,
    cells_by_battery,
    choose,
    named,
    on_page,
    payload_key,
    threshold_conflict,
    write_order,
)
from .protocol.session import RefusalReason
from .storage import StoredBattery, StoredPages, StoredRegister, age_of, moment_of

# Home Assistant may begin an interval up to a second early, and values that arrive while a connection is kept open are
# newer than those read before. Neither may delay a page by one interval.
_EARLY: Final = timedelta(seconds=20)

SETTINGS_AGE: Final = timedelta(hours=1)
HISTORY_AGE: Final = timedelta(minutes=30)
# A battery that is absent this long, without the BMS reporting it as lost, is removed. A loose cable is found sooner.
GONE_AFTER: Final = timedelta(days=1)
# After this long (or two intervals) without a successful read, a battery may have been present in between. Attempts
# after failures, as while the phone is connected, are up to an hour apart.
_LONGEST_PAUSE: Final = timedelta(hours=6)
# Equal values this far apart do not show that the value stayed the same in between.
_LONGEST_GAP: Final = timedelta(days=2)
# How long an overdue value is still shown while connections fail. Settings do not change by themselves.
SHOWN_FOR: Final = timedelta(hours=2)
SETTINGS_SHOWN_FOR: Final = timedelta(hours=24)
# A counter that fell is believed when a later connection confirms it: at least this much later, in s.
_CONFIRMED_AFTER: Final = 5.0

_FIRMWARE_VERSION: Final = named(Name.FIRMWARE_VERSION)[0]
_CELLS_OF_BANK: Final = (None, named(Name.CELL)[0].id)
_COMMUNICATION: Final = "battery_communication"
_CELLS_PER_12_VOLTS: Final = 4
_VOLTS_PER_CELL: Final = 3.2
# What an entity can show. Each is read once, to find out whether the device has it.
_OF_STATUS: Final = (Name.MODE, Name.FLAGS, Name.CHARGE_OFF_REASON, Name.DISCHARGE_OFF_REASON, Name.OFF_REASON)
OFFERED: Final = frozenset(
    {
        *_OF_STATUS,
        *(register.name for page in (Page.BATTERY, Page.SETTINGS, Page.HISTORY) for register in on_page(page)),
    }
    # The cells are read with their battery.
    - {Name.CELL}
)


@dataclass(frozen=True, kw_only=True)
class RegisterKey:
    """A value of the device as a whole, or of one battery; batteries count from 1."""

    name: Name
    battery: int | None = None


@dataclass(frozen=True, kw_only=True)
class _LowerCounter:
    """A counter that is lower than before, and when it was first read so."""

    value: float
    at: float


@dataclass(frozen=True, kw_only=True)
class _ValueRead:
    reading: Reading
    at: float
    since: float
    """When this value was first read."""

    def value(self, *, finer: bool) -> Value:
        """Return the decoded value; for the cells of a battery, the voltage in V by cell number."""
        values = self.reading.decoded(finer=finer)
        if BY_ID[self.reading.register].name is not Name.CELL:
            return next(iter(values), None)
        return {str(cell["cell"]): cell["voltage"] for cell in values if isinstance(cell, Mapping)}


def page_ages(interval: timedelta) -> Mapping[Page, float]:
    """Return after how many s each page is due, for this interval between connections."""
    ages = {
        Page.STATUS: timedelta(),
        Page.BATTERY: interval,
        Page.IDENTITY: max(interval, SETTINGS_AGE),
        Page.SETTINGS: max(interval, SETTINGS_AGE),
        Page.HISTORY: max(interval, HISTORY_AGE),
    }
    return {page: age.total_seconds() for page, age in ages.items()}


class PageValues:
    """The values of one device that were read over connections.

    A register that was answered once is offered from then on. A register that the device does not have is not read
    again; memory holds which these are.
    """

    def __init__(self, interval: timedelta, memory: DeviceMemory) -> None:
        self._ages = page_ages(interval)
        self._memory = memory
        self._kept: dict[RegisterOf, _ValueRead] = {}
        self._highest: dict[RegisterOf, float] = {}
        self._fallen: dict[RegisterOf, _LowerCounter] = {}
        self._seen: dict[int, float] = {}
        self._absent: dict[int, float] = {}
        self._looked: float | None = None
        self._expired: set[Page] = set()

    @property
    def batteries(self) -> tuple[int, ...]:
        """The numbers of the batteries that are present, or were until recently."""
        return tuple(sorted(self._seen))

    @property
    def looked_at(self) -> float:
        """When the batteries were last read, in s of the monotonic clock; -inf if not since the start."""
        return -inf if self._looked is None else self._looked

    @property
    def missing(self) -> frozenset[RegisterOf]:
        """The registers that the device, or a battery, does not have."""
        return self._memory.learned.missing

    @property
    def expired(self) -> frozenset[Page]:
        """The pages that the next read must include."""
        return frozenset(self._expired)

    @property
    def system_voltage(self) -> int | None:
        """12, 24 or 48 V; None while the bank is unknown."""
        bank = self.value(RegisterKey(name=Name.BANK))
        cells = bank.get("cells") if isinstance(bank, Mapping) else None
        series = bank.get("series") if isinstance(bank, Mapping) else None
        if not isinstance(cells, int) or not isinstance(series, int):
            return None
        return cells * series // _CELLS_PER_12_VOLTS * SMALLEST_SYSTEM_VOLTAGE or None

    @property
    def misses_battery(self) -> bool:
        """Whether the BMS reports that a battery is lost, or that the batteries it finds form no bank."""
        levels = self.value(RegisterKey(name=Name.LEVELS))
        lost = isinstance(levels, Mapping) and levels.get(_COMMUNICATION) in {Level.WARNING, Level.ALARM}
        return lost or self.value(RegisterKey(name=Name.ERROR)) in CONFIGURATION_ERRORS

    def battery_model(self, battery: int | None) -> str | None:
        """Return the model of a battery, such as 12.8/100; None while it is unknown."""
        bank, capacity = (
            self.value(RegisterKey(name=Name.BANK)),
            self.value(RegisterKey(name=Name.CAPACITY, battery=battery)),
        )
        cells = bank.get("cells") if isinstance(bank, Mapping) else None
        if not isinstance(cells, int) or not isinstance(capacity, int | float):
            return None
        return f"{cells * _VOLTS_PER_CELL:.1f}/{capacity:g}"

    def all(self) -> Mapping[RegisterKey, Value]:
        """Return every known value."""
        register_keys = {RegisterKey(name=BY_ID[register].name, battery=battery) for battery, register in self._kept}
        return {want: self.value(want) for want in register_keys}

    def value(self, want: RegisterKey) -> Value:
        """Return a value; None if it is unknown."""
        kept = self._best(want)
        return None if kept is None else kept.value(finer=self.is_finer(BY_ID[kept.reading.register]))

    def is_finer(self, register: Register) -> bool:
        """Return whether the voltages of a register are in mV."""
        return register.scale in self._memory.learned.finer

    def age(self, want: RegisterKey) -> float:
        """Return how many s ago a value was read; inf if never, or if that is unknown."""
        kept = self._best(want)
        return inf if kept is None else clock.now() - kept.at

    def unchanged_for(self, want: RegisterKey) -> float | None:
        """Return for how many s a value has been the same; None if it is unknown."""
        kept = self._best(want)
        return None if kept is None else clock.now() - kept.since

    def answered(self, want: RegisterKey, since: float) -> bool:
        """Return whether the device has answered since a moment, with a value or that there is none."""
        kept = self._best(want)
        return kept is not None and kept.at >= since and bool(kept.reading.payloads)

    def shown(self, want: RegisterKey, now: float) -> bool:
        """Return whether a value is known and recent enough to show."""
        kept = self._best(want)
        if kept is None or not self._present(want.battery):
            return False
        page = BY_ID[kept.reading.register].page
        more = SETTINGS_SHOWN_FOR if page is Page.SETTINGS else SHOWN_FOR
        return now - kept.at < self._ages[page] + more.total_seconds()

    def register(self, name: Name) -> Register:
        """Return the register that the device uses for a name."""
        answered = (register for battery, register in self._kept if battery is None)
        return choose(name, answered) or named(name)[0]

    def can_write(self, name: Name) -> bool:
        """Return whether the device may accept a setting or an action: it has not ruled that out."""
        register, learned = self.register(name).id, self._memory.learned
        # Something to read that is missing is not offered in the first place.
        return register not in learned.read_only and (None, register) not in learned.missing

    def take_refusal(self, register: int, reason: RefusalReason) -> None:
        """Remember that the device does not have what was to be written, or does not let anybody change it."""
        learned = self._memory.learned
        if reason not in {RefusalReason.MISSING, RefusalReason.READ_ONLY}:
            return
        if (None, register) in self._kept:
            self._memory.learned = replace(learned, read_only=learned.read_only | {register})
        else:
            self._miss(learned.missing | {(None, register)})

    def due(self, battery: int | None, names: Iterable[Name], now: float, forced: frozenset[Page]) -> list[int]:
        """Return which registers of these names are due: too old, forced, or never read."""
        candidates = (row for name in dict.fromkeys(names) for row in self._candidates(name, battery))
        return [row.id for row in candidates if self._is_due(battery, row, now, forced)]

    def take(self, battery: int | None, answers: Mapping[int, Answer], now: float) -> None:
        """Take the answers to a read, by register."""
        for register, answer in answers.items():
            if register in BY_ID:
                self._take(battery, register, answer, now)

    def renew(self, battery: int | None, register: int, payload: bytes, now: float) -> bool:
        """Take an unsolicited payload, if its register has been read before; return whether the value changed."""
        if (kept := self._kept.get((battery, register))) is None:
            return False
        old = kept.reading.payloads
        several = bool(BY_ID[register].key_size)
        # One part does not make the other parts newer; a part that was never read belongs to something else.
        part = payload_key(register, payload)
        new = tuple(payload if payload_key(register, one) == part else one for one in old) if several else (payload,)
        self._keep((battery, register), Reading(register=register, payloads=new), kept.at if several else now)
        self._share_out_cells((battery, register), now)
        return self._kept[battery, register].reading.payloads != old

    def _share_out_cells(self, key: RegisterOf, now: float) -> None:
        """Give each battery its cells, if those of the whole bank come from the main instance."""
        if key != _CELLS_OF_BANK or key not in self._kept:
            return
        for battery, payloads in cells_by_battery(self._kept[key].reading.payloads).items():
            self._keep((battery, key[1]), Reading(register=key[1], payloads=payloads), now)

    @property
    def batteries_in_bank(self) -> tuple[int, ...]:
        """The numbers of the batteries whose cells the main instance gives."""
        kept = self._kept.get(_CELLS_OF_BANK)
        return tuple(cells_by_battery(kept.reading.payloads)) if kept else ()

    def take_batteries(self, numbers: Iterable[int], now: float) -> None:
        """Take the numbers of the batteries that are present."""
        if self._nobody_looked(now):
            self._absent.clear()
        self._seen |= dict.fromkeys(numbers, now)
        self._looked = now

    def assign_number(
        self, last: int, source: BatterySource, answers: Mapping[int, Answer], taken: Collection[int]
    ) -> int:
        """Return the number of the battery that answered. A battery keeps its number when it moves within the bank.

        A new battery gets the number of its place, or else the first free one. A battery that does not give its serial
        number is not new: it gets the last number of its place.
        """
        serial = next((_text(answers.get(row.id)) for row in source.registers if row.name is Name.SERIAL_NUMBER), None)
        if serial is None:
            return next(number for number in chain((last,), count(1)) if number not in taken)
        serials = {number: self.value(RegisterKey(name=Name.SERIAL_NUMBER, battery=number)) for number in self._seen}
        own = next((number for number, known in serials.items() if known == serial), None)
        others = {number for number, known in serials.items() if known is not None} | {*taken}
        return own or next(number for number in chain((source.number,), count(1)) if number not in others)

    def forget_absent(self, now: float) -> list[int]:
        """Forget the batteries that are gone for good; return their numbers.

        A battery that the BMS reports as lost is not gone. If more are known than a bank can have, those not seen for
        the longest time are forgotten.
        """
        away = () if self.misses_battery else (number for number in self._seen if not self.present(number))
        self._absent = {number: self._absent.get(number, now) for number in away}
        surplus = {*sorted(self._seen, key=self._seen.__getitem__)[:-MOST_BATTERIES]}
        gone = [number for number in self._seen if number in surplus or self._is_gone(number, now)]
        for number in gone:
            self.forget(number)
        return gone

    def _is_gone(self, battery: int, now: float) -> bool:
        since = self._absent.get(battery)
        return since is not None and now - since >= GONE_AFTER.total_seconds()

    def forget(self, battery: int) -> None:
        """Forget a battery."""
        self._seen.pop(battery, None)
        self._absent.pop(battery, None)
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != battery}
        self._miss(frozenset(key for key in self.missing if key[0] != battery))

    def forget_refusals(self) -> None:
        """Read the registers again that the device did not have, and let settings be changed again that it refused."""
        self._memory.learned = replace(self._memory.learned, missing=frozenset(), read_only=frozenset())

    def expect_reset(self) -> None:
        """Accept lower counters at once, as the history is being cleared."""
        self._highest.clear()
        self._fallen.clear()

    def expire(self, *pages: Page) -> None:
        """Include these pages in the next read."""
        self._expired.update(pages)

    @contextmanager
    def renewing(self) -> Iterator[frozenset[Page]]:
        """Yield the expired pages. They stay expired if reading them fails."""
        pages, self._expired = self.expired, set()
        try:
            yield pages
        except BaseException:
            self._expired |= pages
            raise

    def present(self, battery: int) -> bool:
        """Return whether a battery was present at the last read."""
        seen = self._seen.get(battery)
        return seen is not None and (self._looked is None or seen >= self._looked)

    def to_store(self) -> StoredPages:
        """Return the values in their stored form."""
        return StoredPages(
            saved=clock.stamp(),
            registers=[self._register_to_store(key, kept) for key, kept in self._kept.items()],
            batteries=[self._battery_to_store(number, seen) for number, seen in self._seen.items()],
        )

    def restore(self, stored: StoredPages) -> None:
        """Restore the values from what to_store returned, skipping registers that this version does not know."""
        saved, now = stored.get("saved"), clock.now()
        rows = [row for row in stored.get("registers", ()) if row["register"] in BY_ID]
        batteries = stored.get("batteries", [])
        self._kept = {
            (row["battery"], row["register"]): _ValueRead(
                reading=Reading(register=row["register"], payloads=tuple(map(bytes.fromhex, row["payloads"]))),
                at=moment_of(row.get("age"), saved),
                since=now - row.get("since", 0.0) - clock.elapsed_at_least(saved),
            )
            for row in rows
        }
        self._highest = {(row["battery"], row["register"]): row["confirmed"] for row in rows if "confirmed" in row}
        self._seen = {row["number"]: moment_of(row["seen"], saved) for row in batteries}
        self._absent = {row["number"]: now - row["absent"] for row in batteries if "absent" in row}

    def _register_to_store(self, key: RegisterOf, kept: _ValueRead) -> StoredRegister:
        battery, register = key
        stored = StoredRegister(
            battery=battery,
            register=register,
            payloads=[payload.hex() for payload in kept.reading.payloads],
            age=age_of(kept.at),
            since=round(clock.now() - kept.since, 1),
        )
        if key in self._highest:
            stored["confirmed"] = self._highest[key]
        return stored

    def _battery_to_store(self, number: int, seen: float) -> StoredBattery:
        stored = StoredBattery(number=number, seen=age_of(seen))
        if number in self._absent:
            stored["absent"] = clock.now() - self._absent[number]
        return stored

    def _nobody_looked(self, now: float) -> bool:
        """Return whether the last read is so long ago that an absent battery may have been back in between."""
        last = max(self._seen.values(), default=now) if self._looked is None else self._looked
        return now - last > max(_LONGEST_PAUSE.total_seconds(), 2 * self._ages[Page.BATTERY])

    def _best(self, want: RegisterKey) -> _ValueRead | None:
        rows = (self._kept.get((want.battery, row.id)) for row in named(want.name))
        return next((kept for kept in rows if kept is not None), None)

    def _present(self, battery: int | None) -> bool:
        return battery is None or self.present(battery)

    def _candidates(self, name: Name, battery: int | None) -> Iterator[Register]:
        """Yield the register that the device uses for a name, or every candidate while that is unknown."""
        rows = named(name) if battery is None else named(name)[:1]
        answered = next((row for row in rows if (battery, row.id) in self._kept), None)
        yield from (row for row in rows if (battery, row.id) not in self.missing and answered in (None, row))

    def _is_due(self, battery: int | None, row: Register, now: float, forced: frozenset[Page]) -> bool:
        kept = self._kept.get((battery, row.id))
        page = row.page if battery is None or row.page is Page.IDENTITY else Page.BATTERY
        if kept is None or page in forced or (battery, row.id) in self._fallen:
            return True
        return now - kept.at >= self._ages[page] - _EARLY.total_seconds()

    def _take(self, battery: int | None, register: int, answer: Answer, now: float) -> None:
        key = (battery, register)
        if isinstance(answer, Reading):
            self._miss(self.missing - {key})
            self._keep(key, answer, now)
            self._note_firmware(key, answer)
            self._share_out_cells(key, now)
        elif isinstance(answer, Refusal) and answer.transient:
            return
        elif key not in self._kept:
            self._miss(self.missing | {key})
        elif isinstance(answer, Refusal):
            # The device has the register, but its value is unknown now.
            self._keep(key, Reading(register=register, payloads=()), now)

    def _miss(self, missing: frozenset[RegisterOf]) -> None:
        self._memory.learned = replace(self._memory.learned, missing=missing)

    def _note_firmware(self, key: RegisterOf, reading: Reading) -> None:
        if key == (None, _FIRMWARE_VERSION.id) and isinstance(reading.value, str):
            self._memory.note_firmware_version(reading.value)

    def _keep(self, key: RegisterOf, reading: Reading, at: float) -> None:
        if BY_ID[key[1]].only_rises and not self._believes(key, reading.value, at):
            return
        self._learn_scale(reading)
        before = self._kept.get(key)
        is_same = (
            before and before.reading.payloads == reading.payloads and at - before.at < _LONGEST_GAP.total_seconds()
        )
        since = before.since if before and is_same else at
        self._kept[key] = _ValueRead(reading=reading, at=at, since=since)

    def _learn_scale(self, reading: Reading) -> None:
        """Remember if voltages make sense only in mV: those of all registers of this scale are in mV then."""
        row, learned = BY_ID[reading.register], self._memory.learned
        with suppress(PayloadError):
            if row.scale and any(map(row.is_finer, reading.payloads)):
                self._memory.learned = replace(learned, finer=learned.finer | {row.scale})

    def _believes(self, key: RegisterOf, value: Value, at: float) -> bool:
        """Return whether to accept the value of a counter: a lower one only once a second read confirms it."""
        if not isinstance(value, int | float):
            return True
        # Some devices count the drawn Ah as negative.
        counted, fallen = abs(value), self._fallen.get(key)
        is_confirmed = fallen is not None and at - fallen.at >= _CONFIRMED_AFTER and counted >= fallen.value
        if counted >= self._highest.get(key, 0.0) or is_confirmed:
            self._highest[key] = counted
            self._fallen.pop(key, None)
            return True
        self._fallen.setdefault(key, _LowerCounter(value=counted, at=at))
        return False


def _text(answer: Answer | None) -> str | None:
    value = answer.value if isinstance(answer, Reading) else None
    return value if isinstance(value, str) and value else None


# Always read: limits depend on the bank; the device page and the repairs on the others.
_ALWAYS: Final = (
    *OF_BATTERY,
    Name.BANK,
    Name.SERIAL_NUMBER,
    Name.FIRMWARE_VERSION,
    Name.CAPABILITIES,
    Name.PIN_CHANGED,
    Name.INSTANT_READOUT_ON,
    Name.BALANCER_STATUS,
    Name.SINCE_FULL_CHARGE,
)
# Shows which battery the BMS reports as lost: the one without a voltage.
_OF_MISSING_BATTERY: Final = (Name.VOLTAGE,)


class Subscribers(Protocol):
    """The entities that values are read for."""

    def offered(self, name: Name, battery: int | None = None) -> bool:
        """Return whether the device, or a battery, is known to have a value."""

    def subscribed(self, battery: int | None) -> set[Name]:
        """Return what enabled entities show of the device, or of a battery."""


class PageReader:
    """Reads the pages into the values; knows which battery each instance is."""

    def __init__(self, values: PageValues, subscribers: Subscribers) -> None:
        self._values = values
        self._subscribers = subscribers
        self._places: Mapping[int, int] = {}
        self.ignored_instances = 0

    async def async_read_names(self, client: VeSmartClient, names: Collection[Name]) -> None:
        """Read values of the device, due or not. Raises VeSmartError."""
        await self._read_registers(client, [self._values.register(name).id for name in names])

    async def async_read_status(self, client: VeSmartClient, now: float) -> None:
        """Read the status: codes, permissions with their reasons, measurements. Raises VeSmartError."""
        await self._read_registers(client, [one for one in self._due(now) if _is_status(one)])

    async def async_read_device(self, client: VeSmartClient, now: float, forced: frozenset[Page] = frozenset()) -> None:
        """Read what is due of the device, except its status. Raises VeSmartError."""
        await self._read_registers(client, [one for one in self._due(now, forced) if not _is_status(one)])

    async def async_read_batteries(
        self, client: VeSmartClient, now: float, forced: frozenset[Page] = frozenset()
    ) -> Mapping[int, int]:
        """Read what is due of each battery; return the battery number of each instance. Raises VeSmartError."""
        sources = client.batteries
        self.ignored_instances = len({*client.instances} - {client.main_instance}) - len(sources)
        if self._places.keys() != {source.instance for source in sources}:
            # The bank has changed or is unknown: any battery may be at any instance.
            self._places = {}
        if not sources:
            return await self._read_cells_of_bank(client, now, forced)
        places: dict[int, int] = {}
        for source in sources:
            places[source.instance] = await self._read_battery(client, source, now, forced, places.values())
        self._places = places
        self._values.take_batteries(places.values(), now)
        return places

    async def _read_cells_of_bank(
        self, client: VeSmartClient, now: float, forced: frozenset[Page]
    ) -> Mapping[int, int]:
        """Read the cells of all batteries from the main instance, as the batteries are no instances of their own."""
        known = self._values.batteries
        if not known or any(Name.CELL in self._subscribers.subscribed(number) for number in known):
            await self._read_registers(client, self._values.due(None, (Name.CELL,), now, forced))
        self._values.take_batteries(self._values.batteries_in_bank, now)
        return {}

    def _due(self, now: float, forced: frozenset[Page] = frozenset()) -> list[int]:
        """Return which registers of the device are due: shown, always read, or not known to be offered."""
        unknown = (name for name in OFFERED if not self._subscribers.offered(name))
        return self._values.due(None, (*_ALWAYS, *self._subscribers.subscribed(None), *unknown), now, forced)

    async def _read_registers(self, client: VeSmartClient, registers: Collection[int]) -> None:
        self._values.take(None, await client.read(client.main_instance, registers), clock.now())

    async def _read_battery(
        self,
        client: VeSmartClient,
        source: BatterySource,
        now: float,
        forced: frozenset[Page],
        taken: Collection[int],
    ) -> int:
        """Read what is due of a battery, and its serial number; return its number."""
        number = self._places.get(source.instance, source.number)
        offered = (row.name for row in source.registers if not self._subscribers.offered(row.name, number))
        telling = _OF_MISSING_BATTERY if self._values.misses_battery else ()
        names = (*telling, *self._subscribers.subscribed(number), *offered)
        due = self._values.due(number, names, now, forced)
        if not due and source.instance in self._places:
            return number
        serial_number = named(Name.SERIAL_NUMBER)[0].id
        answers = await client.read(source.instance, (serial_number, *due))
        number = self._values.assign_number(number, source, answers, taken)
        self._values.take(number, answers, now)
        return number


def _is_status(register: int) -> bool:
    return BY_ID[register].page is Page.STATUS


class PageWriter:
    """Writes settings, and takes the values that the device then has; language is that of error messages."""

    def __init__(self, values: PageValues, reader: PageReader, language: Callable[[], str]) -> None:
        self._values = values
        self._reader = reader
        self._language = language

    def check(self, values: Mapping[Name, Value]) -> None:
        """Check values before they are written, as far as possible. Raises ServiceValidationError."""
        try:
            for name, value in values.items():
                self._values.register(name).encode(value, self._values.system_voltage)
        except PayloadError as error:
            raise invalid_value(error, self._language()) from error
        if values.keys().isdisjoint(THRESHOLDS):
            return
        levels = {name: values.get(name, self._known(name)) for name in THRESHOLDS}
        if found := threshold_conflict(levels):
            raise warning_not_above_floor(found, self._language())

    async def async_write(self, client: VeSmartClient, values: Mapping[Name, Value]) -> None:
        """Write all values in a safe order. Raises VeSmartError, or ServiceValidationError before the first write."""
        if outdated := self._to_read_first(values):
            await self._reader.async_read_names(client, outdated)
            self.check(values)
        for name in write_order(values, self._known(Name.DISCHARGE_FLOOR)):
            await self._write(client, name, values[name])

    def _to_read_first(self, values: Mapping[Name, Value]) -> tuple[Name, ...]:
        """Return what must be up to date for these values: both thresholds, and what tells the unit of a register."""
        thresholds = () if values.keys().isdisjoint(THRESHOLDS) else THRESHOLDS
        return (*thresholds, *(name for name in values if self._values.register(name).scale))

    async def _write(self, client: VeSmartClient, name: Name, value: Value) -> None:
        register = self._values.register(name)
        voltage, finer = self._values.system_voltage, self._values.is_finer(register)
        reading = await client.write(client.main_instance, register, value, system_voltage=voltage, finer=finer)
        self._values.take(None, {register.id: reading}, clock.now())

    def _known(self, name: Name) -> Value:
        return self._values.value(RegisterKey(name=name))
