"""Scenario files: what they say, and what is said about wrong ones."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
import re

from hypothesis import given
from hypothesis import strategies as st
import pytest

from emulator.bms.codes import CODES, Code, Severity
from emulator.bms.remote import OPEN, SWITCHED_LOOP, WIRE_LOOP, Remote, Wire
from emulator.bms.settings import SettingKey
from emulator.reading.yaml_reader import ScenarioError
from emulator.simulation import scenario as scenarios
from emulator.simulation.faults import FaultBoard
from emulator.simulation.scenario import FOLDER, Scenario, parse_scenario
from emulator.simulation.simulation import Simulation
from emulator.world.chargers import ChargerKind, SolarSpec
from emulator.world.loads import Draw, DutySpec, Load
from emulator.world.switches import WIRINGS, SwitchKind

from .scenarios import BANK, BASE, scenario, simulation

DAY = 86400.0
SHORE = "name: C, kind: shore, follows: nothing, current: 3"
EXAMPLES = ("solar", "camper-alternator", "camper-inverter")
SHIPPED = (
    "bench",
    "camper-alternator",
    "camper-alternator-direct",
    "camper-inverter",
    "camper-inverter-shore",
    "largest-bank",
    "solar",
    "winter-cabin",
)
# "something else" is what is said of an error that has no words.
SENTENCE = re.compile(r"test\.yaml, line \d+: (?!.*something else)[^\n]+\.")


EVERYTHING = """
description: Everything
seed: 7
start: 2026-06-15 06:00:30+02:00
place: {latitude: -12.5, longitude: 130.8}
clouds: 40
temperature: {"06:00": 10, "16:00": 20}
remote: off
bank:
  strings: [[25.6/100, 25.6/100], [25.6/100, 25.6/100]]
  state_of_charge: 66.5
  state_of_charge_known: no
  temperature: 3
  batteries:
    2: {serial_number: HQ2640ABCDE, firmware_version: v1.05, state_of_charge: 60, temperature: 7}
settings: {charged_voltage: 56, tail_current: 3, charged_detection_time: 5, low_soc_warning: 30, discharge_floor: 20}
switches:
  - {name: Protect, kind: battery-protect, disconnects: 46, reconnects: 50}
  - {name: Power, kind: inverter, follows: inverting-cable, efficiency: 95, idle_power: 12}
loads:
  - {name: Lamp, follows: Protect, current: 2, duty: {on: 90 s, every: 1.5 h}}
  - {name: Kettle, follows: Power, power: {"07:00": 900, "07:05": 0}}
  - {name: Heater, follows: nothing, resistance: 12}
chargers:
  - name: Sun
    kind: solar
    follows: charger-output
    current: 35
    panel: {peak_power: 900, tilt: 12, azimuth: 0}
    absorption_voltage: 56.4
    float_voltage: 54
    absorption_time: 45 min
  - {name: Shore, kind: shore, follows: nothing, current: 10, mains: [{from: 20:00, to: 06:00, days: [friday]}]}
  - {name: Engine, kind: alternator, follows: charger-output, current: 5, voltage: 57, driving: yes}
devices:
  - {name: One, address: "c0:3a:5e:00:00:0a", key: 000102030405060708090a0b0c0d0e0f, pin: "000042", serial_number: HQ1}
  - {name: Two, address: "c0:3a:5e:00:00:0b"}
proxies:
  - {name: Near, address: "02:00:00:00:e5:01", rssi: -50, slots: 2, pin: yes}
  - {name: Far, rssi: {Two: -90}}
"""


PARALLEL = """
start: 2026-04-15 09:00+02:00
place: {latitude: 52, longitude: 5}
bank: {model: 12.8/100, parallel: 3, state_of_charge: 50, batteries: {1: {unplugged: no}, 3: {unplugged: yes}}}
"""


def test_m_c10_a_battery_may_be_unplugged_from_the_beginning() -> None:
    running = Simulation(parse_scenario(PARALLEL, name="test", file="test.yaml"))
    assert running.bms.codes == {Code.E_B05}
    assert running.bms.battery_page(0) is not None
    assert running.bms.battery_page(2) is None
    faults = FaultBoard(running.bms)
    assert faults.active == ("cable-unplugged",)
    faults.clear("cable-unplugged")
    assert running.bms.codes == set()


def test_several_batteries_may_be_unplugged_and_hide_what_is_behind_the_first() -> None:
    running = Simulation(parse_scenario(PARALLEL.replace("no}", "yes}"), name="test", file="test.yaml"))
    assert running.bms.codes == {Code.E_B05}
    assert [running.bms.battery_page(number) for number in range(3)] == [None] * 3


def error_of(content: str) -> str:
    """Return what is said about a file that is wrong."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario(content, name="test", file="test.yaml")
    return str(error.value)


def error_in(content: str, *, bank: str = BANK) -> str:
    with pytest.raises(ScenarioError) as error:
        scenario(content, bank=bank)
    return str(error.value)


# What comes with the emulator


def test_the_scenarios_that_come_with_the_emulator() -> None:
    assert scenarios.names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_scenario_is_described_and_says_how_to_copy_it(name: str) -> None:
    assert scenarios.load(name).description
    assert "Copy this file" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_copy_is_the_same_scenario(name: str, tmp_path: Path) -> None:
    copy = tmp_path / f"{name}.yaml"
    copy.write_bytes((FOLDER / f"{name}.yaml").read_bytes())
    assert scenarios.load(str(copy)) == scenarios.load(name)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "bench"])
def test_every_example_lives_well_for_days(name: str) -> None:
    running = Simulation(scenarios.load(name))
    levels = []
    for _ in range(9):
        running.advance(DAY / 3)
        levels.append(running.bms.monitor.state_of_charge)
        if len(levels) == 6 and name == "winter-cabin":
            running.world.force("Generator", True)
        assert not any(CODES[code].severity > Severity.WARNING for code in running.bms.codes)
    assert running.bms.history.synchronizations >= 1
    assert all(level is not None and 20 < level <= 100 for level in levels)
    assert min(level for level in levels if level is not None) < 95


def test_the_examples_of_the_manual_are_wired_as_it_says() -> None:
    wired = {
        name: {charger.follows for charger in scenarios.load(name).chargers}
        | {load.follows for load in scenarios.load(name).loads}
        for name in EXAMPLES
    }
    assert wired == {
        "solar": {"BatteryProtect", "ve-direct-cable", "nothing"},
        "camper-alternator": {"Cyrix", "Smart BatteryProtect", "nothing"},
        "camper-inverter": {"Inverter", "load-output", "ve-direct-cable"},
    }
    kinds = {name: [switch.kind for switch in scenarios.load(name).switches] for name in EXAMPLES}
    assert kinds == {
        "solar": [SwitchKind.BATTERY_PROTECT],
        "camper-alternator": [SwitchKind.CYRIX_LI_CT, SwitchKind.SMART_BATTERY_PROTECT],
        "camper-inverter": [SwitchKind.INVERTER],
    }
    # In all of them the system is switched on by connecting H to battery plus (M-R3).
    assert {scenarios.load(name).remote for name in EXAMPLES} == {Remote(h_voltage=Wire.PLUS, switch=True)}


@pytest.mark.parametrize(
    ("name", "of"),
    [("camper-alternator-direct", "camper-alternator"), ("camper-inverter-shore", "camper-inverter")],
)
def test_a_variant_of_an_example_is_no_example(name: str, of: str) -> None:
    assert "A variant of" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert "A variant of" not in (FOLDER / f"{of}.yaml").read_text(encoding="utf-8")


def test_largest_bank_has_400_cells() -> None:
    running = Simulation(scenarios.load("largest-bank"))
    assert (running.bms.detected.batteries, running.bms.detected.cells) == (50, 400)
    assert running.bms.bank.batteries[41].firmware_version == "v1.01"
    assert float(running.bms.bank.temperature[16]) == 27.0


# What can be said


def test_least_that_a_scenario_needs() -> None:
    least = scenario()
    assert least.start == datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
    assert least.loads == ()
    assert least.chargers == ()
    assert len(least.devices) == 1
    assert least.proxies == ()
    assert least.remote_on
    assert least.bank.state_of_charge_known


def test_everything_that_a_scenario_can_say() -> None:
    full: Scenario = parse_scenario(EVERYTHING, name="full", file="full.yaml")
    assert (full.seed, full.start.utcoffset(), full.remote_on) == (7, timedelta(hours=2), False)
    assert full.system_voltage == 48
    assert full.bank.batteries["2"].serial_number == "HQ2640ABCDE"
    assert dict(full.settings.values())[SettingKey.DISCHARGE_FLOOR] == 20
    assert full.clouds == 40
    assert [full.efficiency(load) for load in full.loads] == [1, 0.95, 1]
    assert [[*load.amounts] for load in full.loads] == [[Draw.CURRENT], [Draw.POWER], [Draw.RESISTANCE]]
    assert full.loads[0].duty == DutySpec(on=90.0, every=5400.0)
    assert [charger.kind for charger in full.chargers] == [*ChargerKind]
    assert isinstance(full.chargers[0], SolarSpec)
    assert full.chargers[0].absorption_time == 2700
    assert full.devices[0].address == "C0:3A:5E:00:00:0A"
    assert full.devices[0].key == bytes(range(16))
    assert full.devices[0].pin == "000042"
    assert [proxy.strengths(full.devices) for proxy in full.proxies] == [(-50, -50), (-60, -90)]
    assert [proxy.pin for proxy in full.proxies] == [True, False]
    running = Simulation(full, device=1)
    running.advance(3600)
    assert running.bms.bank.batteries[1].firmware_version == "v1.05"
    assert not running.bms.outputs.load


@pytest.mark.parametrize(
    ("written", "remote"),
    [
        ("on", WIRE_LOOP),
        ("loop", WIRE_LOOP),
        ("switch", SWITCHED_LOOP),
        ("off", OPEN),
        ("{h: plus, switch: on}", Remote(h_voltage=Wire.PLUS, switch=True)),
        ("{l: minus}", Remote(l_voltage=Wire.MINUS)),
        ("{h: 70}", Remote(h_voltage=70.0)),
        ("{loop: yes, switch: off}", Remote(joined=True, switch=False)),
    ],
)
def test_what_is_connected_to_the_remote_terminals(written: str, remote: Remote) -> None:
    assert scenario(f"remote: {written}").remote == remote
    assert simulation(f"remote: {written}").bms.remote == remote


def test_everything_is_in_the_reference() -> None:
    reference = (FOLDER / "README.md").read_text(encoding="utf-8")
    keys = set(re.findall(r"\b([a-z_]+): ", EVERYTHING)) | set(re.findall(r"^([a-z_]+):", EVERYTHING, re.MULTILINE))
    words = {*keys, *SwitchKind, *ChargerKind, *WIRINGS}
    assert len(words) > 60
    assert {word for word in words if f"`{word}`" not in reference} == set()


@pytest.mark.parametrize("section", ["loads", "chargers", "switches", "devices", "proxies", "settings"])
def test_a_section_may_be_empty(section: str) -> None:
    assert scenario(f"{section}:") == scenario()


def test_times_are_times_and_words_are_words() -> None:
    """YAML 1.1 would read 06:30 as 390 and on as true."""
    read = scenario("""
        remote: on
        loads:
          - name: on
            follows: nothing
            current: {06:30: 1, 18:00: 0}
        """)
    assert read.loads[0].name == "on"
    assert Load(read.loads[0]).demand(7 * 3600).current == 1


def test_battery_models_may_be_mixed_so_that_the_bms_can_complain() -> None:
    mixed = scenario(bank="bank: {strings: [[12.8/100], [12.8/200]], state_of_charge: 50}")
    assert {code.value for code in Simulation(mixed).bms.codes} == {"E-B01"}


# What is wrong


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("colour: red", "line 4: colour is not known here; known are"),
        ("clouds: many", "line 4: clouds should be a number from 0 to 100, not 'many'."),
        ("clouds: 101", "line 4: clouds should be a number from 0 to 100, not '101'."),
        ("clouds: nan", "line 4: clouds should be a number from 0 to 100, not 'nan'."),
        ("clouds: [1]", "line 4: clouds should be a number from 0 to 100, not that."),
        ("seed: 1.5", "line 4: seed should be a whole number from 0 to"),
        ("remote: {h: battery}", "line 4: h should be plus, minus, or a voltage from 0 to 70, not 'battery'."),
        ("remote: {h: 70.5}", "line 4: h should be plus, minus, or a voltage from 0 to 70, not '70.5'."),
        ("remote: maybe", "line 4: remote should be one of on, loop, switch, off, not 'maybe'."),
        (
            "devices: [{personality: mpt}]",
            "line 4: personality should be one of battery-protect, mppt, ip22, smart-shunt, owner-2026,",
        ),
        ("settings: {tail_current: 11}", "tail_current should be a number from 0.5 to 10, not '11'."),
        ("settings: {floor: 11}", "floor is not known here; known are charged_voltage, tail_current,"),
        ("loads: Lamp", "loads should be a list, every item of which begins with a dash, not 'Lamp'."),
        ("loads: [Lamp]", "an item of loads should be a block of keys with values, not 'Lamp'."),
        ("loads: [{name: Lamp}]", "line 4: follows is missing."),
        ("loads: [{name: '', follows: nothing, current: 1}]", "name should be a text, not ''."),
        (
            "loads: [{name: Lamp, follows: charger-output, current: 1}]",
            "follows should be one of load-output, inverting-cable, nothing, not 'charger-output'.",
        ),
        ("loads: [{name: Lamp, follows: nothing}]", "a load needs exactly one of power, current, resistance."),
        ("loads: [{name: Lamp, follows: nothing, current: 1, power: 2}]", "a load needs exactly one of"),
        ("loads: [{name: Lamp, follows: nothing, current: -1}]", "current should be a number from 0 to 10000"),
        ("loads: [{name: Lamp, follows: nothing, current: {}}]", "current should be a value, or values by time of day"),
        (
            "loads: [{name: Lamp, follows: nothing, current: {25:00: 1}}]",
            "current should be a time from 00:00 to 23:59, not '25:00'.",
        ),
        (
            "loads: [{name: Lamp, follows: nothing, current: 1, duty: {on: 12, every: 1 h}}]",
            "on should be a time of at least 1 s, such as 90 s, 12 min or 2 h, not '12'.",
        ),
        (
            "loads: [{name: Lamp, follows: nothing, current: 1, duty: {on: 2 h, every: 1 h}}]",
            "a load should be on for a shorter time than its whole cycle.",
        ),
        (
            "loads: [{name: A, follows: nothing, current: 1}, {name: A, follows: nothing, current: 1}]",
            "the name A is taken.",
        ),
        ("switches: [{name: nothing, kind: inverter}]", "the name nothing is taken."),
        (
            "switches: [{name: S, kind: relay}]",
            "kind should be one of battery-protect, smart-battery-protect, cyrix-li-load, inverter,",
        ),
        (
            "switches: [{name: S, kind: battery-protect, disconnects: 12.5}]",
            "S should disconnect at a lower voltage than it reconnects.",
        ),
        (
            "switches: [{name: S, kind: cyrix-li-load, idle_power: 3}]",
            "idle_power is not known here; known are name, kind",
        ),
        (
            "switches: [{name: S, kind: inverter}]\nloads: [{name: L, follows: S, current: 3}]",
            "line 5: a load needs exactly one of power.",
        ),
        (
            "chargers: [{name: C, kind: shore, follows: load-output, current: 3}]",
            "follows should be one of charger-output, ve-direct-cable, skylla-tg-cable, skylla-i-cable, nothing, not",
        ),
        (
            "chargers: [{name: C, kind: wind, follows: nothing, current: 3}]",
            "one of solar, shore, alternator, not 'wind'",
        ),
        ("chargers: [{name: C, kind: solar, follows: nothing, current: 3}]", "panel is missing."),
        (
            "chargers: [{name: C, kind: shore, follows: nothing, current: 3, float_voltage: 15}]",
            "the float voltage should not be above the absorption voltage.",
        ),
        (
            "chargers: [{name: C, kind: shore, follows: nothing, current: 3, absorption_voltage: 13}]",
            "line 4: the float voltage should not be above the absorption voltage.",
        ),
        (
            "chargers: [{name: C, kind: shore, follows: nothing, current: 3, mains: [{from: 1:00}]}]",
            "to is missing.",
        ),
        (
            f"chargers: [{{{SHORE}, mains: [{{from: 1:00, to: 2:00, days: [x]}}]}}]",
            "an item of days should be one of monday,",
        ),
        (
            "chargers: [{name: C, kind: shore, follows: nothing, current: 3, mains: perhaps}]",
            "mains should be yes or no",
        ),
        ("devices: [{address: 1}]", "address should be a Bluetooth address such as C0:3A:5E:00:00:01, not '1'."),
        ("devices: [{key: abc}]", "key should be 32 hexadecimal digits, not 'abc'."),
        ("devices: [{pin: 12345}]", "pin should be six digits, not '12345'."),
        ("devices: [{name: A}, {name: B}]", "each of several devices needs a different address."),
        ("proxies: [{name: A, rssi: 99}]", "rssi should be a whole number from -127 to 20, not '99'."),
        ("proxies: [{name: A}, {name: A}]", "each proxy needs a different name."),
        ("weather: {clouds: 120}", "clouds should be a number from 0 to 100, not '120'."),
        ("weather: {rain: 1}", "rain is not known here; known are clouds, temperature, lasts."),
        ("weather: {lasts: 0}", "lasts should be a number from 0.5 to 60, not '0'."),
        ("guests: {stay: 2}", "chance is missing."),
        ("guests: {chance: 5, stay: 0.5}", "stay should be a whole number from 1 to 30, not '0.5'."),
        ("quiet_current: {from: 0.2, to: 0.1}", "from 0.2 to 0.1 is the wrong way round."),
        ("quiet_current: {from: 0.1}", "to is missing."),
        ("quiet_current: little", "quiet_current should be a number from 0 to 10000, not 'little'."),
        ("loads: [{name: Quiet loads, follows: nothing, current: 1}]", "the name Quiet loads is taken."),
        ("loads: [{name: L, follows: nothing, current: 1, varies: lots}]", "varies should be a number from 0 to 100"),
        ("loads: [{name: L, follows: nothing, current: 1, weekend: -5}]", "weekend should be a number from 0 to 1000"),
        (
            "loads: [{name: L, follows: nothing, current: 1, guests: 150}]",
            "line 4: there is no guests block that says when they come.",
        ),
        ("loads: [", "this is not valid YAML"),
        ("a: b: c", "line 4: this is not valid YAML"),
        ("clouds: 1\nclouds: 2", "line 5: clouds appears twice."),
        ("? [clouds]\n: 1", "line 4: a key should be a single word."),
        ("loads: [{current: x}]\nclouds: many", "line 4: name is missing."),
        ("clouds: many\nseed: x", "line 4: clouds should be"),
        ("seed: x\nclouds: many", "line 4: seed should be"),
        ("loads: &all [{name: A, follows: nothing, current: 1, duty: *all}]", "line 4: this refers to itself."),
        ("clouds: !!python/object:os.system 1\nx: 1", "line 5: x is not known here"),
    ],
)
def test_errors_name_the_line_and_say_what_is_allowed(content: str, said: str) -> None:
    error = error_in(content)
    assert said in error
    assert SENTENCE.fullmatch(error)


@pytest.mark.parametrize(
    ("bank", "said"),
    [
        ("bank: {model: 12.8/250, state_of_charge: 1}", "line 3: model should be one of 12.8/100, 12.8/150,"),
        ("bank: {model: 12.8/100}", "line 3: state_of_charge is missing."),
        ("bank: {state_of_charge: 1}", "line 3: model is missing."),
        ("bank: {model: 12.8/100, state_of_charge: 1, parallel: 0}", "parallel should be a whole number from 1 to 100"),
        (
            "bank: {model: 12.8/100, state_of_charge: 1, parallel: 50, series: 3}",
            "150 batteries are more than this emulator takes (100).",
        ),
        (
            "bank: {strings: [], state_of_charge: 1}",
            "strings should be strings of at least one battery, and at most 100",
        ),
        ("bank: {strings: [[]], state_of_charge: 1}", "strings should be strings of at least one battery"),
        (
            "bank: {model: 12.8/100, strings: [[12.8/100]], state_of_charge: 1}",
            "model is not known here; known are strings",
        ),
        (
            "bank: {model: 12.8/100, state_of_charge: 1, batteries: {2: {temperature: 3}}}",
            "batteries should be a whole number from 1 to 1, not '2'.",
        ),
        (
            "bank: {model: 12.8/100, state_of_charge: 1, capacity: 20}",
            "capacity should be a number from 50 to 110, not '20'.",
        ),
        (
            "bank: {model: 12.8/100, state_of_charge: 1, capacity: {from: 102, to: 70}}",
            "from 102 to 70 is the wrong way round.",
        ),
        ("clouds: 3", "bank is missing."),
    ],
)
def test_impossible_banks_are_refused(bank: str, said: str) -> None:
    error = error_in("", bank=bank)
    assert said in error
    assert SENTENCE.fullmatch(error)


@pytest.mark.parametrize("start", ["tomorrow", "1949-12-31 12:00", "2050-01-01 00:00", "2026-13-01 00:00"])
def test_start_is_a_date_for_which_the_sun_is_known(start: str) -> None:
    assert SENTENCE.fullmatch(error_of(BASE.replace("2026-06-15 12:00", start) + BANK))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing\n",
        pytest.param("[" * 600, id="deep"),
        "\0",
        "- a\n- b\n",
        "word",
        "a: &a [*a]\n",
        "--- 1\n--- 2\n",
    ],
)
def test_what_is_no_scenario_at_all_is_refused(content: str) -> None:
    error = error_of(content)
    assert error.startswith("test.yaml")
    assert error.endswith(".")
    assert "\n" not in error


def test_an_unknown_scenario_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        ScenarioError, match=r"no scenario 'sola'; there are bench, .*, solar, .*, or the path of a file"
    ):
        scenarios.load("sola")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.yaml", tmp_path, binary):
        with pytest.raises(ScenarioError, match=re.escape(str(path))) as error:
            scenarios.load(str(path))
        assert str(error.value).endswith(".")


def test_a_file_that_refers_to_itself_again_and_again_takes_no_time() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{number}: &a{number} [*a{number - 1}, *a{number - 1}]" for number in range(1, 40))]
    assert "line 4: a0 is not known here" in error_in("\n".join(lines))


@given(st.text())
def test_no_text_breaks_the_reader(content: str) -> None:
    with suppress(ScenarioError):
        parse_scenario(content, name="test", file="test.yaml")


# What comes with the emulator, and what says everything, without comments.
SOURCES = [
    "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for text in (EVERYTHING, *((FOLDER / f"{name}.yaml").read_text(encoding="utf-8") for name in SHIPPED))
]
WORD = re.compile(r"[\w.:/-]+")
JUNK = (
    *("", "''", "~", "[]", "{}", "[1]", "{a: 1}", "yes", "x"),
    *("-1", "0", "1e9", "nan", "2.5", "+3", "1_0", "25:00", "0 s"),
)


def mistyped(random: Random) -> str:
    """Return a scenario with one or two words, keys or lines that do not belong there."""
    text = random.choice(SOURCES)
    words = [*JUNK, *WORD.findall(text)]
    for _ in range(random.randint(1, 2)):
        word = random.choice(list(WORD.finditer(text)))
        lines = text.split("\n")
        line = random.randrange(len(lines))
        text = random.choice(
            (
                text[: word.start()] + random.choice(words) + text[word.end() :],
                "\n".join([*lines[:line], *lines[line + 1 :]]),
                "\n".join([*lines[:line], random.choice(lines), *lines[line:]]),
                "\n".join([*lines[:line], lines[line][2:], *lines[line + 1 :]]),
            )
        )
    return text


@pytest.mark.parametrize("seed", range(8))
def test_a_mistyped_scenario_is_read_and_runs_or_is_refused_with_a_line(seed: int) -> None:
    random = Random(seed)
    said = [complaint(mistyped(random)) for _ in range(250)]
    assert [each for each in said if each is not None and not SENTENCE.fullmatch(each)] == []
    assert 100 < sum(each is not None for each in said) < 250


def complaint(content: str) -> str | None:
    """Return what is said of a file; None if it is a scenario, and then it must run."""
    try:
        read = parse_scenario(content, name="test", file="test.yaml")
    except ScenarioError as error:
        return str(error)
    Simulation(read).advance(1)
    return None
