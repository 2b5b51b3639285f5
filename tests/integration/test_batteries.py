"""Each battery of the bank as a child of the device: who it is, what it measures, and how it comes and goes."""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any, override

from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator, WebSocketGenerator

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL, DOMAIN
from custom_components.smallbms_ng.pages import GONE_AFTER
from custom_components.smallbms_ng.protocol.registers import MOST_BATTERIES, MOST_CELLS, Name
from emulator.battery.layout import BankLayout
from emulator.personality.quirks import Quirks
from emulator.ve_smart.cbor_records import value
from emulator.ve_smart.register_box import Refusal
from tests.emulator.banks import ONE_48V, make_bms

from .bench import MAIN, Bench, CountingBox, a_bench
from .conftest import ADDRESS, Radio

SERIAL_NUMBER = 0x010A
CELL = 0x0381
HOUR = timedelta(hours=1)
UNPLUGGED = 1
# The same one, as an instance.
TAKEN_OUT = frozenset({2})

# Also what a user has to enable.
pytestmark = pytest.mark.usefixtures("all_enabled")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        yield bench


def child(bench: Bench, number: int) -> dr.ChildDeviceEntry | None:
    """Return the device of a battery."""
    identifier = (DOMAIN, f"{ADDRESS}_battery_{number}")
    return dr.async_get(bench.hass).async_get_child_device_by_identifier(identifier, bench.entry.entry_id)


def present(bench: Bench) -> list[int]:
    """Return the numbers of the batteries that have a device."""
    return [number for number in range(1, 20) if child(bench, number)]


def shown(bench: Bench, number: int, key: str) -> str:
    return bench.state("sensor", f"battery_{number}_{key}").state


def is_shown(bench: Bench, number: int) -> bool:
    return shown(bench, number, "voltage") != STATE_UNAVAILABLE


async def unplug(bench: Bench, battery: int | None) -> None:
    """Start the BMS with the cable of a battery out, or of none; batteries count from 0 here."""
    bench.bms.faults.unplugged_battery = battery
    bench.bms.power_cycle()
    await bench.press("read_now")


async def look_on(bench: Bench, duration: timedelta) -> None:
    """Let time pass, with a look now and then."""
    for _ in range(duration // HOUR):
        await bench.wait(HOUR)


async def test_m_v4_who_each_is_and_what_it_measures(hass: HomeAssistant, bench: Bench) -> None:
    bench.bms.step(current=-30, ambient=22, seconds=600)
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]
    for index, battery in enumerate(bench.bms.bank.batteries):
        number = index + 1
        page = bench.bms.battery_page(index)
        assert page
        assert shown(bench, number, "serial_number") == battery.serial_number
        assert shown(bench, number, "firmware_version") == battery.firmware_version
        assert shown(bench, number, "battery_model") == "12.8/100"
        assert float(shown(bench, number, "voltage")) == pytest.approx(page.voltage, abs=0.01)
        assert float(shown(bench, number, "current")) == pytest.approx(page.current, abs=0.001)
        assert float(shown(bench, number, "temperature")) == pytest.approx(page.temperature, abs=0.01)
        cells = [float(shown(bench, number, f"cell_{cell}")) for cell in range(1, 5)]
        assert cells == pytest.approx(page.cell_voltages, abs=0.01)
        assert not bench.has("sensor", f"battery_{number}_cell_5")


async def test_each_is_a_child_of_the_device(hass: HomeAssistant, bench: Bench) -> None:
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, ADDRESS), bench.entry.entry_id)
    battery = child(bench, 2)
    assert device
    assert battery
    assert battery.parent_device_id == device.id
    assert battery.name == "Battery 2"
    entities = er.async_entries_for_device(er.async_get(hass), battery.id)
    names = {found.original_name for found in entities}
    assert {"Voltage", "Current", "Temperature", "Serial number", "Cell 1 voltage", "Cell 4 voltage"} <= names


async def test_a_battery_of_sixteen_cells(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, bms=make_bms(ONE_48V))) as bench:
        await bench.load()
        assert present(bench) == [1]
        assert shown(bench, 1, "battery_model") == "51.2/100"
        cells = [float(shown(bench, 1, f"cell_{cell}")) for cell in range(1, 17)]
        assert sum(cells) == pytest.approx(bench.bms.voltage, abs=0.2)


async def test_a_cable_is_out(bench: Bench) -> None:
    """While it runs, the BMS still knows the battery, but measures nothing of it."""
    bench.bms.faults.unplugged_battery = UNPLUGGED
    bench.bms.step(current=0, ambient=20, seconds=60)
    await bench.press("read_now")
    assert shown(bench, 2, "voltage") == shown(bench, 2, "cell_1") == "unknown"
    assert shown(bench, 2, "serial_number") == bench.bms.bank.batteries[1].serial_number
    assert float(shown(bench, 3, "voltage")) > 12


async def test_a_battery_is_not_there_for_a_while(bench: Bench) -> None:
    """The others keep their numbers, though the device counts them anew."""
    serials = {number: shown(bench, number, "serial_number") for number in (1, 2, 3, 4)}
    await unplug(bench, UNPLUGGED)
    assert present(bench) == [1, 2, 3, 4]
    assert [is_shown(bench, number) for number in (1, 2, 3, 4)] == [True, False, True, True]
    assert {number: shown(bench, number, "serial_number") for number in (1, 3, 4)} == {
        number: serial for number, serial in serials.items() if number != 2
    }
    await bench.wait(GONE_AFTER / 2)
    await unplug(bench, None)
    assert {number: shown(bench, number, "serial_number") for number in (1, 2, 3, 4)} == serials


class RenumberingBox(CountingBox):
    """Counts the batteries that are there from 1."""

    @override
    def instances(self) -> Sequence[tuple[int, int]]:
        return tuple((place, second) for place, (_, second) in enumerate(super().instances()))

    @override
    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        return super().read(super().instances()[instance][0], register)


async def test_a_device_that_counts_its_batteries_anew(hass: HomeAssistant, radio: Radio) -> None:
    """Even when nothing of them is due: where each battery is must be found out at once."""
    bench = Bench(hass, radio)
    box = RenumberingBox(bench.bms, bench.device)
    box.forget()
    bench.box = bench.service.box = box
    async with a_bench(bench):
        await bench.load()
        serials = {number: shown(bench, number, "serial_number") for number in (1, 2, 3, 4)}
        bench.bms.faults.unplugged_battery = UNPLUGGED
        bench.bms.power_cycle()
        await bench.set("tail_current", 5)
        assert [is_shown(bench, number) for number in (1, 2, 3, 4)] == [True, False, True, True]
        await bench.press("read_now")
        assert {number: shown(bench, number, "serial_number") for number in (1, 2, 3, 4)} == serials | {
            2: STATE_UNAVAILABLE
        }


async def test_a_battery_is_gone_for_good(hass: HomeAssistant, bench: Bench) -> None:
    bench.box.left_out = TAKEN_OUT
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]
    await look_on(bench, GONE_AFTER)
    await bench.press("read_now")
    assert present(bench) == [1, 3, 4]
    assert not bench.has("sensor", "battery_2_voltage")
    assert bench.pages.batteries == (1, 3, 4)
    bench.box.left_out = frozenset()
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]
    assert is_shown(bench, 2)


async def test_a_battery_that_the_bms_misses_is_not_gone(hass: HomeAssistant, bench: Bench) -> None:
    """Whoever looks for it wants to know which one it is, however long that takes."""
    await unplug(bench, UNPLUGGED)
    assert bench.state("sensor", "error").state == "e_b05"
    for _ in range(3):
        await look_on(bench, GONE_AFTER)
        await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]
    assert shown(bench, 2, "voltage") == STATE_UNAVAILABLE


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_battery_that_the_bms_stops_missing(hass: HomeAssistant, bench: Bench, restarts: bool) -> None:
    """It is away from then on: whoever took it out on purpose, or sets the bank up anew, has a day to put it back."""
    await unplug(bench, UNPLUGGED)
    await look_on(bench, 2 * GONE_AFTER)
    bench.box.left_out = TAKEN_OUT
    await unplug(bench, None)
    assert bench.state("sensor", "error").state == "none"
    assert present(bench) == [1, 2, 3, 4]
    await look_on(bench, GONE_AFTER - HOUR)
    if restarts:
        await bench.reload()
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]
    await bench.wait(HOUR)
    await bench.press("read_now")
    assert present(bench) == [1, 3, 4]


async def test_a_battery_that_was_back_meanwhile(bench: Bench) -> None:
    bench.box.left_out = TAKEN_OUT
    await bench.press("read_now")
    await look_on(bench, GONE_AFTER - HOUR)
    bench.box.left_out = frozenset()
    await bench.press("read_now")
    bench.box.left_out = TAKEN_OUT
    await bench.wait(HOUR)
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]


async def test_nobody_looked_for_a_day(bench: Bench) -> None:
    """Away at the last look before and at the first after: nobody knows of the time between."""
    bench.box.left_out = TAKEN_OUT
    await bench.press("read_now")
    await bench.unload()
    await bench.wait(GONE_AFTER)
    await bench.load()
    assert present(bench) == [1, 2, 3, 4]
    await look_on(bench, GONE_AFTER - HOUR)
    assert present(bench) == [1, 2, 3, 4]
    await look_on(bench, 2 * HOUR)
    assert present(bench) == [1, 3, 4]


async def test_looks_that_are_a_day_apart(hass: HomeAssistant, radio: Radio) -> None:
    """They are no reason to begin anew if that is the interval."""
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: 24 * 60})) as bench:
        await bench.load()
        bench.box.left_out = TAKEN_OUT
        await bench.wait(GONE_AFTER)
        assert present(bench) == [1, 2, 3, 4]
        await bench.wait(GONE_AFTER)
        assert present(bench) == [1, 3, 4]


async def test_that_nothing_was_read_takes_no_battery_away(bench: Bench) -> None:
    bench.device.faults.refuse_connections = True
    for _ in range(30):
        await bench.wait(timedelta(hours=1))
    bench.device.faults.refuse_connections = False
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]
    assert is_shown(bench, 2)


async def test_batteries_are_added_when_they_appear(hass: HomeAssistant, radio: Radio) -> None:
    bench = Bench(hass, radio)
    bench.bms.faults.unplugged_battery = 3
    bench.bms.power_cycle()
    async with a_bench(bench):
        await bench.load()
        assert present(bench) == [1, 2, 3]
        await unplug(bench, None)
        assert present(bench) == [1, 2, 3, 4]
        assert shown(bench, 4, "serial_number") == bench.bms.bank.batteries[3].serial_number


async def test_other_batteries_take_the_place_of_two(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new one has a number of its own, and the old ones are not there."""
    read = bench.box.read

    def with_new_batteries(instance: int, register: int) -> Sequence[bytes] | Refusal:
        new = register == SERIAL_NUMBER and instance in (2, 3)
        return (b"HQ2699NEW%02d" % instance,) if new else read(instance, register)

    monkeypatch.setattr(bench.box, "read", with_new_batteries)
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4, 5, 6]
    assert [number for number in range(1, 7) if is_shown(bench, number)] == [1, 4, 5, 6]


async def test_gone_and_known_over_a_restart(bench: Bench) -> None:
    bench.box.left_out = TAKEN_OUT
    await bench.press("read_now")
    await bench.reload()
    assert present(bench) == [1, 2, 3, 4]
    assert [is_shown(bench, number) for number in (1, 2, 3, 4)] == [True, False, True, True]
    await look_on(bench, GONE_AFTER)
    await bench.press("read_now")
    assert present(bench) == [1, 3, 4]


async def test_batteries_without_serial_numbers_are_counted(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing={SERIAL_NUMBER}))
        assert present(bench) == [1, 2, 3, 4]
        assert not bench.has("sensor", "battery_1_serial_number")
        assert float(shown(bench, 4, "voltage")) > 12


async def no_serial_numbers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start Home Assistant while the device is too busy to tell who its batteries are."""
    read = bench.box.read

    def busy(instance: int, register: int) -> Sequence[bytes] | Refusal:
        return Refusal.BUSY if instance and register == SERIAL_NUMBER else read(instance, register)

    await bench.unload()
    with monkeypatch.context() as patch:
        patch.setattr(bench.box, "read", busy)
        await bench.load()


async def test_serial_numbers_are_not_told_for_a_moment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """That makes no other batteries of them."""
    serials = {number: shown(bench, number, "serial_number") for number in (1, 2, 3, 4)}
    await no_serial_numbers(bench, monkeypatch)
    assert bench.pages.batteries == (1, 2, 3, 4)
    await bench.press("read_now")
    assert present(bench) == [1, 2, 3, 4]
    assert {number: shown(bench, number, "serial_number") for number in (1, 2, 3, 4)} == serials


async def test_batteries_that_the_device_does_not_tell_of(hass: HomeAssistant, radio: Radio) -> None:
    """What batteries answer is an assumption: without them, the bank remains."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(main_instance_only=True, missing={CELL}))
        assert present(bench) == []
        assert bench.state("sensor", "batteries").state == "4"
        bench.box.forget()
        await bench.wait(timedelta(minutes=6))
        assert not bench.box.reads[MAIN, CELL]


async def test_batteries_that_are_no_instances(hass: HomeAssistant, radio: Radio) -> None:
    """Their cells come from the device as a whole, also those that change unasked."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(main_instance_only=True))
        assert present(bench) == [1, 2, 3, 4]
        assert float(bench.state("sensor", "battery_3_cell_2").state) > 3
        assert not bench.has("sensor", "battery_3_voltage")
        await bench.run(bench.pages.async_write(Name.TAIL_CURRENT, 5))
        assert bench.service.session
        bench.service.session.server.send(value(MAIN, CELL, bytes((3, 2, 0x4A, 0x01))))
        await bench.wait(timedelta(seconds=2))
        assert bench.state("sensor", "battery_3_cell_2").state == "3.3"
        assert float(bench.state("sensor", "battery_2_cell_2").state) != 3.3
        await bench.reload()
        assert present(bench) == [1, 2, 3, 4]


@pytest.mark.parametrize("offset", [0, 7])
async def test_wherever_the_device_counts_from(hass: HomeAssistant, radio: Radio, offset: int) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(instance_offset=offset))
        assert present(bench) == [1, 2, 3, 4]
        await bench.set("tail_current", 6)
        assert bench.bms.settings.tail_current == 6


@pytest.mark.parametrize(("there", "removable"), [(True, False), (False, True)])
async def test_a_user_removes_a_battery(
    hass: HomeAssistant, bench: Bench, hass_ws_client: WebSocketGenerator, there: bool, removable: bool
) -> None:
    """One that is present would only come back, and the user is told so."""
    assert await async_setup_component(hass, "config", {})
    hass.config.language = "nl"
    if not there:
        await unplug(bench, UNPLUGGED)
    client = await bench.run(hass_ws_client(hass))
    battery = child(bench, 2)
    assert battery
    response = await bench.run(client.remove_device(battery.id))
    assert response["success"] is removable
    if not removable:
        assert response["error"]["message"].startswith("Battery 2 is nog met het BMS verbonden")
    assert present(bench) == ([1, 3, 4] if removable else [1, 2, 3, 4])


async def test_the_device_itself_is_not_removed_alone(
    hass: HomeAssistant, bench: Bench, hass_ws_client: WebSocketGenerator
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await bench.run(hass_ws_client(hass))
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, ADDRESS), bench.entry.entry_id)
    assert device
    response = await bench.run(client.remove_device(device.id))
    assert response["success"] is False
    assert "delete the entry" in response["error"]["message"]


async def test_many_batteries(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio, bms=make_bms(BankLayout.of("12.8/100", parallel=12)))) as bench:
        await bench.load()
        assert present(bench) == list(range(1, 13))


class Crowd(CountingBox):
    """Tells of more batteries than any bank has, of others at each look, and of more cells than any battery has."""

    looks = 0

    @override
    def instances(self) -> Sequence[tuple[int, int]]:
        self.looks += 1
        return tuple((instance, 0) for instance in range(121))

    @override
    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        if instance and register == SERIAL_NUMBER:
            return (f"{self.looks} {instance}".encode(),)
        if instance and register == CELL:
            return tuple(bytes((instance, cell, 0x4C, 0x01)) for cell in range(1, 100))
        return super().read(min(instance, 1), register)


async def test_m_b4_a_crowd_of_batteries(
    hass: HomeAssistant, radio: Radio, hass_client: ClientSessionGenerator
) -> None:
    assert await async_setup_component(hass, "diagnostics", {})
    async with a_bench(Bench(hass, radio, box_class=Crowd)) as bench:
        await bench.load()
        await bench.press("read_now")
        assert len([number for number in range(1, 250) if child(bench, number)]) == MOST_BATTERIES
        some = bench.pages.batteries[0]
        assert len([key for key in bench.entities() if key.startswith(f"battery_{some}_cell_")]) == MOST_CELLS
        found: Any = await get_diagnostics_for_config_entry(hass, hass_client, bench.entry)
        assert found["pages"]["ignored_instances"] == 120 - MOST_BATTERIES
