"""What the emulated device encodes comes out again. The two share no code."""

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.advertisement import InstantReadout
from custom_components.smallbms_ng.protocol.codes import Level
from emulator.bms.codes import CODES, CodeDescription, Severity
from emulator.instant_readout import encode_record, encrypt_record
from emulator.snapshot import IoField, LevelField, Snapshot
from emulator.snapshot import Level as SentLevel

from .packer import IO, KEY, PRODUCT_ID, THRESHOLDS

LEVEL_OF_SENT: Final = {
    SentLevel.NOT_SUPPORTED: None,
    SentLevel.OK: Level.OK,
    SentLevel.WARNING: Level.WARNING,
    SentLevel.ALARM: Level.ALARM,
}


def in_steps(low: int, high: int, step_of: int) -> st.SearchStrategy[float | None]:
    """Return values that the record can hold exactly, and None."""
    return st.none() | st.integers(low, high).map(lambda raw: raw / step_of)


SNAPSHOTS: Final = st.builds(
    Snapshot,
    error=st.integers(0, 255),
    time_to_go=st.none() | st.integers(0, 0xFFFE),
    voltage=in_steps(500, 7500, 100),
    current=in_steps(-10000, 10000, 10),
    temperature=st.none() | st.integers(-40, 86),
    state_of_charge=in_steps(0, 1000, 10),
    drawn_amphours=in_steps(0, 150000, 10),
    io=st.dictionaries(st.sampled_from(IoField), st.sampled_from([None, True, False])),
    levels=st.dictionaries(st.sampled_from(LevelField), st.sampled_from(SentLevel)),
)


@given(SNAPSHOTS, st.binary(min_size=16, max_size=16), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
@settings(deadline=None, max_examples=200)
def test_any_snapshot_gives_the_same_values(snapshot: Snapshot, key: bytes, nonce: int, product_id: int) -> None:
    data = encrypt_record(encode_record(snapshot), key=key, nonce=nonce, product_id=product_id)
    reading = InstantReadout(key).decode(data)

    assert reading.error == snapshot.error
    assert reading.time_to_go == snapshot.time_to_go
    assert reading.voltage == snapshot.voltage
    assert reading.current == snapshot.current
    assert reading.temperature == snapshot.temperature
    assert reading.state_of_charge == snapshot.state_of_charge
    drawn = None if reading.consumed_amphours is None else abs(reading.consumed_amphours)
    assert drawn == snapshot.drawn_amphours
    assert [getattr(reading, name) for name in IO] == [snapshot.io.get(field) for field in IoField]
    sent = [snapshot.levels.get(field, SentLevel.NOT_SUPPORTED) for field in LevelField]
    assert [getattr(reading, name) for name in THRESHOLDS] == [LEVEL_OF_SENT[level] for level in sent]
    assert (reading.nonce, reading.product_id) == (nonce, product_id)


@given(st.floats(5, 75), st.floats(-1000, 1000), st.floats(0, 100), st.floats(0, 15000))
@settings(deadline=None)
def test_what_lies_between_two_steps_comes_out_as_one_of_them(
    voltage: float, current: float, state_of_charge: float, drawn: float
) -> None:
    snapshot = Snapshot(voltage=voltage, current=current, state_of_charge=state_of_charge, drawn_amphours=drawn)
    data = encrypt_record(encode_record(snapshot), key=KEY, nonce=1, product_id=PRODUCT_ID)
    reading = InstantReadout(KEY).decode(data)

    assert reading.voltage == pytest.approx(voltage, abs=0.00501)
    assert reading.current == pytest.approx(current, abs=0.0501)
    assert reading.state_of_charge == pytest.approx(state_of_charge, abs=0.0501)
    assert reading.consumed_amphours == pytest.approx(-drawn, abs=0.0501)


@pytest.mark.parametrize("description", CODES.values(), ids=lambda description: description.code)
def test_m_c1_to_m_c12_a_code_that_is_sent_is_shown(description: CodeDescription) -> None:
    levels = {} if description.level is None else {description.level: SentLevel[description.severity.name]}
    error = description.number if description.severity is Severity.ERROR else 0
    data = encrypt_record(encode_record(Snapshot(error=error, levels=levels)), key=KEY, nonce=1)

    assert [str(code) for code in InstantReadout(KEY).decode(data).codes] == [description.code]
