"""Several radios near one device, of which not every one has a bond with it."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any, Final

from bleak import BleakClient
from bleak.backends.device import BLEDevice
import bleak_retry_connector
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.smallbms_ng.connection.adapters import AdapterPreference
from custom_components.smallbms_ng.connection.errors import NoSlot, NotPaired
from emulator.gatt import Link
from emulator.radio.in_process import EmulatedScanner

from .bench import Bench, a_bench, is_lost
from .conftest import ADDRESS, Radio
from .connected import Mute
from .repairs_client import issues

NEAR: Final = "02:00:00:00:E5:02"
FAR: Final = "02:00:00:00:E5:01"
MINUTE: Final = timedelta(minutes=1)


class TwoRadios:
    """A device with a radio far from it, which has a bond, and one near to it, which has none."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.far = bench.radio.scanner
        self.near = EmulatedScanner(bench.device, source=NEAR)
        self.set_signals(near=-40, far=-80)
        bench.radio.add(self.near)
        self.connections: Counter[str] = Counter()
        self._on_next: Callable[[], None] | None = None
        self._connect = bench.device.peripheral.connect
        monkeypatch.setattr(bench.device.peripheral, "connect", self._connected)

    def set_signals(self, *, near: int, far: int) -> None:
        self.near.rssi[ADDRESS], self.far.rssi[ADDRESS] = near, far

    def advertise(self) -> None:
        """Let each hear the device."""
        self.near.advertise()
        self.far.advertise()

    async def read(self) -> Counter[str]:
        """Read everything now; return by which radios it was connected to."""
        self.advertise()
        self.connections.clear()
        await self.bench.press("read_now")
        return self.connections

    async def fail(self) -> str | None:
        """Read everything now, in vain; return what the user is told, and note by which radios it was tried."""
        with pytest.raises(HomeAssistantError) as raised:
            await self.read()
        assert self.idle
        return raised.value.translation_key

    def lose_far(self) -> None:
        """Let the far radio go away as soon as the near one connects."""

        def lose() -> None:
            self.bench.radio.undo.pop(0)()

        self._on_next = lose

    @property
    def idle(self) -> bool:
        return self.bench.idle and self.near.free_slots == self.near.slots

    def _connected(
        self, central: str, *, on_notify: Callable[[int, bytes], None], on_lost: Callable[[], None], has_key: bool
    ) -> Link:
        self.connections[central] += 1
        then, self._on_next = self._on_next, None
        if then:
            then()
        return self._connect(central, on_notify=on_notify, on_lost=on_lost, has_key=has_key)


@pytest.fixture
async def two(hass: HomeAssistant, radio: Radio, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[TwoRadios]:
    async with a_bench(Bench(hass, radio)) as bench:
        two = TwoRadios(bench, monkeypatch)
        two.advertise()
        yield two
    assert two.idle


@pytest.fixture
async def radios(two: TwoRadios) -> TwoRadios:
    """Return two radios that the device was read by once, so that it is known which has the bond."""
    await two.bench.load()
    return two


async def test_the_one_with_the_bond_is_found_at_the_first_read(radios: TwoRadios) -> None:
    assert not is_lost(radios.bench)
    assert radios.bench.state("number", "discharge_floor").state == "10.0"
    assert radios.connections == {NEAR: 1, FAR: 1}


async def test_it_is_used_from_then_on(radios: TwoRadios) -> None:
    assert await radios.read() == {FAR: 1}
    await radios.bench.set("tail_current", 7)
    assert radios.connections == {FAR: 2}
    assert radios.bench.bms.settings.tail_current == 7


async def test_it_is_used_after_a_restart(radios: TwoRadios, hass_storage: dict[str, dict[str, Any]]) -> None:
    await radios.bench.unload()
    stored = hass_storage[f"smallbms_ng.{radios.bench.entry.entry_id}"]["data"]["pages"]
    assert stored["unpaired"] == [NEAR]
    radios.connections.clear()
    radios.advertise()
    await radios.bench.load()
    assert await radios.read() == {FAR: 1}


async def test_both_have_a_bond(hass: HomeAssistant, radio: Radio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the signal counts, as for every other device."""
    async with a_bench(Bench(hass, radio)) as bench:
        radios = TwoRadios(bench, monkeypatch)
        radios.near.pin = bench.device.pin
        radios.advertise()
        await bench.load()
        assert radios.connections == {NEAR: 1}
        radios.set_signals(near=-90, far=-50)
        assert await radios.read() == {FAR: 1}


async def test_the_bond_moves(radios: TwoRadios) -> None:
    """A bond may be made at any time, also by a radio that had none."""
    radios.far.pin, radios.near.pin = None, radios.bench.device.pin
    radios.bench.device.peripheral.bonds.clear()
    assert await radios.read() == {FAR: 1, NEAR: 1}
    assert await radios.read() == {NEAR: 1}


async def test_none_has_a_bond(radios: TwoRadios) -> None:
    """Each is tried once, and once more the next time."""
    radios.far.pin = None
    radios.bench.device.peripheral.bonds.clear()
    for _ in range(2):
        with pytest.raises(HomeAssistantError) as raised:
            await radios.read()
        assert raised.value.translation_key == "proxy_has_no_pin"
        assert radios.connections == {NEAR: 1, FAR: 1}
        assert radios.idle
    radios.far.pin = radios.bench.device.pin
    await radios.read()
    assert not is_lost(radios.bench)


async def test_the_one_with_the_bond_hears_nothing(radios: TwoRadios) -> None:
    """The other one is tried all the same; and once the first one hears again, it is used."""
    remove_far = radios.bench.radio.undo[0]
    remove_far()
    assert await radios.fail() == "not_reachable"
    assert radios.connections == {NEAR: 1}
    assert not issues(radios.bench.hass)
    radios.bench.radio.undo[0] = radios.far.register(radios.bench.hass)
    assert await radios.read() == {FAR: 1}


async def test_the_one_with_the_bond_is_gone_for_good(radios: TwoRadios) -> None:
    """After some attempts in vain the owner has to pair, by whatever is left."""
    remove_far = radios.bench.radio.undo[0]
    remove_far()
    for _ in range(5):
        assert await radios.fail() == "not_reachable"
        assert not issues(radios.bench.hass)
    for _ in range(2):
        assert await radios.fail() == "proxy_has_no_pin"
        assert set(issues(radios.bench.hass)) == {"not_paired_by_proxy"}
    radios.bench.radio.undo[0] = radios.far.register(radios.bench.hass)
    assert await radios.read() == {FAR: 1}
    assert not issues(radios.bench.hass)


async def test_the_one_with_the_bond_has_no_slot(radios: TwoRadios) -> None:
    """This is told, and not that another radio has no bond."""
    radios.far.slots = 0
    with pytest.raises(HomeAssistantError) as raised:
        await radios.read()
    assert raised.value.translation_key == "no_slot"
    assert not radios.connections


async def test_the_one_with_the_bond_has_no_slot_after_a_restart(radios: TwoRadios) -> None:
    """Which one has a bond is known then, too."""
    await radios.bench.unload()
    radios.far.slots = 0
    radios.connections.clear()
    radios.advertise()
    await radios.bench.load()
    assert isinstance(radios.bench.pages.last_error, NoSlot)
    assert not radios.connections
    assert not issues(radios.bench.hass)


async def test_a_device_that_does_not_answer(radios: TwoRadios) -> None:
    """That does not mean that the bond is lost, and no other radio has one."""
    serve = radios.bench.device.make_ve_smart_server
    radios.bench.device.make_ve_smart_server = lambda _link: Mute()
    assert await radios.fail() == "no_answer"
    assert radios.connections == {FAR: 1}
    assert not issues(radios.bench.hass)
    radios.bench.device.make_ve_smart_server = serve
    assert await radios.read() == {FAR: 1}


async def test_a_device_that_answers_none_of_them(hass: HomeAssistant, radio: Radio, two: TwoRadios) -> None:
    """The one that was let in may have a bond. That the other one has none says nothing about it."""
    two.near.pin, two.far.pin = two.bench.device.pin, None
    two.bench.device.make_ve_smart_server = lambda _link: Mute()
    await two.bench.load()
    for _ in range(2):
        assert await two.fail() == "no_answer"
    assert not issues(hass)
    two.bench.device.make_ve_smart_server = two.bench.service.serve
    assert await two.read() == {NEAR: 1}


@pytest.mark.parametrize("out_of_reach", ["no slot", "gone", "gone meanwhile"])
async def test_a_bond_is_missing_and_the_other_radio_is_out_of_reach(
    hass: HomeAssistant, two: TwoRadios, out_of_reach: str
) -> None:
    """Nobody knows of a bond there. Whatever the other radio lacks, the owner has to pair."""
    two.far.pin = None
    match out_of_reach:
        case "no slot":
            two.far.slots = 0
        case "gone":
            two.far.devices.clear()
        case _:
            two.lose_far()
    await two.bench.load()
    for _ in range(2):
        assert isinstance(two.bench.pages.last_error, NotPaired)
        assert set(issues(hass)) == {"not_paired_by_proxy"}
        assert set(two.connections) == {NEAR}
        assert await two.fail() == "proxy_has_no_pin"
    await two.bench.reload()
    assert set(issues(hass)) == {"not_paired_by_proxy"}


async def test_no_radio_has_a_bond_and_somebody_holds_the_device(radios: TwoRadios) -> None:
    """What is known of a bond does not make it seem lost."""
    radios.far.pin = None
    radios.bench.device.peripheral.bonds.clear()
    assert await radios.fail() == "proxy_has_no_pin"
    radios.bench.device.faults.refuse_connections = True
    assert await radios.fail() == "not_reachable"


async def test_the_device_takes_no_connection(radios: TwoRadios) -> None:
    radios.bench.device.faults.refuse_connections = True
    with pytest.raises(HomeAssistantError) as raised:
        await radios.read()
    assert raised.value.translation_key == "not_reachable"
    radios.bench.device.faults.refuse_connections = False
    assert await radios.read() == {FAR: 1}


async def test_where_the_choice_is_made_elsewhere(radios: TwoRadios, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should Home Assistant's client choose in another way some day, it chooses as it does for everybody."""
    made: list[BleakClient] = []

    class Elsewhere:
        """Home Assistant's client in another one, which has no such method."""

        def __init__(self, *args: object, **kwargs: object) -> None:
            self._client = home_assistants(*args, **kwargs)
            made.append(self._client)

        def __getattr__(self, name: str) -> object:
            return getattr(self._client, name)

    home_assistants: Callable[..., BleakClient] = bleak_retry_connector.BleakClientWithServiceCache
    monkeypatch.setattr(bleak_retry_connector, "BleakClientWithServiceCache", Elsewhere)
    with pytest.raises(HomeAssistantError) as raised:
        await radios.read()
    assert raised.value.translation_key == "not_paired"
    assert radios.connections == {NEAR: 1}
    radios.set_signals(near=-80, far=-40)
    assert await radios.read() == {FAR: 1}
    assert not is_lost(radios.bench)
    assert made


def test_a_client_that_does_not_choose() -> None:
    class OneRadio(BleakClient):
        pass

    assert AdapterPreference().client_class_for(OneRadio, BLEDevice(ADDRESS, None, {})) is OneRadio
