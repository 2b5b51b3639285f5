"""The system switch, as the app has it."""

from collections.abc import AsyncGenerator

from homeassistant.components.homeassistant.exposed_entities import async_should_expose
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import area_registry as ar
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest

from emulator.personality.quirks import EVERY_REGISTER, Quirks

from .bench import Bench, a_bench
from .conftest import Radio, entity_id

MODE = 0x0200
STANDBY = bytes((0xFC,))


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        yield bench


async def test_m_v1_off_and_on(bench: Bench) -> None:
    assert bench.state("switch", "system").state == "on"
    await bench.call("switch", "turn_off", "system")
    assert bench.bms.mode_on is False
    assert bench.state("switch", "system").state == "off"
    await bench.call("switch", "turn_on", "system")
    assert bench.bms.outputs.load is True
    assert bench.state("switch", "system").state == "on"


async def test_m_o4_why_it_is_off_comes_along(bench: Bench) -> None:
    assert bench.state("sensor", "discharge_off_reason").state == "none"
    await bench.call("switch", "turn_off", "system")
    state = bench.state("sensor", "discharge_off_reason")
    assert (state.state, state.attributes["reasons"]) == ("soft_power_switch", ["soft_power_switch"])


async def test_switched_in_the_app(bench: Bench) -> None:
    bench.bms.set_mode(on=False)
    await bench.press("read_now")
    assert bench.state("switch", "system").state == "off"


@pytest.mark.parametrize(("raw", "state"), [(STANDBY, "off"), (b"\x63", "unknown")])
async def test_other_modes(bench: Bench, monkeypatch: pytest.MonkeyPatch, raw: bytes, state: str) -> None:
    read = bench.box.read
    monkeypatch.setattr(bench.box, "read", lambda one, register: (raw,) if register == MODE else read(one, register))
    await bench.press("read_now")
    assert bench.state("switch", "system").state == state


async def test_refused(bench: Bench) -> None:
    bench.service.quirks = Quirks(refused_writes=EVERY_REGISTER)
    with pytest.raises(HomeAssistantError) as raised:
        await bench.call("switch", "turn_off", "system")
    assert raised.value.translation_key == "refused"
    assert bench.state("switch", "system").state == "on"


async def test_turning_everything_off_leaves_it_on(hass: HomeAssistant, bench: Bench) -> None:
    """Who switches an area off, or tells a voice assistant to, does not mean the battery."""
    entity = entity_id(hass, "switch", "system")
    found = er.async_get(hass).async_get(entity)
    assert found
    assert found.device_id
    area = ar.async_get(hass).async_create("Cabin")
    dr.async_get(hass).async_update_device(found.device_id, area_id=area.id)
    target = {"area_id": area.id}
    await bench.run(hass.services.async_call("switch", "turn_off", target=target, blocking=True))
    assert bench.bms.mode_on is True
    assert await async_setup_component(hass, "homeassistant", {})
    assert not async_should_expose(hass, "conversation", entity)


async def test_a_button_that_changes_something_is_configuration(hass: HomeAssistant, bench: Bench) -> None:
    for key in ("synchronize", "restore_defaults", "clear_history"):
        found = er.async_get(hass).async_get(entity_id(hass, "button", key))
        assert found
        assert found.entity_category is EntityCategory.CONFIG


async def test_not_offered(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing={MODE}))
        assert not bench.has("switch", "system")
