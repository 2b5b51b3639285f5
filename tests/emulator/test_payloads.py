"""Payloads of registers: every kind at its ends, not available, and wrong."""

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.ve_smart.payloads import (
    Fields,
    FirmwareVersion,
    Number,
    Numbers,
    Octets,
    PayloadError,
    Text,
    kelvin,
    signed,
    unsigned,
)

U16 = unsigned(2, scale=0.01, not_available=0xFFFF)
S16 = signed(2, scale=0.01, not_available=0x7FFF)
KELVIN = kelvin(not_available=0xFFFF)
KELVIN_OR_NONE = kelvin(not_available=0)
STATES = Fields(size=2, keys=("a", "b", "c"), states={True: 1, False: 2})


@pytest.mark.parametrize(
    ("payload", "value", "expected"),
    [
        (unsigned(1), 3, "03"),
        (unsigned(2), 600, "5802"),
        (unsigned(4), 1 << 27, "00000008"),
        (S16, 24.88, "b809"),
        (S16, 14.0, "7805"),
        (S16, -0.01, "ffff"),
        (S16, None, "ff7f"),
        (S16, 327.67, "fe7f"),
        (S16, 1e9, "fe7f"),
        (S16, -1e9, "0080"),
        (signed(4, scale=0.001), -0.06, "c4ffffff"),
        (signed(4, scale=0.1), -4.4, "d4ffffff"),
        (signed(4), None, "00000000"),
        (U16, 76.5, "e21d"),
        (U16, None, "ffff"),
        (U16, 655.35, "feff"),
        (U16, -1, "0000"),
        (KELVIN, 25.0, "7774"),
        (KELVIN, -20.0, "e362"),
        (KELVIN, None, "ffff"),
        (KELVIN_OR_NONE, None, "0000"),
        (KELVIN_OR_NONE, -273.15, "0100"),
    ],
)
def test_numbers_are_encoded(payload: Number, value: float | None, expected: str) -> None:
    assert payload.encode(value).hex() == expected


def test_numbers_read_back_exactly() -> None:
    assert unsigned(2, scale=0.1).decode(b"\x03\0") == 0.3


@pytest.mark.parametrize("payload", [U16, S16, unsigned(1), unsigned(4, scale=0.1), signed(4), KELVIN, KELVIN_OR_NONE])
@given(st.data())
@settings(max_examples=30)
def test_every_raw_number_survives(payload: Number, data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=payload.size, max_size=payload.size))
    assert payload.encode(payload.decode(raw)) == raw


@pytest.mark.parametrize("raw", [b"", b"\1", b"\1\2\3"])
def test_numbers_of_another_size_are_refused(raw: bytes) -> None:
    with pytest.raises(PayloadError):
        U16.decode(raw)
    with pytest.raises(PayloadError):
        Numbers(parts=(unsigned(1), unsigned(1))).decode(raw)


def test_numbers_in_a_row() -> None:
    cell = Numbers(parts=(unsigned(1), unsigned(1), U16))
    assert cell.encode((2, 3, 3.31)).hex() == "02034b01"
    assert cell.decode(bytes.fromhex("02034b01")) == pytest.approx((2, 3, 3.31))
    with pytest.raises(ValueError, match="shorter"):
        cell.encode((2, 3))


@pytest.mark.parametrize(
    ("payload", "value", "expected"),
    [
        (Text(size=64), "Boat", b"Boat"),
        (Text(size=64), "", b""),
        (Text(size=3), "éé", "é".encode()),
        (Text(size=4), "Boat", b"Boat"),
        (Text(size=8, padded=True), "HQ26", b"HQ26\0\0\0\0"),
        (Text(size=4, padded=True), "HQ26", b"HQ2\0"),
    ],
)
def test_texts_are_encoded(payload: Text, value: str, expected: bytes) -> None:
    assert payload.encode(value) == expected


@pytest.mark.parametrize("raw", [b"HQ26", b"HQ26\0", b"HQ26\0\0\xff\xff", b"HQ26\xff\xff"])
def test_texts_end_at_a_zero_or_their_padding(raw: bytes) -> None:
    assert Text(size=8).decode(raw) == "HQ26"


@pytest.mark.parametrize("raw", [b"123456789", b"\xc3(", b"\x80"])
def test_what_is_no_text_is_refused(raw: bytes) -> None:
    with pytest.raises(PayloadError):
        Text(size=8).decode(raw)


def test_octets_have_their_size() -> None:
    key = Octets(size=16)
    assert key.decode(key.encode(bytes(range(16)))) == bytes(range(16))
    with pytest.raises(PayloadError):
        key.decode(bytes(15))


def test_fields_are_two_bits_each_from_the_lowest() -> None:
    assert STATES.encode({"a": True, "c": False}).hex() == "2100"
    assert STATES.decode(bytes.fromhex("2100")) == {"a": True, "c": False}
    with pytest.raises(PayloadError):
        STATES.decode(b"\x21")


@pytest.mark.parametrize(
    ("version", "payload"),
    [("v1.05", "00050100"), ("v2.10", "00100200"), ("v12.34", "00341200"), ("v1.05-beta-02", "00020501")],
)
def test_firmware_versions_are_written_in_their_own_digits(version: str, payload: str) -> None:
    assert FirmwareVersion().encode(version).hex() == payload
    assert FirmwareVersion().decode(bytes.fromhex(payload)) == version


def test_a_firmware_version_with_a_third_part_of_ff_is_a_release() -> None:
    assert FirmwareVersion().decode(bytes.fromhex("00ff0501")) == "v1.05"


@pytest.mark.parametrize("text", ["", "1.05", "v1", "v1.5", "v123.45", "v1.05-beta-2", "v\uff11.05"])
def test_what_is_no_version_is_not_available(text: str) -> None:
    payload = FirmwareVersion().encode(text)
    assert payload.hex() == "00ffffff"
    with pytest.raises(PayloadError):
        FirmwareVersion().decode(payload)
