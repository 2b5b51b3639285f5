"""The registers against the BMS that they show and change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from struct import pack, unpack

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from emulator.battery.layout import BankLayout
from emulator.bms.bms import SmallBms
from emulator.bms.monitor import BalancerStatus
from emulator.bms.remote import OPEN
from emulator.bms.rules import Permission
from emulator.bms.settings import LIMITS, SettingKey
from emulator.personality.quirks import RadioQuirks
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.register_box import NEVER_WRITTEN, Refusal
from emulator.ve_smart.server import EVERY_REGISTER, Channel, Quirks, VeSmartServer

IDENTITY_PAGE = (0x0100, 0x0102, 0x010A, 0x010B, 0x010C, 0x0144, 0xEC65, 0xEC7D, 0xEC3F)
STATUS_PAGE = (
    *(0x0200, 0x0201, 0x2100, 0x2101, 0x2107, 0x2108, 0xEC46, 0xEC47, 0x0207),
    *(0xED8D, 0xED8C, 0xED8F, 0xED8E, 0x0FFF, 0x0FFE, 0xEEFF, 0xEDEC),
)
BATTERY_PAGE = (0x0380, 0x1000, 0xEA15, 0x0385, 0x0386, 0x0381)
SETTINGS = (0x1001, 0x1002, 0x1003, 0x0328, 0x1008, 0x210B)
ACTIONS = (0x102C, 0x0004, 0x1030)
HISTORY_PAGE = (0x0300, 0x0305, 0x0310, 0x0311, 0x0309, 0x0303, 0x0308, 0x0306, 0x0307, 0x0384, 0x0313, 0x0312)
PER_BATTERY = (0x010A, 0x1000, 0x0102, 0xED8D, 0xED8C, 0xEDEC, 0x0381)
PRE_ALARM_CELL_VOLTAGE = 0xEC85
READABLE = (*IDENTITY_PAGE, *STATUS_PAGE, *BATTERY_PAGE, *SETTINGS, PRE_ALARM_CELL_VOLTAGE, *HISTORY_PAGE)
WRITABLE = (0xEC7D, 0x0200, 0x0FFF, *SETTINGS, PRE_ALARM_CELL_VOLTAGE, *ACTIONS)

NOTHING = b""


@dataclass
class Identity:
    name: str = "Boat"
    key: bytes = bytes(range(16))
    product_id: int = 0xA3EC
    serial_number: str = "HQ2642EMU01"
    instant_readout_on: bool = True
    pin: str = "014916"
    quirks: RadioQuirks = field(default_factory=RadioQuirks)


class Box(BmsRegisters):
    """The box, with what tests look at."""

    def payloads(self, register: int, instance: int = 0) -> Sequence[bytes]:
        read = self.read(instance, register)
        assert not isinstance(read, Refusal)
        return read

    def payload(self, register: int, instance: int = 0) -> bytes:
        (payload,) = self.payloads(register, instance)
        return payload

    def numbers(self, kind: str, register: int, instance: int = 0) -> tuple[int, ...]:
        """Unpack a payload with a format of the struct module."""
        return unpack(f"<{kind}", self.payload(register, instance))

    def bits(self, register: int) -> set[int]:
        number = int.from_bytes(self.payload(register), "little")
        return {bit for bit in range(number.bit_length()) if number >> bit & 1}

    def everything(self) -> list[Sequence[bytes]]:
        return [self.payloads(register) for register in READABLE]


def make_bms(
    model: str = "12.8/100", *, series: int = 2, parallel: int = 2, soc: float = 60.0, known: bool = True
) -> SmallBms:
    layout = BankLayout.of(model, series=series, parallel=parallel)
    return SmallBms.build(layout, random=Random(1), state_of_charge=soc, state_of_charge_known=known)


def make_box(bms: SmallBms) -> Box:
    return Box(bms, Identity())


def remember_full_charge(bms: SmallBms) -> None:
    """Let the BMS have seen a full charge just now, although the cells are as they were."""
    bms.synchronize()
    bms.monitor.restore(replace(bms.monitor.copy(), since_full=0.0))
    bms.history.restore(replace(bms.history.copy(), since_full=0.0))


@pytest.fixture
def bms() -> SmallBms:
    """A bank of four that has been discharged for ten minutes, through its first full charge."""
    bms = make_bms()
    remember_full_charge(bms)
    bms.step(current=-20, ambient=25, seconds=600)
    return bms


@pytest.fixture
def box(bms: SmallBms) -> Box:
    return make_box(bms)


# What is shown

type Expected = Callable[[SmallBms], float | tuple[float, ...]]

SHOWN: tuple[tuple[int, str, Expected], ...] = (
    (0x0200, "B", lambda _: 3),
    (0x0201, "B", lambda _: 9),
    (0x2101, "B", lambda _: 0),
    (0xEC46, "H", lambda _: 0),
    (0xEC47, "H", lambda _: 0),
    (0x0207, "I", lambda _: 0),
    (0xED8D, "h", lambda bms: bms.voltage * 100),
    (0xED8C, "i", lambda bms: (bms.current or 0) * 1000),
    (0xED8F, "h", lambda bms: (bms.current or 0) * 10),
    (0xED8E, "h", lambda bms: bms.voltage * (bms.current or 0)),
    (0x0FFF, "H", lambda bms: (bms.monitor.state_of_charge or 0) * 100),
    (0x0FFE, "H", lambda bms: bms.time_remaining or 0),
    (0xEEFF, "i", lambda bms: -10 * bms.monitor.consumed_ah),
    (0xEDEC, "H", lambda bms: 100 * (float(bms.bank.temperature.max()) + 273.15)),
    (0x0380, "BBBB", lambda _: (4, 4, 2, 2)),
    (0x1000, "H", lambda _: 200),
    (0xEA15, "B", lambda _: 1),
    (0x0385, "HH", lambda bms: (100 * float(bms.bank.cell_voltages.min()), 100 * float(bms.bank.cell_voltages.max()))),
    (
        0x0386,
        "HH",
        lambda bms: (
            100 * (float(bms.bank.temperature.min()) + 273.15),
            100 * (float(bms.bank.temperature.max()) + 273.15),
        ),
    ),
    (0x1001, "H", lambda _: 280),
    (0x1002, "H", lambda _: 40),
    (0x1003, "H", lambda _: 3),
    (0x0328, "H", lambda _: 150),
    (0x1008, "H", lambda _: 100),
    (0x210B, "H", lambda _: 100),
    (0x0300, "i", lambda bms: -10 * bms.history.deepest_discharge_ah),
    (0x0305, "i", lambda bms: -10 * bms.history.cumulative_drawn_ah),
    (0x0310, "I", lambda bms: 100 * bms.history.discharged_energy_kwh),
    (0x0311, "I", lambda bms: 100 * bms.history.charged_energy_kwh),
    (0x0309, "i", lambda _: 1),
    (0x0303, "i", lambda bms: bms.history.cycles),
    (0x0308, "i", lambda _: 600),
    (0x0306, "i", lambda bms: 100 * (bms.history.lowest_battery_voltage or 0)),
    (0x0307, "i", lambda bms: 100 * (bms.history.highest_battery_voltage or 0)),
    (
        0x0384,
        "HH",
        lambda bms: (100 * (bms.history.lowest_cell_voltage or 0), 100 * (bms.history.highest_cell_voltage or 0)),
    ),
    (0x0313, "H", lambda bms: 100 * ((bms.history.lowest_temperature or 0) + 273.15)),
    (0x0312, "H", lambda bms: 100 * ((bms.history.highest_temperature or 0) + 273.15)),
)


@pytest.mark.parametrize(("register", "kind", "expected"), SHOWN)
def test_m_v1_m_v2_m_v5_m_v6_registers_show_the_bms(
    bms: SmallBms, box: Box, register: int, kind: str, expected: Expected
) -> None:
    value = expected(bms)
    rounded = tuple(map(round, value if isinstance(value, tuple) else (value,)))
    assert box.numbers(kind, register) == rounded


def test_every_register_of_the_pages_is_answered(box: Box) -> None:
    assert all(box.everything())
    assert {register for register, _, _ in SHOWN} <= set(READABLE)


def test_identity(box: Box) -> None:
    assert box.payload(0x0100).hex() == "00eca300"
    assert box.payload(0x0102).hex() == "00050100"
    assert box.payload(0x010A) == b"HQ2642EMU01".ljust(32, b"\0")
    assert box.payload(0x010B) == b"smallBMS NG"
    assert box.payload(0x010C) == b"Boat"
    assert box.payload(0x0144).hex() == "01000000"
    assert box.payload(0xEC65) == bytes(range(16))


@pytest.mark.parametrize(("pin", "state"), [("000000", 0), ("014916", 1)])
def test_pin_state(bms: SmallBms, pin: str, state: int) -> None:
    assert Box(bms, Identity(pin=pin)).numbers("B", 0xEC3F) == (state,)


def test_what_is_not_known_is_not_available() -> None:
    box = make_box(make_bms(known=False))
    assert box.numbers("H", 0x0FFF) == (0xFFFF,)
    assert box.numbers("H", 0x0FFE) == (0xFFFF,)
    assert box.numbers("i", 0x0308) == (0x7FFFFFFF,)
    box.write(0, 0x1030, NOTHING)
    assert box.numbers("i", 0x0306) == (0x7FFFFFFF,)
    assert box.numbers("HH", 0x0384) == (0xFFFF, 0xFFFF)
    assert box.numbers("H", 0x0313) == (0,)


def test_without_a_battery_in_sight_its_measurements_are_not_available() -> None:
    bms = make_bms(series=1, parallel=1)
    bms.faults.unplugged_battery = 0
    bms.refresh()
    box = make_box(bms)
    assert box.numbers("i", 0xED8C) == (0x7FFFFFFF,)
    assert box.numbers("h", 0xED8F) == (0x7FFF,)
    assert box.numbers("h", 0xED8E) == (0x7FFF,)
    assert box.numbers("H", 0xEDEC) == (0xFFFF,)
    assert box.numbers("HH", 0x0385) == (0xFFFF, 0xFFFF)
    assert box.numbers("HH", 0x0386) == (0xFFFF, 0xFFFF)


@pytest.mark.parametrize("status", BalancerStatus)
def test_m_v3_balancer_status(status: BalancerStatus) -> None:
    bms = make_bms(soc=99.5)
    arrange_balancer(bms, status)
    assert bms.monitor.balancer_status is status
    number = list(BalancerStatus).index(status)
    assert make_box(bms).numbers("B", 0xEA15) == (number,)


def arrange_balancer(bms: SmallBms, status: BalancerStatus) -> None:
    if status is BalancerStatus.UNKNOWN:
        return
    remember_full_charge(bms)
    state = bms.monitor.copy()
    state.balancing = status is BalancerStatus.BALANCING
    state.imbalanced = status is BalancerStatus.IMBALANCED
    bms.monitor.restore(state)


# Bits


def test_flags_of_a_battery_in_use(bms: SmallBms, box: Box) -> None:
    assert box.bits(0x2100) == {1, 5, 25, 26}
    bms.step(current=20, ambient=25, seconds=10)
    assert box.bits(0x2100) == {1, 4, 25, 26}
    bms.step(current=0, ambient=25, seconds=10)
    bms.synchronize()
    assert box.bits(0x2100) == {0, 25, 26}
    bms.set_state_of_charge(50)
    assert box.bits(0x2100) == {25, 26}


def test_m_p3_flags_and_levels_of_a_pre_alarm(bms: SmallBms, box: Box) -> None:
    bms.set_state_of_charge(14)
    assert bms.allowed_to_discharge is Permission.PRE_ALARM
    assert box.bits(0x2100) == {3, 5, 21, 25, 26, 27}
    assert box.numbers("I", 0x2107)[0] >> 12 & 3 == 2
    assert box.bits(0xEC46) == set()


def test_m_s6_flags_and_reasons_at_the_discharge_floor(bms: SmallBms, box: Box) -> None:
    bms.set_state_of_charge(9)
    assert box.bits(0x2100) == {2, 5, 21, 25}
    assert box.numbers("I", 0x2107)[0] >> 12 & 3 == 3
    assert box.numbers("H", 0x2108)[0] >> 4 & 3 == 2
    assert box.bits(0xEC46) == {0}
    assert box.bits(0x0207) == {11, 15}
    assert box.numbers("B", 0x0201) == (12,)


def test_m_p1_flags_and_reasons_in_frost_and_heat(bms: SmallBms, box: Box) -> None:
    bms.faults.forced_temperature = -1.0
    bms.refresh()
    assert box.bits(0x2100) == {1, 5, 18, 26}
    assert box.bits(0xEC47) == {0}
    assert box.numbers("H", 0xEDEC) == (27215,)
    bms.faults.forced_temperature = 55.0
    bms.refresh()
    assert box.bits(0x2100) == {1, 5, 15, 26}
    assert box.bits(0xEC47) == {2}
    assert box.numbers("I", 0x2107)[0] >> 16 & 3 == 3


def test_m_p1_flags_of_a_cell_that_is_too_high(bms: SmallBms, box: Box) -> None:
    bms.faults.cell_voltage_offsets[0, 0] = 0.6
    bms.refresh()
    assert box.bits(0x2100) == {1, 5, 9, 26}


def test_m_p2_flags_of_a_cell_that_is_too_low(bms: SmallBms, box: Box) -> None:
    bms.faults.cell_voltage_offsets[0, 0] = -0.6
    bms.refresh()
    assert box.bits(0x2100) == {1, 3, 5, 12, 25, 26, 27}
    bms.step(current=0, ambient=25, seconds=40)
    assert box.bits(0x2100) == {1, 2, 11, 25}


def test_m_c12_flags_and_error_of_a_hardware_fault(bms: SmallBms, box: Box) -> None:
    bms.faults.hardware_fault = True
    bms.refresh()
    assert 24 in box.bits(0x2100)
    assert box.numbers("B", 0x2101) == (11,)
    assert box.numbers("B", 0x0201) == (10,)
    assert box.bits(0xEC46) == box.bits(0xEC47) == {4}
    assert box.bits(0x0207) == {4}


def test_m_o4_reasons_of_a_system_that_is_switched_off(bms: SmallBms, box: Box) -> None:
    bms.set_mode(on=False)
    assert box.numbers("B", 0x0201) == (14,)
    assert box.bits(0x0207) == {2}
    assert box.bits(0xEC46) == box.bits(0xEC47) == {7}
    bms.set_mode(on=True)
    bms.remote = OPEN
    assert box.numbers("B", 0x0200) == (3,)
    assert box.bits(0x0207) == {3}
    assert box.bits(0xEC46) == box.bits(0xEC47) == {3}
    assert box.numbers("H", 0x2108)[0] >> 10 & 3 == 2


def test_m_x2_state_during_a_firmware_update(bms: SmallBms, box: Box) -> None:
    bms.begin_firmware_update()
    assert box.numbers("B", 0x0201) == (13,)
    assert box.bits(0xEC47) == {4}


# What is written

KEYS = {
    0x1001: (SettingKey.CHARGED_VOLTAGE, 10),
    0x1002: (SettingKey.TAIL_CURRENT, 10),
    0x1003: (SettingKey.CHARGED_DETECTION_TIME, 1),
    0x0328: (SettingKey.LOW_SOC_WARNING, 10),
    0x1008: (SettingKey.DISCHARGE_FLOOR, 10),
    0x210B: (SettingKey.DISCHARGE_FLOOR, 10),
}


@pytest.mark.parametrize("register", KEYS)
def test_m_v6_a_setting_takes_its_limits_and_nothing_beyond(bms: SmallBms, box: Box, register: int) -> None:
    key, counts = KEYS[register]
    lowest, highest = round(LIMITS[key].minimum * counts), round(LIMITS[key].maximum * counts)
    for raw in (lowest, (lowest + highest) // 2, highest):
        assert box.write(0, register, pack("<H", raw)) is None
        assert box.numbers("H", register) == (raw,)
        assert bms.settings.get(key) == pytest.approx(raw / counts)
    for wrong in (0xFFFF, highest + 1, *([lowest - 1] if lowest else [])):
        assert box.write(0, register, pack("<H", wrong)) is Refusal.INVALID
        assert box.numbers("H", register) == (highest,)


@pytest.mark.parametrize(("mode", "on"), [(b"\x04", False), (b"\x03", True)])
def test_m_v1_mode_switches_the_outputs(bms: SmallBms, box: Box, mode: bytes, on: bool) -> None:
    bms.set_mode(not on)
    assert box.write(0, 0x0200, mode) is None
    assert bms.outputs.load is bms.outputs.charger is on
    assert box.payload(0x0200) == mode


@pytest.mark.parametrize("mode", [b"\x00", b"\x05", b"\xfc", b"\xff", b"", b"\x03\x00"])
def test_other_modes_are_refused(bms: SmallBms, box: Box, mode: bytes) -> None:
    assert box.write(0, 0x0200, mode) is Refusal.INVALID
    assert bms.mode_on


@pytest.mark.parametrize("raw", [0, 5025, 10000])
def test_m_s3_state_of_charge_is_set_by_hand(bms: SmallBms, box: Box, raw: int) -> None:
    assert box.write(0, 0x0FFF, pack("<H", raw)) is None
    assert bms.monitor.state_of_charge == pytest.approx(raw / 100)


@pytest.mark.parametrize("raw", [10001, 0xFFFF])
def test_a_state_of_charge_beyond_full_is_refused(bms: SmallBms, box: Box, raw: int) -> None:
    before = bms.monitor.state_of_charge
    assert box.write(0, 0x0FFF, pack("<H", raw)) is Refusal.INVALID
    assert bms.monitor.state_of_charge == before


def test_m_s3_synchronize(bms: SmallBms, box: Box) -> None:
    bms.set_state_of_charge(40)
    assert box.write(0, 0x102C, NOTHING) is None
    assert box.numbers("H", 0x0FFF) == (10000,)
    assert box.numbers("i", 0x0309) == (2,)


def test_m_x1_restore_defaults_restores_exactly_the_settings(box: Box) -> None:
    defaults = [box.payload(register) for register in SETTINGS]
    assert box.write(0, PRE_ALARM_CELL_VOLTAGE, pack("<H", 300)) is None
    kept = (*IDENTITY_PAGE, *HISTORY_PAGE, 0x0FFF, PRE_ALARM_CELL_VOLTAGE)
    others = [box.payloads(register) for register in kept]
    for register in SETTINGS:
        assert box.write(0, register, pack("<H", 90 if register == 0x1001 else 7)) is None
    assert not {box.payload(register) for register in SETTINGS} & set(defaults)
    assert box.write(0, 0x0004, NOTHING) is None
    assert [box.payload(register) for register in SETTINGS] == defaults
    assert [box.payloads(register) for register in kept] == others


def test_m_v5_clear_history(box: Box) -> None:
    assert box.numbers("i", 0x0305) != (0,)
    assert box.write(0, 0x1030, NOTHING) is None
    assert box.numbers("i", 0x0305) == (0,)
    assert box.numbers("i", 0x0309) == (0,)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_takes_no_payload_and_has_nothing_to_read(box: Box, action: int) -> None:
    before = box.everything()
    assert box.write(0, action, b"\x01") is Refusal.INVALID
    assert box.everything() == before
    assert box.read(0, action) is Refusal.INVALID


def test_instant_readout_is_switched(box: Box) -> None:
    assert box.numbers("B", 0xEC7D) == (1,)
    assert box.write(0, 0xEC7D, b"\x00") is None
    assert not box.device.identity.instant_readout_on
    assert box.numbers("B", 0xEC7D) == (0,)
    assert box.write(0, 0xEC7D, b"\x02") is Refusal.INVALID
    assert box.write(0, 0xEC7D, b"\x01") is None
    assert box.device.identity.instant_readout_on


def test_m_o6_pre_alarm_cell_voltage(box: Box) -> None:
    assert box.numbers("H", 0xEC85) == (290,)
    assert box.write(0, 0xEC85, pack("<H", 300)) is None
    assert box.numbers("H", 0xEC85) == (300,)
    for wrong in (279, 321, 0xFFFF):
        assert box.write(0, 0xEC85, pack("<H", wrong)) is Refusal.INVALID
    assert box.numbers("H", 0xEC85) == (300,)
    assert box.device.bms.settings.pre_alarm_cell_voltage == 3.0


@pytest.mark.parametrize("register", sorted(set(READABLE) - set(WRITABLE)))
def test_what_is_only_shown_cannot_be_written(box: Box, register: int) -> None:
    before = box.everything()
    assert box.write(0, register, box.payloads(register)[0]) is Refusal.READ_ONLY
    assert box.everything() == before


@pytest.mark.parametrize("register", [0x0000, 0x0001, 0xFFFF, 0x10000, 2**64 - 1])
def test_other_registers_are_unknown(box: Box, register: int) -> None:
    assert box.read(0, register) is Refusal.UNKNOWN
    assert box.write(0, register, b"\x00") is Refusal.UNKNOWN
    assert box.read(1, register) is Refusal.UNKNOWN


def test_what_must_never_be_written_is_refused_and_counted(box: Box) -> None:
    before = box.everything()
    for register in NEVER_WRITTEN:
        assert box.write(0, register, bytes(4)) is Refusal.READ_ONLY
        assert box.write(1, register, NOTHING) is Refusal.READ_ONLY
        assert box.read(0, register) is Refusal.UNKNOWN
    assert box.everything() == before
    assert box.forbidden_writes == dict.fromkeys(NEVER_WRITTEN, 2)
    assert {0xEC10, 0xEC11, 0x0090, 0x0092, 0x0024} == NEVER_WRITTEN


@given(register=st.sampled_from(WRITABLE), payload=st.binary(max_size=4))
@settings(max_examples=200)
def test_any_payload_leaves_the_bms_within_its_limits(register: int, payload: bytes) -> None:
    box = make_box(SHARED)
    box.write(0, register, payload)
    assert all(LIMITS[key].minimum <= SHARED.settings.get(key) <= LIMITS[key].maximum for key in SettingKey)
    assert 0 <= (SHARED.monitor.state_of_charge or 0) <= 100
    assert all(box.everything())


SHARED = make_bms()


# Batteries


def test_m_b6_m_v4_every_battery_is_an_instance(bms: SmallBms, box: Box) -> None:
    assert box.instances() == ((0, 0), (1, 0), (2, 0), (3, 0), (4, 0))
    for index, battery in enumerate(bms.bank.batteries):
        instance = index + 1
        page = bms.battery_page(index)
        assert page is not None
        assert all(box.payloads(register, instance) for register in PER_BATTERY)
        assert box.payload(0x010A, instance).rstrip(b"\0").decode() == battery.serial_number
        assert box.payload(0x0102, instance).hex() == "00020100"
        assert box.numbers("H", 0x1000, instance) == (100,)
        assert box.numbers("h", 0xED8D, instance) == (round(page.voltage * 100),)
        assert box.numbers("i", 0xED8C, instance) == (round(page.current * 1000),)
        assert box.numbers("H", 0xEDEC, instance) == (round((page.temperature + 273.15) * 100),)
        assert [unpack("<BBH", cell) for cell in box.payloads(0x0381, instance)] == [
            (instance, number, round(voltage * 100)) for number, voltage in enumerate(page.cell_voltages, 1)
        ]


def test_the_device_tells_of_every_cell(bms: SmallBms, box: Box) -> None:
    cells = box.payloads(0x0381)
    assert cells == [cell for instance in range(1, 5) for cell in box.payloads(0x0381, instance)]
    assert len(cells) == len(bms.bank.cell_voltages)


def test_a_battery_is_only_read(box: Box) -> None:
    for register in PER_BATTERY:
        assert box.write(1, register, box.payloads(register, 1)[0]) is Refusal.READ_ONLY
    assert box.write(1, 0x0200, b"\x04") is Refusal.UNKNOWN
    assert box.read(1, 0x0200) is Refusal.UNKNOWN


def test_a_battery_whose_cable_comes_out_stays_but_tells_nothing(bms: SmallBms, box: Box) -> None:
    serial_number = box.payload(0x010A, 2)
    bms.faults.unplugged_battery = 1
    bms.refresh()
    assert (2, 0) in box.instances()
    assert box.payload(0x010A, 2) == serial_number
    assert box.numbers("h", 0xED8D, 2) == (0x7FFF,)
    assert box.numbers("i", 0xED8C, 2) == (0x7FFFFFFF,)
    assert box.numbers("H", 0xEDEC, 2) == (0xFFFF,)
    assert [unpack("<BBH", cell) for cell in box.payloads(0x0381, 2)] == [(2, n, 0xFFFF) for n in range(1, 5)]
    assert box.numbers("h", 0xED8D, 1) != (0x7FFF,)


def test_m_b5_a_battery_that_was_never_found_is_no_instance() -> None:
    layout = BankLayout.of("12.8/100", series=2)
    box = make_box(SmallBms.build(layout, random=Random(1), unplugged_battery=0))
    assert box.instances() == ((0, 0), (2, 0))
    assert {cell[0] for cell in box.payloads(0x0381)} == {2}
    assert box.numbers("BBBB", 0x0380)[0] == 1


def test_the_largest_bank_is_told_of() -> None:
    box = make_box(make_bms("25.6/300", series=2, parallel=25))
    assert len(box.instances()) == 51
    assert len(box.payloads(0x0381)) == 400
    assert all(box.everything())


# Through the server


class Central:
    """Asks a server for hex and gets hex."""

    def __init__(self, box: Box, quirks: Quirks | None = None) -> None:
        self.now = 0.0
        self.held = ""
        self.server = VeSmartServer(box, self._notified, mtu=247, quirks=quirks, clock=lambda: self.now)
        for _ in range(20):
            self.server.write(Channel.CONTROL, b"\xf9\xff")

    def _notified(self, channel: Channel, data: bytes) -> None:
        if channel is not Channel.CONTROL:
            self.held += data.hex()

    def ask(self, request: str) -> str:
        self.server.write(Channel.LAST_DATA, bytes.fromhex(request))
        return self.take()

    def wait(self, seconds: float) -> str:
        self.now += seconds
        self.server.tick()
        return self.take()

    def take(self) -> str:
        taken, self.held = self.held, ""
        return taken


def test_a_page_is_read_over_ve_smart(bms: SmallBms, box: Box) -> None:
    central = Central(box)
    assert central.ask("01") == "029f00000100020003000400ff"
    assert central.ask("0300") == "07000300"
    assert central.ask("05008319ed8d190fff190200") == (
        f"080019ed8d42{pack('<h', round(bms.voltage * 100)).hex()}"
        f"0800190fff42{pack('<H', round((bms.monitor.state_of_charge or 0) * 100)).hex()}"
        "08001902004103"
    )


def test_what_changes_is_told_unasked(bms: SmallBms, box: Box) -> None:
    central = Central(box)
    central.ask("0300")
    assert central.wait(2) == ""
    central.ask("0600821902004104")
    told = central.wait(2)
    assert told.startswith("08001902004104")
    assert "08001902074404000000" in told
    bms.step(current=-50, ambient=25, seconds=60)
    assert f"080019ed8c44{pack('<i', round((bms.current or 0) * 1000)).hex()}" in central.wait(2)


def test_what_changes_in_a_battery_is_told_to_its_subscriber_only(bms: SmallBms, box: Box) -> None:
    central = Central(box)
    central.ask("0302")
    bms.step(current=-50, ambient=25, seconds=60)
    told = central.wait(2)
    assert f"080219ed8c44{box.payload(0xED8C, 2).hex()}" in told
    assert "080019ed8c" not in told
    assert "080119ed8c" not in told


def test_every_attempt_on_what_must_never_be_written_counts_whatever_the_quirks(box: Box) -> None:
    central = Central(box, Quirks(refused_writes=EVERY_REGISTER, missing=NEVER_WRITTEN))
    central.ask("06008419ec10440000000018904100")
    assert box.forbidden_writes == {0xEC10: 1, 0x0090: 1}
