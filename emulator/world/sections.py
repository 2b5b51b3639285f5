"""What a scenario file says of the world: place, switches, loads and chargers."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final, Literal, Self, override

from pydantic import Field, model_validator

from emulator.bms.outputs import Output
from emulator.reading.sections import (
    Daily,
    Duration,
    Items,
    Percent,
    Section,
    Text,
    TimeOfDay,
    WordOr,
    YesOrNo,
    one_of,
    problem,
)
from emulator.reading.values import number, should_be
from emulator.world.chargers import (
    ABSORPTION_SECONDS,
    ABSORPTION_VOLTAGE,
    ALTERNATOR_VOLTAGE,
    FLOAT_VOLTAGE,
    ChargerKind,
    ChargerSpec,
)
from emulator.world.loads import ADDITIONAL_LOAD, Draw, LoadSpec
from emulator.world.schedule import DailyCurve, Timetable, Window
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
NOTHING: Final = "nothing"

type Volts = Annotated[float, number(1, 100)]
type Amperes = Annotated[float, number(0, 10_000)]
type Watts = Annotated[float, number(0, 1_000_000)]
type Ohm = Annotated[float, number(0.001, 1_000_000)]


def _wirings(output: Output) -> tuple[str, ...]:
    return tuple(wiring.name for wiring in WIRINGS.values() if wiring.output is output)


# Times


class WindowSection(Section):
    """A stretch of some days."""

    begins: TimeOfDay = Field(alias="from")
    ends: TimeOfDay = Field(alias="to")
    days: Items[Annotated[str, one_of(DAYS)]] = DAYS

    def window(self) -> Window:
        """Return the stretch."""
        return Window(begins=self.begins, ends=self.ends, days=frozenset(map(DAYS.index, self.days)))


type Times = WordOr[YesOrNo, Items[WindowSection]]  # when something is there


def _timetable(times: bool | tuple[WindowSection, ...]) -> Timetable:
    if isinstance(times, bool):
        return Timetable.constant(float(times))
    return Timetable.windows(section.window() for section in times)


# Switches


class SwitchSection(Section):
    """What every switch has."""

    name: Text
    kind: SwitchKind

    def spec(self, factor: float) -> SwitchSpec:
        """Return the switch. factor: how many times 12 V the system has."""
        del factor
        return SwitchSpec(name=self.name, kind=self.kind)


class ProtectSection(SwitchSection):
    """A BatteryProtect, smart or not."""

    kind: Literal[SwitchKind.BATTERY_PROTECT, SwitchKind.SMART_BATTERY_PROTECT]
    disconnects: Volts | None = None
    reconnects: Volts | None = None

    @override
    def spec(self, factor: float) -> SwitchSpec:
        return SwitchSpec(
            name=self.name,
            kind=self.kind,
            disconnects=PROTECT_DISCONNECTS if self.disconnects is None else self.disconnects / factor,
            reconnects=PROTECT_RECONNECTS if self.reconnects is None else self.reconnects / factor,
        )


class CyrixLiLoadSection(SwitchSection):
    """A Cyrix-Li-Load."""

    kind: Literal[SwitchKind.CYRIX_LI_LOAD]


class InverterSection(SwitchSection):
    """An inverter."""

    kind: Literal[SwitchKind.INVERTER]
    follows: Annotated[str, one_of(_wirings(Output.LOAD))] = "load-output"
    efficiency: Annotated[float, number(50, 100)] = INVERTER_EFFICIENCY * 100
    idle_power: Watts = INVERTER_IDLE_POWER

    @override
    def spec(self, factor: float) -> SwitchSpec:
        return SwitchSpec(
            name=self.name,
            kind=self.kind,
            wiring=self.follows,
            efficiency=self.efficiency / 100,
            idle_power=self.idle_power,
        )


class CyrixLiChargeSection(SwitchSection):
    """A Cyrix-Li-Charge."""

    kind: Literal[SwitchKind.CYRIX_LI_CHARGE]


class CyrixLiCtSection(SwitchSection):
    """A Cyrix-Li-ct."""

    kind: Literal[SwitchKind.CYRIX_LI_CT]
    starter_battery: StarterBatterySpec = STARTER_BATTERY

    @override
    def spec(self, factor: float) -> SwitchSpec:
        return SwitchSpec(name=self.name, kind=self.kind, starter_battery=self.starter_battery)


type AnySwitch = Annotated[
    ProtectSection | CyrixLiLoadSection | InverterSection | CyrixLiChargeSection | CyrixLiCtSection,
    Field(discriminator="kind"),
]

_ON_CHARGER_OUTPUT: Final = (SwitchKind.CYRIX_LI_CHARGE, SwitchKind.CYRIX_LI_CT)


# Loads


class DutySection(Section):
    """A duty cycle, in s."""

    on: Duration
    every: Duration

    @model_validator(mode="after")
    def _is_a_cycle(self) -> Self:
        if self.on >= self.every:
            raise problem("a load should be on for a shorter time than its whole cycle")
        return self


class LoadSection(Section):
    """A load: one of power, current and resistance."""

    name: Text
    follows: Text
    power: Daily[Watts] | None = None
    current: Daily[Amperes] | None = None
    resistance: Daily[Ohm] | None = None
    duty: DutySection | None = None

    @property
    def amounts(self) -> Mapping[Draw, Mapping[float, float]]:
        """What is given of it, by the time of day."""
        amounts = {Draw.POWER: self.power, Draw.CURRENT: self.current, Draw.RESISTANCE: self.resistance}
        return {draw: amount for draw, amount in amounts.items() if amount is not None}

    @model_validator(mode="after")
    def _has_one_amount(self) -> Self:
        if len(self.amounts) != 1:
            raise problem(f"a load needs exactly one of {', '.join(Draw)}")
        return self

    def spec(self) -> LoadSpec:
        """Return the load."""
        ((draw, amount),) = self.amounts.items()
        on, every = (0.0, 0.0) if self.duty is None else (self.duty.on, self.duty.every)
        return LoadSpec(
            name=self.name,
            follows=self.follows,
            draw=draw,
            amount=Timetable.daily(amount.items()),
            on=on,
            every=every,
        )


# Chargers


class ChargerSection(Section):
    """What every charger has."""

    name: Text
    kind: ChargerKind
    follows: Text
    current: Amperes

    def spec(self, factor: float) -> ChargerSpec:
        """Return the charger. factor: how many times 12 V the system has."""
        raise NotImplementedError


class StagedSection(ChargerSection):
    """A charger that goes through stages."""

    absorption_voltage: Volts | None = None
    float_voltage: Volts | None = None
    absorption_time: Duration = ABSORPTION_SECONDS

    @override
    def spec(self, factor: float) -> ChargerSpec:
        return ChargerSpec(
            name=self.name,
            kind=self.kind,
            follows=self.follows,
            current=self.current,
            absorption_voltage=self.absorption_voltage or ABSORPTION_VOLTAGE * factor,
            float_voltage=self.float_voltage or FLOAT_VOLTAGE * factor,
            absorption_seconds=self.absorption_time,
        )


class SolarSection(StagedSection):
    """A solar charger."""

    kind: Literal[ChargerKind.SOLAR]
    panel: Panel

    @override
    def spec(self, factor: float) -> ChargerSpec:
        return replace(super().spec(factor), panel=self.panel)


class ShoreSection(StagedSection):
    """A shore charger."""

    kind: Literal[ChargerKind.SHORE]
    mains: Times = True

    @override
    def spec(self, factor: float) -> ChargerSpec:
        return replace(super().spec(factor), times=_timetable(self.mains))


class AlternatorSection(ChargerSection):
    """An alternator."""

    kind: Literal[ChargerKind.ALTERNATOR]
    voltage: Volts | None = None
    driving: Times

    @override
    def spec(self, factor: float) -> ChargerSpec:
        return ChargerSpec(
            name=self.name,
            kind=self.kind,
            follows=self.follows,
            current=self.current,
            absorption_voltage=self.voltage or ALTERNATOR_VOLTAGE * factor,
            float_voltage=None,
            times=_timetable(self.driving),
        )


type AnyCharger = Annotated[SolarSection | ShoreSection | AlternatorSection, Field(discriminator="kind")]


# All of it


class WorldSection(Section):
    """The part of a scenario that is the world."""

    place: Place
    clouds: Percent = 0.0
    fuse: Annotated[float, number(1, 100_000)] | None = None
    switches: Items[AnySwitch] = ()
    loads: Items[LoadSection] = ()
    chargers: Items[AnyCharger] = ()

    @model_validator(mode="after")
    def _every_name_is_its_own(self) -> Self:
        """Everything in a world is found by its name."""
        taken = {*WIRINGS, ADDITIONAL_LOAD}
        for section in ("switches", "loads", "chargers"):
            for index, item in enumerate(getattr(self, section)):
                if item.name in taken:
                    raise problem(f"the name {item.name} is taken", section, index, "name")
                taken.add(item.name)
        return self

    @model_validator(mode="after")
    def _follows_what_is_there(self) -> Self:
        on_charger = [switch.name for switch in self.switches if switch.kind in _ON_CHARGER_OUTPUT]
        on_load = [switch.name for switch in self.switches if switch.name not in on_charger]
        _check_follows("loads", self.loads, (*on_load, *_wirings(Output.LOAD), NOTHING))
        _check_follows("chargers", self.chargers, (*on_charger, *_wirings(Output.CHARGER), NOTHING))
        return self

    @model_validator(mode="after")
    def _inverters_give_power(self) -> Self:
        inverters = [switch.name for switch in self.switches if switch.kind is SwitchKind.INVERTER]
        for index, load in enumerate(self.loads):
            if load.follows in inverters and Draw.POWER not in load.amounts:
                raise problem(f"a load needs exactly one of {Draw.POWER}", "loads", index)
        return self

    def world(self, *, start: datetime, temperature: DailyCurve, system_voltage: int) -> WorldSpec:
        """Return the world. Raises a problem if it does not fit the system voltage in V."""
        factor = system_voltage / SYSTEM_VOLTAGE
        world = WorldSpec(
            place=self.place,
            start=start,
            clouds=self.clouds / 100,
            temperature=temperature,
            switches=tuple(switch.spec(factor) for switch in self.switches),
            loads=tuple(load.spec() for load in self.loads),
            chargers=tuple(charger.spec(factor) for charger in self.chargers),
            fuse=self.fuse,
        )
        _check_voltages(world)
        return world


def _check_follows(section: str, items: Iterable[LoadSection | ChargerSection], allowed: tuple[str, ...]) -> None:
    for index, item in enumerate(items):
        if item.follows not in allowed:
            raise should_be(f"one of {', '.join(allowed)}", section, index, "follows")


def _check_voltages(world: WorldSpec) -> None:
    for index, switch in enumerate(world.switches):
        if switch.disconnects >= switch.reconnects:
            raise problem(f"{switch.name} should disconnect at a lower voltage than it reconnects", "switches", index)
    for index, charger in enumerate(world.chargers):
        if charger.float_voltage is not None and charger.float_voltage > charger.absorption_voltage:
            text = "the float voltage should not be above the absorption voltage"
            raise problem(text, "chargers", index, "float_voltage")
