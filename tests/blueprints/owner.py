"""An owner who makes automations of the blueprints, as the user interface does it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
import shutil
from typing import Final

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from homeassistant.config import async_hass_config_yaml
from homeassistant.const import EVENT_CALL_SERVICE, EVENT_STATE_CHANGED, STATE_UNAVAILABLE
from homeassistant.core import CoreState, Event, EventStateChangedData, HomeAssistant, split_entity_id
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import dump
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_fire_time_changed,
)

from tests.integration.conftest import Radio
from tests.sources import ROOT

FOLDER: Final = ROOT / "blueprints" / "automation" / "smallbms_ng"
BLUEPRINTS: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
# Where Home Assistant puts what it imports.
IMPORTED: Final = "smallbms-ng"

MINUTE: Final = timedelta(minutes=1)
DOMAINS: Final = (
    "homeassistant",
    "persistent_notification",
    "input_boolean",
    "input_datetime",
    "input_text",
    "template",
    "automation",
    "config",
)
# What an owner has beside the battery. The plug is a switch that may be out of reach, fail to do what it is asked,
# just not do it, or take its time.
CONFIGURATION: Final = """
automation: !include automations.yaml
input_boolean:
  away:
  fridge:
  generator:
  heater:
  deaf:
  jammed:
  plug:
  pump:
  reachable:
    initial: true
  slow:
input_datetime:
  last_full:
    has_date: true
    has_time: true
  alarm_clock:
    has_time: true
input_text:
  memory:
  other:
    max: 255
  short:
    max: 8
template:
  - switch:
      - name: Plug
        availability: "{{ is_state('input_boolean.reachable', 'on') }}"
        state: "{{ is_state('input_boolean.plug', 'on') }}"
        turn_on:
          - {if: "{{ is_state('input_boolean.jammed', 'on') }}", then: [{action: plug.no_answer}]}
          - {condition: state, entity_id: input_boolean.deaf, state: "off"}
          - {wait_template: "{{ is_state('input_boolean.slow', 'off') }}"}
          - {action: input_boolean.turn_on, target: {entity_id: input_boolean.plug}}
        turn_off:
          - {if: "{{ is_state('input_boolean.jammed', 'on') }}", then: [{action: plug.no_answer}]}
          - {condition: state, entity_id: input_boolean.deaf, state: "off"}
          - {wait_template: "{{ is_state('input_boolean.slow', 'off') }}"}
          - {action: input_boolean.turn_off, target: {entity_id: input_boolean.plug}}
"""

type Inputs = Mapping[str, object]
type Automation = dict[str, object]


@dataclass
class Owner:
    """Somebody who uses the blueprints."""

    hass: HomeAssistant
    radio: Radio
    client: TestClient[Request, Application]

    def __post_init__(self) -> None:
        self.config = Path(self.hass.config.config_dir)
        self.automations: dict[str, Automation] = {}

    async def move_in(self) -> None:
        """Have all that automations need, the blueprints among it."""
        (self.config / "configuration.yaml").write_text(CONFIGURATION, encoding="utf-8")
        self._write_automations([])
        shutil.copytree(FOLDER, self.config / "blueprints" / "automation" / IMPORTED)
        config = await async_hass_config_yaml(self.hass)
        for domain in DOMAINS:
            assert await async_setup_component(self.hass, domain, config), domain

    def _write_automations(self, automations: Sequence[Automation]) -> None:
        (self.config / "automations.yaml").write_text(dump(list(automations)), encoding="utf-8")

    async def save(self, blueprint: str, inputs: Inputs, name: str | None = None) -> str | None:
        """Save an automation that uses a blueprint; return why Home Assistant refuses it, if it does."""
        name = name or blueprint
        automation: Automation = {
            "alias": name,
            "use_blueprint": {"path": f"{IMPORTED}/{blueprint}.yaml", "input": dict(inputs)},
        }
        answer = await self.client.post(f"/api/config/automation/config/{name}", json=automation)
        await self.radio.settle()
        if answer.status != HTTPStatus.OK:
            return str((await answer.json())["message"])
        self.automations[name] = {"id": name, **automation}
        return None

    async def use(self, blueprint: str, inputs: Inputs, name: str | None = None) -> None:
        """Save an automation that has to work."""
        problem = await self.save(blueprint, inputs, name)
        assert problem is None, problem
        assert self.state(f"automation.{name or blueprint}") == "on"

    async def reload(self) -> None:
        """Reload all automations."""
        await self.do("automation", "reload")

    async def remove_all(self) -> None:
        """Take all automations down."""
        self._write_automations([])
        await self.reload()

    async def restart(self, entry: MockConfigEntry, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Restart Home Assistant; the helpers are those that restore themselves, so they stay."""
        await self.remove_all()
        assert await self.hass.config_entries.async_unload(entry.entry_id)
        meanwhile()
        self._forget_since_when()
        self.hass.set_state(CoreState.not_running)
        assert await self.hass.config_entries.async_setup(entry.entry_id)
        self._write_automations(list(self.automations.values()))
        await self.reload()

    def _forget_since_when(self) -> None:
        """Have what is unavailable be so since now, as Home Assistant writes it when it starts."""
        for state in self.hass.states.async_all():
            if state.state == STATE_UNAVAILABLE:
                self.hass.states.async_set(state.entity_id, state.state, state.attributes, force_update=True)

    async def started(self) -> None:
        """Let a restart come to its end."""
        await self.hass.async_start()
        await self.radio.settle()

    def state(self, entity: str) -> str:
        """Return the state of an entity."""
        state = self.hass.states.get(entity)
        assert state, entity
        return state.state

    async def do(self, domain: str, action: str, entity: str | None = None, **data: object) -> None:
        """Do something by hand."""
        target = {} if entity is None else {"entity_id": entity}
        await self.hass.services.async_call(domain, action, {**target, **data}, blocking=True)
        await self.radio.settle()

    async def turn(self, *entities: str, on: bool = True) -> None:
        """Switch something by hand."""
        for entity in entities:
            await self.do("homeassistant", "turn_on" if on else "turn_off", entity)

    def show(self, **changes: object) -> None:
        """Let the battery show something else, and be heard."""
        self.radio.snapshot = replace(
            self.radio.snapshot,
            **{"current": (self.radio.snapshot.current or 0) + 0.1, **changes},  # type: ignore[arg-type]  # names and types are the caller's
        )
        self.radio.advertise()

    async def hear(self, **changes: object) -> None:
        """Let the battery show something else, and Home Assistant take it in."""
        self.show(**changes)
        await self.radio.settle()

    async def live(self, minutes: int, **changes: object) -> None:
        """Let time pass, with a battery that is heard and never quiet."""
        for _ in range(minutes):
            await self.hear(**changes)
            await self.radio.jump(MINUTE)
        await self.hear()

    async def live_on(self, seconds: int) -> None:
        """Let time pass while something takes its time, for which nobody waits."""
        self.radio.freezer.tick(seconds)
        async_fire_time_changed(self.hass)
        for _ in range(100):
            await asyncio.sleep(0)

    async def silence(self, minutes: int) -> None:
        """Let time pass, with a battery that is not heard."""
        for _ in range(minutes):
            await self.radio.jump(MINUTE)

    def device_name(self, device: object) -> str:
        """Return what a device is called."""
        found = dr.async_get(self.hass).async_get(str(device))
        assert found
        return str(found.name_by_user or found.name)


class Changes:
    """What became of entities."""

    def __init__(self, hass: HomeAssistant, entities: Sequence[str]) -> None:
        self._entities = entities
        self._events: list[Event[EventStateChangedData]] = async_capture_events(hass, EVENT_STATE_CHANGED)

    @property
    def all(self) -> list[tuple[str, str]]:
        """Return name and new state of each change, in order."""
        return [
            (new.object_id, new.state)
            for event in self._events
            if event.data["entity_id"] in self._entities and (new := event.data["new_state"])
            if (old := event.data["old_state"]) is None or old.state != new.state
        ]


class Calls:
    """How often an entity was asked to do something, by itself or among others."""

    def __init__(self, hass: HomeAssistant, entity: str) -> None:
        self._entity = entity
        self._domain = split_entity_id(entity)[0]
        self._events = async_capture_events(hass, EVENT_CALL_SERVICE)

    @property
    def number(self) -> int:
        """Return how often."""
        ours = [event.data for event in self._events if event.data["domain"] == self._domain]
        return sum(self._entity in data["service_data"].get("entity_id", []) for data in ours)


def content(call: tuple[object, object, object, object]) -> dict[str, object]:
    """Return the JSON object that was sent in a request."""
    sent = call[2]
    assert isinstance(sent, dict)
    return sent
