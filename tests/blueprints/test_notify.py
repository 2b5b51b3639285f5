"""Messages of codes: whom they reach, when, and what they say."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser, async_mock_service
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker

from custom_components.smallbms_ng.event import CLEARED, CODE, UNKNOWN_ERROR
from emulator.snapshot import Level, LevelField
from tests.integration.conftest import entity_id
from tests.sources import FOLDER as INTEGRATION
from tests.sources import part, read_words

from .owner import Inputs, Owner, content

BLUEPRINT: Final = "notify"
PUSH_URL: Final = "https://push.example.org/push"
SECOND: Final = timedelta(seconds=1)
PHONE: Final = "Zoë's phone"
SOMEBODY: Final = "notify.somebody"
LOW_SOC: Final = {LevelField.LOW_SOC: Level.WARNING}
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
    await owner.live(1, time_to_go=600)
    await tell(owner, LOW_CELL)
    await owner.live(1, time_to_go=None, state_of_charge=20.0)
    await tell(owner, LOW_CELL_ALARM)
    assert messages(inbox) == [
        "W-B07: low state of charge (warning). Charge, or switch loads off.",
        "W-B01: low cell voltage (warning). Charge, or switch loads off. 10.0 h to go.",
        "A-B01: low cell voltage (alarm). Charge at once: the loads are off. State of charge 20.0 %.",
    ]


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
    phone: str, owner: Owner, inputs: Inputs, inbox: list[ServiceCall], pushed: AiohttpClientMocker
) -> None:
    wrong = [{"action": "notify.not_there", "data": {"message": "{{ message }}"}}]
    await use(owner, {**inputs, "phones": ["gone", phone], "more_actions": wrong})
    await tell(owner, LOW_SOC)
    await tell(owner, LOW_CELL)
    assert titles(inbox) == ["W-B07", "W-B01"]
    assert len(pushed.mock_calls) == 2


@pytest.fixture
def pushed(aioclient_mock: AiohttpClientMocker) -> AiohttpClientMocker:
    """What the app's service is sent."""
    aioclient_mock.post(PUSH_URL, status=201, json={})  # type: ignore[no-untyped-call]
    return aioclient_mock


@pytest.fixture
async def phone(hass: HomeAssistant, pushed: AiohttpClientMocker, hass_admin_user: MockUser) -> str:
    """A phone with the app, which its owner has given another name later. It comes before the web server is started."""
    entry = MockConfigEntry(
        domain="mobile_app",
        title=PHONE,
        data={
            "app_data": {"push_token": "token", "push_url": PUSH_URL},
            "app_id": "io.robbie.HomeAssistant",
            "app_name": "Home Assistant",
            "app_version": "2026.10",
            "device_id": "phone",
            "device_name": PHONE,
            "manufacturer": "Somebody",
            "model": "Something",
            "os_name": "Some",
            "os_version": "1",
            "supports_encryption": False,
            "user_id": hass_admin_user.id,
            "webhook_id": "webhook",
        },
    )
    entry.add_to_hass(hass)
    assert await async_setup_component(hass, "mobile_app", {})
    await hass.async_block_till_done()
    [device] = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    dr.async_get(hass).async_update_device(device.id, name_by_user="Mine")
    return device.id


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
    assert [one["data"] for one in sent] == [
        {"tag": f"{event} W-B01"},
        {"tag": f"{event} W-B01"},
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
    assert told == {words[kind] for kind in CODE.event_types or () if kind not in {CLEARED, UNKNOWN_ERROR}}


@pytest.mark.parametrize("bad", [{"more_actions": "something"}, {"more_actions": [{"action": "not an action"}]}])
async def test_bad_inputs_are_refused(owner: Owner, inputs: Inputs, bad: Inputs) -> None:
    assert await owner.save(BLUEPRINT, {**inputs, **bad})
    assert owner.hass.states.async_entity_ids("automation") == []


async def test_the_device_is_asked_for(owner: Owner) -> None:
    problem = await owner.save(BLUEPRINT, {})
    assert problem
    assert "bms" in problem
