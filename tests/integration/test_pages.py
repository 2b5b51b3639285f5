"""What is read over a connection and when, and what happens when there is none."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
import json
from typing import Any, Final
from unittest.mock import patch

from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.config_entries import RELOAD_AFTER_UPDATE_DELAY
from homeassistant.const import (
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STOP,
    EVENT_STATE_CHANGED,
    STATE_UNAVAILABLE,
)
from homeassistant.core import Event, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from syrupy.assertion import SnapshotAssertion

from custom_components.smallbms_ng import clock
from custom_components.smallbms_ng.connection.link import Link as PageLink
from custom_components.smallbms_ng.const import CONF_KEY, CONF_PAGES_INTERVAL, DOMAIN
from custom_components.smallbms_ng.coordinator import BACK_OFF, KEEP_OPEN
from custom_components.smallbms_ng.pages import SHOWN_FOR
from custom_components.smallbms_ng.protocol.registers import Name
from custom_components.smallbms_ng.storage import STORAGE_DELAY
from emulator.bms.settings import SettingKey
from emulator.device import DEFAULT_SERIAL_NUMBER, FIRMWARE_REVISION
from emulator.gatt import Link
from emulator.personality.quirks import EVERY_REGISTER, Order, Quirks
from emulator.radio.in_process import EmulatedClient, EmulatedScanner

from .bench import MAIN, QUICK, Bench, a_bench, is_lost
from .conftest import ADDRESS, Radio, entity_id

VOLTAGE: Final = 0xED8D
CELL_VOLTAGES: Final = 0x0385
CELL: Final = 0x0381
FLOOR: Final = 0x210B
OTHER_FLOOR: Final = 0x1008
DETECTION_TIME: Final = 0x1003
CYCLES: Final = 0x0303
MINUTE: Final = timedelta(minutes=1)

# Also what a user has to enable.
pytestmark = pytest.mark.usefixtures("all_enabled")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


@pytest.fixture
async def loaded(bench: Bench) -> Bench:
    """Return a bench that was read once, and counts from then on."""
    await bench.load()
    bench.box.forget()
    return bench


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what the integration logged, but for the details."""
    ours = (record for record in caplog.records if "smallbms_ng" in record.name)
    return [(record.levelname, record.getMessage()) for record in ours if record.levelname != "DEBUG"]


def is_shown(bench: Bench, platform: str, key: str) -> bool:
    return bench.state(platform, key).state != STATE_UNAVAILABLE


class Attempts:
    """When the radio was told to connect."""

    def __init__(self, scanner: EmulatedScanner, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times: list[datetime] = []
        self._open_link = scanner.open_link
        monkeypatch.setattr(scanner, "open_link", self._opened)

    def _opened(self, address: str, **callbacks: object) -> Link:
        if not self.times or utcnow() - self.times[-1] > MINUTE / 2:
            self.times.append(utcnow())
        return self._open_link(address, **callbacks)  # type: ignore[arg-type]  # as they come

    @property
    def pauses(self) -> list[timedelta]:
        """Return how long it was from each to the next, in whole minutes."""
        return [
            timedelta(minutes=round((later - earlier) / MINUTE))
            for earlier, later in zip(self.times, self.times[1:], strict=False)
        ]


# What is read, and when


async def test_the_first_read(hass: HomeAssistant, bench: Bench) -> None:
    """It needs no more round trips than Home Assistant needs to hear of every page, and lets go at once."""
    await bench.load()
    assert bench.idle
    assert bench.state("number", "discharge_floor").state == "10.0"
    assert bench.state("sensor", "batteries").state == "4"
    assert bench.state("sensor", "history_cycles").state == "0"
    assert bench.pages.system_voltage == 24
    assert bench.pages.batteries == (1, 2, 3, 4)
    assert bench.state("sensor", "serial_number").state == DEFAULT_SERIAL_NUMBER
    assert bench.state("sensor", "firmware_version").state == FIRMWARE_REVISION


async def test_the_page_of_a_battery_does_not_show_who_the_bms_is(hass: HomeAssistant, bench: Bench) -> None:
    """Home Assistant shows it what the device has. So that has none, also where it had."""
    await bench.load()
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, ADDRESS), bench.entry.entry_id)
    assert device
    dr.async_get(hass).async_update_device(device.id, serial_number=DEFAULT_SERIAL_NUMBER, sw_version="v1.00")
    await bench.reload()
    reloaded = dr.async_get(hass).async_get(device.id)
    assert isinstance(reloaded, dr.DeviceEntry)
    assert (reloaded.serial_number, reloaded.sw_version) == (None, None)


async def test_each_page_has_its_age(loaded: Bench) -> None:
    for _ in range(13):
        await loaded.wait(timedelta(minutes=5))
    reads = loaded.box.reads
    assert reads[MAIN, VOLTAGE] == reads[MAIN, CELL_VOLTAGES] == reads[1, CELL] == 13
    assert (reads[MAIN, CYCLES], reads[MAIN, FLOOR]) == (2, 1)


async def test_another_interval(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: 90})) as bench:
        await bench.load()
        bench.box.forget()
        await bench.wait(timedelta(minutes=80))
        assert not bench.box.reads
        await bench.wait(timedelta(minutes=11))
        assert {bench.box.reads[MAIN, one] for one in (VOLTAGE, CELL_VOLTAGES, CYCLES, FLOOR)} == {1}


async def test_on_demand_only(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0})) as bench:
        await bench.load()
        await bench.wait(timedelta(hours=3))
        assert not bench.box.reads
        await bench.press("read_now")
        assert bench.state("sensor", "history_cycles").state == "0"
        bench.box.forget()
        await bench.wait(timedelta(hours=3))
        assert not bench.box.reads


async def test_only_what_enabled_entities_show_is_read(hass: HomeAssistant, loaded: Bench) -> None:
    registry = er.async_get(hass)
    for key in ("history_cycles", "cell_voltage_min", *(f"battery_2_cell_{cell}" for cell in range(1, 5))):
        registry.async_update_entity(entity_id(hass, "sensor", key), disabled_by=er.RegistryEntryDisabler.USER)
    for found in er.async_entries_for_config_entry(registry, loaded.entry.entry_id):
        if "battery_3_" in found.unique_id:
            registry.async_update_entity(found.entity_id, disabled_by=er.RegistryEntryDisabler.USER)
    await loaded.wait(timedelta(seconds=RELOAD_AFTER_UPDATE_DELAY + 1))
    loaded.box.forget()
    await loaded.press("read_now")
    reads = loaded.box.reads
    assert reads[MAIN, CYCLES] == reads[2, CELL] == 0
    assert not [key for key in reads if key[0] == 3]
    assert reads[1, CELL] == 1
    assert reads[2, VOLTAGE] == 1
    # The highest cell voltage is still shown, and is in the same register.
    assert reads[MAIN, CELL_VOLTAGES] == 1
    assert not {0xED8E, 0xEC65} & {register for _, register in reads}


async def test_of_two_registers_for_one_value_one_is_read(loaded: Bench) -> None:
    await loaded.press("read_now")
    assert loaded.box.reads[MAIN, FLOOR] == 1
    assert loaded.box.reads[MAIN, OTHER_FLOOR] == 0


async def test_the_other_register_is_used_where_the_first_is_missing(bench: Bench) -> None:
    await bench.load(Quirks(missing={FLOOR}))
    await bench.set("discharge_floor", 12)
    assert [register for register, _ in bench.box.writes if register != 0x0093] == [OTHER_FLOOR]
    assert bench.state("number", "discharge_floor").state == "12.0"


# Registers that the device does not have


@pytest.mark.parametrize("silent", [False, True])
async def test_refused_registers_are_remembered(
    bench: Bench, hass_storage: dict[str, dict[str, Any]], silent: bool
) -> None:
    quirks = Quirks(missing={CYCLES, DETECTION_TIME}, silent_about_missing=silent)
    await bench.load(quirks)
    assert not bench.has("sensor", "history_cycles")
    assert not bench.has("number", "charged_detection_time")
    assert bench.has("number", "discharge_floor")
    await bench.unload()
    stored = hass_storage[f"smallbms_ng.{bench.entry.entry_id}"]["data"]["pages"]
    assert {"battery": None, "register": CYCLES} in stored["refused"]
    bench.box.forget()
    await bench.load(quirks)
    await bench.wait(timedelta(minutes=31))
    assert bench.box.reads[MAIN, CYCLES] == bench.box.reads[MAIN, DETECTION_TIME] == 0


async def test_read_now_asks_again(bench: Bench) -> None:
    await bench.load(Quirks(missing={CYCLES, DETECTION_TIME}))
    bench.service.quirks = Quirks()
    await bench.wait(timedelta(hours=2))
    assert not bench.has("sensor", "history_cycles")
    await bench.press("read_now")
    assert bench.state("sensor", "history_cycles").state == "0"
    assert bench.state("number", "charged_detection_time").state == "3"


async def test_what_was_there_and_is_refused_is_unknown(loaded: Bench) -> None:
    loaded.service.quirks = Quirks(missing={CYCLES})
    await loaded.press("read_now")
    assert loaded.state("sensor", "history_cycles").state == "unknown"


async def test_a_device_that_answers_no_register_but_voltage(bench: Bench) -> None:
    await bench.load(Quirks(missing=set(EVERY_REGISTER) - {VOLTAGE}))
    keys = [found.unique_id for found in er.async_get(bench.hass).entities.values() if found.domain == "number"]
    assert keys == []
    assert not is_lost(bench)
    assert is_shown(bench, "sensor", "voltage")
    assert is_shown(bench, "sensor", "battery_level")


ODD: Final = (
    Quirks(order=Order.SHUFFLED, unasked_between=True, one_stream=False),
    Quirks(order=Order.REVERSED, unasked_between=True, false_starts=True),
    Quirks(order=Order.SHUFFLED, one_stream=False, acknowledges_writes=True, instance_offset=3),
)


@pytest.mark.parametrize("quirks", ODD)
async def test_values_unasked_and_out_of_order(bench: Bench, quirks: Quirks) -> None:
    await bench.load(quirks)
    assert bench.pages.batteries == (1, 2, 3, 4)
    for number in bench.pages.batteries:
        cells = [float(bench.state("sensor", f"battery_{number}_cell_{cell}").state) for cell in range(1, 5)]
        assert cells == pytest.approx(bench.bms.bank.cell_voltages[bench.bms.bank.battery_cells(number - 1)], abs=0.01)
    await bench.set("discharge_floor", 12)
    assert bench.state("number", "discharge_floor").state == "12.0"
    assert bench.bms.settings.discharge_floor == 12


# The readings


async def test_what_is_read_feeds_the_readings(bench: Bench) -> None:
    await bench.load()
    bench.device.faults.silent = True
    bench.bms.step(current=-40, ambient=20, seconds=600)
    await bench.press("read_now")
    await bench.wait(timedelta(seconds=10))
    assert float(bench.state("sensor", "voltage").state) == pytest.approx(bench.bms.voltage, abs=0.01)
    assert float(bench.state("sensor", "current").state) == pytest.approx(-40, abs=0.1)
    assert float(bench.state("sensor", "battery_level").state) == pytest.approx(
        bench.bms.monitor.state_of_charge, abs=0.1
    )
    assert bench.state("binary_sensor", "allowed_to_charge").state == "on"
    assert bench.state("sensor", "low_soc").state == "ok"


async def test_a_reading_over_a_connection_is_the_one_that_is_sent(bench: Bench) -> None:
    """Else every connection would change what is shown, and the next advertisement change it back."""
    bench.bms.step(current=-12.3456, ambient=21.7, seconds=600)
    await bench.load()
    coordinator = bench.entry.runtime_data.instant_readout
    bench.radio.tick(timedelta(seconds=1))
    bench.radio.scanner.advertise()
    advertised = coordinator.quantities.all(clock.now())
    assert {advertised[name].source for name in ("voltage", "error", "low_soc")} == {"advertised"}
    await bench.press("read_now")
    read = coordinator.quantities.all(clock.now())
    assert {read[name].source for name in ("voltage", "error", "low_soc")} == {"connection"}
    assert {name: one.value for name, one in read.items()} == {name: one.value for name, one in advertised.items()}


async def test_readings_stay_while_the_line_is_held(loaded: Bench) -> None:
    for step in range(60):
        await loaded.set("discharge_floor", 5 + step % 5)
        assert loaded.device.connected
        await loaded.wait(timedelta(seconds=8))
        assert loaded.device.connected
        assert is_shown(loaded, "sensor", "voltage")


async def test_without_a_key_the_connection_gives_the_readings(hass: HomeAssistant, radio: Radio) -> None:
    bench = Bench(hass, radio)
    data = {key: value for key, value in bench.entry.data.items() if key != CONF_KEY}
    hass.config_entries.async_update_entry(bench.entry, data=data)
    async with a_bench(bench):
        await bench.load()
        assert float(bench.state("sensor", "voltage").state) == pytest.approx(bench.bms.voltage, abs=0.01)
        assert bench.state("sensor", "error").state == "none"
        for _ in range(6):
            await bench.wait(timedelta(minutes=5))
            assert is_shown(bench, "sensor", "voltage")
        radio.device.faults.refuse_connections = True
        await bench.wait(timedelta(minutes=30))
        await bench.wait(timedelta(minutes=30))
        assert not is_shown(bench, "sensor", "voltage")


async def test_without_a_key_what_was_read_is_kept_when_home_assistant_stops(
    hass: HomeAssistant, radio: Radio, hass_storage: dict[str, dict[str, Any]]
) -> None:
    """It does not unload entries then: the counted energy would go back to what it was at the last code."""
    bench = Bench(hass, radio)
    data = {key: value for key, value in bench.entry.data.items() if key != CONF_KEY}
    hass.config_entries.async_update_entry(bench.entry, data=data)
    async with a_bench(bench):
        await bench.load()
        await bench.wait(timedelta(minutes=5))
        hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
        await bench.settle()
        kept = hass_storage[f"smallbms_ng.{bench.entry.entry_id}"]["data"]
        assert kept["quantities"]["voltage"]["source"] == "connection"
        assert kept["quantities"]["voltage"]["age"] < 60


# No connection


async def test_no_connection_for_hours(loaded: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The readings go on, the settings stay, what was measured is not shown for ever; and there is no noise."""
    loaded.device.faults.refuse_connections = True
    for minute in range(round((SHOWN_FOR + timedelta(hours=1)) / MINUTE)):
        await loaded.wait(MINUTE)
        assert is_shown(loaded, "sensor", "voltage"), minute
    assert is_shown(loaded, "number", "discharge_floor")
    assert is_shown(loaded, "button", "read_now")
    assert not is_shown(loaded, "sensor", "cell_voltage_min")
    loaded.device.faults.refuse_connections = False
    await loaded.wait(timedelta(hours=1))
    assert is_shown(loaded, "sensor", "cell_voltage_min")
    ours = said(caplog)
    assert {level for level, _ in ours} <= {"INFO"}
    assert len([text for _, text in ours if "cannot be read over a connection" in text]) == 1
    assert len([text for _, text in ours if "can be read over a connection again" in text]) == 1


async def test_failures_are_tried_ever_more_seldom(loaded: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded.device.faults.refuse_connections = True
    attempts = Attempts(loaded.radio.scanner, monkeypatch)
    for _ in range(240):
        await loaded.wait(MINUTE)
    assert [round(pause / MINUTE) for pause in attempts.pauses[: len(BACK_OFF)]] == [1, 2, 5, 15, 30, 60]
    assert attempts.pauses[len(BACK_OFF)] == timedelta(minutes=60)
    loaded.device.faults.refuse_connections = False
    await loaded.press("read_now")
    del attempts.times[:-1]
    for _ in range(11):
        await loaded.wait(MINUTE)
    assert attempts.pauses == [timedelta(minutes=5)] * 2


async def test_busy_while_the_phone_has_it(loaded: Bench) -> None:
    """Nothing is sent meanwhile, and nobody else gets in; afterwards all is as before."""
    loaded.service.quirks = Quirks(keep_alive=timedelta(days=1).total_seconds())
    phone = loaded.device.peripheral.connect("phone", on_notify=lambda *_: None, on_lost=lambda: None)
    for _ in range(60):
        await loaded.radio.wait(MINUTE)
    assert is_lost(loaded)
    phone.close()
    loaded.bms.change_setting(SettingKey.DISCHARGE_FLOOR, 12)
    for _ in range(61):
        await loaded.wait(MINUTE)
    assert not is_lost(loaded)
    assert is_shown(loaded, "sensor", "voltage")
    assert loaded.state("number", "discharge_floor").state == "12.0"


async def test_no_slot_is_no_reason_to_lose_anything(loaded: Bench) -> None:
    loaded.radio.scanner.slots = 0
    await loaded.wait(timedelta(minutes=5))
    await loaded.wait(MINUTE)
    assert is_lost(loaded)
    assert is_shown(loaded, "sensor", "voltage")
    loaded.radio.scanner.slots = 3
    await loaded.wait(timedelta(hours=1))
    assert not is_lost(loaded)


async def test_a_lost_bond(loaded: Bench) -> None:
    loaded.radio.scanner.pin = None
    loaded.device.peripheral.bonds.clear()
    await loaded.wait(timedelta(minutes=5))
    assert is_lost(loaded)
    assert is_shown(loaded, "sensor", "voltage")
    with pytest.raises(HomeAssistantError) as raised:
        await loaded.press("read_now")
    assert raised.value.translation_key == "proxy_has_no_pin"


async def test_without_a_pin_nothing_connects(
    hass: HomeAssistant, radio: Radio, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(hass, radio)
    data = {key: value for key, value in bench.entry.data.items() if key != "pin"}
    hass.config_entries.async_update_entry(bench.entry, data=data)
    async with a_bench(bench):
        await bench.load()
        for _ in range(40):
            await bench.wait(timedelta(minutes=3))
        assert bench.entry.runtime_data.pages is None
        assert not bench.box.reads
        domains = {found.domain for found in er.async_get(hass).entities.values()}
        assert domains == {"sensor", "binary_sensor", "event"}
        assert said(caplog) == []


async def test_nothing_to_connect_with(hass: HomeAssistant, radio: Radio, caplog: pytest.LogCaptureFixture) -> None:
    """A radio that only listens gives all readings. That nothing can connect is said once."""
    radio.undo.pop()()
    radio.scanner = radio.add(EmulatedScanner(radio.device, connectable=False))
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        for _ in range(30):
            await bench.wait(timedelta(minutes=1))
        assert is_shown(bench, "sensor", "voltage")
        assert not bench.has("number", "discharge_floor")
        assert [level for level, _ in said(caplog)] == ["INFO"]
        with pytest.raises(HomeAssistantError) as raised:
            await bench.press("read_now")
        assert raised.value.translation_key == "not_reachable"


# Restarts, and the end


async def test_values_are_kept_over_a_restart(loaded: Bench) -> None:
    await loaded.set("tail_current", 5.5)
    await loaded.unload()
    loaded.device.faults.refuse_connections = True
    await loaded.load()
    assert loaded.state("number", "tail_current").state == "5.5"
    assert loaded.state("sensor", "batteries").state == "4"
    assert float(loaded.state("sensor", "battery_2_cell_1").state) > 3
    assert loaded.pages.batteries == (1, 2, 3, 4)


async def test_what_was_kept_of_an_unknown_register_is_left_out(
    bench: Bench, hass_storage: dict[str, dict[str, object]]
) -> None:
    kept = {"battery": None, "register": 0x7777, "payloads": ["00"], "at": 0.0}
    data = {"registers": [kept], "refused": [], "batteries": []}
    name = f"smallbms_ng.{bench.entry.entry_id}"
    hass_storage[name] = {"version": 1, "minor_version": 1, "data": {"pages": data}}
    await bench.load()
    assert bench.state("sensor", "history_cycles").state == "0"


async def test_removed_with_all_that_was_kept(loaded: Bench, hass_storage: dict[str, object]) -> None:
    await loaded.unload()
    ours = f"smallbms_ng.{loaded.entry.entry_id}"
    # A version before the stores were merged was here for a while.
    hass_storage[f"{ours}.pages"] = {"version": 1, "minor_version": 1, "data": {}}
    assert ours in hass_storage
    await loaded.hass.config_entries.async_remove(loaded.entry.entry_id)
    assert not [name for name in hass_storage if name.startswith(ours)]


async def test_unloaded_in_the_middle_of_a_read(loaded: Bench) -> None:
    loaded.service.quirks = Quirks(answer_delay=0.05)
    task = loaded.hass.async_create_task(loaded.pages.async_refresh())
    await loaded.until(lambda: bool(loaded.box.reads))
    assert loaded.device.connected
    await loaded.unload()
    assert loaded.idle
    await task


async def test_what_is_read_while_it_is_unloaded_is_kept(
    loaded: Bench, hass_storage: dict[str, dict[str, Any]]
) -> None:
    """What nobody could be told of any more is told at the next start."""
    states: list[Event[Any]] = async_capture_events(loaded.hass, EVENT_STATE_CHANGED)
    loaded.service.quirks = Quirks(answer_delay=0.05)
    loaded.bms.faults.hardware_fault = True
    loaded.bms.refresh()
    task = loaded.hass.async_create_task(loaded.pages.async_refresh())
    await loaded.until(lambda: bool(loaded.box.reads))
    await loaded.unload()
    await task
    stored = hass_storage[f"smallbms_ng.{loaded.entry.entry_id}"]["data"]
    assert stored["codes"] == []
    assert stored["quantities"]["error"]["value"] == 11
    await loaded.load()
    code = entity_id(loaded.hass, "event", "code")
    news = [state.data["new_state"] for state in states if state.data["entity_id"] == code]
    assert news[-1].attributes["code"] == "E-B11"


async def test_unloaded_in_the_middle_of_a_write(loaded: Bench) -> None:
    loaded.service.quirks = Quirks(answer_delay=0.05)
    first = loaded.hass.async_create_task(loaded.pages.async_write(Name.TAIL_CURRENT, 5))
    second = loaded.hass.async_create_task(loaded.pages.async_write(Name.TAIL_CURRENT, 6))
    await loaded.until(lambda: bool(loaded.box.writes))
    await loaded.unload()
    assert loaded.idle
    await first
    with pytest.raises(HomeAssistantError) as raised:
        await second
    assert raised.value.translation_key == "connection_lost"
    assert loaded.bms.settings.tail_current == 5


class SlowConnections:
    """Connections that the radio goes on trying to make, as when a phone holds the device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        monkeypatch.setattr(EmulatedClient, "connect", self._connect)

    async def _connect(self, *_args: object, **_kwargs: object) -> None:
        self.begun += 1
        await asyncio.Event().wait()


@pytest.fixture
async def slow(loaded: Bench, monkeypatch: pytest.MonkeyPatch) -> SlowConnections:
    monkeypatch.setattr("custom_components.smallbms_ng.coordinator.TIMING", replace(QUICK, connect=1000))
    await loaded.unload()
    loaded.hass.config_entries.async_update_entry(loaded.entry, options={CONF_PAGES_INTERVAL: 0})
    await loaded.load()
    return SlowConnections(monkeypatch)


async def test_unloaded_while_it_connects(loaded: Bench, slow: SlowConnections) -> None:
    """What waits for no answer of the device is not waited for."""
    task = loaded.hass.async_create_task(loaded.pages.async_refresh())
    await loaded.until(lambda: bool(slow.begun))
    async with asyncio.timeout(5):
        await loaded.unload()
    await task
    assert slow.begun == 1
    assert loaded.idle


async def test_a_user_is_told_that_it_was_unloaded(loaded: Bench, slow: SlowConnections) -> None:
    first = loaded.hass.async_create_task(loaded.pages.async_write(Name.TAIL_CURRENT, 5))
    second = loaded.hass.async_create_task(loaded.pages.async_read_now())
    await loaded.until(lambda: bool(slow.begun))
    async with asyncio.timeout(5):
        await loaded.unload()
    for task in (first, second):
        with pytest.raises(HomeAssistantError) as raised:
            await task
        assert raised.value.translation_key == "connection_lost"
    assert slow.begun == 1
    assert loaded.idle
    assert loaded.bms.settings.tail_current != 5


async def test_what_is_cancelled_by_others_stays_cancelled(loaded: Bench, slow: SlowConnections) -> None:
    task = loaded.hass.async_create_task(loaded.pages.async_read_now())
    await loaded.until(lambda: bool(slow.begun))
    task.cancel()
    await loaded.unload()
    assert task.cancelled()
    assert loaded.idle


async def test_unloaded_in_the_middle_of_a_write_without_an_answer(
    loaded: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may finish, but not for long."""
    timing = replace(QUICK, answer=1000, operation=1000, finish=0.1)
    monkeypatch.setattr("custom_components.smallbms_ng.coordinator.TIMING", timing)
    await loaded.reload()
    loaded.box.forget()
    loaded.service.quirks = Quirks(answer_delay=0.05)
    task = loaded.hass.async_create_task(loaded.pages.async_write(Name.TAIL_CURRENT, 5))
    await loaded.until(lambda: bool(loaded.box.writes))
    loaded.service.quirks = Quirks(answer_delay=1000)
    async with asyncio.timeout(5):
        await loaded.unload()
    with pytest.raises(HomeAssistantError) as raised:
        await task
    assert raised.value.translation_key == "connection_lost"
    assert loaded.idle


async def test_unloaded_while_a_pin_is_tried(loaded: Bench) -> None:
    """Whoever tries it has a connection of its own, and may take long."""
    async with asyncio.timeout(5), loaded.pages.async_pause_connection():
        await loaded.unload()
    assert loaded.idle


async def test_home_assistant_stops_in_the_middle_of_a_read(loaded: Bench) -> None:
    loaded.service.quirks = Quirks(answer_delay=0.05)
    task = loaded.hass.async_create_task(loaded.pages.async_refresh())
    await loaded.until(lambda: bool(loaded.box.reads))
    assert loaded.device.connected
    loaded.hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await loaded.settle()
    assert loaded.idle
    assert task.done()
    assert is_shown(loaded, "sensor", "voltage")


async def test_home_assistant_stops_in_the_middle_of_a_write(loaded: Bench) -> None:
    """What was begun is finished, what waits is not begun, and what the device has is known after the start."""
    loaded.service.quirks = Quirks(answer_delay=0.05)
    first = loaded.hass.async_create_task(loaded.pages.async_write(Name.TAIL_CURRENT, 5))
    second = loaded.hass.async_create_task(loaded.pages.async_write(Name.TAIL_CURRENT, 6))
    await loaded.until(lambda: bool(loaded.box.writes))
    loaded.hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await loaded.settle()
    assert loaded.idle
    await first
    with pytest.raises(HomeAssistantError) as raised:
        await second
    assert raised.value.translation_key == "connection_lost"
    await loaded.reload()
    assert loaded.state("number", "tail_current").state == "5.0"
    assert loaded.bms.settings.tail_current == 5


@pytest.mark.parametrize("held", [True, False])
async def test_home_assistant_stops(loaded: Bench, held: bool) -> None:
    if held:
        await loaded.set("tail_current", 5)
    assert loaded.device.connected is held
    loaded.hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await loaded.settle()
    assert loaded.idle


async def test_hold_ends(loaded: Bench) -> None:
    await loaded.set("tail_current", 5)
    session = loaded.service.session
    await loaded.wait(KEEP_OPEN / 2)
    await loaded.set("tail_current", 6)
    assert loaded.service.session is session, "another connection was made"
    await loaded.wait(KEEP_OPEN - timedelta(seconds=1))
    assert loaded.device.connected
    await loaded.wait(timedelta(seconds=2))
    assert loaded.idle


# All entities


async def test_entities(hass: HomeAssistant, bench: Bench, snapshot: SnapshotAssertion) -> None:
    """Everything that a connection adds, of the device and of its first battery."""
    await bench.load()
    shown = {}
    for found in er.async_entries_for_config_entry(er.async_get(hass), bench.entry.entry_id):
        other_battery = "_battery_" in found.unique_id and "_battery_1_" not in found.unique_id
        if other_battery or found.domain == "binary_sensor":
            continue
        state = hass.states.get(found.entity_id)
        shown[found.entity_id] = {
            "unique_id": found.unique_id,
            "category": found.entity_category,
            "state": state.state if state and found.original_device_class != SensorDeviceClass.TIMESTAMP else None,
            # Times differ from run to run.
            "attributes": {key: value for key, value in state.attributes.items() if not isinstance(value, datetime)}
            if state
            else None,
        }
    assert shown == snapshot


async def test_a_full_read_takes_few_requests(loaded: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four batteries at most eight, after the opening: every one costs the time of a round trip."""
    sent: list[bytes] = []
    send = PageLink.send

    async def counted(self: PageLink, request: bytes) -> None:
        sent.append(request)
        await send(self, request)

    monkeypatch.setattr(PageLink, "send", counted)
    await loaded.press("read_now")
    opening = 2  # what instances there are, and the subscription to the first
    assert 0 < len(sent) - opening <= 8


# Stores of earlier versions


async def test_the_pages_of_an_earlier_version_are_taken_over(
    bench: Bench, hass_storage: dict[str, dict[str, Any]]
) -> None:
    """They had a file of their own."""
    await bench.load()
    await bench.unload()
    ours = f"smallbms_ng.{bench.entry.entry_id}"
    pages = hass_storage[ours]["data"].pop("pages")
    hass_storage[f"{ours}.pages"] = {"version": 1, "minor_version": 1, "data": pages}
    bench.device.faults.refuse_connections = True
    await bench.load()
    assert bench.state("number", "discharge_floor").state == "10.0"
    assert float(bench.state("sensor", "battery_4_cell_4").state) > 3
    assert f"{ours}.pages" not in hass_storage
    assert hass_storage[ours]["data"]["pages"]["batteries"]


async def test_what_connections_read_takes_little_room(bench: Bench, hass_storage: dict[str, dict[str, Any]]) -> None:
    """Written every quarter of an hour, less than 1 MiB a day for a bank of four batteries."""
    await bench.load()
    await bench.wait(timedelta(minutes=20))
    await bench.unload()
    stored = hass_storage[f"smallbms_ng.{bench.entry.entry_id}"]
    written = json.dumps(stored, separators=(",", ":"))
    assert len(written) * timedelta(days=1) / timedelta(seconds=STORAGE_DELAY) < 2**20


async def test_each_device_is_looked_up_once_for_each_platform(bench: Bench) -> None:
    await bench.load()
    await bench.unload()
    registry = dr.async_get(bench.hass)
    names = ("async_get_or_create", "async_get_or_create_child")
    with ExitStack() as stack:
        spies = [stack.enter_context(patch.object(registry, name, wraps=getattr(registry, name))) for name in names]
        await bench.load()
    calls = [call for spy in spies for call in spy.call_args_list]
    looked_up = Counter(frozenset(call.kwargs["identifiers"]) for call in calls)
    batteries = [times for ids, times in looked_up.items() if "battery" in str(ids)]
    assert batteries == [1] * 4
    # Once for each of six platforms, for what the device offers besides, and for its serial number.
    assert looked_up.total() - 4 <= 12
