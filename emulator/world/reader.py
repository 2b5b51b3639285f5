"""Reading the world of a scenario: place, switches, loads and chargers."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from emulator.bms.outputs import Output
from emulator.reading.yaml_reader import (
    Fields,
    Node,
    Reader,
    boolean,
    choice,
    duration,
    number,
    percent,
    text,
    time_of_day,
)
from emulator.world.chargers import (
    ABSORPTION_SECONDS,
    ABSORPTION_VOLTAGE,
    ALTERNATOR_VOLTAGE,
    FLOAT_VOLTAGE,
    ChargerKind,
    ChargerSpec,
)
from emulator.world.loads import ADDITIONAL_LOAD, Draw, LoadSpec
from emulator.world.schedule import EVERY_DAY, DailyCurve, Timetable, Window
from emulator.world.spec import (
    INVERTER_EFFICIENCY,
    INVERTER_IDLE_POWER,
    STARTER_BATTERY,
    SYSTEM_VOLTAGE,
    SwitchSpec,
    WorldSpec,
)
from emulator.world.starter_battery import StarterBatterySpec
from emulator.world.sun import Panel, Place
from emulator.world.switches import PROTECT_DISCONNECTS, PROTECT_RECONNECTS, WIRINGS, SwitchKind

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_volts: Final = number(1, 100)
_amperes: Final = number(0, 10_000)
_watts: Final = number(0, 1_000_000)


def read_world(fields: Fields, start: datetime, temperature: DailyCurve, system_voltage: int) -> WorldSpec:
    """Read the world from the fields of a scenario. Raises ScenarioError."""
    factor = system_voltage / SYSTEM_VOLTAGE
    place = fields.need("place", _place)
    clouds = fields.get("clouds", percent, 0.0) / 100
    taken = _Names()
    switches = fields.list("switches", lambda node: _switch(node, taken, factor))
    for_loads = _followed(switches, Output.LOAD)
    for_chargers = _followed(switches, Output.CHARGER)
    return WorldSpec(
        place=place,
        start=start,
        clouds=clouds,
        temperature=temperature,
        switches=switches,
        loads=fields.list("loads", lambda node: _load(node, taken, for_loads, switches)),
        chargers=fields.list("chargers", lambda node: _charger(node, taken, for_chargers, factor)),
        fuse=fields.get("fuse", number(1, 100_000), None),
    )


class _Names:
    """Names that are taken; everything in a world is found by its name."""

    def __init__(self) -> None:
        self._taken = {*WIRINGS, ADDITIONAL_LOAD}

    def take(self, node: Node) -> str:
        """Return the name in a node. Raises ScenarioError if it is taken."""
        name = text(node)
        if name in self._taken:
            raise node.error(f"the name {name} is taken")
        self._taken.add(name)
        return name


_OUTPUTS: Final = {
    SwitchKind.BATTERY_PROTECT: Output.LOAD,
    SwitchKind.SMART_BATTERY_PROTECT: Output.LOAD,
    SwitchKind.CYRIX_LI_LOAD: Output.LOAD,
    SwitchKind.INVERTER: Output.LOAD,
    SwitchKind.CYRIX_LI_CHARGE: Output.CHARGER,
    SwitchKind.CYRIX_LI_CT: Output.CHARGER,
}


def _wirings(output: Output) -> tuple[str, ...]:
    return tuple(wiring.name for wiring in WIRINGS.values() if wiring.output is output)


def _followed(switches: tuple[SwitchSpec, ...], output: Output) -> tuple[str, ...]:
    """Return what something on this output can follow."""
    own = (switch.name for switch in switches if _OUTPUTS[switch.kind] is output)
    return (*own, *_wirings(output), "nothing")


def _place(node: Node) -> Place:
    fields = node.fields()
    place = Place(
        latitude=fields.need("latitude", number(-90, 90)), longitude=fields.need("longitude", number(-180, 180))
    )
    fields.done()
    return place


def _switch(node: Node, taken: _Names, factor: float) -> SwitchSpec:
    fields = node.fields()
    name = fields.need("name", taken.take)
    kind = SwitchKind(fields.need("kind", choice([kind.value for kind in SwitchKind])))
    spec = _SWITCHES.get(kind, _plain_switch)(fields, SwitchSpec(name=name, kind=kind), factor)
    fields.done()
    return spec


def _plain_switch(_fields: Fields, spec: SwitchSpec, _factor: float) -> SwitchSpec:
    return spec


def _battery_protect(fields: Fields, spec: SwitchSpec, factor: float) -> SwitchSpec:
    disconnects = fields.get("disconnects", _volts, PROTECT_DISCONNECTS * factor)
    reconnects = fields.get("reconnects", _volts, PROTECT_RECONNECTS * factor)
    if disconnects >= reconnects:
        raise fields.node.error(f"{spec.name} should disconnect at a lower voltage than it reconnects")
    return replace(spec, disconnects=disconnects / factor, reconnects=reconnects / factor)


def _inverter(fields: Fields, spec: SwitchSpec, _factor: float) -> SwitchSpec:
    return replace(
        spec,
        wiring=fields.get("follows", choice(_wirings(Output.LOAD)), "load-output"),
        efficiency=fields.get("efficiency", number(50, 100), INVERTER_EFFICIENCY * 100) / 100,
        idle_power=fields.get("idle_power", _watts, INVERTER_IDLE_POWER),
    )


def _cyrix_li_ct(fields: Fields, spec: SwitchSpec, _factor: float) -> SwitchSpec:
    return replace(spec, starter_battery=fields.get("starter_battery", _starter_battery, STARTER_BATTERY))


def _starter_battery(node: Node) -> StarterBatterySpec:
    fields = node.fields()
    battery = StarterBatterySpec(
        capacity_ah=fields.get("capacity", number(1, 10_000), STARTER_BATTERY.capacity_ah),
        state_of_charge=fields.get("state_of_charge", percent, STARTER_BATTERY.state_of_charge),
    )
    fields.done()
    return battery


_SWITCHES: Final[dict[SwitchKind, Callable[[Fields, SwitchSpec, float], SwitchSpec]]] = {
    SwitchKind.BATTERY_PROTECT: _battery_protect,
    SwitchKind.SMART_BATTERY_PROTECT: _battery_protect,
    SwitchKind.INVERTER: _inverter,
    SwitchKind.CYRIX_LI_CT: _cyrix_li_ct,
}

_AMOUNTS: Final = {Draw.POWER: _watts, Draw.CURRENT: _amperes, Draw.RESISTANCE: number(0.001, 1_000_000)}


def _load(node: Node, taken: _Names, followed: tuple[str, ...], switches: tuple[SwitchSpec, ...]) -> LoadSpec:
    fields = node.fields()
    name = fields.need("name", taken.take)
    follows = fields.need("follows", choice(followed))
    inverters = [switch.name for switch in switches if switch.kind is SwitchKind.INVERTER]
    draw, amount = _amount(fields, (Draw.POWER,) if follows in inverters else tuple(Draw))
    on, every = fields.get("duty", _duty, (0.0, 0.0))
    fields.done()
    return LoadSpec(name=name, follows=follows, draw=draw, amount=amount, on=on, every=every)


def _amount(fields: Fields, allowed: tuple[Draw, ...]) -> tuple[Draw, Timetable]:
    """Read the one of power, current and resistance that is there."""
    amounts = {draw: fields.get(draw.value, _timetable(_AMOUNTS[draw]), None) for draw in allowed}
    given = [(draw, amount) for draw, amount in amounts.items() if amount is not None]
    if len(given) != 1:
        raise fields.node.error(f"a load needs exactly one of {', '.join(allowed)}")
    return given[0]


def _duty(node: Node) -> tuple[float, float]:
    fields = node.fields()
    on, every = fields.need("on", duration()), fields.need("every", duration())
    fields.done()
    if on >= every:
        raise node.error("a load should be on for a shorter time than its whole cycle")
    return on, every


def _points(node: Node, read: Reader[float]) -> Iterator[tuple[float, float]]:
    for key, value in node.pairs():
        yield time_of_day(key), read(value)


def _timetable(read: Reader[float]) -> Reader[Timetable]:
    """Return a reader of one value, or of values by time of day, each of which holds until the next."""

    def profile(node: Node) -> Timetable:
        if node.is_scalar:
            return Timetable.constant(read(node))
        return Timetable.daily(_some(node, read))

    return profile


def curve_of(read: Reader[float]) -> Reader[DailyCurve]:
    """Return a reader of one value, or of values by time of day with straight lines in between."""

    def curve(node: Node) -> DailyCurve:
        return DailyCurve.through([(0.0, read(node))] if node.is_scalar else _some(node, read))

    return curve


def _some(node: Node, read: Reader[float]) -> list[tuple[float, float]]:
    points = list(_points(node, read))
    if not points:
        raise node.wrong("a value, or values by time of day")
    return points


def _charger(node: Node, taken: _Names, followed: tuple[str, ...], factor: float) -> ChargerSpec:
    fields = node.fields()
    name = fields.need("name", taken.take)
    kind = ChargerKind(fields.need("kind", choice([kind.value for kind in ChargerKind])))
    follows = fields.need("follows", choice(followed))
    current = fields.need("current", _amperes)
    spec = _CHARGERS[kind](fields, factor)
    fields.done()
    return replace(spec, name=name, kind=kind, follows=follows, current=current)


def _unnamed(kind: ChargerKind, absorption_voltage: float, float_voltage: float | None) -> ChargerSpec:
    return ChargerSpec(
        name="",
        kind=kind,
        follows="",
        current=0.0,
        absorption_voltage=absorption_voltage,
        float_voltage=float_voltage,
    )


def _staged(fields: Fields, kind: ChargerKind, factor: float) -> ChargerSpec:
    absorption = fields.get("absorption_voltage", _volts, ABSORPTION_VOLTAGE * factor)
    floating = fields.get("float_voltage", _volts, FLOAT_VOLTAGE * factor)
    if floating > absorption:
        raise fields.at("float_voltage").error("the float voltage should not be above the absorption voltage")
    seconds = fields.get("absorption_time", duration(), ABSORPTION_SECONDS)
    return replace(_unnamed(kind, absorption, floating), absorption_seconds=seconds)


def _solar(fields: Fields, factor: float) -> ChargerSpec:
    return replace(_staged(fields, ChargerKind.SOLAR, factor), panel=fields.need("panel", _panel))


def _panel(node: Node) -> Panel:
    fields = node.fields()
    panel = Panel(
        peak_power=fields.need("peak_power", _watts),
        tilt=fields.get("tilt", number(0, 90), 0.0),
        azimuth=fields.get("azimuth", number(0, 360), 180.0),
    )
    fields.done()
    return panel


def _shore(fields: Fields, factor: float) -> ChargerSpec:
    spec = _staged(fields, ChargerKind.SHORE, factor)
    return replace(spec, times=fields.get("mains", _times, spec.times))


def _alternator(fields: Fields, factor: float) -> ChargerSpec:
    voltage = fields.get("voltage", _volts, ALTERNATOR_VOLTAGE * factor)
    return replace(_unnamed(ChargerKind.ALTERNATOR, voltage, None), times=fields.need("driving", _times))


_CHARGERS: Final[dict[ChargerKind, Callable[[Fields, float], ChargerSpec]]] = {
    ChargerKind.SOLAR: _solar,
    ChargerKind.SHORE: _shore,
    ChargerKind.ALTERNATOR: _alternator,
}


def _times(node: Node) -> Timetable:
    """Read when something is there: yes, no, or a list of windows."""
    if node.is_scalar:
        return Timetable.constant(float(boolean(node)))
    return Timetable.windows([_window(item) for item in node.items()])


def _window(node: Node) -> Window:
    fields = node.fields()
    window = Window(
        begins=fields.need("from", time_of_day),
        ends=fields.need("to", time_of_day),
        days=fields.get("days", _days, EVERY_DAY),
    )
    fields.done()
    return window


def _days(node: Node) -> frozenset[int]:
    return frozenset(DAYS.index(choice(DAYS)(item)) for item in node.items())
