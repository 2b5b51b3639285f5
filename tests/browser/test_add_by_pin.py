"""Adding a device by its PIN, as a person sees it."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from playwright.async_api import Page, expect
import pytest

from demo.browser import PATIENCE, open_chromium, open_page
from tests.sources import ENGLISH, languages

from .house import House, move_in

WRONG_PIN: Final = "123456"
# In each, a wrong PIN is entered, and then the right one: ten attempts in a row.
ROUNDS: Final = 5
WORDS: Final = languages()[ENGLISH]
# Home Assistant's own integration finds the device too.
INTEGRATION: Final = "Victron smallBMS NG"


def words(*path: str) -> str:
    """Return a text of the flow."""
    text: object = WORDS["config"]
    for key in path:
        assert isinstance(text, dict)
        text = text[key]
    assert isinstance(text, str)
    return text


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    async with move_in(tmp_path) as house:
        yield house


@pytest.fixture
async def page(house: House) -> AsyncGenerator[Page]:
    async with open_chromium() as browser:
        yield await open_page(browser, house.address, width=1000, height=1000)


async def begin(page: Page, house: House) -> None:
    """Open the dialog of the device that was discovered."""
    await page.goto(f"{house.address}/config/integrations/dashboard")
    card = page.locator("ha-config-flow-card", has_text=INTEGRATION)
    await card.locator("ha-button:has-text('Add')").click()


async def enter_pin(page: Page, pin: str) -> None:
    """Enter a PIN."""
    await page.locator("ha-form input").first.fill(pin)
    await page.locator("ha-button:has-text('Submit')").click()


async def test_a_pin_ten_times_in_a_row(house: House, page: Page) -> None:
    """However quickly the attempt ends, the dialog hears of it."""
    for _ in range(ROUNDS):
        await begin(page, house)
        await enter_pin(page, WRONG_PIN)
        await expect(page.get_by_text(words("error", "wrong_pin"))).to_be_visible(timeout=PATIENCE)
        await enter_pin(page, house.device.pin)
        await expect(page.locator("ha-button:has-text('finish')")).to_be_visible(timeout=PATIENCE)
        await house.remove_device()
