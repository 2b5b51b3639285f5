"""A reading from what a connection gives."""

from custom_components.smallbms_ng.protocol.registers import Name
from custom_components.smallbms_ng.protocol.status_page import with_status

PRODUCT_ID = 0xA3EC


def test_nothing_is_known_before_the_error_is() -> None:
    assert with_status(None, PRODUCT_ID, {Name.VOLTAGE: 13.2}) is None


def test_a_connection_alone_gives_a_reading() -> None:
    reading = with_status(None, PRODUCT_ID, {Name.VOLTAGE: 13.204, Name.ERROR: 0})
    assert reading
    assert (reading.product_id, reading.voltage, reading.error, reading.nonce) == (PRODUCT_ID, 13.2, 0, 0)


def test_what_a_connection_does_not_give_stays() -> None:
    known = with_status(None, PRODUCT_ID, {Name.VOLTAGE: 13.2, Name.CURRENT: 1.5, Name.ERROR: 5})
    reading = with_status(known, PRODUCT_ID, {Name.VOLTAGE: 13.3})
    assert reading
    assert (reading.voltage, reading.current, reading.error) == (13.3, 1.5, 5)
