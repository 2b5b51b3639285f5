"""The reminder of a full charge: how it is known, and when it comes."""

from collections.abc import AsyncGenerator
from datetime import datetime, time, timedelta
from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.util.dt import now
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from emulator.device import DEFAULT_NAME
from tests.integration.bench import Bench, a_bench
from tests.integration.conftest import Radio, entity_id

from .owner import Inputs, Owner

BLUEPRINT: Final = "full_charge_reminder"
SOMEBODY: Final = "notify.somebody"
HELPER: Final = "input_datetime.last_full"
DAYS: Final = 3
AT: Final = time(10)
DAY: Final = timedelta(days=1)
SETTINGS: Final = {"days": DAYS, "time": "10:00:00", "notifiers": [SOMEBODY]}


@pytest.fixture
def inbox(owner: Owner) -> list[ServiceCall]:
    """What notify entities are sent."""
    return async_mock_service(owner.hass, "notify", "send_message")


@pytest.fixture
def inputs(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, object]:
    """Without the PIN."""
    return {**SETTINGS, "fullness": entity_id(hass, "sensor", "battery_level"), "last_full": HELPER}


def until_the_time() -> timedelta:
    """Return how long it takes until the next reminder."""
    today = now().replace(hour=AT.hour, minute=0, second=0, microsecond=0)
    return today - now() if today > now() else today + DAY - now()


async def next_days(owner: Owner, number: int, **changes: object) -> None:
    """Let the time of the reminder come on some days, with a battery that is heard shortly before it."""
    for _ in range(number):
        await owner.radio.jump(until_the_time() - timedelta(minutes=2))
        await owner.live(4, **changes)


async def fill(owner: Owner) -> None:
    await owner.live(2, state_of_charge=100.0)
    await owner.live(1, state_of_charge=99.0)


def last_full(owner: Owner) -> datetime:
    return datetime.fromisoformat(owner.state(HELPER)).replace(tzinfo=now().tzinfo)


async def test_every_day_until_it_is_full(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await owner.use(BLUEPRINT, inputs)
    await fill(owner)
    await next_days(owner, DAYS)
    assert inbox == []
    await next_days(owner, 1)
    assert len(inbox) == 1
    await next_days(owner, 2)
    assert len(inbox) == 3
    await fill(owner)
    await next_days(owner, DAYS)
    assert len(inbox) == 3
    await next_days(owner, 1)
    assert len(inbox) == 4


async def test_the_words(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await owner.use(BLUEPRINT, inputs)
    await fill(owner)
    await next_days(owner, DAYS + 1)
    [call] = inbox
    assert call.data["entity_id"] == [SOMEBODY]
    assert call.data["title"] == f"{DEFAULT_NAME}: a full charge is wanted"
    assert call.data["message"].startswith("It was last full 3 days ago. Its cells are balanced only when it is full")


async def test_it_counts_from_the_end_of_being_full(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await owner.use(BLUEPRINT, inputs)
    await next_days(owner, 2 * DAYS, state_of_charge=100.0)
    assert inbox == []
    await owner.live(1, state_of_charge=99.9)
    assert now() - last_full(owner) < timedelta(minutes=2)


async def test_nearly_full_is_not_full(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await owner.use(BLUEPRINT, inputs)
    await next_days(owner, DAYS, state_of_charge=99.9)
    assert len(inbox) == 1


async def test_silence_is_not_full(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """What was noted counts, whether the device is heard or not."""
    await owner.use(BLUEPRINT, inputs)
    await fill(owner)
    before = last_full(owner)
    await owner.silence(10)
    for _ in range(DAYS + 1):
        await owner.radio.jump(until_the_time())
    assert owner.state(str(inputs["fullness"])) == "unavailable"
    assert len(inbox) == 1
    await owner.live(1, state_of_charge=50.0)
    assert last_full(owner) == before


async def test_a_restart_forgets_nothing(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    await owner.use(BLUEPRINT, inputs)
    await fill(owner)
    before = last_full(owner)
    await next_days(owner, 2)
    await owner.restart(entry)
    await owner.started()
    assert last_full(owner) == before
    await next_days(owner, 1)
    assert inbox == []
    await next_days(owner, 1)
    assert len(inbox) == 1


async def test_full_while_home_assistant_was_down(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    """It still is when it is back."""
    await owner.use(BLUEPRINT, inputs)
    await next_days(owner, DAYS)
    before = len(inbox)
    await owner.restart(entry, lambda: owner.show(state_of_charge=100.0))
    await owner.started()
    await next_days(owner, 1)
    assert len(inbox) == before
    assert now() - last_full(owner) < timedelta(minutes=5)


async def test_by_the_consumed_amp_hours(
    hass: HomeAssistant, owner: Owner, inputs: Inputs, inbox: list[ServiceCall]
) -> None:
    await owner.use(BLUEPRINT, {**inputs, "fullness": entity_id(hass, "sensor", "consumed_amphours")})
    await next_days(owner, DAYS, state_of_charge=None, drawn_amphours=0.1)
    assert len(inbox) == 1
    await next_days(owner, 1, drawn_amphours=0.0)
    await next_days(owner, DAYS, drawn_amphours=0.1)
    assert len(inbox) == 1
    await next_days(owner, 1)
    assert len(inbox) == 2


async def test_shown_in_home_assistant(owner: Owner, inputs: Inputs) -> None:
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    await owner.use(BLUEPRINT, {**inputs, "notifiers": []})
    await next_days(owner, DAYS)
    assert [call.data["title"] for call in created] == [f"{DEFAULT_NAME}: a full charge is wanted"]


async def test_two_banks_are_told_apart(owner: Owner, inputs: Inputs, entry: MockConfigEntry) -> None:
    """Each has an automation, and a notification of its own."""
    device = er.async_get(owner.hass).async_get(str(inputs["fullness"]))
    assert device
    assert device.device_id
    dr.async_get(owner.hass).async_update_device(device.device_id, name_by_user="Cabin")
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    for name in ("first", "second"):
        await owner.use(BLUEPRINT, {**inputs, "notifiers": []}, name=name)
    await next_days(owner, 2 * DAYS)
    assert {call.data["title"] for call in created} == {"Cabin: a full charge is wanted"}
    assert {call.data["notification_id"] for call in created} == {"automation.first", "automation.second"}


async def test_more_actions(owner: Owner, inputs: Inputs) -> None:
    say = {"action": "input_text.set_value", "target": {"entity_id": "input_text.other"}}
    actions = [{**say, "data": {"value": "{{ days_ago | round }} {{ title }}"}}]
    await owner.use(BLUEPRINT, {**inputs, "notifiers": [], "more_actions": actions})
    await fill(owner)
    await next_days(owner, DAYS + 1)
    assert owner.state("input_text.other") == f"4 {DEFAULT_NAME}: a full charge is wanted"


@pytest.mark.parametrize(
    ("wrong", "whose"),
    [
        ({"fullness": [], "last_full": []}, BLUEPRINT),
        ({"last_full": []}, DEFAULT_NAME),
        ({"fullness": []}, BLUEPRINT),
        ({"last_full": "input_datetime.alarm_clock"}, DEFAULT_NAME),
    ],
)
async def test_what_cannot_work_says_so(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], wrong: Inputs, whose: str
) -> None:
    """By the name of the device, or of the automation where none is known."""
    await owner.use(BLUEPRINT, {**inputs, **wrong})
    await owner.live(2, state_of_charge=100.0)
    await next_days(owner, 1)
    assert [call.data["title"] for call in inbox] == [f"{whose}: the full charge reminder does not work"]


@pytest.mark.parametrize("bad", [{"time": "late"}, {"fullness": "the battery"}, {"more_actions": "something"}])
async def test_bad_inputs_are_refused(owner: Owner, inputs: Inputs, bad: Inputs) -> None:
    assert await owner.save(BLUEPRINT, {**inputs, **bad})
    assert owner.hass.states.async_entity_ids("automation") == []


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        charge_fully(bench)
        await bench.load()
        yield bench


def charge_fully(bench: Bench) -> None:
    """Let the battery be full, as the BMS finds by itself."""
    bench.bms.synchronize()
    bench.bms.history.add_synchronization(fully_charged=True)


def with_pin(bench: Bench) -> dict[str, object]:
    return {**SETTINGS, "since_full_charge": entity_id(bench.hass, "sensor", "history_since_full_charge")}


async def connected_days(bench: Bench, number: int) -> None:
    """Let the time of the reminder come on some days, with a battery that is connected to shortly before it."""
    for _ in range(number):
        wait = until_the_time() - timedelta(minutes=2)
        bench.bms.step(current=-0.1, ambient=20, seconds=wait.total_seconds())
        await bench.wait(wait)
        await bench.press("read_now")
        await bench.wait(timedelta(minutes=4))


async def test_with_the_pin(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    await owner.use(BLUEPRINT, with_pin(bench))
    await connected_days(bench, DAYS)
    assert inbox == []
    await connected_days(bench, 2)
    assert len(inbox) == 2
    charge_fully(bench)
    await connected_days(bench, 2)
    assert len(inbox) == 2


async def test_with_the_pin_in_another_unit(bench: Bench, owner: Owner, inbox: list[ServiceCall]) -> None:
    inputs = with_pin(bench)
    options = {"unit_of_measurement": "h"}
    er.async_get(bench.hass).async_update_entity_options(str(inputs["since_full_charge"]), "sensor", options)
    await owner.use(BLUEPRINT, inputs)
    await connected_days(bench, DAYS)
    assert inbox == []
    await connected_days(bench, 1)
    assert len(inbox) == 1
