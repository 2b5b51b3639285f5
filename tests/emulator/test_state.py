"""Saved states that are damaged."""

from copy import deepcopy
import json

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.bms.bms import SmallBms
from emulator.reading.state import (
    JsonValue,
    StateError,
    get_bool,
    get_bools,
    get_float,
    get_floats,
    get_int,
    get_ints,
    get_list,
    get_object,
    get_optional_float,
    get_optional_int,
    get_str,
    get_strs,
)

from .banks import TWO_IN_PARALLEL, make_bms, run

type Path = tuple[str | int, ...]


def saved() -> dict[str, JsonValue]:
    """Return a state in which every part holds something."""
    bms = make_bms(TWO_IN_PARALLEL, soc=99.9)
    bms.faults.cell_drains = {(0, 1): 0.1}
    bms.faults.cell_voltage_offsets = {(1, 1): -0.5}
    run(bms, 60, current=30)
    data: dict[str, JsonValue] = json.loads(json.dumps(bms.save()))
    return data


SAVED = saved()


def paths(value: JsonValue, path: Path = ()) -> list[Path]:
    """Return where every value is."""
    if isinstance(value, dict):
        return [path, *(found for key, item in value.items() for found in paths(item, (*path, key)))]
    if isinstance(value, list):
        return [path, *(found for index, item in enumerate(value) for found in paths(item, (*path, index)))]
    return [path]


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


@settings(max_examples=400, deadline=None)
@given(
    path=st.sampled_from([path for path in paths(SAVED) if path]),
    value=st.sampled_from([None, True, "x", "", [], {}, -1, 0, 10**30, 1.5, float("nan"), float("inf")]),
)
def test_a_damaged_state_gives_one_sentence_or_still_makes_sense(path: Path, value: JsonValue) -> None:
    said = complaint(damaged(path, value))
    assert said is None or (said.startswith("The saved state ") and said.endswith("."))


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
        (("destroyed_outputs",), ["lode"], "an output is unknown"),
        (("rules", "firmware", "state"), "lost", "firmware update is unknown"),
        (("bank", "strings"), [["12.8/200"], "12.8/200"], "strings should be lists of battery models"),
        (("bank", "strings"), [["12.8/201"]], "strings should be lists of battery models"),
        (("bank", "cells", "capacity"), [0] * 8, "should be above zero"),
        (("bank", "pending"), 11, "pending should be a reasonable number"),
    ],
)
def test_what_is_damaged_is_named(path: Path, value: JsonValue, said: str) -> None:
    with pytest.raises(StateError, match=said):
        SmallBms.load(damaged(path, value))


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (get_bool, 1),
        (get_int, True),
        (get_int, 1.0),
        (get_float, "1"),
        (get_float, True),
        (get_float, float("nan")),
        (get_optional_float, "1"),
        (get_optional_int, 1.5),
        (get_str, 5),
        (get_object, []),
        (get_list, "abc"),
    ],
)
def test_wrong_types_are_refused_by_name(read: object, value: JsonValue) -> None:
    assert callable(read)
    with pytest.raises(StateError, match="The saved state is damaged: thing should be "):
        read({"thing": value}, "thing")


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (get_ints, [1, 2]),
        (get_ints, [1, 2, "3"]),
        (get_ints, [1, 2, 10**18]),
        (get_floats, [1, 2, float("inf")]),
        (get_bools, [True, False, 1]),
        (get_strs, ["a", "b", None]),
    ],
)
def test_wrong_lists_are_refused_by_name(read: object, value: JsonValue) -> None:
    assert callable(read)
    with pytest.raises(StateError, match="The saved state is damaged: thing should be a list of"):
        read({"thing": value}, "thing", 3)
