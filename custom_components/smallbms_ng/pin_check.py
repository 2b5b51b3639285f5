"""Does a PIN open a device? Asked of the live device, before anything is stored; it tells its key on the occasion.

What takes a PIN makes bonds and removes them: call it only when a person has just submitted a form. What runs by itself
uses a bond that there is.
"""

from collections.abc import AsyncGenerator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
import re
from typing import Final

from homeassistant.components.bluetooth import async_ble_device_from_address, async_scanner_devices_by_address
from homeassistant.core import HomeAssistant

from .client import Answer, NoAnswer, NotPaired, NotReachable, Reading, VeSmartClient
from .pairing import DeviceNotVisible, NoLocalAdapter, bonds_of_adapters, is_bonded, pair, remove_bond
from .protocol.payloads import Value
from .protocol.registers import Name, named
from .radios import Radios

_PIN: Final = re.compile(r"[0-9]{6}")
_KEY: Final = named(Name.INSTANT_READOUT_KEY)[0]
_ON: Final = named(Name.INSTANT_READOUT_ON)[0]
# Seconds. Home Assistant has every adapter listen all the time, so what is near is known by now.
_SEARCH_TIME: Final = 5


class NoPath(NotReachable):
    """No radio that can connect hears the device."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a device told of its Instant Readout. None: it does not give it."""

    key: bytes | None
    instant_readout_on: bool | None


def parse_pin(text: str) -> str:
    """Return the six digits of a PIN, however it was copied: with spaces or dashes. ValueError when it is none."""
    digits = "".join(character for character in text if not character.isspace() and character not in "-\u200b\ufeff")
    if not _PIN.fullmatch(digits):
        raise ValueError("a PIN has six digits")
    return digits


async def async_learn(hass: HomeAssistant, address: str, pin: str) -> Learned:
    """Connect to the device at this address with a PIN, and return what it tells.

    Raises a VeSmartError when the PIN is wrong or there is no connection.
    """
    async with _connection_with_pin(hass, address, pin) as client:
        return await _learn(client)


async def async_learn_by_bond(hass: HomeAssistant, address: str, paired: AbstractSet[str]) -> Learned:
    """Connect to the device at this address by a bond that there is, and return what it tells.

    The bond is that of an adapter of this machine, or of a radio among the paired, given by their sources: anybody may
    answer by another one. Raises a VeSmartError when there is no such connection.
    """
    async with _connection_by_bond(hass, address, paired) as client:
        return await _learn(client)


async def async_switch_instant_readout_on(hass: HomeAssistant, address: str, pin: str) -> None:
    """Let the device advertise its readings. Raises as async_learn does, and Refused."""
    async with _connection_with_pin(hass, address, pin) as client:
        await client.write(client.main_instance, _ON, value=True)


async def _learn(client: VeSmartClient) -> Learned:
    answers = await client.read(client.main_instance, (_KEY.id, _ON.id))
    key, instant_readout_on = _value(answers, _KEY.id), _value(answers, _ON.id)
    return Learned(
        key=key if isinstance(key, bytes) else None,
        instant_readout_on=instant_readout_on if isinstance(instant_readout_on, bool) else None,
    )


@asynccontextmanager
async def _connection_with_pin(hass: HomeAssistant, address: str, pin: str) -> AsyncGenerator[VeSmartClient]:
    async with _client(hass, address, Radios()) as client:
        await _connect(client, address, pin)
        yield client


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
    radios = Radios(unpaired=heard - trusted)
    async with _client(hass, address, radios) as client:
        await client.connect()
        if radios.paired.isdisjoint(trusted):
            raise NotPaired("connected by a radio that is not known to have a bond")
        yield client


@asynccontextmanager
async def _client(hass: HomeAssistant, address: str, radios: Radios) -> AsyncGenerator[VeSmartClient]:
    """Give a client that is not connected yet, and end its connection afterwards."""
    get_device = partial(async_ble_device_from_address, hass, address, connectable=True)
    if get_device() is None:
        raise NoPath("no radio that can connect hears the device")
    client = VeSmartClient(get_device, radios=radios)
    try:
        yield client
    finally:
        await client.disconnect()


async def _connect(client: VeSmartClient, address: str, pin: str) -> None:
    """Connect by a bond, which is made first if an adapter of this machine can."""
    bonded_before = await is_bonded(address)
    obstacle = None if bonded_before else await _bond(address, pin)
    try:
        await client.connect()
    except NoAnswer:
        raise
    except NotPaired as error:
        # Without a bond of this machine, that of a proxy would have done.
        if obstacle:
            raise obstacle from error
        if not bonded_before:
            raise
        await _bond_anew(address, pin)
        await client.connect()


async def _bond(address: str, pin: str) -> NoLocalAdapter | DeviceNotVisible | None:
    """Make a bond; return why no adapter of this machine can, if so. Raises a VeSmartError when one could."""
    try:
        await pair(address, pin, search_time=_SEARCH_TIME)
    except (NoLocalAdapter, DeviceNotVisible) as error:
        return error
    return None


async def _bond_anew(address: str, pin: str) -> None:
    """Replace a bond that the device knows nothing of any more."""
    await remove_bond(address)
    await pair(address, pin)


def _value(answers: Mapping[int, Answer], register: int) -> Value:
    answer = answers[register]
    return answer.value if isinstance(answer, Reading) else None
