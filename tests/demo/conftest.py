"""Stand-ins: a Home Assistant which answers what a test wants, on a real socket."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web
from aiohttp.test_utils import TestServer
import pytest

from demo.answers import Json, JsonObject
from demo.home_assistant import HomeAssistant, log_in

CODE = "the code"
TOKEN = "the token"

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class StandIn:
    """What the stand-in answers: JSON by method and path, results by websocket command; and what it was sent."""

    answers: dict[tuple[str, str], Json] = field(default_factory=dict)
    results: dict[str, Json] = field(default_factory=dict)
    sent: list[tuple[str, Json]] = field(default_factory=list)
    commands: list[JsonObject] = field(default_factory=list)
    states: list[str] = field(default_factory=lambda: ["STARTING", "RUNNING"])

    def app(self) -> web.Application:
        routes: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/api/onboarding", self._answer([])),
            ("GET", "/auth/providers", self._answer({})),
            ("POST", "/api/onboarding/users", self._answer({"auth_code": "another code"})),
            ("POST", "/auth/login_flow", self._answer({"type": "create_entry", "result": CODE})),
            ("POST", "/auth/token", self._token),
            ("GET", "/api/config", self._config),
            ("GET", "/api/websocket", self._websocket),
            ("*", "/{path:.*}", self._other),
        )
        app = web.Application()
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        return app

    def _answer(self, answer: Json) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            await self._remember(request)
            return web.json_response(answer)

        return handler

    async def _remember(self, request: web.Request) -> None:
        self.sent.append((request.path, await request.json() if request.body_exists else None))

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("code") != CODE:
            return web.json_response({"error": "invalid_request"}, status=HTTPStatus.BAD_REQUEST)
        return web.json_response({"access_token": TOKEN})

    async def _config(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized
        return web.json_response({"state": self.states.pop(0)})

    async def _other(self, request: web.Request) -> web.Response:
        await self._remember(request)
        try:
            return web.json_response(self.answers[request.method, request.path])
        except KeyError:
            raise web.HTTPNotFound from None

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "auth_required"})
        allowed = (await socket.receive_json()).get("access_token") == TOKEN
        await socket.send_json({"type": "auth_ok" if allowed else "auth_invalid", "message": "no"})
        async for message in socket:
            await socket.send_json(self._result(message.json()))
        return socket

    def _result(self, command: JsonObject) -> JsonObject:
        self.commands.append(command)
        name = command["type"]
        if isinstance(name, str) and name in self.results:
            return {"id": command["id"], "success": True, "result": self.results[name]}
        return {"id": command["id"], "success": False, "error": {"code": "unknown_command"}}


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
async def base(stand_in: StandIn) -> AsyncGenerator[str]:
    """Address of the running stand-in."""
    async with TestServer(stand_in.app()) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def hass(base: str) -> AsyncGenerator[HomeAssistant]:
    """We, logged in to the stand-in."""
    async with log_in(base, fresh=True) as hass:
        yield hass
