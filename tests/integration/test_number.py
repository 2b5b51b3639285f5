"""Settings as numbers: what they take, and what is shown once the device has taken it, or has not."""

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Final, override

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import pytest

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL
from custom_components.smallbms_ng.coordinator import KEEP_OPEN
from custom_components.smallbms_ng.number import REDRAWN_AFTER
from custom_components.smallbms_ng.protocol.registers import Name
from emulator.battery.layout import BankLayout
from emulator.bms.settings import SettingKey
from emulator.personality.quirks import EVERY_REGISTER, Quirks
from emulator.ve_smart.register_box import Refusal
from tests.emulator.banks import FOUR_AS_24V, ONE_12V, ONE_24V, ONE_48V, make_bms

from .bench import Bench, CountingBox, a_bench, is_lost
from .conftest import Radio

KEEP_ALIVE: Final = 0x0093
TAIL_CURRENT: Final = 0x1002
FLOOR: Final = 0x210B
MINUTE: Final = timedelta(minutes=1)
REDRAWN: Final = timedelta(seconds=REDRAWN_AFTER)


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        bench.box.forget()
        yield bench


def written(bench: Bench) -> list[int]:
    """Return the registers that were written, but for the connection's own."""
    return [register for register, _ in bench.box.writes if register != KEEP_ALIVE]


async def redrawn(bench: Bench, key: str) -> str:
    """Return the state of a number once the browser has drawn it anew."""
    await bench.wait(REDRAWN)
    return bench.state("number", key).state


SETTINGS: Final = (
    ("charged_voltage", SettingKey.CHARGED_VOLTAGE, 28.4),
    ("charged_voltage", SettingKey.CHARGED_VOLTAGE, 24),
    ("charged_voltage", SettingKey.CHARGED_VOLTAGE, 32),
    ("tail_current", SettingKey.TAIL_CURRENT, 0.5),
    ("tail_current", SettingKey.TAIL_CURRENT, 9.9),
    ("charged_detection_time", SettingKey.CHARGED_DETECTION_TIME, 1),
    ("charged_detection_time", SettingKey.CHARGED_DETECTION_TIME, 50),
    ("low_soc_warning", SettingKey.LOW_SOC_WARNING, 99),
    ("low_soc_warning", SettingKey.LOW_SOC_WARNING, 11),
    ("discharge_floor", SettingKey.DISCHARGE_FLOOR, 14),
    ("discharge_floor", SettingKey.DISCHARGE_FLOOR, 0),
    ("pre_alarm_cell_voltage", SettingKey.PRE_ALARM_CELL_VOLTAGE, 2.8),
    ("pre_alarm_cell_voltage", SettingKey.PRE_ALARM_CELL_VOLTAGE, 3.2),
)


@pytest.mark.parametrize(("key", "setting", "value"), SETTINGS)
async def test_m_v6_a_setting(bench: Bench, key: str, setting: SettingKey, value: float) -> None:
    await bench.set(key, value)
    assert bench.bms.settings.get(setting) == value
    assert float(bench.state("number", key).state) == value
    assert len(written(bench)) == 1


async def test_m_s3_the_state_of_charge(bench: Bench) -> None:
    await bench.set("state_of_charge", 80)
    assert bench.bms.monitor.state_of_charge == 80
    # The reading does not wait for the next advertisement, which comes only after the connection.
    await bench.wait(timedelta(seconds=5))
    assert bench.state("sensor", "battery_level").state == "80.0"


async def test_a_setting_that_only_some_devices_have(hass: HomeAssistant, radio: Radio) -> None:
    bench = Bench(hass, radio)
    bench.bms.change_setting(SettingKey.PRE_ALARM_CELL_VOLTAGE, 3.0)
    async with a_bench(bench):
        await bench.load()
        await bench.set("pre_alarm_cell_voltage", 3.1)
        assert bench.bms.settings.pre_alarm_cell_voltage == 3.1
        assert bench.state("number", "pre_alarm_cell_voltage").state == "3.1"


async def test_m_o6_the_pre_alarm_obeys_the_level_that_was_set(bench: Bench) -> None:
    bench.bms.faults.cell_voltage_offsets[0, 0] = 3.05 - float(bench.bms.bank.cell_voltages[0])
    bench.bms.refresh()
    shown = [bench.bms.outputs.pre_alarm]
    for level in (3.1, 3):
        await bench.set("pre_alarm_cell_voltage", level)
        shown.append(bench.bms.outputs.pre_alarm)
    assert shown == [False, True, False]


async def test_a_setting_that_this_device_does_not_have(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing={0xEC85}))
        assert not bench.has("number", "pre_alarm_cell_voltage")


@pytest.mark.parametrize(
    ("layout", "low", "high"), [(ONE_12V, 12, 16), (ONE_24V, 24, 32), (FOUR_AS_24V, 24, 32), (ONE_48V, 48, 64)]
)
async def test_limits_follow_the_system_voltage(
    hass: HomeAssistant, radio: Radio, layout: BankLayout, low: float, high: float
) -> None:
    async with a_bench(Bench(hass, radio, bms=make_bms(layout))) as bench:
        await bench.load()
        attributes = bench.state("number", "charged_voltage").attributes
        assert (attributes["min"], attributes["max"], attributes["step"]) == (low, high, 0.1)
        assert attributes["unit_of_measurement"] == "V"
        for value in (low - 0.1, high + 0.1):
            with pytest.raises(ServiceValidationError):
                await bench.set("charged_voltage", value)
        assert written(bench) == []


async def test_limits_of_any_system_while_the_bank_is_not_known(hass: HomeAssistant, radio: Radio) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing={0x0380}))
        attributes = bench.state("number", "charged_voltage").attributes
        assert (attributes["min"], attributes["max"]) == (12, 64)
        await bench.set("charged_voltage", 28)
        assert bench.bms.settings.charged_voltage == 28


@pytest.mark.parametrize(
    ("key", "low", "high", "step"),
    [
        ("tail_current", 0.5, 10, 0.1),
        ("charged_detection_time", 1, 50, 1),
        ("low_soc_warning", 0, 99, 1),
        ("discharge_floor", 0, 99, 1),
        ("pre_alarm_cell_voltage", 2.8, 3.2, 0.01),
        ("state_of_charge", 0, 100, 1),
    ],
)
async def test_limits(bench: Bench, key: str, low: float, high: float, step: float) -> None:
    attributes = bench.state("number", key).attributes
    assert (attributes["min"], attributes["max"], attributes["step"]) == (low, high, step)


@pytest.mark.parametrize(
    ("key", "value", "step"),
    [
        ("low_soc_warning", 33.3, "1 %"),
        ("discharge_floor", 9.5, "1 %"),
        ("state_of_charge", 50.01, "1 %"),
        ("charged_detection_time", 5.5, "1 min"),
        ("charged_voltage", 28.05, "0.1 V"),
        ("tail_current", 4.04, "0.1 %"),
    ],
)
async def test_between_two_steps(bench: Bench, key: str, value: float, step: str) -> None:
    """It is not rounded behind the back of whoever sets it."""
    with pytest.raises(ServiceValidationError) as raised:
        await bench.set(key, value)
    assert raised.value.translation_key == f"invalid_{key}"
    assert (raised.value.translation_placeholders or {})["step"] == step
    assert step in str(raised.value)
    assert not bench.box.reads, "something was sent"
    assert written(bench) == []


async def test_what_is_no_number_at_all(bench: Bench) -> None:
    with pytest.raises(ServiceValidationError) as raised:
        await bench.run(bench.pages.async_write(Name.MODE, "sideways"))
    assert raised.value.translation_key == "invalid_value"
    assert not bench.box.reads, "something was sent"


# Settings that go together


@pytest.mark.parametrize(
    ("key", "value", "warning", "floor"),
    [
        ("low_soc_warning", 10, "10", "10"),
        ("low_soc_warning", 3, "3", "10"),
        ("low_soc_warning", 0, "0", "10"),
        ("discharge_floor", 15, "15", "15"),
        ("discharge_floor", 40, "15", "40"),
    ],
)
async def test_m_s5_the_warning_is_above_the_floor(
    bench: Bench, key: str, value: float, warning: str, floor: str
) -> None:
    before = bench.state("number", key)
    with pytest.raises(ServiceValidationError) as raised:
        await bench.set(key, value)
    assert raised.value.translation_key == "warning_not_above_floor"
    assert raised.value.translation_placeholders == {"warning": warning, "floor": floor}
    assert f"{warning}%" in str(raised.value)
    assert f"{floor}%" in str(raised.value)
    assert await redrawn(bench, key) == before.state
    assert not bench.box.reads, "something was sent"
    assert not bench.box.writes, "something was sent"


@pytest.mark.parametrize("warning", [1, 0])
async def test_m_s6_a_floor_of_0_is_none(bench: Bench, warning: float) -> None:
    await bench.set("discharge_floor", 0)
    await bench.set("low_soc_warning", warning)
    assert bench.bms.settings.low_soc_warning == warning
    with pytest.raises(ServiceValidationError):
        await bench.set("discharge_floor", 1)
    assert bench.bms.settings.discharge_floor == 0


async def test_m_s5_a_level_that_the_phone_changed_meanwhile(bench: Bench) -> None:
    """What is known may be an hour old: it is looked up before anything is written."""
    bench.bms.change_setting(SettingKey.LOW_SOC_WARNING, 30)
    bench.bms.change_setting(SettingKey.DISCHARGE_FLOOR, 20)
    with pytest.raises(ServiceValidationError) as raised:
        await bench.set("low_soc_warning", 18)
    assert raised.value.translation_placeholders == {"warning": "18", "floor": "20"}
    assert written(bench) == []


async def test_the_state_of_charge_is_set_and_is_no_setting(bench: Bench) -> None:
    """Its field is empty, also after it was used: what was entered would look like something that stays."""
    shown = [bench.state("number", "state_of_charge").state]
    await bench.set("state_of_charge", 80)
    shown.append(bench.state("number", "state_of_charge").state)
    shown.append(await redrawn(bench, "state_of_charge"))
    assert shown == ["unknown", "80.0", "unknown"]


# When the device does not take it


@pytest.mark.parametrize(("key", "value"), [("tail_current", 7), ("discharge_floor", 60)])
async def test_a_browser_draws_a_refused_number_anew(bench: Bench, key: str, value: float) -> None:
    """It keeps what was entered until the state changes. The second is refused before anything is sent."""
    bench.service.quirks = Quirks(refused_writes=EVERY_REGISTER, acknowledges_writes=True)
    shown = [bench.state("number", key).state]
    with pytest.raises(HomeAssistantError):
        await bench.set(key, value)
    shown.append(bench.state("number", key).state)
    shown.append(await redrawn(bench, key))
    assert shown == [shown[0], "unknown", shown[0]]


async def test_a_number_that_goes_while_it_is_drawn_anew(bench: Bench) -> None:
    bench.service.quirks = Quirks(refused_writes=EVERY_REGISTER, acknowledges_writes=True)
    for _ in range(2):
        with pytest.raises(HomeAssistantError):
            await bench.set("tail_current", 7)
    await bench.unload()
    await bench.wait(REDRAWN)
    assert bench.state("number", "tail_current").state == "unavailable"


async def test_a_refused_write(bench: Bench) -> None:
    bench.service.quirks = Quirks(refused_writes=EVERY_REGISTER, acknowledges_writes=True)
    with pytest.raises(HomeAssistantError) as raised:
        await bench.set("tail_current", 7)
    assert raised.value.translation_key == "refused_value"
    assert raised.value.translation_placeholders == {"device": bench.entry.title, "code": "2"}
    assert await redrawn(bench, "tail_current") == "4.0"


async def test_nothing_is_written_if_one_of_several_makes_no_sense(bench: Bench) -> None:
    values = {Name.LOW_SOC_WARNING: 40, Name.TAIL_CURRENT: 11}
    with pytest.raises(ServiceValidationError) as raised:
        await bench.run(bench.pages.async_write_all(values))
    assert raised.value.translation_key == "invalid_tail_current"
    assert raised.value.translation_placeholders == {"low": "0.5 %", "high": "10 %", "step": "0.1 %"}
    assert not bench.box.reads, "something was sent"
    assert written(bench) == []


class PartlyRefusingBox(CountingBox):
    """Takes the warning, and not the floor after it, at which something else happens."""

    then: Callable[[], None]

    @override
    def write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        if register != FLOOR:
            return super().write(instance, register, payload)
        self.then()
        return Refusal.BUSY


@pytest.mark.parametrize(
    ("loses_link", "key", "tail_current"), [(False, "refused", "6.0"), (True, "connection_lost", "4.0")]
)
async def test_only_one_of_two_is_taken(bench: Bench, loses_link: bool, key: str, tail_current: str) -> None:
    """What the device has is shown at once, as far as it can still be asked."""
    box = PartlyRefusingBox(bench.bms, bench.device)
    box.forget()

    def then() -> None:
        bench.bms.change_setting(SettingKey.TAIL_CURRENT, 6)
        if loses_link:
            bench.device.peripheral.drop_link()

    box.then = then
    bench.box = bench.service.box = box
    with pytest.raises(HomeAssistantError) as raised:
        await bench.run(bench.pages.async_write_all({Name.LOW_SOC_WARNING: 40, Name.DISCHARGE_FLOOR: 30}))
    await bench.settle()
    assert raised.value.translation_key == key
    assert (bench.bms.settings.low_soc_warning, bench.bms.settings.discharge_floor) == (40, 10)
    assert bench.state("number", "low_soc_warning").state == "40.0"
    assert bench.state("number", "discharge_floor").state == "10.0"
    assert bench.state("number", "tail_current").state == tail_current
    await bench.wait(KEEP_OPEN + timedelta(seconds=1))
    await bench.wait(MINUTE)
    assert bench.state("number", "tail_current").state == "6.0"


class LateBox(CountingBox):
    """Takes what is written only when it is told to."""

    waiting: list[tuple[int, int, bytes]]

    def write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        self.waiting.append((instance, register, payload))
        return None

    def catch_up(self) -> None:
        for instance, register, payload in self.waiting:
            super().write(instance, register, payload)


async def test_an_ignored_and_late_write(hass: HomeAssistant, radio: Radio) -> None:
    """It is told as refused. What the device has after all is shown before long."""
    bench = Bench(hass, radio, options={CONF_PAGES_INTERVAL: 0})
    box = LateBox(bench.bms, bench.device)
    box.forget()
    box.waiting = []
    bench.box = bench.service.box = box
    async with a_bench(bench):
        await bench.load()
        await bench.press("read_now")
        with pytest.raises(HomeAssistantError) as raised:
            await bench.set("tail_current", 7)
        assert raised.value.translation_key == "refused"
        assert await redrawn(bench, "tail_current") == "4.0"
        box.catch_up()
        await bench.wait(KEEP_OPEN + timedelta(seconds=1))
        await bench.wait(MINUTE)
        assert bench.state("number", "tail_current").state == "7.0"


async def test_not_reachable(bench: Bench) -> None:
    bench.device.faults.refuse_connections = True
    with pytest.raises(HomeAssistantError) as raised:
        await bench.set("tail_current", 7)
    assert raised.value.translation_key == "not_reachable"
    assert bench.entry.title in str(raised.value)
    assert await redrawn(bench, "tail_current") == "4.0"
    assert bench.bms.settings.tail_current == 4


async def test_no_slot(bench: Bench) -> None:
    bench.radio.scanner.slots = 0
    with pytest.raises(HomeAssistantError) as raised:
        await bench.set("tail_current", 7)
    assert raised.value.translation_key == "no_slot"


@pytest.mark.parametrize(("pin", "told"), [("000000", "proxy_pin_refused"), (None, "proxy_has_no_pin")])
async def test_a_wrong_pin_or_a_lost_bond(bench: Bench, pin: str | None, told: str) -> None:
    right = bench.radio.scanner.pin
    bench.radio.scanner.pin = pin
    bench.device.peripheral.bonds.clear()
    with pytest.raises(HomeAssistantError) as raised:
        await bench.set("tail_current", 7)
    assert raised.value.translation_key == told
    assert bench.idle
    assert await redrawn(bench, "tail_current") == "4.0"
    assert bench.bms.settings.tail_current == 4
    bench.radio.scanner.pin = right
    await bench.set("tail_current", 7)
    assert bench.state("number", "tail_current").state == "7.0"


async def test_while_the_phone_has_it(bench: Bench) -> None:
    """It is told at once, as often as it is tried, and works as soon as the phone lets go."""
    bench.service.quirks = Quirks(keep_alive=timedelta(days=1).total_seconds())
    phone = bench.device.peripheral.connect("phone", on_notify=lambda *_: None, on_lost=lambda: None)
    for _ in range(3):
        await bench.radio.wait(20 * MINUTE)
        with pytest.raises(HomeAssistantError) as raised:
            await bench.set("tail_current", 7)
        assert raised.value.translation_key == "not_reachable"
        assert await redrawn(bench, "tail_current") == "4.0"
    phone.close()
    await bench.set("tail_current", 7)
    assert bench.state("number", "tail_current").state == "7.0"
    assert bench.bms.settings.tail_current == 7


async def test_a_device_that_answers_only_what_is_written(hass: HomeAssistant, radio: Radio) -> None:
    """Of four batteries with all they have, there is one setting; it can be changed nevertheless."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing=set(EVERY_REGISTER) - {TAIL_CURRENT}))
        await bench.set("tail_current", 7)
        assert bench.state("number", "tail_current").state == "7.0"
        assert bench.bms.settings.tail_current == 7


async def test_a_write_ends_the_waiting_after_failures(bench: Bench) -> None:
    """A user who tries need not wait until it would have been tried again."""
    bench.device.faults.refuse_connections = True
    for _ in range(60):
        await bench.wait(MINUTE)
    assert is_lost(bench)
    bench.device.faults.refuse_connections = False
    await bench.set("tail_current", 7)
    assert not is_lost(bench)
    assert bench.state("number", "tail_current").state == "7.0"
