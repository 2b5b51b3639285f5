"""What the device lacks, does not let anybody change, or does not accept: told, and remembered where it lasts."""

from collections.abc import AsyncGenerator
from typing import Final

from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest

from emulator.personality.quirks import Arrays, Quirks, RefusalCodes
from emulator.ve_smart.register_box import Refusal

from .bench import Bench, a_bench
from .conftest import Radio

pytestmark = pytest.mark.usefixtures("all_enabled")

TAIL_CURRENT: Final = 0x1002
SYNCHRONIZE: Final = 0x102C
MODE: Final = 0x0200
CELL: Final = 0x0381


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        yield bench


def quirks(*, read_only: int | None = None, missing: int | None = None, wide: bool = False) -> Quirks:
    """Return a device that tells why it refuses."""
    return Quirks(
        refusal_codes=RefusalCodes.WIDE if wide else RefusalCodes.BY_MEANING,
        reports_refused_writes=True,
        refused_writes=frozenset() if read_only is None else {read_only},
        missing=frozenset() if missing is None else {missing},
    )


async def refused(bench: Bench, platform: str, action: str, key: str, **data: object) -> str | None:
    """Do something that is refused; return what is said."""
    with pytest.raises(HomeAssistantError) as raised:
        await bench.call(platform, action, key, **data)
    await bench.settle()
    return raised.value.translation_key


async def set_tail_current(bench: Bench, value: float) -> str | None:
    return await refused(bench, "number", "set_value", "tail_current", value=value)


async def test_a_setting_that_cannot_be_changed_becomes_a_sensor(bench: Bench) -> None:
    await bench.load(quirks(read_only=TAIL_CURRENT))
    assert not bench.has("sensor", "tail_current")
    assert await set_tail_current(bench, 6) == "refused_read_only"
    assert not bench.has("number", "tail_current")
    assert bench.state("sensor", "tail_current").state == "4.0"
    assert bench.has("number", "charged_voltage")
    await bench.reload()
    assert not bench.has("number", "tail_current")
    assert bench.state("sensor", "tail_current").state == "4.0"


async def test_another_firmware_may_let_it_be_changed(bench: Bench) -> None:
    await bench.load(quirks(read_only=TAIL_CURRENT))
    assert await set_tail_current(bench, 6) == "refused_read_only"
    bench.service.quirks = quirks()
    bench.bms.firmware_version = "v9.01"
    await bench.press("read_now")
    assert not bench.has("sensor", "tail_current")
    await bench.set("tail_current", 6)
    assert bench.state("number", "tail_current").state == "6.0"


async def test_a_mode_that_cannot_be_changed_is_no_switch(bench: Bench) -> None:
    await bench.load(quirks(read_only=MODE))
    assert bench.state("switch", "system").state == "on"
    assert await refused(bench, "switch", "turn_off", "system") == "refused_read_only"
    assert not bench.has("switch", "system")


async def test_an_action_that_the_device_does_not_have(bench: Bench) -> None:
    await bench.load(quirks(missing=SYNCHRONIZE))
    assert await refused(bench, "button", "press", "synchronize") == "refused_missing"
    assert not bench.has("button", "synchronize")
    assert bench.has("button", "read_now")
    await bench.reload()
    assert not bench.has("button", "synchronize")
    bench.service.quirks = quirks()
    await bench.press("read_now")
    await bench.press("synchronize")
    assert bench.bms.history.synchronizations == 1


@pytest.mark.parametrize("wide", [False, True])
async def test_a_value_that_the_device_does_not_accept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, wide: bool
) -> None:
    """The number stays, and shows what the device has."""
    await bench.load(quirks(wide=wide))
    monkeypatch.setattr(bench.box, "write", lambda *_: Refusal.INVALID)
    assert await set_tail_current(bench, 6) == "refused_value"
    assert bench.state("number", "tail_current").state in {"4.0", "unknown"}
    assert bench.has("number", "tail_current")
    assert bench.pages.memory.learned.read_only == frozenset()


async def test_a_device_that_is_busy(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.load(quirks(wide=True))
    monkeypatch.setattr(bench.box, "write", lambda *_: Refusal.BUSY)
    with pytest.raises(HomeAssistantError):
        await bench.set("tail_current", 6)
    assert bench.has("number", "tail_current")


async def test_a_device_that_gives_one_code_for_everything(bench: Bench) -> None:
    """Whether the setting cannot be changed is not known then."""
    await bench.load(
        Quirks(refusal_codes=RefusalCodes.ALIKE, reports_refused_writes=True, refused_writes={TAIL_CURRENT})
    )
    assert await set_tail_current(bench, 6) == "refused_value"
    assert bench.has("number", "tail_current")


async def test_a_setting_as_a_sensor_is_described_as_the_number_was(bench: Bench) -> None:
    await bench.load(quirks(read_only=0x1001))
    assert await refused(bench, "number", "set_value", "charged_voltage", value=28) == "refused_read_only"
    state = bench.state("sensor", "charged_voltage")
    assert state.attributes["device_class"] == SensorDeviceClass.VOLTAGE
    assert state.attributes["unit_of_measurement"] == "V"


async def test_a_new_firmware_of_a_device_that_keeps_silent(bench: Bench) -> None:
    """It answers one form of arrays only: what is read after its version is read in this form, too."""
    await bench.load(Quirks(arrays=Arrays.INDEFINITE, silent_about_other_arrays=True))
    bench.bms.firmware_version = "v9.01"
    bench.box.forget()
    await bench.press("read_now")
    assert bench.pages.memory.learned.firmware_version == "v9.01"
    assert bench.box.reads[4, CELL] == 1
