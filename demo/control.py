"""The emulator's control channel: see and change what is emulated."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from .answers import Json, JsonObject, as_object, text
from .errors import DemoError

_LIMIT: Final = ClientTimeout(total=60)


class Control:
    """The open control channel; its address is where the front panel is, too."""

    def __init__(self, session: ClientSession, address: str) -> None:
        self.address = address
        self._session = session

    async def state(self, device: int) -> JsonObject:
        """Return everything of one device; the first one is 1."""
        return await self._request("GET", f"/state?device={device}", None)

    async def advance(self, seconds: float, *, coarse: bool = False) -> None:
        """Let emulated time pass at once, and in longer steps if coarse."""
        await self._request("POST", "/advance", {"seconds": seconds, "coarse": coarse})

    async def speed(self) -> float:
        """Return how many times faster than real time it lives."""
        speed = (await self.state(1)).get("speed")
        return speed if isinstance(speed, int | float) else 1.0

    async def set_speed(self, speed: float) -> None:
        """Let time pass so many times faster than real time; 0 lets it stand still."""
        await self._request("POST", "/speed", {"speed": speed})

    async def set_state_of_charge(self, percent: float, device: int) -> None:
        """Set the state of charge of a device, as the app does."""
        await self._request("POST", f"/state-of-charge?device={device}", {"percent": percent})

    async def switch_system_on(self) -> None:
        """Switch the system of the first device on, as the app does."""
        await self._request("POST", "/mode", {"on": True})

    async def raise_fault(self, name: str, argument: float | str | None = None) -> None:
        """Switch a fault of the first device on."""
        await self._request("POST", f"/faults/{name}", {} if argument is None else {"argument": argument})

    async def clear_faults(self) -> None:
        """Switch all faults of the first device off."""
        await self._request("DELETE", "/faults", None)

    async def _request(self, method: str, path: str, body: JsonObject | None) -> JsonObject:
        try:
            async with self._session.request(method, path, json=body) as response:
                answer: Json = await response.json()
                if not response.ok:
                    raise DemoError(f"The emulator refused {path}: {text(as_object(answer), 'error')}")
                return as_object(answer)
        except (ClientError, TimeoutError) as error:
            raise DemoError(f"The emulator does not answer at {path}: {error}.") from error


@asynccontextmanager
async def open_control(address: str) -> AsyncIterator[Control]:
    """Yield the control channel at this address."""
    async with ClientSession(address, timeout=_LIMIT) as session:
        yield Control(session, address)
