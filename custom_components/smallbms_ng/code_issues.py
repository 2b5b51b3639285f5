"""Every code that stands, as an issue with the advice of the manual.

What the battery measures is told in the form of the repair, as it is when that is opened. In the issue itself it would
have the registry written all the time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from homeassistant.const import UnitOfElectricCurrent, UnitOfElectricPotential, UnitOfRatio, UnitOfTemperature
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_time_interval

from .const import (
    AMPERE_HOURS,
    CONF_REPAIRS_FOR_WARNINGS,
    CONF_RESIDUAL_CURRENT,
    DEFAULT_REPAIRS_FOR_WARNINGS,
    DOMAIN,
)
from .coordinator import SmallBmsConfigEntry
from .places import Place, place_of
from .protocol.battery import BatteryValues
from .protocol.codes import LOW_CELL_SHUTDOWN, Code, Severity
from .reserve import RENEWED_EVERY, reserve_of

NOT_KNOWN: Final = "\u2013"
_PLACE_UNKNOWN: Final = dict.fromkeys(("battery", "cell", "measured"), NOT_KNOWN)
_HOURS_PER_DAY: Final = 24

# What is said of a code. Of those that can be repaired, repairs.py knows how.
BANK_KEYS: Final = frozenset({"w_b05", "a_b05", "e_b01", "e_b05"})
LEVEL_KEYS: Final = frozenset({"w_b07", "a_b07"})
_PLAIN_KEYS: Final = frozenset({"w_b01", "a_b01", "w_b08", "a_b08", "w_b09", "a_b09", "e_b09", "e_b11"})
_ADVICE_KEYS: Final = BANK_KEYS | LEVEL_KEYS | _PLAIN_KEYS
_WITHOUT_ADVICE: Final = "other_code"
_WITH_COUNTDOWN: Final = "a_b01_countdown"
# The words that also name the battery, or the cell.
_WITH_PLACE: Final = {
    "w_b01": "w_b01_cell",
    "a_b01": "a_b01_cell",
    _WITH_COUNTDOWN: "a_b01_countdown_cell",
    "w_b05": "w_b05_battery",
    "a_b05": "a_b05_battery",
    "w_b09": "w_b09_battery",
    "a_b09": "a_b09_battery",
    "e_b01": "e_b01_battery",
    "e_b05": "e_b05_battery",
}

_SEVERITIES: Final = {
    Severity.WARNING: ir.IssueSeverity.WARNING,
    Severity.ALARM: ir.IssueSeverity.ERROR,
    Severity.ERROR: ir.IssueSeverity.ERROR,
}


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A quantity in the text of an issue: field, format and unit, as every language writes them."""

    field: str
    form: str
    unit: str


_SHOWN: Final = (
    _Shown(field="state_of_charge", form=".0f", unit=UnitOfRatio.PERCENTAGE),
    _Shown(field="voltage", form=".1f", unit=UnitOfElectricPotential.VOLT),
    _Shown(field="current", form=".0f", unit=UnitOfElectricCurrent.AMPERE),
    _Shown(field="temperature", form=".0f", unit=UnitOfTemperature.CELSIUS),
)


def values_now(hass: HomeAssistant, values: BatteryValues) -> str:
    """Return what the battery measures, in numbers and units that need no language."""
    found = ((row, getattr(values, row.field)) for row in _SHOWN)
    return ", ".join(_shown(hass, row, value) for row, value in found if value is not None) or NOT_KNOWN


def _shown(hass: HomeAssistant, row: _Shown, value: float) -> str:
    """Return a quantity in the unit of the user."""
    unit = row.unit
    if unit == UnitOfTemperature.CELSIUS:
        unit = hass.config.units.temperature_unit
        value = hass.config.units.temperature(value, row.unit)
    return f"{value:{row.form}} {unit}"


def stands(entry: SmallBmsConfigEntry, code: Code) -> bool:
    """Return whether a code is active, as far as is known."""
    return code in (entry.runtime_data.instant_readout.codes.active or ())


def code_of(slug: str) -> Code:
    """Return the code of a slug; ValueError when it is none."""
    return Code.parse(slug.upper().replace("_", "-"))


def placeholders(hass: HomeAssistant, entry: SmallBmsConfigEntry, code: Code) -> dict[str, str]:
    """Return what the words of the repair of a code name, as it is now."""
    now = values_now(hass, entry.runtime_data.instant_readout.present)
    countdown = _countdown(entry) if code == LOW_CELL_SHUTDOWN else {}
    place = place_of(hass, entry, code)
    return {"code": str(code), "now": now, **countdown, **_PLACE_UNKNOWN, **(place.known if place else {})}


def _countdown(entry: SmallBmsConfigEntry) -> Mapping[str, str]:
    """Return how much is left after a shutdown, and how long it lasts."""
    if (reserve := reserve_of(entry)) is None:
        return dict.fromkeys(("reserve", "residual_current", "reserve_time"), NOT_KNOWN)
    days, rest = divmod(int(reserve.hours), _HOURS_PER_DAY)
    current: float = entry.options[CONF_RESIDUAL_CURRENT]
    return {
        "reserve": f"{reserve.left:.1f} {AMPERE_HOURS}",
        "residual_current": f"{current:g} {UnitOfElectricCurrent.MILLIAMPERE}",
        "reserve_time": f"{days} d {rest} h",
    }


@callback
def async_watch_codes(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Keep an issue for every code that stands while the entry is loaded."""
    issues = _CodeIssues(hass, entry)
    entry.async_on_unload(entry.runtime_data.instant_readout.codes.async_add_watcher(issues.async_update))
    entry.async_on_unload(async_track_time_interval(hass, issues.async_renew, RENEWED_EVERY))
    if pages := entry.runtime_data.pages:
        entry.async_on_unload(pages.async_add_listener(issues.async_update))
    issues.async_update()


class _CodeIssues:
    """The issues of the codes of one device."""

    def __init__(self, hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
        self._hass = hass
        self._entry = entry
        self._with_warnings: bool = entry.options.get(CONF_REPAIRS_FOR_WARNINGS, DEFAULT_REPAIRS_FOR_WARNINGS)

    @callback
    def async_renew(self, _now: datetime) -> None:
        """See whether there is a countdown now: what it takes may have become known. A place may be too old by now."""
        self.async_update()

    @callback
    def async_update(self) -> None:
        """Create what stands, and delete what does not. One that is as it was is not written again."""
        codes = frozenset(self._wanted())
        for code in codes:
            self._async_create(code)
        for issue_id in self._issue_ids() - {self._issue_id(code) for code in codes}:
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)

    def _wanted(self) -> Iterator[Code]:
        for code in self._entry.runtime_data.instant_readout.codes.active or ():
            if self._with_warnings or code.severity is not Severity.WARNING:
                yield code

    def _issue_ids(self) -> set[str]:
        """Return the issues of codes that there are, also those of an earlier run."""
        end = f".{self._entry.entry_id}"
        issue_ids = (issue_id for domain, issue_id in ir.async_get(self._hass).issues if domain == DOMAIN)
        return {one for one in issue_ids if one.endswith(end) and _is_slug(one.removesuffix(end))}

    def _issue_id(self, code: Code) -> str:
        return f"{code.slug}.{self._entry.entry_id}"

    @callback
    def _async_create(self, code: Code) -> None:
        place = place_of(self._hass, self._entry, code)
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._issue_id(code),
            is_fixable=True,
            severity=_SEVERITIES[code.severity],
            translation_key=_WITH_PLACE[self._words_of(code)] if place else self._words_of(code),
            translation_placeholders={"name": self._entry.title, "code": str(code), **_named(place)},
        )

    def _words_of(self, code: Code) -> str:
        """Return the key of the words of a code, without its place."""
        if code == LOW_CELL_SHUTDOWN and reserve_of(self._entry):
            return _WITH_COUNTDOWN
        return code.slug if code.slug in _ADVICE_KEYS else _WITHOUT_ADVICE


def _named(place: Place | None) -> Mapping[str, str]:
    """Return what the title names of a place. What is measured there changes all the time."""
    return {name: part for name, part in place.known.items() if name != "measured"} if place else {}


def _is_slug(text: str) -> bool:
    """Return whether something is the slug of a code."""
    try:
        return code_of(text).slug == text
    except ValueError:
        return False
