"""What an owner can put right beside the codes: PIN, bond, Instant Readout, a radio that connects, a full charge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from homeassistant.components.bluetooth import async_scanner_devices_by_address
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .client import NoAnswer, NotPaired, NotReachable, ProxyPinRefused
from .const import DOMAIN
from .coordinator import SmallBmsConfigEntry
from .messages import proxy_in
from .page_values import Want
from .pages import PagesCoordinator
from .protocol.registers import BalancerStatus, Name

# The BMS gives up knowing whether the cells are balanced after so long without a full charge (M-V3).
BALANCE_UNKNOWN_AFTER: Final = timedelta(days=30)
# For so long a value that was read tells what is now.
_TELLS_FOR: Final = timedelta(days=1)
# Heard for so long by radios that cannot connect only, a device lacks one that can: it may start later than the others.
_NO_PATH_AFTER: Final = timedelta(minutes=10)

type Present = bool | None
"""Whether there is something to put right. None: not known, as before."""


@dataclass(frozen=True, kw_only=True)
class Issue:
    """Something an owner can put right; key is that of its words, unless these depend."""

    key: str
    severity: ir.IssueSeverity
    is_fixable: bool
    present: Callable[[PagesCoordinator], Present]
    placeholders: Callable[[PagesCoordinator], Mapping[str, str]] = lambda _pages: {}
    words: Callable[[PagesCoordinator], str | None] = lambda _pages: None


def _is_not_paired(pages: PagesCoordinator) -> Present:
    """Return whether the bond is missing. A device that is out of reach says nothing about that."""
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
    """Return what tells whether the device said no to something. A device that does not know it is in order."""
    return lambda pages: pages.data.get(Want(name=name)) is False


def _needs_full_charge(pages: PagesCoordinator) -> Present:
    """Return whether the balance has been unknown for so long. A new battery, or an unknown charge, is no reason."""
    status, since_full = Want(name=Name.BALANCER_STATUS), Want(name=Name.SINCE_FULL_CHARGE)
    if not _tells(pages, status):
        return None
    if pages.data.get(status) != BalancerStatus.UNKNOWN:
        return False
    seconds = pages.data.get(since_full) if _tells(pages, since_full) else None
    if isinstance(seconds, int | float):
        return seconds > BALANCE_UNKNOWN_AFTER.total_seconds()
    lasts = pages.values.lasts(status)
    return lasts is not None and lasts > BALANCE_UNKNOWN_AFTER.total_seconds()


def _tells(pages: PagesCoordinator, want: Want) -> bool:
    """Return whether a value was read lately, so that it tells what is now."""
    return pages.values.age(want) <= _TELLS_FOR.total_seconds()


def _has_no_path(pages: PagesCoordinator) -> Present:
    """Return whether the device is heard, but by nothing that can connect. One that is not heard is only away."""
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
    """Delete the issues of a device that nobody watches any more."""
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
