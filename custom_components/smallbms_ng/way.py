"""Whether any radio can connect to a device, which is another question than whether it is heard."""

from datetime import timedelta
from typing import Final

from bleak.backends.device import BLEDevice
from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_ble_device_from_address,
    async_register_advertisement_callback,
    async_scanner_devices_by_address,
)
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback

from . import clock

# A device that was not heard for longer than this was away. A radio that sleeps may wake up every five minutes only.
_LONGEST_PAUSE: Final = timedelta(minutes=6)


@callback
def async_way_to(hass: HomeAssistant, address: str) -> BLEDevice | None:
    """Return what to connect to; None while no radio that hears the device can connect."""
    # What Bluetooth remembers of the device alone may be of a proxy that is not there (yet).
    paths = async_scanner_devices_by_address(hass, address, connectable=True)
    if not paths:
        return None
    return async_ble_device_from_address(hass, address, connectable=True) or paths[0].ble_device


class Way:
    """The way to one device, by any of the radios. on_heard is called whenever one hears it that can connect."""

    def __init__(self, hass: HomeAssistant, address: str, on_heard: CALLBACK_TYPE) -> None:
        self._hass = hass
        self._address = address
        self._on_heard = on_heard
        self._known_at = clock.now()
        self._heard_at = self._known_at
        self._heard_without_since: float | None = None

    @callback
    def async_watch(self) -> CALLBACK_TYPE:
        """Follow which radios hear the device; return what ends that."""
        return async_register_advertisement_callback(self._hass, self._async_heard, self._address)

    @property
    def device(self) -> BLEDevice | None:
        """What to connect to; None while there is no way."""
        return async_way_to(self._hass, self._address)

    @property
    def missing_for(self) -> float:
        """For how many s there has been no way."""
        return 0 if self.device else clock.now() - self._known_at

    @property
    def heard_without_for(self) -> float:
        """For how many s it was heard, until it fell silent or now, but only by radios that cannot connect."""
        if self._heard_without_since is None or self.device:
            return 0
        return self._heard_at - self._heard_without_since

    @callback
    def _async_heard(self, info: BluetoothServiceInfoBleak) -> None:
        now = clock.now()
        was_away = now - self._heard_at > _LONGEST_PAUSE.total_seconds()
        self._heard_at = now
        if info.connectable:
            self._known_at, self._heard_without_since = now, None
            self._on_heard()
        elif self._heard_without_since is None or was_away:
            self._heard_without_since = now
