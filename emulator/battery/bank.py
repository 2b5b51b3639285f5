"""A bank of batteries: currents of its strings, terminal voltage, temperatures, and an exact account of charge."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass, replace
from enum import IntEnum
from math import exp
from random import Random
from typing import Annotated, Final, Self

import numpy as np

from emulator.battery.cells import (
    NAH_PER_AH,
    NAH_PER_AMPERE_SECOND,
    SLOW_SECONDS,
    TICK,
    Cells,
    CellsCheckpoint,
    Integers,
    Ledger,
    SavedCells,
)
from emulator.battery.layout import BankLayout
from emulator.battery.models import CURRENT_TOLERANCE, MODELS, PULSE_SECONDS, TIME_TOLERANCE, BatteryModel
from emulator.battery.open_circuit import Floats
from emulator.battery.saved import ArrayOf
from emulator.reading.state import JsonObject, JsonValue, Number, as_json, from_json
from emulator.reading.values import number, wanted

# All assumed.
POLARIZATION_SECONDS: Final = 60.0  # time constant of the slow part of the resistance
HEAT_CAPACITY_PER_WH: Final = 10.0  # J/K for every Wh of a battery
COOLING_SECONDS: Final = 3 * 3600.0  # time constant of a battery towards the ambient temperature
FIRMWARE_VERSION: Final = "v1.02"
SERIAL_NUMBER_PREFIX: Final = "HQ2640"

# Assumed: from here on a cell is destroyed, as its separator melts, in °C. It gets no hotter here: what a
# burning battery does is beyond this model.
DESTROYING_TEMPERATURE: Final = 130.0

# What a saved state may hold: °C, A.
LOWEST_TEMPERATURE: Final = -100.0
HIGHEST_TEMPERATURE: Final = 1000.0
HIGHEST_CURRENT: Final = 1e6

# How far the voltage of any cell may move in one step, in V, and how long a step may be at all, in s.
VOLTAGE_STEP: Final = 0.010
LONGEST_STEP: Final = 60.0
SHORTEST_STEP: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Battery:
    """The fixed properties of one battery."""

    model: BatteryModel
    serial_number: str
    firmware_version: str = FIRMWARE_VERSION


class CurrentUse(IntEnum):
    """How much current a battery carries (M-B3); a higher number is worse."""

    RECOMMENDED = 1
    CONTINUOUS = 2
    PULSE = 3  # for PULSE_SECONDS at most
    TOO_HIGH = 4


def _use(model: BatteryModel, current: float) -> CurrentUse:
    charging = current > 0
    limits = (
        (model.recommended_charge_a if charging else model.recommended_discharge_a, CurrentUse.RECOMMENDED),
        (model.continuous_a, CurrentUse.CONTINUOUS),
        (model.pulse_charge_a if charging else model.pulse_discharge_a, CurrentUse.PULSE),
    )
    carried = abs(current) - CURRENT_TOLERANCE
    return next((use for limit, use in limits if carried <= limit), CurrentUse.TOO_HIGH)


type _Temperature = Annotated[float, number(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)]
type _Current = Annotated[float, number(-HIGHEST_CURRENT, HIGHEST_CURRENT)]
type _Carry = Annotated[float, number(0, 1)]


@dataclass(frozen=True, kw_only=True)
class BankCheckpoint:
    """The state of a bank that steps change."""

    cells: CellsCheckpoint
    ledger: Ledger
    temperature: Annotated[Floats, ArrayOf(_Temperature)]
    polarizing: Annotated[Floats, ArrayOf(_Current)]
    diffusing: Annotated[Floats, ArrayOf(_Current)]
    current: _Current
    net: _Current
    pending: Annotated[float, number(0, TICK)]
    carries: tuple[_Carry, _Carry]
    over_seconds: Number
    over_pulse: bool
    ruined: bool
    destroyed: bool


def _no_string_is_empty(strings: object) -> bool:
    return isinstance(strings, list) and bool(strings) and all(strings)


type _Model = Annotated[str, wanted("battery models", lambda name: name in MODELS)]


@dataclass(frozen=True, kw_only=True)
class SavedBank(BankCheckpoint):
    """A saved bank. Raises ValueError if its lists differ in length."""

    strings: Annotated[list[list[_Model]], wanted("lists of battery models", _no_string_is_empty)]
    serial_numbers: tuple[str, ...]
    firmware_versions: tuple[str, ...]
    cells: SavedCells

    @property
    def layout(self) -> BankLayout:
        """The arrangement of the batteries."""
        return BankLayout(strings=tuple(tuple(MODELS[name] for name in string) for string in self.strings))

    def __post_init__(self) -> None:
        batteries = self.layout.batteries
        by_string = {"polarizing": self.polarizing, "diffusing": self.diffusing}
        by_battery = {name: getattr(self, name) for name in ("serial_numbers", "firmware_versions", "temperature")}
        by_cell = {name: value for name, value in vars(self.cells).items() if isinstance(value, np.ndarray)}
        cells = sum(model.cells for model in batteries)
        for lists, length in ((by_string, len(self.strings)), (by_battery, len(batteries)), (by_cell, cells)):
            _check_lengths(lists, length)


def _check_lengths(lists: Mapping[str, Sized], length: int) -> None:
    for name, items in lists.items():
        if len(items) != length:
            raise ValueError(f"{name} should be a list of {length}")


class Bank:
    """The batteries. Currents are in A, positive = charging; temperatures in °C.

    over_pulse: a battery once carried more than its pulse current, or more than 1 C for too long (M-B2, M-B3). ruined:
    a cell was once emptied (M-D1). Both are only remembered. destroyed: a battery was once so hot that it is useless.
    drains: the current in A that leaks inside a cell, by the number of the cell. longest: the longest step, in s.
    """

    def __init__(
        self, *, layout: BankLayout, batteries: tuple[Battery, ...], cells: Cells, temperature: Floats
    ) -> None:
        self.layout = layout
        self.batteries = batteries
        self.cells = cells
        self.temperature = temperature
        self.ledger = Ledger()
        self.drains: dict[int, float] = {}
        self.longest = LONGEST_STEP
        self.current = 0.0
        self.over_seconds = 0.0
        self.over_pulse = False
        self.ruined = False
        self.destroyed = False
        # The currents, smoothed over time, that drive the fast and the slow polarization.
        self._polarizing = np.zeros(len(layout.strings))
        self._diffusing = np.zeros(len(layout.strings))
        self._pending = 0.0
        self._carries = (0.0, 0.0)
        self._net = 0.0
        self._prepare()
        self._warm()
        self._refresh()

    def _prepare(self) -> None:
        strings = self.layout.strings
        nominal = np.array([sum(model.nominal_voltage for model in string) for string in strings])
        # Assumed: a string of another voltage than the first is cut off by its fuse, and carries nothing.
        self._connected = (np.abs(nominal - nominal[0]) < 1.0).astype(np.float64)
        self._heat_capacity = np.array([HEAT_CAPACITY_PER_WH * battery.model.energy_wh for battery in self.batteries])
        self._string_of_battery = np.repeat(np.arange(len(strings)), [len(string) for string in strings])
        self._pulse_charge = min(model.pulse_charge_a for model in self.layout.batteries)
        self._pulse_discharge = min(model.pulse_discharge_a for model in self.layout.batteries)
        self._continuous = min(model.continuous_a for model in self.layout.batteries)

    @classmethod
    def build(
        cls,
        layout: BankLayout,
        *,
        random: Random,
        state_of_charge: float = 50.0,
        temperature: float = 20.0,
        capacity_factor: float = 1.0,
    ) -> Self:
        """Return a bank; state_of_charge in %, temperature in °C.

        capacity_factor: how many times the capacity of new batteries these have.
        """
        return cls(
            layout=layout,
            batteries=tuple(Battery(model=model, serial_number=_serial_number(random)) for model in layout.batteries),
            cells=Cells.build(layout, state_of_charge=state_of_charge, random=random, capacity_factor=capacity_factor),
            temperature=np.full(len(layout.batteries), float(temperature)),
        )

    # What can be seen

    @property
    def voltage(self) -> float:
        """The terminal voltage in V at the current of the last step."""
        return self._voltage

    @property
    def cell_voltages(self) -> Floats:
        """The voltage in V of every cell."""
        return self._cell_voltages

    @property
    def string_currents(self) -> Floats:
        """The current in A of every string."""
        return self._string_currents

    @property
    def balancing(self) -> bool:
        """Whether any cell is being balanced."""
        return self.cells.bleeding is not None

    @property
    def charge_ah(self) -> float:
        """The charge in Ah that the bank can give until the first cell of each string is empty."""
        lowest = np.minimum.reduceat(self.cells.charge, self.cells.string_starts)
        return int(lowest.sum()) / NAH_PER_AH

    @property
    def net_current(self) -> float:
        """The current in A into the cells: that at the terminals less the own consumption of the BMS."""
        return self._net

    @property
    def current_use(self) -> CurrentUse:
        """How hard the most loaded battery is used (M-B2, M-B3)."""
        models = [self.layout.strings[string][0] for string in range(len(self._string_currents))]
        uses = [_use(model, float(current)) for model, current in zip(models, self._string_currents, strict=True)]
        return max(uses)

    @property
    def continuous_current(self) -> float:
        """The continuous current of the bank in A (M-B2)."""
        return sum(min(model.continuous_a for model in string) for string in self.layout.strings)

    def string_of_battery(self, battery: int) -> int:
        """Return the number of the string that a battery is in."""
        return int(self._string_of_battery[battery])

    def battery_current(self, battery: int) -> float:
        """Return the current in A of one battery."""
        return float(self._string_currents[self.string_of_battery(battery)])

    def first_cell(self, battery: int) -> int:
        """Return the index of the first cell of a battery."""
        return int(self.cells.battery_starts[battery])

    def battery_cells(self, battery: int) -> slice:
        """Return the indices of the cells of a battery."""
        start = self.first_cell(battery)
        return slice(start, start + self.batteries[battery].model.cells)

    def terminal_voltage(self, current: float) -> float:
        """Return the terminal voltage in V for a current in A that flows now."""
        return (current + self._source) / self._conductance

    def current_at(self, voltage: float, seconds: float = 0.0) -> float:
        """Return the current in A that brings the terminals to a voltage, now or at the end of a step."""
        electromotive, conductance = self._ahead(seconds)
        return float(voltage * conductance.sum() - (electromotive * conductance).sum())

    def longest_step(self, current: float) -> float:
        """Return how long a step at this current may be, in s, and still be accurate."""
        moving = self._shares(current, 0.0)[self.cells.string_of]
        slope = self._look.slope
        if self._losses is not None:
            moving = moving - self._losses
        if (apparent := self._look.apparent_seconds) is not None:
            moving = moving + (moving - self._diffusing[self.cells.string_of]) * (apparent / SLOW_SECONDS)
            # The voltage rises so steeply near full that a step must not run into it.
            slope = np.maximum(slope, self.cells.slope(self.cells.after(self._look.charge, moving, self.longest)))
        speed = float(np.max(slope * np.abs(moving)))
        if speed * self.longest <= VOLTAGE_STEP:
            return self.longest
        return max(VOLTAGE_STEP / speed, SHORTEST_STEP)

    # What happens

    def step(self, *, current: float, own_consumption: float, ambient: float, seconds: float) -> int:
        """Let a net current flow, less what the BMS consumes; return the charge that went into the cells, in nAh."""
        self.current = current
        self._net = net = current - own_consumption
        moved = self._account(current, own_consumption, seconds)
        shares = self._shares(net, seconds)
        self.cells.add(self._divide(shares, moved, seconds))
        self.cells.balance(seconds, self.ledger)
        self._polarizing = shares + (self._polarizing - shares) * exp(-seconds / POLARIZATION_SECONDS)
        self._diffusing = shares + (self._diffusing - shares) * exp(-seconds / SLOW_SECONDS)
        self._tick(shares, ambient, seconds)
        self._watch_pulse(shares, seconds)
        self._refresh()
        return moved

    def _account(self, current: float, own_consumption: float, seconds: float) -> int:
        """Turn currents into whole nAh, carry the remainder over, and book them."""
        terminals = current * seconds * NAH_PER_AMPERE_SECOND + self._carries[0]
        own = own_consumption * seconds * NAH_PER_AMPERE_SECOND + self._carries[1]
        through, taken = int(terminals // 1), int(own // 1)
        self._carries = (terminals - through, own - taken)
        self.ledger.charged += max(through, 0)
        self.ledger.discharged += max(-through, 0)
        self.ledger.own_consumption += taken
        return through - taken

    def _divide(self, shares: Floats, moved: int, seconds: float) -> Integers:
        """Divide whole nAh over the strings so that nothing is lost to rounding."""
        through = np.rint(shares * (seconds * NAH_PER_AMPERE_SECOND)).astype(np.int64)
        through[0] += moved - int(through.sum())
        return through

    def _shares(self, net: float, seconds: float) -> Floats:
        """Return the current of every string over a step."""
        if len(self._connected) == 1:
            return np.array([net])
        electromotive, conductance = self._ahead(seconds)
        voltage = (net + float((electromotive * conductance).sum())) / float(conductance.sum())
        return (voltage - electromotive) * conductance

    def _ahead(self, seconds: float) -> tuple[Floats, Floats]:
        """Return source voltage and conductance of every string at the end of a step.

        Looking ahead keeps strings, and chargers that hold a voltage, from swinging when a cell's voltage is steep.
        """
        if seconds == 0:
            return self._electromotive, self._string_conductance
        decay = exp(-seconds / POLARIZATION_SECONDS)
        resistance = self._string_resistance + self._string_polarization * (1 - decay) + self._string_slope * seconds
        source = self._string_open_circuit + self._string_polarization * self._polarizing * decay
        if self._string_apparent is not None:
            spread = 1 - exp(-seconds / SLOW_SECONDS)
            resistance = resistance + self._string_apparent * spread
            source = source - self._string_apparent * self._diffusing * spread
        if self._losses is not None:
            source = source - self._per_string(self._look.slope * self._losses) * seconds
        return source, self._connected / resistance

    def _tick(self, shares: Floats, ambient: float, seconds: float) -> None:
        """Advance the slow processes once a whole tick has passed."""
        self._pending += seconds
        ticks = int(self._pending // TICK)
        if ticks == 0:
            return
        self._pending -= ticks * TICK
        self.cells.discharge_themselves(ticks, self.ledger)
        for cell, current in self.drains.items():
            self.cells.drain(cell, round(current * ticks * TICK * NAH_PER_AMPERE_SECOND), self.ledger)
        self._exchange_heat(shares, ambient, ticks * TICK)
        self._warm()
        self.cells.choose_bleeding(self._cell_voltages)
        self.ruined = self.ruined or bool(self.cells.charge.min() < 0)

    def _exchange_heat(self, shares: Floats, ambient: float, seconds: float) -> None:
        losses = self._battery_resistance * (shares * shares)[self._string_of_battery]
        target = ambient + losses * COOLING_SECONDS / self._heat_capacity
        reached = target + (self.temperature - target) * exp(-seconds / COOLING_SECONDS)
        if float(reached.max()) >= DESTROYING_TEMPERATURE:
            self.destroyed = True
        self.temperature = np.minimum(reached, DESTROYING_TEMPERATURE)

    def _watch_pulse(self, shares: Floats, seconds: float) -> None:
        """Count for how long more than the continuous current flows (M-B3)."""
        charging, discharging = float(shares.max()) - CURRENT_TOLERANCE, -float(shares.min()) - CURRENT_TOLERANCE
        if max(charging, discharging) <= self._continuous:
            self.over_seconds = 0.0
            return
        self.over_seconds += seconds
        beyond = charging > self._pulse_charge or discharging > self._pulse_discharge
        self.over_pulse = self.over_pulse or beyond or self.over_seconds > PULSE_SECONDS + TIME_TOLERANCE

    def _warm(self) -> None:
        """Compute the resistances from the temperatures."""
        cells = self.cells
        cells.warm(self.temperature)
        self._string_resistance = self._per_string(cells.resistance)
        self._string_polarization = self._per_string(cells.polarization)
        self._battery_resistance = np.add.reduceat(cells.resistance + cells.polarization, cells.battery_starts)
        self._string_conductance = self._connected / self._string_resistance
        self._conductance = float(self._string_conductance.sum())

    def _refresh(self) -> None:
        """Compute the voltages from the charges."""
        cells = self.cells
        self._look = look = cells.look(self._diffusing)
        self._losses = cells.losses()
        self._string_open_circuit = self._per_string(look.open_circuit)
        self._string_slope = self._per_string(look.slope)
        apparent = look.apparent_seconds
        self._string_apparent = None if apparent is None else self._per_string(look.slope * apparent)
        self._electromotive = self._string_open_circuit + self._string_polarization * self._polarizing
        self._source = float((self._electromotive * self._string_conductance).sum())
        self._string_currents = self._shares(self._net, 0.0)
        ohmic = cells.resistance * self._string_currents[cells.string_of]
        self._cell_voltages = look.open_circuit + ohmic + cells.polarization * self._polarizing[cells.string_of]
        self._voltage = self.terminal_voltage(self._net)

    def _per_string(self, values: Floats) -> Floats:
        total: Floats = np.add.reduceat(values, self.cells.string_starts)
        return total

    def update_firmware(self, battery: int, version: str) -> None:
        """Set the firmware version of a battery."""
        batteries = list(self.batteries)
        batteries[battery] = replace(batteries[battery], firmware_version=version)
        self.batteries = tuple(batteries)

    # Going back, saving and loading

    def copy(self) -> BankCheckpoint:
        """Return a copy of the state, for restore."""
        return BankCheckpoint(
            cells=self.cells.copy(),
            ledger=replace(self.ledger),
            temperature=self.temperature,
            polarizing=self._polarizing,
            diffusing=self._diffusing,
            current=self.current,
            net=self._net,
            pending=self._pending,
            carries=self._carries,
            over_seconds=self.over_seconds,
            over_pulse=self.over_pulse,
            ruined=self.ruined,
            destroyed=self.destroyed,
        )

    def restore(self, checkpoint: BankCheckpoint) -> None:
        """Go back to the state in a copy."""
        self.cells.restore(checkpoint.cells)
        self.ledger = replace(checkpoint.ledger)
        self.temperature = checkpoint.temperature
        self._polarizing = checkpoint.polarizing
        self._diffusing = checkpoint.diffusing
        self.current = checkpoint.current
        self._net = checkpoint.net
        self._pending = checkpoint.pending
        self._carries = checkpoint.carries
        self.over_seconds = checkpoint.over_seconds
        self.over_pulse = checkpoint.over_pulse
        self.ruined = checkpoint.ruined
        self.destroyed = checkpoint.destroyed
        self._warm()
        self._refresh()

    def save(self) -> dict[str, JsonValue]:
        """Return the bank as JSON."""
        return {
            **as_json(self.copy()),
            "strings": [[model.name for model in string] for string in self.layout.strings],
            "serial_numbers": [battery.serial_number for battery in self.batteries],
            "firmware_versions": [battery.firmware_version for battery in self.batteries],
            "cells": self.cells.save(),
        }

    @classmethod
    def load(cls, data: JsonObject) -> Self:
        """Return a saved bank. Raises StateError."""
        return cls.resumed(from_json(SavedBank, data))

    @classmethod
    def resumed(cls, saved: SavedBank) -> Self:
        """Return a saved bank."""
        layout = saved.layout
        fixed = zip(layout.batteries, saved.serial_numbers, saved.firmware_versions, strict=True)
        bank = cls(
            layout=layout,
            batteries=tuple(
                Battery(model=model, serial_number=serial_number, firmware_version=version)
                for model, serial_number, version in fixed
            ),
            cells=Cells.resumed(saved.cells, layout),
            temperature=saved.temperature,
        )
        bank.restore(saved)
        return bank


def _serial_number(random: Random) -> str:
    return SERIAL_NUMBER_PREFIX + "".join(random.choices("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", k=5))
