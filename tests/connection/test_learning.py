"""The client with devices that need something else than most: it tries that once, and remembers what works."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import patch

from bleak.backends.device import BLEDevice
from homeassistant.components.bluetooth import async_ble_device_from_address
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.smallbms_ng.connection.client import VeSmartClient
from custom_components.smallbms_ng.connection.errors import BadAnswer, NoAnswer, Refused
from custom_components.smallbms_ng.connection.link import Reading, Refusal
from custom_components.smallbms_ng.protocol.learned import DeviceMemory, Learned
from custom_components.smallbms_ng.protocol.registers import Name, named
from custom_components.smallbms_ng.protocol.session import ArrayForm, RefusalReason
from emulator.device import DEFAULT_ADDRESS, DEFAULT_KEY, EmulatedDevice, VeSmartLink
from emulator.personality.quirks import Arrays, Quirks, RadioQuirks, RefusalCodes
from emulator.radio.in_process import EmulatedScanner
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.chunks import Channel
from emulator.ve_smart.link import VeSmartService
from emulator.ve_smart.server import VeSmartServer
from tests.emulator.banks import FOUR_AS_24V, make_bms
from tests.integration.connected import without_bluez

from .test_client import QUICK

pytestmark = pytest.mark.usefixtures("mock_bluetooth_adapters", "mock_bleak_scanner_start")

CHARGED_VOLTAGE: Final = named(Name.CHARGED_VOLTAGE)[0]
TAIL_CURRENT: Final = named(Name.TAIL_CURRENT)[0]
KEY: Final = named(Name.INSTANT_READOUT_KEY)[0]
VOLTAGE: Final = named(Name.VOLTAGE)[0]
SYNCHRONIZE: Final = named(Name.SYNCHRONIZE)[0]
ERROR: Final = b"\xf7\x01"


@dataclass
class Bench:
    """A bank of four batteries, a radio, and what is written to the device and said by it."""

    hass: HomeAssistant
    memory: DeviceMemory = field(default_factory=DeviceMemory)
    unregister: Callable[[], None] = lambda: None
    written: list[bytes] = field(default_factory=list)
    errors: int = 0

    def __post_init__(self) -> None:
        self.bms = make_bms(FOUR_AS_24V)
        self.device = EmulatedDevice(self.bms.snapshot)
        self.service = VeSmartService(BmsRegisters(self.bms, self.device))
        self.device.make_ve_smart_server = self.service.serve
        self._client = VeSmartClient(self.way, timing=QUICK, memory=self.memory)
        self.hear_by(EmulatedScanner(self.device, pin=self.device.pin))

    def hear_by(self, scanner: EmulatedScanner) -> None:
        """Let one radio, and no other, hear the device."""
        self.unregister()
        self.unregister = scanner.register(self.hass)
        scanner.advertise()

    def way(self) -> BLEDevice | None:
        return async_ble_device_from_address(self.hass, DEFAULT_ADDRESS, connectable=True)

    def client(self, quirks: Quirks) -> VeSmartClient:
        """Return the client of the device, which has these quirks from now on."""
        self.service.quirks = quirks
        return self._client

    async def voltage(self, quirks: Quirks) -> object:
        """Read the voltage over a connection of its own."""
        self.written.clear()
        self.errors = 0
        async with self.client(quirks) as client:
            answer = (await client.read(client.main_instance, [VOLTAGE.id]))[VOLTAGE.id]
        assert isinstance(answer, Reading)
        return answer.value


@pytest.fixture
async def bench(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bench]:
    assert await async_setup_component(hass, "bluetooth", {})
    await hass.async_block_till_done()
    bench = Bench(hass)
    watch(bench, monkeypatch)
    with patch("bleak_retry_connector.calculate_backoff_time", return_value=0):
        yield bench
    assert not bench.device.connected
    assert not bench.device.forbidden_writes
    bench.unregister()


def watch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what passes over the link."""
    write, notify = VeSmartServer.write, VeSmartLink.notify

    def written(server: VeSmartServer, channel: Channel, data: bytes) -> None:
        bench.written.append(data)
        write(server, channel, data)

    def notified(link: VeSmartLink, channel: Channel, data: bytes) -> None:
        bench.errors += data == ERROR
        notify(link, channel, data)

    monkeypatch.setattr(VeSmartServer, "write", written)
    monkeypatch.setattr(VeSmartLink, "notify", notified)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(
    ("arrays", "form"), [(Arrays.DEFINITE, ArrayForm.DEFINITE), (Arrays.INDEFINITE, ArrayForm.INDEFINITE)]
)
async def test_the_form_of_arrays(bench: Bench, arrays: Arrays, form: ArrayForm, silent: bool) -> None:
    quirks = Quirks(arrays=arrays, silent_about_other_arrays=silent)
    assert await bench.voltage(quirks)
    assert bench.memory.learned.array_form is form
    assert await bench.voltage(quirks)
    assert not bench.errors
    other = b"\x9f" if form is ArrayForm.DEFINITE else b"\x81\x19\xed"
    assert not any(other in data for data in bench.written)


async def test_a_form_that_is_not_taken_any_more(bench: Bench) -> None:
    assert await bench.voltage(Quirks(arrays=Arrays.INDEFINITE))
    assert await bench.voltage(Quirks(arrays=Arrays.DEFINITE))
    assert bench.memory.learned.array_form is ArrayForm.DEFINITE


async def test_a_form_that_changes_on_a_connection(bench: Bench) -> None:
    async with bench.client(Quirks()) as client:
        await client.read(client.main_instance, [VOLTAGE.id])
        bench.service.quirks = Quirks(arrays=Arrays.INDEFINITE)
        assert isinstance((await client.read(client.main_instance, [VOLTAGE.id]))[VOLTAGE.id], Reading)


async def test_a_request_fits_in_either_form(bench: Bench) -> None:
    """The device refuses requests that are a byte too long."""
    quirks = Quirks(arrays=Arrays.INDEFINITE, largest_request=20)
    registers = [VOLTAGE.id, TAIL_CURRENT.id, *range(0x0300, 0x0312)]
    async with bench.client(quirks) as client:
        answers = await client.read(client.main_instance, registers)
    assert isinstance(answers[VOLTAGE.id], Reading)
    assert isinstance(answers[TAIL_CURRENT.id], Reading)


async def test_a_write_comes_first(bench: Bench) -> None:
    """What is written on a new connection is in the right form, and not the request that is swallowed."""
    quirks = Quirks(arrays=Arrays.INDEFINITE, silent_about_other_arrays=True, swallows_first_read=True)
    async with bench.client(quirks) as client:
        await client.write(client.main_instance, TAIL_CURRENT, 5)
    assert bench.bms.settings.tail_current == 5
    async with bench.client(quirks) as client:
        await client.act(client.main_instance, SYNCHRONIZE)
    assert bench.bms.history.synchronizations == 1


async def test_a_first_read_that_is_swallowed(bench: Bench) -> None:
    assert await bench.voltage(Quirks(swallows_first_read=True))
    assert bench.memory.learned.array_form is ArrayForm.DEFINITE


async def test_no_request_for_the_instances_is_answered_at_first(bench: Bench) -> None:
    take = VeSmartServer.write
    swallowed = 0

    def swallowing(server: VeSmartServer, channel: Channel, data: bytes) -> None:
        nonlocal swallowed
        if data == b"\x01" and not swallowed:
            swallowed += 1
        else:
            take(server, channel, data)

    with patch.object(VeSmartServer, "write", swallowing):
        assert await bench.voltage(Quirks())
    assert swallowed


async def test_neither_form_is_answered(bench: Bench) -> None:
    def refuse(server: VeSmartServer, channel: Channel, data: bytes) -> None:
        if channel is Channel.LAST_DATA and data[:1] not in {b"\x01", b"\x03"}:
            server._notify(Channel.CONTROL, ERROR)
        else:
            take(server, channel, data)

    take = VeSmartServer.write
    with patch.object(VeSmartServer, "write", refuse):
        async with bench.client(Quirks()) as client:
            with pytest.raises(BadAnswer):
                await client.read(client.main_instance, [VOLTAGE.id])
    assert bench.memory.learned.array_form is ArrayForm.DEFINITE


CHUNK_SIZES: Final = bytes.fromhex("fa80ff")


async def test_a_link_that_is_dropped_on_chunk_sizes(bench: Bench) -> None:
    quirks = Quirks(drops_link_on_chunk_sizes=True)
    for learned in (True, False):
        assert await bench.voltage(quirks)
        assert CHUNK_SIZES in bench.written
        assert bench.memory.learned.chunk_sizes is learned
    assert await bench.voltage(quirks)
    assert CHUNK_SIZES not in bench.written


async def test_a_link_that_is_lost_by_chance_teaches_nothing(bench: Bench) -> None:
    for _ in range(3):
        assert await bench.voltage(Quirks(drops_link_on_chunk_sizes=True))
        assert await bench.voltage(Quirks())
        assert bench.memory.learned.chunk_sizes


async def test_a_device_that_wants_chunk_sizes_again(bench: Bench) -> None:
    bench.memory.learned = Learned(chunk_sizes=False)
    write = VeSmartServer.write
    opened: set[int] = set()

    def picky(server: VeSmartServer, channel: Channel, data: bytes) -> None:
        if data == CHUNK_SIZES:
            opened.add(id(server))
        if id(server) in opened:
            write(server, channel, data)

    with patch.object(VeSmartServer, "write", picky):
        assert await bench.voltage(Quirks())
    assert bench.memory.learned.chunk_sizes


@pytest.mark.parametrize("arrays", [Arrays.DEFINITE, Arrays.INDEFINITE])
async def test_a_key_that_is_given_to_another_opcode(bench: Bench, arrays: Arrays) -> None:
    quirks = Quirks(gives_key_only_to_0x25=True, arrays=arrays)
    async with bench.client(quirks) as client:
        answer = (await client.read(client.main_instance, [KEY.id, VOLTAGE.id]))[KEY.id]
    assert isinstance(answer, Reading)
    assert answer.value == DEFAULT_KEY
    assert bench.memory.learned.flagged_key_request


async def test_a_key_that_is_refused_to_either_opcode(bench: Bench) -> None:
    async with bench.client(Quirks(missing={KEY.id})) as client:
        answer = (await client.read(client.main_instance, [KEY.id]))[KEY.id]
    assert answer == Refusal(register=KEY.id, code=2)
    assert not bench.memory.learned.flagged_key_request


async def test_why_a_write_is_refused(bench: Bench) -> None:
    quirks = Quirks(
        refusal_codes=RefusalCodes.BY_MEANING, reports_refused_writes=True, refused_writes={TAIL_CURRENT.id}
    )
    async with bench.client(quirks) as client:
        with pytest.raises(Refused) as raised:
            await client.write(client.main_instance, TAIL_CURRENT, 5)
        assert raised.value.reason is RefusalReason.READ_ONLY
        bench.service.quirks = Quirks(
            refusal_codes=RefusalCodes.BY_MEANING, reports_refused_writes=True, missing={SYNCHRONIZE.id}
        )
        with pytest.raises(Refused) as raised:
            await client.act(client.main_instance, SYNCHRONIZE)
        assert raised.value.reason is RefusalReason.MISSING


@pytest.fixture
async def local(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench whose radio is an adapter of this machine, driven by BlueZ, which tells nothing of bonds."""
    without_bluez(monkeypatch)
    bench.hear_by(EmulatedScanner(bench.device, pin=bench.device.pin, source="00:00:00:00:00:09", bluez_name="hci0"))
    return bench


async def test_notifications_that_come_empty(local: Bench) -> None:
    local.device.quirks = RadioQuirks(empty_notifications=True)
    for openings in (2, 1):
        assert await local.voltage(Quirks())
        assert local.written.count(CHUNK_SIZES) == openings
        assert local.memory.learned.acquire_notifications


async def test_notifications_that_come_empty_either_way(local: Bench) -> None:
    with patch("emulator.radio.in_process.EmulatedClient._deliver", lambda *_: None), pytest.raises(NoAnswer):
        await local.voltage(Quirks())
    assert not local.memory.learned.acquire_notifications
