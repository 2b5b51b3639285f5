"""The command line, as a process of its own."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Coroutine
import json
import os
from pathlib import Path
import signal
import socket
import sys

from aioesphomeapi.api_pb2 import BluetoothLERawAdvertisementsResponse  # type: ignore[attr-defined] # untyped protobuf
from aioesphomeapi.client import APIClient
from aiohttp import ClientSession
from bluetooth_data_tools import parse_advertisement_data_bytes
import pytest
from victron_ble.devices import detect_device_type

from emulator.__main__ import Ready, main, run
from emulator.instant_readout import COMPANY_ID
from emulator.options import Options
from emulator.rig import CannotStartError, Rig

from .scenarios import BANK, BASE

pytestmark = pytest.mark.usefixtures("socket_enabled")

LIMIT = 60.0
SCENARIOS = Path(__file__).parents[2] / "emulator" / "simulation" / "scenarios"
TWO_OF_EACH = """
devices:
  - {name: Port, address: C0:00:00:00:00:01, pin: "111111"}
  - {name: Starboard, address: C0:00:00:00:00:02}
proxies:
  - {name: Bow, rssi: {Port: -50}, slots: 1}
  - {name: Stern, rssi: -70, pin: yes}
"""
type Start = Callable[..., Coroutine[None, None, Process]]


@pytest.fixture
async def start() -> AsyncGenerator[Start]:
    """Start emulators, and leave none behind."""
    processes: list[Process] = []

    async def start(*arguments: str) -> Process:
        command = (sys.executable, "-m", "emulator", *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> str:
    assert process.stdout
    return (await asyncio.wait_for(process.stdout.readline(), LIMIT)).decode()


async def rest(process: Process) -> tuple[str, str]:
    out, err = await asyncio.wait_for(process.communicate(), LIMIT)
    return out.decode(), err.decode()


async def end(process: Process, number: signal.Signals = signal.SIGTERM) -> None:
    process.send_signal(number)
    assert await rest(process) == ("", "")
    assert process.returncode == 0


async def show_nothing(_rig: Rig, _control: str) -> None:
    """Show nothing."""


def low_cell_voltage(key: str, data: bytes) -> int | None:
    """Read the level of low cell voltage the way others read the rest: bits 72 and 73 of the record."""
    decoder = detect_device_type(data)
    assert decoder
    record = decoder(key).decrypt(data)
    return record[9] & 3


async def heard(ready: dict[str, object], wanted: Callable[[bytes], bool]) -> None:
    """Wait for an advertisement that is wanted, as an ESPHome client that knows nothing of us."""
    done = asyncio.Event()

    def take(response: BluetoothLERawAdvertisementsResponse) -> None:
        for advertisement in response.advertisements:
            data = parse_advertisement_data_bytes(advertisement.data)[3][COMPANY_ID]
            if wanted(data):
                done.set()

    port = ready["port"]
    assert isinstance(port, int)
    client = APIClient("127.0.0.1", port, None)
    await client.connect(login=True)
    try:
        stop = client.subscribe_bluetooth_le_raw_advertisements(take)
        await asyncio.wait_for(done.wait(), LIMIT)
        stop()
    finally:
        await client.disconnect()


async def test_from_the_command_line_to_a_code_in_the_air(start: Start) -> None:
    process = await start("--scenario", "bench", "--port", "0", "--json", "--speed", "60")
    ready = json.loads(await line(process))
    key = ready["devices"][0]["key"]
    await heard(ready, lambda data: low_cell_voltage(key, data) == 1)
    async with ClientSession() as session:
        async with session.post(f"{ready['control']}/faults/cell-low", json={}) as response:
            assert await response.json() == {"faults": ["cell-low"]}
        await heard(ready, lambda data: low_cell_voltage(key, data) in (2, 3))
        async with session.delete(f"{ready['control']}/faults/cell-low") as response:
            assert await response.json() == {"faults": []}
        await heard(ready, lambda data: low_cell_voltage(key, data) == 1)
    await end(process)


async def test_one_line_of_json_when_ready(start: Start) -> None:
    process = await start("--port", "0", "--json", "--name", "a BMS", "--pin", "000001", "--key", "AB" * 16)
    ready = json.loads(await line(process))
    port, control = ready.pop("port"), ready.pop("control")
    assert ready == {
        "host": "127.0.0.1",
        "devices": [{"address": "C0:3A:5E:00:00:01", "name": "a BMS", "key": "ab" * 16, "pin": "000001"}],
        "proxies": [{"name": "Living room", "host": "127.0.0.1", "port": port, "address": "02:00:00:E5:90:03"}],
        "scenario": "solar",
        "speed": 1.0,
    }
    assert control.startswith("http://127.0.0.1:")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await end(process)
    writer.close()


async def test_lines_for_people_and_ctrl_c(start: Start) -> None:
    process = await start("--port", "0", "--address", "c0:00:00:00:00:aa", "--speed", "max", "--fault", "hot=60")
    assert "C0:00:00:00:00:AA" in await line(process)
    assert "key " in await line(process)
    assert "ESPHome" in await line(process)
    assert "http://127.0.0.1:" in await line(process)
    assert "Ctrl-C" in await line(process)
    assert "charger floating" in (now := await line(process))
    assert "hot" in now
    process.send_signal(signal.SIGINT)
    _, err = await rest(process)
    assert (process.returncode, err) == (0, "")


async def test_goes_on_where_it_was_saved(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    arguments = ("--scenario", "bench", "--port", "0", "--json", "--save", str(file))
    process = await start(*arguments)
    ready = json.loads(await line(process))
    async with ClientSession() as session:
        async with session.post(f"{ready['control']}/advance", json={"seconds": 7200}) as response:
            assert (await response.json())["elapsed"] >= 7200
        async with session.post(f"{ready['control']}/radio", json={"instant_readout_on": False}) as response:
            assert response.ok
    await end(process)

    process = await start(*arguments)
    ready = json.loads(await line(process))
    async with ClientSession() as session, session.get(f"{ready['control']}/state") as response:
        state = await response.json()
    assert state["elapsed"] >= 7200
    assert state["history"]["cumulative_drawn_ah"] > 15
    assert state["radio"]["instant_readout_on"] is False
    await end(process)


async def test_several_devices_and_proxies(start: Start, tmp_path: Path) -> None:
    bench = (SCENARIOS / "bench.yaml").read_text(encoding="utf-8")
    (tmp_path / "boat.yaml").write_text(bench + TWO_OF_EACH, encoding="utf-8")
    process = await start("--scenario", str(tmp_path / "boat.yaml"), "--port", "0", "--json")
    ready = json.loads(await line(process))
    assert [device["name"] for device in ready["devices"]] == ["Port", "Starboard"]
    assert [proxy["name"] for proxy in ready["proxies"]] == ["Bow", "Stern"]
    assert len({proxy["address"] for proxy in ready["proxies"]}) == 2
    assert len({device["key"] for device in ready["devices"]}) == 2
    second = ready["devices"][1]["key"]
    for proxy in ready["proxies"]:
        await heard(proxy, lambda data: data[7] == bytes.fromhex(second)[0])
    async with ClientSession() as session, session.get(f"{ready['control']}/state?device=2") as response:
        state = await response.json()
    assert state["device"]["name"] == "Starboard"
    assert [(proxy["rssi"], proxy["slots"], proxy["knows_pin"]) for proxy in state["proxies"]] == [
        (-60, 1, False),
        (-70, 3, True),
    ]
    await end(process)


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    out, err = capsys.readouterr()
    assert "solar " in out
    assert "Off-grid" in out
    assert "cell-low[=V@battery/cell" in out
    assert "owner-2026 " in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--key", "xyz"), "'xyz'"),
        (("--key", "ab" * 15), "32 hexadecimal digits"),
        (("--address", "C0:3A"), "'C0:3A'"),
        (("--pin", "12345"), "six digits"),
        (("--personality", "mppt2"), "one of battery-protect, mppt, ip22"),
        (("--pin", "٣٣٣٣٣٣"), "six digits"),
        (("--name", "x" * 30), "29 bytes"),
        (("--name", ""), "29 bytes"),
        (("--port", "65536"), "65535"),
        (("--port", "-1"), "65535"),
        (("--control-port", "x"), "65535"),
        (("--seed", "-1"), "'-1'"),
        (("--seed", "9" * 19), "a whole number"),
        (("--speed", "0"), "above zero"),
        (("--speed", "nan"), "above zero"),
        (("--speed", "fast"), "above zero"),
        (("--nonsense",), "--nonsense"),
        (("--key",), "--key"),
        (("--scenario", "lunar"), "'lunar'"),
        (("--fault", "rain"), "'rain'"),
        (("--fault", "hot=very"), "'very'"),
        (("--fault", "cell-low=2.5@7/1"), "battery 7"),
        (("--save", "/no/such/folder/state.json"), "/no/such/folder"),
        (("--save", "/"), "/"),
    ],
)
def test_what_makes_no_sense(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_mistyped_scenario_file_is_answered_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cabin.yaml"
    file.write_text(f"{BASE}{BANK}\nclouds: many\n", encoding="utf-8")
    assert main(["--port", "0", "--scenario", str(file)]) == 2
    assert capsys.readouterr() == ("", "cabin.yaml, line 4: clouds should be a number from 0 to 100, not 'many'.\n")


def test_a_corrupt_state_file_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "state.json"
    file.write_text("{}", encoding="utf-8")
    assert main(["--port", "0", "--save", str(file)]) == 2
    assert str(file) in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "{}"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("option", ["--port", "--control-port"])
async def test_a_port_that_is_taken(option: str, start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start("--port", "0", option, str(port), "--save", str(tmp_path / "state.json"))
        out, err = await rest(process)
    assert process.returncode == 2
    assert out == ""
    assert err == f"Port {port} cannot be used: Address already in use.\n"
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_saves(number: signal.Signals, start: Start, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    process = await start("--port", "0", "--json", "--speed", "0.001", "--save", str(file))
    control = json.loads(await line(process))["control"]
    async with ClientSession() as session:
        async with session.post(f"{control}/state-of-charge", json={"percent": 12.5}) as response:
            assert response.ok
        # Its connection stays open meanwhile.
        await end(process, number)
    assert f'"counted": {round(400e9 * 0.125)}' in await asyncio.to_thread(file.read_text)


async def test_a_second_emulator_with_the_same_state(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    first = await start("--port", "0", "--json", "--save", str(file))
    await line(first)
    second = await start("--port", "0", "--json", "--save", str(file))
    assert await rest(second) == ("", f"The state file {file} is in use by another emulator.\n")
    assert second.returncode == 2
    await end(first)
    third = await start("--port", "0", "--json", "--save", str(file))
    await line(third)
    await end(third)
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == [file]


async def test_a_pipe_as_state_file(start: Start, tmp_path: Path) -> None:
    pipe = tmp_path / "state.json"
    os.mkfifo(pipe)
    process = await start("--port", "0", "--json", "--save", str(pipe))
    assert await rest(process) == ("", f"The state cannot be saved to {pipe}: it is not an ordinary file.\n")
    assert process.returncode == 2


@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_a_standard_output_that_nobody_reads(options: tuple[str, ...], tmp_path: Path) -> None:
    """It saves, and says so in one sentence."""
    file = tmp_path / "state.json"
    reading, writing = os.pipe()
    os.close(reading)
    command = (sys.executable, "-m", "emulator", "--port", "0", "--save", str(file), *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=writing, stderr=PIPE)
    os.close(writing)
    _, err = await asyncio.wait_for(process.communicate(), LIMIT)
    assert err.decode() == "The standard output takes no more: Broken pipe.\n"
    assert process.returncode == 1
    assert await asyncio.to_thread(file.exists)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="This system has no device that is always full.")
async def test_a_full_disk_behind_the_standard_output(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230 - a device
        command = (sys.executable, "-m", "emulator", "--port", "0", "--save", str(file))
        process = await asyncio.create_subprocess_exec(*command, stdout=full, stderr=PIPE)
    _, err = await asyncio.wait_for(process.communicate(), LIMIT)
    assert err.decode() == "The standard output takes no more: No space left on device.\n"
    assert process.returncode == 1
    assert await asyncio.to_thread(file.exists)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_during_the_start(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is put away again."""
    started = Rig.start

    async def interrupted(rig: Rig, port: int) -> None:
        signal.raise_signal(number)
        await started(rig, port)

    monkeypatch.setattr(Rig, "start", interrupted)
    announced: list[Ready] = []
    await asyncio.wait_for(run(Options.parse(["--port", "0"]), announced.append, show_nothing), LIMIT)
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(announced[0].host, announced[0].port)


def test_an_interrupt_before_anything_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_arguments: list[str]) -> Options:
        raise KeyboardInterrupt

    monkeypatch.setattr(Options, "parse", interrupted)
    assert main([]) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_runs_until_a_signal(number: signal.Signals) -> None:
    announced: asyncio.Queue[Ready] = asyncio.Queue()
    options = Options.parse(["--port", "0", "--speed", "1000"])
    running = asyncio.create_task(run(options, announced.put_nowait, show_nothing))
    ready = await asyncio.wait_for(announced.get(), LIMIT)
    device = ready.rig.stations[0].device
    before = device.readout()
    assert before.voltage
    _, writer = await asyncio.open_connection(ready.host, ready.port)
    signal.raise_signal(number)
    await asyncio.wait_for(running, LIMIT)
    writer.close()
    assert device.name in ready.as_text()
    assert json.loads(ready.as_json())["port"] == ready.port
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(ready.host, ready.port)


async def test_the_control_port_is_taken_and_nothing_is_left_listening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = Options.parse(["--port", str(port), "--control-port", str(taken.getsockname()[1])])
        with pytest.raises(CannotStartError, match=r"^Port \d+ cannot be used: .+[^.][.]$"):
            await run(options, lambda _: None, show_nothing)
    socket.create_server(("127.0.0.1", port)).close()


async def test_a_state_that_cannot_be_saved_at_the_end(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    process = await start("--port", "0", "--json", "--save", str(folder / "state.json"))
    await line(process)
    (folder / "state.json").unlink()
    folder.rmdir()
    process.send_signal(signal.SIGTERM)
    out, err = await rest(process)
    assert (process.returncode, out) == (1, "")
    assert err == f"The state cannot be saved to {folder}/state.json: No such file or directory.\n"


async def test_no_pin(start: Start) -> None:
    process = await start("--port", "0", "--json", "--no-pin")
    ready = json.loads(await line(process))
    async with ClientSession() as session, session.get(f"{ready['control']}/state") as response:
        assert [proxy["knows_pin"] for proxy in (await response.json())["proxies"]] == [False]
    await end(process)
