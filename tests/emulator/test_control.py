"""The control channel, over real sockets."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession
import pytest

from emulator.bms.bms import SmallBms
from emulator.bms.leds import Led
from emulator.bms.remote import OPEN, SWITCHED_LOOP, WIRE_LOOP, Remote, Wire
from emulator.bms.settings import SettingKey
from emulator.control import ROUTES, Control, Route
from emulator.personality.quirks import EVERY_REGISTER, Arrays, Order, Quirks, RadioQuirks
from emulator.personality.table import PERSONALITIES
from emulator.reading.state import JsonObject, JsonValue, as_json
from emulator.report import HISTORY
from emulator.rig import CannotStartError, Rig
from emulator.simulation.faults import FAULTS
from emulator.simulation.grid import LONGEST_STEP

from .rigs import Proxies, two

pytestmark = pytest.mark.usefixtures("socket_enabled")

OLD_PORT = 12345


@dataclass
class Client:
    """Asks the control channel of a rig."""

    rig: Rig
    control: Control
    session: ClientSession

    @property
    def bms(self) -> SmallBms:
        """The first device's BMS."""
        return self.rig.stations[0].bms

    async def ask(
        self, method: str, path: str, body: JsonValue | bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, JsonValue]:
        """Return status and answer."""
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.session.request(method, self.control.address + path, headers=headers, **sent) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json()

    async def get(self, path: str) -> JsonObject:
        """Return the answer to a request that succeeds."""
        status, answer = await self.ask("GET", path)
        assert status == 200
        assert isinstance(answer, dict)
        return answer

    async def post(self, path: str, body: JsonValue = None) -> JsonValue:
        """Return the answer to a change that succeeds."""
        status, answer = await self.ask("POST", path, {} if body is None else body)
        assert status == 200, answer
        return answer

    async def refused(self, path: str, body: JsonValue | bytes, *, method: str = "POST", status: int = 400) -> str:
        """Return the sentence for a request that is refused."""
        found, answer = await self.ask(method, path, body)
        assert found == status, answer
        assert isinstance(answer, dict)
        assert list(answer) == ["error"]
        sentence = answer["error"]
        assert isinstance(sentence, str)
        assert sentence.endswith(".")
        return sentence


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[Client]:
    rig = Rig(two(), make_proxy=Proxies().make, speed=0, state_file=tmp_path / "state.json")
    await rig.start(0)
    control = Control(rig)
    await control.start(0)
    async with ClientSession() as session:
        yield Client(rig, control, session)
    await control.stop()
    await rig.stop()


# What is told


async def test_the_state(client: Client) -> None:
    client.rig.stations[0].faults.apply("cell-low", "2.85@1/2")
    state = await client.get("/state")
    device = client.rig.stations[0].device
    assert state["scenario"] == "two"
    assert state["time"] == "2026-04-15T09:00:00+02:00"
    assert state["speed"] == 0
    assert state["device"] == {
        "number": 1,
        "name": "Port",
        "address": device.address,
        "serial_number": device.serial_number,
        "key": device.key.hex(),
        "pin": "111111",
    }
    assert state["outputs"] == {"load": True, "charger": True, "pre_alarm": True}
    assert state["permissions"] == {
        "charge": "yes",
        "charge_off_reasons": [],
        "discharge": "pre_alarm",
        "discharge_off_reasons": [],
    }
    assert state["leds"] == {"blue": "blinking", "red": "blinking"}
    assert state["codes"] == [{"code": "W-B01", "severity": "warning", "meaning": "low cell voltage"}]
    assert state["faults"] == ["cell-low"]
    assert state["settings"] == as_json(client.bms.settings)
    (lamp,) = await flows(client)
    assert lamp["name"] == "Lamp"
    assert lamp["on"] is True
    history = state["history"]
    assert isinstance(history, dict)
    assert history.keys() == HISTORY.keys()
    assert len(history) == 13  # M-V5
    batteries = state["batteries"]
    assert isinstance(batteries, list)
    assert round(batteries[0]["cell_voltages"][1], 6) == 2.85


async def flows(client: Client) -> list[JsonObject]:
    status, answer = await client.ask("GET", "/flows")
    assert status == 200
    assert isinstance(answer, list)
    return answer


async def test_a_part_of_the_state(client: Client) -> None:
    assert await client.get("/state/leds") == {"blue": "blinking", "red": "off"}
    assert "leds" in await client.refused("/state/moon", b"", method="GET", status=404)


async def test_the_second_device(client: Client) -> None:
    await client.post("/faults/hot?device=2")
    assert client.rig.stations[0].faults.active == ()
    assert (await client.get("/state?device=2"))["faults"] == ["hot"]
    for number in ("0", "3", "x"):
        assert "1 to 2" in await client.refused(f"/state?device={number}", b"", method="GET", status=404)


async def test_an_unplugged_battery(client: Client) -> None:
    await client.post("/faults/cable-unplugged", {"argument": 1})
    batteries = (await client.get("/state"))["batteries"]
    assert batteries == [{"serial_number": client.bms.bank.batteries[0].serial_number, "unplugged": True}]


# Time


async def test_speed(client: Client) -> None:
    assert await client.post("/speed", {"speed": "max"}) == {"speed": "max"}
    assert (await client.get("/state"))["speed"] == "max"
    assert await client.post("/speed", {"speed": 2.5}) == {"speed": 2.5}
    assert await client.post("/speed", {"speed": 0}) == {"speed": 0}
    assert client.rig.drive.speed == 0


@pytest.mark.parametrize("speed", [-1, "fast", True, None, 1e9, 10**400, [1]])
async def test_what_is_no_speed(client: Client, speed: JsonValue) -> None:
    assert "speed" in await client.refused("/speed", {"speed": speed})


async def test_advance(client: Client) -> None:
    assert await client.post("/advance", {"seconds": 3600}) == {"time": "2026-04-15T10:00:00+02:00", "elapsed": 3600}
    assert client.rig.stations[1].simulation.elapsed == 3600


async def test_advance_in_longer_steps(client: Client) -> None:
    answer = await client.post("/advance", {"seconds": 3600, "coarse": True})
    assert isinstance(answer, Mapping)
    assert answer["elapsed"] == 3600
    assert client.rig.stations[0].simulation.longest_step == LONGEST_STEP
    assert "coarse" in await client.refused("/advance", {"seconds": 3600, "coarse": "very"})
    assert client.rig.stations[0].simulation.elapsed == 3600


@pytest.mark.parametrize("seconds", [-1, 1e10, 10**400, "1", None, True])
async def test_what_is_no_time(client: Client, seconds: JsonValue) -> None:
    assert "seconds" in await client.refused("/advance", {"seconds": seconds})
    assert client.rig.stations[0].simulation.elapsed == 0


async def test_save(client: Client) -> None:
    file = client.rig.state_file
    assert file is not None
    assert await client.post("/save") == {"file": str(file)}
    again = Rig(two(), make_proxy=Proxies().make, state_file=file)
    assert again.stations[0].bms.save() == client.bms.save()
    file.unlink()
    file.parent.rmdir()
    assert "cannot be saved" in await client.refused("/save", b"", status=500)
    client.rig.state_file = None
    assert "--save" in await client.refused("/save", b"")


# Faults


async def test_a_fault_comes_and_goes(client: Client) -> None:
    assert await client.post("/faults/hot") == {"faults": ["hot"]}
    assert await client.post("/faults/hardware", {}) == {"faults": ["hot", "hardware"]}
    assert "E-B11" in client.bms.codes
    assert await client.ask("DELETE", "/faults/hardware") == (200, {"faults": ["hot"]})
    assert await client.ask("DELETE", "/faults") == (200, {"faults": []})
    assert not client.bms.codes


async def test_every_fault_is_listed(client: Client) -> None:
    await client.post("/faults/slow", {"argument": 2})
    status, answer = await client.ask("GET", "/faults")
    assert status == 200
    assert isinstance(answer, list)
    assert [fault["name"] for fault in answer] == list(FAULTS)
    assert [fault["name"] for fault in answer if fault["on"]] == ["slow"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_an_unknown_fault(client: Client, method: str) -> None:
    assert "'rain'" in await client.refused("/faults/rain", b"", method=method, status=404)


@pytest.mark.parametrize("argument", ["very", True, None, [1], {}, -300])
async def test_what_is_no_argument(client: Client, argument: JsonValue) -> None:
    await client.refused("/faults/hot", {"argument": argument})
    assert client.rig.stations[0].faults.active == ()


# BMS and world


async def test_settings(client: Client) -> None:
    answer = await client.post("/settings", {"discharge_floor": 30, "tail_current": 2})
    assert client.bms.settings.discharge_floor == 30
    assert answer == as_json(client.bms.settings)
    assert await client.post("/settings/restore-defaults") == as_json(client.bms.settings)
    assert client.bms.settings.discharge_floor == 10


async def test_of_several_settings_all_are_good_or_none_is_changed(client: Client) -> None:
    before = client.bms.settings
    sentence = await client.refused("/settings", {"discharge_floor": 30, "tail_current": 200})
    assert sentence == "tail_current should be a number from 0.5 to 10."
    sentence = await client.refused("/settings", {"discharge_floor": "30"})
    assert sentence == "discharge_floor should be a number from 0 to 99."
    assert SettingKey.LOW_SOC_WARNING in await client.refused("/settings", {"color": 1})
    assert client.bms.settings == before


async def test_mode_and_remote(client: Client) -> None:
    assert await client.post("/mode", {"on": False}) == {"system_on": False}
    assert not client.bms.outputs.load
    assert await client.post("/mode", {"on": True}) == {"system_on": True}
    assert await client.post("/remote", {"h_voltage": 1}) == {"on": False}
    assert not client.bms.outputs.load
    assert await client.post("/remote", {"h_voltage": 5, "l_voltage": None}) == {"on": True}
    assert await client.post("/remote", {"joined": True}) == {"on": True}
    await client.refused("/mode", {"on": 1})
    await client.refused("/remote", {"l_voltage": -1})


@pytest.mark.parametrize(
    ("body", "remote"),
    [
        ({"loop": True}, WIRE_LOOP),
        ({"loop": True, "switch": True}, SWITCHED_LOOP),
        ({"h": "plus"}, Remote(h_voltage=Wire.PLUS)),
        ({"l": "minus", "switch": False}, Remote(l_voltage=Wire.MINUS, switch=False)),
        ({"h": 70}, Remote(h_voltage=70.0)),
        ({"h": None}, OPEN),
    ],
)
async def test_remote_terminals_as_wires(client: Client, body: JsonObject, remote: Remote) -> None:
    await client.post("/remote", body)
    assert client.bms.remote == remote


async def test_the_switch_of_the_remote_terminals(client: Client) -> None:
    assert await client.post("/remote", {"h": "plus", "switch": True}) == {"on": True}
    assert await client.post("/remote", {"switch": False}) == {"on": False}
    assert not client.bms.outputs.load
    assert await client.post("/remote", {"switch": True}) == {"on": True}
    assert client.bms.remote == Remote(h_voltage=Wire.PLUS, switch=True)


@pytest.mark.parametrize("wrong", [{"h": "battery"}, {"h": 70.1}, {"l": True}, {"switch": 1}])
async def test_terminals_that_cannot_be(client: Client, wrong: JsonObject) -> None:
    await client.refused("/remote", wrong)
    assert client.bms.remote == WIRE_LOOP


async def test_the_temperature_that_is_shown(client: Client) -> None:
    assert (await client.get("/state/radio"))["temperature"] == "hottest"
    await client.post("/radio", {"temperature": "coldest"})
    assert (await client.get("/state/radio"))["temperature"] == "coldest"
    await client.refused("/radio", {"temperature": "warm", "bluetooth_enabled": False})
    assert client.bms.bluetooth_enabled
    assert client.bms.shown_temperature == "coldest"


async def test_the_firmware_of_a_battery(client: Client) -> None:
    assert await client.post("/firmware/begin", {"battery": 1}) == {"firmware": "updating"}
    await client.refused("/firmware/begin", {"battery": 1})
    await client.post("/firmware/finish", {"ok": True})
    assert client.bms.bank.batteries[0].firmware_version == "v1.03"
    await client.refused("/firmware/begin", {"battery": 2})


async def test_what_is_waited_for(client: Client) -> None:
    await client.post("/faults/cell-low")
    assert await client.get("/state/waiting") == {"low_cell_voltage": 30.0}


async def test_state_of_charge(client: Client) -> None:
    assert await client.post("/state-of-charge", {"percent": 12}) == {"state_of_charge": 12}
    assert "W-B07" in client.bms.codes
    assert await client.post("/synchronize") == {"state_of_charge": 100}
    assert client.bms.history.synchronizations == 1
    await client.post("/history/clear")
    assert client.bms.history.synchronizations == 0
    await client.refused("/state-of-charge", {"percent": 101})


async def test_a_firmware_update(client: Client) -> None:
    assert await client.post("/firmware/begin") == {"firmware": "updating"}
    assert "firmware update" in await client.refused("/firmware/begin", b"")
    assert await client.post("/firmware/finish", {"ok": False}) == {"firmware": "failed"}
    assert "ok" in await client.refused("/firmware/finish", {})


async def test_a_power_cycle_looks_for_the_batteries_anew(client: Client) -> None:
    await client.post("/faults/cable-unplugged")
    assert "E-B05" not in client.bms.codes
    await client.post("/power-cycle")
    assert client.bms.codes & {"E-B01", "E-B05"}


async def test_an_output_that_carries_too_much_is_destroyed(client: Client) -> None:
    answer = await client.post("/outputs", {"name": "load", "current": 1})
    assert isinstance(answer, dict)
    assert answer["destroyed_outputs"] == []
    await client.post("/outputs", {"name": "load", "current": 1.1})
    state = await client.get("/state")
    health, outputs = state["health"], state["outputs"]
    assert isinstance(health, dict)
    assert isinstance(outputs, dict)
    assert health["destroyed_outputs"] == ["load"]
    assert not outputs["load"]
    answer = await client.post("/outputs/repair")
    assert isinstance(answer, dict)
    assert answer["destroyed_outputs"] == []
    assert answer["output_currents"] == {"load": 0, "charger": 0, "pre_alarm": 0}
    assert client.bms.outputs.load
    assert "pre_alarm" in await client.refused("/outputs", {"name": "horn", "current": 1}, status=404)
    assert "current" in await client.refused("/outputs", {"name": "load", "current": -1})


async def test_health(client: Client) -> None:
    health = await client.get("/state/health")
    assert health["current_use"] == "recommended"
    assert health["over_pulse"] is health["ruined"] is False
    assert health["within_operating_temperature"] is True
    assert health["reserve_ah"] == client.bms.reserve_ah > 0
    client.bms.step(current=-450, ambient=70, seconds=20)
    health = await client.get("/state/health")
    assert health["current_use"] == "too_high"
    assert health["over_pulse"] is True
    assert health["within_operating_temperature"] is False


async def test_a_load_by_hand(client: Client) -> None:
    await client.post("/flows", {"name": "Lamp", "on": False})
    (lamp,) = await flows(client)
    assert lamp["forced"] is False
    await client.post("/flows", {"name": "Lamp", "on": None})
    (lamp,) = await flows(client)
    assert lamp["forced"] is None
    assert "'Sauna'" in await client.refused("/flows", {"name": "Sauna", "on": True})
    assert "on" in await client.refused("/flows", {"name": "Lamp", "on": 1})
    assert "name" in await client.refused("/flows", {"name": 1, "on": True})


# Radio


async def test_instant_readout_and_bluetooth(client: Client) -> None:
    device = client.rig.stations[0].device
    link = device.peripheral.connect("phone")
    await client.post("/radio", {"instant_readout_on": False})
    assert link.open
    answer = await client.post("/radio", {"bluetooth_enabled": False})
    assert isinstance(answer, dict)
    assert answer["connected"] is answer["advertises"] is answer["instant_readout_on"] is False
    assert client.bms.blue_led is Led.OFF
    await client.refused("/radio", {"bluetooth_enabled": True, "instant_readout_on": 3})
    assert not client.bms.bluetooth_enabled


async def test_the_link_and_the_bonds(client: Client) -> None:
    peripheral = client.rig.stations[0].device.peripheral
    link = peripheral.connect("phone")
    await link.pair("111111")
    assert (await client.get("/state/radio"))["bonds"] == ["phone"]
    await client.post("/radio/drop-link")
    assert peripheral.link is None
    await client.post("/radio/forget-bonds")
    assert peripheral.bonds == set()


async def test_forbidden_writes_are_told(client: Client) -> None:
    station = client.rig.stations[0]
    station.registers.write(0, 0xEC10, b"\x00")
    station.device.forbidden_writes["some characteristic"] += 2
    radio = await client.get("/state/radio")
    assert radio["forbidden_writes"] == {"some characteristic": 2, "0xEC10": 1}


async def test_quirks(client: Client) -> None:
    wanted: JsonObject = {
        "acknowledges_writes": True,
        "order": "reversed",
        "answer_delay": 0.5,
        "instance_offset": 3,
        "missing": [0x1001, 0x1002],
        "refused_writes": "all",
        "arrays": "definite",
        "beacons_between": True,
        "trailing_bytes": 2,
    }
    answer = await client.post("/radio/quirks", wanted)
    assert isinstance(answer, dict)
    assert {**answer, **wanted} == answer
    assert client.rig.stations[0].ve_smart.quirks == Quirks(
        acknowledges_writes=True,
        order=Order.REVERSED,
        answer_delay=0.5,
        instance_offset=3,
        missing=frozenset((0x1001, 0x1002)),
        refused_writes=EVERY_REGISTER,
        arrays=Arrays.DEFINITE,
    )
    assert client.rig.stations[0].device.quirks == RadioQuirks(beacons_between=True, trailing_bytes=2)


async def test_a_mistake_in_one_quirk_changes_none(client: Client) -> None:
    for body in ({"seed": 5, "trailing_bytes": 4}, {"trailing_bytes": 2, "seed": -1}):
        await client.refused("/radio/quirks", body)
    assert client.rig.stations[0].ve_smart.quirks == Quirks()
    assert client.rig.stations[0].device.quirks == RadioQuirks()


async def test_personalities(client: Client) -> None:
    assert (await client.get("/state/radio"))["personality"] == "battery-protect"
    answer = await client.post("/radio/personality", {"name": "ip22"})
    assert isinstance(answer, dict)
    assert answer["personality"] == "ip22"
    station = client.rig.stations[0]
    assert station.ve_smart.quirks == PERSONALITIES["ip22"].connection
    assert station.device.quirks == PERSONALITIES["ip22"].radio
    await client.post("/radio/quirks", {"seed": 7})
    assert (await client.get("/state/radio"))["personality"] is None
    assert "strict" in await client.refused("/radio/personality", {"name": "mppt2"}, status=404)
    assert station.ve_smart.quirks.seed == 7


@pytest.mark.parametrize(
    ("quirk", "value"),
    [
        ("acknowledges_writes", 1),
        ("order", "alphabetical"),
        ("order", 1),
        ("answer_delay", -1),
        ("instance_offset", 1.5),
        ("largest_request", 256),
        ("missing", "some"),
        ("missing", [0x10000]),
        ("missing", ["0x1001"]),
        ("color", "red"),
    ],
)
async def test_what_is_no_quirk(client: Client, quirk: str, value: JsonValue) -> None:
    assert quirk in await client.refused("/radio/quirks", {quirk: value})
    assert client.rig.stations[0].ve_smart.quirks == Quirks()


async def test_every_number_of_the_quirks_has_limits(client: Client) -> None:
    for name, value in {**vars(Quirks()), **vars(RadioQuirks())}.items():
        present = sorted(value) if isinstance(value, frozenset) else value
        await client.post("/radio/quirks", {name: present})


async def test_proxies(client: Client) -> None:
    bow = client.rig.proxies[0]
    answer = await client.post("/proxies", {"name": "Bow", "slots": 2, "rssi": -80, "knows_pin": False})
    assert isinstance(answer, dict)
    assert (answer["slots"], answer["rssi"], answer["knows_pin"]) == (2, -80, False)
    assert (bow.slots, bow.pin, bow.rssi["C0:00:00:00:00:01"]) == (2, None, -80)
    bonds = client.rig.stations[1].device.peripheral.bonds
    bonds.update((bow.source, "phone"))
    await client.post("/proxies", {"name": "Bow", "slots": 2})
    assert bonds == {"phone"}
    await client.post("/proxies", {"name": "Bow", "knows_pin": True})
    assert (bow.slots, bow.pin) == (2, "111111")
    assert "Stern" in await client.refused("/proxies", {"name": "Mast"}, status=404)
    for wrong in ({"slots": -1}, {"rssi": 21}, {"knows_pin": "yes"}):
        await client.refused("/proxies", {"name": "Bow", **wrong})
    assert bow.slots == 2


# What makes no sense


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"1", b"[" * 60000])
async def test_what_is_no_object(client: Client, body: bytes) -> None:
    assert "JSON" in await client.refused("/speed", body)


async def test_a_request_that_is_too_long(client: Client) -> None:
    await client.refused("/speed", b" " * 100_000, status=413)


async def test_a_mistake_of_its_own_is_one_sentence_too(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.bms.faults.cell_drains = {(7, 0): 1.0}  # a battery that is not there
    assert "log" in await client.refused("/mode", {"on": True}, status=500)
    assert "POST /mode" in caplog.text
    assert "ValueError" in caplog.text
    client.bms.faults.cell_drains = {}
    assert await client.post("/mode", {"on": True}) == {"system_on": True}


async def test_other_paths_and_methods(client: Client) -> None:
    assert "/moon" in await client.refused("/moon", b"", status=404)
    assert "DELETE" in await client.refused("/state", b"", method="DELETE", status=405)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST"], ids=lambda route: route.path)
async def test_an_unknown_field_is_refused_everywhere(client: Client, route: Route) -> None:
    assert "nonsense" in await client.refused(route.path.replace("*", "hot"), {"nonsense": 1})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"},
        {"Host": f"127.0.0.1:{OLD_PORT}"},
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
    ],
)
async def test_web_pages_are_kept_out(client: Client, headers: dict[str, str]) -> None:
    status, answer = await client.ask("POST", "/mode", {"on": False}, headers)
    assert status == 403
    assert isinstance(answer, dict)
    assert client.bms.mode_on


async def test_its_own_names_are_let_in(client: Client) -> None:
    port = client.control.address.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        assert (await client.ask("GET", "/state", b"", {"Host": host, "Origin": f"http://{host}"}))[0] == 200


async def test_a_port_in_use(client: Client) -> None:
    port = int(client.control.address.rpartition(":")[2])
    with pytest.raises(CannotStartError, match=f"^Port {port} cannot be used: Address already in use"):
        await Control(client.rig).start(port)
