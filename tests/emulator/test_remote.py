"""The terminals L and H."""

import pytest

from emulator.bms.outputs import Output
from emulator.bms.remote import OPEN, WIRE_LOOP, Remote

from .banks import make_bms

BATTERY = 13.2


def test_m_r1_on_when_joined() -> None:
    assert WIRE_LOOP.is_on(BATTERY)


@pytest.mark.parametrize(("voltage", "on"), [(0.0, True), (3.49, True), (3.5, False), (12.0, False)])
def test_m_r2_on_when_l_is_pulled_to_minus(voltage: float, on: bool) -> None:
    assert Remote(l_voltage=voltage).is_on(BATTERY) is on


@pytest.mark.parametrize(("voltage", "on"), [(0.0, False), (2.9, False), (2.91, True), (13.19, True), (13.2, False)])
def test_m_r3_on_when_h_is_high(voltage: float, on: bool) -> None:
    assert Remote(h_voltage=voltage).is_on(BATTERY) is on


@pytest.mark.parametrize("remote", [OPEN, Remote(l_voltage=5.0, h_voltage=1.0), Remote(l_voltage=BATTERY)])
def test_m_r4_off_in_every_other_case(remote: Remote) -> None:
    bms = make_bms()
    bms.remote = remote
    assert not bms.system_on
    assert not bms.outputs.is_high(Output.LOAD)
