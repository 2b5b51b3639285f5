"""From advertisements and connections to values that are worth showing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
import logging
from math import inf
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
from homeassistant.const import CONF_ADDRESS
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later, async_track_time_interval

from . import clock
from .access import connects
from .changes import Changes
from .code_events import CodeEvents
from .const import (
    CONF_CAPACITY,
    CONF_KEY,
    CONF_PAGES_INTERVAL,
    CONF_RESIDUAL_CURRENT,
    CONF_UPDATE_INTERVAL,
    DEFAULT_PAGES_INTERVAL,
    DEFAULT_UPDATE_INTERVAL,
)
from .key_trust import KeyTrust
from .pages import PagesCoordinator
from .protocol.battery import FLAG_FIELDS, MEASURED_FIELDS, Flag
from .protocol.codes import LOW_CELL_SHUTDOWN, active_codes
from .protocol.confirmation import Confirmation
from .protocol.energy import EnergyMeter, Sample
from .protocol.instant_readout import (
    COMPANY_ID,
    OTHER_PRODUCTS,
    BatteryReading,
    ImplausibleRecord,
    InstantReadout,
    InstantReadoutError,
    MalformedRecord,
    NotInstantReadout,
    OtherRecord,
    WrongKey,
    parse_key,
)
from .protocol.nonces import NonceOrder, Order
from .protocol.payloads import Value
from .protocol.quantities import Quantities, ShownValues, Source
from .protocol.registers import Name, battery_values
from .protocol.reserve import ReserveCountdown
from .recorded import async_last_recorded
from .storage import KeptReadings, SeldomStore, StoredReadings, from_store, reading_store, to_store

_LOGGER = logging.getLogger(__name__)

# How often a look is taken whether what is shown has become too old.
AGES_CHECK: Final = timedelta(seconds=30)
# An advertised value is good for as long as it takes to miss so many of the usual advertisements, but at least for so
# long; or for longer while nobody knows what is usual: a radio that sleeps may wake up every five minutes only.
MISSED_ADVERTISEMENTS: Final = 3
SHORTEST_SILENCE: Final = timedelta(seconds=90)
UNLEARNED_SILENCE: Final = timedelta(minutes=6)
# What Bluetooth heard longer ago than this is no news.
STALE_AFTER: Final = timedelta(seconds=90)
# What was shown before a restart is shown again only if it is no older than this.
RESTORED_FOR: Final = timedelta(minutes=10)
# So many connections may fail before what the last one gave is too old.
_MISSED_CONNECTIONS: Final = 2
_MILLIAMPERES_PER_AMPERE: Final = 1000


_SILENT: Final = "%s is silent: no readable advertisement for some time"
_HEARD_AGAIN: Final = "%s is heard again"


class Drop(StrEnum):
    """Why an advertisement did not become a reading."""

    NOT_INSTANT_READOUT = "not_instant_readout"
    OTHER_RECORD = "other_record"
    OTHER_PRODUCT = "other_product"
    MALFORMED = "malformed"
    WRONG_KEY = "wrong_key"
    IMPLAUSIBLE = "implausible"
    UNCONFIRMED = "unconfirmed"
    STALE = "stale"
    REPEATED = "repeated"
    BEHIND = "behind"


_DROP_OF_ERROR: Final[dict[type[InstantReadoutError], Drop]] = {
    NotInstantReadout: Drop.NOT_INSTANT_READOUT,
    OtherRecord: Drop.OTHER_RECORD,
    MalformedRecord: Drop.MALFORMED,
    WrongKey: Drop.WRONG_KEY,
    ImplausibleRecord: Drop.IMPLAUSIBLE,
}
_DROP_OF_ORDER: Final = {Order.REPEATED: Drop.REPEATED, Order.BEHIND: Drop.BEHIND}


@dataclass(frozen=True, kw_only=True)
class SmallBmsRuntime:
    """What a loaded entry works with."""

    instant_readout: InstantReadoutCoordinator
    pages: PagesCoordinator | None
    """None: there is no PIN to connect with."""


type SmallBmsConfigEntry = ConfigEntry[SmallBmsRuntime]


class InstantReadoutCoordinator(PassiveBluetoothDataUpdateCoordinator):
    """Follows what is known of one battery, and tells the entities when what they show has changed.

    It decodes the advertisements of the device, and is given what connections read. `published` is what entities show.
    Flags are shown as soon as they are confirmed; measurements no faster than the update interval. `switched_off_at` is
    when Home Assistant switched the system off; None when it did not.
    """

    def __init__(self, hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
        super().__init__(hass, _LOGGER, entry.data[CONF_ADDRESS], BluetoothScanningMode.ACTIVE, connectable=False)
        self.entry = entry
        self.last_record: BatteryReading | None = None
        self.accepted = 0
        self.dropped: Counter[Drop] = Counter()
        self.codes = CodeEvents()
        self.meter = EnergyMeter()
        key: str | None = entry.data.get(CONF_KEY)
        self._decoder = InstantReadout(parse_key(key)) if key else None
        self.quantities = Quantities(self._good_for, entry.options.get(CONF_CAPACITY))
        self.published = self.present
        self.reserve = ReserveCountdown(
            entry.options.get(CONF_RESIDUAL_CURRENT, 0.0) / _MILLIAMPERES_PER_AMPERE,
            holds_for=self.quantities.good_for[Source.ADVERTISED if key else Source.CONNECTION],
        )
        self.switched_off_at: float | None = None
        self._interval: int = entry.options.get(CONF_UPDATE_INTERVAL, DEFAULT_UPDATE_INTERVAL)
        self._store: SeldomStore[StoredReadings] = SeldomStore(reading_store(hass, entry.entry_id), self._to_store)
        self._confirmation = Confirmation()
        self._changes = Changes()
        self._energy_shown: tuple[int, int] | None = None
        self._order = NonceOrder()
        self._trust = KeyTrust()
        self._last_info: BluetoothServiceInfoBleak | None = None
        self._last_data: bytes | None = None
        self._heard_at = clock.now()
        self._known_at: float | None = None
        self._return_listeners: list[CALLBACK_TYPE] = []
        self._change_listeners: list[CALLBACK_TYPE] = []
        self._available = self._was_available = False
        self._lost = False
        self._ended = False
        self._end_wait: CALLBACK_TYPE | None = None
        self._end_interval: CALLBACK_TYPE | None = None

    @property
    def present(self) -> ShownValues:
        """What is known now, also if it is not shown yet."""
        return self.quantities.shown(clock.now())

    @property
    def capacity(self) -> float | None:
        """The Ah of the whole bank: what the device told, else what was entered."""
        return self.quantities.capacity(clock.now())

    @property
    def silent_for(self) -> float | None:
        """For how many s nothing was advertised or read; None when nothing was in this run."""
        return None if self._known_at is None else clock.now() - self._known_at

    @property
    def energy_shown(self) -> tuple[int, int] | None:
        """The Wh charged and discharged; None until all that flowed before this run is in it."""
        return self.meter.shown if self.meter.is_current else None

    async def async_restore(self) -> None:
        """Take over what the previous run knew. It is shown if the device was heard shortly before."""
        kept = await self._store.async_load(from_store) or KeptReadings()
        self.quantities.restore({name: one for name, one in kept.quantities.items() if self._may_restore(name, kept)})
        self.quantities.mark = kept.mark
        self.codes.restore(kept.codes, kept.event)
        self.meter = kept.meter
        self.reserve.drawn = kept.drawn
        self.switched_off_at = -inf if kept.switched_off else None
        self._lost = kept.lost
        if recorded := await async_last_recorded(self.hass, self.address):
            self.meter.go_on_from(charged=recorded.charged, discharged=recorded.discharged, last=recorded.last)
        self._available = self._was_available = self.quantities.heard(clock.now())
        self.published = self.present

    def _may_restore(self, name: str, kept: KeptReadings) -> bool:
        """Return whether a value may be shown again: not of a silent device, but for what only a connection tells."""
        return connects(self.entry.data) if name == "capacity" else not kept.lost

    @callback
    def async_freeze(self) -> None:
        """Confirm nothing any more: those who would be told are going."""
        self._ended = True
        self._async_end_wait()

    async def async_end(self) -> None:
        """Stop listening, and write what is known."""
        self._async_stop()
        await self._store.async_save()

    def _to_store(self) -> StoredReadings:
        return to_store(
            KeptReadings(
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
        """Call a listener when the device is heard after it was silent; return what ends that."""
        self._return_listeners.append(listener)
        return lambda: self._return_listeners.remove(listener)

    @callback
    def async_add_change_listener(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a listener when a code or a permission has changed and all is shown; return what ends that."""
        self._change_listeners.append(listener)
        return lambda: self._change_listeners.remove(listener)

    @callback
    def async_note_switched_off(self, at: float | None) -> None:
        """Note that Home Assistant switches the system off, and when; None: it did not, or the system is on again.

        That is kept at once: Home Assistant may be among what is switched off.
        """
        if self.switched_off_at != at:
            self.switched_off_at = at
            self.entry.async_create_task(self.hass, self._store.async_save())

    @callback
    def async_feed(self, values: Mapping[Name, Value]) -> None:
        """Take what was answered over a connection, during which the device sends nothing."""
        found, at = battery_values(values), clock.now()
        self._known_at = at
        flags: dict[str, Flag] = {name: value for name, value in found.items() if name in FLAG_FIELDS}  # type: ignore[misc]  # as registers decode them
        self._confirmation.take_sure(flags, at)
        self.quantities.take(Source.CONNECTION, found, at)
        self._async_measure(found, at)
        self._async_believe()
        # It comes seldom, and may be the first that is known of something.
        self._async_publish()
        self._async_tell_change(changed=self._changes.take_read(flags))

    @property
    def _good_for(self) -> dict[Source, float]:
        """How long, in s, each source is good where the table of quantities does not say."""
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
        """After how many s without an advertisement the device is silent. One far off is heard seldom."""
        if (interval := async_get_learned_advertising_interval(self.hass, self.address)) is None:
            return UNLEARNED_SILENCE.total_seconds()
        return max(MISSED_ADVERTISEMENTS * interval, SHORTEST_SILENCE.total_seconds())

    @callback
    @override
    def _async_start(self) -> None:
        self._on_stop.append(async_track_time_interval(self.hass, self._async_check_ages, AGES_CHECK))
        # Identical advertisements reach no other callback.
        self._on_stop.append(async_register_advertisement_callback(self.hass, self._async_receive, self.address))
        super()._async_start()

    @callback
    @override
    def _async_stop(self) -> None:
        super()._async_stop()
        self.async_freeze()
        if self._end_interval:
            self._end_interval()
            self._end_interval = None

    @callback
    @override
    def _async_handle_bluetooth_event(self, service_info: BluetoothServiceInfoBleak, change: BluetoothChange) -> None:
        """Take what Bluetooth heard before this began to listen. All that comes later has been taken already."""
        self._async_receive(service_info)

    @callback
    def _async_receive(self, info: BluetoothServiceInfoBleak) -> None:
        """Take an advertisement, from whichever radio."""
        if info is self._last_info or self._decoder is None:
            return
        self._last_info = info
        if (data := info.manufacturer_data.get(COMPANY_ID)) is None:
            return
        if clock.now() - info.time > STALE_AFTER.total_seconds():
            self.dropped[Drop.STALE] += 1
        elif data == self._last_data and self.last_record:
            self._async_take_repeat(self.last_record, info.time)
        else:
            self._async_decode(self._decoder, data, info.time)

    @callback
    def _async_decode(self, decoder: InstantReadout, data: bytes, at: float) -> None:
        try:
            reading = decoder.decode(data)
        except InstantReadoutError as error:
            self._async_doubt(error, data)
            return
        if reason := self._why_not(reading, at):
            self.dropped[reason] += 1
            return
        self._last_data = data
        self._async_take_record(reading, at)

    @callback
    def _async_doubt(self, error: InstantReadoutError, data: bytes) -> None:
        """Count an advertisement that is no reading, and ask for the key when it cannot be the right one any more."""
        self.dropped[_DROP_OF_ERROR[type(error)]] += 1
        self._trust.doubt(error, data)
        if self._trust.lost:
            self.entry.async_start_reauth(self.hass)

    def _why_not(self, reading: BatteryReading, at: float) -> Drop | None:
        """Return why a readable record is not to be believed; None when it is."""
        if reading.product_id in OTHER_PRODUCTS:
            return Drop.OTHER_PRODUCT
        if not self.quantities.is_plausible(reading, at):
            return Drop.IMPLAUSIBLE
        asked_for_key = self._trust.lost
        if not self._trust.believe():
            return Drop.UNCONFIRMED
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
        """Take the latest record once more: a quiet battery repeats it, and what it says is true again."""
        self._order.renew(at)
        self._confirmation.take_repeat(at)
        self._async_hear(reading, at)

    @callback
    def _async_hear(self, reading: BatteryReading, at: float) -> None:
        """Take what a record says that was heard now, for the first time or again."""
        was_silent = at - self._heard_at >= self.quantities.good_for[Source.ADVERTISED]
        self._heard_at = max(at, self._heard_at)
        self._known_at = at if self._known_at is None else max(at, self._known_at)
        measured = {name: getattr(reading, name) for name in MEASURED_FIELDS}
        self.quantities.take(Source.ADVERTISED, measured | self._confirmed(reading), at)
        self._async_measure(measured, at)
        self._async_believe()
        self._async_tell_change(changed=self._changes.take_advertised(self._confirmed(reading)))
        if was_silent:
            for listener in list(self._return_listeners):
                listener()

    def _confirmed(self, reading: BatteryReading) -> dict[str, Flag]:
        """Return the flags of a record that are believed. Of the others, what was believed before grows old."""
        believed = self._confirmation.believed
        return {name: value for name, value in _flags(reading).items() if believed.get(name, ...) == value}

    @callback
    def _async_measure(self, values: Mapping[str, object], at: float) -> None:
        """Let the meter count up to now, if it is known what flows now."""
        voltage, current, consumed = (values.get(name) for name in ("voltage", "current", "consumed_amphours"))
        if isinstance(voltage, int | float) and isinstance(current, int | float):
            amphours = consumed if isinstance(consumed, int | float) else None
            self.meter.take(Sample(at=at, voltage=voltage, current=current, consumed_amphours=amphours))

    @callback
    def _async_believe(self) -> None:
        """Show what is new, tell codes, and count the reserve: all of them know the same.

        An automation on a code finds the other entities up to date.
        """
        self._async_show()
        self._async_tell_codes()
        self._async_take_reserve()
        self._store.async_save_later()
        self._async_wait_for_confirmation()

    @callback
    def _async_take_reserve(self) -> None:
        """Count down after a shutdown. A record that is repeated tells that its current still flows."""
        shut_down = LOW_CELL_SHUTDOWN in (self.codes.active or ())
        now = clock.now()
        current = self.quantities.best("current", now)
        self.reserve.take(shut_down=shut_down, current=float(current.value) if current else None, at=now)

    @callback
    def _async_tell_codes(self) -> None:
        """Tell which codes have begun and ended, and keep that at once: nothing is to be told again after a crash."""
        believed = self._confirmation.believed
        if self._ended or not believed:
            return
        error, levels = believed.get("error"), {name: believed.get(name) for name in FLAG_FIELDS}
        codes = active_codes(error or 0, levels)  # type: ignore[arg-type]  # they are of these types by their names
        if self.codes.async_take(codes):
            self._async_take_reserve()
            self.entry.async_create_task(self.hass, self._store.async_save())
            self.codes.async_tell_watchers()

    @callback
    def _async_wait_for_confirmation(self) -> None:
        """Look again when the latest record may be believed without another one."""
        self._async_end_wait()
        if (next_look := self._confirmation.next_look) is not None and not self._ended:
            delay = max(next_look - clock.now(), 0.0)
            self._end_wait = async_call_later(self.hass, delay, self._async_look)

    @callback
    def _async_look(self, _now: datetime) -> None:
        self._end_wait = None
        now = clock.now()
        self._confirmation.look(now)
        if self.last_record:
            self.quantities.take(Source.ADVERTISED, self._confirmed(self.last_record), self._heard_at)
        self._async_believe()
        if self.last_record:
            self._async_tell_change(changed=self._changes.take_advertised(self._confirmed(self.last_record)))

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
        """End the question for a new key: the present one reads the device."""
        for flow in list(self.entry.async_get_active_flows(self.hass, {SOURCE_REAUTH})):
            self.hass.config_entries.flow.async_abort(flow["flow_id"])

    @callback
    def _async_show(self) -> None:
        """Show what is new: at once when more than measurements changed, else when the interval is over."""
        if self._end_interval is None or not self._available:
            self._async_publish()
            return
        believed = self._confirmation.believed
        if any(getattr(self.published, name) != value for name, value in believed.items()):
            self._async_publish()

    @callback
    def _async_publish(self) -> None:
        """Let the entities show what is known now, if that is anything new."""
        now = clock.now()
        self._async_note_presence(now)
        shown = self.quantities.shown(now), self.energy_shown, self._available
        if shown == (self.published, self._energy_shown, self._was_available):
            return
        self.published, self._energy_shown, self._was_available = shown
        if self._end_interval:
            self._end_interval()
        self._end_interval = async_call_later(self.hass, self._interval, self._async_interval_over)
        self.async_update_listeners()

    @callback
    def _async_interval_over(self, _now: datetime) -> None:
        self._end_interval = None
        self._async_show()

    @callback
    def _async_note_presence(self, now: float) -> None:
        """Note whether the device is there, and say once when that changes."""
        before, self._available = self._available, self.quantities.heard(now)
        if before and not self._available:
            self._lost = True
            _LOGGER.info(_SILENT, self.entry.title)
        elif self._available and self._lost:
            self._lost = False
            _LOGGER.info(_HEARD_AGAIN, self.entry.title)

    @callback
    def _async_check_ages(self, _now: datetime) -> None:
        """Show no longer what has become too old."""
        self.quantities.good_for |= self._good_for
        if self.published.sources.keys() - self.present.sources.keys():
            self._async_publish()

    @callback
    @override
    def _async_handle_unavailable(self, service_info: BluetoothServiceInfoBleak) -> None:
        """No radio hears the device any more, or the radios that did are gone."""
        for source in (Source.ADVERTISED, Source.RESTORED):
            self.quantities.forget(source)
        self._async_publish()


def _flags(reading: BatteryReading) -> dict[str, Flag]:
    return dict(zip(FLAG_FIELDS, reading.flags, strict=True))
