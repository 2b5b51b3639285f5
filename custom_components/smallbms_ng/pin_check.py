"""Does a PIN open a device? Asked of the live device, before anything is stored; it tells its key on the occasion."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
import re
from typing import Final

from homeassistant.components.bluetooth import async_ble_device_from_address
from homeassistant.core import HomeAssistant

from .client import Answer, NoAnswer, NotPaired, NotReachable, Reading, VeSmartClient
from .pairing import DeviceNotVisible, NoLocalAdapter, is_bonded, pair, remove_bond
from .protocol.payloads import Value
from .protocol.registers import Name, named

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
    async with _connection(hass, address, pin) as client:
        answers = await client.read(client.main_instance, (_KEY.id, _ON.id))
    key, instant_readout_on = _value(answers, _KEY.id), _value(answers, _ON.id)
    return Learned(
        key=key if isinstance(key, bytes) else None,
        instant_readout_on=instant_readout_on if isinstance(instant_readout_on, bool) else None,
    )


async def async_switch_instant_readout_on(hass: HomeAssistant, address: str, pin: str) -> None:
    """Let the device advertise its readings. Raises as async_learn does, and Refused."""
    async with _connection(hass, address, pin) as client:
        await client.write(client.main_instance, _ON, value=True)


@asynccontextmanager
async def _connection(hass: HomeAssistant, address: str, pin: str) -> AsyncGenerator[VeSmartClient]:
    get_device = partial(async_ble_device_from_address, hass, address, connectable=True)
    if get_device() is None:
        raise NoPath("no radio that can connect hears the device")
    client = VeSmartClient(get_device)
    try:
        await _connect(client, address, pin)
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
