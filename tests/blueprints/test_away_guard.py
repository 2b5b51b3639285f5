"""The watch over a battery while nobody is there: what it tells, and when."""

from datetime import timedelta
from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from emulator.device import DEFAULT_NAME
from emulator.snapshot import IoField
from tests.integration.conftest import entity_id

from .owner import MINUTE, Inputs, Owner

BLUEPRINT: Final = "away_guard"
AWAY: Final = "input_boolean.away"
MEMORY: Final = "input_text.memory"
SOMEBODY: Final = "notify.somebody"
# A helper that was never written is unknown.
NOTHING: Final = ("", "unknown")
DAYS_LEFT: Final = "sensor.days_left"
SILENT: Final = 30
IDLE: Final = 2
FORBIDDEN: Final = 15
# It looks once a minute.
MORE: Final = 2
DAY: Final = 24 * 60


def allowed(*, charge: bool = True, discharge: bool = True) -> dict[str, object]:
    """Return what the device shows of what it allows."""
    io = {IoField.ALLOWED_TO_CHARGE: charge, IoField.ALLOWED_TO_DISCHARGE: discharge, IoField.REMOTE_ON: True}
    return {"io": io}


@pytest.fixture
def inbox(owner: Owner) -> list[ServiceCall]:
    """What notify entities are sent."""
    return async_mock_service(owner.hass, "notify", "send_message")


@pytest.fixture
def inputs(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, object]:
    found = er.async_get(hass).async_get(entity_id(hass, "binary_sensor", "charging"))
    assert found
    return {
        "bms": found.device_id,
        "away": AWAY,
        "memory": MEMORY,
        "silent_minutes": SILENT,
        "idle_hours": IDLE,
        "allowed_to_charge": entity_id(hass, "binary_sensor", "allowed_to_charge"),
        "allowed_to_discharge": entity_id(hass, "binary_sensor", "allowed_to_discharge"),
        "forbidden_minutes": FORBIDDEN,
        "notifiers": [SOMEBODY],
    }


def messages(inbox: list[ServiceCall]) -> list[str]:
    """Return the first sentence of each message."""
    return [str(call.data["message"]).partition(".")[0] for call in inbox]


async def leave(owner: Owner, inputs: Inputs, **changes: object) -> None:
    """Go away from a battery that is well: it is charging."""
    await owner.use(BLUEPRINT, inputs)
    await owner.turn(AWAY)
    await owner.live(MORE, **{"current": 5.0, **allowed(), **changes})


async def flow(owner: Owner, minutes: int, current: float, *, step: int = 1) -> None:
    """Let time pass with about this current in A; the battery is heard, and looked at, every so many minutes."""
    for number in range(minutes // step):
        await owner.hear(current=current + 0.1 * (number % 2))
        await owner.radio.jump(step * MINUTE)
    await owner.hear(current=current + 0.2)


def days_left(owner: Owner, days: float | None, unit: str = "d") -> None:
    state = "unknown" if days is None else str(days)
    owner.hass.states.async_set(DAYS_LEFT, state, {"unit_of_measurement": unit})


# A battery that is well


async def test_nothing_to_tell(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await leave(owner, inputs)
    await flow(owner, 5 * 60, 5.0, step=2)
    assert inbox == []
    assert owner.state(MEMORY) in NOTHING


# Each fault: once, again daily, once when it is over


async def test_silent(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await leave(owner, inputs)
    await owner.silence(SILENT - MORE)
    assert inbox == []
    await owner.silence(2 * MORE)
    assert messages(inbox) == [f"The BMS was not heard for {SILENT} minutes"]
    await owner.silence(SILENT)
    assert len(inbox) == 1
    await flow(owner, MORE, 5.0)
    assert messages(inbox)[1:] == ["The BMS is heard again"]
    await owner.live(SILENT)
    assert len(inbox) == 2


async def test_nothing_charges(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await leave(owner, inputs)
    await flow(owner, IDLE * 60 - 1, -2.0)
    assert inbox == []
    await flow(owner, MORE, -2.0)
    assert messages(inbox) == [f"The battery was not charging for {IDLE} hours"]
    await flow(owner, MORE, 4.0)
    assert messages(inbox)[1:] == ["The battery is charging again"]


async def test_few_days_left(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """Around the limit it does not tell over and over."""
    days_left(owner, 5)
    await leave(owner, {**inputs, "days_left": DAYS_LEFT, "least_days": 3})
    for days in (4, 3, 2.9, 3.1, 2.8, 3.9, 2.9):
        days_left(owner, days)
        await owner.live(MORE)
    assert messages(inbox) == ["2"]  # 2.9 days
    days_left(owner, 4)
    await owner.live(MORE)
    assert [call.data["message"] for call in inbox] == [
        "2.9 days are left at what is used each day. The battery has 76.5 % left.",
        "4.0 days are left again.",
    ]


async def test_few_days_left_in_another_unit(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    days_left(owner, 73, "h")
    await leave(owner, {**inputs, "days_left": DAYS_LEFT, "least_days": 3})
    assert inbox == []
    days_left(owner, 60, "h")
    await owner.live(MORE)
    assert str(inbox[0].data["message"]).startswith("2.5 days are left")


@pytest.mark.parametrize("what", ["charge", "discharge"])
async def test_not_allowed(owner: Owner, inputs: Inputs, inbox: list[ServiceCall], what: str) -> None:
    await leave(owner, inputs)
    await owner.live(FORBIDDEN - 1, **allowed(**{what: False}))
    assert inbox == []
    await owner.live(MORE)
    word = "charging" if what == "charge" else "discharging"
    [message] = messages(inbox)
    assert message.startswith(f"The BMS does not allow {word}, for {FORBIDDEN} minutes")
    await owner.live(MORE, **allowed())
    assert messages(inbox)[1:] == [f"The BMS allows {word} again"]


async def test_not_allowed_for_a_moment(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """A high cell near full."""
    await leave(owner, inputs)
    for _ in range(4):
        await owner.live(FORBIDDEN - MORE, **allowed(charge=False))
        await owner.live(MORE, **allowed())
    assert inbox == []


async def test_again_every_day(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await leave(owner, {**inputs, "silent_minutes": 1440})
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    assert len(inbox) == 1
    for day in (1, 2, 3):
        await owner.radio.jump(timedelta(hours=23, minutes=40))
        await flow(owner, 10, 5.0)
        assert len(inbox) == day
        await flow(owner, 12, 5.0)
        assert len(inbox) == day + 1
    assert messages(inbox)[3].startswith("The BMS does not allow charging, for 43")


async def test_several_at_once(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await leave(owner, inputs)
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False, discharge=False))
    assert len(inbox) == 2
    await owner.silence(SILENT + MORE)
    assert len(inbox) == 3
    assert len(owner.state(MEMORY)) < 100


async def test_silence_is_no_end_of_what_was_wrong(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """Nobody knows then."""
    await leave(owner, inputs)
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    await owner.silence(20)
    await owner.live(MORE)
    assert len(inbox) == 1


async def test_silence_is_not_counted_as_no_charge(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """If it was for more than an hour: it may have charged then."""
    await leave(owner, {**inputs, "silent_minutes": 1440})
    await flow(owner, 30, -2.0)
    await owner.silence(3 * 60)
    await flow(owner, IDLE * 60 - 45, -2.0)
    assert inbox == []
    await flow(owner, 30, -2.0)
    assert messages(inbox) == [f"The battery was not charging for {IDLE} hours"]


async def test_no_charge_is_not_watched(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await leave(owner, {**inputs, "idle_hours": 0})
    await flow(owner, 3 * IDLE * 60, -2.0, step=2)
    assert inbox == []


# Away or not


async def test_nothing_while_somebody_is_there(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """What lasts is told when they go."""
    await owner.use(BLUEPRINT, inputs)
    await owner.live(2 * FORBIDDEN, **allowed(charge=False))
    assert inbox == []
    await owner.turn(AWAY)
    await owner.live(1)
    assert len(inbox) == 1


async def test_nothing_more_when_somebody_is_back(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """They see it themselves. When they go again, it begins anew."""
    await leave(owner, inputs)
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    await owner.turn(AWAY, on=False)
    await owner.live(MORE, **allowed())
    assert len(inbox) == 1
    await owner.turn(AWAY)
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    assert len(inbox) == 2


@pytest.mark.parametrize(
    ("away", "there", "gone"),
    [
        ("zone.cabin", "1", "0"),
        ("person.owner", "home", "not_home"),
        ("person.owner", "home", "Office"),
        ("device_tracker.phone", "home", "not_home"),
        ("group.family", "home", "not_home"),
        ("schedule.weekdays", "off", "on"),
    ],
)
async def test_ways_to_be_away(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], away: str, there: str, gone: str
) -> None:
    owner.hass.states.async_set(away, there)
    await owner.use(BLUEPRINT, {**inputs, "away": away})
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    owner.hass.states.async_set(away, "unknown")
    await owner.live(1)
    assert inbox == []
    owner.hass.states.async_set(away, gone)
    await owner.live(1)
    assert len(inbox) == 1
    # While nobody knows where they are, nothing is told and nothing forgotten.
    owner.hass.states.async_set(away, "unavailable")
    await owner.live(MORE, **allowed())
    assert len(inbox) == 1
    owner.hass.states.async_set(away, gone)
    await owner.live(1)
    assert len(inbox) == 2


# Restarts


async def test_a_restart_tells_nothing_twice(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    await leave(owner, inputs)
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    for _ in range(3):
        await owner.restart(entry)
        await owner.started()
        await owner.live(MORE)
    assert len(inbox) == 1
    await owner.live(MORE, **allowed())
    assert len(inbox) == 2


async def test_a_restart_does_not_begin_anew(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    """Not even when the battery is not heard before and after it."""
    await leave(owner, inputs)
    await owner.silence(20)
    await owner.restart(entry)
    await owner.started()
    await owner.silence(SILENT - 20 + MORE)
    assert messages(inbox) == [f"The BMS was not heard for {SILENT} minutes"]


async def test_a_restart_with_a_battery_that_is_well(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    """It is not heard at once."""
    await leave(owner, inputs)
    for _ in range(4):
        await owner.silence(10)
        await owner.restart(entry)
        await owner.started()
        await owner.silence(4)
        await flow(owner, MORE, 5.0)
    assert inbox == []
    assert owner.state(MEMORY) in NOTHING


async def test_what_home_assistant_missed_for_hours_does_not_count(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    await leave(owner, inputs)
    await flow(owner, 30, -2.0)
    await owner.restart(entry, lambda: owner.radio.tick(timedelta(hours=5)))
    await owner.started()
    await flow(owner, IDLE * 60 - 45, -2.0)
    assert inbox == []
    await flow(owner, 30, -2.0)
    assert messages(inbox) == [f"The battery was not charging for {IDLE} hours"]


async def test_a_memory_that_is_not_there_for_a_moment(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """What was told is not told twice."""
    await leave(owner, inputs)
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    noted = owner.state(MEMORY)
    owner.hass.states.async_set(MEMORY, "unavailable", {"max": 100})
    await owner.live(FORBIDDEN + MORE)
    owner.hass.states.async_set(MEMORY, noted, {"max": 100})
    await owner.live(MORE)
    assert len(inbox) == 1


# Whom, and with what words


async def test_own_words(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    words = {
        "title": "{{ name }}!",
        "title_over": "{{ name }}.",
        "text_no_charging": "Darf nicht laden ({{ minutes }} min, {{ charge }})",
        "text_no_charging_over": "Darf wieder laden",
    }
    await leave(owner, {**inputs, **words})
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    await owner.live(MORE, **allowed())
    assert [(call.data["title"], call.data["message"]) for call in inbox] == [
        (f"{DEFAULT_NAME}!", f"Darf nicht laden ({FORBIDDEN} min, 76.5 %)"),
        (f"{DEFAULT_NAME}.", "Darf wieder laden"),
    ]


async def test_shown_in_home_assistant(owner: Owner, inputs: Inputs) -> None:
    """What is over takes the place of what had begun."""
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    await leave(owner, {**inputs, "notifiers": []})
    await owner.live(FORBIDDEN + MORE, **allowed(charge=False))
    await owner.live(MORE, **allowed())
    assert [call.data["title"] for call in created] == [
        f"{DEFAULT_NAME}: look after the battery",
        f"{DEFAULT_NAME}: it is over",
    ]
    assert len({call.data["notification_id"] for call in created}) == 1


async def test_more_actions(owner: Owner, inputs: Inputs) -> None:
    say = {"action": "input_text.set_value", "target": {"entity_id": "input_text.other"}}
    actions = [{**say, "data": {"value": "{{ fault }} {{ over }}"}}]
    await leave(owner, {**inputs, "notifiers": [], "show": False, "more_actions": actions})
    await owner.silence(SILENT + MORE)
    assert owner.state("input_text.other") == "silent False"


async def test_signs_of_life(owner: Owner, inputs: Inputs) -> None:
    """Every ten minutes, away or not, heard or not."""
    pings = async_mock_service(owner.hass, "outside", "ping")
    await owner.use(BLUEPRINT, {**inputs, "sign_of_life": [{"action": "outside.ping"}]})
    await owner.live(20)
    before = len(pings)
    assert before >= 2
    await owner.silence(40)
    assert len(pings) == before + 4


# What cannot work


@pytest.mark.parametrize(
    ("wrong", "flaw"),
    [
        ({"memory": "input_text.none"}, "There is no text helper input_text.none."),
        ({"memory": "input_text.short"}, "The text helper needs a length of at least 100."),
    ],
)
async def test_what_cannot_work_says_so(owner: Owner, inputs: Inputs, wrong: Inputs, flaw: str) -> None:
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    await owner.use(BLUEPRINT, {**inputs, **wrong})
    await owner.live(MORE)
    assert [call.data["message"] for call in created] == [flaw]


@pytest.mark.parametrize("key", ["charging", "problem", "pre_alarm"])
async def test_another_binary_sensor_says_so(owner: Owner, inputs: Inputs, key: str) -> None:
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    await owner.use(BLUEPRINT, {**inputs, "allowed_to_charge": entity_id(owner.hass, "binary_sensor", key)})
    assert [call.data["title"] for call in created] == [f"{BLUEPRINT} does not work"]


async def test_last_heard_is_disabled(owner: Owner, inputs: Inputs, entry: MockConfigEntry) -> None:
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    last_heard = entity_id(owner.hass, "sensor", "last_heard")
    er.async_get(owner.hass).async_update_entity(last_heard, disabled_by=er.RegistryEntryDisabler.USER)
    await owner.radio.settle()
    await owner.use(BLUEPRINT, inputs)
    assert [call.data["message"] for call in created] == ["*Last heard* of the BMS is disabled."]


@pytest.mark.parametrize("bad", [{"away": "somebody"}, {"memory": "helper"}, {"sign_of_life": "something"}])
async def test_bad_inputs_are_refused(owner: Owner, inputs: Inputs, bad: Inputs) -> None:
    assert await owner.save(BLUEPRINT, {**inputs, **bad})
    assert owner.hass.states.async_entity_ids("automation") == []
