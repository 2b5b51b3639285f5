"""The stored inputs: one text file for each target, one input in hexadecimal digits on each line."""

from collections.abc import Iterable
from hashlib import sha1
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "corpus"


def stored(target: str) -> tuple[bytes, ...]:
    """Return the stored inputs of a target."""
    path = FOLDER / f"{target}.txt"
    return tuple(map(bytes.fromhex, path.read_text().splitlines())) if path.exists() else ()


def store(target: str, inputs: Iterable[bytes]) -> None:
    """Store the inputs of a target, the shortest first."""
    lines = sorted({one.hex() for one in inputs}, key=lambda line: (len(line), line))
    (FOLDER / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines))


def unpack(target: str, folder: Path) -> None:
    """Write the stored inputs into a folder, as the fuzzer wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in stored(target):
        (folder / sha1(one, usedforsecurity=False).hexdigest()).write_bytes(one)


def pack(folder: Path) -> tuple[bytes, ...]:
    """Return the inputs in a folder."""
    return tuple(path.read_bytes() for path in sorted(folder.iterdir()))
