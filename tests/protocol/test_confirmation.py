"""Which flags are believed, and when."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.codes import Level
from custom_components.smallbms_ng.protocol.quantities import Flag
from custom_components.smallbms_ng.protocol.record_filter import CONFIRMED_AFTER, HEARD_SELDOM, Confirmation

FINE: dict[str, Flag] = {"error": 0, "low_soc": Level.OK}
WARNING: dict[str, Flag] = {"error": 0, "low_soc": Level.WARNING}
ALARM: dict[str, Flag] = {"error": 0, "low_soc": Level.ALARM}
FAULT: dict[str, Flag] = {"error": 11, "low_soc": Level.OK}


def heard_often() -> Confirmation:
    """Return what has heard a record a second, of which the last came at 4 s."""
    confirmation = Confirmation()
    for at in range(5):
        confirmation.take_record(FINE, at)
    return confirmation


def test_the_first_record_is_believed() -> None:
    confirmation = Confirmation()
    confirmation.take_record(ALARM, 0)
    assert confirmation.believed == ALARM


def test_a_change_is_believed_with_the_second_record() -> None:
    confirmation = heard_often()
    confirmation.take_record(ALARM, 5)
    assert confirmation.believed == FINE
    confirmation.take_record(ALARM, 6)
    assert confirmation.believed == ALARM
    assert confirmation.next_look is None


def test_each_flag_is_judged_by_itself() -> None:
    confirmation = heard_often()
    confirmation.take_record(ALARM, 5)
    confirmation.take_record(FAULT | ALARM | {"error": 11}, 6)
    assert confirmation.believed == {"error": 0, "low_soc": Level.ALARM}


def test_a_single_odd_record_changes_nothing() -> None:
    confirmation = heard_often()
    for at, flags in enumerate((ALARM, FINE, FAULT, FINE), 5):
        confirmation.take_record(flags, at)
        assert confirmation.believed == FINE
    assert confirmation.next_look is None


def test_a_repeated_record_counts_as_two() -> None:
    confirmation = heard_often()
    confirmation.take_record(ALARM, 5)
    confirmation.take_repeat(6)
    assert confirmation.believed == FINE
    assert confirmation.next_look == 5 + CONFIRMED_AFTER
    confirmation.look(5 + CONFIRMED_AFTER)
    assert confirmation.believed == ALARM


def test_the_same_transmission_over_another_radio_is_no_repeat() -> None:
    confirmation = heard_often()
    confirmation.take_record(ALARM, 5)
    confirmation.take_repeat(5.1)
    confirmation.look(5 + CONFIRMED_AFTER)
    assert confirmation.believed == FINE


def test_a_connection_is_believed_at_once() -> None:
    confirmation = heard_often()
    confirmation.take_record(ALARM, 5)
    confirmation.take_confirmed({"error": 9}, 5.5)
    assert confirmation.believed == {"error": 9, "low_soc": Level.OK}
    confirmation.take_confirmed({"low_soc": Level.ALARM}, 5.6)
    assert confirmation.believed == {"error": 9, "low_soc": Level.ALARM}


def test_after_a_connection_one_record_does_not_bring_back_what_was() -> None:
    confirmation = heard_often()
    confirmation.take_confirmed(ALARM, 5)
    confirmation.take_record(FINE, 6)
    assert confirmation.believed == ALARM
    confirmation.take_record(FINE, 7)
    assert confirmation.believed == FINE


def test_where_little_is_heard_one_record_is_enough() -> None:
    confirmation = Confirmation()
    for step in range(5):
        confirmation.take_record(FINE, step * (HEARD_SELDOM + 1))
    confirmation.take_record(ALARM, 5 * (HEARD_SELDOM + 1))
    assert confirmation.believed == ALARM


@pytest.mark.parametrize("flags", [ALARM, WARNING])
def test_one_pause_is_not_little(flags: dict[str, Flag]) -> None:
    """The phone had the device for a while."""
    confirmation = heard_often()
    confirmation.take_record(flags, 300)
    assert confirmation.believed == FINE


def test_the_last_record_before_silence_is_believed() -> None:
    confirmation = heard_often()
    confirmation.take_record(ALARM, 5)
    assert confirmation.next_look == 5 + HEARD_SELDOM
    confirmation.look(4.9 + HEARD_SELDOM)
    assert confirmation.believed == FINE
    confirmation.look(5 + HEARD_SELDOM)
    assert confirmation.believed == ALARM


def test_a_device_that_cannot_decide_is_believed_in_the_end() -> None:
    """Neither a warning nor an alarm stands in two records in a row, but something is wrong."""
    confirmation = heard_often()
    for at in range(5, 5 + int(HEARD_SELDOM) + 1):
        confirmation.take_record(WARNING if at % 2 else ALARM, at)
        confirmation.look(at)
    assert confirmation.believed["low_soc"] is not Level.OK


RECORDS = st.lists(st.tuples(st.sampled_from([FINE, WARNING, ALARM, FAULT]), st.floats(0.0, 30.0), st.booleans()))


@given(RECORDS)
def test_what_is_believed_was_heard(records: list[tuple[dict[str, Flag], float, bool]]) -> None:
    """And nothing is waited for for longer than it takes to believe it."""
    confirmation, at, heard = Confirmation(), 0.0, [FINE]
    for flags, pause, repeated in records:
        at += pause
        confirmation.look(at)
        confirmation.take_record(flags, at)
        heard.append(flags)
        if repeated:
            confirmation.take_repeat(at + 0.7)
            at += 0.7
        assert all(value in [flags[name] for flags in heard] for name, value in confirmation.believed.items())
        assert confirmation.next_look is None or confirmation.next_look <= at + HEARD_SELDOM
