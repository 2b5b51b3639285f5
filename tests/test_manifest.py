"""What Home Assistant and HACS ask of manifest.json, hacs.json and the pictures."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from awesomeversion import AwesomeVersion, AwesomeVersionStrategy
import homeassistant
from homeassistant.components.brands.const import ALLOWED_IMAGES
from homeassistant.const import Platform, __version__
from PIL import Image
import pytest
import voluptuous as vol

from custom_components.smallbms_ng.const import DOMAIN
from custom_components.smallbms_ng.protocol.advertisement import COMPANY_ID, PRODUCT_ADVERTISEMENT
from custom_components.smallbms_ng.protocol.session import SERVICES

from .sources import FOLDER, ROOT, all_syntax, calls, imports, read_json, registers_actions, syntax_of

MANIFEST: Final = read_json(FOLDER / "manifest.json")
HACS: Final = read_json(ROOT / "hacs.json")
CORE: Final = Path(homeassistant.__path__[0]) / "components"

VERSIONS: Final = [
    AwesomeVersionStrategy.CALVER,
    AwesomeVersionStrategy.SEMVER,
    AwesomeVersionStrategy.SIMPLEVER,
    AwesomeVersionStrategy.BUILDVER,
    AwesomeVersionStrategy.PEP440,
]
INTEGRATION_TYPES: Final = ("device", "entity", "hardware", "helper", "hub", "service", "system")
IOT_CLASSES: Final = ("assumed_state", "calculated", "cloud_polling", "cloud_push", "local_polling", "local_push")
QUALITY_SCALES: Final = ("bronze", "silver", "gold", "platinum", "custom", "no_score", "internal", "legacy")

# What any integration may import without naming it in its manifest: it is there when the integration is loaded.
ALWAYS_THERE: Final = {*Platform, "diagnostics", "repairs"}


def _url(value: object) -> object:
    parts = urlsplit(str(value))
    if parts.scheme != "https" or not parts.hostname or parts.hostname == "www.home-assistant.io":
        raise vol.Invalid("not the address of a page of our own")
    return value


BLUETOOTH: Final = vol.Schema(
    {
        vol.Optional("connectable"): bool,
        vol.Optional("local_name"): vol.Match(r"[^*?\[]{3}"),
        vol.Optional("manufacturer_data_start"): [vol.All(int, vol.Range(0, 255))],
        vol.Optional("manufacturer_id"): int,
        vol.Optional("service_data_uuid"): vol.Match(r"[0-9a-f-]+$"),
        vol.Optional("service_uuid"): vol.Match(r"[0-9a-f-]+$"),
    }
)

# The first eight are asked for by HACS or Home Assistant, the others are allowed.
MANIFEST_SCHEMA: Final = vol.Schema(
    {
        vol.Required("domain"): DOMAIN,
        vol.Required("name"): str,
        vol.Required("codeowners"): vol.All([vol.Match(r"@[A-Za-z0-9-]+(/[A-Za-z0-9-]+)?$")], vol.Length(min=1)),
        vol.Required("documentation"): _url,
        vol.Required("integration_type"): vol.In(INTEGRATION_TYPES),
        vol.Required("iot_class"): vol.In(IOT_CLASSES),
        vol.Required("issue_tracker"): _url,
        vol.Required("version"): str,
        vol.Optional("after_dependencies"): [str],
        vol.Optional("bluetooth"): [BLUETOOTH],
        vol.Optional("config_flow"): bool,
        vol.Optional("dependencies"): [str],
        vol.Optional("disabled"): str,
        vol.Optional("import_executor"): bool,
        vol.Optional("loggers"): [str],
        vol.Optional("quality_scale"): vol.In(QUALITY_SCALES),
        vol.Optional("requirements"): [str],
        vol.Optional("single_config_entry"): bool,
    }
)
HACS_SCHEMA: Final = vol.Schema(
    {
        vol.Required("name"): str,
        vol.Optional("content_in_root"): bool,
        vol.Optional("country"): vol.Any(str, [str]),
        vol.Optional("filename"): str,
        vol.Optional("hacs"): str,
        vol.Optional("hide_default_branch"): bool,
        vol.Optional("homeassistant"): str,
        vol.Optional("persistent_directory"): str,
        vol.Optional("render_readme"): bool,
        vol.Optional("zip_release"): bool,
    }
)


def _names(key: str) -> list[str]:
    """Return the names that a manifest lists under a key."""
    value = MANIFEST.get(key, [])
    assert isinstance(value, list)
    return value


def test_manifest_has_the_form_that_is_asked_for() -> None:
    MANIFEST_SCHEMA(MANIFEST)


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "other"},
        {"iot_class": "push"},
        {"documentation": "http://example.org/"},
        {"issue_tracker": "https://www.home-assistant.io/integrations/smallbms_ng"},
        {"codeowners": []},
        {"homeassistant": "2026.10.0"},
        {"bluetooth": [{"manufacturer_data_start": [256]}]},
    ],
)
def test_another_form_is_noticed(change: dict[str, object]) -> None:
    with pytest.raises(vol.Invalid):
        MANIFEST_SCHEMA(MANIFEST | change)


def test_manifest_keys_are_in_order() -> None:
    first, second, *others = MANIFEST

    assert (first, second) == ("domain", "name")
    assert others == sorted(others)


def test_version_is_one() -> None:
    assert AwesomeVersion(str(MANIFEST["version"])).strategy in VERSIONS


def test_domain_is_nobody_elses() -> None:
    assert FOLDER.name == MANIFEST["domain"]
    assert not (CORE / DOMAIN).exists()


def test_only_integration_of_the_repository() -> None:
    """HACS installs the first folder that it finds."""
    folders = [path for path in FOLDER.parent.iterdir() if path.is_dir() and path.name != "__pycache__"]

    assert folders == [FOLDER]


def test_bluetooth_wakes_us_for_product_advertisements_of_victron() -> None:
    """The byte after the first differs between products and firmware, so the matcher ends before it.

    With Instant Readout off, a product may advertise nothing but its service.
    """
    assert MANIFEST["bluetooth"] == [
        {
            "connectable": False,
            "manufacturer_data_start": [PRODUCT_ADVERTISEMENT],
            "manufacturer_id": COMPANY_ID,
        },
        *({"connectable": False, "service_uuid": service} for service in sorted(SERVICES)),
    ]


def test_discovered_devices_get_a_unique_id() -> None:
    assert MANIFEST["config_flow"] is True
    assert "async_set_unique_id" in {name for name, _ in calls(syntax_of("config_flow"))}


def test_nothing_is_installed_that_others_pin() -> None:
    """All integrations share one set of packages: what one pins, it takes from the others."""
    ours = {requirement.partition("==")[0] for requirement in _names("requirements")}
    assert ours == {"cbor2"}
    constraints = (CORE.parent / "package_constraints.txt").read_text()
    manifests = "".join(path.read_text() for path in CORE.glob("*/manifest.json"))
    assert not [name for name in ours if f"\n{name}=" in constraints or f'"{name}=' in manifests]


def test_other_decoders_are_not_used() -> None:
    names = {name.partition(".")[0] for tree in all_syntax() for name in imports(tree)}

    assert not names & {"victron_ble", "victron_ble_ha_parser", "sensor_state_data", "bluetooth_sensor_state_data"}


def _with_dependencies(domains: Iterable[str]) -> set[str]:
    """Return integrations of Home Assistant with all that they depend on."""
    found: set[str] = set()
    waiting = set(domains)
    while waiting:
        domain = waiting.pop()
        found.add(domain)
        manifest = read_json(CORE / domain / "manifest.json")
        waiting |= set(manifest.get("dependencies", [])) - found  # type: ignore[call-overload]  # a list of names
    return found


def test_imported_integrations_are_dependencies() -> None:
    used = {
        name.split(".")[2]
        for tree in all_syntax()
        for name in imports(tree)
        if name.startswith("homeassistant.components.")
    }

    assert used
    assert used <= _with_dependencies(_names("dependencies") + _names("after_dependencies")) | ALWAYS_THERE


def test_actions_are_described() -> None:
    """Home Assistant wants services.yaml when actions are registered, and only then."""
    assert (FOLDER / "services.yaml").exists() == registers_actions()


def test_hacs_json_has_the_form_that_is_asked_for() -> None:
    HACS_SCHEMA(HACS)

    assert ("zip_release" in HACS) <= ("filename" in HACS)
    assert HACS["name"] == MANIFEST["name"]


def test_hacs_asks_for_the_home_assistant_that_is_tested() -> None:
    wanted = str(HACS["homeassistant"])

    assert AwesomeVersion(wanted) <= AwesomeVersion(__version__)
    assert wanted.split(".")[:2] == __version__.split(".")[:2]


def test_license_is_one_that_hacs_knows() -> None:
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")


def _pictures() -> list[Path]:
    return sorted((FOLDER / "brand").iterdir())


def test_pictures_are_those_that_home_assistant_serves() -> None:
    names = {path.name for path in _pictures()}

    assert {"icon.png", "icon@2x.png", "logo.png", "logo@2x.png"} <= names <= ALLOWED_IMAGES


@pytest.mark.parametrize("path", _pictures(), ids=lambda path: path.name)
def test_picture(path: Path) -> None:
    height = 512 if "@2x" in path.name else 256
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.height == height
        assert image.width == height if "icon" in path.name else image.width > height
        assert image.getchannel("A").getextrema() == (0, 255), "it has no transparent background"
        assert image.getbbox() == (0, 0, *image.size), "it has an empty margin"


def test_dense_pictures_are_twice_as_large() -> None:
    sizes = {path.stem: Image.open(path).size for path in _pictures()}
    plain = {name: size for name, size in sizes.items() if "@" not in name}

    assert {f"{name}@2x": (2 * width, 2 * height) for name, (width, height) in plain.items()} | plain == sizes


def test_the_oldest_home_assistant_is_tried() -> None:
    """What scripts/test-home-assistant installs is what HACS asks owners for."""
    wanted = (ROOT / "requirements" / "oldest.in").read_text().splitlines()
    assert f"homeassistant=={HACS['homeassistant']}" in wanted
    pinned = MANIFEST["requirements"]
    assert isinstance(pinned, list)
    assert set(pinned) <= set(wanted)
