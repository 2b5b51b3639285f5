"""The connection to one device: whose turn it is, how long it is held, and whose values come over it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from math import inf
from typing import Final

from bleak.backends.device import BLEDevice
from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_ble_device_from_address,
    async_register_advertisement_callback,
    async_scanner_devices_by_address,
)
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from . import clock
from .connection.adapters import AdapterPreference
from .connection.client import VeSmartClient
from .connection.errors import Lost, Refused, VeSmartError
from .connection.link import Timing
from .protocol.session import ReceivedValue

# A device that was not heard for longer than this was away. A radio that sleeps may wake up every five minutes only.
_LONGEST_PAUSE: Final = timedelta(minutes=6)


@callback
def async_way_to(hass: HomeAssistant, address: str) -> BLEDevice | None:
    """Return what to connect to; None while no radio that hears the device can connect."""
    # What Bluetooth remembers of the device alone may be of a proxy that is not there (yet).
    paths = async_scanner_devices_by_address(hass, address, connectable=True)
    if not paths:
        return None
    return async_ble_device_from_address(hass, address, connectable=True) or paths[0].ble_device


class Way:
    """The way to one device, by any of the radios. on_heard is called whenever one hears it that can connect."""

    def __init__(self, hass: HomeAssistant, address: str, on_heard: CALLBACK_TYPE) -> None:
        self._hass = hass
        self._address = address
        self._on_heard = on_heard
        self._known_at = clock.now()
        self._heard_at = self._known_at
        self._heard_without_since: float | None = None

    @callback
    def async_watch(self) -> CALLBACK_TYPE:
        """Follow which radios hear the device; return what ends that."""
        return async_register_advertisement_callback(self._hass, self._async_heard, self._address)

    @property
    def device(self) -> BLEDevice | None:
        """What to connect to; None while there is no way."""
        return async_way_to(self._hass, self._address)

    @property
    def missing_for(self) -> float:
        """For how many s there has been no way."""
        return 0 if self.device else clock.now() - self._known_at

    @property
    def heard_without_for(self) -> float:
        """For how many s it was heard, until it fell silent or now, but only by radios that cannot connect."""
        if self._heard_without_since is None or self.device:
            return 0
        return self._heard_at - self._heard_without_since

    @callback
    def _async_heard(self, info: BluetoothServiceInfoBleak) -> None:
        now = clock.now()
        was_away = now - self._heard_at > _LONGEST_PAUSE.total_seconds()
        self._heard_at = now
        if info.connectable:
            self._known_at, self._heard_without_since = now, None
            self._on_heard()
        elif self._heard_without_since is None or was_away:
            self._heard_without_since = now


# How often the device is looked at while a connection is held: it advertises nothing meanwhile.
_LOOKS_EVERY: Final = timedelta(seconds=1)

_CLOSED: Final = "the device is not connected to any more"


class SharedConnection:
    """One connection that several users of a device share: each has it for a session, and then it is kept open a while.

    keep_open is for how long. on_value is given each value that comes, asked for or not, with the battery that it is of
    (None: the device), as far as that is certain. on_failure is given why a session failed. on_kept_open is called
    every second while the connection is kept open, and before_end while there is still one. connections counts how
    many were begun.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        *,
        way: Way,
        radios: AdapterPreference,
        timing: Timing,
        keep_open: timedelta,
        on_value: Callable[[int | None, ReceivedValue], None],
        on_failure: Callable[[VeSmartError], None],
        on_kept_open: Callable[[VeSmartClient], Awaitable[None]],
        before_end: Callable[[], None],
    ) -> None:
        self.connected_at = inf
        self.connections = 0
        self._hass = hass
        self._entry = entry
        self._client = VeSmartClient(
            lambda: way.device, name=entry.title, timing=timing, on_value=self._received, radios=radios
        )
        self._timing = timing
        self._keep_open_for = keep_open
        self._on_value = on_value
        self._on_failure = on_failure
        self._on_kept_open = on_kept_open
        self._before_end = before_end
        # Whose values the instances of the present connection give, as far as that is sure.
        self._owners: dict[int, int | None] = {}
        self._lock = asyncio.Lock()
        self._closing: CALLBACK_TYPE | None = None
        self._held_until = -inf
        self._closed = False
        # Who has a turn, and whether it was cut short because nobody is to connect any more.
        self._session_task: asyncio.Task[object] | None = None
        self._is_cancelled = False
        # Whether somebody else has the device.
        self._is_paused = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._client.connected

    @asynccontextmanager
    async def session(self, *, keep_open: bool = False) -> AsyncGenerator[VeSmartClient]:
        """Take a turn at the connection, which is made if need be. Raises VeSmartError."""
        async with self._lock:
            if self._closed:
                raise Lost(_CLOSED)
            self._cancel_closing()
            keep = False
            self._session_task = asyncio.current_task()
            try:
                await self._connect()
                yield self._client
                keep = keep_open
            except Refused:
                keep = keep_open
                raise
            except VeSmartError as error:
                self._on_failure(error)
                raise
            except asyncio.CancelledError as error:
                if self._was_cancelled():
                    raise Lost(_CLOSED) from error
                raise
            finally:
                self._session_task = None
                await self._end_session(keep=keep)

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None]:
        """Be without a connection for a while."""
        async with self._lock:
            self._cancel_closing()
            await self._disconnect()
            self._is_paused = True
            try:
                yield
            finally:
                self._is_paused = False

    async def async_close(self) -> None:
        """End the connection for good.

        A turn that has no connection yet is cut short. One that has may finish, but soon: it may be in the middle of a
        write. Who has the device by aside is not waited for.
        """
        self._closed = True
        self._cancel_closing()
        if self._is_paused:
            return
        if not self.connected:
            self._cancel_session()
        limit = asyncio.get_running_loop().call_later(self._timing.finish, self._cancel_session)
        try:
            async with self._lock:
                await self._client.disconnect()
        finally:
            limit.cancel()

    def place(self, batteries: Mapping[int, int]) -> None:
        """Take which battery each instance is."""
        self._owners |= batteries

    def _cancel_session(self) -> None:
        """Cancel whoever has a turn, once: the end of its connection is not to be cut short."""
        holder, self._session_task = self._session_task, None
        if holder:
            self._is_cancelled = True
            holder.cancel()

    def _was_cancelled(self) -> bool:
        """Return whether a turn was cancelled from here, and by nobody else."""
        task = asyncio.current_task()
        return self._is_cancelled and task is not None and not task.uncancel()

    @callback
    def _received(self, value: ReceivedValue) -> None:
        if value.instance in self._owners and not self._closed:
            self._on_value(self._owners[value.instance], value)

    async def _connect(self) -> None:
        """Connect, unless a connection is held."""
        if self._client.connected:
            return
        # Nothing that comes is known to be of a battery until it was looked who is where.
        self._owners = {}
        self.connected_at = clock.now()
        self.connections += 1
        await self._client.connect()
        self._owners = {self._client.main_instance: None}

    async def _disconnect(self) -> None:
        try:
            self._before_end()
        finally:
            await self._client.disconnect()

    async def _end_session(self, *, keep: bool) -> None:
        if keep and self._client.connected and not self._closed:
            self._held_until = clock.now() + self._keep_open_for.total_seconds()
            self._look_later()
        else:
            await self._disconnect()

    @callback
    def _cancel_closing(self) -> None:
        """Do not end the connection that is held."""
        if self._closing:
            self._closing()
            self._closing = None

    def _look_later(self) -> None:
        self._closing = async_call_later(self._hass, _LOOKS_EVERY, self._async_look)

    @callback
    def _async_look(self, _now: datetime) -> None:
        self._closing = None
        name = f"connection to {self._entry.title} that is held"
        self._entry.async_create_background_task(self._hass, self._async_look_or_end(), name)

    async def _async_look_or_end(self) -> None:
        """Look at the device, or end the connection when it was held for long enough or has broken off."""
        async with self._lock:
            # Somebody may have had a turn meanwhile.
            if not self._closing and not await self._look():
                await self._disconnect()

    async def _look(self) -> bool:
        """Look at the device over the connection that is held; return whether to hold it further."""
        if not self.connected or self._closed or clock.now() >= self._held_until:
            return False
        self._session_task = asyncio.current_task()
        try:
            await self._on_kept_open(self._client)
        except VeSmartError:
            return False
        finally:
            self._session_task = None
        self._look_later()
        return True
