"""What a day costs the database, beside Home Assistant's own victron_ble. It is the day of the states."""

from .figures import Row
from .house import OURS, PEER
from .states import SIZED, lived, part
from .trace import DAY

_MIB = 2**20


def rows(quick: bool) -> list[Row]:
    """Measure."""
    seconds, begin = part(quick)
    (ours, peer) = (lived(one.name, seconds, begin).sizes for one in (OURS, PEER))
    grown, other = ours[-1] - ours[0], peer[-1] - peer[0]
    day = DAY / seconds
    return [
        Row(figure="database rows a day", ours=grown.rows * day, peer=other.rows * day, most=0.1),
        Row(
            figure="database size a day",
            unit="MiB",
            ours=grown.bytes * day / _MIB,
            peer=other.bytes * day / _MIB,
            most=0.1,
        ),
    ]


def growth(quick: bool) -> dict[str, list[tuple[float, float]]]:
    """Return the MiB in the database by the hour, of us and of the peer."""
    seconds, begin = part(quick)
    return {
        one.name: [
            (min(number * SIZED, seconds) / SIZED, (size.bytes - sizes[0].bytes) / _MIB)
            for number, size in enumerate(sizes)
        ]
        for one in (OURS, PEER)
        if (sizes := lived(one.name, seconds, begin).sizes)
    }
