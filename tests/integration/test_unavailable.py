"""What becomes unavailable when the device is neither heard nor read, as docs/values.md tells."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

from homeassistant.const import CONF_PIN, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
import pytest

from custom_components.smallbms_ng.const import CONF_PAGES_INTERVAL, DEFAULT_PAGES_INTERVAL
from emulator.personality.quirks import Quirks

from .bench import Bench, a_bench
from .conftest import Radio

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
# As often as ages are checked of what connections gave.
CHECK: Final = 5 * MINUTE
# By how long the device has been silent: what goes then.
WITH_PIN: Final = (
    (
        30 * MINUTE,
        ("voltage", "power", "status", "allowed_to_charge", "pre_alarm", "low_cell_voltage", "energy_charged"),
    ),
    (2 * HOUR, ("charge_off_reason", "low_temperature_charge", "system", "battery_1_voltage", "battery_1_temperature")),
    (2 * HOUR + 15 * MINUTE, ("battery_1_cell_1", "cell_voltage_min", "balancer_status", "capacity")),
    (2 * HOUR + 30 * MINUTE, ("history_cycles", "history_charged_energy")),
    (3 * HOUR, ("serial_number",)),
    (25 * HOUR, ("discharge_floor", "charged_voltage")),
)
NEVER: Final = ("last_heard", "code", "connection", "read_now", "synchronize")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    """Return a device that was heard every second and read once, and then belongs to the phone."""
    async with a_bench(Bench(hass, radio, options={CONF_PAGES_INTERVAL: DEFAULT_PAGES_INTERVAL})) as bench:
        yield bench
        bench.device.peripheral.drop_link()


async def give_to_phone(bench: Bench) -> None:
    for current in range(40):
        bench.bms.step(current=-current / 10, ambient=20, seconds=1)
        bench.radio.scanner.advertise()
        bench.radio.tick(timedelta(seconds=1))
    await bench.settle()
    bench.service.quirks = Quirks(keep_alive=timedelta(days=2).total_seconds())
    bench.device.peripheral.connect("phone", on_notify=lambda *_: None, on_lost=lambda: None)


def unavailable(bench: Bench) -> set[str]:
    states = {key: bench.hass.states.get(entity_id) for key, entity_id in bench.entities().items()}
    return {key for key, state in states.items() if state and state.state == STATE_UNAVAILABLE}


async def test_with_the_pin(bench: Bench) -> None:
    await bench.load()
    await give_to_phone(bench)
    passed = timedelta()
    for after, keys in WITH_PIN:
        await bench.run(bench.radio.jump(after - 2 * MINUTE - passed))
        assert unavailable(bench).isdisjoint(keys), after
        await bench.run(bench.radio.jump(2 * MINUTE + CHECK))
        passed = after + CHECK
        assert set(keys) <= unavailable(bench), after
    assert unavailable(bench).isdisjoint(NEVER)


async def test_with_the_key_alone(bench: Bench) -> None:
    data = {key: value for key, value in bench.entry.data.items() if key != CONF_PIN}
    bench.hass.config_entries.async_update_entry(bench.entry, data=data)
    await bench.load()
    await give_to_phone(bench)
    await bench.run(bench.radio.jump(MINUTE))
    assert not unavailable(bench)
    await bench.run(bench.radio.jump(MINUTE))
    assert set(WITH_PIN[0][1]) <= unavailable(bench)
    assert unavailable(bench).isdisjoint({"last_heard", "code"})
