"""What is published works anywhere: it names no package registry and no folder of the machine it was written on."""

from pathlib import Path
import re
import subprocess
from typing import Final

import pytest
import yaml

from .sources import ROOT

# A part of a name that stands between such characters is a path of its own, not the end of another.
_START: Final = r"(?<![\w$}.~*-])"

# Written so that no pattern finds itself.
FOREIGN: Final = (
    re.compile(r"pypi\.(org|python)|pythonhosted\.org"),
    re.compile(r"registry\.(npmjs|yarnpkg)|npmjs\.(com|org)"),
    re.compile(r"(deb|ftp|security|snapshot)\.debian\.|(archive|security)\.ubuntu\."),
    re.compile(r"proxy\.golang\.|index\.crates\.|conda\.anaconda\."),
    re.compile(r"--(extra-)?index-url[ =]\S|--find-links[ =]\S|--trusted-host[ =]\S"),
    re.compile(r"file:/{2,}"),
    re.compile(_START + r"/(root|home|work|opt|Users|tmp|mnt)/[\w.{-]"),
    re.compile(r"[A-Z]:\\\\?Users"),
)
ALLOWED_ACTIONS: Final = (
    re.compile(r"[\w./-]+@v\d+"),
    re.compile(r"hacs/action@\d+\.\d+\.\d+"),
    re.compile(r"home-assistant/actions/hassfest@master"),
)
WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").iterdir())

type Step = dict[str, str]


def _tracked() -> list[Path]:
    """Return what git keeps: all that a clone holds."""
    command = ("git", "-c", "safe.directory=*", "ls-files", "-z")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    # A file that was removed but not yet from git is none of a clone.
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def _foreign(text: str) -> list[str]:
    return [match[0] for pattern in FOREIGN for match in pattern.finditer(text)]


def test_nothing_foreign_is_named() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_bytes().decode("latin-1") for path in _tracked()}

    assert len(texts) > 50
    assert {name: found for name, text in texts.items() if (found := _foreign(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "pypi." + "org/simple",
        "https://files." + "pythonhosted." + "org/packages/",
        "http://" + "deb." + "debian.org/debian",
        "--index-url" + " https://example.org",
        "file:" + "///srv/packages",
        "see /" + "work/notes.md",
        '"/' + 'root/.cache"',
        "cd /" + "tmp/x",
    ],
)
def test_foreign_is_noticed(text: str) -> None:
    assert _foreign(text)


@pytest.mark.parametrize("text", ["$work/root/usr", "~/.cache", ".github/workflows/x.yaml", "--no-emit-index-url"])
def test_our_own_is_not_foreign(text: str) -> None:
    assert not _foreign(text)


def _steps(workflow: Path) -> list[Step]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert {"lint.yaml", "tests.yaml", "validate.yaml"} <= {path.name for path in WORKFLOWS}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow(workflow: Path) -> None:
    """A workflow runs our scripts, and actions of a version that it names."""
    for step in _steps(workflow):
        if action := step.get("uses"):
            assert any(allowed.fullmatch(action) for allowed in ALLOWED_ACTIONS), action
        else:
            script = ROOT / step["run"].split()[0]
            assert script.stat().st_mode & 0o100, f"{script} is no program"
