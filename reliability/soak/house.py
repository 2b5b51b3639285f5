"""The processes of a soak: Home Assistant, the emulator, and the relays between them."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
import json
from pathlib import Path
import shutil
import signal
import sys
from typing import Final, Self, override

from aiohttp import ClientError, ClientSession, ClientTimeout

from demo.answers import Json, JsonObject, as_object, as_objects, whole_number
from demo.config import write_config
from demo.emulator import Emulator
from demo.errors import DemoError
from demo.flows import OURS, add_device, add_proxy
from demo.home_assistant import HomeAssistant, address_of, log_in
from demo.ports import LOOPBACK, free_port

from .plan import Member, write_scenario
from .relay import Relay
from .wall_clock import WallClock

_ROOT: Final = Path(__file__).parents[2]
_HASS: Final = (sys.executable, "-P", _ROOT / "demo" / "loopback_hass.py")
_PROBE: Final = Path(__file__).with_name("probe")
_READY: Final = 60.0
_ENDS: Final = 60.0
_LIMIT: Final = ClientTimeout(total=20)
_DEBUGGED: Final = (
    "    custom_components.smallbms_ng: debug\n    bleak_retry_connector: debug\n    habluetooth: debug\n"
)


class Away(Exception):
    """What is asked does not run just now."""


class OneAtATime(HomeAssistant):
    """A Home Assistant that several talk to, whose websocket answers one command after the other."""

    _turn: asyncio.Lock

    @classmethod
    def of(cls, other: HomeAssistant) -> Self:
        """Return the same one."""
        one = cls(other._session, other._socket)
        one._turn = asyncio.Lock()
        return one

    @override
    async def command(self, name: str, **parameters: Json) -> Json:
        async with self._turn:
            return await super().command(name, **parameters)


@dataclass
class House:
    """Everything that runs."""

    folder: Path
    members: tuple[Member, ...]
    relays: tuple[Relay, ...] = ()
    starts: int = 0
    _hass: OneAtATime | None = None
    _home_assistant: Process | None = None
    _emulator: Process | None = None
    _login: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        self.config = self.folder / "config"
        self.log = self.folder / "home_assistant.log"
        self.port = free_port()
        self._control_port = free_port()
        self.clock = WallClock.build(self.folder)
        write_scenario(self.folder / "soak.yaml", self.members)
        _write_config(self.config, self.port)
        self._http = ClientSession(f"http://{LOOPBACK}:{self._control_port}", timeout=_LIMIT)

    @property
    def up(self) -> bool:
        """Whether Home Assistant runs and we are logged in."""
        return self._hass is not None

    @property
    def hass(self) -> OneAtATime:
        """The running Home Assistant; Away while it does not run."""
        if self._hass is None:
            raise Away
        return self._hass

    @property
    def process_id(self) -> int:
        """The process of Home Assistant."""
        return 0 if self._home_assistant is None else self._home_assistant.pid

    async def start_emulator(self) -> None:
        """Start the emulator, from where it left off."""
        command = (
            *(sys.executable, "-m", "emulator", "--json", "--port", "0", "--control-port", self._control_port),
            *("--scenario", self.folder / "soak.yaml", "--save", self.folder / "battery.json"),
        )
        with (self.folder / "emulator.log").open("ab") as log:
            self._emulator = process = await asyncio.create_subprocess_exec(
                *map(str, command), stdin=DEVNULL, stdout=PIPE, stderr=log, cwd=_ROOT, start_new_session=True
            )
        assert process.stdout
        line = (await asyncio.wait_for(process.stdout.readline(), _READY)).decode()
        self.emulator = Emulator.from_line(line)
        await self._follow(
            [whole_number(one, "port") for one in as_objects(as_object(json.loads(line)).get("proxies"))]
        )

    async def _follow(self, ports: Sequence[int]) -> None:
        """Let the relays lead to where the proxies are now."""
        if not self.relays:
            self.relays = tuple(Relay(target=port) for port in ports)
            for relay in self.relays:
                await relay.start()
        for relay, port in zip(self.relays, ports, strict=True):
            relay.target = port

    async def restart_emulator(self, pause: float) -> None:
        """Take the power from all devices and proxies for so many seconds."""
        await self.control("POST", "/save")
        assert self._emulator
        self._emulator.kill()
        await self._emulator.wait()
        await asyncio.sleep(pause)
        await self.start_emulator()

    async def control(self, method: str, path: str, body: JsonObject | None = None) -> Json:
        """Ask the emulator for something. Raises Away."""
        try:
            async with self._http.request(method, path, json=body) as response:
                answer: Json = await response.json()
        except (ClientError, TimeoutError, ConnectionError) as error:
            raise Away from error
        if not response.ok:
            raise DemoError(f"The emulator refused {path}: {answer}")
        return answer

    async def start_home_assistant(self) -> None:
        """Start Home Assistant, and log in once it runs."""
        command = (*_HASS, "--config", self.config, "--skip-pip", "--log-no-color")
        with self.log.open("ab") as log:
            self._home_assistant = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.config,
                env=self.clock.environment,
                start_new_session=True,
            )
        fresh, self.starts = not self.starts, self.starts + 1
        hass = await self._login.enter_async_context(log_in(address_of(self.port), fresh=fresh))
        self._hass = OneAtATime.of(hass)

    async def stop_home_assistant(self, *, kill: bool) -> None:
        """End Home Assistant as its owner does, or as a power cut does."""
        self._hass = None
        process = self._home_assistant
        assert process
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _ENDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise DemoError("Home Assistant did not end.") from None
        finally:
            with suppress(DemoError, ClientError, ConnectionError):
                await self._login.aclose()
            self._login = AsyncExitStack()

    async def set_up(self) -> list[str]:
        """Add the proxies and the devices, as an owner does; return which devices could not be added, and why."""
        for relay in self.relays:
            await add_proxy(self.hass, replace(self.emulator, port=relay.port))
        adding = (add_device(self.hass, OURS, device) for device in self.emulator.devices)
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        failed = {
            member: outcome
            for member, outcome in zip(self.members, outcomes, strict=True)
            if isinstance(outcome, BaseException)
        }
        self.members = tuple(member for member in self.members if member not in failed)
        return [f"{member.personality} could not be added: {outcome}" for member, outcome in failed.items()]

    async def end(self) -> None:
        """End everything that is left."""
        for relay in self.relays:
            await relay.stop()
        for process in (self._home_assistant, self._emulator):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        await self._login.aclose()
        await self._http.close()


def _write_config(folder: Path, port: int) -> None:
    write_config(folder, port=port)
    shutil.copytree(_PROBE, folder / "custom_components" / "soak_probe")
    path = folder / "configuration.yaml"
    text = path.read_text().replace("logger:\n  logs:\n", f"logger:\n  default: warning\n  logs:\n{_DEBUGGED}")
    path.write_text(f"{text}diagnostics:\nsoak_probe:\n")
