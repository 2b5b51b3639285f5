"""What is read and written over a connection: the pages of the app."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
import logging
from math import inf
from typing import Final, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_ADDRESS, EVENT_HOMEASSISTANT_STOP
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util.dt import utcnow

from . import clock
from .client import Answer, BadAnswer, NotReachable, Refused, Timing, VeSmartClient, VeSmartError
from .const import CONF_PAGES_INTERVAL, DEFAULT_PAGES_INTERVAL
from .devices import async_remove_battery, async_update_identity
from .line import Line
from .messages import failure
from .news import News
from .page_reader import PageReader
from .page_values import PageValues, Want
from .page_writer import PageWriter
from .protocol.payloads import Value
from .protocol.registers import BY_ID, MOST_CELLS, OF_BATTERY, Name, Page, named
from .protocol.ve_smart_records import ReceivedValue
from .radios import Radios
from .storage import SeldomStore, StoredPages, pages_store
from .way import Way

_LOGGER = logging.getLogger(__name__)

TIMING: Final = Timing()
# How long a connection waits for something more to be written.
HOLD: Final = timedelta(seconds=10)
# How long to wait after so many failures in a row. The phone may have the device for hours.
BACK_OFF: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60))

# Heard again after it was silent, a device that could not be connected to is tried so soon, but not so soon after the
# last attempt.
_SOON: Final = timedelta(seconds=5)
_AGAIN: Final = timedelta(minutes=5)
# How often it is looked whether there is a way to the device, while there is none. A radio that can connect is noticed
# at once; so long without one is worth telling.
_LOOKS_EVERY: Final = timedelta(minutes=1)
# So long, in s, two reads are apart that are asked for by what happens. What changes in between is read together.
_APART: Final = 5.0
# A code that comes and goes all the time must not keep the phone away: it has no more reads than that in so long.
_MOST_CHANGES: Final = 12
_MOST_CHANGES_IN: Final = timedelta(hours=1)
# How often what has become too old is looked for, where nothing is read.
_AGES_EVERY: Final = timedelta(minutes=5)

_OF_BATTERY: Final = frozenset(Want(name=name) for name in OF_BATTERY)
# What belongs to a code or a permission, beside the status: each battery with its cells, and the extremes so far.
_OF_CHANGE: Final = frozenset({Page.BATTERY, Page.HISTORY})


class PagesCoordinator(DataUpdateCoordinator[Mapping[Want, Value]]):
    """Reads the pages of one device now and then, in one short connection, and writes on demand.

    feed is given what concerns the Instant Readout, which the device does not send meanwhile. What the device says by
    itself while it is connected is shown too. A failure is no failure of the coordinator: it shows what it has, tries
    again, and says for how long that holds.
    """

    config_entry: ConfigEntry

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, feed: Callable[[Mapping[Name, Value]], None]) -> None:
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
        self.lost = False
        self.last_error: VeSmartError | None = None
        self.failures = 0
        self.was_read = False
        self.connected = False
        self.last_connected: datetime | None = None
        self._is_over = False
        self.values = PageValues(self._interval or timedelta(minutes=DEFAULT_PAGES_INTERVAL))
        self.data = {}
        self._feed = feed
        self._tried_at = 0.0
        # When it was read because something had changed.
        self._changes_read: deque[float] = deque((-inf,) * _MOST_CHANGES, maxlen=_MOST_CHANGES)
        # How many have a turn at the connection, or wait for one.
        self._turns = 0
        # In which of the connections the status was read.
        self._status_read_in = 0
        self._waits_for_way = False
        self._way = Way(hass, self.address, self._async_way_heard)
        self._radios = Radios()
        self._news = News(hass, self._tell)
        self._line = Line(
            hass,
            entry,
            way=self._way,
            radios=self._radios,
            timing=TIMING,
            hold=HOLD,
            on_value=self._received,
            on_failure=self._lose,
            on_hold=self._look_at_status,
            before_end=self._before_end,
        )
        self._reader = PageReader(self.values, self)
        self._writer = PageWriter(self.values, self._reader)
        self._store: SeldomStore[StoredPages] = SeldomStore(pages_store(hass, entry.entry_id), self._to_store)

    @property
    def batteries(self) -> tuple[int, ...]:
        """The numbers of the batteries that are there, or were until lately; they count from 1."""
        return self.values.batteries

    @property
    def paired_radios(self) -> frozenset[str]:
        """The sources of the radios that are known to have a bond.

        A proxy that has to be asked is not among them: it may have paired with whoever answered.
        """
        return frozenset(self._radios.paired)

    @property
    def has_way(self) -> bool:
        """Whether a radio that can connect hears the device."""
        return self._way.device is not None

    @property
    def heard_without_way_for(self) -> timedelta:
        """For how long only radios that cannot connect have heard the device."""
        return timedelta(seconds=self._way.heard_without_for)

    @property
    def ignored_instances(self) -> int:
        """How many instances are no batteries, as there are more than a bank can have."""
        return self._reader.ignored_instances

    @property
    def system_voltage(self) -> int | None:
        """12, 24 or 48 V; None while the bank is not known."""
        return self.values.system_voltage

    def offered(self, name: Name, battery: int | None = None) -> bool:
        """Return whether the device answered this once, now or in an earlier run."""
        return Want(name=name, battery=battery) in self.data

    def listened(self, battery: int | None) -> set[Name]:
        """Return what enabled entities show of the device, or of a battery."""
        wants = (want for want in self.async_contexts() if isinstance(want, Want))
        return {want.name for want in wants if want.battery == battery}

    def cells(self, battery: int) -> tuple[str, ...]:
        """Return the numbers of the cells of a battery."""
        cells = self.values.value(Want(name=Name.CELL, battery=battery))
        return tuple(cells)[:MOST_CELLS] if isinstance(cells, Mapping) else ()

    def shown(self, want: Want) -> bool:
        """Return whether a value is known and not too old to show."""
        return self.values.shown(want, clock.now())

    async def async_restore(self) -> None:
        """Show what an earlier run read."""
        await self._store.async_load(self._restore)
        self.data = self.values.all()
        self._update_device()

    def _restore(self, stored: StoredPages) -> None:
        self.values.restore(stored)
        self._radios.unpaired.update(stored.get("unpaired", ()))
        self._radios.paired.update(stored.get("paired", ()))
        self._radios.asked.update(stored.get("asked", ()))

    def _to_store(self) -> StoredPages:
        return StoredPages(
            **self.values.to_store(),
            unpaired=sorted(self._radios.unpaired),
            paired=sorted(self._radios.paired),
            asked=sorted(self._radios.asked),
        )

    @callback
    def async_start(self) -> None:
        """Read for the first time, in the background, and end with Home Assistant."""
        entry = self.config_entry
        stopped = self.hass.bus.async_listen(EVENT_HOMEASSISTANT_STOP, self._async_stopped)
        entry.async_on_unload(stopped)
        entry.async_on_unload(self._way.async_watch())
        entry.async_on_unload(async_track_time_interval(self.hass, self._async_look_at_ages, _AGES_EVERY))
        if self._polls:
            entry.async_create_background_task(self.hass, self.async_refresh(), f"first read of {self.name}")

    @property
    def _polls(self) -> bool:
        """Whether it is read now and then, and not only when somebody asks."""
        return self._interval is not None and not self.config_entry.pref_disable_polling

    @callback
    def async_device_returned(self) -> None:
        """Try again soon: whoever had the device, such as the phone, has let go of it."""
        if self.failures and self._polls and not self._waits_for_way:
            tried = timedelta(seconds=clock.now() - self._tried_at)
            self.update_interval = max(_SOON, _AGAIN - tried)
            self._schedule_refresh()

    @callback
    def async_read_change(self) -> None:
        """Read soon what belongs to a code or a permission that has changed, if it is read now and then at all."""
        self.values.expire(*_OF_CHANGE)
        self._async_catch_up()

    @callback
    def _async_catch_up(self) -> None:
        """Read what belongs to a change, unless a turn is under way that does, or a later attempt will do."""
        is_due = self._polls and self._expects_change and self._may_read_change
        if is_due and not (self._turns or self.failures or self._waits_for_way):
            self._soon.async_schedule_call()

    @property
    def _expects_change(self) -> bool:
        """Whether what belongs to a change is to be read."""
        return self.values.expired >= _OF_CHANGE

    @property
    def _may_read_change(self) -> bool:
        """Whether not too much was read because of changes lately."""
        return clock.now() - self._changes_read[0] > _MOST_CHANGES_IN.total_seconds()

    @callback
    def _async_way_heard(self) -> None:
        """Read at once what was waiting for a radio that can connect."""
        if self._waits_for_way:
            self._waits_for_way = False
            self._soon.async_schedule_call()

    @callback
    def _async_look_at_ages(self, _now: datetime) -> None:
        self.async_update_listeners()

    @override
    async def async_shutdown(self) -> None:
        # Whoever unloads waits for this; Home Assistant then asks for it once more.
        if self._is_over:
            return
        self._is_over = True
        await super().async_shutdown()
        self._news.async_forget()
        await self._line.async_close()
        await self._store.async_save()

    def async_step_aside(self) -> AbstractAsyncContextManager[None]:
        """Leave the device to somebody else for a while: it takes one connection only."""
        return self._line.aside()

    @callback
    def async_forget(self, battery: int | None) -> bool:
        """Forget a battery, if there is one of that number; return False when it is there."""
        if battery is None:
            return True
        if self.values.present(battery):
            return False
        self.values.forget(battery)
        self.async_set_updated_data(self.values.all())
        return True

    async def async_read_now(self) -> None:
        """Read everything, also what the device refused before. Raises HomeAssistantError."""
        self.values.forget_refusals()
        async with self._turn() as client:
            await self._read(client, frozenset(Page))
        self.async_set_updated_data(self.values.all())

    async def async_read_registers(self, registers: Iterable[int], instance: int | None = None) -> dict[int, Answer]:
        """Return what the device, or one of its instances, answers. Raises HomeAssistantError."""
        async with self._turn() as client:
            await self._read_status_once(client)
            return await client.read(client.main_instance if instance is None else instance, registers)

    async def async_write(self, name: Name, value: Value) -> None:
        """Write a value and take over what the device has then.

        Raises ServiceValidationError when it makes no sense, before anything is sent, and HomeAssistantError when the
        device does not take it.
        """
        await self.async_write_all({name: value})

    async def async_write_all(self, values: Mapping[Name, Value]) -> None:
        """Write several values, none of them if one makes no sense, or all together. Raises as for one.

        If the device refuses one, it may have taken others; they are shown then.
        """
        self._writer.check(values)
        async with self._writing_turn() as client:
            try:
                await self._writer.async_write(client, values)
            except Refused:
                await self._read_after_writing(client, Page.SETTINGS)
                raise
            await self._read_after_writing(client, Page.SETTINGS)
        self.async_set_updated_data(self.values.all())

    async def async_act(self, name: Name) -> None:
        """Make the device do something. Raises HomeAssistantError."""
        async with self._writing_turn() as client:
            await client.act(client.main_instance, named(name)[0])
            if name is Name.CLEAR_HISTORY:
                self.values.expect_reset()
            await self._read_after_writing(client, Page.SETTINGS, Page.HISTORY)
        self.async_set_updated_data(self.values.all())

    @override
    async def _async_update_data(self) -> Mapping[Want, Value]:
        self._waits_for_way = not (self.has_way or self._line.connected)
        if self._waits_for_way:
            self._wait_for_way()
            return self.values.all()
        self._tried_at = clock.now()
        if self._expects_change:
            self._changes_read.append(self._tried_at)
        with self._changes_join():
            try:
                async with self._line.turn() as client:
                    self._note_connection(connected=True)
                    await self._read(client)
            except VeSmartError:
                self._try_again()
        return self.values.all()

    @contextmanager
    def _changes_join(self) -> Iterator[None]:
        """Have what changes meanwhile read by the turn that is under way, or else after it."""
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1
            self._async_catch_up()

    @asynccontextmanager
    async def _turn(self, *, hold: bool = False) -> AsyncGenerator[VeSmartClient]:
        """Take a turn for a user, who is told what goes wrong."""
        with self._changes_join():
            try:
                async with self._line.turn(hold=hold) as client:
                    self._note_connection(connected=True)
                    yield client
            except VeSmartError as error:
                # What was read or written before that holds.
                self._show()
                raise failure(error, self.config_entry.title) from error

    @asynccontextmanager
    async def _writing_turn(self) -> AsyncGenerator[VeSmartClient]:
        """Take a turn to write. If it fails, nobody knows what the device has until it is read again."""
        try:
            async with self._turn(hold=True) as client:
                await self._read_status_once(client)
                yield client
        except ServiceValidationError:
            raise
        except HomeAssistantError:
            self._doubt_what_was_written()
            raise

    async def _read(self, client: VeSmartClient, forced: frozenset[Page] = frozenset()) -> None:
        """Read what is due, the status first."""
        now = clock.now()
        await self._read_status(client)
        with self.values.renewing() as expired:
            await self._read_rest(client, now, forced | expired)
        for number in self.values.forget_gone(now):
            async_remove_battery(self.hass, self.config_entry, number)
        self._update_device()
        self._regain()
        self._store.async_save_later()

    async def _read_status(self, client: VeSmartClient) -> None:
        """Read the status and show it at once: the device advertises no code while it is connected."""
        self._status_read_in = self._line.connections
        now = clock.now()
        await self._reader.async_read_status(client, now)
        self._news.async_forget()
        self._feed_battery(now)
        self._show()

    async def _read_status_once(self, client: VeSmartClient) -> None:
        """Read the status if it was not read in this connection."""
        if self._status_read_in != self._line.connections:
            await self._look_at_status(client)

    async def _look_at_status(self, client: VeSmartClient) -> None:
        """Read the status beside what is wanted. Whoever answers it badly may still do the rest."""
        with suppress(BadAnswer):
            await self._read_status(client)

    async def _read_rest(self, client: VeSmartClient, now: float, forced: frozenset[Page]) -> None:
        """Read the other pages, and each battery."""
        await self._reader.async_read_device(client, now, forced)
        self._news.async_forget()
        # With what the device has said of its status meanwhile.
        self._feed_battery(now)
        self._line.place(await self._reader.async_read_batteries(client, now, forced))

    async def _read_after_writing(self, client: VeSmartClient, *pages: Page) -> None:
        """Read what may have changed along. What was written holds, whatever becomes of this."""
        try:
            await self._read(client, frozenset(pages))
        except VeSmartError as error:
            self._lose(error)
            self._doubt_what_was_written()

    @callback
    def _show(self) -> None:
        self.data = self.values.all()
        self.async_update_listeners()

    def _feed_battery(self, since: float) -> None:
        """Pass on what the device has answered since a moment."""
        fresh = {want.name: self.values.value(want) for want in _OF_BATTERY if self.values.answered(want, since)}
        if fresh:
            self._feed(fresh)

    @callback
    def _received(self, battery: int | None, value: ReceivedValue) -> None:
        """Take what the device says, asked or not.

        An answer is taken once more when all are there. Until then it has given way to what was said after it.
        """
        if self.values.renew(battery, value.register, value.payload, clock.now()):
            self._news.async_add(Want(name=BY_ID[value.register].name, battery=battery))

    @callback
    def _tell(self, wants: frozenset[Want]) -> None:
        """Show what the device said by itself. Of the battery that is the latest, unless it advertises again."""
        if self._line.connected and wants & _OF_BATTERY:
            self._feed_battery(self._line.connected_at)
        self._show()
        self._store.async_save_later()

    @callback
    def _update_device(self) -> None:
        """Show on the device card who the device is, once that is known."""
        serial_number = self.values.value(Want(name=Name.SERIAL_NUMBER))
        firmware = self.values.value(Want(name=Name.FIRMWARE_VERSION))
        async_update_identity(self.hass, self.config_entry, serial_number, firmware)

    @callback
    def _before_end(self) -> None:
        self._news.async_tell()
        self._note_connection(connected=False)

    @callback
    def _note_connection(self, *, connected: bool) -> None:
        """Show that a connection is there, or ends."""
        if connected != self.connected:
            self.connected = connected
            self.async_update_listeners()

    def _lose(self, error: VeSmartError) -> None:
        self.last_error = error
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
        """Read as soon as a radio can connect. That none can is no failure: nothing was tried."""
        self._waits_for_way = True
        self.update_interval = _LOOKS_EVERY
        if self._way.missing_for >= _LOOKS_EVERY.total_seconds():
            self._lose(NotReachable("no radio has a way to the device"))

    def _try_again(self) -> None:
        """Wait after a failure, unless it was a radio that went away."""
        if self.has_way:
            self._back_off()
        else:
            self._wait_for_way()

    def _back_off(self) -> None:
        self.update_interval = BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.failures += 1

    @callback
    def _doubt_what_was_written(self) -> None:
        """Read before long what the device has, even where that is done on demand only: there was one."""
        self.values.expire(Page.SETTINGS, Page.HISTORY)
        self.update_interval = BACK_OFF[0]
        if self._listeners:
            self._schedule_refresh()

    async def _async_stopped(self, _event: Event) -> None:
        await self.async_shutdown()
