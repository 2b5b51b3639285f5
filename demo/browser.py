"""Home Assistant in headless Chromium. Playwright, which drives it, is there only after scripts/setup --browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
from typing import Final

from playwright.async_api import Browser, Page, async_playwright

PATIENCE: Final = 30_000  # ms

_FLAGS: Final = (
    "--no-sandbox",  # or it does not start as root, as in many containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LOADED: Final = "document.querySelector('home-assistant')?.shadowRoot?.querySelector('home-assistant-main')"


@asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    """Yield the Chromium that the environment names."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


async def open_panel(browser: Browser, address: str, *, width: int, height: int) -> Page:
    """Return the front panel of an emulated device, once it shows it; its LEDs do not blink."""
    page = await browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    await page.goto(address, wait_until="load")
    await page.wait_for_selector(".bars li")
    return page


async def open_page(browser: Browser, address: str, *, width: int, height: int, language: str = "en") -> Page:
    """Return a page of a Home Assistant that lets everybody in, once it is drawn; its size in CSS pixels."""
    page = await browser.new_page(viewport={"width": width, "height": height}, locale=language)
    page.set_default_timeout(PATIENCE)
    await page.goto(address, wait_until="load")
    await page.wait_for_function(_LOADED)
    return page
