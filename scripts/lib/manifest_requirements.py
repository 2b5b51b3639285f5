"""Print what `hass` would install with pip at run time for its default integrations and those named as arguments."""

import json
from pathlib import Path
import sys

import homeassistant
from homeassistant.bootstrap import DEFAULT_INTEGRATIONS

COMPONENTS = Path(homeassistant.__file__).parent / "components"
ALWAYS = {"homeassistant", "persistent_notification", "frontend", "logger", "network", "recorder", "system_log"}


def manifest_of(domain: str) -> dict[str, list[str]]:
    """Return the manifest of an integration; empty for a platform without one."""
    path = COMPONENTS / domain / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {}


def closure(domains: set[str]) -> set[str]:
    """Return the pip requirements of the integrations and of all that they depend on."""
    waiting, seen, requirements = set(domains), set[str](), set[str]()
    while waiting:
        seen.add(domain := waiting.pop())
        manifest = manifest_of(domain)
        requirements.update(manifest.get("requirements", ()))
        waiting.update(set(manifest.get("dependencies", ())) - seen)
    return requirements


if __name__ == "__main__":
    print("\n".join(sorted(closure(ALWAYS | DEFAULT_INTEGRATIONS | set(sys.argv[1:])))))
