"""Logging in and talking to Home Assistant."""

import pytest

from demo.errors import DemoError
from demo.home_assistant import HomeAssistant, State, log_in

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")


async def test_a_fresh_one_gets_its_owner_and_is_waited_for(stand_in: StandIn, base: str) -> None:
    async with log_in(base, fresh=True):
        assert stand_in.states == []
    owners = [body for path, body in stand_in.sent if path == "/api/onboarding/users"]
    assert owners == [
        {"name": "Demo", "username": "demo", "password": "demo", "language": "en", "client_id": f"{base}/"}
    ]


async def test_a_kept_one_has_its_owner_already(stand_in: StandIn, base: str) -> None:
    async with log_in(base, fresh=False):
        pass
    assert "/api/onboarding/users" not in [path for path, _ in stand_in.sent]


async def test_commands_are_numbered_and_answered(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.results["a"] = [1]
    stand_in.results["b"] = None
    assert await hass.command("a", how="well") == [1]
    assert await hass.command("b") is None
    assert stand_in.commands == [{"id": 1, "type": "a", "how": "well"}, {"id": 2, "type": "b"}]


async def test_a_refused_command_is_a_sentence(hass: HomeAssistant) -> None:
    with pytest.raises(DemoError, match=r"Home Assistant refused nonsense: .*unknown_command.*\.$"):
        await hass.command("nonsense")


async def test_a_refused_request_is_a_sentence(hass: HomeAssistant) -> None:
    with pytest.raises(DemoError, match="Home Assistant refused /api/nonsense: 404"):
        await hass.get("/api/nonsense")


async def test_states(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.answers["GET", "/api/states"] = [
        {"entity_id": "sensor.a", "state": "1.5", "attributes": {"unit_of_measurement": "V"}},
        {"entity_id": "sensor.b", "state": "ok", "attributes": {}},
    ]
    assert await hass.states() == {
        "sensor.a": State(value="1.5", unit="V"),
        "sensor.b": State(value="ok", unit=None),
    }


async def test_entities_of_one_device_that_are_enabled(stand_in: StandIn, hass: HomeAssistant) -> None:
    def entry(unique_id: str, *, platform: str = "ours", disabled_by: str | None = None) -> dict[str, str | None]:
        entity_id = f"sensor.{unique_id}"
        return {"unique_id": unique_id, "entity_id": entity_id, "platform": platform, "disabled_by": disabled_by}

    stand_in.results["config/entity_registry/list"] = [
        {**entry("mine_voltage")},
        {**entry("other_voltage")},
        {**entry("mine_current", platform="theirs")},
        {**entry("mine_power", disabled_by="integration")},
    ]
    assert await hass.entities("ours", "mine_") == {"voltage": "sensor.mine_voltage"}
