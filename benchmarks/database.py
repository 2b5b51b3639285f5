"""What a day costs the database: the recorder of Home Assistant, beside Home Assistant's own victron_ble."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import batched

from freezegun import freeze_time

from .figures import Row
from .house import OURS, PEER, Integration, run
from .recorder import Size, a_recording
from .states import BEGIN
from .trace import DAY, HOUR, noisy_records

# The recorder gives up when too much waits for it.
_PACE = 600


async def sizes(integration: Integration, trace: Sequence[bytes], hours: int) -> list[Size]:
    """Return how much larger the database is after each so many hours."""
    with freeze_time(BEGIN) as frozen:
        async with a_recording(integration, trace[:1], tick=lambda s: frozen.tick(timedelta(seconds=s))) as recording:
            found = [await recording.size()]
            for part in batched(trace[1:], hours * HOUR, strict=False):
                for some in batched(part, _PACE, strict=False):
                    await recording.house.processor([[record] for record in some])
                    await recording.done()
                found.append(await recording.size())
    return [size - found[0] for size in found]


def rows(quick: bool) -> list[Row]:
    """Measure."""
    seconds, begin = (HOUR, 6 * HOUR) if quick else (DAY, 0)
    trace = noisy_records(seconds, begin)
    ours, peer = (run(sizes(integration, trace, 1))[-1] for integration in (OURS, PEER))
    scale = DAY / seconds
    return [
        Row(figure="database rows a day, emulated solar day", ours=ours.rows * scale, peer=peer.rows * scale, most=0.1),
        Row(
            figure="database bytes a day, emulated solar day",
            unit="MiB",
            ours=ours.bytes * scale / 2**20,
            peer=peer.bytes * scale / 2**20,
            most=0.1,
        ),
    ]


def growth(days: int, hours: int) -> dict[str, list[tuple[float, float]]]:
    """Return the MiB in the database by the day, of us and of the peer."""
    trace = noisy_records() * days
    found = {integration.name: run(sizes(integration, trace, hours)) for integration in (OURS, PEER)}
    return {
        name: [(number * hours * HOUR / DAY, size.bytes / 2**20) for number, size in enumerate(some)]
        for name, some in found.items()
    }
