"""The recording of the whole integration with each personality, compared with what is assumed."""

from collections.abc import AsyncGenerator
from contextlib import suppress
import json
from typing import Final, cast
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_PIN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import DOMAIN
from custom_components.smallbms_ng.survey import Pace
from emulator.comparison.assumptions import compare
from emulator.comparison.findings import Verdict
from emulator.personality.table import PERSONALITIES
from emulator.recording import parse_recording
from tests.emulator.personalities import take_on

from .bench import QUICK
from .conftest import Radio, entity_id, flows
from .connected import PIN, Served, without_bluez
from .test_diagnostics import diagnostics_of

NO_PAUSE: Final = Pace(pause=0)


@pytest.fixture
async def served(
    hass: HomeAssistant,
    radio: Radio,
    all_enabled: None,
    hass_client: ClientSessionGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Served]:
    """Return what the device serves, to a radio that has the PIN."""
    assert await async_setup_component(hass, "diagnostics", {})
    # After the fixture of the client, which decides anew what sockets there may be.
    without_bluez(monkeypatch)
    radio.scanner.pin = PIN
    with (
        patch("custom_components.smallbms_ng.coordinator.TIMING", QUICK),
        patch("custom_components.smallbms_ng.connection.client.Timing", lambda: QUICK),
        patch("custom_components.smallbms_ng.config_flow.SHORTEST_PROGRESS", 0),
        patch("custom_components.smallbms_ng.survey.PACE", NO_PAUSE),
        patch("bleak_retry_connector.calculate_backoff_time", return_value=0),
    ):
        served = Served(radio.device)
        served.bms.step(current=-4.2, ambient=20, seconds=60)
        radio.device.readout = served.bms.snapshot
        yield served
        for entry in hass.config_entries.async_entries(DOMAIN):
            if entry.state is ConfigEntryState.LOADED:
                assert await radio.run(hass.config_entries.async_unload(entry.entry_id))
        await radio.run(radio.settle())
    assert served.untouched


async def do(radio: Radio, platform: str, action: str, key: str, **data: object) -> None:
    """Do something with an entity, as a user does; the device may refuse it."""
    target = {"entity_id": entity_id(radio.hass, platform, key)}
    with suppress(HomeAssistantError):
        await radio.run(radio.hass.services.async_call(platform, action, {**target, **data}, blocking=True))
    await radio.run(radio.settle())


async def add_by_pin(radio: Radio) -> MockConfigEntry:
    """Add the device by its PIN."""
    configure = radio.hass.config_entries.flow.async_configure
    await radio.send()
    (flow,) = flows(radio.hass)
    result = await radio.run(configure(flow["flow_id"], {CONF_PIN: PIN}))
    await radio.run(radio.settle())
    if result["type"] != FlowResultType.CREATE_ENTRY:
        result = await radio.run(configure(flow["flow_id"]))
    assert result["type"] == FlowResultType.CREATE_ENTRY, result
    await radio.run(radio.settle())
    return cast("MockConfigEntry", result["result"])


async def hear(radio: Radio, served: Served) -> None:
    """Let the device be heard for some seconds, with values that change, and then without Instant Readout."""
    for _ in range(6):
        served.bms.step(current=-4.2, ambient=20, seconds=60)
        radio.clock.now += 1
        await radio.run(radio.send())
    served.device.instant_readout_on = False
    await radio.run(radio.send())
    served.device.instant_readout_on = True


async def contradicted(radio: Radio, client: ClientSessionGenerator, entry: MockConfigEntry) -> list[str]:
    """Return the ids of the assumptions that the recording in an owner's download contradicts."""
    data = await diagnostics_of(radio.hass, client, entry)
    download = json.dumps({"integration_manifest": {"domain": DOMAIN}, "data": data})
    judged = compare(parse_recording(download, "download.json"))
    return [one.assumption.id for one in judged if one.verdict is Verdict.CONTRADICTED]


@pytest.mark.parametrize("name", PERSONALITIES)
async def test_a_recording_contradicts_what_the_device_differs_in(
    radio: Radio, served: Served, hass_client: ClientSessionGenerator, name: str
) -> None:
    take_on(name, served.device, served.service)
    entry = await add_by_pin(radio)
    await hear(radio, served)
    # Some differ only through an adapter of this machine, and nothing else differs there.
    radio.scanner.bluez_name = "hci0"
    await do(radio, "number", "set_value", "tail_current", value=3.5)
    assert await contradicted(radio, hass_client, entry) == list(PERSONALITIES[name].differs)


# Of those that refuse most.
@pytest.mark.parametrize("name", ["ip22", "new-firmware"])
async def test_a_survey_contradicts_the_same(
    radio: Radio, served: Served, hass_client: ClientSessionGenerator, name: str
) -> None:
    take_on(name, served.device, served.service)
    entry = await add_by_pin(radio)
    await hear(radio, served)
    await do(radio, "number", "set_value", "tail_current", value=3.5)
    await do(radio, "button", "press", "survey")
    await radio.until(lambda: not entry.runtime_data.pages.survey.running)
    assert await contradicted(radio, hass_client, entry) == list(PERSONALITIES[name].differs)
