"""Who may import whom: the contracts in pyproject.toml hold, and each of them would notice."""

from collections.abc import Iterable
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
INTEGRATION: Final = "custom_components.smallbms_ng"
# Named on the page about the architecture, but of the tests or the emulator.
_OTHERS: Final = {"test_layers", "faults"}
ONE_LINE: Final = {**os.environ, "COLUMNS": "1000"}

# Module, an import statement that breaks a contract, the module that it imports.
FORBIDDEN: Final = (
    (f"{INTEGRATION}.protocol.codes", "import asyncio", "asyncio"),
    (f"{INTEGRATION}.protocol.record_filter", "from bleak import BleakClient", "bleak"),
    (f"{INTEGRATION}.protocol.record_filter", "from homeassistant.core import HomeAssistant", "homeassistant"),
    (f"{INTEGRATION}.protocol.codes", "from ..const import DOMAIN", f"{INTEGRATION}.const"),
    (f"{INTEGRATION}.protocol.codes", "from .. import async_setup_entry", INTEGRATION),
    (f"{INTEGRATION}.protocol.later", "from ..coordinator import DropReason", f"{INTEGRATION}.coordinator"),
    (f"{INTEGRATION}.connection.client", "from homeassistant.exceptions import HomeAssistantError", "homeassistant"),
    (f"{INTEGRATION}.connection.pairing", "from ..coordinator import DropReason", f"{INTEGRATION}.coordinator"),
    (f"{INTEGRATION}.const", "from emulator.snapshot import Snapshot", "emulator.snapshot"),
    (f"{INTEGRATION}.protocol.codes", "import emulator", "emulator"),
    ("emulator.snapshot", f"from {INTEGRATION}.protocol import codes", f"{INTEGRATION}.protocol.codes"),
    ("emulator.radio.in_process", f"import {INTEGRATION}", INTEGRATION),
    ("emulator.device", "from homeassistant.core import callback", "homeassistant"),
    ("emulator.device", "import habluetooth", "habluetooth"),
    ("emulator.device", "from .radio import in_process", "emulator.radio.in_process"),
    ("emulator.battery.layout", "from ..bms.codes import Code", "emulator.bms.codes"),
    ("emulator.bms.detection", "from ..world.world import World", "emulator.world.world"),
    ("emulator.world.world", "from ..simulation.grid import TOLERANCE", "emulator.simulation.grid"),
    ("emulator.simulation.grid", "from ..device import MODEL_NUMBER", "emulator.device"),
    ("emulator.reading.state", "from ..battery.models import MODELS", "emulator.battery.models"),
)
ALLOWED: Final = (
    (f"{INTEGRATION}.protocol.record_filter", "from . import codes"),
    (f"{INTEGRATION}.protocol.record_filter", "from cryptography.hazmat.primitives.ciphers import Cipher"),
    (f"{INTEGRATION}.connection.client", "import asyncio, bleak"),
    (f"{INTEGRATION}.connection.client", "from ..protocol.codes import Code"),
    ("emulator.__main__", "from .radio import in_process"),
)


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter in a process of its own: in this one, custom_components may be the test kit's."""
    command = (Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo")
    return subprocess.run(command, cwd=root, env=ONE_LINE, capture_output=True, text=True, check=False, timeout=15)


def copy_with(root: Path, imports: Iterable[tuple[str, str]]) -> Path:
    """Copy what is linted, with these import statements added to these modules, new ones if need be."""
    shutil.copy(ROOT / "pyproject.toml", root)
    for package in (INTEGRATION, "emulator"):
        folder = package.replace(".", "/")
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module, statement in imports:
        with (root / module.replace(".", "/")).with_suffix(".py").open("a", encoding="utf-8") as file:
            file.write(f"\n{statement}\n")
    return root


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the linter says when all that is forbidden is done."""
    broken = copy_with(tmp_path_factory.mktemp("broken"), ((module, statement) for module, statement, _ in FORBIDDEN))
    result = lint_imports(broken)
    assert result.returncode == 1
    return result.stdout


def test_every_contract_is_kept() -> None:
    result = lint_imports(ROOT)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Contracts: 7 kept, 0 broken." in result.stdout


def test_every_contract_can_be_broken(complaints: str) -> None:
    assert "Contracts: 0 kept, 7 broken." in complaints


@pytest.mark.parametrize(("module", "statement", "imported"), FORBIDDEN)
def test_a_forbidden_import_is_noticed(complaints: str, module: str, statement: str, imported: str) -> None:
    assert f"{module} -> {imported} (l." in complaints, statement


def test_allowed_imports_are_not_objected_to(tmp_path: Path) -> None:
    result = lint_imports(copy_with(tmp_path, ALLOWED))

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_page_about_the_architecture_names_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    # What every integration has is named by its kind there.
    usual = {"__init__", "binary_sensor", "button", "config_flow", "const", "diagnostics", "event", "sensor", "switch"}
    modules = {path.stem for path in (ROOT / INTEGRATION.replace(".", "/")).rglob("*.py")} - usual
    assert sorted(name for name in modules if f"{name}.py" not in page) == []
    assert sorted(name for name in re.findall(r"(\w+)\.py", page) if name not in modules | usual | _OTHERS) == []
