"""Setting up through config flows."""

import pytest

from demo.answers import Json, JsonObject
from demo.emulator import Device, Emulator
from demo.errors import DemoError
from demo.flows import HOME_ASSISTANTS_OWN, OURS, add_device, add_proxy, set_options
from demo.home_assistant import HomeAssistant

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")

FLOWS = "/api/config/config_entries/flow"
DEVICE = Device(address="C0:3A:5E:00:00:01", name="a BMS", key="ab" * 16, pin="014916")
EMULATOR = Emulator(host="127.0.0.1", port=4321, control="http://127.0.0.1:2", devices=(DEVICE,))
DONE: JsonObject = {"type": "create_entry", "result": {"entry_id": "the entry"}}


def form(*required: str, optional: tuple[str, ...] = ()) -> JsonObject:
    fields: list[Json] = [{"name": name, "required": True} for name in required]
    fields += [{"name": name} for name in optional]
    return {"type": "form", "flow_id": "f1", "data_schema": fields}


def discover(stand_in: StandIn, handler: str, shown: JsonObject, *, unique_id: str = DEVICE.address) -> None:
    stand_in.results["config_entries/flow/progress"] = [
        {"flow_id": "f0", "handler": handler, "context": {"unique_id": "C0:3A:5E:00:00:02"}},
        {"flow_id": "f2", "handler": "another", "context": {"unique_id": unique_id}},
        {"flow_id": "f1", "handler": handler, "context": {"unique_id": unique_id}},
    ]
    stand_in.answers["GET", f"{FLOWS}/f1"] = shown


async def test_the_proxy_is_added_by_its_address(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.answers["POST", FLOWS] = form("host", optional=("port",))
    stand_in.answers["POST", f"{FLOWS}/f1"] = DONE
    await add_proxy(hass, EMULATOR)
    assert stand_in.sent[-2:] == [
        (FLOWS, {"handler": "esphome"}),
        (f"{FLOWS}/f1", {"host": "127.0.0.1", "port": 4321}),
    ]


@pytest.mark.parametrize("unique_id", [DEVICE.address, DEVICE.address.lower()])
async def test_a_discovered_device_is_added_by_the_proxy_that_holds_the_pin(
    stand_in: StandIn, hass: HomeAssistant, unique_id: str
) -> None:
    discover(stand_in, OURS.domain, form(optional=("key", "pin")), unique_id=unique_id)
    stand_in.answers["POST", f"{FLOWS}/f1"] = DONE
    await add_device(hass, OURS, DEVICE)
    assert stand_in.sent[-1] == (f"{FLOWS}/f1", {})


OPTIONS = "/api/config/config_entries/options/flow"


async def test_an_option_is_set_in_its_form(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.answers["POST", OPTIONS] = form(optional=("pages_interval",))
    stand_in.answers["POST", f"{OPTIONS}/f1"] = {"type": "create_entry"}
    await set_options(hass, "the entry", {"pages_interval": 1})
    assert stand_in.sent[-2:] == [(OPTIONS, {"handler": "the entry"}), (f"{OPTIONS}/f1", {"pages_interval": 1})]


async def test_an_option_that_is_refused_is_a_sentence(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.answers["POST", OPTIONS] = form(optional=("pages_interval",))
    stand_in.answers["POST", f"{OPTIONS}/f1"] = {"type": "form", "errors": {"pages_interval": "not_whole"}}
    with pytest.raises(DemoError, match=r"The options pages_interval could not be set: .*not_whole"):
        await set_options(hass, "the entry", {"pages_interval": 1.5})


async def test_a_flow_that_shows_progress_is_waited_for(stand_in: StandIn, hass: HomeAssistant) -> None:
    """It connects to the device, which takes its time."""
    discover(stand_in, OURS.domain, form(optional=("key", "pin")))
    stand_in.answers["POST", f"{FLOWS}/f1"] = {"type": "progress", "flow_id": "f2"}
    stand_in.answers["GET", f"{FLOWS}/f2"] = {"type": "abort", "reason": "already_configured"}
    with pytest.raises(DemoError, match="already_configured"):
        await add_device(hass, OURS, DEVICE)


async def test_home_assistants_own_calls_the_key_otherwise(stand_in: StandIn, hass: HomeAssistant) -> None:
    discover(stand_in, HOME_ASSISTANTS_OWN.domain, form("access_token"))
    stand_in.answers["POST", f"{FLOWS}/f1"] = DONE
    await add_device(hass, HOME_ASSISTANTS_OWN, DEVICE)
    assert stand_in.sent[-1] == (f"{FLOWS}/f1", {"access_token": DEVICE.key})


@pytest.mark.parametrize("shown", [form("pin"), form("key", "serial"), {"type": "abort", "flow_id": "f1"}])
async def test_a_form_that_asks_for_something_else_is_a_sentence(
    stand_in: StandIn, hass: HomeAssistant, shown: JsonObject
) -> None:
    discover(stand_in, HOME_ASSISTANTS_OWN.domain, shown)
    with pytest.raises(DemoError, match=r"The form of victron_ble asks for .*; the demo has \['access_token'\]\."):
        await add_device(hass, HOME_ASSISTANTS_OWN, DEVICE)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"type": "form", "step_id": "key", "errors": {"key": "wrong_key"}}, "wrong_key"),
        ({"type": "abort", "reason": "already_configured"}, "already_configured"),
        ({"type": "form", "step_id": "pin"}, "form pin"),
    ],
)
async def test_a_flow_that_does_not_finish_is_a_sentence(
    stand_in: StandIn, hass: HomeAssistant, result: JsonObject, reason: str
) -> None:
    discover(stand_in, OURS.domain, form(optional=("key", "pin")))
    stand_in.answers["POST", f"{FLOWS}/f1"] = result
    with pytest.raises(DemoError, match=f"smallbms_ng could not be set up: .*{reason}"):
        await add_device(hass, OURS, DEVICE)
