"""The system switch, as the app has it."""

from collections.abc import AsyncGenerator

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest

from emulator.ve_smart.quirks import EVERY_REGISTER, Quirks

from .bench import Bench, a_bench
from .conftest import Radio

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


async def test_not_offered(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing={MODE}))
        assert not bench.has("switch", "system")
