"""Let a real Home Assistant live through trouble: python -m reliability.soak, as scripts/soak calls it."""

from argparse import ArgumentParser, Namespace
import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
import sys
import tempfile
from time import monotonic
from typing import Final

from demo.answers import JsonObject, as_object
from demo.check import complaints
from demo.errors import DemoError
from tests.leaks import leaks

from .house import Away, House
from .ledger import CodeBooks, EnergyBooks, audit_codes, audit_energy
from .measure import Usage, growth, measure
from .plan import BANK_VOLTAGE, Member, members
from .troubles import Troubles
from .watch import Watch, entities, entry_id

HIGH_SPEED: Final = 20
# s until everything that was under way has ended, and until all that is shown is up to date.
_SETTLES: Final = 15
_READS: Final = 5
_SETTINGS: Final = (
    *("charged_voltage", "tail_current", "charged_detection_time"),
    *("low_soc_warning", "discharge_floor", "pre_alarm_cell_voltage"),
)
# What Home Assistant says of every custom integration, and what its other parts say of what was done to them.
_NAME: Final = "smallbms_ng"


class Soak:
    """One soak, from the first start to the books."""

    members: tuple[Member, ...]
    entries: Mapping[int, str]
    entities: Mapping[int, Mapping[str, str]]
    troubles: Troubles

    def __init__(self, folder: Path, *, minutes: float, seed: int) -> None:
        self.house = House(folder, members(seed))
        self.watch = Watch(self.house)
        self.seconds = minutes * 60
        self.seed = seed
        self.problems: list[str] = []
        self.usages: list[Usage] = []

    async def run(self) -> None:
        """Live through it. What was wrong is in problems."""
        try:
            await self._begin()
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self.watch.run())
                await self._fast()
                flowed = await self._slow()
                watching.cancel()
            await self._audit(flowed)
        finally:
            await self.house.end()

    async def _begin(self) -> None:
        began = monotonic()
        await asyncio.gather(self.house.start_emulator(), self.house.start_home_assistant())
        self.problems += await self.house.set_up()
        if not self.house.members:
            raise DemoError("\n".join(self.problems))
        self.members = self.house.members
        self.entries = {one.number: await entry_id(self.house, one) for one in self.members}
        self.entities = {one.number: await entities(self.house, one) for one in self.members}
        self.troubles = Troubles(house=self.house, watch=self.watch, seed=self.seed, entities=self.entities)
        count = sum(map(len, self.entities.values()))
        took = monotonic() - began
        say(f"{len(self.members)} devices on {len(self.house.relays)} proxies, {count} entities, added in {took:.0f} s")

    async def _fast(self) -> None:
        """Let the batteries live fast, with trouble of the batteries, the radio, the links and the proxies."""
        # Home Assistant counts by its own clock, so that nothing may flow while the batteries live faster.
        await self.troubles.draw(on=False)
        await asyncio.sleep(_SETTLES)
        self.usages.append(await measure(self.house))
        await self.house.control("POST", "/speed", {"speed": HIGH_SPEED})
        troubles = self.troubles
        kinds = (troubles.of_the_battery, troubles.of_the_radio, troubles.of_the_link)
        makers = [make(one) for one in self.members for make in kinds]
        await _for(self.seconds / 2, *makers, troubles.of_the_proxies())
        await troubles.end()
        await self._settle()
        self.usages.append(await measure(self.house))
        say(f"At {HIGH_SPEED} times real time: {_told(troubles.made)}")

    async def _slow(self) -> list[EnergyBooks]:
        """Let energy flow at the speed of Home Assistant's own clock, with trouble of the machine."""
        await self.house.control("POST", "/speed", {"speed": 1})
        await self.troubles.draw(on=False)
        await self._settle()
        before = [await self._energy(one) for one in self.members]
        await self.troubles.draw(on=True)
        makers = [self.troubles.of_the_battery(one) for one in self.members]
        await _for(self.seconds / 2, *makers, self.troubles.of_the_machine(self.seconds / 2 / 6))
        await self.troubles.end()
        await self.troubles.draw(on=False)
        await self._settle()
        say(f"With all: {_told(self.troubles.made)}")
        return [
            books
            for member, earlier in zip(self.members, before, strict=True)
            if member.advertises_all
            for books in self._energy_books(member, earlier, await self._energy(member))
        ]

    async def _settle(self) -> None:
        await self.troubles.let_go()
        await asyncio.sleep(_SETTLES)

    async def _energy(self, member: Member) -> Mapping[str, tuple[float, float]]:
        """Return for each direction the Wh that flowed and that were counted; states show them up to a minute later."""
        history = as_object(await self.house.control("GET", f"/state/history?device={member.number}"))
        counted = await self._counted(member)
        return {
            direction: (1000 * float(str(history[f"{direction}_energy_kwh"])), float(str(counted[direction])))
            for direction in ("charged", "discharged")
        }

    async def _counted(self, member: Member) -> JsonObject:
        download = await self.house.hass.get(f"/api/diagnostics/config_entry/{self.entries[member.number]}")
        readout = as_object(as_object(as_object(download).get("data")).get("instant_readout"))
        return as_object(readout.get("energy"))

    def _energy_books(
        self, member: Member, before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]
    ) -> Iterator[EnergyBooks]:
        for direction in before:
            flowed, counted = (late - early for early, late in zip(before[direction], after[direction], strict=True))
            name = f"{member.personality}, {direction}"
            yield audit_energy(name, flowed=flowed, counted=counted, gaps=self.troubles.gaps, voltage=BANK_VOLTAGE)

    async def _audit(self, energy: Sequence[EnergyBooks]) -> None:
        await self._audit_codes()
        self.problems += [one.problem for one in energy if one.problem]
        flowed = sum(one.flowed for one in energy)
        worst = max((abs(one.flowed - one.counted) for one in energy), default=0)
        say(f"Energy: {flowed:.0f} Wh flowed, at most {worst:.1f} Wh of one counter differ")
        await self._audit_settings()
        for grown in growth(self.usages):
            say(f"{grown.name}: {grown.first:g} → {grown.last:g}")
            self.problems += [grown.problem] if grown.problem else []
        self._audit_log()

    async def _audit_codes(self) -> None:
        books: list[CodeBooks] = []
        for member in self.members:
            if not member.advertises_all:
                continue
            found = await self.watch.told(self.entities[member.number]["code"])
            told = [one for one in found if one.code not in member.own_codes]
            books.append(one := audit_codes(self.watch.samples[member.number], told))
            self.problems += [f"{member.personality}: {problem}" for problem in one.problems]
        say(f"Codes: {sum(one.due for one in books)} had to be told, {sum(one.told for one in books)} events")

    async def _audit_settings(self) -> None:
        """Read everything once more, and compare each setting with what the device has."""
        compared = 0
        for member in self.members:
            await self._read(member)
            states = await self.house.hass.states()
            settings = as_object(await self.house.control("GET", f"/state/settings?device={member.number}"))
            for name in _SETTINGS:
                shown = states.get(self.entities[member.number].get(name, ""))
                if shown is None or shown.value in {"unknown", "unavailable"}:
                    continue
                compared += 1
                if abs(float(shown.value) - float(str(settings[name]))) > 1e-3:
                    self.problems.append(f"{member.personality}: {name} is {settings[name]}, not {shown.value}")
        say(f"Settings: {compared} compared")
        if compared < len(self.members):
            self.problems.append(f"only {compared} settings could be compared")

    async def _read(self, member: Member) -> None:
        button = self.entities[member.number].get("read_now")
        for _ in range(_READS if button else 0):
            with suppress(DemoError, Away):
                await self.house.hass.post("/api/services/button/press", {"entity_id": button})
                return
            await asyncio.sleep(1)

    def _audit_log(self) -> None:
        log = self.house.log.read_text(errors="replace")
        keys = [bytes.fromhex(one.key) for one in self.members]
        found = leaks(log, keys=keys, pins={one.pin for one in self.members})
        self.problems += [f"the log tells a secret: {one}" for one in found]
        raised = [one for one in complaints(self.house.log) if "Traceback" in one]
        self.problems += [f"an error in the log:\n{one}" for one in raised]
        say(f"Log: {len(log) / 1e6:.1f} MB, {len(found)} secrets, {len(raised)} errors of ours")


async def _for(seconds: float, *work: Coroutine[None, None, None]) -> None:
    """Work for a while. What fails by itself ends all."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for one in work:
                tasks.create_task(one)


def _told(made: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(made.items()))


def say(words: str) -> None:
    """Tell how it goes."""
    print(words, flush=True)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            yield Path(folder)
    else:
        kept.mkdir(parents=True, exist_ok=False)
        yield kept.resolve()


def _arguments(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="scripts/soak", description="Let a real Home Assistant live through trouble.")
    parser.add_argument("--minutes", type=float, default=2, help="for how long there is trouble; 2 if left out")
    parser.add_argument("--seed", type=int, default=1, help="another one gives other trouble; 1 if left out")
    parser.add_argument("--folder", type=Path, help="a new folder that is kept, with all logs; else a temporary one")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak; return the exit code."""
    asked = _arguments(arguments)
    with _folder(asked.folder) as folder:
        problems = asyncio.run(_soak(folder, asked.minutes, asked.seed))
    for problem in problems:
        print(f"✗ {problem}", file=sys.stderr)
    say("Nothing is wrong." if not problems else f"{len(problems)} things are wrong.")
    return int(bool(problems))


async def _soak(folder: Path, minutes: float, seed: int) -> list[str]:
    soak = Soak(folder, minutes=minutes, seed=seed)
    await soak.run()
    return soak.problems


if __name__ == "__main__":
    sys.exit(main())
