"""Connecting by an adapter of this machine: BlueZ knows whether there is a bond, and how the device takes it."""

import asyncio
from collections.abc import Generator
from typing import Final
from unittest.mock import patch

from bleak.backends.bluezdbus.version import BlueZFeatures
from bleak.backends.device import BLEDevice
from bleak_retry_connector import BleakClientWithServiceCache
import pytest

from custom_components.smallbms_ng.connection.bluez import is_bonded
from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import BondRefused, NoAnswer, NotPaired, NotReachable
from custom_components.smallbms_ng.connection.link import Timing
from custom_components.smallbms_ng.connection.pairing import pair
from emulator.device import DEFAULT_ADDRESS, DEFAULT_NAME, DEFAULT_PIN, EmulatedDevice
from emulator.personality.quirks import Quirks
from emulator.radio.bluez import Bluez
from emulator.radio.bluez_release import Release, Times
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService
from tests.bluez_bus import Program
from tests.emulator.banks import FOUR_AS_24V, make_bms

pytest_plugins = ("tests.bluez_bus",)

DEVICE_PATH: Final = "/org/bluez/hci0/dev_C0_3A_5E_00_00_01"
NEVER: Final = 3600.0
# What would take much longer with a real device.
QUICK: Final = Timing(connect=0.3, opening=0.3, opening_without_bond=0.05, disconnect=0.1, answer=0.1, settle=0.05)


@pytest.fixture
def times() -> Times:
    """Return that bluetoothd holds an answer back for longer than anybody waits.

    A connection takes its time: where it fails, bleak would try so fast that the bus has enough of it.
    """
    return Times(link=0.05, disconnect=0, held_back=NEVER, connect=NEVER)


@pytest.fixture(autouse=True)
def _no_waiting() -> Generator[None]:
    with patch("bleak_retry_connector.calculate_backoff_time", return_value=0):
        yield


@pytest.fixture
def service(bms: EmulatedDevice) -> VeSmartService:
    service = VeSmartService(BmsRegisters(make_bms(FOUR_AS_24V), bms))
    bms.make_ve_smart_server = service.serve
    return service


@pytest.fixture
def client(bluez: Bluez, service: VeSmartService, bus_address: str, monkeypatch: pytest.MonkeyPatch) -> VeSmartClient:
    """Return a client that connects by the adapter."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_address)
    # It would ask bluetoothctl.
    monkeypatch.setattr(BlueZFeatures, "checked_bluez_version", True)
    details = {"path": DEVICE_PATH, "props": {"Alias": DEFAULT_NAME, "Adapter": "/org/bluez/hci0"}}
    way = BLEDevice(DEFAULT_ADDRESS, DEFAULT_NAME, details)
    return VeSmartClient(lambda: way, client_class=BleakClientWithServiceCache, timing=QUICK)


async def failure(client: VeSmartClient) -> Exception:
    with pytest.raises((NotPaired, NotReachable)) as raised:
        await client.connect()
    return raised.value


async def test_a_bond_is_what_it_takes(client: VeSmartClient, bms: EmulatedDevice) -> None:
    await pair(DEFAULT_ADDRESS, DEFAULT_PIN)
    async with client:
        assert client.instances


async def test_without_a_bond_it_is_told_so_before_bluez_answers(client: VeSmartClient, bms: EmulatedDevice) -> None:
    """Whatever the release says or does not say: it is known for sure that there is no bond."""
    error = await failure(client)

    assert type(error) is NotPaired
    assert not bms.connected


async def test_without_a_bond_another_agent_may_have_made_one(
    client: VeSmartClient, bms: EmulatedDevice, program: Program
) -> None:
    await program.register(default=True)
    async with client:
        assert client.instances
    assert program.asked


async def test_a_device_that_forgot_the_bond_is_found_out(
    client: VeSmartClient, bms: EmulatedDevice, release: Release
) -> None:
    """At once where BlueZ tells why the connection ended, else at the second attempt."""
    await pair(DEFAULT_ADDRESS, DEFAULT_PIN)
    bms.peripheral.bonds.clear()

    errors = [type(await failure(client)) for _ in range(2)]

    expected = BondRefused if release.tells_why_connections_end else NotReachable
    assert errors == [expected, BondRefused]
    assert await is_bonded(DEFAULT_ADDRESS), "only a person may have it removed"


async def test_a_bond_that_is_known_again_is_not_suspected_any_more(
    client: VeSmartClient, bms: EmulatedDevice, release: Release
) -> None:
    await pair(DEFAULT_ADDRESS, DEFAULT_PIN)
    bonds = set(bms.peripheral.bonds)
    for _ in range(2):
        bms.peripheral.bonds.clear()
        await failure(client)
        bms.peripheral.bonds.update(bonds)
        async with client:
            assert client.instances


async def test_a_device_that_is_away_says_nothing_about_the_bond(
    client: VeSmartClient, bms: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.smallbms_ng.connection.bluez.PROBE_TIME", 0.02)
    await pair(DEFAULT_ADDRESS, DEFAULT_PIN)
    bms.faults.silent = True

    errors = [type(await failure(client)) for _ in range(2)]

    assert errors == [NotReachable] * 2


async def test_a_device_that_says_it_is_not_paired(client: VeSmartClient, bms: EmulatedDevice, bluez: Bluez) -> None:
    """It takes the connection, but not the bond: BlueZ has one, so that this is the one to replace."""
    await pair(DEFAULT_ADDRESS, DEFAULT_PIN)
    connect = bms.peripheral.connect

    def without_key(*args: object, **kwargs: object) -> object:
        link = connect(*args, **kwargs)  # type: ignore[arg-type]  # passed on
        asyncio.get_running_loop().call_soon(bms.peripheral.bonds.clear)
        return link

    with patch.object(bms.peripheral, "connect", without_key):
        error = await failure(client)

    assert isinstance(error, BondRefused)
    assert error.adapter == "hci0"


async def test_a_device_that_answers_nothing_has_a_good_bond(client: VeSmartClient, service: VeSmartService) -> None:
    await pair(DEFAULT_ADDRESS, DEFAULT_PIN)
    service.quirks = Quirks(answer_delay=NEVER)

    assert type(await failure(client)) is NoAnswer
