"""What 200 emulated devices cost that advertise once a second. Run with: python -m benchmarks.advertising."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections import Counter
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import sys
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from aioesphomeapi.api_pb2 import (  # type: ignore[attr-defined] # untyped protobuf
    BluetoothLERawAdvertisementsResponse,
)
from aioesphomeapi.client import APIClient

from .figures import Row

DEVICES: Final = 200
SECONDS: Final = 30.0
SPEEDS: Final = (1, 60)
START_LIMIT: Final = 60.0

MOST_OF_A_CORE: Final = 100.0  # %
MOST_MEMORY: Final = 1024.0  # MiB
LEAST_RATE: Final = 0.95  # advertisements of a device a second; below, not all of the work was done

SCENARIO: Final = Path(__file__).parent.parent / "emulator" / "simulation" / "scenarios" / "solar.yaml"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was measured: % of one core, MiB at most, and advertisements of the quietest device a second."""

    core: float
    memory: float
    rate: float


def scenario() -> str:
    """Return the solar scenario with many devices, each with a battery and a world of its own."""
    world = re.split(r"^# Who is there", SCENARIO.read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    devices = [f"  - {{name: BMS {number}, address: C0:00:00:00:00:{number:02X}}}" for number in range(DEVICES)]
    return "\n".join((world, "devices:", *devices, ""))


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_memory(pid: int) -> float:
    """Return the MiB that a process had at most."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, flags=re.MULTILINE)
    if match is None:
        raise RuntimeError("The system does not tell how much memory a process has.")
    return int(match[1]) / 1024


async def listen(port: int, process: Process) -> Cost:
    """Hear all devices through the emulated proxy, and measure the emulator meanwhile."""
    heard = Counter[int]()
    all_heard = asyncio.Event()

    def take(response: BluetoothLERawAdvertisementsResponse) -> None:
        heard.update(advertisement.address for advertisement in response.advertisements)
        if len(heard) == DEVICES:
            all_heard.set()

    client = APIClient("127.0.0.1", port, None)
    await client.connect(login=True)
    client.subscribe_bluetooth_le_raw_advertisements(take)
    await asyncio.wait_for(all_heard.wait(), START_LIMIT)
    heard.clear()
    before, began = processor_time(process.pid), monotonic()
    await asyncio.sleep(SECONDS)
    seconds, used = monotonic() - began, processor_time(process.pid) - before
    cost = Cost(
        core=100 * used / seconds, memory=peak_memory(process.pid), rate=min(heard.values(), default=0) / seconds
    )
    await client.disconnect()
    return cost


async def measure(folder: str, speed: int) -> Cost:
    """Start the emulator, measure it, and end it."""
    file = Path(folder) / "many.yaml"
    file.write_text(scenario(), encoding="utf-8")
    command = ("-m", "emulator", "--scenario", str(file), "--port", "0", "--json", "--speed", str(speed))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE)
    try:
        if process.stdout is None:
            raise RuntimeError("The emulator cannot be heard.")
        line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT)
        return await listen(json.loads(line)["port"], process)
    finally:
        process.terminate()
        await process.wait()


def judge(speed: int, cost: Cost) -> bool:
    """Print what was measured and whether it is little enough."""
    print(
        f"{speed:3} x real time: {cost.core:5.1f} % of a core, {cost.memory:5.0f} MiB, "
        f"each device at least {cost.rate:.2f} times a second"
    )
    return cost.core < MOST_OF_A_CORE and cost.memory < MOST_MEMORY and cost.rate >= LEAST_RATE


def rows(quick: bool) -> list[Row]:
    """Measure what is in the table of all benchmarks; nothing if it has to be quick."""
    if quick:
        return []
    with TemporaryDirectory() as folder:
        cost = asyncio.run(measure(folder, max(SPEEDS)))
    name = f"emulator, {DEVICES} devices that advertise"
    return [
        Row(figure=name, unit="% of a core", ours=cost.core, most=MOST_OF_A_CORE),
        Row(figure=name, unit="MiB", ours=cost.memory, most=MOST_MEMORY),
    ]


def main() -> int:
    """Measure, show and judge."""
    print(f"{DEVICES} devices, each with a battery and a world of its own, heard for {SECONDS:.0f} s\n")
    with TemporaryDirectory() as folder:
        results = [judge(speed, asyncio.run(measure(folder, speed))) for speed in SPEEDS]
    met = all(results)
    print(f"\n{'met    ' if met else 'NOT MET'}  less than one core and 1 GiB")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
