"""What lets Home Assistant connect to a device: its PIN, or a proxy that holds it."""

from collections.abc import Mapping
from typing import Final

from homeassistant.const import CONF_PIN

# Stored as true where a radio is paired by itself, so that no PIN is kept here.
CONF_PAIRED_BY_PROXY: Final = "paired_by_proxy"


def connects(data: Mapping[str, object]) -> bool:
    """Return whether an entry with this data connects to its device."""
    return bool(data.get(CONF_PIN) or data.get(CONF_PAIRED_BY_PROXY))
