"""Messages of codes: whom they reach, when, and what they say."""

from collections.abc import Sequence
from datetime import timedelta
import logging
from typing import Final

from homeassistant.components.sensor import SensorEntityDescription
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser, async_mock_service
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker

from custom_components.smallbms_ng import sensor
from custom_components.smallbms_ng.event import CODE, UNKNOWN_ERROR
from emulator.snapshot import Level, LevelField
from tests.integration.conftest import entity_id
from tests.sources import FOLDER as INTEGRATION
from tests.sources import part, read_words

from .owner import Inputs, Owner, content

BLUEPRINT: Final = "notify"
PUSH_URL: Final = "https://push.example.org/push"
SECOND: Final = timedelta(seconds=1)
PHONE: Final = "Zoë's phone"
TOKENS: Final = ("first", "second", "third")
SOMEBODY: Final = "notify.somebody"
LOW_SOC: Final = {LevelField.LOW_SOC: Level.WARNING}
LOW_SOC_ALARM: Final = {LevelField.LOW_SOC: Level.ALARM}
LOW_CELL: Final = {LevelField.LOW_CELL_VOLTAGE: Level.WARNING}
LOW_CELL_ALARM: Final = {LevelField.LOW_CELL_VOLTAGE: Level.ALARM}


@pytest.fixture
def bms(hass: HomeAssistant, entry: MockConfigEntry) -> str:
    found = er.async_get(hass).async_get(entity_id(hass, "event", "code"))
    assert found
    assert found.device_id
    return found.device_id


@pytest.fixture
def inputs(bms: str) -> dict[str, object]:
    return {"bms": bms, "notifiers": [SOMEBODY]}


@pytest.fixture
def inbox(owner: Owner) -> list[ServiceCall]:
    """What notify entities are sent."""
    return async_mock_service(owner.hass, "notify", "send_message")


def messages(inbox: Sequence[ServiceCall]) -> list[str]:
    return [str(call.data["message"]) for call in inbox]


def titles(inbox: Sequence[ServiceCall]) -> list[str]:
    return [str(call.data["title"]).partition(": ")[2] for call in inbox]


async def tell(owner: Owner, levels: dict[LevelField, Level], *, error: int = 0, **changes: object) -> None:
    """Send two records, of which the second is believed."""
    for _ in range(2):
        fine = dict.fromkeys(LevelField, Level.OK)
        await owner.hear(levels={**fine, **levels}, error=error, **changes)


async def use(owner: Owner, inputs: Inputs) -> None:
    await owner.use(BLUEPRINT, inputs)
    await tell(owner, {})


async def test_the_pre_alarm(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await owner.live(1, state_of_charge=14.5, time_to_go=138)
    await use(owner, inputs)
    await tell(owner, LOW_SOC)
    [call] = inbox
    assert call.data["entity_id"] == [SOMEBODY]
    assert call.data["title"] == f"{owner.device_name(inputs['bms'])}: W-B07"
    assert call.data["message"] == (
        "W-B07: low state of charge (warning). Charge, or switch loads off. State of charge 14.5 %, 2.3 h to go."
    )


async def test_each_code_once(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await use(owner, inputs)
    await tell(owner, LOW_CELL)
    await tell(owner, LOW_CELL)
    await tell(owner, LOW_CELL_ALARM)
    await tell(owner, LOW_CELL_ALARM, error=11)
    await tell(owner, {}, error=77)
    await tell(owner, {})
    assert titles(inbox) == ["W-B01", "A-B01", "E-B11", "E-B77"]
    assert messages(inbox)[1].startswith("A-B01: low cell voltage (alarm). Charge at once: the loads are off.")
    assert messages(inbox)[3].startswith("E-B77: unknown error.")


async def test_several_at_once(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await use(owner, inputs)
    await tell(owner, {**LOW_SOC, **LOW_CELL_ALARM}, error=9)
    assert titles(inbox) == ["W-B07", "A-B01", "E-B09"]
    assert "Also active: E-B09, A-B01." in messages(inbox)[0]
    assert "Also active: E-B09, W-B07." in messages(inbox)[1]


async def test_what_is_not_known_is_left_out(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await owner.live(1, state_of_charge=None, time_to_go=None)
    await use(owner, inputs)
    await tell(owner, LOW_SOC)
    await owner.live(1)
    await tell(owner, LOW_CELL)
    await owner.live(1, time_to_go=None, state_of_charge=20.0)
    await tell(owner, LOW_CELL_ALARM)
    assert messages(inbox) == [
        "W-B07: low state of charge (warning). Charge, or switch loads off.",
        "W-B01: low cell voltage (warning). Charge, or switch loads off.",
        "A-B01: low cell voltage (alarm). Charge at once: the loads are off. State of charge 20.0 %.",
    ]


@pytest.mark.parametrize("levels", [LOW_SOC_ALARM, LOW_CELL_ALARM, LOW_CELL, {**LOW_SOC, **LOW_CELL_ALARM}])
async def test_no_time_to_go_where_loads_are_off_or_about_to_be(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], levels: dict[LevelField, Level]
) -> None:
    """It is the time until the discharge floor, which beside these codes is a promise that nobody keeps."""
    await owner.live(1, state_of_charge=14.5, time_to_go=138)
    await use(owner, inputs)
    await tell(owner, levels)
    assert messages(inbox)
    assert not [message for message in messages(inbox) if "to go" in message]
    assert all("State of charge 14.5 %." in message for message in messages(inbox))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["warning"], ["W-B01"]),
        (["alarm"], ["A-B01"]),
        (["error"], ["E-B01", "E-B77"]),
        ([], []),
    ],
)
async def test_kinds(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], kinds: list[str], expected: list[str]
) -> None:
    await use(owner, {**inputs, "kinds": kinds, "cleared": True})
    await tell(owner, LOW_CELL)
    await tell(owner, LOW_CELL_ALARM)
    await tell(owner, {}, error=1)
    await tell(owner, {}, error=77)
    assert [title for title in titles(inbox) if not title.endswith("is over")] == expected


async def test_when_it_is_over(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await use(owner, {**inputs, "cleared": True})
    await tell(owner, LOW_SOC)
    await tell(owner, {})
    assert titles(inbox) == ["W-B07", "W-B07 is over"]
    assert messages(inbox)[1].startswith("W-B07: low state of charge (warning) is over. State of charge 76.5 %")


async def test_silence_is_no_news(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await use(owner, {**inputs, "cleared": True})
    await tell(owner, LOW_SOC)
    await owner.silence(30)
    await tell(owner, LOW_SOC)
    await owner.live(2)
    assert titles(inbox) == ["W-B07"]


async def test_what_changed_in_silence_is_told(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    await use(owner, inputs)
    await owner.silence(30)
    await tell(owner, LOW_CELL_ALARM)
    assert titles(inbox) == ["A-B01"]


async def test_what_began_while_home_assistant_was_down_is_told_once(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    await use(owner, inputs)
    await tell(owner, LOW_SOC)
    await owner.live(1)
    await owner.restart(entry, owner.radio.forget)
    await owner.radio.wait(SECOND)
    await tell(owner, LOW_CELL_ALARM)
    assert titles(inbox) == ["W-B07"]
    await owner.started()
    assert titles(inbox) == ["W-B07", "A-B01"]
    await owner.live(1)
    await owner.restart(entry)
    await owner.started()
    await tell(owner, LOW_CELL_ALARM)
    assert titles(inbox) == ["W-B07", "A-B01"]


async def test_a_new_automation_has_missed_nothing(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry
) -> None:
    await tell(owner, {})
    await tell(owner, LOW_SOC)
    await owner.live(1)
    await owner.use(BLUEPRINT, inputs)
    await owner.restart(entry)
    await owner.started()
    assert inbox == []


@pytest.mark.parametrize("show", [True, False])
async def test_shown_in_home_assistant(owner: Owner, inputs: Inputs, show: bool) -> None:
    created = async_mock_service(owner.hass, "persistent_notification", "create")
    await use(owner, {"bms": inputs["bms"], "show": show})
    await tell(owner, LOW_SOC)
    assert titles(created) == (["W-B07"] if show else [])


async def test_more_actions(owner: Owner, bms: str) -> None:
    say = {"action": "input_text.set_value", "target": {"entity_id": "input_text.other"}}
    words = "{{ [code, begun, title[-5:], message | upper] | join(' ') }}"
    await use(owner, {"bms": bms, "more_actions": [{**say, "data": {"value": words}}]})
    await tell(owner, LOW_SOC)
    assert owner.state("input_text.other").startswith("W-B07 True W-B07 W-B07: LOW STATE")


async def test_a_failure_keeps_nothing_from_being_told(
    phone: str, owner: Owner, inputs: Inputs, inbox: list[ServiceCall]
) -> None:
    wrong = [{"action": "notify.not_there", "data": {"message": "{{ message }}"}}]
    await use(owner, {**inputs, "phones": ["gone", phone], "more_actions": wrong})
    await tell(owner, LOW_SOC)
    await tell(owner, LOW_CELL)
    app = er.async_get(owner.hass).async_get_entity_id("notify", "mobile_app", TOKENS[0])
    for entity in (SOMEBODY, app):
        assert titles([call for call in inbox if entity in call.data["entity_id"]]) == ["W-B07", "W-B01"]


@pytest.fixture
def pushed(aioclient_mock: AiohttpClientMocker) -> AiohttpClientMocker:
    """What the app's service is sent."""
    aioclient_mock.post(PUSH_URL, status=201, json={})  # type: ignore[no-untyped-call]
    return aioclient_mock


def app_entry(user: MockUser, name: str, token: str) -> MockConfigEntry:
    """Return the entry of a phone with the app."""
    return MockConfigEntry(
        domain="mobile_app",
        title=name,
        data={
            "app_data": {"push_token": token, "push_url": PUSH_URL},
            "app_id": "io.robbie.HomeAssistant",
            "app_name": "Home Assistant",
            "app_version": "2026.10",
            "device_id": token,
            "device_name": name,
            "manufacturer": "Somebody",
            "model": "Something",
            "os_name": "Some",
            "os_version": "1",
            "supports_encryption": False,
            "user_id": user.id,
            "webhook_id": f"webhook of {token}",
        },
    )


@pytest.fixture
def names() -> Sequence[str]:
    """What the phones are called; tests parametrize it."""
    return (PHONE,)


@pytest.fixture
async def phones(
    hass: HomeAssistant, pushed: AiohttpClientMocker, hass_admin_user: MockUser, names: Sequence[str]
) -> list[str]:
    """Phones with the app, whose owner has given them another name later. They come before the web server starts."""
    entries = [app_entry(hass_admin_user, name, token) for name, token in zip(names, TOKENS, strict=False)]
    for entry in entries:
        entry.add_to_hass(hass)
    assert await async_setup_component(hass, "mobile_app", {})
    await hass.async_block_till_done()
    registry = dr.async_get(hass)
    devices = [dr.async_entries_for_config_entry(registry, entry.entry_id)[0] for entry in entries]
    for device in devices:
        registry.async_update_device(device.id, name_by_user="Mine")
    return [device.id for device in devices]


@pytest.fixture
def phone(phones: list[str]) -> str:
    return phones[0]


def reached(pushed: AiohttpClientMocker) -> list[tuple[object, bool]]:
    """Return which phones were reached, and whether they ring whatever they are set to."""
    sent = [content(call) for call in pushed.mock_calls]
    return [(one["push_token"], "channel" in dict(one.get("data") or {})) for one in sent]  # type: ignore[call-overload]


def app_of(hass: HomeAssistant, phone: str) -> str:
    """Return the entry of the app on a phone."""
    device = dr.async_get(hass).async_get(phone)
    assert device
    return device.config_entry_id


THREE: Final = pytest.mark.parametrize("names", [("One", "Two", "Three")])
CRITICAL: Final = pytest.mark.parametrize("critical", [[], ["warning"]])


@THREE
@CRITICAL
async def test_three_phones(
    phones: list[str], owner: Owner, bms: str, pushed: AiohttpClientMocker, critical: list[str]
) -> None:
    await use(owner, {"bms": bms, "phones": phones, "critical": critical})
    await tell(owner, LOW_SOC)
    assert reached(pushed) == [(token, bool(critical)) for token in TOKENS]


@THREE
@CRITICAL
@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("removed", [True, False])
async def test_a_phone_that_is_gone_keeps_no_other_from_ringing(
    phones: list[str],
    owner: Owner,
    bms: str,
    pushed: AiohttpClientMocker,
    critical: list[str],
    lost: int,
    removed: bool,
) -> None:
    """The app was removed from Home Assistant, or is disabled there."""
    await use(owner, {"bms": bms, "phones": phones, "critical": critical})
    entry_id = app_of(owner.hass, phones[lost])
    if removed:
        await owner.hass.config_entries.async_remove(entry_id)
    else:
        await owner.hass.config_entries.async_set_disabled_by(entry_id, ConfigEntryDisabler.USER)
    await owner.hass.async_block_till_done()
    pushed.mock_calls.clear()
    await tell(owner, LOW_SOC)
    assert reached(pushed) == [(token, bool(critical)) for token in TOKENS if token != TOKENS[lost]]


@THREE
@CRITICAL
async def test_a_phone_that_is_not_reached_keeps_no_other_from_ringing(
    phones: list[str], owner: Owner, bms: str, pushed: AiohttpClientMocker, critical: list[str]
) -> None:
    await use(owner, {"bms": bms, "phones": phones, "critical": critical})
    pushed.clear_requests()  # type: ignore[no-untyped-call]
    pushed.post(PUSH_URL, status=500, json={})  # type: ignore[no-untyped-call]
    await tell(owner, LOW_SOC)
    assert [token for token, _ in reached(pushed)] == list(TOKENS)


@CRITICAL
@pytest.mark.parametrize("names", [("Tablet", "Tablet", "Other")])
async def test_phones_of_one_name_each_get_one_message(
    phones: list[str], owner: Owner, bms: str, pushed: AiohttpClientMocker, critical: list[str]
) -> None:
    """What rings goes by name, and would reach one of them twice and the other never: they get an ordinary message."""
    await use(owner, {"bms": bms, "phones": phones, "critical": critical})
    await tell(owner, LOW_SOC)
    assert reached(pushed) == [(TOKENS[0], False), (TOKENS[1], False), (TOKENS[2], bool(critical))]


async def test_a_notify_entity_that_fails_keeps_no_other_from_being_told(
    phone: str, owner: Owner, bms: str, pushed: AiohttpClientMocker
) -> None:
    """The first cannot be reached; the others are told in their turn, also by a service that is not there any more."""
    entity = er.async_get(owner.hass).async_get_entity_id("notify", "mobile_app", TOKENS[0])
    shown = async_mock_service(owner.hass, "persistent_notification", "create")
    pushed.clear_requests()  # type: ignore[no-untyped-call]
    pushed.post(PUSH_URL, status=500, json={})  # type: ignore[no-untyped-call]
    await use(owner, {"bms": bms, "notifiers": [entity, "notify.gone", entity]})
    await tell(owner, LOW_SOC)
    assert len(reached(pushed)) == 2
    assert titles(shown) == ["W-B07"]


async def test_a_start_without_any_news(
    owner: Owner, inputs: Inputs, inbox: list[ServiceCall], entry: MockConfigEntry, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is unknown, for nothing has ever begun."""
    await owner.use(BLUEPRINT, inputs)
    await owner.restart(entry)
    caplog.clear()
    await owner.started()
    assert inbox == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_phone(phone: str, owner: Owner, bms: str, pushed: AiohttpClientMocker) -> None:
    await use(owner, {"bms": bms, "phones": [phone], "critical": ["alarm"], "cleared": True})
    await tell(owner, LOW_CELL)
    await tell(owner, LOW_CELL_ALARM)
    await tell(owner, {})
    sent = [content(call) for call in pushed.mock_calls]
    assert [str(one["title"]).partition(": ")[2] for one in sent] == [
        "W-B01",
        "W-B01 is over",
        "A-B01",
        "A-B01 is over",
    ]
    event = entity_id(owner.hass, "event", "code")
    assert [one.get("data") for one in sent] == [
        None,
        None,
        {
            "tag": f"{event} A-B01",
            # What Android looks at, and what iOS does.
            "ttl": 0,
            "priority": "high",
            "channel": "alarm_stream",
            "push": {
                "interruption-level": "critical",
                "sound": {"name": "default", "critical": 1, "volume": 1.0},
            },
        },
        {"tag": f"{event} A-B01"},
    ]


async def test_all_types_of_the_event_are_told(owner: Owner, inputs: Inputs, inbox: list[ServiceCall]) -> None:
    """In the words of the integration."""
    words = part(
        read_words(INTEGRATION / "translations" / "en.json"),
        *("entity", "event", "code", "state_attributes", "event_type", "state"),
    )
    await use(owner, inputs)
    for field in LevelField:
        for level in (Level.WARNING, Level.ALARM):
            await tell(owner, {field: level})
            await tell(owner, {})
    for error in (1, 5, 9, 11):
        await tell(owner, {}, error=error)
    told = {message.partition(".")[0] for message in messages(inbox)}
    begun = {kind for kind in CODE.event_types or () if not kind.endswith("_cleared")}
    # The record has no field for the last of them: only a connection tells of it.
    not_advertised = {UNKNOWN_ERROR, "w_b10", "a_b10"}
    assert told == {words[kind] for kind in begun - not_advertised}


@pytest.mark.parametrize("bad", [{"more_actions": "something"}, {"more_actions": [{"action": "not an action"}]}])
async def test_bad_inputs_are_refused(owner: Owner, inputs: Inputs, bad: Inputs) -> None:
    assert await owner.save(BLUEPRINT, {**inputs, **bad})
    assert owner.hass.states.async_entity_ids("automation") == []


async def test_the_device_is_asked_for(owner: Owner) -> None:
    problem = await owner.save(BLUEPRINT, {})
    assert problem
    assert "bms" in problem


def test_the_time_to_go_is_told_from_all_other_durations() -> None:
    """The blueprint takes the only duration that is measured."""
    tables = [table for table in vars(sensor).values() if isinstance(table, tuple)]
    rows = [row for table in tables for row in table if isinstance(row, SensorEntityDescription)]
    measured = {row.key for row in rows if row.device_class == "duration" and row.state_class == "measurement"}
    assert measured == {"time_to_go"}
