"""Reading registers by an action."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from homeassistant.const import CONF_PIN
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockUser
import voluptuous as vol

from custom_components.smallbms_ng.const import CONF_KEY, DOMAIN
from emulator.device import DEFAULT_KEY, DEFAULT_PIN
from emulator.personality.quirks import Quirks
from emulator.ve_smart.register_box import Refusal

from .bench import Bench, a_bench
from .conftest import Radio

BATTERY: Final = 1


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


async def read(bench: Bench, *registers: object, **more: object) -> list[Any]:
    """Read registers as a user does, and return what became of them."""
    data = {"config_entry_id": bench.entry.entry_id, "registers": list(registers), **more}
    response: Mapping[str, Any] | None = await bench.hass.services.async_call(
        DOMAIN, "read_registers", data, blocking=True, return_response=True
    )
    assert response is not None
    rows: list[Any] = response["registers"]
    return rows


async def test_by_name_and_by_number(bench: Bench) -> None:
    await bench.load()
    rows = await read(bench, "discharge_floor", "0x1001", 0x0200)
    assert [(row["register"], row["name"]) for row in rows] == [
        ("0x210B", "discharge_floor"),
        ("0x1008", "discharge_floor"),
        ("0x1001", "charged_voltage"),
        ("0x0200", "mode"),
    ]
    assert rows[0] == {
        "register": "0x210B",
        "name": "discharge_floor",
        "outcome": "answered",
        "payloads": ["6400"],
        "values": [10.0],
    }
    assert rows[3]["values"] == ["on"]


async def test_values_of_every_kind(bench: Bench) -> None:
    await bench.load()
    (bank, flags, io) = await read(bench, "bank", "flags", "io")
    assert bank["values"] == [{"batteries": 4, "cells": 4, "parallel": 2, "series": 2}]
    assert isinstance(flags["values"][0], int)
    assert io["values"][0]["allowed_to_charge"] is True


async def test_a_battery(bench: Bench) -> None:
    await bench.load()
    (cells,) = await read(bench, "cell", instance=BATTERY)
    assert len(cells["values"]) == 4
    assert cells["values"][0]["voltage"] > 3


async def test_what_the_device_does_not_have(bench: Bench) -> None:
    await bench.load(Quirks(missing={0x1001}))
    (missing, unknown, there) = await read(bench, "0x1001", "0x7777", "mode")
    assert missing == {"register": "0x1001", "name": "charged_voltage", "outcome": "refused", "code": 2}
    assert (unknown["name"], unknown["outcome"]) == (None, "refused")
    assert there["outcome"] == "answered"


async def test_a_register_that_nobody_knows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    known = bench.box.read

    def read_more(instance: int, register: int) -> Sequence[bytes] | Refusal:
        return (b"\x0a\x0b",) if register == 0x7777 else known(instance, register)

    monkeypatch.setattr(bench.box, "read", read_more)
    await bench.load()
    (row,) = await read(bench, "0x7777")
    assert (row["name"], row["payloads"], row["values"]) == (None, ["0a0b"], ["0a0b"])


async def test_what_the_device_keeps_silent_about(bench: Bench) -> None:
    await bench.load()
    bench.service.quirks = Quirks(missing={0x7777}, silent_about_missing=True)
    task = bench.hass.async_create_task(read(bench, "0x7777", "mode"))
    while not task.done():
        bench.radio.tick(timedelta(seconds=0.05))
        await asyncio.sleep(0)
    (silent, there) = task.result()
    assert silent == {"register": "0x7777", "name": None, "outcome": "silent"}
    assert there["outcome"] == "answered"


async def test_nothing_is_written_and_the_device_let_go(bench: Bench) -> None:
    await bench.load()
    bench.box.forget()
    assert len(await read(bench, "mode", "mode", "0x0200", 0x0200)) == 1
    assert not bench.box.writes
    assert bench.idle


async def test_only_administrators(bench: Bench, hass_read_only_user: MockUser) -> None:
    await bench.load()
    bench.box.forget()
    with pytest.raises(Unauthorized):
        await bench.hass.services.async_call(
            DOMAIN,
            "read_registers",
            {"config_entry_id": bench.entry.entry_id, "registers": ["mode"]},
            blocking=True,
            return_response=True,
            context=Context(user_id=hass_read_only_user.id),
        )
    assert not bench.box.reads


@pytest.mark.parametrize("register", ["instant_readout_key", "0xEC65", 0xEC65, "0xec10", 0xEC11])
async def test_secrets_are_not_even_asked_for(bench: Bench, register: object) -> None:
    await bench.load()
    bench.box.forget()
    with pytest.raises(ServiceValidationError) as raised:
        await read(bench, "mode", register)
    assert raised.value.translation_key == "secret_register"
    assert not bench.box.reads
    text = str(raised.value)
    assert DEFAULT_PIN not in text
    assert DEFAULT_KEY.hex() not in text


@pytest.mark.parametrize("register", ["nothing", "0x", "0x12345", "1234", "", "0x1008 ", "-0x1"])
async def test_what_is_no_register(bench: Bench, register: str) -> None:
    await bench.load()
    with pytest.raises(ServiceValidationError) as raised:
        await read(bench, register)
    assert raised.value.translation_key == "unknown_register"
    assert raised.value.translation_placeholders == {"register": register}


@pytest.mark.parametrize(
    ("registers", "more"),
    [
        ([], {}),
        (["mode"] * 65, {}),
        ([0x10000], {}),
        ([-1], {}),
        ([None], {}),
        (["mode"], {"instance": 256}),
        (["mode"], {"instance": "one"}),
        (["mode"], {"value": 3}),
    ],
)
async def test_what_makes_no_sense(bench: Bench, registers: list[object], more: dict[str, object]) -> None:
    await bench.load()
    with pytest.raises(vol.Invalid):
        await read(bench, *registers, **more)


async def test_out_of_reach(bench: Bench) -> None:
    await bench.load()
    bench.device.faults.refuse_connections = True
    with pytest.raises(HomeAssistantError) as raised:
        await read(bench, "mode")
    assert raised.value.translation_key == "not_reachable"
    bench.device.faults.refuse_connections = False
    assert await read(bench, "mode")


async def test_without_a_pin(bench: Bench) -> None:
    data = {name: value for name, value in bench.entry.data.items() if name != CONF_PIN}
    bench.hass.config_entries.async_update_entry(bench.entry, data=data)
    assert data[CONF_KEY]
    await bench.load()
    with pytest.raises(ServiceValidationError) as raised:
        await read(bench, "mode")
    assert raised.value.translation_key == "no_pin"


async def test_not_loaded(bench: Bench) -> None:
    await bench.load()
    await bench.unload()
    with pytest.raises(ServiceValidationError) as raised:
        await read(bench, "mode")
    assert raised.value.translation_key == "service_config_entry_not_loaded"


async def test_it_is_there_without_a_device(hass: HomeAssistant, radio: Radio) -> None:
    assert await async_setup_component(hass, DOMAIN, {})
    assert hass.services.has_service(DOMAIN, "read_registers")
