"""From advertisements to readings that are worth showing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
import logging
from math import ceil
from typing import Final, override

from bluetooth_data_tools import monotonic_time_coarse
from homeassistant.components.bluetooth import (
    BluetoothChange,
    BluetoothScanningMode,
    BluetoothServiceInfoBleak,
    async_get_learned_advertising_interval,
    async_last_service_info,
    async_register_advertisement_callback,
)
from homeassistant.components.bluetooth.passive_update_coordinator import PassiveBluetoothDataUpdateCoordinator
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntry
from homeassistant.const import CONF_ADDRESS
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later, async_track_time_interval
from homeassistant.util.dt import utcnow

from .code_events import CodeEvents
from .const import (
    CONF_KEY,
    CONF_PAGES_INTERVAL,
    CONF_PRODUCT_ID,
    CONF_RESIDUAL_CURRENT,
    CONF_UPDATE_INTERVAL,
    DEFAULT_PAGES_INTERVAL,
    DEFAULT_UPDATE_INTERVAL,
)
from .key_trust import KeyTrust
from .pages import PagesCoordinator
from .protocol.codes import LOW_CELL_SHUTDOWN
from .protocol.energy import EnergyMeter
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
from .protocol.registers import Name
from .protocol.reserve import ReserveCountdown
from .protocol.status_page import with_status
from .storage import (
    SeldomStore,
    Stored,
    from_store,
    reading_store,
    reserve_from_store,
    reserve_to_store,
    to_store,
)
from .stored_energy import energy_from_store, energy_to_store

_LOGGER = logging.getLogger(__name__)

# How often a look is taken whether anything readable came.
SILENCE_CHECK: Final = timedelta(seconds=90)
# A device is taken for silent after as many looks as it takes to miss so many of its usual advertisements, or, while
# nobody knows what is usual, after so many looks: a radio that sleeps may wake up every five minutes only.
MISSED_ADVERTISEMENTS: Final = 3
UNLEARNED_PATIENCE: Final = 4
# What was shown before a restart is shown again only if it is no older than this.
RESTORED_FOR: Final = timedelta(minutes=10)
# A quiet battery repeats its record. Heard again after so long, it counts as two: in 2 s at one a second.
REPEAT_CHECK: Final = timedelta(seconds=1.5)
_MILLIAMPERES_PER_AMPERE: Final = 1000
# Without a key nothing but a connection tells that it is there: this many connections may fail.
_MISSED_CONNECTIONS: Final = 2


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
    """Decodes the advertisements of one device and tells the entities when what they show has changed.

    `reading` is what is shown, None before the first. Codes, and what is allowed, are shown at once; measurements
    no faster than the update interval. Without a key, all readings are those that a connection gives.
    """

    def __init__(self, hass: HomeAssistant, entry: SmallBmsConfigEntry) -> None:
        super().__init__(hass, _LOGGER, entry.data[CONF_ADDRESS], BluetoothScanningMode.ACTIVE, connectable=False)
        self.entry = entry
        self.reading: BatteryReading | None = None
        self.latest: BatteryReading | None = None
        self.accepted = 0
        self.dropped: Counter[Drop] = Counter()
        self.codes = CodeEvents()
        self.meter = EnergyMeter()
        key: str | None = entry.data.get(CONF_KEY)
        self._decoder = InstantReadout(parse_key(key)) if key else None
        self.reserve = ReserveCountdown(
            entry.options.get(CONF_RESIDUAL_CURRENT, 0.0) / _MILLIAMPERES_PER_AMPERE,
            holds_for=self._heard_for.total_seconds(),
        )
        self._interval: int = entry.options.get(CONF_UPDATE_INTERVAL, DEFAULT_UPDATE_INTERVAL)
        self._store: SeldomStore[Stored] = SeldomStore(reading_store(hass, entry.entry_id), self._to_store)
        self._newest: BatteryReading | None = None
        self._energy_shown = self.meter.shown
        self._order = NonceOrder()
        self._trust = KeyTrust()
        self._good_data: bytes | None = None
        self._heard = False
        self._heard_at = 0.0
        self._quiet_checks = 0
        self._lost = False
        self._accepted_info: BluetoothServiceInfoBleak | None = None
        self._end_repeat_check: CALLBACK_TYPE | None = None
        self._end_interval: CALLBACK_TYPE | None = None

    async def async_restore(self) -> None:
        """Take over the last reading of the previous run. It is shown if the device was heard shortly before."""
        stored = await self._store.async_load() or Stored()
        self.reading = from_store(stored)
        self.codes.restore(stored.get("codes"))
        self.meter = energy_from_store(stored.get("energy"))
        self.reserve.drawn = reserve_from_store(stored.get("reserve"))
        self._heard_at = stored.get("heard_at", 0.0)
        self._lost = stored.get("lost", False)
        age = utcnow().timestamp() - self._heard_at
        self._available = self.reading is not None and not self._lost and age < RESTORED_FOR.total_seconds()

    async def async_end(self) -> None:
        """Stop listening, and write the last reading."""
        self._async_stop()
        await self._store.async_save()

    def _to_store(self) -> Stored:
        stored = to_store(self.latest or self.reading, heard_at=self._heard_at, lost=self._lost)
        stored["energy"] = energy_to_store(self.meter)
        if (codes := self.codes.active) is not None:
            stored["codes"] = [str(code) for code in codes]
        if self.reserve.drawn:
            stored["reserve"] = reserve_to_store(self.reserve.drawn)
        return stored

    @property
    def newest(self) -> BatteryReading | None:
        """The latest reading, also if it is not shown yet."""
        return self._newest or self.reading

    @callback
    def async_feed(self, values: Mapping[Name, Value]) -> None:
        """Take what was read over a connection, during which the device sends nothing."""
        product_id: int = self.entry.data[CONF_PRODUCT_ID]
        if (reading := with_status(self.newest, product_id, values)) is None:
            return
        self._newest = reading
        # What a connection did not give is what was advertised before, and proves nothing anew.
        if values.keys() >= {Name.VOLTAGE, Name.CURRENT}:
            self.meter.take(reading, monotonic_time_coarse())
        self._store.async_save_later()
        self._async_hear()
        if values.keys() >= {Name.ERROR, Name.LEVELS}:
            self._async_take_codes(reading, sure=True)

    @callback
    @override
    def _async_start(self) -> None:
        self._on_stop.append(async_track_time_interval(self.hass, self._async_check_silence, self._silence))
        self._on_stop.append(async_register_advertisement_callback(self.hass, self._async_hear_packet, self.address))
        super()._async_start()

    @property
    def _silence(self) -> timedelta:
        """How long nothing may come before it is taken for silent."""
        if self._decoder:
            return SILENCE_CHECK
        minutes: int = self.entry.options.get(CONF_PAGES_INTERVAL, DEFAULT_PAGES_INTERVAL)
        return timedelta(minutes=_MISSED_CONNECTIONS * (minutes or DEFAULT_PAGES_INTERVAL))

    @property
    def _heard_for(self) -> timedelta:
        """How long what was heard may be the latest that there is."""
        return self._silence * UNLEARNED_PATIENCE if self._decoder else self._silence

    @callback
    @override
    def _async_stop(self) -> None:
        super()._async_stop()
        self._async_end_repeat_check()
        if self._end_interval:
            self._end_interval()
            self._end_interval = None

    @callback
    @override
    def _async_handle_bluetooth_event(self, service_info: BluetoothServiceInfoBleak, change: BluetoothChange) -> None:
        if (data := service_info.manufacturer_data.get(COMPANY_ID)) is None or self._decoder is None:
            return
        if monotonic_time_coarse() - service_info.time > SILENCE_CHECK.total_seconds():
            # Bluetooth remembers what it heard last, and tells it to whoever begins to listen.
            self.dropped[Drop.STALE] += 1
            return
        try:
            reading = self._decoder.decode(data)
        except InstantReadoutError as error:
            self._async_doubt(error, data)
            return
        if reading.product_id in OTHER_PRODUCTS:
            self.dropped[Drop.OTHER_PRODUCT] += 1
            return
        self._async_take(reading, data, service_info)

    @callback
    def _async_doubt(self, error: InstantReadoutError, data: bytes) -> None:
        """Count an advertisement that is no reading, and ask for the key when it cannot be the right one any more."""
        self.dropped[_DROP_OF_ERROR[type(error)]] += 1
        self._trust.doubt(error, data)
        if self._trust.lost:
            self.entry.async_start_reauth(self.hass)

    @callback
    def _async_take(self, reading: BatteryReading, data: bytes, info: BluetoothServiceInfoBleak) -> None:
        """Take a readable record, if it is to be believed and no latecomer."""
        asked_for_key = self._trust.lost
        if not self._trust.believe():
            self.dropped[Drop.UNCONFIRMED] += 1
            return
        if asked_for_key:
            self._async_withdraw_reauth()
        order = self._order.place(reading.nonce)
        if order is Order.NEW:
            self._async_accept(reading, data, info)
        else:
            self.dropped[_DROP_OF_ORDER[order]] += 1

    @callback
    def _async_accept(self, reading: BatteryReading, data: bytes, info: BluetoothServiceInfoBleak) -> None:
        self.accepted += 1
        self.latest = self._newest = reading
        self._good_data = data
        self._accepted_info = info
        self.meter.take(reading, info.time)
        self._async_take_codes(reading)
        self._store.async_save_later()
        self._async_hear()

    @callback
    def _async_hear_packet(self, service_info: BluetoothServiceInfoBleak) -> None:
        """Notice that the last good record came again: identical advertisements reach no other callback."""
        if self._good_data is not None and service_info.manufacturer_data.get(COMPANY_ID) == self._good_data:
            self._async_hear()

    @callback
    def _async_hear(self) -> None:
        """Note that the device is there, and show what is new of it."""
        self._heard = True
        self._heard_at = utcnow().timestamp()
        self._async_take_reserve()
        self._async_show(at_once=self._async_regain())

    @callback
    def _async_take_reserve(self) -> None:
        """Count down after a shutdown. A record that is repeated tells that its current still flows."""
        shut_down = LOW_CELL_SHUTDOWN in (self.codes.active or ())
        current = self.newest.current if self.newest else None
        self.reserve.take(shut_down=shut_down, current=current, at=utcnow().timestamp())

    @callback
    def _async_take_codes(self, reading: BatteryReading, *, sure: bool = False) -> None:
        """Tell which codes have begun and ended, and keep that at once: nothing is to be told again after a crash."""
        changed = self.codes.async_take(reading.codes, sure=sure)
        self._async_take_reserve()
        if changed:
            self.entry.async_create_task(self.hass, self._store.async_save())
            self.codes.async_tell_watchers()
        self._async_end_repeat_check()
        if self.codes.pending:
            self._end_repeat_check = async_call_later(self.hass, REPEAT_CHECK, self._async_check_repeat)

    @callback
    def _async_check_repeat(self, _now: datetime) -> None:
        """Confirm the codes of the latest record when that came again: identical advertisements reach no callback."""
        self._end_repeat_check = None
        info = async_last_service_info(self.hass, self.address, connectable=False)
        if info is None or self.latest is None or not self._available:
            return
        if info is not self._accepted_info and info.manufacturer_data.get(COMPANY_ID) == self._good_data:
            self._async_take_codes(self.latest)
        else:
            self._end_repeat_check = async_call_later(self.hass, REPEAT_CHECK, self._async_check_repeat)

    @callback
    def _async_end_repeat_check(self) -> None:
        if self._end_repeat_check:
            self._end_repeat_check()
            self._end_repeat_check = None

    @callback
    def _async_withdraw_reauth(self) -> None:
        """End the question for a new key: the present one reads the device."""
        for flow in list(self.entry.async_get_active_flows(self.hass, {SOURCE_REAUTH})):
            self.hass.config_entries.flow.async_abort(flow["flow_id"])

    @callback
    def _async_show(self, *, at_once: bool) -> None:
        """Show the latest reading: at once when more than measurements changed, else when the interval is over."""
        shown = self._newest == self.reading and self._energy_shown == self.meter.shown
        if self._newest is None or (shown and not at_once):
            return
        urgent = at_once or self.reading is None or self._newest.flags != self.reading.flags
        if urgent or self._end_interval is None:
            self._async_publish(self._newest)

    @callback
    def _async_publish(self, reading: BatteryReading) -> None:
        self.reading = reading
        self._energy_shown = self.meter.shown
        if self._end_interval:
            self._end_interval()
        self._end_interval = async_call_later(self.hass, self._interval, self._async_interval_over)
        self.async_update_listeners()

    @callback
    def _async_interval_over(self, _now: datetime) -> None:
        self._end_interval = None
        self._async_show(at_once=False)

    @callback
    def _async_regain(self) -> bool:
        """Note that the device is heard; return whether it was not before."""
        regained, self._available = not self._available, True
        if self._lost:
            self._lost = False
            _LOGGER.info("%s is heard again", self.entry.title)
        return regained

    @callback
    def _async_check_silence(self, _now: datetime) -> None:
        """Make the device unavailable when nothing readable came for longer than usual."""
        self._quiet_checks = 0 if self._heard else self._quiet_checks + 1
        self._heard = False
        if self._quiet_checks >= self._patience:
            self._async_lose()

    @property
    def _patience(self) -> int:
        """How many looks without a record it takes. A far-off device, or a radio that sleeps, is heard seldom."""
        if self._decoder is None:
            return 1
        if (interval := async_get_learned_advertising_interval(self.hass, self.address)) is None:
            return UNLEARNED_PATIENCE
        return max(1, ceil(MISSED_ADVERTISEMENTS * interval / SILENCE_CHECK.total_seconds()))

    @callback
    @override
    def _async_handle_unavailable(self, service_info: BluetoothServiceInfoBleak) -> None:
        self._async_lose()

    @callback
    def _async_lose(self) -> None:
        if not self._available:
            return
        self._available = False
        self._lost = True
        _LOGGER.info("%s is silent: no readable advertisement for some time", self.entry.title)
        self.async_update_listeners()
