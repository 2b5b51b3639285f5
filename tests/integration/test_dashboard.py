"""The dashboard for owners, on a bank as it is made for."""

from collections.abc import AsyncGenerator
import re

from homeassistant.core import HomeAssistant
import pytest

from demo.answers import Json
from demo.dashboard import FILE, NAME, load, views
from tests.emulator.banks import ONE_48V, TWO_IN_PARALLEL, make_bms

from .bench import Bench, a_bench
from .conftest import Radio

ENTITY_ID = re.compile(rf"\b(?:binary_sensor|button|event|number|sensor|switch)\.{NAME}_\w+")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio, bms=make_bms(TWO_IN_PARALLEL))) as bench:
        await bench.load()
        yield bench


def ids_of_file() -> set[str]:
    return set(ENTITY_ID.findall(FILE.read_text()))


def ids_in(item: Json) -> set[str]:
    """Return the entity ids anywhere in a part of the dashboard."""
    if isinstance(item, str):
        return {item} if re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", item) else set()
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return {found for part in parts for found in ids_in(part)}


def test_the_file_names_entities_in_no_other_way() -> None:
    """Else replacing the name would not reach them."""
    assert ids_in([*load()]) - {"button.press"} == ids_of_file()


async def test_every_entity_of_the_file_is_there(hass: HomeAssistant, bench: Bench) -> None:
    there = bench.entities()
    shown = ids_in([*views(there)]) - {"button.press"}
    assert len(shown) == len(ids_of_file())
    assert {entity for entity in shown if hass.states.get(entity) is None} == set()


async def test_on_another_bank_what_is_not_there_is_left_out(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, bms=make_bms(ONE_48V))) as bench:
        await bench.load()
        shown = ids_in([*views(bench.entities())]) - {"button.press"}
        assert {entity for entity in shown if hass.states.get(entity) is None} == set()
        assert not any("battery_2" in entity for entity in shown)
        assert any("battery_1" in entity for entity in shown)
