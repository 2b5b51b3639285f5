"""The Energy dashboard."""

import pytest

from demo.energy import battery, check_energy, save_energy
from demo.errors import DemoError
from demo.home_assistant import HomeAssistant, State

from .conftest import StandIn

pytestmark = pytest.mark.usefixtures("socket_enabled")

STATES = {
    "history_charged_energy": "3.01",
    "history_discharged_energy": "1.45",
    "battery_level": "94.2",
    "power": "294",
    "capacity": "400",
    "voltage": "26.4",
}


def test_what_goes_in_and_out() -> None:
    """Seen from the house: what the battery gives comes from it."""
    entities = {key: f"sensor.{key}" for key in STATES}
    states = {entities[key]: State(value=value, unit=None) for key, value in STATES.items()}
    made = battery("A battery", entities, states)
    assert made.pop("capacity") == pytest.approx(10.24)
    assert made == {
        "type": "battery",
        "name": "A battery",
        "stat_energy_from": "sensor.history_discharged_energy",
        "stat_energy_to": "sensor.history_charged_energy",
        "stat_soc": "sensor.battery_level",
        "power_config": {"stat_rate_inverted": "sensor.power"},
    }


@pytest.mark.parametrize(
    ("voltage", "capacity"), [(10.0, 5.12), (14.6, 5.12), (20.0, 10.24), (29.2, 10.24), (40.0, 20.48), (58.9, 20.48)]
)
def test_capacity_of_each_system_voltage(voltage: float, capacity: float) -> None:
    """From empty to full, and a little above."""
    states = {key: State(value=str(voltage) if key == "voltage" else value, unit=None) for key, value in STATES.items()}
    assert battery("A battery", {key: key for key in STATES}, states)["capacity"] == pytest.approx(capacity)


async def test_it_is_set_up(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.results = {"energy/save_prefs": {"energy_sources": [{"type": "battery", "stat_rate": "sensor.inverted"}]}}
    assert await save_energy(hass, [{"type": "battery"}]) == ["sensor.inverted"]
    (saved,) = stand_in.commands
    assert saved["energy_sources"] == [{"type": "battery"}]


async def test_a_complaint_is_a_sentence(stand_in: StandIn, hass: HomeAssistant) -> None:
    stand_in.results = {"energy/validate": {"energy_sources": [[]]}}
    await check_energy(hass)
    stand_in.results = {"energy/validate": {"energy_sources": [[], [{"type": "statistics_not_defined"}]]}}
    with pytest.raises(DemoError, match=r"The Energy dashboard complains: .*statistics_not_defined"):
        await check_energy(hass)
