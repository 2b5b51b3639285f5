"""Nothing that a whole run produces holds a key, a PIN or a part of one, but for the entry itself."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
import logging
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntry
from homeassistant.const import CONF_PIN, MATCH_ALL
from homeassistant.core import Event, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import CONF_KEY, DOMAIN
from tests.leaks import as_text, leaks

from .bench import QUICK
from .conftest import Radio, entity_id, flows
from .connected import INSTANT_READOUT_KEY, Served
from .repairs_client import Repair, issues
from .test_pin_flow import (
    Enter,
    _no_bluez,
    _no_waiting,
    _unload,
    bms,
    enter,
    flow,
    heard_until,
    local,
    question,
    served,
    served_locally,
    times,
)

__all__ = ["_no_bluez", "_no_waiting", "_unload", "bms", "enter", "flow", "local", "served", "served_locally", "times"]

pytest_plugins = ("tests.bluez_bus",)

KEY: Final = bytes.fromhex("c9714ad25be68f03b1d83ea7562fcd94")
NEW_KEY: Final = bytes.fromhex("3df2a86e91c7450bde7619ac83f45e27")
MISTYPED_KEY: Final = bytes.fromhex("86b9e3471d5ca2f0687bd3194ec5a83f")
PIN: Final = "739265"
NEW_PIN: Final = "284917"
WRONG_PIN: Final = "615832"
KEYS: Final = (KEY, NEW_KEY, MISTYPED_KEY)
PINS: Final = (PIN, NEW_PIN, WRONG_PIN)
# Where Home Assistant itself keeps what the owner has entered.
ENTRIES: Final = "core.config_entries"


@dataclass
class Run:
    """Collects everything that a run produces."""

    hass: HomeAssistant
    radio: Radio
    enter: Enter
    client: ClientSessionGenerator
    caplog: pytest.LogCaptureFixture
    storage: dict[str, Any]
    produced: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.caplog.set_level(logging.DEBUG)
        # What the emulator and the double of BlueZ log is theirs.
        logging.getLogger("emulator").setLevel(logging.INFO)
        self.hass.bus.async_listen(MATCH_ALL, self._heard)

    def _heard(self, event: Event) -> None:
        self.produced.append(event.as_dict())

    @property
    def entry(self) -> ConfigEntry:
        """The entry of the device."""
        (entry,) = self.hass.config_entries.async_entries(DOMAIN)
        return entry

    async def submit(self, form: Any, entered: dict[str, object]) -> Any:  # noqa: ANN401
        """Fill in a form, whatever comes of it."""
        result = await self.enter(form, entered)
        # The data of a finished flow is what the entry keeps.
        self.produced.append({name: told for name, told in result.items() if name not in {"data", "result"}})
        return result

    async def call(self, domain: str, action: str, *, answers: bool = False, **data: object) -> None:
        """Call an action, whether it works out or not."""
        try:
            self.produced.append(
                await self.hass.services.async_call(domain, action, data, blocking=True, return_response=answers)
            )
        except HomeAssistantError as error:
            self.produced += [repr(error), str(error), error.translation_placeholders]

    async def use(self) -> None:
        """Do what can be done over a connection."""
        await self.call("button", "press", entity_id=entity_id(self.hass, "button", "read_now"))
        await self.call("number", "set_value", entity_id=entity_id(self.hass, "number", "tail_current"), value=5)
        await self.call(
            DOMAIN,
            "read_registers",
            answers=True,
            config_entry_id=self.entry.entry_id,
            registers=[0x0100, 0x0102, 0x010A, 0x010C, 0x0200, 0xEC66, 0x1234],
        )
        for secret in (INSTANT_READOUT_KEY, 0xEC10, 0xEC11, "instant_readout_key"):
            await self.call(
                DOMAIN,
                "read_registers",
                answers=True,
                config_entry_id=self.entry.entry_id,
                registers=[secret],
            )

    async def look(self) -> None:
        """Take down everything that can be seen now."""
        self.produced.append(await get_diagnostics_for_config_entry(self.hass, self.client, self.entry))
        self.produced += [state.as_dict() for state in self.hass.states.async_all()]
        self.produced += [vars(issue) if hasattr(issue, "__dict__") else issue for issue in _issues(self.hass)]
        self.produced += [repr(device) for device in dr.async_get(self.hass).devices]
        self.produced += [entity.extended_dict for entity in er.async_get(self.hass).entities.values()]
        self.produced += [as_text(one) for one in flows(self.hass)]
        self.produced += [
            self.entry.title,
            self.entry.unique_id,
            dict(self.entry.options),
            repr(self.entry.runtime_data),
        ]
        self.produced.append({name: content for name, content in self.storage.items() if name != ENTRIES})

    def text(self) -> str:
        """Return everything as text."""
        return "\n".join((self.caplog.text, *map(as_text, self.produced)))

    def assert_silent(self) -> None:
        """Nothing tells a secret."""
        text = self.text()
        assert len(text) > 100_000, "hardly anything was logged"
        found = leaks(text, keys=KEYS, pins=PINS)
        assert not found


def _issues(hass: HomeAssistant) -> list[ir.IssueEntry]:
    return list(ir.async_get(hass).issues.values())


@pytest.fixture
async def run(
    hass: HomeAssistant,
    radio: Radio,
    enter: Enter,
    hass_client: ClientSessionGenerator,
    caplog: pytest.LogCaptureFixture,
    hass_storage: dict[str, Any],
) -> AsyncGenerator[Run]:
    for component in ("diagnostics", "repairs"):
        assert await async_setup_component(hass, component, {})
    with patch("custom_components.smallbms_ng.coordinator.TIMING", QUICK):
        yield Run(hass, radio, enter, hass_client, caplog, hass_storage)


@pytest.fixture
def secret_device(radio: Radio) -> None:
    """Let the device have secrets that nothing else has."""
    radio.device.key = KEY
    radio.device.peripheral.pin = PIN


async def add(run: Run) -> None:
    """Add the device, at the second attempt."""
    await run.radio.send()
    (found,) = flows(run.hass)
    await run.submit(found, {CONF_PIN: WRONG_PIN, CONF_KEY: MISTYPED_KEY.hex()})
    await run.submit(found, {CONF_PIN: f"{PIN}0", CONF_KEY: KEY.hex()[:-1]})
    assert (await run.submit(found, {CONF_PIN: PIN}))["type"] == "create_entry"
    assert run.entry.data[CONF_KEY] == KEY.hex()


async def fail(run: Run) -> None:
    """Let connections fail in several ways."""
    faults = run.radio.device.faults
    for name in ("refuse_connections", "refuse_writes"):
        setattr(faults, name, True)
        await run.use()
        setattr(faults, name, False)
    faults.lose_link_after = 2
    await run.use()
    faults.lose_link_after = None
    run.radio.advertise()


async def rotate(run: Run) -> None:
    """Let the device have a new key and a new PIN, and enter them."""
    device = run.radio.device
    device.peripheral.pin = NEW_PIN
    device.peripheral.bonds.clear()
    device.key = NEW_KEY
    await heard_until(run.radio, lambda: question(run.hass))
    await run.look()
    asked = question(run.hass)
    await run.submit(asked, {CONF_PIN: WRONG_PIN})
    await run.submit(asked, {CONF_PIN: NEW_PIN})
    assert run.entry.data[CONF_PIN] == NEW_PIN
    assert run.entry.data[CONF_KEY] == NEW_KEY.hex()


async def reconfigure(run: Run) -> None:
    """Open the form of an entry that has everything."""
    form = await run.hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": run.entry.entry_id}
    )
    schema = form["data_schema"]
    assert schema
    run.produced += [as_text(form), str([(str(key), key.description, key.default) for key in schema.schema])]
    await run.submit(form, {CONF_KEY: MISTYPED_KEY.hex()})
    await run.submit(form, {CONF_PIN: NEW_PIN})


async def repair(run: Run) -> None:
    """Open what there is to put right."""
    for key in issues(run.hass):
        opened = Repair(run.hass, run.client)
        with suppress(AssertionError):
            await opened.begin(key)
        run.produced.append(opened.answer)


async def live(run: Run) -> None:
    """Let an owner do everything there is to do."""
    await add(run)
    await run.use()
    await run.radio.wait(timedelta(minutes=20))
    await run.look()
    await fail(run)
    await rotate(run)
    await reconfigure(run)
    await run.use()
    await repair(run)
    await run.look()
    assert await run.hass.config_entries.async_reload(run.entry.entry_id)
    await run.look()
    await run.hass.config_entries.async_remove(run.entry.entry_id)
    run.produced.append({name: content for name, content in run.storage.items() if name != ENTRIES})


async def test_nothing_tells_a_secret(run: Run, secret_device: None, served_locally: Served) -> None:
    task = asyncio.ensure_future(live(run))
    while not task.done():
        run.radio.tick(timedelta(seconds=0.01))
        await asyncio.sleep(0)
    task.result()
    run.assert_silent()
