"""State files: one process at a time, links, pipes, and what interrupted saves have left."""

import json
import os
from pathlib import Path

import pytest

from emulator.reading.state import JsonObject
from emulator.simulation.state_file import StateFile, StateFileError, read_state

STATE: JsonObject = {"devices": [1, 2]}
OTHER: JsonObject = {"devices": []}


def claim(path: Path) -> None:
    StateFile(path).claim()


def write(path: Path) -> None:
    StateFile(path).write(OTHER)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def test_a_claimed_file_is_kept_from_others_also_after_it_was_replaced(path: Path) -> None:
    mine = StateFile(path)
    mine.claim()
    for _ in range(2):
        mine.write(STATE)
        for attempt in (claim, write):
            with pytest.raises(StateFileError, match="in use by another emulator"):
                attempt(path)
    assert read_state(path) == STATE
    mine.release()
    StateFile(path).write(OTHER)
    assert read_state(path) == OTHER


def test_a_file_that_is_not_claimed_is_free_between_two_saves(path: Path) -> None:
    one, other = StateFile(path), StateFile(path)
    for _ in range(2):
        one.write(STATE)
        other.write(OTHER)
    assert read_state(path) == OTHER


def test_a_file_that_another_process_has_replaced_meanwhile(path: Path) -> None:
    StateFile(path).write(OTHER)
    mine = StateFile(path)
    mine.claim()
    path.unlink()
    StateFile(path).write(STATE)
    other = StateFile(path)
    other.claim()
    with pytest.raises(StateFileError, match="in use"):
        claim(path)
    mine.release()
    other.release()


def test_what_interrupted_saves_have_left_is_cleared_away(path: Path) -> None:
    StateFile(path).write(STATE)
    left = path.parent / ".state.json.ab_12xyz"
    others = [path.parent / name for name in (".state.json.bak", ".other.json.ab_12xyz", "state.json.ab_12xyz")]
    for file in (left, *others):
        file.write_text("x")
    claimed = StateFile(path)
    claimed.claim()
    assert not left.exists()
    assert all(file.exists() for file in others)
    claimed.release()


def test_a_link_is_written_through(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "battery.json"
    target.parent.mkdir()
    path.symlink_to(target)
    for state in (STATE, OTHER):
        StateFile(path).write(state)
        assert path.is_symlink()
        assert read_state(target) == state
    assert [file.name for file in target.parent.iterdir()] == ["battery.json"]


def test_a_pipe_is_refused_and_nobody_waits_for_it(path: Path) -> None:
    os.mkfifo(path)
    for attempt in (claim, write):
        with pytest.raises(StateFileError, match="not an ordinary file"):
            attempt(path)
    assert path.is_fifo()


def test_a_link_to_nowhere_has_no_folder(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "gone" / "battery.json")
    with pytest.raises(StateFileError, match="there is no folder"):
        StateFile(path).write(STATE)


def test_what_cannot_be_written_leaves_what_was_there(path: Path) -> None:
    file = StateFile(path)
    file.claim()
    file.write(STATE)
    path.parent.chmod(0o500)
    try:
        if os.access(path.parent, os.W_OK):
            pytest.skip("This user may write anywhere.")
        with pytest.raises(StateFileError, match="cannot be saved"):
            file.write(OTHER)
    finally:
        path.parent.chmod(0o700)
    assert json.loads(path.read_text())["state"] == STATE
    with pytest.raises(StateFileError, match="in use"):
        StateFile(path).claim()
    file.release()
