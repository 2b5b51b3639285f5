"""What is around the bank: loads and chargers that obey the outputs of the BMS (M-O5), sun, clouds and temperature."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from math import floor, sqrt
from random import Random
from typing import Final

from emulator.bms.bms import SmallBms
from emulator.reading.sections import Watts
from emulator.reading.state import JsonObject, JsonValue, Number, as_json, from_json
from emulator.world.chargers import Charger, ChargerState, Stage
from emulator.world.circuit import Balance, Line, Source, balance
from emulator.world.days import Guests, Habits
from emulator.world.fuse import Fuse, FuseState
from emulator.world.loads import (
    ADDITIONAL_LOAD,
    LOWEST_VOLTAGE,
    NO_DEMAND,
    RESTART_VOLTAGE,
    Demand,
    Load,
    LoadSpec,
    total,
)
from emulator.world.spec import SYSTEM_VOLTAGE, CyrixLiCtSpec, WorldSpec
from emulator.world.starter_battery import STANDBY_CURRENT, StarterBattery, StarterBatteryState
from emulator.world.sun import PANEL_YIELD, STANDARD_IRRADIANCE, Clouds, Panel, Sky
from emulator.world.switches import (
    PROTECT_SHORT_CIRCUIT,
    WIRINGS,
    BatteryProtect,
    CyrixLiCharge,
    CyrixLiCt,
    Direct,
    Situation,
    Switch,
    SwitchState,
)
from emulator.world.weather import Weather

# How long the sun counts as standing still, in s, unless a coarser run wants more.
SUN_STEP: Final = 60.0
TOLERANCE: Final = 1e-9
# How near to each other two rounds must come, in V, and how many there may be, when a voltage is looked for.
VOLTAGE_TOLERANCE: Final = 1e-5
MOST_ROUNDS: Final = 200
# What counts as long enough to say that a battery carries a load, in s.
LONG: Final = 300.0


LOAD_OUTPUT: Final = "load-output"
FLAT: Final = Panel(peak_power=1.0, tilt=0.0, azimuth=180.0)


class UnknownItemError(ValueError):
    """Nothing in the world has this name; its text is one sentence for the user."""


class CannotForceError(ValueError):
    """This cannot be switched by hand that way; its text is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class ItemStatus:
    """What a load, charger or switch does now: current in A of the bank's side (positive = into the bank).

    supplied: whether what it follows is closed. on: whether it runs too, or is closed itself.
    """

    name: str
    kind: str
    on: bool
    supplied: bool = True
    current: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WorldCheckpoint:
    """The state of the world that steps change."""

    switches: tuple[SwitchState, ...]
    chargers: tuple[ChargerState, ...]
    starters: tuple[tuple[float, float, float], ...]
    tripped: tuple[bool, ...]
    fuse: FuseState


@dataclass(kw_only=True)
class ByHand:
    """The values set by hand; None = as in the scenario.

    additional_load: power in W of one more load on the load output. sunshine: W/m² on every panel.
    temperature: °C around the batteries.
    """

    additional_load: Watts = 0.0
    sunshine: Number | None = None
    temperature: Number | None = None


@dataclass(frozen=True, kw_only=True)
class SavedWorld:
    """A saved world: states by the names of switches, chargers and loads."""

    switches: dict[str, SwitchState]
    chargers: dict[str, ChargerState]
    starter_batteries: dict[str, StarterBatteryState]
    forced: dict[str, bool]
    tripped: list[str]
    fuse: FuseState
    by_hand: ByHand


# Fields that an earlier version did not save.
_LATER: Final[JsonObject] = {"tripped": [], "fuse": as_json(FuseState()), "by_hand": as_json(ByHand())}


class StarterSide:
    """The other side of a Cyrix-Li-ct: a starter battery, and chargers such as the alternator."""

    def __init__(self, switch: CyrixLiCt, battery: StarterBattery, chargers: tuple[Charger, ...]) -> None:
        self.switch = switch
        self.battery = battery
        self.chargers = chargers
        self.voltage = battery.rest_voltage
        self.current = 0.0

    def line(self, bank_voltage: float) -> Line:
        """Return the current that the starter battery takes, by voltage."""
        driven = any(charger.state.stage is not Stage.OFF for charger in self.chargers)
        return self.battery.line(driven or bank_voltage > self.battery.rest_voltage)

    def settled(self, line: Line, voltage: float) -> None:
        """Take the voltage in V that was found."""
        self.voltage = voltage
        self.current = line.current(voltage)

    def advance(self, seconds: float) -> None:
        """Let some seconds pass."""
        self.battery.advance(self.current - STANDBY_CURRENT, seconds)


class World:
    """Loads, chargers and switches, running. elapsed is always in s since the start."""

    def __init__(self, spec: WorldSpec, *, system_voltage: int, seed: str, fuse: Fuse | None = None) -> None:
        self.spec = spec
        self.fuse = fuse or Fuse()
        self.forced: dict[str, bool] = {}
        self._factor = system_voltage / SYSTEM_VOLTAGE
        self._weather = None if spec.weather is None else Weather(spec.weather, seed=f"{seed}/weather")
        clouds = Clouds(mean=spec.clouds / 100, seed=f"{seed}/clouds", weather=self._weather)
        self._sky = Sky(place=spec.place, start=spec.start, clouds=clouds)
        self._solar: dict[Panel, tuple[int, float]] = {}
        self.sun_step = SUN_STEP
        self._temperature = spec.curve
        self._monday = (spec.start - _monday(spec.start)).total_seconds()
        loads = spec.all_loads(seed)
        self.switches = self._build_switches(loads)
        self._by_hand = ByHand()
        self._visits = None if spec.guests is None else Guests(spec.guests, seed=f"{seed}/guests")
        self._own_loads = tuple(self._build_load(load, seed) for load in loads)
        self.loads = self._own_loads
        self.chargers = tuple(Charger(charger, factor=self._factor) for charger in spec.chargers)
        self._protects = [switch for switch in self.switches.values() if isinstance(switch, BatteryProtect)]
        self._starters = tuple(self._starter_sides())
        beyond = [charger for side in self._starters for charger in side.chargers]
        self._near_chargers = tuple(charger for charger in self.chargers if charger not in beyond)
        self._load_currents = [0.0] * len(self.loads)
        self._giving_up: tuple[Load, ...] = ()
        self._bank_current = 0.0

    def _build_switches(self, loads: Iterable[LoadSpec]) -> dict[str, Switch]:
        switches = {spec.name: spec.build(self._factor) for spec in self.spec.switches}
        followed = {load.follows for load in loads} | {charger.follows for charger in self.spec.chargers}
        return switches | {name: Direct(wiring) for name, wiring in WIRINGS.items() if name in followed}

    def _build_load(self, spec: LoadSpec, seed: str) -> Load:
        return Load(
            spec,
            efficiency=self.spec.efficiency(spec),
            factor=self._factor,
            phase=Random(f"{seed}/{spec.name}").random(),
            habits=None if spec.is_alike_every_day else self._habits(spec, seed),
        )

    def _habits(self, spec: LoadSpec, seed: str) -> Habits:
        return Habits(
            varies=spec.varies,
            weekend=spec.weekend,
            guests=spec.guests,
            visits=self._visits,
            seed=f"{seed}/{spec.name}/days",
        )

    def _starter_sides(self) -> Iterable[StarterSide]:
        for spec in self.spec.switches:
            switch = self.switches[spec.name]
            if isinstance(spec, CyrixLiCtSpec) and isinstance(switch, CyrixLiCt):
                chargers = tuple(charger for charger in self.chargers if charger.spec.follows == spec.name)
                yield StarterSide(switch, StarterBattery(spec.starter_battery, factor=self._factor), chargers)

    # What can be seen

    def ambient(self, elapsed: float) -> float:
        """Return the temperature in °C around the batteries."""
        if self._by_hand.temperature is not None:
            return self._by_hand.temperature
        warmer = 0.0 if self._weather is None else self._weather.warmer(elapsed)
        return self._temperature.value(self._moment(elapsed)) + warmer

    def conditions(self) -> Hashable:
        """Return all discrete states that can flip."""
        return (
            tuple([switch.conditions for switch in self.switches.values()]),
            tuple([charger.conditions for charger in self.chargers]),
            tuple([load.tripped for load in self.loads]),
            self.fuse.blown,
        )

    def next_change(self, elapsed: float) -> float | None:
        """Return the seconds until something switches by the clock, or by a timer of its own."""
        moment = self._moment(elapsed)
        changes = [load.until_change(moment) for load in self.loads]
        changes += [charger.until_change(moment) for charger in self.chargers]
        changes += [charger.next_timer() for charger in self.chargers]
        changes += [switch.next_timer() for switch in self.switches.values()]
        changes.append(self.fuse.until_blown(self._bank_current))
        if self._giving_up or any(self._behind(switch) > PROTECT_SHORT_CIRCUIT for switch in self._protects):
            changes.append(0.0)
        return min([change for change in changes if change is not None], default=None)

    def status(self, elapsed: float) -> tuple[ItemStatus, ...]:
        """Return what everything does now."""
        return (*self._switch_statuses(), *self._load_statuses(elapsed), *self._charger_statuses())

    def _switch_statuses(self) -> Iterable[ItemStatus]:
        starters = {side.switch.name: side for side in self._starters}
        for spec in self.spec.switches:
            side = starters.get(spec.name)
            yield ItemStatus(
                name=spec.name,
                kind=spec.kind.value,
                on=self.switches[spec.name].closed,
                current=0.0 - side.current if side is not None and side.switch.closed else 0.0,
                detail="" if side is None else f"starter battery {side.voltage:.2f} V",
            )

    def _load_statuses(self, elapsed: float) -> Iterable[ItemStatus]:
        moment = self._moment(elapsed)
        for load, current in zip(self.loads, self._load_currents, strict=True):
            yield ItemStatus(
                name=load.name,
                kind="load",
                on=self._runs(load, moment),
                supplied=self.switches[load.spec.follows].closed,
                # Not the plain negative, which would make a negative zero.
                current=0.0 - current,
                detail=load.spec.follows,
            )

    def _charger_statuses(self) -> Iterable[ItemStatus]:
        for charger in self.chargers:
            stage = charger.state.stage
            yield ItemStatus(
                name=charger.name,
                kind=charger.spec.kind.value,
                on=stage is not Stage.OFF,
                supplied=self.switches[charger.spec.follows].closed,
                current=charger.current,
                detail=stage.value,
            )

    # What can be done to it

    @property
    def by_hand(self) -> ByHand:
        """What is set by hand. Set it as a whole."""
        return replace(self._by_hand)

    @by_hand.setter
    def by_hand(self, by_hand: ByHand) -> None:
        self._by_hand = replace(by_hand)
        self.loads = self._own_loads
        if by_hand.additional_load > 0:
            spec = LoadSpec(name=ADDITIONAL_LOAD, follows=LOAD_OUTPUT, power={0.0: by_hand.additional_load})
            self.loads = (*self._own_loads, Load(spec, factor=self._factor))
            self.switches.setdefault(LOAD_OUTPUT, Direct(WIRINGS[LOAD_OUTPUT]))
        self._load_currents = [0.0] * len(self.loads)
        self._giving_up = ()

    def sunshine(self, elapsed: float) -> float:
        """Return the sunshine in W/m² on a panel that lies flat."""
        return self._panel_power(FLAT, elapsed) * STANDARD_IRRADIANCE / PANEL_YIELD

    @property
    def forceable(self) -> tuple[str, ...]:
        """The names of what can be switched by hand."""
        return (*(load.name for load in self.loads), *(charger.name for charger in self.chargers))

    def force(self, name: str, on: bool | None) -> None:
        """Switch a load by hand, or give a charger its mains or engine and take it away; None = by itself again.

        The sun can only be taken away. Raises UnknownItemError or CannotForceError.
        """
        names = self.forceable
        if name not in names:
            raise UnknownItemError(f"There is no load or charger {name!r}; there are {', '.join(names) or 'none'}.")
        if on and any(charger.name == name and charger.panel is not None for charger in self.chargers):
            raise CannotForceError(f"{name} runs on the sun, which cannot be switched on, only off.")
        if on is None:
            self.forced.pop(name, None)
        else:
            self.forced[name] = on

    # What happens

    def settle(self, elapsed: float, bms: SmallBms) -> None:
        """React at once to the outputs of the BMS and to the time of day."""
        for situation, switch in self._situations(elapsed, bms):
            switch.settle(situation)
        moment = self._moment(elapsed)
        for charger in self._near_chargers:
            charger.settle(self.switches[charger.spec.follows].closed and self._has_power(charger, elapsed, moment))
        for side in self._starters:
            for charger in side.chargers:
                charger.settle(self._has_power(charger, elapsed, moment))

    def flow(self, elapsed: float, bms: SmallBms, seconds: float) -> float:
        """Return the current in A that goes into the bank over the coming seconds."""
        if self.fuse.blown:
            return self._flow_nowhere(elapsed)
        bank = _bank_line(bms, seconds)
        voltage = bms.bank.voltage
        chargers, line = list(self._near_chargers), bank
        joined: list[tuple[StarterSide, Line]] = []
        for side in self._starters:
            starter = side.line(voltage)
            if side.switch.closed:
                chargers += side.chargers
                line = line.beside(starter)
                joined.append((side, starter))
            else:
                side.settled(starter, self._supply(side.chargers, starter, 0.0, elapsed, side.voltage).voltage)
        voltage = self._meet(chargers, line, elapsed, max(voltage, bank.voltage(0.0)))
        for side, starter in joined:
            side.settled(starter, voltage)
        self._bank_current = bank.current(voltage)
        return self._bank_current

    def _flow_nowhere(self, elapsed: float) -> float:
        """Supply nothing: the fuse has blown, and no charger can supply the loads without the bank."""
        for charger in self._near_chargers:
            charger.current = 0.0
        for side in self._starters:
            starter = side.line(0.0)
            side.settled(starter, self._supply(side.chargers, starter, 0.0, elapsed, side.voltage).voltage)
        self._load_currents = [0.0] * len(self.loads)
        self._giving_up, self._bank_current = (), 0.0
        return 0.0

    def _meet(self, chargers: Sequence[Charger], line: Line, elapsed: float, voltage: float) -> float:
        """Return the voltage in V at which batteries and chargers meet the loads, from one that is not below it.

        Where there is none, converters give up, the largest first.
        """
        if voltage < LOWEST_VOLTAGE * self._factor:
            # Of a bank that is as good as empty: chargers may hold it far above.
            voltage = max((charger.setpoint for charger in chargers), default=RESTART_VOLTAGE * self._factor)
        moment = self._moment(elapsed)
        demands = [load.demand(moment) if self._runs(load, moment) else NO_DEMAND for load in self.loads]
        given_up: list[Load] = []
        while True:
            found = self._voltage_for(chargers, line, total(demands), elapsed, voltage)
            largest = max(range(len(demands)), key=lambda number: demands[number].power, default=0)
            if not demands or not demands[largest].power or found >= self.loads[largest].lowest_voltage:
                break
            demands[largest] = NO_DEMAND
            given_up.append(self.loads[largest])
        self._giving_up = tuple(given_up)
        self._load_currents = self._shares(demands, line, chargers, found)
        return max(found, 0.0)

    def _voltage_for(
        self, chargers: Sequence[Charger], line: Line, demand: Demand, elapsed: float, voltage: float
    ) -> float:
        """Return the voltage in V at which a demand is met; 0 or less if there is none.

        What draws or gives constant power depends on the voltage that it makes. From above, the voltage comes nearer
        with each round, or falls below what any load could use.
        """
        if demand.conductance:
            line = line.beside(Line(demand.conductance, 0.0))
        for _ in range(MOST_ROUNDS):
            drawn = demand.current + demand.power / voltage
            before, voltage = voltage, self._supply(chargers, line, drawn, elapsed, voltage).voltage
            if voltage <= 0 or abs(voltage - before) < VOLTAGE_TOLERANCE:
                return voltage
        return 0.0

    def _shares(
        self, demands: Sequence[Demand], line: Line, chargers: Sequence[Charger], voltage: float
    ) -> list[float]:
        """Return the current in A of every load. At 0 V they share what comes out of a short circuit."""
        if voltage > 0:
            return [demand.at(voltage) for demand in demands]
        wanted = sum(demand.current for demand in demands)
        shorted = sum(charger.current for charger in chargers) - line.current(0.0)
        return [demand.current * (shorted / wanted) if wanted else 0.0 for demand in demands]

    def advance(self, elapsed: float, bms: SmallBms, seconds: float) -> None:
        """Let the seconds pass that the bank has just gone through, and react to where they ended."""
        self.fuse.advance(self._bank_current, seconds)
        self._trip(elapsed, bms)
        for side in self._starters:
            side.advance(seconds)
        for situation, switch in self._situations(elapsed, bms):
            switch.advance(situation, seconds)
        for charger in self._near_chargers:
            charger.advance(bms.bank.voltage, seconds)
        for side in self._starters:
            for charger in side.chargers:
                charger.advance(side.voltage, seconds)

    def _trip(self, elapsed: float, bms: SmallBms) -> None:
        """Let converters give up, and start again once the battery would carry them for long, or they were off.

        So none of them flickers: what would make it give up again does not let it start.
        """
        moment = self._moment(elapsed)
        for load in self._giving_up:
            load.tripped = True
        for load in self.loads:
            if load.tripped and load not in self._giving_up:
                demand = load.demand(moment)
                load.tripped = (
                    self._runs_by_itself(load, moment) and demand.power > 0 and not self._carries(load, demand, bms)
                )

    def _carries(self, load: Load, demand: Demand, bms: SmallBms) -> bool:
        """Return whether the bank alone would carry a load that has given up, also after some minutes."""
        line = _bank_line(bms, LONG)
        rest = line.voltage(-sum(self._load_currents))
        # The greater solution of V = rest - power / V / conductance, if there is one.
        square = rest * rest - 4 * demand.power / line.conductance
        return square > 0 and (rest + sqrt(square)) / 2 >= load.restart_voltage

    def _situations(self, elapsed: float, bms: SmallBms) -> Iterable[tuple[Situation, Switch]]:
        outputs, voltage = bms.outputs, bms.bank.voltage
        others = {side.switch.name: side.voltage for side in self._starters}
        for switch in self.switches.values():
            yield (
                Situation(
                    signal=switch.output is None or outputs.is_high(switch.output),
                    voltage=voltage,
                    other_voltage=others.get(switch.name, 0.0),
                    powered=isinstance(switch, CyrixLiCharge) and self._powered(switch, elapsed),
                    current=self._behind(switch) if isinstance(switch, BatteryProtect) else 0.0,
                ),
                switch,
            )

    def _behind(self, switch: Switch) -> float:
        """Return the current in A that the loads behind a switch take."""
        flows = zip(self.loads, self._load_currents, strict=True)
        return sum(current for load, current in flows if load.spec.follows == switch.name)

    def _powered(self, switch: CyrixLiCharge, elapsed: float) -> bool:
        moment = self._moment(elapsed)
        chargers = [charger for charger in self.chargers if charger.spec.follows == switch.name]
        return any(self._has_power(charger, elapsed, moment) for charger in chargers)

    def _has_power(self, charger: Charger, elapsed: float, moment: float) -> bool:
        forced = self.forced.get(charger.name)
        if forced is False:
            return False
        forced_on = forced is True and charger.panel is None
        return forced_on or charger.has_power(moment, self._solar_power(charger, elapsed))

    def _supply(self, chargers: Iterable[Charger], line: Line, load: float, elapsed: float, voltage: float) -> Balance:
        """Share a load and what batteries take between chargers."""
        active = [charger for charger in chargers if charger.state.stage is not Stage.OFF]
        sources = [
            Source(charger.limit(self._solar_power(charger, elapsed), voltage), charger.setpoint) for charger in active
        ]
        found = balance(line, sources, load)
        for charger in chargers:
            charger.current = 0.0
        for charger, current in zip(active, found.currents, strict=True):
            charger.current = current
        return found

    def _runs(self, load: Load, moment: float) -> bool:
        return not load.tripped and not self.fuse.blown and self._runs_by_itself(load, moment)

    def _runs_by_itself(self, load: Load, moment: float) -> bool:
        if not self.switches[load.spec.follows].closed:
            return False
        forced = self.forced.get(load.name)
        return load.runs(moment) if forced is None else forced

    def _solar_power(self, charger: Charger, elapsed: float) -> float:
        """Return the power in W of a charger's panel. The sun moves in steps: often enough, and cheap."""
        panel = charger.panel
        return 0.0 if panel is None else self._panel_power(panel, elapsed)

    def _panel_power(self, panel: Panel, elapsed: float) -> float:
        """Return the power in W of a panel, by the sun or by hand."""
        if self._by_hand.sunshine is not None:
            return panel.peak_power * PANEL_YIELD * self._by_hand.sunshine / STANDARD_IRRADIANCE
        step = floor(elapsed / self.sun_step + TOLERANCE)
        known = self._solar.get(panel)
        if known is None or known[0] != step:
            known = self._solar[panel] = (step, self._sky.power(panel, (step + 0.5) * self.sun_step))
        return known[1]

    def _moment(self, elapsed: float) -> float:
        """Return the seconds since the Monday before the start."""
        return self._monday + elapsed

    # Going back, saving and loading

    def copy(self) -> WorldCheckpoint:
        """Return a copy of the state, for restore."""
        return WorldCheckpoint(
            tuple([switch.state for switch in self.switches.values()]),
            tuple([charger.state for charger in self.chargers]),
            tuple([(side.battery.charge, side.voltage, side.current) for side in self._starters]),
            tuple([load.tripped for load in self.loads]),
            self.fuse.state,
        )

    def restore(self, checkpoint: WorldCheckpoint) -> None:
        """Go back to the state in a copy."""
        for switch, switch_state in zip(self.switches.values(), checkpoint.switches, strict=True):
            switch.state = switch_state
        for charger, charger_state in zip(self.chargers, checkpoint.chargers, strict=True):
            charger.state = charger_state
        for side, (charge, voltage, current) in zip(self._starters, checkpoint.starters, strict=True):
            side.battery.charge, side.voltage, side.current = charge, voltage, current
        for load, tripped in zip(self.loads, checkpoint.tripped, strict=True):
            load.tripped = tripped
        self.fuse.state = checkpoint.fuse

    def save(self) -> dict[str, JsonValue]:
        """Return everything that changes as JSON."""
        batteries = {side.switch.name: StarterBatteryState(side.battery.charge) for side in self._starters}
        return as_json(
            SavedWorld(
                switches={name: switch.state for name, switch in self.switches.items()},
                chargers={charger.name: charger.state for charger in self.chargers},
                starter_batteries=batteries,
                forced=self.forced,
                tripped=[load.name for load in self.loads if load.tripped],
                fuse=self.fuse.state,
                by_hand=self._by_hand,
            )
        )

    def load(self, data: JsonObject) -> None:
        """Restore what was saved of the items that still exist. Raises StateError, and then restores nothing."""
        saved = from_json(SavedWorld, {**_LATER, **data})
        for name in saved.switches.keys() & self.switches.keys():
            self.switches[name].resume(saved.switches[name])
        for charger in self.chargers:
            charger.state = saved.chargers.get(charger.name, charger.state)
        for side in self._starters:
            if side.switch.name in saved.starter_batteries:
                side.battery.resume(saved.starter_batteries[side.switch.name])
        self.forced = {name: on for name, on in saved.forced.items() if name in self.forceable}
        self.by_hand = saved.by_hand
        for load in self.loads:
            load.tripped = load.name in saved.tripped
        self.fuse.state = saved.fuse


def _monday(moment: datetime) -> datetime:
    """Return the beginning of the week."""
    return datetime.combine(moment.date(), time(), moment.tzinfo) - timedelta(days=moment.weekday())


def _bank_line(bms: SmallBms, seconds: float) -> Line:
    """Return the current that the bank takes at each voltage, at the end of some seconds."""
    voltage = bms.bank.voltage
    low, high = bms.current_at(voltage, seconds), bms.current_at(voltage + 1, seconds)
    conductance = high - low
    return Line(conductance, conductance * voltage - low)
