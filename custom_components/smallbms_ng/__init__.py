"""The Victron smallBMS NG in Home Assistant."""

from typing import Final

from homeassistant.components.bluetooth import async_rediscover_address
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_ADDRESS, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.device_registry import AnyDeviceEntry, ChildDeviceEntry
from homeassistant.helpers.typing import ConfigType

from .access import connects
from .actions import async_setup_actions
from .charge_issue import async_watch_charge
from .code_issues import async_watch_codes
from .const import DOMAIN
from .coordinator import InstantReadoutCoordinator, SmallBmsConfigEntry, SmallBmsRuntime
from .devices import battery_of
from .issues import async_forget, async_watch
from .leftovers import async_forget_battery, async_remove_leftovers
from .pages import PagesCoordinator
from .places import async_watch_places
from .storage import pages_store, reading_store

CONFIG_SCHEMA: Final = cv.config_entry_only_config_schema(DOMAIN)
# In this order states are written: an automation on a binary sensor finds the sensors up to date.
PLATFORMS: Final = (
    Platform.SENSOR,
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.NUMBER,
    Platform.SWITCH,
)


async def async_setup(hass: HomeAssistant, _config: ConfigType) -> bool:
    """Register the actions, which are there whether or not a device is."""
    async_setup_actions(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> bool:
    """Listen to one device. It need not be in range: its entities are then unavailable until it is."""
    coordinator = InstantReadoutCoordinator(hass, entry)
    await coordinator.async_restore()
    pages = PagesCoordinator(hass, entry, coordinator.async_feed) if connects(entry.data) else None
    if pages:
        await pages.async_restore()
        entry.async_on_unload(coordinator.async_add_return_listener(pages.async_device_returned))
        entry.async_on_unload(coordinator.async_add_change_listener(pages.async_read_change))
    else:
        await async_remove_leftovers(hass, entry)
    entry.runtime_data = SmallBmsRuntime(instant_readout=coordinator, pages=pages)
    for platform in PLATFORMS:
        await hass.config_entries.async_forward_entry_setups(entry, [platform])
    try:
        _async_begin(hass, entry)
    except Exception:
        await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
        raise
    return True


def _async_begin(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Begin to listen and to connect: only now, so that the entities are there for what Bluetooth heard before."""
    runtime = entry.runtime_data
    entry.async_on_unload(runtime.instant_readout.async_start())
    if runtime.pages:
        runtime.pages.async_start()
    async_watch(hass, entry)
    async_watch_places(entry)
    async_watch_codes(hass, entry)
    async_watch_charge(hass, entry)


async def async_unload_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> bool:
    """Stop listening to the device. Its issues outlast a reload, so that what is ignored stays ignored."""
    # What changes from now on is told at the next start.
    entry.runtime_data.instant_readout.async_freeze()
    unloaded = await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
    if unloaded:
        # What is read until the connection ends belongs to the readings, which end after it.
        if pages := entry.runtime_data.pages:
            await pages.async_shutdown()
        await entry.runtime_data.instant_readout.async_end()
    if entry.disabled_by:
        async_forget(hass, entry)
    return unloaded


async def async_remove_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Forget the device, so that it can be discovered again."""
    await reading_store(hass, entry.entry_id).async_remove()
    await pages_store(hass, entry.entry_id).async_remove()
    async_forget(hass, entry)
    async_rediscover_address(hass, entry.data[CONF_ADDRESS])


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: SmallBmsConfigEntry, device: AnyDeviceEntry
) -> bool:
    """Let go of a battery that is not there, or that no connection tells of any more."""
    if not isinstance(device, ChildDeviceEntry):
        return False
    if entry.state is not ConfigEntryState.LOADED:
        await async_forget_battery(hass, entry, device)
        return True
    pages = entry.runtime_data.pages
    return pages is None or pages.async_forget(battery_of(entry, device, pages.batteries))
