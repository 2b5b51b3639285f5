"""Looks at the emulated devices and at Home Assistant all the time, for the books."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, time
from typing import Final

from demo.answers import Json, as_object, as_objects, text
from demo.config import INTEGRATION
from demo.errors import DemoError

from .house import Away, House
from .ledger import Sample, Told
from .plan import Member
from .wall_clock import unstepped

_PAUSE: Final = 0.5
# A Home Assistant that answers no sooner, in s, is busy with something else, and so is the machine.
_BUSY: Final = 1.0
_CLEARED: Final = "_cleared"
# A warning is no more told while its alarm stands.
_WARNING, _ALARM = "W", "A"


@dataclass
class Watch:
    """What was seen of each device, by its number. Times are in s since the soak began."""

    house: House
    began: float = field(default_factory=time)
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    _hidden: Counter[int] = field(default_factory=Counter)
    _quick: bool = True
    _start: float = field(default_factory=monotonic)

    @property
    def now(self) -> float:
        """How many seconds the soak has lasted."""
        return monotonic() - self._start

    @contextmanager
    def hidden(self, *numbers: int) -> Iterator[None]:
        """Note that Home Assistant cannot hear these devices."""
        self._hidden.update(numbers)
        try:
            yield
        finally:
            self._hidden.subtract(numbers)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.gather(self._ping(), *map(self._look, self.house.members))
            await asyncio.sleep(_PAUSE)

    async def _ping(self) -> None:
        began = monotonic()
        try:
            await self.house.hass.get("/api/")
        except Away, DemoError:
            self._quick = False
            return
        self._quick = monotonic() - began < _BUSY

    async def _look(self, member: Member) -> None:
        samples = self.samples.setdefault(member.number, [])
        asked = f"device={member.number}"
        try:
            codes = await self.house.control("GET", f"/state/codes?{asked}")
            radio = await self.house.control("GET", f"/state/radio?{asked}")
        except Away:
            return
        heard = self._quick and self.house.up and not self._hidden[member.number]
        samples.append(Sample(at=self.now, codes=_told_codes(codes), heard=heard and not _is_connected(radio)))

    async def told(self, entity_id: str) -> list[Told]:
        """Return every event that Home Assistant has recorded of an event entity."""
        rows = await _history(self.house, entity_id, self.began)
        told: dict[str, Told] = {}
        for row in rows:
            attributes = as_object(row.get("attributes"))
            state = row.get("state")
            if isinstance(state, str) and isinstance(code := attributes.get("code"), str):
                at = unstepped(datetime.fromisoformat(state).timestamp(), self.began) - self.began
                cleared = str(attributes.get("event_type")).endswith(_CLEARED)
                # A restored event is recorded again.
                told.setdefault(state, Told(at=at, code=code, cleared=cleared))
        return sorted(told.values(), key=lambda one: one.at)


async def _history(house: House, entity_id: str, began: float) -> list[Mapping[str, Json]]:
    day = 86400
    found = as_object(
        await house.hass.command(
            "history/history_during_period",
            start_time=datetime.fromtimestamp(began - day, UTC).isoformat(),
            end_time=datetime.fromtimestamp(began + 10 * day, UTC).isoformat(),
            entity_ids=[entity_id],
            minimal_response=False,
            no_attributes=False,
            significant_changes_only=False,
        )
    )
    return [
        {"state": row.get("s"), "attributes": row.get("a") or {}}
        for row in as_objects(found.get(entity_id) or [])
        if row.get("s") not in {"unknown", "unavailable"}
    ]


def _told_codes(codes: Json) -> frozenset[str]:
    """Return the codes that are to be told: of a warning and its alarm, the alarm."""
    names = {text(one, "code") for one in as_objects(codes)}
    return frozenset(name for name in names if not (name[0] == _WARNING and f"{_ALARM}{name[1:]}" in names))


def _is_connected(radio: Json) -> bool:
    return bool(as_object(radio).get("connected"))


async def entities(house: House, member: Member) -> dict[str, str]:
    """Return the entity ids of a device by key."""
    return await house.hass.entities(INTEGRATION, f"{member.address.lower()}_")


async def entry_id(house: House, member: Member) -> str:
    """Return the config entry of a device, which has its name."""
    entries = as_objects(await house.hass.command("config_entries/get", domain=INTEGRATION))
    return next(text(entry, "entry_id") for entry in entries if entry.get("title") == member.name)
