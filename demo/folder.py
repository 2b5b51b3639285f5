"""The folder that a demo works in."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from pathlib import Path
import tempfile
from typing import Final

from .errors import DemoError

DEFAULT: Final = Path(__file__).parent.parent / ".demo"
_LOCK: Final = "lock"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="smallbms_ng-") as folder:
        yield Path(folder)


@contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that no other demo works in at the same time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise DemoError(f"The demo cannot work in {folder}: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"Another demo is running in {folder}. End that one first.") from None
        yield folder
