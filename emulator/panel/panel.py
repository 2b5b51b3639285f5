"""Serving the panel: the page, and a stream of server-sent events for each browser that shows it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from enum import StrEnum
import json
from pathlib import Path
from typing import Final

from aiohttp import web

from emulator.bms.bms import ShownTemperature
from emulator.bms.codes import CODES
from emulator.bms.outputs import CURRENT_LIMITS
from emulator.panel.recorder import PERIOD, Recorder
from emulator.personality.quirks import Quirks, RadioQuirks
from emulator.personality.table import PERSONALITIES
from emulator.reading.state import JsonObject, JsonValue
from emulator.report import state
from emulator.rig import Rig, Station
from emulator.simulation.faults import FAULTS

PAGE: Final = Path(__file__).parent / "panel.html"
LOOK_PERIOD: Final = 0.5  # s of real time between two looks for something new
QUIET_PERIOD: Final = 20  # looks without news, after which the browser is told that all is well

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}

# Returns the station that a request is about.
type FindStation = Callable[[web.Request], Station]


class Panel:
    """The page and its events."""

    def __init__(self, rig: Rig, find: FindStation) -> None:
        self._rig = rig
        self._find = find
        self._recorders = {station.number: Recorder(station) for station in rig.stations}
        self._recording: asyncio.Task[None] | None = None
        self._streams: set[asyncio.Task[object]] = set()

    def add_to(self, app: web.Application) -> None:
        """Add its paths."""
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)

    async def _start(self, _app: web.Application) -> None:
        self._recording = asyncio.create_task(self._record())

    async def _stop(self, _app: web.Application) -> None:
        tasks = [*self._streams, *(() if self._recording is None else (self._recording,))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _record(self) -> None:
        while True:
            for recorder in self._recorders.values():
                recorder.record(self._rig.drive.speed)
            await asyncio.sleep(PERIOD)

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        # Read again for every request, so that a change of the page is seen at once.
        content = await asyncio.to_thread(PAGE.read_bytes)
        return web.Response(body=content, content_type="text/html", charset="utf-8", headers=_HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        station = self._find(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        streaming = asyncio.create_task(self._stream(response, station))
        self._streams.add(streaming)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await streaming
        finally:
            streaming.cancel()
            self._streams.discard(streaming)
        return response

    async def _stream(self, response: web.StreamResponse, station: Station) -> None:
        recorder = self._recorders[station.number]
        await _send(response, "catalog", catalog(self._rig))
        await _send(response, "history", recorder.all())
        before, sample, quiet, begun = "", recorder.latest(), 0, recorder.beginnings
        while True:
            now = json.dumps(state(self._rig, station))
            if now != before:
                await _send_text(response, "state", now)
            latest = recorder.latest()
            if recorder.beginnings != begun:
                await _send(response, "history", recorder.all())
            elif latest != sample:
                await _send(response, "sample", latest)
            quiet = 0 if now != before else quiet + 1
            if quiet and quiet % QUIET_PERIOD == 0:
                await response.write(b": all is well\n\n")
            before, sample, begun = now, latest, recorder.beginnings
            await asyncio.sleep(LOOK_PERIOD)


async def _send(response: web.StreamResponse, event: str, content: JsonObject) -> None:
    await _send_text(response, event, json.dumps(content))


async def _send_text(response: web.StreamResponse, event: str, content: str) -> None:
    await response.write(f"event: {event}\ndata: {content}\n\n".encode())


def catalog(rig: Rig) -> JsonObject:
    """Return what never changes: devices, faults, codes in the manual's words, personalities and switches."""
    return {
        "devices": [{"number": station.number, "name": station.device.name} for station in rig.stations],
        "faults": [
            {"name": fault.name, "description": fault.description, "argument": fault.argument}
            for fault in FAULTS.values()
        ],
        "codes": [
            {
                "code": description.code,
                "severity": description.severity.name.lower(),
                "meaning": description.meaning,
                "advice": description.advice,
            }
            for description in CODES.values()
        ],
        "output_limits": {output.value: limit for output, limit in CURRENT_LIMITS.items()},
        "temperatures": list(ShownTemperature),
        "personalities": {name: one.description for name, one in PERSONALITIES.items()},
        "quirks": _kinds(Quirks()),
        "radio_quirks": _kinds(RadioQuirks()),
    }


def _kinds(switches: Quirks | RadioQuirks) -> JsonObject:
    return {field.name: _kind(getattr(switches, field.name)) for field in fields(switches)}


def _kind(value: object) -> JsonValue:
    """Return the kind of a quirk: a list of words, or "truth", "number" or "registers"."""
    if isinstance(value, StrEnum):
        return list(type(value))
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int | float) else "registers"
