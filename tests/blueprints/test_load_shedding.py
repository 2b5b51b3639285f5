"""Load shedding: what is switched off and on again, and when not."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.integration.conftest import Radio, entity_id

from .owner import MINUTE, Calls, Changes, Inputs, Owner

BLUEPRINT: Final = "load_shedding"
PUMP: Final = "input_boolean.pump"
FRIDGE: Final = "input_boolean.fridge"
PLUG: Final = "switch.plug"
REACHABLE: Final = "input_boolean.reachable"
JAMMED: Final = "input_boolean.jammed"
DEAF: Final = "input_boolean.deaf"
SLOW: Final = "input_boolean.slow"
MEMORY: Final = "input_text.memory"
MINUTES: Final = 5
LONG: Final = MINUTES + 1
RETRY: Final = 10
OFF_BELOW: Final = 30
ON_ABOVE: Final = 50


@pytest.fixture
def inputs(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, object]:
    return {
        "state_of_charge": entity_id(hass, "sensor", "battery_level"),
        "loads": [PUMP, FRIDGE, PLUG],
        "memory": MEMORY,
        "off_below": OFF_BELOW,
        "on_above": ON_ABOVE,
        "minutes": MINUTES,
    }


@pytest.fixture
def changes(hass: HomeAssistant) -> Changes:
    return Changes(hass, (PUMP, FRIDGE, PLUG))


async def shed(owner: Owner, inputs: Inputs) -> None:
    """Have pump and plug switched off, while the fridge was off before."""
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP, PLUG)
    await owner.live(LONG, state_of_charge=29.0)
    assert [owner.state(load) for load in (PUMP, FRIDGE, PLUG)] == ["off", "off", "off"]


async def test_off_and_on_again(owner: Owner, inputs: Inputs) -> None:
    await shed(owner, inputs)
    await owner.live(LONG, state_of_charge=51.0)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("on", "on")


async def test_only_what_was_switched_off_is_switched_on(owner: Owner, inputs: Inputs) -> None:
    await shed(owner, inputs)
    await owner.live(LONG, state_of_charge=51.0)
    assert owner.state(FRIDGE) == "off"
    assert owner.state(MEMORY) == ""


async def test_between_the_levels_nothing_happens(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    await owner.live(LONG, state_of_charge=30.0)
    assert owner.state(PUMP) == "on"
    await owner.live(LONG, state_of_charge=29.9)
    assert owner.state(PUMP) == "off"
    await owner.live(LONG, state_of_charge=50.0)
    assert owner.state(PUMP) == "off"
    await owner.live(LONG, state_of_charge=50.1)
    assert owner.state(PUMP) == "on"


async def test_never_flaps(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    """Around either level, and over both faster than the least time."""
    await shed(owner, inputs)
    before = len(changes.all)
    for state_of_charge in (29.9, 30.1, 29.9, 50.1, 49.9, 50.1, 20.0, 60.0, 20.0, 60.0, 29.0):
        await owner.live(MINUTES - 1, state_of_charge=state_of_charge)
    assert len(changes.all) == before


async def test_a_short_dip_is_none(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    await owner.live(MINUTES - 1, state_of_charge=20.0)
    await owner.live(LONG, state_of_charge=40.0)
    assert owner.state(PUMP) == "on"


async def test_a_load_switched_on_by_hand_stays_on(owner: Owner, inputs: Inputs) -> None:
    await shed(owner, inputs)
    await owner.turn(FRIDGE)
    await owner.live(3 * LONG, state_of_charge=25.0)
    assert owner.state(FRIDGE) == "on"


@pytest.mark.parametrize("loads", [(PUMP,), (PLUG,), (PUMP, PLUG)])
async def test_switched_on_and_off_again_by_hand_stays_off(
    owner: Owner, inputs: Inputs, loads: tuple[str, ...]
) -> None:
    await shed(owner, inputs)
    await owner.turn(*loads)
    await owner.live(1, state_of_charge=40.0)
    await owner.turn(*loads, on=False)
    await owner.live(LONG, state_of_charge=51.0)
    expected = {load: "off" if load in loads else "on" for load in (PUMP, PLUG)}
    assert {load: owner.state(load) for load in expected} == expected


async def test_switched_on_by_hand_while_it_is_low_stays_on(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    """Even though it was switched off before."""
    await shed(owner, inputs)
    for _ in range(RETRY):
        await owner.turn(PUMP)
        await owner.live(1, state_of_charge=25.0)
        assert owner.state(PUMP) == "on"
        await owner.turn(PUMP, on=False)
        await owner.live(1)
    await owner.turn(PUMP)
    await owner.live(2 * RETRY)
    assert owner.state(PUMP) == "on"


async def test_switched_on_by_hand_just_before_it_is_tried_again(owner: Owner, inputs: Inputs) -> None:
    """It is not taken for a load that failed to go off."""
    await shed(owner, inputs)
    passed = timedelta(seconds=utcnow().timestamp()) % (RETRY * MINUTE)
    await owner.radio.wait(RETRY * MINUTE - passed - timedelta(seconds=5))
    await owner.hear(state_of_charge=25.0)
    await owner.turn(PUMP)
    await owner.radio.jump(timedelta(seconds=10))
    await owner.live(2)
    assert owner.state(PUMP) == "on"


async def test_a_switch_that_shows_its_old_state_for_a_moment(owner: Owner, inputs: Inputs) -> None:
    """It is not taken for somebody who switches."""
    await shed(owner, inputs)
    await owner.turn(PUMP)
    await owner.turn(PUMP, on=False)
    await owner.live(LONG, state_of_charge=51.0)
    assert owner.state(PUMP) == "on"


async def test_a_load_that_takes_its_time(owner: Owner, inputs: Inputs) -> None:
    """What becomes of the others meanwhile does not bring back what was noted before."""
    await shed(owner, inputs)
    await owner.turn(SLOW)
    await owner.live(MINUTES - 1, state_of_charge=51.0)
    await owner.live_on(60)
    await owner.live_on(60)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("on", "off")
    await owner.live_on(20)
    await owner.turn(SLOW, on=False)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("on", "on")
    assert owner.state(MEMORY) == ""


@pytest.mark.parametrize("fault", [JAMMED, DEAF])
async def test_what_fails_to_go_on_is_tried_again(owner: Owner, inputs: Inputs, fault: str) -> None:
    await shed(owner, inputs)
    await owner.turn(fault)
    await owner.live(LONG, state_of_charge=51.0)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("on", "off")
    await owner.live(RETRY)
    await owner.turn(fault, on=False)
    await owner.live(RETRY)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("on", "on")
    assert owner.state(MEMORY) == ""


@pytest.mark.parametrize("fault", [JAMMED, DEAF])
async def test_what_fails_to_go_off_is_tried_again(owner: Owner, inputs: Inputs, fault: str) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP, PLUG)
    await owner.turn(fault)
    await owner.live(LONG, state_of_charge=29.0)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("off", "on")
    await owner.turn(FRIDGE)
    await owner.live(RETRY)
    await owner.turn(fault, on=False)
    await owner.live(RETRY)
    assert [owner.state(load) for load in (PUMP, FRIDGE, PLUG)] == ["off", "on", "off"]
    await owner.live(LONG, state_of_charge=51.0)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("on", "on")


async def test_it_is_not_tried_too_often(owner: Owner, inputs: Inputs) -> None:
    await shed(owner, inputs)
    await owner.turn(JAMMED)
    tried = Calls(owner.hass, PLUG)
    await owner.live(6 * RETRY, state_of_charge=51.0)
    assert 4 <= tried.number <= 7
    await owner.turn(REACHABLE, on=False)
    before = tried.number
    await owner.live(6 * RETRY)
    assert tried.number == before


async def test_trying_again_to_switch_on_takes_the_least_time_too(owner: Owner, inputs: Inputs) -> None:
    await shed(owner, inputs)
    await owner.turn(JAMMED)
    await owner.live(LONG, state_of_charge=51.0)
    await owner.live(RETRY, state_of_charge=45.0)
    await owner.turn(JAMMED, on=False)
    for _ in range(RETRY):
        await owner.live(MINUTES - 1, state_of_charge=51.0)
        await owner.live(2, state_of_charge=45.0)
        assert owner.state(PLUG) == "off"
    await owner.live(LONG, state_of_charge=51.0)
    assert owner.state(PLUG) == "on"


async def test_trying_again_to_switch_off_takes_the_least_time_too(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PLUG)
    await owner.turn(JAMMED)
    await owner.live(LONG, state_of_charge=29.0)
    await owner.live(RETRY, state_of_charge=45.0)
    await owner.turn(JAMMED, on=False)
    for _ in range(RETRY):
        await owner.live(MINUTES - 1, state_of_charge=29.0)
        await owner.live(2, state_of_charge=45.0)
        assert owner.state(PLUG) == "on"
    await owner.live(LONG, state_of_charge=29.0)
    assert owner.state(PLUG) == "off"


async def test_what_still_is_to_be_switched_on_after_a_restart(
    owner: Owner, inputs: Inputs, entry: MockConfigEntry
) -> None:
    await shed(owner, inputs)
    await owner.turn(JAMMED)
    await owner.live(LONG, state_of_charge=51.0)
    await owner.turn(JAMMED, on=False)
    await owner.restart(entry, owner.show)
    await owner.started()
    assert owner.state(PLUG) == "on"


async def test_run_by_hand(owner: Owner, inputs: Inputs) -> None:
    """It looks at once."""
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    await owner.live(1, state_of_charge=20.0)
    await owner.do("automation", "trigger", f"automation.{BLUEPRINT}")
    assert owner.state(PUMP) == "off"


async def test_a_load_that_is_back_changes_no_other(owner: Owner, inputs: Inputs) -> None:
    await shed(owner, inputs)
    await owner.turn(FRIDGE)
    await owner.live(1)
    await owner.turn(REACHABLE, on=False)
    await owner.live(1)
    await owner.turn(REACHABLE)
    await owner.live(LONG)
    assert owner.state(FRIDGE) == "on"


async def test_silence_switches_nothing(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    before = changes.all
    await owner.silence(30)
    assert owner.state(str(inputs["state_of_charge"])) == "unavailable"
    await owner.live(LONG, state_of_charge=None)
    assert owner.state(str(inputs["state_of_charge"])) == "unknown"
    assert changes.all == before


async def test_what_was_crossed_in_silence_counts(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    await owner.silence(30)
    await owner.live(LONG, state_of_charge=20.0)
    assert owner.state(PUMP) == "off"
    await owner.silence(30)
    await owner.live(LONG, state_of_charge=80.0)
    assert owner.state(PUMP) == "on"


async def test_silence_begins_the_time_anew(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, {**inputs, "minutes": 15})
    await owner.turn(PUMP)
    await owner.live(4, state_of_charge=20.0)
    await owner.silence(10)
    await owner.live(14)
    assert owner.state(PUMP) == "on"
    await owner.live(2)
    assert owner.state(PUMP) == "off"


async def test_restart_while_off(owner: Owner, inputs: Inputs, entry: MockConfigEntry) -> None:
    await shed(owner, inputs)
    await owner.restart(entry)
    await owner.started()
    await owner.live(LONG)
    assert owner.state(PUMP) == "off"
    await owner.live(LONG, state_of_charge=51.0)
    assert (owner.state(PUMP), owner.state(FRIDGE)) == ("on", "off")


@pytest.mark.parametrize(("state_of_charge", "expected"), [(20.0, "off"), (40.0, "on")])
async def test_it_ran_low_while_home_assistant_was_down(
    owner: Owner, inputs: Inputs, entry: MockConfigEntry, state_of_charge: float, expected: str
) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    await owner.restart(entry, lambda: owner.show(state_of_charge=state_of_charge))
    assert owner.state(PUMP) == "on"
    await owner.started()
    assert owner.state(PUMP) == expected


async def test_it_was_charged_while_home_assistant_was_down(
    owner: Owner, inputs: Inputs, entry: MockConfigEntry
) -> None:
    await shed(owner, inputs)
    await owner.restart(entry, lambda: owner.show(state_of_charge=80.0))
    await owner.started()
    assert [owner.state(load) for load in (PUMP, FRIDGE, PLUG)] == ["on", "off", "on"]


async def test_not_heard_after_a_restart(
    owner: Owner, inputs: Inputs, radio: Radio, entry: MockConfigEntry, changes: Changes
) -> None:
    await shed(owner, inputs)
    before = changes.all
    await owner.restart(entry, radio.forget)
    await owner.started()
    await owner.silence(30)
    assert changes.all == before
    await owner.live(LONG, state_of_charge=80.0)
    assert (owner.state(PUMP), owner.state(FRIDGE)) == ("on", "off")


async def test_made_while_the_battery_is_low(owner: Owner, inputs: Inputs) -> None:
    await owner.live(1, state_of_charge=20.0)
    await owner.turn(PUMP)
    await owner.use(BLUEPRINT, inputs)
    assert owner.state(PUMP) == "off"


async def test_reload(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    await shed(owner, inputs)
    before = changes.all
    await owner.reload()
    assert changes.all == before
    await owner.live(LONG, state_of_charge=51.0)
    assert owner.state(PUMP) == "on"


async def save_another(owner: Owner, inputs: Inputs) -> None:
    """Save an automation that has nothing to do with the others."""
    await owner.use(BLUEPRINT, {**inputs, "loads": [FRIDGE], "memory": "input_text.other"}, "another")


@pytest.mark.parametrize("again", [save_another, lambda owner, _: owner.reload()], ids=["another", "all"])
async def test_switched_on_by_hand_stays_on_when_automations_are_reloaded(
    owner: Owner, inputs: Inputs, again: Callable[[Owner, Inputs], Awaitable[None]]
) -> None:
    await shed(owner, inputs)
    await owner.turn(PUMP)
    await owner.live(2, state_of_charge=25.0)
    await again(owner, inputs)
    await owner.live(2 * RETRY)
    assert owner.state(PUMP) == "on"


async def test_saving_another_automation_does_not_shorten_the_least_time(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    await owner.live(2, state_of_charge=29.0)
    await save_another(owner, inputs)
    assert owner.state(PUMP) == "on"
    await owner.live(LONG)
    assert owner.state(PUMP) == "off"
    await owner.live(2, state_of_charge=51.0)
    await save_another(owner, {**inputs, "on_above": ON_ABOVE + 1})
    assert owner.state(PUMP) == "off"
    await owner.live(LONG)
    assert owner.state(PUMP) == "on"


async def test_changed_while_the_battery_is_low(owner: Owner, inputs: Inputs) -> None:
    """It looks at once, as it may have to switch by other levels now."""
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP)
    await owner.live(LONG, state_of_charge=35.0)
    assert owner.state(PUMP) == "on"
    await owner.use(BLUEPRINT, {**inputs, "off_below": 40})
    assert owner.state(PUMP) == "off"


async def test_a_load_out_of_reach_is_switched_when_it_is_back(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(PUMP, PLUG)
    await owner.turn(REACHABLE, on=False)
    await owner.live(LONG, state_of_charge=20.0)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("off", "unavailable")
    await owner.turn(REACHABLE)
    assert owner.state(PLUG) == "on"
    await owner.live(LONG)
    assert owner.state(PLUG) == "off"
    await owner.turn(REACHABLE, on=False)
    await owner.live(LONG, state_of_charge=80.0)
    assert owner.state(PUMP) == "on"
    await owner.turn(REACHABLE)
    await owner.live(LONG)
    assert owner.state(PLUG) == "on"
    assert owner.state(MEMORY) == ""


async def test_a_memory_too_short_still_switches_off(owner: Owner, inputs: Inputs) -> None:
    """What it cannot note it does not switch on again."""
    await shed(owner, {**inputs, "memory": "input_text.short"})
    await owner.live(LONG, state_of_charge=80.0)
    assert (owner.state(PUMP), owner.state(PLUG)) == ("off", "off")


async def test_foreign_text_in_the_memory_is_nothing(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    await owner.do("input_text", "set_value", MEMORY, value="feedbeef, a cafe and c0ffee")
    await owner.use(BLUEPRINT, inputs)
    await owner.live(LONG, state_of_charge=80.0)
    assert changes.all == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"off_below": 60, "on_above": 40}, "can never be above 60"),
        ({"off_below": "low"}, "off_below|float"),
        ({"loads": "everything"}, "everything"),
        ({"state_of_charge": "the battery"}, "the battery"),
    ],
)
async def test_bad_inputs_are_refused(owner: Owner, inputs: Inputs, bad: Inputs, why: str) -> None:
    problem = await owner.save(BLUEPRINT, {**inputs, **bad})
    assert problem
    assert any(part in problem for part in why.split("|")), problem
    assert owner.hass.states.async_entity_ids("automation") == []


async def test_a_bad_change_leaves_what_was(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    assert await owner.save(BLUEPRINT, {**inputs, "off_below": 60, "on_above": 40})
    await owner.turn(PUMP)
    await owner.live(LONG, state_of_charge=45.0)
    assert owner.state(PUMP) == "on"
    await owner.live(LONG, state_of_charge=29.0)
    assert owner.state(PUMP) == "off"


async def test_equal_levels_only_switch_off(owner: Owner, inputs: Inputs, changes: Changes) -> None:
    """Home Assistant does not refuse them. Without a distance, there is no switching on."""
    await owner.use(BLUEPRINT, {**inputs, "off_below": 40, "on_above": 40})
    await owner.turn(PUMP)
    before = changes.all
    for state_of_charge in (39.0, 41.0, 39.0, 41.0):
        await owner.live(LONG, state_of_charge=state_of_charge)
    assert changes.all[len(before) :] == [("pump", "off")]


@pytest.mark.parametrize("missing", ["state_of_charge", "loads", "memory"])
async def test_all_that_has_no_default_is_asked_for(owner: Owner, inputs: Inputs, missing: str) -> None:
    problem = await owner.save(BLUEPRINT, {key: value for key, value in inputs.items() if key != missing})
    assert problem
    assert missing in problem
    assert owner.hass.states.async_entity_ids("automation") == []
