"""What is left of connections in storage and registries, once nobody connects."""

from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_ADDRESS, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import ChildDeviceEntry, format_mac

from .button import BUTTONS
from .connection_sensor import CONNECTION
from .devices import battery_of
from .number import NUMBERS
from .sensor import PAGE_SENSORS
from .storage import pages_store, without_battery
from .switch import SWITCHES

_TABLES: Final = {
    Platform.BUTTON: BUTTONS,
    Platform.NUMBER: NUMBERS,
    Platform.SENSOR: (*PAGE_SENSORS, CONNECTION),
    Platform.SWITCH: SWITCHES,
}


async def async_remove_leftovers(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Remove what only connections gave: the batteries, the entities, and what is kept of them."""
    _async_remove_batteries(hass, entry)
    _async_remove_entities(hass, entry)
    await pages_store(hass, entry.entry_id).async_remove()


async def async_forget_battery(hass: HomeAssistant, entry: ConfigEntry, device: ChildDeviceEntry) -> None:
    """Forget a battery of an entry that is not loaded. If it is there, it comes back with the next connection."""
    store = pages_store(hass, entry.entry_id)
    if stored := await store.async_load():
        numbers = tuple(row["number"] for row in stored.get("batteries", ()))
        await store.async_save(without_battery(stored, battery_of(entry, device, numbers)))


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
