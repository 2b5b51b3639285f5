"""A new user without a Bluetooth adapter, whose proxy holds the PIN, as a person sees it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Final

from playwright.async_api import Page, expect
import pytest

from demo.answers import as_objects, text
from demo.browser import PATIENCE, open_chromium, open_page
from demo.children import Children
from demo.config import write_config
from demo.emulator import Emulator
from demo.flows import add_proxy
from demo.home_assistant import HomeAssistant, address_of, log_in, start_home_assistant
from demo.ports import free_port
from demo.waiting import until
from emulator.__main__ import make_proxy
from emulator.rig import HOST, Rig
from emulator.simulation.scenario import load

from .test_add_by_pin import INTEGRATION as TITLE
from .test_add_by_pin import words

SCENARIO: Final = "bench"
WRONG_PIN: Final = "123456"
LIMIT: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Home:
    """What a person sees, and what is really there."""

    page: Page
    hass: HomeAssistant
    rig: Rig
    address: str

    def about_proxy(self, *path: str) -> re.Pattern[str]:
        """Return what finds a text of the flow, which names the proxy."""
        start, end = words(*path).replace("{name}", self.rig.stations[0].device.name).split("{proxy}")
        return re.compile(f"{re.escape(start)}.*{self.rig.proxies[0].source}.*{re.escape(end)}")

    async def submit_nothing(self) -> None:
        """Leave PIN and key empty."""
        await self.page.locator("ha-button:has-text('Submit')").click()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncGenerator[Home]:
    port = free_port()
    write_config(tmp_path / "config", port=port)
    rig = Rig(load(SCENARIO), make_proxy=make_proxy)
    async with AsyncExitStack() as stack:
        await rig.start(0)
        stack.push_async_callback(rig.stop)
        children = await stack.enter_async_context(Children())
        await start_home_assistant(children, config=tmp_path / "config", log=tmp_path / "log")
        hass = await stack.enter_async_context(log_in(address_of(port), fresh=True))
        await add_proxy(hass, Emulator(host=HOST, port=rig.ports[0], control="", devices=()))
        browser = await stack.enter_async_context(open_chromium())
        page = await open_page(browser, address_of(port), width=1000, height=1000)
        yield Home(page=page, hass=hass, rig=rig, address=address_of(port))


async def begin(home: Home) -> None:
    """Open the dialog of the device that was discovered."""
    await home.page.goto(f"{home.address}/config/integrations/dashboard")
    await home.page.locator("ha-config-flow-card", has_text=TITLE).locator("ha-button:has-text('Add')").click()


async def test_wrong_pin_then_right_one_then_a_setting(home: Home) -> None:
    """The dialog names the proxy, and what to change there. Afterwards the BMS obeys."""
    proxy, page = home.rig.proxies[0], home.page
    right = proxy.pin
    home.rig.give_pin(proxy, WRONG_PIN)
    await begin(home)
    await home.submit_nothing()
    refused = home.about_proxy("error", "proxy_pin_refused")
    await expect(page.get_by_text(refused)).to_be_visible(timeout=PATIENCE)

    home.rig.give_pin(proxy, right)
    await home.submit_nothing()
    added = home.about_proxy("create_entry", "paired_by_proxy")
    await expect(page.get_by_text(added)).to_be_visible(timeout=PATIENCE)
    await page.locator("ha-button:has-text('finish')").click()

    await set_discharge_floor(home, "12")
    bms = home.rig.stations[0].bms

    async def taken() -> bool | None:
        return bms.settings.discharge_floor == 12 or None

    await until(taken, limit=LIMIT, otherwise=lambda: f"The floor is {bms.settings.discharge_floor} %.")


async def set_discharge_floor(home: Home, percent: str) -> None:
    """Enter it on the page of the device, once it has been read."""
    name = home.rig.stations[0].device.name

    async def known() -> str | None:
        devices = as_objects(await home.hass.command("config/device_registry/list"))
        return next((text(device, "id") for device in devices if device["name"] == name), None)

    device_id = await until(known, limit=LIMIT, otherwise=lambda: "There is no device.")
    await home.page.goto(f"{home.address}/config/devices/device/{device_id}")
    row = home.page.locator("hui-number-entity-row", has_text="Discharge floor")
    await row.locator("input").fill(percent)
    await row.locator("input").press("Tab")
