"""The starter of Home Assistant that keeps zeroconf off the network."""

from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path
import sys

from homeassistant.const import __version__

import demo

STARTER = Path(demo.__file__).parent / "loopback_hass.py"


async def test_what_it_replaces_is_there(tmp_path: Path) -> None:
    """It ends with an error if Home Assistant has no such function any more."""
    starting = await create_subprocess_exec(sys.executable, "-P", STARTER, "--version", cwd=tmp_path, stdout=PIPE)
    output, _ = await starting.communicate()
    assert starting.returncode == 0
    assert output.decode() == f"{__version__}\n"
