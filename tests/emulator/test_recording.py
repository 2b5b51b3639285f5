"""Reading the recording in a diagnostics download, whole and damaged."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Final

import pytest

from emulator.recording import (
    LARGEST_FILE,
    Direction,
    Operation,
    Outcome,
    RecordingError,
    parse_recording,
    read_recording,
)

from .recordings import Json, advertisement, connection, download, frame, recording, survey

PIECES: Final[dict[str, Json]] = {
    "advertisements": [advertisement("1000eca3", "short_beacon", decrypted=False)],
    "connections": [connection(frame("out", "write", "control", "fa80ff"), frame("in", "notify", "control", "f901"))],
    "survey": survey(
        {"instance": 0, "register": "0x0200", "value": "03"},
        {"instance": 0, "register": "0xEC66", "code": 1},
        {"instance": 1, "register": "0x0381", "silent": True},
    ),
    "learned": {"arrays": "definite"},
}


def full() -> dict[str, Json]:
    """Return a recording with something of everything."""
    copied: dict[str, Json] = json.loads(json.dumps(recording(**PIECES)))
    return copied


def test_everything_is_read() -> None:
    read = parse_recording(download(full()), "x.json")
    (heard,) = read.advertisements
    assert (heard.bytes.hex(), heard.outcome, heard.signal) == ("1000eca3", Outcome.SHORT_BEACON, -61)
    (connected,) = read.connections
    out, back = connected.frames
    assert (out.direction, out.operation, out.bytes.hex()) == (Direction.OUT, Operation.WRITE, "fa80ff")
    assert (back.direction, back.operation, back.characteristic) == (Direction.IN, Operation.NOTIFY, "control")
    assert read.survey is not None
    assert [(one.number, one.value, one.code, one.silent) for one in read.survey.answers] == [
        (0x0200, b"\x03", None, False),
        (0xEC66, None, 1, False),
        (0x0381, None, None, True),
    ]
    assert read.learned == {"arrays": "definite"}


def test_what_a_later_version_adds_is_let_be() -> None:
    assert parse_recording(download({**full(), "weather": "fine"}), "x.json").length == 812.4


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "download.json"
    file.write_text(download(recording()), encoding="utf-8")
    assert read_recording(file).integration == "1.0.0"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content in {"large": b" " * (LARGEST_FILE + 1), "picture": b"\x89PNG\xff"}.items():
        (tmp_path / name).write_bytes(content)
    for name, reason in {"large": "too large", "picture": "UTF-8", "missing": "No such file", ".": "directory"}.items():
        with pytest.raises(RecordingError, match=reason):
            read_recording(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_download_that_is_cut_off(share: float) -> None:
    text = download(full())
    with pytest.raises(RecordingError, match=r"^x\.json is no whole diagnostics download: it is cut off\.$"):
        parse_recording(text[: int(len(text) * share)], "x.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (download(full()).replace(":", ";", 1), "x.json is no whole diagnostics download: line 2 is not valid JSON."),
        (download(full(), "met"), "x.json is a diagnostics download of another integration, met."),
        (download(None), "x.json has an empty recording: nothing was heard of the device."),
        (download(recording(format=2)), "x.json has a recording of format 2; this program reads format 1."),
        (
            download(None).replace("recording", "record"),
            "x.json has no recording: it is of another version of the integration.",
        ),
        ("[]", "x.json is no diagnostics download of Home Assistant."),
        ('{"data": {}}', "x.json is no diagnostics download of Home Assistant."),
        ("[" * 100_000, "x.json is no diagnostics download of Home Assistant."),
        ("9" * 5000, "x.json is no diagnostics download of Home Assistant."),
    ],
)
def test_another_file(text: str, sentence: str) -> None:
    with pytest.raises(RecordingError) as error:
        parse_recording(text, "x.json")
    assert str(error.value) == sentence


def _set(*path: int | str, to: Json) -> Callable[[dict[str, Json]], None]:
    def change(recorded: dict[str, Json]) -> None:
        place: object = recorded
        for key in path[:-1]:
            place = place[key]  # type: ignore[index]  # the test says which is there
        place[path[-1]] = to  # type: ignore[index]  # the same

    return change


def _swap(recorded: dict[str, Json]) -> None:
    heard = recorded["advertisements"]
    assert isinstance(heard, list)
    heard.append(advertisement("1000eca3", at=0.5))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda recorded: recorded.pop("length"), ": length is missing."),
        (_set("length", to="long"), ": length should be a number."),
        (_set("survey", to=5), ": survey should be an object."),
        (_set("advertisements", to={}), ": advertisements should be a list."),
        (_set("advertisements", 0, "outcome", to="odd"), ", in advertisements 1: outcome should be one of believed, "),
        (_set("advertisements", 0, "decrypted", to=1), ", in advertisements 1: decrypted should be true or false."),
        (_set("connections", 0, to=5), ", in connections: item 1 should be an object."),
        (_set("connections", 0, "kind", to="cable"), ", in connections 1: kind should be one of proxy, adapter."),
        (
            _set("connections", 0, "frames", 1, "bytes", to="f9x1"),
            ", in connections 1 frames 2: bytes should be pairs of hexadecimal digits.",
        ),
        (_set("connections", 0, "frames", 0, "at", to=-1), "frames 1: at should be zero or more."),
        (
            _set("connections", 0, "frames", 0, "at", to=0.2),
            "1: frames should be in the order of their times.",
        ),
        (_swap, ": advertisements should be in the order of their times."),
        (_set("survey", "answers", 0, "register", to="floor"), "register should be a register such as 0x0100."),
        (_set("survey", "answers", 0, "code", to=1), ", in survey answers 1: an answer should have a value, a code or"),
    ],
)
def test_a_recording_that_was_changed(change: Callable[[dict[str, Json]], None], sentence: str) -> None:
    recorded = full()
    change(recorded)
    with pytest.raises(RecordingError) as error:
        parse_recording(download(recorded), "x.json")
    assert str(error.value).startswith("x.json was changed by hand, or damaged")
    assert sentence in str(error.value)
    assert str(error.value).endswith(".")
