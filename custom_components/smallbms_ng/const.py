"""Names and numbers that several modules share."""

from collections.abc import Mapping
from typing import Final

from homeassistant.const import CONF_PIN

DOMAIN: Final = "smallbms_ng"
DOCS_URL: Final = "https://github.com/smallbms-ng/smallbms_ng/blob/main/docs"
MANUFACTURER: Final = "Victron Energy"

# Home Assistant has no unit constant for it.
AMPERE_HOURS: Final = "Ah"
MILLIAMPERES_PER_AMPERE: Final = 1000

CONF_CAPACITY: Final = "capacity"
CONF_KEY: Final = "key"
CONF_PAGES_INTERVAL: Final = "pages_interval"
CONF_PRODUCT_ID: Final = "product_id"
CONF_REPAIRS_FOR_WARNINGS: Final = "repairs_for_warnings"
CONF_RESIDUAL_CURRENT: Final = "residual_current"
CONF_UPDATE_INTERVAL: Final = "update_interval"

# Seconds between two updates of measurements. Codes and permissions are shown at once.
DEFAULT_UPDATE_INTERVAL: Final = 5
MIN_UPDATE_INTERVAL: Final = 1
MAX_UPDATE_INTERVAL: Final = 300

# Minutes between two connections; at 0 Home Assistant connects only for what a user does.
DEFAULT_PAGES_INTERVAL: Final = 15
MIN_PAGES_INTERVAL: Final = 0
MAX_PAGES_INTERVAL: Final = 1440

DEFAULT_REPAIRS_FOR_WARNINGS: Final = True

# The residual current in mA; and the capacity in Ah, up to that of the largest bank: 192 kWh at 12 V (M-B4).
MIN_RESIDUAL_CURRENT: Final = 0.1
MAX_RESIDUAL_CURRENT: Final = 10_000.0
MIN_CAPACITY: Final = 1
MAX_CAPACITY: Final = 15_000

# Seconds. A browser listens for the end of a progress step only once it shows the step. If the step ended before, the
# browser would wait for ever, for instance on a machine without an adapter.
SHORTEST_PROGRESS: Final = 2.0


# Stored as true if a proxy holds the PIN and pairs, so that Home Assistant needs no PIN.
CONF_PAIRED_BY_PROXY: Final = "paired_by_proxy"


def can_connect(data: Mapping[str, object]) -> bool:
    """Return whether an entry with this data connects to its device."""
    return bool(data.get(CONF_PIN) or data.get(CONF_PAIRED_BY_PROXY))
