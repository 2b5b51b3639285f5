"""Diagnostics: what helps to find out why a device is not read, without anything that identifies it."""

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
import re
from typing import Any, Final

from homeassistant.components.bluetooth import (
    BluetoothReachabilityIntent,
    async_address_reachability_diagnostics,
    async_current_scanners,
    async_get_learned_advertising_interval,
    async_last_service_info,
    async_scanner_devices_by_address,
)
from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_ADDRESS, CONF_PIN
from homeassistant.core import HomeAssistant

from . import clock
from .connection.errors import BadAnswer
from .const import CONF_KEY, bluetooth_is_up
from .coordinator import InstantReadoutCoordinator, PagesCoordinator, SmallBmsConfigEntry, SmallBmsRuntime
from .protocol.advertisement import COMPANY_ID, BatteryReading
from .protocol.learned import Learned
from .protocol.redaction import IDENTIFYING
from .protocol.registers import BY_ID
from .recording import async_download
from .storage import StoredRegister

TO_REDACT: Final = {CONF_ADDRESS, CONF_KEY, CONF_PIN}
# What identifies a device or its owner.
_MAC_ADDRESS: Final = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}", re.IGNORECASE)


async def async_get_config_entry_diagnostics(hass: HomeAssistant, entry: SmallBmsConfigEntry) -> dict[str, Any]:
    """Return what is known about the device and how it is reached, also while the entry is not loaded."""
    always = {
        "state": entry.state.value,
        "data": async_redact_data(entry.data, TO_REDACT),
        "options": dict(entry.options),
        "last_advertisement": _last_advertisement(hass, entry.data[CONF_ADDRESS]),
        "bluetooth": _bluetooth(hass, entry.data[CONF_ADDRESS]),
    }
    pages = entry.runtime_data.pages if entry.state is ConfigEntryState.LOADED else None
    learned = what_was_learned(pages.memory.learned) if pages else {}
    always["recording"] = await async_download(hass, entry, learned=learned, secrets=_read_secrets(pages))
    return always | _loaded(entry.runtime_data) if entry.state is ConfigEntryState.LOADED else always


def _read_secrets(pages: PagesCoordinator | None) -> Iterator[tuple[int, bytes]]:
    """Yield the registers and payloads that were read and are secret."""
    for row in pages.values.to_store()["registers"] if pages else ():
        if row["register"] in IDENTIFYING:
            yield from ((row["register"], bytes.fromhex(payload)) for payload in row["payloads"])


def _loaded(runtime: SmallBmsRuntime) -> dict[str, Any]:
    coordinator = runtime.instant_readout
    readout = {
        "available": coordinator.available,
        "accepted": coordinator.accepted,
        "dropped": dict(coordinator.dropped),
        "last_record": _record(coordinator.last_record),
        "quantities": _quantities(coordinator),
        "implausible": dict(coordinator.quantities.implausible),
        "codes": [str(code) for code in coordinator.codes.active or ()],
        "energy": asdict(coordinator.meter.energy),
        "drawn_since_shutdown": asdict(coordinator.reserve.drawn) if coordinator.reserve.drawn else None,
    }
    return {
        "instant_readout": readout,
        "pages": _pages(runtime.pages),
        "learned": what_was_learned(runtime.pages.memory.learned) if runtime.pages else None,
        "outlook": asdict(runtime.outlook.data),
    }


def _quantities(coordinator: InstantReadoutCoordinator) -> dict[str, Any]:
    """Return the value of each quantity, its source, and its age in seconds."""
    now = clock.now()
    return {
        name: {"value": one.value, "source": one.source, "age": round(now - one.at, 1) if isfinite(one.at) else None}
        for name, one in coordinator.quantities.all(now).items()
    }


def _record(reading: BatteryReading | None) -> dict[str, Any] | None:
    if reading is None:
        return None
    codes = [str(code) for code in reading.codes]
    return asdict(reading) | {"record": reading.record_bytes.hex(), "codes": codes}


def _last_advertisement(hass: HomeAssistant, address: str) -> str | None:
    """Return the latest manufacturer data, still encrypted, without the byte of the key."""
    info = async_last_service_info(hass, address, connectable=False) if bluetooth_is_up(hass) else None
    if info is None or COMPANY_ID not in info.manufacturer_data:
        return None
    data = info.manufacturer_data[COMPANY_ID]
    return f"{data[:7].hex()}**{data[8:].hex()}"


def _pages(pages: PagesCoordinator | None) -> dict[str, Any] | None:
    """Return what was read over connections, with its age in seconds, and the error that prevented more."""
    if pages is None:
        return None
    kept = pages.values.to_store()
    return {
        "batteries": list(pages.batteries),
        "ignored_instances": pages.ignored_instances,
        "lost": pages.lost,
        "last_error": _error(pages.last_error),
        "registers": [_register(row) for row in kept["registers"]],
    }


def what_was_learned(learned: Learned) -> dict[str, Any]:
    """Return what the device has taught."""
    return {
        "firmware_version": learned.firmware_version,
        "array_form": learned.array_form,
        "chunk_sizes": learned.chunk_sizes,
        "acquire_notifications": learned.acquire_notifications,
        "flagged_key_request": learned.flagged_key_request,
        "missing": [
            {"battery": battery, "register": f"0x{register:04X}"}
            for battery, register in sorted(learned.missing, key=lambda one: (one[0] or 0, one[1]))
        ],
        "read_only": [f"0x{register:04X}" for register in sorted(learned.read_only)],
        "finer": sorted(learned.finer),
    }


def _error(error: Exception | None) -> str | None:
    """Return the error. Its text is included only if it is our own: those of Bluetooth name the device."""
    if isinstance(error, BadAnswer):
        return f"{type(error).__name__}: {error}"
    return None if error is None else type(error).__name__


def _register(row: StoredRegister) -> dict[str, Any]:
    secret = row["register"] in IDENTIFYING
    return {
        "register": f"0x{row['register']:04X}",
        "name": BY_ID[row["register"]].name,
        "battery": row["battery"],
        "payloads": REDACTED if secret else row["payloads"],
        "age": None if (age := row.get("age")) is None else round(age),
    }


def _bluetooth(hass: HomeAssistant, address: str) -> dict[str, Any] | None:
    """Return how the device is reached; None if Bluetooth itself could not be set up."""
    if not bluetooth_is_up(hass):
        return None
    intent = BluetoothReachabilityIntent.ACTIVE_ADVERTISEMENT
    reachability = async_address_reachability_diagnostics(hass, address, intent)
    return {
        "reachability": _anonymous(hass, reachability),
        "learned_advertising_interval": async_get_learned_advertising_interval(hass, address),
        "signal_strengths": [
            device.advertisement.rssi for device in async_scanner_devices_by_address(hass, address, connectable=False)
        ],
    }


def _anonymous(hass: HomeAssistant, text: str) -> str:
    """Return a text without Bluetooth addresses and without the names of scanners, which may be those of rooms."""
    for scanner in async_current_scanners(hass):
        text = text.replace(scanner.name, REDACTED)
    return _MAC_ADDRESS.sub(REDACTED, text)
