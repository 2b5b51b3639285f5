"""From advertisement to entity, and what happens when advertisements stop, are wrong, or come twice."""

from datetime import timedelta
from random import Random
from time import monotonic
from unittest.mock import patch

from homeassistant.components.bluetooth import BluetoothScanningMode
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smallbms_ng.coordinator import (
    AGES_CHECK,
    RESTORED_FOR,
    SHORTEST_SILENCE,
    STALE_AFTER,
    DropReason,
    InstantReadoutCoordinator,
    SmallBmsConfigEntry,
)
from custom_components.smallbms_ng.sensor import NIGHT_SENSORS, OUTLOOK_SENSORS
from custom_components.smallbms_ng.storage import STORAGE_DELAY
from emulator.device import DEFAULT_KEY
from emulator.radio.in_process import EmulatedScanner

from .conftest import ADDRESS, UNTIL_SILENT, Radio, entity_id, flows, make_entry, state_of

OTHER_KEY = bytes(reversed(DEFAULT_KEY))
# The same first byte, so the check passes and the record becomes nonsense.
NEAR_KEY = DEFAULT_KEY[:1] + bytes(15)
OTHER_ADDRESS = "C0:3A:5E:00:00:02"


def coordinator_of(entry: SmallBmsConfigEntry) -> InstantReadoutCoordinator:
    return entry.runtime_data.instant_readout


def voltage(hass: HomeAssistant, address: str = ADDRESS) -> str:
    return state_of(hass, "sensor", "voltage", address).state


async def test_heard_before_the_start(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """What Bluetooth heard before the entry was set up is shown at once."""
    assert voltage(hass) == "13.28"


async def test_never_heard(hass: HomeAssistant, radio: Radio) -> None:
    """The entry is set up all the same, and comes to life with the first advertisement."""
    entry = make_entry()
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert voltage(hass) == STATE_UNAVAILABLE
    await radio.send()
    assert voltage(hass) == "13.28"
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_silence_and_return(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, caplog: pytest.LogCaptureFixture
) -> None:
    await radio.wait(UNTIL_SILENT)
    await radio.wait(UNTIL_SILENT)
    await radio.wait(UNTIL_SILENT)
    # What has happened stays true, and when it was. The outlook follows from statistics, which go on.
    stay = {entity_id(hass, "event", "code")} | {entity_id(hass, "sensor", key) for key in ("last_heard", "advertises")}
    stay |= {entity_id(hass, "sensor", description.key) for description in (*OUTLOOK_SENSORS, *NIGHT_SENSORS)}
    entities = [found for found in er.async_get(hass).entities.values() if found.entity_id not in stay]
    states = [hass.states.get(found.entity_id) for found in entities]
    assert {state.state for state in states if state} == {STATE_UNAVAILABLE}
    await radio.send()
    await radio.confirm(error=1)
    assert voltage(hass) == "13.28"
    ours = [record for record in caplog.records if "smallbms_ng" in record.name]
    said = [(record.levelname, record.getMessage()) for record in ours]
    assert said.count(("INFO", f"{entry.title} is silent: no readable advertisement for some time")) == 1
    assert said.count(("INFO", f"{entry.title} is heard again")) == 1


@pytest.mark.usefixtures("entry")
async def test_heard_now_and_then_is_not_silent(hass: HomeAssistant, radio: Radio) -> None:
    for tenths in range(6):
        await radio.wait(SHORTEST_SILENCE * 0.9)
        await radio.send(current=tenths / 10)
    assert voltage(hass) == "13.28"


@pytest.mark.usefixtures("entry")
async def test_a_quiet_battery_that_repeats_itself_is_not_silent(hass: HomeAssistant, radio: Radio) -> None:
    radio.device.faults.repeated = True
    for _ in range(6):
        await radio.send()
        await radio.wait(SHORTEST_SILENCE)
    assert voltage(hass) == "13.28"


@pytest.mark.usefixtures("entry")
async def test_unreadable_for_long_is_unavailable(hass: HomeAssistant, radio: Radio) -> None:
    """That something is heard does not make an old value true."""
    radio.device.faults.changed_key = True
    for tenths in range(5):
        await radio.send(current=tenths / 10)
        await radio.wait(UNTIL_SILENT / 5)
    assert voltage(hass) == STATE_UNAVAILABLE


async def test_bluetooth_says_it_is_gone(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Home Assistant's own watch may notice first, with all its proxies gone."""
    radio.undo.pop()()
    with (
        patch("habluetooth.manager.monotonic_time_coarse", return_value=monotonic() + 3600),
        patch("custom_components.smallbms_ng.coordinator.UNLEARNED_SILENCE", timedelta(days=1)),
    ):
        await hass.config_entries.async_reload(entry.entry_id)
        assert voltage(hass) == "13.28"
        await radio.wait(timedelta(minutes=6))
    assert voltage(hass) == STATE_UNAVAILABLE


async def restart(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Set the entry up anew, without what Bluetooth remembers."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    radio.forget()
    assert await hass.config_entries.async_setup(entry.entry_id)


async def test_restart(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """After a restart the last reading is shown until the device is heard, or found silent."""
    await radio.confirm(voltage=13.31, error=5)
    await restart(hass, radio, entry)
    assert voltage(hass) == "13.31"
    assert state_of(hass, "sensor", "error").state == "e_b05"
    await radio.wait(RESTORED_FOR + AGES_CHECK)
    assert voltage(hass) == STATE_UNAVAILABLE
    await radio.send(voltage=13.32)
    assert voltage(hass) == "13.32"


async def test_restart_writes_the_last_reading(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_storage: dict[str, dict[str, object]]
) -> None:
    """Home Assistant does not unload entries when it stops."""
    await radio.confirm(voltage=13.33, error=5)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await radio.settle()
    assert "quantities" in hass_storage[f"smallbms_ng.{entry.entry_id}"]["data"]  # type: ignore[operator]


async def test_old_values_are_not_shown_after_a_restart(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    assert await hass.config_entries.async_unload(entry.entry_id)
    radio.forget()
    radio.tick(RESTORED_FOR + AGES_CHECK)
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert voltage(hass) == STATE_UNAVAILABLE


async def test_a_silent_device_stays_silent_over_a_reload(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, caplog: pytest.LogCaptureFixture
) -> None:
    await radio.wait(UNTIL_SILENT)
    await restart(hass, radio, entry)
    assert voltage(hass) == STATE_UNAVAILABLE
    await radio.wait(UNTIL_SILENT)
    assert caplog.text.count("is silent") == 1
    await radio.send(voltage=13.0)
    assert voltage(hass) == "13.0"
    assert caplog.text.count("is heard again") == 1


async def test_what_bluetooth_remembers_may_be_too_old(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    """It is told to whoever begins to listen, however long ago it was heard."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    radio.tick(STALE_AFTER * 2)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    assert coordinator_of(entry).dropped == {DropReason.STALE: 1}


async def test_the_reading_is_kept_now_and_then(
    radio: Radio, entry: MockConfigEntry, hass_storage: dict[str, dict[str, object]]
) -> None:
    """So that a power cut loses little, and an SD card is not written all the time."""

    def kept() -> float:
        return hass_storage[f"smallbms_ng.{entry.entry_id}"]["data"]["quantities"]["voltage"]["value"]  # type: ignore[index, no-any-return]

    await radio.wait(timedelta(seconds=STORAGE_DELAY))
    await radio.send()
    for step in range(3):
        assert kept() == 13.28
        await radio.send(voltage=13 + step / 10)
        await radio.wait(timedelta(seconds=STORAGE_DELAY * 0.4))
    assert kept() == 13.2


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"reading": {"record": "00" * 16, "product_id": 1, "nonce": 1}, "heard_at": 1.0, "lost": False},
        {"quantities": {"voltage": {"value": 400.0, "source": "advertised", "age": 1.0}}},
        {"quantities": {"voltage": {"value": "much", "source": "advertised", "age": 1.0}}},
        {"quantities": {"voltage": {"value": 13.0}}},
        {"quantities": {"low_soc": {"value": "high", "source": "advertised", "age": 1.0}}},
        {"quantities": 7},
        {"saved": {"wall": 1.0}, "quantities": {"voltage": {"value": 13.0, "source": "advertised", "age": 1.0}}},
    ],
    ids=["nothing", "earlier", "implausible", "no number", "incomplete", "no level", "something else", "no stamp"],
)
async def test_nothing_usable_was_kept(
    hass: HomeAssistant, radio: Radio, hass_storage: dict[str, object], stored: dict[str, object]
) -> None:
    entry = make_entry()
    hass_storage[f"smallbms_ng.{entry.entry_id}"] = {"version": 1, "minor_version": 1, "data": stored}
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert voltage(hass) == STATE_UNAVAILABLE
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_reload(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    assert await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    await radio.confirm(voltage=13.5, error=1)
    assert voltage(hass) == "13.5"


async def test_unloaded_hears_nothing(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    await radio.send(voltage=13.4)
    assert await hass.config_entries.async_unload(entry.entry_id)
    await radio.confirm(voltage=13.5, error=1)
    await radio.wait(timedelta(minutes=10))
    assert voltage(hass) == STATE_UNAVAILABLE


async def test_removed_and_found_again(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_storage: dict[str, object]
) -> None:
    await hass.config_entries.async_unload(entry.entry_id)
    assert f"smallbms_ng.{entry.entry_id}" in hass_storage
    await hass.config_entries.async_remove(entry.entry_id)
    assert f"smallbms_ng.{entry.entry_id}" not in hass_storage
    radio.device.faults.repeated = True
    await radio.send()
    assert [flow["context"]["unique_id"] for flow in flows(hass)] == [ADDRESS]


UNREADABLE = {
    "nothing": (b"", DropReason.NOT_INSTANT_READOUT),
    "other format": (b"\x11" + bytes(23), DropReason.NOT_INSTANT_READOUT),
    "only the first byte": (b"\x10", DropReason.MALFORMED),
    "solar charger": (bytes.fromhex("100242a0016207adceb37b605d7e0ee21b24df5c"), DropReason.OTHER_RECORD),
    "too short": (b"\x10\x02\xec\xa3\x0a\x01\x00" + DEFAULT_KEY[:1] + bytes(15), DropReason.MALFORMED),
    "short beacon": (b"\x10\x00\xec\xa3", DropReason.SHORT_BEACON),
    "wrong key": (b"\x10\x02\xec\xa3\x0a\x01\x00" + OTHER_KEY[:1] + bytes(16), DropReason.WRONG_KEY),
    "nonsense": (b"\x10\x02\xec\xa3\x0a\x01\x00" + DEFAULT_KEY[:1] + bytes(16), DropReason.IMPLAUSIBLE),
}


@pytest.mark.parametrize(("data", "reason"), UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_is_counted_and_changes_nothing(
    hass: HomeAssistant,
    radio: Radio,
    entry: MockConfigEntry,
    data: bytes,
    reason: DropReason,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = hass.states.async_all()
    await radio.send_bytes(data)
    assert coordinator_of(entry).dropped == {reason: 1}
    assert hass.states.async_all() == before
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_lynx_smart_bms_is_another_product(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    radio.device.product_id = 0xA3E5
    await radio.confirm(voltage=12.0, error=1)
    assert coordinator_of(entry).dropped == {DropReason.OTHER_PRODUCT: 2}
    assert voltage(hass) == "13.28"


async def test_garbage_changes_nothing(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    before, random = voltage(hass), Random(1)
    for length in range(25):
        await radio.send_bytes(random.randbytes(length))
    assert voltage(hass) == before
    assert coordinator_of(entry).dropped.total() == 25
    await radio.confirm(voltage=13.0, error=1)
    await radio.confirm(voltage=13.0, error=5)
    assert voltage(hass) == "13.0"


async def test_late_records_are_left_out(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """A slower proxy may deliver an older record after a newer one."""
    late = radio.device.manufacturer_data()
    await radio.confirm(voltage=13.5, error=1)
    await radio.confirm(voltage=13.6, error=5)
    await radio.send_bytes(late)
    assert voltage(hass) == "13.6"
    assert coordinator_of(entry).dropped == {DropReason.BEHIND: 1}


async def test_a_device_that_started_again_is_read_on(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    """Its counter begins anew, which looks like late records at first."""
    for step in range(30):
        await radio.send(current=step / 10)
    radio.scanner.devices[ADDRESS] = radio.make_device()
    for step in range(4):
        await radio.confirm(voltage=12.5 + step / 10, error=step)
    assert voltage(hass) == "12.8"


@pytest.fixture
async def second_scanner(radio: Radio, entry: MockConfigEntry) -> EmulatedScanner:
    return radio.add(EmulatedScanner(radio.device, source="02:00:00:00:E5:02", rssi={ADDRESS: -40}))


async def test_two_proxies_with_the_same_device(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, second_scanner: EmulatedScanner
) -> None:
    for step in range(3):
        await radio.confirm(voltage=13.0 + step / 10, error=step + 1)
        await radio.send(second_scanner)
        assert voltage(hass) == f"{13.0 + step / 10}"
    assert coordinator_of(entry).accepted == 7


@pytest.mark.usefixtures("entry")
async def test_the_nearer_proxy_takes_over(hass: HomeAssistant, radio: Radio, second_scanner: EmulatedScanner) -> None:
    await radio.confirm(second_scanner, voltage=13.1, error=1)
    assert voltage(hass) == "13.1"
    radio.undo.pop(0)()
    await radio.confirm(second_scanner, voltage=13.2, error=5)
    assert voltage(hass) == "13.2"


async def test_two_devices(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Each has its own entry, its own key and its own state."""
    other = radio.make_device(address=OTHER_ADDRESS, name="Other")
    other.key = OTHER_KEY
    radio.scanner.devices[OTHER_ADDRESS] = other
    second = make_entry(OTHER_ADDRESS, OTHER_KEY.hex(), "Other")
    second.add_to_hass(hass)
    assert await hass.config_entries.async_setup(second.entry_id)
    await radio.confirm(voltage=13.3, error=1)
    assert (voltage(hass), voltage(hass, OTHER_ADDRESS)) == ("13.3", "13.3")
    radio.device.faults.silent = True
    await radio.confirm(voltage=13.4, error=5)
    assert (voltage(hass), voltage(hass, OTHER_ADDRESS)) == ("13.3", "13.4")
    assert await hass.config_entries.async_unload(second.entry_id)


async def test_changed_key_asks_for_the_new_one(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    radio.device.key = OTHER_KEY
    for step in range(4):
        await radio.send(current=step / 10)
    assert not flows(hass)
    await radio.send(current=1.0)
    assert [flow["context"]["source"] for flow in flows(hass)] == [SOURCE_REAUTH]
    await radio.send(current=2.0)
    assert len(flows(hass)) == 1


async def test_a_few_wrong_records_do_not_ask_for_a_key(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    for step in range(12):
        radio.device.key = DEFAULT_KEY if step % 4 == 3 else OTHER_KEY
        await radio.send(current=step / 10)
    assert not flows(hass)


async def test_other_records_never_ask_for_a_key(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    for number in range(30):
        await radio.send_bytes(bytes.fromhex("100242a001") + bytes((number, 0)) + bytes(13))
    assert not flows(hass)


async def test_a_new_key_with_the_same_first_byte(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """One new key in 256 passes the check: only the nonsense it gives tells."""
    radio.device.key = NEAR_KEY
    for step in range(40):
        await radio.send(current=step / 10)
    assert voltage(hass) == "13.28"
    assert [flow["context"]["source"] for flow in flows(hass)] == [SOURCE_REAUTH]


async def test_the_question_for_a_key_is_withdrawn(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Somebody else's records may have raised it: the present key reads the device."""
    radio.device.key = OTHER_KEY
    for step in range(5):
        await radio.send(current=step / 10)
    assert flows(hass)
    radio.device.key = DEFAULT_KEY
    await radio.confirm(voltage=13.0, error=1)
    assert not flows(hass)
    assert voltage(hass) == "13.0"


@pytest.mark.parametrize("repeated", [True, False])
async def test_after_silence_the_return_is_shown_at_once(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, repeated: bool
) -> None:
    """Also with the very bytes that were heard last, which Bluetooth tells to nobody else."""
    await radio.wait(UNTIL_SILENT)
    assert voltage(hass) == STATE_UNAVAILABLE
    radio.device.faults.repeated = repeated
    await radio.send(voltage=13.0)
    assert voltage(hass) == ("13.28" if repeated else "13.0")


@pytest.mark.usefixtures("entry")
async def test_a_device_that_is_heard_seldom_does_not_flap(hass: HomeAssistant, radio: Radio) -> None:
    """A radio that sleeps may wake up every five minutes."""
    for tenths in range(6):
        await radio.wait(timedelta(minutes=5))
        assert voltage(hass) == "13.28"
        await radio.send(current=tenths / 10)


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(("interval", "patience"), [(1.0, 1), (60.0, 2), (300.0, 10)])
async def test_patience_follows_the_usual_interval(
    hass: HomeAssistant, radio: Radio, interval: float, patience: int
) -> None:
    learned = "custom_components.smallbms_ng.coordinator.async_get_learned_advertising_interval"
    with patch(learned, return_value=interval):
        await radio.wait(SHORTEST_SILENCE * patience - AGES_CHECK)
        assert voltage(hass) == "13.28"
        await radio.wait(2 * AGES_CHECK)
        assert voltage(hass) == STATE_UNAVAILABLE


async def test_it_asks_for_active_scans(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """The name, and perhaps the record, travel in the scan response."""
    assert coordinator_of(entry).mode is BluetoothScanningMode.ACTIVE


async def test_other_companies_data_is_none_of_ours(hass: HomeAssistant, radio: Radio) -> None:
    """A scan response alone has no record, which is no reason to count anything."""
    entry = make_entry()
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    radio.scanner._async_on_advertisement(ADDRESS, -60, "x", [], {}, {76: b"\x10"}, None, {}, radio.clock())
    await radio.settle()
    assert coordinator_of(entry).dropped.total() == 0
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_old_records_sent_again_are_left_out(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Anybody can record an advertisement and send it again. Beside those of the device, it is not believed."""
    recorded = radio.device.manufacturer_data()
    for step in range(6):
        await radio.send(voltage=13 + step / 10)
        for _ in range(4):
            await radio.send_bytes(recorded)
        await radio.jump(timedelta(seconds=30))
    assert voltage(hass) == "13.5"
    assert coordinator_of(entry).dropped == {DropReason.BEHIND: 24}


@pytest.mark.parametrize("nonces", [(7, 8), (7, 7)], ids=["restarted", "restarted and quiet"])
async def test_a_counter_that_begins_anew_after_silence(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, nonces: tuple[int, int]
) -> None:
    """Two records are enough then, also of a quiet battery that repeats one; or half the counter was missed."""
    for step in range(30):
        await radio.send(current=step / 10)
    await radio.wait(UNTIL_SILENT)
    assert voltage(hass) == STATE_UNAVAILABLE
    for nonce in nonces:
        device = radio.make_device(nonce=nonce)
        radio.scanner.devices[ADDRESS] = device
        await radio.send(voltage=12.5)
        radio.clock.now += 1
    assert voltage(hass) == "12.5"


async def test_a_forged_copy_of_the_last_record_changes_nothing(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    """Counter mode lets anybody flip single bits of a record, but not give it a new nonce."""
    forged = bytearray(radio.device.manufacturer_data())
    forged[8] ^= 0x09
    await radio.send_bytes(bytes(forged))
    assert state_of(hass, "sensor", "error").state == "none"
    assert coordinator_of(entry).dropped == {DropReason.REPEATED: 1}
