"""The BlueZ double, as bleak and other programs on the bus see it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZNotifyArgs
from bleak.backends.bluezdbus.version import BlueZFeatures
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError, BleakGATTProtocolError
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
import pytest

from emulator.device import (
    BASE_CHARACTERISTICS,
    DEFAULT_ADDRESS,
    DEFAULT_NAME,
    DEFAULT_PIN,
    MODEL_NUMBER,
    VE_SMART_CHANNELS,
    VE_SMART_SERVICE,
    EmulatedDevice,
    VeSmartLink,
)
from emulator.instant_readout import COMPANY_ID
from emulator.personality.quirks import RadioQuirks
from emulator.radio.bluez import DEFAULT_ADAPTER_ADDRESS, Bluez, LocalAdapter, NameTakenError
from emulator.radio.bluez_release import Release, Times
from emulator.ve_smart.chunks import Channel
from tests.bluez_bus import AGENT_PATH, Program
from tests.waiting import until

pytest_plugins = ("tests.bluez_bus",)

MODEL_CHARACTERISTIC: Final = "00002a24-0000-1000-8000-00805f9b34fb"
CONTROL: Final = VE_SMART_CHANNELS[Channel.CONTROL]
ADAPTER_PATH: Final = "/org/bluez/hci0"
DEVICE_PATH: Final = f"{ADAPTER_PATH}/dev_C0_3A_5E_00_00_01"
NEVER: Final = 3600.0


def is_known(bluez: Bluez) -> bool:
    """Return whether there is an object for the device."""
    return bluez.adapters["hci0"].devices[0].shown


@pytest.fixture
async def desktop(bus_address: str) -> AsyncGenerator[Program]:
    bus = await MessageBus(bus_address).connect()
    yield Program(bus)
    bus.disconnect()


class Echo:
    """A VE.Smart server that sends back what is written."""

    def __init__(self, link: VeSmartLink) -> None:
        self._link = link

    def read_control(self) -> bytes:
        return b"\x01\x02"

    def write(self, channel: Channel, data: bytes) -> None:
        self._link.notify(channel, data)

    def closed(self) -> None:
        """Nothing was begun."""


@pytest.fixture
def use_bleak(bluez: Bluez, bms: EmulatedDevice, bus_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point bleak to the bus."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_address)
    # It would ask bluetoothctl.
    monkeypatch.setattr(BlueZFeatures, "checked_bluez_version", True)
    bms.make_ve_smart_server = Echo
    bms.peripheral.bonds.clear()


async def find(bluez: Bluez, patience: float = 10) -> tuple[BleakClient, dict[int, bytes], int]:
    """Scan for the device; return a client, what it advertises, and how strong it arrives."""
    heard: asyncio.Queue[tuple[BleakClient, dict[int, bytes], int]] = asyncio.Queue()
    async with BleakScanner(
        lambda d, a: heard.put_nowait((BleakClient(d, timeout=patience), a.manufacturer_data, a.rssi))
    ):
        bluez.advertise()
        return await heard.get()


@pytest.mark.usefixtures("use_bleak")
async def test_bleak_hears_the_device(bluez: Bluez, bms: EmulatedDevice) -> None:
    client, manufacturer_data, rssi = await find(bluez)

    assert client.address == DEFAULT_ADDRESS
    assert client.name == DEFAULT_NAME
    assert manufacturer_data[COMPANY_ID] == bms.manufacturer_data()
    assert rssi == -60


@pytest.mark.usefixtures("use_bleak")
async def test_bleak_reads_what_needs_no_bond(bluez: Bluez, bms: EmulatedDevice) -> None:
    client, *_ = await find(bluez)

    async with client:
        assert bms.connected
        assert await client.read_gatt_char(MODEL_CHARACTERISTIC) == MODEL_NUMBER.encode()

    assert not bms.connected


@pytest.mark.usefixtures("use_bleak")
async def test_bleak_hears_of_a_link_that_is_lost(bluez: Bluez, bms: EmulatedDevice) -> None:
    client, *_ = await find(bluez)
    await client.connect()

    bms.peripheral.drop_link()
    await until(lambda: not client.is_connected)

    with pytest.raises(BleakError):
        await client.read_gatt_char(MODEL_CHARACTERISTIC)
    await client.disconnect()


@pytest.mark.usefixtures("use_bleak")
async def test_bleak_gets_the_reason_of_an_error(bluez: Bluez, bms: EmulatedDevice) -> None:
    client, *_ = await find(bluez)

    async with client:
        with pytest.raises(BleakGATTProtocolError, match="Write Not Permitted"):
            await client.write_gatt_char(BASE_CHARACTERISTICS[0], b"\x00", response=True)

    assert bms.forbidden_writes.total() == 1


@pytest.mark.usefixtures("use_bleak")
@pytest.mark.parametrize("times", [Times(link=0, held_back=0.05, disconnect=0)])
async def test_without_agent_and_bond_the_answer_is_held_back(bluez: Bluez, bms: EmulatedDevice) -> None:
    """And then it does not say what is missing."""
    client, *_ = await find(bluez)

    async with client:
        for attempt in (client.read_gatt_char(CONTROL), client.start_notify(CONTROL, lambda *_: None)):
            with pytest.raises(BleakGATTProtocolError, match="Unlikely Error"):
                await attempt

    assert not bms.peripheral.bonds


@pytest.mark.usefixtures("use_bleak")
@pytest.mark.parametrize("times", [Times(link=0, held_back=NEVER, disconnect=0)])
async def test_whether_a_subscription_is_held_back_depends_on_the_release(bluez: Bluez, release: Release) -> None:
    client, *_ = await find(bluez)

    async with client:
        subscribing = asyncio.create_task(client.start_notify(CONTROL, lambda *_: None))
        await client.read_gatt_char(MODEL_CHARACTERISTIC)
        await client.read_gatt_char(MODEL_CHARACTERISTIC)
        assert subscribing.done() is not release.holds_subscriptions_back
        subscribing.cancel()
        await asyncio.wait([subscribing])


@pytest.mark.usefixtures("use_bleak")
async def test_a_default_agent_bonds_when_a_bond_is_needed(bluez: Bluez, bms: EmulatedDevice, program: Program) -> None:
    await program.register(default=True)
    client, *_ = await find(bluez)

    async with client:
        assert await client.read_gatt_char(CONTROL) == b"\x01\x02"

    assert program.asked == [DEVICE_PATH]
    assert bms.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}


@pytest.mark.usefixtures("use_bleak")
async def test_notifications_arrive_and_a_value_read_looks_like_one(
    bluez: Bluez, bms: EmulatedDevice, program: Program
) -> None:
    await program.register()
    await program.succeed(DEVICE_PATH, "Pair")
    await program.succeed(DEVICE_PATH, "Disconnect")
    client, *_ = await find(bluez)
    received: list[bytes] = []

    async with client:
        await client.start_notify(CONTROL, lambda _, data: received.append(bytes(data)))
        await client.write_gatt_char(CONTROL, b"echo", response=False)
        await until(lambda: received == [b"echo"])
        await client.read_gatt_char(CONTROL)
        await until(lambda: received == [b"echo", b"\x01\x02"])
        await client.stop_notify(CONTROL)
        await client.write_gatt_char(CONTROL, b"again", response=False)
        await client.read_gatt_char(MODEL_CHARACTERISTIC)

    assert received == [b"echo", b"\x01\x02"]


@pytest.mark.usefixtures("use_bleak")
@pytest.mark.parametrize(("start_notify", "received"), [(True, b""), (False, b"echo")])
async def test_notifications_can_be_empty_until_they_are_acquired(
    bluez: Bluez, bms: EmulatedDevice, program: Program, start_notify: bool, received: bytes
) -> None:
    bms.quirks = RadioQuirks(empty_notifications=True)
    await program.register()
    await program.succeed(DEVICE_PATH, "Pair")
    await program.succeed(DEVICE_PATH, "Disconnect")
    client, *_ = await find(bluez)
    heard: list[bytes] = []

    async with client:
        bluez_arguments: BlueZNotifyArgs = {"use_start_notify": start_notify}
        await client.start_notify(CONTROL, lambda _, data: heard.append(bytes(data)), bluez=bluez_arguments)
        for _ in range(2):
            await client.write_gatt_char(CONTROL, b"echo", response=False)
        await until(lambda: heard == [received] * 2)
        await client.stop_notify(CONTROL)
        await client.write_gatt_char(CONTROL, b"again", response=False)
        await client.read_gatt_char(MODEL_CHARACTERISTIC)

    assert heard == [received] * 2


@pytest.mark.usefixtures("use_bleak")
async def test_bleak_hears_of_a_service_with_instant_readout_off(bluez: Bluez, bms: EmulatedDevice) -> None:
    bms.quirks, bms.instant_readout_on = RadioQuirks(beacon_without_readout=True), False

    found: asyncio.Queue[AdvertisementData] = asyncio.Queue()
    async with BleakScanner(lambda _, advertised: found.put_nowait(advertised)):
        bluez.advertise()
        heard = await found.get()

    assert heard.service_uuids == [VE_SMART_SERVICE]
    assert heard.manufacturer_data == {COMPANY_ID: bytes.fromhex("1000eca3")}


@pytest.mark.usefixtures("use_bleak")
async def test_bleak_pairs_with_the_help_of_a_default_agent(
    bluez: Bluez, bms: EmulatedDevice, program: Program
) -> None:
    await program.register(default=True)
    client, *_ = await find(bluez)

    async with client:
        await client.pair()

    assert bms.peripheral.bonds


async def connection(bluez: Bluez, program: Program) -> tuple[str, list[str]]:
    """Connect in vain; return why it failed, and what was told of the connection meanwhile."""
    told: list[str] = []

    def notice(message: Message) -> None:
        if message.member == "Disconnected":
            told.append(message.body[0].removeprefix("org.bluez.Reason."))
        elif message.member == "PropertiesChanged" and "Connected" in message.body[1]:
            told.append("Connected" if message.body[1]["Connected"].value else "not Connected")

    program.bus.add_message_handler(notice)
    await program.follow()
    reply = await program.call(DEVICE_PATH, "Connect")
    program.bus.remove_message_handler(notice)
    assert reply.error_name == "org.bluez.Error.Failed"
    return reply.body[0], told


async def test_a_device_that_forgot_its_bond_turns_whoever_has_it_away(
    bluez: Bluez, bms: EmulatedDevice, program: Program, release: Release
) -> None:
    await program.register()
    await program.succeed(DEVICE_PATH, "Pair")
    await program.succeed(DEVICE_PATH, "Disconnect")
    bms.peripheral.bonds.clear()

    why, told = await connection(bluez, program)

    reason = ["Authentication"] if release.tells_why_connections_end else []
    assert (why, told) == ("le-connection-abort-by-local", ["Connected", *reason, "not Connected"])


async def test_a_device_that_ends_every_connection_looks_much_like_that(
    bluez: Bluez, bms: EmulatedDevice, program: Program, release: Release
) -> None:
    bms.faults.refuse_connections = True

    why, told = await connection(bluez, program)

    reason = ["Remote"] if release.tells_why_connections_end else []
    assert (why, told) == ("le-connection-abort-by-local", ["not Connected", *reason])


@pytest.mark.parametrize("times", [Times(link=0, connect=0.05)])
async def test_a_device_that_is_not_there_is_waited_for(bluez: Bluez, bms: EmulatedDevice, program: Program) -> None:
    bms.faults.silent = True

    assert await connection(bluez, program) == ("le-connection-abort-by-local", [])


@pytest.mark.usefixtures("use_bleak")
async def test_bleak_tries_until_its_time_is_up(bluez: Bluez, bms: EmulatedDevice) -> None:
    client, *_ = await find(bluez, patience=0.1)
    bms.faults.refuse_connections = True

    with pytest.raises(TimeoutError):
        await client.connect()


async def test_pair_waits_for_a_device_that_is_not_there(bluez: Bluez, bms: EmulatedDevice, program: Program) -> None:
    await program.register()
    bms.faults.silent = True
    pairing = asyncio.create_task(program.call(DEVICE_PATH, "Pair"))
    # By the time that this is answered, Pair is on its way.
    assert await program.properties(DEVICE_PATH)
    assert await program.fail(DEVICE_PATH, "Connect") == "InProgress"
    assert not pairing.done()

    bms.faults.silent = False

    assert (await pairing).message_type is MessageType.METHOD_RETURN


async def test_a_connection_that_ends_at_once_cancels_the_pairing(
    bluez: Bluez, bms: EmulatedDevice, program: Program
) -> None:
    await program.register()
    bms.faults.refuse_connections = True

    assert await program.fail(DEVICE_PATH, "Pair") == "AuthenticationCanceled"
    assert not program.asked


async def test_a_device_that_can_show_no_passkey_pairs_without_one(bluez: Bluez, program: Program) -> None:
    await program.register()
    bluez.adapters["hci0"].devices[0].just_works = True

    await program.succeed(DEVICE_PATH, "Pair")

    assert not program.asked


async def test_a_bond_that_is_not_kept_ends_with_the_connection(bluez: Bluez, program: Program) -> None:
    await program.register()
    device = bluez.adapters["hci0"].devices[0]
    device.keeps_bond = False

    await program.succeed(DEVICE_PATH, "Pair")
    assert (device.paired_, device.bonded) == (True, False)
    await program.succeed(DEVICE_PATH, "Disconnect")
    assert not device.paired_


async def test_the_signal_is_known_while_somebody_scans(bluez: Bluez, program: Program, desktop: Program) -> None:
    for one in (program, desktop):
        await one.succeed(ADAPTER_PATH, "StartDiscovery")
    assert "RSSI" in await program.properties(DEVICE_PATH)
    await program.succeed(ADAPTER_PATH, "StopDiscovery")
    assert "RSSI" in await program.properties(DEVICE_PATH)
    await desktop.succeed(ADAPTER_PATH, "StopDiscovery")

    assert "RSSI" not in await program.properties(DEVICE_PATH)


async def test_the_first_agent_is_the_default_one(bluez: Bluez, program: Program, desktop: Program) -> None:
    await program.register()
    await desktop.register()

    assert [agent.owner for agent in bluez.agents.defaults] == [program.bus.unique_name]


async def test_the_end_of_a_connection_takes_its_time(bluez: Bluez, bms: EmulatedDevice, program: Program) -> None:
    await program.succeed(DEVICE_PATH, "Connect")
    ending = asyncio.create_task(program.succeed(DEVICE_PATH, "Disconnect"))

    assert (await program.properties(DEVICE_PATH))["Connected"].value
    await ending
    assert not bms.connected


async def test_the_agent_of_whoever_pairs_is_asked(
    bluez: Bluez, bms: EmulatedDevice, program: Program, desktop: Program
) -> None:
    await desktop.register(default=True)
    await program.register()

    await program.succeed(DEVICE_PATH, "Pair")

    assert (program.asked, desktop.asked) == ([DEVICE_PATH], [])
    assert bms.peripheral.bonds


async def test_the_default_agent_stands_in(
    bluez: Bluez, bms: EmulatedDevice, program: Program, desktop: Program
) -> None:
    await desktop.register(default=True)

    await program.succeed(DEVICE_PATH, "Pair")

    assert desktop.asked == [DEVICE_PATH]


@pytest.mark.parametrize("capability", ["NoInputNoOutput", "DisplayOnly", "DisplayYesNo"])
async def test_an_agent_without_keyboard_is_not_asked(bluez: Bluez, program: Program, capability: str) -> None:
    await program.register(capability)

    assert await program.fail(DEVICE_PATH, "Pair") == "AuthenticationFailed"
    assert program.asked == []


async def test_an_agent_that_comes_after_the_connection_is_asked(bluez: Bluez, program: Program) -> None:
    await program.succeed(DEVICE_PATH, "Connect")
    await program.register()

    await program.succeed(DEVICE_PATH, "Pair")
    assert program.asked == [DEVICE_PATH]


@pytest.mark.parametrize("passkey", [int(DEFAULT_PIN) + 1, None])
async def test_a_wrong_passkey_or_none_makes_no_bond(
    bluez: Bluez, bms: EmulatedDevice, program: Program, passkey: int | None
) -> None:
    program.passkey = passkey
    await program.register()

    assert await program.fail(DEVICE_PATH, "Pair") == "AuthenticationFailed"
    assert program.asked == [DEVICE_PATH]
    assert not bms.peripheral.bonds


async def test_a_bond_is_made_once(bluez: Bluez, program: Program) -> None:
    await program.register()
    await program.succeed(DEVICE_PATH, "Pair")

    assert await program.fail(DEVICE_PATH, "Pair") == "AlreadyExists"


async def test_a_removed_device_is_gone_with_its_bond_until_it_is_heard(
    bluez: Bluez, bms: EmulatedDevice, program: Program
) -> None:
    await program.register()
    await program.succeed(DEVICE_PATH, "Pair")

    await program.succeed(ADAPTER_PATH, "RemoveDevice", "o", DEVICE_PATH)

    assert not bms.connected
    assert bms.peripheral.bonds, "the device is not told"
    assert await program.fail(DEVICE_PATH, "Pair") != "AlreadyExists"
    assert await program.fail(ADAPTER_PATH, "RemoveDevice", "o", DEVICE_PATH) == "DoesNotExist"
    await program.succeed(ADAPTER_PATH, "StartDiscovery")
    await program.succeed(DEVICE_PATH, "Pair")


async def test_one_pairing_at_a_time(bluez: Bluez, bms: EmulatedDevice, program: Program, desktop: Program) -> None:
    bms.faults.answer_delay = NEVER
    await program.register()
    pairing = asyncio.create_task(program.fail(DEVICE_PATH, "Pair"))
    await until(lambda: bms.connected)

    assert await desktop.fail(DEVICE_PATH, "Pair") == "InProgress"
    assert await desktop.fail(DEVICE_PATH, "Connect") == "InProgress"
    await desktop.succeed(DEVICE_PATH, "CancelPairing")
    assert await pairing == "AuthenticationCanceled"
    assert await desktop.fail(DEVICE_PATH, "CancelPairing") == "DoesNotExist"


async def test_what_a_program_began_ends_with_it(
    bluez: Bluez, bms: EmulatedDevice, program: Program, bus_address: str
) -> None:
    bms.faults.answer_delay = NEVER
    await program.register(default=True)
    await program.succeed(ADAPTER_PATH, "StartDiscovery")
    pairing = asyncio.create_task(program.call(DEVICE_PATH, "Pair"))
    await until(lambda: bms.connected)

    program.bus.disconnect()

    await until(lambda: not bms.connected)
    assert not bluez.agents.agents
    assert not bluez.agents.defaults
    assert not bluez.adapters["hci0"].scanning_for
    await asyncio.wait([pairing])


async def test_agents_are_registered_once_and_by_their_owner(bluez: Bluez, program: Program, desktop: Program) -> None:
    manager = "/org/bluez"
    await program.register(default=True)
    await desktop.register(default=True)

    assert await program.fail(manager, "RegisterAgent", "os", AGENT_PATH, "KeyboardOnly") == "AlreadyExists"
    assert await program.fail(manager, "UnregisterAgent", "o", "/other") == "DoesNotExist"
    await desktop.succeed(manager, "UnregisterAgent", "o", AGENT_PATH)
    assert await desktop.fail(manager, "UnregisterAgent", "o", AGENT_PATH) == "DoesNotExist"
    assert await desktop.fail(manager, "RequestDefaultAgent", "o", AGENT_PATH) == "DoesNotExist"
    assert await desktop.fail(manager, "RegisterAgent", "os", AGENT_PATH, "Telepathy") == "InvalidArguments"
    assert bluez.agents.default is not None
    assert bluez.agents.default.owner == program.bus.unique_name


async def test_who_scans_hears_and_others_end_nothing(
    bluez: Bluez, bms: EmulatedDevice, program: Program, desktop: Program
) -> None:
    await program.succeed(ADAPTER_PATH, "RemoveDevice", "o", DEVICE_PATH)
    bluez.advertise()
    assert not is_known(bluez)

    await program.succeed(ADAPTER_PATH, "SetDiscoveryFilter", "a{sv}", {"Transport": Variant("s", "le")})
    await program.succeed(ADAPTER_PATH, "StartDiscovery")

    assert is_known(bluez)
    assert await program.fail(ADAPTER_PATH, "StartDiscovery") == "InProgress"
    assert await desktop.fail(ADAPTER_PATH, "StopDiscovery") == "Failed"
    await program.succeed(ADAPTER_PATH, "StopDiscovery")


@pytest.mark.parametrize("adapters", [(LocalAdapter(powered=False),)])
async def test_an_adapter_that_is_off_does_nothing(bluez: Bluez, program: Program) -> None:
    assert await program.fail(ADAPTER_PATH, "StartDiscovery") == "NotReady"


async def test_there_is_one_bluez_on_a_bus(bluez: Bluez, bus_address: str) -> None:
    second = Bluez()

    with pytest.raises(NameTakenError):
        await second.start(bus_address)

    await second.stop()
