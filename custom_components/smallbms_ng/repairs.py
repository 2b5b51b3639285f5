"""What an owner can put right: the default PIN, a bond that is missing, Instant Readout that is off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from homeassistant.components.repairs import FlowType, RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
import voluptuous as vol

from .client import NoAnswer, NotPaired
from .const import DOMAIN
from .coordinator import SmallBmsConfigEntry
from .page_values import Want
from .pages import PagesCoordinator
from .protocol.registers import Name

type Present = bool | None
"""Whether there is something to put right. None: not known, as before."""


@dataclass(frozen=True, kw_only=True)
class Issue:
    """Something an owner can put right; key is that of its words."""

    key: str
    severity: ir.IssueSeverity
    is_fixable: bool
    present: Callable[[PagesCoordinator], Present]


def _is_not_paired(pages: PagesCoordinator) -> Present:
    """Return whether the bond is missing. A device that is out of reach says nothing about that."""
    if pages.last_error is None:
        return False
    return True if isinstance(pages.last_error, NotPaired) and not isinstance(pages.last_error, NoAnswer) else None


def _is_off(name: Name) -> Callable[[PagesCoordinator], Present]:
    """Return what tells whether the device said no to something. A device that does not know it is in order."""
    return lambda pages: pages.data.get(Want(name=name)) is False


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
)
INSTANT_READOUT_OFF: Final = Issue(
    key="instant_readout_off",
    severity=ir.IssueSeverity.WARNING,
    is_fixable=True,
    present=_is_off(Name.INSTANT_READOUT_ON),
)
ISSUES: Final = (DEFAULT_PIN, NOT_PAIRED, INSTANT_READOUT_OFF)


@callback
def async_watch(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Keep the issues of a device up to date while its entry is loaded."""
    if (pages := entry.runtime_data.pages) is None:
        async_forget(hass, entry)
        return

    @callback
    def update() -> None:
        for issue in ISSUES:
            _async_manage(hass, entry, issue, issue.present(pages))

    entry.async_on_unload(pages.async_add_listener(update))
    update()


@callback
def async_forget(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Delete the issues of a device that is gone, or that is not connected to any more."""
    for issue in ISSUES:
        ir.async_delete_issue(hass, DOMAIN, _issue_id(issue, entry))


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, _data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return what leads a user through a repair."""
    key, _, entry_id = issue_id.partition(".")
    entry: SmallBmsConfigEntry = hass.config_entries.async_get_known_entry(entry_id)
    return (PairAgain if key == NOT_PAIRED.key else SwitchInstantReadoutOn)(entry)


class _ConfirmedRepair(RepairsFlow):
    """A repair that a user confirms."""

    def __init__(self, entry: SmallBmsConfigEntry) -> None:
        self._entry = entry

    async def async_step_init(self, _user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Begin."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Ask, and repair."""
        if user_input is not None:
            return await self._async_repair()
        placeholders = {"name": self._entry.title}
        return self.async_show_form(
            step_id="confirm", data_schema=vol.Schema({}), description_placeholders=placeholders
        )

    async def _async_repair(self) -> RepairsFlowResult:
        raise NotImplementedError


class PairAgain(_ConfirmedRepair):
    """Has the PIN entered once more, which makes a bond."""

    async def _async_repair(self) -> RepairsFlowResult:
        flow = await self.hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": self._entry.entry_id}
        )
        return self.async_create_entry(data={}, next_flow=(FlowType.CONFIG_FLOW, flow["flow_id"]))


class SwitchInstantReadoutOn(_ConfirmedRepair):
    """Lets the device advertise its readings."""

    async def _async_repair(self) -> RepairsFlowResult:
        pages = self._entry.runtime_data.pages if self._entry.state is ConfigEntryState.LOADED else None
        if pages is None:
            return self.async_abort(reason="not_loaded")
        try:
            await pages.async_write(Name.INSTANT_READOUT_ON, value=True)
        except HomeAssistantError as error:
            return self.async_abort(reason="failed", description_placeholders={"error": str(error)})
        return self.async_create_entry(data={})


@callback
def _async_manage(hass: HomeAssistant, entry: SmallBmsConfigEntry, issue: Issue, present: Present) -> None:
    """Create an issue, or delete it."""
    if present is False:
        ir.async_delete_issue(hass, DOMAIN, _issue_id(issue, entry))
    elif present:
        ir.async_create_issue(
            hass,
            DOMAIN,
            _issue_id(issue, entry),
            is_fixable=issue.is_fixable,
            severity=issue.severity,
            translation_key=issue.key,
            translation_placeholders={"name": entry.title},
        )


def _issue_id(issue: Issue, entry: SmallBmsConfigEntry) -> str:
    return f"{issue.key}.{entry.entry_id}"
