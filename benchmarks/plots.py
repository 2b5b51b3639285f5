"""Plots as SVG files, of lines over two axes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 44
# Good to read on white and on black.
COLORS: Final = ("#0d9488", "#d97706", "#6366f1", "#dc2626", "#64748b")
INK: Final = "#808890"

type Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a plot."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot with axes from and to these values, and a tick at every so many."""

    name: str
    title: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]
    units: tuple[str, str]
    lines: Sequence[Line]


def scaled(plot: Plot) -> Callable[[Point], Point]:
    """Return what gives the place of a point in the picture."""
    (x_from, x_to, _), (y_from, y_to, _) = plot.x, plot.y
    across, up = (WIDTH - LEFT - RIGHT) / (x_to - x_from), (HEIGHT - TOP - BOTTOM) / (y_to - y_from)
    return lambda point: (LEFT + (point[0] - x_from) * across, HEIGHT - BOTTOM - (point[1] - y_from) * up)


def ticks(axis: tuple[float, float, float]) -> Iterator[float]:
    """Yield the values of the ticks."""
    start, stop, every = axis
    for number in range(round((stop - start) / every) + 1):
        yield round(start + number * every, 6)


def text(x: float, y: float, content: str, anchor: str = "middle", extra: str = "") -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"{extra}>{content}</text>'


def axes(plot: Plot) -> Iterator[str]:
    """Yield the grid with its numbers and names."""
    place = scaled(plot)
    for value in ticks(plot.x):
        x, _ = place((value, plot.y[0]))
        yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{INK}" stroke-opacity=".25"/>'
        yield text(x, HEIGHT - BOTTOM + 16, f"{value:g}")
    for value in ticks(plot.y):
        _, y = place((plot.x[0], value))
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity=".25"/>'
        yield text(LEFT - 6, y + 4, f"{value:g}", "end")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, plot.units[0])
    yield text(LEFT - 20, TOP - 12, plot.units[1], "start")
    yield text((LEFT + WIDTH - RIGHT) / 2, 20, plot.title, extra=' font-size="15" font-weight="bold"')


def thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Return so many of the points as can be told apart."""
    return [*points[:: max(1, len(points) // 240)], points[-1]]


def drawn(plot: Plot) -> Iterator[str]:
    """Yield the lines with their names."""
    place = scaled(plot)
    for number, (line, color) in enumerate(zip(plot.lines, COLORS, strict=False)):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, thinned(line.points)))
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round"/>'
        y = TOP + 16 + 18 * number
        yield f'<path d="M{WIDTH - RIGHT - 270} {y - 4}h24" stroke="{color}" stroke-width="2"/>'
        yield text(WIDTH - RIGHT - 240, y, line.name, "start")


def picture(plot: Plot) -> str:
    """Return a plot as SVG."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    style = 'font-family="system-ui, sans-serif" font-size="12"'
    return "\n".join((f"{head} {style}>", f"<title>{plot.title}</title>", *axes(plot), *drawn(plot), "</svg>\n"))
