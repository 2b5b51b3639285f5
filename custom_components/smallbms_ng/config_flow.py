"""Flows that add a device by its key or its PIN, change these, or change the options."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
import logging
from typing import Final, override

from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_discovered_service_info,
    async_request_active_scan,
)
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlow,
    OptionsFlowWithReload,
)
from homeassistant.const import CONF_ADDRESS, CONF_PIN, UnitOfElectricCurrent, UnitOfTime
from homeassistant.core import callback
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import voluptuous as vol

from .checks import (
    AccessProof,
    NoAdapterAtAll,
    NoPath,
    NotBluez,
    NotHeard,
    OnConnected,
    async_check_key,
    async_read_key,
    async_read_key_by_bond,
    async_switch_instant_readout_on,
    data_of,
    go_on,
    is_near_proxy,
    parse_pin,
)
from .connection.bluez import DeviceNotVisible, NoLocalAdapter, PairingRefused, PairingTimedOut
from .connection.errors import (
    BadAnswer,
    Lost,
    NoAnswer,
    NoSlot,
    NotPaired,
    NotReachable,
    ProxyHasNoPin,
    ProxyPinOutdated,
    ProxyPinRefused,
    Refused,
    VeSmartError,
    WrongPin,
)
from .connection.pairing import PinNotAsked
from .const import (
    AMPERE_HOURS,
    CONF_CAPACITY,
    CONF_KEY,
    CONF_PAGES_INTERVAL,
    CONF_PAIRED_BY_PROXY,
    CONF_PRODUCT_ID,
    CONF_REPAIRS_FOR_WARNINGS,
    CONF_RESIDUAL_CURRENT,
    CONF_UPDATE_INTERVAL,
    DEFAULT_PAGES_INTERVAL,
    DEFAULT_REPAIRS_FOR_WARNINGS,
    DEFAULT_UPDATE_INTERVAL,
    DOCS_URL,
    DOMAIN,
    MAX_CAPACITY,
    MAX_PAGES_INTERVAL,
    MAX_RESIDUAL_CURRENT,
    MAX_UPDATE_INTERVAL,
    MILLIAMPERES_PER_AMPERE,
    MIN_CAPACITY,
    MIN_PAGES_INTERVAL,
    MIN_RESIDUAL_CURRENT,
    MIN_UPDATE_INTERVAL,
    SHORTEST_PROGRESS,
    can_connect,
)
from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .messages import proxy_in
from .protocol.advertisement import (
    PRODUCT_NAMES,
    ImplausibleRecord,
    WrongKey,
    is_short_beacon,
    is_smallbms_ng,
    parse_key,
    product_id,
)
from .protocol.payloads import safe_text
from .protocol.session import SERVICES

_LOGGER = logging.getLogger(__name__)

PROXY_URL: Final = f"{DOCS_URL}/proxy.md"

type UserInput = Mapping[str, str | bool]
type Errors = dict[str, str]

CONF_BASE: Final = "base"
CONF_SWITCH_ON: Final = "switch_on"
CONF_REMOVE_PIN: Final = "remove_pin"
# What a device without a name of its own is called, whatever its product id.
(_MODEL,) = PRODUCT_NAMES.values()
# How the advertised name of a smallBMS NG begins, unless its owner has changed it.
_NAME: Final = "smallbms"
_SECRET: Final = TextSelector(TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="off"))

# Never with what is stored, or was entered before: a secret goes into Home Assistant, and does not come out of it.
CREDENTIALS_SCHEMA: Final = vol.Schema({vol.Optional(CONF_PIN): _SECRET, vol.Optional(CONF_KEY): _SECRET})
WITH_REMOVAL_SCHEMA: Final = CREDENTIALS_SCHEMA.extend(
    {vol.Required(CONF_REMOVE_PIN, default=False): BooleanSelector()}
)

SWITCH_ON_SCHEMA: Final = vol.Schema({vol.Required(CONF_SWITCH_ON, default=True): BooleanSelector()})


def _number(low: float, high: float, unit: str, step: float = 1) -> NumberSelector:
    return NumberSelector(
        NumberSelectorConfig(min=low, max=high, step=step, mode=NumberSelectorMode.BOX, unit_of_measurement=unit)
    )


OPTIONS_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_UPDATE_INTERVAL, default=DEFAULT_UPDATE_INTERVAL): _number(
            MIN_UPDATE_INTERVAL, MAX_UPDATE_INTERVAL, UnitOfTime.SECONDS
        ),
        vol.Required(CONF_PAGES_INTERVAL, default=DEFAULT_PAGES_INTERVAL): _number(
            MIN_PAGES_INTERVAL, MAX_PAGES_INTERVAL, UnitOfTime.MINUTES
        ),
        vol.Required(CONF_REPAIRS_FOR_WARNINGS, default=DEFAULT_REPAIRS_FOR_WARNINGS): BooleanSelector(),
        vol.Optional(CONF_RESIDUAL_CURRENT): _number(
            MIN_RESIDUAL_CURRENT, MAX_RESIDUAL_CURRENT, UnitOfElectricCurrent.MILLIAMPERE, step=0.1
        ),
        vol.Optional(CONF_CAPACITY): _number(MIN_CAPACITY, MAX_CAPACITY, AMPERE_HOURS),
    }
)

_WHOLE_NUMBERS: Final = {CONF_UPDATE_INTERVAL: "not_whole", CONF_PAGES_INTERVAL: "not_whole"}

_PARSERS: Final[dict[str, Callable[[str], object]]] = {CONF_PIN: parse_pin, CONF_KEY: parse_key}
_MALFORMED: Final = {CONF_PIN: "invalid_pin", CONF_KEY: "invalid_key"}

_ERROR_KEYS: Final[dict[type[Exception], str]] = {
    NotHeard: "not_heard",
    WrongKey: "wrong_key",
    ImplausibleRecord: "implausible",
    WrongPin: "wrong_pin",
    NotBluez: "not_bluez",
    NoAdapterAtAll: "no_adapter_at_all",
    NoLocalAdapter: "no_adapter",
    DeviceNotVisible: "adapter_too_far",
    PairingRefused: "pairing_refused",
    PinNotAsked: "pin_not_asked",
    PairingTimedOut: "pairing_timed_out",
    NoPath: "no_path",
    NoSlot: "no_slot",
    NotReachable: "not_reachable",
    NoAnswer: "no_answer",
    ProxyHasNoPin: "proxy_has_no_pin",
    ProxyPinOutdated: "proxy_pin_outdated",
    ProxyPinRefused: "proxy_pin_refused",
    NotPaired: "other_way",
    Lost: "lost",
    BadAnswer: "bad_answer",
    Refused: "refused",
}


def _error_key(error: Exception) -> str:
    """Return the translation key of an error."""
    return next(_ERROR_KEYS[kind] for kind in type(error).__mro__ if kind in _ERROR_KEYS)


def _adapters_in(error: Exception | None) -> str:
    """Return the names of the adapters in an error."""
    names = error.adapters if isinstance(error, NoLocalAdapter | DeviceNotVisible) else ()
    return ", ".join(names)


def _text(entered: UserInput, field: str) -> str:
    return str(entered.get(field, "")).strip()


def _is_malformed(text: str, parse: Callable[[str], object]) -> bool:
    """Return whether a text was entered that cannot be parsed."""
    try:
        parse(text)
    except ValueError:
        return bool(text)
    return False


def _name_of(service_info: BluetoothServiceInfoBleak) -> str:
    """Return the device's own name; if it is not known (passive scanning), the model with the end of the address."""
    name = safe_text(service_info.name) if service_info.name != service_info.address else ""
    return name or f"{_MODEL} {service_info.address[-5:]}"


def _is_smallbms_ng(info: BluetoothServiceInfoBleak) -> bool:
    """Return whether a device is a smallBMS NG by its advertisement, or by its name if that does not tell."""
    return is_smallbms_ng(data_of(info)) or (_hides_its_type(info) and info.name.casefold().startswith(_NAME))


def _hides_its_type(info: BluetoothServiceInfoBleak) -> bool:
    """Return whether a Victron device does not tell what it is, as with Instant Readout off."""
    data = data_of(info)
    return is_short_beacon(data) or (not data and not SERVICES.isdisjoint(info.service_uuids))


class SmallBmsConfigFlow(ConfigFlow, domain=DOMAIN):
    """Adds one device, found by Bluetooth or chosen from a list, once its key or its PIN is checked.

    A PIN is checked by connecting. Over that connection the device also gives its key, so nobody has to enter it.
    """

    VERSION = 1

    _device: BluetoothServiceInfoBleak
    _errand: Callable[[], Coroutine[None, None, Errors]]

    def __init__(self) -> None:
        self._discovered: dict[str, BluetoothServiceInfoBleak] = {}
        self._form = ""
        self._entered: UserInput = {}
        self._errors: Errors = {}
        self._adapters = ""
        self._proxy = ""
        self._proof = AccessProof.PIN
        self._accepted: dict[str, str | bool] | None = None
        self._instant_readout_on: bool | None = None
        self._product_id: int | None = None
        self._task: asyncio.Task[Errors] | None = None
        self._is_over = False

    @callback
    @override
    def async_remove(self) -> None:
        """Note that this flow is over, so that nothing is stored that it still finds out."""
        self._is_over = True

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: SmallBmsConfigEntry) -> OptionsFlow:
        return SmallBmsOptionsFlow()

    @override
    async def async_step_bluetooth(self, discovery_info: BluetoothServiceInfoBleak) -> ConfigFlowResult:
        """Start with a device that Bluetooth found. All Victron products come here, but only ours may show a card."""
        if not _is_smallbms_ng(discovery_info):
            return self.async_abort(reason="not_supported")
        await self.async_set_unique_id(discovery_info.address)
        self._abort_if_unique_id_configured()
        return await self._async_choose(discovery_info)

    @override
    async def async_step_user(self, user_input: dict[str, str] | None = None) -> ConfigFlowResult:
        """Let the user choose among the devices in range."""
        if user_input is not None:
            await self.async_set_unique_id(user_input[CONF_ADDRESS], raise_on_progress=False)
            self._abort_if_unique_id_configured()
            return await self._async_choose(self._discovered[user_input[CONF_ADDRESS]])
        await async_request_active_scan(self.hass)
        self._discovered = self._in_range()
        if not self._discovered:
            return self.async_abort(reason="no_devices_found")
        return self.async_show_form(step_id="user", data_schema=self._device_schema())

    def _in_range(self) -> dict[str, BluetoothServiceInfoBleak]:
        """Return the devices in range that are not configured, also those that do not tell what they are.

        An ignored one may be added after all.
        """
        configured = self._async_current_ids(include_ignore=False)
        return {
            info.address: info
            for info in async_discovered_service_info(self.hass, connectable=False)
            if info.address not in configured and (_is_smallbms_ng(info) or _hides_its_type(info))
        }

    def _device_schema(self) -> vol.Schema:
        devices = [
            SelectOptionDict(value=info.address, label=f"{_name_of(info)} ({info.address})")
            for info in self._discovered.values()
        ]
        return vol.Schema({vol.Required(CONF_ADDRESS): SelectSelector(SelectSelectorConfig(options=devices))})

    async def _async_choose(self, device: BluetoothServiceInfoBleak) -> ConfigFlowResult:
        self._device = device
        self.context["title_placeholders"] = {"name": _name_of(device)}
        return await self.async_step_credentials()

    async def async_step_credentials(self, user_input: UserInput | None = None) -> ConfigFlowResult:
        """Ask for the PIN, the key, or both, and add the device when they are right."""
        return await self._async_ask("credentials", user_input)

    async def async_step_reauth(self, _entry_data: Mapping[str, object]) -> ConfigFlowResult:
        """Get a new key: the device made one when its PIN was changed. Ask for it only if no bond gives it."""
        if can_connect(self._get_reauth_entry().data) and await self._async_renew_by_bond():
            return self._finish()
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: UserInput | None = None) -> ConfigFlowResult:
        """Ask for the new PIN or key."""
        return await self._async_ask("reauth_confirm", user_input)

    async def async_step_reconfigure(self, user_input: UserInput | None = None) -> ConfigFlowResult:
        """Let the user change PIN and key, or take the PIN away."""
        return await self._async_ask("reconfigure", user_input)

    async def async_step_connect(self, _user_input: None = None) -> ConfigFlowResult:
        """Show progress while connecting, then the next form."""
        if self._task is None:
            # Not eagerly: if it ended at once, no progress would be shown, and the next form would get the last input.
            self._task = self.hass.async_create_task(self._async_attempt(), "smallbms_ng PIN check", eager_start=False)
        if not self._task.done():
            return self.async_show_progress(
                step_id="connect",
                progress_action="connect",
                progress_task=self._task,
                description_placeholders={"name": self._name},
            )
        self._errors, self._task = self._task.result(), None
        return self.async_show_progress_done(next_step_id=self._form)

    async def async_step_instant_readout(self, user_input: dict[str, bool] | None = None) -> ConfigFlowResult:
        """Offer to switch Instant Readout on. Only a yes writes to the device."""
        self._form = "instant_readout"
        if user_input is not None and user_input[CONF_SWITCH_ON]:
            self._errand = self._async_switch_on
            return await self.async_step_connect()
        if user_input is not None or self._instant_readout_on:
            return self._finish()
        return self.async_show_form(
            step_id="instant_readout",
            data_schema=SWITCH_ON_SCHEMA,
            description_placeholders=self._placeholders,
            errors=self._errors,
        )

    @property
    def _entry(self) -> SmallBmsConfigEntry | None:
        """The entry that is changed; None when one is added."""
        if self.source == SOURCE_REAUTH:
            return self._get_reauth_entry()
        return self._get_reconfigure_entry() if self.source == SOURCE_RECONFIGURE else None

    @property
    def _address(self) -> str:
        address: str = self._entry.data[CONF_ADDRESS] if self._entry else self._device.address
        return address

    @property
    def _name(self) -> str:
        return self._entry.title if self._entry else _name_of(self._device)

    @property
    def _placeholders(self) -> dict[str, str]:
        return {
            "name": self._name,
            "adapters": self._adapters,
            "proxy": self._proxy,
            "proxy_url": PROXY_URL,
        }

    @property
    def _pages(self) -> PagesCoordinator | None:
        """The coordinator that connects for the entry, if it is loaded and connects."""
        entry = self._entry
        return entry.runtime_data.pages if entry and entry.state is ConfigEntryState.LOADED else None

    @property
    def _on_connected(self) -> OnConnected:
        """What to do first over a connection: an entry that is loaded reads its status."""
        return self._pages.async_read_status if self._pages else go_on

    def _only_connection(self) -> AbstractAsyncContextManager[None]:
        """Keep the entry from connecting meanwhile: the device accepts only one connection."""
        return self._pages.async_pause_connection() if self._pages else nullcontext()

    @property
    def _pin(self) -> str | None:
        """The PIN to connect with: the one that was entered or, if nothing was, the stored one."""
        if entered := _text(self._entered, CONF_PIN):
            return parse_pin(entered)
        if self._entry is None or self._removes_pin or _text(self._entered, CONF_KEY):
            return None
        stored: str | None = self._entry.data.get(CONF_PIN)
        return stored

    @property
    def _tries_proxy(self) -> bool:
        """Whether to try if a proxy holds the PIN, as nothing was entered."""
        return not (self._removes_pin or _text(self._entered, CONF_KEY)) and is_near_proxy(self.hass, self._address)

    @property
    def _removes_pin(self) -> bool:
        return self._entered.get(CONF_REMOVE_PIN, False) is True

    async def _async_ask(self, step_id: str, user_input: UserInput | None) -> ConfigFlowResult:
        """Ask for PIN and key until they are right. A PIN is tried in the background, and the flow comes back here."""
        self._form = step_id
        if user_input is not None:
            self._entered, self._instant_readout_on = user_input, None
            self._errors = self._malformed()
            if not self._errors and ((pin := self._pin) or self._tries_proxy):
                self._errand = partial(self._async_learn, pin)
                return await self.async_step_connect()
            self._errors = self._errors or await self._async_check_key(None)
        if self._accepted is None:
            return self._show_credentials_form(step_id)
        if self._instant_readout_on is False:
            return await self.async_step_instant_readout()
        return self._finish()

    def _malformed(self) -> Errors:
        """Return the errors that can be found without a connection: no PIN, no key, or a contradiction."""
        errors = {
            field: _MALFORMED[field]
            for field, parse in _PARSERS.items()
            if _is_malformed(_text(self._entered, field), parse)
        }
        contradicts_itself = self._removes_pin and _text(self._entered, CONF_PIN)
        return errors | ({CONF_REMOVE_PIN: "pin_entered"} if contradicts_itself else {})

    def _show_credentials_form(self, step_id: str) -> ConfigFlowResult:
        """Show the form for PIN and key; where a PIN is stored, also for removing it."""
        has_pin = self.source == SOURCE_RECONFIGURE and can_connect(self._get_reconfigure_entry().data)
        return self.async_show_form(
            step_id=step_id,
            data_schema=WITH_REMOVAL_SCHEMA if has_pin else CREDENTIALS_SCHEMA,
            description_placeholders=self._placeholders,
            errors=self._errors,
        )

    async def _async_attempt(self) -> Errors:
        """Do the errand; take long enough for the browser to see the progress step. Return the errors for the form."""
        errors, _ = await asyncio.gather(self._async_do_errand(), asyncio.sleep(SHORTEST_PROGRESS))
        return errors

    async def _async_do_errand(self) -> Errors:
        """Return the errors for the form, whatever happens: a progress step without a result would never end."""
        try:
            return await self._errand()
        except Exception:
            _LOGGER.exception("Unforeseen error while connecting to %s", self._name)
            return {CONF_BASE: "unknown"}

    async def _async_learn(self, pin: str | None) -> Errors:
        """Connect with the PIN, or by a proxy that holds it; return the errors for the form.

        The key that the device gives is the right one and needs no check.
        """
        try:
            async with self._only_connection():
                learned = await async_read_key(self.hass, self._address, pin, on_connected=self._on_connected)
        except VeSmartError as error:
            self._adapters, self._proxy = _adapters_in(error), proxy_in(error)
            return {CONF_PIN: _error_key(error)}
        self._proof, self._proxy = learned.proof, learned.proxy
        self._instant_readout_on, self._product_id = learned.instant_readout_on, learned.product_id
        if learned.key is None and _text(self._entered, CONF_KEY):
            return await self._async_check_key(pin)
        self._accepted = self._way_in(pin) | ({CONF_KEY: learned.key.hex()} if learned.key else {})
        return {}

    def _way_in(self, pin: str | None) -> dict[str, str | bool]:
        """Return what the entry has to store so that it connects."""
        return {CONF_PIN: pin} if pin else {CONF_PAIRED_BY_PROXY: True}

    async def _async_renew_by_bond(self) -> bool:
        """Read the key over an existing bond; return whether it is new and decrypts the advertisements.

        No user has started this. So it never pairs, and it takes no key without an advertisement that proves it.
        """
        paired = self._pages.paired_radios if self._pages else frozenset[str]()
        try:
            async with self._only_connection():
                learned = await async_read_key_by_bond(
                    self.hass, self._address, paired, on_connected=self._on_connected
                )
            key = learned.key
            if key is None or key.hex() == self._get_reauth_entry().data.get(CONF_KEY):
                return False
            await async_check_key(self.hass, self._address, key)
        except (VeSmartError, NotHeard, WrongKey, ImplausibleRecord) as error:
            _LOGGER.debug("The key of %s was not renewed: %s", self._name, error)
            return False
        self._accepted = {CONF_KEY: key.hex()}
        return True

    async def _async_switch_on(self) -> Errors:
        """Switch Instant Readout on; return the errors for the form."""
        try:
            async with self._only_connection():
                await async_switch_instant_readout_on(
                    self.hass, self._address, self._accepted_pin, on_connected=self._on_connected
                )
        except VeSmartError as error:
            self._adapters, self._proxy = _adapters_in(error), proxy_in(error)
            return {CONF_SWITCH_ON: _error_key(error)}
        self._instant_readout_on = True
        return {}

    async def _async_check_key(self, pin: str | None) -> Errors:
        """Check the key that was entered; return the errors for the form."""
        if not (text := _text(self._entered, CONF_KEY)):
            return self._take_nothing()
        key = parse_key(text)
        try:
            await async_check_key(self.hass, self._address, key)
        except (NotHeard, WrongKey, ImplausibleRecord) as error:
            return {CONF_KEY: _error_key(error)}
        self._accepted = {CONF_KEY: key.hex(), **({CONF_PIN: pin} if pin else {})}
        return {}

    @property
    def _accepted_pin(self) -> str | None:
        pin = (self._accepted or {}).get(CONF_PIN)
        return pin if isinstance(pin, str) else None

    def _take_nothing(self) -> Errors:
        """Return the errors for the form if neither PIN nor key was entered: none if the PIN goes and the key stays."""
        if not self._removes_pin:
            return {CONF_BASE: "nothing_entered"}
        if self._entry is None or CONF_KEY not in self._entry.data:
            return {CONF_KEY: "key_needed"}
        self._accepted = {}
        return {}

    def _finish(self) -> ConfigFlowResult:
        """Store what was accepted. What was left empty stays as it is, unless the PIN is to be removed."""
        if self._is_over:
            return self.async_abort(reason="over")
        accepted = self._accepted or {}
        if self._entry is None:
            data = {CONF_ADDRESS: self._address, CONF_PRODUCT_ID: product_id(data_of(self._device)) or self._product_id}
            return self.async_create_entry(
                title=self._name,
                data=data | accepted,
                description=None if self._proof is AccessProof.PIN else self._proof,
                description_placeholders=self._placeholders,
            )
        left_out = {CONF_PIN, CONF_PAIRED_BY_PROXY} if self._removes_pin else self._outdated(accepted)
        kept = {name: value for name, value in self._entry.data.items() if name not in left_out}
        reason = "reauth_successful" if self.source == SOURCE_REAUTH else "reconfigure_successful"
        result = self.async_update_reload_and_abort(
            self._entry, data=kept | accepted, reason=reason if self._proof is AccessProof.PIN else self._proof
        )
        result["description_placeholders"] = self._placeholders
        return result

    def _outdated(self, accepted: Mapping[str, object]) -> set[str]:
        """Return the names of stored data that the accepted ones replace."""
        return {CONF_PAIRED_BY_PROXY} if CONF_PIN in accepted else set()


class SmallBmsOptionsFlow(OptionsFlowWithReload):
    """Changes the options: intervals, repairs, and facts about the installation."""

    async def async_step_init(self, user_input: dict[str, float] | None = None) -> ConfigFlowResult:
        """Ask for the options."""
        errors: Errors = {}
        if user_input is not None:
            whole = {name: int(user_input[name]) for name in _WHOLE_NUMBERS}
            errors = {name: error for name, error in _WHOLE_NUMBERS.items() if whole[name] != user_input[name]}
            if not errors:
                return self.async_create_entry(data=user_input | whole)
        shown = self._suggested() if user_input is None else user_input
        schema = self.add_suggested_values_to_schema(OPTIONS_SCHEMA, shown)
        return self.async_show_form(step_id="init", data_schema=schema, errors=errors)

    def _suggested(self) -> Mapping[str, object]:
        """Return the present options, and the quiet draw as residual current if there is none but one is known."""
        entry = self.config_entry
        loaded = entry.state is ConfigEntryState.LOADED
        drawn = entry.runtime_data.outlook.data.quiet_draw if loaded else None
        milliamperes = round((drawn or 0.0) * MILLIAMPERES_PER_AMPERE, 1)
        if not MIN_RESIDUAL_CURRENT <= milliamperes <= MAX_RESIDUAL_CURRENT:
            return entry.options
        return {CONF_RESIDUAL_CURRENT: milliamperes, **entry.options}
