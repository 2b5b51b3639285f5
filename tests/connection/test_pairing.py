"""Bonding by PIN, against a BlueZ on a bus of its own."""

import asyncio
from collections.abc import AsyncGenerator
import subprocess
from typing import Final

from bleak.backends.bluezdbus.version import BlueZFeatures
from bleak.backends.device import BLEDevice
from bleak_retry_connector import BleakClientWithServiceCache
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
import pytest

from custom_components.smallbms_ng.connection.bluez import (
    DeviceNotVisible,
    NoLocalAdapter,
    PairingRefused,
    PairingTimedOut,
    bond_is_refused,
    bonded_adapters,
    has_bond,
    is_bonded,
    local_adapters,
    remove_bond,
)
from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import Lost, NotPaired, NotReachable, WrongPin
from custom_components.smallbms_ng.connection.link import Reading, Timing
from custom_components.smallbms_ng.connection.pairing import InvalidPin, PinNotAsked, pair
from custom_components.smallbms_ng.protocol.registers import Name, named
from emulator.device import DEFAULT_ADDRESS, DEFAULT_NAME, DEFAULT_PIN, EmulatedDevice
from emulator.radio.bluez import DEFAULT_ADAPTER_ADDRESS, Bluez, LocalAdapter
from emulator.radio.bluez_device import Device
from emulator.radio.bluez_release import Release, Times
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService
from tests.bluez_bus import Program
from tests.emulator.banks import FOUR_AS_24V, make_bms
from tests.waiting import until

pytest_plugins = ("tests.bluez_bus",)

ADDRESS: Final = DEFAULT_ADDRESS
PIN: Final = DEFAULT_PIN
VOLTAGE: Final = named(Name.VOLTAGE)[0]
WRONG: Final = "123456"
OTHER_PATH: Final = "/org/bluez/hci0/dev_C0_3A_5E_00_00_02"
# Longer than any test may take.
NEVER: Final = 3600.0
DEVICE_PATH: Final = "/org/bluez/hci0/dev_C0_3A_5E_00_00_01"
SECOND_ADAPTER: Final = "02:00:00:00:B1:01"


async def call_device(bus_address: str, member: str) -> None:
    """Call a method of the device from a connection that does nothing else; it must succeed."""
    bus = await MessageBus(bus_address).connect()
    await Program(bus).succeed(DEVICE_PATH, member)
    bus.disconnect()


def device_of(bluez: Bluez, adapter: str = "hci0") -> Device:
    """Return the device as an adapter knows it."""
    return bluez.adapters[adapter].devices[0]


def assert_nothing_is_left(bluez: Bluez, bms: EmulatedDevice) -> None:
    """Nobody would notice afterwards that there was a pairing, but for the bond."""
    assert not bluez.agents.agents
    assert not bluez.agents.defaults
    assert not bms.connected
    assert not any(adapter.scanning_for for adapter in bluez.adapters.values())


async def begin_pairing(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> asyncio.Task[None]:
    """Return a pairing that waits for the device, which does not answer."""
    bms.faults.answer_delay = NEVER
    pairing = asyncio.create_task(pair(ADDRESS, PIN, bus_address=bus_address))
    await until(lambda: bms.connected)
    assert bluez.agents.agents
    return pairing


async def test_the_right_pin_makes_a_bond(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    assert not await is_bonded(ADDRESS, bus_address=bus_address)

    await pair(ADDRESS, PIN, bus_address=bus_address)

    assert await is_bonded(ADDRESS, bus_address=bus_address)
    assert bms.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}
    assert_nothing_is_left(bluez, bms)


async def test_an_address_may_be_in_lower_case(bluez: Bluez, bus_address: str) -> None:
    await pair(ADDRESS.lower(), PIN, bus_address=bus_address)

    assert await is_bonded(ADDRESS.lower(), bus_address=bus_address)


async def test_a_wrong_pin_makes_none(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    with pytest.raises(WrongPin) as raised:
        await pair(ADDRESS, WRONG, bus_address=bus_address)

    assert WRONG not in str(raised.value)
    assert not await is_bonded(ADDRESS, bus_address=bus_address)
    assert not bms.peripheral.bonds
    assert_nothing_is_left(bluez, bms)


async def test_the_right_pin_works_after_a_wrong_one(bluez: Bluez, bus_address: str) -> None:
    with pytest.raises(WrongPin):
        await pair(ADDRESS, WRONG, bus_address=bus_address)

    await pair(ADDRESS, PIN, bus_address=bus_address)

    assert await is_bonded(ADDRESS, bus_address=bus_address)


@pytest.mark.parametrize("pin", ["000000", "000007", "012345", "999999"])
async def test_every_digit_of_a_pin_counts(bluez: Bluez, bms: EmulatedDevice, bus_address: str, pin: str) -> None:
    bms.peripheral.pin = pin

    await pair(ADDRESS, pin, bus_address=bus_address)

    assert bms.peripheral.bonds


@pytest.mark.parametrize("pin", ["", "12345", "1234567", "12345a", " 12345", "-12345", "123456\n", "١٢٣٤٥٦"])
async def test_a_pin_that_is_none_is_refused_before_anything_is_touched(pin: str) -> None:
    with pytest.raises(InvalidPin):
        # There is no bus here, so that touching it would be another error.
        await pair(ADDRESS, pin, bus_address="unix:path=/nonexistent")


async def test_a_bond_that_there_is_stays(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    await pair(ADDRESS, PIN, bus_address=bus_address)
    await call_device(bus_address, "Connect")

    await pair(ADDRESS, WRONG, bus_address=bus_address)

    assert await is_bonded(ADDRESS, bus_address=bus_address)
    assert bms.connected


async def test_a_removed_bond_is_gone_and_can_be_made_again(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    await pair(ADDRESS, PIN, bus_address=bus_address)

    await remove_bond(ADDRESS, bus_address=bus_address)

    assert not await is_bonded(ADDRESS, bus_address=bus_address)
    await pair(ADDRESS, PIN, bus_address=bus_address)
    assert await is_bonded(ADDRESS, bus_address=bus_address)


async def test_removing_a_bond_leaves_a_device_without_one_alone(bluez: Bluez, bus_address: str) -> None:
    await remove_bond(ADDRESS, bus_address=bus_address)

    assert device_of(bluez).shown


@pytest.mark.parametrize("adapters", [()])
async def test_without_an_adapter_there_is_nothing_to_pair_with(bluez: Bluez, bus_address: str) -> None:
    with pytest.raises(NoLocalAdapter) as raised:
        await pair(ADDRESS, PIN, bus_address=bus_address)

    assert raised.value.adapters == ()
    assert await local_adapters(bus_address=bus_address) == ()


@pytest.mark.parametrize(
    "adapters", [(LocalAdapter(), LocalAdapter(name="hci1", address=SECOND_ADAPTER, powered=False))]
)
@pytest.mark.parametrize("wanted", ["hci1", "hci7"])
async def test_an_adapter_that_is_off_or_absent_is_told_from_those_there_are(
    bluez: Bluez, bus_address: str, wanted: str
) -> None:
    with pytest.raises(NoLocalAdapter, match=r"there are: hci0, hci1 \(off\)") as raised:
        await pair(ADDRESS, PIN, adapter=wanted, bus_address=bus_address)

    assert set(raised.value.adapters) == {"hci0", "hci1"}
    assert await local_adapters(bus_address=bus_address) == ("hci0",)


async def test_without_bluez_there_is_no_adapter(bus_address: str) -> None:
    with pytest.raises(NoLocalAdapter):
        await pair(ADDRESS, PIN, bus_address=bus_address)

    with pytest.raises(NoLocalAdapter):
        await remove_bond(ADDRESS, bus_address=bus_address)
    assert not await is_bonded(ADDRESS, bus_address=bus_address)
    assert await local_adapters(bus_address=bus_address) == ()


async def test_without_a_bus_there_is_no_adapter(bus_address: str) -> None:
    nowhere = "unix:path=/nonexistent"

    with pytest.raises(NoLocalAdapter):
        await pair(ADDRESS, PIN, bus_address=nowhere)

    assert not await is_bonded(ADDRESS, bus_address=nowhere)


async def test_a_device_that_no_adapter_hears_is_not_visible(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    with pytest.raises(DeviceNotVisible) as raised:
        await pair("C0:3A:5E:00:00:99", PIN, bus_address=bus_address, search_time=0.05)

    assert raised.value.adapters == ("hci0",)
    assert_nothing_is_left(bluez, bms)


async def test_a_device_that_bluez_has_not_heard_yet_is_searched_for(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    device_of(bluez).forget()

    await pair(ADDRESS, PIN, bus_address=bus_address)

    assert await is_bonded(ADDRESS, bus_address=bus_address)
    assert_nothing_is_left(bluez, bms)


async def test_the_search_goes_on_until_the_device_sends(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    device_of(bluez).forget()
    bms.faults.silent = True
    pairing = asyncio.create_task(pair(ADDRESS, PIN, bus_address=bus_address))
    await until(lambda: bluez.adapters["hci0"].scanning_for)
    # By the time that these are answered, so is what the search asked before it began to wait.
    assert await local_adapters(bus_address=bus_address)
    assert await local_adapters(bus_address=bus_address)

    bms.faults.silent = False
    bluez.advertise()
    await pairing

    assert await is_bonded(ADDRESS, bus_address=bus_address)


async def test_a_device_whose_connection_another_holds_is_not_reachable(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    """It does not advertise meanwhile, so BlueZ would wait for it."""
    phone = bms.peripheral.connect("phone")

    with pytest.raises(NotReachable):
        await pair(ADDRESS, PIN, bus_address=bus_address, search_time=0.05)

    assert phone.open
    phone.close()
    assert_nothing_is_left(bluez, bms)


async def test_a_link_that_is_lost_in_the_middle_is_no_wrong_pin(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    # Finding the services is the first operation, the bond the second.
    bms.faults.lose_link_after = 1

    with pytest.raises(Lost):
        await pair(ADDRESS, PIN, bus_address=bus_address)

    assert_nothing_is_left(bluez, bms)


async def test_a_refusal_without_question_for_the_pin_is_no_wrong_pin(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    device_of(bluez).no_pairing = True

    with pytest.raises(PairingRefused):
        await pair(ADDRESS, PIN, bus_address=bus_address)

    assert_nothing_is_left(bluez, bms)


async def test_the_pin_is_asked_for_over_a_connection_of_others(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    await call_device(bus_address, "Connect")
    assert bms.connected
    with pytest.raises(WrongPin):
        await pair(ADDRESS, WRONG, bus_address=bus_address)
    await call_device(bus_address, "Connect")

    await pair(ADDRESS, PIN, bus_address=bus_address)

    assert await is_bonded(ADDRESS, bus_address=bus_address)


async def test_pairing_ends_in_time(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    bms.faults.answer_delay = NEVER

    with pytest.raises(PairingTimedOut):
        await pair(ADDRESS, PIN, bus_address=bus_address, time_limit=0.2)

    assert_nothing_is_left(bluez, bms)


async def test_the_search_ends_in_time(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    device_of(bluez).forget()
    bms.faults.silent = True

    with pytest.raises(PairingTimedOut):
        await pair(ADDRESS, PIN, bus_address=bus_address, time_limit=0.05)

    assert_nothing_is_left(bluez, bms)


async def test_a_cancelled_pairing_leaves_nothing(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    pairing = await begin_pairing(bluez, bms, bus_address)

    pairing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pairing

    assert_nothing_is_left(bluez, bms)


async def test_a_pairing_that_another_ends_leaves_nothing(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    pairing = await begin_pairing(bluez, bms, bus_address)

    await call_device(bus_address, "CancelPairing")
    with pytest.raises(NotReachable):
        await pairing

    assert_nothing_is_left(bluez, bms)


async def test_two_pairings_at_once_take_turns(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    first = await begin_pairing(bluez, bms, bus_address)
    second = asyncio.create_task(pair(ADDRESS, PIN, bus_address=bus_address))
    assert await local_adapters(bus_address=bus_address)
    assert not second.done()

    first.cancel()
    await asyncio.wait([first])
    bms.faults.answer_delay = 0
    await second

    assert await is_bonded(ADDRESS, bus_address=bus_address)
    assert_nothing_is_left(bluez, bms)


async def test_two_pairings_at_once_make_one_bond(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    await asyncio.gather(*(pair(ADDRESS, PIN, bus_address=bus_address) for _ in range(2)))

    assert await is_bonded(ADDRESS, bus_address=bus_address)
    assert_nothing_is_left(bluez, bms)


async def test_whoever_waits_for_a_turn_does_so_in_time(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    first = await begin_pairing(bluez, bms, bus_address)

    with pytest.raises(PairingTimedOut):
        await pair(ADDRESS, PIN, bus_address=bus_address, time_limit=0.05)

    assert bms.connected
    first.cancel()
    await asyncio.wait([first])


async def test_the_pairing_of_another_program_goes_on(
    bluez: Bluez, bms: EmulatedDevice, program: Program, bus_address: str
) -> None:
    bms.faults.answer_delay = NEVER
    await program.register()
    theirs = asyncio.create_task(program.call(DEVICE_PATH, "Pair"))
    await until(lambda: bms.connected)

    with pytest.raises(PairingRefused):
        await pair(ADDRESS, PIN, bus_address=bus_address)

    assert bms.connected
    assert not theirs.done()
    assert set(bluez.agents.agents) == {program.bus.unique_name}
    await call_device(bus_address, "CancelPairing")
    await asyncio.wait([theirs])


async def test_a_pairing_without_a_question_is_undone(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    """It would have proven any PIN."""
    device_of(bluez).just_works = True

    with pytest.raises(PinNotAsked):
        await pair(ADDRESS, WRONG, bus_address=bus_address)

    assert not await is_bonded(ADDRESS, bus_address=bus_address)
    assert_nothing_is_left(bluez, bms)


async def test_a_bond_that_is_not_kept_is_no_bond(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    device_of(bluez).keeps_bond = False

    with pytest.raises(PairingRefused):
        await pair(ADDRESS, PIN, bus_address=bus_address)

    assert_nothing_is_left(bluez, bms)


async def test_a_bond_that_is_not_kept_is_made_once_more(
    bluez: Bluez, bms: EmulatedDevice, program: Program, bus_address: str
) -> None:
    """As when other agents come and go at the moment."""
    device_of(bluez).keeps_bond = False
    await program.follow()

    def keep_the_next(message: Message) -> None:
        if message.member == "PropertiesChanged" and "Paired" in message.body[1]:
            device_of(bluez).keeps_bond = True

    program.bus.add_message_handler(keep_the_next)
    await pair(ADDRESS, PIN, bus_address=bus_address)

    assert await is_bonded(ADDRESS, bus_address=bus_address)


@pytest.mark.parametrize("scanned", [True, False])
async def test_a_device_that_has_gone_is_told_within_the_search_time(
    bluez: Bluez, bms: EmulatedDevice, program: Program, bus_address: str, scanned: bool
) -> None:
    """BlueZ would wait for it for ever, and still has its last signal while somebody scans."""
    await program.succeed("/org/bluez/hci0", "StartDiscovery")
    if not scanned:
        await program.succeed("/org/bluez/hci0", "StopDiscovery")
    bms.faults.silent = True

    with pytest.raises(DeviceNotVisible) as raised:
        await pair(ADDRESS, PIN, bus_address=bus_address, search_time=0.05)

    assert raised.value.adapters == ("hci0",)
    assert not bluez.agents.agents
    assert device_of(bluez).shown


async def test_a_device_that_is_known_is_waited_for_until_it_is_heard(
    bluez: Bluez, bms: EmulatedDevice, program: Program, bus_address: str
) -> None:
    await program.succeed("/org/bluez/hci0", "StartDiscovery")
    await program.succeed("/org/bluez/hci0", "StopDiscovery")
    bms.faults.silent = True
    pairing = asyncio.create_task(pair(ADDRESS, PIN, bus_address=bus_address))
    await until(lambda: bluez.adapters["hci0"].scanning_for)
    assert await local_adapters(bus_address=bus_address)
    assert await local_adapters(bus_address=bus_address)

    bms.faults.silent = False
    bluez.advertise()
    await pairing

    assert await is_bonded(ADDRESS, bus_address=bus_address)


async def test_a_device_that_ends_every_connection_is_not_reachable(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    bms.faults.refuse_connections = True

    with pytest.raises(NotReachable):
        await pair(ADDRESS, PIN, bus_address=bus_address)

    assert_nothing_is_left(bluez, bms)


async def test_bluez_going_away_in_the_middle_is_noticed(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    pairing = await begin_pairing(bluez, bms, bus_address)

    await bluez.stop()

    with pytest.raises(NoLocalAdapter):
        await pairing


async def test_the_bus_going_away_in_the_middle_is_noticed(
    mortal_bus: tuple[str, subprocess.Popen[str]], bms: EmulatedDevice
) -> None:
    bus_address, process = mortal_bus
    bluez = Bluez(LocalAdapter(devices=(bms,)), times=Times(link=0))
    await bluez.start(bus_address)
    pairing = await begin_pairing(bluez, bms, bus_address)

    process.terminate()

    with pytest.raises(NoLocalAdapter):
        await pairing
    await bluez.stop()


async def test_a_bluez_that_does_not_answer_holds_nobody_up(bus_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custom_components.smallbms_ng.connection.bluez.ANSWER_TIME", 0.05)
    mute = await MessageBus(bus_address).connect()
    mute.add_message_handler(lambda message: message.message_type is MessageType.METHOD_CALL)
    await mute.request_name("org.bluez")

    for question in (is_bonded, remove_bond):
        with pytest.raises(PairingTimedOut):
            await question(ADDRESS, bus_address=bus_address)
    with pytest.raises(PairingTimedOut):
        await local_adapters(bus_address=bus_address)
    with pytest.raises(PairingTimedOut):
        await pair(ADDRESS, PIN, bus_address=bus_address, time_limit=0.05)

    await mute.release_name("org.bluez")
    mute.disconnect()


async def test_other_agents_keep_their_place(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    desktop = await MessageBus(bus_address).connect()
    for member, *body in (("RegisterAgent", "/desktop", "DisplayYesNo"), ("RequestDefaultAgent", "/desktop")):
        await desktop.call(
            Message(
                destination="org.bluez",
                path="/org/bluez",
                interface="org.bluez.AgentManager1",
                member=member,
                signature="os"[: len(body)],
                body=body,
            )
        )
    before = list(bluez.agents.defaults)
    assert before

    pairing = await begin_pairing(bluez, bms, bus_address)
    during = list(bluez.agents.defaults)
    pairing.cancel()
    await asyncio.wait([pairing])

    assert before == during == bluez.agents.defaults
    desktop.disconnect()


async def ask_agent(bluez: Bluez, member: str, signature: str, *body: object) -> Message:
    """Call the registered agent as BlueZ does."""
    (agent,) = bluez.agents.agents.values()
    bus = bluez.adapters["hci0"].bus
    return await bus.call(agent_call(agent.owner, agent.path, member, signature, *body))


def agent_call(owner: str, path: str, member: str, signature: str, *body: object) -> Message:
    return Message(
        destination=owner,
        path=path,
        interface="org.bluez.Agent1",
        member=member,
        signature=signature,
        body=list(body),
    )


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [
        ("RequestPasskey", "o", (OTHER_PATH,)),
        ("RequestPinCode", "o", (DEVICE_PATH,)),
        ("RequestConfirmation", "ou", (DEVICE_PATH, 123456)),
        ("RequestAuthorization", "o", (DEVICE_PATH,)),
        ("AuthorizeService", "os", (DEVICE_PATH, "0000110e-0000-1000-8000-00805f9b34fb")),
        ("DisplayPasskey", "ouq", (DEVICE_PATH, 123456, 0)),
    ],
)
async def test_the_agent_rejects_what_is_not_its_own(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str, member: str, signature: str, body: tuple[object, ...]
) -> None:
    pairing = await begin_pairing(bluez, bms, bus_address)

    reply = await ask_agent(bluez, member, signature, *body)

    assert reply.message_type is MessageType.ERROR
    assert reply.error_name == "org.bluez.Error.Rejected"
    pairing.cancel()
    await asyncio.wait([pairing])


async def test_the_agent_answers_for_its_own_device(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    pairing = await begin_pairing(bluez, bms, bus_address)

    reply = await ask_agent(bluez, "RequestPasskey", "o", device_of(bluez).path)

    assert reply.body == [int(PIN)]
    pairing.cancel()
    await asyncio.wait([pairing])


@pytest.mark.parametrize("member", ["Cancel", "Release"])
async def test_the_agent_takes_notice(bluez: Bluez, bms: EmulatedDevice, bus_address: str, member: str) -> None:
    pairing = await begin_pairing(bluez, bms, bus_address)

    reply = await ask_agent(bluez, member, "")

    assert reply.message_type is MessageType.METHOD_RETURN
    pairing.cancel()
    await asyncio.wait([pairing])


async def test_the_agent_tells_the_pin_to_nobody_but_bluez(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    pairing = await begin_pairing(bluez, bms, bus_address)
    (agent,) = bluez.agents.agents.values()
    curious = await MessageBus(bus_address).connect()

    reply = await curious.call(agent_call(agent.owner, agent.path, "RequestPasskey", "o", device_of(bluez).path))

    assert reply.error_name == "org.bluez.Error.Rejected"
    curious.disconnect()
    pairing.cancel()
    await asyncio.wait([pairing])


# Does the device know the bond?


async def refused(bus_address: str, adapter: str = "hci0") -> bool | None:
    return await bond_is_refused(ADDRESS, adapter, bus_address=bus_address)


async def test_a_bond_that_the_device_forgot_is_refused(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str, release: Release
) -> None:
    await pair(ADDRESS, PIN, bus_address=bus_address)
    assert await refused(bus_address) is False
    bms.peripheral.bonds.clear()

    assert await refused(bus_address) is (True if release.tells_why_connections_end else None)

    assert await refused(bus_address, DEFAULT_ADAPTER_ADDRESS) is not False, "by its address, too"
    assert await is_bonded(ADDRESS, bus_address=bus_address), "nobody said that it is to go"
    assert_nothing_is_left(bluez, bms)


async def test_a_device_that_takes_no_connection_may_seem_to_refuse_the_bond(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str, release: Release
) -> None:
    await pair(ADDRESS, PIN, bus_address=bus_address)
    bms.faults.refuse_connections = True

    assert await refused(bus_address) is (False if release.tells_why_connections_end else None)


async def test_a_device_that_is_not_there_refuses_no_bond(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.smallbms_ng.connection.bluez.PROBE_TIME", 0.05)
    await pair(ADDRESS, PIN, bus_address=bus_address)
    bms.faults.silent = True

    assert await refused(bus_address) is False


async def test_a_connection_that_stands_is_left_alone(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    await pair(ADDRESS, PIN, bus_address=bus_address)
    await call_device(bus_address, "Connect")

    assert await refused(bus_address) is False

    assert bms.connected


async def test_without_a_bond_none_is_refused(bluez: Bluez, bms: EmulatedDevice, bus_address: str) -> None:
    assert await refused(bus_address) is False
    assert await refused(bus_address, "hci7") is False
    assert await refused("unix:path=/nonexistent") is False
    assert await has_bond(ADDRESS, "hci0", bus_address=bus_address) is False
    assert await has_bond(ADDRESS, "hci0", bus_address="unix:path=/nonexistent") is None
    assert await bonded_adapters(ADDRESS, bus_address="unix:path=/nonexistent") == frozenset()


@pytest.fixture
async def two_adapters(bus_address: str, bms: EmulatedDevice) -> AsyncGenerator[Bluez]:
    """Return a BlueZ whose second adapter hears the device better."""
    bluez = Bluez(
        LocalAdapter(devices=(bms,), rssi=-90),
        LocalAdapter(name="hci1", address=SECOND_ADAPTER, devices=(bms,), rssi=-50),
        times=Times(link=0, disconnect=0),
    )
    await bluez.start(bus_address)
    for adapter in bluez.adapters.values():
        adapter.hear()
    yield bluez
    await bluez.stop()


async def test_the_adapter_of_this_name_gets_the_bond(
    two_adapters: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    await pair(ADDRESS, PIN, adapter="hci0", bus_address=bus_address)

    assert bms.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}
    assert await bonded_adapters(ADDRESS, bus_address=bus_address) == {DEFAULT_ADAPTER_ADDRESS}
    assert await is_bonded(ADDRESS, adapter=DEFAULT_ADAPTER_ADDRESS, bus_address=bus_address)
    assert await is_bonded(ADDRESS, adapter="hci0", bus_address=bus_address)
    assert not await is_bonded(ADDRESS, adapter="hci1", bus_address=bus_address)
    await remove_bond(ADDRESS, adapter="hci1", bus_address=bus_address)
    assert await is_bonded(ADDRESS, bus_address=bus_address)


async def test_without_a_name_the_adapter_that_hears_the_device_best_gets_it(
    two_adapters: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    await pair(ADDRESS, PIN, bus_address=bus_address)

    assert bms.peripheral.bonds == {SECOND_ADAPTER}


async def test_an_adapter_with_a_bond_comes_before_a_better_one(
    two_adapters: Bluez, bms: EmulatedDevice, bus_address: str
) -> None:
    await pair(ADDRESS, PIN, adapter="hci0", bus_address=bus_address)

    await pair(ADDRESS, PIN, bus_address=bus_address)

    assert bms.peripheral.bonds == {DEFAULT_ADAPTER_ADDRESS}


async def test_a_bond_is_what_the_client_needs(
    bluez: Bluez, bms: EmulatedDevice, bus_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_address)
    # It would ask bluetoothctl.
    monkeypatch.setattr(BlueZFeatures, "checked_bluez_version", True)
    bank = make_bms(FOUR_AS_24V)
    bms.make_ve_smart_server = VeSmartService(BmsRegisters(bank, bms)).serve
    details = {"path": DEVICE_PATH, "props": {"Alias": DEFAULT_NAME, "Adapter": "/org/bluez/hci0"}}
    way = BLEDevice(ADDRESS, DEFAULT_NAME, details)
    client = VeSmartClient(
        lambda: way, client_class=BleakClientWithServiceCache, timing=Timing(answer=0.5, opening_without_bond=0.1)
    )

    with pytest.raises(NotPaired):
        await client.connect()
    await pair(ADDRESS, PIN, bus_address=bus_address)
    async with client:
        answers = await client.read(client.main_instance, [VOLTAGE.id])

    answer = answers[VOLTAGE.id]
    assert isinstance(answer, Reading)
    assert answer.value == pytest.approx(bank.snapshot().voltage, abs=0.01)
    assert not bms.connected
