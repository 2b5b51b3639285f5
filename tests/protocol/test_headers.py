"""Manufacturer data that is not ours, not whole, or not readable: always one of six errors."""

from contextlib import suppress
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.advertisement import (
    ImplausibleRecord,
    InstantReadout,
    InstantReadoutError,
    MalformedRecord,
    NotInstantReadout,
    OtherRecord,
    ShortBeacon,
    WrongKey,
    is_short_beacon,
    is_smallbms_ng,
    product_id,
)

from .packer import KEY, PRODUCT_ID, advertise, pack

GOOD: Final = advertise(pack())
# The callers tell these apart by their exact type.
REFUSALS: Final = {ShortBeacon, NotInstantReadout, OtherRecord, MalformedRecord, WrongKey, ImplausibleRecord}


def refusal(data: bytes) -> type[Exception] | None:
    """Return the error with which manufacturer data is refused; None when it is read."""
    try:
        InstantReadout(KEY).decode(data)
    except InstantReadoutError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"", NotInstantReadout, id="empty"),
        pytest.param(b"\x10", MalformedRecord, id="one byte"),
        pytest.param(b"\x11", NotInstantReadout, id="one other byte"),
        pytest.param(GOOD[:4], ShortBeacon, id="a short beacon"),
        pytest.param(GOOD[:3], MalformedRecord, id="ends within the product id"),
        pytest.param(GOOD[:5], MalformedRecord, id="ends after the record type"),
        pytest.param(GOOD[:7], MalformedRecord, id="ends before the key byte"),
        pytest.param(GOOD[:8], MalformedRecord, id="header only"),
        pytest.param(GOOD[:23], MalformedRecord, id="one byte short"),
        pytest.param(b"\0" * 24, NotInstantReadout, id="zeros"),
        pytest.param(b"\xff" * 24, NotInstantReadout, id="ones"),
        pytest.param(b"\x10" * 24, OtherRecord, id="0x10 all over"),
        pytest.param(advertise(pack(), record_type=0x02)[:9], OtherRecord, id="short and another record"),
    ],
)
def test_data_that_holds_no_record_of_ours(data: bytes, error: type[Exception]) -> None:
    assert refusal(data) is error
    if error is not ShortBeacon:
        assert not is_smallbms_ng(data)
        assert product_id(data) is None


def test_a_longer_advertisement_is_read_by_its_first_bytes() -> None:
    assert InstantReadout(KEY).decode(GOOD + b"\xff\x00") == InstantReadout(KEY).decode(GOOD)
    assert is_smallbms_ng(GOOD + b"\0")


@pytest.mark.parametrize(("product", "ours"), [(0xA3EC, True), (0xA3E5, False), (0xA389, False)])
def test_a_beacon_is_ours_by_its_product_id_only(product: int, ours: bool) -> None:
    beacon = b"\x10\x00" + product.to_bytes(2, "little")
    assert is_short_beacon(beacon)
    assert is_smallbms_ng(beacon) is ours
    assert product_id(beacon) == product


@pytest.mark.parametrize("data", [GOOD, GOOD[:5], b"", b"\x11\x00\xec\xa3"])
def test_what_is_no_beacon(data: bytes) -> None:
    assert not is_short_beacon(data)


def test_any_other_first_byte() -> None:
    others = [advertise(pack(), first=first) for first in range(256) if first != 0x10]

    assert {refusal(data) for data in others} == {NotInstantReadout}
    assert {refusal(data[:9]) for data in others} == {NotInstantReadout}
    assert not any(is_smallbms_ng(data) for data in others)


def test_any_other_record_type() -> None:
    others = [advertise(pack(), record_type=record_type) for record_type in range(256) if record_type != 0x0A]

    assert {refusal(data) for data in others} == {OtherRecord}
    assert not any(is_smallbms_ng(data) for data in others)


@pytest.mark.parametrize("second", [0x00, 0x01, 0x02, 0x03, 0x80, 0x82, 0xFF])
def test_the_second_byte_is_not_looked_at(second: int) -> None:
    assert refusal(advertise(pack(), second=second)) is None


@pytest.mark.parametrize(
    ("product", "ours"),
    [
        (0xA3EC, True),
        (0xA3E2, True),
        (0xA3E3, False),
        (0xA3E4, False),
        (0xA3E5, False),
        (0xA3E6, False),
        (0xA3E7, False),
        (0xA3E8, True),
        (0x0000, True),
        (0xFFFF, True),
    ],
)
def test_any_product_is_taken_for_ours_but_the_known_others(product: int, ours: bool) -> None:
    data = advertise(pack(), product_id=product)

    assert is_smallbms_ng(data) is ours
    assert product_id(data) == product
    assert InstantReadout(KEY).decode(data).product_id == product


def test_the_product_is_known_without_the_key() -> None:
    assert product_id(advertise(pack(), key=bytes(16))) == PRODUCT_ID


def test_any_key_with_another_first_byte() -> None:
    others = [advertise(pack(), key=bytes((first,)) + KEY[1:]) for first in range(256) if first != KEY[0]]

    assert {refusal(data) for data in others} == {WrongKey}


def test_a_wrong_key_that_passes_the_check_does_not_give_the_values() -> None:
    """One wrong key in 256 has the right first byte; nothing then protects but what banks can have."""
    wrong = InstantReadout(KEY[:-1] + bytes((KEY[-1] ^ 1,)))
    readings = []
    for nonce in range(200):
        with suppress(ImplausibleRecord):
            readings.append(wrong.decode(advertise(pack(), nonce=nonce)))

    assert len(readings) < 10
    assert all(reading.record_bytes != pack() for reading in readings)


@pytest.mark.parametrize("nonce", [0x0000, 0x0001, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFF00, 0xFFFF])
def test_the_nonce_is_counted_little_endian(nonce: int) -> None:
    reading = InstantReadout(KEY).decode(advertise(pack(), nonce=nonce))

    assert reading.nonce == nonce
    assert reading.record_bytes == pack()


@pytest.mark.parametrize("key", [b"", b"\0" * 15, b"\0" * 17, b"\0" * 24, b"\0" * 32])
def test_a_decoder_wants_sixteen_bytes_of_key(key: bytes) -> None:
    with pytest.raises(ValueError, match="bytes instead of 16"):
        InstantReadout(key)


@given(st.binary(max_size=64) | st.binary(max_size=30).map(lambda tail: b"\x10" + tail))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_refused_with_one_of_six_errors(data: bytes) -> None:
    assert refusal(data) in REFUSALS | {None}
    assert isinstance(is_smallbms_ng(data), bool)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 0xFFFF))
@settings(deadline=None, max_examples=300)
def test_any_record_is_read_or_implausible(record: bytes, nonce: int) -> None:
    assert refusal(advertise(record, nonce=nonce)) in {None, ImplausibleRecord}
