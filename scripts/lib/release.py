"""Build a release: the zip that HACS downloads, its checksum and its notes."""

import argparse
from dataclasses import dataclass
import hashlib
import io
import json
from pathlib import Path
import re
import subprocess
import sys
import tarfile
from typing import Final
import zipfile

ROOT: Final = Path(__file__).parent.parent.parent
INTEGRATION: Final = "custom_components/smallbms_ng"
ZIP: Final = "smallbms_ng.zip"  # also in hacs.json
CHECKSUMS: Final = "SHA256SUMS"
NOTES: Final = "notes.md"
# The first moment that a zip can tell. The same commit makes the same zip, whenever and wherever it is built.
_ALWAYS: Final = (1980, 1, 1, 0, 0, 0)
_READABLE: Final = 0o100644 << 16
_SECTION: Final = re.compile(
    r"^## +\[?(?P<version>[^\]\s]+)\]?[^\n]*\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)


class ReleaseError(Exception):
    """The release cannot be built. The text is for the person who releases."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is released: the tag, the files of the zip by name, and the notes in Markdown."""

    tag: str
    files: dict[str, bytes]
    notes: str


def git(root: Path, *arguments: str) -> bytes:
    """Return what git prints."""
    try:
        return subprocess.run(("git", "-C", root, *arguments), check=True, capture_output=True).stdout
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"git failed: {error.stderr.decode().strip()}") from error


def committed_files(root: Path) -> dict[str, bytes]:
    """Return the committed files of the integration by name. What is not committed is not released."""
    with tarfile.open(fileobj=io.BytesIO(git(root, "archive", f"HEAD:{INTEGRATION}"))) as archive:
        return {member.name: file.read() for member in archive if (file := archive.extractfile(member))}


def version_of(files: dict[str, bytes]) -> str:
    """Return the version in the manifest."""
    version = json.loads(files["manifest.json"])["version"]
    if not isinstance(version, str):
        raise ReleaseError("The version in manifest.json is not a text.")
    return version


def notes_of(changelog: str, version: str) -> str:
    """Return what the changelog says about a version."""
    sections = {match["version"]: match["text"].strip() for match in _SECTION.finditer(changelog)}
    if not sections.get(version):
        raise ReleaseError(f"CHANGELOG.md says nothing about {version}. Give it a section '## {version}'.")
    return sections[version]


def read_release(root: Path, tag: str | None) -> Release:
    """Return what a checkout releases under a tag; by default under that of its own version."""
    files = committed_files(root)
    version = version_of(files)
    if tag not in (None, f"v{version}"):
        raise ReleaseError(f"The tag is {tag}, but manifest.json has version {version}: the tag should be v{version}.")
    changelog = git(root, "show", "HEAD:CHANGELOG.md").decode()
    return Release(tag=f"v{version}", files=files, notes=notes_of(changelog, version))


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip of the files, which is the same for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name, _ALWAYS)
            info.external_attr = _READABLE
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def write(release: Release, folder: Path) -> None:
    """Write the zip, its checksum and the notes into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = zipped(release.files)
    (folder / ZIP).write_bytes(content)
    (folder / CHECKSUMS).write_text(f"{hashlib.sha256(content).hexdigest()}  {ZIP}\n")
    (folder / NOTES).write_text(f"{release.notes}\n")


def publish(release: Release, folder: Path) -> None:
    """Make the release on GitHub, with its files."""
    assets = (folder / ZIP, folder / CHECKSUMS)
    command = ("gh", "release", "create", release.tag, *assets, "--verify-tag", "--notes-file", folder / NOTES)
    try:
        subprocess.run((*command, "--title", release.tag), check=True)
    except FileNotFoundError as error:
        raise ReleaseError("GitHub's command line, gh, is needed to publish. Without it, use --dry-run.") from error
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"GitHub did not take the release: gh ended with {error.returncode}.") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/release", description="Build a release from what is committed.")
    parser.add_argument("tag", nargs="?", help="of the release (default: v and the version in manifest.json)")
    parser.add_argument("--dry-run", action="store_true", help="write the files, and publish nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where to write the files (default: dist)")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """Build the release and return the exit code."""
    options = _parser().parse_args()
    try:
        release = read_release(options.root, options.tag)
        write(release, options.output)
        if not options.dry_run:
            publish(release, options.output)
    except ReleaseError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    print(f"▸ {release.tag}: {len(release.files)} files in {options.output / ZIP}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
