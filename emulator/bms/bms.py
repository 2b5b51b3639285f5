"""The smallBMS NG: a bank, the rules, the monitor and the history behind one object."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Annotated, Final, Self

import numpy as np

from emulator.battery.bank import Bank, BankCheckpoint, SavedBank
from emulator.battery.layout import BankLayout
from emulator.battery.open_circuit import Floats
from emulator.bms.codes import Code, error_number, levels
from emulator.bms.detection import Detected, detect
from emulator.bms.faults import BmsFaults
from emulator.bms.firmware import FIRMWARE_VERSION, FirmwareState, FirmwareUpdateError, next_version
from emulator.bms.former_state import upgraded
from emulator.bms.history import History, HistoryState
from emulator.bms.leds import Led, blue_led, red_led
from emulator.bms.monitor import Monitor, MonitorState
from emulator.bms.outputs import CURRENT_LIMITS, Output, Outputs
from emulator.bms.pages import BankPage, BatteryPage, StatusPage
from emulator.bms.remote import WIRE_LOOP, Remote
from emulator.bms.rules import Measurements, Permission, Reason, Rules, RulesCheckpoint
from emulator.bms.sensing import (
    Sensed,
    cell_index,
    cell_voltages,
    check_faults,
    known_temperatures,
    sense,
    temperatures,
)
from emulator.bms.settings import SettingKey, Settings
from emulator.reading.state import Count, JsonObject, JsonValue, Number, as_json, damaged, from_json
from emulator.reading.values import wanted
from emulator.snapshot import IoField, Snapshot

STATE_VERSION: Final = 2

# M-W1.
LOWEST_SUPPLY: Final = 8.0  # V
HIGHEST_SUPPLY: Final = 70.0
CONSUMPTION_ON: Final = 0.003  # A
CONSUMPTION_LOW: Final = 0.0012  # in low cell voltage, and with the system off (assumed: by the mode as by the remote)
# M-W2, °C.
LOWEST_OPERATING_TEMPERATURE: Final = -20.0
HIGHEST_OPERATING_TEMPERATURE: Final = 50.0

# Assumed: how long the BMS keeps running without supply, in s. A short circuit that a switch ends takes less.
HOLD_UP: Final = 0.02

# A step never ends closer than this to a timer, in s, so that rounding cannot make endless tiny steps.
SHORTEST_TIMER: Final = 0.001

_SOC_SETTINGS: Final = (SettingKey.LOW_SOC_WARNING, SettingKey.DISCHARGE_FLOOR)


class ShownTemperature(StrEnum):
    """Which temperature is shown where there is room for one. What the real device shows is unknown."""

    HOTTEST = "hottest"
    COLDEST = "coldest"
    MEAN = "mean"


_SHOWN_TEMPERATURES: Final[dict[ShownTemperature, Callable[[Floats], np.float64]]] = {
    ShownTemperature.HOTTEST: lambda temperatures: temperatures.max(),
    ShownTemperature.COLDEST: lambda temperatures: temperatures.min(),
    ShownTemperature.MEAN: lambda temperatures: temperatures.mean(),
}


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """The state of a SmallBms that steps change."""

    bank: BankCheckpoint
    rules: RulesCheckpoint
    monitor: MonitorState
    history: HistoryState
    sensed: Sensed
    detected: Detected
    missing: frozenset[int]
    powered: bool
    was_on: bool
    ambient: float


def _are_of_every_output(currents: object) -> bool:
    return isinstance(currents, dict) and set(currents) == set(Output)


@dataclass(frozen=True, kw_only=True)
class SavedBms:
    """A saved SmallBms."""

    version: Count
    bank: SavedBank
    rules: RulesCheckpoint
    monitor: MonitorState
    history: HistoryState
    settings: Settings
    remote: Remote
    faults: BmsFaults
    mode_on: bool
    bluetooth_enabled: bool
    powered: bool
    was_on: bool
    ambient: Number
    missing: frozenset[Count]
    shown_temperature: ShownTemperature
    firmware_version: str
    output_currents: Annotated[dict[Output, Number], wanted("the current of every output", _are_of_every_output)]
    destroyed_outputs: set[Output]


class SmallBms:
    """The emulated device without its radio. Currents in A (positive = charging), voltages in V, temperatures in °C.

    mode_on is the app's mode, remote what is connected to the terminals, faults what is wrong; connected and
    bluetooth_enabled are set by the radio. A change of remote or faults shows after refresh, or after the next step.
    """

    def __init__(self, *, bank: Bank, state_of_charge: float | None) -> None:
        self.bank = bank
        self.faults = BmsFaults()
        self.rules = Rules()
        self.history = History()
        self.mode_on = True
        self.remote: Remote = WIRE_LOOP
        self.bluetooth_enabled = True
        self.connected = False
        self.shown_temperature = ShownTemperature.HOTTEST
        self.firmware_version = FIRMWARE_VERSION
        self.output_currents = dict.fromkeys(Output, 0.0)
        self.destroyed_outputs: set[Output] = set()
        self._missing = frozenset[int]()
        self.detected: Detected = detect(bank.layout)
        self.settings = Settings.defaults(self.detected.system_voltage or 12)
        self.monitor = Monitor(capacity_ah=self.detected.capacity_ah, state_of_charge=state_of_charge)
        self._powered = True
        self._without_supply = 0.0
        self._was_on = True
        self._ambient = float(bank.temperature[0])
        self._sensed = sense(bank, self.faults)
        self.refresh()

    @classmethod
    def build(
        cls,
        layout: BankLayout,
        *,
        random: Random,
        state_of_charge: float = 50.0,
        temperature: float = 20.0,
        state_of_charge_known: bool = True,
        unplugged_battery: int | None = None,
    ) -> Self:
        """Return a new device on a new bank, powered up for the first time.

        state_of_charge in % is that of the cells, known to the monitor or not. unplugged_battery is a fault that is
        there from the beginning: a battery that is missing (E-B05), not one that was lost (W-B05).
        """
        bank = Bank.build(layout, random=random, state_of_charge=state_of_charge, temperature=temperature)
        bms = cls(bank=bank, state_of_charge=state_of_charge if state_of_charge_known else None)
        if unplugged_battery is not None:
            bms.faults.unplugged_battery = unplugged_battery
            bms.power_cycle()
        return bms

    # What it shows

    @property
    def voltage(self) -> float:
        """The bank voltage as measured."""
        return self._sensed.voltage

    @property
    def current(self) -> float | None:
        """The bank current as measured, own consumption included; None = not known."""
        return self._sensed.current

    @property
    def powered(self) -> bool:
        """Whether the bank voltage is high enough, and low enough, for the BMS to run (M-W1)."""
        return self._powered

    @property
    def system_on(self) -> bool:
        """Whether remote and mode switch the system on (M-O4)."""
        return self._powered and self.mode_on and self.remote.is_on(self.voltage)

    @property
    def within_operating_temperature(self) -> bool:
        """Whether the ambient temperature is in the rated range (M-W2). Assumed: the BMS works outside of it, too."""
        return LOWEST_OPERATING_TEMPERATURE <= self._ambient <= HIGHEST_OPERATING_TEMPERATURE

    @property
    def codes(self) -> frozenset[Code]:
        """The active codes."""
        return self.rules.codes if self._powered else frozenset()

    @property
    def allowed_to_charge(self) -> Permission:
        """ATC: yes or no (M-P1)."""
        return self.rules.allowed_to_charge

    @property
    def allowed_to_discharge(self) -> Permission:
        """ATD: yes, pre-alarm or no (M-P2, M-P3)."""
        return self.rules.allowed_to_discharge

    @property
    def charge_off_reasons(self) -> frozenset[Reason]:
        """Why ATC is no."""
        return self.rules.charge_off

    @property
    def discharge_off_reasons(self) -> frozenset[Reason]:
        """Why ATD is no."""
        return self.rules.discharge_off

    @property
    def outputs(self) -> Outputs:
        """The outputs (M-O, M-P4)."""
        on = self.system_on
        return Outputs(
            load=on and not self.rules.discharge_off and Output.LOAD not in self.destroyed_outputs,
            charger=on and not self.rules.charge_off and Output.CHARGER not in self.destroyed_outputs,
            # Assumed: with the system off nothing is about to be switched off.
            pre_alarm=on and self.rules.pre_alarm and Output.PRE_ALARM not in self.destroyed_outputs,
            battery_voltage=self.voltage,
        )

    @property
    def blue_led(self) -> Led:
        """The blue LED (M-L1)."""
        return blue_led(powered=self._powered, bluetooth_enabled=self.bluetooth_enabled, connected=self.connected)

    @property
    def red_led(self) -> Led:
        """The red LED (M-L2)."""
        return red_led(self.rules.worst if self._powered else None)

    @property
    def own_consumption(self) -> float:
        """The current in A that the BMS and the loads on its outputs take now (M-W1)."""
        if not self._powered:
            return 0.0
        low = self.rules.flags.low_cell or not self.system_on
        outputs = self.outputs
        loads = sum(current for output, current in self.output_currents.items() if outputs.is_high(output))
        return (CONSUMPTION_LOW if low else CONSUMPTION_ON) + loads

    @property
    def record_temperature(self) -> float | None:
        """The temperature that Instant Readout and the status page show, in °C; None = no battery answers."""
        known = known_temperatures(self.bank, self.faults)
        return float(_SHOWN_TEMPERATURES[self.shown_temperature](known)) if len(known) else None

    @property
    def time_remaining(self) -> float | None:
        """The minutes at the present current until the discharge floor (M-S4)."""
        return self.monitor.time_remaining(self.current, self.settings.discharge_floor)

    @property
    def firmware_state(self) -> FirmwareState:
        """How far a firmware update is (M-X2)."""
        return self.rules.firmware.state

    @property
    def waiting(self) -> dict[Reason, float]:
        """The seconds until an active condition switches something off, by reason."""
        return self.rules.waiting(self._sensed.lowest_cell)

    @property
    def reserve_ah(self) -> float:
        """The charge in Ah until the first cells are empty, and the batteries ruined (M-D1)."""
        return self.bank.charge_ah

    # What it does over time

    def step(self, *, current: float, ambient: float, seconds: float) -> None:
        """Let a net bank current flow for some simulated seconds, divided where accuracy or a timer asks for it."""
        while seconds > 0:
            timer = self.next_timer()
            part = min(seconds, self.longest_step(current), seconds if timer is None else timer)
            self._step(current, ambient, part)
            seconds -= part

    def terminal_voltage(self, current: float) -> float:
        """Return the bank voltage in V for a current in A that flows now."""
        return self.bank.terminal_voltage(current - self.own_consumption)

    def current_at(self, voltage: float, seconds: float = 0.0) -> float:
        """Return the current that brings the terminals to this voltage, now or at the end of a step of some seconds.

        Give the length of the coming step when a charger holds a voltage: it keeps the current from swinging.
        """
        return self.bank.current_at(voltage, seconds) + self.own_consumption

    def longest_step(self, current: float) -> float:
        """Return how long a step at this current may be, in s, and still be accurate."""
        return self.bank.longest_step(current)

    def next_timer(self) -> float | None:
        """Return the seconds until the next timer expires; None if none runs."""
        timers = [self.rules.next_timer(), self.monitor.next_timer(self.settings)]
        soonest = min((seconds for seconds in timers if seconds is not None), default=None)
        return None if soonest is None else max(soonest, SHORTEST_TIMER)

    def conditions(self) -> Hashable:
        """Return all discrete states that can flip, except the balancing resistors, whose timing is not critical."""
        return self.outputs, self.rules.flags, self.firmware_state, self.monitor.detecting, self._powered

    def copy(self) -> Checkpoint:
        """Return a copy of everything that steps change, for restore."""
        return Checkpoint(
            bank=self.bank.copy(),
            rules=self.rules.copy(),
            monitor=self.monitor.copy(),
            history=self.history.copy(),
            sensed=self._sensed,
            detected=self.detected,
            missing=self._missing,
            powered=self._powered,
            was_on=self._was_on,
            ambient=self._ambient,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to the state in a copy. Settings, mode, remote and faults stay as they are."""
        self.bank.restore(checkpoint.bank)
        self.rules.restore(checkpoint.rules)
        self.monitor.restore(checkpoint.monitor)
        self.history.restore(checkpoint.history)
        self._sensed = checkpoint.sensed
        self.detected = checkpoint.detected
        self._missing = checkpoint.missing
        self._powered = checkpoint.powered
        self._was_on = checkpoint.was_on
        self._ambient = checkpoint.ambient

    # What can be done to it

    def set_state_of_charge(self, percent: float) -> None:
        """Set the state of charge by hand (M-S3). Raises ValueError outside 0 to 100 %."""
        self.monitor.set_state_of_charge(percent)
        self._judge_soc_afresh()

    def synchronize(self) -> None:
        """Synchronize the state of charge to 100 % by hand (M-S3)."""
        self.monitor.synchronize()
        self.history.add_synchronization(fully_charged=False)
        self._judge_soc_afresh()

    def change_setting(self, key: SettingKey, value: float) -> None:
        """Change a setting. Raises SettingError."""
        self.settings = self.settings.changed(key, value)
        if key in _SOC_SETTINGS:
            self._judge_soc_afresh()
        if key is SettingKey.PRE_ALARM_CELL_VOLTAGE:
            self.rules.forget_pre_alarm()
            self._decide(0.0)

    def restore_defaults(self) -> None:
        """Reset exactly the five settings of the battery monitor (M-X1)."""
        self.settings = self.settings.reset(self.detected.system_voltage or 12)
        self._judge_soc_afresh()

    def clear_history(self) -> None:
        """Begin a new history."""
        self.history.clear()

    def set_mode(self, on: bool) -> None:
        """Switch the system on or off as the app does (M-V1)."""
        self.mode_on = on
        self.refresh()

    def begin_firmware_update(self, battery: int | None = None) -> None:
        """Begin an update of the BMS or of one battery, or a new attempt (M-X2). Raises FirmwareUpdateError.

        Assumed: batteries are updated one by one, through the BMS, which behaves as during its own update.
        """
        if battery is not None and not 0 <= battery < len(self.bank.batteries):
            raise FirmwareUpdateError(f"The bank has no battery {battery + 1}.")
        self.rules.firmware.begin(battery)
        self.rules.decide()

    def finish_firmware_update(self, ok: bool) -> None:
        """End an update, well or not. Raises FirmwareUpdateError."""
        subject = self.rules.firmware.subject
        self.rules.firmware.finish(ok)
        self.rules.decide()
        if not ok:
            return
        if subject is None:
            self.firmware_version = next_version(self.firmware_version)
        else:
            self.bank.update_firmware(subject, next_version(self.bank.batteries[subject].firmware_version))

    def draw_from_output(self, output: Output, current: float) -> None:
        """Connect something to an output that takes a current in A while it is high. Too much destroys the output."""
        self.output_currents[output] = current
        if current > CURRENT_LIMITS[output]:
            self.destroyed_outputs.add(output)

    def repair_outputs(self) -> None:
        """Repair the outputs, and disconnect everything from them."""
        self.output_currents = dict.fromkeys(Output, 0.0)
        self.destroyed_outputs.clear()

    def power_cycle(self) -> None:
        """Take the supply away and bring it back: the BMS detects its batteries again."""
        self._power_up()
        self.refresh()

    def refresh(self) -> None:
        """Measure and decide, without time passing. Raises ValueError for a fault in an unknown battery or cell."""
        check_faults(self.bank, self.faults)
        self._sense()
        self._decide(0.0)

    # How

    def _judge_soc_afresh(self) -> None:
        self.rules.forget_soc()
        self._decide(0.0)

    def _step(self, current: float, ambient: float, seconds: float) -> None:
        self._ambient = ambient
        self._leak()
        moved = self.bank.step(current=current, own_consumption=self.own_consumption, ambient=ambient, seconds=seconds)
        self._sense(seconds)
        if not self._powered:
            return
        self._monitor(moved, seconds)
        self._decide(seconds)
        self._remember(moved, seconds)

    def _leak(self) -> None:
        drains = self.faults.cell_drains
        if drains or self.bank.drains:
            self.bank.drains = {cell_index(self.bank, position): drain for position, drain in drains.items()}

    def _sense(self, seconds: float = HOLD_UP) -> None:
        """Measure after some seconds."""
        self._sensed = sense(self.bank, self.faults)
        supplied = LOWEST_SUPPLY <= self._sensed.voltage <= HIGHEST_SUPPLY
        self._without_supply = 0.0 if supplied else self._without_supply + seconds
        powered = supplied or (self._powered and self._without_supply < HOLD_UP)
        if powered != self._powered:
            self._powered = powered
            self._power_up()
        elif self.detected.error is not None:
            self._look_again()

    def _look_again(self) -> None:
        """Detect the batteries again, as long as they make no valid bank."""
        self._look_for_batteries()
        if self.detected.error is None:
            self.monitor.battery_added()

    def _look_for_batteries(self) -> None:
        self._missing = self.faults.unplugged
        self.detected = detect(self.bank.layout, self._missing)

    def _power_up(self) -> None:
        self.rules = Rules()
        self._look_for_batteries()

    def _monitor(self, moved: int, seconds: float) -> None:
        sensed = self._sensed
        if sensed.current is not None:
            self.monitor.count(moved)
        synchronized = self.monitor.advance(
            voltage=sensed.voltage,
            current=sensed.current,
            lowest_cell=sensed.lowest_cell,
            highest_cell=sensed.highest_cell,
            balancing=self.bank.balancing,
            settings=self.settings,
            seconds=seconds,
        )
        if synchronized:
            self.history.add_synchronization(fully_charged=True)

    def _decide(self, seconds: float) -> None:
        sensed = self._sensed
        measurements = Measurements(
            bank_voltage=sensed.voltage,
            cells=self.detected.series * self.detected.cells_per_battery,
            lowest_cell=sensed.lowest_cell,
            highest_cell=sensed.highest_cell,
            lowest_temperature=sensed.lowest_temperature,
            highest_temperature=sensed.highest_temperature,
            state_of_charge=self.monitor.state_of_charge,
            battery_lost=self.detected.error is None and bool(self.faults.unplugged),
            configuration_error=self.detected.error,
            hardware_fault=self.faults.hardware_fault or self.bank.destroyed,
        )
        if self.system_on and not self._was_on:
            self.rules.announce_anew()
        self._was_on = self.system_on
        self.rules.advance(measurements, self.settings, seconds)

    def _remember(self, moved: int, seconds: float) -> None:
        sensed = self._sensed
        self.history.pass_time(seconds)
        if sensed.current is not None:
            self.history.add_energy(voltage=sensed.voltage, current=sensed.current, moved=moved, seconds=seconds)
        self.history.add_extremes(
            voltage=sensed.voltage,
            cells=(sensed.lowest_cell, sensed.highest_cell),
            temperatures=(sensed.lowest_temperature, sensed.highest_temperature),
        )
        self.history.follow_cycles(self.monitor.state_of_charge)

    # Pages

    def status_page(self) -> StatusPage:
        """Return the app's status page (M-V1)."""
        current = self.current
        return StatusPage(
            state_of_charge=self.monitor.state_of_charge,
            mode_on=self.mode_on,
            voltage=self.voltage,
            current=current,
            power=None if current is None else self.voltage * current,
            consumed_ah=self.monitor.consumed_ah if self.monitor.state_of_charge is not None else None,
            time_remaining=self.time_remaining,
        )

    def bank_page(self) -> BankPage:
        """Return the app's battery page, the bank (M-V2)."""
        sensed, detected = self._sensed, self.detected
        return BankPage(
            balancer_status=self.monitor.balancer_status,
            lowest_cell=sensed.lowest_cell,
            highest_cell=sensed.highest_cell,
            lowest_temperature=sensed.lowest_temperature,
            highest_temperature=sensed.highest_temperature,
            batteries=detected.batteries,
            cells=detected.cells,
            cells_per_battery=detected.cells_per_battery,
            series=detected.series,
            parallel=detected.parallel,
            capacity_ah=detected.capacity_ah,
            system_voltage=detected.system_voltage,
        )

    def battery_page(self, battery: int) -> BatteryPage | None:
        """Return the app's battery page, one battery from 0 (M-V4); None if its cable is out."""
        if battery in self.faults.unplugged:
            return None
        fixed = self.bank.batteries[battery]
        cells = cell_voltages(self.bank, self.faults)[self.bank.battery_cells(battery)]
        return BatteryPage(
            serial_number=fixed.serial_number,
            model=fixed.model.name,
            capacity_ah=fixed.model.capacity_ah,
            firmware_version=fixed.firmware_version,
            temperature=float(temperatures(self.bank, self.faults)[battery]),
            voltage=self._battery_voltage(battery),
            current=self.bank.battery_current(battery),
            cell_voltages=tuple(cells.tolist()),
        )

    def _battery_voltage(self, battery: int) -> float:
        """Return what a battery measures at its terminals, where a cell that is read wrongly changes nothing.

        One battery alone has the terminals of the bank.
        """
        if len(self.bank.batteries) == 1:
            return self.voltage
        return float(self.bank.cell_voltages[self.bank.battery_cells(battery)].sum())

    def snapshot(self) -> Snapshot:
        """Return what Instant Readout shows (M-V7). Without supply nothing is available, and nothing is sent."""
        if not self._powered:
            return Snapshot()
        status, temperature = self.status_page(), self.record_temperature
        return Snapshot(
            error=error_number(self.codes),
            time_to_go=None if status.time_remaining is None else round(status.time_remaining),
            voltage=status.voltage,
            current=status.current,
            temperature=None if temperature is None else round(temperature),
            state_of_charge=status.state_of_charge,
            drawn_amphours=status.consumed_ah,
            io={
                IoField.ALLOWED_TO_CHARGE: self.allowed_to_charge is Permission.YES,
                IoField.ALLOWED_TO_DISCHARGE: self.allowed_to_discharge is not Permission.NO,
                IoField.REMOTE_ON: self.remote.is_on(self.voltage),
            },
            levels=levels(self.codes),
        )

    # Saving and loading

    def save(self) -> dict[str, JsonValue]:
        """Return everything as JSON."""
        return {
            "version": STATE_VERSION,
            "bank": self.bank.save(),
            "rules": as_json(self.rules.copy()),
            "monitor": as_json(self.monitor.copy()),
            "history": as_json(self.history.copy()),
            "settings": as_json(self.settings),
            "remote": as_json(self.remote),
            "faults": as_json(self.faults),
            "mode_on": self.mode_on,
            "bluetooth_enabled": self.bluetooth_enabled,
            "powered": self._powered,
            "was_on": self._was_on,
            "ambient": self._ambient,
            "missing": sorted(self._missing),
            "shown_temperature": self.shown_temperature.value,
            "firmware_version": self.firmware_version,
            "output_currents": {output.value: current for output, current in self.output_currents.items()},
            "destroyed_outputs": sorted(output.value for output in self.destroyed_outputs),
        }

    @classmethod
    def load(cls, data: JsonObject) -> Self:
        """Return a saved device, also one of the former version. Raises StateError."""
        saved = from_json(SavedBms, upgraded(data, STATE_VERSION))
        bms = cls(bank=Bank.resumed(saved.bank), state_of_charge=None)
        _check_batteries(bms.bank, saved)
        bms._resume(saved)
        return bms

    def _resume(self, saved: SavedBms) -> None:
        self.faults = saved.faults
        self.mode_on = saved.mode_on
        self.shown_temperature = saved.shown_temperature
        self.firmware_version = saved.firmware_version
        self.bluetooth_enabled = saved.bluetooth_enabled
        self.remote = saved.remote
        self.settings = saved.settings
        self.history.restore(saved.history)
        self.output_currents = saved.output_currents
        self.destroyed_outputs = saved.destroyed_outputs
        self._missing = saved.missing
        self.detected = detect(self.bank.layout, self._missing)
        self.monitor = Monitor(capacity_ah=self.detected.capacity_ah, state_of_charge=None)
        self.monitor.restore(saved.monitor)
        self.rules.restore(saved.rules)
        self._powered = saved.powered
        self._was_on = saved.was_on
        self._ambient = saved.ambient
        self._sensed = sense(self.bank, self.faults)


def _check_batteries(bank: Bank, saved: SavedBms) -> None:
    """Raise StateError if the state names a battery or cell that the bank does not have."""
    try:
        check_faults(bank, saved.faults)
    except ValueError as error:
        raise damaged(str(error)) from error
    updated = saved.rules.firmware.subject
    if updated is not None and not 0 <= updated < len(bank.batteries):
        raise damaged(f"The bank has no battery {updated}")
