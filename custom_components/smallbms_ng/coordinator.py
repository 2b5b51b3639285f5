"""The coordinators: one follows the advertisements of a device, the other reads and writes over connections."""

from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
import logging
from math import inf
from operator import attrgetter
from typing import Final, override

from homeassistant.components.bluetooth import (
    BluetoothChange,
    BluetoothScanningMode,
    BluetoothServiceInfoBleak,
    async_get_learned_advertising_interval,
    async_register_advertisement_callback,
)
from homeassistant.components.bluetooth.passive_update_coordinator import PassiveBluetoothDataUpdateCoordinator
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntry
from homeassistant.const import CONF_ADDRESS, EVENT_HOMEASSISTANT_STOP
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.event import async_call_later, async_track_time_interval
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util.dt import utcnow

from . import clock
from .connection.adapters import AdapterPreference
from .connection.client import VeSmartClient
from .connection.errors import BadAnswer, NotReachable, Refused, VeSmartError
from .connection.link import Answer, Timing
from .const import (
    CONF_CAPACITY,
    CONF_KEY,
    CONF_PAGES_INTERVAL,
    CONF_RESIDUAL_CURRENT,
    CONF_UPDATE_INTERVAL,
    DEFAULT_PAGES_INTERVAL,
    DEFAULT_UPDATE_INTERVAL,
    MILLIAMPERES_PER_AMPERE,
    can_connect,
)
from .devices import async_remove_battery
from .messages import failure
from .outlook import OutlookCoordinator
from .pages import PageReader, PageValues, PageWriter, RegisterKey
from .protocol.advertisement import (
    COMPANY_ID,
    OTHER_PRODUCTS,
    BatteryReading,
    ImplausibleRecord,
    InstantReadout,
    InstantReadoutError,
    MalformedRecord,
    NotInstantReadout,
    OtherRecord,
    ShortBeacon,
    WrongKey,
    parse_key,
)
from .protocol.codes import LOW_CELL_SHUTDOWN, Code, active_codes, code_changes, worst_first
from .protocol.energy import EnergyMeter, ReserveCountdown, Sample
from .protocol.learned import DeviceMemory
from .protocol.outlook import Battery
from .protocol.payloads import Value
from .protocol.quantities import (
    ADVERTISED_FLAG_FIELDS,
    ENERGY_CHARGED,
    ENERGY_DISCHARGED,
    FLAG_FIELDS,
    MEASURED_FIELDS,
    Flag,
    Quantities,
    ShownValues,
    Source,
    power_of,
)
from .protocol.record_filter import Confirmation, FlagChanges, KeyTrust, NonceOrder, Order
from .protocol.registers import BY_ID, MOST_CELLS, OF_BATTERY, Name, Page, battery_values, named
from .protocol.session import ReceivedValue
from .protocol.significance import SignificantChanges
from .recording import Outcome, async_recording_of
from .shared_connection import SharedConnection, Way
from .storage import (
    EntryStore,
    KeptState,
    LastEvent,
    StoredPages,
    StoredReadings,
    async_last_recorded,
    from_store,
    learned_from_store,
    learned_to_store,
    to_store,
)
from .survey import Survey

# How often texts about the reserve are updated.
RENEWED_EVERY: Final = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """What is left after a shutdown, in Ah, and for how many hours it lasts."""

    left: float
    hours: float


def reserve_of(entry: SmallBmsConfigEntry) -> Reserve | None:
    """Return the reserve; None without a shutdown, or while the capacity or the residual current is unknown."""
    coordinator = entry.runtime_data.instant_readout
    if (capacity := coordinator.capacity) is None:
        return None
    now = clock.now()
    left, hours = coordinator.reserve.left(capacity, now), coordinator.reserve.time_left(capacity, now)
    return None if left is None or hours is None else Reserve(left=left, hours=hours)


# The discharge floor in % where no connection has told it: what is taken for the default (M-S6).
ASSUMED_DISCHARGE_FLOOR: Final = 10.0


def present_battery(readout: InstantReadoutCoordinator, pages: PagesCoordinator | None) -> Battery | None:
    """Return the state of the battery now; None while its state of charge or its capacity is unknown."""
    state_of_charge, capacity = readout.published.state_of_charge, readout.capacity
    if state_of_charge is None or not capacity:
        return None
    floor = pages.values.value(RegisterKey(name=Name.DISCHARGE_FLOOR)) if pages else None
    return Battery(
        state_of_charge=state_of_charge,
        capacity=capacity,
        discharge_floor=floor if isinstance(floor, int | float) else ASSUMED_DISCHARGE_FLOOR,
    )


type CodeListener = Callable[[Code, bool], None]
"""Called with a code and whether it begins (True) or ends (False)."""


class CodeEvents:
    """The active codes of one device, also across restarts.

    active: the codes that were reported, the worst first; None until they are known. Codes that are active when they
    first become known are not reported. last_event: the last event of the event entity.
    """

    def __init__(self) -> None:
        self.active: tuple[Code, ...] | None = None
        self.last_event: LastEvent | None = None
        self._since: dict[tuple[bool, int], float] = {}
        self._listeners: list[CodeListener] = []
        self._watchers: list[CALLBACK_TYPE] = []

    def restore(self, codes: Sequence[Code] | None, last_event: LastEvent | None) -> None:
        """Restore the codes and the event that were reported before a restart; None if they are unknown."""
        self.active = None if codes is None else worst_first(codes)
        self.last_event = last_event
        self._note_since()

    def since(self, code: Code) -> float | None:
        """Return when the subject of a code became active in this run, in s of the monotonic clock.

        None if the code is not active. A warning and the alarm that it becomes have the same subject.
        """
        return self._since.get(code.subject) if code in (self.active or ()) else None

    def _note_since(self) -> None:
        now = clock.now()
        self._since = {code.subject: self._since.get(code.subject, now) for code in self.active or ()}

    @callback
    def async_add_listener(self, listener: CodeListener) -> CALLBACK_TYPE:
        """Call a listener for every code that begins or ends; return a function that removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def async_add_watcher(self, watcher: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a watcher when the active codes change or become known; return a function that removes it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    @callback
    def async_take(self, codes: Iterable[Code]) -> bool:
        """Take the codes that are active now; return whether they have changed.

        Ended codes are reported first: when a warning becomes an alarm, the last report is the alarm.
        """
        before, self.active = self.active, worst_first(codes)
        self._note_since()
        changes = code_changes(before or (), self.active)
        if before is not None:
            self._tell(changes.ended, begun=False)
            self._tell(changes.begun, begun=True)
        return self.active != before

    @callback
    def async_tell_watchers(self) -> None:
        """Call the watchers, once everything that depends on the codes is up to date."""
        for watcher in list(self._watchers):
            watcher()

    @callback
    def _tell(self, codes: Iterable[Code], *, begun: bool) -> None:
        for code in codes:
            for listener in list(self._listeners):
                listener(code, begun)


# States from a device that sends many values are written at most this often, in s.
PACE: Final = 1.0


_LOGGER = logging.getLogger(__name__)

TIMING: Final = Timing()
# How long a connection stays open for further writes.
KEEP_OPEN: Final = timedelta(seconds=10)
# How long to wait after one, two, three … failures in a row. The phone may stay connected for hours.
BACK_OFF: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60))

# When a silent device is heard again after failures: how soon to try again, and the shortest time between two attempts.
_SOON: Final = timedelta(seconds=5)
_AGAIN: Final = timedelta(minutes=5)
# How often to check for a way to the device while there is none, and how long without one counts as a loss.
# A radio that can connect is noticed at once.
_LOOKS_EVERY: Final = timedelta(minutes=1)
# The shortest time, in s, between two reads that changes cause. FlagChanges in between are read together.
_APART: Final = 5.0
# At most this many reads because of changes in this time: a flapping code must not keep the phone from connecting.
_MOST_CHANGES: Final = 12
_MOST_CHANGES_IN: Final = timedelta(hours=1)
# How often to check for outdated values, also while nothing is read.
_AGES_EVERY: Final = timedelta(minutes=5)

_OF_BATTERY: Final = frozenset(RegisterKey(name=name) for name in OF_BATTERY)
# Read when a code or a permission changes, after the status: each battery with its cells, and the history.
_OF_CHANGE: Final = frozenset({Page.BATTERY, Page.HISTORY})


class PagesCoordinator(DataUpdateCoordinator[Mapping[RegisterKey, Value]]):
    """Reads the pages of one device at an interval, in one short connection, and writes on demand.

    feed: called with the values of Instant Readout, which the device does not advertise while it is connected.
    memory: what the device has taught, also before a restart.
    Values that the device sends unasked are shown too. A failed connection is not a failed update: known values are
    shown until they are too old, and the next attempt waits longer.
    """

    config_entry: ConfigEntry
    lost = False
    last_error: VeSmartError | None = None
    failures = 0
    was_read = False
    connected = False
    last_connected: datetime | None = None
    _is_over = False
    _tried_at = 0.0
    # How many sessions are under way or wait for the connection.
    _sessions = 0
    # The number of the connection in which the status was last read.
    _status_read_in = 0
    _waits_for_way = False

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry, store: EntryStore, feed: Callable[[Mapping[Name, Value]], None]
    ) -> None:
        minutes: int = entry.options.get(CONF_PAGES_INTERVAL, DEFAULT_PAGES_INTERVAL)
        self._interval = timedelta(minutes=minutes) or None
        self._soon: Debouncer[Coroutine[object, object, None]] = Debouncer(
            hass, _LOGGER, cooldown=_APART, immediate=True, background=True
        )
        super().__init__(
            hass,
            _LOGGER,
            config_entry=entry,
            name=f"the pages of {entry.title}",
            update_interval=self._interval,
            request_refresh_debouncer=self._soon,
        )
        self.address: str = entry.data[CONF_ADDRESS]
        self.memory = DeviceMemory()
        self.values = PageValues(self._interval or timedelta(minutes=DEFAULT_PAGES_INTERVAL), self.memory)
        self.data = {}
        self._feed = feed
        # When changes caused the latest reads.
        self._changes_read: deque[float] = deque((-inf,) * _MOST_CHANGES, maxlen=_MOST_CHANGES)
        self._way = Way(hass, self.address, on_heard=self._async_way_heard, on_changed=self.async_update_listeners)
        self._preference = AdapterPreference()
        # Unsolicited values that are not shown yet.
        self._changed: set[RegisterKey] = set()
        self._show_soon: Debouncer[None] = Debouncer(
            hass, _LOGGER, cooldown=PACE, immediate=False, function=self._async_show_changed, background=True
        )
        self._recording = async_recording_of(hass, self.address)
        self._connection = SharedConnection(
            hass,
            entry,
            way=self._way,
            preference=self._preference,
            recorder=self._recording.recorder,
            memory=self.memory,
            timing=TIMING,
            keep_open=KEEP_OPEN,
            on_value=self._received,
            on_failure=self._lose,
            on_kept_open=self.async_read_status,
            before_end=self._before_end,
        )
        self.survey = Survey(
            entry.title,
            session=self._survey_session,
            is_wanted=lambda: self._sessions > 1,
            on_progress=self.async_update_listeners,
            keep=self._recording.keep_survey,
        )
        self._reader = PageReader(self.values, self)
        self._writer = PageWriter(self.values, self._reader, lambda: hass.config.language)
        self._store = store
        store.pages = self._to_store
        self._stored_bonds = self._bonds

    @property
    def batteries(self) -> tuple[int, ...]:
        """The numbers of the batteries that are present, or were until recently; they count from 1."""
        return self.values.batteries

    @property
    def paired_radios(self) -> frozenset[str]:
        """The sources of the radios that are known to have a bond.

        A proxy that encrypts the link only when asked is left out: it may have paired with any device that answered.
        """
        return frozenset(self._preference.paired)

    @property
    def has_way(self) -> bool:
        """Whether a radio that can connect hears the device."""
        return self._way.device is not None

    @property
    def heard_without_way_for(self) -> timedelta:
        """How long only radios that cannot connect have heard the device."""
        return timedelta(seconds=self._way.heard_without_for)

    @property
    def ignored_instances(self) -> int:
        """How many instances are ignored because a bank cannot have that many batteries."""
        return self._reader.ignored_instances

    @property
    def system_voltage(self) -> int | None:
        """12, 24 or 48 V; None while the bank is unknown."""
        return self.values.system_voltage

    def offered(self, name: Name, battery: int | None = None) -> bool:
        """Return whether the device has ever answered with this value, also before a restart."""
        return RegisterKey(name=name, battery=battery) in self.data

    def can_write(self, name: Name) -> bool:
        """Return whether the device may accept a setting or an action: it has not ruled that out."""
        return self.values.can_write(name)

    def subscribed(self, battery: int | None) -> set[Name]:
        """Return what enabled entities show of the device, or of a battery."""
        register_keys = (want for want in self.async_contexts() if isinstance(want, RegisterKey))
        return {want.name for want in register_keys if want.battery == battery}

    def cells(self, battery: int) -> tuple[str, ...]:
        """Return the numbers of the cells of a battery."""
        cells = self.values.value(RegisterKey(name=Name.CELL, battery=battery))
        return tuple(cells)[:MOST_CELLS] if isinstance(cells, Mapping) else ()

    def shown(self, want: RegisterKey) -> bool:
        """Return whether a value is known and recent enough to show."""
        return self.values.shown(want, clock.now())

    @callback
    def async_restore(self) -> None:
        """Show the values that were read before a restart."""
        self._store.parse_pages(self._restore)
        self._stored_bonds = self._bonds
        self.data = self.values.all()

    def _restore(self, stored: StoredPages) -> None:
        self.memory.learned = learned_from_store(stored)
        self.values.restore(stored)
        self._preference.unpaired.update(stored.get("unpaired", ()))
        self._preference.paired.update(stored.get("paired", ()))
        self._preference.asked.update(stored.get("asked", ()))

    def _to_store(self) -> StoredPages:
        return StoredPages(
            **self.values.to_store(),
            **learned_to_store(self.memory.learned),
            unpaired=sorted(self._preference.unpaired),
            paired=sorted(self._preference.paired),
            asked=sorted(self._preference.asked),
        )

    @property
    def _bonds(self) -> tuple[frozenset[str], ...]:
        """What is known of the bonds of radios."""
        known = self._preference
        return frozenset(known.unpaired), frozenset(known.paired), frozenset(known.asked)

    @callback
    def _async_store_bonds(self) -> None:
        """Store soon what has become known of bonds: each costs a failed connection to find out."""
        if self._bonds != self._stored_bonds:
            self._stored_bonds = self._bonds
            self._store.async_save_soon()

    @callback
    def async_start(self) -> None:
        """Start the first read in the background; stop when Home Assistant stops."""
        entry = self.config_entry
        stopped = self.hass.bus.async_listen(EVENT_HOMEASSISTANT_STOP, self._async_stopped)
        entry.async_on_unload(stopped)
        entry.async_on_unload(self._way.async_watch())
        entry.async_on_unload(async_track_time_interval(self.hass, self._async_look_at_ages, _AGES_EVERY))
        if self._polls:
            entry.async_create_background_task(self.hass, self.async_refresh(), f"first read of {self.name}")

    @property
    def _polls(self) -> bool:
        """Whether the device is read at an interval, and not only on demand."""
        return self._interval is not None and not self.config_entry.pref_disable_polling

    @callback
    def async_device_returned(self) -> None:
        """Try again soon after failures: the phone, or whatever was connected, has disconnected."""
        if self.failures and self._polls and not self._waits_for_way:
            tried = timedelta(seconds=clock.now() - self._tried_at)
            self.update_interval = max(_SOON, _AGAIN - tried)
            self._schedule_refresh()

    @callback
    def async_read_change(self) -> None:
        """Read soon what belongs to a changed code or permission, if the device is read at an interval."""
        self.values.expire(*_OF_CHANGE)
        self._async_catch_up()

    @callback
    def _async_catch_up(self) -> None:
        """Read what belongs to a change, unless the current session or a pending attempt will read it."""
        is_due = self._polls and self._expects_change and self._may_read_change
        if is_due and not (self._sessions or self.failures or self._waits_for_way):
            self._soon.async_schedule_call()

    @property
    def _expects_change(self) -> bool:
        """Whether a change still has to be read."""
        return self.values.expired >= _OF_CHANGE

    @property
    def _may_read_change(self) -> bool:
        """Whether changes have caused fewer reads than the limit."""
        return clock.now() - self._changes_read[0] > _MOST_CHANGES_IN.total_seconds()

    @callback
    def _async_way_heard(self) -> None:
        """Read at once if a read was waiting for a radio that can connect."""
        if self._waits_for_way:
            self._waits_for_way = False
            self._soon.async_schedule_call()

    @callback
    def _async_look_at_ages(self, _now: datetime) -> None:
        self.async_update_listeners()

    @override
    async def async_shutdown(self) -> None:
        # Unloading awaits this, and Home Assistant then calls it once more.
        if self._is_over:
            return
        self._is_over = True
        await super().async_shutdown()
        self._show_soon.async_shutdown()
        self._changed.clear()
        await self._connection.async_close()
        # Unloading stores it once the readings have ended, too, and Home Assistant before it stops.
        self._store.async_save_later()

    def async_pause_connection(self) -> AbstractAsyncContextManager[None]:
        """Leave the device, which accepts only one connection, to another client until the context ends."""
        return self._connection.paused()

    @callback
    def async_forget(self, battery: int | None) -> bool:
        """Forget a battery; return False, and keep it, if it is present."""
        if battery is None:
            return True
        if self.values.present(battery):
            return False
        self.values.forget(battery)
        self.async_set_updated_data(self.values.all())
        return True

    async def async_read_now(self) -> None:
        """Read everything, including registers that the device refused before. Raises HomeAssistantError."""
        self.values.forget_refusals()
        async with self._session() as client:
            await self._read(client, frozenset(Page))
        self.async_set_updated_data(self.values.all())

    async def async_read_registers(self, registers: Iterable[int], instance: int | None = None) -> dict[int, Answer]:
        """Return the answers of the device, or of one instance, by register. Raises HomeAssistantError."""
        async with self._session() as client:
            await self._read_status_once(client)
            return await client.read(client.main_instance if instance is None else instance, registers)

    async def async_survey(self) -> None:
        """Start to read all registers that the device may have, in the background. Raises HomeAssistantError."""
        name = f"survey of {self.config_entry.title}"
        await self.survey.async_start(
            lambda work: self.config_entry.async_create_background_task(self.hass, work, name)
        )

    @asynccontextmanager
    async def _survey_session(self) -> AsyncGenerator[VeSmartClient]:
        """Start a session for the survey, whose frames the recording need not keep."""
        with self._recording.recorder.paused():
            async with self._session() as client:
                yield client

    async def async_write(self, name: Name, value: Value) -> None:
        """Write a value, and read back what the device then has.

        Raises ServiceValidationError for an invalid value, before anything is sent, and HomeAssistantError if the write
        fails.
        """
        await self.async_write_all({name: value})

    async def async_write_all(self, values: Mapping[Name, Value]) -> None:
        """Write several values together; none if one is invalid. Raises the errors of async_write.

        If the device refuses one, it may have accepted others; these are read back and shown.
        """
        self._writer.check(values)
        async with self._write_session() as client:
            try:
                await self._writer.async_write(client, values)
            except Refused as error:
                self.values.take_refusal(error.register, error.reason)
                await self._read_after_writing(client, Page.SETTINGS)
                raise
            await self._read_after_writing(client, Page.SETTINGS)
        self.async_set_updated_data(self.values.all())

    async def async_act(self, name: Name) -> None:
        """Carry out an action, such as clearing the history. Raises HomeAssistantError."""
        async with self._write_session() as client:
            try:
                await client.act(client.main_instance, named(name)[0])
            except Refused as error:
                self.values.take_refusal(error.register, error.reason)
                self._show()
                raise
            if name is Name.CLEAR_HISTORY:
                self.values.expect_reset()
            await self._read_after_writing(client, Page.SETTINGS, Page.HISTORY)
        self.async_set_updated_data(self.values.all())

    @override
    async def _async_update_data(self) -> Mapping[RegisterKey, Value]:
        self._waits_for_way = not (self.has_way or self._connection.connected)
        if self._waits_for_way:
            self._wait_for_way()
            return self.values.all()
        self._tried_at = clock.now()
        if self._expects_change:
            self._changes_read.append(self._tried_at)
        with self._changes_join():
            try:
                async with self._connection.session() as client:
                    self._note_connection(connected=True)
                    await self._read(client)
            except VeSmartError:
                self._try_again()
        return self.values.all()

    @contextmanager
    def _changes_join(self) -> Iterator[None]:
        """Count a session, which reads what changes meanwhile; read afterwards what it has missed."""
        self._sessions += 1
        try:
            yield
        finally:
            self._sessions -= 1
            self._async_catch_up()

    @asynccontextmanager
    async def _session(self, *, keep_open: bool = False) -> AsyncGenerator[VeSmartClient]:
        """Start a session for a user action. Raises HomeAssistantError."""
        with self._changes_join():
            try:
                async with self._connection.session(keep_open=keep_open) as client:
                    self._note_connection(connected=True)
                    yield client
            except VeSmartError as error:
                # Values read or written before the error are valid.
                self._show()
                raise failure(error, self.config_entry.title) from error

    @asynccontextmanager
    async def _write_session(self) -> AsyncGenerator[VeSmartClient]:
        """Start a session for writing. After a failure, the settings are read again soon. Raises HomeAssistantError."""
        try:
            async with self._session(keep_open=True) as client:
                await self._read_status_once(client)
                yield client
        except ServiceValidationError:
            raise
        except HomeAssistantError:
            self._doubt_what_was_written()
            raise

    async def _read(self, client: VeSmartClient, forced: frozenset[Page] = frozenset()) -> None:
        """Read what is due, the status first. Raises VeSmartError."""
        now = clock.now()
        await self._read_status(client)
        with self.values.renewing() as expired:
            await self._read_rest(client, now, forced | expired)
        for number in self.values.forget_absent(now):
            async_remove_battery(self.hass, self.config_entry, number)
        self._regain()
        self._store.async_save_later()

    async def _read_status(self, client: VeSmartClient) -> None:
        """Read the status and show it at once: a connected device does not advertise its codes."""
        self._status_read_in = self._connection.connections
        now = clock.now()
        await self._reader.async_read_status(client, now)
        self._changed.clear()
        self._pass_on_battery_values(now)
        self._show()

    async def _read_status_once(self, client: VeSmartClient) -> None:
        """Read the status, unless this connection has already read it."""
        if self._status_read_in != self._connection.connections:
            await self.async_read_status(client)

    async def async_read_status(self, client: VeSmartClient) -> None:
        """Read the status, also over the connection of a flow: a connected device does not advertise its codes.

        Ignores a malformed answer: other registers may still work. Raises VeSmartError.
        """
        with suppress(BadAnswer):
            await self._read_status(client)

    async def _read_rest(self, client: VeSmartClient, now: float, forced: frozenset[Page]) -> None:
        """Read the other pages, and each battery."""
        await self._reader.async_read_device(client, now, forced)
        self._changed.clear()
        # Includes status values that the device has sent unasked meanwhile.
        self._pass_on_battery_values(now)
        self._connection.place(await self._reader.async_read_batteries(client, now, forced))

    async def _read_after_writing(self, client: VeSmartClient, *pages: Page) -> None:
        """Read what a write may have changed. Does not raise VeSmartError: the write has succeeded."""
        try:
            await self._read(client, frozenset(pages))
        except VeSmartError as error:
            self._lose(error)
            self._doubt_what_was_written()

    @callback
    def _show(self) -> None:
        self.data = self.values.all()
        self.async_update_listeners()

    def _pass_on_battery_values(self, since: float) -> None:
        """Pass the values of Instant Readout that were answered since a moment to the feed."""
        fresh = {want.name: self.values.value(want) for want in _OF_BATTERY if self.values.answered(want, since)}
        if fresh:
            self._feed(fresh)

    @callback
    def _received(self, battery: int | None, value: ReceivedValue) -> None:
        """Take a value that the device sends, requested or not.

        The answers of a read are taken again once they are complete.
        """
        if self.values.renew(battery, value.register, value.payload, clock.now()):
            self._changed.add(RegisterKey(name=BY_ID[value.register].name, battery=battery))
            self._show_soon.async_schedule_call()

    @callback
    def _async_show_changed(self) -> None:
        """Show the values that the device sent unasked; pass on those of Instant Readout while it is connected."""
        if not self._changed:
            return
        if self._connection.connected and self._changed & _OF_BATTERY:
            self._pass_on_battery_values(self._connection.connected_at)
        self._changed.clear()
        self._show()
        self._store.async_save_later()

    @callback
    def _before_end(self) -> None:
        self._async_show_changed()
        self._async_store_bonds()
        self._note_connection(connected=False)

    @callback
    def _note_connection(self, *, connected: bool) -> None:
        """Show whether the device is connected."""
        if connected != self.connected:
            self.connected = connected
            self.async_update_listeners()

    def _lose(self, error: VeSmartError) -> None:
        self.last_error = error
        self._async_store_bonds()
        if not self.lost:
            self.lost = True
            _LOGGER.info("%s cannot be read over a connection: %s", self.config_entry.title, error)

    def _regain(self) -> None:
        self.last_error = None
        self.failures = 0
        self.was_read = True
        self._waits_for_way = False
        self.last_connected = utcnow()
        self.update_interval = self._interval
        if self.lost:
            self.lost = False
            _LOGGER.info("%s can be read over a connection again", self.config_entry.title)

    def _wait_for_way(self) -> None:
        """Wait for a radio that can connect. This is not a failure, as nothing was tried."""
        self._waits_for_way = True
        self.update_interval = _LOOKS_EVERY
        if self._way.missing_for >= _LOOKS_EVERY.total_seconds():
            self._lose(NotReachable("no radio reaches the device"))

    def _try_again(self) -> None:
        """Schedule the next attempt: after a back-off, or once there is a way to the device."""
        if self.has_way:
            self._back_off()
        else:
            self._wait_for_way()

    def _back_off(self) -> None:
        self.update_interval = BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.failures += 1

    @callback
    def _doubt_what_was_written(self) -> None:
        """Read soon what the device has, even if it is read only on demand: a write is such a demand."""
        self.values.expire(Page.SETTINGS, Page.HISTORY)
        self.update_interval = BACK_OFF[0]
        if self._listeners:
            self._schedule_refresh()

    async def _async_stopped(self, _event: Event) -> None:
        await self.async_shutdown()


# How often to check for outdated values.
AGES_CHECK: Final = timedelta(seconds=30)
# An advertised value is valid until this many advertisements in a row are missed, but at least for SHORTEST_SILENCE.
# While the interval is unknown, that is UNLEARNED_SILENCE: a sleeping radio may wake up only every five minutes.
MISSED_ADVERTISEMENTS: Final = 3
SHORTEST_SILENCE: Final = timedelta(seconds=90)
UNLEARNED_SILENCE: Final = timedelta(minutes=6)
# An advertisement that is older than this is ignored.
STALE_AFTER: Final = timedelta(seconds=90)
# Values from before a restart are shown again if they are no older than this.
RESTORED_FOR: Final = timedelta(minutes=10)
# How many connections in a row may fail before the values of the last one are too old.
_MISSED_CONNECTIONS: Final = 2


_SILENT: Final = "%s is silent: no readable advertisement for some time"
_HEARD_AGAIN: Final = "%s is heard again"


class DropReason(StrEnum):
    """Why an advertisement did not become a reading."""

    NOT_INSTANT_READOUT = "not_instant_readout"
    OTHER_RECORD = "other_record"
    OTHER_PRODUCT = "other_product"
    SHORT_BEACON = "short_beacon"
    MALFORMED = "malformed"
    WRONG_KEY = "wrong_key"
    IMPLAUSIBLE = "implausible"
    UNCONFIRMED = "unconfirmed"
    STALE = "stale"
    REPEATED = "repeated"
    BEHIND = "behind"


class Advertises(StrEnum):
    """What a device advertises."""

    READINGS = "readings"
    NO_READINGS = "no_readings"
    """Only that it is there, and which product it is."""
    NOTHING = "nothing"


_DROP_OF_ERROR: Final[dict[type[InstantReadoutError], DropReason]] = {
    NotInstantReadout: DropReason.NOT_INSTANT_READOUT,
    OtherRecord: DropReason.OTHER_RECORD,
    ShortBeacon: DropReason.SHORT_BEACON,
    MalformedRecord: DropReason.MALFORMED,
    WrongKey: DropReason.WRONG_KEY,
    ImplausibleRecord: DropReason.IMPLAUSIBLE,
}
# Others are held back.
_OUTCOME_OF_DROP: Final = {
    DropReason.NOT_INSTANT_READOUT: Outcome.OTHER_RECORD,
    DropReason.OTHER_RECORD: Outcome.OTHER_RECORD,
    DropReason.OTHER_PRODUCT: Outcome.OTHER_RECORD,
    DropReason.SHORT_BEACON: Outcome.SHORT_BEACON,
    DropReason.MALFORMED: Outcome.MALFORMED,
    DropReason.WRONG_KEY: Outcome.WRONG_KEY,
    DropReason.IMPLAUSIBLE: Outcome.IMPLAUSIBLE,
    DropReason.REPEATED: Outcome.REPEATED,
}
_DROP_OF_ORDER: Final = {Order.REPEATED: DropReason.REPEATED, Order.BEHIND: DropReason.BEHIND}


@dataclass(frozen=True, kw_only=True)
class SmallBmsRuntime:
    """The coordinators of a loaded entry."""

    instant_readout: InstantReadoutCoordinator
    pages: PagesCoordinator | None
    """None without a PIN to connect with."""
    outlook: OutlookCoordinator


type SmallBmsConfigEntry = ConfigEntry[SmallBmsRuntime]


class InstantReadoutCoordinator(PassiveBluetoothDataUpdateCoordinator):
    """Follows the advertisements of one device, and updates the entities whose values change.

    Decodes the advertisements, and takes the values that connections read. Flags are published as soon as they are
    confirmed, measurements when they have changed significantly, at most once per update interval.
    published: the values that entities show.
    record_at: when a record was last accepted, in s of the monotonic clock; -inf if none was.
    switched_off_at: when Home Assistant switched the system off, in s of the monotonic clock; None if it did not.
    """

    last_record: BatteryReading | None = None
    record_at = -inf
    _beacon_at = -inf
    accepted = 0
    switched_off_at: float | None = None
    _last_info: BluetoothServiceInfoBleak | None = None
    _last_data: bytes | None = None
    _known_at: float | None = None
    _was_available = False
    _lost = False
    _ended = False
    _end_wait: CALLBACK_TYPE | None = None
    _cancel_publishing: CALLBACK_TYPE | None = None
    _published_at = -inf
    # When the values to publish were chosen last, and whether all of the next ones are to be published.
    _chosen_at = -inf
    # The mapping of flags that are known to be published, and the version of those that were reported as codes.
    _published_flags: Mapping[str, Flag] | None = None
    _told_version = -1
    _publishes_all = True

    def __init__(self, hass: HomeAssistant, entry: SmallBmsConfigEntry, store: EntryStore) -> None:
        super().__init__(hass, _LOGGER, entry.data[CONF_ADDRESS], BluetoothScanningMode.ACTIVE, connectable=False)
        self.entry = entry
        self.dropped: Counter[DropReason] = Counter()
        self.codes = CodeEvents()
        self.meter = EnergyMeter()
        key: str | None = entry.data.get(CONF_KEY)
        self._key = parse_key(key) if key else None
        self._decoder = InstantReadout(self._key) if self._key else None
        self._recording = async_recording_of(hass, self.address)
        self.quantities = Quantities(self._good_for, entry.options.get(CONF_CAPACITY))
        self._interval: int = entry.options.get(CONF_UPDATE_INTERVAL, DEFAULT_UPDATE_INTERVAL)
        self._significant = SignificantChanges(self._interval)
        # The latest measurements, and those that were unknown when something was published last.
        self._measured: Mapping[str, object] = {}
        self._unknown: Collection[str] = ()
        self.published = self.present
        self.reserve = ReserveCountdown(
            entry.options.get(CONF_RESIDUAL_CURRENT, 0.0) / MILLIAMPERES_PER_AMPERE,
            holds_for=self.quantities.good_for[Source.ADVERTISED if key else Source.CONNECTION],
        )
        self._store = store
        store.readings = self._to_store
        self._confirmation = Confirmation()
        self._changes = FlagChanges()
        self._order = NonceOrder()
        self._trust = KeyTrust()
        self._heard_at = self._present_at = clock.now()
        self._return_listeners: list[CALLBACK_TYPE] = []
        self._change_listeners: list[CALLBACK_TYPE] = []
        self._available = False

    @property
    def present(self) -> ShownValues:
        """The values known now, whether published or not, except the energy."""
        return self.quantities.shown(clock.now())

    def _known(self, now: float) -> dict[str, object]:
        """Return the values known now, by name; no energy until it includes everything from before this run."""
        charged, discharged = self.meter.shown if self.meter.is_current else (None, None)
        return {**self.quantities.known(now), ENERGY_CHARGED: charged, ENERGY_DISCHARGED: discharged}

    @property
    def capacity(self) -> float | None:
        """The capacity of the whole bank in Ah: as the device gives it, else as the user entered it."""
        return self.quantities.capacity(clock.now())

    @property
    def silent_for(self) -> float | None:
        """How many s ago a value was last advertised or read; None if never since the start."""
        return None if self._known_at is None else clock.now() - self._known_at

    @property
    def advertises(self) -> Advertises | None:
        """What the device has advertised lately; None without a key to read it, or if nothing was heard in this run."""
        if self._decoder is None or self.record_at == self._beacon_at == -inf:
            return None
        now, good_for = clock.now(), self.quantities.good_for[Source.ADVERTISED]
        if now - self.record_at <= good_for:
            return Advertises.READINGS
        return Advertises.NO_READINGS if now - self._beacon_at <= good_for else Advertises.NOTHING

    async def async_restore(self) -> None:
        """Restore the state of the previous run. Its values are shown if they are recent enough."""
        kept = self._store.parse_readings(from_store) or KeptState()
        self.quantities.restore({name: one for name, one in kept.quantities.items() if self._may_restore(name, kept)})
        self.quantities.mark = kept.mark
        self.codes.restore(kept.codes, kept.event)
        self.meter = kept.meter
        self.reserve.drawn = kept.drawn
        self.switched_off_at = -inf if kept.switched_off else None
        self._lost = kept.lost
        if recorded := await async_last_recorded(self.hass, self.address):
            self.meter.go_on_from(charged=recorded.charged, discharged=recorded.discharged, last=recorded.last)
        now = clock.now()
        self._available = self._was_available = self.quantities.heard(now)
        self._choose(now, everything=True)

    def _may_restore(self, name: str, kept: KeptState) -> bool:
        """Return whether to restore a value: not if the device was silent, unless only a connection gives the value."""
        return can_connect(self.entry.data) if name == "capacity" else not kept.lost

    @callback
    def async_stop_confirming(self) -> None:
        """Stop confirming values: the entities are being removed."""
        self._ended = True
        self._async_end_wait()

    async def async_end(self) -> None:
        """Stop listening, and store the state."""
        self._async_stop()
        await self._store.async_save()

    def _to_store(self) -> StoredReadings:
        return to_store(
            KeptState(
                quantities=dict(self.quantities.to_keep()),
                mark=self.quantities.mark,
                lost=self._lost,
                codes=self.codes.active,
                event=self.codes.last_event,
                meter=self.meter,
                drawn=self.reserve.drawn,
                switched_off=self.switched_off_at is not None,
            )
        )

    @callback
    def async_add_return_listener(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a listener when a silent device is heard again; return a function that removes it."""
        self._return_listeners.append(listener)
        return lambda: self._return_listeners.remove(listener)

    @callback
    def async_add_change_listener(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a listener after a changed code or permission is shown; return a function that removes it."""
        self._change_listeners.append(listener)
        return lambda: self._change_listeners.remove(listener)

    @callback
    def async_note_switched_off(self, at: float | None) -> None:
        """Set when Home Assistant switched the system off; None if it did not, or if the system is on again.

        Stores this at once, however often: Home Assistant may lose its own power.
        """
        if self.switched_off_at != at:
            self.switched_off_at = at
            self.entry.async_create_task(self.hass, self._store.async_save())

    @callback
    def async_take_connection_values(self, values: Mapping[Name, Value]) -> None:
        """Take values read over a connection, during which the device does not advertise."""
        found, at = battery_values(values), clock.now()
        self._known_at = at
        flags: dict[str, Flag] = {name: value for name, value in found.items() if name in FLAG_FIELDS}  # type: ignore[misc]  # as registers decode them
        self._confirmation.take_confirmed(flags, at)
        self.quantities.take(Source.CONNECTION, found, at)
        self._async_measure(found, at)
        self._async_believe({name: value for name, value in flags.items() if value is not None})
        # These values are rare, and whoever has them read wants to see them.
        self._async_publish(everything=True)
        self._async_tell_change(changed=self._changes.take_read(flags))

    @property
    def _good_for(self) -> dict[Source, float]:
        """For how many s values of each source are valid, unless the table of quantities specifies it."""
        minutes: int = self.entry.options.get(CONF_PAGES_INTERVAL, DEFAULT_PAGES_INTERVAL) or DEFAULT_PAGES_INTERVAL
        connection = timedelta(minutes=_MISSED_CONNECTIONS * minutes)
        restored = RESTORED_FOR if self._decoder else max(RESTORED_FOR, connection)
        return {
            Source.ADVERTISED: self._silence,
            Source.CONNECTION: connection.total_seconds(),
            Source.RESTORED: restored.total_seconds(),
        }

    @property
    def _silence(self) -> float:
        """After how many s without an advertisement the device is silent; longer if its interval is long."""
        if (interval := async_get_learned_advertising_interval(self.hass, self.address)) is None:
            return UNLEARNED_SILENCE.total_seconds()
        return max(MISSED_ADVERTISEMENTS * interval, SHORTEST_SILENCE.total_seconds())

    @callback
    @override
    def _async_start(self) -> None:
        self._on_stop.append(async_track_time_interval(self.hass, self._async_check_ages, AGES_CHECK))
        # Only this callback also receives identical advertisements.
        self._on_stop.append(async_register_advertisement_callback(self.hass, self._async_receive, self.address))
        super()._async_start()

    @callback
    @override
    def _async_stop(self) -> None:
        super()._async_stop()
        self.async_stop_confirming()
        self._async_cancel_publishing()

    @callback
    @override
    def _async_handle_bluetooth_event(self, service_info: BluetoothServiceInfoBleak, change: BluetoothChange) -> None:
        """Take an advertisement from before the start. _async_receive has taken all later ones already."""
        self._async_receive(service_info)

    @callback
    def _async_receive(self, info: BluetoothServiceInfoBleak) -> None:
        """Take an advertisement from any radio."""
        if info is not self._last_info:
            self._last_info = info
            self._recording.hear(info, self._async_take(info), self._key)

    @callback
    def _async_take(self, info: BluetoothServiceInfoBleak) -> Outcome:
        """Take an advertisement; return what became of it."""
        if (data := info.manufacturer_data.get(COMPANY_ID)) is None:
            self._async_take_beacon(info.time)
            return Outcome.NO_DATA
        if self._decoder is None:
            return Outcome.HELD_BACK
        if clock.now() - info.time > STALE_AFTER.total_seconds():
            return self._drop(DropReason.STALE)
        if data == self._last_data and self.last_record:
            self._async_take_repeat(self.last_record, info.time)
            return Outcome.REPEATED
        return self._async_decode(self._decoder, data, info.time)

    @callback
    def _async_decode(self, decoder: InstantReadout, data: bytes, at: float) -> Outcome:
        try:
            reading = decoder.decode(data)
        except InstantReadoutError as error:
            return self._async_doubt(error, data, at)
        if reason := self._why_not(reading, at):
            return self._drop(reason)
        self._last_data = data
        self._async_take_record(reading, at)
        return Outcome.BELIEVED

    @callback
    def _async_doubt(self, error: InstantReadoutError, data: bytes, at: float) -> Outcome:
        """Count an advertisement that gives no reading; ask for a new key once the present one cannot be right."""
        if isinstance(error, ShortBeacon):
            self._async_take_beacon(at)
        self._trust.doubt(error, data)
        if self._trust.lost:
            self.entry.async_start_reauth(self.hass)
        return self._drop(_DROP_OF_ERROR[type(error)])

    def _drop(self, reason: DropReason) -> Outcome:
        """Count an advertisement that is dropped; return what that is called in the recording."""
        self.dropped[reason] += 1
        return _OUTCOME_OF_DROP.get(reason, Outcome.HELD_BACK)

    def _why_not(self, reading: BatteryReading, at: float) -> DropReason | None:
        """Return why a decoded record is dropped; None if it is accepted."""
        if reading.product_id in OTHER_PRODUCTS:
            return DropReason.OTHER_PRODUCT
        if not self.quantities.is_plausible(reading, at):
            return DropReason.IMPLAUSIBLE
        asked_for_key = self._trust.lost
        if not self._trust.believe():
            return DropReason.UNCONFIRMED
        if asked_for_key:
            self._async_withdraw_reauth()
        return _DROP_OF_ORDER.get(self._order.place(reading.nonce, at))

    @callback
    def _async_take_record(self, reading: BatteryReading, at: float) -> None:
        self.accepted += 1
        self.last_record = reading
        self._confirmation.take_record(_flags(reading), at)
        self._async_hear(reading, at)

    @callback
    def _async_take_repeat(self, reading: BatteryReading, at: float) -> None:
        """Take the latest record again: an idle battery repeats it, which makes its values current."""
        self._order.renew(at)
        self._confirmation.take_repeat(at)
        self._async_hear(reading, at)

    @callback
    def _async_hear(self, reading: BatteryReading, at: float) -> None:
        """Take the values of a record, whether new or repeated."""
        self._publishes_all |= at - self._heard_at >= self.quantities.good_for[Source.ADVERTISED]
        self.record_at = self._heard_at = max(at, self._heard_at)
        self._known_at = at if self._known_at is None else max(at, self._known_at)
        measured = dict(zip(MEASURED_FIELDS, _measured(reading), strict=True))
        flags = self._confirmation.confirmed(_flags(reading))
        self.quantities.take_record(measured, flags, at)
        self._async_measure(measured, at)
        measured["charging"] = self.quantities.is_charging
        self._measured = measured
        self._async_believe(flags)
        self._async_tell_change(changed=self._changes.take_advertised(flags))
        self._async_note_heard(at)

    @callback
    def _async_take_beacon(self, at: float) -> None:
        """Note that the device is there, though it gives no reading."""
        self._beacon_at = max(at, self._beacon_at)
        self._async_note_heard(at)

    @callback
    def _async_note_heard(self, at: float) -> None:
        """Note that the device was heard, with or without a reading; call the listeners if it was silent before."""
        was_silent = at - self._present_at >= self.quantities.good_for[Source.ADVERTISED]
        self._present_at = max(at, self._present_at)
        if was_silent:
            for listener in list(self._return_listeners):
                listener()

    @callback
    def _async_measure(self, values: Mapping[str, object], at: float) -> None:
        """Let the meter count up to now, if voltage and current are known, and take samples for the means."""
        voltage, current, consumed = (_number(values.get(name)) for name in _METERED)
        self._significant.take({"current": current, "power": power_of(voltage, current)}, at)
        if voltage is not None and current is not None:
            self.meter.take(Sample(at=at, voltage=voltage, current=current, consumed_amphours=consumed))

    @callback
    def _async_believe(self, flags: Mapping[str, Flag]) -> None:
        """Publish new values, these flags among them, then report codes and update the reserve.

        An automation that a code triggers finds the other entities up to date.
        """
        self._async_show(flags)
        self._async_tell_codes()
        self._async_take_reserve()
        self._store.async_save_later()
        self._async_wait_for_confirmation()

    @callback
    def _async_take_reserve(self) -> None:
        """Update the countdown after a shutdown. A repeated record confirms that its current still flows."""
        shut_down = LOW_CELL_SHUTDOWN in (self.codes.active or ())
        if not shut_down and self.reserve.drawn is None:
            return
        now = clock.now()
        current = self.quantities.best("current", now)
        self.reserve.take(shut_down=shut_down, current=float(current.value) if current else None, at=now)

    @callback
    def _async_tell_codes(self) -> None:
        """Report the codes that began or ended; store this soon, so that a crash does not repeat reports."""
        believed = self._confirmation.believed
        if self._ended or not believed or self._told_version == self._confirmation.version:
            return
        self._told_version = self._confirmation.version
        error, levels = believed.get("error"), {name: believed.get(name) for name in FLAG_FIELDS}
        codes = active_codes(error or 0, levels)  # type: ignore[arg-type]  # they are of these types by their names
        were_known = self.codes.active is not None
        if self.codes.async_take(codes):
            self._async_take_reserve()
            if were_known:
                self._store.async_save_soon()
            self.codes.async_tell_watchers()

    @callback
    def _async_wait_for_confirmation(self) -> None:
        """Schedule a check for when the latest record counts as confirmed without another one."""
        self._async_end_wait()
        if (next_look := self._confirmation.next_look) is not None and not self._ended:
            delay = max(next_look - clock.now(), 0.0)
            self._end_wait = async_call_later(self.hass, delay, self._async_look)

    @callback
    def _async_look(self, _now: datetime) -> None:
        self._end_wait = None
        now = clock.now()
        self._confirmation.look(now)
        flags = self._confirmation.confirmed(_flags(self.last_record)) if self.last_record else {}
        self.quantities.take_record({}, flags, self._heard_at)
        self._async_believe(flags)
        self._async_tell_change(changed=self._changes.take_advertised(flags))

    @callback
    def _async_tell_change(self, *, changed: bool) -> None:
        if changed and not self._ended:
            for listener in list(self._change_listeners):
                listener()

    @callback
    def _async_end_wait(self) -> None:
        if self._end_wait:
            self._end_wait()
            self._end_wait = None

    @callback
    def _async_withdraw_reauth(self) -> None:
        """Abort the request for a new key: the present key works."""
        for flow in list(self.entry.async_get_active_flows(self.hass, {SOURCE_REAUTH})):
            self.hass.config_entries.flow.async_abort(flow["flow_id"])

    @callback
    def _async_show(self, flags: Mapping[str, Flag]) -> None:
        """Publish what is significant: flags at once, measurements when the update interval is over."""
        if self._publishes_all or not self._shows(flags):
            self._async_publish(everything=True)
            return
        now = clock.now()
        if self._significant.is_minute_over(now) or self._significant.is_significant(
            self._measured, self._heard_at, self._unknown
        ):
            self._async_publish_after_interval(now)

    def _shows(self, flags: Mapping[str, Flag]) -> bool:
        """Return whether flags are published."""
        if flags is self._published_flags:
            return True
        if any(getattr(self.published, name) != value for name, value in flags.items()):
            return False
        self._published_flags = flags
        return True

    @callback
    def _async_publish_after_interval(self, now: float) -> None:
        """Publish when the update interval is over, which it may be already."""
        wait = self._published_at + self._interval - now
        if wait <= 0:
            self._async_publish()
        elif not self._cancel_publishing:
            self._cancel_publishing = async_call_later(self.hass, wait, self._async_interval_over)

    @callback
    def _async_interval_over(self, _now: datetime) -> None:
        self._async_publish()

    @callback
    def _async_cancel_publishing(self) -> None:
        if self._cancel_publishing:
            self._cancel_publishing()
            self._cancel_publishing = None

    @callback
    def _async_publish(self, *, everything: bool = False) -> None:
        """Publish what is significant, or everything that is known now; update the entities that show it."""
        self._async_cancel_publishing()
        now = clock.now()
        self._async_note_presence(now)
        self._publishes_all = not self._available
        changed = self._choose(now, everything=everything)
        if changed:
            self._published_at = now
        if self._available != self._was_available:
            self._was_available = self._available
            self.async_update_listeners()
        elif changed:
            self._async_tell(changed)

    def _choose(self, now: float, *, everything: bool) -> AbstractSet[str]:
        """Renew what is published; return the names of the values that changed."""
        # A minute begins with what is known, not with a look at it that comes late.
        heard_at = now if self._known_at is None else self._known_at
        changed = self._significant.choose(self._known(now), now, heard_at=heard_at, everything=everything)
        self._unknown = frozenset(name for name, value in self._measured.items() if value is None)
        self._chosen_at = now
        if changed:
            self._published_flags = None
            self.published = ShownValues(**self._significant.written)  # type: ignore[arg-type]  # they have the names and types of the fields
        return changed

    @callback
    def _async_tell(self, changed: AbstractSet[str]) -> None:
        """Update the listeners to these values, and those to all. The context of a listener names its values."""
        for listener, names in list(self._listeners.values()):
            if not isinstance(names, frozenset | set) or names & changed:
                listener()

    @callback
    def _async_note_presence(self, now: float) -> None:
        """Update whether the device is available; log each change once."""
        before, self._available = self._available, self.quantities.heard(now)
        if before and not self._available:
            self._lost = True
            _LOGGER.info(_SILENT, self.entry.title)
        elif self._available and self._lost:
            self._lost = False
            _LOGGER.info(_HEARD_AGAIN, self.entry.title)

    @callback
    def _async_check_ages(self, _now: datetime) -> None:
        """Stop showing outdated values; publish once a minute also if nothing more is heard in time."""
        self.quantities.good_for |= self._good_for
        now = clock.now()
        is_due = self._heard_at > self._chosen_at and self._significant.is_minute_over(now)
        if is_due or self._significant.has_lost(self._known(now)):
            self._async_publish()

    @callback
    @override
    def _async_handle_unavailable(self, service_info: BluetoothServiceInfoBleak) -> None:
        """Forget the advertised values: no radio hears the device any more."""
        for source in (Source.ADVERTISED, Source.RESTORED):
            self.quantities.forget(source)
        self._async_publish(everything=True)


_measured = attrgetter(*MEASURED_FIELDS)
_METERED: Final = ("voltage", "current", "consumed_amphours")


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


def _flags(reading: BatteryReading) -> Mapping[str, Flag]:
    """Return the flags of a reading by name: the same mapping for the same flags."""
    return _named(reading.flags)


@lru_cache(maxsize=64)
def _named(flags: tuple[Flag, ...]) -> Mapping[str, Flag]:
    return dict(zip(ADVERTISED_FLAG_FIELDS, flags, strict=True))
