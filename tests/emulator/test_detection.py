"""What the BMS finds of its bank by itself."""

import pytest

from emulator.battery.layout import BankLayout
from emulator.battery.models import MODELS
from emulator.bms.codes import Code
from emulator.bms.detection import detect

from .banks import FOUR_AS_24V, MIXED, ONE_12V, UNEQUAL


@pytest.mark.parametrize(
    ("model", "series", "parallel", "system_voltage"),
    [
        ("12.8/100", 1, 1, 12),
        ("12.8/300", 1, 50, 12),
        ("12.8/150", 2, 25, 24),
        ("12.8/200", 4, 12, 48),
        ("25.6/100", 1, 50, 24),
        ("25.6/300", 2, 25, 48),
        ("51.2/100", 1, 25, 48),
    ],
)
def test_m_b4_allowed_arrangements(model: str, series: int, parallel: int, system_voltage: int) -> None:
    found = detect(BankLayout.of(model, series=series, parallel=parallel))
    assert found.error is None
    assert found.system_voltage == system_voltage


@pytest.mark.parametrize(
    ("model", "series", "parallel"),
    [
        ("12.8/100", 1, 51),
        ("25.6/100", 1, 51),
        ("12.8/100", 2, 26),
        ("51.2/100", 1, 26),
        ("12.8/100", 3, 1),
        ("12.8/100", 5, 1),
        ("25.6/100", 3, 1),
        ("51.2/100", 2, 1),
    ],
)
def test_m_c9_batteries_that_make_no_bank(model: str, series: int, parallel: int) -> None:
    assert detect(BankLayout.of(model, series=series, parallel=parallel)).error is Code.E_B01


def test_m_c9_mixed_models() -> None:
    assert detect(MIXED).error is Code.E_B01


def test_m_c9_mixed_voltages() -> None:
    layout = BankLayout(strings=((MODELS["12.8/100"],) * 2, (MODELS["25.6/100"],)))
    assert detect(layout).error is Code.E_B01


def test_m_c10_missing_battery() -> None:
    found = detect(FOUR_AS_24V, missing=2)
    assert found.error is Code.E_B05
    assert found.batteries == 3


def test_m_c10_only_battery_missing() -> None:
    assert detect(ONE_12V, missing=0).error is Code.E_B05


def test_m_c10_strings_of_unequal_length() -> None:
    assert detect(UNEQUAL).error is Code.E_B05


def test_m_b5_finds_everything_by_itself() -> None:
    found = detect(BankLayout.of("12.8/150", series=2, parallel=3))
    assert (found.capacity_ah, found.system_voltage) == (450, 24)
    assert (found.batteries, found.cells, found.cells_per_battery) == (6, 24, 4)
    assert (found.series, found.parallel) == (2, 3)
