"""The table of registers and its payloads."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.codes import Level
from custom_components.smallbms_ng.protocol.payloads import NoPayload, PayloadError, Value
from custom_components.smallbms_ng.protocol.registers import (
    BY_ID,
    REGISTERS,
    SECRETS,
    BalancerStatus,
    BmsFlags,
    Capabilities,
    Evidence,
    Mode,
    Name,
    NotAllowedReason,
    OffReason,
    Page,
    Register,
    battery_sources,
    cells_by_battery,
    choose,
    expected_payloads,
    main_instance,
    named,
    on_page,
)
from custom_components.smallbms_ng.protocol.session import NEVER_WRITTEN
from emulator.ve_smart import register_box
from emulator.ve_smart import registers as emulated

DECODED: Final = (
    # Plausible in mV only.
    (0x0385, "e20ce50c", {"minimum": 3.298, "maximum": 3.301}),
    (0x0385, "2003e50c", {"minimum": 0.8, "maximum": 3.301}),
    (0x0384, "ffffe50c", {"minimum": None, "maximum": 3.301}),
    (0x0381, "0102e50c", {"battery": 1, "cell": 2, "voltage": 3.301}),
    (0x0306, "e0330000", 13.28),
    (0xEC85, "b80b", 3.0),
    (0x0385, "ffffffff", {"minimum": None, "maximum": None}),
    (0x0306, "00000010", None),
    (0x0093, "1027", 10000),
    (0x0100, "00eca300", {"first": 0, "product_id": 0xA3EC, "flags": 0}),
    (0x0102, "00050100", "v1.05"),
    (0x0102, "00ff1002", "v2.10"),
    (0x0102, "00031002", "v2.10-beta-03"),
    (0x0102, "00ffffff", None),
    (0x010A, "48513236343200000000000000000000", "HQ2642"),
    (0x010A, "4851ffffff", "HQ"),
    (0x010B, "736d616c6c424d53204e47", "smallBMS NG"),
    (0x010C, "", ""),
    (0x010C, "c3a9ff", "é"),
    (0x0144, "01000000", Capabilities.PRE_ALARM),
    (0xEC65, "5eed0fba77e4b00e9a3c51d2c4f78e16", bytes.fromhex("5eed0fba77e4b00e9a3c51d2c4f78e16")),
    (0xEC7D, "01", True),
    (0xEC7D, "02", None),
    (0xEC3F, "00", False),
    (0x0200, "03", Mode.ON),
    (0x0200, "04", Mode.OFF),
    (0x0200, "fc", Mode.STANDBY),
    (0x0200, "07", None),
    (0x0201, "09", 9),
    (0x2100, "00000006", BmsFlags.ALLOWED_TO_CHARGE | BmsFlags.ALLOWED_TO_DISCHARGE),
    (0x2100, "00000008", BmsFlags.PRE_ALARM),
    (0x2100, "00004000", BmsFlags.LOW_TEMPERATURE_ALARM),
    (0x2101, "0b", 11),
    (0xEC46, "0900", NotAllowedReason.BATTERY | NotAllowedReason.REMOTE_INPUT),
    (0xEC47, "8000", NotAllowedReason.SOFT_POWER_SWITCH),
    (0x0207, "00800000", OffReason.ACTIVE_ALARM),
    (0xED8D, "b809", 24.88),
    (0xED8D, "ff7f", None),
    (0xED8D, "4c1d", 75.0),
    # What no bank has is not known, whatever the device says: the bounds are those of the record.
    (0xED8D, "fe7f", None),
    (0xED8D, "d08a", None),
    (0x0FFF, "60ea", None),
    (0xED8C, "41420f00", None),
    (0x1000, "0000", None),
    (0x0381, "01040100", {"battery": 1, "cell": 4, "voltage": 0.01}),
    (0x0381, "01045903", {"battery": 1, "cell": 4, "voltage": None}),
    (0xED8C, "c4ffffff", -0.06),
    (0xED8C, "3c000000", 0.06),
    (0xED8C, "ffffff7f", None),
    (0xED8F, "0100", 0.1),
    (0xED8F, "ff7f", None),
    (0xED8E, "9cff", -100),
    (0xED8E, "ff7f", None),
    (0x0FFF, "1027", 100),
    (0x0FFF, "ffff", None),
    (0x0FFE, "5802", 600),
    (0x0FFE, "ffff", None),
    (0xEEFF, "15ffffff", -23.5),
    (0xEDEC, "8372", 20.0),
    (0xEDEC, "ffff", None),
    (0x0380, "04040202", {"batteries": 4, "cells": 4, "parallel": 2, "series": 2}),
    (0x1000, "c800", 200),
    (0xEA15, "00", BalancerStatus.UNKNOWN),
    (0xEA15, "01", BalancerStatus.BALANCED),
    (0xEA15, "02", BalancerStatus.BALANCING),
    (0xEA15, "03", BalancerStatus.IMBALANCED),
    (0xEA15, "04", None),
    (0x0385, "4901ffff", {"minimum": 3.29, "maximum": None}),
    (0x0386, "8372e772", {"minimum": 20.0, "maximum": 21.0}),
    (0x0381, "01044a01", {"battery": 1, "cell": 4, "voltage": 3.3}),
    (0x1001, "8c00", 14.0),
    (0x1002, "2800", 4.0),
    (0x1003, "0300", 3),
    (0x0328, "9600", 15.0),
    (0x1008, "6400", 10.0),
    (0x210B, "0000", 0.0),
    (0xEC85, "2201", 2.9),
    (0xEC85, "ffff", None),
    (0x0300, "0cfeffff", -50.0),
    (0x0305, "18fcffff", -100.0),
    (0x0310, "39300000", 123.45),
    (0x0311, "ffffffff", None),
    (0x0309, "07000000", 7),
    (0x0303, "ffffff7f", None),
    (0x0308, "10270000", 10000),
    (0x0306, "b8040000", 12.08),
    (0x0307, "ffffff7f", None),
    (0x0384, "1801", PayloadError),
    (0x0384, "18016801", {"minimum": 2.8, "maximum": 3.6}),
    (0x0313, "0000", None),
    (0x0312, "6b74", 24.88),
    (0x0004, "", None),
    (0x1030, "", None),
    (0x102C, "", None),
    (0x102C, "00", PayloadError),
)


@pytest.mark.parametrize(("register", "payload", "value"), DECODED)
def test_decoding(register: int, payload: str, value: Value | type[PayloadError]) -> None:
    row = BY_ID[register]
    if value is PayloadError:
        with pytest.raises(PayloadError):
            row.decode(bytes.fromhex(payload))
    else:
        assert row.decode(bytes.fromhex(payload)) == value


def test_every_register_is_decoded_above_but_two_bit_fields() -> None:
    assert {register for register, _, _ in DECODED} | {0x2107, 0x2108} == set(BY_ID)


def test_levels() -> None:
    # Low cell voltage OK, high current a warning, BMS temperature an alarm, the contactor not supported.
    levels = BY_ID[0x2107].decode(bytes.fromhex("39000000"))
    assert isinstance(levels, Mapping)
    names = ("low_cell_voltage", "high_current", "high_bms_temperature", "contactor", "high_temperature")
    assert [levels[name] for name in names] == [Level.OK, Level.WARNING, Level.ALARM, None, None]


def test_io() -> None:
    io = BY_ID[0x2108].decode(b"\x84\x00")
    assert isinstance(io, Mapping)
    assert io["contactor_closed"] is None
    assert io["allowed_to_charge"] is True
    assert io["user_relay"] is False


@pytest.mark.parametrize("payload", [b"", bytes(9)])
def test_two_bit_fields_of_no_sensible_length(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        BY_ID[0x2107].decode(payload)


WRITTEN: Final = (
    (0x0093, 15000, "983a"),
    (0x0200, Mode.OFF, "04"),
    (0x0200, "on", "03"),
    (0xEC7D, True, "01"),
    (0xEC7D, False, "00"),
    (0x0FFF, 0, "0000"),
    (0x0FFF, 62, "3818"),
    (0x0FFF, 100, "1027"),
    (0x1001, 12, "7800"),
    (0x1001, 64, "8002"),
    (0x1001, 28.3, "1b01"),
    (0x1002, 0.5, "0500"),
    (0x1002, 10, "6400"),
    (0x1003, 1, "0100"),
    (0x1003, 50, "3200"),
    (0x0328, 99, "de03"),
    (0x1008, 0, "0000"),
    (0x210B, 12, "7800"),
    (0xEC85, 2.8, "1801"),
    (0xEC85, 3.15, "3b01"),
    (0x102C, None, ""),
    (0x0004, None, ""),
    (0x1030, None, ""),
)


@pytest.mark.parametrize(("register", "value", "payload"), WRITTEN)
def test_encoding(register: int, value: Value, payload: str) -> None:
    row = BY_ID[register]
    assert row.encode(value).hex() == payload
    assert row.decode(bytes.fromhex(payload)) == value


def test_everything_that_can_be_written_is_written_above() -> None:
    assert {register for register, _, _ in WRITTEN} == {row.id for row in REGISTERS if row.writable}


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (0x0FFF, 100.1),
        (0x0FFF, -0.1),
        (0x0FFF, float("nan")),
        (0x0FFF, None),
        (0x0FFF, "all"),
        (0x1001, 11.9),
        (0x1001, 64.1),
        (0x1002, 0.4),
        (0x1002, 10.1),
        (0x1003, 0),
        (0x1003, 51),
        (0x0328, 99.1),
        (0x1008, -1),
        (0xEC85, 2.79),
        (0xEC85, 3.46),
        (0x0200, "bright"),
        (0x0200, None),
        (0xEC7D, 2),
        (0x102C, 1),
        (0x0093, -1),
        (0x0093, 0x10000),
        (0x0093, float("inf")),
        (0x0093, "long"),
    ],
)
def test_what_a_register_does_not_take(register: int, value: Value) -> None:
    with pytest.raises(PayloadError):
        BY_ID[register].encode(value)


def test_a_number_that_stands_for_not_available_is_not_written() -> None:
    with pytest.raises(PayloadError, match="not available"):
        named(Name.STATE_OF_CHARGE)[0].payload.encode(655.35)


@pytest.mark.parametrize("row", [row for row in REGISTERS if not row.writable], ids=lambda row: row.name)
def test_what_is_only_read(row: Register) -> None:
    with pytest.raises(PayloadError):
        row.encode(1)


@pytest.mark.parametrize("name", [Name.SERIAL_NUMBER, Name.LEVELS, Name.BANK, Name.FLAGS, Name.INSTANT_READOUT_KEY])
def test_what_has_no_way_to_be_written(name: Name) -> None:
    with pytest.raises(PayloadError, match="cannot be written"):
        named(name)[0].payload.encode("")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"HQ2642ABC01\0\xff\xff", "HQ2642ABC01"),
        ("Büro 2".encode(), "Büro 2"),
        (b" a_b-c.d ", "a_b-c.d"),
        (b"[a](b:c) *d* `e` <f> | #g\n", "abc d e f  g"),
        ("\u202ea\u200bb".encode(), "ab"),
        (b"\xc3\x28a", "a"),
        (64 * b"x", 32 * "x"),
        (31 * b"x" + b" y", 31 * "x"),
    ],
)
def test_of_a_text_only_what_is_plain(data: bytes, text: str) -> None:
    """Anybody may send it, and it is shown where Markdown is understood."""
    assert named(Name.CUSTOM_NAME)[0].decode(data) == text


def test_what_is_never_written_is_in_no_table() -> None:
    assert not NEVER_WRITTEN & BY_ID.keys()
    assert register_box.NEVER_WRITTEN == NEVER_WRITTEN
    forged = Register(id=0xEC10, name=Name.MODE, page=Page.STATUS, payload=NoPayload(), writable=True)
    with pytest.raises(PayloadError, match="never written"):
        forged.encode(None)


@pytest.mark.parametrize("row", [row for row in REGISTERS if row.limits], ids=lambda row: row.name)
@pytest.mark.parametrize("system_voltage", [12, 24, 48])
def test_every_step_is_taken_and_nothing_between(row: Register, system_voltage: int) -> None:
    assert row.limits
    limits = row.limits.at(system_voltage)
    for number in range(round((limits.high - limits.low) / limits.step)):
        value = limits.low + number * limits.step
        assert row.decode(row.encode(value, system_voltage)) == pytest.approx(value)
        for part in (0.01, 0.5, 0.99):
            with pytest.raises(PayloadError):
                row.encode(value + part * limits.step, system_voltage)


@pytest.mark.parametrize(("system_voltage", "low", "high"), [(12, 12, 16), (24, 24, 32), (48, 48, 64)])
def test_charged_voltage_goes_by_the_system(system_voltage: int, low: float, high: float) -> None:
    row = named(Name.CHARGED_VOLTAGE)[0]
    assert row.limits
    limits = row.limits.at(system_voltage)
    assert (limits.low, limits.high, limits.step) == (low, high, 0.1)
    assert row.encode(low, system_voltage)
    assert row.encode(high, system_voltage)
    for value in (low - 0.1, high + 0.1):
        with pytest.raises(PayloadError):
            row.encode(value, system_voltage)


def test_other_limits_do_not() -> None:
    row = named(Name.TAIL_CURRENT)[0]
    assert row.limits
    assert row.limits.at(48) == row.limits


@pytest.mark.parametrize("row", REGISTERS, ids=lambda row: f"{row.id:04X}")
@given(data=st.binary(max_size=70))
def test_any_bytes_have_a_value_or_none(row: Register, data: bytes) -> None:
    with suppress(PayloadError):
        row.decode(data)


def test_a_value_that_was_read_back() -> None:
    charge, floor, mode = (named(name)[0] for name in (Name.STATE_OF_CHARGE, Name.DISCHARGE_FLOOR, Name.MODE))
    sixty = charge.encode(60)
    assert charge.confirms(sixty, sixty)
    assert charge.confirms(sixty, charge.payload.encode(59.5))
    assert not charge.confirms(sixty, charge.payload.encode(59.4))
    assert not charge.confirms(sixty, b"\xff\xff")
    assert not charge.confirms(sixty, b"\x01")
    assert not floor.confirms(floor.encode(10), floor.payload.encode(10.1))
    assert mode.confirms(b"\x03", b"\x03")
    assert not mode.confirms(b"\x03", b"\x04")


def test_pages_hold_every_register_once() -> None:
    assert [row for page in Page for row in on_page(page)] == list(REGISTERS)
    assert len(BY_ID) == len(REGISTERS)


def test_names() -> None:
    assert all(named(name) for name in Name)
    assert [row.id for row in named(Name.CURRENT)] == [0xED8C, 0xED8F]


@pytest.mark.parametrize(
    ("answered", "chosen"), [({0x1008, 0x210B}, 0x210B), ({0x210B}, 0x210B), ({0x1008}, 0x1008), (set(), None)]
)
def test_the_discharge_floor_is_where_the_device_answers(answered: set[int], chosen: int | None) -> None:
    row = choose(Name.DISCHARGE_FLOOR, answered)
    assert (row and row.id) == chosen


@pytest.mark.parametrize(
    ("name", "payload", "problem"),
    [
        (Name.SERIAL_NUMBER, bytes(33), "more than 32"),
        (Name.FIRMWARE_VERSION, bytes(3), "instead of 4"),
        (Name.INSTANT_READOUT_KEY, bytes(15), "instead of 16"),
        (Name.BANK, bytes(5), "instead of 4"),
        (Name.MODE, b"", "instead of 1"),
    ],
)
def test_wrong_lengths(name: Name, payload: bytes, problem: str) -> None:
    with pytest.raises(PayloadError, match=problem):
        named(name)[0].decode(payload)


def test_what_was_seen_alive() -> None:
    assert {row.id for row in REGISTERS if row.evidence is Evidence.LIVE} == {0x0200, 0xED8C, 0xED8D, 0xED8F}


def test_secrets() -> None:
    assert {0xEC65} == SECRETS


@pytest.mark.parametrize(
    ("instances", "main", "others"),
    [
        ((0,), 0, ()),
        ((0, 1, 2), 0, (1, 2)),
        ((0, 1, 1, 2), 0, (1, 2)),
        (tuple(range(99)), 0, tuple(range(1, 51))),
        ((1, 0), 0, (1,)),
        ((3, 4, 5), 3, (4, 5)),
        ((), 0, ()),
    ],
)
def test_instances(instances: tuple[int, ...], main: int, others: tuple[int, ...]) -> None:
    assert main_instance(instances) == main
    sources = battery_sources(main, instances)
    assert tuple(source.instance for source in sources) == others
    assert [source.number for source in sources] == list(range(1, len(others) + 1))


def test_what_is_read_of_a_battery() -> None:
    (source,) = battery_sources(0, (0, 1))
    ids = {row.id for row in source.registers}
    assert ids == {0x010A, 0x1000, 0x0102, 0xED8D, 0xED8C, 0xEDEC, 0x0381}
    assert ids == {row.id for row in emulated.ONE_BATTERY}


def test_how_many_payloads() -> None:
    bank = {"batteries": 4, "cells": 8}
    assert expected_payloads(0xED8D, {}, whole_bank=True) == 1
    assert expected_payloads(0xFFFF, bank, whole_bank=True) == 1
    assert expected_payloads(0x0381, bank, whole_bank=True) == 32
    assert expected_payloads(0x0381, bank, whole_bank=False) == 8
    assert expected_payloads(0x0381, {}, whole_bank=False) is None
    assert expected_payloads(0x0381, {"cells": 4}, whole_bank=False) is None


def test_the_emulated_device_knows_the_same_registers() -> None:
    tables = (emulated.IDENTITY, emulated.STATUS, emulated.BATTERY, emulated.SETTINGS, emulated.ACTIONS)
    writable = {row.id for table in tables for row in table if row.write}
    known = {row.id for table in (*tables, emulated.HISTORY) for row in table}
    assert known | {0x0093} == set(BY_ID)
    assert writable | {0x0093} == {row.id for row in REGISTERS if row.writable}


def test_voltages_that_are_known_to_be_in_millivolts() -> None:
    """What could be either is taken as others of its scale were."""
    cells = BY_ID[0x0381]
    assert cells.decode(bytes.fromhex("0102f401")) == {"battery": 1, "cell": 2, "voltage": 5.0}
    assert cells.decode(bytes.fromhex("0102f401"), finer=True) == {"battery": 1, "cell": 2, "voltage": 0.5}
    assert cells.is_finer(bytes.fromhex("0102e50c"))
    assert not cells.is_finer(bytes.fromhex("0102ffff"))
    pre_alarm = BY_ID[0xEC85]
    assert pre_alarm.encode(3.0).hex() == "2c01"
    assert pre_alarm.encode(3.0, finer=True).hex() == "b80b"
    assert not BY_ID[0xED8D].is_finer(b"\xb8\x09")


def test_the_cells_of_a_whole_bank() -> None:
    """Batteries count from 1 here, wherever the device begins."""
    payloads = [bytes((battery, cell, 0x4C, 0x01)) for battery in (1, 0) for cell in (1, 2)]
    assert cells_by_battery(payloads) == {1: tuple(payloads[2:]), 2: tuple(payloads[:2])}
    assert list(cells_by_battery(bytes((battery, 1, 0, 0)) for battery in range(1, 256))) == list(range(1, 51))
    assert cells_by_battery([b""]) == {}
