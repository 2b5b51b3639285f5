"""Scenarios: a bank, its BMS and the world around it, described in a YAML file that a user can copy and edit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from emulator.battery.layout import BankLayout
from emulator.battery.models import MODELS, BatteryModel
from emulator.bms.bms import HIGHEST_SUPPLY
from emulator.bms.detection import detect
from emulator.bms.remote import OPEN, SWITCHED_LOOP, WIRE_LOOP, Remote, Terminal, Wire
from emulator.bms.settings import LIMITS, SettingKey
from emulator.reading.yaml_reader import (
    Fields,
    Node,
    ScenarioError,
    boolean,
    choice,
    date_time,
    matching,
    number,
    parse,
    percent,
    text,
    whole_number,
)
from emulator.world.reader import curve_of, read_world
from emulator.world.schedule import DailyCurve
from emulator.world.spec import SYSTEM_VOLTAGE, WorldSpec

FOLDER: Final = Path(__file__).parent / "scenarios"
SUFFIX: Final = ".yaml"

MOST_BATTERIES: Final = 100  # more than any bank may have, so that the BMS can complain
# The years for which the position of the sun is good.
FIRST_YEAR: Final = 1950
LAST_YEAR: Final = 2050
DEFAULT_TEMPERATURE: Final = 20.0  # °C
DEFAULT_SLOTS: Final = 3
DEFAULT_RSSI: Final = -60

_ADDRESS: Final = matching(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", "a Bluetooth address such as C0:3A:5E:00:00:01")
_KEY: Final = matching(r"[0-9a-fA-F]{32}", "32 hexadecimal digits")
_PIN: Final = matching(r"\d{6}", "six digits")
_SERIAL_NUMBER: Final = matching(r"[0-9A-Z]{1,32}", "capital letters and digits")
_FIRMWARE_VERSION: Final = matching(r"v\d{1,2}\.\d{2}", "a version such as v1.02")

_celsius: Final = number(-40, 80)
_rssi: Final = whole_number(-127, 20)


@dataclass(frozen=True, kw_only=True)
class BatterySpec:
    """What is different about one battery; None = as the others, or made up."""

    serial_number: str | None = None
    firmware_version: str | None = None
    state_of_charge: float | None = None
    temperature: float | None = None
    unplugged: bool = False


@dataclass(frozen=True, kw_only=True)
class BankSpec:
    """The bank: state of charge in %, temperature in °C, and the batteries (by number from 0) that are different."""

    layout: BankLayout
    state_of_charge: float
    state_of_charge_known: bool
    temperature: float
    batteries: dict[int, BatterySpec]


@dataclass(frozen=True, kw_only=True)
class DeviceSpec:
    """Who a device is over Bluetooth, and what it advertises; None = what the emulator has as default."""

    address: str | None = None
    name: str | None = None
    key: bytes | None = None
    pin: str | None = None
    serial_number: str | None = None
    advertises_state_of_charge: bool = True


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
    fields = parse(content, file).fields()
    start = fields.need("start", _start)
    temperature = fields.get("temperature", curve_of(_celsius), DailyCurve.through([(0.0, DEFAULT_TEMPERATURE)]))
    bank = fields.need("bank", lambda node: _bank(node, temperature.value(_seconds_of_day(start))))
    devices = _devices(fields)
    scenario = Scenario(
        name=name,
        description=fields.get("description", text, ""),
        seed=fields.get("seed", whole_number(0, 2**63 - 1), 1),
        start=start,
        bank=bank,
        settings=fields.get("settings", _settings, ()),
        remote=fields.get("remote", _remote, WIRE_LOOP),
        world=read_world(fields, start, temperature, (detect(bank.layout).system_voltage or SYSTEM_VOLTAGE)),
        devices=devices,
        proxies=_proxies(fields, devices),
    )
    fields.done()
    return scenario


def _start(node: Node) -> datetime:
    start = date_time(node)
    if not FIRST_YEAR <= start.year < LAST_YEAR:
        raise node.wrong(f"in the years from {FIRST_YEAR} to {LAST_YEAR - 1}")
    return start


def _seconds_of_day(moment: datetime) -> float:
    return timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second).total_seconds()


# Bank and settings


def _bank(node: Node, temperature: float) -> BankSpec:
    fields = node.fields()
    layout = _strings(fields) if fields.has("strings") else _uniform(fields)
    bank = BankSpec(
        layout=layout,
        state_of_charge=fields.need("state_of_charge", percent),
        state_of_charge_known=fields.get("state_of_charge_known", boolean, default=True),
        temperature=fields.get("temperature", _celsius, temperature),
        batteries=fields.get("batteries", lambda batteries: _batteries(batteries, len(layout.batteries)), {}),
    )
    fields.done()
    return bank


def _uniform(fields: Fields) -> BankLayout:
    model = fields.need("model", choice(MODELS))
    series = fields.get("series", whole_number(1, MOST_BATTERIES), 1)
    parallel = fields.get("parallel", whole_number(1, MOST_BATTERIES), 1)
    if series * parallel > MOST_BATTERIES:
        raise fields.node.error(f"{series * parallel} batteries are more than this emulator takes ({MOST_BATTERIES})")
    return BankLayout.of(model, series=series, parallel=parallel)


def _strings(fields: Fields) -> BankLayout:
    strings = fields.list("strings", _string)
    count = sum(map(len, strings))
    if not strings or not all(strings) or count > MOST_BATTERIES:
        raise fields.at("strings").wrong(f"strings of at least one battery, and at most {MOST_BATTERIES} in all")
    return BankLayout(strings=strings)


def _string(node: Node) -> tuple[BatteryModel, ...]:
    return tuple(MODELS[choice(MODELS)(item)] for item in node.items())


def _batteries(node: Node, count: int) -> dict[int, BatterySpec]:
    numbered = whole_number(1, count)
    return {numbered(key) - 1: _battery(value) for key, value in node.pairs()}


def _battery(node: Node) -> BatterySpec:
    fields = node.fields()
    battery = BatterySpec(
        serial_number=fields.get("serial_number", _SERIAL_NUMBER, None),
        firmware_version=fields.get("firmware_version", _FIRMWARE_VERSION, None),
        state_of_charge=fields.get("state_of_charge", percent, None),
        temperature=fields.get("temperature", _celsius, None),
        unplugged=fields.get("unplugged", boolean, False),
    )
    fields.done()
    return battery


def _settings(node: Node) -> tuple[tuple[SettingKey, float], ...]:
    fields = node.fields()
    readers = {key: number(limits.minimum, limits.maximum) for key, limits in LIMITS.items()}
    values = [(key, fields.get(key.value, reader, None)) for key, reader in readers.items()]
    fields.done()
    return tuple((key, value) for key, value in values if value is not None)


# Remote terminals

_REMOTES: Final = {"on": WIRE_LOOP, "loop": WIRE_LOOP, "switch": SWITCHED_LOOP, "off": OPEN}


def _remote(node: Node) -> Remote:
    """Read what is connected to the remote terminals: a word for all of it, or what is at each of them."""
    if node.is_scalar:
        return _REMOTES[choice(_REMOTES)(node)]
    fields = node.fields()
    remote = Remote(
        joined=fields.get("loop", boolean, default=False),
        l_voltage=fields.get("l", _terminal, None),
        h_voltage=fields.get("h", _terminal, None),
        switch=fields.get("switch", boolean, None),
    )
    fields.done()
    return remote


def _terminal(node: Node) -> Terminal:
    if node.text in Wire:
        return Wire(node.text)
    try:
        return number(0, HIGHEST_SUPPLY)(node)
    except ScenarioError as error:
        raise node.wrong(f"{', '.join(Wire)}, or a voltage from 0 to {HIGHEST_SUPPLY:g}") from error


# Bluetooth


def _devices(fields: Fields) -> tuple[DeviceSpec, ...]:
    devices = fields.list("devices", _device)
    for word, values in (
        ("address", [device.address for device in devices]),
        ("name", [device.name for device in devices]),
    ):
        if len(devices) > 1 and (None in values or len(set(values)) < len(values)):
            raise fields.at("devices").error(f"each of several devices needs a different {word}")
    return devices or (DeviceSpec(),)


def _device(node: Node) -> DeviceSpec:
    fields = node.fields()
    device = DeviceSpec(
        address=fields.get("address", _address, None),
        name=fields.get("name", text, None),
        key=fields.get("key", lambda key: bytes.fromhex(_KEY(key)), None),
        pin=fields.get("pin", _PIN, None),
        serial_number=fields.get("serial_number", _SERIAL_NUMBER, None),
        advertises_state_of_charge=fields.get("advertises_state_of_charge", boolean, True),
    )
    fields.done()
    return device


def _address(node: Node) -> str:
    return _ADDRESS(node).upper()


def _proxies(fields: Fields, devices: tuple[DeviceSpec, ...]) -> tuple[ProxySpec, ...]:
    proxies = fields.list("proxies", lambda node: _proxy(node, devices))
    names_of = [proxy.name for proxy in proxies]
    if len(set(names_of)) < len(names_of):
        raise fields.at("proxies").error("each proxy needs a different name")
    return proxies


def _proxy(node: Node, devices: tuple[DeviceSpec, ...]) -> ProxySpec:
    fields = node.fields()
    proxy = ProxySpec(
        name=fields.need("name", text),
        address=fields.get("address", _address, None),
        rssi=fields.get("rssi", lambda rssi: _strengths(rssi, devices), (DEFAULT_RSSI,) * len(devices)),
        slots=fields.get("slots", whole_number(0, 20), DEFAULT_SLOTS),
        pin=fields.get("pin", boolean, default=False),
    )
    fields.done()
    return proxy


def _strengths(node: Node, devices: tuple[DeviceSpec, ...]) -> tuple[int, ...]:
    """Read one strength for all devices, or strengths by the names of devices."""
    if node.is_scalar:
        return (_rssi(node),) * len(devices)
    fields = node.fields()
    strengths = tuple(fields.get(device.name or "", _rssi, DEFAULT_RSSI) for device in devices)
    fields.done()
    return strengths
