"""What counts as a change of what a device says, and how records are told apart at their limits."""

from math import inf

import pytest

from custom_components.smallbms_ng.protocol.advertisement import ImplausibleRecord, WrongKey
from custom_components.smallbms_ng.protocol.codes import Level
from custom_components.smallbms_ng.protocol.quantities import Flag
from custom_components.smallbms_ng.protocol.record_filter import (
    HEARD_SELDOM,
    KEY_LOST_AFTER,
    ORDER_HOLDS,
    Confirmation,
    FlagChanges,
    KeyTrust,
    NonceOrder,
    Order,
)

FINE: dict[str, Flag] = {"error": 5, "low_soc": Level.OK, "allowed_to_charge": True}


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (FINE, False),
        (FINE | {"error": 6}, True),
        (FINE | {"error": 4}, True),
        (FINE | {"low_soc": Level.ALARM}, True),
        (FINE | {"allowed_to_charge": False}, True),
        # What is not known, or not watched, is no change.
        (FINE | {"error": None}, False),
        (FINE | {"contactor_closed": True}, False),
        ({}, False),
    ],
)
def test_what_is_a_change(now: dict[str, Flag], changed: bool) -> None:
    changes = FlagChanges()
    assert not changes.take_advertised(FINE | {"contactor_closed": False}), "it is heard first"
    assert changes.take_advertised(now) is changed
    assert not changes.take_advertised(now)


def test_what_was_not_known_in_between_is_compared_with_before() -> None:
    changes = FlagChanges()
    changes.take_advertised(FINE)
    changes.take_advertised(FINE | {"error": None})
    assert not changes.take_advertised(FINE)
    changes.take_advertised(FINE | {"error": None})
    assert changes.take_advertised(FINE | {"error": 6})


def test_what_was_read_is_compared_with_what_was_read() -> None:
    changes = FlagChanges()
    changes.take_advertised(FINE)
    assert not changes.take_read(FINE | {"error": 9}), "it may always answer something else"
    assert not changes.take_read(FINE | {"error": 9})
    assert not changes.take_advertised(FINE)


def test_a_change_is_told_once_whichever_way_it_comes() -> None:
    changes = FlagChanges()
    changes.take_advertised(FINE)
    changes.take_read(FINE)
    assert changes.take_read(FINE | {"error": 9})
    assert not changes.take_advertised(FINE | {"error": 9}), "as was read"
    assert changes.take_advertised(FINE), "it has changed again"


ALARM: dict[str, Flag] = FINE | {"low_soc": Level.ALARM}


@pytest.mark.parametrize(("pause", "believed"), [(HEARD_SELDOM, FINE), (HEARD_SELDOM + 0.1, ALARM)])
def test_how_seldom_is_seldom(pause: float, believed: dict[str, Flag]) -> None:
    confirmation = Confirmation()
    for step in range(5):
        confirmation.take_record(FINE, step * pause)
    confirmation.take_record(ALARM, 5 * pause)
    assert confirmation.believed == believed


def test_one_short_pause_among_the_last_three_is_enough() -> None:
    """Another transmission half a second later is one; a copy over another radio, sooner, is none."""
    confirmation = Confirmation()
    for at in (0, 20, 40, 40.5, 60, 80):
        confirmation.take_record(FINE, at)
    confirmation.take_record(ALARM, 100)
    assert confirmation.believed == FINE
    confirmation = Confirmation()
    for at in (0, 20, 40, 40.4, 60, 80):
        confirmation.take_record(FINE, at)
    confirmation.take_record(ALARM, 100)
    assert confirmation.believed == ALARM


@pytest.mark.parametrize("kind", KEY_LOST_AFTER)
def test_when_a_key_is_lost(kind: type[WrongKey | ImplausibleRecord]) -> None:
    trust = KeyTrust()
    limit = KEY_LOST_AFTER[kind]
    for number in range(limit - 1):
        trust.doubt(kind("x"), bytes((number,)))
        trust.doubt(kind("x"), bytes((number,)))
    assert not trust.lost
    for number in range(limit - 1, limit + 3):
        trust.doubt(kind("x"), bytes((number,)))
        assert trust.lost


def test_how_long_an_order_holds() -> None:
    """Later than that, two records from behind begin a new one; sooner, three."""
    for late, needed in ((ORDER_HOLDS, 3), (ORDER_HOLDS + 0.1, 2)):
        order = NonceOrder()
        assert order.place(1000, -500) is Order.NEW, "the clock may begin anywhere"
        found = [order.place(nonce, -500 + late) for nonce in (10, 11, 12)]
        assert found.index(Order.NEW) == needed - 1


def test_so_many_records_from_behind_are_remembered() -> None:
    """Sixteen copies of two late records, from as many radios, push none of them out."""
    order = NonceOrder()
    order.place(1000, 0)
    found = [order.place(nonce, 1) for nonce in (10, *(11,) * 14, 10, 12)]
    assert found[:-1] == [Order.BEHIND] * 16
    assert found[-1] is Order.NEW


def test_nothing_was_heard_yet() -> None:
    assert Confirmation().next_look is None
    assert not Confirmation().believed
    confirmation = Confirmation()
    confirmation.take_record(FINE, -1e6)
    confirmation.look(inf)
    assert confirmation.believed == FINE
