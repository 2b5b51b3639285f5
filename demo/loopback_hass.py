"""Start Home Assistant as `hass` does, but for zeroconf, which no setting keeps off the network."""

import sys
from typing import Final
from unittest.mock import patch

from homeassistant.__main__ import main
from homeassistant.components import zeroconf

# Unicast means no socket on the port that all interfaces share. Nothing in the demo is found by zeroconf.
_ON_LOOPBACK: Final = {"interfaces": ["127.0.0.1"], "unicast": True}

if __name__ == "__main__":
    with patch.object(zeroconf, "_async_get_zc_args", return_value=_ON_LOOPBACK):
        sys.exit(main())
