"""What a world is made of, before it runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emulator.world.chargers import ChargerSpec
from emulator.world.loads import Draw, LoadSpec
from emulator.world.schedule import DailyCurve, Timetable
from emulator.world.starter_battery import StarterBatterySpec
from emulator.world.sun import Place
from emulator.world.switches import (
    PROTECT_DISCONNECTS,
    PROTECT_RECONNECTS,
    WIRINGS,
    BatteryProtect,
    CyrixLiCharge,
    CyrixLiCt,
    CyrixLiLoad,
    Inverter,
    Switch,
    SwitchKind,
)

SYSTEM_VOLTAGE: Final = 12  # V, that voltages are multiples of

# Assumed, of inverters.
INVERTER_EFFICIENCY: Final = 0.92
INVERTER_IDLE_POWER: Final = 8.0  # W

STARTER_BATTERY: Final = StarterBatterySpec()


@dataclass(frozen=True, kw_only=True)
class SwitchSpec:
    """A switch of its own between an output and what follows it.

    disconnects and reconnects are for a BatteryProtect, smart or not, in V of a 12 V system; wiring, efficiency and
    idle_power in W for an inverter; starter_battery for a Cyrix-Li-ct.
    """

    name: str
    kind: SwitchKind
    disconnects: float = PROTECT_DISCONNECTS
    reconnects: float = PROTECT_RECONNECTS
    wiring: str = "load-output"
    efficiency: float = INVERTER_EFFICIENCY
    idle_power: float = INVERTER_IDLE_POWER
    starter_battery: StarterBatterySpec = STARTER_BATTERY


@dataclass(frozen=True, kw_only=True)
class WorldSpec:
    """Everything around the bank. clouds: the mean cover, 0 to 1. temperature: °C around the batteries over the day.

    fuse: A of the main fuse, None = as the batteries need it.
    """

    place: Place
    start: datetime
    clouds: float
    temperature: DailyCurve
    switches: tuple[SwitchSpec, ...] = ()
    loads: tuple[LoadSpec, ...] = ()
    chargers: tuple[ChargerSpec, ...] = ()
    fuse: float | None = None

    @property
    def all_loads(self) -> tuple[LoadSpec, ...]:
        """The loads, and what inverters draw for themselves."""
        return (*self.loads, *_idle_loads(self.switches))

    def efficiency(self, load: LoadSpec) -> float:
        """Return the efficiency of what stands between the bank and a load."""
        inverters = (switch for switch in self.switches if switch.kind is SwitchKind.INVERTER)
        return next((switch.efficiency for switch in inverters if switch.name == load.follows), 1.0)


def _idle_loads(switches: Iterable[SwitchSpec]) -> Iterable[LoadSpec]:
    """Return what inverters draw for themselves."""
    for switch in switches:
        if switch.kind is SwitchKind.INVERTER:
            # It comes before the conversion, so that its efficiency must not count.
            amount = Timetable.constant(switch.idle_power * switch.efficiency)
            yield LoadSpec(name=f"{switch.name} (idle)", follows=switch.name, draw=Draw.POWER, amount=amount)


def build_switch(spec: SwitchSpec, factor: float) -> Switch:
    """Return a switch as it runs. factor: how many times 12 V the system has."""
    match spec.kind:
        case SwitchKind.BATTERY_PROTECT | SwitchKind.SMART_BATTERY_PROTECT:
            return BatteryProtect(spec.name, factor=factor, disconnects=spec.disconnects, reconnects=spec.reconnects)
        case SwitchKind.INVERTER:
            return Inverter(spec.name, factor=factor, wiring=WIRINGS[spec.wiring])
        case SwitchKind.CYRIX_LI_LOAD:
            return CyrixLiLoad(spec.name, factor=factor)
        case SwitchKind.CYRIX_LI_CHARGE:
            return CyrixLiCharge(spec.name, factor=factor)
        case SwitchKind.CYRIX_LI_CT:
            return CyrixLiCt(spec.name, factor=factor)
