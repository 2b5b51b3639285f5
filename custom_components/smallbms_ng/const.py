"""Names and numbers that several modules share."""

from typing import Final

DOMAIN: Final = "smallbms_ng"
MANUFACTURER: Final = "Victron Energy"

CONF_KEY: Final = "key"
CONF_PAGES_INTERVAL: Final = "pages_interval"
CONF_PRODUCT_ID: Final = "product_id"
CONF_UPDATE_INTERVAL: Final = "update_interval"

# Seconds between two writes of measurements. Codes and what is allowed are written at once.
DEFAULT_UPDATE_INTERVAL: Final = 5
MIN_UPDATE_INTERVAL: Final = 1
MAX_UPDATE_INTERVAL: Final = 300

# Minutes between two connections; at 0 there are none but for what a user does.
DEFAULT_PAGES_INTERVAL: Final = 5
MIN_PAGES_INTERVAL: Final = 0
MAX_PAGES_INTERVAL: Final = 1440
