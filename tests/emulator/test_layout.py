"""Arrangements of batteries."""

import pytest

from emulator.battery.layout import BankLayout


def test_layout_needs_a_battery_in_every_string() -> None:
    with pytest.raises(ValueError, match="at least one battery"):
        BankLayout(strings=((),))


def test_layout_of_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no battery model '12\.8/101'; there are 12\.8/100, "):
        BankLayout.of("12.8/101")
