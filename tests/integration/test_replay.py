"""A recording, replayed by somebody who does not know the device, leads to the same entities."""

import json
from pathlib import Path
import re
from typing import Final

from homeassistant.config_entries import ConfigEntry
import pytest
from syrupy.assertion import SnapshotAssertion

from custom_components.smallbms_ng.coordinator import DropReason
from emulator.personality.table import PERSONALITIES
from emulator.recording import Recording, read_recording
from emulator.replay.exchanges import exchanges
from emulator.ve_smart.cbor_records import MalformedRecordError, answers
from emulator.ve_smart.chunks import Channel
from tests.emulator.personalities import take_on
from tests.options import WRITE_RECORDINGS

from .connected import Served
from .replaying import House, live_with

pytest_plugins = ("tests.integration.replaying",)

FOLDER: Final = Path(__file__).parent.parent / "recordings"
FILES: Final = sorted(FOLDER.glob("*.json"))
# What differs each time it is looked at, or tells of something that only one of the two has done.
MOVING: Final = ("event ", "button ", "sensor energy", "sensor last_heard", "sensor advertises")
# Of each there is a stand-in in a recording.
SERIAL_NUMBER: Final = "serial_number"

MISUNDERSTOOD: Final = frozenset({DropReason.MALFORMED, DropReason.IMPLAUSIBLE, DropReason.WRONG_KEY})


def comparable(house: House, entry: ConfigEntry) -> dict[str, str]:
    """Return the states that a replay has to lead to; of what may differ only that it is there."""
    return {
        key: "there" if key.startswith(MOVING) or key.endswith(SERIAL_NUMBER) else state.state
        for key, state in house.states(entry).items()
    }


def of_recording(download: str) -> str:
    """Return the part of a download that has the recording, a line for each advertisement, frame and answer."""
    whole = json.loads(download)
    recording = whole["data"]["recording"]
    text = json.dumps(whole | {"data": {"recording": recording}})
    return re.sub(r"(?<=[\[}]), (?=\{)|(?<=\[)(?=\{)", lambda match: match[0].strip() + "\n", text) + "\n"


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
        (FOLDER / f"{name}.json").write_text(of_recording(download), encoding="utf-8")
    recording = await house.recording(entry)
    await house.remove(entry)

    replayed = house.replay(recording)
    entry = await house.add()
    await house.press("read_now")
    await house.hear_all(replayed)
    found = comparable(house, entry)
    assert found.keys() == expected.keys()
    assert found == expected


def unreadable(recording: Recording) -> list[str]:
    """Return what the device said that cannot be read, as hexadecimal digits."""
    found = []
    for connection in recording.connections:
        for exchange in exchanges(connection):
            for channel, stream in exchange.replies:
                if channel is Channel.LAST_DATA and not is_readable(stream):
                    found.append(stream.hex())
    return found


def is_readable(stream: bytes) -> bool:
    try:
        return bool(tuple(answers(stream)))
    except MalformedRecordError:
        return False


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recording(house: House, file: Path, snapshot: SnapshotAssertion) -> None:
    """Its entities are those of the snapshot, and there is nothing in it that is not understood."""
    recording = read_recording(file)
    assert unreadable(recording) == []
    replayed = house.replay(recording)
    # A capture of another product does not tell the key.
    entry = await house.add(replayed.key.hex() if "capture" in file.stem else None)
    await house.hear_all(replayed)
    await house.press("read_now")
    runtime = entry.runtime_data
    assert (
        not {DropReason.MALFORMED, DropReason.IMPLAUSIBLE, DropReason.WRONG_KEY}
        & runtime.instant_readout.dropped.keys()
    )
    assert runtime.pages.last_error is None
    assert runtime.instant_readout.accepted
    assert comparable(house, entry) == snapshot


def test_there_are_recordings() -> None:
    assert {file.stem for file in FILES} >= {*PERSONALITIES, "battery-protect-capture", "solar-charger-capture"}


async def test_a_written_value_stays(house: House) -> None:
    """Also where the device was asked for it before: what it said then is outdated."""
    house.replay(read_recording(FOLDER / "battery-protect.json"))
    entry = await house.add()
    await house.set("tail_current", 3.5)
    assert house.states(entry)["number tail_current"].state == "3.5"
    await house.press("read_now")
    assert house.states(entry)["number tail_current"].state == "3.5"


async def test_the_rhythm(house: House) -> None:
    """Nothing is sent before it is due; after the last one it begins anew with nonces that go on."""
    recording = read_recording(FOLDER / "battery-protect-capture.json")
    device = house.replay(recording)
    clock = house.radio.clock
    began = clock.now
    sent: dict[float, bytes] = {}
    while clock.now < began + 3.5:
        if device.advertises:
            sent[round(clock.now - began, 1)] = device.advertisement().joined
        clock.now += 0.01
    assert list(sent) == [0, 1, 2, 3]
    assert len(set(sent.values())) == 4
