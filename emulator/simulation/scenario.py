"""Scenarios: a bank, its BMS and the world around it, described in a YAML file that a user can copy and edit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from emulator.battery.layout import BankLayout
from emulator.bms.detection import detect
from emulator.bms.remote import Remote
from emulator.bms.settings import SettingKey
from emulator.reading.yaml_reader import ScenarioError, read_yaml
from emulator.simulation.sections import (
    REMOTES,
    BankSection,
    BatterySpec,
    DeviceSpec,
    ProxySection,
    ScenarioSection,
)
from emulator.world.schedule import DailyCurve
from emulator.world.spec import SYSTEM_VOLTAGE, WorldSpec

FOLDER: Final = Path(__file__).parent / "scenarios"
SUFFIX: Final = ".yaml"


@dataclass(frozen=True, kw_only=True)
class BankSpec:
    """The bank: state of charge in %, temperature in °C, and the batteries (by number from 0) that are different."""

    layout: BankLayout
    state_of_charge: float
    state_of_charge_known: bool
    temperature: float
    batteries: dict[int, BatterySpec]


@dataclass(frozen=True, kw_only=True)
class ProxySpec:
    """A Bluetooth proxy: dBm at which the devices arrive, in their order; pin: whether it knows their PIN."""

    name: str
    address: str | None
    rssi: tuple[int, ...]
    slots: int
    pin: bool


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A scenario. Every device has a bank and a world of its own, built alike."""

    name: str
    description: str
    seed: int
    start: datetime
    bank: BankSpec
    settings: tuple[tuple[SettingKey, float], ...]
    remote: Remote
    world: WorldSpec
    devices: tuple[DeviceSpec, ...]
    proxies: tuple[ProxySpec, ...]

    @property
    def remote_on(self) -> bool:
        """Whether the remote terminals switch the system on."""
        return self.remote.is_on(self.system_voltage)

    @property
    def system_voltage(self) -> int:
        """The system voltage in V; a bank that has none counts as a 12 V system."""
        return detect(self.bank.layout).system_voltage or SYSTEM_VOLTAGE


def names() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the emulator."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}")))


def load(name_or_path: str) -> Scenario:
    """Return a scenario by its name, or from a file. Raises ScenarioError."""
    if name_or_path in names():
        return read(FOLDER / f"{name_or_path}{SUFFIX}")
    path = Path(name_or_path)
    if path.suffix not in (SUFFIX, ".yml") and not path.exists():
        raise ScenarioError(
            f"There is no scenario {name_or_path!r}; there are {', '.join(names())}, or the path of a file."
        )
    return read(path)


def read(path: Path) -> Scenario:
    """Return a scenario from a file. Raises ScenarioError."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path} is no text in UTF-8.") from error
    return parse_scenario(content, name=path.stem, file=path.name)


def parse_scenario(content: str, *, name: str, file: str) -> Scenario:
    """Return a scenario from its text. Raises ScenarioError."""
    return read_yaml(content, file, ScenarioSection, lambda section: _scenario(section, name))


def _scenario(section: ScenarioSection, name: str) -> Scenario:
    """Return the scenario that a file describes."""
    temperature = DailyCurve.through(section.temperature.items())
    system_voltage = detect(section.bank.layout).system_voltage or SYSTEM_VOLTAGE
    devices = section.devices or (DeviceSpec(),)
    return Scenario(
        name=name,
        description=section.description,
        seed=section.seed,
        start=section.start,
        bank=_bank(section.bank, temperature.value(_seconds_of_day(section.start))),
        settings=section.settings.values(),
        remote=REMOTES[section.remote] if isinstance(section.remote, str) else section.remote.remote(),
        world=section.world(start=section.start, temperature=temperature, system_voltage=system_voltage),
        devices=devices,
        proxies=tuple(_proxy(proxy, devices) for proxy in section.proxies),
    )


def _seconds_of_day(moment: datetime) -> float:
    return timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second).total_seconds()


def _bank(section: BankSection, temperature: float) -> BankSpec:
    return BankSpec(
        layout=section.layout,
        state_of_charge=section.state_of_charge,
        state_of_charge_known=section.state_of_charge_known,
        temperature=temperature if section.temperature is None else section.temperature,
        batteries={int(number) - 1: battery for number, battery in section.batteries.items()},
    )


def _proxy(section: ProxySection, devices: tuple[DeviceSpec, ...]) -> ProxySpec:
    return ProxySpec(
        name=section.name,
        address=section.address,
        rssi=section.strengths(devices),
        slots=section.slots,
        pin=section.pin,
    )
