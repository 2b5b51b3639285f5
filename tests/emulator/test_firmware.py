"""A firmware update."""

import pytest

from emulator.bms.firmware import RETRY_SECONDS, FirmwareState, FirmwareUpdateError
from emulator.bms.outputs import Output
from emulator.bms.rules import Permission

from .banks import make_bms, run


def test_m_x2_the_charger_output_floats_during_an_update_and_the_loads_stay_on() -> None:
    bms = make_bms()
    bms.begin_firmware_update()
    run(bms, 3600)
    assert bms.outputs.is_high(Output.LOAD)
    assert not bms.outputs.charger


def test_m_x2_after_an_update_everything_is_as_before() -> None:
    bms = make_bms()
    bms.begin_firmware_update()
    bms.finish_firmware_update(ok=True)
    run(bms, 2 * RETRY_SECONDS)
    assert bms.outputs.is_high(Output.LOAD)
    assert bms.outputs.charger


def test_m_x2_the_load_output_floats_120_seconds_after_a_failure() -> None:
    bms = make_bms()
    bms.begin_firmware_update()
    run(bms, 500)
    bms.finish_firmware_update(ok=False)
    assert bms.next_timer() == RETRY_SECONDS == 120
    run(bms, 119.5)
    assert bms.outputs.is_high(Output.LOAD)
    assert not bms.outputs.charger
    run(bms, 0.5)
    assert not bms.outputs.is_high(Output.LOAD)
    assert bms.allowed_to_discharge is Permission.NO


def test_m_x2_a_new_attempt_is_possible_until_then() -> None:
    bms = make_bms()
    bms.begin_firmware_update()
    bms.finish_firmware_update(ok=False)
    run(bms, 119)
    bms.begin_firmware_update()
    run(bms, 600)
    assert bms.outputs.is_high(Output.LOAD)
    bms.finish_firmware_update(ok=True)
    assert bms.outputs.charger


def test_m_x2_every_failure_has_its_own_120_seconds() -> None:
    bms = make_bms()
    for _ in range(3):
        bms.begin_firmware_update()
        assert bms.next_timer() is None
        bms.finish_firmware_update(ok=False)
        run(bms, 119)
        assert bms.outputs.is_high(Output.LOAD)


def test_m_x2_no_new_attempt_is_possible_after_it() -> None:
    bms = make_bms()
    bms.begin_firmware_update()
    bms.finish_firmware_update(ok=False)
    run(bms, 120)
    with pytest.raises(FirmwareUpdateError):
        bms.begin_firmware_update()
    bms.power_cycle()
    assert bms.firmware_state is FirmwareState.IDLE
    assert bms.outputs.is_high(Output.LOAD)


def test_an_update_ends_only_once() -> None:
    bms = make_bms()
    with pytest.raises(FirmwareUpdateError):
        bms.finish_firmware_update(ok=True)
    bms.begin_firmware_update()
    with pytest.raises(FirmwareUpdateError):
        bms.begin_firmware_update()
