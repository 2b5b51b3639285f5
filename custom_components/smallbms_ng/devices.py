"""The device of a config entry, and the batteries of its bank as child devices."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_ADDRESS
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.device_registry import CONNECTION_BLUETOOTH, DeviceInfo

from .const import CONF_PRODUCT_ID, DOMAIN, MANUFACTURER
from .protocol.advertisement import PRODUCT_NAMES


def device_info(entry: ConfigEntry) -> DeviceInfo:
    """Return the device as its config entry describes it.

    Serial number and firmware version are sensors: those of a device also show on the page of each battery.
    """
    product_id: int | None = entry.data.get(CONF_PRODUCT_ID)
    return DeviceInfo(
        connections={(CONNECTION_BLUETOOTH, entry.data[CONF_ADDRESS])},
        identifiers={_identifier(entry)},
        name=entry.title,
        manufacturer=MANUFACTURER,
        model=None if product_id is None else PRODUCT_NAMES.get(product_id),
        model_id=None if product_id is None else f"0x{product_id:04X}",
        serial_number=None,
        sw_version=None,
    )


class DeviceLookup:
    """Looks up each device of an entry once, and registers those that are new."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        self._registry = dr.async_get(hass)
        self._entry = entry
        self._found: dict[int | None, dr.AnyDeviceEntry] = {}

    @callback
    def async_device(self, battery: int | None) -> dr.AnyDeviceEntry:
        """Return the device of a battery, or the one of the entry."""
        if battery not in self._found:
            self._found[battery] = self._async_main() if battery is None else self._async_battery(battery)
        return self._found[battery]

    @callback
    def _async_main(self) -> dr.DeviceEntry:
        return self._registry.async_get_or_create(config_entry_id=self._entry.entry_id, **device_info(self._entry))

    @callback
    def _async_battery(self, number: int) -> dr.ChildDeviceEntry:
        return self._registry.async_get_or_create_child(
            config_entry_id=self._entry.entry_id,
            identifiers={_battery_identifier(self._entry, number)},
            parent_device_id=self.async_device(None).id,
            translation_key="battery",
            translation_placeholders={"number": str(number)},
        )


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
