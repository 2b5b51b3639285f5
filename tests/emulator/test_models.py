"""The table of batteries."""

import pytest

from emulator.battery.models import MODELS
from emulator.bms.detection import MOST_BATTERIES


def test_m_b1_batteries_are_made_of_cells_of_3_2_volt() -> None:
    assert {(model.nominal_voltage, model.cells) for model in MODELS.values()} == {(12.8, 4), (25.6, 8), (51.2, 16)}


@pytest.mark.parametrize(
    ("name", "capacity", "pulse_discharge", "pulse_charge"),
    [
        ("12.8/100", 100, 200, 200),
        ("12.8/150", 150, 300, 225),
        ("12.8/200", 200, 400, 400),
        ("12.8/300", 300, 600, 450),
        ("25.6/100", 100, 200, 200),
        ("25.6/200", 200, 400, 400),
        ("25.6/300", 300, 600, 450),
        ("51.2/100", 100, 200, 200),
    ],
)
def test_m_b2_model_table(name: str, capacity: int, pulse_discharge: float, pulse_charge: float) -> None:
    model = MODELS[name]
    assert (model.capacity_ah, model.pulse_discharge_a, model.pulse_charge_a) == (
        capacity,
        pulse_discharge,
        pulse_charge,
    )
    assert model.continuous_a == capacity


def test_m_b2_there_are_no_other_models() -> None:
    assert len(MODELS) == 8
    assert all(name == model.name for name, model in MODELS.items())


def test_m_b3_recommended_currents() -> None:
    model = MODELS["12.8/200"]
    assert model.recommended_charge_a == pytest.approx(60)
    assert model.recommended_discharge_a == pytest.approx(100)


@pytest.mark.parametrize(("nominal_voltage", "kilowatt_hours"), [(12.8, 192), (25.6, 384), (51.2, 128)])
def test_m_b4_largest_banks(nominal_voltage: float, kilowatt_hours: float) -> None:
    largest = max(model.energy_wh for model in MODELS.values() if model.nominal_voltage == nominal_voltage)
    assert largest * MOST_BATTERIES[nominal_voltage] / 1000 == pytest.approx(kilowatt_hours)
