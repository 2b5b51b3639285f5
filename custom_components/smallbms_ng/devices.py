"""The device of a config entry, and the batteries of its bank as child devices."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_ADDRESS
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.device_registry import CONNECTION_BLUETOOTH, ChildDeviceInfo, DeviceInfo

from .const import CONF_PRODUCT_ID, DOMAIN, MANUFACTURER
from .protocol.advertisement import PRODUCT_NAMES
from .protocol.payloads import Value


def device_info(entry: ConfigEntry) -> DeviceInfo:
    """Return the device as its config entry describes it."""
    product_id: int | None = entry.data.get(CONF_PRODUCT_ID)
    return DeviceInfo(
        connections={(CONNECTION_BLUETOOTH, entry.data[CONF_ADDRESS])},
        identifiers={_identifier(entry)},
        name=entry.title,
        manufacturer=MANUFACTURER,
        model=None if product_id is None else PRODUCT_NAMES.get(product_id),
        model_id=None if product_id is None else f"0x{product_id:04X}",
    )


@callback
def battery_device_info(hass: HomeAssistant, entry: ConfigEntry, number: int) -> ChildDeviceInfo:
    """Return a battery as a child device; register its parent if necessary."""
    parent = dr.async_get(hass).async_get_or_create(config_entry_id=entry.entry_id, **device_info(entry))
    return ChildDeviceInfo(
        identifiers={_battery_identifier(entry, number)},
        parent_device_id=parent.id,
        translation_key="battery",
        translation_placeholders={"number": str(number)},
    )


@callback
def async_update_identity(hass: HomeAssistant, entry: ConfigEntry, serial_number: Value, firmware: Value) -> None:
    """Set the serial number and firmware version of the device, where they are known."""
    registry = dr.async_get(hass)
    device = registry.async_get_or_create(config_entry_id=entry.entry_id, **device_info(entry))
    if isinstance(serial_number, str):
        registry.async_update_device(device.id, serial_number=serial_number)
    if isinstance(firmware, str):
        registry.async_update_device(device.id, sw_version=firmware)


@callback
def async_remove_battery(hass: HomeAssistant, entry: ConfigEntry, number: int) -> None:
    """Remove a battery and its entities."""
    registry = dr.async_get(hass)
    battery = registry.async_get_child_device_by_identifier(_battery_identifier(entry, number), entry.entry_id)
    if battery:
        registry.async_remove_device(battery.id)


def battery_of(entry: ConfigEntry, device: dr.AnyDeviceEntry, numbers: tuple[int, ...]) -> int | None:
    """Return the number of the battery that a device stands for; None if it is none of these."""
    return next((number for number in numbers if _battery_identifier(entry, number) in device.identifiers), None)


def _identifier(entry: ConfigEntry) -> tuple[str, str]:
    return DOMAIN, entry.data[CONF_ADDRESS]


def _battery_identifier(entry: ConfigEntry, number: int) -> tuple[str, str]:
    return DOMAIN, f"{entry.data[CONF_ADDRESS]}_battery_{number}"
