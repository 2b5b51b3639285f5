"""The source that charges: when it is started and stopped, and what is told."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.util.dt import now
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from emulator.snapshot import IoField, Level, LevelField
from tests.integration.conftest import entity_id

from .owner import MINUTE, Changes, Inputs, Owner

BLUEPRINT: Final = "charge_source"
SOURCE: Final = "input_boolean.generator"
PLUG: Final = "switch.plug"
MEMORY: Final = "input_text.memory"
SOMEBODY: Final = "notify.somebody"
SOLAR: Final = "sensor.solar"
IMBALANCED: Final = "sensor.balancer"
START_BELOW: Final = 30
STOP_AT: Final = 80
MINUTES: Final = 5
LEAST: Final = 10
FAILED: Final = 5
PATIENCE: Final = 5
LONGEST: Final = 1
MORE: Final = 2
DAY: Final = 24 * 60
DRAWN, GIVEN = -5.0, 30.0


def shows(
    state_of_charge: float | None = 50.0, *, allowed: bool = True, pre_alarm: bool = False, **more: object
) -> dict[str, object]:
    """Return what the device shows of a battery."""
    io = {IoField.ALLOWED_TO_CHARGE: allowed, IoField.ALLOWED_TO_DISCHARGE: True, IoField.REMOTE_ON: True}
    level = Level.WARNING if pre_alarm else Level.OK
    levels = {**dict.fromkeys(LevelField, Level.OK), LevelField.LOW_CELL_VOLTAGE: level}
    return {"state_of_charge": state_of_charge, "io": io, "levels": levels, **more}


@dataclass
class Cabin:
    """A battery with a source, of which the owner looks after nothing."""

    owner: Owner
    inputs: dict[str, object]
    source: str = SOURCE
    broken: bool = False

    def runs(self) -> bool:
        """Return whether the source is on."""
        return self.owner.state(self.source) == "on"

    async def use(self, **inputs: object) -> None:
        """Begin with an automation, and a battery that is well."""
        self.inputs = {**self.inputs, **inputs}
        self.source = str(self.inputs["source"])
        await self.live(1, **shows())
        await self.owner.use(BLUEPRINT, self.inputs)
        await self.live(1)

    async def live(self, minutes: int, **changes: object) -> None:
        """Let time pass; what flows is what the source gives."""
        for _ in range(minutes):
            self.show(**changes)
            await self.owner.radio.settle()
            await self.owner.radio.jump(MINUTE)
        self.show(**changes)
        await self.owner.radio.settle()

    def show(self, **changes: object) -> None:
        """Be heard; the current is never quite the same."""
        flows = GIVEN if self.runs() and not self.broken else DRAWN
        self.owner.show(**{"current": flows + now().minute % 10 / 10, **changes})

    async def empty(self) -> None:
        """Have the source started because of a low state of charge."""
        await self.live(MINUTES + MORE, **shows(29.0))
        assert self.runs()

    async def until(self, hour: int) -> None:
        """Let time pass at one go until shortly after an hour of the local day."""
        wait = now().replace(hour=hour, minute=0, second=0, microsecond=0) - now()
        await self.owner.radio.jump(wait % timedelta(days=1))
        await self.live(MORE)


@pytest.fixture
async def inputs(hass: HomeAssistant, entry: MockConfigEntry, owner: Owner) -> dict[str, object]:
    return {
        "source": SOURCE,
        "state_of_charge": entity_id(hass, "sensor", "battery_level"),
        "current": entity_id(hass, "sensor", "current"),
        "allowed_to_charge": entity_id(hass, "binary_sensor", "allowed_to_charge"),
        "pre_alarm": entity_id(hass, "binary_sensor", "pre_alarm"),
        "memory": MEMORY,
        "start_below": START_BELOW,
        "minutes": MINUTES,
        "stop_at": STOP_AT,
        "longest": LONGEST,
        "least_on": LEAST,
        "least_off": LEAST,
        "no_current_minutes": FAILED,
        "patience": PATIENCE,
        "full_days": 0,
        # It is the afternoon.
        "quiet_from": "21:00:00",
        "quiet_to": "08:00:00",
        "notifiers": [SOMEBODY],
    }


@pytest.fixture
def cabin(owner: Owner, inputs: Inputs) -> Cabin:
    return Cabin(owner, dict(inputs))


@pytest.fixture
def changes(hass: HomeAssistant) -> Changes:
    return Changes(hass, (SOURCE,))


@pytest.fixture
def inbox(owner: Owner) -> list[ServiceCall]:
    """What notify entities are sent."""
    return async_mock_service(owner.hass, "notify", "send_message")


def messages(inbox: list[ServiceCall]) -> list[str]:
    """Return the first words of each message."""
    return [" ".join(str(call.data["message"]).split()[:3]) for call in inbox]


ON: Final = ("generator", "on")
OFF: Final = ("generator", "off")


# Start


async def test_low(cabin: Cabin) -> None:
    await cabin.use()
    await cabin.live(MINUTES - 1, **shows(29.9))
    assert not cabin.runs()
    await cabin.live(MORE)
    assert cabin.runs()


async def test_low_for_a_moment(cabin: Cabin, changes: Changes) -> None:
    await cabin.use()
    for _ in range(3):
        await cabin.live(MINUTES - 1, **shows(29.9))
        await cabin.live(MORE, **shows(30.0))
    assert changes.all == []


async def test_pre_alarm_is_not_waited_for(cabin: Cabin) -> None:
    await cabin.use()
    await cabin.live(1, **shows(50.0, pre_alarm=True))
    assert cabin.runs()


@pytest.mark.parametrize("shown", [shows(29.0, allowed=False), shows(None), shows(29.0, current=None), shows(30.0)])
async def test_no_start(cabin: Cabin, changes: Changes, shown: Inputs) -> None:
    """Charging is not allowed, something is not known, or the state of charge is not below the level."""
    await cabin.use()
    await cabin.live(3 * MINUTES, **shown)
    assert changes.all == []


async def test_nothing_while_it_is_not_known_even_on_pre_alarm(cabin: Cabin, changes: Changes) -> None:
    await cabin.use()
    await cabin.live(MINUTES, **shows(None, pre_alarm=True))
    assert changes.all == []


# Stop


async def test_stops_at_the_level(cabin: Cabin) -> None:
    await cabin.use()
    await cabin.empty()
    await cabin.live(2 * LEAST, **shows(STOP_AT - 0.1))
    assert cabin.runs()
    await cabin.live(1, **shows(STOP_AT))
    assert not cabin.runs()


async def test_full_is_rounded_as_the_bms_rounds(cabin: Cabin) -> None:
    await cabin.use(stop_at=100)
    await cabin.empty()
    await cabin.live(2 * LEAST, **shows(99.9))
    assert cabin.runs()
    await cabin.live(1, **shows(100.0))
    assert not cabin.runs()


async def test_stops_when_charging_is_not_allowed(cabin: Cabin, changes: Changes) -> None:
    """At once, and for the least time off."""
    await cabin.use()
    await cabin.empty()
    await cabin.live(1, **shows(29.0, allowed=False))
    assert not cabin.runs()
    await cabin.live(LEAST - MORE, **shows(29.0))
    assert not cabin.runs()
    await cabin.live(2 * MORE)
    assert changes.all == [ON, OFF, ON]


async def test_stops_after_the_longest_run(cabin: Cabin, inbox: list[ServiceCall]) -> None:
    await cabin.use()
    await cabin.empty()
    await cabin.live(LONGEST * 60 - MORE - MORE)
    assert cabin.runs()
    await cabin.live(2 * MORE)
    assert not cabin.runs()
    assert messages(inbox) == ["Stopped after 1.0"]


@pytest.mark.parametrize("shown", [shows(None), shows(29.0, current=None)])
async def test_off_while_something_is_not_known(
    cabin: Cabin, inbox: list[ServiceCall], changes: Changes, shown: Inputs
) -> None:
    await cabin.use()
    await cabin.empty()
    await cabin.live(PATIENCE + MORE + 5, **shown)
    assert not cabin.runs()
    await cabin.live(2 * LEAST, **shown)
    assert changes.all == [ON, OFF]
    assert messages(inbox) == ["Stopped, as the"]


async def test_off_while_it_is_not_heard(cabin: Cabin) -> None:
    await cabin.use()
    await cabin.empty()
    await cabin.owner.silence(2 * PATIENCE + 5)
    assert not cabin.runs()


async def test_a_short_silence_does_not_matter(cabin: Cabin, changes: Changes) -> None:
    await cabin.use()
    await cabin.empty()
    await cabin.owner.silence(PATIENCE)
    await cabin.live(1)
    assert changes.all == [ON]


# No short cycle


async def test_the_least_time_on(cabin: Cabin) -> None:
    await cabin.use()
    await cabin.empty()
    await cabin.live(LEAST - 2 * MORE, **shows(90.0))
    assert cabin.runs()
    await cabin.live(2 * MORE)
    assert not cabin.runs()


async def test_the_least_time_off(cabin: Cabin) -> None:
    """Also on a pre-alarm."""
    await cabin.use()
    await cabin.empty()
    await cabin.live(LEAST, **shows(90.0))
    assert not cabin.runs()
    await cabin.live(LEAST - 2 * MORE, **shows(20.0, pre_alarm=True))
    assert not cabin.runs()
    await cabin.live(2 * MORE)
    assert cabin.runs()


async def test_between_the_levels_nothing_happens(cabin: Cabin, changes: Changes) -> None:
    await cabin.use()
    await cabin.live(3 * LEAST, **shows(31.0))
    await cabin.empty()
    await cabin.live(3 * LEAST, **shows(79.0))
    assert changes.all == [ON]


# Quiet hours


async def test_no_start_in_quiet_hours(cabin: Cabin, changes: Changes) -> None:
    await cabin.use()
    await cabin.until(22)
    await cabin.live(4 * LEAST, **shows(20.0))
    assert changes.all == []
    await cabin.until(8)
    assert cabin.runs()


async def test_no_start_shortly_before_quiet_hours(cabin: Cabin, changes: Changes) -> None:
    """It would have to be stopped before its least time."""
    await cabin.use(least_on=60)
    await cabin.until(20)
    await cabin.live(2 * MINUTES, **shows(20.0))
    assert changes.all == []


async def test_pre_alarm_in_quiet_hours(cabin: Cabin) -> None:
    """It is stopped when that is over."""
    await cabin.use()
    await cabin.until(22)
    await cabin.live(2 * LEAST, **shows(20.0, pre_alarm=True))
    assert cabin.runs()
    await cabin.live(MORE, **shows(25.0))
    assert not cabin.runs()


async def test_a_pre_alarm_that_is_not_known_is_not_over(cabin: Cabin, changes: Changes) -> None:
    await cabin.use()
    await cabin.until(22)
    await cabin.live(2 * LEAST, **shows(20.0, pre_alarm=True))
    cabin.owner.hass.states.async_set(str(cabin.inputs["pre_alarm"]), "unavailable")
    await cabin.owner.silence(MORE)
    assert changes.all == [ON]


async def test_stops_when_it_gets_quiet(cabin: Cabin, changes: Changes) -> None:
    await cabin.use(quiet_from="15:30:00", quiet_to="16:30:00")
    await cabin.empty()
    await cabin.live(30)
    assert changes.all == [ON, OFF]


async def test_never_quiet(cabin: Cabin) -> None:
    await cabin.use(quiet_from="00:00:00", quiet_to="00:00:00")
    await cabin.until(23)
    await cabin.empty()


# The sun


def shine(owner: Owner, watts: float, unit: str = "W") -> None:
    owner.hass.states.async_set(SOLAR, str(watts), {"device_class": "power", "unit_of_measurement": unit})


async def test_the_sun_carries_it(cabin: Cabin, changes: Changes) -> None:
    shine(cabin.owner, 0)
    await cabin.use(solar_power=SOLAR, solar_enough=200)
    await cabin.empty()
    shine(cabin.owner, 0.25, "kW")
    await cabin.live(LEAST + MORE)
    assert not cabin.runs()
    await cabin.live(3 * LEAST)
    assert changes.all == [ON, OFF]
    shine(cabin.owner, 100)
    await cabin.live(MORE)
    assert cabin.runs()


async def test_sun_between_clouds_does_not(cabin: Cabin, changes: Changes) -> None:
    shine(cabin.owner, 0)
    await cabin.use(solar_power=SOLAR, solar_enough=200)
    await cabin.empty()
    for _ in range(4):
        shine(cabin.owner, 900)
        await cabin.live(8)
        shine(cabin.owner, 50)
        await cabin.live(1)
    assert changes.all == [ON]


async def test_a_pre_alarm_does_not_wait_for_the_sun(cabin: Cabin) -> None:
    shine(cabin.owner, 900)
    await cabin.use(solar_power=SOLAR, solar_enough=200)
    await cabin.live(2 * LEAST, **shows(20.0, pre_alarm=True))
    assert cabin.runs()


# No current


async def test_no_current_is_tried_three_times_and_told(
    cabin: Cabin, inbox: list[ServiceCall], changes: Changes
) -> None:
    await cabin.use()
    cabin.broken = True
    await cabin.empty()
    await cabin.live(FAILED + MORE)
    assert changes.all == [ON, OFF]
    await cabin.live(3 * (LEAST + FAILED + MORE))
    assert changes.all == [ON, OFF] * 3
    assert messages(inbox) == ["Switched on three"]
    await cabin.live(5 * LEAST)
    assert changes.all == [ON, OFF] * 3


async def test_after_a_day_it_is_tried_again(cabin: Cabin) -> None:
    await cabin.use(minutes=1)
    cabin.broken = True
    await cabin.live(4 * (LEAST + FAILED), **shows(29.0))
    assert not cabin.runs()
    cabin.broken = False
    for _ in range(12):
        await cabin.owner.radio.jump(2 * 60 * MINUTE)
    await cabin.live(2 * LEAST)
    assert cabin.runs()


async def test_it_is_tried_again_when_the_automation_is_run_by_hand(cabin: Cabin) -> None:
    await cabin.use(minutes=1)
    cabin.broken = True
    await cabin.live(4 * (LEAST + FAILED), **shows(29.0))
    cabin.broken = False
    await cabin.owner.do("automation", "trigger", f"automation.{BLUEPRINT}")
    await cabin.live(MORE)
    assert cabin.runs()


async def test_a_failure_between_good_runs_is_forgotten(cabin: Cabin, inbox: list[ServiceCall]) -> None:
    await cabin.use()
    await cabin.empty()
    for _ in range(3):
        cabin.broken = True
        await cabin.live(FAILED + MORE, **shows(29.0))
        cabin.broken = False
        await cabin.live(LEAST + 3 * FAILED)
        assert cabin.runs()
    assert inbox == []


async def test_silence_is_not_no_current(cabin: Cabin, changes: Changes) -> None:
    """The current was below the least when it was started, and then nobody knows."""
    await cabin.use(patience=30, no_current_minutes=12)
    cabin.broken = True
    await cabin.empty()
    cabin.broken = False
    await cabin.owner.silence(15)
    assert cabin.owner.state(str(cabin.inputs["current"])) == "unavailable"
    await cabin.live(MORE)
    assert changes.all == [ON]


async def test_fuel_runs_out(cabin: Cabin) -> None:
    await cabin.use()
    await cabin.empty()
    await cabin.live(2 * FAILED)
    cabin.broken = True
    await cabin.live(FAILED + MORE)
    assert not cabin.runs()


async def test_a_battery_that_is_nearly_full_takes_no_current(cabin: Cabin) -> None:
    await cabin.use(stop_at=100)
    await cabin.empty()
    cabin.broken = True
    await cabin.live(3 * FAILED, **shows(97.0))
    assert cabin.runs()


async def test_a_source_that_does_not_come_on(cabin: Cabin, inbox: list[ServiceCall]) -> None:
    await cabin.use(source=PLUG)
    await cabin.owner.turn("input_boolean.deaf")
    await cabin.live(MINUTES + MORE + 4 * (LEAST + FAILED), **shows(29.0))
    assert messages(inbox) == ["Switched on three"]


async def test_a_source_that_does_not_go_off(cabin: Cabin) -> None:
    """It is asked again and again, and not taken for one that somebody has started."""
    await cabin.use(source=PLUG)
    await cabin.empty()
    await cabin.owner.turn("input_boolean.deaf")
    await cabin.live(2 * LEAST, **shows(85.0))
    assert cabin.runs()
    await cabin.owner.turn("input_boolean.deaf", on=False)
    await cabin.live(1)
    assert not cabin.runs()


# By hand


async def test_started_by_hand(cabin: Cabin) -> None:
    """It stops as any other run."""
    await cabin.use()
    await cabin.owner.turn(SOURCE)
    await cabin.live(LEAST - MORE)
    assert cabin.runs()
    await cabin.live(2 * LEAST)
    assert cabin.runs()
    await cabin.live(1, **shows(80.0))
    assert not cabin.runs()


async def test_stopped_by_hand_is_left_alone(cabin: Cabin, inbox: list[ServiceCall], changes: Changes) -> None:
    """Somebody may be working on it: not even a pre-alarm starts it."""
    await cabin.use()
    await cabin.empty()
    await cabin.live(MORE)
    await cabin.owner.turn(SOURCE, on=False)
    await cabin.live(4 * LEAST, **shows(10.0, pre_alarm=True))
    assert changes.all == [ON, OFF]
    assert messages(inbox) == ["Switched off by"]
    await cabin.owner.turn(SOURCE)
    await cabin.live(LEAST, **shows(85.0))
    assert not cabin.runs()
    await cabin.live(LEAST + MINUTES, **shows(20.0))
    assert cabin.runs()


async def test_a_source_that_shows_another_state_for_a_moment(cabin: Cabin, inbox: list[ServiceCall]) -> None:
    """As some switches do when Home Assistant starts."""
    await cabin.use()
    await cabin.empty()
    await cabin.live(2 * LEAST)
    cabin.owner.radio.tick(timedelta(seconds=50 - now().second))
    await cabin.owner.turn(SOURCE, on=False)
    await cabin.owner.radio.jump(timedelta(seconds=20))
    await cabin.owner.turn(SOURCE)
    await cabin.live(MORE)
    assert inbox == []
    await cabin.live(MORE, **shows(85.0))
    assert not cabin.runs()


async def test_a_memory_that_is_not_there_for_a_moment(cabin: Cabin, changes: Changes) -> None:
    """Nothing is known then of what was, so nothing is done."""
    await cabin.use()
    await cabin.live(MORE, **shows(29.0))
    before = cabin.owner.state(MEMORY)
    cabin.owner.hass.states.async_set(MEMORY, "unavailable", {"max": 100})
    await cabin.live(2 * MINUTES, **shows(29.0, pre_alarm=True))
    assert changes.all == []
    cabin.owner.hass.states.async_set(MEMORY, before, {"max": 100})
    await cabin.live(1)
    assert changes.all == [ON]


# A full charge


async def test_a_full_charge_after_some_days(cabin: Cabin) -> None:
    """A day before they are over; it goes on to the end."""
    await cabin.use(full_days=3, longest=6)
    for _ in range(23):
        await cabin.owner.radio.jump(2 * 60 * MINUTE)
    await cabin.live(10, **shows(60.0))
    assert not cabin.runs()
    await cabin.owner.radio.jump(2 * 60 * MINUTE)
    await cabin.live(MORE)
    assert cabin.runs()
    await cabin.live(2 * LEAST, **shows(99.9))
    assert cabin.runs()
    await cabin.live(1, **shows(100.0))
    assert not cabin.runs()
    for _ in range(23):
        await cabin.owner.radio.jump(2 * 60 * MINUTE)
    await cabin.live(MORE, **shows(60.0))
    assert not cabin.runs()


async def test_a_full_charge_by_the_sensor(cabin: Cabin) -> None:
    since = "sensor.since_full"
    cabin.owner.hass.states.async_set(since, "19.9", {"unit_of_measurement": "d"})
    await cabin.use(full_days=21, since_full_charge=since)
    await cabin.live(MORE)
    assert not cabin.runs()
    cabin.owner.hass.states.async_set(since, str(20.1 * 24), {"unit_of_measurement": "h"})
    await cabin.live(MORE)
    assert cabin.runs()


async def test_the_balancer_asks_for_a_full_charge(cabin: Cabin) -> None:
    """Every two days, until it is satisfied."""
    cabin.owner.hass.states.async_set(IMBALANCED, "imbalanced")
    await cabin.use(full_days=21, balancer_status=IMBALANCED)
    await cabin.live(2 * LEAST)
    assert not cabin.runs()
    for _ in range(24):
        await cabin.owner.radio.jump(2 * 60 * MINUTE)
    await cabin.live(MORE)
    assert cabin.runs()


# Restarts


async def test_a_restart_goes_on_where_it_was(cabin: Cabin, entry: MockConfigEntry, changes: Changes) -> None:
    """Neither the least time nor the longest begins anew."""
    await cabin.use()
    await cabin.empty()
    for _ in range(5):
        await cabin.live(LONGEST * 60 // 6)
        await cabin.owner.restart(entry)
        await cabin.owner.started()
        assert cabin.runs()
    await cabin.live(LONGEST * 60 // 6)
    assert changes.all == [ON, OFF]


async def test_a_restart_does_not_forget_for_how_long_it_was_low(cabin: Cabin, entry: MockConfigEntry) -> None:
    await cabin.use(minutes=30)
    for _ in range(4):
        await cabin.live(6, **shows(29.0))
        await cabin.owner.restart(entry)
        await cabin.owner.started()
    await cabin.live(6 + MORE, **shows(29.0))
    assert cabin.runs()


async def test_a_restart_does_not_forget_failures(
    cabin: Cabin, entry: MockConfigEntry, changes: Changes, inbox: list[ServiceCall]
) -> None:
    await cabin.use()
    cabin.broken = True
    await cabin.empty()
    for _ in range(6):
        await cabin.live(LEAST)
        await cabin.owner.restart(entry)
        await cabin.owner.started()
    await cabin.live(2 * LEAST)
    assert changes.all == [ON, OFF] * 3
    assert messages(inbox) == ["Switched on three"]


# What is told


async def test_each_run_is_told_if_wanted(cabin: Cabin, inbox: list[ServiceCall]) -> None:
    await cabin.use(every_run=True)
    await cabin.empty()
    await cabin.live(LEAST, **shows(80.0))
    assert [call.data["message"] for call in inbox] == [
        "Started because of a low state of charge. State of charge 29.0 %.",
        "Stopped after 0.2 h because of a charged battery. State of charge 80.0 %.",
    ]
    assert {call.data["title"] for call in inbox} == {SOURCE}


async def test_own_words(cabin: Cabin, inbox: list[ServiceCall]) -> None:
    words = {"title": "{{ source_name }}!", "text_started": "Läuft: {{ why }}", "reasons": {"low": "wenig Strom"}}
    await cabin.use(every_run=True, **words)
    await cabin.empty()
    assert [(call.data["title"], call.data["message"]) for call in inbox] == [(f"{SOURCE}!", "Läuft: wenig Strom")]


async def test_more_actions(cabin: Cabin) -> None:
    say = {"action": "input_text.set_value", "target": {"entity_id": "input_text.other"}}
    actions = [{**say, "data": {"value": "{{ what }} {{ why }}"}}]
    await cabin.use(every_run=True, more_actions=actions, show=False)
    await cabin.empty()
    assert cabin.owner.state("input_text.other") == "started a low state of charge"


# What cannot work


@pytest.mark.parametrize(
    "wrong", [{"memory": "input_text.none"}, {"memory": "input_text.short"}, {"allowed_to_charge": "pre_alarm"}]
)
async def test_what_cannot_work_says_so(cabin: Cabin, changes: Changes, wrong: dict[str, str]) -> None:
    created = async_mock_service(cabin.owner.hass, "persistent_notification", "create")
    inputs = {key: str(cabin.inputs.get(value, value)) for key, value in wrong.items()}
    await cabin.use(**inputs)
    await cabin.live(2 * MINUTES, **shows(20.0))
    assert [call.data["title"] for call in created] == [f"{BLUEPRINT} does not work"]
    assert changes.all == []


@pytest.mark.parametrize(
    "bad", [{"start_below": 80, "stop_at": 70}, {"source": "the generator"}, {"quiet_from": "late"}]
)
async def test_bad_inputs_are_refused(cabin: Cabin, bad: Inputs) -> None:
    assert await cabin.owner.save(BLUEPRINT, {**cabin.inputs, **bad})
    assert cabin.owner.hass.states.async_entity_ids("automation") == []
