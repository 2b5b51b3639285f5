"""Child processes, with small stand-ins."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
import sys
from typing import Final

import pytest

from demo.children import Child, ChildEnded, Children
from demo.errors import DemoError
from demo.waiting import until

LIMIT: Final = 20.0
# Short naps: a signal just before a sleep is noticed after it only.
READY: Final = "print('ready', flush=True)\nwhile True: time.sleep(0.05)"
SLEEPER: Final = "import time; " + READY
# What it does when it is asked to end is filled in.
ON_SIGTERM: Final = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: {}); " + READY


async def start(children: Children, folder: Path, program: str) -> Child:
    """Start a Python program and wait for its first line."""
    child = await launch(children, folder, program)
    await child.first_line(LIMIT)
    return child


async def launch(children: Children, folder: Path, program: str) -> Child:
    command = (sys.executable, "-c", program)
    return await children.start("The child", command, log=folder / "child.log", cwd=folder, listen=True)


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise DemoError("It went wrong.")


async def run(folder: Path, program: str, work: Coroutine[None, None, None]) -> None:
    """Do the work while a child runs."""
    async with Children() as children:
        await start(children, folder, program)
        await children.watch(work)


async def test_the_first_line(tmp_path: Path) -> None:
    async with Children() as children:
        child = await launch(children, tmp_path, "import time; print('one'); " + READY)
        assert await child.first_line(LIMIT) == "one\n"


async def test_a_child_that_ends_before_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(
        ChildEnded, match=r"^The child ended by itself \(exit code 3\)\. The end of child\.log:\n    No!$"
    ):
        async with Children() as children:
            await start(children, tmp_path, "import sys; print('No!', file=sys.stderr); sys.exit(3)")


async def test_a_silent_child(tmp_path: Path) -> None:
    async with Children() as children:
        child = await launch(children, tmp_path, "import time; time.sleep(600)")
        with pytest.raises(DemoError, match=r"^The child said nothing for 0 seconds\.$"):
            await child.first_line(0.0)


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    async with Children() as children:
        with pytest.raises(DemoError, match=r"The child could not be started: .*No such file"):
            await children.start("The child", ("/no/such/program",), log=tmp_path / "log", cwd=tmp_path)


@pytest.mark.parametrize(
    ("crash", "manner"),
    [("sys.exit(4)", "exit code 4"), ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL")],
)
async def test_a_crash_ends_the_work(tmp_path: Path, crash: str, manner: str) -> None:
    program = f"import os, signal, sys; print('ready', flush=True); {crash}"
    async with Children() as children:
        child = await start(children, tmp_path, program)
        with pytest.raises(ChildEnded) as raised:
            await children.watch(forever())
    assert raised.value.child is child
    assert str(raised.value) == f"The child ended by itself ({manner})."


async def test_a_crash_explains_what_it_caused(tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / "go").touch()
        raise DemoError("It does not answer.")

    program = "import os, time\nprint('ready', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.05)"
    async with Children() as children:
        await start(children, tmp_path, program)
        with pytest.raises(ChildEnded, match="The child ended by itself"):
            await children.watch(work())


async def test_work_has_a_result_and_may_fail_by_itself(tmp_path: Path) -> None:
    async def succeed() -> str:
        return "done"

    async with Children() as children:
        await start(children, tmp_path, SLEEPER)
        assert await children.watch(succeed()) == "done"
        with pytest.raises(DemoError, match=r"^It went wrong\.$"):
            await children.watch(fail())


async def test_only_the_end_of_a_long_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChildEnded) as raised:
        async with Children() as children:
            await start(children, tmp_path, "import sys; [print('line', i, file=sys.stderr) for i in range(100)]")
    lines = str(raised.value).splitlines()
    assert lines[1] == "    line 88"
    assert lines[-1] == "    line 99"


async def test_children_end_with_their_block_the_last_one_first(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    with open('ended', 'a') as file: file.write('{} ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n" + READY
    )
    async with Children() as children:
        started = [await start(children, tmp_path, program.format(name)) for name in ("first", "second")]
    assert [child.returncode for child in started] == [0, 0]
    assert (tmp_path / "ended").read_text() == "second first "


async def test_a_child_that_does_not_listen_to_sigterm_yet_ends_well(tmp_path: Path) -> None:
    async with Children() as children:
        child = await start(children, tmp_path, SLEEPER)
    assert child.returncode == -15


async def test_an_unclean_end_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"^The child did not end cleanly \(exit code 5\)\.$"):
        async with Children() as children:
            await start(children, tmp_path, ON_SIGTERM.format("sys.exit(5)"))


async def test_an_unclean_end_does_not_hide_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DemoError, match=r"^It went wrong\.$"):
        await run(tmp_path, ON_SIGTERM.format("sys.exit(5)"), fail())
    assert "The child did not end cleanly (exit code 5)." in capsys.readouterr().err


async def test_who_cannot_wait_interrupts_again(tmp_path: Path) -> None:
    started: list[Child] = []

    async def demo() -> None:
        async with Children() as children:
            started.append(await start(children, tmp_path, ON_SIGTERM.format("pathlib.Path('asked').touch()")))
            await children.watch(forever())

    async def running() -> Child | None:
        return started[0] if started else None

    async def asked() -> bool | None:
        return (tmp_path / "asked").exists() or None

    task = asyncio.create_task(demo())
    child = await until(running, limit=LIMIT, otherwise=lambda: "not started")
    task.cancel()
    await until(asked, limit=LIMIT, otherwise=lambda: "not asked to end")
    task.cancel()
    with pytest.raises(DemoError, match=r"The child did not end cleanly \(killed by SIGKILL\)\."):
        await task
    assert child.returncode == -9


async def test_a_child_whose_end_was_wanted(tmp_path: Path) -> None:
    async with Children() as children:
        child = await start(children, tmp_path, "import sys; print('ready', flush=True); sys.exit(1)")
        await child.wait()
        children.forget(child)
        assert await children.watch(asyncio.sleep(0, "done")) == "done"
