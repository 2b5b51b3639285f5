"""Which battery, and which of its cells, a code is about, as far as connections tell."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from homeassistant.const import UnitOfElectricPotential, UnitOfTemperature
from homeassistant.core import HomeAssistant, callback

from . import clock
from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .pages import RegisterKey
from .protocol.codes import CONFIGURATION_ERRORS, Code, Severity
from .protocol.quantities import Source
from .protocol.registers import Name

# Only values that were read after a code became active tell where it comes from: older ones may contradict it. Values
# up to so many seconds older count too, as they were read in the same connection as the code itself.
_SAME_READ: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a code comes from: the number of a battery, or of several; if known, the cell and its measured value."""

    battery: str
    cell: str | None = None
    measured: str | None = None

    @property
    def known(self) -> Mapping[str, str]:
        """The parts that are known, by name."""
        parts = {"battery": self.battery, "cell": self.cell, "measured": self.measured}
        return {name: part for name, part in parts.items() if part is not None}


class _Bank:
    """The batteries of a bank, by what was read of them since a time."""

    def __init__(self, hass: HomeAssistant, pages: PagesCoordinator, since: float) -> None:
        self.hass = hass
        self._pages = pages
        self._since = since

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the batteries that are present."""
        return tuple(number for number in self._pages.batteries if self._pages.values.present(number))

    def were_read(self, name: Name) -> bool:
        """Return whether a value was read of every battery that is present."""
        values = self._pages.values
        ages = (values.age(RegisterKey(name=name, battery=number)) for number in self.numbers)
        return all(clock.now() - age >= self._since for age in ages)

    def values(self, name: Name) -> Iterator[tuple[int, object]]:
        """Yield the value of each battery, once all have been read: before that, another one may be worse."""
        for number in self.numbers if self.were_read(name) else ():
            yield number, self._pages.values.value(RegisterKey(name=name, battery=number))

    @property
    def missing(self) -> tuple[int, ...]:
        """The batteries that were present and do not answer any more."""
        if self._pages.values.looked_at < self._since:
            return ()
        return tuple(number for number in self._pages.batteries if not answers(self._pages, number))


def answers(pages: PagesCoordinator, battery: int) -> bool:
    """Return whether a battery answers. The BMS still lists one that it has lost, but without a voltage."""
    voltage = RegisterKey(name=Name.VOLTAGE, battery=battery)
    return pages.values.present(battery) and (voltage not in pages.data or pages.data[voltage] is not None)


def _lowest_cell(bank: _Bank) -> Place | None:
    cells = [
        (voltage, number, cell)
        for number, voltages in bank.values(Name.CELL)
        if isinstance(voltages, Mapping)
        for cell, voltage in voltages.items()
        if isinstance(voltage, int | float)
    ]
    if not cells:
        return None
    voltage, number, cell = min(cells, key=lambda one: one[0])
    return Place(battery=str(number), cell=str(cell), measured=f"{voltage:.2f} {UnitOfElectricPotential.VOLT}")


def _warmest_battery(bank: _Bank) -> Place | None:
    batteries = [(value, number) for number, value in bank.values(Name.TEMPERATURE) if isinstance(value, int | float)]
    if not batteries:
        return None
    value, number = max(batteries, key=lambda one: one[0])
    units = bank.hass.config.units
    measured = f"{units.temperature(value, UnitOfTemperature.CELSIUS):z.0f} {units.temperature_unit}"
    return Place(battery=str(number), measured=measured)


def _missing_battery(bank: _Bank) -> Place | None:
    missing = bank.missing
    return Place(battery=", ".join(map(str, missing))) if missing else None


@dataclass(frozen=True, kw_only=True)
class _Search:
    """The value of each battery that shows where a code comes from, and how to find the battery by it."""

    name: Name
    find: Callable[[_Bank], Place | None]


_MISSING: Final = _Search(name=Name.VOLTAGE, find=_missing_battery)
# By the number of the warning or alarm. No other code is about a single battery.
_SEARCHES: Final = {
    1: _Search(name=Name.CELL, find=_lowest_cell),
    5: _MISSING,
    9: _Search(name=Name.TEMPERATURE, find=_warmest_battery),
}


def _search_for(code: Code) -> _Search | None:
    if code.severity is Severity.ERROR:
        return _MISSING if code.number in CONFIGURATION_ERRORS else None
    return _SEARCHES.get(code.number)


def place_of(hass: HomeAssistant, entry: SmallBmsConfigEntry, code: Code) -> Place | None:
    """Return where an active code comes from; None while that is not known."""
    runtime, search = entry.runtime_data, _search_for(code)
    since = runtime.instant_readout.codes.since(code)
    if runtime.pages is None or search is None or since is None:
        return None
    oldest = clock.now() - runtime.instant_readout.quantities.good_for[Source.CONNECTION]
    return search.find(_Bank(hass, runtime.pages, max(since - _SAME_READ, oldest)))


@callback
def async_watch_places(entry: SmallBmsConfigEntry) -> None:
    """Have the values read that show where an active code comes from, even if no enabled entity shows them."""
    if pages := entry.runtime_data.pages:
        attention = _Attention(entry, pages)
        entry.async_on_unload(entry.runtime_data.instant_readout.codes.async_add_watcher(attention.async_update))
        entry.async_on_unload(pages.async_add_listener(attention.async_update))
        entry.async_on_unload(attention.async_end)
        attention.async_update()


class _Attention:
    """Subscribes to the values that show where the active codes come from."""

    def __init__(self, entry: SmallBmsConfigEntry, pages: PagesCoordinator) -> None:
        self._entry = entry
        self._pages = pages
        self._listening: dict[RegisterKey, Callable[[], None]] = {}

    @callback
    def async_update(self) -> None:
        """Subscribe to the values that are needed now, and unsubscribe from the others."""
        codes = self._entry.runtime_data.instant_readout.codes.active or ()
        names = {search.name for code in codes if (search := _search_for(code))}
        wanted = {RegisterKey(name=name, battery=battery) for name in names for battery in self._pages.batteries}
        for want in self._listening.keys() - wanted:
            self._listening.pop(want)()
        for want in wanted - self._listening.keys():
            self._listening[want] = self._pages.async_add_listener(_ignore, want)

    @callback
    def async_end(self) -> None:
        """Unsubscribe from everything."""
        for end in self._listening.values():
            end()
        self._listening.clear()


@callback
def _ignore() -> None:
    """Do nothing: subscribing is enough to have a value read, and what shows it has listeners of its own."""
