"""docs/troubleshooting.md names messages, states and faults as they are."""

import json
import re
from typing import Final

import pytest

from emulator.simulation.faults import FAULTS
from tests.sources import ENGLISH, ROOT, languages

PAGE: Final = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SYMPTOMS, DEMO = PAGE.split("\n## See it in the demo\n")
# What is seen, in the first column, as far as it is a text of ours or of Home Assistant.
SEEN: Final = [row.split("|")[1] for row in SYMPTOMS.splitlines() if row.startswith("| ")]
NAMED: Final = sorted({name for cell in SEEN for name in re.findall(r"\*([^*]+)\*", cell)})
# Of Home Assistant itself.
NOT_OURS: Final = {"Activity", "Victron BLE", "Home", "Reconfigure", "unavailable", "unknown"}
WORDS: Final = json.dumps(languages()[ENGLISH], ensure_ascii=False)


def _parts(text: str) -> list[str]:
    """Return what a text says beside names, which stand as dots."""
    return [part.strip() for part in re.split(r"…|: ", text) if part.strip()]


@pytest.mark.parametrize("text", sorted(set(NAMED) - NOT_OURS))
def test_what_is_seen_is_said(text: str) -> None:
    # Of an allowed entity, the dashboard says less.
    for part in _parts(text.replace("To charge", "Allowed to charge")):
        assert part in WORDS


def test_the_faults_are_there() -> None:
    named = set(re.findall(r"`([a-z-]+)`", "".join(row for row in DEMO.splitlines() if " fault" in row)))
    assert named
    assert named <= {str(fault) for fault in FAULTS}
