"""The event: what is told of codes, and when."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.helpers.translation import async_get_translations
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.smallbms_ng.const import DOMAIN
from custom_components.smallbms_ng.event import CODE
from custom_components.smallbms_ng.protocol import codes as decoded
from custom_components.smallbms_ng.protocol.record_filter import CONFIRMED_AFTER, HEARD_SELDOM
from custom_components.smallbms_ng.protocol.registers import Name
from custom_components.smallbms_ng.storage import SOON
from emulator.radio.in_process import EmulatedScanner
from emulator.snapshot import Level, LevelField

from .conftest import UNTIL_SILENT, Radio, make_entry, state_of

ALARM = {LevelField.LOW_CELL_VOLTAGE: Level.ALARM}
WARNING = {LevelField.LOW_CELL_VOLTAGE: Level.WARNING}
BEGUN = {"event_type": "a_b01", "code": "A-B01"}
CLEARED = {"event_type": "a_b01_cleared", "code": "A-B01"}
REPEAT_CHECK = timedelta(seconds=CONFIRMED_AFTER)
ALL_OK = dict.fromkeys(LevelField, Level.OK)
FINE = dict.fromkeys((condition.name for condition in decoded.CONDITIONS), decoded.Level.OK)


class Told:
    """What the event told since this was made."""

    def __init__(self, hass: HomeAssistant) -> None:
        self._changes: list[Event[EventStateChangedData]] = async_capture_events(hass, EVENT_STATE_CHANGED)

    @property
    def events(self) -> list[dict[str, object]]:
        """Type and other attributes of each, in order. A state that only comes back is the same moment again."""
        news = [change.data["new_state"] for change in self._changes if change.data["entity_id"].startswith("event.")]
        moments = {
            state.state: state.attributes
            for state in news
            if state and state.state not in {STATE_UNKNOWN, STATE_UNAVAILABLE}
        }
        names = ("event_type", "code", "number")
        return [{name: attributes[name] for name in names if name in attributes} for attributes in moments.values()]


@pytest.fixture
def told(hass: HomeAssistant) -> Told:
    return Told(hass)


async def send(radio: Radio, levels: dict[LevelField, Level], times: int = 2) -> None:
    """Send records of a battery that is never quiet, one a second, so that each has a nonce of its own."""
    for _ in range(times):
        radio.clock.now += 1
        await radio.send(current=(radio.snapshot.current or 0) + 0.1, levels={**ALL_OK, **levels})


async def start(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    assert await hass.config_entries.async_setup(entry.entry_id)


async def restart(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    """Stop, let Bluetooth forget what it heard, and start again."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    radio.forget()
    await start(hass, entry)


@pytest.mark.usefixtures("entry")
async def test_told_with_the_second_record(hass: HomeAssistant, radio: Radio, told: Told) -> None:
    """Level and event are told at the same moment: at an advertisement a second, a second after the first record."""
    await send(radio, {}, times=3)
    await send(radio, ALARM, times=1)
    assert state_of(hass, "sensor", "low_cell_voltage").state == "ok"
    assert told.events == []
    await send(radio, ALARM, times=1)
    assert state_of(hass, "sensor", "low_cell_voltage").state == "alarm"
    assert told.events == [BEGUN]
    await send(radio, ALARM)
    assert told.events == [BEGUN]


@pytest.mark.usefixtures("entry")
async def test_a_quiet_battery_repeats_itself(radio: Radio, told: Told) -> None:
    """It keeps its nonce while nothing changes, and that must not hold the alarm up."""
    await send(radio, {})
    await send(radio, ALARM, times=1)
    await radio.wait(REPEAT_CHECK)
    assert told.events == []
    await radio.send()
    await radio.wait(REPEAT_CHECK)
    assert told.events == [BEGUN]
    await send(radio, {}, times=1)
    radio.clock.now += 1
    await radio.send()
    await radio.wait(REPEAT_CHECK)
    assert told.events == [BEGUN, CLEARED]


@pytest.mark.usefixtures("entry")
async def test_the_same_transmission_over_another_radio_confirms_nothing(radio: Radio, told: Told) -> None:
    second = radio.add(EmulatedScanner(radio.device, source="02:00:00:00:E5:02"))
    await send(radio, {}, times=4)
    await send(radio, ALARM, times=1)
    radio.clock.now += 0.2
    await radio.send(second)
    await radio.wait(REPEAT_CHECK)
    assert told.events == []


async def test_what_is_not_confirmed_ends_with_the_entry(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, told: Told
) -> None:
    await send(radio, {})
    await send(radio, ALARM, times=1)
    assert await hass.config_entries.async_unload(entry.entry_id)
    await radio.send()
    await radio.wait(REPEAT_CHECK)
    assert told.events == []


@pytest.mark.usefixtures("entry")
async def test_the_last_record_before_silence_is_told(radio: Radio, told: Told) -> None:
    """Nothing contradicts it, and nobody would be warned by waiting for more."""
    await send(radio, {}, times=4)
    await send(radio, ALARM, times=1)
    await radio.wait(timedelta(seconds=HEARD_SELDOM - 1))
    assert told.events == []
    await radio.wait(timedelta(seconds=2))
    assert told.events == [BEGUN]


@pytest.mark.usefixtures("entry")
async def test_where_the_device_is_heard_seldom_one_record_is_enough(radio: Radio, told: Told) -> None:
    for _ in range(3):
        await radio.wait(timedelta(seconds=30))
        await send(radio, {}, times=1)
    await radio.wait(timedelta(seconds=30))
    await send(radio, ALARM, times=1)
    assert told.events == [BEGUN]


@pytest.mark.usefixtures("entry")
async def test_a_single_odd_record_is_not_told(radio: Radio, told: Told) -> None:
    await send(radio, {})
    await send(radio, ALARM, times=1)
    await send(radio, {})
    assert told.events == []


@pytest.mark.usefixtures("entry")
async def test_cleared(radio: Radio, told: Told) -> None:
    await send(radio, ALARM)
    await send(radio, {}, times=1)
    assert told.events == [BEGUN]
    await send(radio, {}, times=1)
    assert told.events == [BEGUN, CLEARED]


@pytest.mark.usefixtures("entry")
async def test_of_a_warning_that_becomes_an_alarm_the_alarm_is_told_last(radio: Radio, told: Told) -> None:
    await send(radio, WARNING)
    await send(radio, ALARM)
    assert told.events[1:] == [{"event_type": "w_b01_cleared", "code": "W-B01"}, BEGUN]


@pytest.mark.usefixtures("entry")
async def test_of_several_at_once_the_worst_is_told_last(radio: Radio, told: Told) -> None:
    await send(radio, {})
    await radio.send(error=1, levels={**ALL_OK, **ALARM, LevelField.LOW_SOC: Level.WARNING})
    await radio.send(current=1.0)
    assert [event["code"] for event in told.events] == ["W-B07", "A-B01", "E-B01"]


@pytest.mark.usefixtures("entry")
async def test_every_code_has_a_type(radio: Radio, told: Told) -> None:
    for field in LevelField:
        for level in (Level.WARNING, Level.ALARM):
            await send(radio, {field: level})
            await send(radio, {})
    for error in (1, 5, 9, 11, 0):
        radio.snapshot = replace(radio.snapshot, error=error)
        await send(radio, {})
    types = [str(event["event_type"]) for event in told.events]
    assert types[1::2] == [f"{begun}_cleared" for begun in types[::2]]
    assert types[::2] == [
        *(f"{letter}_b{number:02}" for number in range(1, 10) for letter in "wa"),
        *(f"e_b{number:02}" for number in (1, 5, 9, 11)),
    ]
    # What the advertisement has no room for.
    read = {f"{letter}_b10{end}" for letter in "wa" for end in ("", "_cleared")}
    assert {*types, *read, "unknown_error", "unknown_error_cleared"} == set(CODE.event_types or ())


@pytest.mark.usefixtures("entry")
async def test_an_unknown_error_is_told_with_its_number(radio: Radio, told: Told) -> None:
    await send(radio, {})
    radio.snapshot = replace(radio.snapshot, error=77)
    await send(radio, {})
    assert told.events == [{"event_type": "unknown_error", "code": "E-B77", "number": 77}]


async def test_what_was_so_at_the_first_start_is_not_told(hass: HomeAssistant, radio: Radio, told: Told) -> None:
    entry = make_entry()
    entry.add_to_hass(hass)
    await send(radio, ALARM)
    await start(hass, entry)
    await send(radio, ALARM)
    assert told.events == []
    await send(radio, {})
    assert told.events == [CLEARED]
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_what_was_told_is_not_told_again(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, told: Told
) -> None:
    await send(radio, ALARM)
    await restart(hass, radio, entry)
    await send(radio, ALARM)
    assert told.events == [BEGUN]


async def test_what_began_or_ended_meanwhile_is_told(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, told: Told
) -> None:
    await send(radio, {LevelField.LOW_SOC: Level.WARNING})
    await restart(hass, radio, entry)
    await send(radio, ALARM)
    assert told.events[1:] == [{"event_type": "w_b07_cleared", "code": "W-B07"}, BEGUN]


async def test_what_was_told_is_kept_at_once(
    radio: Radio, entry: MockConfigEntry, hass_storage: dict[str, dict[str, dict[str, object]]]
) -> None:
    """Home Assistant may be killed before the reading is kept."""
    await send(radio, ALARM)
    assert hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["codes"] == ["A-B01"]
    await radio.wait(timedelta(seconds=SOON))
    await send(radio, {})
    assert hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["codes"] == []


@pytest.fixture
def writes() -> Iterator[list[str]]:
    """Return the keys of the stores of the integration that were written, one for each time."""
    keys: list[str] = []
    write = Store._async_write_data

    async def count(store: Store[dict[str, object]], data: dict[str, object]) -> None:
        if store.key.startswith(DOMAIN):
            keys.append(store.key)
        await write(store, data)

    with patch.object(Store, "_async_write_data", count):
        yield keys


async def test_a_code_that_toggles_is_not_kept_all_the_time(
    radio: Radio, entry: MockConfigEntry, writes: list[str]
) -> None:
    """An SD card stands only so many writes."""
    begun = radio.clock.now
    for _ in range(40):
        for levels in (ALARM, {}):
            await send(radio, levels)
            await radio.wait(timedelta(seconds=3))
    assert 1 < len(writes) <= (radio.clock.now - begun) / SOON + 1


async def test_one_read_over_a_connection_is_enough(radio: Radio, entry: MockConfigEntry, told: Told) -> None:
    await send(radio, {})
    feed = entry.runtime_data.instant_readout.async_take_connection_values
    feed({Name.ERROR: 0, Name.LEVELS: {**FINE, "low_cell_voltage": decoded.Level.ALARM}})
    assert told.events == [BEGUN]


async def test_a_read_of_something_else_proves_no_code(radio: Radio, entry: MockConfigEntry, told: Told) -> None:
    await send(radio, {})
    await send(radio, ALARM, times=1)
    entry.runtime_data.instant_readout.async_take_connection_values({Name.VOLTAGE: 13.0})
    assert told.events == []


@pytest.mark.usefixtures("entry")
async def test_the_return_of_a_silent_device_is_no_event(hass: HomeAssistant, radio: Radio) -> None:
    await send(radio, ALARM)
    before = state_of(hass, "event", "code")
    await radio.wait(UNTIL_SILENT)
    assert state_of(hass, "binary_sensor", "problem").state == STATE_UNAVAILABLE
    await send(radio, ALARM)
    await radio.wait(timedelta(minutes=1))
    assert state_of(hass, "event", "code") == before


@pytest.mark.usefixtures("entry")
async def test_the_logbook_has_words(hass: HomeAssistant) -> None:
    """It says the type of an event in the words of its translation."""
    words = await async_get_translations(hass, "nl", "entity", [DOMAIN])
    types = f"component.{DOMAIN}.entity.event.code.state_attributes.event_type.state"
    assert words[f"{types}.a_b01"] == "A-B01: lage celspanning (alarm)"
    assert words[f"{types}.a_b01_cleared"] == "A-B01 voorbij: lage celspanning"
