"""Setting up integrations as a user does: through their config flows."""

from dataclasses import dataclass
from typing import Final

from .answers import Json, JsonObject, as_object, as_objects, text
from .config import INTEGRATION
from .emulator import Device, Emulator
from .errors import DemoError
from .home_assistant import HomeAssistant
from .waiting import until

_FLOW: Final = "/api/config/config_entries/flow"
_OPTIONS_FLOW: Final = "/api/config/config_entries/options/flow"
_DISCOVERY_LIMIT: Final = 30.0
_PROGRESS_LIMIT: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class DeviceFlow:
    """A flow which starts by itself when a device is heard. Without a field for the key, everything is left empty."""

    domain: str
    key_field: str | None = None

    def answers(self, device: Device) -> JsonObject:
        """Return what is entered for a device."""
        return {self.key_field: device.key} if self.key_field else {}


# The proxy holds the PIN, and the device tells its key over a connection.
OURS: Final = DeviceFlow(domain=INTEGRATION)
HOME_ASSISTANTS_OWN: Final = DeviceFlow(domain="victron_ble", key_field="access_token")


async def add_proxy(hass: HomeAssistant, emulator: Emulator) -> None:
    """Add the emulated Bluetooth proxy by its address."""
    flow = as_object(await hass.post(_FLOW, {"handler": "esphome"}))
    await _answer(hass, "esphome", flow, {"host": emulator.host, "port": emulator.port})


async def add_device(hass: HomeAssistant, kind: DeviceFlow, device: Device) -> str:
    """Wait until the device is discovered, and add it; return the id of its entry."""

    async def discovered() -> str | None:
        flows = as_objects(await hass.command("config_entries/flow/progress"))
        return next((text(flow, "flow_id") for flow in flows if _is_for(flow, kind, device)), None)

    flow_id = await until(discovered, limit=_DISCOVERY_LIMIT, otherwise=lambda: _not_discovered(kind, device))
    flow = as_object(await hass.get(f"{_FLOW}/{flow_id}"))
    return await _answer(hass, kind.domain, flow, kind.answers(device))


async def set_options(hass: HomeAssistant, entry: str, options: JsonObject) -> None:
    """Change options of an entry, as a user does in its form."""
    flow = as_object(await hass.post(_OPTIONS_FLOW, {"handler": entry}))
    result = as_object(await hass.post(f"{_OPTIONS_FLOW}/{text(flow, 'flow_id')}", options))
    if result.get("type") != "create_entry":
        raise DemoError(f"The options {', '.join(options)} could not be set: {_reason(result)}.")


def _is_for(flow: JsonObject, kind: DeviceFlow, device: Device) -> bool:
    unique_id = as_object(flow.get("context")).get("unique_id")
    return flow.get("handler") == kind.domain and isinstance(unique_id, str) and unique_id.upper() == device.address


def _not_discovered(kind: DeviceFlow, device: Device) -> str:
    return f"{kind.domain} did not discover {device.name} ({device.address}) within {_DISCOVERY_LIMIT:.0f} seconds."


async def _answer(hass: HomeAssistant, domain: str, flow: JsonObject, values: JsonObject) -> str:
    """Fill in the form that a flow shows now, and see it finished; return the id of the entry that it makes."""
    fields = as_objects(flow.get("data_schema")) if flow.get("type") == "form" else []
    names = {text(field, "name") for field in fields}
    required = {text(field, "name") for field in fields if field.get("required")}
    if not required <= set(values) <= names:
        raise DemoError(f"The form of {domain} asks for {sorted(names)}; the demo has {sorted(values)}.")
    result = await _outcome(hass, domain, as_object(await hass.post(f"{_FLOW}/{text(flow, 'flow_id')}", values)))
    if result.get("type") != "create_entry":
        raise DemoError(f"{domain} could not be set up: {_reason(result)}.")
    return text(as_object(result.get("result")), "entry_id")


async def _outcome(hass: HomeAssistant, domain: str, result: JsonObject) -> JsonObject:
    """Wait until a flow that shows progress has something to say."""

    async def told() -> JsonObject | None:
        now = result if result.get("type") != "progress" else as_object(await hass.get(f"{_FLOW}/{result['flow_id']}"))
        return None if now.get("type") == "progress" else now

    return await until(told, limit=_PROGRESS_LIMIT, otherwise=lambda: f"{domain} is not done after a minute.")


def _reason(result: JsonObject) -> Json:
    return result.get("reason") or result.get("errors") or f"{result.get('type')} {result.get('step_id')}"
