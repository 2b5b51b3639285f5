"""The codes: which field gives which, in what order, and what is worst."""

from typing import Final

import pytest

from custom_components.smallbms_ng.protocol.advertisement import InstantReadout
from custom_components.smallbms_ng.protocol.codes import (
    ADVERTISED_LEVEL_FIELDS,
    CONDITIONS,
    CONFIGURATION_ERRORS,
    KNOWN_ERRORS,
    LEVEL_FIELDS,
    LOW_CELL_SHUTDOWN,
    Code,
    CodeChanges,
    Level,
    Severity,
    active_codes,
    code_changes,
    error_code,
)

from .packer import KEY, THRESHOLDS, advertise, pack

ALL_OK: Final = dict.fromkeys(LEVEL_FIELDS, Level.OK)
NO_ERROR: Final = 0


def codes_of(**raw: int) -> list[str]:
    """Return the codes of a healthy battery with these raw numbers changed."""
    return [str(code) for code in InstantReadout(KEY).decode(advertise(pack(raw))).codes]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("low_cell_voltage", "B01"),
        ("high_current", "B02"),
        ("high_bms_temperature", "B03"),
        ("contactor", "B04"),
        ("battery_communication", "B05"),
        ("load_disconnect", "B06"),
        ("low_soc", "B07"),
        ("low_bank_voltage", "B08"),
        ("high_temperature", "B09"),
    ],
)
def test_each_condition_speaks_with_its_number(name: str, number: str) -> None:
    assert codes_of(**{name: 0}) == []
    assert codes_of(**{name: 1}) == []
    assert codes_of(**{name: 2}) == [f"W-{number}"]
    assert codes_of(**{name: 3}) == [f"A-{number}"]


@pytest.mark.parametrize(
    ("rule", "code", "raw"),
    [
        ("M-C1", "W-B01", {"low_cell_voltage": 2}),
        ("M-C2", "W-B05", {"battery_communication": 2}),
        ("M-C3", "W-B07", {"low_soc": 2}),
        ("M-C4", "A-B01", {"low_cell_voltage": 3}),
        ("M-C5", "A-B05", {"battery_communication": 3}),
        ("M-C6", "A-B07", {"low_soc": 3}),
        ("M-C7", "A-B08", {"low_bank_voltage": 3}),
        ("M-C8", "A-B09", {"high_temperature": 3}),
        ("M-C9", "E-B01", {"error": 1}),
        ("M-C10", "E-B05", {"error": 5}),
        ("M-C11", "E-B09", {"error": 9}),
        ("M-C12", "E-B11", {"error": 11}),
    ],
)
def test_m_c1_to_m_c12_every_code_of_the_manual(rule: str, code: str, raw: dict[str, int]) -> None:
    assert codes_of(**raw) == [code], rule


def test_the_manual_knows_five_conditions_and_four_errors() -> None:
    assert list(THRESHOLDS) == list(ADVERTISED_LEVEL_FIELDS)
    assert [condition.name for condition in CONDITIONS] == list(LEVEL_FIELDS) == [*THRESHOLDS, "condition_10"]
    in_manual = {condition.number for condition in CONDITIONS if condition.in_manual}
    assert in_manual == {1, 5, 7, 8, 9}
    assert KNOWN_ERRORS == (1, 5, 9, 11)


def test_every_error_number_is_shown() -> None:
    shown = [codes_of(error=error) for error in range(1, 256)]

    assert shown[:12] == [[f"E-B{number:02}"] for number in range(1, 13)]
    assert shown[98:100] == [["E-B99"], ["E-B100"]]
    assert shown[-1] == ["E-B255"]
    assert all(len(codes) == 1 for codes in shown)


def test_no_error_is_no_code() -> None:
    assert error_code(NO_ERROR) is None
    assert codes_of(error=NO_ERROR) == []


def test_the_worst_comes_first_and_then_the_lowest_number() -> None:
    raw = {
        "error": 11,
        "low_cell_voltage": 2,
        "high_current": 3,
        "battery_communication": 3,
        "low_soc": 2,
        "low_bank_voltage": 3,
        "high_temperature": 2,
    }
    assert codes_of(**raw) == ["E-B11", "A-B02", "A-B05", "A-B08", "W-B01", "W-B07", "W-B09"]


def test_everything_at_once() -> None:
    expected = ["E-B200", *(f"A-B{number:02}" for number in range(1, 10))]

    assert codes_of(error=200, **dict.fromkeys(THRESHOLDS, 3)) == expected


def test_levels_that_are_not_supported_give_no_code() -> None:
    assert active_codes(NO_ERROR, dict.fromkeys(LEVEL_FIELDS)) == ()
    assert active_codes(NO_ERROR, ALL_OK) == ()
    assert active_codes(NO_ERROR, ALL_OK | {"low_soc": None}) == ()


@pytest.mark.parametrize(
    ("raw", "severity"),
    [
        ({}, Severity.OK),
        ({"low_soc": 0}, Severity.OK),
        ({"low_soc": 2}, Severity.WARNING),
        ({"low_soc": 3}, Severity.ALARM),
        ({"low_soc": 2, "high_temperature": 3}, Severity.ALARM),
        ({"error": 1}, Severity.ERROR),
        ({"error": 77, "low_soc": 3}, Severity.ERROR),
    ],
)
def test_the_severity_is_that_of_the_worst_code(raw: dict[str, int], severity: Severity) -> None:
    reading = InstantReadout(KEY).decode(advertise(pack(raw)))

    assert reading.severity is severity
    # What the problem sensor shows.
    assert bool(reading.codes) is (severity is not Severity.OK)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (Code(severity=Severity.WARNING, number=7), "W-B07"),
        (Code(severity=Severity.ALARM, number=1), "A-B01"),
        (Code(severity=Severity.ERROR, number=11), "E-B11"),
        (Code(severity=Severity.ERROR, number=123), "E-B123"),
    ],
)
def test_codes_are_written_as_in_the_manual(code: Code, text: str) -> None:
    assert str(code) == text


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.ALARM, Severity.ERROR])
@pytest.mark.parametrize("number", [1, 11, 255])
def test_a_code_is_read_as_it_is_printed(severity: Severity, number: int) -> None:
    code = Code(severity=severity, number=number)
    assert Code.parse(str(code)) == code


@pytest.mark.parametrize("text", ["", "O-B01", "X-B01", "A-B", "A-Bxx"])
def test_what_is_no_code_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Code.parse(text)


def test_the_errors_of_a_configuration_are_those_of_the_manual() -> None:
    """E-B01 and E-B05 (M-C9, M-C10)."""
    assert CONFIGURATION_ERRORS == (1, 5)
    assert KNOWN_ERRORS == (1, 5, 9, 11)
    assert Code.parse("A-B01") == LOW_CELL_SHUTDOWN


def test_changes_are_told_with_the_worst_last() -> None:
    before = [Code.parse(text) for text in ("W-B01", "W-B07", "A-B05", "E-B09")]
    now = [Code.parse(text) for text in ("W-B07", "A-B01", "A-B09", "W-B05", "E-B11")]
    changes = code_changes(before, now)
    assert [str(code) for code in changes.begun] == ["W-B05", "A-B09", "A-B01", "E-B11"]
    assert [str(code) for code in changes.ended] == ["W-B01", "A-B05", "E-B09"]
    assert code_changes(now, now) == CodeChanges(begun=(), ended=())
    assert code_changes([], before).ended == ()


@pytest.mark.parametrize(("text", "subject"), [("W-B01", (False, 1)), ("A-B01", (False, 1)), ("E-B01", (True, 1))])
def test_what_a_code_is_about(text: str, subject: tuple[bool, int]) -> None:
    assert Code.parse(text).subject == subject
