"""The course of a demo, and of a check."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
import json
from pathlib import Path
import shutil
import time
from typing import Final

from emulator.simulation.scenario import load

from . import solar
from .answers import Json, as_object, whole_number
from .automations import save_automations
from .check import check_device, complaints
from .children import Child, ChildEnded, Children
from .config import SOURCE, write_config, write_http
from .control import Control, open_control
from .dashboard import save_dashboard, views
from .emulator import Device, Emulator, start_emulator, start_replay
from .energy import CAPACITY, battery, check_energy, save_energy
from .errors import DemoError
from .flows import OURS, add_device, add_proxy, set_options
from .home_assistant import RESTART_EXIT_CODE, HomeAssistant, address_of, log_in, start_home_assistant
from .past import Hour, live, live_before
from .place import home, settle
from .ports import check_free
from .progress import detail, say
from .statistics import COUNTED, COUNTED_HERE, MEASURED, add_past, add_past_power, counters, show_outlook
from .waiting import until

DEFAULT_SCENARIO: Final = "solar"
_ENTITIES_LIMIT: Final = 60.0
_READ_NOW: Final = "read_now"
_NEEDED: Final = frozenset({*MEASURED, *COUNTED, *COUNTED_HERE, *CAPACITY, _READ_NOW})
# The option of how often to connect, in minutes.
_INTERVAL_OPTION: Final = "pages_interval"
_UPDATE_OPTION: Final = "update_interval"
_USUAL_INTERVAL: Final = 15
_SHORTEST_INTERVAL: Final = 1
_SPARE_SCENARIO: Final = Path(__file__).with_name("spare.yaml")
_CHECKED_SOC: Final = 50.0  # %


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run works with: a folder, Home Assistant's port, the emulator's scenario and speed, the integration."""

    folder: Path
    port: int
    speed: float
    scenario: str = DEFAULT_SCENARIO
    personality: str | None = None
    advertises_state_of_charge: bool = True
    integration: Path = SOURCE
    replay: Path | None = None
    """A diagnostics download, whose device is shown instead of one of the scenario."""

    @property
    def config(self) -> Path:
        """Return Home Assistant's configuration folder."""
        return self.folder / "home_assistant"

    @property
    def log(self) -> Path:
        """Return the file of Home Assistant's log."""
        return self.folder / "home_assistant.log"

    @property
    def emulator_log(self) -> Path:
        """Return the file of the emulator's log."""
        return self.folder / "emulator.log"

    @property
    def battery(self) -> Path:
        """Return the file in which the emulator keeps the battery."""
        return self.folder / "battery.json"

    @property
    def spare(self) -> Path:
        """Return the file in which the emulator keeps the battery of the device that nobody has added."""
        return self.folder / "spare.json"

    @property
    def spare_log(self) -> Path:
        """Return the file of the log of that emulator."""
        return self.folder / "spare.log"

    @property
    def memory(self) -> Path:
        """Return the file that says how to go on with this run. It exists once everything is set up."""
        return self.folder / "kept.json"


# Gets the address of Home Assistant, and the emulator's control channel.
type Visitor = Callable[[str, Control], Coroutine[None, None, None]]


async def demo(run: Run, *, keep: bool) -> None:
    """Start everything and stay until cancelled; keep goes on with the Home Assistant of the run before."""
    started = time.monotonic()
    check_free(run.port)
    ports = _kept_ports(run) if keep else None
    if ports is None:
        _begin_anew(run)
    else:
        write_http(run.config, port=run.port)
    async with Children() as children:
        emulator = await _start_emulator(children, run, ports.emulator if ports else 0)
        spare = await _start_spare(children, run, ports.spare if ports else 0)
        home_assistant = await _start_home_assistant(children, run)
        await children.watch(_go_on(run) if ports else _set_up_with_spare(run, emulator, spare))
        say(f"Ready after {time.monotonic() - started:.0f} s. Ctrl-C ends it. The battery is at")
        print(f"\n    {address_of(run.port)}\n", flush=True)
        say("Its front panel, where you make it cold or low, is at")
        print(f"\n    {emulator.control}/\n", flush=True)
        _introduce(emulator, spare)
        await _stay(children, run, home_assistant, emulator)


async def demo_of_recording(run: Run) -> None:
    """Show the device of a recording until cancelled."""
    check_free(run.port)
    _begin_anew(run)
    async with Children() as children:
        emulator = await _start_emulator(children, run, 0)
        home_assistant = await _start_home_assistant(children, run)
        await children.watch(_set_up(run, emulator))
        say("Ready. Ctrl-C ends it. The battery is at")
        print(f"\n    {address_of(run.port)}\n", flush=True)
        await _stay(children, run, home_assistant, emulator)


def _introduce(emulator: Emulator, spare: Emulator) -> None:
    """Tell what a user would find on the label of each device, and in the app."""
    say("What you would find on the label and in the app:")
    for device in (*emulator.devices, *spare.devices):
        detail(f"{device.name} ({device.address}): PIN {device.pin}, key {device.key}")
    for device in spare.devices:
        detail(f"Nobody has added {device.name} yet. Try it: Settings → Devices & services.")


async def check(run: Run) -> None:
    """Start everything, look whether it is right, end everything; DemoError if it is not."""
    started = time.monotonic()
    try:
        await _start_and_check(run)
    except DemoError as error:
        raise DemoError("\n".join((str(error), *complaints(run.log)))) from error
    if found := complaints(run.log):
        raise DemoError("\n".join((f"Home Assistant's log complains about {OURS.domain}:", *found)))
    say(f"Everything is right. It took {time.monotonic() - started:.0f} s.")


async def _start_and_check(run: Run) -> None:
    async with _started(run) as (children, emulator):
        await children.watch(_set_up_and_check(run, emulator))


async def visit_replayed(run: Run, visitor: Callable[[str], Coroutine[None, None, None]]) -> None:
    """Show a replayed device to a visitor, who gets Home Assistant's address; end everything."""
    async with _started(run) as (children, emulator):
        await children.watch(_set_up(run, emulator))
        await children.watch(visitor(address_of(run.port)))


async def visit(run: Run, visitor: Visitor) -> None:
    """Start everything, let the visitor go to Home Assistant's address, end everything."""
    async with running(run) as (children, _hass, control):
        await children.watch(visitor(address_of(run.port), control))


async def visit_spare(run: Run, visitor: Visitor) -> None:
    """Do the same, with the device that nobody has added; the visitor gets its control channel."""
    async with running(run) as (children, hass, _control):
        spare = await _start_spare(children, run, 0)
        await add_proxy(hass, spare)
        async with open_control(spare.control) as control:
            await children.watch(visitor(address_of(run.port), control))


@asynccontextmanager
async def running(run: Run) -> AsyncIterator[tuple[Children, HomeAssistant, Control]]:
    """Start everything; yield the processes, Home Assistant and the control channel; end everything."""
    async with _started(run) as (children, emulator):
        await children.watch(_set_up(run, emulator))
        async with open_control(emulator.control) as control, log_in(address_of(run.port), fresh=False) as hass:
            yield children, hass, control


@asynccontextmanager
async def _started(run: Run) -> AsyncIterator[tuple[Children, Emulator]]:
    """Start the emulator and a fresh Home Assistant; yield the processes and the emulator; end both."""
    check_free(run.port)
    _begin_anew(run)
    async with Children() as children:
        emulator = await _start_emulator(children, run, 0)
        await _start_home_assistant(children, run)
        yield children, emulator
        say("Ending both …")


def _begin_anew(run: Run) -> None:
    """Remove what an earlier run left, and write a fresh configuration."""
    shutil.rmtree(run.config, ignore_errors=True)
    for file in (run.log, run.emulator_log, run.memory, run.battery, run.spare, run.spare_log):
        file.unlink(missing_ok=True)
    write_config(run.config, port=run.port, integration=run.integration)


@dataclass(frozen=True, kw_only=True)
class _Ports:
    """Where Home Assistant finds the proxies of the two emulators."""

    emulator: int
    spare: int


def _kept_ports(run: Run) -> _Ports | None:
    """Return the ports of the run before, where its Home Assistant will look for the proxies; None without any."""
    try:
        memory: Json = json.loads(run.memory.read_text())
        kept = as_object(memory)
        return _Ports(emulator=whole_number(kept, "emulator_port"), spare=whole_number(kept, "spare_port"))
    except FileNotFoundError, ValueError, DemoError:
        detail("There is nothing to go on with: this is a fresh start.")
        return None


async def _start_emulator(children: Children, run: Run, port: int) -> Emulator:
    say("Starting the emulator …")
    if run.replay:
        emulator = await start_replay(children, run.replay, log=run.emulator_log, port=port)
        detail(f"with the device that {run.replay.name} recorded")
        return emulator
    emulator = await start_emulator(
        children,
        log=run.emulator_log,
        battery=run.battery,
        port=port,
        scenario=run.scenario,
        speed=run.speed,
        personality=run.personality,
        advertises_state_of_charge=run.advertises_state_of_charge,
    )
    names = ", ".join(f"{device.name} ({device.address})" for device in emulator.devices)
    detail(f"{names}, living {run.speed:g} times faster than real time")
    detail(f"behind a Bluetooth proxy at {emulator.host}:{emulator.port}")
    detail(f"controlled at {emulator.control}, see docs/emulator.md")
    return emulator


async def _start_spare(children: Children, run: Run, port: int) -> Emulator:
    """Start the device that nobody has added."""
    return await start_emulator(
        children, log=run.spare_log, battery=run.spare, port=port, scenario=str(_SPARE_SCENARIO), speed=1
    )


async def _start_home_assistant(children: Children, run: Run) -> Child:
    say("Starting Home Assistant …")
    return await start_home_assistant(children, config=run.config, log=run.log)


async def _set_up(run: Run, emulator: Emulator) -> None:
    if run.replay:
        await _add_replayed(run, emulator)
        return
    async with _prepared(run, emulator) as prepared:
        await _add_everything(run, emulator, prepared)


async def _set_up_with_spare(run: Run, emulator: Emulator, spare: Emulator) -> None:
    async with _prepared(run, emulator) as prepared:
        await _add_everything(run, emulator, prepared)
        await add_proxy(prepared.hass, spare)
    run.memory.write_text(json.dumps({"emulator_port": emulator.port, "spare_port": spare.port}))


async def _add_replayed(run: Run, emulator: Emulator) -> None:
    """Add the device of a recording, which has no past."""
    async with log_in(address_of(run.port), fresh=True) as hass:
        say("Adding the Bluetooth proxy …")
        await add_proxy(hass, emulator)
        (device,) = emulator.devices
        entities = await _add_device(run, hass, device)
        await save_dashboard(hass, {device.name: views(entities)})


async def _set_up_and_check(run: Run, emulator: Emulator) -> None:
    if run.replay:
        await _add_replayed(run, emulator)
        return
    async with _prepared(run, emulator) as prepared:
        hass, control = prepared.hass, prepared.control
        added = await _add_everything(run, emulator, prepared)
        for number, (device, entities) in enumerate(added.items(), start=1):
            await check_device(hass, device, entities, partial(control.set_state_of_charge, _CHECKED_SOC, number))
        await check_energy(hass)


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A fresh Home Assistant, and an emulator whose batteries have lived through these hours of theirs."""

    hass: HomeAssistant
    control: Control
    past: list[tuple[Hour, ...]]


@asynccontextmanager
async def _prepared(run: Run, emulator: Emulator) -> AsyncIterator[_Prepared]:
    """Let the batteries live through two weeks while Home Assistant starts."""
    async with open_control(emulator.control) as control:
        past = await live_before(control, devices=len(emulator.devices), now=_now())
        async with log_in(address_of(run.port), fresh=True) as hass:
            scenario = load(run.scenario)
            await settle(hass, home(scenario.place, scenario=scenario.start, now=_now()))
            yield _Prepared(hass=hass, control=control, past=past)


def _now() -> datetime:
    return datetime.now().astimezone()


async def _go_on(run: Run) -> None:
    async with log_in(address_of(run.port), fresh=False):
        detail("It is as it was left.")


async def _add_everything(run: Run, emulator: Emulator, prepared: _Prepared) -> dict[Device, dict[str, str]]:
    """Do by its flows what a user would do, and return the entity ids by key of each device."""
    hass = prepared.hass
    say("Adding the Bluetooth proxy …")
    await add_proxy(hass, emulator)
    added = {device: await _add_device(run, hass, device) for device in emulator.devices}
    past = await _live(run, prepared, added)
    await save_automations(hass, [(device.name, entities) for device, entities in added.items()])
    await save_dashboard(hass, {device.name: views(entities) for device, entities in added.items()})
    states = await hass.states()
    batteries = [battery(device.name, entities, states) for device, entities in added.items()]
    powers = await save_energy(hass, batteries, *([solar.SOURCE] if solar.ENTITY in states else []))
    for power, hours in zip(powers, past, strict=True):
        await add_past_power(hass, power, hours)
    for entities, hours in zip(added.values(), past, strict=True):
        await show_outlook(hass, entities, hours)
    return added


async def _live(run: Run, prepared: _Prepared, added: Mapping[Device, Mapping[str, str]]) -> list[tuple[Hour, ...]]:
    """Let the batteries live through yesterday and today, and give Home Assistant the statistics of that and before.

    Home Assistant has read the counters before yesterday, and reads them after today. So its sums begin with yesterday,
    those of the two weeks before it are below 0, and it counts on from where the past ends.
    """
    hass = prepared.hass
    say("Letting the battery live through yesterday and today …")
    zeros = [await counters(hass, entities) for entities in added.values()]
    if has_solar := solar.has_chargers(prepared.past[0]):
        zero_yield = solar.yields(prepared.past)[-1][1]
        await solar.tell(hass, zero_yield)
    lately = await live(prepared.control, devices=len(added), now=_now(), speed=run.speed)
    past = [(*before, *hours) for before, hours in zip(prepared.past, lately, strict=True)]
    for entities, hours, zero in zip(added.values(), past, zeros, strict=True):
        await hass.post("/api/services/button/press", {"entity_id": entities[_READ_NOW]})
        await add_past(hass, entities, hours, zero)
    if has_solar:
        await solar.add_past_yield(hass, solar.yields(past), zero_yield)
    return past


async def _add_device(run: Run, hass: HomeAssistant, device: Device) -> dict[str, str]:
    say(f"Waiting for {device.name} to be discovered, and adding it …")
    entry = await add_device(hass, OURS, device)
    detail("It was added, and is read over a connection for the first time.")
    # Nobody knows what the device of a recording has.
    entities = await _entities(hass, device, frozenset({_READ_NOW}) if run.replay else _NEEDED)
    if run.speed > 1:
        minutes = connection_interval(run.speed)
        await set_options(hass, entry, {_INTERVAL_OPTION: minutes, _UPDATE_OPTION: 1})
        detail(f"As it lives {run.speed:g} times faster, it is read every {minutes} min and shown every second.")
    return entities


def connection_interval(speed: float) -> int:
    """Return how often to connect, in min, so that it is as often as usual in the life of the battery, if possible."""
    return min(max(round(_USUAL_INTERVAL / speed), _SHORTEST_INTERVAL), _USUAL_INTERVAL)


async def _entities(hass: HomeAssistant, device: Device, needed: AbstractSet[str]) -> dict[str, str]:
    """Return the entity ids by key, once those that come with the first connection are there and nothing is added."""
    before: dict[str, str] = {}

    async def complete() -> dict[str, str] | None:
        nonlocal before
        before, now = await hass.entities(OURS.domain, f"{device.address.lower()}_"), before
        return now if now == before and needed <= now.keys() else None

    return await until(
        complete,
        limit=_ENTITIES_LIMIT,
        otherwise=lambda: f"{device.name} was added, but lacks {', '.join(sorted(needed - before.keys()))}.",
    )


async def _go_on_telling(run: Run, emulator: Emulator) -> None:
    """Tell Home Assistant what the solar chargers yield, if there are any, until canceled."""
    if not emulator.control:
        await asyncio.Event().wait()
    async with open_control(emulator.control) as control:
        has_chargers = bool(solar.chargers(await control.state(1)))
    if has_chargers:
        await solar.feed(address_of(run.port), emulator.control, devices=len(emulator.devices))
    await asyncio.Event().wait()


async def _stay(children: Children, run: Run, home_assistant: Child, emulator: Emulator) -> None:
    """Wait until cancelled. Home Assistant is started again when it was told to restart."""
    with suppress(asyncio.CancelledError):
        while True:
            try:
                await children.watch(_go_on_telling(run, emulator))
            except ChildEnded as ended:
                if ended.child is not home_assistant or home_assistant.returncode != RESTART_EXIT_CODE:
                    raise
            children.forget(home_assistant)
            home_assistant = await _start_home_assistant(children, run)
    say("Ending both …")
