"""Faults by name."""

from dataclasses import dataclass
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.bms.bms import SmallBms
from emulator.bms.codes import Code
from emulator.bms.remote import Remote, Wire
from emulator.bms.rules import Permission, Reason
from emulator.device import EmulatedDevice
from emulator.radio_faults import RadioFaults
from emulator.rig import Rig
from emulator.simulation.faults import FAULTS, FaultBoard, FaultError, SharedSlots
from emulator.simulation.simulation import Simulation

from .rigs import Proxies, bench
from .scenarios import scenario, simulation

ASKED_FOR = {
    "cell-high",
    "cell-low",
    "cell-drift",
    "hot",
    "frozen",
    "cable-unplugged",
    "remote-open",
    "hardware",
    "bank-voltage-low",
    "bank-voltage-high",
    "silence",
    "weak-signal",
    "garbage",
    "repeated",
    "reordered",
    "changed-key",
    "link-lost",
    "no-free-slot",
    "slow",
    "refused-writes",
    "wrong-pin",
}
TWO = "bank: {model: 12.8/100, parallel: 2, state_of_charge: 50}"


@dataclass
class Proxy:
    """A proxy that has nothing but slots."""

    slots: int


def board(running: Simulation) -> FaultBoard:
    return FaultBoard(running.bms)


def everything(running: Simulation) -> FaultBoard:
    return FaultBoard(running.bms, RadioFaults(), SharedSlots([Proxy(3), Proxy(1)]))


def test_every_fault_that_is_asked_for_is_there_and_described() -> None:
    assert set(FAULTS) >= ASKED_FOR
    assert all(fault.description.endswith(".") for fault in FAULTS.values())


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_switched_on_and_off(name: str) -> None:
    running = simulation(bank=TWO)
    faults = everything(running)
    assert not faults.active
    faults.apply(name)
    assert list(faults.active) == [name]
    running.advance(300)
    assert list(faults.active) == [name]
    faults.clear(name)
    assert not faults.active
    faults.clear(name)
    assert not faults.active


@pytest.mark.parametrize(
    ("name", "codes", "charges", "discharges"),
    [
        ("cell-high", set(), Permission.NO, Permission.YES),
        ("cell-low", {Code.A_B01}, Permission.YES, Permission.NO),
        ("hot", {Code.A_B09}, Permission.NO, Permission.YES),
        ("frozen", set(), Permission.NO, Permission.YES),
        ("cable-unplugged", {Code.A_B05}, Permission.NO, Permission.NO),
        ("hardware", {Code.E_B11}, Permission.NO, Permission.NO),
        ("bank-voltage-low", {Code.A_B08, Code.E_B09}, Permission.YES, Permission.NO),
        ("bank-voltage-high", {Code.E_B09}, Permission.NO, Permission.NO),
    ],
)
def test_faults_of_the_bank_raise_their_codes(
    name: str, codes: set[Code], charges: Permission, discharges: Permission
) -> None:
    running = simulation(bank=TWO)
    faults = board(running)
    faults.apply(name)
    running.advance(120)
    assert running.bms.codes == codes
    assert (running.bms.allowed_to_charge, running.bms.allowed_to_discharge) == (charges, discharges)
    faults.clear(name)
    running.advance(120)
    assert running.bms.codes == set()
    assert (running.bms.allowed_to_charge, running.bms.allowed_to_discharge) == (Permission.YES, Permission.YES)


def test_a_fault_shows_at_once() -> None:
    running = simulation()
    board(running).apply("hot")
    assert running.bms.codes == {Code.A_B09}


def test_open_remote_switches_the_system_off() -> None:
    running = simulation()
    faults = board(running)
    faults.apply("remote-open")
    assert not running.bms.system_on
    faults.clear("remote-open")
    assert running.bms.system_on


def test_a_cell_can_be_chosen_and_given_a_voltage() -> None:
    running = simulation(bank=TWO)
    board(running).apply("cell-high", "3.9@2/3")
    page = running.bms.battery_page(1)
    assert page is not None
    assert page.cell_voltages[2] == pytest.approx(3.9)
    assert max(voltage for number, voltage in enumerate(page.cell_voltages) if number != 2) < 3.5
    board(running).apply("cell-low", "@1/4")
    assert running.bms.bank_page().lowest_cell == pytest.approx(2.75)


def test_a_drifting_cell_loses_charge() -> None:
    running = simulation()
    board(running).apply("cell-drift", "2@1/2")
    running.advance(10 * 3600)
    soc = running.bms.bank.cells.state_of_charge
    assert float(soc[0] - soc[1]) == pytest.approx(0.2, abs=0.03)


def test_another_argument_replaces_the_one_before() -> None:
    running = simulation()
    faults = board(running)
    faults.apply("hot", "60")
    faults.apply("hot", "47")
    page = running.bms.battery_page(0)
    assert page is not None
    assert page.temperature == 47.0
    faults.apply("frozen", "-12")
    assert list(faults.active) == ["frozen"]
    assert running.bms.charge_off_reasons == {Reason.LOW_TEMPERATURE}


def test_radio_faults_turn_the_switches_of_the_device() -> None:
    running = simulation()
    device = EmulatedDevice(running.snapshot)
    faults = FaultBoard(running.bms, device.faults)
    faults.apply("silence")
    assert device.faults == RadioFaults(silent=True)
    faults.clear("silence")
    assert device.faults == RadioFaults()
    faults.apply("slow", "2.5")
    faults.apply("link-lost", "0")
    assert (device.faults.answer_delay, device.faults.lose_link_after) == (2.5, 0)


def test_slots_are_taken_and_given_back() -> None:
    proxies = [Proxy(3), Proxy(1)]
    faults = FaultBoard(simulation().bms, None, SharedSlots(proxies))
    faults.apply("no-free-slot")
    faults.apply("no-free-slot")
    assert [proxy.slots for proxy in proxies] == [0, 0]
    faults.clear("no-free-slot")
    assert [proxy.slots for proxy in proxies] == [3, 1]


@pytest.mark.parametrize("clearing", [0, 1])
def test_slots_come_back_whichever_device_gives_them_back(clearing: int) -> None:
    proxies = [Proxy(3), Proxy(1)]
    slots = SharedSlots(proxies)
    devices = [FaultBoard(simulation().bms, None, slots) for _ in range(2)]
    for device in devices:
        device.apply("no-free-slot")
    devices[clearing].clear("no-free-slot")
    assert [proxy.slots for proxy in proxies] == [3, 1]
    assert [device.active for device in devices] == [(), ()]


def test_the_wire_that_comes_back_is_the_one_that_was_there() -> None:
    running = simulation()
    faults = board(running)
    running.bms.remote = Remote(h_voltage=5.0)
    faults.apply("remote-open")
    faults.apply("remote-open")
    faults.clear("remote-open")
    assert running.bms.remote == Remote(h_voltage=5.0)
    assert running.bms.system_on


def test_m_c2_a_cable_that_is_out_hides_every_battery_behind_it() -> None:
    running = simulation(bank="bank: {model: 12.8/100, parallel: 4, state_of_charge: 50}")
    faults = board(running)
    faults.apply("cable-unplugged", "3")
    assert [running.bms.battery_page(number) is None for number in range(4)] == [False, False, True, True]
    assert running.bms.codes == {Code.W_B05}
    assert running.bms.current is None
    running.bms.power_cycle()
    assert running.bms.codes == {Code.E_B05}
    assert running.bms.detected.batteries == 2
    faults.clear("cable-unplugged")
    assert running.bms.codes == set()
    assert running.bms.detected.batteries == 4


async def test_the_wire_that_comes_back_after_a_restart_is_that_of_the_scenario(tmp_path: Path) -> None:
    wired = bench().model_copy(update={"remote": Remote(h_voltage=Wire.PLUS)})
    file = tmp_path / "state.json"
    before = Rig(wired, make_proxy=Proxies().make, state_file=file)
    before.stations[0].faults.apply("remote-open")
    before.save()
    after = Rig(wired, make_proxy=Proxies().make, state_file=file).stations[0]
    assert not after.bms.system_on
    after.faults.clear("remote-open")
    assert after.bms.remote == Remote(h_voltage=Wire.PLUS)


@pytest.mark.parametrize("name", ["bank-voltage-low", "bank-voltage-high"])
def test_a_voltage_fault_stays_itself_whatever_the_bank_does(name: str) -> None:
    running = simulation("loads: [{name: Heater, follows: nothing, power: 900}]")
    faults = board(running)
    faults.apply(name)
    running.advance(2 * 3600)
    assert faults.active == (name,)
    faults.clear(name)
    assert not faults.active


def test_all_faults_can_be_switched_off_together() -> None:
    faults = everything(simulation())
    for name in ("hot", "cell-low", "silence", "no-free-slot"):
        faults.apply(name)
    faults.clear_all()
    assert not faults.active


def test_what_is_on_is_known_after_loading() -> None:
    running = simulation()
    board(running).apply("cell-low")
    board(running).apply("hot")
    loaded = SmallBms.load(running.bms.save())
    assert FaultBoard(loaded).active == ("cell-low", "hot")


def test_an_unknown_fault_is_answered_with_the_known_ones() -> None:
    faults = board(simulation())
    for switch in (faults.apply, faults.clear):
        with pytest.raises(FaultError, match=r"There is no fault 'warm'; there are cell-high, .*, wrong-pin\.$"):
            switch("warm")


@pytest.mark.parametrize(
    ("name", "argument", "said"),
    [
        ("cell-high", "9", "a number from 0 to 5 V, not '9'"),
        ("cell-high", "3.0", "which 3 V does not pass"),
        ("cell-low", "@3/1", "The bank has no cell 1 in a battery 3."),
        ("cell-low", "@0/1", "The bank has no cell 1 in a battery 0."),
        ("cell-low", "@1/5", "The bank has no cell 5 in a battery 1."),
        ("cell-low", "x@1@2", "A cell is written like @2/3"),
        ("cell-drift", "much", "a number from 0.001 to 10 A, not 'much'"),
        ("hot", "inf", "a number from 21 to 100 °C, not 'inf'"),
        ("frozen", "nan", "a number from -40 to 19 °C, not 'nan'"),
        ("bank-voltage-low", "13.1", "a number from 0 to 8.9 V, not '13.1'"),
        ("bank-voltage-high", "20", "a number from 60.1 to 100 V, not '20'"),
        ("cable-unplugged", "3", "a whole number from 1 to 2, not '3'"),
        ("cable-unplugged", "-1", "a whole number from 1 to 2, not '-1'"),
        ("remote-open", "yes", "This fault takes nothing, not 'yes'."),
        ("slow", "0", "a number from 0.01 to 600 s, not '0'"),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(name: str, argument: str, said: str) -> None:
    faults = everything(simulation(bank=TWO))
    with pytest.raises(FaultError) as error:
        faults.apply(name, argument)
    assert said in str(error.value)
    assert str(error.value).endswith(".")
    assert not faults.active


def test_faults_of_a_radio_that_is_not_there_are_refused() -> None:
    faults = board(simulation())
    with pytest.raises(FaultError, match="There is no radio here"):
        faults.apply("silence")
    with pytest.raises(FaultError, match="There is no proxy here"):
        faults.apply("no-free-slot")


CONTENT = """
loads:
  - {name: Heater, follows: load-output, power: 900}
chargers:
  - {name: Charger, kind: shore, follows: charger-output, current: 80}
"""
BANK_FAULTS = tuple(name for name in FAULTS if name in ASKED_FOR)[:10]


@settings(deadline=None, max_examples=10)
@given(
    st.lists(
        st.tuples(st.sampled_from([*BANK_FAULTS, "none", "load", "charger"]), st.booleans(), st.floats(0, 4000)),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_happens_the_run_goes_on_and_can_be_saved(happenings: list[tuple[str, bool, float]]) -> None:
    running = simulation(CONTENT)
    faults = board(running)
    for name, on, seconds in happenings:
        if name in FAULTS:
            faults.apply(name) if on else faults.clear(name)
        elif name != "none":
            running.world.force({"load": "Heater", "charger": "Charger"}[name], on)
        running.advance(seconds)
    state = running.save_state()
    again = Simulation.load_state(scenario(CONTENT), json.loads(json.dumps(state)))
    assert again.save_state() == state
    for each in (running, again):
        each.advance(600)
    assert again.save_state() == running.save_state()
