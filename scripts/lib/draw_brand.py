"""Draw the pictures of custom_components/smallbms_ng/brand: run it with the Python of .venv after a change."""

from collections.abc import Iterable
from math import ceil, cos, radians, sin
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

FOLDER: Final = Path(__file__).parents[2] / "custom_components" / "smallbms_ng" / "brand"

# All places are in units of a picture of this height. Most are multiples of 16/3: whole pixels at a height of 48.
HEIGHT: Final = 256
PIXEL: Final = HEIGHT / 48

# Dots per unit while drawing: four times as many as in the largest copy, for smooth edges.
SCALE: Final = 8

# Home Assistant asks for a normal picture and for one of twice the density.
COPIES: Final = {"": 1, "@2x": 2}

type Color = tuple[int, int, int, int]
type Point = tuple[float, float]
type Box = tuple[float, float, float, float]

NOTHING: Final[Color] = (0, 0, 0, 0)
CASE: Final[Color] = (15, 126, 117, 255)
WAVES: Final[Color] = (20, 184, 166, 255)
CELLS: Final[tuple[Color, ...]] = ((45, 212, 191, 255), (52, 211, 153, 255), (74, 222, 128, 255), (163, 230, 53, 255))
BOLT: Final[Color] = (255, 255, 255, 255)

CASE_BOX: Final[Box] = (0, 18 * PIXEL, HEIGHT, HEIGHT)
CASE_RADIUS: Final = 5.5 * PIXEL
CELLS_BOX: Final[Box] = (3 * PIXEL, 21 * PIXEL, 45 * PIXEL, 45 * PIXEL)
CELL_GAP: Final = 2 * PIXEL
CELL_RADIUS: Final = 2.5 * PIXEL
TERMINAL_BOXES: Final[tuple[Box, ...]] = (
    (6 * PIXEL, 13 * PIXEL, 15 * PIXEL, 20 * PIXEL),
    (33 * PIXEL, 13 * PIXEL, 42 * PIXEL, 20 * PIXEL),
)
TERMINAL_RADIUS: Final = 2 * PIXEL
BOLT_POINTS: Final[tuple[Point, ...]] = ((148, 112), (90, 184), (124, 184), (108, 240), (166, 168), (132, 168))
BOLT_EDGE: Final = 9

WAVE_CENTER: Final[Point] = (HEIGHT / 2, 18 * PIXEL)
WAVE_SOURCE: Final = 4 * PIXEL
WAVE_RADII: Final = (10 * PIXEL, 16.5 * PIXEL)
WAVE_WIDTH: Final = 3 * PIXEL
# Degrees, clockwise from the right.
WAVE_ANGLES: Final = (225, 315)

TITLE: Final = "smallBMS NG"
# By the start of the file name: on light and on dark background.
TITLE_COLORS: Final[dict[str, Color]] = {"": (30, 41, 59, 255), "dark_": (241, 245, 249, 255)}
TITLE_HEIGHT: Final = 144
TITLE_GAP: Final = 40
TITLE_STROKE: Final = 3


def _scaled(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(value * SCALE for value in values)


def _canvas(width: float) -> Image.Image:
    """Return an empty picture, wide enough and a whole number of units wide, so that no copy is blurred."""
    return Image.new("RGBA", (ceil(width) * SCALE, HEIGHT * SCALE), NOTHING)


def _draw_rounded(pen: ImageDraw.ImageDraw, box: Box, radius: float, color: Color) -> None:
    left, top, right, bottom = _scaled(box)
    # Pillow counts the last row and column in.
    pen.rounded_rectangle((left, top, right - 1, bottom - 1), radius * SCALE, color)


def _around(center: Point, radius: float) -> Box:
    x, y = center
    return x - radius, y - radius, x + radius, y + radius


def _draw_disc(pen: ImageDraw.ImageDraw, center: Point, radius: float, color: Color) -> None:
    _draw_rounded(pen, _around(center, radius), radius, color)


def _draw_wave(pen: ImageDraw.ImageDraw, radius: float) -> None:
    """Draw an arc with round ends."""
    left, top, right, bottom = _scaled(_around(WAVE_CENTER, radius + WAVE_WIDTH / 2))
    pen.arc((left, top, right, bottom), *WAVE_ANGLES, WAVES, round(WAVE_WIDTH * SCALE))
    for angle in map(radians, WAVE_ANGLES):
        end = WAVE_CENTER[0] + radius * cos(angle), WAVE_CENTER[1] + radius * sin(angle)
        _draw_disc(pen, end, WAVE_WIDTH / 2, WAVES)


def _draw_waves(pen: ImageDraw.ImageDraw) -> None:
    _draw_disc(pen, WAVE_CENTER, WAVE_SOURCE, WAVES)
    for radius in WAVE_RADII:
        _draw_wave(pen, radius)


def _draw_case(pen: ImageDraw.ImageDraw) -> None:
    for box in TERMINAL_BOXES:
        _draw_rounded(pen, box, TERMINAL_RADIUS, CASE)
    _draw_rounded(pen, CASE_BOX, CASE_RADIUS, CASE)


def _draw_cells(pen: ImageDraw.ImageDraw) -> None:
    left, top, right, bottom = CELLS_BOX
    pitch = (right - left + CELL_GAP) / len(CELLS)
    for place, color in enumerate(CELLS):
        start = left + place * pitch
        _draw_rounded(pen, (start, top, start + pitch - CELL_GAP, bottom), CELL_RADIUS, color)


def _draw_bolt(pen: ImageDraw.ImageDraw) -> None:
    """Draw the bolt, with an edge that keeps it apart from the cells."""
    points = [(x * SCALE, y * SCALE) for x, y in BOLT_POINTS]
    pen.line([*points, *points[:2]], CASE, 2 * BOLT_EDGE * SCALE, joint="curve")
    pen.polygon(points, BOLT)


def draw_icon() -> Image.Image:
    """Return the icon: a battery of four cells that sends."""
    image = _canvas(HEIGHT)
    pen = ImageDraw.Draw(image)
    for draw in (_draw_waves, _draw_case, _draw_cells, _draw_bolt):
        draw(pen)
    return image


def draw_logo(icon: Image.Image, color: Color) -> Image.Image:
    """Return the logo: the icon with the name beside it, written in a color."""
    font = ImageFont.load_default(TITLE_HEIGHT * SCALE)
    start = HEIGHT + TITLE_GAP
    image = _canvas(start + font.getlength(TITLE) / SCALE)
    image.paste(icon)
    # The words stand on the middle of the case, measured at the height of a capital.
    baseline = (CASE_BOX[1] + CASE_BOX[3]) / 2 + 0.35 * TITLE_HEIGHT
    place = (start * SCALE, baseline * SCALE)
    ImageDraw.Draw(image).text(place, TITLE, color, font, anchor="ls", stroke_width=TITLE_STROKE * SCALE)
    return _trimmed(image)


def _trimmed(image: Image.Image) -> Image.Image:
    """Return a picture without the empty units at its right."""
    _, _, right, _ = image.getbbox() or (0, 0, image.width, 0)
    return image.crop((0, 0, ceil(right / SCALE) * SCALE, image.height))


def save(image: Image.Image, name: str) -> None:
    """Write a picture in the sizes that Home Assistant asks for."""
    for suffix, density in COPIES.items():
        size = (image.width * density // SCALE, HEIGHT * density)
        image.resize(size, Image.Resampling.BOX).save(FOLDER / f"{name}{suffix}.png", optimize=True)


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    icon = draw_icon()
    save(icon, "icon")
    for start, color in TITLE_COLORS.items():
        save(draw_logo(icon, color), f"{start}logo")


if __name__ == "__main__":
    main()
