"""The two LEDs."""

from collections.abc import Callable

import pytest

from emulator.bms.bms import SmallBms
from emulator.bms.leds import Led

from .banks import make_bms


def disable_bluetooth(bms: SmallBms) -> None:
    bms.bluetooth_enabled = False


def connect(bms: SmallBms) -> None:
    bms.connected = True


def cut_supply(bms: SmallBms) -> None:
    bms.faults.forced_bank_voltage = 7.9


def low_soc_warning(bms: SmallBms) -> None:
    bms.set_state_of_charge(12)


def low_soc_alarm(bms: SmallBms) -> None:
    bms.set_state_of_charge(8)


def break_hardware(bms: SmallBms) -> None:
    bms.faults.hardware_fault = True


def nothing(bms: SmallBms) -> None:
    assert not bms.codes


@pytest.mark.parametrize(
    ("happens", "led"),
    [
        (nothing, Led.BLINKING),
        (connect, Led.ON),
        (disable_bluetooth, Led.OFF),
        (cut_supply, Led.OFF),
    ],
)
def test_m_l1_blue_led(happens: Callable[[SmallBms], None], led: Led) -> None:
    bms = make_bms()
    happens(bms)
    bms.refresh()
    assert bms.blue_led is led


@pytest.mark.parametrize(
    ("happens", "led"),
    [
        (nothing, Led.OFF),
        (low_soc_warning, Led.BLINKING),
        (low_soc_alarm, Led.ON),
        (break_hardware, Led.ON),
        (cut_supply, Led.OFF),
    ],
)
def test_m_l2_red_led(happens: Callable[[SmallBms], None], led: Led) -> None:
    bms = make_bms()
    happens(bms)
    bms.refresh()
    assert bms.red_led is led
