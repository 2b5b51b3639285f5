"""The commands in README and docs work as they stand there: programs, files, options and scenarios exist."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
import os
from pathlib import Path
import re
import shlex
import subprocess
import sys
from typing import Final

import pytest

from emulator.simulation.scenario import names

from .sources import ROOT

PAGES: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "emulator" / "simulation" / "scenarios").glob("*.md")),
]
# A line of a block, or a piece of code in a sentence.
COMMAND: Final = re.compile(r"^(?:scripts/|cp |(?:\.venv/bin/)?python -m )\S.*")
# What programs with options say of them; the others take what pytest takes, or names.
TELLS_OPTIONS: Final = ("demo", "emulator")
# Made by the reader, or not of this repository.
OF_THE_READER: Final = {"my-cabin.yaml", "download.json", "FILE", "NAME", "X"}


def _pieces(text: str) -> Iterator[str]:
    for block in re.findall(r"^ *```\n(.*?)```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def commands() -> list[str]:
    """Return every command, without what is said about it."""
    found = {piece.strip() for page in PAGES for piece in _pieces(page.read_text(encoding="utf-8"))}
    return sorted({re.split(r"\s+#|\s\|", piece)[0].strip() for piece in found if COMMAND.match(piece)})


def _module(words: list[str]) -> str | None:
    if words[0].startswith("scripts/"):
        return "demo" if words[0] == "scripts/demo" else None
    return words[2] if words[1:2] == ["-m"] else None


@pytest.fixture(scope="module")
def options() -> dict[str, str]:
    """Return what each program says of its options."""
    return {
        program: subprocess.run(
            [sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for program in TELLS_OPTIONS
    }


def test_there_are_commands() -> None:
    assert {"scripts/demo", "scripts/demo --check", "scripts/test"} <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_a_command(command: str, options: dict[str, str]) -> None:
    words = shlex.split(command)
    module = _module(words)
    for word in words:
        if word.startswith(("scripts/", "emulator/")):
            assert (ROOT / word).exists()
            assert Path(word).parent != Path("scripts") or os.access(ROOT / word, os.X_OK)
        if word.startswith("--") and module in options:
            assert word in options[module]
    if module and module not in options:
        assert find_spec(module)
    for option, value in pairwise(words):
        if option == "--scenario" and value not in OF_THE_READER:
            assert value in names()
