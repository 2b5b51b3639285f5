"""A Home Assistant with the integration, an emulated device, and an owner who automates."""

from collections.abc import AsyncGenerator

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from tests.integration.conftest import Radio, _custom_integrations, all_enabled, entry, radio

from .owner import Owner

__all__ = ["_custom_integrations", "all_enabled", "entry", "radio"]


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Return a configuration folder that may be written to."""
    return hass_tmp_config_dir


@pytest.fixture(autouse=True)
def _afternoon(freezer: FrozenDateTimeFactory) -> None:
    """Begin at the same time of the day, as automations look at the clock: in the afternoon, local time."""
    freezer.move_to("2026-11-02T23:00:00+00:00")


@pytest.fixture
async def owner(hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator) -> AsyncGenerator[Owner]:
    """Return an owner who has imported the blueprints."""
    assert await async_setup_component(hass, "config", {})
    owner = Owner(hass, radio, await hass_client())
    await owner.move_in()
    yield owner
    await owner.remove_all()
