"""Adding a device, and changing its key or its options."""

from collections.abc import Mapping
from typing import Final, override

from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_discovered_service_info,
    async_request_active_scan,
)
from homeassistant.config_entries import ConfigFlow, ConfigFlowResult, OptionsFlow, OptionsFlowWithReload
from homeassistant.const import CONF_ADDRESS, UnitOfTime
from homeassistant.core import callback
from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
import voluptuous as vol

from .const import (
    CONF_KEY,
    CONF_PRODUCT_ID,
    CONF_UPDATE_INTERVAL,
    DEFAULT_UPDATE_INTERVAL,
    DOMAIN,
    MAX_UPDATE_INTERVAL,
    MIN_UPDATE_INTERVAL,
)
from .coordinator import SmallBmsConfigEntry
from .key_check import NotHeard, async_check_key
from .protocol.instant_readout import COMPANY_ID, ImplausibleRecord, WrongKey, is_smallbms_ng, parse_key, product_id

type UserInput = dict[str, str]

KEY_SCHEMA: Final = vol.Schema({vol.Required(CONF_KEY): TextSelector()})

OPTIONS_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_UPDATE_INTERVAL, default=DEFAULT_UPDATE_INTERVAL): vol.All(
            NumberSelector(
                NumberSelectorConfig(
                    min=MIN_UPDATE_INTERVAL,
                    max=MAX_UPDATE_INTERVAL,
                    step=1,
                    mode=NumberSelectorMode.BOX,
                    unit_of_measurement=UnitOfTime.SECONDS,
                )
            ),
            vol.Coerce(int),
        )
    }
)

_ERROR_KEYS: Final[dict[type[Exception], str]] = {
    NotHeard: "not_heard",
    WrongKey: "wrong_key",
    ImplausibleRecord: "implausible",
}


def _data_of(service_info: BluetoothServiceInfoBleak) -> bytes:
    return service_info.manufacturer_data.get(COMPANY_ID, b"")


def _name_of(service_info: BluetoothServiceInfoBleak) -> str:
    """Return the device's own name; without one (passive scanning) what tells it from another."""
    if service_info.name and service_info.name != service_info.address:
        return service_info.name
    return f"smallBMS NG {service_info.address[-5:]}"


class SmallBmsConfigFlow(ConfigFlow, domain=DOMAIN):
    """Adds one device: found by Bluetooth or chosen from a list, and proven by its key."""

    VERSION = 1

    _device: BluetoothServiceInfoBleak

    def __init__(self) -> None:
        self._discovered: dict[str, BluetoothServiceInfoBleak] = {}

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: SmallBmsConfigEntry) -> OptionsFlow:
        return SmallBmsOptionsFlow()

    @override
    async def async_step_bluetooth(self, discovery_info: BluetoothServiceInfoBleak) -> ConfigFlowResult:
        """Take a device that Bluetooth found. All Victron products come here: only ours may show a card."""
        if not is_smallbms_ng(_data_of(discovery_info)):
            return self.async_abort(reason="not_supported")
        await self.async_set_unique_id(discovery_info.address)
        self._abort_if_unique_id_configured()
        return await self._async_choose(discovery_info)

    @override
    async def async_step_user(self, user_input: UserInput | None = None) -> ConfigFlowResult:
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
        """Return the devices in range that are not configured. An ignored one may be added after all."""
        configured = self._async_current_ids(include_ignore=False)
        return {
            info.address: info
            for info in async_discovered_service_info(self.hass, connectable=False)
            if info.address not in configured and is_smallbms_ng(_data_of(info))
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
        return await self.async_step_key()

    async def async_step_key(self, user_input: UserInput | None = None) -> ConfigFlowResult:
        """Ask for the key of the chosen device, and add the device when the key reads it."""
        key, errors = await self._async_check(self._device.address, user_input)
        if key is None:
            return self._show_key_form("key", _name_of(self._device), user_input, errors)
        data = {CONF_ADDRESS: self._device.address, CONF_KEY: key, CONF_PRODUCT_ID: product_id(_data_of(self._device))}
        return self.async_create_entry(title=_name_of(self._device), data=data)

    async def async_step_reauth(self, _entry_data: Mapping[str, object]) -> ConfigFlowResult:
        """Ask for a new key: the device made one when its PIN was changed."""
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: UserInput | None = None) -> ConfigFlowResult:
        """Ask for the new key."""
        return await self._async_change_key("reauth_confirm", self._get_reauth_entry(), user_input)

    async def async_step_reconfigure(self, user_input: UserInput | None = None) -> ConfigFlowResult:
        """Let the user change the key."""
        return await self._async_change_key("reconfigure", self._get_reconfigure_entry(), user_input)

    async def _async_change_key(
        self, step_id: str, entry: SmallBmsConfigEntry, user_input: UserInput | None
    ) -> ConfigFlowResult:
        key, errors = await self._async_check(entry.data[CONF_ADDRESS], user_input)
        if key is None:
            return self._show_key_form(step_id, entry.title, user_input, errors)
        return self.async_update_reload_and_abort(entry, data_updates={CONF_KEY: key})

    async def _async_check(self, address: str, user_input: UserInput | None) -> tuple[str | None, dict[str, str]]:
        """Return the key if there is one that reads the device, and what is wrong with it if not."""
        if user_input is None:
            return None, {}
        try:
            key = parse_key(user_input[CONF_KEY])
        except ValueError:
            return None, {CONF_KEY: "invalid_key"}
        try:
            await async_check_key(self.hass, address, key)
        except (NotHeard, WrongKey, ImplausibleRecord) as error:
            return None, {CONF_KEY: _ERROR_KEYS[type(error)]}
        return key.hex(), {}

    def _show_key_form(
        self, step_id: str, name: str, user_input: UserInput | None, errors: dict[str, str]
    ) -> ConfigFlowResult:
        """Show a form for the key, with what was typed before."""
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(KEY_SCHEMA, user_input),
            description_placeholders={"name": name},
            errors=errors,
        )


class SmallBmsOptionsFlow(OptionsFlowWithReload):
    """Changes how often measurements are written."""

    async def async_step_init(self, user_input: dict[str, int] | None = None) -> ConfigFlowResult:
        """Ask for the options."""
        if user_input is not None:
            return self.async_create_entry(data=user_input)
        schema = self.add_suggested_values_to_schema(OPTIONS_SCHEMA, self.config_entry.options)
        return self.async_show_form(step_id="init", data_schema=schema)
