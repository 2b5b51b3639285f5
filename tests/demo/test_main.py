"""The command line, as a process of its own."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Coroutine
import os
import signal
import socket
import sys
from typing import Final

import pytest

from demo.__main__ import main

LIMIT: Final = 20.0

# The real command line around a check that only starts one child, which tells its process id.
ONE_CHILD: Final = """
import asyncio, sys
from demo import __main__
from demo.children import Children

async def check(run):
    command = (sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    async with Children() as children:
        child = await children.start("The child", command, log=run.folder / "log", cwd=run.folder, listen=True)
        print(await child.first_line(20), flush=True)
        await children.watch(asyncio.Event().wait())

__main__.check = check
sys.exit(__main__.main(["--check"]))
"""

type Start = Callable[..., Coroutine[None, None, Process]]


@pytest.fixture
async def start() -> AsyncGenerator[Start]:
    """Start Python, and leave no process behind."""
    processes: list[Process] = []

    async def start(*arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def ended(process: Process) -> tuple[int | None, str]:
    """Return the exit code and what was written to standard error."""
    _, err = await asyncio.wait_for(process.communicate(), LIMIT)
    return process.returncode, err.decode()


@pytest.mark.usefixtures("socket_enabled")
async def test_a_port_in_use_is_a_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = await start("-m", "demo", "--check", "--port", str(port))
        code, err = await ended(process)
    assert code == 1
    assert err == (
        f"✗ Port {port} is in use. End what listens on 127.0.0.1:{port}, or choose another port with --port.\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_child_too(start: Start, number: signal.Signals) -> None:
    process = await start("-c", ONE_CHILD)
    assert process.stdout
    child = int(await asyncio.wait_for(process.stdout.readline(), LIMIT))
    os.killpg(process.pid, number)  # as a terminal does
    assert await ended(process) == (130, "✗ Interrupted.\n")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_a_killed_child_ends_us_with_a_sentence(start: Start) -> None:
    process = await start("-c", ONE_CHILD)
    assert process.stdout
    os.kill(int(await asyncio.wait_for(process.stdout.readline(), LIMIT)), signal.SIGKILL)
    assert await ended(process) == (1, "✗ The child ended by itself (killed by SIGKILL).\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "0"], "0 is not a port"),
        (["--port", "65536"], "65536 is not a port"),
        (["--port", "http"], "--port"),
        (["--speed", "0"], "0 is not a speed"),
        (["--speed", "nan"], "nan is not a speed"),
        (["--speed", "inf"], "inf is not a speed"),
        (["--speed", "fast"], "--speed"),
        (["--personality", "mppt2"], "battery-protect"),
        (["--check", "--keep"], "--keep does not go with --check"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_arguments(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert complaint in capsys.readouterr().err
