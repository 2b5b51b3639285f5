"""State files: JSON with a version and a checksum, replaced as a whole, and never touched when they are damaged."""

from dataclasses import dataclass
import fcntl
from hashlib import sha256
import json
import os
from pathlib import Path
import re
from tempfile import NamedTemporaryFile
from typing import Final

from emulator.reading.state import JsonObject, JsonValue, StateError, from_json, version_of

FORMAT: Final = "smallbms-emulator"
VERSION: Final = 1


class StateFileError(Exception):
    """A state file that cannot be read or written; the text is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class _Content:
    state: JsonObject
    checksum: str


class StateFile:
    """A state file that one process at a time may have. A link is followed, so that it stays one.

    The lock is on the file itself, and every new content of it is locked before it takes its place: no other file is
    left behind, and the system takes the lock away when the process ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._target = Path(os.path.realpath(path))
        self._held: int | None = None
        self._claimed = False

    def exists(self) -> bool:
        """Return whether the file exists. Raises StateFileError if it is not an ordinary file, for example a pipe."""
        if not self._target.parent.is_dir():
            raise StateFileError(f"The state cannot be saved to {self.path}: there is no folder {self._target.parent}.")
        if not self._target.exists():
            return False
        if not self._target.is_file():
            raise StateFileError(f"The state cannot be saved to {self.path}: it is not an ordinary file.")
        return True

    def claim(self) -> None:
        """Keep others away from the file until it is released, and clear away what interrupted saves have left.

        Raises StateFileError if another process has it.
        """
        self._claimed = True
        self._hold()

    def _hold(self) -> None:
        if self._held is not None:
            return
        while self._held is None and self.exists():
            self._held = self._locked()
        if self._held is not None:
            self._clear_away()

    def release(self) -> None:
        """Let others have the file."""
        self._claimed = False
        self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def write(self, state: JsonObject) -> None:
        """Replace the file. Raises StateFileError; what was there then still is."""
        self._hold()
        content = {"format": FORMAT, "version": VERSION, "checksum": _checksum(state), "state": state}
        held: int | None = None
        try:
            held = _replace(self._target, json.dumps(content, indent=1).encode())
        except OSError as error:
            raise StateFileError(f"The state cannot be saved to {self.path}: {error.strerror}.") from error
        finally:
            self._hold_instead(held)

    def _hold_instead(self, replaced: int | None) -> None:
        """Hold what took the place of the file, if anything did and the file is claimed."""
        if replaced is not None:
            self._let_go()
            self._held = replaced
        if not self._claimed:
            self._let_go()

    def _locked(self) -> int | None:
        """Return the file, open and locked; None if it was replaced meanwhile."""
        try:
            file = os.open(self._target, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateFileError(f"The state file {self.path} cannot be read: {error.strerror}.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            raise StateFileError(f"The state file {self.path} is in use by another emulator.") from error
        if _is_at(file, self._target):
            return file
        os.close(file)
        return None

    def _clear_away(self) -> None:
        """Remove the temporary files of saves that were interrupted."""
        pattern = re.compile(rf"\.{re.escape(self._target.name)}\.[a-z0-9_]{{8}}")
        for file in self._target.parent.iterdir():
            if pattern.fullmatch(file.name) and file.is_file():
                file.unlink(missing_ok=True)


def _is_at(file: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def write_state(path: Path, state: JsonObject) -> None:
    """Replace a state file. Raises StateFileError; what was there then still is."""
    StateFile(path).write(state)


def read_state(path: Path) -> JsonObject:
    """Return what is in a state file. Raises StateFileError."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StateFileError(f"The state file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise StateFileError(f"The state file {path} is damaged: it is not valid JSON.") from error
    try:
        return _checked(content)
    except StateError as error:
        raise StateFileError(f"The state file {path} cannot be used: {error}") from error


def _checked(content: JsonValue) -> JsonObject:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateError("It was not written by this emulator.")
    if version_of(content) != VERSION:
        raise StateError("It was written by another version of this emulator.")
    saved = from_json(_Content, content)
    if saved.checksum != _checksum(saved.state):
        raise StateError("Its content does not match its checksum.")
    return saved.state


def _checksum(state: JsonObject) -> str:
    return sha256(json.dumps(state, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _replace(path: Path, content: bytes) -> int:
    """Write beside the file and then put it in its place, so that there is always a whole one; return it, locked."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        held = os.dup(file.fileno())
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            os.close(held)
            Path(file.name).unlink(missing_ok=True)
            raise
    return held
