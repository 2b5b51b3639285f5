"""The table of personalities: named devices, each a combination of switches."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator

from emulator.personality.quirks import Quirks, RadioQuirks
from emulator.reading.sections import EMPTY, Items, Named, Section, Text, check_known, one_of
from emulator.reading.values import should_be
from emulator.reading.yaml_reader import read_yaml

FILE: Final = Path(__file__).parent / "personalities.yaml"
DEFAULT: Final = "battery-protect"


def _switches_of(kind: type[Quirks | RadioQuirks]) -> BeforeValidator:
    """Return a check that every key of a block is one of the switches."""
    known = [field.name for field in fields(kind)]

    def check(content: object) -> object:
        if content == EMPTY:
            return {}
        if not isinstance(content, dict):
            raise should_be("a block of switches")
        check_known(content, known)
        return content

    return BeforeValidator(check)


class Personality(Section):
    """One named device.

    description says what is special about it, evidence where that was seen. differs lists the assumptions that it
    contradicts.
    """

    description: Text
    evidence: Text
    connection: Annotated[Quirks, _switches_of(Quirks)] = Quirks()
    radio: Annotated[RadioQuirks, _switches_of(RadioQuirks)] = RadioQuirks()
    differs: Items[Text] = ()


class Table(Section):
    """Personalities by name."""

    personalities: Named[Text, Personality]


def read(text: str, file: str) -> Mapping[str, Personality]:
    """Return the personalities in a YAML text. Raises ScenarioError."""
    return read_yaml(text, file, Table).personalities


PERSONALITIES: Final = read(FILE.read_text(encoding="utf-8"), FILE.name)

type PersonalityName = Annotated[str, one_of(PERSONALITIES)]


def name_of(connection: Quirks, radio: RadioQuirks) -> str | None:
    """Return which personality has exactly these switches; None if none has."""
    found = (name for name, one in PERSONALITIES.items() if (one.connection, one.radio) == (connection, radio))
    return next(found, None)
