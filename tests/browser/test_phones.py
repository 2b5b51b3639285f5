"""An alarm reaches three phones that Home Assistant's app registered, and its text can be read in the browser."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, expect
import pytest

from demo.answers import Json, JsonObject, as_object, as_objects, text
from demo.browser import PATIENCE, open_chromium, open_page
from demo.children import Children
from demo.config import write_config
from demo.emulator import Device, Emulator
from demo.flows import OURS, add_device, add_proxy
from demo.home_assistant import HomeAssistant, address_of, log_in, start_home_assistant
from demo.ports import free_port
from demo.waiting import until
from emulator.__main__ import make_proxy
from emulator.rig import HOST, Rig
from emulator.simulation.scenario import load

LIMIT: Final = 60.0
PHONES: Final = ("Skipper", "Mate", "Guest")
RATE_LIMITS: Final = {"successful": 1, "errors": 0, "maximum": 9, "resetsAt": "2099-01-01T00:00:00.000Z"}
# A warning at once, and an alarm half a minute later.
LOW_CELL: Final = "2.75"
FAST: Final = 20.0


@dataclass(kw_only=True)
class PushServer:
    """What Google and Apple are for the app: it keeps what was pushed to which phone."""

    pushed: dict[str, list[str]] = field(default_factory=lambda: {phone: [] for phone in PHONES})

    async def push(self, request: web.Request) -> web.Response:
        message = as_object(await request.json())
        self.pushed[text(message, "push_token")].append(text(message, "message"))
        return web.json_response({"rateLimits": RATE_LIMITS}, status=HTTPStatus.CREATED)

    def has_reached(self, words: str) -> bool:
        """Return whether each phone has a message with these words."""
        return all(any(words in message for message in messages) for messages in self.pushed.values())


@dataclass(frozen=True, kw_only=True)
class Boat:
    """A Home Assistant with three phones."""

    hass: HomeAssistant
    page: Page
    rig: Rig
    pushes: PushServer
    address: str

    async def phone(self, name: str, push_url: str) -> None:
        """Register a phone as Home Assistant's app does."""
        told: JsonObject = {
            **dict.fromkeys(
                ("app_id", "app_name", "app_version", "manufacturer", "model", "os_name", "os_version"), "x"
            ),
            "device_name": name,
            "device_id": name,
            "supports_encryption": False,
            "app_data": {"push_url": push_url, "push_token": name},
        }
        await self.hass.post("/api/mobile_app/registrations", told)

    async def entities(self, platform: str) -> list[str]:
        """Return the entity ids of an integration."""
        registry = as_objects(await self.hass.command("config/entity_registry/list"))
        return [text(entry, "entity_id") for entry in registry if entry.get("platform") == platform]

    async def devices(self) -> dict[str, str]:
        """Return the ids of the devices by name."""
        devices = as_objects(await self.hass.command("config/device_registry/list"))
        return {text(device, "name"): text(device, "id") for device in devices if device.get("name")}


@pytest.fixture
async def boat(tmp_path: Path) -> AsyncGenerator[Boat]:
    port = free_port()
    write_config(tmp_path / "config", port=port)
    with (tmp_path / "config" / "configuration.yaml").open("a") as configuration:
        configuration.write("\nmobile_app:\n")
    rig, pushes = Rig(load("bench"), make_proxy=make_proxy), PushServer()
    app = web.Application()
    app.router.add_post("/push", pushes.push)
    async with AsyncExitStack() as stack:
        await rig.start(0)
        stack.push_async_callback(rig.stop)
        push_server = await stack.enter_async_context(TestServer(app))
        children = await stack.enter_async_context(Children())
        await start_home_assistant(children, config=tmp_path / "config", log=tmp_path / "log")
        hass = await stack.enter_async_context(log_in(address_of(port), fresh=True))
        await add_proxy(hass, Emulator(host=HOST, port=rig.ports[0], control="", devices=()))
        radio = rig.stations[0].device
        await add_device(hass, OURS, Device(address=radio.address, name=radio.name, key=radio.key.hex(), pin=radio.pin))
        browser = await stack.enter_async_context(open_chromium())
        page = await open_page(browser, address_of(port), width=1100, height=900)
        boat = Boat(hass=hass, page=page, rig=rig, pushes=pushes, address=address_of(port))
        for phone in PHONES:
            await boat.phone(phone, str(push_server.make_url("/push")))
        yield boat


async def test_an_alarm_reaches_every_phone(boat: Boat) -> None:
    """By the blueprint, with what to do and where it comes from; and the notification says the same in the browser."""
    await until(lambda: can_be_told(boat), limit=LIMIT, otherwise=lambda: "The phones have no entities.")
    devices = await boat.devices()
    phones: list[Json] = [devices[phone] for phone in PHONES]
    inputs: JsonObject = {"bms": devices[boat.rig.stations[0].device.name], "phones": phones, "critical": ["alarm"]}
    use: JsonObject = {"path": "smallbms_ng/notify.yaml", "input": inputs}
    await boat.hass.post("/api/config/automation/config/tell", {"alias": "Tell", "use_blueprint": use})
    await until(lambda: is_on(boat, "automation.tell"), limit=LIMIT, otherwise=lambda: "The automation is not there.")

    boat.rig.stations[0].faults.apply("cell-low", LOW_CELL)
    for words in ("W-B01: low cell voltage", "Battery 1, cell 1: 2.75 V", "A-B01: low cell voltage"):
        boat.rig.drive.speed = FAST if words.startswith("A") else 1.0
        await until(partial(reached, boat, words), limit=LIMIT, otherwise=partial(str, boat.pushes.pushed))
    await boat.page.locator("ha-sidebar").get_by_text("Notifications").first.click()
    await expect(boat.page.get_by_text("low cell voltage").first).to_be_visible(timeout=PATIENCE)


async def is_on(boat: Boat, entity: str) -> bool | None:
    """Return True once an entity is on."""
    found = (await boat.hass.states()).get(entity)
    return (found is not None and found.value == "on") or None


async def reached(boat: Boat, words: str) -> bool | None:
    """Return True once each phone has a message with these words."""
    return boat.pushes.has_reached(words) or None


async def can_be_told(boat: Boat) -> bool | None:
    """Return True once each phone has its entity."""
    found = [entity for entity in await boat.entities("mobile_app") if entity.startswith("notify.")]
    return len(found) == len(PHONES) or None
