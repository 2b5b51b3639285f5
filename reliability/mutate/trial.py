"""Runs tests on mutants, each in a process of its own that is forked once everything else is loaded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
import io
import os
from pathlib import Path
import signal
import sys
from time import monotonic
from types import ModuleType
from typing import Final, override

from hypothesis import settings
import pytest

# Loaded once, and the same for all mutants.
from pytest_homeassistant_custom_component import plugins  # noqa: F401

ROOT: Final = Path(__file__).parents[2]
# What a mutant may be imported by is loaded anew with each.
_ANEW: Final = ("custom_components.smallbms_ng", "emulator", "demo", "tests", "reliability.fuzz")
# So much longer than without a change, and so many s more, is an endless loop.
_TIMES, _MORE = 5.0, 20.0


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    ENDLESS = "endless"


class _Mutated(MetaPathFinder, Loader):
    """Gives one module another source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name = name
        self._path = path
        self._source = source

    @override
    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        return spec_from_loader(fullname, self, origin=str(self._path)) if fullname == self._name else None

    @override
    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._path)
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)  # that is the point


class Trials:
    """Runs the tests of one module on mutants of it."""

    def __init__(self, path: Path, tests: Sequence[str]) -> None:
        self._path = path
        self._name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        self._tests = tests
        self._limit: float | None = None
        settings.register_profile("mutants", max_examples=20, derandomize=True, database=None, deadline=None)
        settings.load_profile("mutants")

    def calibrate(self) -> float:
        """Run the tests without a change, which they have to pass; return how long they took, in s."""
        began = monotonic()
        if self.run(self._path.read_text()) is not Outcome.SURVIVED:
            raise SystemExit(f"The tests of {self._path.name} fail without any change.")
        took = monotonic() - began
        self._limit = took * _TIMES + _MORE
        return took

    def run(self, source: str) -> Outcome:
        """Run the tests on another source."""
        child = os.fork()
        if not child:
            os._exit(self._test(source))
        return self._end_of(child)

    def _test(self, source: str) -> int:
        with _silent():
            try:
                for name in [one for one in sys.modules if one.startswith(_ANEW)]:
                    del sys.modules[name]
                sys.meta_path.insert(0, _Mutated(self._name, self._path, source))
                options = ("--exitfirst", "--quiet", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=no")
                return int(bool(pytest.main([*options, *self._tests])))
            except BaseException:  # noqa: BLE001  # a mutant may fail in any way
                return 1

    def _end_of(self, child: int) -> Outcome:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, self._limit or 0)
        _, status = os.waitpid(child, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if os.WIFSIGNALED(status):
            return Outcome.ENDLESS
        return Outcome.KILLED if os.WEXITSTATUS(status) else Outcome.SURVIVED


@contextmanager
def _silent() -> Iterator[None]:
    """Let nobody hear what the tests say."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = io.StringIO()
    yield
