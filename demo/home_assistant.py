"""A running Home Assistant: start it, log in, talk to it over REST and its websocket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
import sys
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWebSocketResponse

from .answers import Json, JsonObject, as_object, as_objects, text
from .children import Child, Children
from .errors import DemoError
from .ports import LOOPBACK
from .waiting import until

NAME: Final = "Home Assistant"
RESTART_EXIT_CODE: Final = 100  # "start me again"
# -P: the demo's modules are not Home Assistant's.
_PROGRAM: Final = (sys.executable, "-P", Path(__file__).parent / "loopback_hass.py")
_START_LIMIT: Final = 120.0  # ten times what it needs on a small machine
_REQUEST_LIMIT: Final = ClientTimeout(total=60)
_OWNER: Final = {"name": "Demo", "username": "demo", "password": "demo", "language": "en"}
_NO_ANSWER: Final = f"{NAME} does not answer"


def address_of(port: int) -> str:
    """Return where Home Assistant is, without a slash at the end."""
    return f"http://{LOOPBACK}:{port}"


async def start_home_assistant(children: Children, *, config: Path, log: Path) -> Child:
    """Start Home Assistant as it is. It is not up yet when this returns."""
    command = (*_PROGRAM, "--config", config, "--skip-pip", "--log-no-color")
    return await children.start(NAME, command, log=log, cwd=config)


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of one entity."""

    value: str
    unit: str | None


class HomeAssistant:
    """A Home Assistant that we are logged in to."""

    def __init__(self, session: ClientSession, socket: ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket
        self._ids = count(1)

    async def get(self, path: str) -> Json:
        """Return the answer of the REST interface."""
        return await _request(self._session, "GET", path)

    async def post(self, path: str, body: JsonObject) -> Json:
        """Send something to the REST interface and return its answer."""
        return await _request(self._session, "POST", path, body)

    async def delete(self, path: str) -> Json:
        """Delete something over the REST interface and return the answer."""
        return await _request(self._session, "DELETE", path)

    async def command(self, name: str, **parameters: Json) -> Json:
        """Give a command over the websocket and return its result."""
        number = next(self._ids)
        try:
            await self._socket.send_json({"id": number, "type": name, **parameters})
            answer = as_object(await self._socket.receive_json())
        except (ClientError, ConnectionError, TypeError, TimeoutError) as error:
            raise DemoError(f"{_NO_ANSWER} to {name}: {error}.") from error
        if answer.get("success") is not True:
            raise DemoError(f"{NAME} refused {name}: {answer.get('error')}.")
        return answer.get("result")

    async def states(self) -> dict[str, State]:
        """Return the states of all entities by entity id."""
        return {text(item, "entity_id"): _state(item) for item in as_objects(await self.get("/api/states"))}

    async def entities(self, platform: str, prefix: str) -> dict[str, str]:
        """Return entity ids of an integration by what follows the prefix in their unique ids; enabled ones only."""
        registry = as_objects(await self.command("config/entity_registry/list"))
        return {
            text(entry, "unique_id").removeprefix(prefix): text(entry, "entity_id")
            for entry in registry
            if entry.get("platform") == platform
            and entry.get("disabled_by") is None
            and text(entry, "unique_id").startswith(prefix)
        }


@asynccontextmanager
async def log_in(base: str, *, fresh: bool) -> AsyncIterator[HomeAssistant]:
    """Wait until Home Assistant is up and yield it, logged in. A fresh one gets its owner first."""
    async with ClientSession(base, timeout=_REQUEST_LIMIT) as session:
        # The first exists until there is an owner, the second answers once there is one.
        first = "/api/onboarding" if fresh else "/auth/providers"
        await until(lambda: _serves(session, first), limit=_START_LIMIT, otherwise=_too_slow)
        if fresh:
            await _request(session, "POST", "/api/onboarding/users", {**_OWNER, "client_id": f"{base}/"})
        session.headers["Authorization"] = f"Bearer {await _token(session, base)}"
        await until(lambda: _runs(session), limit=_START_LIMIT, otherwise=_too_slow)
        async with _open_socket(session) as socket:
            yield HomeAssistant(session, socket)


def _too_slow() -> str:
    return f"{NAME} was not up after {_START_LIMIT:.0f} seconds."


async def _serves(session: ClientSession, path: str) -> bool | None:
    try:
        async with session.get(path) as response:
            return response.ok or None
    except ClientError:
        return None


async def _runs(session: ClientSession) -> bool | None:
    config = as_object(await _request(session, "GET", "/api/config"))
    return config.get("state") == "RUNNING" or None


async def _token(session: ClientSession, base: str) -> str:
    """Log in as the browser does, without a password."""
    client_id = f"{base}/"
    asked: JsonObject = {"client_id": client_id, "redirect_uri": client_id, "handler": ["trusted_networks", None]}
    login = as_object(await _request(session, "POST", "/auth/login_flow", asked))
    form = {"grant_type": "authorization_code", "code": text(login, "result"), "client_id": client_id}
    async with session.post("/auth/token", data=form) as response:
        answer: Json = await response.json()
    return text(as_object(answer), "access_token")


@asynccontextmanager
async def _open_socket(session: ClientSession) -> AsyncIterator[ClientWebSocketResponse]:
    token = session.headers["Authorization"].removeprefix("Bearer ")
    async with session.ws_connect("/api/websocket", max_msg_size=0) as socket:
        await socket.receive_json()
        await socket.send_json({"type": "auth", "access_token": token})
        answer = as_object(await socket.receive_json())
        if answer.get("type") != "auth_ok":
            raise DemoError(f"{NAME} let us not in: {answer.get('message')}.")
        yield socket


async def _request(session: ClientSession, method: str, path: str, body: JsonObject | None = None) -> Json:
    try:
        async with session.request(method, path, json=body) as response:
            if not response.ok:
                raise DemoError(f"{NAME} refused {path}: {response.status} {(await response.text())[:300]}.")
            answer: Json = await response.json()
            return answer
    except (ClientError, TimeoutError) as error:
        raise DemoError(f"{_NO_ANSWER} at {path}: {error}.") from error


def _state(item: JsonObject) -> State:
    unit = as_object(item.get("attributes")).get("unit_of_measurement")
    return State(value=text(item, "state"), unit=unit if isinstance(unit, str) else None)
