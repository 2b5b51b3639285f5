"""The clock, the steps, real time and state files."""

import asyncio
from datetime import datetime, timedelta
import json
from math import inf, nan
from pathlib import Path
from random import Random
from time import monotonic

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.bms.bms import SmallBms
from emulator.bms.codes import Code
from emulator.reading.state import JsonObject, JsonValue, StateError
from emulator.simulation import scenario as scenarios
from emulator.simulation.grid import LONGEST_STEP, next_on_grid, stride_within
from emulator.simulation.pace import Pace
from emulator.simulation.simulation import RESOLUTION, Simulation
from emulator.simulation.state_file import StateFileError, read_state, write_state
from emulator.world.world import ByHand

from .damage import SENTENCE, damaged_copy
from .scenarios import current, item, scenario, simulation

CAMPER = scenarios.load("camper-alternator")
HOUR = 3600.0
DAY = 24 * HOUR

DISCHARGE = """
settings: {low_soc_warning: 0, discharge_floor: 0}
loads: [{name: Heater, follows: load-output, current: 100}]
"""


def discharged(running: Simulation) -> float:
    """Return what left the bank through its terminals, in Ah."""
    return running.bms.bank.ledger.discharged / 1e9


# Steps


def test_now_is_the_start_and_then_moves_on() -> None:
    running = Simulation(scenarios.load("solar"))
    assert running.now == datetime.fromisoformat("2026-06-15T06:00+02:00")
    running.advance(1.5 * HOUR)
    assert running.now == datetime.fromisoformat("2026-06-15T07:30+02:00")
    assert running.now.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize("seconds", [-1.0, nan, inf])
def test_time_only_moves_forwards_and_for_a_while(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite number of seconds"):
        simulation().advance(seconds)


@pytest.mark.parametrize("name", ["solar", "camper-alternator", "camper-inverter"])
def test_same_seed_gives_the_same_run_however_it_is_cut_at_whole_minutes(name: str) -> None:
    whole, by_the_minute, by_chance = (Simulation(scenarios.load(name)) for _ in range(3))
    whole.advance(DAY / 2)
    for _ in range(720):
        by_the_minute.advance(60)
    random, left = Random(1), 720
    while left:
        minutes = min(random.randint(1, 90), left)
        by_chance.advance(60 * minutes)
        left -= minutes
    assert whole.save_state() == by_the_minute.save_state() == by_chance.save_state()


def test_other_cuts_change_nothing_that_matters() -> None:
    whole, fine = (Simulation(scenarios.load("solar")) for _ in range(2))
    whole.advance(6 * HOUR)
    while fine.elapsed < whole.elapsed - 1e-6:
        fine.advance(min(7.3, whole.elapsed - fine.elapsed))
    assert fine.bms.bank.ledger.charged == pytest.approx(whole.bms.bank.ledger.charged, rel=1e-3)
    assert fine.bms.monitor.state_of_charge == pytest.approx(whole.bms.monitor.state_of_charge, abs=0.02)
    assert fine.bms.codes == whole.bms.codes


def test_another_seed_gives_another_run() -> None:
    one, other = Simulation(scenarios.load("solar"), 1), Simulation(scenarios.load("solar"), 2)
    for running in (one, other):
        running.advance(3 * HOUR)
    assert one.bms.bank.batteries[0].serial_number != other.bms.bank.batteries[0].serial_number
    assert one.bms.bank.ledger.charged != other.bms.bank.ledger.charged


def test_the_seed_of_the_scenario_counts_if_none_is_given() -> None:
    assert Simulation(scenario("seed: 5")).save_state() == Simulation(scenario("seed: 1"), 5).save_state()


def test_every_device_of_a_scenario_has_a_bank_of_its_own() -> None:
    first, second = (Simulation(scenarios.load("solar"), device=device) for device in (0, 1))
    assert first.bms.bank.batteries[0].serial_number != second.bms.bank.batteries[0].serial_number


def test_quiet_hours_take_a_step_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    step = SmallBms.step

    def counted(bms: SmallBms, *, current: float, ambient: float, seconds: float) -> None:
        nonlocal steps
        steps += 1
        step(bms, current=current, ambient=ambient, seconds=seconds)

    monkeypatch.setattr(SmallBms, "step", counted)
    simulation("loads: [{name: Router, follows: load-output, power: 10}]").advance(DAY)
    assert steps == DAY / LONGEST_STEP


def test_m_o3_the_pre_alarm_comes_30_seconds_before_the_load_output_opens_in_steps_of_any_length() -> None:
    def opened(slice_seconds: float) -> tuple[float, float]:
        """Return what the load got until its output opened, and for how long the pre-alarm was on before, in s."""
        running = simulation(DISCHARGE, bank="bank: {model: 12.8/100, state_of_charge: 4}")
        warned = 0.0
        while running.bms.outputs.load:
            running.advance(slice_seconds)
            warned += slice_seconds * running.bms.outputs.pre_alarm
        running.advance(60)
        return discharged(running), warned

    (coarse, _), (fine, warned) = opened(300), opened(0.1)
    assert warned >= 30 - 0.2
    # The heater takes 100 A: what the coarse run gave it too much says how late it opened.
    assert abs(coarse - fine) * HOUR / 100 < 3 * RESOLUTION
    assert fine > 0.5


def test_m_x2_a_timer_is_not_stepped_over() -> None:
    running = simulation("loads: [{name: Lamp, follows: load-output, current: 10}]")
    running.advance(7.7)
    before = discharged(running)
    running.bms.begin_firmware_update()
    running.bms.finish_firmware_update(False)
    running.advance(HOUR)
    assert (discharged(running) - before) * HOUR / 10 == pytest.approx(120, abs=0.01)


def test_m_s1_synchronization_comes_when_its_time_is_over() -> None:
    content = "chargers: [{name: Charger, kind: shore, follows: charger-output, current: 30}]"
    bank = "bank: {model: 12.8/100, state_of_charge: 96, state_of_charge_known: no}"
    fine, coarse = simulation(content, bank=bank), simulation(content, bank=bank)
    while not fine.bms.monitor.detecting:
        fine.advance(0.25)
    begun = fine.elapsed
    while fine.bms.monitor.state_of_charge is None:
        fine.advance(0.25)
    assert fine.elapsed - begun == pytest.approx(180, abs=1)
    coarse.advance(begun - 60)
    while not coarse.bms.monitor.detecting:
        coarse.advance(0.25)
    assert coarse.elapsed == pytest.approx(begun, abs=30), "which is the error of the integration"
    coarse.advance(180 - 2)
    assert coarse.bms.monitor.state_of_charge is None
    coarse.advance(4)
    assert coarse.bms.monitor.state_of_charge == 100


def test_loads_switch_at_their_second() -> None:
    running = simulation("loads: [{name: Lamp, follows: nothing, current: 36, duty: {on: 37 s, every: 10 h}}]")
    running.advance(10 * HOUR)
    assert discharged(running) == pytest.approx(0.37, abs=1e-4)


def test_a_fault_between_two_steps_works_from_then_on() -> None:
    running = simulation("loads: [{name: Lamp, follows: load-output, current: 10}]")
    running.advance(1000.3)
    running.bms.set_mode(False)
    running.advance(1000)
    assert discharged(running) == pytest.approx(10 * 1000.3 / HOUR, abs=1e-6)


@given(elapsed=st.floats(0, 1e8), exponent=st.integers(0, 9))
def test_grid_leads_forwards_and_finer_grids_contain_coarser_ones(elapsed: float, exponent: int) -> None:
    stride = LONGEST_STEP / 2**exponent
    following = next_on_grid(elapsed, stride)
    assert 0 < following - elapsed <= stride * (1 + 1e-6)
    assert following % stride == 0
    assert next_on_grid(elapsed, stride / 2) <= following


@given(st.floats(0.01, 1000))
def test_strides_are_minutes_halved(seconds: float) -> None:
    stride = stride_within(seconds)
    assert stride <= seconds
    assert stride * 2 > seconds or stride == LONGEST_STEP
    assert (LONGEST_STEP / stride) % 1 == 0


# Real time


async def test_as_fast_as_possible_gives_the_same_run() -> None:
    driven, stepped = Simulation(scenarios.load("solar")), Simulation(scenarios.load("solar"))
    await driven.run(inf, until=6 * HOUR)
    stepped.advance(6 * HOUR)
    assert driven.save_state() == stepped.save_state()


async def test_a_speed_gives_the_same_run_whatever_the_machine_does() -> None:
    one, other = simulation(DISCHARGE), simulation(DISCHARGE)
    await one.run(100, until=50)
    for _ in range(10):
        await other.run(100, until=5 * 0.9375 + 0.3125)
    assert one.elapsed == other.elapsed == 50
    assert discharged(one) == pytest.approx(discharged(other), rel=1e-9)


async def test_real_time_is_not_overtaken() -> None:
    running, clock = simulation(DISCHARGE), asyncio.get_running_loop().time
    begun = clock()
    await running.run(20, until=6)
    assert clock() - begun >= 0.3 - 0.01
    assert running.elapsed == 6


async def test_others_get_their_turn_while_it_runs_as_fast_as_possible() -> None:
    running, turns = simulation(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await running.run(inf, until=DAY)
    task.cancel()
    assert turns > 2


async def test_whoever_follows_sees_every_slice() -> None:
    running, seen = simulation(), list[float]()
    await running.run(inf, until=300, after_slice=lambda: seen.append(running.elapsed))
    assert seen == [60, 120, 180, 240, 300]


async def test_a_run_can_be_cancelled() -> None:
    running, moved = simulation(), asyncio.Event()
    task = asyncio.create_task(running.run(1000, after_slice=moved.set))
    async with asyncio.timeout(10):
        await moved.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stopped = running.elapsed
    await asyncio.sleep(0)
    assert running.elapsed == stopped > 0


async def test_speed_can_be_changed_while_it_runs() -> None:
    running = simulation()
    pace = Pace(running, 1e-6)
    task = asyncio.create_task(pace.run(until=HOUR))
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    pace.speed = inf
    await pace.run(until=HOUR)
    assert running.elapsed >= HOUR


async def test_a_machine_that_was_asleep_does_not_make_up_for_it() -> None:
    running, slept, seen = simulation(), 0.0, list[float]()

    def clock() -> float:
        return monotonic() + slept

    def after_slice() -> None:
        nonlocal slept
        slept = 1000.0
        seen.append(clock())

    await Pace(running, 240, after_slice=after_slice, clock=clock).run(until=240)
    assert len(seen) == 4
    assert seen[3] - seen[2] > 0.2


@pytest.mark.parametrize("speed", [0.0, -1.0, nan])
async def test_speed_is_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="A speed must be above 0"):
        await simulation().run(speed)


# State files


@pytest.mark.parametrize("name", ["solar", "camper-alternator", "camper-inverter", "bench"])
def test_a_saved_run_goes_on_as_if_it_had_never_stopped(name: str, tmp_path: Path) -> None:
    path, spec = tmp_path / "state.json", scenarios.load(name)
    unbroken = Simulation(spec, 3)
    unbroken.advance(8 * HOUR)
    unbroken.save(path)
    loaded = Simulation.load(spec, path)
    assert loaded.save_state() == unbroken.save_state()
    for running in (loaded, unbroken):
        running.advance(6 * HOUR)
    assert loaded.save_state() == unbroken.save_state()
    assert loaded.now == unbroken.now


def test_history_faults_and_what_was_switched_by_hand_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    content = "loads: [{name: Lamp, follows: load-output, current: 10}]"
    running = simulation(content)
    running.world.force("Lamp", on=False)
    running.bms.faults.forced_temperature = 70.0
    running.bms.synchronize()
    running.advance(HOUR)
    running.save(path)
    loaded = Simulation.load(scenario(content), path)
    loaded.advance(60)
    assert current(loaded, "Lamp") == 0.0
    assert loaded.bms.codes == {Code.A_B09}
    assert loaded.bms.history.synchronizations == 1


def test_a_scenario_may_change_around_its_bank(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    running = simulation("""
        switches: [{name: Old, kind: battery-protect}]
        loads: [{name: Lamp, follows: Old, current: 10}]
        """)
    running.advance(HOUR)
    running.save(path)
    loaded = Simulation.load(scenario("loads: [{name: Heater, follows: load-output, current: 5}]"), path)
    loaded.advance(HOUR)
    assert loaded.bms.bank.current == -5.0
    assert loaded.bms.monitor.state_of_charge == pytest.approx(35, abs=0.1)


def test_another_bank_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    simulation().save(path)
    with pytest.raises(StateFileError, match="The bank is not that of the scenario test"):
        Simulation.load(scenario(bank="bank: {model: 12.8/200, state_of_charge: 50}"), path)


def test_saving_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("x" * 1_000_000)
    simulation().save(path)
    assert json.loads(path.read_text())["format"] == "smallbms-emulator"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (folder, tmp_path / "missing" / "state.json"):
        with pytest.raises(StateFileError, match="The state cannot be saved to"):
            simulation().save(path)
    assert list(tmp_path.iterdir()) == [folder]
    assert not list(folder.iterdir())


def saved_bytes() -> bytes:
    state = json.dumps(simulation().save_state())
    return state.encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not valid JSON"),
        (b"{", "it is not valid JSON"),
        (b"[" * 100_000, "it is not valid JSON"),
        (b"\xff\xfe", "it is not valid JSON"),
        (b"[]", "It was not written by this emulator"),
        (b"{}", "It was not written by this emulator"),
        (b'{"format": "smallbms-emulator", "version": 2}', "It was written by another version"),
        (b'{"format": "smallbms-emulator", "version": 1}', "state is missing"),
        (b'{"format": "smallbms-emulator", "version": 1, "state": {}}', "checksum is missing"),
        (b'{"format": "smallbms-emulator", "version": 1, "state": {}, "checksum": "0"}', "does not match its checksum"),
    ],
    ids=range(10),
)
def test_a_file_of_another_kind_is_refused_and_left_alone(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(StateFileError, match=said) as error:
        Simulation.load(scenario(), path)
    assert str(error.value).endswith(".")
    assert path.read_bytes() == content


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="cannot be read: No such file"):
        Simulation.load(scenario(), tmp_path / "state.json")


def test_a_state_that_no_charger_can_have_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "state.json", "chargers: [{name: C, kind: shore, follows: nothing, current: 1}]"
    simulation(content).save(path)
    write_state(path, json.loads(json.dumps(read_state(path)).replace('"stage": "bulk"', '"stage": "warp"')))
    with pytest.raises(StateFileError, match="stage should be one of off, bulk, absorption, float"):
        Simulation.load(scenario(content), path)


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, {"seed": 1, "device": 0, "bms": {}})
    with pytest.raises(StateFileError, match=r"cannot be used: .*\."):
        Simulation.load(scenario(), path)


@pytest.fixture(scope="module")
def whole() -> dict[str, JsonValue]:
    """Return the state of a world that has everything: a Cyrix-Li-ct, chargers, what is set by hand, a warm fuse."""
    running = Simulation(CAMPER)
    running.advance(2 * HOUR)
    running.world.by_hand = ByHand(additional_load=20.0)
    running.world.force(running.world.forceable[0], on=False)
    saved: dict[str, JsonValue] = json.loads(json.dumps(running.save_state()))
    return saved


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_state_is_refused_in_one_sentence_or_runs(seed: int, whole: dict[str, JsonValue]) -> None:
    random = Random(seed)
    # The tests of the BMS damage that.
    around = {key: part for key, part in whole.items() if key != "bms"}
    said = [complaint({**damaged_copy(around, random), "bms": whole["bms"]}) for _ in range(250)]
    assert [each for each in said if each is not None and not SENTENCE.fullmatch(each)] == []
    assert 100 < sum(each is not None for each in said) < 250


def complaint(state: JsonObject) -> str | None:
    """Return what is said of a state; None if it loads, and then it must run."""
    try:
        running = Simulation.load_state(CAMPER, state)
    except StateError as error:
        return str(error)
    running.advance(1)
    return None


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_damage_anywhere_is_noticed_and_nothing_is_written(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    simulation().save(path)
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:where]
    else:
        content[where] ^= 1 << data.draw(st.integers(0, 6))
    path.write_bytes(content)
    try:
        read = read_state(path)
    except StateFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - damaged white space is no error
    else:
        assert read == simulation().save_state()
    assert path.read_bytes() == content


def test_starter_battery_and_stages_are_kept(tmp_path: Path) -> None:
    path, spec = tmp_path / "state.json", scenarios.load("camper-alternator")
    running = Simulation(spec)
    running.advance(2 * HOUR)
    running.save(path)
    loaded = Simulation.load(spec, path)
    assert item(loaded, "Cyrix").on
    assert item(loaded, "Alternator").on
