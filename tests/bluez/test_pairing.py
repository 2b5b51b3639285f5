"""Bonding by PIN, with the real bluetoothd."""

import asyncio
from time import monotonic

import pytest

from custom_components.smallbms_ng.connection.bluez import (
    DeviceNotVisible,
    NoLocalAdapter,
    PairingRefused,
    bond_is_refused,
    bonded_adapters,
    is_bonded,
    local_adapters,
    remove_bond,
)
from custom_components.smallbms_ng.connection.errors import NotPaired, NotReachable, VeSmartError, WrongPin
from custom_components.smallbms_ng.connection.pairing import PinNotAsked, pair
from emulator.device import DEFAULT_ADDRESS as ADDRESS
from emulator.device import DEFAULT_PIN as PIN

from .air import ADAPTER_ADDRESSES
from .machine import Machine, device_path, program, until
from .stage import Stage

WRONG = "123456"
NEAR, FAR = ADAPTER_ADDRESSES
SEARCH_TIME = 4.0


@pytest.mark.parametrize("secure_connections", [True, False])
async def test_the_right_pin(heard: Machine, stage: Stage, secure_connections: bool) -> None:
    stage.radio.secure_connections = secure_connections
    await pair(ADDRESS, PIN)
    assert await heard.bonded() == {"hci0"}
    assert await is_bonded(ADDRESS)
    assert await bonded_adapters(ADDRESS) == {NEAR}
    assert stage.device.peripheral.bonds == {NEAR}
    assert not (await heard.device())["Connected"]


@pytest.mark.parametrize("secure_connections", [True, False])
async def test_a_wrong_pin(heard: Machine, stage: Stage, secure_connections: bool) -> None:
    stage.radio.secure_connections = secure_connections
    with pytest.raises(WrongPin):
        await pair(ADDRESS, WRONG)
    assert not await heard.bonded()
    assert not stage.device.peripheral.bonds
    await pair(ADDRESS, PIN)
    assert await heard.bonded()


async def test_six_zeros(heard: Machine, stage: Stage) -> None:
    stage.device.peripheral.pin = "000000"
    with pytest.raises(WrongPin):
        await pair(ADDRESS, "000001")
    await pair(ADDRESS, "000000")
    assert await heard.bonded()


async def test_while_somebody_scans(machine: Machine) -> None:
    """As Home Assistant does all the time."""
    async with machine.scanning("hci0", "hci1"):
        await pair(ADDRESS, PIN)
        assert await machine.bonded() == {"hci0"}
        await remove_bond(ADDRESS)
        await pair(ADDRESS, PIN)
    assert len(await machine.bonded()) == 1, "whichever hears it first then"


# Who forgot the bond


async def test_the_device_forgot(heard: Machine, stage: Stage) -> None:
    """Whoever comes with the bond is turned away, which is found out in a moment, and the bond is made anew."""
    await pair(ADDRESS, PIN)
    assert await bond_is_refused(ADDRESS, NEAR) is False
    stage.run(stage.radio.forget_bonds())

    began = monotonic()
    assert await bond_is_refused(ADDRESS, NEAR) is not False
    assert monotonic() - began < 10

    await remove_bond(ADDRESS, adapter=NEAR)
    await pair(ADDRESS, PIN, adapter=NEAR)
    assert await bond_is_refused(ADDRESS, NEAR) is False
    assert stage.device.peripheral.bonds == {NEAR}


async def test_a_device_that_is_not_there_refuses_no_bond(heard: Machine, stage: Stage) -> None:
    await pair(ADDRESS, PIN)
    stage.device.faults.silent = True
    assert await bond_is_refused(ADDRESS, NEAR) is False
    assert await bond_is_refused(ADDRESS, FAR) is False
    assert await heard.bonded() == {"hci0"}


async def test_the_machine_forgot(heard: Machine, stage: Stage) -> None:
    await pair(ADDRESS, PIN)
    await heard.forget()
    assert stage.device.peripheral.bonds == {NEAR}
    assert not await is_bonded(ADDRESS)
    await pair(ADDRESS, PIN)
    assert await bond_is_refused(ADDRESS, NEAR) is False


async def test_both_forgot(heard: Machine, stage: Stage) -> None:
    await pair(ADDRESS, PIN)
    await heard.forget()
    stage.run(stage.radio.forget_bonds())
    await pair(ADDRESS, PIN)
    assert await bond_is_refused(ADDRESS, NEAR) is False


# Out of reach


@pytest.mark.parametrize("scanned", [False, True])
async def test_a_device_that_has_gone(heard: Machine, stage: Stage, scanned: bool) -> None:
    """It is told within the time for the search, also where BlueZ takes it for being there."""
    async with heard.scanning(*(("hci0",) if scanned else ())):
        stage.device.faults.silent = True
        began = monotonic()
        with pytest.raises(DeviceNotVisible):
            await pair(ADDRESS, PIN, search_time=SEARCH_TIME)
    assert monotonic() - began < SEARCH_TIME + 6
    stage.device.faults.silent = False
    await pair(ADDRESS, PIN)
    assert await heard.bonded()


async def test_a_device_that_was_never_heard(machine: Machine, stage: Stage) -> None:
    stage.device.faults.silent = True
    with pytest.raises(DeviceNotVisible) as raised:
        await pair(ADDRESS, PIN, search_time=SEARCH_TIME)
    assert set(raised.value.adapters) == {"hci0", "hci1"}


async def test_it_goes_while_it_pairs(heard: Machine, stage: Stage) -> None:
    stage.radio.drops_at_passkey = True
    with pytest.raises(VeSmartError) as raised:
        await pair(ADDRESS, PIN)
    assert not isinstance(raised.value, NotPaired), "the PIN is not to blame"
    assert not await heard.bonded()


async def test_it_ends_every_connection(heard: Machine, stage: Stage) -> None:
    stage.radio.refusing = True
    with pytest.raises(NotReachable):
        await pair(ADDRESS, PIN)


async def test_another_central_holds_it(heard: Machine, stage: Stage) -> None:
    phone = stage.do(lambda: stage.device.peripheral.connect("phone"))
    with pytest.raises(NotReachable):
        await pair(ADDRESS, PIN, search_time=SEARCH_TIME)
    stage.do(phone.close)
    await pair(ADDRESS, PIN)


# Who else is there


async def test_a_pairing_without_a_question_is_undone(heard: Machine, stage: Stage) -> None:
    stage.radio.just_works = True
    with pytest.raises(PinNotAsked):
        await pair(ADDRESS, WRONG)
    assert stage.radio.passkeys_asked == 0
    assert not await heard.bonded()


@pytest.mark.parametrize("capability", ["NoInputNoOutput", "DisplayOnly", "KeyboardDisplay"])
async def test_another_agent(heard: Machine, stage: Stage, capability: str) -> None:
    """It is not asked, and stays."""
    async with program() as other:
        await other.register(capability, default=True)
        await pair(ADDRESS, PIN)
        assert not other.asked
        await other.succeed("/org/bluez", "RequestDefaultAgent", "o", "/test/agent")
    assert await heard.bonded()


async def test_another_agent_that_goes_at_this_moment(heard: Machine) -> None:
    for _ in range(3):
        async with program() as other:
            await other.register("KeyboardDisplay", default=True)
        await pair(ADDRESS, PIN, adapter="hci0")
        assert await heard.bonded() == {"hci0"}
        await remove_bond(ADDRESS)


async def test_another_connection(heard: Machine) -> None:
    """The passkey is asked for all the same."""
    async with program() as other:
        await other.succeed(device_path(), "Connect")
        with pytest.raises(WrongPin):
            await pair(ADDRESS, WRONG)
        await other.succeed(device_path(), "Connect")
        await pair(ADDRESS, PIN)
    assert await heard.bonded()


async def test_two_at_once(heard: Machine) -> None:
    await asyncio.gather(pair(ADDRESS, PIN), pair(ADDRESS, PIN))
    assert await heard.bonded()


async def test_somebody_else_pairs(heard: Machine, stage: Stage) -> None:
    """That goes on."""
    stage.radio.passkey_delay = 2
    async with program() as other:
        await other.register()
        theirs = asyncio.create_task(other.call(device_path(), "Pair"))
        await until(lambda: stage.radio.passkeys_asked)
        with pytest.raises(PairingRefused):
            await pair(ADDRESS, PIN)
        assert not (await theirs).error_name
    assert await heard.bonded()


@pytest.mark.parametrize("late", [False, True])
async def test_a_cancelled_pairing(heard: Machine, stage: Stage, late: bool) -> None:
    stage.radio.passkey_delay = 30
    stage.device.faults.silent = not late
    pairing = asyncio.create_task(pair(ADDRESS, PIN))
    if late:
        await until(lambda: stage.radio.passkeys_asked)
    else:
        await asyncio.wait([pairing], timeout=1)
    pairing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pairing
    stage.device.faults.silent = False
    stage.radio.passkey_delay = 0
    await until(lambda: not stage.device.connected)
    await pair(ADDRESS, PIN)
    assert await heard.bonded()


# Adapters


async def test_the_nearer_of_two_adapters(machine: Machine, stage: Stage) -> None:
    async with machine.scanning("hci0", "hci1"):
        await pair(ADDRESS, PIN)
        assert await machine.bonded() == {"hci0"}
        await pair(ADDRESS, PIN, adapter=FAR)
        assert await machine.bonded() == {"hci0", "hci1"}
        await remove_bond(ADDRESS, adapter="hci0")
        assert await bonded_adapters(ADDRESS) == {FAR}
        assert await bond_is_refused(ADDRESS, FAR) is False


async def test_an_adapter_that_hears_nothing(machine: Machine, stage: Stage) -> None:
    stage.adapters[0].deaf = True
    await pair(ADDRESS, PIN)
    assert await machine.bonded() == {"hci1"}
    with pytest.raises(DeviceNotVisible) as raised:
        await pair(ADDRESS, PIN, adapter="hci0", search_time=SEARCH_TIME)
    assert raised.value.adapters == ("hci0",)


async def test_an_adapter_that_is_off(heard: Machine) -> None:
    await heard.switch("hci0", on=False)
    assert await local_adapters() == ("hci1",)
    with pytest.raises(NoLocalAdapter):
        await pair(ADDRESS, PIN, adapter="hci0")
    await heard.switch("hci0", on=True)
    await pair(ADDRESS, PIN, adapter="hci0")
    assert await heard.bonded() == {"hci0"}


async def test_an_adapter_that_is_switched_off_meanwhile(heard: Machine, stage: Stage) -> None:
    stage.radio.passkey_delay = 5
    pairing = asyncio.create_task(pair(ADDRESS, PIN))
    await until(lambda: stage.radio.passkeys_asked)
    await heard.switch("hci0", on=False)
    (error,) = await asyncio.gather(pairing, return_exceptions=True)
    # bluetoothd 5.87 lets it finish first.
    assert error is None or (isinstance(error, VeSmartError) and not isinstance(error, WrongPin))
    assert bool(await heard.bonded()) is (error is None)


async def test_bluetoothd_is_started_anew(heard: Machine, stage: Stage) -> None:
    """The bond is stored."""
    await pair(ADDRESS, PIN)
    heard.bluetoothd.stop()
    with pytest.raises(NoLocalAdapter):
        await pair(ADDRESS, PIN)
    assert not await is_bonded(ADDRESS)
    heard.bluetoothd.start()
    await heard.switch("hci0", on=True)
    assert await bonded_adapters(ADDRESS) == {NEAR}
    assert await bond_is_refused(ADDRESS, NEAR) is False
