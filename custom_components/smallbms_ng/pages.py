"""What is read and written over a connection: the pages of the app."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
import logging
from typing import Final, override

from bleak.backends.device import BLEDevice
from homeassistant.components.bluetooth import async_ble_device_from_address
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_ADDRESS, EVENT_HOMEASSISTANT_STOP
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util.dt import utcnow

from .client import (
    Answer,
    BadAnswer,
    Lost,
    NoAnswer,
    NoSlot,
    NotPaired,
    NotReachable,
    Refused,
    Timing,
    VeSmartClient,
    VeSmartError,
    WrongPin,
)
from .const import CONF_PAGES_INTERVAL, DEFAULT_PAGES_INTERVAL, DOMAIN
from .devices import async_remove_battery, async_update_identity
from .news import News
from .page_values import OFFERED, PageValues, Want
from .protocol.payloads import PayloadError, Value
from .protocol.registers import BY_ID, BatterySource, Name, Page, named
from .protocol.status_page import STATUS_OF_READING
from .protocol.ve_smart_records import ReceivedValue
from .radios import Radios
from .storage import SeldomStore, StoredPages, pages_store

_LOGGER = logging.getLogger(__name__)

TIMING: Final = Timing()
# How long a connection waits for something more to be written.
HOLD: Final = timedelta(seconds=10)
# How long to wait after so many failures in a row. The phone may have the device for hours.
BACK_OFF: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60))

# Read whoever listens: limits depend on the bank, the device card and the repairs on the others.
_ALWAYS: Final = (
    *STATUS_OF_READING,
    Name.BANK,
    Name.SERIAL_NUMBER,
    Name.FIRMWARE_VERSION,
    Name.CAPABILITIES,
    Name.PIN_CHANGED,
    Name.INSTANT_READOUT_ON,
)
# Settings that go together (M-S5).
LEVELS: Final = (Name.LOW_SOC_WARNING, Name.DISCHARGE_FLOOR)

_OF_READING: Final = frozenset(Want(name=name) for name in STATUS_OF_READING)

_ERROR_KEYS: Final[Mapping[type[VeSmartError], str]] = {
    NoSlot: "no_slot",
    NotReachable: "not_reachable",
    WrongPin: "wrong_pin",
    NoAnswer: "no_answer",
    NotPaired: "not_paired",
    Lost: "connection_lost",
    BadAnswer: "bad_answer",
    Refused: "refused",
}


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
        super().__init__(
            hass, _LOGGER, config_entry=entry, name=f"the pages of {entry.title}", update_interval=self._interval
        )
        self.address: str = entry.data[CONF_ADDRESS]
        self.lost = False
        self.last_error: VeSmartError | None = None
        self.values = PageValues(self._interval or timedelta(minutes=DEFAULT_PAGES_INTERVAL))
        self.data = {}
        self._feed = feed
        self._radios = Radios()
        self._client = VeSmartClient(
            self._get_device, name=entry.title, timing=TIMING, on_value=self._received, radios=self._radios
        )
        self._store: SeldomStore[StoredPages] = SeldomStore(pages_store(hass, entry.entry_id), self._to_store)
        self._lock = asyncio.Lock()
        self._end: CALLBACK_TYPE | None = None
        self.failures = 0
        self._places: dict[int, int] = {}
        self._news = News(hass, self._tell)
        self._connected_at = utcnow()
        # Whose values the instances of the present connection give, as far as that is sure.
        self._owners: dict[int, int | None] = {}

    @property
    def batteries(self) -> tuple[int, ...]:
        """The numbers of the batteries that are there, or were until lately; they count from 1."""
        return self.values.batteries

    @property
    def system_voltage(self) -> int | None:
        """12, 24 or 48 V; None while the bank is not known."""
        return self.values.system_voltage

    def offered(self, name: Name, battery: int | None = None) -> bool:
        """Return whether the device answered this once, now or in an earlier run."""
        return Want(name=name, battery=battery) in self.data

    def cells(self, battery: int) -> tuple[str, ...]:
        """Return the numbers of the cells of a battery."""
        cells = self.values.value(Want(name=Name.CELL, battery=battery))
        return tuple(cells) if isinstance(cells, Mapping) else ()

    def shown(self, want: Want) -> bool:
        """Return whether a value is known and not too old to show."""
        return self.values.shown(want, utcnow(), lost=self.lost)

    async def async_restore(self) -> None:
        """Show what an earlier run read."""
        stored = await self._store.async_load() or StoredPages()
        self.values.restore(stored)
        self._radios.unpaired.update(stored.get("unpaired", ()))
        self._radios.paired.update(stored.get("paired", ()))
        self.data = self.values.all()
        self._update_device()

    def _to_store(self) -> StoredPages:
        return StoredPages(
            **self.values.to_store(), unpaired=sorted(self._radios.unpaired), paired=sorted(self._radios.paired)
        )

    @callback
    def async_start(self) -> None:
        """Read for the first time, in the background, and end with Home Assistant."""
        entry = self.config_entry
        stopped = self.hass.bus.async_listen(EVENT_HOMEASSISTANT_STOP, self._async_stopped)
        entry.async_on_unload(stopped)
        if self._interval and not entry.pref_disable_polling:
            entry.async_create_background_task(self.hass, self.async_refresh(), f"first read of {self.name}")

    @override
    async def async_shutdown(self) -> None:
        await super().async_shutdown()
        self._let_hold_go_on()
        self._news.async_forget()
        async with self._lock:
            await self._client.disconnect()
        await self._store.async_save()

    @asynccontextmanager
    async def async_step_aside(self) -> AsyncGenerator[None]:
        """Leave the device to somebody else for a while: it takes one connection only."""
        async with self._lock:
            self._let_hold_go_on()
            await self._disconnect()
            yield

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
        self._check(values)
        async with self._writing_turn() as client:
            if not values.keys().isdisjoint(LEVELS):
                await self._read_registers(client, [self.values.register(name).id for name in LEVELS])
                self._check(values)
            try:
                for name in self._in_order(values):
                    await self._write(client, name, values[name])
            except Refused:
                await self._read_after_writing(client, Page.SETTINGS)
                raise
            await self._read_after_writing(client, Page.SETTINGS)
        self.async_set_updated_data(self.values.all())

    async def async_act(self, name: Name) -> None:
        """Make the device do something. Raises HomeAssistantError."""
        async with self._writing_turn() as client:
            await client.act(client.main_instance, named(name)[0])
            await self._read_after_writing(client, Page.SETTINGS, Page.HISTORY)
        self.async_set_updated_data(self.values.all())

    @override
    async def _async_update_data(self) -> Mapping[Want, Value]:
        try:
            async with self._line(hold=False) as client:
                await self._read(client)
        except VeSmartError:
            self._back_off()
        return self.values.all()

    @asynccontextmanager
    async def _line(self, *, hold: bool) -> AsyncGenerator[VeSmartClient]:
        """Take a turn at the connection, which is made if need be. Raises VeSmartError."""
        async with self._lock:
            if self._shutdown_requested:
                raise Lost("the device is not connected to any more")
            self._let_hold_go_on()
            keep = False
            try:
                await self._connect()
                yield self._client
                keep = hold
            except Refused:
                keep = hold
                raise
            except VeSmartError as error:
                self._lose(error)
                raise
            finally:
                await self._end_turn(keep=keep)

    @asynccontextmanager
    async def _turn(self, *, hold: bool = False) -> AsyncGenerator[VeSmartClient]:
        """Take a turn for a user, who is told what goes wrong."""
        try:
            async with self._line(hold=hold) as client:
                yield client
        except VeSmartError as error:
            # What was read or written before that holds.
            self.data = self.values.all()
            self.async_update_listeners()
            raise self._translated(error) from error

    @asynccontextmanager
    async def _writing_turn(self) -> AsyncGenerator[VeSmartClient]:
        """Take a turn to write. If it fails, nobody knows what the device has until it is read again."""
        try:
            async with self._turn(hold=True) as client:
                yield client
        except ServiceValidationError:
            raise
        except HomeAssistantError:
            self._doubt_what_was_written()
            raise

    async def _read(self, client: VeSmartClient, forced: frozenset[Page] = frozenset()) -> None:
        """Read what is due of all that is shown, and once what could be, to learn whether the device has it."""
        now = utcnow()
        unknown = (name for name in OFFERED if not self.offered(name))
        due = self.values.due(None, (*_ALWAYS, *self._listened(None), *unknown), now, forced)
        await self._read_registers(client, due)
        self._news.async_forget()
        self._feed_readings(now)
        await self._read_batteries(client, now, forced)
        self.values.renewed()
        self._regain()
        self._store.async_save_later()

    async def _write(self, client: VeSmartClient, name: Name, value: Value) -> None:
        register = self.values.register(name)
        reading = await client.write(client.main_instance, register, value, system_voltage=self.system_voltage)
        self.values.take(None, {register.id: reading}, utcnow())

    async def _read_registers(self, client: VeSmartClient, registers: Iterable[int]) -> None:
        self.values.take(None, await client.read(client.main_instance, registers), utcnow())

    async def _read_batteries(self, client: VeSmartClient, now: datetime, forced: frozenset[Page]) -> None:
        sources = client.batteries
        if self._places.keys() != {source.instance for source in sources}:
            # The bank has changed, or is not known yet: each battery may be elsewhere.
            self._places = {}
        places: dict[int, int] = {}
        for source in sources:
            places[source.instance] = await self._read_battery(client, source, now, forced, places.values())
        self._places = places
        self._owners |= places
        self.values.take_batteries(places.values(), now)
        for number in self.values.forget_gone(now):
            async_remove_battery(self.hass, self.config_entry, number)
        self._update_device()

    async def _read_battery(
        self,
        client: VeSmartClient,
        source: BatterySource,
        now: datetime,
        forced: frozenset[Page],
        taken: Collection[int],
    ) -> int:
        """Read what is due of a battery, and who it is if that is not known; return its number."""
        number = self._places.get(source.instance, source.number)
        offered = (row.name for row in source.registers if not self.offered(row.name, number))
        due = self.values.due(number, (*self._listened(number), *offered), now, forced)
        if not due and source.instance in self._places:
            return number
        serial_number = named(Name.SERIAL_NUMBER)[0].id
        answers = await client.read(source.instance, (serial_number, *due))
        number = self.values.number_of(source, answers, taken)
        self.values.take(number, answers, now)
        return number

    async def _read_after_writing(self, client: VeSmartClient, *pages: Page) -> None:
        """Read what may have changed along. What was written holds, whatever becomes of this."""
        try:
            await self._read(client, frozenset(pages))
        except VeSmartError as error:
            self._lose(error)
            self._doubt_what_was_written()

    def _listened(self, battery: int | None) -> set[Name]:
        """Return what enabled entities show."""
        wants = (want for want in self.async_contexts() if isinstance(want, Want))
        return {want.name for want in wants if want.battery == battery}

    def _feed_readings(self, since: datetime) -> None:
        fresh = {want.name: self.values.value(want) for want in _OF_READING if self._is_fresh(want, since)}
        if fresh:
            self._feed(fresh)

    def _is_fresh(self, want: Want, since: datetime) -> bool:
        read_at = self.values.read_at(want)
        return read_at is not None and read_at >= since

    @callback
    def _received(self, value: ReceivedValue) -> None:
        """Take what the device says, asked or not.

        An answer is taken once more when all are there. Until then it has given way to what was said after it.
        """
        if self._shutdown_requested or value.instance not in self._owners:
            return
        battery = self._owners[value.instance]
        if self.values.renew(battery, value.register, value.payload, utcnow()):
            self._news.async_add(Want(name=BY_ID[value.register].name, battery=battery))

    @callback
    def _tell(self, wants: frozenset[Want]) -> None:
        """Show what the device said by itself. The readings are what it said last, unless it advertises again."""
        if self._client.connected and wants & _OF_READING:
            self._feed_readings(self._connected_at)
        self.data = self.values.all()
        self.async_update_listeners()
        self._store.async_save_later()

    def _check(self, values: Mapping[Name, Value]) -> None:
        """Refuse what the device is not to be asked for. Raises ServiceValidationError."""
        try:
            for name, value in values.items():
                self.values.register(name).encode(value, self.system_voltage)
        except PayloadError as error:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="invalid_value",
                translation_placeholders={"error": str(error)},
            ) from error
        self._check_levels(values)

    def _in_order(self, values: Mapping[Name, Value]) -> list[Name]:
        """Return what to write when: the warning is to be above the discharge floor in between, too."""
        floor, now = values.get(Name.DISCHARGE_FLOOR), self.values.value(Want(name=Name.DISCHARGE_FLOOR))
        lowered = isinstance(floor, int | float) and isinstance(now, int | float) and floor < now
        return sorted(values, key=lambda name: (name is Name.DISCHARGE_FLOOR) is not lowered)

    def _check_levels(self, values: Mapping[Name, Value]) -> None:
        """Refuse a warning that would come no sooner than the discharge floor (M-S5). A floor of 0 is none (M-S6)."""
        if values.keys().isdisjoint(LEVELS):
            return
        levels = {name: values.get(name, self.values.value(Want(name=name))) for name in LEVELS}
        warning, floor = levels[Name.LOW_SOC_WARNING], levels[Name.DISCHARGE_FLOOR]
        if not isinstance(warning, int | float) or not isinstance(floor, int | float):
            return
        if floor and warning <= floor:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="warning_not_above_floor",
                translation_placeholders={"warning": f"{warning:g}", "floor": f"{floor:g}"},
            )

    def _translated(self, error: VeSmartError) -> HomeAssistantError:
        key = next(_ERROR_KEYS[kind] for kind in type(error).mro() if kind in _ERROR_KEYS)
        placeholders = {"device": self.config_entry.title, "error": str(error)}
        return HomeAssistantError(translation_domain=DOMAIN, translation_key=key, translation_placeholders=placeholders)

    def _get_device(self) -> BLEDevice | None:
        return async_ble_device_from_address(self.hass, self.address, connectable=True)

    @callback
    def _update_device(self) -> None:
        """Show on the device card who the device is, once that is known."""
        serial_number = self.values.value(Want(name=Name.SERIAL_NUMBER))
        firmware = self.values.value(Want(name=Name.FIRMWARE_VERSION))
        async_update_identity(self.hass, self.config_entry, serial_number, firmware)

    def _lose(self, error: VeSmartError) -> None:
        self.last_error = error
        if not self.lost:
            self.lost = True
            _LOGGER.info("%s cannot be read over a connection: %s", self.config_entry.title, error)

    def _regain(self) -> None:
        self.last_error = None
        self.failures = 0
        self.update_interval = self._interval
        if self.lost:
            self.lost = False
            _LOGGER.info("%s can be read over a connection again", self.config_entry.title)

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

    @callback
    def _let_hold_go_on(self) -> None:
        """Do not end the connection that is held."""
        if self._end:
            self._end()
            self._end = None

    async def _connect(self) -> None:
        """Connect, unless a connection is held."""
        if self._client.connected:
            return
        # Nothing that comes is known to be of a battery until it was looked who is where.
        self._owners = {}
        self._connected_at = utcnow()
        await self._client.connect()
        self._owners = {self._client.main_instance: None}

    async def _disconnect(self) -> None:
        """End the connection, and show what it gave before the device advertises what is newer."""
        try:
            self._news.async_tell()
        finally:
            await self._client.disconnect()

    async def _end_turn(self, *, keep: bool) -> None:
        if keep and self._client.connected and not self._shutdown_requested:
            self._end = async_call_later(self.hass, HOLD, self._async_hold_over)
        else:
            await self._disconnect()

    @callback
    def _async_hold_over(self, _now: datetime) -> None:
        self._end = None
        self.config_entry.async_create_background_task(self.hass, self._async_end_hold(), f"end of {self.name}")

    async def _async_end_hold(self) -> None:
        async with self._lock:
            await self._disconnect()

    async def _async_stopped(self, _event: Event) -> None:
        await self.async_shutdown()
