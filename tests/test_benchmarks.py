"""The table of the benchmarks: what a row says, and when it is reached."""

import pytest

from benchmarks.figures import Row, table

RATIO = Row(figure="states", ours=10, peer=100, most=0.2)
ALONE = Row(figure="start", unit="ms", ours=60, most=50)
INFORMATION = Row(figure="bytes", ours=1234.5, peer=2.0)


@pytest.mark.parametrize(
    ("row", "ratio", "target", "reached"),
    [
        (RATIO, 0.1, "≤ 0.2 x", True),
        (Row(figure="", ours=30, peer=100, most=0.2), 0.3, "≤ 0.2 x", False),
        (ALONE, None, "≤ 50", False),
        (Row(figure="", ours=600, least=500), None, "≥ 500", True),
        (Row(figure="", ours=27, peer=7, least=1), pytest.approx(3.857, abs=0.001), "≥ 1 x", True),
        (INFORMATION, pytest.approx(617.25), "", None),
    ],
)
def test_a_row(row: Row, ratio: float | None, target: str, reached: bool | None) -> None:
    assert (row.ratio, row.target, row.reached) == (ratio, target, reached)
    assert {"figure", "ours", "peer", "ratio", "target", "reached"} <= row.as_json().keys()


def test_the_table() -> None:
    lines = table([RATIO, ALONE, INFORMATION]).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["figure", "ours", "peer", "ratio", "limit", "reached"]
    assert cells[2] == ["states", "10", "100", "0.1", "≤ 0.2 x", "yes"]
    assert cells[3] == ["start, ms", "60", "", "", "≤ 50", "NO"]
    assert cells[4] == ["bytes", "1,234", "2", "617", "", ""]
