"""How many states a noisy day changes, and whether what is written is right. Beside Home Assistant's victron_ble."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from freezegun import freeze_time
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, callback

from custom_components.smallbms_ng.protocol.advertisement import InstantReadout
from emulator.snapshot import IoField, Level, LevelField, Snapshot

from .figures import Row
from .house import OURS, PEER, House, Integration, run
from .recorder import Recording, Size, a_recording
from .trace import DAY, HOUR, KEY, noisy, records, sunny_day

# A midnight, so that the hours of the statistics are those of the day.
BEGIN = datetime(2026, 6, 15, tzinfo=UTC)
# A flag is believed when a second record agrees, which comes a second after the first.
SOONEST = 1.0
# The recorder gives up when too much waits for it. It catches up this often, in s.
_PACE = 600
# How often the size of the database is noted, in s.
SIZED = 3600
# How often a flag changes in the trace, in s.
FLAG_CHANGES = 1800


def flagged(snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Have a warning come and go, and charging be allowed and not."""
    for second, one in enumerate(snapshots):
        is_low = second // FLAG_CHANGES % 2 == 1
        level = Level.WARNING if is_low else Level.OK
        yield replace(
            one,
            io={**one.io, IoField.ALLOWED_TO_CHARGE: not is_low},
            levels={**one.levels, LevelField.LOW_SOC: level},
        )


@dataclass
class Day:
    """What was written of a day."""

    changes: Counter[str] = field(default_factory=Counter)
    charged: float = 0.0
    discharged: float = 0.0
    sizes: list[Size] = field(default_factory=list)
    """What was in the database at first, then every SIZED seconds, and in the end."""
    late: list[float] = field(default_factory=list)
    """How many s after a flag was sent for the first time its state was written."""

    def add(self, power: float) -> None:
        """Hold a power in W for a second."""
        self.charged += max(power, 0.0) / HOUR
        self.discharged += max(-power, 0.0) / HOUR


async def live(integration: Integration, trace: Sequence[bytes]) -> Day:
    """Let a day pass in a house with a recorder."""
    day = Day()
    with freeze_time(BEGIN) as frozen:
        async with a_recording(integration, trace[:1], tick=lambda s: frozen.tick(timedelta(seconds=s))) as recording:
            await _live(recording, trace, day)
    return day


async def _live(recording: Recording, trace: Sequence[bytes], day: Day) -> None:
    house, second = recording.house, 0
    low, power = house.entity("sensor", "low_soc"), house.entity("sensor", "power")

    @callback
    def changed(event: Event[EventStateChangedData]) -> None:
        day.changes[event.data["entity_id"]] += 1
        if event.data["entity_id"] == low:
            day.late.append(second % FLAG_CHANGES)

    undo = house.hass.bus.async_listen(EVENT_STATE_CHANGED, changed)
    day.sizes.append(await recording.size())
    for record in trace[1:]:
        second += 1
        await house.second(record)
        day.add(_number(house, power))
        if not second % _PACE:
            await recording.done()
        if not second % SIZED:
            day.sizes.append(await recording.size())
    undo()
    day.sizes.append(await recording.size())


def _number(house: House, entity: str | None) -> float:
    state = house.hass.states.get(entity) if entity else None
    return float(state.state) if state and state.state not in {"unknown", "unavailable"} else 0.0


def truth(trace: Sequence[bytes]) -> Day:
    """Return the energy that the records hold."""
    day, decode = Day(), InstantReadout(KEY).decode
    for record in trace[1:]:
        day.add(decode(record).power or 0.0)
    return day


@cache
def trace_of(seconds: int, begin: int) -> tuple[bytes, ...]:
    """Return a noisy day, or a part of it, in which flags come and go."""
    return tuple(records(flagged(noisy(sunny_day(seconds, begin=begin)))))


@cache
def lived(name: str, seconds: int, begin: int) -> Day:
    """Return what was written of a day, or a part of it, by the integration with this name."""
    integration = next(one for one in (OURS, PEER) if one.name == name)
    return run(live(integration, trace_of(seconds, begin)))


def part(quick: bool) -> tuple[int, int]:
    """Return how many s are measured, and from when on."""
    return (HOUR, 6 * HOUR) if quick else (DAY, 0)


def rows(quick: bool) -> list[Row]:
    """Measure."""
    seconds, begin = part(quick)
    ours, peer = (lived(one.name, seconds, begin) for one in (OURS, PEER))
    true, day = truth(trace_of(seconds, begin)), DAY / seconds
    assert len(ours.late) == (seconds - 1) // FLAG_CHANGES, "a flag was missed"
    errors = (
        abs(one - other) / other
        for one, other in ((ours.charged, true.charged), (ours.discharged, true.discharged))
        if other
    )
    return [
        Row(
            figure="state changes a day, noisy trace at 1/s",
            ours=ours.changes.total() * day,
            peer=peer.changes.total() * day,
            most=0.1,
        ),
        Row(figure="the same", ours=ours.changes.total() * day, most=17_500),
        Row(figure="error of the energy of the written power", unit="%", ours=max(errors) * 100, most=2),
        Row(figure="longest wait for a flag after its first record", unit="s", ours=max(ours.late), most=SOONEST),
    ]
