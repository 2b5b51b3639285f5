"""The Energy dashboard."""

import pytest

from demo.energy import battery, save_energy
from demo.home_assistant import HomeAssistant

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")

KEYS = ("energy_charged", "energy_discharged", "battery_level", "power", "voltage")


def test_what_goes_in_and_out() -> None:
    """Seen from the house: what the battery gives comes from it."""
    assert battery("A battery", {key: f"sensor.{key}" for key in KEYS}) == {
        "type": "battery",
        "name": "A battery",
        "stat_energy_from": "sensor.energy_discharged",
        "stat_energy_to": "sensor.energy_charged",
        "stat_soc": "sensor.battery_level",
        "power_config": {"stat_rate_inverted": "sensor.power"},
    }


async def test_it_is_set_up(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.results = {"energy/save_prefs": None}
    await save_energy(hass, [{"type": "battery"}])
    (saved,) = stand_in.commands
    assert saved["energy_sources"] == [{"type": "battery"}]
