"""Runs inside the Home Assistant of a soak, and counts what must not grow."""

import asyncio
from collections import Counter
import gc
import re
from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.helpers.typing import ConfigType

DOMAIN: Final = "soak_probe"
_OURS: Final = "custom_components.smallbms_ng"
_NUMBER: Final = re.compile(r"[0-9A-F:]{8,}|\d+", re.IGNORECASE)


async def async_setup(hass: HomeAssistant, _config: ConfigType) -> bool:
    """Offer to look."""

    async def look(_call: ServiceCall) -> ServiceResponse:
        gc.collect()
        tasks = asyncio.all_tasks(hass.loop)
        ours = [type(one).__name__ for one in gc.get_objects() if str(type(one).__module__).startswith(_OURS)]
        return {
            "tasks": len(tasks),
            "tasks_by_name": dict(Counter(_NUMBER.sub("#", task.get_name()) for task in tasks)),
            "objects": len(ours),
            "objects_by_class": dict(Counter(ours)),
            "listeners": sum(hass.bus.async_listeners().values()),
        }

    hass.services.async_register(DOMAIN, "look", look, supports_response=SupportsResponse.ONLY)
    return True
