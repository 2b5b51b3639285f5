"""What Home Assistant uses: memory, threads and files of its process, tasks and objects within."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Final

from demo.answers import as_object, whole_number

from .house import House
from .ledger import Growth

_KIB: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What is in use at one moment; memory in MB."""

    memory: float
    threads: int
    files: int
    tasks: int
    objects: int
    listeners: int
    names: Mapping[str, int]


# By how much more at the end is no growth: connections that are open, flows, threads of pools, and what is recorded of
# the latest connections until that is full. Memory by the share.
_ALLOWED: Final = {"threads": 8.0, "files": 15.0, "tasks": 25.0, "objects": 1500.0, "listeners": 30.0}
_MEMORY_SHARE: Final = 0.15


async def measure(house: House) -> Usage:
    """Return what is in use now."""
    answer = as_object(await house.hass.post("/api/services/soak_probe/look?return_response", {}))
    counted = as_object(answer.get("service_response"))
    process = Path("/proc") / str(house.process_id)
    status = (process / "status").read_text()
    tasks = as_object(counted.get("tasks_by_name"))
    return Usage(
        memory=_number(status, "VmRSS") / _KIB,
        threads=_number(status, "Threads"),
        files=sum(1 for _ in (process / "fd").iterdir()),
        tasks=whole_number(counted, "tasks"),
        objects=whole_number(counted, "objects"),
        listeners=whole_number(counted, "listeners"),
        names={name: count for name, count in tasks.items() if isinstance(count, int)},
    )


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


def growth(usages: Sequence[Usage]) -> tuple[Growth, ...]:
    """Return how much more was in use at last than at first."""
    first, last = usages[0], usages[-1]
    grown = [
        Growth(name=name, first=getattr(first, name), last=getattr(last, name), allowed=allowed)
        for name, allowed in _ALLOWED.items()
    ]
    memory = Growth(
        name="memory in MB",
        first=round(first.memory),
        last=round(last.memory),
        allowed=first.memory * _MEMORY_SHARE,
    )
    return (*grown, memory)
