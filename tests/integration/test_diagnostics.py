"""The diagnostics that an owner attaches to a report."""

from datetime import timedelta
import json
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.protocol.registers import Name, named
from emulator.device import DEFAULT_KEY, DEFAULT_NAME, DEFAULT_PIN, FIRMWARE_REVISION
from emulator.personality.quirks import Quirks
from emulator.ve_smart.server import VeSmartServer

from .bench import Bench, a_bench
from .conftest import ADDRESS, KEY, Radio, make_entry


@pytest.fixture(autouse=True)
async def _diagnostics(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, "diagnostics", {})


async def diagnostics_of(hass: HomeAssistant, client: ClientSessionGenerator, entry: MockConfigEntry) -> Any:  # noqa: ANN401
    """Return the diagnostics as an owner downloads them."""
    return json.loads(json.dumps(await get_diagnostics_for_config_entry(hass, client, entry)))


async def test_what_helps(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    await radio.send_bytes(b"\x10")
    radio.clock.now += 1
    await radio.send(voltage=13.05, error=5)
    found = await diagnostics_of(hass, hass_client, entry)
    readout = found["instant_readout"]
    assert (readout["available"], readout["accepted"], readout["dropped"]) == (True, 2, {"malformed": 1})
    assert readout["last_record"]["voltage"] == 13.05
    assert readout["last_record"]["codes"] == ["E-B05"]
    assert bytes.fromhex(readout["last_record"]["record"])[0] == 5
    assert readout["codes"] == [], "it was heard once"
    voltage = readout["quantities"]["voltage"]
    assert voltage == {"value": 13.05, "source": "advertised", "age": 0}
    assert readout["energy"]["bridged_time"] == readout["energy"]["unknown_time"] == 0
    assert found["bluetooth"]["signal_strengths"] == [-60]
    assert found["bluetooth"]["reachability"]
    assert found["pages"] is None, "nothing to connect with"


async def test_nothing_that_identifies_the_owner(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    text = json.dumps(await diagnostics_of(hass, hass_client, entry)).lower()
    for secret in (KEY, ADDRESS, ADDRESS.replace(":", ""), DEFAULT_NAME, radio.device.serial_number):
        assert secret.lower() not in text
    encrypted = radio.service_info().manufacturer_data[737].hex()
    assert encrypted not in text, "the key's first byte is in it"
    assert encrypted.replace(DEFAULT_KEY[:1].hex(), "**", 1)[-32:] in text


async def test_never_heard(hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator) -> None:
    entry = make_entry()
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    found = await diagnostics_of(hass, hass_client, entry)
    assert found["instant_readout"]["last_record"] is None
    assert found["last_advertisement"] is None
    assert found["bluetooth"]["signal_strengths"] == []
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_registers_with_their_ages(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing={0x0328}))
        await bench.wait(timedelta(seconds=70))
        found = await diagnostics_of(hass, hass_client, bench.entry)
    pages = found["pages"]
    assert (pages["batteries"], pages["lost"], pages["last_error"]) == ([1, 2, 3, 4], False, None)
    rows = {(row["battery"], row["register"]): row for row in pages["registers"]}
    assert rows[None, "0x210B"] == {
        "register": "0x210B",
        "name": "discharge_floor",
        "battery": None,
        "payloads": ["6400"],
        "age": 70,
    }
    assert len(rows[1, "0x0381"]["payloads"]) == 4
    assert {"battery": None, "register": "0x0328"} in found["learned"]["missing"]
    assert (found["learned"]["array_form"], found["learned"]["firmware_version"]) == ("definite", FIRMWARE_REVISION)


async def test_registers_do_not_tell_whose_device_it_is(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        serial_numbers = [radio.device.serial_number] + [
            str(bench.pages.data[want]) for want in bench.pages.data if want.name == "serial_number"
        ]
        found = await diagnostics_of(hass, hass_client, bench.entry)
    assert len(serial_numbers) > 4
    text = json.dumps(found).lower()
    for secret in (DEFAULT_PIN, KEY, ADDRESS, DEFAULT_NAME, *serial_numbers):
        assert secret.lower() not in text
        assert secret.encode().hex() not in text
    names = {row["name"]: row["payloads"] for row in found["pages"]["registers"]}
    assert names["serial_number"] == "**REDACTED**"


async def test_what_is_not_read_by_itself_is_left_out_too(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        names = (Name.CUSTOM_NAME, Name.INSTANT_READOUT_KEY)
        answers = await bench.pages.async_read_registers(named(name)[0].id for name in names)
        bench.pages.values.take(None, answers, radio.clock())
        found = await diagnostics_of(hass, hass_client, bench.entry)
    rows = {row["name"]: row["payloads"] for row in found["pages"]["registers"]}
    assert {rows[name] for name in names} == {"**REDACTED**"}
    assert KEY not in json.dumps(found)


async def test_why_there_is_no_connection(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        radio.scanner.pin = None
        await bench.load()
        pages = (await diagnostics_of(hass, hass_client, bench.entry))["pages"]
    assert (pages["lost"], pages["last_error"], pages["registers"]) == (True, "ProxyHasNoPin", [])


async def test_why_there_is_no_connection_does_not_name_the_device(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    """What Bluetooth says of it does."""
    async with a_bench(Bench(hass, radio)) as bench:
        radio.device.faults.refuse_connections = True
        await bench.load()
        assert radio.device.name in str(bench.pages.last_error)
        found = await diagnostics_of(hass, hass_client, bench.entry)
    assert found["pages"]["last_error"] == "NotReachable"
    assert radio.device.name not in json.dumps(found)


async def test_what_is_not_understood_is_told(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        serve = VeSmartServer.read_control
        with patch.object(VeSmartServer, "read_control", lambda server: serve(server)[:3]):
            await bench.load()
        pages = (await diagnostics_of(hass, hass_client, bench.entry))["pages"]
    assert pages["last_error"].startswith("BadAnswer: ")
    assert len(pages["last_error"]) > len("BadAnswer: ")


async def test_nothing_that_identifies_the_radios(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    """People name their proxies after rooms."""
    text = json.dumps(await diagnostics_of(hass, hass_client, entry))
    assert radio.scanner.source not in text
    assert radio.scanner.name not in text


async def test_not_loaded(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    """This is when an owner wants them."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    found = await diagnostics_of(hass, hass_client, entry)
    assert (found["state"], "instant_readout" in found) == ("not_loaded", False)
    assert found["bluetooth"]["reachability"]
