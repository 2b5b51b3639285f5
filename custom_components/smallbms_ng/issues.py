"""Repair issues: the codes of the BMS, and what else an owner can put right."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from homeassistant.components.bluetooth import async_scanner_devices_by_address
from homeassistant.const import UnitOfElectricCurrent, UnitOfElectricPotential, UnitOfRatio, UnitOfTemperature
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util.dt import utcnow

from . import clock
from .connection.errors import NoAnswer, NotPaired, NotReachable, ProxyPinRefused
from .const import (
    AMPERE_HOURS,
    CONF_REPAIRS_FOR_WARNINGS,
    CONF_RESIDUAL_CURRENT,
    DEFAULT_REPAIRS_FOR_WARNINGS,
    DOCS_URL,
    DOMAIN,
)
from .coordinator import RENEWED_EVERY, PagesCoordinator, SmallBmsConfigEntry, reserve_of
from .messages import localized, proxy_in
from .pages import RegisterKey
from .places import Place, place_of
from .protocol.codes import LOW_CELL_SHUTDOWN, Code, Severity
from .protocol.quantities import BatteryValues
from .protocol.registers import BalancerStatus, Name

NOT_KNOWN: Final = "\u2013"
_PLACE_UNKNOWN: Final = dict.fromkeys(("battery", "cell", "measured"), NOT_KNOWN)
_HOURS_PER_DAY: Final = 24

# The codes with a text of their own. What can be done about some of them is in repairs.py.
BANK_KEYS: Final = frozenset({"w_b05", "a_b05", "e_b01", "e_b05"})
LEVEL_KEYS: Final = frozenset({"w_b07", "a_b07"})
_PLAIN_KEYS: Final = frozenset({"w_b01", "a_b01", "w_b08", "a_b08", "w_b09", "a_b09", "e_b09", "e_b11"})
_ADVICE_KEYS: Final = BANK_KEYS | LEVEL_KEYS | _PLAIN_KEYS
_WITHOUT_ADVICE: Final = "other_code"
_WITH_COUNTDOWN: Final = "a_b01_countdown"
# The texts that also name the battery, or the battery and the cell.
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
    """A quantity in the text of an issue: field, format and unit."""

    field: str
    form: str
    unit: str


_SHOWN: Final = (
    _Shown(field="state_of_charge", form="z.0f", unit=UnitOfRatio.PERCENTAGE),
    _Shown(field="voltage", form="z.1f", unit=UnitOfElectricPotential.VOLT),
    _Shown(field="current", form="z.0f", unit=UnitOfElectricCurrent.AMPERE),
    _Shown(field="temperature", form="z.0f", unit=UnitOfTemperature.CELSIUS),
)


def values_now(hass: HomeAssistant, values: BatteryValues) -> str:
    """Return what the battery measures: numbers with their units, which are the same in every language."""
    found = ((row, getattr(values, row.field)) for row in _SHOWN)
    return ", ".join(_shown(hass, row, value) for row, value in found if value is not None) or NOT_KNOWN


def _shown(hass: HomeAssistant, row: _Shown, value: float) -> str:
    """Return a quantity in the unit of the user."""
    unit = row.unit
    if unit == UnitOfTemperature.CELSIUS:
        unit = hass.config.units.temperature_unit
        value = hass.config.units.temperature(value, row.unit)
    return localized(f"{value:{row.form}} {unit}", hass.config.language)


def is_active(entry: SmallBmsConfigEntry, code: Code) -> bool:
    """Return whether a code is known to be active."""
    return code in (entry.runtime_data.instant_readout.codes.active or ())


def code_of(slug: str) -> Code:
    """Return the code of a slug. Raises ValueError if there is none."""
    return Code.parse(slug.upper().replace("_", "-"))


def placeholders(hass: HomeAssistant, entry: SmallBmsConfigEntry, code: Code) -> dict[str, str]:
    """Return the present values that the repair of a code names."""
    now = values_now(hass, entry.runtime_data.instant_readout.present)
    countdown = _countdown(hass, entry) if code == LOW_CELL_SHUTDOWN else {}
    place = place_of(hass, entry, code)
    known = {part: localized(text, hass.config.language) for part, text in place.known.items()} if place else {}
    return {"code": str(code), "now": now, **countdown, **_PLACE_UNKNOWN, **known}


def _countdown(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> Mapping[str, str]:
    """Return how much is left after a shutdown, and for how long it lasts."""
    if (reserve := reserve_of(entry)) is None:
        return dict.fromkeys(("reserve", "residual_current", "reserve_time"), NOT_KNOWN)
    days, rest = divmod(int(reserve.hours), _HOURS_PER_DAY)
    current: float = entry.options[CONF_RESIDUAL_CURRENT]
    return {
        "reserve": localized(f"{reserve.left:.1f} {AMPERE_HOURS}", hass.config.language),
        "residual_current": localized(f"{current:g} {UnitOfElectricCurrent.MILLIAMPERE}", hass.config.language),
        "reserve_time": f"{days} d {rest} h",
    }


@callback
def async_manage_code_issues(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Keep an issue for every active code while the entry is loaded."""
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
        """Update the texts: a countdown may have become possible, or a place too old."""
        self.async_update()

    @callback
    def async_update(self) -> None:
        """Create the issues of active codes, and delete the others. An unchanged issue is not written again."""
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
        """Return the ids of all issues of codes that exist, including those from before a restart."""
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
            translation_key=_WITH_PLACE[self._key_of(code)] if place else self._key_of(code),
            translation_placeholders={"name": self._entry.title, "code": str(code), **_named(place)},
        )

    def _key_of(self, code: Code) -> str:
        """Return the translation key of a code, without its place."""
        if code == LOW_CELL_SHUTDOWN and reserve_of(self._entry):
            return _WITH_COUNTDOWN
        return code.slug if code.slug in _ADVICE_KEYS else _WITHOUT_ADVICE


def _named(place: Place | None) -> Mapping[str, str]:
    """Return the parts of a place for the title: not the measured value, which changes all the time."""
    return {name: part for name, part in place.known.items() if name != "measured"} if place else {}


def _is_slug(text: str) -> bool:
    """Return whether a text is the slug of a code."""
    try:
        return code_of(text).slug == text
    except ValueError:
        return False


CAPACITY_UNKNOWN: Final = "capacity_unknown"
# How long to wait before asking: a device that has just started may not know its state of charge yet.
ASKED_AFTER: Final = timedelta(minutes=10)
_LOOKS_EVERY: Final = timedelta(minutes=1)


@callback
def async_manage_charge_issue(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """While the entry is loaded, ask for the capacity if nothing else gives a state of charge."""
    watch = _ChargeWatch(hass, entry)
    readout = entry.runtime_data.instant_readout
    entry.async_on_unload(readout.async_add_listener(watch.async_update, _ChargeWatch.FOLLOWS))
    entry.async_on_unload(async_track_time_interval(hass, watch.async_look, _LOOKS_EVERY))
    watch.async_update()


class _ChargeWatch:
    """Measures how long the state of charge has been missing."""

    FOLLOWS: Final = frozenset({"state_of_charge", "consumed_amphours", "capacity"})

    def __init__(self, hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
        self._hass = hass
        self._entry = entry
        self._coordinator = entry.runtime_data.instant_readout
        self._missing_since: float | None = None

    @callback
    def async_look(self, _now: datetime) -> None:
        """Check whether it is still missing."""
        self.async_update()

    @callback
    def async_update(self) -> None:
        """Create the issue, or delete it."""
        if not self._capacity_would_tell:
            self._missing_since = None
            self._async_end_issue()
            return
        if self._missing_since is None:
            self._missing_since = clock.now()
        if clock.now() - self._missing_since >= ASKED_AFTER.total_seconds():
            self._async_raise_issue()

    @property
    def _capacity_would_tell(self) -> bool:
        """Whether a state of charge is missing that could be calculated if the capacity were known."""
        shown, available = self._coordinator.published, self._coordinator.available
        is_missing = available and shown.state_of_charge is None and self._coordinator.capacity is None
        return is_missing and shown.consumed_amphours is not None

    @property
    def _issue_id(self) -> str:
        return f"{CAPACITY_UNKNOWN}.{self._entry.entry_id}"

    @callback
    def _async_raise_issue(self) -> None:
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._issue_id,
            is_fixable=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=CAPACITY_UNKNOWN,
            translation_placeholders={"name": self._entry.title},
        )

    @callback
    def _async_end_issue(self) -> None:
        """Delete the issue, unless the device is silent: then nothing is known."""
        if self._coordinator.available:
            ir.async_delete_issue(self._hass, DOMAIN, self._issue_id)


HELP_TO_CONFIRM: Final = "help_to_confirm"
# Of use, before an owner is asked for a download: by then everything works, and something has happened.
USED_FOR: Final = timedelta(days=3)
_HELP_LOOKS_EVERY: Final = timedelta(hours=1)


@callback
def async_manage_help_issue(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Ask the owner once for a download that proves or corrects what is assumed of the device.

    Every device is asked for, until one has confirmed it. Whoever ignores the issue never sees it again.
    """

    @callback
    def look(_now: datetime | None = None) -> None:
        is_known = entry.runtime_data.instant_readout.available
        if is_known and utcnow() - entry.created_at >= USED_FOR:
            _async_ask_for_help(hass, entry)

    entry.async_on_unload(async_track_time_interval(hass, look, _HELP_LOOKS_EVERY))
    look()


@callback
def _async_ask_for_help(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    ir.async_create_issue(
        hass,
        DOMAIN,
        f"{HELP_TO_CONFIRM}.{entry.entry_id}",
        is_fixable=False,
        learn_more_url=f"{DOCS_URL}/first-owner.md",
        severity=ir.IssueSeverity.WARNING,
        translation_key=HELP_TO_CONFIRM,
        translation_placeholders={"name": entry.title},
    )


# After so long without a full charge, the BMS no longer knows whether the cells are balanced (M-V3).
BALANCE_UNKNOWN_AFTER: Final = timedelta(days=30)
# For so long, a value that was read counts as the present one.
_TELLS_FOR: Final = timedelta(days=1)
# How long only radios that cannot connect may hear the device before that counts as a problem: one that can connect may
# start later than the others.
_NO_PATH_AFTER: Final = timedelta(minutes=10)

type Present = bool | None
"""Whether there is something to put right. None: not known, so the issue stays as it is."""


@dataclass(frozen=True, kw_only=True)
class Issue:
    """Something an owner can put right.

    key: the translation key, unless words returns another one.
    """

    key: str
    severity: ir.IssueSeverity
    is_fixable: bool
    present: Callable[[PagesCoordinator], Present]
    placeholders: Callable[[PagesCoordinator], Mapping[str, str]] = lambda _pages: {}
    words: Callable[[PagesCoordinator], str | None] = lambda _pages: None


def _is_not_paired(pages: PagesCoordinator) -> Present:
    """Return whether the bond is missing. While the device is out of reach, that is not known."""
    if pages.last_error is None:
        return False if pages.was_read else None
    if isinstance(pages.last_error, ProxyPinRefused):
        return False
    return True if isinstance(pages.last_error, NotPaired) and not isinstance(pages.last_error, NoAnswer) else None


def _has_proxy_wrong_pin(pages: PagesCoordinator) -> Present:
    """Return whether a proxy holds a PIN that the device refuses."""
    if isinstance(pages.last_error, ProxyPinRefused):
        return True
    return False if _is_not_paired(pages) is not None else None


def _is_off(name: Name) -> Callable[[PagesCoordinator], Present]:
    """Return a function that tells whether the device answered no. A device without this register is fine."""
    return lambda pages: pages.data.get(RegisterKey(name=name)) is False


def _needs_full_charge(pages: PagesCoordinator) -> Present:
    """Return whether the balance has been unknown for too long. A new battery, or an unknown charge, does not count."""
    status, since_full = RegisterKey(name=Name.BALANCER_STATUS), RegisterKey(name=Name.SINCE_FULL_CHARGE)
    if not _tells(pages, status):
        return None
    if pages.data.get(status) != BalancerStatus.UNKNOWN:
        return False
    seconds = pages.data.get(since_full) if _tells(pages, since_full) else None
    if isinstance(seconds, int | float):
        return seconds > BALANCE_UNKNOWN_AFTER.total_seconds()
    lasts = pages.values.unchanged_for(status)
    return lasts is not None and lasts > BALANCE_UNKNOWN_AFTER.total_seconds()


def _tells(pages: PagesCoordinator, want: RegisterKey) -> bool:
    """Return whether a value was read recently enough to count as the present one."""
    return pages.values.age(want) <= _TELLS_FOR.total_seconds()


def _has_no_path(pages: PagesCoordinator) -> Present:
    """Return whether the device is heard, but only by radios that cannot connect. If nothing hears it, it is away."""
    if pages.has_way:
        return False
    if pages.last_error is None:
        return False if pages.was_read else None
    is_lost = isinstance(pages.last_error, NotReachable) and pages.heard_without_way_for >= _NO_PATH_AFTER
    return True if is_lost and _radios(pages) else None


def _radios(pages: PagesCoordinator) -> list[str]:
    """Return the names of the radios that hear the device."""
    found = async_scanner_devices_by_address(pages.hass, pages.address, connectable=False)
    return sorted(one.scanner.name for one in found)


DEFAULT_PIN: Final = Issue(
    key="default_pin",
    severity=ir.IssueSeverity.WARNING,
    is_fixable=False,
    present=_is_off(Name.PIN_CHANGED),
)
NOT_PAIRED: Final = Issue(
    key="not_paired",
    severity=ir.IssueSeverity.ERROR,
    is_fixable=True,
    present=_is_not_paired,
    placeholders=lambda pages: {"proxy": proxy_in(pages.last_error)},
    words=lambda pages: "not_paired_by_proxy" if proxy_in(pages.last_error) else None,
)
PROXY_PIN: Final = Issue(
    key="proxy_pin",
    severity=ir.IssueSeverity.ERROR,
    is_fixable=False,
    present=_has_proxy_wrong_pin,
    placeholders=lambda pages: {"proxy": proxy_in(pages.last_error)},
)
INSTANT_READOUT_OFF: Final = Issue(
    key="instant_readout_off",
    severity=ir.IssueSeverity.WARNING,
    is_fixable=True,
    present=_is_off(Name.INSTANT_READOUT_ON),
)
NO_CONNECTION_PATH: Final = Issue(
    key="no_connection_path",
    severity=ir.IssueSeverity.WARNING,
    is_fixable=False,
    present=_has_no_path,
    placeholders=lambda pages: {"radios": ", ".join(_radios(pages))},
)
BALANCER_UNKNOWN: Final = Issue(
    key="balancer_unknown",
    severity=ir.IssueSeverity.WARNING,
    is_fixable=False,
    present=_needs_full_charge,
)
ISSUES: Final = (DEFAULT_PIN, NOT_PAIRED, PROXY_PIN, INSTANT_READOUT_OFF, NO_CONNECTION_PATH, BALANCER_UNKNOWN)


@callback
def async_watch(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Keep the issues of a device up to date while its entry is loaded, except those of codes."""
    if (pages := entry.runtime_data.pages) is None:
        for issue in ISSUES:
            ir.async_delete_issue(hass, DOMAIN, _issue_id(issue, entry))
        return

    @callback
    def update() -> None:
        for issue in ISSUES:
            _async_manage(pages, entry, issue)

    entry.async_on_unload(pages.async_add_listener(update))
    update()


@callback
def async_forget(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Delete all issues of a device."""
    for domain, issue_id in list(ir.async_get(hass).issues):
        if domain == DOMAIN and issue_id.endswith(f".{entry.entry_id}"):
            ir.async_delete_issue(hass, DOMAIN, issue_id)


@callback
def _async_manage(pages: PagesCoordinator, entry: SmallBmsConfigEntry, issue: Issue) -> None:
    """Create an issue, or delete it."""
    present = issue.present(pages)
    if present is False:
        ir.async_delete_issue(pages.hass, DOMAIN, _issue_id(issue, entry))
    elif present:
        ir.async_create_issue(
            pages.hass,
            DOMAIN,
            _issue_id(issue, entry),
            is_fixable=issue.is_fixable,
            severity=issue.severity,
            translation_key=issue.words(pages) or issue.key,
            translation_placeholders={"name": entry.title, **issue.placeholders(pages)},
        )


def _issue_id(issue: Issue, entry: SmallBmsConfigEntry) -> str:
    return f"{issue.key}.{entry.entry_id}"
