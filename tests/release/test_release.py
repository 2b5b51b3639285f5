"""What HACS downloads, built from a small repository."""

from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
import subprocess
import sys
from typing import Final
import zipfile

import pytest

from tests.sources import ROOT

PROGRAM: Final = ROOT / "scripts" / "lib" / "release.py"
INTEGRATION: Final = Path("custom_components") / "smallbms_ng"
CHANGELOG: Final = "# Changelog\n\n## 1.2.0\n\n- Newer.\n\n## 1.1.0 (2026-11-01)\n\n- Older.\n"


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of its own, and where its releases are written."""

    root: Path
    output: Path

    def commit(self, **files: str) -> None:
        """Write files, commit them, and nothing else."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            self.git("add", name)
        self.git("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--message", "x")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.root), *arguments], check=True)

    def release(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the program."""
        command = [sys.executable, str(PROGRAM), "--root", str(self.root), "--output", str(self.output), *arguments]
        environment = None if path is None else {"PATH": path}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def refusal(self, *arguments: str) -> str:
        """Return the one sentence with which it refuses; nothing has been written then."""
        ended = self.release(*arguments)
        assert ended.returncode == 1
        assert not self.output.exists()
        return ended.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(root=tmp_path / "repository", output=tmp_path / "dist")
    repository.root.mkdir()
    repository.git("init", "--quiet")
    repository.commit(
        **{
            str(INTEGRATION / "manifest.json"): json.dumps({"version": "1.2.0"}),
            str(INTEGRATION / "protocol" / "codes.py"): "CODES = ()\n",
            "CHANGELOG.md": CHANGELOG,
            "README.md": "not in the zip",
        }
    )
    return repository


def test_a_dry_run_writes_what_hacs_downloads(repository: Repository) -> None:
    ended = repository.release("--dry-run", "v1.2.0")
    assert ended.returncode == 0, ended.stderr
    hacs = json.loads((ROOT / "hacs.json").read_text())
    with zipfile.ZipFile(repository.output / hacs["filename"]) as release:
        assert release.testzip() is None
        assert release.namelist() == ["manifest.json", "protocol/codes.py"]
    content = (repository.output / hacs["filename"]).read_bytes()
    expected = f"{hashlib.sha256(content).hexdigest()}  {hacs['filename']}\n"
    assert (repository.output / "SHA256SUMS").read_text() == expected
    assert (repository.output / "notes.md").read_text() == "- Newer.\n"


def test_the_same_commit_makes_the_same_zip(repository: Repository) -> None:
    assert repository.release("--dry-run").returncode == 0
    first = (repository.output / "smallbms_ng.zip").read_bytes()
    (repository.root / INTEGRATION / "manifest.json").touch()
    (repository.root / INTEGRATION / "left_lying_around.py").touch()
    assert repository.release("--dry-run").returncode == 0
    assert (repository.output / "smallbms_ng.zip").read_bytes() == first


def test_the_tag_is_the_version_of_the_manifest(repository: Repository) -> None:
    assert repository.refusal("--dry-run", "v1.1.0") == (
        "✗ The tag is v1.1.0, but manifest.json has version 1.2.0: the tag should be v1.2.0.\n"
    )


@pytest.mark.parametrize("changelog", ["# Changelog\n\n## 1.1.0\n\n- Older.\n", "## 1.2.0\n\n## 1.1.0\n\n- Older.\n"])
def test_every_version_has_notes(repository: Repository, changelog: str) -> None:
    repository.commit(**{"CHANGELOG.md": changelog})
    assert repository.refusal() == "✗ CHANGELOG.md says nothing about 1.2.0. Give it a section '## 1.2.0'.\n"


def test_what_is_not_a_repository(repository: Repository) -> None:
    (repository.root / ".git").rename(repository.root / "moved")
    assert repository.refusal("--dry-run").startswith("✗ git failed: ")


def test_publishing_hands_the_files_to_github(repository: Repository, tmp_path: Path) -> None:
    """A stand-in for gh writes down how it was called."""
    tools = tmp_path / "tools"
    tools.mkdir()
    called = tmp_path / "called"
    (tools / "gh").write_text(f'#!/bin/sh\necho "$*" > "{called}"\n')
    (tools / "gh").chmod(0o755)
    assert repository.release("v1.2.0", path=f"{tools}:/usr/bin:/bin").returncode == 0
    output = repository.output
    assert called.read_text() == (
        f"release create v1.2.0 {output}/smallbms_ng.zip {output}/SHA256SUMS"
        f" --verify-tag --notes-file {output}/notes.md --title v1.2.0\n"
    )


def test_github_refuses(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "gh").write_text("#!/bin/sh\nexit 4\n")
    (tmp_path / "gh").chmod(0o755)
    ended = repository.release(path=f"{tmp_path}:/usr/bin:/bin")
    assert ended.returncode == 1
    assert "✗ GitHub did not take the release: gh ended with 4.\n" in ended.stderr


def test_the_changelog_knows_the_version_of_today(tmp_path: Path) -> None:
    """Without git, so that it also fails before the commit."""
    version = json.loads((ROOT / INTEGRATION / "manifest.json").read_text())["version"]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
