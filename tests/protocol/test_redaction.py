"""What identifies a device or its owner gets stand-ins of the same length."""

import pytest

from custom_components.smallbms_ng.protocol.redaction import Kind, StandIns

SERIAL = b"HQ2530AB12C"
KEY = bytes.fromhex("5eed0fba77e4b00e9a3c51d2c4f78e16")
ADDRESS = "C0:3A:5E:0B:47:01"


def value(register: int, payload: bytes, instance: int = 0) -> bytes:
    """Return a value as a device sends it."""
    return bytes((8, instance, 0x19)) + register.to_bytes(2) + bytes((0x40 | len(payload),)) + payload


VOLTAGE = value(0xED8D, b"\xb8\x09")


@pytest.mark.parametrize("padding", [b"", b"\x00" * 5, b"\xff" * 5])
def test_text_keeps_its_padding(padding: bytes) -> None:
    assert StandIns().payload(0x010A, SERIAL + padding) == b"serial 1xxx" + padding


def test_the_same_secret_has_the_same_stand_in() -> None:
    stand_ins = StandIns()
    one, other = (stand_ins.payload(0x010A, serial) for serial in (SERIAL, b"HQ2530AB12D"))
    assert one != other
    assert stand_ins.payload(0x010A, SERIAL) == one
    assert stand_ins.text(f"{SERIAL.decode()} is away") == f"{one.decode()} is away"


@pytest.mark.parametrize(
    ("register", "payload"),
    [(0xEC65, KEY), (0xEC66, b"\xc0\x3a\x5e\x0b\x47\x01"), (0xEC10, b"\x52\x47\x0b\x00"), (0x010C, b"Ann's boat")],
)
def test_secret_registers(register: int, payload: bytes) -> None:
    found = StandIns().payload(register, payload)
    assert len(found) == len(payload)
    assert found != payload
    assert register != 0xEC65 or not found[0], "as the key check is shown"


def test_what_is_harmless_stays() -> None:
    assert StandIns().stream(VOLTAGE + bytes.fromhex("0900190328 01 029f000001000301ff")) == VOLTAGE + bytes.fromhex(
        "0900190328 01 029f000001000301ff"
    )
    assert StandIns().payload(0x010B, b"smallBMS NG") == b"smallBMS NG"
    assert StandIns().payload(0x1234, b"\x01\x02abc") == b"\x01\x02abc", "too short for a name"


def test_text_in_an_unknown_register_goes() -> None:
    found = StandIns().payload(0x1234, b"\x01Ann's boat\x02")
    assert (found[0], found[-1], len(found)) == (1, 2, 12)
    assert b"Ann" not in found


@pytest.mark.parametrize(
    "stream",
    [
        value(0x010A, SERIAL) + VOLTAGE + value(0xEC65, KEY),
        # A write, in both forms of arrays.
        bytes.fromhex("06009f19ec6550") + KEY + b"\xff",
        bytes.fromhex("06008219ec6550") + KEY,
        # A record that nobody knows.
        b"\x18\x77" + value(0x010A, SERIAL) + value(0xEC65, KEY),
    ],
)
def test_a_stream_keeps_all_but_the_secrets(stream: bytes) -> None:
    stand_ins = StandIns()
    found = stand_ins.stream(stream)
    assert len(found) == len(stream)
    assert KEY not in found
    assert SERIAL not in found
    assert found == stream.replace(KEY, stand_ins.payload(0xEC65, KEY)).replace(
        SERIAL, stand_ins.payload(0x010A, SERIAL)
    )


@pytest.mark.parametrize("cut", range(1, len(KEY)))
def test_a_stream_that_was_cut_off(cut: int) -> None:
    found = StandIns().stream(value(0xEC65, KEY)[:-cut])
    assert found[:6] == value(0xEC65, KEY)[:6]
    assert KEY[: len(KEY) - cut] not in found


def test_what_is_no_ve_smart_loses_its_text() -> None:
    found = StandIns().stream(b"\xf6\x5f\x01\x02" + SERIAL + b"\x03")
    assert (found[:4], found[-1]) == (b"\xf6\x5f\x01\x02", 3)
    assert SERIAL not in found


def test_a_known_secret_goes_wherever_it_is() -> None:
    stand_ins = StandIns()
    stand_ins.learn_payloads(value(0xEC65, KEY))
    assert KEY not in stand_ins.stream(b"\xf6" + KEY)
    assert KEY not in stand_ins.payload(0x1234, b"\x01" + KEY)


@pytest.mark.parametrize("mark", [":", "_", "-"])
@pytest.mark.parametrize("lower", [True, False])
def test_addresses_in_a_text(mark: str, lower: bool) -> None:
    address = ADDRESS.replace(":", mark)
    text = f"/org/bluez/hci0/dev_{address.lower() if lower else address}: not there"
    found = StandIns().text(text)
    assert found == f"/org/bluez/hci0/dev_{mark.join(('00',) * 5)}{mark}01: not there"


@pytest.mark.parametrize("spelling", ["C03A5E0B4701", "c03a5e0b4701", "01470b5e3ac0", ADDRESS, "01:47:0b:5e:3a:c0"])
def test_a_known_address_however_it_is_written(spelling: str) -> None:
    stand_ins = StandIns()
    stand_ins.learn_address(ADDRESS)
    assert spelling not in stand_ins.text(f"connection to {spelling} failed")


def test_a_name_that_is_part_of_another() -> None:
    stand_ins = StandIns()
    stand_ins.learn_text(Kind.NAME, "Boat")
    stand_ins.learn_text(Kind.NAME, "Boat of Ann")
    assert stand_ins.text("Boat of Ann, Boat") == "name 2xxxxx, xxx1"


def test_a_name_of_many_letters() -> None:
    found = StandIns().name("Küchen-BMS")
    assert len(found.encode()) == len("Küchen-BMS".encode())
    assert "K" not in found


def test_no_address() -> None:
    with pytest.raises(ValueError, match="hci0"):
        StandIns().learn_address("hci0")


def test_a_known_secret_across_two_payloads_of_a_damaged_stream() -> None:
    stand_ins = StandIns()
    stand_ins.learn(Kind.KEY, KEY)
    damaged = bytes.fromhex("0800190100 44 010203") + KEY
    found = stand_ins.stream(damaged)
    assert len(found) == len(damaged)
    assert KEY not in found


def test_a_long_value_among_the_settings_of_the_connection_goes() -> None:
    """It may be another key, of which nobody knows."""
    secret = bytes(range(0x80, 0x90))
    kept = StandIns().payload(0xEC30, secret)
    assert len(kept) == len(secret)
    assert kept != secret
