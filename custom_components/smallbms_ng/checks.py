"""Checks a key or a PIN with the live device, before anything is stored."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
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
from .connection.recorder import Recorder
from .protocol.advertisement import COMPANY_ID, ImplausibleRecord, InstantReadout, InstantReadoutError, WrongKey
from .protocol.payloads import Value
from .protocol.registers import Name, named
from .recording import async_recording_of
from .shared_connection import async_way_to

# Seconds to wait for a second record. If none comes, one is enough: an idle battery repeats its record.
WAIT_FOR_RECORDS: Final = 5
# One wrong key in 256 matches a single record, whose values may even look plausible.
RECORDS_WANTED: Final = 2


class NotHeard(Exception):
    """No record of the device was received during the check."""


def data_of(service_info: BluetoothServiceInfoBleak) -> bytes:
    """Return Victron's manufacturer data in an advertisement; empty if it has none."""
    return service_info.manufacturer_data.get(COMPANY_ID, b"")


class _Verdict:
    """What records say about a key. The latest one decides: an older one may predate a change of the key."""

    def __init__(self, key: bytes) -> None:
        self._decoder = InstantReadout(key)
        self._outcomes: dict[bytes, InstantReadoutError | None] = {}

    def hear(self, service_info: BluetoothServiceInfoBleak) -> bool:
        """Take an advertisement; return whether enough records agree."""
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
        """Return if the key is right. Raises NotHeard, WrongKey or ImplausibleRecord."""
        if not self._outcomes:
            raise NotHeard
        if error := list(self._outcomes.values())[-1]:
            raise error


async def async_check_key(hass: HomeAssistant, address: str, key: bytes) -> None:
    """Return if the key decrypts the advertisements of this address. Raises NotHeard, WrongKey or ImplausibleRecord."""
    verdict = _Verdict(key)
    matcher = BluetoothCallbackMatcher(address=address, connectable=False)
    with suppress(TimeoutError):
        await async_process_advertisements(hass, verdict.hear, matcher, BluetoothScanningMode.ACTIVE, WAIT_FOR_RECORDS)
    verdict.give()


_PIN: Final = re.compile(r"[0-9]{6}")
_KEY: Final = named(Name.INSTANT_READOUT_KEY)[0]
_ON: Final = named(Name.INSTANT_READOUT_ON)[0]
_PRODUCT_ID: Final = named(Name.PRODUCT_ID)[0]
# Seconds. A short search is enough: Home Assistant keeps every adapter scanning, so nearby devices are known.
_SEARCH_TIME: Final = 5


class NoPath(NotReachable):
    """No radio that can connect hears the device."""


class NoAdapterAtAll(NoLocalAdapter):
    """BlueZ knows no adapter on this machine, whether on or off."""


class NotBluez(NoLocalAdapter):
    """BlueZ, which alone can enter a PIN, drives none of the local adapters near the device; adapters names them."""


class AccessProof(StrEnum):
    """What gave access to the device; only PIN means that the PIN itself was checked."""

    PIN = "pin"
    BOND = "already_paired"
    PROXY = "paired_by_proxy"


@dataclass(frozen=True, kw_only=True)
class InstantReadoutInfo:
    """What a device reports about its Instant Readout, and how it was reached.

    key, instant_readout_on, product_id: None if the device does not give it. proxy: its name; empty if none was used.
    """

    key: bytes | None
    instant_readout_on: bool | None
    product_id: int | None
    proof: AccessProof
    proxy: str


def parse_pin(text: str) -> str:
    """Return the six digits of a PIN, without spaces and dashes. Raises ValueError if there are not six."""
    digits = "".join(character for character in text if not character.isspace() and character not in "-\u200b\ufeff")
    if not _PIN.fullmatch(digits):
        raise ValueError("a PIN has six digits")
    return digits


type OnConnected = Callable[[VeSmartClient], Awaitable[None]]
"""Called with the client as soon as it is connected, before anything is read or written. May raise VeSmartError."""


async def go_on(_client: VeSmartClient) -> None:
    """Do nothing more once a client is connected."""


async def async_read_key(
    hass: HomeAssistant, address: str, pin: str | None, *, on_connected: OnConnected = go_on
) -> InstantReadoutInfo:
    """Return the key and state of Instant Readout, read over a connection.

    Without a PIN, connects over a proxy that has it. Raises a VeSmartError if the PIN is wrong or connecting fails.
    """
    preference = AdapterPreference()
    async with _client(hass, address, preference) as client:
        checked = await _connect(hass, client, address, pin)
        await on_connected(client)
        return await _learn(client, _proof(preference, checked=checked), preference.proxy or "")


def is_near_proxy(hass: HomeAssistant, address: str) -> bool:
    """Return whether a proxy that can connect hears the device."""
    paths = async_scanner_devices_by_address(hass, address, connectable=True)
    return any(isinstance(path.scanner, BaseHaRemoteScanner) for path in paths)


async def async_read_key_by_bond(
    hass: HomeAssistant, address: str, paired: AbstractSet[str], *, on_connected: OnConnected = go_on
) -> InstantReadoutInfo:
    """Return the key and state of Instant Readout, read over a connection that uses an existing bond.

    Only a local adapter with a bond, or a radio in paired (sources), is trusted: over any other radio another device
    may answer. Raises a VeSmartError if there is no such connection.
    """
    async with _connection_by_bond(hass, address, paired) as client:
        await on_connected(client)
        return await _learn(client, AccessProof.BOND)


async def async_switch_instant_readout_on(
    hass: HomeAssistant, address: str, pin: str | None, *, on_connected: OnConnected = go_on
) -> None:
    """Switch the Instant Readout of the device on. Raises the errors of async_read_key, and Refused."""
    async with _client(hass, address, AdapterPreference()) as client:
        await _connect(hass, client, address, pin)
        await on_connected(client)
        await client.write(client.main_instance, _ON, value=True)


def _proof(preference: AdapterPreference, *, checked: bool) -> AccessProof:
    if checked:
        return AccessProof.PIN
    return AccessProof.PROXY if preference.requests_encryption else AccessProof.BOND


async def _learn(client: VeSmartClient, proof: AccessProof, proxy: str = "") -> InstantReadoutInfo:
    answers = await client.read(client.main_instance, (_KEY.id, _ON.id, _PRODUCT_ID.id))
    key, instant_readout_on, product = (_value(answers, row.id) for row in (_KEY, _ON, _PRODUCT_ID))
    product_id = product.get("product_id") if isinstance(product, Mapping) else None
    return InstantReadoutInfo(
        key=key if isinstance(key, bytes) else None,
        instant_readout_on=instant_readout_on if isinstance(instant_readout_on, bool) else None,
        product_id=product_id if isinstance(product_id, int) else None,
        proof=proof,
        proxy=proxy,
    )


@asynccontextmanager
async def _connection_by_bond(
    hass: HomeAssistant, address: str, paired: AbstractSet[str]
) -> AsyncGenerator[VeSmartClient]:
    bonds = await bonds_of_adapters(address)
    # For a local adapter, BlueZ decides: a connection may have worked without a bond before.
    trusted = (paired - bonds.keys()) | {adapter for adapter, bonded in bonds.items() if bonded}
    heard = {one.scanner.source for one in async_scanner_devices_by_address(hass, address, connectable=True)}
    if heard.isdisjoint(trusted):
        raise NotPaired("no radio with a known bond hears the device")
    preference = AdapterPreference(unpaired=heard - trusted, may_request_encryption=False)
    async with _client(hass, address, preference) as client:
        await client.connect()
        if preference.paired.isdisjoint(trusted):
            raise NotPaired("connected over a radio without a known bond")
        yield client


@asynccontextmanager
async def _client(hass: HomeAssistant, address: str, preference: AdapterPreference) -> AsyncGenerator[VeSmartClient]:
    """Yield a client that is not connected yet; disconnect it at the end. Raises NoPath."""
    get_device = partial(async_way_to, hass, address)
    if get_device() is None:
        raise NoPath("no radio that can connect hears the device")
    client = VeSmartClient(get_device, preference=preference, recorder=_recorder(hass, address))
    try:
        yield client
    finally:
        await client.disconnect()


def _recorder(hass: HomeAssistant, address: str) -> Recorder:
    return async_recording_of(hass, address).recorder


async def _connect(hass: HomeAssistant, client: VeSmartClient, address: str, pin: str | None) -> bool:
    """Connect, pairing first if a local adapter can; return whether the PIN was checked. Raises VeSmartError."""
    if pin is None:
        await client.connect()
        return False
    bonded = await bonded_adapters(address)
    renewed = await _renew_refused_bonds(hass, address, pin, bonded)
    obstacle = None if bonded else await _bond(hass, address, pin)
    try:
        await client.connect()
    except NoAnswer:
        raise
    except BondRefused as error:
        await _bond_anew(hass, address, pin, error.adapter)
        await client.connect()
        return True
    except NotPaired as error:
        raise _most_useful(error, obstacle) from error
    return renewed or not (bonded or obstacle)


def _most_useful(error: NotPaired, obstacle: NoLocalAdapter | DeviceNotVisible | None) -> VeSmartError:
    """Return the more useful error: why no local adapter can pair, or what a proxy lacks."""
    if isinstance(error, ProxyPinRefused):
        return error
    if isinstance(error, ProxyHasNoPin) and not obstacle:
        return NotPaired(str(error))
    if obstacle and (obstacle.adapters or not isinstance(error, ProxyHasNoPin)):
        return obstacle
    return error


async def _bond(hass: HomeAssistant, address: str, pin: str) -> NoLocalAdapter | DeviceNotVisible | None:
    """Pair; return why no local adapter can, or None once paired. Raises a VeSmartError if pairing itself fails."""
    try:
        with _recorder(hass, address).pairing():
            await pair(address, pin, search_time=_SEARCH_TIME)
    except DeviceNotVisible as error:
        return error
    except NoLocalAdapter as error:
        none = None if error.adapters else NoAdapterAtAll(str(error))
        return _closer_obstacle(hass, address) or none or error
    return None


def _closer_obstacle(hass: HomeAssistant, address: str) -> NotBluez | None:
    """Return an error if BlueZ does not drive some adapters. Raises it if no other radio hears the device."""
    paths = async_scanner_devices_by_address(hass, address, connectable=True)
    names = [path.scanner.name for path in paths if _bypasses_bluez(path)]
    if not names:
        return None
    obstacle = NotBluez("The adapters that hear the device are not driven by BlueZ", names)
    if len(names) == len(paths):
        raise obstacle
    return obstacle


def _bypasses_bluez(path: BluetoothScannerDevice) -> bool:
    """Return whether Home Assistant drives this local adapter without BlueZ."""
    return not isinstance(path.scanner, BaseHaRemoteScanner) and bluez_adapter(path.ble_device) is None


async def _renew_refused_bonds(hass: HomeAssistant, address: str, pin: str, adapters: Iterable[str]) -> bool:
    """Renew each bond that the device refuses, or may refuse; return whether there was one.

    A suspicion is enough: the user has just entered the PIN.
    """
    refused = [adapter for adapter in adapters if await bond_is_refused(address, adapter) is not False]
    for adapter in refused:
        await _bond_anew(hass, address, pin, adapter)
    return bool(refused)


async def _bond_anew(hass: HomeAssistant, address: str, pin: str, adapter: str) -> None:
    """Remove the bond of an adapter, which the device has lost, and pair again with the same adapter."""
    await remove_bond(address, adapter=adapter)
    with _recorder(hass, address).pairing():
        await pair(address, pin, adapter=adapter)


def _value(answers: Mapping[int, Answer], register: int) -> Value:
    answer = answers[register]
    return answer.value if isinstance(answer, Reading) else None
