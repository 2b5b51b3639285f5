"""The record: every field at its ends, not available and one past; every flag in every state."""

from contextlib import suppress
from math import copysign
from random import Random
import tracemalloc
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.advertisement import (
    BatteryReading,
    ImplausibleRecord,
    InstantReadout,
    MalformedRecord,
    read_record,
)
from custom_components.smallbms_ng.protocol.codes import Level

from .packer import IO, KEY, RAW, THRESHOLDS, WIDTHS, advertise, as_number, pack

NUMBERS: Final = (
    "error",
    "time_to_go",
    "voltage",
    "current",
    "state_of_charge",
    "consumed_amphours",
    "temperature",
)


def decode(**raw: int) -> BatteryReading:
    """Return the reading of a healthy battery with these raw numbers changed."""
    return InstantReadout(KEY).decode(advertise(pack(raw)))


def test_a_healthy_battery() -> None:
    reading = decode()

    assert reading.error == 0
    assert reading.time_to_go == 600
    assert reading.voltage == 13.28
    assert reading.current == -4.2
    assert reading.state_of_charge == 76.5
    assert reading.consumed_amphours == -23.5
    assert reading.temperature == 21
    assert all(getattr(reading, name) is True for name in IO)
    assert all(getattr(reading, name) is Level.OK for name in THRESHOLDS)
    assert reading.codes == ()


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ("error", 0, 0),
        ("error", 1, 1),
        ("error", 254, 254),
        ("error", 255, 255),
        ("time_to_go", 0, 0),
        ("time_to_go", 1, 1),
        ("time_to_go", 65534, 65534),
        ("time_to_go", 65535, None),
        ("voltage", 500, 5.0),
        ("voltage", 501, 5.01),
        ("voltage", 7499, 74.99),
        ("voltage", 7500, 75.0),
        ("voltage", 0x7FFF, None),
        ("current", 0x10000 - 10000, -1000.0),
        ("current", 0xFFFF, -0.1),
        ("current", 0, 0.0),
        ("current", 1, 0.1),
        ("current", 10000, 1000.0),
        ("current", 0x7FFF, None),
        ("state_of_charge", 0, 0.0),
        ("state_of_charge", 1, 0.1),
        ("state_of_charge", 999, 99.9),
        ("state_of_charge", 1000, 100.0),
        ("state_of_charge", 0x3FF, None),
        ("consumed_amphours", 0, 0.0),
        ("consumed_amphours", 1, -0.1),
        ("consumed_amphours", 149999, -14999.9),
        ("consumed_amphours", 150000, -15000.0),
        ("consumed_amphours", 0xFFFFF, None),
        ("temperature", 0, -40),
        ("temperature", 39, -1),
        ("temperature", 40, 0),
        ("temperature", 126, 86),
        ("temperature", 127, None),
    ],
)
def test_a_number(field: str, raw: int, value: float | None) -> None:
    reading = decode(**{field: raw})

    assert getattr(reading, field) == value
    assert type(getattr(reading, field)) is type(value)
    others = set(NUMBERS) - {field}
    assert {name: getattr(reading, name) for name in others} == {name: getattr(decode(), name) for name in others}


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        ("voltage", 499),
        ("voltage", 7501),
        ("voltage", 0),
        ("voltage", 0x7FFE),
        ("voltage", 0x8000),
        ("voltage", 0xFFFF),
        ("current", 10001),
        ("current", 0x10000 - 10001),
        ("current", 0x7FFE),
        ("current", 0x8000),
        ("state_of_charge", 1001),
        ("state_of_charge", 0x3FE),
        ("consumed_amphours", 150001),
        ("consumed_amphours", 0xFFFFE),
    ],
)
def test_a_number_that_no_bank_has_refuses_the_whole_record(field: str, raw: int) -> None:
    record = pack({field: raw})

    # Twice: what is remembered of values must not let the second one pass.
    for _ in range(2):
        with pytest.raises(ImplausibleRecord, match=field):
            InstantReadout(KEY).decode(advertise(record))
        with pytest.raises(ImplausibleRecord, match=field):
            read_record(as_number(record), product_id=0xA3EC, nonce=1)


def test_implausible_is_a_kind_of_malformed() -> None:
    with pytest.raises(MalformedRecord):
        decode(state_of_charge=1001)


@pytest.mark.parametrize("field", ["current", "state_of_charge", "consumed_amphours"])
def test_zero_has_no_sign(field: str) -> None:
    assert copysign(1, getattr(decode(**{field: 0}), field)) == 1


def test_nothing_available() -> None:
    unknown = {name: (1 << WIDTHS[name]) - 1 for name in NUMBERS} | {"error": 0, "voltage": 0x7FFF, "current": 0x7FFF}
    reading = decode(**unknown, **dict.fromkeys((*IO, *THRESHOLDS), 0))

    shown = {name: getattr(reading, name) for name in (*NUMBERS, *IO, *THRESHOLDS)}
    assert shown == dict.fromkeys((*NUMBERS, *IO, *THRESHOLDS)) | {"error": 0}
    assert (reading.power, reading.pre_alarm, reading.battery_low) == (None, None, None)
    assert reading.codes == ()


@pytest.mark.parametrize("field", IO)
@pytest.mark.parametrize(("state", "value"), [(0, None), (1, True), (2, False), (3, False)])
def test_an_io_field_in_every_state(field: str, state: int, value: bool | None) -> None:
    reading = decode(**{field: state})

    assert {name: getattr(reading, name) for name in IO} == dict.fromkeys(IO, True) | {field: value}
    assert all(getattr(reading, name) is Level.OK for name in THRESHOLDS)


@pytest.mark.parametrize("field", THRESHOLDS)
@pytest.mark.parametrize(("state", "level"), [(0, None), (1, Level.OK), (2, Level.WARNING), (3, Level.ALARM)])
def test_a_level_in_every_state(field: str, state: int, level: Level | None) -> None:
    reading = decode(**{field: state})

    assert {name: getattr(reading, name) for name in THRESHOLDS} == dict.fromkeys(THRESHOLDS, Level.OK) | {field: level}
    assert all(getattr(reading, name) is True for name in IO)


@pytest.mark.parametrize("spare", [0, 1])
@pytest.mark.parametrize("spare_io", [0, 1, 2, 3])
def test_bits_without_a_meaning_are_ignored(spare_io: int, spare: int) -> None:
    reading = decode(spare_io=spare_io, spare=spare)

    assert reading == decode()
    assert reading.flags == decode().flags


def test_a_reading_keeps_what_it_was_made_of() -> None:
    record = pack(voltage=1401, spare_io=2)
    reading = InstantReadout(KEY).decode(advertise(record, nonce=0xFEDC, product_id=0xA3F1))

    assert reading.record_bytes == record
    assert reading.nonce == 0xFEDC
    assert reading.product_id == 0xA3F1
    assert read_record(as_number(record), product_id=0xA3F1, nonce=0xFEDC) == reading


def test_readings_are_equal_when_they_show_the_same() -> None:
    decoder = InstantReadout(KEY)
    reading = decoder.decode(advertise(pack()))

    assert decoder.decode(advertise(pack(), nonce=7)) == reading
    assert decoder.decode(advertise(pack(), second=0x80)) == reading
    assert hash(decoder.decode(advertise(pack(), nonce=7))) == hash(reading)
    assert decoder.decode(advertise(pack(), product_id=0xA3ED)) != reading
    assert decoder.decode(advertise(pack(voltage=1329))) != reading


def test_a_reading_is_left_alone_by_those_after_it() -> None:
    decoder = InstantReadout(KEY)
    first = decoder.decode(advertise(pack()))
    decoder.decode(advertise(pack(voltage=1401, low_soc=3), nonce=2))

    assert first.voltage == 13.28
    assert first.low_soc is Level.OK


def test_a_reading_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        decode().voltage = 12.0  # type: ignore[misc]  # what is under test


@pytest.mark.parametrize(
    ("voltage", "current", "power"),
    [
        (1328, 0xFFFF - 41, -55.8),
        (5120, 1000, 5120.0),
        (1328, 0, 0.0),
        (0x7FFF, 1000, None),
        (1328, 0x7FFF, None),
        (7500, 0x10000 - 10000, -75000.0),
    ],
)
def test_power_is_voltage_times_current(voltage: int, current: int, power: float | None) -> None:
    assert decode(voltage=voltage, current=current).power == power


@pytest.mark.parametrize(
    ("low_cell_voltage", "low_soc", "pre_alarm"),
    [
        (1, 1, False),
        (2, 1, True),
        (3, 1, True),
        (1, 2, True),
        (1, 3, True),
        (2, 3, True),
        (0, 1, False),
        (1, 0, False),
        (0, 2, True),
        (2, 0, True),
        (0, 0, None),
    ],
)
def test_m_p3_the_pre_alarm(low_cell_voltage: int, low_soc: int, pre_alarm: bool | None) -> None:
    reading = decode(low_cell_voltage=low_cell_voltage, low_soc=low_soc)

    assert reading.pre_alarm is pre_alarm


@pytest.mark.parametrize("name", sorted(set(THRESHOLDS) - {"low_cell_voltage", "low_soc"}))
def test_no_other_condition_is_a_pre_alarm(name: str) -> None:
    assert decode(**{name: 2}).pre_alarm is False


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("state", [2, 3])
def test_a_low_battery_is_one_of_three_conditions(name: str, state: int) -> None:
    assert decode(**{name: state}).battery_low is (name in {"low_cell_voltage", "low_soc", "low_bank_voltage"})


def test_a_low_battery_needs_one_supported_condition() -> None:
    assert decode(low_cell_voltage=0, low_soc=0, low_bank_voltage=1).battery_low is False
    assert decode(low_cell_voltage=0, low_soc=0, low_bank_voltage=0).battery_low is None


@pytest.mark.parametrize("name", ["error", *IO, *THRESHOLDS])
def test_flags_tell_everything_but_measurements(name: str) -> None:
    assert decode(**{name: 2}).flags != decode().flags


@pytest.mark.parametrize("name", sorted({*NUMBERS} - {"error"}))
def test_flags_tell_no_measurement(name: str) -> None:
    changed = decode(**{name: RAW[name] + 1})

    assert changed.flags == decode().flags
    assert changed != decode()


@given(
    st.fixed_dictionaries(
        {
            "error": st.integers(0, 0xFF),
            "time_to_go": st.integers(0, 0xFFFE),
            "voltage": st.integers(500, 7500),
            "current": st.integers(-10000, 10000).map(lambda raw: raw % 0x10000),
            "state_of_charge": st.integers(0, 1000),
            "consumed_amphours": st.integers(0, 150000),
            "temperature": st.integers(0, 126),
            "spare_io": st.integers(0, 3),
            "spare": st.integers(0, 1),
        }
        | {name: st.integers(0, 3) for name in (*IO, *THRESHOLDS)}
    )
)
@settings(deadline=None)
def test_all_fields_at_once(raw: dict[str, int]) -> None:
    reading = decode(**raw)

    assert reading.error == raw["error"]
    assert reading.time_to_go == raw["time_to_go"]
    assert reading.voltage == raw["voltage"] / 100
    assert reading.current == (raw["current"] - (0x10000 if raw["current"] > 0x7FFF else 0)) / 10
    assert reading.state_of_charge == raw["state_of_charge"] / 10
    assert reading.consumed_amphours == -raw["consumed_amphours"] / 10
    assert reading.temperature == raw["temperature"] - 40
    assert [getattr(reading, name) for name in IO] == [(None, True, False, False)[raw[name]] for name in IO]
    levels = (None, Level.OK, Level.WARNING, Level.ALARM)
    assert [getattr(reading, name) for name in THRESHOLDS] == [levels[raw[name]] for name in THRESHOLDS]
    assert reading.record_bytes == pack(raw)


def test_what_is_remembered_of_records_is_bounded() -> None:
    """Anybody can send any number of records that decrypt to something."""
    decoder = InstantReadout(KEY)
    random = Random(1)
    flags = [{name: random.randrange(4) for name in (*IO, *THRESHOLDS)} for _ in range(3000)]
    records = [advertise(pack(raw, voltage=voltage)) for raw in flags for voltage in (1328, 0)]
    tracemalloc.start()
    try:
        for data in records:
            with suppress(ImplausibleRecord):
                decoder.decode(data)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 1_000_000
