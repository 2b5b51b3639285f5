"""Everything of a scenario, wired together."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
import json
from math import inf
from pathlib import Path
import re

import pytest

from emulator.bms.leds import Led
from emulator.bms.settings import SettingKey
from emulator.device import DEFAULT_PIN, VE_SMART_CHANNELS
from emulator.gatt import AttError
from emulator.personality.table import PERSONALITIES
from emulator.reading.state import JsonValue
from emulator.rig import CannotStartError, Rig, cannot_use_port
from emulator.simulation.scenario import DeviceSpec
from emulator.simulation.state_file import StateFileError, write_state
from emulator.ve_smart.chunks import Channel

from .rigs import Proxies, bench, rig_of, two

LIMIT = 60.0


def make(path: Path | None, *, seed: int | None = None, with_pin: bool = True) -> Rig:
    return Rig(two(), make_proxy=Proxies().make, speed=0, seed=seed, state_file=path, with_pin=with_pin)


async def test_the_radio_shows_the_bank_and_the_bms_hears_of_the_radio() -> None:
    rig = rig_of(bench())
    (station,) = rig.stations
    assert station.device.readout() == station.bms.snapshot()
    link = station.device.peripheral.connect("phone")
    leds = [station.bms.blue_led]
    link.close()
    assert [*leds, station.bms.blue_led] == [Led.ON, Led.BLINKING]


async def test_ve_smart_is_served_from_the_registers() -> None:
    (station,) = rig_of(bench()).stations
    link = station.device.peripheral.connect("phone")
    await link.pair(DEFAULT_PIN)
    control = station.device.peripheral.characteristic(VE_SMART_CHANNELS[Channel.CONTROL]).handle
    assert len(await link.read(control)) == 7
    assert station.ve_smart.session is not None
    link.close()


@pytest.mark.parametrize("name", PERSONALITIES)
async def test_a_device_has_the_personality_of_its_scenario(name: str) -> None:
    plain = bench()
    (station,) = rig_of(plain.model_copy(update={"devices": (DeviceSpec(personality=name),)})).stations
    assert station.personality == name
    assert station.ve_smart.quirks == PERSONALITIES[name].connection
    station.device.peripheral.connect("phone").close()
    assert station.registers.quirks == PERSONALITIES[name].connection
    station.take_on(PERSONALITIES["shy"])
    assert station.personality == "shy"


async def test_a_scenario_can_leave_out_the_state_of_charge_besides() -> None:
    spec = DeviceSpec(personality="beacon", advertises_state_of_charge=False)
    (station,) = rig_of(bench().model_copy(update={"devices": (spec,)})).stations
    assert station.device.quirks == replace(PERSONALITIES["beacon"].radio, without_state_of_charge=True)
    assert station.personality is None


async def test_without_supply_the_link_is_lost() -> None:
    rig = rig_of(bench())
    (station,) = rig.stations
    link = station.device.peripheral.connect("phone")
    station.faults.apply("bank-voltage-low", "7")
    await rig.drive.leap(1)
    await rig.stop()
    assert not link.open
    assert not station.device.advertises


async def test_devices_and_proxies_differ_where_the_scenario_says_nothing() -> None:
    proxies = Proxies()
    rig = Rig(two(), make_proxy=proxies.make, speed=0)
    devices = [station.device for station in rig.stations]
    assert [device.pin for device in devices] == ["111111", DEFAULT_PIN]
    assert len({device.key for device in devices}) == 2
    assert len({device.serial_number for device in devices}) == 2
    bow, stern = proxies.made
    assert (bow.plan.name, stern.plan.name) == ("bow-1", "stern-2")
    assert bow.plan.mac != stern.plan.mac
    assert bow.rssi == {"C0:00:00:00:00:01": -50, "C0:00:00:00:00:02": -60}
    assert (bow.pin, stern.pin) == ("111111", None)
    assert rig.stations[0].bms is not rig.stations[1].bms


async def test_a_scenario_without_proxies_gets_one_that_knows_the_pin() -> None:
    (proxy,) = rig_of(bench()).proxies
    assert proxy.pin == DEFAULT_PIN


async def test_without_pin() -> None:
    assert [proxy.pin for proxy in make(None, with_pin=False).proxies] == [None, None]


@pytest.mark.parametrize("with_pin", [True, False])
async def test_a_proxy_that_is_no_longer_told_the_pin_has_no_bond(with_pin: bool, tmp_path: Path) -> None:
    rig = make(tmp_path / "state.json")
    bow = rig.proxies[0]
    for station in rig.stations:
        station.device.peripheral.bonds.update((bow.source, "phone"))
    rig.save()
    again = make(tmp_path / "state.json", with_pin=with_pin)
    left = {bow.source, "phone"} if with_pin else {"phone"}
    assert [station.device.peripheral.bonds for station in again.stations] == [left, left]


async def test_a_wrong_pin_ends_bonds_too() -> None:
    station, other = make(None).stations
    for one in (station, other):
        one.device.peripheral.bonds.add("phone")
    station.faults.apply("wrong-pin")
    link = station.device.peripheral.connect("phone")
    assert not link.bonded
    with pytest.raises(AttError):
        await link.pair(station.device.pin)
    assert other.device.peripheral.bonds == {"phone"}
    station.faults.clear("wrong-pin")
    await link.pair(station.device.pin)
    assert station.device.peripheral.bonds == {"phone"}
    link.close()


async def test_several_proxies_take_ports_in_a_row() -> None:
    rig = make(None)
    await rig.start(6000)
    assert rig.ports == (6000, 6001)
    await rig.stop()


async def test_a_port_in_use_leaves_nothing_started() -> None:
    proxies = Proxies(in_use=frozenset(("Stern",)))
    rig = Rig(two(), make_proxy=proxies.make, speed=1)
    with pytest.raises(CannotStartError, match=r"^Port 6001 cannot be used: Address already in use.$"):
        await rig.start(6000)
    assert not any(proxy.listens for proxy in proxies.made)


def test_there_is_no_port_above_the_highest() -> None:
    assert "65535" in str(cannot_use_port(65536, OverflowError()))


async def test_two_of_one_address() -> None:
    scenario = two()
    first, second = scenario.devices
    other = second.model_copy(update={"address": first.address})
    same = scenario.model_copy(update={"devices": (first, other)})
    with pytest.raises(CannotStartError, match="C0:00:00:00:00:01 appears twice"):
        Rig(same, make_proxy=Proxies().make)


# Time


async def test_all_devices_live_in_the_same_time() -> None:
    rig = make(None)
    await rig.drive.leap(90)
    await rig.stop()
    assert [station.simulation.elapsed for station in rig.stations] == [90, 90]


async def test_a_simulation_that_breaks_is_noticed() -> None:
    rig = rig_of(bench(), speed=inf)
    rig.stations[0].bms.faults.cell_drains = {(7, 0): 1.0}  # a battery that is not there
    await rig.start(0)
    with pytest.raises(ValueError, match="7"):
        await asyncio.wait_for(rig.drive.until_broken(), LIMIT)
    await rig.stop()


# State


async def test_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    rig = make(path)
    await rig.drive.leap(600)
    second = rig.stations[1]
    second.bms.change_setting(SettingKey.DISCHARGE_FLOOR, 33)
    second.device.instant_readout_on = False
    second.device.peripheral.bonds.add("phone")
    rig.save()
    await rig.stop()

    again = make(path)
    assert [station.simulation.elapsed for station in again.stations] == [600, 600]
    assert [station.bms.save() for station in again.stations] == [station.bms.save() for station in rig.stations]
    assert again.stations[1].device.peripheral.bonds == {"phone"}
    assert [station.device.instant_readout_on for station in again.stations] == [True, False]
    assert again.stations[0].bms.settings.discharge_floor != 33
    await again.drive.leap(60)
    await again.stop()
    assert again.stations[0].device.readout() == again.stations[0].bms.snapshot()


async def test_goes_on_with_a_state_of_an_earlier_version(tmp_path: Path) -> None:
    """One from before there were a second polarization, a sixth setting, and wires at the remote terminals."""
    file = tmp_path / "state.json"
    file.write_bytes((Path(__file__).parent / "states" / "before_relaxation.json").read_bytes())
    rig = Rig(bench(), make_proxy=Proxies().make, speed=0, state_file=file)
    (station,) = rig.stations
    assert station.simulation.elapsed == 4 * 3600
    assert set(station.faults.active) == {"cell-drift", "remote-open"}
    assert station.bms.voltage == pytest.approx(13.4, abs=0.1)
    station.faults.clear_all()
    station.simulation.advance(3600)
    rig.save()
    again = Rig(bench(), make_proxy=Proxies().make, speed=0, state_file=file)
    assert again.stations[0].simulation.save_state() == station.simulation.save_state()


async def test_without_a_file_nothing_is_saved(tmp_path: Path) -> None:
    make(None).save()
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))


type Damage = Callable[[dict[str, object]], None]


def _object(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def _first(state: Mapping[str, object]) -> dict[str, object]:
    devices = state["devices"]
    assert isinstance(devices, list)
    return _object(devices[0])


def _one_device(state: dict[str, object]) -> None:
    state["devices"] = [_first(state)]


def _no_objects(state: dict[str, object]) -> None:
    state["devices"] = [1, 2]


def _another_time(state: dict[str, object]) -> None:
    _object(_first(state)["simulation"])["elapsed"] = 5.0


def _another_scenario(state: dict[str, object]) -> None:
    _object(_first(state)["simulation"])["scenario"] = "solar"


def _no_radio(state: dict[str, object]) -> None:
    del _first(state)["radio"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_one_device, "1 devices"),
        (_no_objects, "devices should be an object"),
        (_another_time, "different times"),
        (_another_scenario, "solar, not two"),
        (_no_radio, "radio is missing"),
    ],
)
async def test_a_state_file_that_does_not_fit(damage: Damage, said: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    make(path).save()
    state = json.loads(path.read_text(encoding="utf-8"))["state"]
    damage(state)
    write_state(path, state)
    before = path.read_bytes()
    with pytest.raises(CannotStartError, match=f"^The state file .*state.json cannot be used: .*{said}"):
        make(path)
    assert path.read_bytes() == before


type Place = tuple[str | int, ...]
JUNK: tuple[JsonValue, ...] = (None, True, -5, 7, 1e15, 1e300, "x", [], [1], {}, {"x": 1})


def places(value: object, place: Place = ()) -> list[Place]:
    """Return where something is in a state, but for what the tests of the BMS damage."""
    if "bms" in place:
        return [place]
    parts: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    return [place, *(found for key, part in parts for found in places(part, (*place, key)))]


def replaced(value: JsonValue, place: Place, new: JsonValue) -> JsonValue:
    """Return a copy of a state with something else in a place."""
    if not place:
        return new
    if isinstance(value, dict):
        return {key: replaced(part, place[1:], new) if key == place[0] else part for key, part in value.items()}
    assert isinstance(value, list)
    return [replaced(part, place[1:], new) if key == place[0] else part for key, part in enumerate(value)]


async def test_whatever_is_damaged_is_refused_in_one_sentence_or_still_makes_sense(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    rig = make(path)
    rig.stations[0].device.peripheral.bonds.add("phone")
    rig.stations[0].simulation.world.force("Lamp", on=True)
    rig.save()
    whole = json.loads(path.read_text(encoding="utf-8"))["state"]
    # The second device is no other than the first.
    tried = [place for place in places(whole) if place and place[:2] != ("devices", 1)]
    assert len(tried) > 15
    for place in tried:
        for junk in JUNK:
            state = replaced(whole, place, junk)
            assert isinstance(state, dict)
            write_state(path, state)
            _load_or_complain(path)


def _load_or_complain(path: Path) -> None:
    try:
        rig = make(path)
    except CannotStartError as error:
        assert re.fullmatch(r"The state file .*state\.json .*\.", str(error))  # noqa: PT017 -- no error is good too
        return
    for station in rig.stations:
        station.simulation.advance(1)
        assert station.simulation.now.year < 3000
        assert station.device.readout()


@pytest.mark.parametrize(("key", "value"), [("elapsed", 1e15), ("elapsed", -5.0), ("device", 7), ("device", 1)])
async def test_a_time_and_a_device_that_cannot_be_are_refused(key: str, value: float, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    make(path).save()
    state = json.loads(path.read_text(encoding="utf-8"))["state"]
    for device in state["devices"]:
        device["simulation"][key] = value
    write_state(path, state)
    with pytest.raises(CannotStartError, match=r"^The state file .*state.json cannot be used: .*\.$"):
        make(path)


async def test_another_seed_than_the_saved_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    make(path, seed=5).save()
    make(path, seed=5)
    with pytest.raises(CannotStartError, match="seed 5, not 6"):
        make(path, seed=6)


async def test_saving_where_nothing_can_be_saved(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    rig = make(folder / "state.json")
    folder.rmdir()
    with pytest.raises(StateFileError, match="cannot be saved"):
        rig.save()
