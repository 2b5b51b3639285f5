"""Child processes: start, listen, watch, end."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Coroutine, Sequence
from pathlib import Path
import signal
from types import TracebackType
from typing import Final, Self

from .errors import DemoError
from .progress import detail

_ROOT: Final = Path(__file__).parent.parent
_END_LIMIT: Final = 20.0  # Home Assistant needs about a second
# A program that is still starting may not listen to the signal yet.
_CLEAN: Final = (0, -signal.SIGTERM)
_LAST_WORDS: Final = 12  # lines of the log
_GRACE: Final = 1.0  # between losing a child's connection and seeing that it has ended


class ChildEnded(DemoError):
    """A child ended by itself."""

    def __init__(self, child: Child) -> None:
        super().__init__(child.obituary())
        self.child = child


class Child:
    """A process whose log holds what it writes: to standard error only, if its standard output is listened to."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._rest: asyncio.Task[bytes] | None = None

    @classmethod
    async def start(cls, name: str, command: Sequence[str | Path], *, log: Path, cwd: Path, listen: bool) -> Self:
        """Start a program in a session of its own, so that Ctrl-C reaches only us."""
        with log.open("ab") as sink:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=DEVNULL,
                    stdout=PIPE if listen else sink,
                    stderr=sink,
                    cwd=cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise DemoError(f"{name} could not be started: {error}.") from error
        return cls(name, process, log)

    @property
    def returncode(self) -> int | None:
        """Return how it ended, None while it runs."""
        return self._process.returncode

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    async def first_line(self, limit: float) -> str:
        """Return the first line of standard output; DemoError if there is none within limit seconds."""
        if self._process.stdout is None:
            raise ValueError("not listened to")
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), limit)
        except TimeoutError:
            raise DemoError(f"{self.name} said nothing for {limit:.0f} seconds.{self._last_words()}") from None
        if not line:
            await self.wait()
            raise ChildEnded(self)
        # Left unread, a full pipe would one day stop the child.
        self._rest = asyncio.create_task(self._process.stdout.read())
        return line.decode(errors="replace")

    def obituary(self) -> str:
        """Tell how it ended, with the end of its log."""
        return f"{self.name} ended by itself ({self._manner()}).{self._last_words()}"

    async def end(self) -> str | None:
        """End it, by force if it does not by itself. Return what was wrong about its end."""
        if self.returncode is not None:
            return None
        await self._stop()
        if self._process.returncode not in _CLEAN:
            return f"{self.name} did not end cleanly ({self._manner()}).{self._last_words()}"
        return None

    async def _stop(self) -> None:
        self._process.terminate()
        try:
            await asyncio.wait_for(self.wait(), _END_LIMIT)
        except TimeoutError, asyncio.CancelledError:
            # Cancelled means that somebody could not wait: a second Ctrl-C.
            self._process.kill()
            await self.wait()

    def _manner(self) -> str:
        code = self.returncode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _last_words(self) -> str:
        with self.log.open(errors="replace") as lines:
            tail = deque((line.rstrip() for line in lines if line.strip()), _LAST_WORDS)
        if not tail:
            return ""
        return "\n".join((f" The end of {_told(self.log)}:", *(f"    {line}" for line in tail)))


class Children:
    """The processes that were started within an `async with` block; they end with it, the last one first."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        complaints = [complaint for child in reversed(self._children) if (complaint := await child.end())]
        if complaints and isinstance(error, DemoError):
            detail("\n".join(complaints))
        elif complaints:
            raise DemoError("\n".join(complaints))

    async def start(
        self, name: str, command: Sequence[str | Path], *, log: Path, cwd: Path, listen: bool = False
    ) -> Child:
        """Start a program; listen to read its standard output."""
        child = await Child.start(name, command, log=log, cwd=cwd, listen=listen)
        self._children.append(child)
        return child

    def forget(self, child: Child) -> None:
        """Leave out a child whose end was wanted."""
        self._children.remove(child)

    async def watch[T](self, work: Coroutine[None, None, T]) -> T:
        """Return what the work returns; ChildEnded as soon as a child ends by itself."""
        task = asyncio.create_task(work)
        ends = {asyncio.create_task(child.wait()): child for child in self._children}
        try:
            await asyncio.wait((task, *ends), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and task.exception():
                await asyncio.wait(ends, timeout=_GRACE, return_when=asyncio.FIRST_COMPLETED)
            for end, child in ends.items():
                if end.done():
                    raise ChildEnded(child)
            return task.result()
        finally:
            await _cancel(task, *ends)


def _told(log: Path) -> str:
    """Return what to call a log: where it is, unless it goes away with a temporary folder."""
    return str(log.relative_to(_ROOT)) if log.is_relative_to(_ROOT) else log.name


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
