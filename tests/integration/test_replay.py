"""A recording, replayed by somebody who does not know the device, leads to the same entities."""

from pathlib import Path
from typing import Final

from homeassistant.config_entries import ConfigEntry
import pytest

from emulator.personality.table import PERSONALITIES
from tests.emulator.personalities import take_on
from tests.options import WRITE_RECORDINGS

from .connected import Served
from .replaying import House, live_with

pytest_plugins = ("tests.integration.replaying",)

FOLDER: Final = Path(__file__).parent.parent / "recordings"
FILES: Final = sorted(FOLDER.glob("*.json"))
# What differs each time it is looked at, or tells of something that only one of the two has done.
MOVING: Final = ("event ", "button ", "sensor energy", "sensor last_heard")
# Of each there is a stand-in in a recording.
SERIAL_NUMBER: Final = "serial_number"


def comparable(house: House, entry: ConfigEntry) -> dict[str, str]:
    """Return the states that a replay has to lead to; of what may differ only that it is there."""
    return {
        key: "there" if key.startswith(MOVING) or key.endswith(SERIAL_NUMBER) else state.state
        for key, state in house.states(entry).items()
    }


@pytest.mark.parametrize("name", PERSONALITIES)
async def test_the_same_entities(pytestconfig: pytest.Config, house: House, name: str) -> None:
    served = Served(house.radio.device)
    house.radio.device.readout = served.bms.snapshot
    take_on(name, served.device, served.service)
    entry = await house.add()
    await live_with(house, served)
    await house.press("survey")
    await house.press("read_now")
    await live_with(house, served)
    expected = comparable(house, entry)
    download = await house.download(entry)
    if pytestconfig.getoption(WRITE_RECORDINGS):
        (FOLDER / f"{name}.json").write_text(download + "\n", encoding="utf-8")
    recording = await house.recording(entry)
    await house.remove(entry)

    replayed = house.replay(recording)
    entry = await house.add()
    await house.press("read_now")
    await house.hear_all(replayed)
    found = comparable(house, entry)
    assert found.keys() == expected.keys()
    assert found == expected
