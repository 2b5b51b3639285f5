"""Draw docs/images/battery-*.svg from runs of the emulated battery: run it with the Python of .venv after a change."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
import sys
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.plots import Line, Plot, Point, picture  # noqa: E402
from emulator.battery.cells import resistance_factor  # noqa: E402
from emulator.battery.layout import BankLayout  # noqa: E402
from emulator.bms.bms import SmallBms  # noqa: E402

FOLDER: Final = ROOT / "docs" / "images"
HOUR: Final = 3600.0
STEP: Final = 15.0  # s
CAPACITY: Final = 100.0  # Ah
SHOWN_MINUTES: Final = 50
ABSORPTION: Final = 14.2  # V

# What is drawn


def bank(state_of_charge: float, temperature: float = 25.0) -> SmallBms:
    """Return a battery of 12.8 V and 100 Ah."""
    layout = BankLayout.of("12.8/100")
    return SmallBms.build(layout, random=Random(1), state_of_charge=state_of_charge, temperature=temperature)  # noqa: S311


def charging(bms: SmallBms, limit: float, voltage: float, seconds: float) -> Iterator[float]:
    """Charge with a current in A at most, up to a voltage in V; yield the current of each step."""
    for _ in range(round(seconds / STEP)):
        current = min(limit, max(0.0, bms.current_at(voltage, STEP))) if bms.outputs.charger else 0.0
        bms.step(current=current, ambient=25.0, seconds=STEP)
        yield current


def resting(bms: SmallBms, hours: float) -> list[Point]:
    """Return the voltage over the hours of a rest."""
    points = [(0.0, bms.voltage)]
    for number in range(round(hours * HOUR / STEP)):
        bms.step(current=0.0, ambient=25.0, seconds=STEP)
        points.append(((number + 1) * STEP / HOUR, bms.voltage))
    return points


def rests() -> Plot:
    """Draw how a full bank comes to rest."""
    lines = []
    for minutes in (0, 30, 120):
        bms = bank(90)
        for _ in charging(bms, 30.0, ABSORPTION, HOUR):
            if bms.history.synchronizations:
                break
        for _ in charging(bms, 30.0, ABSORPTION, minutes * 60.0):
            pass
        name = f"after {minutes} min at 14.2 V" if minutes else "right after the synchronization"
        lines.append(Line(name=name, points=resting(bms, 4)))
    return Plot(
        name="battery-rest",
        title="A full 12.8 V battery comes to rest",
        x=(0, 4, 1),
        y=(13.2, 14.4, 0.2),
        units=("hours without current", "V"),
        lines=lines,
    )


def charges() -> Plot:
    """Draw the last hour of charging at several rates."""
    lines = []
    for rate in (0.1, 0.3, 0.5):
        bms, points, minutes = bank(80), list[Point](), 0.0
        for current in charging(bms, rate * CAPACITY, ABSORPTION, 3 * HOUR):
            minutes += STEP / 60
            points.append((minutes, 100 * current / CAPACITY))
        begins = next(x for x, y in points if y < 100 * rate - 0.1) - 10
        shifted = [(x - begins, y) for x, y in points if 0 <= x - begins <= SHOWN_MINUTES]
        lines.append(Line(name=f"{rate:g} C", points=shifted))
    lines.append(Line(name="tail current, 4 %", points=[(0, 4), (SHOWN_MINUTES, 4)]))
    return Plot(
        name="battery-absorption",
        title="The current falls while a charger holds 14.2 V",
        x=(0, SHOWN_MINUTES, 10),
        y=(0, 60, 10),
        units=("minutes, constant voltage from 10 on", "% of the capacity"),
        lines=lines,
    )


def high_cell() -> Plot:
    """Draw how long a high cell keeps the charger output floating."""
    lines = []
    for current in (5.0, 30.0):
        bms = bank(97)
        while bms.outputs.charger:
            bms.step(current=current, ambient=25.0, seconds=1.0)
        points = [(0.0, bms.bank_page().highest_cell or 0.0)]
        for number in range(round(HOUR / STEP)):
            bms.step(current=0.0, ambient=25.0, seconds=STEP)
            points.append(((number + 1) * STEP / 60, bms.bank_page().highest_cell or 0.0))
        lines.append(Line(name=f"charged with {current:g} A", points=points))
    lines.append(Line(name="charging is allowed again below 3.60 V", points=[(0, 3.6), (60, 3.6)]))
    return Plot(
        name="battery-high-cell",
        title="The highest cell after charging was stopped at 3.75 V",
        x=(0, 60, 10),
        y=(3.3, 3.8, 0.1),
        units=("minutes", "V"),
        lines=lines,
    )


def resistances() -> Plot:
    """Draw the resistance over the temperature."""
    temperatures = np.linspace(-20.0, 50.0, 71)
    points = list(zip(temperatures.tolist(), resistance_factor(temperatures).tolist(), strict=True))
    return Plot(
        name="battery-cold",
        title="The resistance of the cells, times that at 25 °C",
        x=(-20, 50, 10),
        y=(0, 5, 1),
        units=("°C", "times"),
        lines=[Line(name="resistance", points=points)],
    )


PLOTS: Final[tuple[Callable[[], Plot], ...]] = (rests, charges, high_cell, resistances)


def main() -> None:
    """Draw everything."""
    for plot in PLOTS:
        made = plot()
        (FOLDER / f"{made.name}.svg").write_text(picture(made), encoding="utf-8")
        print(f"docs/images/{made.name}.svg")


if __name__ == "__main__":
    main()
