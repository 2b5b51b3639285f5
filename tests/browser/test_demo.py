"""The demo, as its owner sees it, in English and Dutch, on a desktop and on a phone."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
import re
from typing import Final

from playwright.async_api import Browser, Page, expect
import pytest
import pytest_asyncio

from demo.browser import PATIENCE, open_chromium, open_page
from demo.control import Control
from demo.home_assistant import HomeAssistant, address_of
from demo.ports import free_port
from demo.run import Run, running
from demo.waiting import until
from tests.sources import ENGLISH, languages

pytestmark = pytest.mark.asyncio(loop_scope="module")

DESKTOP: Final = (1400, 1000)
PHONE: Final = (390, 844)
LIMIT: Final = 60.0
FAST: Final = 60.0
WRONG_KEY: Final = "1" * 32
NOT_THERE: Final = "text=/Entity not found|not available|Unknown type|Configuration error/i"
DUTCH: Final = "nl"


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A demo that runs, we logged in to it, and what holds sway over the emulated device."""

    address: str
    browser: Browser
    hass: HomeAssistant
    control: Control

    @asynccontextmanager
    async def page(
        self, path: str, size: tuple[int, int] = DESKTOP, language: str = ENGLISH, *, refused: bool = False
    ) -> AsyncIterator[Page]:
        """Yield a page in a language. In the end, nothing may have gone wrong in it, unless something was refused.

        Home Assistant's page shows the message of a refused action, but does not catch its error.
        """
        width, height = size
        page = await open_page(self.browser, self.address + path, width=width, height=height, language=language)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        await page.close()
        assert complaints == (["Object"] if refused else [])

    async def setting(self, name: str) -> object:
        """Return a setting as the emulated BMS has it."""
        settings = (await self.control.state(1))["settings"]
        assert isinstance(settings, Mapping)
        return settings[name]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Demo]:
    """One demo for all: it takes as long to start as all of these tests."""
    run = Run(folder=tmp_path_factory.mktemp("demo"), port=free_port(), speed=1)
    async with AsyncExitStack() as stack:
        _, hass, control = await stack.enter_async_context(running(run))
        browser = await stack.enter_async_context(open_chromium())
        yield Demo(address=address_of(run.port), browser=browser, hass=hass, control=control)


def word(language: str, *path: str) -> str:
    """Return a text of the integration."""
    text: object = languages()[language]
    for key in path:
        assert isinstance(text, dict)
        text = text[key]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("language", [ENGLISH, DUTCH])
async def test_the_dashboard(demo: Demo, language: str, size: tuple[int, int]) -> None:
    async with demo.page("/", size, language) as page:
        status = page.locator("hui-tile-card", has_text=word(ENGLISH, "entity", "sensor", "status", "name")).first
        await expect(status).to_contain_text(
            word(language, "entity", "sensor", "status", "state", "ok"), timeout=PATIENCE
        )
        await expect(page.locator("hui-gauge-card").first).to_contain_text("%")
        assert await page.locator(NOT_THERE).count() == 0
        assert await page.evaluate("document.documentElement.scrollWidth") == size[0]


async def test_a_number_is_what_the_bms_then_has(demo: Demo) -> None:
    """From the dashboard to the emulated device, and to its panel."""
    async with demo.page("/small-bms/2") as page:
        field = page.locator("hui-number-entity-row", has_text="Discharge floor").locator("input")
        await field.fill("13")
        await field.press("Tab")

        async def taken() -> bool | None:
            return await demo.setting("discharge_floor") == 13 or None

        await until(taken, limit=LIMIT, otherwise=lambda: "The discharge floor was not taken over.")


async def test_a_refused_number_goes_back(demo: Demo) -> None:
    """In the browser too, which keeps what was entered until the state changes. The message says why."""
    async with demo.page("/small-bms/2", refused=True) as page:
        field = page.locator("hui-number-entity-row", has_text="Low state of charge warning").locator("input")
        shown = await field.input_value()
        await field.fill("1")
        await field.press("Tab")
        await expect(page.get_by_text("must be above the discharge floor").first).to_be_visible(timeout=PATIENCE)
        await expect(field).to_have_value(shown, timeout=PATIENCE)


async def test_a_present_battery_is_not_deleted_and_says_why(demo: Demo) -> None:
    async with demo.page("/config/integrations/integration/smallbms_ng") as page:
        await page.get_by_text("Battery 2").first.click()
        card = page.locator("ha-device-info-card")
        await expect(card).not_to_contain_text("Serial number")
        await card.locator("ha-icon-button").last.click()
        await page.get_by_role("menuitem", name="Delete").filter(visible=True).click()
        await page.locator("ha-button").filter(visible=True, has_text="Delete").last.click()
        await expect(page.get_by_text("is still connected to the BMS")).to_be_visible(timeout=PATIENCE)


async def test_a_repair_says_what_to_do_and_goes_by_itself(demo: Demo) -> None:
    await demo.control.raise_fault("cable-unplugged", 2)
    try:
        async with demo.page("/config/repairs/dashboard") as page:
            await page.get_by_text("communication with a battery lost").first.click()
            dialog = page.locator("dialog-box, ha-dialog, step-flow-form").last
            await expect(dialog).to_contain_text(re.compile("cable", re.IGNORECASE))
            await page.keyboard.press("Escape")
            await demo.control.clear_faults()
            await expect(page.get_by_text("communication with a battery lost")).to_have_count(0, timeout=PATIENCE)
    finally:
        await demo.control.clear_faults()


async def test_the_energy_dashboard_has_a_battery(demo: Demo) -> None:
    """Yesterday, which is a full day."""
    async with demo.page("/energy/electricity") as page:
        await page.locator("hui-energy-period-selector .overflow > ha-icon-button").first.click()
        battery = page.locator("hui-energy-distribution-card .battery .circle").first
        await expect(battery).to_contain_text(re.compile(r"[1-9]\d* k?Wh"), timeout=PATIENCE)
        home = page.locator("hui-energy-distribution-card .home .circle").first
        await expect(home).to_contain_text(re.compile(r"[1-9]\d* k?Wh"), timeout=PATIENCE)


async def test_it_asks_for_a_key_that_it_cannot_read(demo: Demo) -> None:
    """The device has another key, and another PIN than the proxy: a card asks, and says that a wrong key is wrong.

    Some different records that cannot be read prove that the key is another one. A fast battery has them soon.
    """
    for fault in ("wrong-pin", "changed-key"):
        await demo.control.raise_fault(fault)
    await demo.control.set_speed(FAST)
    try:
        async with demo.page("/config/integrations/dashboard") as page:
            card = page.locator("ha-config-flow-card", has_text="smallBMS NG Cabin").filter(has_text="Reconfigure")
            await card.locator("ha-button").first.click()
            await page.locator("ha-form input").last.fill(WRONG_KEY)
            await page.locator("ha-button:has-text('Submit')").click()
            wrong = word(ENGLISH, "config", "error", "wrong_key")
            await expect(page.get_by_text(wrong)).to_be_visible(timeout=PATIENCE)
    finally:
        await demo.control.set_speed(1)
        await demo.control.clear_faults()
