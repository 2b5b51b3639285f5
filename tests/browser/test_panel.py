"""The front panel, as a person uses it, and what Home Assistant makes of it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, expect
import pytest

from demo.browser import PATIENCE, open_chromium
from demo.children import Children
from demo.config import write_config
from demo.emulator import Device, Emulator
from demo.flows import OURS, add_device, add_proxy
from demo.home_assistant import HomeAssistant, address_of, log_in, start_home_assistant
from demo.ports import free_port
from demo.waiting import until
from emulator.__main__ import make_proxy
from emulator.control import Control
from emulator.rig import HOST, Rig
from emulator.simulation.scenario import load

PHONE: Final = {"width": 390, "height": 844}
DESKTOP: Final = {"width": 1400, "height": 1000}
LIMIT: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A battery on the bench, and where its panel is."""

    rig: Rig
    address: str

    @property
    def device(self) -> Device:
        """The device as the demo knows it."""
        radio = self.rig.stations[0].device
        return Device(address=radio.address, name=radio.name, key=radio.key.hex(), pin=radio.pin)


@asynccontextmanager
async def running(scenario: str = "bench") -> AsyncIterator[Bench]:
    rig = Rig(load(scenario), make_proxy=make_proxy)
    control = Control(rig, panel=True)
    await rig.start(0)
    await control.start(0)
    try:
        yield Bench(rig=rig, address=control.address)
    finally:
        await control.stop()
        await rig.stop()


@pytest.fixture
async def bench() -> AsyncGenerator[Bench]:
    async with running() as bench:
        yield bench


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with open_chromium() as browser:
        yield browser


@asynccontextmanager
async def panel(
    browser: Browser, bench: Bench, *, size: dict[str, int] | None = None, dark: bool = False
) -> AsyncIterator[Page]:
    """Yield the panel once it shows the device; nothing may have gone wrong in the page in the end."""
    chosen = size or DESKTOP
    page = await browser.new_page(
        viewport={"width": chosen["width"], "height": chosen["height"]}, color_scheme="dark" if dark else "light"
    )
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    # A refused request is told to the user, and the browser notes it as well.
    page.on(
        "request", lambda request: None if request.url.startswith(bench.address) else complaints.append(request.url)
    )
    await page.goto(bench.address)
    await expect(page.locator("#link")).to_have_text("live", timeout=PATIENCE)
    await expect(page.locator("#fault-frozen")).to_be_visible()
    yield page
    assert [text for text in complaints if not text.startswith(("data:", "Failed to load resource"))] == []
    await page.close()


def led(page: Page, color: str) -> Locator:
    """Return the lamp of an LED."""
    return page.locator(f"#{color} .led")


async def test_a_fault_shows_at_once_and_goes(browser: Browser, bench: Bench) -> None:
    async with panel(browser, bench) as page:
        await expect(led(page, "red")).to_have_class("led off")
        await expect(led(page, "blue")).to_have_class("led blinking")
        await page.locator("#argument-cell-low").fill("2.85")
        await page.locator("#fault-cell-low").click()
        await expect(led(page, "red")).to_have_class("led blinking")
        await expect(page.locator("#code-list")).to_contain_text("W-B01")
        await expect(page.locator("#code-list")).to_contain_text("Charge, or reduce the load")
        await expect(page.locator("#terminal-pre_alarm")).to_have_class("alarm")
        await expect(page.locator(".bars .lowest")).to_have_text("2.850")
        await page.locator("#clear-faults").click()
        await expect(led(page, "red")).to_have_class("led off")
        await expect(page.locator("#code-list")).to_have_text("Nothing is active.")


async def test_what_makes_no_sense_is_said(browser: Browser, bench: Bench) -> None:
    async with panel(browser, bench) as page:
        await page.locator("#argument-hot").fill("boiling")
        await page.locator("#fault-hot").click()
        await expect(page.locator("#said")).to_contain_text("a number from 21 to 100")
    assert bench.rig.stations[0].faults.active == ()


async def test_sliders_by_keyboard(browser: Browser, bench: Bench) -> None:
    simulation = bench.rig.stations[0].simulation
    async with panel(browser, bench) as page:
        await page.locator("#ambient").focus()
        await page.keyboard.press("Home")
        await expect(page.locator("#ambient-value")).to_have_text("-30 °C")
        await expect(page.locator("#ambient-release")).to_be_visible()
        assert simulation.world.ambient(simulation.elapsed) == -30
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#ambient-release")).to_be_hidden()
        assert simulation.world.by_hand.temperature is None
        await page.locator("#speed").focus()
        await page.keyboard.press("End")
        await expect(page.locator("#speed-value")).to_have_text("3600 × real time")

        async def taken() -> bool | None:
            return bench.rig.drive.speed == 3600 or None

        await until(taken, limit=LIMIT, otherwise=lambda: "The speed was never set.")


async def test_a_switch_by_keyboard(browser: Browser, bench: Bench) -> None:
    async with panel(browser, bench) as page:
        await page.locator("#fault-frozen").focus()
        await page.keyboard.press("Space")
        await expect(page.locator("#fault-frozen")).to_have_attribute("aria-checked", "true")
        await expect(page.locator("#terminal-charger")).to_contain_text("floats")
        await page.keyboard.press("Space")
        await expect(page.locator("#terminal-charger")).to_contain_text("V")


async def test_another_personality(browser: Browser, bench: Bench) -> None:
    station = bench.rig.stations[0]
    async with panel(browser, bench) as page:
        await page.locator("#personality summary").click()
        await expect(page.get_by_label("Personality", exact=True)).to_have_value("battery-protect")
        await page.get_by_label("Personality", exact=True).select_option("new-firmware")
        await expect(page.locator("#personality-description")).to_contain_text("cells in mV")
        await expect(page.locator("#quirk-cells_in_millivolts")).to_have_attribute("aria-checked", "true")
        assert station.personality == "new-firmware"
        await page.locator("#quirk-beacons_between").click()
        await expect(page.locator("#personality-description")).to_contain_text("none of them")
        assert station.device.quirks.beacons_between


async def test_for_a_screen_reader_everything_has_a_name(browser: Browser, bench: Bench) -> None:
    async with panel(browser, bench) as page:
        await page.locator("#personality summary").click()
        for role in ("switch", "button", "slider", "combobox", "textbox", "spinbutton"):
            everything = page.get_by_role(role)
            named = page.get_by_role(role, name=re.compile(r"\S"))
            assert await named.count() == await everything.count()
        await expect(page.get_by_role("img", name="Current over")).to_be_visible()
        await expect(page.get_by_role("switch", name="frozen")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True])
async def test_nothing_that_axe_finds_wrong(browser: Browser, bench: Bench, dark: bool) -> None:
    """The rules of WCAG that a program can check."""
    async with panel(browser, bench, dark=dark) as page:
        await page.locator("#personality summary").click()
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("dark", [False, True])
async def test_on_a_phone_nothing_is_wider_than_it(browser: Browser, bench: Bench, dark: bool) -> None:
    async with panel(browser, bench, size=PHONE, dark=dark) as page:
        await expect(page.locator("#tile-voltage")).to_contain_text("V")
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(14, 19, 24)") is dark


async def test_the_largest_bank(browser: Browser) -> None:
    async with running("largest-bank") as bench, panel(browser, bench) as page:
        await expect(page.locator(".battery")).to_have_count(50)
        await expect(page.locator(".bars li")).to_have_count(400)


@asynccontextmanager
async def home(folder: Path, bench: Bench) -> AsyncIterator[HomeAssistant]:
    """Yield a Home Assistant with the device."""
    port = free_port()
    write_config(folder / "config", port=port)
    async with Children() as children:
        await start_home_assistant(children, config=folder / "config", log=folder / "log")
        async with log_in(address_of(port), fresh=True) as hass:
            await add_proxy(hass, Emulator(host=HOST, port=bench.rig.ports[0], control="", devices=(bench.device,)))
            await add_device(hass, OURS, bench.device)
            yield hass


async def test_cold_on_the_panel_is_cold_in_home_assistant(tmp_path: Path, browser: Browser, bench: Bench) -> None:
    async with home(tmp_path, bench) as hass, panel(browser, bench) as page:
        entities = await hass.entities(OURS.domain, f"{bench.device.address.lower()}_")

        async def allowed(wanted: str) -> None:
            async def shown() -> bool | None:
                return (await hass.states())[entities["allowed_to_charge"]].value == wanted or None

            await until(shown, limit=LIMIT, otherwise=lambda: f"Allowed to charge was never {wanted}.")

        await allowed("on")
        await page.locator("#fault-frozen").click()
        await expect(page.locator("#tile-atc")).to_contain_text("no")
        await expect(page.locator("#tile-atc")).to_contain_text("low temperature")
        await expect(led(page, "blue")).to_have_class(re.compile("on|blinking"))
        await expect(page.locator("#terminal-charger")).to_contain_text("floats")
        await allowed("off")
        await page.locator("#fault-frozen").click()
        await allowed("on")
