"""State files: JSON with a version and a checksum, replaced as a whole, and never touched when they are damaged."""

from hashlib import sha256
import json
import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from emulator.bms.state import JsonObject, JsonValue, StateError, get_int, get_object, get_str

FORMAT: Final = "smallbms-emulator"
VERSION: Final = 1


class StateFileError(Exception):
    """A state file that cannot be read or written; the text is one sentence for the user."""


def write_state(path: Path, state: JsonObject) -> None:
    """Replace a state file. Raises StateFileError; what was there then still is."""
    content = {"format": FORMAT, "version": VERSION, "checksum": _checksum(state), "state": state}
    try:
        _replace(path, json.dumps(content, indent=1).encode())
    except OSError as error:
        raise StateFileError(f"The state cannot be saved to {path}: {error.strerror}.") from error


def read_state(path: Path) -> JsonObject:
    """Return what is in a state file. Raises StateFileError."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StateFileError(f"The state file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise StateFileError(f"The state file {path} is damaged: it is no JSON.") from error
    try:
        return _checked(content)
    except StateError as error:
        raise StateFileError(f"The state file {path} cannot be used: {error}") from error


def _checked(content: JsonValue) -> JsonObject:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateError("It was not written by this emulator.")
    if get_int(content, "version") != VERSION:
        raise StateError("It was written by another version of this emulator.")
    state = get_object(content, "state")
    if get_str(content, "checksum") != _checksum(state):
        raise StateError("Its content does not match its checksum.")
    return state


def _checksum(state: JsonObject) -> str:
    return sha256(json.dumps(state, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write beside the file and then put it in its place, so that there is always a whole one."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
