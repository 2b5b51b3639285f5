"""What was read over connections: the latest of each register, how old it is, and what is due."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, count
from typing import Final

from homeassistant.util.dt import utc_from_timestamp

from .client import Answer, Reading, Refusal
from .protocol.codes import CONFIGURATION_ERRORS, Level
from .protocol.payloads import Value
from .protocol.registers import (
    BY_ID,
    MOST_BATTERIES,
    SMALLEST_SYSTEM_VOLTAGE,
    BatterySource,
    Name,
    Page,
    Register,
    choose,
    named,
    on_page,
    part_of,
)
from .storage import StoredBattery, StoredPages, StoredRefusal, StoredRegister

# Home Assistant begins an interval up to a second early, and what came by itself while a connection was held came later
# than what was read. A page must not miss its turn by that.
_EARLY: Final = timedelta(seconds=20)

SETTINGS_AGE: Final = timedelta(hours=1)
HISTORY_AGE: Final = timedelta(minutes=30)
# A battery that was not there, nor missed, for so long is gone for good. A cable that is out is found sooner.
GONE_AFTER: Final = timedelta(days=1)
# Of a longer time without a look, or of two intervals, nobody knows whether a battery was there. Failures in a row, as
# while the phone has the device, are up to an hour apart.
_LONGEST_PAUSE: Final = timedelta(hours=6)
# Over a longer time nobody knows whether a value was always the same.
_LONGEST_GAP: Final = timedelta(days=2)
# Without a connection, what it gave is shown for so long after it was due.
SHOWN_FOR: Final = timedelta(hours=2)

_COMMUNICATION: Final = "battery_communication"
_CELLS_PER_12_VOLTS: Final = 4
_VOLTS_PER_CELL: Final = 3.2
# What an entity could show, so that it is asked for once to find out whether the device has it.
_OF_STATUS: Final = (Name.MODE, Name.CHARGE_OFF_REASON, Name.DISCHARGE_OFF_REASON)
OFFERED: Final = frozenset(
    {
        *_OF_STATUS,
        *(register.name for page in (Page.BATTERY, Page.SETTINGS, Page.HISTORY) for register in on_page(page)),
    }
    # The cells are read with their battery.
    - {Name.CELL}
)

type Key = tuple[int | None, int]


@dataclass(frozen=True, kw_only=True)
class Want:
    """A value of the device as a whole, or of one battery; batteries count from 1."""

    name: Name
    battery: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Kept:
    reading: Reading
    at: datetime
    since: datetime
    """When it was read first with this value."""

    @property
    def value(self) -> Value:
        """What it says; of the cells of a battery the voltages by number."""
        row = BY_ID[self.reading.register]
        if row.name is not Name.CELL:
            return self.reading.value
        cells = (cell for cell in self.reading.values if isinstance(cell, Mapping))
        return {str(cell["cell"]): cell["voltage"] for cell in cells}


def page_ages(interval: timedelta) -> Mapping[Page, timedelta]:
    """Return how old each page may get when there is a connection at every interval."""
    return {
        Page.STATUS: timedelta(),
        Page.BATTERY: interval,
        Page.IDENTITY: max(interval, SETTINGS_AGE),
        Page.SETTINGS: max(interval, SETTINGS_AGE),
        Page.HISTORY: max(interval, HISTORY_AGE),
    }


class PageValues:
    """All that is known of one device from connections.

    A register that was answered once is offered from then on. One that was refused is not asked for again.
    """

    def __init__(self, interval: timedelta) -> None:
        self._ages = page_ages(interval)
        self._kept: dict[Key, _Kept] = {}
        self._refused: set[Key] = set()
        self._seen: dict[int, datetime] = {}
        self._absent: dict[int, datetime] = {}
        self._looked: datetime | None = None
        self._expired: set[Page] = set()

    @property
    def batteries(self) -> tuple[int, ...]:
        """The batteries that are there, or were until lately."""
        return tuple(sorted(self._seen))

    @property
    def refused(self) -> frozenset[Key]:
        """What the device does not have: battery, if it is of one, and register."""
        return frozenset(self._refused)

    @property
    def system_voltage(self) -> int | None:
        """12, 24 or 48 V; None while the bank is not known."""
        bank = self.value(Want(name=Name.BANK))
        cells = bank.get("cells") if isinstance(bank, Mapping) else None
        series = bank.get("series") if isinstance(bank, Mapping) else None
        if not isinstance(cells, int) or not isinstance(series, int):
            return None
        return cells * series // _CELLS_PER_12_VOLTS * SMALLEST_SYSTEM_VOLTAGE or None

    @property
    def misses_battery(self) -> bool:
        """Whether the BMS says that a battery is lost, or that those that it finds make no bank."""
        levels = self.value(Want(name=Name.LEVELS))
        lost = isinstance(levels, Mapping) and levels.get(_COMMUNICATION) in {Level.WARNING, Level.ALARM}
        return lost or self.value(Want(name=Name.ERROR)) in CONFIGURATION_ERRORS

    def battery_model(self, battery: int | None) -> str | None:
        """Return what a battery is sold as, such as 12.8/100; None while it is not known."""
        bank, capacity = self.value(Want(name=Name.BANK)), self.value(Want(name=Name.CAPACITY, battery=battery))
        cells = bank.get("cells") if isinstance(bank, Mapping) else None
        if not isinstance(cells, int) or not isinstance(capacity, int | float):
            return None
        return f"{cells * _VOLTS_PER_CELL:.1f}/{capacity:g}"

    def all(self) -> Mapping[Want, Value]:
        """Return everything that is known."""
        wants = {Want(name=BY_ID[register].name, battery=battery) for battery, register in self._kept}
        return {want: self.value(want) for want in wants}

    def value(self, want: Want) -> Value:
        """Return a value; None when it is not known."""
        kept = self._best(want)
        return None if kept is None else kept.value

    def read_at(self, want: Want) -> datetime | None:
        """Return when a value was read."""
        kept = self._best(want)
        return None if kept is None else kept.at

    def since(self, want: Want) -> datetime | None:
        """Return when a value was read first as it is."""
        kept = self._best(want)
        return None if kept is None else kept.since

    def shown(self, want: Want, now: datetime, *, lost: bool) -> bool:
        """Return whether a value is to be shown. Settings do not change by themselves."""
        kept = self._best(want)
        if kept is None or not self._present(want.battery):
            return False
        page = BY_ID[kept.reading.register].page
        return page is Page.SETTINGS or not lost or now - kept.at < self._ages[page] + SHOWN_FOR

    def register(self, name: Name) -> Register:
        """Return the register of the device to use for a name."""
        answered = (register for battery, register in self._kept if battery is None)
        return choose(name, answered) or named(name)[0]

    def due(self, battery: int | None, names: Iterable[Name], now: datetime, forced: frozenset[Page]) -> list[int]:
        """Return the registers to read; of these names, and those that were never asked for."""
        forced |= self._expired
        candidates = (row for name in dict.fromkeys(names) for row in self._candidates(name, battery))
        return [row.id for row in candidates if self._is_due(battery, row, now, forced)]

    def take(self, battery: int | None, answers: Mapping[int, Answer], now: datetime) -> None:
        """Take what became of some registers."""
        for register, answer in answers.items():
            if register in BY_ID:
                self._take(battery, register, answer, now)

    def renew(self, battery: int | None, register: int, payload: bytes, now: datetime) -> bool:
        """Take a payload that came by itself, of a register that is known; return whether it says anything new."""
        if (kept := self._kept.get((battery, register))) is None:
            return False
        old = kept.reading.payloads
        several = bool(BY_ID[register].key_size)
        # One of several makes the others no fresher, and one that was not read is of something else.
        part = part_of(register, payload)
        new = tuple(payload if part_of(register, one) == part else one for one in old) if several else (payload,)
        self._keep((battery, register), Reading(register=register, payloads=new), kept.at if several else now)
        return new != old

    def take_batteries(self, numbers: Iterable[int], now: datetime) -> None:
        """Take which batteries are there."""
        if self._nobody_looked(now):
            self._absent.clear()
        self._seen |= dict.fromkeys(numbers, now)
        self._looked = now

    def number_of(self, last: int, source: BatterySource, answers: Mapping[int, Answer], taken: Collection[int]) -> int:
        """Return the number of the battery that answered: it keeps its number wherever it is in the bank.

        A new one takes the number of its place, or the first that no other has. One that does not tell its serial
        number now is no new one: it is taken for the last that was there.
        """
        serial = next((_text(answers.get(row.id)) for row in source.registers if row.name is Name.SERIAL_NUMBER), None)
        if serial is None:
            return next(number for number in chain((last,), count(1)) if number not in taken)
        serials = {number: self.value(Want(name=Name.SERIAL_NUMBER, battery=number)) for number in self._seen}
        own = next((number for number, known in serials.items() if known == serial), None)
        others = {number for number, known in serials.items() if known is not None} | {*taken}
        return own or next(number for number in chain((source.number,), count(1)) if number not in others)

    def forget_gone(self, now: datetime) -> list[int]:
        """Forget the batteries that are gone for good, and return which. One that the BMS misses is not.

        Of more than a bank can have, those are forgotten that were not there for the longest time.
        """
        away = () if self.misses_battery else (number for number in self._seen if not self.present(number))
        self._absent = {number: self._absent.get(number, now) for number in away}
        surplus = {*sorted(self._seen, key=self._seen.__getitem__)[:-MOST_BATTERIES]}
        gone = [number for number in self._seen if number in surplus or self._is_gone(number, now)]
        for number in gone:
            self.forget(number)
        return gone

    def _is_gone(self, battery: int, now: datetime) -> bool:
        since = self._absent.get(battery)
        return since is not None and now - since >= GONE_AFTER

    def forget(self, battery: int) -> None:
        """Forget a battery."""
        self._seen.pop(battery, None)
        self._absent.pop(battery, None)
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != battery}
        self._refused = {key for key in self._refused if key[0] != battery}

    def forget_refusals(self) -> None:
        """Ask again for everything that was refused."""
        self._refused.clear()

    def expire(self, *pages: Page) -> None:
        """Read these pages anew with the next read."""
        self._expired.update(pages)

    def renewed(self) -> None:
        """Hear that everything due was read."""
        self._expired.clear()

    def present(self, battery: int) -> bool:
        """Return whether a battery was there at the last look."""
        seen = self._seen.get(battery)
        return seen is not None and (self._looked is None or seen >= self._looked)

    def to_store(self) -> StoredPages:
        """Return what to keep."""
        return StoredPages(
            registers=[
                StoredRegister(
                    battery=battery,
                    register=register,
                    payloads=[payload.hex() for payload in kept.reading.payloads],
                    at=kept.at.timestamp(),
                    since=kept.since.timestamp(),
                )
                for (battery, register), kept in self._kept.items()
            ],
            refused=[StoredRefusal(battery=battery, register=register) for battery, register in self._refused],
            batteries=[self._battery_to_store(number, seen) for number, seen in self._seen.items()],
        )

    def restore(self, stored: StoredPages) -> None:
        """Take what was kept, as far as this version has such registers."""
        for row in stored.get("registers", ()):
            if row["register"] in BY_ID:
                self._kept[row["battery"], row["register"]] = _from_store(row)
        self._refused = {(row["battery"], row["register"]) for row in stored.get("refused", ())}
        batteries = stored.get("batteries", [])
        self._seen = {row["number"]: utc_from_timestamp(row["seen"]) for row in batteries}
        self._absent = {row["number"]: utc_from_timestamp(row["absent"]) for row in batteries if "absent" in row}

    def _battery_to_store(self, number: int, seen: datetime) -> StoredBattery:
        stored = StoredBattery(number=number, seen=seen.timestamp())
        if absent := self._absent.get(number):
            stored["absent"] = absent.timestamp()
        return stored

    def _nobody_looked(self, now: datetime) -> bool:
        """Return whether the last look is so long ago that a battery may have been back meanwhile."""
        last = self._looked or max(self._seen.values(), default=now)
        return now - last > max(_LONGEST_PAUSE, 2 * self._ages[Page.BATTERY])

    def _best(self, want: Want) -> _Kept | None:
        rows = (self._kept.get((want.battery, row.id)) for row in named(want.name))
        return next((kept for kept in rows if kept is not None), None)

    def _present(self, battery: int | None) -> bool:
        return battery is None or self.present(battery)

    def _candidates(self, name: Name, battery: int | None) -> Iterator[Register]:
        """Yield the register that is used for a name, or all that may be."""
        rows = named(name) if battery is None else named(name)[:1]
        answered = next((row for row in rows if (battery, row.id) in self._kept), None)
        yield from (row for row in rows if (battery, row.id) not in self._refused and answered in (None, row))

    def _is_due(self, battery: int | None, row: Register, now: datetime, forced: frozenset[Page]) -> bool:
        kept = self._kept.get((battery, row.id))
        page = row.page if battery is None or row.page is Page.IDENTITY else Page.BATTERY
        return kept is None or page in forced or now - kept.at >= self._ages[page] - _EARLY

    def _take(self, battery: int | None, register: int, answer: Answer, now: datetime) -> None:
        key = (battery, register)
        if isinstance(answer, Reading):
            self._keep(key, answer, now)
            self._refused.discard(key)
        elif isinstance(answer, Refusal) and answer.transient:
            return
        elif key not in self._kept:
            self._refused.add(key)
        elif isinstance(answer, Refusal):
            # It had it before: its value is not known now.
            self._keep(key, Reading(register=register, payloads=()), now)

    def _keep(self, key: Key, reading: Reading, at: datetime) -> None:
        before = self._kept.get(key)
        is_same = before and before.reading.payloads == reading.payloads and at - before.at < _LONGEST_GAP
        since = before.since if before and is_same else at
        self._kept[key] = _Kept(reading=reading, at=at, since=since)


def _from_store(row: StoredRegister) -> _Kept:
    """Return what was kept; an earlier version kept no time of the first reading."""
    return _Kept(
        reading=Reading(register=row["register"], payloads=tuple(map(bytes.fromhex, row["payloads"]))),
        at=utc_from_timestamp(row["at"]),
        since=utc_from_timestamp(row.get("since", row["at"])),
    )


def _text(answer: Answer | None) -> str | None:
    value = answer.value if isinstance(answer, Reading) else None
    return value if isinstance(value, str) and value else None
