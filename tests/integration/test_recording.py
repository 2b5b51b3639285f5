"""The recording in the diagnostics: what was heard and said, without what identifies anybody."""

from collections.abc import AsyncGenerator, Iterator
from copy import copy
import json
import logging
import tracemalloc
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_ADDRESS, CONF_PIN, __version__
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import CONF_KEY, DOMAIN
from custom_components.smallbms_ng.recording import Outcome, Recording, async_recording_of
from emulator.device import DEFAULT_KEY, DEFAULT_NAME
from emulator.radio.in_process import EmulatedScanner

from .bench import QUICK, Bench, a_bench
from .conftest import ADDRESS, Radio, entity_id, flows, make_entry
from .connected import PIN, Served, without_bluez
from .test_diagnostics import diagnostics_of

LIMIT: Final = 64 * 1024
WRONG_PIN: Final = "123456"
OTHER_KEY: Final = bytes(reversed(DEFAULT_KEY))


@pytest.fixture(autouse=True)
async def _diagnostics(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, "diagnostics", {})


@pytest.fixture
async def served(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Served]:
    """Return the registers that the device serves to a radio that holds a bond."""
    # After the fixture of the client, which decides anew what sockets there may be.
    without_bluez(monkeypatch)
    radio.scanner.pin = radio.device.pin
    with (
        patch("custom_components.smallbms_ng.coordinator.TIMING", QUICK),
        patch("custom_components.smallbms_ng.config_flow.SHORTEST_PROGRESS", 0),
        patch("bleak_retry_connector.calculate_backoff_time", return_value=0),
    ):
        yield Served(radio.device)
        for entry in hass.config_entries.async_entries(DOMAIN):
            if entry.state is ConfigEntryState.LOADED:
                assert await hass.config_entries.async_unload(entry.entry_id)
        await radio.settle()


async def recording_of(hass: HomeAssistant, client: ClientSessionGenerator, entry: MockConfigEntry) -> Any:  # noqa: ANN401
    """Return the recording as an owner downloads it."""
    return (await diagnostics_of(hass, client, entry))["recording"]


async def do(hass: HomeAssistant, platform: str, action: str, key: str, **data: object) -> None:
    """Do something with an entity, as a user does."""
    target = {"entity_id": entity_id(hass, platform, key)}
    await hass.services.async_call(platform, action, {**target, **data}, blocking=True)


async def add_by_pin(hass: HomeAssistant, radio: Radio) -> Any:  # noqa: ANN401  # the entry of a flow
    """Add the device by its PIN, at the second try."""
    await radio.send()
    (flow,) = flows(hass)
    for pin in (WRONG_PIN, PIN):
        radio.scanner.pin = pin
        result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: PIN})
        await hass.async_block_till_done()
        result = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert result["type"] == "create_entry"
    await radio.settle()
    return result["result"]


def said(recording: Any, operation: str) -> str:  # noqa: ANN401
    """Return what was said over all connections, in one direction."""
    frames = [frame for connection in recording["connections"] for frame in connection["frames"]]
    return "".join(
        frame["bytes"]
        for frame in frames
        if frame["operation"] == operation and frame["characteristic"] in ("data", "last_data")
    )


def spellings(secret: bytes) -> Iterator[str]:
    """Yield how a secret may be written in a file, in lower case."""
    for data in (secret, secret[::-1]):
        yield from (data.hex(), data.hex(":"), data.hex("-"), data.hex("_"), data.hex(" "))
    if secret.isascii():
        yield secret.decode().lower()


def assert_hides(text: str, *secrets: bytes) -> None:
    for secret in secrets:
        for spelling in spellings(secret):
            assert spelling not in text.lower(), secret


async def test_a_whole_run_with_debug_logging_tells_no_secret(
    hass: HomeAssistant,
    radio: Radio,
    served: Served,
    hass_client: ClientSessionGenerator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    entry = await add_by_pin(hass, radio)
    await radio.confirm(voltage=13.1)
    first = await diagnostics_of(hass, hass_client, entry)
    await do(hass, "button", "press", "read_now")
    await do(hass, "number", "set_value", "tail_current", value=3.5)
    await entry.runtime_data.pages.async_shutdown()
    radio.device.peripheral.bonds.clear()
    radio.scanner.pin = WRONG_PIN
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.settle()
    with pytest.raises(HomeAssistantError):
        await do(hass, "button", "press", "read_now")
    found = await diagnostics_of(hass, hass_client, entry)

    serial_numbers = {
        payload.rstrip(b"\0")
        for instance in range(5)
        for payload in served.box.read(instance, 0x010A)
        if isinstance(payload, bytes)
    }
    assert len(serial_numbers) == 5
    octets = bytes.fromhex(ADDRESS.replace(":", ""))
    source = bytes.fromhex(radio.scanner.source.replace(":", ""))
    names = DEFAULT_NAME.encode(), radio.scanner.name.encode()
    pin = PIN.encode(), int(PIN).to_bytes(4, "little")
    for text in map(json.dumps, (first, found)):
        assert_hides(text, DEFAULT_KEY, octets, source, *pin, *names, *serial_numbers)
    assert bytes(15).hex() + "01" in said(first["recording"], "notify"), "the stand-in of the key"
    recording = found["recording"]
    assert len(json.dumps(recording)) < LIMIT
    assert [one["kind"] for one in recording["connections"]] == ["proxy"] * 3
    assert recording["connections"][-1]["errors"], "the PIN was refused"
    assert "060082191002422300" in said(recording, "write")


async def test_records_are_decrypted(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    radio.clock.now += 1.25
    await radio.send(voltage=13.11)
    await radio.send()
    recording = await recording_of(hass, hass_client, entry)
    first, second, third = recording["advertisements"]
    assert (first["at"], second["at"], third["at"]) == (0, 1.25, 1.25)
    assert (first["outcome"], second["outcome"], third["outcome"]) == ("believed", "believed", "repeated")
    record = entry.runtime_data.instant_readout.last_record.record_bytes
    assert second["bytes"][16:] == record.hex()
    assert second["bytes"][14:16] == "00", "the key check"
    assert second["decrypted"] is True
    assert (second["radio"], second["signal"]) == ("radio 1", -60)
    assert second["name"].startswith("name 1")
    assert len(second["name"]) == len(DEFAULT_NAME)
    assert recording["format"] == 1
    assert recording["home_assistant"] == __version__
    assert recording["integration"]
    assert (recording["length"], recording["connections"], recording["survey"]) == (1.2, [], None)


@pytest.mark.parametrize(
    ("data", "outcome", "shown"),
    [
        (b"", Outcome.OTHER_RECORD, ""),
        (b"\x10", Outcome.MALFORMED, "10"),
        (bytes.fromhex("1000eca3"), Outcome.SHORT_BEACON, "1000eca3"),
        (
            bytes.fromhex("1000eca30a0100") + OTHER_KEY[:1] + b"A" * 16,
            Outcome.WRONG_KEY,
            "1000eca30a010000" + "00" * 16,
        ),
        (
            bytes.fromhex("1000eca3020100") + OTHER_KEY[:1] + b"A" * 16,
            Outcome.OTHER_RECORD,
            "1000eca3020100" + "00" * 17,
        ),
        (b"HQ2530AB12C", Outcome.OTHER_RECORD, b"HQ2530A".hex() + "00" * 4),
    ],
)
async def test_what_is_not_decrypted_is_not_shown(
    hass: HomeAssistant,
    radio: Radio,
    entry: MockConfigEntry,
    hass_client: ClientSessionGenerator,
    data: bytes,
    outcome: Outcome,
    shown: str,
) -> None:
    await radio.send_bytes(data)
    (*_, last) = (await recording_of(hass, hass_client, entry))["advertisements"]
    assert (last["outcome"], last["decrypted"], last["bytes"]) == (outcome, False, shown)


async def test_the_key_of_the_time(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    """What was heard with a former key stays decrypted, and is decrypted with that key."""
    before = entry.runtime_data.instant_readout.last_record.record_bytes.hex()
    radio.device.key = OTHER_KEY
    hass.config_entries.async_update_entry(entry, data=entry.data | {CONF_KEY: OTHER_KEY.hex()})
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.confirm(voltage=13.12)
    recording = await recording_of(hass, hass_client, entry)
    records = [row["bytes"][16:] for row in recording["advertisements"] if row["outcome"] == "believed"]
    assert records[0] == before
    assert records[-1] == entry.runtime_data.instant_readout.last_record.record_bytes.hex()
    assert_hides(json.dumps(recording), DEFAULT_KEY, OTHER_KEY)


async def test_a_device_without_a_key_is_recorded_too(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    entry = MockConfigEntry(domain=DOMAIN, unique_id=ADDRESS, data={CONF_ADDRESS: ADDRESS})
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert await recording_of(hass, hass_client, entry) is None
    await radio.send()
    (row,) = (await recording_of(hass, hass_client, entry))["advertisements"]
    assert (row["outcome"], row["decrypted"]) == ("held_back", False)
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_several_radios(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    other = radio.add(EmulatedScanner(radio.device, source="02:00:00:00:E5:09", rssi={ADDRESS: -45}))
    radio.clock.now += 1
    await radio.send(other, voltage=13.2)
    rows = (await recording_of(hass, hass_client, entry))["advertisements"]
    assert [(row["radio"], row["signal"]) for row in rows] == [("radio 1", -60), ("radio 2", -45)]


async def test_why_a_connection_fails(hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        radio.device.faults.refuse_connections = True
        await bench.load()
        recording = await recording_of(hass, hass_client, bench.entry)
    (connection,) = recording["connections"]
    assert "ESP_GATT_CONN_FAIL_ESTABLISH" in connection["ended"]
    assert connection["ended"] == connection["errors"][-1]["text"]
    assert (connection["frames"], connection["radio"], connection["kind"]) == ([], "radio 1", "proxy")


async def test_what_was_said(hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        (connection,) = (await recording_of(hass, hass_client, bench.entry))["connections"]
    assert (connection["ended"], connection["errors"], connection["mtu"]) == ("closed", [], bench.device.peripheral.mtu)
    frames = connection["frames"]
    assert [frame["characteristic"] for frame in frames[:3]] == ["control", "last_data", "data"]
    assert {frame["operation"] for frame in frames[:3]} == {"subscribe"}
    control, *_ = [frame for frame in frames if frame["operation"] == "read"]
    assert (control["direction"], control["characteristic"]) == ("in", "control")
    assert len(control["bytes"]) == 14
    written = [frame["bytes"] for frame in frames if frame["operation"] == "write"]
    assert written[:3] == ["fa80ff", "f980", "01"]
    assert frames == sorted(frames, key=lambda frame: frame["at"])


async def test_the_recording_outlasts_a_reload_but_not_the_entry(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert len((await recording_of(hass, hass_client, entry))["advertisements"]) == 1
    await hass.config_entries.async_remove(entry.entry_id)
    again = make_entry()
    again.add_to_hass(hass)
    assert await recording_of(hass, hass_client, again) is None


async def test_devices_that_were_not_added_leave_nothing(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    stranger = async_recording_of(hass, "C0:00:00:00:00:01")
    assert async_recording_of(hass, "C0:00:00:00:00:01") is stranger
    mine = async_recording_of(hass, ADDRESS)
    async_recording_of(hass, "C0:00:00:00:00:02")
    assert async_recording_of(hass, ADDRESS) is mine
    assert async_recording_of(hass, "C0:00:00:00:00:01") is not stranger


async def test_memory_is_bounded(radio: Radio) -> None:
    """Also where a device has many names, and says more than it should."""
    recording = Recording()
    await radio.send()
    info = copy(radio.service_info())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2000):
            info.manufacturer_data = {737: bytes(250)}
            info.name = f"{number % 30:x>250}"
            info.time = number / 3
            recording.hear(info, Outcome.BELIEVED, DEFAULT_KEY)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used < 34 * 1024
    assert len(recording.advertisements) > 100


async def test_too_many_names_begin_anew(radio: Radio) -> None:
    recording = Recording()
    await radio.send()
    info = copy(radio.service_info())
    for number in range(40):
        info.name = f"name {number}"
        recording.hear(info, Outcome.BELIEVED, None)
    assert [one.name for one in recording.advertisements] == [f"name {number}" for number in range(32, 40)]
