"""The automation of the demo."""

import pytest

from demo.automations import save_automations
from demo.config import BLUEPRINTS
from demo.home_assistant import HomeAssistant
from tests.sources import ROOT

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")


async def test_each_device_has_one(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.results = {"config/entity_registry/get": {"device_id": "a device"}}
    paths = [f"/api/config/automation/config/codes_{number}" for number in (1, 2)]
    stand_in.answers = {("POST", path): {"result": "ok"} for path in paths}
    await save_automations(hass, [("Cabin", {"code": "event.cabin"}), ("Boat", {"code": "event.boat"})])
    saved = [(path, body) for path, body in stand_in.sent if path in paths]
    assert [path for path, _ in saved] == paths
    assert [command["entity_id"] for command in stand_in.commands] == ["event.cabin", "event.boat"]
    for (_, body), name in zip(saved, ("Cabin", "Boat"), strict=True):
        assert isinstance(body, dict)
        assert name in str(body["alias"])
        use = body["use_blueprint"]
        assert isinstance(use, dict)
        assert use["input"] == {"bms": "a device"}
        assert (ROOT / BLUEPRINTS.parent / str(use["path"])).exists()
