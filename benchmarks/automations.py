"""What the automations of owners do over months, in a whole Home Assistant: python -m benchmarks.automations.

The blueprint for a source that charges looks after the winter cabin for 180 days, in which Home Assistant is
restarted 200 times. The one that watches while nobody is there gets faults by a script, and a month of radio silence
and restarts. Each figure is printed, and the exit code is 1 when one is not met. What is written after the command goes
to pytest, such as -k source for the first of them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from random import Random
from statistics import mean
import subprocess
import sys
from typing import Final

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import entity_registry as er
from homeassistant.util.dt import now
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from emulator.simulation.grid import COARSE_STEP
from emulator.simulation.scenario import load
from emulator.simulation.simulation import Simulation
from emulator.snapshot import IoField
from tests.blueprints.conftest import _custom_integrations, all_enabled, entry, hass_config_dir, owner, radio
from tests.blueprints.owner import Owner
from tests.integration.conftest import entity_id
from tests.sources import ROOT

__all__ = ["_custom_integrations", "all_enabled", "entry", "hass_config_dir", "owner", "radio"]

pytestmark = pytest.mark.timeout(0)

DAYS: Final = 180
SEEDS: Final = (1,)
RESTARTS: Final = 200
# How often the battery is heard, and looked at: by the source, and by the watch.
SOURCE_STEP: Final = timedelta(minutes=10)
STEP: Final = timedelta(minutes=5)
SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
MINUTE: Final = timedelta(minutes=1)

SOURCE: Final = "input_boolean.generator"
AWAY: Final = "input_boolean.away"
MEMORY: Final = "input_text.memory"
SOMEBODY: Final = "notify.somebody"
QUIET: Final = (time(21), time(8))
LEAST: Final = timedelta(minutes=30)
MOST_DAYS: Final = 25


@pytest.fixture(autouse=True)
def _beginning(freezer: FrozenDateTimeFactory) -> None:
    """Begin when the winter of the cabin does."""
    freezer.move_to(load("winter-cabin").start)


@pytest.fixture
async def home(owner: Owner) -> Owner:
    """Live where the cabin is, and as fast as this machine can."""
    owner.hass.loop.set_debug(False)
    await owner.hass.config.async_update(time_zone="Europe/Zurich")
    return owner


def judge(met: bool, words: str) -> bool:
    """Print whether a figure is met."""
    print(f"{'met    ' if met else 'NOT MET'}  {words}", flush=True)
    return met


@dataclass
class World:
    """An emulated battery with what is around it, lived through beside Home Assistant."""

    owner: Owner
    simulation: Simulation
    heard: bool = True

    async def live(self, step: timedelta) -> None:
        """Let time pass in both, and the battery be heard just before Home Assistant looks.

        What is written once a minute is written a second before the look: else it would be as old as a whole step.
        """
        self.simulation.advance(step.total_seconds())
        radio = self.owner.radio
        radio.tick(step - 2 * SECOND)
        if self.heard:
            # Flags have to stand in two records.
            radio.snapshot = self.simulation.snapshot()
            for _ in range(2):
                radio.device.renew_nonce()
                radio.advertise()
        await radio.jump(SECOND)
        await radio.jump(SECOND)

    async def restart(self, entry: MockConfigEntry) -> None:
        """Restart Home Assistant."""
        await self.owner.restart(entry)
        await self.owner.started()


# The source that charges


@dataclass
class Run:
    """One run of the source: when it began and ended, and whether for a reason that no least time holds up."""

    began: datetime
    in_alarm: bool
    ended: datetime | None = None
    forced: bool = False


@dataclass
class Log:
    """What became of the source and the battery."""

    runs: list[Run] = field(default_factory=list)
    longest_without_full: float = 0.0
    alarm_minutes: float = 0.0

    def note(self, world: World, on: bool) -> None:
        """Take down what is now."""
        bms = world.simulation.bms
        running = bool(self.runs) and self.runs[-1].ended is None
        alarm = world.owner.state(entity_id(world.owner.hass, "binary_sensor", "pre_alarm")) == "on"
        if on and not running:
            self.runs.append(Run(began=now(), in_alarm=alarm))
        if running and not on:
            self.runs[-1].ended = now()
            self.runs[-1].forced = not bms.snapshot().io.get(IoField.ALLOWED_TO_CHARGE, True)
        self.longest_without_full = max(self.longest_without_full, bms.history.seconds_since_full or 0.0)
        self.alarm_minutes += SOURCE_STEP / MINUTE if alarm else 0


def is_quiet(moment: datetime) -> bool:
    """Return whether it is quiet by the clock on the wall."""
    return not QUIET[1] <= moment.time() < QUIET[0]


def judge_source(log: Log, kept: Sequence[bool]) -> bool:
    """Print the figures of the source; return whether all are met."""
    ended = [run for run in log.runs if run.ended is not None]
    short_on = [run for run in ended if not run.forced and run.ended and run.ended - run.began < LEAST]
    short_off = [
        after
        for before, after in zip(log.runs, log.runs[1:], strict=False)
        if before.ended and after.began - before.ended < LEAST
    ]
    loud = [run for run in log.runs if is_quiet(run.began) and not run.in_alarm]
    days = log.longest_without_full / 86400
    hours = sum((run.ended - run.began) / timedelta(hours=1) for run in ended if run.ended)
    print(f"{len(log.runs)} runs of {hours:.0f} h in all, {log.alarm_minutes / 60:.1f} h of pre-alarm\n")
    return all(
        (
            judge(len(log.runs) > DAYS // 30, f"the source runs: {len(log.runs)} times"),
            judge(
                not short_on and not short_off,
                f"no short cycle: {len(short_on)} short runs, {len(short_off)} short rests",
            ),
            judge(not loud, f"no start in quiet hours without a pre-alarm: {len(loud)}"),
            judge(days <= MOST_DAYS, f"a full charge at least every {MOST_DAYS} days: {days:.1f}"),
            judge(
                len(kept) >= RESTARTS and all(kept), f"state survives {RESTARTS} restarts: {sum(kept)} of {len(kept)}"
            ),
        )
    )


def source_inputs(hass: HomeAssistant) -> dict[str, object]:
    """Return the inputs that an owner has to choose; everything else is as the blueprint has it."""
    keys = {"allowed_to_charge": "binary_sensor", "pre_alarm": "binary_sensor", "current": "sensor"}
    return {
        "source": SOURCE,
        "memory": MEMORY,
        "state_of_charge": entity_id(hass, "sensor", "battery_level"),
        **{key: entity_id(hass, platform, key) for key, platform in keys.items()},
    }


@pytest.mark.parametrize("seed", SEEDS)
async def test_source(entry: MockConfigEntry, home: Owner, seed: int) -> None:
    """Let the source be looked after for half a year."""
    simulation = Simulation(load("winter-cabin"), seed, longest_step=COARSE_STEP)
    world, log, random = World(home, simulation), Log(), Random(seed)
    await world.live(STEP)
    await home.use("charge_source", source_inputs(home.hass))
    steps = DAYS * DAY // SOURCE_STEP
    restarts = set(random.sample(range(steps), RESTARTS))
    kept = []
    for step in range(steps):
        await world.live(SOURCE_STEP)
        on = home.state(SOURCE) == "on"
        if step in restarts:
            before = home.state(MEMORY)
            await world.restart(entry)
            kept.append((home.state(SOURCE) == "on") == on and home.state(MEMORY) == before)
        simulation.world.force("Generator", on)
        log.note(world, on)
    assert judge_source(log, kept)


# The watch while nobody is there


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of the script: what it is called, how it begins and ends, and after how long it is to be told."""

    name: str
    words: str
    begin: Callable[[World], None]
    end: Callable[[World], None]
    limit: timedelta
    lasts: timedelta


def _set_heard(world: World, heard: bool) -> None:
    world.heard = heard


def _set_hot(world: World, temperature: float | None) -> None:
    world.simulation.bms.faults.forced_temperature = temperature
    world.simulation.bms.refresh()


def _set_sun(world: World, sunshine: float | None) -> None:
    world.simulation.world.by_hand = replace(world.simulation.world.by_hand, sunshine=sunshine)


def _set_cell(world: World, offset: float) -> None:
    world.simulation.bms.faults.cell_voltage_offsets = {(0, 0): offset} if offset else {}


TOO_LOW: Final = -0.9  # V
SILENT_FOR: Final = timedelta(minutes=30)
FORBIDDEN_FOR: Final = timedelta(minutes=15)
NO_CHARGE_FOR: Final = timedelta(hours=36)
FAULTS: Final = (
    Fault(
        name="not heard",
        words="The BMS was not heard",
        begin=lambda world: _set_heard(world, False),
        end=lambda world: _set_heard(world, True),
        limit=SILENT_FOR,
        lasts=timedelta(hours=2),
    ),
    Fault(
        name="too hot to charge",
        words="The BMS does not allow charging",
        begin=lambda world: _set_hot(world, 55),
        end=lambda world: _set_hot(world, None),
        limit=FORBIDDEN_FOR,
        lasts=timedelta(hours=2),
    ),
    Fault(
        name="low cell",
        words="The BMS does not allow discharging",
        begin=lambda world: _set_cell(world, TOO_LOW),
        end=lambda world: _set_cell(world, 0.0),
        limit=FORBIDDEN_FOR,
        lasts=timedelta(hours=2),
    ),
    Fault(
        name="no sun",
        words="The battery was not charging",
        begin=lambda world: _set_sun(world, 0),
        end=lambda world: _set_sun(world, None),
        limit=NO_CHARGE_FOR,
        lasts=timedelta(hours=44),
    ),
)
LATE: Final = timedelta(minutes=5)
# In the script: how often each fault comes, and how Home Assistant looks.
TIMES: Final = 3
LOOK: Final = timedelta(minutes=1)
# A month with nothing wrong but the radio: how much of it is silent, and for how many minutes at a time.
MONTH: Final = 30 * DAY
SILENT_SHARE: Final = 0.1
SILENCES: Final = (5, 20)
GUARD_RESTARTS: Final = 30
MINUTES_PER_STEP: Final = STEP // MINUTE


def guard_inputs(hass: HomeAssistant) -> dict[str, object]:
    """Return the inputs of the watch; its limits are those of the blueprint."""
    found = er.async_get(hass).async_get(entity_id(hass, "binary_sensor", "charging"))
    assert found
    return {
        "bms": found.device_id,
        "away": AWAY,
        "memory": MEMORY,
        "allowed_to_charge": entity_id(hass, "binary_sensor", "allowed_to_charge"),
        "allowed_to_discharge": entity_id(hass, "binary_sensor", "allowed_to_discharge"),
        "notifiers": [SOMEBODY],
    }


async def guarded(home: Owner, seed: int) -> tuple[World, list[ServiceCall]]:
    """Return a cabin in summer that nobody is in, and what is told of it."""
    inbox = async_mock_service(home.hass, "notify", "send_message")
    world = World(home, Simulation(load("solar"), seed, longest_step=COARSE_STEP))
    await world.live(LOOK)
    await home.use("away_guard", guard_inputs(home.hass))
    await home.turn(AWAY)
    for _ in range(2 * 24 * 12):
        await world.live(STEP)
    return world, inbox


async def until_told(world: World, inbox: list[ServiceCall], fault: Fault) -> timedelta | None:
    """Let a fault come and go; return how long it took until it was told, None if it was not."""
    charging = entity_id(world.owner.hass, "binary_sensor", "charging")
    inbox.clear()
    fault.begin(world)
    begun, told = now(), None
    shown = world.owner.hass.states.get(charging)
    if fault.limit == NO_CHARGE_FOR and shown and shown.state == "off":
        # The night before counts, too.
        begun = shown.last_changed
    while now() - begun < fault.lasts:
        await world.live(LOOK)
        if fault.limit == NO_CHARGE_FOR and world.owner.state(charging) == "on":
            begun = now()
        if told is None and any(str(call.data["message"]).startswith(fault.words) for call in inbox):
            told = now() - begun
    fault.end(world)
    for _ in range(24 * 12):
        await world.live(STEP)
    return told


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_guard_tells_every_fault(home: Owner, fault: Fault) -> None:
    """Let a fault come, and see how long it takes until it is told."""
    world, inbox = await guarded(home, 1)
    took = [await until_told(world, inbox, fault) for _ in range(TIMES if fault.limit < DAY else 1)]
    late = [told - fault.limit if told else None for told in took]
    words = ", ".join("never" if one is None else f"{one / MINUTE:+.0f} min" for one in late)
    assert judge(all(one is not None and one <= LATE for one in late), f"{fault.name}: told at its limit {words}")


@pytest.mark.parametrize("restarts", [0, GUARD_RESTARTS])
async def test_guard_tells_nothing_wrong(entry: MockConfigEntry, home: Owner, restarts: int) -> None:
    """Let a month pass in which only the radio is bad, and Home Assistant is restarted."""
    world, inbox = await guarded(home, 2)
    random = Random(restarts)
    steps = MONTH // STEP
    restarting = set(random.sample(range(steps), restarts))
    inbox.clear()
    lengths = range(SILENCES[0] // MINUTES_PER_STEP, SILENCES[1] // MINUTES_PER_STEP + 1)
    # Each is followed by a step in which the device is heard: two in a row would be one that may well be told.
    chance = SILENT_SHARE / (1 - SILENT_SHARE) / mean(lengths)
    silent, left = 0, 0
    for step in range(steps):
        if left == 0 and world.heard and random.random() < chance:
            left = random.choice(lengths)
        world.heard = left == 0
        left = max(0, left - 1)
        silent += not world.heard
        await world.live(STEP)
        if step in restarting:
            await world.restart(entry)
    told = len(inbox)
    print(*Counter(message.data["message"].split(".")[0] for message in inbox).most_common(5), sep="\n")
    about = f"in a month with {silent / steps:.0%} radio silence and {restarts} restarts"
    most = 0 if restarts else 1
    assert judge(told <= most, f"false messages {about}: {told}, at most {most}")


def main() -> int:
    """Run everything under pytest, which brings Home Assistant."""
    options = ("-s", "-q", "--log-level=CRITICAL", "--show-capture=no", "--tb=short")
    return subprocess.call([sys.executable, "-m", "pytest", *options, __file__, *sys.argv[1:]], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
