"""The order of records."""

from collections.abc import Iterable
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.record_filter import ORDER_HOLDS, RESTARTED_AFTER, NonceOrder, Order

NEW, REPEATED, BEHIND = Order.NEW, Order.REPEATED, Order.BEHIND
MODULUS: Final = 0x10000
# The most that one record can be behind another: further away it counts as ahead.
MOST_BEHIND: Final = MODULUS // 2


def places(nonces: Iterable[int], pause: float = 1.0) -> list[Order]:
    """Return how each record of a stream, of one every so many s, is_active to those before it."""
    order = NonceOrder()
    return [order.place(nonce % MODULUS, step * pause) for step, nonce in enumerate(nonces)]


@pytest.mark.parametrize("first", [0, 1, 0x7FFF, 0x8000, 0xFFFF])
def test_the_first_record_is_new_whatever_its_number(first: int) -> None:
    assert places([first]) == [NEW]


def test_records_in_order_are_new() -> None:
    assert places([5, 6, 7, 9, 500]) == [NEW] * 5


def test_a_repeated_record() -> None:
    assert places([5, 5, 5, 6, 6]) == [NEW, REPEATED, REPEATED, NEW, REPEATED]


def test_a_late_record_is_behind() -> None:
    assert places([5, 6, 5, 7]) == [NEW, NEW, BEHIND, NEW]


def test_the_counter_wraps_around() -> None:
    assert places([0xFFFE, 0xFFFF, 0, 0xFFFF, 1]) == [NEW, NEW, NEW, BEHIND, NEW]


@pytest.mark.parametrize("first", [0, 40000, 0xFFFF])
def test_half_the_numbers_are_ahead_and_half_behind(first: int) -> None:
    assert places([first, first + MOST_BEHIND - 1]) == [NEW, NEW]
    assert places([first, first + MOST_BEHIND]) == [NEW, BEHIND]
    assert places([first, first + MOST_BEHIND + 1]) == [NEW, BEHIND]


def test_a_device_that_starts_again_is_followed_from_its_third_record() -> None:
    assert RESTARTED_AFTER == 3
    assert places([1000, 7, 8, 9, 10, 9]) == [NEW, BEHIND, BEHIND, NEW, NEW, BEHIND]


def test_one_late_record_however_often_is_no_restart() -> None:
    assert places([1000, 7, 7, 7, 7, 7, 1000, 1001]) == [NEW, *[BEHIND] * 5, REPEATED, NEW]


def test_two_late_records_however_often_are_no_restart() -> None:
    assert places([1000, 7, 8, 7, 8, 7, 1001]) == [NEW, *[BEHIND] * 5, NEW]


def test_a_new_record_ends_the_suspicion_of_a_restart() -> None:
    assert places([1000, 7, 8, 1001, 9, 10, 1002, 11]) == [NEW, BEHIND, BEHIND, NEW, BEHIND, BEHIND, NEW, BEHIND]


def test_a_repeated_record_does_not_end_it() -> None:
    assert places([1000, 7, 8, 1000, 9]) == [NEW, BEHIND, BEHIND, REPEATED, NEW]


@pytest.mark.parametrize("nonces", [(7, 8), (7, 7)], ids=["restarted", "restarted and quiet"])
def test_after_silence_two_records_begin_a_new_order(nonces: tuple[int, int]) -> None:
    assert places([1000, *nonces], pause=ORDER_HOLDS + 1) == [NEW, BEHIND, NEW]


def test_the_latest_record_keeps_the_order_as_long_as_it_is_heard() -> None:
    assert places([1000, 1000, 7, 1000, 7, 1000], pause=ORDER_HOLDS - 1) == [
        NEW,
        REPEATED,
        BEHIND,
        REPEATED,
        BEHIND,
        REPEATED,
    ]


def test_a_device_that_starts_again_ahead_is_followed_at_once() -> None:
    assert places([1000, 20000, 20001]) == [NEW] * 3


# A step of the stream: how far the counter goes on, how often that record comes, and how far behind
# those are that come late after it. Three or more different late ones in a row would be a restart.
STEPS: Final = st.lists(
    st.tuples(
        st.integers(1, MOST_BEHIND - 1),
        st.integers(1, 3),
        st.lists(st.integers(1, MOST_BEHIND), max_size=RESTARTED_AFTER - 1),
    ),
    min_size=1,
    max_size=40,
)


@given(st.integers(0, MODULUS - 1), STEPS)
@settings(deadline=None)
def test_a_stream_with_repeated_and_late_records_never_goes_back(
    start: int, steps: list[tuple[int, int, list[int]]]
) -> None:
    order = NonceOrder()
    order.place(start, 0.0)
    now = start
    for ahead, times, late in steps:
        now += ahead
        assert [order.place(now % MODULUS, 1.0) for _ in range(times)] == [NEW, *[REPEATED] * (times - 1)]
        assert {order.place((now - distance) % MODULUS, 1.0) for distance in late} <= {BEHIND}


@given(st.integers(0, MODULUS - 1), st.integers(1, MOST_BEHIND - RESTARTED_AFTER))
@settings(deadline=None)
def test_a_restart_is_followed_wherever_it_counts_from(last: int, distance: int) -> None:
    restarted = last - distance - RESTARTED_AFTER

    assert places([last, *range(restarted, restarted + 5)]) == [NEW, BEHIND, BEHIND, NEW, NEW, NEW]
