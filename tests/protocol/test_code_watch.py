"""When a code counts as begun, and when as ended."""

from collections.abc import Iterable

import pytest

from custom_components.smallbms_ng.protocol.code_watch import Changes, CodeWatch
from custom_components.smallbms_ng.protocol.codes import Code

NOTHING = ("", "")


def codes(text: str) -> frozenset[Code]:
    return frozenset(map(Code.parse, text.split()))


def told(changes: Changes) -> tuple[str, str]:
    """Return what has begun and what has ended, as text."""
    begun, ended = (" ".join(sorted(map(str, some))) for some in (changes.begun, changes.ended))
    assert bool(changes) == bool(begun or ended)
    return begun, ended


def watched(watch: CodeWatch, records: Iterable[str]) -> list[tuple[str, str]]:
    return [told(watch.take(codes(record))) for record in records]


def test_a_code_begins_and_ends_with_the_second_record() -> None:
    watch = CodeWatch(())
    assert watched(watch, ["A-B01", "A-B01", "A-B01"]) == [NOTHING, ("A-B01", ""), NOTHING]
    assert watch.active == codes("A-B01")
    assert watched(watch, ["", "", ""]) == [NOTHING, ("", "A-B01"), NOTHING]
    assert watch.active == frozenset()


def test_a_single_odd_record_changes_nothing() -> None:
    watch = CodeWatch(codes("W-B07"))
    assert watched(watch, ["W-B07", "A-B01", "W-B07", "", "W-B07"]) == [NOTHING] * 5
    assert watch.active == codes("W-B07")


def test_each_code_is_judged_by_itself() -> None:
    watch = CodeWatch(codes("W-B07"))
    assert watched(watch, ["W-B07 A-B01", "A-B01 E-B11", "E-B11"]) == [NOTHING, ("A-B01", ""), ("E-B11", "W-B07")]
    assert watch.active == codes("A-B01 E-B11")


def test_a_warning_that_becomes_an_alarm_ends() -> None:
    watch = CodeWatch(codes("W-B01"))
    assert watched(watch, ["A-B01", "A-B01"]) == [NOTHING, ("A-B01", "W-B01")]


def test_what_stands_at_the_very_first_does_not_begin() -> None:
    watch = CodeWatch()
    assert watched(watch, ["A-B01", "A-B01 W-B07", "A-B01 W-B07"]) == [NOTHING, NOTHING, ("W-B07", "")]


def test_nothing_is_known_before_the_second_record() -> None:
    watch = CodeWatch()
    watch.take(codes("A-B01"))
    assert watch.active is None


def test_what_began_and_ended_meanwhile_is_told() -> None:
    """After a restart, it is compared with what stood before."""
    watch = CodeWatch(codes("W-B07"))
    assert watched(watch, ["A-B01", "A-B01"]) == [NOTHING, ("A-B01", "W-B07")]


@pytest.mark.parametrize("before", [[], ["W-B07"]])
def test_one_read_over_a_connection_is_enough(before: list[str]) -> None:
    watch = CodeWatch(())
    watched(watch, before)
    assert told(watch.take(codes("A-B01"), sure=True)) == ("A-B01", "")
    assert told(watch.take(codes(""), sure=True)) == ("", "A-B01")


def test_a_record_and_a_read_are_two() -> None:
    watch = CodeWatch(())
    watch.take(codes("A-B01"))
    assert told(watch.take(codes("A-B01"), sure=True)) == ("A-B01", "")
    assert watched(watch, ["A-B01"]) == [NOTHING]


def test_the_first_read_does_not_begin_anything() -> None:
    watch = CodeWatch()
    assert told(watch.take(codes("A-B01"), sure=True)) == NOTHING
    assert watch.active == codes("A-B01")


@pytest.mark.parametrize(
    ("records", "pending"), [([], False), ([""], False), (["A-B01"], True), (["A-B01", "A-B01"], False)]
)
def test_what_waits_for_confirmation(records: list[str], pending: bool) -> None:
    watch = CodeWatch(())
    watched(watch, records)
    assert watch.pending is pending
