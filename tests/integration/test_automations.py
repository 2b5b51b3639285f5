"""What Home Assistant itself offers for the entities in the editor of automations, asked as its user interface does."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from typing import Final

from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from emulator.snapshot import Level, LevelField

from .bench import Bench, a_bench
from .conftest import Radio, entity_id, state_of

DOMAINS: Final = ("automation", "battery", "power", "temperature", "event", "switch", "button", "number")

LEVEL: Final = {"battery.level_changed", "battery.level_crossed_threshold"}
TEMPERATURE: Final = {"temperature.changed", "temperature.crossed_threshold"}
POWER: Final = {"power.changed", "power.crossed_threshold"}
# What is offered for an entity, and for the device of it.
TRIGGERS: Final[Mapping[tuple[str, str], set[str]]] = {
    ("binary_sensor", "battery_low"): {"battery.became_low", "battery.no_longer_low"},
    ("binary_sensor", "charging"): {"battery.started_charging", "battery.stopped_charging"},
    ("sensor", "battery_level"): LEVEL,
    ("sensor", "temperature"): TEMPERATURE,
    ("sensor", "power"): POWER,
    ("event", "code"): {"event.received"},
}
CONDITIONS: Final[Mapping[tuple[str, str], set[str]]] = {
    ("binary_sensor", "battery_low"): {"battery.is_low", "battery.is_not_low"},
    ("binary_sensor", "charging"): {"battery.is_charging", "battery.is_not_charging"},
    ("sensor", "battery_level"): {"battery.is_level"},
    ("sensor", "temperature"): {"temperature.is_value"},
    ("sensor", "power"): {"power.is_value"},
}
# Home Assistant has none for their device classes; the trigger for any state does.
WITHOUT: Final = (("binary_sensor", "problem"), ("binary_sensor", "pre_alarm"), ("binary_sensor", "allowed_to_charge"))
# Configuration, which is offered when it is chosen itself, and not with the device.
WITH_PIN: Final[Mapping[tuple[str, str], set[str]]] = {
    ("button", "synchronize"): {"button.pressed"},
    ("switch", "system"): {"switch.turned_on", "switch.turned_off"},
}


class Editor:
    """The editor of automations."""

    def __init__(self, hass: HomeAssistant, connect: WebSocketGenerator) -> None:
        self.hass = hass
        self._connect = connect

    async def offers(self, kind: str, target: Mapping[str, Sequence[str]]) -> set[str]:
        """Return the triggers or conditions that are offered for a target."""
        client = await self._connect(self.hass)
        await client.send_json_auto_id({"type": f"get_{kind}_for_target", "target": target})
        answer = await client.receive_json()
        assert answer["success"], answer
        return set(answer["result"])

    def device(self) -> dict[str, list[str]]:
        """Return the device as a target."""
        found = er.async_get(self.hass).async_get(entity_id(self.hass, "event", "code"))
        assert found
        assert found.device_id
        return {"device_id": [found.device_id]}


@pytest.fixture
async def editor(hass: HomeAssistant, radio: Radio, hass_ws_client: WebSocketGenerator) -> Editor:
    for domain in DOMAINS:
        assert await async_setup_component(hass, domain, {})
    await radio.settle()
    return Editor(hass, hass_ws_client)


@pytest.mark.parametrize(("kind", "table"), [("triggers", TRIGGERS), ("conditions", CONDITIONS)])
async def test_for_each_entity(
    editor: Editor, entry: MockConfigEntry, kind: str, table: Mapping[tuple[str, str], set[str]]
) -> None:
    for (platform, key), expected in table.items():
        entity = entity_id(editor.hass, platform, key)
        assert await editor.offers(kind, {"entity_id": [entity]}) == expected, key


@pytest.mark.parametrize(("kind", "table"), [("triggers", TRIGGERS), ("conditions", CONDITIONS)])
async def test_for_the_device(
    editor: Editor, entry: MockConfigEntry, kind: str, table: Mapping[tuple[str, str], set[str]]
) -> None:
    assert await editor.offers(kind, editor.device()) == set().union(*table.values())


async def test_for_which_there_is_none(editor: Editor, entry: MockConfigEntry) -> None:
    for platform, key in WITHOUT:
        assert await editor.offers("triggers", {"entity_id": [entity_id(editor.hass, platform, key)]}) == set(), key


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        yield bench


async def test_with_the_pin(editor: Editor, bench: Bench) -> None:
    assert await editor.offers("triggers", editor.device()) == set().union(*TRIGGERS.values())
    await test_for_each_entity(editor, bench.entry, "triggers", WITH_PIN)


async def automate(hass: HomeAssistant, trigger: str, entity: str, **options: object) -> list[Event]:
    """Make an automation of a trigger; return a list of its runs, filled as they happen."""
    triggers = [{"trigger": trigger, "target": {"entity_id": entity}, "options": options}]
    automation = {"alias": "one", "triggers": triggers, "actions": [{"event": "fired"}]}
    assert await async_setup_component(hass, "automation", {"automation": [automation]})
    return async_capture_events(hass, "fired")


async def test_became_low(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    fired = await automate(hass, "battery.became_low", entity_id(hass, "binary_sensor", "battery_low"))
    await radio.send_levels({LevelField.LOW_SOC: Level.WARNING})
    assert len(fired) == 1


@pytest.mark.parametrize(("silent", "expected"), [(False, 1), (True, 0)])
async def test_what_is_crossed_in_silence_is_missed(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, silent: bool, expected: int
) -> None:
    """Which is why the blueprints watch the number."""
    threshold = {"type": "below", "value": {"number": 30}}
    level = entity_id(hass, "sensor", "battery_level")
    fired = await automate(hass, "battery.level_crossed_threshold", level, threshold=threshold)
    await radio.wait(timedelta(minutes=10) if silent else timedelta(minutes=1))
    assert (state_of(hass, "sensor", "battery_level").state == STATE_UNAVAILABLE) == silent
    await radio.send(state_of_charge=20.0)
    assert len(fired) == expected
