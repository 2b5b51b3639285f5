"""Comparing two integrations, and reading the log."""

from pathlib import Path

import pytest

from demo.check import LIVE, SideBySide, compare, complaints, table, without_value
from demo.home_assistant import State

OURS = {
    "voltage": State(value="13.2", unit="V"),
    "current": State(value="-4.5", unit="A"),
    "battery_level": State(value="76.0", unit="%"),
    "temperature": State(value="21", unit="°C"),
}
THEIRS = {
    "voltage": State(value="13.20", unit="V"),
    "current": State(value="-4.5", unit="A"),
    "state_of_charge": State(value="76", unit="%"),
    "battery_temperature": State(value="21.0", unit="°C"),
}


def theirs(key: str, value: str, unit: str | None) -> dict[str, State]:
    return {**THEIRS, key: State(value=value, unit=unit)}


def test_the_same_numbers_in_other_words_agree() -> None:
    assert all(row.agrees for row in compare(OURS, THEIRS))


@pytest.mark.parametrize(
    ("key", "value", "unit"),
    [
        ("voltage", "13.21", "V"),
        ("voltage", "13.20", "mV"),
        ("voltage", "13.20", None),
        ("current", "4.5", "A"),
        ("current", "-4.4", "A"),
        ("state_of_charge", "76.1", "%"),
        ("state_of_charge", "unavailable", "%"),
        ("battery_temperature", "22", "°C"),
        ("battery_temperature", "unknown", "°C"),
        ("battery_temperature", "nan", "°C"),
    ],
)
def test_one_step_of_the_record_or_no_number_is_different(key: str, value: str, unit: str | None) -> None:
    rows = compare(OURS, theirs(key, value, unit))
    assert [row.quantity.theirs for row in rows if not row.agrees] == [key]


@pytest.mark.parametrize(("ours", "others"), [({}, THEIRS), (OURS, {}), ({}, {})])
def test_what_is_not_there_is_different(ours: dict[str, State], others: dict[str, State]) -> None:
    assert not any(row.agrees for row in compare(ours, others))


def test_two_that_show_nothing_do_not_agree() -> None:
    unknown = dict.fromkeys(("voltage", "current", "battery_level", "temperature"), State(value="unknown", unit=None))
    other = dict.fromkeys(THEIRS, State(value="unknown", unit=None))
    assert not any(row.agrees for row in compare(unknown, other))


def test_the_table() -> None:
    others = theirs("current", "-4.4", "A")
    del others["battery_temperature"]
    assert table(compare(OURS, others)).splitlines() == [
        "                     smallbms_ng   victron_ble",
        "  Voltage                 13.2 V       13.20 V  same",
        "  Current                 -4.5 A        -4.4 A  different",
        "  State of charge         76.0 %          76 %  same",
        "  Temperature              21 °C     not there  different",
    ]


def test_agreeing_is_not_enough_without_a_change() -> None:
    side_by_side = SideBySide()
    assert not side_by_side.look(OURS, THEIRS)
    assert not side_by_side.look(OURS, THEIRS)
    assert side_by_side.failure() == "Nothing that smallbms_ng shows changed within 30 seconds."
    changed = State(value="13.19", unit="V")
    assert side_by_side.look({**OURS, "voltage": changed}, {**THEIRS, "voltage": changed})


def test_ours_may_show_what_theirs_showed_a_moment_ago() -> None:
    side_by_side = SideBySide()
    later = {**OURS, "voltage": State(value="13.19", unit="V")}
    assert not side_by_side.look(OURS, THEIRS)
    assert not side_by_side.look(OURS, theirs("voltage", "13.19", "V"))
    assert side_by_side.look(later, theirs("voltage", "13.18", "V"))


def test_but_not_for_ever() -> None:
    side_by_side = SideBySide()
    side_by_side.look(OURS, THEIRS)
    for _ in range(50):
        side_by_side.look(OURS, theirs("voltage", "13.10", "V"))
    assert side_by_side.failure() == "smallbms_ng and victron_ble still differed after 30 seconds (voltage)."


def test_ours_may_not_mix_moments() -> None:
    side_by_side = SideBySide()
    side_by_side.look(OURS, theirs("voltage", "13.10", "V"))
    side_by_side.look(OURS, theirs("current", "-4.4", "A"))
    assert side_by_side.failure() == "smallbms_ng and victron_ble still differed after 30 seconds (current)."


def test_without_value() -> None:
    states = dict.fromkeys(LIVE, State(value="1", unit=None))
    assert without_value(states) == []
    states["power"] = State(value="unknown", unit="W")
    states["error"] = State(value="unavailable", unit=None)
    del states["status"]
    assert without_value(states) == ["power", "error", "status"]


LOG = """\
2026-11-22 08:02:15.947 WARNING (SyncWorker_0) [homeassistant.loader] We found a custom integration smallbms_ng which
2026-11-22 08:02:16.000 INFO (MainThread) [custom_components.smallbms_ng.coordinator] It is back
2026-11-22 08:02:16.035 WARNING (MainThread) [aiohttp_fast_zlib] zlib_ng and isal are not available
2026-11-22 08:02:17.000 WARNING (MainThread) [custom_components.smallbms_ng.coordinator] Too slow
2026-11-22 08:02:18.000 ERROR (MainThread) [homeassistant] Error doing job
Traceback (most recent call last):
  File "/config/custom_components/smallbms_ng/coordinator.py", line 1, in nonsense
ValueError
2026-11-22 08:02:19.000 ERROR (MainThread) [homeassistant] Error doing another job
Traceback (most recent call last):
  File "/config/another.py", line 1, in nonsense
"""


def test_complaints_about_ours_with_their_tracebacks(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LOG)
    warning, error = complaints(log)
    assert warning.endswith("[custom_components.smallbms_ng.coordinator] Too slow")
    assert error.startswith("2026-11-22 08:02:18.000 ERROR")
    assert error.endswith("ValueError")


def test_no_log_no_complaints(tmp_path: Path) -> None:
    assert complaints(tmp_path / "log") == []
