"""Does a key read a device, or a PIN open it? Asked of the live device, before anything is stored."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
import re
from typing import Final

from homeassistant.components.bluetooth import (
    BaseHaRemoteScanner,
    BluetoothCallbackMatcher,
    BluetoothScannerDevice,
    BluetoothScanningMode,
    BluetoothServiceInfoBleak,
    async_process_advertisements,
    async_scanner_devices_by_address,
)
from homeassistant.core import HomeAssistant

from .connection.adapters import AdapterPreference, bluez_adapter
from .connection.bluez import (
    DeviceNotVisible,
    NoLocalAdapter,
    bond_is_refused,
    bonded_adapters,
    bonds_of_adapters,
    remove_bond,
)
from .connection.client import VeSmartClient
from .connection.errors import (
    BondRefused,
    NoAnswer,
    NotPaired,
    NotReachable,
    ProxyHasNoPin,
    ProxyPinRefused,
    VeSmartError,
)
from .connection.link import Answer, Reading
from .connection.pairing import pair
from .protocol.advertisement import COMPANY_ID, ImplausibleRecord, InstantReadout, InstantReadoutError, WrongKey
from .protocol.payloads import Value
from .protocol.registers import Name, named
from .shared_connection import async_way_to

# Seconds to wait for a second record. One is enough when no other comes: a quiet battery repeats itself.
WAIT_FOR_RECORDS: Final = 5
# One wrong key in 256 passes for one record, and may even look plausible once.
RECORDS_WANTED: Final = 2


class NotHeard(Exception):
    """No record of the device was received."""


def data_of(service_info: BluetoothServiceInfoBleak) -> bytes:
    """Return the manufacturer data of Victron in an advertisement; none where there is none."""
    return service_info.manufacturer_data.get(COMPANY_ID, b"")


class _Verdict:
    """What different records say about a key. The latest counts: an old one may be from before the key changed."""

    def __init__(self, key: bytes) -> None:
        self._decoder = InstantReadout(key)
        self._outcomes: dict[bytes, InstantReadoutError | None] = {}

    def hear(self, service_info: BluetoothServiceInfoBleak) -> bool:
        """Take one advertisement; return whether there are enough records that agree."""
        data = data_of(service_info)
        try:
            self._decoder.decode(data)
        except (WrongKey, ImplausibleRecord) as error:
            self._outcomes[data] = error
        except InstantReadoutError:
            return False
        else:
            self._outcomes[data] = None
        good = sum(outcome is None for outcome in self._outcomes.values())
        return max(good, len(self._outcomes) - good) >= RECORDS_WANTED

    def give(self) -> None:
        """Return when the key is good; NotHeard, WrongKey or ImplausibleRecord when it is not."""
        if not self._outcomes:
            raise NotHeard
        if error := list(self._outcomes.values())[-1]:
            raise error


async def async_check_key(hass: HomeAssistant, address: str, key: bytes) -> None:
    """Return when the key reads the device at this address; NotHeard, WrongKey or ImplausibleRecord when not."""
    verdict = _Verdict(key)
    matcher = BluetoothCallbackMatcher(address=address, connectable=False)
    with suppress(TimeoutError):
        await async_process_advertisements(hass, verdict.hear, matcher, BluetoothScanningMode.ACTIVE, WAIT_FOR_RECORDS)
    verdict.give()


_PIN: Final = re.compile(r"[0-9]{6}")
_KEY: Final = named(Name.INSTANT_READOUT_KEY)[0]
_ON: Final = named(Name.INSTANT_READOUT_ON)[0]
# Seconds. Home Assistant has every adapter listen all the time, so what is near is known by now.
_SEARCH_TIME: Final = 5


class NoPath(NotReachable):
    """No radio that can connect hears the device."""


class NoAdapterAtAll(NoLocalAdapter):
    """This machine has no adapter that BlueZ knows, on or off."""


class NotBluez(NoLocalAdapter):
    """No adapter of this machine that hears the device is BlueZ's, which alone can enter a PIN. adapters names them."""


class AccessProof(StrEnum):
    """What let us connect, and with that whether the PIN was checked."""

    PIN = "pin"
    BOND = "already_paired"
    PROXY = "paired_by_proxy"


@dataclass(frozen=True, kw_only=True)
class InstantReadoutInfo:
    """What a device told of its Instant Readout, None: it does not give it; by which proof, and over which proxy."""

    key: bytes | None
    instant_readout_on: bool | None
    proof: AccessProof
    proxy: str


def parse_pin(text: str) -> str:
    """Return the six digits of a PIN, however it was copied: with spaces or dashes. ValueError when it is none."""
    digits = "".join(character for character in text if not character.isspace() and character not in "-\u200b\ufeff")
    if not _PIN.fullmatch(digits):
        raise ValueError("a PIN has six digits")
    return digits


async def async_read_key(hass: HomeAssistant, address: str, pin: str | None) -> InstantReadoutInfo:
    """Connect to the device at this address with a PIN, or without one by a proxy that holds it; return what it tells.

    Raises a VeSmartError when the PIN is wrong or there is no connection.
    """
    radios = AdapterPreference()
    async with _client(hass, address, radios) as client:
        checked = await _connect(hass, client, address, pin)
        return await _learn(client, _proof(radios, checked=checked), radios.proxy or "")


def is_near_proxy(hass: HomeAssistant, address: str) -> bool:
    """Return whether a proxy that can connect hears the device."""
    paths = async_scanner_devices_by_address(hass, address, connectable=True)
    return any(isinstance(path.scanner, BaseHaRemoteScanner) for path in paths)


async def async_read_key_by_bond(hass: HomeAssistant, address: str, paired: AbstractSet[str]) -> InstantReadoutInfo:
    """Connect to the device at this address by a bond that there is, and return what it tells.

    The bond is that of an adapter of this machine, or of a radio among the paired, given by their sources: anybody may
    answer by another one. Raises a VeSmartError when there is no such connection.
    """
    async with _connection_by_bond(hass, address, paired) as client:
        return await _learn(client, AccessProof.BOND)


async def async_switch_instant_readout_on(hass: HomeAssistant, address: str, pin: str | None) -> None:
    """Let the device advertise its readings. Raises as async_read_key does, and Refused."""
    async with _client(hass, address, AdapterPreference()) as client:
        await _connect(hass, client, address, pin)
        await client.write(client.main_instance, _ON, value=True)


def _proof(radios: AdapterPreference, *, checked: bool) -> AccessProof:
    if checked:
        return AccessProof.PIN
    return AccessProof.PROXY if radios.asks else AccessProof.BOND


async def _learn(client: VeSmartClient, proof: AccessProof, proxy: str = "") -> InstantReadoutInfo:
    answers = await client.read(client.main_instance, (_KEY.id, _ON.id))
    key, instant_readout_on = _value(answers, _KEY.id), _value(answers, _ON.id)
    return InstantReadoutInfo(
        key=key if isinstance(key, bytes) else None,
        instant_readout_on=instant_readout_on if isinstance(instant_readout_on, bool) else None,
        proof=proof,
        proxy=proxy,
    )


@asynccontextmanager
async def _connection_by_bond(
    hass: HomeAssistant, address: str, paired: AbstractSet[str]
) -> AsyncGenerator[VeSmartClient]:
    bonds = await bonds_of_adapters(address)
    # Of an adapter of this machine BlueZ knows it, however well a connection without a bond went before.
    trusted = (paired - bonds.keys()) | {adapter for adapter, bonded in bonds.items() if bonded}
    heard = {one.scanner.source for one in async_scanner_devices_by_address(hass, address, connectable=True)}
    if heard.isdisjoint(trusted):
        raise NotPaired("no radio that is known to have a bond hears the device")
    radios = AdapterPreference(unpaired=heard - trusted, may_ask=False)
    async with _client(hass, address, radios) as client:
        await client.connect()
        if radios.paired.isdisjoint(trusted):
            raise NotPaired("connected by a radio that is not known to have a bond")
        yield client


@asynccontextmanager
async def _client(hass: HomeAssistant, address: str, radios: AdapterPreference) -> AsyncGenerator[VeSmartClient]:
    """Give a client that is not connected yet, and end its connection afterwards."""
    get_device = partial(async_way_to, hass, address)
    if get_device() is None:
        raise NoPath("no radio that can connect hears the device")
    client = VeSmartClient(get_device, radios=radios)
    try:
        yield client
    finally:
        await client.disconnect()


async def _connect(hass: HomeAssistant, client: VeSmartClient, address: str, pin: str | None) -> bool:
    """Connect by a bond, which is made first if an adapter of this machine can; return whether the PIN was checked."""
    if pin is None:
        await client.connect()
        return False
    bonded = await bonded_adapters(address)
    renewed = await _renew_refused_bonds(address, pin, bonded)
    obstacle = None if bonded else await _bond(hass, address, pin)
    try:
        await client.connect()
    except NoAnswer:
        raise
    except BondRefused as error:
        await _bond_anew(address, pin, error.adapter)
        await client.connect()
        return True
    except NotPaired as error:
        raise _most_useful(error, obstacle) from error
    return renewed or not (bonded or obstacle)


def _most_useful(error: NotPaired, obstacle: NoLocalAdapter | DeviceNotVisible | None) -> VeSmartError:
    """Return what helps most to hear: why no adapter of this machine paired, or what a proxy lacks."""
    if isinstance(error, ProxyPinRefused):
        return error
    if isinstance(error, ProxyHasNoPin) and not obstacle:
        return NotPaired(str(error))
    if obstacle and (obstacle.adapters or not isinstance(error, ProxyHasNoPin)):
        return obstacle
    return error


async def _bond(hass: HomeAssistant, address: str, pin: str) -> NoLocalAdapter | DeviceNotVisible | None:
    """Make a bond; return why no adapter of this machine can, if so. Raises a VeSmartError when one could."""
    try:
        await pair(address, pin, search_time=_SEARCH_TIME)
    except DeviceNotVisible as error:
        return error
    except NoLocalAdapter as error:
        none = None if error.adapters else NoAdapterAtAll(str(error))
        return _closer_obstacle(hass, address) or none or error
    return None


def _closer_obstacle(hass: HomeAssistant, address: str) -> NotBluez | None:
    """Return that there are adapters, but not of BlueZ. Raises that if nothing else hears the device."""
    paths = async_scanner_devices_by_address(hass, address, connectable=True)
    names = [path.scanner.name for path in paths if _bypasses_bluez(path)]
    if not names:
        return None
    obstacle = NotBluez("The adapters that hear the device are not driven by BlueZ", names)
    if len(names) == len(paths):
        raise obstacle
    return obstacle


def _bypasses_bluez(path: BluetoothScannerDevice) -> bool:
    """Return whether this is an adapter of this machine that Home Assistant drives by itself."""
    return not isinstance(path.scanner, BaseHaRemoteScanner) and bluez_adapter(path.ble_device) is None


async def _renew_refused_bonds(address: str, pin: str, adapters: Iterable[str]) -> bool:
    """Replace the bonds of these adapters that the device refuses; return whether there was one.

    A person has just entered the PIN, so what looks like it is enough.
    """
    refused = [adapter for adapter in adapters if await bond_is_refused(address, adapter) is not False]
    for adapter in refused:
        await _bond_anew(address, pin, adapter)
    return bool(refused)


async def _bond_anew(address: str, pin: str, adapter: str) -> None:
    """Replace the bond of an adapter that the device knows nothing of any more, by the same adapter."""
    await remove_bond(address, adapter=adapter)
    await pair(address, pin, adapter=adapter)


def _value(answers: Mapping[int, Answer], register: int) -> Value:
    answer = answers[register]
    return answer.value if isinstance(answer, Reading) else None
