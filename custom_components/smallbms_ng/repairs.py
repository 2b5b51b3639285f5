"""The flows behind the repairs: what an owner sees and enters there."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, override

from homeassistant.components.repairs import FlowType, RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState
from homeassistant.const import UnitOfRatio
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.selector import NumberSelector, NumberSelectorConfig, NumberSelectorMode
import voluptuous as vol

from .const import AMPERE_HOURS, CONF_CAPACITY, DOMAIN, MAX_CAPACITY, MIN_CAPACITY, SHORTEST_PROGRESS
from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .issues import (
    BANK_KEYS,
    CAPACITY_UNKNOWN,
    INSTANT_READOUT_OFF,
    LEVEL_KEYS,
    NOT_KNOWN,
    NOT_PAIRED,
    code_of,
    is_active,
    placeholders,
)
from .messages import async_text_of
from .pages import RegisterKey
from .places import answers
from .protocol.codes import Code
from .protocol.registers import SMALLEST_SYSTEM_VOLTAGE, THRESHOLDS, Name, named

type UserInput = Mapping[str, float]

_CONF_BASE: Final = "base"


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, _data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow of a repair."""
    key, _, entry_id = issue_id.partition(".")
    entry: SmallBmsConfigEntry = hass.config_entries.async_get_known_entry(entry_id)
    return _FLOWS.get(key, LookAgain)(entry, key)


class _Repair(RepairsFlow):
    """A repair in one step; key is the part of the issue id before the entry."""

    def __init__(self, entry: SmallBmsConfigEntry, key: str) -> None:
        self._entry = entry
        self._key = key
        self._error = ""

    async def async_step_init(self, _user_input: UserInput | None = None) -> RepairsFlowResult:
        """Show the form."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: UserInput | None = None) -> RepairsFlowResult:
        """Show the form, or do the repair once it is submitted."""
        if user_input is None:
            return self._show_form()
        return await self._async_repair(user_input)

    @property
    def _is_loaded(self) -> bool:
        return self._entry.state is ConfigEntryState.LOADED

    @property
    def _pages(self) -> PagesCoordinator | None:
        return self._entry.runtime_data.pages if self._is_loaded else None

    def _show_form(self, error: str | None = None) -> RepairsFlowResult:
        return self.async_show_form(
            step_id="confirm",
            data_schema=self._schema(),
            description_placeholders={"name": self._entry.title, "error": self._error, **self._placeholders()},
            errors={_CONF_BASE: error} if error else None,
        )

    def _schema(self) -> vol.Schema:
        """Return the fields of the form: none by default."""
        return vol.Schema({})

    def _placeholders(self) -> Mapping[str, str]:
        """Return the values that the text of this repair names."""
        return {}

    async def _async_repair(self, user_input: UserInput) -> RepairsFlowResult:
        raise NotImplementedError

    async def _async_keep(self, error: HomeAssistantError) -> None:
        """Keep the message of an error for the form, in the language of Home Assistant."""
        self._error = await async_text_of(self.hass, error)


class PairAgain(_Repair):
    """Asks for the PIN again, to pair with it."""

    @override
    def _placeholders(self) -> Mapping[str, str]:
        issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
        return (issue and issue.translation_placeholders) or {}

    @override
    async def _async_repair(self, user_input: UserInput) -> RepairsFlowResult:
        flow = await self.hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": self._entry.entry_id}
        )
        # Finishing with an entry would end the issue, even if the user then enters no PIN.
        return self.async_abort(reason="enter_pin", next_flow=(FlowType.CONFIG_FLOW, flow["flow_id"]))


class SwitchInstantReadoutOn(_Repair):
    """Switches Instant Readout on in the device."""

    @override
    async def _async_repair(self, user_input: UserInput) -> RepairsFlowResult:
        if self._pages is None:
            return self.async_abort(reason="not_loaded")
        try:
            await self._pages.async_write(Name.INSTANT_READOUT_ON, value=True)
        except HomeAssistantError as error:
            await self._async_keep(error)
            return self.async_abort(reason="failed", description_placeholders={"error": self._error})
        return self.async_create_entry(data={})


class EnterCapacity(_Repair):
    """Asks for the capacity, from which the state of charge is calculated."""

    @override
    def _schema(self) -> vol.Schema:
        limits = NumberSelectorConfig(
            min=MIN_CAPACITY, max=MAX_CAPACITY, mode=NumberSelectorMode.BOX, unit_of_measurement=AMPERE_HOURS
        )
        return vol.Schema({vol.Required(CONF_CAPACITY): NumberSelector(limits)})

    @override
    async def _async_repair(self, user_input: UserInput) -> RepairsFlowResult:
        options = {**self._entry.options, CONF_CAPACITY: user_input[CONF_CAPACITY]}
        self.hass.config_entries.async_update_entry(self._entry, options=options)
        self.hass.config_entries.async_schedule_reload(self._entry.entry_id)
        return self.async_create_entry(data={})


class _CodeRepair(_Repair):
    """A repair for a code. The issue ends with the code, not with the flow."""

    @override
    def _show_form(self, error: str | None = None) -> RepairsFlowResult:
        """Show the form, unless the device is not set up any more."""
        if not self._is_loaded:
            return self.async_abort(reason="not_loaded")
        return super()._show_form(error)

    @property
    def _code(self) -> Code:
        return code_of(self._key)

    @property
    def _is_active(self) -> bool:
        return is_active(self._entry, self._code)

    @override
    def _placeholders(self) -> Mapping[str, str]:
        return placeholders(self.hass, self._entry, self._code)

    def _finish_or_show(self, error: str | None) -> RepairsFlowResult:
        if self._is_loaded and not self._is_active:
            return self.async_create_entry(data={})
        return self._show_form(error)


class LookAgain(_CodeRepair):
    """Shows what the battery measures, and reads it again when the form is submitted."""

    @override
    async def _async_repair(self, user_input: UserInput) -> RepairsFlowResult:
        return self._finish_or_show(await self._async_look() or "still_there")

    async def _async_look(self) -> str | None:
        """Read the device; return the key of an error, or None."""
        if self._pages is None:
            return None
        try:
            await self._pages.async_read_now()
        except HomeAssistantError as error:
            await self._async_keep(error)
            return "failed"
        return None


class LookAtBank(LookAgain):
    """Reads the device, and shows the bank as the BMS finds it and which batteries do not answer."""

    def __init__(self, entry: SmallBmsConfigEntry, key: str) -> None:
        super().__init__(entry, key)
        self._look: asyncio.Task[str | None] | None = None
        self._wrong: str | None = None

    @override
    async def async_step_init(self, _user_input: UserInput | None = None) -> RepairsFlowResult:
        """Read the device first, so that the form shows the present state."""
        return await (self.async_step_confirm() if self._pages is None else self.async_step_look())

    async def async_step_look(self, _user_input: UserInput | None = None) -> RepairsFlowResult:
        """Show progress while the device is read, then the form."""
        if self._look is None:
            self._look = self.hass.async_create_task(self._async_look_first(), "smallbms_ng bank", eager_start=False)
        if not self._look.done():
            return self.async_show_progress(
                step_id="look",
                progress_action="look",
                progress_task=self._look,
                description_placeholders={"name": self._entry.title},
            )
        self._wrong = self._look.result()
        return self.async_show_progress_done(next_step_id="confirm")

    @override
    async def async_step_confirm(self, user_input: UserInput | None = None) -> RepairsFlowResult:
        """Show the form with what was found, unless the code has ended meanwhile."""
        return self._finish_or_show(self._wrong) if user_input is None else await self._async_repair(user_input)

    async def _async_look_first(self) -> str | None:
        """Read the device; take long enough for the browser to see the progress step."""
        wrong, _ = await asyncio.gather(self._async_look(), asyncio.sleep(SHORTEST_PROGRESS))
        return wrong

    @override
    async def _async_repair(self, user_input: UserInput) -> RepairsFlowResult:
        self._wrong = await self._async_look()
        return self._finish_or_show(self._wrong or "still_there")

    @override
    def _placeholders(self) -> Mapping[str, str]:
        pages = None if self._wrong else self._pages
        return {**super()._placeholders(), **_bank(pages), "missing": _missing(pages)}


class ChangeThresholds(_CodeRepair):
    """Changes the states of charge at which the BMS warns and at which it switches the loads off."""

    _entered: UserInput = MappingProxyType({})
    _known: Mapping[Name, float] = MappingProxyType({})

    @override
    def _schema(self) -> vol.Schema:
        self._known = self._thresholds()
        shown = {name: self._entered.get(name, value) for name, value in self._known.items()}
        return vol.Schema(
            {vol.Required(name, default=value): _threshold_selector(name) for name, value in shown.items()}
        )

    def _thresholds(self) -> dict[Name, float]:
        """Return the thresholds that the device has."""
        if self._pages is None:
            return {}
        values = {name: self._pages.values.value(RegisterKey(name=name)) for name in THRESHOLDS}
        return {name: value for name, value in values.items() if isinstance(value, int | float)}

    @override
    async def _async_repair(self, user_input: UserInput) -> RepairsFlowResult:
        self._entered = user_input
        # A field that the user left alone is not written, even if the device has another value by now.
        changed = {name: user_input[name] for name, value in self._known.items() if user_input[name] != value}
        if self._pages is None or not changed:
            return self._finish_or_show("still_there")
        try:
            await self._pages.async_write_all(changed)
        except HomeAssistantError as error:
            await self._async_keep(error)
            return self._show_form("failed")
        return self.async_abort(reason="changed", description_placeholders=dict(self._placeholders()))


_FLOWS: Final[Mapping[str, type[_Repair]]] = {
    NOT_PAIRED.key: PairAgain,
    INSTANT_READOUT_OFF.key: SwitchInstantReadoutOn,
    CAPACITY_UNKNOWN: EnterCapacity,
    **dict.fromkeys(BANK_KEYS, LookAtBank),
    **dict.fromkeys(LEVEL_KEYS, ChangeThresholds),
}


def _threshold_selector(name: Name) -> NumberSelector:
    row = named(name)[0]
    if row.limits is None:
        raise ValueError(f"{name} is never written")
    limits = row.limits.at(SMALLEST_SYSTEM_VOLTAGE)
    return NumberSelector(
        NumberSelectorConfig(
            min=limits.low,
            max=limits.high,
            step=limits.step,
            mode=NumberSelectorMode.BOX,
            unit_of_measurement=UnitOfRatio.PERCENTAGE,
        )
    )


_BANK_PARTS: Final = ("batteries", "series", "parallel", "cells")


def _bank(pages: PagesCoordinator | None) -> Mapping[str, str]:
    """Return the bank as the BMS finds it."""
    bank = pages.values.value(RegisterKey(name=Name.BANK)) if pages else None
    known = bank if isinstance(bank, Mapping) else {}
    return {part: str(known.get(part, NOT_KNOWN)) for part in _BANK_PARTS}


def _missing(pages: PagesCoordinator | None) -> str:
    """Return the numbers and serial numbers of the batteries that were present and do not answer."""
    if pages is None:
        return NOT_KNOWN
    return ", ".join(_numbered(pages, one) for one in pages.batteries if not answers(pages, one)) or NOT_KNOWN


def _numbered(pages: PagesCoordinator, battery: int) -> str:
    serial_number = pages.values.value(RegisterKey(name=Name.SERIAL_NUMBER, battery=battery))
    return f"{battery} ({serial_number})" if isinstance(serial_number, str) else str(battery)
