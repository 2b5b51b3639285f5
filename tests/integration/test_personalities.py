"""A whole life with every device that the smallBMS NG may turn out to be, from the card to a restart."""

from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import Final, cast

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.const import CONF_ADDRESS, CONF_PIN, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util.dt import parse_datetime
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.smallbms_ng.config_flow import CONF_SWITCH_ON
from custom_components.smallbms_ng.const import CONF_KEY, CONF_PRODUCT_ID, DOMAIN
from custom_components.smallbms_ng.coordinator import DropReason
from custom_components.smallbms_ng.protocol.session import ArrayForm
from emulator.device import DEFAULT_PIN
from emulator.personality.quirks import Quirks, RadioQuirks
from emulator.personality.table import PERSONALITIES
from emulator.radio.in_process import EmulatedScanner
from tests.emulator.personalities import take_on

from .bench import Bench, a_bench
from .conftest import ADDRESS, KEY, PRODUCT_ID, Radio, flows
from .connected import without_bluez

ADAPTER: Final = "00:00:00:00:00:09"
REGISTERS: Final = {"tail_current": 0x1002, "discharge_floor": 0x210B, "low_soc_warning": 0x0328}
# What depends on the moment, or on how long something took.
OF_THE_MOMENT: Final = {"energy_charged", "energy_discharged", "signal_strength", "connection"}


@pytest.fixture(autouse=True)
def _no_bluez(monkeypatch: pytest.MonkeyPatch) -> None:
    without_bluez(monkeypatch)


@pytest.fixture(params=PERSONALITIES)
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a personality, one after the other."""
    return str(request.param)


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio, name: str) -> AsyncGenerator[Bench]:
    """Return a device that nobody has added yet, heard by an adapter of this machine that has a bond."""
    radio.undo.pop()()
    radio.scanner = radio.add(EmulatedScanner(radio.device, source=ADAPTER, bluez_name="hci0"))
    async with a_bench(Bench(hass, radio, by_flow=True)) as bench:
        take_on(name, bench.device, bench.service)
        bench.device.instant_readout_on = not bench.device.quirks.beacon_without_readout
        bench.bms.step(current=-4.2, ambient=20, seconds=60)
        yield bench


@pytest.fixture
def quirks(name: str) -> Quirks:
    return PERSONALITIES[name].connection


@pytest.fixture
def radio_quirks(name: str) -> RadioQuirks:
    return PERSONALITIES[name].radio


async def enter(bench: Bench, flow: ConfigFlowResult, entered: Mapping[str, object]) -> ConfigFlowResult:
    """Enter something, and return what comes of it."""
    manager = bench.hass.config_entries.flow
    result = await manager.async_configure(flow["flow_id"], dict(entered))
    if result["type"] is FlowResultType.SHOW_PROGRESS:
        await bench.settle()
        result = await manager.async_configure(flow["flow_id"])
    await bench.settle()
    return result


async def add(bench: Bench) -> None:
    """Add the device by its PIN, from its card."""
    await bench.radio.send()
    (flow,) = flows(bench.hass)
    result = await enter(bench, flow, {CONF_PIN: DEFAULT_PIN})
    if result["type"] is FlowResultType.FORM:
        assert (result["step_id"], result["errors"]) == ("instant_readout", {})
        result = await enter(bench, result, {CONF_SWITCH_ON: True})
    assert result["type"] is FlowResultType.CREATE_ENTRY, result["errors"]
    (entry,) = bench.hass.config_entries.async_entries(DOMAIN)
    bench.entry = cast("MockConfigEntry", entry)
    assert bench.entry.data == {
        CONF_ADDRESS: ADDRESS,
        CONF_KEY: KEY,
        CONF_PIN: DEFAULT_PIN,
        CONF_PRODUCT_ID: PRODUCT_ID,
    }


async def hear(bench: Bench) -> None:
    """Hear enough records for their flags to be believed, also if one of three is a beacon."""
    for current in (-5, -6, -6):
        bench.bms.step(current=current, ambient=20, seconds=1)
        await bench.run(bench.radio.send())
        await bench.run(bench.radio.wait(timedelta(seconds=6)))


def shown(bench: Bench) -> dict[str, str]:
    """Return the states of all entities by id, without what depends on the moment."""
    states = {key: bench.hass.states.get(entity) for key, entity in bench.entities().items()}
    return {
        state.entity_id: state.state if parse_datetime(state.state) is None else "a moment"
        for key, state in states.items()
        if state and key not in OF_THE_MOMENT
    }


async def change(bench: Bench, key: str, value: float, quirks: Quirks) -> None:
    """Change a setting, which is read back; one that cannot be changed is a sensor from then on."""
    if REGISTERS[key] not in quirks.refused_writes:
        await bench.set(key, value)
        assert float(bench.state("number", key).state) == getattr(bench.bms.settings, key) == value
        return
    before = bench.state("number", key).state
    with pytest.raises(HomeAssistantError) as raised:
        await bench.set(key, value)
    assert raised.value.translation_key == "refused_read_only"
    assert not bench.has("number", key)
    assert bench.state("sensor", key).state == before


def codes(bench: Bench) -> set[str]:
    return set(bench.state("sensor", "status").attributes["codes"])


async def test_a_whole_life(
    bench: Bench, quirks: Quirks, radio_quirks: RadioQuirks, snapshot: SnapshotAssertion
) -> None:
    await add(bench)
    await hear(bench)
    assert float(bench.state("sensor", "voltage").state) == pytest.approx(bench.bms.snapshot().voltage, abs=0.02)
    assert float(bench.state("sensor", "current").state) == -6 or radio_quirks.voltage_only
    assert bench.state("sensor", "history_cycles").state == "0"
    assert 3.2 < float(bench.state("sensor", "battery_4_cell_4").state) < 3.4
    assert bench.has("sensor", "battery_1_voltage") is not quirks.main_instance_only
    for key, value in (("tail_current", 6), ("discharge_floor", 12), ("low_soc_warning", 20)):
        await change(bench, key, value, quirks)
    await bench.press("synchronize")
    assert bench.bms.history.synchronizations == 1
    await bench.wait(timedelta(minutes=1))
    bench.bms.set_state_of_charge(15)
    await hear(bench)
    await bench.press("read_now")
    assert codes(bench) == {
        "W-B07",
        *(["W-B10"] if quirks.tenth_level == "warning" else []),
        *([f"E-B{radio_quirks.error}"] if radio_quirks.error else []),
    }
    learned = bench.pages.memory.learned
    assert learned.array_form is (ArrayForm.INDEFINITE if quirks.arrays == "indefinite" else ArrayForm.DEFINITE)
    assert learned.acquire_notifications is radio_quirks.empty_notifications
    assert set(bench.entry.runtime_data.instant_readout.dropped) <= {DropReason.SHORT_BEACON}
    assert shown(bench) == snapshot
    await restart(bench)


async def restart(bench: Bench) -> None:
    """Let Home Assistant start anew: everything is there at once, and read again as this device needs it."""
    before, learned = shown(bench), bench.pages.memory.learned
    await bench.unload()
    assert await bench.run(bench.hass.config_entries.async_setup(bench.entry.entry_id))
    assert shown(bench).keys() == before.keys()
    await bench.settle()
    await hear(bench)
    after = shown(bench)
    assert after.keys() == before.keys()
    assert STATE_UNAVAILABLE not in {after[key] for key in before if before[key] != STATE_UNAVAILABLE}
    assert bench.pages.memory.learned == learned
    assert not bench.pages.lost
