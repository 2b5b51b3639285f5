"""Reads what is due of a device and of each battery of its bank, over a connection that somebody else makes."""

from collections.abc import Collection, Mapping
from typing import Final, Protocol

from . import clock
from .client import VeSmartClient
from .page_values import OFFERED, PageValues
from .protocol.registers import BY_ID, OF_BATTERY, BatterySource, Name, Page, named

# Read whoever listens: limits depend on the bank, the device card and the repairs on the others.
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
# What tells which battery it is that the BMS misses: the one without a voltage.
_OF_MISSING_BATTERY: Final = (Name.VOLTAGE,)


class Audience(Protocol):
    """Those for whom it is read."""

    def offered(self, name: Name, battery: int | None = None) -> bool:
        """Return whether it is known that the device has something."""

    def listened(self, battery: int | None) -> set[Name]:
        """Return what somebody wants to see of the device, or of a battery."""


class PageReader:
    """Takes what it reads into the values; knows which battery is where."""

    def __init__(self, values: PageValues, audience: Audience) -> None:
        self._values = values
        self._audience = audience
        self._places: Mapping[int, int] = {}
        self.ignored_instances = 0

    async def async_read_names(self, client: VeSmartClient, names: Collection[Name]) -> None:
        """Read something of the device, due or not."""
        await self._read_registers(client, [self._values.register(name).id for name in names])

    async def async_read_status(self, client: VeSmartClient, now: float) -> None:
        """Read the codes, what is allowed and why not, and what is measured."""
        await self._read_registers(client, [one for one in self._due(now) if _is_status(one)])

    async def async_read_device(self, client: VeSmartClient, now: float, forced: frozenset[Page] = frozenset()) -> None:
        """Read what is due of the device, but for its status."""
        await self._read_registers(client, [one for one in self._due(now, forced) if not _is_status(one)])

    async def async_read_batteries(
        self, client: VeSmartClient, now: float, forced: frozenset[Page] = frozenset()
    ) -> Mapping[int, int]:
        """Read what is due of each battery; return which is at which instance."""
        sources = client.batteries
        self.ignored_instances = len({*client.instances} - {client.main_instance}) - len(sources)
        if self._places.keys() != {source.instance for source in sources}:
            # The bank has changed, or is not known yet: each battery may be elsewhere.
            self._places = {}
        places: dict[int, int] = {}
        for source in sources:
            places[source.instance] = await self._read_battery(client, source, now, forced, places.values())
        self._places = places
        self._values.take_batteries(places.values(), now)
        return places

    def _due(self, now: float, forced: frozenset[Page] = frozenset()) -> list[int]:
        """Return what is due of all that is shown, and once what could be, to learn whether the device has it."""
        unknown = (name for name in OFFERED if not self._audience.offered(name))
        return self._values.due(None, (*_ALWAYS, *self._audience.listened(None), *unknown), now, forced)

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
        """Read what is due of a battery, and who it is if that is not known; return its number."""
        number = self._places.get(source.instance, source.number)
        offered = (row.name for row in source.registers if not self._audience.offered(row.name, number))
        telling = _OF_MISSING_BATTERY if self._values.misses_battery else ()
        names = (*telling, *self._audience.listened(number), *offered)
        due = self._values.due(number, names, now, forced)
        if not due and source.instance in self._places:
            return number
        serial_number = named(Name.SERIAL_NUMBER)[0].id
        answers = await client.read(source.instance, (serial_number, *due))
        number = self._values.number_of(number, source, answers, taken)
        self._values.take(number, answers, now)
        return number


def _is_status(register: int) -> bool:
    return BY_ID[register].page is Page.STATUS
