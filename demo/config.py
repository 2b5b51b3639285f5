"""A fresh configuration folder for Home Assistant."""

import json
from pathlib import Path
import shutil
from typing import Final
import zipfile

from .answers import JsonObject
from .errors import DemoError
from .ports import LOOPBACK

INTEGRATION: Final = "smallbms_ng"
_ROOT: Final = Path(__file__).parent.parent
SOURCE: Final = _ROOT / "custom_components" / INTEGRATION
# As owners find them in their own folder once they have imported them.
BLUEPRINTS: Final = Path("blueprints") / "automation" / INTEGRATION

# Not default_config: it wants the network, for the cloud among others, and looks for other devices.
_CONFIGURATION: Final = f"""\
homeassistant:
  name: Demo
  unit_system: metric
  currency: EUR
  country: NL
  auth_providers:
    - type: trusted_networks
      trusted_networks: {LOOPBACK}/32
      allow_bypass_login: true
    - type: homeassistant

automation: !include automations.yaml
frontend:
history:
logbook:
energy:
recorder:
  commit_interval: 1

# Said because the ESPHome integration brings cameras along, which nothing here uses.
logger:
  logs:
    haffmpeg: critical
    homeassistant.components.camera.img_util: critical
"""


# Everything but the owner, who is made over the interface that onboarding itself uses, and before the proxy: Bluetooth
# is loaded with that, and until onboarding is done, Home Assistant takes the machine's own adapters without asking.
_ONBOARDING: Final[JsonObject] = {"done": ["core_config", "analytics", "integration"]}


def write_config(folder: Path, *, port: int, integration: Path = SOURCE) -> None:
    """Write a folder that Home Assistant starts from without questions, listening on this port of loopback only.

    The integration is a folder, or the zip of a release. DemoError if that zip cannot be read.
    """
    _install(integration, folder / "custom_components" / INTEGRATION)
    shutil.copytree(_ROOT / BLUEPRINTS, folder / BLUEPRINTS)
    (folder / "configuration.yaml").write_text(_CONFIGURATION)
    # Where Home Assistant's editor keeps the automations that a visitor makes.
    (folder / "automations.yaml").write_text("[]\n")
    _store(folder, "onboarding", 4, 1, _ONBOARDING)
    write_http(folder, port=port)


def _install(integration: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    if integration.is_dir():
        target.symlink_to(integration, target_is_directory=True)
        return
    try:
        shutil.unpack_archive(integration, target, "zip")
    except (OSError, shutil.ReadError, zipfile.BadZipFile) as error:
        raise DemoError(f"{integration} is not the zip of a release: {error}.") from error


def write_http(folder: Path, *, port: int) -> None:
    """Write where Home Assistant listens. From YAML it would be on probation, and taken back after five minutes."""
    stable: JsonObject = {
        "server_host": [LOOPBACK],
        "server_port": port,
        "cors_allowed_origins": [],
        "login_attempts_threshold": -1,
        "ip_ban_enabled": True,
        "ssl_profile": "modern",
        "use_x_frame_options": True,
        "created_at": "2026-01-01T00:00:00+00:00",
        "error": None,
        "error_message": None,
    }
    _store(folder, "http", 2, 2, {"stable": stable, "pending": None, "yaml_migration_done": True})


def _store(folder: Path, key: str, version: int, minor_version: int, data: JsonObject) -> None:
    """Write one of the files that Home Assistant keeps by itself."""
    storage = folder / ".storage"
    storage.mkdir(exist_ok=True)
    content = {"version": version, "minor_version": minor_version, "key": key, "data": data}
    (storage / key).write_text(json.dumps(content))
