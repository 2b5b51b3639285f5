"""Scenarios: a bank, its BMS and the world around it, described in a YAML file that a user can copy and edit.

The models below are the sections of such a file. scenarios/README.md documents every key.
"""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    TypeAdapter,
    WrapValidator,
    model_validator,
)

from emulator.battery.layout import BankLayout
from emulator.battery.models import MODELS
from emulator.bms.bms import HIGHEST_SUPPLY
from emulator.bms.detection import detect
from emulator.bms.remote import OPEN, SWITCHED_LOOP, WIRE_LOOP, Remote, Wire
from emulator.bms.settings import LIMITS, SettingKey
from emulator.personality.table import DEFAULT, PersonalityName
from emulator.reading.sections import (
    Celsius,
    Items,
    Named,
    OneOrRange,
    Percent,
    Section,
    Text,
    WordOr,
    YesOrNo,
    check_known,
    matching,
    one_of,
    problem,
)
from emulator.reading.values import number, should_be, wanted, whole_number
from emulator.reading.yaml_reader import ScenarioError, read_yaml
from emulator.world.spec import SYSTEM_VOLTAGE, WorldSpec

FOLDER: Final = Path(__file__).parent / "scenarios"
SUFFIX: Final = ".yaml"

MOST_BATTERIES: Final = 100  # more than a bank may have, so that the BMS can report it
# % of the nominal capacity.
LOWEST_CAPACITY: Final = 50.0
HIGHEST_CAPACITY: Final = 110.0
DEFAULT_SLOTS: Final = 3
DEFAULT_RSSI: Final = -60

type Model = Annotated[str, one_of(MODELS)]
type HowMany = Annotated[int, whole_number(1, MOST_BATTERIES)]
type Address = Annotated[
    str,
    matching(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", "a Bluetooth address such as C0:3A:5E:00:00:01"),
    AfterValidator(str.upper),
]
type Key = Annotated[bytes, BeforeValidator(bytes.fromhex), matching(r"[0-9a-fA-F]{32}", "32 hexadecimal digits")]
type Pin = Annotated[str, matching(r"\d{6}", "six digits")]
type Seed = Annotated[int, whole_number(0, 2**63 - 1)]
type SerialNumber = Annotated[str, matching(r"[0-9A-Z]{1,32}", "capital letters and digits")]
type Rssi = Annotated[int, whole_number(-127, 20)]


# Bank and settings


class BatterySpec(Section):
    """How one battery differs from the others; None = it does not."""

    serial_number: SerialNumber | None = None
    firmware_version: Annotated[str, matching(r"v\d{1,2}\.\d{2}", "a version such as v1.02")] | None = None
    state_of_charge: Percent | None = None
    temperature: Celsius | None = None
    unplugged: YesOrNo = False


class BankSpec(Section):
    """A bank. state_of_charge in %; temperature in °C, None = that around it. capacity: in % of the nominal one.

    batteries: how some batteries differ from the others, by number from 1.
    """

    state_of_charge: Percent
    state_of_charge_known: YesOrNo = True
    temperature: Celsius | None = None
    capacity: OneOrRange[Annotated[float, number(LOWEST_CAPACITY, HIGHEST_CAPACITY)]] = 100.0
    batteries: Named[str, BatterySpec] = Field(default_factory=dict)

    @property
    def layout(self) -> BankLayout:
        """The arrangement of its batteries."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _has_these_batteries(self) -> Self:
        count = len(self.layout.batteries)
        numbers = [str(number) for number in range(1, count + 1)]
        for battery in self.batteries:
            if battery not in numbers:
                raise should_be(f"a whole number from 1 to {count}", "batteries", battery, "[key]")
        return self


class _OneModel(Section):
    model: Model
    series: HowMany = 1
    parallel: HowMany = 1

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        count = self.series * self.parallel
        if count > MOST_BATTERIES:
            raise problem(f"{count} batteries are more than this emulator takes ({MOST_BATTERIES})")
        return self


class BankOfOneModel(BankSpec, _OneModel):
    """A bank whose batteries are all alike."""

    @property
    def layout(self) -> BankLayout:
        """The arrangement of its batteries."""
        return BankLayout.of(self.model, series=self.series, parallel=self.parallel)


def _checked(strings: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    if not strings or not all(strings) or sum(map(len, strings)) > MOST_BATTERIES:
        raise should_be(f"strings of at least one battery, and at most {MOST_BATTERIES} in all")
    return strings


class _Strings(Section):
    strings: Annotated[Items[Items[Model]], AfterValidator(_checked)]


class BankOfStrings(BankSpec, _Strings):
    """A bank of any strings, also of invalid ones, which the BMS reports."""

    @property
    def layout(self) -> BankLayout:
        """The arrangement of its batteries."""
        return BankLayout(strings=tuple(tuple(MODELS[model] for model in string) for string in self.strings))


type AnyBank = Annotated[
    Annotated[BankOfStrings, Tag("(strings)")] | Annotated[BankOfOneModel, Tag("(model)")],
    Discriminator(lambda content: "(strings)" if isinstance(content, dict) and "strings" in content else "(model)"),
]


def _setting(key: SettingKey) -> WrapValidator:
    return number(LIMITS[key].minimum, LIMITS[key].maximum)


class SettingsSpec(Section):
    """The settings of the BMS that differ from its defaults."""

    charged_voltage: Annotated[float, _setting(SettingKey.CHARGED_VOLTAGE)] | None = None
    tail_current: Annotated[float, _setting(SettingKey.TAIL_CURRENT)] | None = None
    charged_detection_time: Annotated[float, _setting(SettingKey.CHARGED_DETECTION_TIME)] | None = None
    low_soc_warning: Annotated[float, _setting(SettingKey.LOW_SOC_WARNING)] | None = None
    discharge_floor: Annotated[float, _setting(SettingKey.DISCHARGE_FLOOR)] | None = None
    pre_alarm_cell_voltage: Annotated[float, _setting(SettingKey.PRE_ALARM_CELL_VOLTAGE)] | None = None

    def values(self) -> tuple[tuple[SettingKey, float], ...]:
        """Return the settings that are given, with their keys."""
        given = ((key, getattr(self, key.value)) for key in SettingKey)
        return tuple((key, value) for key, value in given if value is not None)


# Remote terminals

REMOTES: Final = {"on": WIRE_LOOP, "loop": WIRE_LOOP, "switch": SWITCHED_LOOP, "off": OPEN}

_WORD: Final = TypeAdapter[str](Annotated[str, one_of(REMOTES)])

type _Terminal = Annotated[
    Wire | Annotated[float, number(0, HIGHEST_SUPPLY)],
    wanted(f"{', '.join(Wire)}, or a voltage from 0 to {HIGHEST_SUPPLY:g}"),
]


class _RemoteSection(Section):
    """What is at each of the remote terminals."""

    loop: YesOrNo = False
    low: _Terminal | None = Field(None, alias="l")
    high: _Terminal | None = Field(None, alias="h")
    switch: YesOrNo | None = None


def _remote(content: object) -> Remote:
    """Return what is connected to the remote terminals, from one word or from a section."""
    if isinstance(content, str):
        return REMOTES[_WORD.validate_python(content)]
    read = _RemoteSection.model_validate(content)
    return Remote(joined=read.loop, l_voltage=read.low, h_voltage=read.high, switch=read.switch)


# Bluetooth


class DeviceSpec(Section):
    """A device over Bluetooth: who it is, and how it behaves. None = the default of the emulator."""

    address: Address | None = None
    name: Text | None = None
    key: Key | None = None
    pin: Pin | None = None
    serial_number: SerialNumber | None = None
    personality: PersonalityName = DEFAULT
    advertises_state_of_charge: YesOrNo = True


class ProxySpec(Section):
    """A Bluetooth proxy. rssi: signal strength in dBm, the same for all devices or by their names."""

    name: Text
    address: Address | None = None
    rssi: WordOr[Rssi, Named[str, Rssi]] = DEFAULT_RSSI
    slots: Annotated[int, whole_number(0, 20)] = DEFAULT_SLOTS
    pin: YesOrNo = False

    def strengths(self, devices: Iterable[DeviceSpec]) -> tuple[int, ...]:
        """Return the signal strength of every device in dBm."""
        rssi = self.rssi
        return tuple(rssi if isinstance(rssi, int) else rssi.get(device.name or "", DEFAULT_RSSI) for device in devices)


# All of it


class Scenario(WorldSpec):
    """A scenario. Every device has a bank and a world of its own, built alike."""

    description: Text = ""
    seed: Seed = 1
    bank: AnyBank
    settings: SettingsSpec = SettingsSpec()
    remote: Annotated[Remote, PlainValidator(_remote)] = WIRE_LOOP
    devices: Annotated[Items[DeviceSpec], AfterValidator(lambda devices: devices or (DeviceSpec(),))] = (DeviceSpec(),)
    proxies: Items[ProxySpec] = ()
    name: str = Field("", init=False)

    @property
    def remote_on(self) -> bool:
        """Whether the remote terminals switch the system on."""
        return self.remote.is_on(self.system_voltage)

    @property
    def system_voltage(self) -> int:
        """The system voltage in V; a bank that has none counts as a 12 V system."""
        return detect(self.bank.layout).system_voltage or SYSTEM_VOLTAGE

    @property
    def bank_temperature(self) -> float:
        """The temperature of the bank at the start, in °C."""
        begins = timedelta(hours=self.start.hour, minutes=self.start.minute, seconds=self.start.second)
        around = self.curve.value(begins.total_seconds())
        return around if self.bank.temperature is None else self.bank.temperature

    @model_validator(mode="after")
    def _fits_the_system_voltage(self) -> Self:
        self.check_voltages(self.system_voltage / SYSTEM_VOLTAGE)
        return self

    @model_validator(mode="after")
    def _devices_are_told_apart(self) -> Self:
        for word in ("address", "name"):
            values = [getattr(device, word) for device in self.devices]
            if len(values) > 1 and (None in values or len(set(values)) < len(values)):
                raise problem(f"each of several devices needs a different {word}", "devices")
        return self

    @model_validator(mode="after")
    def _proxies_are_told_apart(self) -> Self:
        if len({proxy.name for proxy in self.proxies}) < len(self.proxies):
            raise problem("each proxy needs a different name", "proxies")
        return self

    @model_validator(mode="after")
    def _proxies_hear_known_devices(self) -> Self:
        names = [device.name or "" for device in self.devices]
        for index, proxy in enumerate(self.proxies):
            if isinstance(proxy.rssi, dict):
                check_known(proxy.rssi, names, "proxies", index, "rssi")
        return self


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
        raise ScenarioError(f"{path} is not text in UTF-8.") from error
    return parse_scenario(content, name=path.stem, file=path.name)


def parse_scenario(content: str, *, name: str, file: str) -> Scenario:
    """Return a scenario from its text. Raises ScenarioError."""
    return read_yaml(content, file, Scenario).model_copy(update={"name": name})
