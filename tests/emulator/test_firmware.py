"""A firmware update."""

import pytest

from emulator.bms.bms import SmallBms
from emulator.bms.firmware import RETRY_SECONDS, FirmwareState, FirmwareUpdateError, next_version
from emulator.bms.outputs import Output
from emulator.bms.rules import Permission

from .banks import TWO_IN_PARALLEL, make_bms, run


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


def test_m_x2_a_new_attempt_after_it_brings_the_loads_back_only_when_it_goes_well() -> None:
    bms = make_bms()
    bms.begin_firmware_update()
    bms.finish_firmware_update(ok=False)
    run(bms, 120)
    shown = []
    for ok in (False, True):
        bms.begin_firmware_update()
        run(bms, 300)
        shown.append(bms.outputs.load)
        bms.finish_firmware_update(ok=ok)
        shown.append(bms.outputs.load)
    assert shown == [False, False, False, True]
    assert bms.outputs.charger


def test_m_x2_batteries_are_updated_one_by_one() -> None:
    bms = make_bms(TWO_IN_PARALLEL)
    bms.begin_firmware_update(battery=1)
    run(bms, 60)
    assert bms.outputs.load
    assert not bms.outputs.charger
    with pytest.raises(FirmwareUpdateError, match="under way"):
        bms.begin_firmware_update(battery=0)
    bms.finish_firmware_update(ok=True)
    assert [battery.firmware_version for battery in bms.bank.batteries] == ["v1.02", "v1.03"]
    assert bms.firmware_version == "v1.05"
    bms.begin_firmware_update()
    bms.finish_firmware_update(ok=True)
    assert bms.firmware_version == "v1.06"


def test_m_x2_a_battery_whose_update_failed_comes_first() -> None:
    bms = make_bms(TWO_IN_PARALLEL)
    bms.begin_firmware_update(battery=1)
    bms.finish_firmware_update(ok=False)
    with pytest.raises(FirmwareUpdateError, match="battery 2 has failed"):
        bms.begin_firmware_update()
    run(bms, RETRY_SECONDS)
    assert not bms.outputs.load
    loaded = SmallBms.load(bms.save())
    loaded.begin_firmware_update(battery=1)
    loaded.finish_firmware_update(ok=True)
    assert loaded.outputs.load
    assert loaded.bank.batteries[1].firmware_version == "v1.03"


@pytest.mark.parametrize(("version", "following"), [("v1.05", "v1.06"), ("v1.99", "v2.00"), ("beta", "beta")])
def test_the_version_after_an_update(version: str, following: str) -> None:
    assert next_version(version) == following


def test_there_is_no_battery_beyond_the_bank() -> None:
    with pytest.raises(FirmwareUpdateError, match="no battery 2"):
        make_bms().begin_firmware_update(battery=1)


def test_m_x2_a_power_cycle_ends_an_update_that_failed() -> None:
    bms = make_bms()
    bms.begin_firmware_update()
    bms.finish_firmware_update(ok=False)
    run(bms, 120)
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
