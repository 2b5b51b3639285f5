"""Everything of a scenario, wired together and running: simulations, devices, VE.Smart, faults and proxies."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
import os
from pathlib import Path
import re
from time import time
from typing import Annotated, Final, Protocol

from pydantic import PlainSerializer

from emulator.bms.bms import SmallBms
from emulator.device import (
    DEFAULT_ADDRESS,
    DEFAULT_KEY,
    DEFAULT_NAME,
    DEFAULT_PIN,
    DEFAULT_SERIAL_NUMBER,
    EmulatedDevice,
)
from emulator.drive import Clockwork, Drive
from emulator.instant_readout import KEY_LENGTH
from emulator.personality.table import PERSONALITIES, Personality, name_of
from emulator.reading.state import JsonObject, StateError, as_json, from_json
from emulator.simulation.faults import FaultBoard, SharedSlots
from emulator.simulation.scenario import DeviceSpec, ProxySpec, Scenario
from emulator.simulation.simulation import Simulation
from emulator.simulation.state_file import StateFile, StateFileError, read_state
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService

HOST: Final = "127.0.0.1"
HIGHEST_PORT: Final = 0xFFFF

_DEFAULT_PROXY_NAME: Final = "Emulated proxy"
# Locally administered. The step leaves room for the second address that a proxy has.
_FIRST_PROXY_ADDRESS: Final = 0x0200_00E5_9001
_PROXY_ADDRESS_STEP: Final = 0x10
_ADDRESS_LENGTH: Final = 6


class CannotStartError(Exception):
    """The emulator cannot start; the text says why, in one sentence."""


class Proxy(Protocol):
    """The part of a Bluetooth proxy that a rig and its reports use."""

    friendly_name: str
    pin: str | None
    rssi: dict[str, int]
    slots: int

    @property
    def source(self) -> str:
        """Its Bluetooth address."""

    @property
    def free_slots(self) -> int:
        """How many more connections it can carry now."""

    @property
    def clients(self) -> int:
        """How many clients are connected to it."""

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; OSError if it is not free."""

    async def stop(self) -> None:
        """Disconnect all clients, and stop listening."""


@dataclass(frozen=True, kw_only=True)
class ProxyPlan:
    """What a proxy is made from: rssi in dBm by the address of a device; pin: the PIN that it knows.

    period is the time between a device's advertisements in s.
    """

    name: str
    friendly_name: str
    mac: str
    devices: tuple[EmulatedDevice, ...]
    rssi: Mapping[str, int]
    slots: int
    pin: str | None
    period: float = 1.0


type MakeProxy = Callable[[ProxyPlan], Proxy]


@dataclass(frozen=True, kw_only=True)
class Station:
    """One device with all that belongs to it; number counts from 1."""

    number: int
    simulation: Simulation
    device: EmulatedDevice
    registers: BmsRegisters
    ve_smart: VeSmartService
    faults: FaultBoard

    @property
    def bms(self) -> SmallBms:
        """Its BMS."""
        return self.simulation.bms

    @property
    def personality(self) -> str | None:
        """The name of its personality; None if its switches match none."""
        return name_of(self.ve_smart.quirks, self.device.quirks)

    def take_on(self, personality: Personality) -> None:
        """Behave as this personality from now on."""
        self.ve_smart.quirks, self.device.quirks = personality.connection, personality.radio


class Rig:
    """Everything of a scenario. make_proxy makes its proxies, which know the PIN only if with_pin allows it.

    state_file is where the simulations come from, if it exists, and where save puts them; claimed, if others should be
    kept away from it. Raises CannotStartError. Make it inside a running event loop.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        make_proxy: MakeProxy,
        seed: int | None = None,
        speed: float = 1.0,
        state_file: Path | StateFile | None = None,
        with_pin: bool = True,
    ) -> None:
        self.scenario = scenario
        self._file = StateFile(state_file) if isinstance(state_file, Path) else state_file
        self.ports: tuple[int, ...] = ()
        saved = None if self._file is None else _read(self._file, scenario, seed)
        simulations = _new_simulations(scenario, seed) if saved is None else saved.simulations
        devices = tuple(map(_make_device, scenario.devices, simulations, strict=True))
        _check_addresses(device.address for device in devices)
        if saved is not None:
            saved.restore_radios(devices)
        plans = _plans(scenario, devices, with_pin=with_pin)
        _check_addresses(plan.mac for plan in plans)
        self.proxies = tuple(map(make_proxy, plans))
        slots = SharedSlots(self.proxies)
        self.stations = tuple(
            _wire(number, simulation, device, spec, slots)
            for number, (simulation, device, spec) in enumerate(
                zip(simulations, devices, scenario.devices, strict=True), 1
            )
        )
        for proxy in self.proxies:
            self.give_pin(proxy, proxy.pin)
        self.drive = Drive(Clockwork(simulations, after=self._follow), speed)

    @property
    def state_file(self) -> Path | None:
        """Where the state is saved to."""
        return None if self._file is None else self._file.path

    @state_file.setter
    def state_file(self, path: Path | None) -> None:
        self._file = None if path is None else StateFile(path)

    @property
    def listening(self) -> tuple[tuple[Proxy, int], ...]:
        """The proxies that listen, with their ports."""
        return tuple(zip(self.proxies, self.ports, strict=False))

    async def start(self, port: int) -> None:
        """Let the proxies listen, the first on a port, the others after it (0 = any), and time pass.

        Raises CannotStartError; nothing listens then.
        """
        for index, proxy in enumerate(self.proxies):
            wanted = port + index if port else 0
            try:
                self.ports += (await proxy.start(HOST, wanted),)
            except (OSError, OverflowError) as error:
                await self.stop()
                raise cannot_use_port(wanted, error) from error
        self.drive.start()

    async def stop(self) -> None:
        """End everything."""
        await self.drive.stop()
        for proxy in self.proxies:
            await proxy.stop()

    def give_pin(self, proxy: Proxy, pin: str | None) -> None:
        """Give a proxy the PIN; None takes it away, together with the bonds that it has made."""
        proxy.pin = pin
        if pin is None:
            for station in self.stations:
                station.device.peripheral.bonds.discard(proxy.source)

    def save(self) -> None:
        """Save to the state file, if there is one. Raises StateFileError, which leaves the file as it was."""
        if self._file is not None:
            self._file.write({"devices": [_save(station) for station in self.stations]})

    def _follow(self) -> None:
        for station in self.stations:
            station.device.follow_supply()


def cannot_use_port(port: int, error: OSError | OverflowError) -> CannotStartError:
    """Return the error for a port that cannot be used."""
    if isinstance(error, OverflowError):
        return CannotStartError(f"Port {port} cannot be used: there is none above {HIGHEST_PORT}.")
    # asyncio puts a whole sentence where others have the short text of the error number.
    reason = os.strerror(error.errno) if error.errno else error
    return CannotStartError(f"Port {port} cannot be used: {reason}.")


# Devices


def _new_simulations(scenario: Scenario, seed: int | None) -> tuple[Simulation, ...]:
    return tuple(Simulation(scenario, seed, device=index) for index in range(len(scenario.devices)))


def _make_device(spec: DeviceSpec, simulation: Simulation) -> EmulatedDevice:
    index = simulation.device
    return EmulatedDevice(
        simulation.snapshot,
        board=simulation.bms,
        address=spec.address or DEFAULT_ADDRESS,
        name=spec.name or DEFAULT_NAME,
        key=spec.key or (int.from_bytes(DEFAULT_KEY) + index).to_bytes(KEY_LENGTH),
        pin=spec.pin or DEFAULT_PIN,
        serial_number=spec.serial_number or f"{DEFAULT_SERIAL_NUMBER[:-2]}{index + 1:02}",
        # After a restart, other content must not be sent under a nonce that was just heard.
        nonce=int(time()),
        seed=simulation.seed,
        advertises_state_of_charge=spec.advertises_state_of_charge,
        quirks=PERSONALITIES[spec.personality].radio,
    )


def _wire(number: int, simulation: Simulation, device: EmulatedDevice, spec: DeviceSpec, slots: SharedSlots) -> Station:
    registers = BmsRegisters(simulation.bms, device)
    ve_smart = VeSmartService(registers, PERSONALITIES[spec.personality].connection)
    device.make_ve_smart_server = ve_smart.serve
    return Station(
        number=number,
        simulation=simulation,
        device=device,
        registers=registers,
        ve_smart=ve_smart,
        faults=FaultBoard(simulation.bms, device.faults, slots, device.peripheral.bonds, simulation.scenario.remote),
    )


def _check_addresses(addresses: Iterable[str]) -> None:
    seen = set[str]()
    for address in addresses:
        if address in seen:
            raise CannotStartError(f"The address {address} appears twice.")
        seen.add(address)


# Proxies


def _plans(scenario: Scenario, devices: tuple[EmulatedDevice, ...], *, with_pin: bool) -> tuple[ProxyPlan, ...]:
    """Return the plans of the proxies. A scenario without proxies gets one that knows the PIN."""
    specs = scenario.proxies or (ProxySpec(name=_DEFAULT_PROXY_NAME, pin=True),)
    strengths = [spec.strengths(scenario.devices) for spec in specs]
    plans = [_plan(spec, index, devices, strengths[index]) for index, spec in enumerate(specs)]
    return tuple(plan if with_pin else replace(plan, pin=None) for plan in plans)


def _plan(spec: ProxySpec, index: int, devices: tuple[EmulatedDevice, ...], strengths: tuple[int, ...]) -> ProxyPlan:
    words = re.sub(r"[^a-z0-9]+", "-", spec.name.lower()).strip("-") or "proxy"
    mac = (_FIRST_PROXY_ADDRESS + index * _PROXY_ADDRESS_STEP).to_bytes(_ADDRESS_LENGTH).hex(":").upper()
    return ProxyPlan(
        name=f"{words}-{index + 1}",
        friendly_name=spec.name,
        mac=spec.address or mac,
        devices=devices,
        rssi={device.address: rssi for device, rssi in zip(devices, strengths, strict=True)},
        slots=spec.slots,
        # A proxy has room for one PIN, as an ESP32 has it in its configuration.
        pin=devices[0].pin if spec.pin else None,
    )


# State


def _save(station: Station) -> JsonObject:
    device = station.device
    radio = _SavedRadio(instant_readout_on=device.instant_readout_on, bonds=frozenset(device.peripheral.bonds))
    return as_json(_SavedStation(simulation=station.simulation.save_state(), radio=radio))


@dataclass(frozen=True, kw_only=True)
class _SavedRadio:
    instant_readout_on: bool
    bonds: Annotated[frozenset[str], PlainSerializer(sorted)]


@dataclass(frozen=True, kw_only=True)
class _SavedStation:
    simulation: JsonObject
    radio: _SavedRadio


@dataclass(frozen=True, kw_only=True)
class _SavedStations:
    devices: list[_SavedStation]


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """The content of a state file."""

    simulations: tuple[Simulation, ...]
    radios: tuple[_SavedRadio, ...]

    def restore_radios(self, devices: Iterable[EmulatedDevice]) -> None:
        """Restore the state of the radios."""
        for device, radio in zip(devices, self.radios, strict=True):
            device.instant_readout_on = radio.instant_readout_on
            device.peripheral.bonds.update(radio.bonds)


def _read(file: StateFile, scenario: Scenario, seed: int | None) -> _Saved | None:
    """Return what is in a state file; None if there is none."""
    try:
        return _load(read_state(file.path), scenario, seed) if file.exists() else None
    except StateFileError as error:
        raise CannotStartError(str(error)) from error
    except StateError as error:
        raise CannotStartError(f"The state file {file.path} cannot be used: {error}") from error


def _load(data: JsonObject, scenario: Scenario, seed: int | None) -> _Saved:
    saved = from_json(_SavedStations, data).devices
    if len(saved) != len(scenario.devices):
        raise StateError(f"It holds {len(saved)} devices, and the scenario has {len(scenario.devices)}.")
    for station in saved:
        _check_origin(station.simulation, scenario, seed)
    simulations = tuple(Simulation.load_state(scenario, station.simulation) for station in saved)
    if [simulation.device for simulation in simulations] != list(range(len(simulations))):
        raise StateError("Its devices are in another order.")
    if len({simulation.elapsed for simulation in simulations}) > 1:
        raise StateError("Its devices live in different times.")
    return _Saved(simulations=simulations, radios=tuple(station.radio for station in saved))


def _check_origin(state: JsonObject, scenario: Scenario, seed: int | None) -> None:
    if state.get("scenario") != scenario.name:
        raise StateError(f"It was saved by the scenario {state.get('scenario')}, not {scenario.name}.")
    if seed is not None and state.get("seed") != seed:
        raise StateError(f"It was begun with the seed {state.get('seed')}, not {seed}.")
