"""The control channel: HTTP on loopback with a small JSON interface, to watch and to change what is emulated."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from http import HTTPStatus
import json
import logging
from math import inf
import re
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from emulator.bms.bms import HIGHEST_SUPPLY, ShownTemperature
from emulator.bms.firmware import FirmwareUpdateError
from emulator.bms.outputs import Output
from emulator.bms.remote import Remote, Terminal, Wire
from emulator.bms.settings import LIMITS, SettingError, SettingKey
from emulator.options import AS_FAST_AS_POSSIBLE
from emulator.panel.panel import Panel
from emulator.personality.quirks import EVERY_REGISTER, EVERYTHING, Quirks, RadioQuirks
from emulator.personality.quirks import LIMITS as QUIRK_LIMITS
from emulator.personality.table import PERSONALITIES
from emulator.reading.state import JsonObject, JsonValue, as_json
from emulator.report import faults, flows, fuse, health, proxy_state, quirks, radio, speed, state, world
from emulator.request_body import Body, RequestError, as_number, as_truth, as_whole
from emulator.rig import HOST, Proxy, Rig, Station, cannot_use_port
from emulator.simulation.faults import FAULTS, FaultError
from emulator.simulation.grid import COARSE_STEP, LONGEST_STEP
from emulator.simulation.state_file import StateFileError
from emulator.world.world import ByHand, CannotForceError, UnknownItemError

_LOGGER: Final = logging.getLogger(__name__)

HIGHEST_SPEED: Final = 1e6
LONGEST_LEAP: Final = 31 * 24 * 3600.0  # s
MOST_OUTPUT_CURRENT: Final = 100.0  # A
MOST_SLOTS: Final = 20
WEAKEST_RSSI: Final = -127  # dBm
STRONGEST_RSSI: Final = 20

_PIN: Final = re.compile(r"[0-9]{6}")
_LARGEST_REQUEST: Final = 64 * 1024
_SHUTDOWN_LIMIT: Final = 1.0  # s
_OWN_NAMES: Final = (HOST, "localhost")
_SPEED_SENTENCE: Final = f"speed should be a number from 0 (paused) to {HIGHEST_SPEED:g}, or {AS_FAST_AS_POSSIBLE}."

_BAD_REQUEST: Final = (FaultError, SettingError, FirmwareUpdateError, UnknownItemError, CannotForceError)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request: rest is what follows the path of its route."""

    rig: Rig
    station: Station
    body: Body
    rest: str


type Answer = Callable[[Call], Awaitable[JsonValue]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One path of the control channel. fields: what a request may hold."""

    method: str
    path: str
    answer: Answer
    fields: tuple[str, ...] = ()


async def _state(call: Call) -> JsonValue:
    return state(call.rig, call.station)


async def _part_of_state(call: Call) -> JsonValue:
    everything = state(call.rig, call.station)
    if call.rest not in everything:
        raise RequestError(f"There is no {call.rest!r}; there are {', '.join(everything)}.", HTTPStatus.NOT_FOUND)
    return everything[call.rest]


# Time


async def _set_speed(call: Call) -> JsonValue:
    wanted = call.body.value("speed")
    if wanted != AS_FAST_AS_POSSIBLE and (isinstance(wanted, bool) or not isinstance(wanted, int | float)):
        raise RequestError(_SPEED_SENTENCE)
    call.rig.drive.speed = inf if wanted == AS_FAST_AS_POSSIBLE else as_number("speed", wanted, 0, HIGHEST_SPEED)
    return {"speed": speed(call.rig.drive.speed)}


async def _advance(call: Call) -> JsonValue:
    coarse = "coarse" in call.body and call.body.truth("coarse")
    seconds = call.body.number("seconds", 0, LONGEST_LEAP)
    await call.rig.drive.leap(seconds, longest_step=COARSE_STEP if coarse else LONGEST_STEP)
    simulation = call.station.simulation
    return {"time": simulation.now.isoformat(timespec="seconds"), "elapsed": simulation.elapsed}


async def _save(call: Call) -> JsonValue:
    if call.rig.state_file is None:
        raise RequestError("There is no state file: start the emulator with --save.")
    call.rig.save()
    return {"file": str(call.rig.state_file)}


# Faults


async def _list_faults(call: Call) -> JsonValue:
    return faults(call.station)


async def _apply_fault(call: Call) -> JsonValue:
    _check_fault(call.rest)
    argument = call.body.value("argument") if "argument" in call.body else ""
    if isinstance(argument, bool) or not isinstance(argument, str | int | float):
        raise RequestError("argument should be a text or a number.")
    call.station.faults.apply(call.rest, str(argument))
    return {"faults": list(call.station.faults.active)}


async def _clear_fault(call: Call) -> JsonValue:
    _check_fault(call.rest)
    call.station.faults.clear(call.rest)
    return {"faults": list(call.station.faults.active)}


async def _clear_faults(call: Call) -> JsonValue:
    call.station.faults.clear_all()
    return {"faults": list(call.station.faults.active)}


def _check_fault(name: str) -> None:
    if name not in FAULTS:
        raise RequestError(f"There is no fault {name!r}; there are {', '.join(FAULTS)}.", HTTPStatus.NOT_FOUND)


# BMS and world


async def _change_settings(call: Call) -> JsonValue:
    bms = call.station.bms
    values = {key: _setting(call.body, key) for key in SettingKey if key in call.body}
    changed = bms.settings
    for key, value in values.items():
        changed = changed.changed(key, value)
    # Only now: all of them are valid.
    for key, value in values.items():
        bms.change_setting(key, value)
    return as_json(bms.settings)


def _setting(body: Body, key: SettingKey) -> float:
    return body.number(key, LIMITS[key].minimum, LIMITS[key].maximum)


async def _set_mode(call: Call) -> JsonValue:
    call.station.bms.set_mode(call.body.truth("on"))
    return {"system_on": call.station.bms.system_on}


async def _set_remote(call: Call) -> JsonValue:
    bms, body = call.station.bms, call.body
    if list(body.names()) == ["switch"]:
        bms.remote = bms.remote.switched(body.truth("switch"))
    else:
        bms.remote = Remote(
            joined=any(body.truth(name) for name in ("loop", "joined") if name in body),
            l_voltage=_terminal(body, "l", "l_voltage"),
            h_voltage=_terminal(body, "h", "h_voltage"),
            switch=body.truth("switch") if "switch" in body else None,
        )
    bms.refresh()
    return {"on": bms.remote.is_on(bms.voltage)}


def _terminal(body: Body, *names: str) -> Terminal:
    """Return what is connected to a terminal, which a request may call by any of these names."""
    name = next((name for name in names if name in body), None)
    value = None if name is None else body.value(name)
    if name is None or value is None:
        return None
    if isinstance(value, str) and value in Wire:
        return Wire(value)
    if not isinstance(value, str):
        return body.number(name, 0, HIGHEST_SUPPLY)
    raise RequestError(f"{name} should be {', '.join(Wire)}, or a number from 0 to {HIGHEST_SUPPLY:g}.")


async def _set_state_of_charge(call: Call) -> JsonValue:
    call.station.bms.set_state_of_charge(call.body.number("percent", 0, 100))
    return {"state_of_charge": call.station.bms.monitor.state_of_charge}


async def _synchronize(call: Call) -> JsonValue:
    call.station.bms.synchronize()
    return {"state_of_charge": call.station.bms.monitor.state_of_charge}


async def _restore_defaults(call: Call) -> JsonValue:
    call.station.bms.restore_defaults()
    return as_json(call.station.bms.settings)


async def _clear_history(call: Call) -> JsonValue:
    call.station.bms.clear_history()
    return {}


async def _draw(call: Call) -> JsonValue:
    bms, name = call.station.bms, call.body.text("name")
    if name not in tuple(Output):
        raise RequestError(f"There is no output {name!r}; there are {', '.join(Output)}.", HTTPStatus.NOT_FOUND)
    bms.draw_from_output(Output(name), call.body.number("current", 0, MOST_OUTPUT_CURRENT))
    bms.refresh()
    return health(bms)


async def _repair_outputs(call: Call) -> JsonValue:
    call.station.bms.repair_outputs()
    call.station.bms.refresh()
    return health(call.station.bms)


async def _power_cycle(call: Call) -> JsonValue:
    call.station.bms.power_cycle()
    return {}


async def _begin_update(call: Call) -> JsonValue:
    bms, body = call.station.bms, call.body
    battery = body.whole("battery", 1, len(bms.bank.batteries)) - 1 if "battery" in body else None
    bms.begin_firmware_update(battery)
    return {"firmware": bms.firmware_state}


async def _finish_update(call: Call) -> JsonValue:
    call.station.bms.finish_firmware_update(call.body.truth("ok"))
    return {"firmware": call.station.bms.firmware_state}


async def _list_flows(call: Call) -> JsonValue:
    return flows(call.station)


async def _force(call: Call) -> JsonValue:
    on = call.body.value("on")
    call.station.simulation.world.force(call.body.text("name"), None if on is None else as_truth("on", on))
    return flows(call.station)


_BY_HAND_LIMITS: Final = {
    "additional_load": (0.0, 100_000.0),  # W
    "sunshine": (0.0, 1500.0),  # W/m²
    "temperature": (-40.0, 80.0),  # °C
}


async def _set_world(call: Call) -> JsonValue:
    running, body = call.station.simulation.world, call.body
    values = {name: _by_hand(body, name) for name in body.names()}
    make: Callable[..., ByHand] = ByHand
    running.by_hand = make(**{**vars(running.by_hand), **values})
    return world(call.station)


def _by_hand(body: Body, name: str) -> float | None:
    """Return a value set by hand; null stands for that of the scenario, or for no additional load."""
    if body.value(name) is None:
        return 0.0 if name == "additional_load" else None
    return body.number(name, *_BY_HAND_LIMITS[name])


async def _replace_fuse(call: Call) -> JsonValue:
    call.station.simulation.world.fuse.replace()
    return fuse(call.station)


# Radio


async def _change_radio(call: Call) -> JsonValue:
    device, bms = call.station.device, call.station.bms
    on = call.body.truth("instant_readout_on") if "instant_readout_on" in call.body else device.instant_readout_on
    enabled = call.body.truth("bluetooth_enabled") if "bluetooth_enabled" in call.body else bms.bluetooth_enabled
    advertised = device.advertises_state_of_charge
    if "advertises_state_of_charge" in call.body:
        advertised = call.body.truth("advertises_state_of_charge")
    if "temperature" in call.body:
        bms.shown_temperature = ShownTemperature(_word("temperature", ShownTemperature, call.body.value("temperature")))
    bms.bluetooth_enabled = enabled
    device.instant_readout_on, device.advertises_state_of_charge = on, advertised
    device.follow_supply()
    return radio(call.station)


async def _drop_link(call: Call) -> JsonValue:
    call.station.device.peripheral.drop_link()
    return radio(call.station)


async def _forget_bonds(call: Call) -> JsonValue:
    call.station.device.peripheral.bonds.clear()
    return radio(call.station)


async def _change_quirks(call: Call) -> JsonValue:
    station = call.station
    connection = _changed(station.ve_smart.quirks, call.body)
    station.device.quirks = _changed(station.device.quirks, call.body)
    station.ve_smart.quirks = connection
    return quirks(station)


def _changed[Switches: (Quirks, RadioQuirks)](present: Switches, body: Body) -> Switches:
    """Return the switches, changed as a request asks."""
    own = {field.name for field in fields(present)}.intersection(body.names())
    make: Callable[..., Switches] = type(present)
    return make(**{**vars(present), **{name: _quirk(name, getattr(present, name), body.value(name)) for name in own}})


async def _take_on(call: Call) -> JsonValue:
    name = call.body.text("name")
    if name not in PERSONALITIES:
        known = ", ".join(PERSONALITIES)
        raise RequestError(f"There is no personality {name!r}; there are {known}.", HTTPStatus.NOT_FOUND)
    call.station.take_on(PERSONALITIES[name])
    return radio(call.station)


async def _change_proxy(call: Call) -> JsonValue:
    name, body = call.body.text("name"), call.body
    proxy, port = _find_proxy(call.rig, name)
    slots = body.whole("slots", 0, MOST_SLOTS) if "slots" in body else proxy.slots
    address = call.station.device.address
    rssi = body.whole("rssi", WEAKEST_RSSI, STRONGEST_RSSI) if "rssi" in body else proxy.rssi[address]
    pin = _proxy_pin(call, proxy)
    proxy.slots, proxy.rssi[address] = slots, rssi
    call.rig.give_pin(proxy, pin)
    return proxy_state(proxy, port, call.station)


def _proxy_pin(call: Call, proxy: Proxy) -> str | None:
    """Return the PIN that a proxy gets: a given one, right or wrong, that of the device, or none."""
    if "pin" in call.body:
        pin = call.body.text("pin")
        if not _PIN.fullmatch(pin):
            raise RequestError("pin should be six digits.")
        return pin
    if "knows_pin" in call.body:
        return call.station.device.pin if call.body.truth("knows_pin") else None
    return proxy.pin


def _find_proxy(rig: Rig, name: str) -> tuple[Proxy, int]:
    for proxy, port in rig.listening:
        if proxy.friendly_name == name:
            return proxy, port
    known = ", ".join(proxy.friendly_name for proxy in rig.proxies)
    raise RequestError(f"There is no proxy {name!r}; there are {known}.", HTTPStatus.NOT_FOUND)


def _quirk(name: str, present: object, value: JsonValue) -> object:
    """Return the new value of a quirk, of the same type as the present one."""
    if isinstance(present, bool):
        return as_truth(name, value)
    if isinstance(present, StrEnum):
        return _word(name, type(present), value)
    if isinstance(present, int):
        return as_whole(name, value, *QUIRK_LIMITS[name])
    if isinstance(present, float):
        return as_number(name, value, *QUIRK_LIMITS[name])
    return _registers(name, value)


def _word(name: str, words: type[StrEnum], value: JsonValue) -> StrEnum:
    if value not in tuple(words):
        raise RequestError(f"{name} should be one of {', '.join(words)}.")
    return words(str(value))


def _registers(name: str, value: JsonValue) -> frozenset[int] | range:
    if value == EVERYTHING:
        return EVERY_REGISTER
    if not isinstance(value, list):
        raise RequestError(f"{name} should be a list of register numbers, or {EVERYTHING}.")
    return frozenset(as_whole(name, item, 0, EVERY_REGISTER.stop - 1) for item in value)


# A star in a path stands for a name.
ROUTES: Final = (
    Route(method="GET", path="/state", answer=_state),
    Route(method="GET", path="/state/*", answer=_part_of_state),
    Route(method="POST", path="/speed", answer=_set_speed, fields=("speed",)),
    Route(method="POST", path="/advance", answer=_advance, fields=("seconds", "coarse")),
    Route(method="POST", path="/save", answer=_save),
    Route(method="GET", path="/faults", answer=_list_faults),
    Route(method="DELETE", path="/faults", answer=_clear_faults),
    Route(method="POST", path="/faults/*", answer=_apply_fault, fields=("argument",)),
    Route(method="DELETE", path="/faults/*", answer=_clear_fault),
    Route(method="GET", path="/flows", answer=_list_flows),
    Route(method="POST", path="/flows", answer=_force, fields=("name", "on")),
    Route(method="POST", path="/fuse/replace", answer=_replace_fuse),
    Route(
        method="POST",
        path="/world",
        answer=_set_world,
        fields=tuple(field.name for field in fields(ByHand)),
    ),
    Route(method="POST", path="/settings", answer=_change_settings, fields=tuple(SettingKey)),
    Route(method="POST", path="/settings/restore-defaults", answer=_restore_defaults),
    Route(method="POST", path="/mode", answer=_set_mode, fields=("on",)),
    Route(
        method="POST",
        path="/remote",
        answer=_set_remote,
        # The last three are older names of the first three.
        fields=("loop", "l", "h", "switch", "joined", "l_voltage", "h_voltage"),
    ),
    Route(method="POST", path="/state-of-charge", answer=_set_state_of_charge, fields=("percent",)),
    Route(method="POST", path="/synchronize", answer=_synchronize),
    Route(method="POST", path="/history/clear", answer=_clear_history),
    Route(method="POST", path="/outputs", answer=_draw, fields=("name", "current")),
    Route(method="POST", path="/outputs/repair", answer=_repair_outputs),
    Route(method="POST", path="/power-cycle", answer=_power_cycle),
    Route(method="POST", path="/firmware/begin", answer=_begin_update, fields=("battery",)),
    Route(method="POST", path="/firmware/finish", answer=_finish_update, fields=("ok",)),
    Route(
        method="POST",
        path="/radio",
        answer=_change_radio,
        fields=("instant_readout_on", "bluetooth_enabled", "temperature", "advertises_state_of_charge"),
    ),
    Route(method="POST", path="/radio/drop-link", answer=_drop_link),
    Route(method="POST", path="/radio/forget-bonds", answer=_forget_bonds),
    Route(
        method="POST",
        path="/radio/quirks",
        answer=_change_quirks,
        fields=tuple(field.name for kind in (Quirks, RadioQuirks) for field in fields(kind)),
    ),
    Route(method="POST", path="/radio/personality", answer=_take_on, fields=("name",)),
    Route(method="POST", path="/proxies", answer=_change_proxy, fields=("name", "slots", "rssi", "knows_pin", "pin")),
)


class Control:
    """The control channel of a rig, on loopback only. panel: whether it serves the front panel, too."""

    def __init__(self, rig: Rig, *, panel: bool = False) -> None:
        self._rig = rig
        self._port = 0
        app = web.Application(middlewares=[self._guard], client_max_size=_LARGEST_REQUEST)
        for route in ROUTES:
            app.router.add_route(route.method, route.path.replace("*", "{rest}"), self._handler(route))
        if panel:
            Panel(rig, lambda request: _station(rig, _device(request))).add_to(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_LIMIT)

    @property
    def address(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://{HOST}:{self._port}"

    async def start(self, port: int) -> None:
        """Listen; 0 = any free port. Raises CannotStartError."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError as error:
            await self.stop()
            raise cannot_use_port(port, error) from error
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """End."""
        await self._runner.cleanup()

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await _body(request)
            body.check_names(route.fields)
            call = Call(
                rig=self._rig,
                station=_station(self._rig, _device(request)),
                body=body,
                rest=request.match_info.get("rest", ""),
            )
            return _json(await route.answer(call))

        return handle

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what web pages send, and answer every mistake with one sentence."""
        try:
            self._check_sender(request)
            return await handler(request)
        except RequestError as error:
            return _sentence(str(error), error.status)
        except _BAD_REQUEST as error:
            return _sentence(str(error), HTTPStatus.BAD_REQUEST)
        except StateFileError as error:
            return _sentence(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)
        except web.HTTPException as error:
            return _sentence(_reason(request, error), HTTPStatus(error.status))
        except Exception:  # a mistake of the emulator: whoever asked gets a sentence, and the log the rest
            _LOGGER.exception("%s %s failed", request.method, request.path)
            return _sentence("The emulator made a mistake: see its log.", HTTPStatus.INTERNAL_SERVER_ERROR)

    def _check_sender(self, request: web.Request) -> None:
        """Refuse what a web page sends: under another name that leads here, or from another origin."""
        hosts = [f"{name}:{self._port}" for name in _OWN_NAMES]
        origin = request.headers.get("Origin")
        if request.host not in hosts or origin not in (None, *(f"http://{host}" for host in hosts)):
            raise RequestError("Only this machine may do this.", HTTPStatus.FORBIDDEN)


async def _body(request: web.Request) -> Body:
    content = await request.read()
    if not content:
        return Body({})
    try:
        return Body(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise RequestError("The request is not valid JSON.") from error


def _device(request: web.Request) -> str:
    return request.query.get("device", "1")


def _station(rig: Rig, number: str) -> Station:
    for station in rig.stations:
        if str(station.number) == number:
            return station
    raise RequestError(f"There is no device {number!r}; there are 1 to {len(rig.stations)}.", HTTPStatus.NOT_FOUND)


def _reason(request: web.Request, error: web.HTTPException) -> str:
    match HTTPStatus(error.status):
        case HTTPStatus.NOT_FOUND:
            return f"There is no {request.path} here."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return f"{request.path} knows no {request.method}."
        case _:
            return f"{error.reason}."


def _sentence(text: str, status: HTTPStatus) -> web.Response:
    return _json({"error": text}, status)


def _json(content: JsonValue | JsonObject, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.json_response(content, status=status, dumps=lambda value: json.dumps(value, indent=2) + "\n")
