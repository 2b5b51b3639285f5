"""Saved states that are damaged."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
import json
from random import Random

import pytest

from emulator.bms.bms import SmallBms
from emulator.reading.state import Count, JsonObject, JsonValue, Number, StateError, as_json, from_json

from .banks import TWO_IN_PARALLEL, make_bms, run
from .damage import SENTENCE, Path, damaged_copy


def saved() -> dict[str, JsonValue]:
    """Return a state in which every part holds something."""
    bms = make_bms(TWO_IN_PARALLEL, soc=99.9)
    bms.faults.cell_drains = {(0, 1): 0.1}
    bms.faults.cell_voltage_offsets = {(1, 1): -0.5}
    run(bms, 60, current=30)
    data: dict[str, JsonValue] = json.loads(json.dumps(bms.save()))
    return data


SAVED = saved()


def damaged(path: Path, value: JsonValue) -> dict[str, JsonValue]:
    """Return the saved state with one value replaced."""
    data = deepcopy(SAVED)
    *way, last = path
    place: JsonValue = data
    for key in way:
        place = place[key]  # type: ignore[index] # a path that paths() found
    place[last] = value  # type: ignore[index]
    return data


def complaint(data: dict[str, JsonValue]) -> str | None:
    """Return what is said of a state; None if it loads, and then it must run."""
    try:
        bms = SmallBms.load(data)
    except StateError as error:
        return str(error)
    run(bms, 1)
    return None


def test_the_undamaged_state_loads() -> None:
    assert SmallBms.load(SAVED).save() == SAVED


@pytest.mark.parametrize("seed", range(4))
def test_damaged_states_give_one_sentence_or_still_make_sense(seed: int) -> None:
    random = Random(seed)
    said = [complaint(damaged_copy(SAVED, random)) for _ in range(500)]
    assert [each for each in said if each is not None and not SENTENCE.fullmatch(each)] == []
    assert 300 < sum(each is not None for each in said) < 500


@pytest.mark.parametrize("key", list(SAVED))
def test_a_missing_part_is_named(key: str) -> None:
    with pytest.raises(StateError, match=f"{key} is missing"):
        SmallBms.load({name: value for name, value in SAVED.items() if name != key})


def test_another_version_is_refused() -> None:
    with pytest.raises(StateError, match="another version"):
        SmallBms.load({**SAVED, "version": 0})


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("faults", "unplugged"), [2], "The bank has no battery 2"),
        (("faults", "cell_drains"), {"0/4": 1.0}, "The bank has no cell 4 in a battery 0"),
        (("faults", "cell_drains"), {"one": 1.0}, "one should be the number of a battery and of a cell"),
        (("settings", "tail_current"), 50, "tail current must be"),
        (("destroyed_outputs",), ["lode"], "destroyed_outputs should be one of load, charger, pre_alarm"),
        (("output_currents",), {"load": 1.0}, "output_currents should be the current of every output"),
        (("rules", "flags"), [], "flags should be an object"),
        (("rules", "firmware", "subject"), 2, "The bank has no battery 2"),
        (("rules", "firmware", "state"), "lost", "state should be one of idle, updating, failed, given_up"),
        (("bank", "strings"), [["12.8/200"], "12.8/200"], "strings should be lists of battery models"),
        (("bank", "strings"), [["12.8/201"]], "strings should be lists of battery models"),
        (("bank", "cells", "capacity"), [0] * 8, "should be above zero"),
        (("bank", "pending"), 11, "pending should be a number from 0 to 10"),
    ],
)
def test_what_is_damaged_is_named(path: Path, value: JsonValue, said: str) -> None:
    with pytest.raises(StateError, match=said):
        SmallBms.load(damaged(path, value))


@dataclass(frozen=True)
class Everything:
    """One field of every kind."""

    truth: bool = False
    count: Count | None = 0
    number: Number | None = 0.0
    text: str = ""
    parts: Mapping[str, Number] = field(default_factory=dict)
    numbers: list[Number] = field(default_factory=list)
    pair: tuple[Number, Number] = (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("truth", 1, "true or false"),
        ("count", True, "a reasonable whole number"),
        ("count", 1.0, "a reasonable whole number"),
        ("count", 10**22, "a reasonable whole number"),
        ("number", "1", "a reasonable number"),
        ("number", True, "a reasonable number"),
        ("number", float("nan"), "a reasonable number"),
        ("number", 10**400, "a reasonable number"),
        ("text", 5, "a text"),
        ("parts", [], "an object"),
        ("numbers", "abc", "a list"),
        ("numbers", [1, 2, float("inf")], "a reasonable number"),
        ("numbers", [1, "2"], "a reasonable number"),
        ("pair", [1], "a longer list"),
        ("pair", [1, 2, 3], "a list of 2"),
    ],
)
def test_what_a_field_cannot_be_is_refused_by_name(name: str, value: JsonValue, allowed: str) -> None:
    whole: JsonObject = {**as_json(Everything()), name: value}
    with pytest.raises(StateError, match=rf"^The saved state is damaged: {name} should be {allowed}[^\n]*\.$"):
        from_json(Everything, whole)


@pytest.mark.parametrize("name", list(as_json(Everything())))
def test_a_field_that_has_a_default_must_be_there_all_the_same(name: str) -> None:
    whole = {key: value for key, value in as_json(Everything()).items() if key != name}
    with pytest.raises(StateError, match=f"^The saved state is damaged: {name} is missing.$"):
        from_json(Everything, whole)


def test_what_is_saved_comes_back_exactly() -> None:
    everything = Everything(count=10**20, number=0.1 + 0.2, parts={"x": 1e-300}, numbers=[1 / 3], pair=(-0.0, 1e15))
    assert from_json(Everything, json.loads(json.dumps(as_json(everything)))) == everything
