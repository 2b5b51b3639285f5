"""The client, through Home Assistant's Bluetooth manager, with an emulated device at the other end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final
from unittest.mock import patch

from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
from homeassistant.components.bluetooth import async_ble_device_from_address
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import (
    BadAnswer,
    Lost,
    NoAnswer,
    NoSlot,
    NotPaired,
    NotReachable,
    ProxyHasNoPin,
    Refused,
    VeSmartError,
    WrongPin,
)
from custom_components.smallbms_ng.connection.link import Reading, Refusal, Silence, Timing
from custom_components.smallbms_ng.protocol.payloads import PayloadError
from custom_components.smallbms_ng.protocol.registers import BY_ID, Name, Page, Register, named, on_page
from custom_components.smallbms_ng.protocol.session import NEVER_WRITTEN, ReceivedValue
from emulator.bms.settings import LIMITS, SettingKey
from emulator.device import DEFAULT_ADDRESS, EmulatedDevice, VeSmartLink
from emulator.gatt import Link
from emulator.personality.quirks import EVERY_REGISTER, Order, Quirks, RefusalCodes
from emulator.radio.in_process import EmulatedClient, EmulatedScanner
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.cbor_records import value
from emulator.ve_smart.chunks import Channel
from emulator.ve_smart.link import VeSmartService
from emulator.ve_smart.register_box import Refusal as BoxRefusal
from emulator.ve_smart.server import KeepAlive, VeSmartServer
from tests.emulator.banks import FOUR_AS_24V, make_bms

pytestmark = pytest.mark.usefixtures("mock_bluetooth_adapters", "mock_bleak_scanner_start")

# What would take seconds with a real device. The answers of the emulated one come at once.
QUICK: Final = Timing(
    connect=5,
    operation=5,
    answer=0.3,
    between=0.3,
    settle=0.05,
    credit=0.3,
    acknowledgment=0.05,
    read_back=(0, 0.01, 0.02),
)
TAIL_CURRENT: Final = named(Name.TAIL_CURRENT)[0]
FLOOR: Final = named(Name.DISCHARGE_FLOOR)[0]
SOC: Final = named(Name.STATE_OF_CHARGE)[0]
MODE: Final = named(Name.MODE)[0]
VOLTAGE: Final = named(Name.VOLTAGE)[0]
BANK: Final = named(Name.BANK)[0]
CELL: Final = named(Name.CELL)[0]
SYNCHRONIZE: Final = named(Name.SYNCHRONIZE)[0]
READABLE: Final = tuple(
    register.id
    for page in (Page.IDENTITY, Page.STATUS, Page.BATTERY, Page.SETTINGS, Page.HISTORY)
    for register in on_page(page)
)
NOT_THERE: Final = 0xEC85  # the pre-alarm cell voltage, which the settings chapter of the manual does not know


@dataclass
class Bench:
    """A bank of four batteries behind a BMS, a radio, and a client of Home Assistant's."""

    hass: HomeAssistant
    clients: list[VeSmartClient] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bms = make_bms(FOUR_AS_24V)
        self.device = EmulatedDevice(self.bms.snapshot)
        self.box = BmsRegisters(self.bms, self.device)
        self.service = VeSmartService(self.box)
        self.device.make_ve_smart_server = self.service.serve
        self.scanner = EmulatedScanner(self.device, pin=self.device.pin)

    def way(self) -> BLEDevice | None:
        return async_ble_device_from_address(self.hass, DEFAULT_ADDRESS, connectable=True)

    def client(
        self,
        quirks: Quirks | None = None,
        *,
        timing: Timing = QUICK,
        pair: bool = False,
        on_value: Callable[[ReceivedValue], None] | None = None,
    ) -> VeSmartClient:
        self.service.quirks = quirks or Quirks()
        client = VeSmartClient(self.way, timing=timing, pair=pair, on_value=on_value)
        self.clients.append(client)
        return client

    @property
    def idle(self) -> bool:
        """Whether nobody holds the device, nor a slot of the radio."""
        return not self.device.connected and self.scanner.free_slots == self.scanner.slots

    @property
    def server(self) -> VeSmartServer:
        """The device's end of the present session."""
        assert self.service.session
        return self.service.session.server

    @property
    def operations(self) -> int:
        """How many operations the present link has seen."""
        link = self.device.peripheral.link
        return link.operations if link else 0


@pytest.fixture
async def bench(hass: HomeAssistant) -> AsyncGenerator[Bench]:
    assert await async_setup_component(hass, "bluetooth", {})
    await hass.async_block_till_done()
    bench = Bench(hass)
    unregister = bench.scanner.register(hass)
    bench.scanner.advertise()
    # The waits between attempts: nothing here gets better by waiting.
    with patch("bleak_retry_connector.calculate_backoff_time", return_value=0):
        yield bench
    for client in bench.clients:
        await client.disconnect()
    assert bench.idle
    assert not bench.box.forbidden_writes
    assert not bench.device.forbidden_writes
    await hass.async_block_till_done(wait_background_tasks=True)
    unregister()


def value_of(answers: dict[int, Reading | Refusal | Silence], register: int) -> object:
    answer = answers[register]
    assert isinstance(answer, Reading), answer
    return answer.value


def kinds(answers: dict[int, Reading | Refusal | Silence], registers: Iterable[int]) -> set[type]:
    return {type(answers[register]) for register in registers}


QUIRKS: Final = {
    "as the BatteryProtect": Quirks(),
    "acknowledges writes": Quirks(acknowledges_writes=True),
    "answers before subscribe": Quirks(answers_before_subscribe=True),
    "many streams": Quirks(one_stream=False),
    "reversed": Quirks(order=Order.REVERSED),
    "shuffled": Quirks(order=Order.SHUFFLED, one_stream=False),
    "unasked values": Quirks(unasked_between=True, order=Order.SHUFFLED),
    "false starts": Quirks(false_starts=True),
    "slow": Quirks(answer_delay=0.02),
    "another instance": Quirks(instance_offset=3),
    "wide codes": Quirks(refusal_codes=RefusalCodes.WIDE),
    "enforces credit": Quirks(enforces_credit=True),
    "small requests": Quirks(largest_request=20, enforces_credit=True),
    "path refusals as records": Quirks(path_refused_on_control=False),
    "all at once": Quirks(
        acknowledges_writes=True,
        one_stream=False,
        order=Order.SHUFFLED,
        unasked_between=True,
        false_starts=True,
        answer_delay=0.01,
        instance_offset=24,
        enforces_credit=True,
        largest_request=33,
    ),
}


@pytest.mark.parametrize("quirks", QUIRKS.values(), ids=QUIRKS.keys())
async def test_everything_is_read_however_the_device_answers(bench: Bench, quirks: Quirks) -> None:
    async with bench.client(replace(quirks, missing={NOT_THERE})) as client:
        assert client.main_instance == quirks.instance_offset
        answers = await client.read(client.main_instance, READABLE)
        batteries = [
            await client.read(source.instance, (register.id for register in source.registers))
            for source in client.batteries
        ]
    assert kinds(answers, set(READABLE) - {NOT_THERE}) == {Reading}
    assert isinstance(answers[NOT_THERE], Refusal)
    assert value_of(answers, VOLTAGE.id) == pytest.approx(bench.bms.voltage, abs=0.01)
    assert len(batteries) == 4
    for one, battery in zip(batteries, bench.bms.bank.batteries, strict=True):
        assert kinds(one, one) == {Reading}
        assert value_of(one, named(Name.SERIAL_NUMBER)[0].id) == battery.serial_number
    # In every order the cells of each battery are its four, each once.
    assert [len(cells.payloads) for one in batteries if isinstance(cells := one[CELL.id], Reading)] == [4] * 4
    whole = answers[CELL.id]
    assert isinstance(whole, Reading)
    assert len(whole.payloads) == 16


@pytest.mark.parametrize("quirks", QUIRKS.values(), ids=QUIRKS.keys())
async def test_a_setting_is_written_however_the_device_answers(bench: Bench, quirks: Quirks) -> None:
    async with bench.client(quirks) as client:
        reading = await client.write(client.main_instance, FLOOR, 20.0)
    assert reading.value == 20
    assert bench.bms.settings.get(SettingKey.DISCHARGE_FLOOR) == 20


@pytest.mark.parametrize("acknowledges", [False, True])
async def test_an_action(bench: Bench, acknowledges: bool) -> None:
    before = bench.bms.history.synchronizations
    async with bench.client(Quirks(acknowledges_writes=acknowledges)) as client:
        assert await client.act(client.main_instance, SYNCHRONIZE) is acknowledges
    assert bench.bms.monitor.state_of_charge == 100
    assert bench.bms.history.synchronizations == before + 1


async def test_a_refused_action(bench: Bench) -> None:
    quirks = Quirks(acknowledges_writes=True, refused_writes=EVERY_REGISTER)
    async with bench.client(quirks) as client:
        with pytest.raises(Refused) as refused:
            await client.act(client.main_instance, SYNCHRONIZE)
    assert (refused.value.register, refused.value.code) == (SYNCHRONIZE.id, 2)


async def test_an_action_that_never_arrived(bench: Bench) -> None:
    async with bench.client() as client:
        bench.device.faults.refuse_writes = True
        with pytest.raises(NoAnswer):
            await client.act(client.main_instance, SYNCHRONIZE)


async def test_an_action_that_the_device_cannot_take(bench: Bench) -> None:
    async with bench.client() as client:
        server = bench.server
        with (
            patch.object(server, "_answer", lambda _: server._notify(Channel.CONTROL, b"\xf7\x03\x00")),
            pytest.raises(BadAnswer, match="0300"),
        ):
            await client.act(client.main_instance, SYNCHRONIZE)


@pytest.mark.parametrize(
    ("quirks", "kind"), [(Quirks(), Refusal), (Quirks(silent_about_missing=True), Silence)], ids=["refuses", "silent"]
)
async def test_a_device_that_answers_no_register_but_voltage(bench: Bench, quirks: Quirks, kind: type) -> None:
    missing = frozenset(range(0x10000)) - {VOLTAGE.id}
    async with bench.client(replace(quirks, missing=missing)) as client:
        answers = await client.read(client.main_instance, READABLE)
        assert isinstance((await client.read(client.main_instance, [FLOOR.id]))[FLOOR.id], kind)
    assert kinds(answers, set(READABLE) - {VOLTAGE.id}) == {kind}
    assert value_of(answers, VOLTAGE.id) == pytest.approx(bench.bms.voltage, abs=0.01)


async def test_no_batteries_of_their_own(bench: Bench) -> None:
    async with bench.client(Quirks(main_instance_only=True)) as client:
        assert client.batteries == ()
        # Nobody else answers, either.
        answers = await client.read(1, [VOLTAGE.id])
        assert isinstance(answers[VOLTAGE.id], Refusal)


async def test_a_battery_that_answers_nothing_that_is_asked(bench: Bench) -> None:
    async with bench.client(Quirks(missing=EVERY_REGISTER, silent_about_missing=True)) as client:
        answers = await client.read(client.batteries[0].instance, [VOLTAGE.id])
        assert answers == {VOLTAGE.id: Silence(register=VOLTAGE.id)}


async def test_cells_without_knowing_how_many(bench: Bench) -> None:
    async with bench.client(Quirks(missing={BANK.id}, one_stream=False)) as client:
        answer = (await client.read(client.main_instance, [CELL.id]))[CELL.id]
    assert isinstance(answer, Reading)
    assert len(answer.payloads) == 16


async def test_unasked_values_are_taken(bench: Bench) -> None:
    heard: dict[int, bytes] = {}
    changed = asyncio.Event()

    def on_value(value: ReceivedValue) -> None:
        heard[value.register] = value.payload
        if value.register == MODE.id:
            changed.set()

    async with bench.client(on_value=on_value):
        bench.bms.set_mode(False)
        await asyncio.wait_for(changed.wait(), 5)
    assert heard[MODE.id] == b"\x04"


@pytest.mark.parametrize("acknowledges", [False, True])
async def test_a_refused_write(bench: Bench, acknowledges: bool) -> None:
    quirks = Quirks(acknowledges_writes=acknowledges, refused_writes=EVERY_REGISTER)
    before = bench.bms.settings.get(SettingKey.DISCHARGE_FLOOR)
    async with bench.client(quirks) as client:
        with pytest.raises(Refused) as refused:
            await client.write(client.main_instance, FLOOR, 20)
        assert client.connected
    assert (refused.value.register, refused.value.code) == (FLOOR.id, 2 if acknowledges else None)
    assert bench.bms.settings.get(SettingKey.DISCHARGE_FLOOR) == before


async def test_a_write_to_a_register_that_is_not_there(bench: Bench) -> None:
    pre_alarm = named(Name.PRE_ALARM_CELL_VOLTAGE)[0]
    for silent, code in ((False, 2), (True, None)):
        quirks = Quirks(missing={NOT_THERE}, silent_about_missing=silent)
        async with bench.client(quirks) as client:
            with pytest.raises(Refused) as refused:
                await client.write(client.main_instance, pre_alarm, 3.0)
        assert refused.value.code == code


async def test_a_write_that_takes_effect_late(bench: Bench) -> None:
    class LateBox(BmsRegisters):
        def write(self, instance: int, register: int, payload: bytes) -> None:
            asyncio.get_running_loop().call_later(0.015, super().write, instance, register, payload)

    bench.service.box = LateBox(bench.bms, bench.device)
    async with bench.client() as client:
        assert (await client.write(client.main_instance, FLOOR, 30)).value == 30


async def test_a_state_of_charge_that_moves_on_was_written(bench: Bench) -> None:
    class MovingBox(BmsRegisters):
        def write(self, instance: int, register: int, payload: bytes) -> None:
            super().write(instance, register, (int.from_bytes(payload, "little") - 7).to_bytes(2, "little"))

    bench.service.box = MovingBox(bench.bms, bench.device)
    async with bench.client() as client:
        assert (await client.write(client.main_instance, SOC, 60)).value == pytest.approx(59.93)


async def test_mode(bench: Bench) -> None:
    async with bench.client() as client:
        await client.write(client.main_instance, MODE, "off")
        assert not bench.bms.mode_on
        await client.write(client.main_instance, MODE, "on")
        assert bench.bms.mode_on


@pytest.mark.parametrize("register", sorted(NEVER_WRITTEN | {VOLTAGE.id, 0x0300}))
async def test_what_is_never_written(bench: Bench, register: int) -> None:
    row = BY_ID.get(register) or replace(FLOOR, id=register)
    async with bench.client() as client:
        before = bench.operations
        with pytest.raises(PayloadError):
            await client.write(client.main_instance, row, 20)
        assert bench.operations == before


@pytest.mark.parametrize("value", [-1, 100, float("nan"), "much", None])
async def test_out_of_limits_nothing_is_sent(bench: Bench, value: float | str | None) -> None:
    async with bench.client() as client:
        before = bench.operations
        with pytest.raises(PayloadError):
            await client.write(client.main_instance, FLOOR, value)
        assert bench.operations == before


async def test_out_of_reach(bench: Bench) -> None:
    client = VeSmartClient(lambda: None)
    with pytest.raises(NotReachable):
        await client.connect()


async def test_gone(bench: Bench) -> None:
    del bench.scanner.devices[DEFAULT_ADDRESS]
    with pytest.raises(NotReachable):
        await bench.client().connect()


async def test_somebody_else_holds_the_device(bench: Bench) -> None:
    phone = bench.device.peripheral.connect("phone")
    client = bench.client()
    with pytest.raises(NotReachable) as held:
        await client.connect()
    assert not isinstance(held.value, NoSlot)
    phone.close()
    await client.connect()
    assert client.connected


async def test_no_slot(bench: Bench) -> None:
    bench.scanner.slots = 0
    client = bench.client()
    with pytest.raises(NoSlot):
        await client.connect()
    bench.scanner.slots = 1
    await client.connect()


async def test_no_slot_for_longer_than_there_is_time(bench: Bench) -> None:
    bench.scanner.slots = 0
    with (
        patch("bleak_retry_connector.calculate_backoff_time", return_value=60),
        pytest.raises(NoSlot),
    ):
        await bench.client(timing=replace(QUICK, connect=0.1)).connect()


async def test_a_device_that_takes_for_ever_to_connect(bench: Bench) -> None:
    bench.device.faults.answer_delay = 60
    with pytest.raises(NotReachable):
        await bench.client(timing=replace(QUICK, connect=0.1)).connect()
    bench.device.faults.clear()


@pytest.mark.parametrize("pin", [None, "999999"], ids=["none", "wrong"])
async def test_no_bond(bench: Bench, pin: str | None) -> None:
    bench.scanner.pin = pin
    client = bench.client()
    with pytest.raises(NotPaired) as missing:
        await client.connect()
    assert not isinstance(missing.value, WrongPin | NoAnswer)
    assert bench.idle
    bench.scanner.pin = bench.device.pin
    await client.connect()


async def test_pairing_with_a_wrong_pin(bench: Bench) -> None:
    bench.scanner.pin = "999999"
    client = bench.client(pair=True)
    with pytest.raises(WrongPin):
        await client.connect()
    bench.scanner.pin = bench.device.pin
    await client.connect()


async def test_a_bond_lost_while_connected(bench: Bench) -> None:
    async with bench.client() as client:
        bench.device.peripheral.bonds.clear()
        with pytest.raises(NoAnswer):
            await client.read(client.main_instance, READABLE)


async def test_a_device_that_answers_nothing(bench: Bench) -> None:
    class Mute:
        def __init__(self, _link: VeSmartLink) -> None:
            pass

        def read_control(self) -> bytes:
            return bytes.fromhex("00010001501400")

        def write(self, channel: Channel, data: bytes) -> None:
            pass

        def closed(self) -> None:
            pass

    bench.device.make_ve_smart_server = Mute
    with pytest.raises(NoAnswer):
        await bench.client().connect()
    assert bench.idle


async def test_services_that_an_update_moved_are_found_at_once(bench: Bench) -> None:
    """The radio remembers where they were, and nothing is there now."""
    bench.scanner.remembers_services = True
    async with bench.client() as client:
        await client.read(client.main_instance, [VOLTAGE.id])
    bench.device.peripheral.move_services(0x0100)

    async with bench.client() as client:
        answers = await client.read(client.main_instance, [VOLTAGE.id])

    assert value_of(answers, VOLTAGE.id) == pytest.approx(bench.bms.snapshot().voltage, abs=0.01)


@pytest.mark.parametrize(
    "make_error",
    [
        lambda: BleakGATTProtocolError(0x01),
        lambda: BleakGATTProtocolError(0x0A),
        lambda: BleakDBusError("org.freedesktop.DBus.Error.UnknownObject", ["Method does not exist"]),
        lambda: BleakError("Bluetooth GATT Error address=C0:3A:5E:00:00:01 handle=18 error=1 description=Invalid"),
    ],
)
async def test_where_nothing_is_found_all_is_looked_for_anew(
    bench: Bench, make_error: Callable[[], BleakError]
) -> None:
    """Once: a device that really has none of it is told so."""
    cleared = 0

    def fail(*_args: object, **_kwargs: object) -> None:
        raise make_error()

    async def clear(client: EmulatedClient) -> bool:
        nonlocal cleared
        cleared += 1
        return True

    with (
        patch.object(EmulatedClient, "clear_cache", clear),
        patch.object(EmulatedClient, "start_notify", side_effect=fail),
        pytest.raises(BadAnswer),
    ):
        await bench.client().connect()

    assert cleared == 2
    assert bench.idle


async def test_control_without_meaning(bench: Bench) -> None:
    bench.device.make_ve_smart_server = EmulatedDevice(bench.bms.snapshot).make_ve_smart_server
    with pytest.raises(BadAnswer, match="0 bytes"):
        await bench.client().connect()
    assert bench.idle


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "Bluetooth GATT Error address=C0:3A:5E:00:00:01 handle=18 error=5 description=Insufficient auth",
            ProxyHasNoPin,
        ),
        ("Bluetooth GATT Error address=C0:3A:5E:00:00:01 handle=18 error=133 description=Error", Lost),
        ("Disconnected", Lost),
        ("", Lost),
    ],
)
async def test_refused_through_a_proxy(bench: Bench, text: str, error: type[VeSmartError]) -> None:
    with (
        patch.object(EmulatedClient, "read_gatt_char", side_effect=BleakError(text)),
        pytest.raises(error) as refused,
    ):
        await bench.client().connect()
    assert type(refused.value) is error
    assert bench.idle


@pytest.mark.parametrize("text", ["[org.bluez.Error.AuthenticationFailed] Failed", "Pairing failed due to error: 82"])
@pytest.mark.parametrize(("pair", "error"), [(True, WrongPin), (False, NotReachable)])
async def test_pairing_failed(bench: Bench, text: str, pair: bool, error: type[VeSmartError]) -> None:
    with patch.object(EmulatedClient, "connect", side_effect=BleakError(text)), pytest.raises(error) as refused:
        await bench.client(pair=pair).connect()
    assert type(refused.value) is error


async def test_a_bond_asked_for_while_connecting(bench: Bench) -> None:
    with patch.object(EmulatedClient, "connect", side_effect=BleakGATTProtocolError(0x0F)), pytest.raises(NotPaired):
        await bench.client().connect()


async def test_lost_while_nothing_is_under_way(bench: Bench) -> None:
    async with bench.client() as client:
        with patch.object(bench.server, "_answer", lambda _: bench.device.peripheral.drop_link()):
            with pytest.raises(Lost):
                await client.read(client.main_instance, READABLE)
            assert not client.connected


async def test_a_bank_register_of_another_kind(bench: Bench) -> None:
    async with bench.client() as client:
        bench.server.send(bytes.fromhex("080019038041 04"))
        assert isinstance((await client.read(client.main_instance, [CELL.id]))[CELL.id], Reading)


@pytest.mark.parametrize(
    ("register", "newer"),
    [(TAIL_CURRENT, bytes((60, 0))), (CELL, bytes((2, 1, 77, 1)))],
    ids=["one payload", "several payloads"],
)
async def test_what_is_said_after_the_answer_takes_its_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, register: Register, newer: bytes
) -> None:
    """While the rest is asked for, of which the device is told to take little at a time."""
    read = bench.box.read

    def interrupted(instance: int, one: int) -> Sequence[bytes] | BoxRefusal:
        if one == FLOOR.id:
            bench.server.send(value(instance, register.id, newer))
        return read(instance, one)

    monkeypatch.setattr(bench.box, "read", interrupted)
    rest = [one for one in READABLE if one not in {register.id, FLOOR.id}]
    async with bench.client(Quirks(largest_request=20)) as client:
        answers = await client.read(client.main_instance, [register.id, *rest, FLOOR.id])
    reading = answers[register.id]
    assert isinstance(reading, Reading)
    assert newer in reading.payloads
    assert len(reading.payloads) == (16 if register is CELL else 1)


async def test_the_keep_alive_does_not_pile_up(bench: Bench) -> None:
    notify = VeSmartLink.notify
    renewed = 0

    def without_credit(link: VeSmartLink, channel: Channel, data: bytes) -> None:
        if channel is not Channel.CONTROL:
            notify(link, channel, data)

    async with bench.client(timing=replace(QUICK, keep_alive=60)) as client:
        await client.read(client.main_instance, [VOLTAGE.id])
        link = client._link
        assert link
        queue = link.session.queue

        def counted(request: bytes) -> None:
            nonlocal renewed
            renewed += 1
            queue(request)

        with patch.object(VeSmartLink, "notify", without_credit), patch.object(link.session, "queue", counted):
            for _ in range(5):
                await link.renew()
    assert 1 <= renewed <= 2


async def test_not_connected(bench: Bench) -> None:
    client = bench.client()
    with pytest.raises(Lost):
        await client.read(0, [VOLTAGE.id])
    await client.connect()
    bench.device.peripheral.drop_link()
    assert not client.connected
    with pytest.raises(Lost):
        await client.read(0, [VOLTAGE.id])
    await client.connect()
    assert value_of(await client.read(0, [VOLTAGE.id]), VOLTAGE.id) == pytest.approx(bench.bms.voltage, abs=0.01)


async def whole_session(client: VeSmartClient) -> None:
    """Read everything and write a setting."""
    await client.connect()
    await client.read(client.main_instance, READABLE)
    for source in client.batteries:
        await client.read(source.instance, (register.id for register in source.registers))
    await client.write(client.main_instance, FLOOR, 20)


async def test_the_link_lost_at_every_step(bench: Bench) -> None:
    client = bench.client()
    await whole_session(client)
    steps = bench.operations
    await client.disconnect()
    assert steps > 15
    for step in range(steps):
        bench.device.faults.lose_link_after = step
        with pytest.raises((Lost, NotReachable)):
            await whole_session(client)
        await client.disconnect()
        assert bench.idle
    bench.device.faults.clear()
    await whole_session(client)


async def test_the_link_lost_at_every_notification(bench: Bench) -> None:
    client = bench.client(Quirks(one_stream=False))
    notified = 0
    lose_after: int | None = None
    link_notify = VeSmartLink.notify

    def notify(link: VeSmartLink, channel: Channel, data: bytes) -> None:
        nonlocal notified
        link_notify(link, channel, data)
        notified += 1
        if notified == lose_after:
            asyncio.get_running_loop().call_soon(bench.device.peripheral.drop_link)

    with patch.object(VeSmartLink, "notify", notify):
        await whole_session(client)
        await client.disconnect()
        total = notified
        assert total > 100
        lost = 0
        for step in range(1, total):
            notified, lose_after = 0, step
            try:
                await whole_session(client)
            except Lost:
                lost += 1
            await client.disconnect()
            assert bench.idle
    # Of several notifications at once the later ones are no loss.
    assert lost > total * 0.9


async def test_late_is_lost(bench: Bench) -> None:
    async with bench.client(timing=replace(QUICK, operation=0.2, answer=60)) as client:
        bench.service.quirks = Quirks(answer_delay=1)
        with pytest.raises(Lost):
            await client.read(client.main_instance, READABLE)


async def test_answers_that_come_too_late_do_no_harm(bench: Bench) -> None:
    async with bench.client(Quirks()) as client:
        bench.service.quirks = Quirks(answer_delay=QUICK.answer * 1.2)
        with suppress(VeSmartError):
            await client.read(client.main_instance, [VOLTAGE.id])
        bench.service.quirks = Quirks()
        with suppress(VeSmartError):
            await client.read(client.main_instance, [VOLTAGE.id])
        answers = await client.read(client.main_instance, READABLE)
        assert value_of(answers, SOC.id) == pytest.approx(50, abs=1)


async def test_a_device_that_gives_no_credit(bench: Bench) -> None:
    notify = VeSmartLink.notify

    def without_credit(link: VeSmartLink, channel: Channel, data: bytes) -> None:
        if channel is not Channel.CONTROL:
            notify(link, channel, data)

    with patch.object(VeSmartLink, "notify", without_credit):
        async with bench.client() as client:
            answers = await client.read(client.main_instance, READABLE)
    assert kinds(answers, set(READABLE) - {NOT_THERE}) == {Reading}


async def test_a_device_that_takes_one_record_at_a_time(bench: Bench) -> None:
    async with bench.client() as client:
        answer = bench.server._answer
        with patch.object(bench.server, "_answer", lambda stream: answer(stream[:2] if stream[0] == 3 else stream)):
            for source in client.batteries:
                answers = await client.read(source.instance, [VOLTAGE.id])
                assert isinstance(answers[VOLTAGE.id], Reading)


GARBAGE: Final = (b"\xff", b"\x08\x00\x19", b"\x0b\x00", b"\xc5\x82\x1b\xff", b"\x9f" * 40, bytes(200))


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_nothing_but_garbage(bench: Bench, garbage: bytes) -> None:
    async with bench.client() as client:
        with (
            patch.object(bench.server, "_answer", lambda _: bench.server.send(garbage)),
            pytest.raises(BadAnswer),
        ):
            await client.read(client.main_instance, READABLE)
        assert client.connected


async def test_garbage_between(bench: Bench) -> None:
    async with bench.client() as client:
        server = bench.server
        answer = server._answer

        def with_garbage(stream: bytes) -> None:
            server._notify(Channel.CONTROL, b"\x55")
            server._notify(Channel.DATA, b"\xff")
            server._notify(Channel.CONTROL, b"\xf8")
            server.send(b"\x0b\x00")
            answer(stream)

        with patch.object(server, "_answer", with_garbage):
            answers = await client.read(client.main_instance, READABLE)
    assert kinds(answers, set(READABLE) - {NOT_THERE}) == {Reading}


async def test_services_of_an_older_firmware(bench: Bench) -> None:
    bench.device.peripheral.services = bench.device.peripheral.services[:2]
    with pytest.raises(BadAnswer, match="306b0002"):
        await bench.client().connect()


async def test_the_keep_alive_is_renewed(bench: Bench) -> None:
    written: asyncio.Queue[bytes] = asyncio.Queue()
    write = KeepAlive.write

    def noted(keep_alive: KeepAlive, payload: bytes) -> Refusal | None:
        written.put_nowait(payload)
        assert not write(keep_alive, payload)
        return None

    with patch.object(KeepAlive, "write", noted):
        async with bench.client(timing=replace(QUICK, keep_alive=0.3)) as client, asyncio.timeout(5):
            await client.read(client.main_instance, [VOLTAGE.id])
            for _ in range(5):
                assert await written.get() == (300).to_bytes(2, "little")
            assert client.connected


async def test_a_central_that_dies_is_dropped_soon(bench: Bench) -> None:
    client = bench.client(timing=replace(QUICK, keep_alive=0.1))
    await client.connect()
    await client.read(client.main_instance, [VOLTAGE.id])
    assert client._renewal
    client._renewal.cancel()
    session = bench.service.session
    assert session
    lost = asyncio.Event()
    with patch.object(session, "closed", lost.set):
        await asyncio.wait_for(lost.wait(), 5)
    session.closed()
    assert not client.connected


async def test_operations_take_turns(bench: Bench) -> None:
    async with bench.client(Quirks(one_stream=False, order=Order.SHUFFLED)) as client:
        reads = (client.read(client.main_instance, READABLE) for _ in range(3))
        write = client.write(client.main_instance, FLOOR, 25)
        *answers, reading = await asyncio.gather(*reads, write)
    assert isinstance(reading, Reading)
    assert reading.value == 25
    for one in answers:
        assert isinstance(one, dict)
        assert kinds(one, set(READABLE) - {NOT_THERE}) == {Reading}


async def test_connecting_twice_is_connecting_once(bench: Bench) -> None:
    client = bench.client()
    await asyncio.gather(client.connect(), client.connect())
    assert client.connected
    await client.disconnect()
    await client.disconnect()
    assert bench.idle


async def cancel_at(step: int, client: VeSmartClient) -> None:
    """Begin a whole session, and cancel it at one of its operations."""
    begin = Link._begin
    steps = count()

    async def counted(link: Link) -> None:
        if next(steps) == step:
            task.cancel()
        await begin(link)

    with patch.object(Link, "_begin", counted):
        task = asyncio.create_task(whole_session(client))
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelled_at_every_step(bench: Bench) -> None:
    client = bench.client()
    await whole_session(client)
    steps = bench.operations
    await client.disconnect()
    for step in range(steps):
        await cancel_at(step, client)
        await client.disconnect()
        assert bench.idle, step
    await whole_session(client)


async def test_half_a_request_ends_the_connection(bench: Bench) -> None:
    """What was written of it would be taken for the beginning of the next."""
    writing = asyncio.Event()

    async def stuck(*_args: object, **_kwargs: object) -> None:
        writing.set()
        await asyncio.Event().wait()

    async with bench.client() as client:
        with patch.object(EmulatedClient, "write_gatt_char", stuck):
            task = asyncio.create_task(client.read(client.main_instance, READABLE))
            await asyncio.wait_for(writing.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not client.connected
        with pytest.raises(Lost):
            await client.read(client.main_instance, READABLE)
        await client.connect()
        assert value_of(await client.read(client.main_instance, [SOC.id]), SOC.id) == pytest.approx(50, abs=1)


async def test_the_end_of_a_connection_that_cannot_be_ended(bench: Bench) -> None:
    client = bench.client(timing=replace(QUICK, disconnect=0.05))
    await client.connect()
    held = client._client
    assert held

    async def never() -> None:
        await asyncio.Event().wait()

    with patch.object(held, "disconnect", never):
        await client.disconnect()
    assert not client.connected
    await held.disconnect()


@pytest.mark.parametrize("register", [register for register in BY_ID.values() if register.writable and register.limits])
async def test_every_setting_at_its_limits(bench: Bench, register: Register) -> None:
    assert register.limits
    limits = register.limits.at(24)
    if register.id == NOT_THERE:
        # The device takes less than is offered.
        limits = replace(limits, high=LIMITS[SettingKey.PRE_ALARM_CELL_VOLTAGE].maximum)
    async with bench.client() as client:
        for value in (limits.low, limits.high):
            reading = await client.write(client.main_instance, register, value, system_voltage=24)
            assert reading.value == pytest.approx(value)
