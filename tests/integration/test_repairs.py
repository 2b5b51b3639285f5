"""What an owner is told to put right, and how it goes away."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any, Final, override

from homeassistant.const import CONF_PIN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.connection.errors import NoAnswer
from custom_components.smallbms_ng.const import DOMAIN
from emulator.personality.quirks import Quirks
from emulator.radio.in_process import EmulatedScanner
from emulator.ve_smart.register_box import Refusal
from tests.emulator.banks import charge_fully

from .bench import Bench, CountingBox, a_bench
from .conftest import Radio, entity_id, flows, state_of
from .connected import Mute, without_bluez
from .repairs_client import Repair, issues

OLD_DEFAULT_PIN: Final = "000000"
BY_PROXY: Final = "not_paired_by_proxy"
ADAPTER: Final = "02:00:00:00:E5:02"


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


async def fix(hass: HomeAssistant, hass_client: ClientSessionGenerator, key: str) -> Any:  # noqa: ANN401
    """Confirm the repair of an issue, and return what comes of it."""
    repair = Repair(hass, hass_client)
    await repair.begin(key)
    assert (repair.answer["type"], repair.answer["step_id"]) == ("form", "confirm")
    await repair.submit()
    return repair.answer


async def test_all_is_well(bench: Bench) -> None:
    await bench.load()
    assert not issues(bench.hass)


async def test_the_default_pin(bench: Bench) -> None:
    bench.device.peripheral.pin = bench.radio.scanner.pin = OLD_DEFAULT_PIN
    await bench.load()
    (issue,) = issues(bench.hass).values()
    assert (issue.translation_key, issue.severity, issue.is_fixable) == ("default_pin", ir.IssueSeverity.WARNING, False)
    assert issue.translation_placeholders == {"name": bench.entry.title}

    bench.device.peripheral.pin = bench.radio.scanner.pin = "271828"
    await bench.wait(timedelta(hours=1, minutes=6))
    assert not issues(bench.hass)


async def test_a_device_that_does_not_tell_of_its_pin(bench: Bench) -> None:
    bench.device.peripheral.pin = bench.radio.scanner.pin = OLD_DEFAULT_PIN
    await bench.load(Quirks(missing={0xEC3F}))
    assert not issues(bench.hass)


async def lose_bond(bench: Bench) -> None:
    """Let the device forget its bonds, and notice it."""
    bench.device.peripheral.bonds.clear()
    bench.radio.scanner.pin = None
    await bench.wait(timedelta(minutes=6))


async def test_a_bond_that_is_lost(bench: Bench) -> None:
    await bench.load()
    await lose_bond(bench)
    (issue,) = issues(bench.hass).values()
    assert (issue.translation_key, issue.severity, issue.is_fixable) == (BY_PROXY, ir.IssueSeverity.ERROR, True)
    assert issue.translation_placeholders == {"name": bench.entry.title, "proxy": bench.radio.scanner.name}
    bench.device.readout = lambda: bench.radio.snapshot
    await bench.radio.confirm(voltage=13.21, error=1)
    assert state_of(bench.hass, "sensor", "voltage").state == "13.21", "the readings go on"

    bench.radio.scanner.pin = bench.device.pin
    await bench.wait(timedelta(hours=1))
    assert not issues(bench.hass)


async def test_the_words_are_about_what_it_is_connected_by(
    bench: Bench, hass_client: ClientSessionGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter is no proxy. What is ignored stays ignored, whatever the words."""
    without_bluez(monkeypatch)
    await bench.load()
    await lose_bond(bench)
    proxy = bench.radio.scanner.name
    repair = Repair(bench.hass, hass_client)
    await repair.begin(BY_PROXY)
    assert repair.answer["description_placeholders"]["proxy"] == proxy
    issue_id = issues(bench.hass)[BY_PROXY].issue_id
    ir.async_ignore_issue(bench.hass, DOMAIN, issue_id, ignore=True)
    bench.radio.undo.pop()()
    bench.radio.scanner = bench.radio.add(EmulatedScanner(bench.device, source=ADAPTER, bluez_name="hci0"))
    bench.radio.scanner.advertise()
    with pytest.raises(HomeAssistantError):
        await bench.press("read_now")
    (issue,) = issues(bench.hass).values()
    assert (issue.translation_key, issue.issue_id) == ("not_paired", issue_id)
    assert issue.dismissed_version


async def test_out_of_reach_is_nothing_to_put_right(bench: Bench) -> None:
    await bench.load()
    bench.device.faults.refuse_connections = True
    await bench.wait(timedelta(minutes=6))
    assert bench.pages.lost
    assert not issues(bench.hass)


async def test_no_answer_does_not_mean_that_the_bond_is_lost(bench: Bench) -> None:
    await bench.load()
    bench.device.make_ve_smart_server = lambda _link: Mute()
    reading = bench.hass.async_create_task(bench.pages.async_refresh())
    while not reading.done():
        bench.radio.tick(timedelta(seconds=0.05))
        await asyncio.sleep(0)
    assert isinstance(bench.pages.last_error, NoAnswer)
    assert not issues(bench.hass)


async def test_a_reload_says_nothing_of_the_bond(bench: Bench) -> None:
    """Not even while the phone holds the device; and what is ignored stays ignored."""
    await bench.load()
    await lose_bond(bench)
    ir.async_ignore_issue(bench.hass, DOMAIN, issues(bench.hass)[BY_PROXY].issue_id, ignore=True)
    bench.device.faults.refuse_connections = True
    await bench.reload()
    assert issues(bench.hass)[BY_PROXY].dismissed_version


async def test_out_of_reach_does_not_mean_that_the_bond_is_back(bench: Bench) -> None:
    await bench.load()
    await lose_bond(bench)
    bench.device.faults.refuse_connections = True
    await bench.wait(timedelta(hours=1))
    assert set(issues(bench.hass)) == {BY_PROXY}


async def test_pairing_again(
    bench: Bench, hass_client: ClientSessionGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_bluez(monkeypatch)
    await bench.load()
    await lose_bond(bench)
    result = await fix(bench.hass, hass_client, BY_PROXY)
    assert (result["type"], result["reason"]) == ("abort", "enter_pin")
    assert set(issues(bench.hass)) == {BY_PROXY}, "it is only mended with the PIN"
    (flow,) = flows(bench.hass)
    assert result["next_flow"] == ["config_flow", flow["flow_id"]]
    assert (flow["context"]["source"], flow["step_id"]) == ("reconfigure", "reconfigure")

    bench.radio.scanner.pin = bench.device.pin
    await bench.hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_PIN: bench.device.pin})
    await bench.radio.settle()
    done = await bench.hass.config_entries.flow.async_configure(flow["flow_id"])
    await bench.radio.settle()
    assert done["reason"] == "already_paired"
    assert not issues(bench.hass)
    assert not bench.pages.lost


async def test_instant_readout_that_is_off(bench: Bench, hass_client: ClientSessionGenerator) -> None:
    await bench.load()
    bench.device.instant_readout_on = False
    await bench.pages.async_read_now()
    (issue,) = issues(bench.hass).values()
    assert (issue.translation_key, issue.severity) == ("instant_readout_off", ir.IssueSeverity.WARNING)
    assert not bench.box.writes or 0xEC7D not in dict(bench.box.writes), "nobody was asked yet"

    bench.device.faults.refuse_connections = True
    result = await fix(bench.hass, hass_client, "instant_readout_off")
    assert (result["type"], result["reason"]) == ("abort", "failed")
    assert set(issues(bench.hass)) == {"instant_readout_off"}

    bench.device.faults.refuse_connections = False
    result = await fix(bench.hass, hass_client, "instant_readout_off")
    assert result["type"] == "create_entry"
    assert bench.device.instant_readout_on
    assert not issues(bench.hass)


async def test_instant_readout_of_a_device_that_is_not_set_up(
    bench: Bench, hass_client: ClientSessionGenerator
) -> None:
    bench.device.instant_readout_on = True
    await bench.load()
    bench.device.instant_readout_on = False
    await bench.pages.async_read_now()
    await bench.unload()
    result = await fix(bench.hass, hass_client, "instant_readout_off")
    assert (result["type"], result["reason"]) == ("abort", "not_loaded")


# No way to connect


async def replace_radio(bench: Bench, *, connectable: bool) -> None:
    """Let another radio hear the device in place of the present one."""
    bench.radio.undo.pop()()
    scanner = EmulatedScanner(bench.device, connectable=connectable)
    scanner.pin = bench.device.pin
    bench.radio.scanner = bench.radio.add(scanner)


async def test_no_radio_that_hears_it_can_connect(bench: Bench) -> None:
    """That is said when it has been so for a while, and taken back when there is one."""
    await bench.load()
    await replace_radio(bench, connectable=False)
    await bench.wait(timedelta(minutes=5))
    assert bench.pages.lost
    assert not issues(bench.hass)
    for _ in range(10):
        await bench.wait(timedelta(minutes=1))
    (issue,) = issues(bench.hass).values()
    assert (issue.translation_key, issue.is_fixable) == ("no_connection_path", False)
    assert issue.translation_placeholders == {"name": bench.entry.title, "radios": bench.radio.scanner.name}
    assert state_of(bench.hass, "sensor", "voltage").state != "unavailable"
    await replace_radio(bench, connectable=True)
    await bench.wait(timedelta(hours=1))
    assert not issues(bench.hass)


async def test_a_device_that_is_not_heard_lacks_no_radio(bench: Bench) -> None:
    await bench.load()
    bench.radio.undo.pop()()
    for _ in range(30):
        await bench.run(bench.radio.jump(timedelta(minutes=1)))
    assert bench.pages.lost
    assert not issues(bench.hass)
    bench.radio.scanner = bench.radio.add(EmulatedScanner(bench.device))


# The balance of the cells


BALANCER_STATUS: Final = 0xEA15
SINCE_FULL_CHARGE: Final = 0x0308
DAY: Final = timedelta(days=1)


class NeverFull(CountingBox):
    """A bank that was not fully charged for some time, so that its balance is not known (M-V3)."""

    days = 31.0

    @override
    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        answers = {
            BALANCER_STATUS: bytes(1),
            SINCE_FULL_CHARGE: round(self.days * DAY.total_seconds()).to_bytes(4, "little"),
        }
        if register in answers and instance == 0 and not isinstance(found := super().read(instance, register), Refusal):
            return (answers[register],) if found else found
        return super().read(instance, register)


@pytest.fixture
def never_full(bench: Bench) -> NeverFull:
    box = NeverFull(bench.bms, bench.device)
    box.forget()
    bench.box = bench.service.box = box
    return box


@pytest.mark.parametrize(("days", "told"), [(29.9, False), (30.1, True)])
async def test_m_v3_a_full_charge_is_needed(bench: Bench, never_full: NeverFull, days: float, told: bool) -> None:
    never_full.days = days
    await bench.load()
    assert set(issues(bench.hass)) == ({"balancer_unknown"} if told else set())
    bench.box = bench.service.box = CountingBox(bench.bms, bench.device)
    bench.box.forget()
    charge_fully(bench.bms)
    await bench.press("read_now")
    assert not issues(bench.hass)


async def test_how_long_the_balance_is_unknown_where_the_device_does_not_tell(
    bench: Bench, never_full: NeverFull
) -> None:
    """Counted from when it was first seen so, over restarts."""
    await bench.load(Quirks(missing={SINCE_FULL_CHARGE}))
    for _ in range(20):
        bench.radio.tick(DAY * 1.45)
        await bench.press("read_now")
        assert not issues(bench.hass)
    await bench.reload()
    bench.radio.tick(DAY * 1.45)
    await bench.press("read_now")
    assert set(issues(bench.hass)) == {"balancer_unknown"}


@pytest.mark.parametrize("key", ["history_since_full_charge", "balancer_status"])
async def test_the_balance_is_known_whatever_its_owner_wants_to_see(
    bench: Bench, never_full: NeverFull, key: str
) -> None:
    await bench.load()
    assert set(issues(bench.hass)) == {"balancer_unknown"}
    unwanted = entity_id(bench.hass, "sensor", key)
    er.async_get(bench.hass).async_update_entity(unwanted, disabled_by=er.RegistryEntryDisabler.USER)
    await bench.reload()
    never_full.days = 1
    await bench.wait(timedelta(hours=3))
    await bench.press("read_now")
    assert not issues(bench.hass)


async def test_what_was_not_looked_at_was_not_unknown_for_long(bench: Bench, never_full: NeverFull) -> None:
    """After a winter lay-up, what was read before it says nothing, nor does the time between."""
    await bench.load(Quirks(missing={SINCE_FULL_CHARGE}))
    await bench.unload()
    bench.radio.tick(DAY * 60)
    bench.device.faults.refuse_connections = True
    await bench.load(bench.service.quirks)
    assert not issues(bench.hass)
    bench.device.faults.refuse_connections = False
    await bench.press("read_now")
    assert not issues(bench.hass)


async def test_without_a_pin_there_is_nothing_to_put_right(bench: Bench) -> None:
    await bench.load()
    await lose_bond(bench)
    data = {name: value for name, value in bench.entry.data.items() if name != CONF_PIN}
    bench.hass.config_entries.async_update_entry(bench.entry, data=data)
    await bench.reload()
    assert not issues(bench.hass)


async def test_removed_with_the_device(bench: Bench) -> None:
    await bench.load()
    await lose_bond(bench)
    await bench.hass.config_entries.async_remove(bench.entry.entry_id)
    assert not issues(bench.hass)
