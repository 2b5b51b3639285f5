"""The heater of a battery that is too cold to charge."""

from collections.abc import AsyncGenerator
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import numpy as np
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from custom_components.smallbms_ng.const import CONF_KEY
from emulator.bms.bms import ShownTemperature
from emulator.snapshot import IoField
from tests.emulator.banks import FOUR_AS_24V, make_bms
from tests.integration.bench import Bench, a_bench
from tests.integration.conftest import Radio, entity_id

from .owner import MINUTE, Changes, Inputs, Owner

BLUEPRINT: Final = "cold_heater"
HEATER: Final = "input_boolean.heater"
PATIENCE: Final = 15
ENOUGH: Final = 30.0


def battery(temperature: float | None, *, allowed: bool = False, state_of_charge: float | None = 60.0) -> Inputs:
    """Return what the device shows of a battery."""
    io = {IoField.ALLOWED_TO_CHARGE: allowed, IoField.ALLOWED_TO_DISCHARGE: True, IoField.REMOTE_ON: True}
    return {"temperature": temperature, "io": io, "state_of_charge": state_of_charge}


@pytest.fixture
def inputs(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, object]:
    return {
        "allowed_to_charge": entity_id(hass, "binary_sensor", "allowed_to_charge"),
        "temperature": entity_id(hass, "sensor", "temperature"),
        "state_of_charge": entity_id(hass, "sensor", "battery_level"),
        "heater": HEATER,
        "cold": 6,
        "warm": 10,
        "enough": ENOUGH,
        "patience": PATIENCE,
    }


@pytest.fixture
def changes(hass: HomeAssistant) -> Changes:
    return Changes(hass, (HEATER,))


async def heat(owner: Owner, inputs: Inputs) -> None:
    """Have the heater on."""
    await owner.use(BLUEPRINT, inputs)
    await owner.live(1, **battery(4))
    assert owner.state(HEATER) == "on"


async def test_heats_until_it_is_warm(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    """Also after the BMS allows charging again, above 6 °C."""
    await heat(owner, inputs)
    await owner.live(1, **battery(6))
    await owner.live(1, **battery(7, allowed=True))
    await owner.live(1, **battery(9, allowed=True))
    assert owner.state(HEATER) == "on"
    await owner.live(1, **battery(10, allowed=True))
    assert owner.state(HEATER) == "off"
    assert changes.all == [("heater", "on"), ("heater", "off")]


async def test_not_before_it_is_too_cold_again(owner: Owner, inputs: Inputs) -> None:
    await heat(owner, inputs)
    await owner.live(1, **battery(10, allowed=True))
    for temperature in (9, 8, 7, 6, 5):
        await owner.live(1, **battery(temperature, allowed=True))
        assert owner.state(HEATER) == "off"
    await owner.live(1, **battery(4))
    assert owner.state(HEATER) == "on"


@pytest.mark.parametrize(
    "shown",
    [
        battery(4, allowed=True),
        battery(6),
        battery(20),
        battery(None),
        battery(4, state_of_charge=ENOUGH),
        battery(4, state_of_charge=ENOUGH + 4.9),
        battery(4, state_of_charge=None),
    ],
)
async def test_no_reason_to_heat(owner: Owner, inputs: Inputs, changes: Changes, shown: Inputs) -> None:
    """Charging may be forbidden for other reasons than cold, and the battery may be too empty."""
    await owner.use(BLUEPRINT, inputs)
    await owner.live(6, **shown)
    assert changes.all == []


async def test_stops_before_the_battery_is_empty(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    await heat(owner, inputs)
    await owner.live(1, **battery(4, state_of_charge=ENOUGH))
    assert owner.state(HEATER) == "on"
    for state_of_charge in (ENOUGH - 0.1, ENOUGH + 0.1, ENOUGH - 0.1, ENOUGH + 4.9):
        await owner.live(6, **battery(4, state_of_charge=state_of_charge))
        assert owner.state(HEATER) == "off"
    await owner.live(1, **battery(4, state_of_charge=ENOUGH + 5))
    assert owner.state(HEATER) == "on"
    assert changes.all == [("heater", "on"), ("heater", "off"), ("heater", "on")]


async def test_without_regard_to_the_state_of_charge(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, {**inputs, "enough": 0})
    await owner.live(1, **battery(4, state_of_charge=None))
    assert owner.state(HEATER) == "on"
    await owner.live(2 * PATIENCE)
    assert owner.state(HEATER) == "on"


async def test_short_silence_changes_nothing(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    await heat(owner, inputs)
    # When it was heard last is written once a minute.
    await owner.silence(PATIENCE - 2)
    assert owner.state(str(inputs["temperature"])) == "unavailable"
    await owner.live(PATIENCE)
    assert changes.all == [("heater", "on")]


async def test_long_silence_ends_heating(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    await heat(owner, inputs)
    await owner.silence(60)
    assert owner.state(HEATER) == "off"
    # When it was heard last is written once a minute.
    await owner.live(2, **battery(4))
    assert owner.state(HEATER) == "on"
    assert changes.all == [("heater", "on"), ("heater", "off"), ("heater", "on")]


@pytest.mark.parametrize("patience", [7, 13])
async def test_not_a_minute_longer_than_promised(owner: Owner, inputs: Inputs, patience: int) -> None:
    """From when the BMS was heard last, whatever the clock shows."""
    await heat(owner, {**inputs, "patience": patience})
    await owner.silence(patience - 2)
    assert owner.state(HEATER) == "on"
    await owner.silence(3)
    assert owner.state(HEATER) == "off"


async def test_a_battery_that_shows_the_same_all_the_time_is_heard(
    owner: Owner, inputs: Inputs, changes: Changes
) -> None:
    """No value changes while it is quiet, but for when it was heard."""
    await heat(owner, inputs)
    for _ in range(2 * PATIENCE):
        owner.radio.advertise()
        await owner.radio.jump(MINUTE)
    assert changes.all == [("heater", "on")]


async def test_without_last_heard_from_when_values_are_unavailable(
    hass: HomeAssistant, owner: Owner, inputs: Inputs
) -> None:
    """Up to eight minutes of silence before that, while nobody knows how often the device is heard."""
    last_heard = entity_id(hass, "sensor", "last_heard")
    er.async_get(hass).async_update_entity(last_heard, disabled_by=er.RegistryEntryDisabler.USER)
    await owner.radio.settle()
    await heat(owner, inputs)
    minutes = 0
    while owner.state(HEATER) == "on":
        await owner.silence(1)
        minutes += 1
    assert PATIENCE < minutes <= 8 + PATIENCE


async def test_looked_at_once_when_made(owner: Owner, inputs: Inputs) -> None:
    await owner.live(1, **battery(4))
    await owner.use(BLUEPRINT, inputs)
    assert owner.state(HEATER) == "on"


@pytest.mark.parametrize("unknown", [battery(None), battery(4, state_of_charge=None)])
async def test_so_does_a_value_that_is_not_known(owner: Owner, inputs: Inputs, unknown: Inputs) -> None:
    await heat(owner, inputs)
    await owner.live(PATIENCE - 1, **unknown)
    assert owner.state(HEATER) == "on"
    await owner.live(2)
    assert owner.state(HEATER) == "off"


async def test_an_entity_that_is_gone_ends_heating(hass: HomeAssistant, owner: Owner, inputs: Inputs) -> None:
    await heat(owner, inputs)
    hass.states.async_remove(str(inputs["temperature"]))
    await owner.silence(5)
    assert owner.state(HEATER) == "off"


async def test_heated_and_warm_while_home_assistant_was_down(
    owner: Owner, inputs: Inputs, entry: MockConfigEntry
) -> None:
    await heat(owner, inputs)
    await owner.restart(entry, lambda: owner.show(**battery(12, allowed=True)))
    assert owner.state(HEATER) == "on"
    await owner.started()
    assert owner.state(HEATER) == "off"


async def test_not_heard_after_a_restart(owner: Owner, inputs: Inputs, radio: Radio, entry: MockConfigEntry) -> None:
    await heat(owner, inputs)
    await owner.restart(entry, radio.forget)
    await owner.started()
    await owner.silence(60)
    assert owner.state(HEATER) == "off"


async def test_shown_in_fahrenheit(hass: HomeAssistant, owner: Owner, inputs: Inputs) -> None:
    temperature = str(inputs["temperature"])
    er.async_get(hass).async_update_entity_options(temperature, "sensor", {"unit_of_measurement": "°F"})
    await heat(owner, inputs)
    assert owner.state(temperature) == "39.2"
    await owner.live(1, **battery(9))
    assert owner.state(HEATER) == "on"
    await owner.live(1, **battery(10))
    assert owner.state(HEATER) == "off"


@pytest.mark.parametrize(
    "bad", [{"cold": 12}, {"cold": "cold"}, {"temperature": "outside"}, {"heater": ["a heater"]}, {"temperature": []}]
)
async def test_bad_inputs_are_refused(owner: Owner, inputs: Inputs, bad: Inputs) -> None:
    assert await owner.save(BLUEPRINT, {**inputs, **bad})
    assert owner.hass.states.async_entity_ids("automation") == []


async def test_equal_levels_never_heat(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    """Home Assistant does not refuse them."""
    await owner.use(BLUEPRINT, {**inputs, "cold": 10})
    await owner.live(6, **battery(4))
    assert changes.all == []


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    """A cold bank, with all that the PIN gives."""
    bms = make_bms(FOUR_AS_24V, temperature=2)
    bms.step(current=0, ambient=2, seconds=60)
    async with a_bench(Bench(hass, radio, bms=bms)) as bench:
        await bench.load()
        yield bench


def inputs_of(bench: Bench) -> dict[str, object]:
    return {
        "allowed_to_charge": entity_id(bench.hass, "binary_sensor", "allowed_to_charge"),
        "temperature": entity_id(bench.hass, "sensor", "temperature"),
        "state_of_charge": entity_id(bench.hass, "sensor", "battery_level"),
        "heater": HEATER,
    }


async def test_heats_a_bank_with_the_pin(bench: Bench, owner: Owner) -> None:
    await owner.use(BLUEPRINT, inputs_of(bench))
    assert owner.state(HEATER) == "on"


@pytest.mark.parametrize("shown", ShownTemperature)
async def test_heats_whichever_temperature_the_bms_shows(
    hass: HomeAssistant, radio: Radio, owner: Owner, shown: ShownTemperature
) -> None:
    """Some batteries are warm already, while the coldest forbids charging; and nobody heats a bank that is warm."""
    bms = make_bms(FOUR_AS_24V, temperature=12)
    bms.shown_temperature = shown
    async with a_bench(Bench(hass, radio, bms=bms)) as bench:
        await bench.load()
        await owner.use(BLUEPRINT, inputs_of(bench))
        seen = []
        for coldest in (12.0, 4.0, 5.5, 9.0, 11.0):
            bms.bank.temperature = np.array([coldest, 12.0, 12.0, 12.0])
            bms.refresh()
            for _ in range(12):
                await bench.wait(MINUTE)
            seen.append(owner.state(HEATER))
        assert seen[:3] == ["off", "on", "on"]
        assert seen[-1] == "off"


async def test_never_heats_far_beyond_what_is_warm(hass: HomeAssistant, radio: Radio, owner: Owner) -> None:
    """Even where one battery stays cold: it may be the only one that the heater does not reach."""
    bms = make_bms(FOUR_AS_24V, temperature=2)
    async with a_bench(Bench(hass, radio, bms=bms)) as bench:
        await bench.load()
        await owner.use(BLUEPRINT, inputs_of(bench))
        assert owner.state(HEATER) == "on"
        bms.bank.temperature = np.array([2.0, 21.0, 21.0, 21.0])
        bms.refresh()
        for _ in range(12):
            await bench.wait(MINUTE)
        assert owner.state(HEATER) == "off"


async def test_with_the_pin_alone_a_connection_is_what_is_heard(
    hass: HomeAssistant, radio: Radio, owner: Owner, changes: Changes
) -> None:
    """One every five minutes, so that it does not go off between two, and stays no longer after the last."""
    bench = Bench(hass, radio, bms=make_bms(FOUR_AS_24V, temperature=2))
    data = {key: value for key, value in bench.entry.data.items() if key != CONF_KEY}
    hass.config_entries.async_update_entry(bench.entry, data=data)
    async with a_bench(bench):
        await bench.load()
        await owner.use(BLUEPRINT, {**inputs_of(bench), "patience": PATIENCE})
        for _ in range(3 * PATIENCE):
            await bench.wait(MINUTE)
        assert changes.all == [("heater", "on")]
        radio.device.faults.refuse_connections = True
        minutes = 0
        while owner.state(HEATER) == "on":
            await bench.wait(MINUTE)
            minutes += 1
        assert PATIENCE - 5 < minutes <= PATIENCE + 1


@pytest.mark.usefixtures("all_enabled")
@pytest.mark.parametrize(
    ("chosen", "platform", "key"),
    [
        ("temperature", "sensor", "history_lowest_temperature"),
        ("temperature", "sensor", "battery_1_temperature"),
        ("allowed_to_charge", "binary_sensor", "problem"),
        ("allowed_to_charge", "binary_sensor", "pre_alarm"),
        ("allowed_to_charge", "binary_sensor", "charging"),
        ("allowed_to_charge", "binary_sensor", "battery_low"),
    ],
)
async def test_what_cannot_work_says_so(bench: Bench, owner: Owner, chosen: str, platform: str, key: str) -> None:
    """And does not heat, which it would do by what these show."""
    created = async_mock_service(bench.hass, "persistent_notification", "create")
    wrong = entity_id(bench.hass, platform, key)
    await owner.use(BLUEPRINT, {**inputs_of(bench), chosen: wrong, "cold": 15, "warm": 30})
    assert owner.state(HEATER) == "off"
    assert [call.data["title"] for call in created] == [f"{BLUEPRINT} does not work"]
    assert wrong in created[0].data["message"]


@pytest.mark.usefixtures("all_enabled")
async def test_a_heater_left_on_by_a_wrong_choice_is_switched_off(bench: Bench, owner: Owner) -> None:
    await owner.use(BLUEPRINT, inputs_of(bench))
    lowest = entity_id(bench.hass, "sensor", "history_lowest_temperature")
    await owner.use(BLUEPRINT, {**inputs_of(bench), "temperature": lowest})
    assert owner.state(HEATER) == "off"


async def test_a_reload_of_the_integration_is_no_wrong_choice(
    owner: Owner, inputs: Inputs, entry: MockConfigEntry, changes: Changes
) -> None:
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    await heat(owner, inputs)
    assert await owner.hass.config_entries.async_unload(entry.entry_id)
    await owner.reload()
    assert owner.state(str(inputs["temperature"])) == "unavailable"
    assert await owner.hass.config_entries.async_setup(entry.entry_id)
    await owner.live(1)
    assert changes.all == [("heater", "on")]
    assert created == []
