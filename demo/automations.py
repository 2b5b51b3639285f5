"""The automation of the demo: it tells of codes, by the blueprint that owners use."""

from collections.abc import Iterable, Mapping
from typing import Final

from .answers import JsonObject, as_object, text
from .home_assistant import HomeAssistant

_BLUEPRINT: Final = "smallbms_ng/notify.yaml"
_CODE: Final = "code"


def _automation(name: str, device_id: str) -> JsonObject:
    use: JsonObject = {"path": _BLUEPRINT, "input": {"bms": device_id}}
    return {"alias": f"Tell what {name} says", "use_blueprint": use}


async def save_automations(hass: HomeAssistant, devices: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    """Make one automation for each device, given by its name and its entity ids by key."""
    for number, (name, entities) in enumerate(devices, start=1):
        entry = as_object(await hass.command("config/entity_registry/get", entity_id=entities[_CODE]))
        path = f"/api/config/automation/config/codes_{number}"
        await hass.post(path, _automation(name, text(entry, "device_id")))
