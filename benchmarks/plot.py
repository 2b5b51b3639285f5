"""Lines in a plot, drawn as SVG: small enough to be kept, and readable in the dark and in the light."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

_WIDTH: Final = 640
_HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 20, 50
_HEAD: Final = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="13">'
)
_COLORS: Final = ("#0a84d0", "#d0650a", "#6b8e23", "#8b4789")
_GRAY: Final = "#808080"
# The steps that people count by, by tens.
_STEPS: Final = (1, 2, 5, 10)
_MOST_MARKS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is drawn of one of those that are compared."""

    name: str
    points: Sequence[tuple[float, float]]


def plot(file: Path, lines: Sequence[Line], *, across: str, up: str) -> None:
    """Draw lines into a file."""
    widest = max(x for line in lines for x, _ in line.points)
    highest = max(y for line in lines for _, y in line.points)
    body = [*_marks(widest, highest), *_labels(across, up)]
    for line, color in zip(lines, _COLORS, strict=False):
        body.extend(_drawn(line, color, widest, highest))
    file.write_text("\n".join((_HEAD, *body, "</svg>", "")), encoding="utf-8")


def _place(x: float, y: float, widest: float, highest: float) -> tuple[float, float]:
    across = _LEFT + x / widest * (_WIDTH - _LEFT - _RIGHT)
    return round(across, 1), round(_HEIGHT - _BOTTOM - y / highest * (_HEIGHT - _TOP - _BOTTOM), 1)


def _drawn(line: Line, color: str, widest: float, highest: float) -> list[str]:
    places = [_place(x, y, widest, highest) for x, y in line.points]
    path = " ".join(f"{x},{y}" for x, y in places)
    x, y = places[-1]
    return [
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>' for x, y in places),
        f'<text x="{x + 8}" y="{y + 4}" fill="{color}">{escape(line.name)}</text>',
    ]


def _marks(widest: float, highest: float) -> list[str]:
    marks = []
    for value in _values(highest):
        x, y = _place(0, value, widest, highest)
        marks.append(f'<line x1="{x}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="{_GRAY}" stroke-opacity="0.3"/>')
        marks.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end" fill="{_GRAY}">{value:g}</text>')
    for value in _values(widest):
        x, y = _place(value, 0, widest, highest)
        marks.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle" fill="{_GRAY}">{value:g}</text>')
    return marks


def _values(highest: float) -> list[float]:
    """Return round numbers from 0 to the highest."""
    ten = 10 ** floor(log10(highest / _MOST_MARKS))
    step = next(step * ten for step in _STEPS if highest / (step * ten) <= _MOST_MARKS)
    return [round(number * step, 10) for number in range(int(highest / step) + 1)]


def _labels(across: str, up: str) -> list[str]:
    middle, turned = (_LEFT + _WIDTH - _RIGHT) / 2, f"translate(16 {_HEIGHT / 2}) rotate(-90)"
    return [
        f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle" fill="{_GRAY}">{escape(across)}</text>',
        f'<text transform="{turned}" text-anchor="middle" fill="{_GRAY}">{escape(up)}</text>',
    ]
