"""An owner's whole run with a device, its download, and the device that is made of that again."""

from array import array
import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
import json
from typing import Final
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_PIN
from homeassistant.core import HomeAssistant, State
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import CONF_KEY, DOMAIN
from custom_components.smallbms_ng.survey import Pace
from emulator.recording import Recording, parse_recording
from emulator.replay.device import ReplayedDevice

from .bench import QUICK
from .conftest import Radio, entity_id, flows
from .connected import PIN, Served, without_bluez

NO_PAUSE: Final = Pace(pause=0)
# Of the registers that are not in the table: all of them are asked for in test_survey.py.
FEW_OTHERS: Final = array("H", (0x0101, 0x0105, 0x1010, 0x2109, 0x210A, 0xEC66))


@dataclass
class House:
    """A Home Assistant with a radio that holds the PIN, where devices are added as owners do."""

    hass: HomeAssistant
    radio: Radio
    client: ClientSessionGenerator

    async def run[Result](self, work: Coroutine[object, object, Result], *, hearing: bool = False) -> Result:
        """Let the clock, which stands still in these tests, go on while something takes its time."""
        task = asyncio.ensure_future(work)
        while not task.done():
            self.radio.tick(timedelta(seconds=0.01))
            if hearing:
                self.radio.scanner.advertise()
            await asyncio.sleep(0)
        return task.result()

    async def settle(self) -> None:
        """Let Home Assistant finish."""
        await self.run(self.radio.settle())

    async def add(self, key: str | None = None) -> ConfigEntry:
        """Add the device by its PIN; and by its key, if it does not tell that."""
        for _ in range(3):
            # A personality may send a short beacon first, of which no discovery comes.
            self.radio.clock.now += 1
            self.radio.advertise()
            await self.settle()
        (flow,) = flows(self.hass)
        entered = {CONF_PIN: PIN} | ({CONF_KEY: key} if key else {})
        result = await self.hass.config_entries.flow.async_configure(flow["flow_id"], entered)
        await self.run(self.hass.async_block_till_done(), hearing=key is not None)
        if result["type"] is FlowResultType.SHOW_PROGRESS:
            result = await self.hass.config_entries.flow.async_configure(flow["flow_id"])
        assert result["type"] is FlowResultType.CREATE_ENTRY, result
        await self.settle()
        entry: ConfigEntry = result["result"]
        return entry

    async def remove(self, entry: ConfigEntry) -> None:
        """Remove the device, of which Bluetooth remembers nothing."""
        self.radio.forget()
        await self.run(self.hass.config_entries.async_remove(entry.entry_id))
        await self.settle()

    async def press(self, key: str) -> None:
        """Press a button; the device may refuse what it is to do."""
        with suppress(HomeAssistantError):
            target = {"entity_id": entity_id(self.hass, "button", key)}
            await self.run(self.hass.services.async_call("button", "press", target, blocking=True))
        await self.settle()

    async def set(self, key: str, value: float) -> None:
        """Set a number."""
        target = {"entity_id": entity_id(self.hass, "number", key)}
        await self.run(self.hass.services.async_call("number", "set_value", {**target, "value": value}, blocking=True))
        await self.settle()

    async def download(self, entry: ConfigEntry) -> str:
        """Return the diagnostics as an owner downloads them."""
        data = await get_diagnostics_for_config_entry(self.hass, self.client, entry)
        manifest = {"domain": DOMAIN}
        return json.dumps({"home_assistant": {}, "integration_manifest": manifest, "data": data})

    async def recording(self, entry: ConfigEntry) -> Recording:
        """Return the recording of a download."""
        return parse_recording(await self.download(entry), "download.json")

    def replay(self, recording: Recording) -> ReplayedDevice:
        """Put the device of a recording in the place of the one that is there."""
        replayed = ReplayedDevice(recording, pin=PIN, clock=self.radio.clock)
        self.radio.scanner.devices = {replayed.address: replayed}
        self.radio.device = replayed
        return replayed

    async def hear_all(self, replayed: ReplayedDevice) -> None:
        """Hear all that was recorded up to its end, as soon as it is due."""
        began = replayed.rounds
        while replayed.rounds == began or not replayed.at_end:
            self.radio.clock.now += 0.25
            self.radio.scanner.advertise()
        await self.settle()

    def states(self, entry: ConfigEntry) -> dict[str, State]:
        """Return the states of the entities of an entry, by platform and key."""
        found = er.async_entries_for_config_entry(er.async_get(self.hass), entry.entry_id)
        states = {
            f"{one.domain} {one.unique_id.partition('_')[2]}": self.hass.states.get(one.entity_id) for one in found
        }
        return {key: state for key, state in states.items() if state is not None}


@pytest.fixture
async def house(
    hass: HomeAssistant,
    radio: Radio,
    all_enabled: None,
    hass_client: ClientSessionGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[House]:
    """Return a Home Assistant in which nothing takes its time."""
    assert await async_setup_component(hass, "diagnostics", {})
    # After the fixture of the client, which decides anew what sockets there may be.
    without_bluez(monkeypatch)
    radio.scanner.pin = PIN
    with (
        patch("custom_components.smallbms_ng.coordinator.TIMING", QUICK),
        patch("custom_components.smallbms_ng.config_flow.SHORTEST_PROGRESS", 0),
        patch("custom_components.smallbms_ng.survey.PACE", NO_PAUSE),
        patch("custom_components.smallbms_ng.survey.OTHERS", FEW_OTHERS),
        patch("bleak_retry_connector.calculate_backoff_time", return_value=0),
    ):
        house = House(hass, radio, hass_client)
        yield house
        for entry in hass.config_entries.async_entries(DOMAIN):
            if entry.state is ConfigEntryState.LOADED:
                assert await house.run(hass.config_entries.async_unload(entry.entry_id))
        await house.settle()


async def live_with(house: House, served: Served) -> None:
    """Let the bank live, heard for some time with values that change, and rest in the end."""
    for seconds in (60, 60, 60, 0):
        served.bms.step(current=-4.2, ambient=20, seconds=seconds)
        house.radio.clock.now += 1
        house.radio.advertise()
        await house.settle()
