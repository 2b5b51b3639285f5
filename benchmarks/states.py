"""How many states a noisy day changes, and whether what is written is right. Beside Home Assistant's victron_ble."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from freezegun import freeze_time
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, callback

from custom_components.smallbms_ng.protocol.advertisement import InstantReadout
from emulator.snapshot import IoField, Level, LevelField, Snapshot

from .figures import Row
from .house import OURS, PEER, House, Integration, a_house, run
from .trace import DAY, HOUR, KEY, noisy, records, sunny_day

# A midnight, so that the hours of the statistics are those of the day.
BEGIN = datetime(2026, 6, 15, tzinfo=UTC)
# A flag is believed when a second record agrees, which comes a second after the first.
SOONEST = 1.0
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
    late: list[float] = field(default_factory=list)
    """How many s after a flag was sent for the first time its state was written."""

    def add(self, power: float) -> None:
        """Hold a power in W for a second."""
        self.charged += max(power, 0.0) / HOUR
        self.discharged += max(-power, 0.0) / HOUR


async def live(integration: Integration, trace: Sequence[bytes]) -> Day:
    """Let a day pass."""
    day = Day()
    with freeze_time(BEGIN) as frozen:
        await _live(integration, trace, day, lambda seconds: frozen.tick(timedelta(seconds=seconds)))
    return day


async def _live(integration: Integration, trace: Sequence[bytes], day: Day, tick: Callable[[float], object]) -> None:
    async with a_house(integration, trace[:1], tick=tick) as house:
        # The number of the latest record.
        second = 0

        @callback
        def changed(event: Event[EventStateChangedData]) -> None:
            day.changes[event.data["entity_id"]] += 1
            if event.data["entity_id"] == low:
                day.late.append(second % FLAG_CHANGES)

        undo = house.hass.bus.async_listen(EVENT_STATE_CHANGED, changed)
        low = house.entity("sensor", "low_soc")
        power = house.entity("sensor", "power")
        for record in trace[1:]:
            second += 1
            await house.second(record)
            day.add(_number(house, power))
        undo()


def _number(house: House, entity: str | None) -> float:
    state = house.hass.states.get(entity) if entity else None
    return float(state.state) if state and state.state not in {"unknown", "unavailable"} else 0.0


def truth(trace: Sequence[bytes]) -> Day:
    """Return the energy that the records hold."""
    day, decode = Day(), InstantReadout(KEY).decode
    for record in trace[1:]:
        day.add(decode(record).power or 0.0)
    return day


def rows(quick: bool) -> list[Row]:
    """Measure."""
    seconds, begin = (HOUR, 6 * HOUR) if quick else (DAY, 0)
    trace = tuple(records(flagged(noisy(sunny_day(seconds, begin=begin)))))
    ours, peer = run(live(OURS, trace)), run(live(PEER, trace))
    day = DAY / seconds
    true = truth(trace)
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
