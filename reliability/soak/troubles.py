"""What goes wrong in a soak, by chance: with the battery, on the radio, on the link, and with the machine."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

from demo.answers import JsonObject, as_object
from demo.errors import DemoError

from .house import Away, House
from .plan import HEATER, STATE_OF_CHARGE, SUPPLY, Member
from .watch import Watch

# s: some stand too briefly to be due, most stand long enough.
_DURATIONS: Final = (0.5, 1.5, 3.0, 9.0, 14.0, 20.0)
# Faults of the bank and the BMS, each with the argument that gives a code and no damage.
_CODES: Final[tuple[tuple[str, float | None], ...]] = (
    ("cell-low", 2.85),
    ("cell-low", 2.7),
    ("hot", 57.0),
    ("frozen", -6.0),
    ("cable-unplugged", 2),
    ("hardware", None),
    ("bank-voltage-low", 8.8),
)
# Faults of the radio that leave what is heard true, and those in which nothing true is heard.
_HARMLESS: Final = ("reordered", "weak-signal")
_DEAF: Final = ("silence", "garbage", "changed-key", "repeated")
_LINK: Final[Mapping[str, Callable[[Random], float | int | None]]] = {
    "link-lost": lambda random: random.randint(0, 25),
    "slow": lambda random: round(random.uniform(0.1, 1.0), 2),
    "connection-refused": lambda _random: None,
    "refused-writes": lambda _random: None,
    "no-free-slot": lambda _random: None,
    "wrong-pin": lambda _random: None,
}
_SETTINGS: Final[Mapping[str, tuple[float, ...]]] = {
    "low_soc_warning": (16, 18, 20, 22),
    "tail_current": (3, 4, 5),
    "charged_detection_time": (2, 3, 4),
}


@dataclass
class Troubles:
    """Makes trouble until cancelled; made counts it by kind."""

    house: House
    watch: Watch
    seed: int
    entities: Mapping[int, Mapping[str, str]]
    made: Counter[str] = field(default_factory=Counter)
    gaps: int = 0

    async def of_the_battery(self, member: Member) -> None:
        """Let codes come and go."""
        random = Random(f"battery {self.seed} {member.number}")
        while True:
            await asyncio.sleep(random.uniform(3, 12))
            name, argument = random.choice(_CODES)
            await self._fault(member, name, argument, random.choice(_DURATIONS))

    async def of_the_radio(self, member: Member) -> None:
        """Let advertisements be late, wrong or missing."""
        random = Random(f"radio {self.seed} {member.number}")
        while True:
            await asyncio.sleep(random.uniform(15, 45))
            if random.random() < 0.5:
                await self._fault(member, random.choice(_HARMLESS), None, random.uniform(5, 20))
                continue
            with self.watch.hidden(member.number):
                await self._fault(member, random.choice(_DEAF), None, random.uniform(2, 15))

    async def of_the_link(self, member: Member) -> None:
        """Let an owner change settings over links that break."""
        random = Random(f"link {self.seed} {member.number}")
        while True:
            await asyncio.sleep(random.uniform(8, 25))
            name = random.choice([*_LINK, "drop", "none"])
            change = asyncio.create_task(self._change(member, random))
            if name in _LINK:
                await self._fault(member, name, _LINK[name](random), random.uniform(3, 8))
            elif name == "drop":
                await asyncio.sleep(random.uniform(0, 2))
                await self._control(member, "POST", "/radio/drop-link", None)
                self.made[name] += 1
            await asyncio.wait([change])
            change.result()

    async def of_the_proxies(self) -> None:
        """Let proxies come and go, one at a time, so that the devices stay heard by the others."""
        random = Random(f"proxies {self.seed}")
        while True:
            await asyncio.sleep(random.uniform(10, 30))
            relay = random.choice(self.house.relays)
            relay.cut = True
            relay.hang_up()
            self.made["proxy away"] += 1
            # What it had heard last is known; the others go on, but until the next record there may be a pause.
            with self.watch.hidden(*(member.number for member in self.house.members)):
                await asyncio.sleep(random.uniform(1, 6))
                relay.cut = False
                await asyncio.sleep(4)

    async def of_the_machine(self, every: float) -> None:
        """Restart and kill Home Assistant, take the power from the devices, and set the clock, in turns."""
        random = Random(f"machine {self.seed}")
        turns = (self._kill, self._step_clock, self._power_cut, self._restart, self._step_clock_back)
        while True:
            for turn in turns:
                await asyncio.sleep(every * random.uniform(0.7, 1.3))
                await _finished(turn(random))

    async def _kill(self, random: Random) -> None:
        await self._away("Home Assistant killed", random, kill=True)

    async def _restart(self, random: Random) -> None:
        await self._away("Home Assistant restarted", random, kill=False)

    async def _away(self, what: str, random: Random, *, kill: bool) -> None:
        with self.watch.hidden(*(member.number for member in self.house.members)):
            await self.house.stop_home_assistant(kill=kill)
            self.made[what] += 1
            self.gaps += 1
            await asyncio.sleep(random.uniform(0, 5))
            await self.house.start_home_assistant()
            await asyncio.sleep(10)

    async def _power_cut(self, random: Random) -> None:
        with self.watch.hidden(*(member.number for member in self.house.members)):
            # The emulated batteries stand still while they are away; real ones would not.
            await self.draw(on=False)
            await asyncio.sleep(3)
            await self.house.restart_emulator(random.uniform(0.2, 6))
            self.made["devices restarted"] += 1
            self.gaps += 1
            await asyncio.sleep(10)
            await self.draw(on=True)

    async def _step_clock(self, random: Random) -> None:
        self.house.clock.step(random.randint(1, 3))
        self.made["clock set"] += 1

    async def _step_clock_back(self, _random: Random) -> None:
        self.house.clock.step(0)
        self.made["clock set"] += 1

    async def end(self) -> None:
        """Put everything right again."""
        for relay in self.house.relays:
            relay.cut = False
        self.house.clock.step(0)
        for member in self.house.members:
            await self._control(member, "DELETE", "/faults", None)
            await self._control(member, "POST", "/state-of-charge", {"percent": STATE_OF_CHARGE})

    async def let_go(self) -> None:
        """Wait until nobody is connected to a device any more: connected, it advertises nothing."""
        for member in self.house.members:
            while await self._connected(member):  # noqa: ASYNC110  # it happens in another process
                await asyncio.sleep(1)

    async def _connected(self, member: Member) -> bool:
        radio = await self.house.control("GET", f"/state/radio?device={member.number}")
        return bool(as_object(radio).get("connected"))

    async def draw(self, *, on: bool) -> None:
        """Let every second battery be charged and the others be discharged, or nothing flow."""
        for member in self.house.members:
            name, other = (SUPPLY, HEATER) if member.number % 2 else (HEATER, SUPPLY)
            await self._control(member, "POST", "/flows", {"name": name, "on": on})
            await self._control(member, "POST", "/flows", {"name": other, "on": False})

    async def _change(self, member: Member, random: Random) -> None:
        key = random.choice(list(_SETTINGS))
        value = random.choice(_SETTINGS[key])
        if (entity := self.entities[member.number].get(key)) is None:
            return
        self.made["setting changed"] += 1
        # Whether it worked out does not matter: in the end the settings are compared.
        with suppress(DemoError, Away):
            await self.house.hass.post("/api/services/number/set_value", {"entity_id": entity, "value": value})

    async def _fault(self, member: Member, name: str, argument: float | None, seconds: float) -> None:
        body: JsonObject = {} if argument is None else {"argument": argument}
        self.made[name] += 1
        try:
            await self._control(member, "POST", f"/faults/{name}", body)
            await asyncio.sleep(seconds)
        finally:
            await self._control(member, "DELETE", f"/faults/{name}", None)

    async def _control(self, member: Member, method: str, path: str, body: JsonObject | None) -> None:
        """Ask the emulator for something; while it is away, there is nobody to ask."""
        with suppress(Away):
            await self.house.control(method, f"{path}?device={member.number}", body)


async def _finished(work: Coroutine[None, None, None]) -> None:
    """Do something to its end, also when there is to be no more trouble meanwhile."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
