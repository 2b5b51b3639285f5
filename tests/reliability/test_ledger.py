"""The books of a soak find what they are kept for."""

from collections.abc import Iterable

import pytest

from reliability.soak.ledger import Growth, Sample, Told, audit_codes, audit_energy
from reliability.soak.wall_clock import unstepped

CODE = "A-B01"


def samples(*spans: tuple[float, float], heard: Iterable[tuple[float, float]] = ((0, 100),)) -> list[Sample]:
    """Return what a device showed in 100 s, looked at every half second, of which the code stood in some spans."""
    times = [at / 2 for at in range(200)]
    return [
        Sample(
            at=at,
            codes=frozenset({CODE}) if any(begin <= at < end for begin, end in spans) else frozenset(),
            heard=any(begin <= at < end for begin, end in heard),
        )
        for at in times
    ]


def came(at: float) -> Told:
    return Told(at=at, code=CODE, cleared=False)


def went(at: float) -> Told:
    return Told(at=at, code=CODE, cleared=True)


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (samples(), []),
        (samples((10, 20)), [came(12), went(22)]),
        # Too short to be due, told or not.
        (samples((10, 14)), []),
        (samples((10, 14)), [came(13), went(16)]),
        # Nobody could hear it for long enough.
        (samples((10, 20), heard=((0, 14), (16, 100))), []),
        # It stood before, and was told then.
        (samples((0, 30), heard=((20, 100),)), [came(1)]),
        # It was heard when it began, and told when Home Assistant was up again.
        (samples((10, 60), heard=((0, 12), (50, 100))), [came(51)]),
        (samples((10, 20)), [came(12), went(13), came(14), went(90)]),
    ],
)
def test_all_is_well(shown: list[Sample], told: list[Told]) -> None:
    books = audit_codes(shown, told)
    assert books.problems == ()
    assert books.told == len(told)


@pytest.mark.parametrize(
    ("shown", "told", "due", "problem"),
    [
        (samples((10, 20)), [], 1, "stood from 10.0 to 19.5 s untold"),
        (samples((10, 20), (40, 50)), [came(12), went(22)], 2, "stood from 40.0 to 49.5 s untold"),
        (samples((10, 20)), [came(5), went(6)], 1, "stood from 10.0 to 19.5 s untold"),
        (samples((10, 20)), [came(30)], 1, "stood from 10.0 to 19.5 s untold"),
        (samples(), [came(30)], 0, "was invented at 30.0 s"),
    ],
)
def test_something_is_wrong(shown: list[Sample], told: list[Told], due: int, problem: str) -> None:
    books = audit_codes(shown, told)
    assert books.due == due
    assert f"{CODE} {problem}" in books.problems


def test_nobody_looked_for_a_while() -> None:
    """Between two samples far apart, anything may have been."""
    shown = [one for one in samples((10, 20)) if not 13 < one.at < 16.5]
    assert audit_codes(shown, []).problems == ()


@pytest.mark.parametrize(
    ("flowed", "counted", "gaps", "wrong"),
    [
        (1000, 1000, 0, False),
        (1000, 1011, 0, False),
        (1000, 1013, 0, True),
        (1000, 985, 0, True),
        (1000, 960, 1, False),
        (1000, 955, 1, True),
    ],
)
def test_energy(flowed: float, counted: float, gaps: int, wrong: bool) -> None:
    books = audit_energy("mppt, charged", flowed=flowed, counted=counted, gaps=gaps, voltage=52)
    assert bool(books.problem) is wrong


@pytest.mark.parametrize(("last", "wrong"), [(90, False), (110, False), (111, True)])
def test_growth(last: float, wrong: bool) -> None:
    grown = Growth(name="tasks", first=100, last=last, allowed=10)
    assert grown.problem == ("tasks grew from 100 to 111" if wrong else None)


@pytest.mark.parametrize("days", [0, 1, 3])
def test_a_clock_that_was_set(days: int) -> None:
    assert unstepped(1_000_000 + days * 86400 + 1800, 1_000_000) == 1_001_800
