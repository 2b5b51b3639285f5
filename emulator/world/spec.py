"""The world in a scenario file: place, temperature, switches, loads and chargers."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from random import Random
from typing import Annotated, Final, Literal, Self, override

from pydantic import AfterValidator, Field, model_validator

from emulator.bms.outputs import Output
from emulator.reading.sections import (
    Amperes,
    Celsius,
    Daily,
    Items,
    Moment,
    OneOrRange,
    Percent,
    Range,
    Section,
    Text,
    Volts,
    Watts,
    one_of,
    problem,
)
from emulator.reading.values import number, should_be
from emulator.world.chargers import AnyCharger, ChargerSpec
from emulator.world.days import ALWAYS, GuestsSpec
from emulator.world.loads import ADDITIONAL_LOAD, QUIET_LOADS, Draw, LoadSpec
from emulator.world.schedule import DailyCurve
from emulator.world.starter_battery import StarterBatterySpec
from emulator.world.sun import Place
from emulator.world.switches import (
    PROTECT_DISCONNECTS,
    PROTECT_RECONNECTS,
    STRAIGHT,
    WIRINGS,
    BatteryProtect,
    CyrixLiCharge,
    CyrixLiCt,
    CyrixLiLoad,
    Inverter,
    Switch,
    SwitchKind,
)
from emulator.world.weather import WeatherSpec

SYSTEM_VOLTAGE: Final = 12  # V, that voltages are multiples of
DEFAULT_TEMPERATURE: Final = 20.0  # °C
# The years for which the position of the sun is good.
FIRST_YEAR: Final = 1950
LAST_YEAR: Final = 2050


def _wirings(output: Output) -> tuple[str, ...]:
    return tuple(wiring.name for wiring in WIRINGS.values() if wiring.output is output)


# Switches

_CYRIXES: Final[Mapping[SwitchKind, type[Switch]]] = {
    SwitchKind.CYRIX_LI_LOAD: CyrixLiLoad,
    SwitchKind.CYRIX_LI_CHARGE: CyrixLiCharge,
    SwitchKind.CYRIX_LI_CT: CyrixLiCt,
}


class SwitchSpec(Section):
    """A separate switch between an output and the loads or chargers that follow it."""

    name: Text
    kind: SwitchKind

    def build(self, factor: float) -> Switch:
        """Return the switch as it runs. factor: how many times 12 V the system has."""
        return _CYRIXES[self.kind](self.name, factor=factor)


class ProtectSpec(SwitchSpec):
    """A BatteryProtect, smart or not."""

    kind: Literal[SwitchKind.BATTERY_PROTECT, SwitchKind.SMART_BATTERY_PROTECT]
    disconnects: Volts | None = None
    reconnects: Volts | None = None

    def thresholds(self, factor: float) -> tuple[float, float]:
        """Return the voltages in V of a 12 V system at which it disconnects and reconnects."""
        disconnects = PROTECT_DISCONNECTS if self.disconnects is None else self.disconnects / factor
        reconnects = PROTECT_RECONNECTS if self.reconnects is None else self.reconnects / factor
        return disconnects, reconnects

    @override
    def build(self, factor: float) -> BatteryProtect:
        disconnects, reconnects = self.thresholds(factor)
        return BatteryProtect(self.name, factor=factor, disconnects=disconnects, reconnects=reconnects)


class CyrixLiLoadSpec(SwitchSpec):
    """A Cyrix-Li-Load."""

    kind: Literal[SwitchKind.CYRIX_LI_LOAD]


class InverterSpec(SwitchSpec):
    """An inverter: its efficiency in %, and what it draws for itself in W (both assumed)."""

    kind: Literal[SwitchKind.INVERTER]
    follows: Annotated[str, one_of(_wirings(Output.LOAD))] = "load-output"
    efficiency: Annotated[float, number(50, 100)] = 92.0
    idle_power: Watts = 8.0

    @override
    def build(self, factor: float) -> Inverter:
        return Inverter(self.name, factor=factor, wiring=WIRINGS[self.follows])

    def idle_load(self) -> LoadSpec:
        """Return what it draws for itself."""
        # It is drawn before the conversion, so the efficiency does not apply.
        power = self.idle_power * self.efficiency / 100
        return LoadSpec(name=f"{self.name} (idle)", follows=self.name, power={0.0: power})


class CyrixLiChargeSpec(SwitchSpec):
    """A Cyrix-Li-Charge."""

    kind: Literal[SwitchKind.CYRIX_LI_CHARGE]


class CyrixLiCtSpec(SwitchSpec):
    """A Cyrix-Li-ct, with the starter battery on its other side."""

    kind: Literal[SwitchKind.CYRIX_LI_CT]
    starter_battery: StarterBatterySpec = StarterBatterySpec()


_OUTPUTS: Final = {
    **dict.fromkeys(SwitchKind, Output.LOAD),
    SwitchKind.CYRIX_LI_CHARGE: Output.CHARGER,
    SwitchKind.CYRIX_LI_CT: Output.CHARGER,
}

type AnySwitch = Annotated[
    ProtectSpec | CyrixLiLoadSpec | InverterSpec | CyrixLiChargeSpec | CyrixLiCtSpec, Field(discriminator="kind")
]


def _of_a_known_year(start: datetime) -> datetime:
    if not FIRST_YEAR <= start.year < LAST_YEAR:
        raise should_be(f"in the years from {FIRST_YEAR} to {LAST_YEAR - 1}")
    return start


class WorldSpec(Section):
    """Everything around the bank. clouds: mean cover in %. temperature: °C around the batteries.

    fuse: rating of the main fuse in A; None = what the batteries need. quiet_current: A that is always drawn straight
    from the bank. weather and guests: how one day differs from the next.
    """

    start: Annotated[Moment, AfterValidator(_of_a_known_year)]
    place: Place
    clouds: Percent = 0.0
    temperature: Daily[Celsius] = Field({0.0: DEFAULT_TEMPERATURE})
    fuse: Annotated[float, number(1, 100_000)] | None = None
    weather: WeatherSpec | None = None
    guests: GuestsSpec | None = None
    quiet_current: OneOrRange[Amperes] = 0.0
    switches: Items[AnySwitch] = ()
    loads: Items[LoadSpec] = ()
    chargers: Items[Annotated[AnyCharger, Field(discriminator="kind")]] = ()

    @model_validator(mode="after")
    def _every_name_is_its_own(self) -> Self:
        """Check this: everything in a world is found by its name."""
        taken = {*WIRINGS, ADDITIONAL_LOAD, QUIET_LOADS}
        for section in ("switches", "loads", "chargers"):
            for index, item in enumerate(getattr(self, section)):
                if item.name in taken:
                    raise problem(f"the name {item.name} is taken", section, index, "name")
                taken.add(item.name)
        return self

    @model_validator(mode="after")
    def _follows_what_is_there(self) -> Self:
        self._check_follows("loads", self.loads, Output.LOAD)
        self._check_follows("chargers", self.chargers, Output.CHARGER)
        return self

    def _check_follows(self, section: str, items: Iterable[LoadSpec | ChargerSpec], output: Output) -> None:
        own = [switch.name for switch in self.switches if _OUTPUTS[switch.kind] is output]
        allowed = (*own, *_wirings(output), STRAIGHT)
        for index, item in enumerate(items):
            if item.follows not in allowed:
                raise should_be(f"one of {', '.join(allowed)}", section, index, "follows")

    @model_validator(mode="after")
    def _inverters_give_power(self) -> Self:
        for index, load in enumerate(self.loads):
            if load.follows in self.inverters and Draw.POWER not in load.amounts:
                raise problem(f"a load needs exactly one of {Draw.POWER}", "loads", index)
        return self

    @model_validator(mode="after")
    def _guests_come(self) -> Self:
        for index, load in enumerate(self.loads):
            if load.guests != ALWAYS and self.guests is None:
                raise problem("there is no guests block that says when they come", "loads", index, "guests")
        return self

    def check_voltages(self, factor: float) -> None:
        """Raise an error if two voltages contradict each other. factor: how many times 12 V the system has."""
        for index, switch in enumerate(self.switches):
            disconnects, reconnects = switch.thresholds(factor) if isinstance(switch, ProtectSpec) else (0.0, 1.0)
            if disconnects >= reconnects:
                text = f"{switch.name} should disconnect at a lower voltage than it reconnects"
                raise problem(text, "switches", index)
        for index, charger in enumerate(self.chargers):
            absorption, floating = charger.setpoints(factor)
            if floating is not None and floating > absorption:
                text = "the float voltage should not be above the absorption voltage"
                raise problem(text, "chargers", index, "float_voltage")

    @property
    def curve(self) -> DailyCurve:
        """The °C around the batteries over the day."""
        return DailyCurve.through(self.temperature.items())

    def all_loads(self, seed: str) -> tuple[LoadSpec, ...]:
        """Return the loads, what inverters draw for themselves, and what is always drawn with this seed."""
        inverters = (inverter.idle_load() for inverter in self.inverters.values())
        return (*self.loads, *inverters, *self._quiet_loads(Random(f"{seed}/quiet")))

    def _quiet_loads(self, random: Random) -> Iterable[LoadSpec]:
        quiet = self.quiet_current
        current = quiet.choose(random) if isinstance(quiet, Range) else quiet
        if current > 0:
            yield LoadSpec(name=QUIET_LOADS, follows=STRAIGHT, current={0.0: current})

    @property
    def inverters(self) -> Mapping[str, InverterSpec]:
        """The inverters by their names."""
        return {switch.name: switch for switch in self.switches if isinstance(switch, InverterSpec)}

    def efficiency(self, load: LoadSpec) -> float:
        """Return the efficiency of what stands between the bank and a load."""
        inverter = self.inverters.get(load.follows)
        return 1.0 if inverter is None else inverter.efficiency / 100
