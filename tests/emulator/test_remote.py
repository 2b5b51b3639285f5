"""The terminals L and H."""

import pytest

from emulator.bms.outputs import Output
from emulator.bms.remote import MEASURING_TOLERANCE, OPEN, SWITCHED_LOOP, WIRE_LOOP, Remote, Wire
from emulator.reading.state import StateError, as_json, from_json

from .banks import make_bms

BATTERY = 13.2


def test_m_r1_on_when_joined() -> None:
    assert WIRE_LOOP.is_on(BATTERY)


@pytest.mark.parametrize(("voltage", "on"), [(0.0, True), (3.49, True), (3.5, False), (12.0, False)])
def test_m_r2_on_when_l_is_pulled_to_minus(voltage: float, on: bool) -> None:
    assert Remote(l_voltage=voltage).is_on(BATTERY) is on


@pytest.mark.parametrize(
    ("voltage", "on"),
    [
        (0.0, False),
        (2.9, False),
        (2.91, True),
        (BATTERY, True),
        (BATTERY + MEASURING_TOLERANCE, True),
        (BATTERY + MEASURING_TOLERANCE + 0.01, False),
    ],
)
def test_m_r3_on_when_h_is_high(voltage: float, on: bool) -> None:
    assert Remote(h_voltage=voltage).is_on(BATTERY) is on


@pytest.mark.parametrize(
    ("remote", "on"),
    [
        (Remote(h_voltage=Wire.PLUS), True),
        (Remote(h_voltage=Wire.MINUS), False),
        (Remote(l_voltage=Wire.MINUS), True),
        (Remote(l_voltage=Wire.PLUS), False),
        (SWITCHED_LOOP, True),
        (SWITCHED_LOOP.switched(False), False),
        (Remote(h_voltage=Wire.PLUS, switch=True), True),
        (Remote(h_voltage=Wire.PLUS, switch=False), False),
        (Remote(l_voltage=Wire.MINUS, switch=False), False),
    ],
)
@pytest.mark.parametrize("battery", [10.0, BATTERY, 58.4])
def test_wires_and_a_switch_in_them(remote: Remote, on: bool, battery: float) -> None:
    assert remote.is_on(battery) is on
    assert from_json(Remote, as_json(remote)) == remote


def test_m_r3_a_load_that_sags_the_bank_does_not_switch_its_own_system_off() -> None:
    bms = make_bms()
    bms.remote = Remote(h_voltage=Wire.PLUS)
    for _ in range(120):
        bms.step(current=-100.0, ambient=20.0, seconds=1.0)
        assert bms.system_on
        assert bms.outputs.load


@pytest.mark.parametrize("wrong", [{"switch": 1}, {"h_voltage": "battery"}])
def test_terminals_that_cannot_have_been_saved(wrong: dict[str, int | str]) -> None:
    with pytest.raises(StateError):
        from_json(Remote, {**as_json(WIRE_LOOP), **wrong})


@pytest.mark.parametrize("remote", [OPEN, Remote(l_voltage=5.0, h_voltage=1.0), Remote(l_voltage=BATTERY)])
def test_m_r4_off_in_every_other_case(remote: Remote) -> None:
    bms = make_bms()
    bms.remote = remote
    assert not bms.system_on
    assert not bms.outputs.is_high(Output.LOAD)
