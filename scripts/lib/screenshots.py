"""Photograph a demo in headless Chromium: `screenshots.py [--after SECONDS] [--speed X] [NAME…]`."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Final

from PIL import Image
from playwright.async_api import Browser, Page

from demo.answers import as_object
from demo.browser import open_chromium, open_page, open_panel
from demo.control import Control
from demo.errors import DemoError
from demo.folder import temporary_folder
from demo.ports import free_port
from demo.progress import detail, fail, say
from demo.run import Run, visit, visit_replayed, visit_spare
from demo.waiting import until

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
SETTLED: Final = 6.0  # seconds until the cards have drawn what they fetch
NOTICED: Final = 5.0  # seconds until Home Assistant is sure of what has happened to the device
CARRIED_OUT: Final = 4.0  # seconds until the device has been connected to, and has obeyed
CONNECTED: Final = 15.0  # seconds until a device has been connected to, read and added
FAR: Final = 5.0  # % of charge: more than a picture takes
OVER: Final = 60.0  # seconds until the codes of a fault are over
PAST_ITS_DELAYS: Final = 60  # times real time, in which the BMS takes its time before it ends a code
COLORS: Final = 256


# What happens to the emulated device before a picture, and in the page before it is taken.
type Preparation = Callable[[Control], Coroutine[None, None, None]]
type Visit = Callable[[Page], Coroutine[None, None, None]]


# Whether the state of charge is advertised, and whether the pictures are of the device that nobody has added.
type Stage = tuple[bool, bool]
STAGES: Final[tuple[Stage, ...]] = ((True, False), (False, False), (True, True))


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A page, at the size of a screen in CSS pixels. What was done to the device is undone after the picture.

    advertises_state_of_charge: as one owner's device does not.
    of_panel: whether it is the front panel of the device, instead of a page of Home Assistant.
    of_replay: whether it shows the device of a recording.
    of_spare: whether the device is the one that nobody has added.
    """

    name: str
    path: str
    width: int
    height: int
    prepare: Preparation | None = None
    visit: Visit | None = None
    advertises_state_of_charge: bool = True
    of_panel: bool = False
    of_replay: bool = False
    of_spare: bool = False

    @property
    def stage(self) -> Stage:
        """In which demo it is taken."""
        return self.advertises_state_of_charge, self.of_spare


def fault(name: str, argument: float | str | None = None) -> Preparation:
    """Raise a fault, in real time: what the BMS does about it would else be over in no time."""

    async def prepare(control: Control) -> None:
        await control.set_speed(1)
        await control.raise_fault(name, argument)
        await asyncio.sleep(NOTICED)

    return prepare


def state_of_charge(percent: float) -> Preparation:
    """Set what the battery monitor believes, in real time."""

    async def prepare(control: Control) -> None:
        await control.set_speed(1)
        await control.set_state_of_charge(percent, 1)
        await asyncio.sleep(NOTICED)

    return prepare


def click(*selectors: str) -> Visit:
    """Click at one thing after the other."""

    async def visit(page: Page) -> None:
        for selector in selectors:
            await page.locator(selector).first.click()

    return visit


def go(path: str) -> Visit:
    """Go to another page of Home Assistant."""

    async def visit(page: Page) -> None:
        await page.evaluate(
            f"history.pushState(null, '', '{path}'); window.dispatchEvent(new Event('location-changed'))"
        )

    return visit


def wait(seconds: float) -> Visit:
    """Wait for what takes its time."""

    async def visit(_page: Page) -> None:
        await asyncio.sleep(seconds)

    return visit


def enter(selector: str, text: str) -> Visit:
    """Enter something, as a person does."""

    async def visit(page: Page) -> None:
        field = page.locator(selector).first
        await field.fill(text)
        await field.press("Enter")

    return visit


def one_by_one(*visits: Visit) -> Visit:
    """Do one thing after the other, each when the one before has been carried out."""

    async def visit(page: Page) -> None:
        for one in visits:
            await one(page)
            await asyncio.sleep(CARRIED_OUT)

    return visit


SUBMIT: Final = click("ha-button:has-text('Submit')")
RECORDING: Final = FOLDER.parents[1] / "tests" / "recordings" / "new-firmware.json"
DEVICE_PAGE: Final = "/config/integrations/integration/smallbms_ng"
ADD: Final = click("ha-config-flow-card:has-text('Victron smallBMS NG') >> ha-button:has-text('Add')")
SYSTEM: Final = click('hui-tile-card:has(:text-is("System"))')

PICTURES: Final = (
    Picture(name="dashboard", path="/", width=1640, height=930),
    Picture(name="phone", path="/", width=390, height=844),
    Picture(name="no-state-of-charge", path="/", width=1280, height=930, advertises_state_of_charge=False),
    Picture(name="cells", path="/small-bms/1", width=1640, height=680),
    # Yesterday is a full day.
    Picture(
        name="energy",
        path="/energy/electricity",
        width=1640,
        height=980,
        visit=click("hui-energy-period-selector .overflow > ha-icon-button"),
    ),
    Picture(
        name="connection",
        path="/config/integrations/integration/smallbms_ng",
        width=1280,
        height=1100,
        visit=click("ha-config-entry-device-row"),
    ),
    Picture(name="pre-alarm", path="/", width=1640, height=930, prepare=fault("cell-low", 2.85)),
    Picture(
        name="notification",
        path="/",
        width=1100,
        height=620,
        prepare=fault("cell-low", 2.85),
        visit=click("ha-sidebar >> text=Notifications"),
    ),
    Picture(name="panel", path="/", width=1360, height=1010, prepare=fault("cell-low", 2.85), of_panel=True),
    Picture(name="cold", path="/", width=1640, height=930, prepare=fault("frozen")),
    Picture(
        name="repairs",
        path="/config/repairs/dashboard",
        width=1100,
        height=740,
        prepare=fault("cable-unplugged", 2),
        visit=one_by_one(click("text=communication with a battery lost"), SUBMIT),
    ),
    Picture(
        name="settings",
        path="/small-bms/2",
        width=1640,
        height=820,
        visit=one_by_one(
            enter("hui-number-entity-row:has-text('Discharge floor') input", "12"),
            click("hui-tile-card:has-text('Synchronize')"),
            click("dialog-box ha-button:has-text('OK')"),
        ),
    ),
    Picture(name="replayed", path="/", width=1640, height=930, of_replay=True),
    Picture(
        name="first-owner-device",
        path=DEVICE_PAGE,
        width=1280,
        height=1100,
        of_replay=True,
        visit=one_by_one(click("ha-config-entry-device-row")),
    ),
    Picture(
        name="first-owner-download",
        path=DEVICE_PAGE,
        width=1100,
        height=700,
        of_replay=True,
        visit=one_by_one(click("ha-config-entry-row ha-icon-button[slot='trigger']")),
    ),
    Picture(name="system-off-question", path="/small-bms/2", width=1640, height=820, visit=SYSTEM),
    Picture(
        name="system-off",
        path="/small-bms/2",
        width=1640,
        height=930,
        visit=one_by_one(SYSTEM, click("dialog-box ha-button:has-text('Switch off')"), go("/small-bms/0")),
    ),
    Picture(
        name="proxy-wrong-pin",
        path="/config/integrations/dashboard",
        width=1000,
        height=1000,
        prepare=fault("wrong-pin"),
        visit=one_by_one(ADD, SUBMIT, wait(CONNECTED)),
        of_spare=True,
    ),
    Picture(
        name="proxy-paired",
        path="/config/integrations/dashboard",
        width=1000,
        height=1000,
        visit=one_by_one(ADD, SUBMIT, wait(CONNECTED)),
        of_spare=True,
    ),
    # The last, as what is set is not undone.
    Picture(
        name="levels",
        path="/config/repairs/dashboard",
        width=1100,
        height=800,
        prepare=state_of_charge(14),
        visit=one_by_one(
            click("text=low state of charge"),
            enter("ha-form input", "8"),
            SUBMIT,
        ),
    ),
)


def shrink(file: Path) -> None:
    """Reduce the colors of a picture, which a screen full of plain areas does not miss."""
    with Image.open(file) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


async def photograph(browser: Browser, base: str, picture: Picture) -> None:
    """Save one picture, once the page shows what it has to show."""
    open_it = open_panel if picture.of_panel else open_page
    page = await open_it(browser, base + picture.path, width=picture.width, height=picture.height)
    if picture.visit:
        await picture.visit(page)
    await asyncio.sleep(SETTLED)
    file = FOLDER / f"{picture.name}.png"
    await page.screenshot(path=file)
    await page.close()
    shrink(file)
    detail(f"{file.relative_to(FOLDER.parents[1])}, {file.stat().st_size // 1024} KiB")


@asynccontextmanager
async def prepared(control: Control, picture: Picture) -> AsyncIterator[None]:
    """Do to the device what a picture shows, and undo it, until nothing of it is left for the next picture."""
    speed, percent = await control.speed(), await believed(control)
    if picture.prepare:
        await picture.prepare(control)
    try:
        yield
    finally:
        await control.clear_faults()
        if percent - await believed(control) > FAR:
            await control.set_state_of_charge(percent, 1)
        await control.switch_system_on()
        await no_codes(control)
        await control.set_speed(speed)


async def believed(control: Control) -> float:
    """Return the state of charge that the battery monitor believes, in %."""
    percent = as_object((await control.state(1)).get("status")).get("state_of_charge")
    return percent if isinstance(percent, int | float) else 0.0


async def no_codes(control: Control) -> None:
    """Wait until the BMS reports no codes any more, and Home Assistant has noticed."""

    async def over() -> bool | None:
        return (await control.state(1)).get("codes") == [] or None

    if await over():
        return
    await control.set_speed(PAST_ITS_DELAYS)
    await until(over, limit=OVER, otherwise=lambda: "The codes of a picture do not end.")
    await control.set_speed(1)
    await asyncio.sleep(NOTICED)


async def photograph_all(base: str, control: Control, pictures: Sequence[Picture], after: float) -> None:
    """Give the demo some seconds to settle, then save the pictures."""
    say(f"Waiting {after:.0f} seconds …")
    await asyncio.sleep(after)
    say("Taking the pictures …")
    async with open_chromium() as browser:
        for picture in pictures:
            async with prepared(control, picture):
                await photograph(browser, control.address if picture.of_panel else base, picture)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description="Make the pictures of docs/images anew.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(picture.name for picture in PICTURES))
    parser.add_argument("--after", type=float, default=20.0, help="seconds of demo before the pictures (default: 20)")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="as for scripts/demo (default: 1)")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - {picture.name for picture in PICTURES}:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    return chosen


def _photograph(pictures: list[Picture], speed: float, after: float, stage: Stage) -> None:
    """Photograph a demo of its own."""
    advertises_state_of_charge, of_spare = stage
    with temporary_folder() as folder:
        run = Run(folder=folder, port=free_port(), speed=speed, advertises_state_of_charge=advertises_state_of_charge)
        visit_it = visit_spare if of_spare else visit
        asyncio.run(visit_it(run, lambda base, control: photograph_all(base, control, pictures, after)))


def _photograph_replay(pictures: list[Picture], after: float) -> None:
    """Photograph the device of a recording."""

    async def visitor(base: str) -> None:
        await asyncio.sleep(after)
        async with open_chromium() as browser:
            for picture in pictures:
                await photograph(browser, base, picture)

    with temporary_folder() as folder:
        run = Run(folder=folder, port=free_port(), speed=1.0, replay=RECORDING)
        asyncio.run(visit_replayed(run, visitor))


def main() -> int:
    """Take the pictures and return the exit code."""
    chosen = options()
    pictures = [picture for picture in PICTURES if not chosen.names or picture.name in chosen.names]
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        for stage in STAGES:
            if some := [picture for picture in pictures if picture.stage == stage and not picture.of_replay]:
                _photograph(some, chosen.speed, chosen.after, stage)
        if replayed := [picture for picture in pictures if picture.of_replay]:
            _photograph_replay(replayed, chosen.after)
    except DemoError as error:
        fail(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
