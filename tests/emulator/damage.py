"""Saved states with something replaced, taken away or doubled."""

from contextlib import suppress
from copy import deepcopy
from random import Random
import re

from emulator.reading.state import JsonObject, JsonValue

# "something else" is what is said of an error that has no words.
SENTENCE = re.compile(r"The saved state (?!.*something else)[^\n]+[^.]\.")

type Path = tuple[str | int, ...]
JUNK: tuple[JsonValue, ...] = (
    *(None, True, False, -1, 0, 7, 10**30, 1.5, -1e300, float("nan"), float("inf")),
    *("", "x", "v1.02", "\ud800", [], [1], [[]], {}, {"x": 1}, {"0/0": 1.0}),
)


def damaged_copy(state: JsonObject, random: Random) -> dict[str, JsonValue]:
    """Return a state with one to three values damaged."""
    data = dict(deepcopy(state))
    everywhere = [path for path in paths(data) if path]
    for path in random.sample(everywhere, random.randint(1, 3)):
        damage(data, path, random)
    return data


def paths(value: JsonValue, path: Path = ()) -> list[Path]:
    """Return where every value is."""
    if isinstance(value, dict):
        return [path, *(found for key, item in value.items() for found in paths(item, (*path, key)))]
    if isinstance(value, list):
        return [path, *(found for index, item in enumerate(value) for found in paths(item, (*path, index)))]
    return [path]


def damage(data: JsonValue, path: Path, random: Random) -> None:
    """Replace a value, take it away, or double it; what is no longer there stays away."""
    *way, last = path
    place = data
    with suppress(KeyError, IndexError, TypeError):
        for key in way:
            place = place[key]  # type: ignore[index] # or it is suppressed
        value = place[last]  # type: ignore[index]
        if isinstance(place, dict):
            place[last] = random.choice(JUNK)
            if random.random() < 0.2:
                del place[last]
        elif isinstance(place, list) and isinstance(last, int):
            place[last : last + 1] = random.choice(([], [random.choice(JUNK)], [value, value]))
