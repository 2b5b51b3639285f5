"""Messages that name the battery and the cell, once they were read."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import async_mock_service
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL
from tests.integration.bench import Bench, a_bench
from tests.integration.conftest import Radio, entity_id

from .owner import Owner, content
from .test_notify import names, phone, phones, pushed

__all__ = ["names", "phone", "phones", "pushed"]

SOMEBODY: Final = "notify.somebody"
# The third cell of the second battery; both count from 0. In V below the others.
CELL: Final = (1, 2)
WARNING, ALARM = -0.42, -0.55
FIRST: Final = "W-B01: low cell voltage (warning). Charge, or switch loads off. State of charge 50.0 %."


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    # Read when a test wants it, and not by itself.
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0})) as bench:
        await bench.load()
        await bench.press("read_now")
        await bench.wait(timedelta(minutes=1))
        yield bench


@pytest.fixture
def inbox(owner: Owner) -> list[ServiceCall]:
    """What notify entities are sent."""
    return async_mock_service(owner.hass, "notify", "send_message")


def messages(inbox: list[ServiceCall]) -> list[str]:
    return [str(call.data["message"]) for call in inbox]


async def use(bench: Bench, owner: Owner, **inputs: object) -> None:
    found = er.async_get(bench.hass).async_get(entity_id(bench.hass, "event", "code"))
    assert found
    await owner.use("notify", {"bms": found.device_id, "notifiers": [SOMEBODY], **inputs})


async def breathe() -> None:
    """Let all go on that can, while an automation may be waiting."""
    for _ in range(200):
        await asyncio.sleep(0)


async def lower(bench: Bench, offset: float, seconds: int = 1) -> None:
    """Let one cell be lower than the others, by V, and the battery be heard often enough to be believed."""
    bench.bms.faults.cell_voltage_offsets = {CELL: offset}
    for current in (-1, -2):
        bench.bms.step(current=current, ambient=20, seconds=seconds)
        bench.radio.tick(timedelta(seconds=1))
        bench.radio.advertise()
        await breathe()


async def read(bench: Bench) -> str:
    """Read all, and return the voltage of the cell as it is told."""
    await bench.run(bench.pages.async_read_now())
    await breathe()
    return f"{float(bench.state('sensor', 'battery_2_cell_3').state):.2f} V"


async def test_once_more_when_it_was_read(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    """The first is not held up by it."""
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    await use(bench, owner)
    await lower(bench, WARNING)
    assert messages(inbox) == [FIRST]
    voltage = await read(bench)
    second = FIRST.replace("Charge, or", f"Battery 2, cell 3: {voltage}. Charge, or")
    assert messages(inbox) == messages(created) == [FIRST, second]
    assert len({call.data["notification_id"] for call in created}) == 1, "it takes the place of the first"
    await read(bench)
    assert len(inbox) == 2


async def test_the_next_code_is_told_at_once(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    await use(bench, owner)
    await lower(bench, WARNING)
    bench.bms.faults.hardware_fault = True
    await lower(bench, WARNING)
    assert [message[:5] for message in messages(inbox)] == ["W-B01", "E-B11"]


async def test_at_once_where_it_is_known(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    """The alarm of a cell that was read during the warning."""
    await lower(bench, WARNING)
    voltage = await read(bench)
    await use(bench, owner)
    await lower(bench, ALARM, seconds=60)
    [message] = messages(inbox)
    assert message.startswith(f"A-B01: low cell voltage (alarm). Battery 2, cell 3: {voltage}. Charge at once")


async def test_nobody_waits_for_what_does_not_come(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    await use(bench, owner)
    await lower(bench, WARNING)
    await owner.live_on(31)
    await read(bench)
    assert messages(inbox) == [FIRST]


async def test_not_where_nobody_wants_it(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    await use(bench, owner, locate=False)
    await lower(bench, WARNING)
    await read(bench)
    assert messages(inbox) == [FIRST]


async def test_a_battery_that_does_not_answer(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    await use(bench, owner)
    bench.bms.faults.unplugged_battery = 3
    await lower(bench, 0)
    await bench.run(bench.pages.async_read_now())
    await breathe()
    assert [message.partition(" Check")[0] for message in messages(inbox)] == [
        "W-B05: communication with a battery lost (warning).",
        "W-B05: communication with a battery lost (warning). Battery 4.",
    ]


async def test_a_phone_rings_once(phone: str, bench: Bench, owner: Owner, pushed: AiohttpClientMocker) -> None:
    """The second message takes the place of the one that breaks through silent mode, and does not do so itself."""
    await use(bench, owner, phones=[phone], critical=["warning"])
    await lower(bench, WARNING)
    await read(bench)
    first, second = (content(call) for call in pushed.mock_calls)
    rings, quiet = first["data"], second["data"]
    assert isinstance(rings, dict)
    assert isinstance(quiet, dict)
    assert rings["channel"] == "alarm_stream"
    assert quiet == {"tag": rings["tag"], "alert_once": True}
    assert "cell 3" in str(second["message"])
