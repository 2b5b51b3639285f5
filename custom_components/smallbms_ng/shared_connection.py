"""The connection to one device: its sessions, how long it is kept open, and which battery each value belongs to."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from math import inf
from typing import Final

from bleak.backends.device import BLEDevice
from habluetooth import HaScannerRegistration, get_manager
from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_ble_device_from_address,
    async_register_advertisement_callback,
    async_scanner_devices_by_address,
)
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later, async_track_time_interval

from . import clock
from .connection.adapters import AdapterPreference
from .connection.client import VeSmartClient
from .connection.errors import Lost, Refused, VeSmartError
from .connection.link import Timing
from .connection.recorder import Recorder
from .protocol.learned import DeviceMemory
from .protocol.session import ReceivedValue

# A device that is silent for longer than this is away. A sleeping radio may wake up only every five minutes.
_LONGEST_PAUSE: Final = timedelta(minutes=6)
# How often to check whether a radio still hears the device: nothing tells when the last advertisement gets too old.
_WAY_CHECKED_EVERY: Final = timedelta(seconds=30)


@callback
def async_way_to(hass: HomeAssistant, address: str) -> BLEDevice | None:
    """Return the device to connect to; None while no radio that can connect hears it."""
    # Without a path, what Bluetooth remembers may belong to a proxy that is not (yet) available.
    paths = async_scanner_devices_by_address(hass, address, connectable=True)
    if not paths:
        return None
    return async_ble_device_from_address(hass, address, connectable=True) or paths[0].ble_device


class Way:
    """The way to one device, over any radio.

    on_heard: called whenever a radio that can connect hears the device. on_changed: called when the first way opens or
    the last one closes.
    """

    def __init__(
        self, hass: HomeAssistant, address: str, *, on_heard: CALLBACK_TYPE, on_changed: CALLBACK_TYPE
    ) -> None:
        self._hass = hass
        self._address = address
        self._on_heard = on_heard
        self._on_changed = on_changed
        self._was_open = self.device is not None
        self._known_at = clock.now()
        self._heard_at = self._known_at
        self._heard_without_since: float | None = None

    @callback
    def async_watch(self) -> CALLBACK_TYPE:
        """Watch which radios there are and which hear the device; return a function that stops watching."""
        ends = (
            async_register_advertisement_callback(self._hass, self._async_heard, self._address),
            get_manager().async_register_scanner_registration_callback(self._async_check, None),
            async_track_time_interval(self._hass, self._async_check, _WAY_CHECKED_EVERY),
        )
        self._async_check()

        @callback
        def stop() -> None:
            for end in ends:
                end()

        return stop

    @property
    def device(self) -> BLEDevice | None:
        """The device to connect to; None while there is no way."""
        return async_way_to(self._hass, self._address)

    @property
    def missing_for(self) -> float:
        """How long there has been no way, in s; 0 while there is one."""
        return 0 if self.device else clock.now() - self._known_at

    @property
    def heard_without_for(self) -> float:
        """How long, in s, only radios that cannot connect have heard the device, up to its latest advertisement."""
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
            if not self._was_open:
                self._async_check()
            self._on_heard()
        elif self._heard_without_since is None or was_away:
            self._heard_without_since = now

    @callback
    def _async_check(self, _reason: HaScannerRegistration | datetime | None = None) -> None:
        """Call on_changed if there is a way now and was none before, or the other way round."""
        is_open = self.device is not None
        if is_open != self._was_open:
            self._was_open = is_open
            self._on_changed()


# How often the status is read while the connection is kept open: the device does not advertise meanwhile.
_LOOKS_EVERY: Final = timedelta(seconds=1)

_CLOSED: Final = "the device is not connected to any more"


class SharedConnection:
    """One connection that all users of a device share, one session at a time.

    memory: what the device has taught.
    keep_open: how long the connection stays open after a session that asks for it.
    on_value: called with each value received, requested or not, and its battery (None: the device), if that is certain.
    on_failure: called with the error of a failed session.
    on_kept_open: called every second while the connection is kept open.
    before_end: called before the connection ends.
    connections: how many connection attempts there have been.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        *,
        way: Way,
        preference: AdapterPreference,
        recorder: Recorder,
        memory: DeviceMemory,
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
            lambda: way.device,
            name=entry.title,
            timing=timing,
            on_value=self._received,
            preference=preference,
            recorder=recorder,
            memory=memory,
        )
        self._timing = timing
        self._keep_open_for = keep_open
        self._on_value = on_value
        self._on_failure = on_failure
        self._on_kept_open = on_kept_open
        self._before_end = before_end
        # The battery of each instance of this connection (None: the device), where that is certain.
        self._owners: dict[int, int | None] = {}
        self._lock = asyncio.Lock()
        self._closing: CALLBACK_TYPE | None = None
        self._kept_open_until = -inf
        self._closed = False
        # The task of the current session, and whether async_close canceled it.
        self._session_task: asyncio.Task[object] | None = None
        self._is_cancelled = False
        self._is_paused = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._client.connected

    @asynccontextmanager
    async def session(self, *, keep_open: bool = False) -> AsyncGenerator[VeSmartClient]:
        """Start a session, connecting if necessary; yield the connected client. Raises VeSmartError."""
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
        """Disconnect, and stay disconnected until the context ends."""
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

        Cancels a session that is not connected yet. A connected session may be writing, so it gets a short time to
        finish. Does not wait while the connection is paused.
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
        """Set which battery each instance belongs to."""
        self._owners |= batteries

    def _cancel_session(self) -> None:
        """Cancel the current session, but only once, so that it can still disconnect."""
        task, self._session_task = self._session_task, None
        if task:
            self._is_cancelled = True
            task.cancel()

    def _was_cancelled(self) -> bool:
        """Return whether async_close, and nothing else, canceled the current session."""
        task = asyncio.current_task()
        return self._is_cancelled and task is not None and not task.uncancel()

    @callback
    def _received(self, value: ReceivedValue) -> None:
        if value.instance in self._owners and not self._closed:
            self._on_value(self._owners[value.instance], value)

    async def _connect(self) -> None:
        """Connect, unless the connection was kept open. Raises VeSmartError."""
        if self._client.connected:
            return
        # Until the batteries have been read, no instance belongs to a known battery.
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
            self._kept_open_until = clock.now() + self._keep_open_for.total_seconds()
            self._look_later()
        else:
            await self._disconnect()

    @callback
    def _cancel_closing(self) -> None:
        """Cancel the pending check that may end the kept-open connection."""
        if self._closing:
            self._closing()
            self._closing = None

    def _look_later(self) -> None:
        self._closing = async_call_later(self._hass, _LOOKS_EVERY, self._async_look)

    @callback
    def _async_look(self, _now: datetime) -> None:
        self._closing = None
        name = f"kept-open connection to {self._entry.title}"
        self._entry.async_create_background_task(self._hass, self._async_look_or_end(), name)

    async def _async_look_or_end(self) -> None:
        """Check the device, or disconnect when the connection is lost or its time is up."""
        async with self._lock:
            # Another session may have scheduled a new check meanwhile.
            if not self._closing and not await self._look():
                await self._disconnect()

    async def _look(self) -> bool:
        """Check the device over the kept-open connection; return whether to keep it open."""
        if not self.connected or self._closed or clock.now() >= self._kept_open_until:
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
