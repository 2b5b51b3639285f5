"""The rows of the table: what is measured, of us and of the peer, and what has to be reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.

    most, least: the limits of the ratio, ours by the peer's, or of our figure where there is no peer. None of both: for
    information. peer: None where nobody else is measured.
    """

    figure: str
    unit: str = ""
    ours: float
    peer: float | None = None
    most: float | None = None
    least: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times ours is as much as the peer's."""
        return self.ours / self.peer if self.peer else None

    @property
    def reached(self) -> bool | None:
        """Whether the limits are kept; None where there are none."""
        if self.most is None and self.least is None:
            return None
        judged = self.ours if self.ratio is None else self.ratio
        return (-inf if self.least is None else self.least) <= judged <= (inf if self.most is None else self.most)

    @property
    def target(self) -> str:
        """The limits in words."""
        of = "" if self.ratio is None else " x"
        limits = (("≤", self.most), ("≥", self.least))
        return ", ".join(f"{sign} {plain(limit)}{of}" for sign, limit in limits if limit is not None)

    def as_json(self) -> dict[str, object]:
        """Return the row for a file."""
        return {
            "figure": self.figure,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio,
            "target": self.target,
            "reached": self.reached,
        }


def plain(number: float | None) -> str:
    """Return a number as people read it, with three digits or more."""
    if number is None:
        return ""
    return f"{number:,.0f}" if abs(number) >= _WHOLE or number == int(number) else f"{number:.3g}"


# From here on a number is told without decimals.
_WHOLE = 100
_NUMBERS = range(1, 4)
_HEAD = ("figure", "ours", "peer", "ratio", "limit", "reached")
_REACHED = {True: "yes", False: "NO", None: ""}


def table(rows: Iterable[Row]) -> str:
    """Return the table in Markdown."""
    cells: list[Sequence[str]] = [_HEAD]
    for row in rows:
        name = f"{row.figure}, {row.unit}" if row.unit else row.figure
        numbers = (plain(row.ours), plain(row.peer), plain(row.ratio))
        cells.append((name, *numbers, row.target, _REACHED[row.reached]))
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = ["| " + " | ".join(_padded(line, widths)) + " |" for line in cells]
    rule = (
        "-" * widths[0],
        *("-" * (width - 1) + ":" for width in widths[1:4]),
        *("-" * width for width in widths[4:]),
    )
    return "\n".join((lines[0], "| " + " | ".join(rule) + " |", *lines[1:]))


def _padded(line: Sequence[str], widths: Sequence[int]) -> Sequence[str]:
    return [
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
