"""Reading and writing over a bond, by bleak and the real bluetoothd."""

import asyncio
from functools import partialmethod
from time import monotonic
from typing import Final, override
from uuid import UUID

from bleak import BleakClient
from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak_retry_connector import BleakClientWithServiceCache
import pytest

from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import Lost, NotPaired, NotReachable
from custom_components.smallbms_ng.connection.link import Reading, Timing
from custom_components.smallbms_ng.connection.pairing import pair
from custom_components.smallbms_ng.protocol.registers import Name, Page, named, on_page
from emulator.device import DEFAULT_ADDRESS as ADDRESS
from emulator.device import DEFAULT_PIN as PIN
from emulator.device import EmulatedDevice
from emulator.personality.quirks import Quirks

from .machine import Machine, program, until, way
from .stage import Stage

VOLTAGE: Final = named(Name.VOLTAGE)[0]
FLOOR: Final = named(Name.DISCHARGE_FLOOR)[0]
SMALLEST_MTU: Final = 23
SETTINGS: Final = tuple(register.id for register in on_page(Page.SETTINGS))


def make_client(adapter: str = "hci0", client_class: type[BleakClient] = BleakClientWithServiceCache) -> VeSmartClient:
    return VeSmartClient(lambda: way(adapter), client_class=client_class, timing=Timing())


async def voltage(client: VeSmartClient) -> object:
    answer = (await client.read(client.main_instance, [VOLTAGE.id]))[VOLTAGE.id]
    return answer.value if isinstance(answer, Reading) else None


@pytest.fixture
async def paired(heard: Machine) -> Machine:
    """Return the machine, which has a bond with the device."""
    await pair(ADDRESS, PIN)
    return heard


@pytest.mark.smoke
async def test_smoke(heard: Machine, stage: Stage) -> None:
    """Pair, read all pages, write and read back, lose the link in the middle, and come back."""
    await pair(ADDRESS, PIN)
    client = make_client()
    await client.connect()
    for page in (Page.IDENTITY, Page.STATUS, Page.SETTINGS, Page.HISTORY):
        answers = await client.read(client.main_instance, [register.id for register in on_page(page)])
        assert any(isinstance(answer, Reading) for answer in answers.values()), page
    for battery in client.batteries:
        answers = await client.read(battery.instance, [register.id for register in battery.registers])
        assert any(isinstance(answer, Reading) for answer in answers.values())
    assert len(client.batteries) == 4

    assert (await client.write(client.main_instance, FLOOR, 35)).value == 35
    assert stage.bms.settings.discharge_floor == 35

    stage.service.quirks = Quirks(answer_delay=2)
    reading = asyncio.create_task(client.read(client.main_instance, SETTINGS))
    await asyncio.wait([reading], timeout=0.5)
    stage.do(stage.device.peripheral.drop_link)
    with pytest.raises(Lost):
        await reading
    stage.service.quirks = Quirks()
    await client.connect()
    assert await voltage(client)
    await client.disconnect()
    await until(lambda: not stage.device.connected)
    assert not stage.device.forbidden_writes


@pytest.mark.parametrize("mtu", [SMALLEST_MTU, 185, 247, 517])
async def test_packets_of_every_size(paired: Machine, stage: Stage, mtu: int) -> None:
    stage.do(lambda: stage.radio.set_mtu(mtu))
    writes: list[int] = []

    class Counting(BleakClientWithServiceCache):
        @override
        async def write_gatt_char(
            self,
            char_specifier: BleakGATTCharacteristic | int | str | UUID,
            data: SizedBuffer,
            response: bool | None = None,
        ) -> None:
            writes.append(len(data))
            await super().write_gatt_char(char_specifier, data, response)

    async with make_client(client_class=Counting) as client:
        answers = await client.read(client.main_instance, SETTINGS)
    assert any(isinstance(answer, Reading) for answer in answers.values())
    longest = min(mtu - 3, 512)
    assert max(writes) <= longest


@pytest.mark.parametrize("start_notify", [True, False])
async def test_both_ways_to_be_notified(paired: Machine, start_notify: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    listen = BleakClientWithServiceCache.start_notify
    monkeypatch.setattr(
        BleakClientWithServiceCache,
        "start_notify",
        partialmethod(listen, bluez={"use_start_notify": start_notify}),
    )
    async with make_client() as client:
        assert await voltage(client)


async def test_it_is_held(paired: Machine) -> None:
    """The keep-alive is renewed in time."""
    async with make_client() as client:
        await asyncio.sleep(17)
        assert client.connected
        assert await voltage(client)


async def test_the_link_just_dies(paired: Machine, stage: Stage) -> None:
    client = make_client()
    await client.connect()
    stage.service.quirks = Quirks(answer_delay=2)
    reading = asyncio.create_task(client.read(client.main_instance, SETTINGS))
    await asyncio.wait([reading], timeout=0.5)
    stage.do(stage.adapters[0].lose_links)
    with pytest.raises(Lost):
        await reading
    await client.disconnect()


@pytest.mark.parametrize("agent", [None, "NoInputNoOutput", "KeyboardDisplay"])
async def test_no_bond(heard: Machine, stage: Stage, agent: str | None) -> None:
    """bluetoothd holds the answer back for a minute, or says something else; either way it is told before that."""
    async with program() as other:
        other.passkey = None
        if agent:
            await other.register(agent, default=True)
        began = monotonic()
        with pytest.raises(NotPaired):
            await make_client().connect()
    assert monotonic() - began < 20


async def test_the_device_forgot_the_bond(paired: Machine, stage: Stage) -> None:
    """It is told that the bond is missing, after three attempts at most."""
    stage.run(stage.radio.forget_bonds())
    client = make_client()
    errors = []
    for _ in range(3):
        with pytest.raises((NotPaired, NotReachable)) as raised:
            await client.connect()
        errors.append(raised.value)
        if isinstance(raised.value, NotPaired):
            break
    assert isinstance(errors[-1], NotPaired), errors
    assert await paired.bonded(), "only a person may have it removed"


async def test_another_central_holds_the_device(paired: Machine, stage: Stage) -> None:
    stage.do(lambda: stage.device.peripheral.connect("phone"))
    client = make_client()
    with pytest.raises(NotReachable):
        await client.connect()
    stage.do(stage.device.peripheral.drop_link)
    async with client:
        assert await voltage(client)


async def test_a_device_that_answers_nothing(paired: Machine, stage: Stage) -> None:
    """That is no missing bond."""
    stage.service.quirks = Quirks(answer_delay=60)
    with pytest.raises(NotPaired) as raised:
        await make_client().connect()
    assert type(raised.value).__name__ == "NoAnswer"


async def test_bluetoothd_ends(paired: Machine, stage: Stage) -> None:
    client = make_client()
    await client.connect()
    paired.bluetoothd.stop()
    await until(lambda: not client.connected)
    await client.disconnect()
    paired.bluetoothd.start()
    await paired.switch("hci0", on=True)
    await paired.hear()
    async with client:
        assert await voltage(client)


async def test_again_and_again(paired: Machine, stage: Stage) -> None:
    for _ in range(4):
        async with make_client() as client:
            assert await voltage(client)
    assert isinstance(stage.device, EmulatedDevice)
