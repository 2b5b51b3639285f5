"""Everything that is measured, in one table. Run with: scripts/bench."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
import json
from math import ceil, floor, log10
from pathlib import Path
import platform
import sys
from typing import Final

from . import advertising, changes, connection, database, decoding, recording, simulation, starting, states, work
from .figures import Row, table
from .plots import Line, Plot, Point, picture

DOCS: Final = Path(__file__).parents[1] / "docs"
IMAGES: Final = DOCS / "images"
# The page is written between these lines.
_BEGIN: Final = "<!-- measured: begin -->"
_END: Final = "<!-- measured: end -->"

type Measure = Callable[[bool], Sequence[Row]]

MEASURES: Final[Mapping[str, Measure]] = {
    "states": states.rows,
    "database": database.rows,
    "work": work.rows,
    "decoding": decoding.rows,
    "starting": starting.rows,
    "recording": recording.rows,
    "connection": connection.rows,
    "simulation": simulation.rows,
    "advertising": advertising.rows,
    "changes": changes.rows,
}
# For how many devices the processor time is drawn, and for how many s it is measured.
_DEVICES: Final = (1, 25, 50, 100, 200)
_SECONDS: Final = 60
# At most so many marks on an axis, in steps that people count by.
_MARKS: Final = 8
_STEPS: Final = (1, 2, 5, 10)


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"measure only these: {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="see in two minutes that everything works; judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file, too")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md, and draw its plots")
    asked = parser.parse_args()
    if unknown := set(asked.only) - MEASURES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return asked


def measure(only: Sequence[str], *, quick: bool) -> list[Row]:
    """Measure, and tell how far it is."""
    rows: list[Row] = []
    for name, measured in MEASURES.items():
        if not only or name in only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows.extend(measured(quick))
    return rows


def machine() -> str:
    """Return where and when it was measured."""
    return f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.machine()}"


def write_page(rows: Sequence[Row]) -> None:
    """Put the table into the page, in place of the one of the run before."""
    page = DOCS / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    measured = f"{_BEGIN}\n\nMeasured on {machine()}:\n\n{table(rows)}\n\n{_END}"
    page.write_text(before + measured + after, encoding="utf-8")


def _axis(values: Iterable[float]) -> tuple[float, float, float]:
    """Return from where to where an axis goes, and how far apart its marks are: round numbers."""
    highest = max(values)
    ten = 10 ** floor(log10(highest / _MARKS))
    every = next(step * ten for step in _STEPS if highest / (step * ten) <= _MARKS)
    return 0, ceil(highest / every) * every, every


def _draw(name: str, title: str, units: tuple[str, str], found: Mapping[str, Sequence[Point]]) -> None:
    points = [point for some in found.values() for point in some]
    plot = Plot(
        name=name,
        title=title,
        x=_axis(x for x, _ in points),
        y=_axis(y for _, y in points),
        units=units,
        lines=[Line(name=integration, points=some) for integration, some in found.items()],
    )
    (IMAGES / f"{name}.svg").write_text(picture(plot), encoding="utf-8")


def draw(*, quick: bool) -> None:
    """Measure how it grows, and draw it."""
    devices = work.growth(_DEVICES, _SECONDS)
    _draw("performance-devices", "Processor time", ("devices, each heard once a second", "% of a core"), devices)
    _draw("performance-database", "Growth of the database", ("hours", "MiB"), database.growth(quick))


def main() -> int:
    """Measure and print; 1 if a limit is not kept."""
    asked = arguments()
    rows = measure(asked.only, quick=asked.quick)
    print(table(rows))
    if asked.json:
        asked.json.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n", encoding="utf-8")
    if asked.docs:
        write_page(rows)
        draw(quick=asked.quick)
    return 0 if asked.quick or all(row.reached is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
