"""Run the demo: `python -m demo`."""

import argparse
import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
import signal
import sys
from typing import Final

from emulator.personality.table import PERSONALITIES
from emulator.recording import RecordingError, read_recording

from .config import SOURCE
from .errors import DemoError
from .folder import DEFAULT, own_folder, temporary_folder
from .ports import free_port
from .progress import fail
from .run import DEFAULT_SCENARIO, Run, check, demo, demo_of_recording

_PORT: Final = 8127  # not Home Assistant's usual one, which may well be in use
_SPEED: Final = 60.0  # a day within 24 minutes
_HIGHEST_PORT: Final = 65535
_HIGHEST_SPEED: Final = 1e6  # the emulator's
_ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED: Final = 130  # as shells have it


def _port(value: str) -> int:
    port = int(value)
    if not 0 < port <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{port} is not a port")
    return port


def _speed(value: str) -> float:
    speed = float(value)
    if not 0 < speed <= _HIGHEST_SPEED:
        raise argparse.ArgumentTypeError(f"{value} is not a speed")
    return speed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Show an emulated smallBMS NG in a real Home Assistant, on this machine only, until Ctrl-C.",
    )
    add = parser.add_argument
    add("--check", action="store_true", help="set everything up in a temporary folder, check it, and end")
    add("--keep", action="store_true", help="go on with the Home Assistant of the last demo instead of a fresh one")
    add("--port", type=_port, help=f"port of Home Assistant (default: {_PORT}; for --check any free one)")
    add("--speed", type=_speed, metavar="X", default=_SPEED, help="let the battery live X times faster (default: 60)")
    add("--scenario", default=DEFAULT_SCENARIO, help="scenario of the emulator (default: solar), see docs/emulator.md")
    add(
        "--personality",
        choices=tuple(PERSONALITIES),
        metavar="NAME",
        help="how the device behaves where that is not known, see docs/emulator.md",
    )
    add(
        "--no-state-of-charge",
        action="store_false",
        dest="advertises_state_of_charge",
        help="with a device that does not advertise its state of charge, as one owner's does",
    )
    add("--replay", type=Path, metavar="FILE", help="show the device that a download of diagnostics has recorded")
    add("--integration", type=Path, default=SOURCE, metavar="ZIP", help="the integration is in the zip of a release")
    return parser


def _check_recording(parser: argparse.ArgumentParser, file: Path) -> None:
    """End with one sentence and exit code 2 if a file has no recording."""
    try:
        read_recording(file)
    except RecordingError as error:
        parser.exit(2, f"{error}\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.check and options.keep:
        parser.error("--keep does not go with --check")
    if options.keep and options.replay:
        parser.error("--keep does not go with --replay")
    if options.replay:
        _check_recording(parser, options.replay)
    return options


async def _until_signal(work: Coroutine[None, None, None]) -> None:
    """Do the work; a signal that asks to end cancels it."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    await task


def _configured(options: argparse.Namespace, folder: Path, port: int) -> Run:
    return Run(
        folder=folder,
        port=port,
        speed=1.0 if options.replay else options.speed,
        scenario=options.scenario,
        personality=options.personality,
        advertises_state_of_charge=options.advertises_state_of_charge,
        integration=options.integration.resolve(),
        replay=options.replay and options.replay.resolve(),
    )


def _run(options: argparse.Namespace) -> None:
    if options.check:
        with temporary_folder() as folder:
            run = _configured(options, folder, options.port or free_port())
            asyncio.run(_until_signal(check(run)))
    else:
        with own_folder(DEFAULT) as folder:
            run = _configured(options, folder, options.port or _PORT)
            work = demo_of_recording(run) if run.replay else demo(run, keep=options.keep)
            asyncio.run(_until_signal(work))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo or the check and return the exit code."""
    try:
        _run(_options(arguments))
    except DemoError as error:
        fail(str(error))
        return 1
    except asyncio.CancelledError:
        fail("Interrupted.")
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
