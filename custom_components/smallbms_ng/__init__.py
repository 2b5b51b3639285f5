"""The Victron smallBMS NG in Home Assistant."""

from typing import Final

from homeassistant.components.bluetooth import async_rediscover_address
from homeassistant.const import CONF_ADDRESS, Platform
from homeassistant.core import HomeAssistant

from .coordinator import InstantReadoutCoordinator, SmallBmsConfigEntry, SmallBmsRuntime
from .storage import reading_store

# In this order states are written: an automation on a binary sensor finds the sensors up to date.
PLATFORMS: Final = (Platform.SENSOR, Platform.BINARY_SENSOR)


async def async_setup_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> bool:
    """Listen to one device. It need not be in range: its entities are then unavailable until it is."""
    coordinator = InstantReadoutCoordinator(hass, entry)
    await coordinator.async_restore()
    entry.runtime_data = SmallBmsRuntime(instant_readout=coordinator)
    for platform in PLATFORMS:
        await hass.config_entries.async_forward_entry_setups(entry, [platform])
    # Only now, so that the entities are there for what Bluetooth heard before.
    entry.async_on_unload(coordinator.async_start())
    return True


async def async_unload_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> bool:
    """Stop listening to the device."""
    await entry.runtime_data.instant_readout.async_save()
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
    """Forget the device, so that it can be discovered again."""
    await reading_store(hass, entry.entry_id).async_remove()
    async_rediscover_address(hass, entry.data[CONF_ADDRESS])
