"""The Victron smallBMS NG in Home Assistant."""

from typing import Final

from homeassistant.components.bluetooth import async_rediscover_address
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_ADDRESS, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import AnyDeviceEntry, ChildDeviceEntry, format_mac
from homeassistant.helpers.typing import ConfigType

from .button import BUTTONS
from .const import DOMAIN, can_connect
from .coordinator import (
    InstantReadoutCoordinator,
    PagesCoordinator,
    SmallBmsConfigEntry,
    SmallBmsRuntime,
    present_battery,
)
from .devices import battery_of, bluetooth_is_up
from .issues import (
    async_forget,
    async_manage_charge_issue,
    async_manage_code_issues,
    async_manage_help_issue,
    async_watch,
)
from .messages import async_text_of
from .number import NUMBERS
from .outlook import OutlookCoordinator
from .places import async_watch_places
from .recording import async_forget_recording
from .sensor import CONNECTION, PAGE_SENSORS, SETTING_SENSORS
from .services import async_setup_actions
from .storage import EntryStore, StoredPages, without_battery
from .switch import SWITCHES

_TABLES: Final = {
    Platform.BUTTON: BUTTONS,
    Platform.NUMBER: NUMBERS,
    Platform.SENSOR: (*PAGE_SENSORS, *SETTING_SENSORS, CONNECTION),
    Platform.SWITCH: SWITCHES,
}


@callback
def async_remove_leftovers(hass: HomeAssistant, entry: ConfigEntry, store: EntryStore) -> None:
    """Remove everything that came from connections: the batteries, the entities, and what is stored of them."""
    _async_remove_batteries(hass, entry)
    _async_remove_entities(hass, entry)
    if store.stored_pages:
        store.async_save_soon()


async def async_forget_battery(hass: HomeAssistant, entry: ConfigEntry, device: ChildDeviceEntry) -> None:
    """Forget a battery of an entry that is not loaded. If it is present, it comes back with the next connection."""
    store = EntryStore(hass, entry.entry_id)
    await store.async_load()
    if pages := store.parse_pages(StoredPages.copy):
        numbers = tuple(row["number"] for row in pages.get("batteries", ()))
        await store.async_save_pages(without_battery(pages, battery_of(entry, device, numbers)))


@callback
def _async_remove_batteries(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Remove the batteries, and their entities with them."""
    registry = dr.async_get(hass)
    for battery in list(dr.async_child_entries_for_config_entry(registry, entry.entry_id)):
        registry.async_remove_device(battery.id)


@callback
def _async_remove_entities(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Remove the entities of the device that show, or do, something over a connection."""
    registry = er.async_get(hass)
    start = format_mac(entry.data[CONF_ADDRESS])
    dead = {(platform, f"{start}_{row.key}") for platform, rows in _TABLES.items() for row in rows}
    for one in er.async_entries_for_config_entry(registry, entry.entry_id):
        if (one.domain, one.unique_id) in dead:
            registry.async_remove(one.entity_id)


CONFIG_SCHEMA: Final = cv.config_entry_only_config_schema(DOMAIN)
# States are written in this order, so that an automation on a binary sensor finds the sensors up to date.
PLATFORMS: Final = (
    Platform.SENSOR,
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.NUMBER,
    Platform.SWITCH,
)


async def async_setup(hass: HomeAssistant, _config: ConfigType) -> bool:
    """Register the actions, which exist even without a device."""
    async_setup_actions(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> bool:
    """Set up one device. While it is out of range, its entities are unavailable."""
    store = EntryStore(hass, entry.entry_id)
    await store.async_load()
    coordinator = InstantReadoutCoordinator(hass, entry, store)
    await coordinator.async_restore()
    feed = coordinator.async_take_connection_values
    pages = PagesCoordinator(hass, entry, store, feed) if can_connect(entry.data) else None
    if pages:
        pages.async_restore()
        entry.async_on_unload(coordinator.async_add_return_listener(pages.async_device_returned))
        entry.async_on_unload(coordinator.async_add_change_listener(pages.async_read_change))
    else:
        async_remove_leftovers(hass, entry, store)
    await store.async_merge()
    outlook = OutlookCoordinator(
        hass, entry, battery=lambda: present_battery(coordinator, pages), capacity=lambda: coordinator.capacity
    )
    entry.runtime_data = SmallBmsRuntime(instant_readout=coordinator, pages=pages, outlook=outlook)
    for platform in PLATFORMS:
        await hass.config_entries.async_forward_entry_setups(entry, [platform])
    try:
        _async_begin(hass, entry)
    except Exception:
        await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
        raise
    return True


def _async_begin(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Start to listen and to connect. The entities already exist, so they get what Bluetooth heard before."""
    runtime = entry.runtime_data
    entry.async_on_unload(runtime.instant_readout.async_start())
    if runtime.pages:
        runtime.pages.async_start()
    runtime.outlook.async_start()
    entry.async_on_unload(runtime.instant_readout.async_add_listener(runtime.outlook.async_look_at_battery))
    async_watch(hass, entry)
    async_watch_places(entry)
    async_manage_code_issues(hass, entry)
    async_manage_charge_issue(hass, entry)
    async_manage_help_issue(hass, entry)


async def async_unload_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> bool:
    """Stop listening to the device. Its issues stay during a reload, so that ignored ones stay ignored."""
    # Changes from now on are reported at the next start.
    entry.runtime_data.instant_readout.async_stop_confirming()
    unloaded = await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
    if unloaded:
        # The connection ends first: what it still reads goes to the readings.
        if pages := entry.runtime_data.pages:
            await pages.async_shutdown()
        await entry.runtime_data.instant_readout.async_end()
    if entry.disabled_by:
        async_forget(hass, entry)
    return unloaded


async def async_remove_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Forget the device, so that it can be discovered again."""
    await EntryStore(hass, entry.entry_id).async_remove()
    async_forget(hass, entry)
    async_forget_recording(hass, entry.data[CONF_ADDRESS])
    if bluetooth_is_up(hass):
        async_rediscover_address(hass, entry.data[CONF_ADDRESS])


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: SmallBmsConfigEntry, device: AnyDeviceEntry
) -> bool:
    """Remove a battery that is gone. Raises HomeAssistantError for one that is present, and for the device itself."""
    if not isinstance(device, ChildDeviceEntry):
        raise await _not_removable(hass, "device_stays", device)
    if entry.state is not ConfigEntryState.LOADED:
        await async_forget_battery(hass, entry, device)
        return True
    pages = entry.runtime_data.pages
    if pages and not pages.async_forget(battery_of(entry, device, pages.batteries)):
        raise await _not_removable(hass, "battery_present", device)
    return True


async def _not_removable(hass: HomeAssistant, reason: str, device: AnyDeviceEntry) -> HomeAssistantError:
    """Return the error to raise, with its text: the page of a device shows that, and translates nothing."""
    translated = {"translation_domain": DOMAIN, "translation_key": reason}
    names = {"device": device.name_by_user or device.name or ""}
    error = HomeAssistantError(**translated, translation_placeholders=names)
    return HomeAssistantError(await async_text_of(hass, error), **translated, translation_placeholders=names)
