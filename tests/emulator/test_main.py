"""The command line, as a process of its own."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Coroutine
import json
import os
import signal
import socket
import sys

import pytest

from emulator.__main__ import CannotStartError, Options, Ready, main, run

pytestmark = pytest.mark.usefixtures("socket_enabled")

LIMIT = 20.0
type Start = Callable[..., Coroutine[None, None, Process]]


@pytest.fixture
async def start() -> AsyncGenerator[Start]:
    """Start emulators, and leave none behind."""
    processes: list[Process] = []

    async def start(*arguments: str) -> Process:
        command = (sys.executable, "-m", "emulator", *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env={**os.environ})
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


async def test_one_line_of_json_when_ready(start: Start) -> None:
    process = await start("--port", "0", "--json", "--name", "a BMS", "--pin", "000001", "--key", "AB" * 16)
    ready = json.loads(await line(process))
    port = ready.pop("port")
    assert ready == {
        "host": "127.0.0.1",
        "devices": [{"address": "C0:3A:5E:00:00:01", "name": "a BMS", "key": "ab" * 16, "pin": "000001"}],
        "control": None,
    }
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    process.send_signal(signal.SIGTERM)
    assert await rest(process) == ("", "")
    assert process.returncode == 0
    writer.close()


async def test_lines_for_people_and_ctrl_c(start: Start) -> None:
    process = await start("--port", "0", "--address", "c0:00:00:00:00:aa", "--speed", "60")
    assert "C0:00:00:00:00:AA" in await line(process)
    assert "key " in await line(process)
    assert "ESPHome" in await line(process)
    process.send_signal(signal.SIGINT)
    await rest(process)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--key", "xyz"), "'xyz'"),
        (("--key", "ab" * 15), "32 hexadecimal digits"),
        (("--address", "C0:3A"), "'C0:3A'"),
        (("--pin", "12345"), "six digits"),
        (("--pin", "٣٣٣٣٣٣"), "six digits"),
        (("--name", "x" * 30), "29 bytes"),
        (("--name", ""), "29 bytes"),
        (("--port", "65536"), "65535"),
        (("--port", "-1"), "65535"),
        (("--speed", "0"), "above zero"),
        (("--speed", "nan"), "above zero"),
        (("--speed", "fast"), "above zero"),
        (("--nonsense",), "--nonsense"),
        (("--key",), "--key"),
    ],
)
def test_what_makes_no_sense(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


async def test_a_port_that_is_taken(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start("--port", str(port))
        out, err = await rest(process)
    assert process.returncode == 2
    assert out == ""
    assert str(port) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_runs_until_a_signal(number: signal.Signals) -> None:
    announced: asyncio.Queue[Ready] = asyncio.Queue()
    running = asyncio.create_task(run(Options.parse(["--port", "0", "--speed", "1000"]), announced.put_nowait))
    ready = await asyncio.wait_for(announced.get(), LIMIT)
    before = ready.device.readout()
    assert before.voltage
    _, writer = await asyncio.open_connection(ready.host, ready.port)
    signal.raise_signal(number)
    await asyncio.wait_for(running, LIMIT)
    writer.close()
    assert ready.device.readout() != before
    assert ready.device.name in ready.as_text()
    assert json.loads(ready.as_json())["port"] == ready.port


async def test_a_port_that_is_taken_inside() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStartError, match=f"Port {port} cannot be used: .+[^.][.]$"):
            await run(Options.parse(["--port", str(port)]), lambda _: None)
