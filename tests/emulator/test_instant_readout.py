"""The encoder, against a real record and against published decoders."""

from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from home_assistant_bluetooth import BluetoothServiceInfo
from hypothesis import example, given, settings
from hypothesis import strategies as st
import pytest
from victron_ble.devices import LynxSmartBMSData, detect_device_type
from victron_ble_ha_parser import VictronBluetoothDeviceData  # type: ignore[import-untyped] # it brings no types

from emulator.instant_readout import COMPANY_ID, DEFAULT_PRODUCT_ID, InstantReadout, encode_record, encrypt_record
from emulator.snapshot import IoField, Level, LevelField, Snapshot

KEY: Final = bytes.fromhex("5eed0fba77e4b00e9a3c51d2c4f78e16")

# A record that a real Lynx Smart BMS sent, and what it showed.
REAL_RECORD: Final = bytes.fromhex("0040388b0afaff951555148ccf0200ff")
REAL_SNAPSHOT: Final = Snapshot(
    time_to_go=14400,
    voltage=26.99,
    current=-0.6,
    state_of_charge=99.5,
    drawn_amphours=4.4,
    io=dict.fromkeys(IoField, True) | {IoField.USER_RELAY: False},
    levels=dict.fromkeys(LevelField, Level.OK)
    | dict.fromkeys(
        (
            LevelField.BATTERY_COMMUNICATION,
            LevelField.LOW_BANK_VOLTAGE,
            LevelField.HIGH_BATTERY_TEMPERATURE,
        ),
        Level.NOT_SUPPORTED,
    ),
)


def field(snapshot: Snapshot, start: int, width: int) -> int:
    """Return some bits of the record."""
    return int.from_bytes(encode_record(snapshot), "little") >> start & (1 << width) - 1


def test_a_real_record() -> None:
    assert encode_record(REAL_SNAPSHOT) == REAL_RECORD


def test_nothing_available() -> None:
    record = int.from_bytes(encode_record(Snapshot()), "little")
    fields = ((8, 16, 0xFFFF), (24, 16, 0x7FFF), (40, 16, 0x7FFF), (90, 10, 0x3FF), (100, 20, 0xFFFFF), (120, 7, 0x7F))
    assert record == (1 << 127) + sum(value << start for start, _, value in fields)


@pytest.mark.parametrize(
    ("snapshot", "start", "width", "raw"),
    [
        (Snapshot(error=0), 0, 8, 0),
        (Snapshot(error=255), 0, 8, 255),
        (Snapshot(error=256), 0, 8, 255),
        (Snapshot(time_to_go=0), 8, 16, 0),
        (Snapshot(time_to_go=0xFFFE), 8, 16, 0xFFFE),
        (Snapshot(time_to_go=0xFFFF), 8, 16, 0xFFFE),
        (Snapshot(time_to_go=-1), 8, 16, 0),
        (Snapshot(voltage=-327.68), 24, 16, 0x8000),
        (Snapshot(voltage=-327.69), 24, 16, 0x8000),
        (Snapshot(voltage=-0.01), 24, 16, 0xFFFF),
        (Snapshot(voltage=327.66), 24, 16, 0x7FFE),
        (Snapshot(voltage=327.67), 24, 16, 0x7FFE),
        (Snapshot(current=-3276.8), 40, 16, 0x8000),
        (Snapshot(current=-4000.0), 40, 16, 0x8000),
        (Snapshot(current=0.1), 40, 16, 1),
        (Snapshot(current=3276.6), 40, 16, 0x7FFE),
        (Snapshot(current=3276.7), 40, 16, 0x7FFE),
        (Snapshot(current=float("inf")), 40, 16, 0x7FFE),
        (Snapshot(state_of_charge=0.0), 90, 10, 0),
        (Snapshot(state_of_charge=102.2), 90, 10, 0x3FE),
        (Snapshot(state_of_charge=102.3), 90, 10, 0x3FE),
        (Snapshot(drawn_amphours=0.0), 100, 20, 0),
        (Snapshot(drawn_amphours=104857.4), 100, 20, 0xFFFFE),
        (Snapshot(drawn_amphours=104857.5), 100, 20, 0xFFFFE),
        (Snapshot(drawn_amphours=-1.0), 100, 20, 0),
        (Snapshot(temperature=-40), 120, 7, 0),
        (Snapshot(temperature=-41), 120, 7, 0),
        (Snapshot(temperature=86), 120, 7, 0x7E),
        (Snapshot(temperature=87), 120, 7, 0x7E),
    ],
)
def test_ends_of_the_range(snapshot: Snapshot, start: int, width: int, raw: int) -> None:
    assert field(snapshot, start, width) == raw


@pytest.mark.parametrize(("state", "raw"), [(None, 0), (True, 1), (False, 2)])
@pytest.mark.parametrize(("place", "io"), enumerate(IoField))
def test_each_io_state(place: int, io: IoField, state: bool | None, raw: int) -> None:
    assert field(Snapshot(io={io: state}), 56, 16) == raw << 2 * place


@pytest.mark.parametrize(("raw", "level"), enumerate(Level))
@pytest.mark.parametrize(("place", "one"), enumerate(LevelField))
def test_each_level(place: int, one: LevelField, level: Level, raw: int) -> None:
    assert field(Snapshot(levels={one: level}), 72, 18) == raw << 2 * place


def test_the_fields_are_where_the_record_has_them() -> None:
    assert list(IoField) == [
        "contactor_closed",
        "allowed_to_charge",
        "allowed_to_discharge",
        "user_relay",
        "aux_output",
        "remote_on",
        "alternator_allowed_to_charge",
    ]
    assert list(LevelField) == [
        "low_cell_voltage",
        "high_current",
        "high_bms_temperature",
        "contactor",
        "battery_communication",
        "load_disconnect",
        "low_soc",
        "low_bank_voltage",
        "high_battery_temperature",
    ]
    assert list(Level) == ["not_supported", "ok", "warning", "alarm"]


def test_header_and_ciphertext() -> None:
    data = encrypt_record(REAL_RECORD, key=KEY, nonce=0xBEEF)
    assert data[:8] == bytes((0x10, 0x02, 0xEC, 0xA3, 0x0A, 0xEF, 0xBE, KEY[0]))
    counter = bytes((0xEF, 0xBE)) + bytes(14)
    # The cipher stream made another way than the encoder does: the counter block itself, encrypted.
    stream = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor().update(counter)
    assert bytes(a ^ b for a, b in zip(data[8:], stream, strict=True)) == REAL_RECORD


# The nonce


def send(readout: InstantReadout, snapshot: Snapshot, now: float = 0.0, key: bytes = KEY) -> bytes:
    return readout.next(snapshot, key=key, product_id=DEFAULT_PRODUCT_ID, now=now)


def nonce(data: bytes) -> int:
    return int.from_bytes(data[5:7], "little")


def test_the_same_content_keeps_its_bytes_for_a_period() -> None:
    readout = InstantReadout(period=60)
    first = send(readout, REAL_SNAPSHOT, 100)
    assert send(readout, REAL_SNAPSHOT, 159.9) == first
    later = send(readout, REAL_SNAPSHOT, 160)
    assert nonce(later) == nonce(first) + 1
    assert send(readout, REAL_SNAPSHOT, 200) == later


def test_a_change_takes_a_new_nonce_at_once() -> None:
    readout = InstantReadout(period=60)
    first = send(readout, REAL_SNAPSHOT)
    assert nonce(send(readout, replace(REAL_SNAPSHOT, voltage=27.0))) == nonce(first) + 1
    assert nonce(send(readout, REAL_SNAPSHOT)) == nonce(first) + 2


def test_a_change_that_the_record_cannot_show_is_none() -> None:
    readout = InstantReadout(period=60)
    assert send(readout, REAL_SNAPSHOT) == send(readout, replace(REAL_SNAPSHOT, voltage=26.991))


def test_another_key_takes_a_new_nonce() -> None:
    readout = InstantReadout(period=60)
    first = send(readout, REAL_SNAPSHOT)
    other = send(readout, REAL_SNAPSHOT, key=KEY[::-1])
    assert (nonce(other), other[7]) == (nonce(first) + 1, KEY[-1])


def test_the_nonce_wraps() -> None:
    readout = InstantReadout(period=0, nonce=0xFFFF)
    assert [nonce(send(readout, REAL_SNAPSHOT, now)) for now in range(3)] == [0xFFFF, 0, 1]


# Published decoders


def optional[T](values: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.none() | values


snapshots = st.builds(
    Snapshot,
    error=st.integers(0, 255),
    time_to_go=optional(st.integers(0, 0xFFFE)),
    voltage=optional(st.floats(-327.68, 327.66)),
    current=optional(st.floats(-3276.8, 3276.6)),
    temperature=optional(st.integers(-40, 86)),
    state_of_charge=optional(st.floats(0, 100)),
    drawn_amphours=optional(st.floats(0, 104857.4)),
    io=st.dictionaries(st.sampled_from(IoField), st.none() | st.booleans()),
    levels=st.dictionaries(st.sampled_from(LevelField), st.sampled_from(Level)),
)
nonces = st.integers(0, 0xFFFF)
keys = st.binary(min_size=16, max_size=16)

# Both decoders miss the code for "not available" (0x3FF) of the state of charge, and show this instead.
WRONG_STATE_OF_CHARGE: Final = 102.3


def near(value: float | None, step: float) -> object:
    """Expect a value rounded to the record's step."""
    return None if value is None else pytest.approx(value, abs=step / 2 + 1e-6)


def expected(snapshot: Snapshot) -> dict[str, object]:
    """Return what victron-ble-ha-parser should show."""
    known_wrong = WRONG_STATE_OF_CHARGE if snapshot.state_of_charge is None else snapshot.state_of_charge
    return {
        "voltage": near(snapshot.voltage, 0.01),
        "current": near(snapshot.current, 0.1),
        "state_of_charge": near(known_wrong, 0.1),
        "remaining_minutes": snapshot.time_to_go,
        "consumed_ampere_hours": near(snapshot.drawn_amphours, 0.1),
        "battery_temperature": snapshot.temperature,
    }


def read_by_victron_ble(data: bytes, key: bytes) -> LynxSmartBMSData:
    decoder = detect_device_type(data)
    assert decoder
    read = decoder(key.hex()).parse(data)
    assert isinstance(read, LynxSmartBMSData)
    return read


def read_by_ha_parser(data: bytes, key: bytes) -> dict[str, object]:
    info = BluetoothServiceInfo("smallBMS NG", "C0:3A:5E:00:00:01", -60, {COMPANY_ID: data}, {}, [], "test")
    update = VictronBluetoothDeviceData(key.hex()).update(info)
    values = {str(key.key): value.native_value for key, value in update.entity_values.items()}
    del values["signal_strength"]
    return values


@settings(max_examples=600, deadline=None)
@given(snapshots, keys, nonces)
@example(REAL_SNAPSHOT, KEY, 0)
@example(Snapshot(), KEY, 0xFFFF)
def test_published_decoders_read_the_same(snapshot: Snapshot, key: bytes, nonce: int) -> None:
    data = encrypt_record(encode_record(snapshot), key=key, nonce=nonce)
    assert read_by_ha_parser(data, key) == expected(snapshot)
    read = read_by_victron_ble(data, key)
    assert {
        "voltage": read.get_voltage(),
        "current": read.get_current(),
        "state_of_charge": read.get_soc(),
        "remaining_minutes": read.get_remaining_mins(),
        "consumed_ampere_hours": read.get_consumed_ah(),
        "battery_temperature": read.get_battery_temperature(),
    } == expected(snapshot)
    assert read.get_error_flags() == snapshot.error
    io = [{None: 0, True: 1, False: 2}[snapshot.io.get(one)] for one in IoField]
    assert [read.get_io_status() >> 2 * place & 3 for place in range(8)] == [*io, 0]
    levels = [list(Level).index(snapshot.levels.get(one, Level.NOT_SUPPORTED)) for one in LevelField]
    assert [read.get_alarm_flags() >> 2 * place & 3 for place in range(9)] == levels


def test_published_decoders_miss_an_unavailable_state_of_charge() -> None:
    data = encrypt_record(encode_record(Snapshot()), key=KEY, nonce=0)
    assert read_by_victron_ble(data, KEY).get_soc() == WRONG_STATE_OF_CHARGE
    assert read_by_ha_parser(data, KEY)["state_of_charge"] == WRONG_STATE_OF_CHARGE
