"""The table of assumptions: the page about the protocol and the integration's registers say the same."""

from pathlib import Path
import re
from typing import Final

from custom_components.smallbms_ng.protocol.registers import REGISTERS as OURS
from custom_components.smallbms_ng.protocol.registers import Evidence
from emulator.comparison.answered import REGISTERS, register_id
from emulator.comparison.assumptions import ASSUMPTIONS
from emulator.comparison.findings import Grade
from emulator.personality.table import PERSONALITIES

PAGE: Final = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
OF_REGISTERS: Final = {row.id for row in REGISTERS}
GRADES: Final = {Evidence.LIVE: Grade.LIVE, Evidence.HEADER: Grade.PUBLISHED}


def section(title: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_lists_every_assumption_but_those_of_registers() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \|$", section("What is assumed, one by one"), re.MULTILINE)
    assert rows == [(row.id, row.sentence, row.grade) for row in ASSUMPTIONS.values() if row.id not in OF_REGISTERS]


def test_what_would_prove_us_wrong_is_about_assumptions() -> None:
    named = re.findall(r"^\| `(.+?)` \|", section("What would prove us wrong"), re.MULTILINE)
    assert named
    assert set(named) <= ASSUMPTIONS.keys()


def test_what_no_recording_can_show_is_told_how_to_see() -> None:
    without = {row.id for row in ASSUMPTIONS.values() if row.check is None}
    assert without <= set(re.findall(r"^\| `(.+?)` \|", section("What would prove us wrong"), re.MULTILINE))


def test_the_registers_are_those_of_the_integration_with_their_evidence() -> None:
    assert {row.id: row.grade for row in REGISTERS} == {register_id(row.id): GRADES[row.evidence] for row in OURS}


def test_ids_are_used_once() -> None:
    assert [row.id for row in ASSUMPTIONS.values()] == list(ASSUMPTIONS)
    assert ASSUMPTIONS.keys() >= OF_REGISTERS


def test_sentences_are_sentences() -> None:
    assert all(re.fullmatch(r"[A-Z0-9].+\.", row.sentence) for row in ASSUMPTIONS.values())


def test_personalities_differ_in_assumptions() -> None:
    for name, one in PERSONALITIES.items():
        assert set(one.differs) <= ASSUMPTIONS.keys(), name
    assert PERSONALITIES["battery-protect"].differs == ()
