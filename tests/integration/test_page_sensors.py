"""The sensors of the battery and the history page show what the BMS has."""

from collections.abc import AsyncGenerator, Callable
from typing import Final

from homeassistant.const import STATE_UNKNOWN, EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.smallbms_ng.protocol.registers import NotAllowedReason, OffReason
from custom_components.smallbms_ng.sensor import PAGE_SENSORS
from emulator.bms.bms import SmallBms
from emulator.personality.quirks import Quirks
from tests.emulator.banks import charge_fully

from .bench import Bench, a_bench
from .conftest import Radio, entity_id

CHARGE_OFF_REASON: Final = 0xEC47
BALANCER_STATUS: Final = 0xEA15
LOWEST_TEMPERATURE: Final = 0x0313
FLAGS: Final = 0x2100
OFF_REASON: Final = 0x0207


def difference(bms: SmallBms) -> float | None:
    """Return how far the highest cell is above the lowest."""
    page = bms.bank_page()
    return None if page.highest_cell is None or page.lowest_cell is None else page.highest_cell - page.lowest_cell


# What each shows, of a bank that has been used, and within what: the resolution of its register.
SHOWN: Final[dict[str, tuple[Callable[[SmallBms], float | None], float]]] = {
    "cell_voltage_min": (lambda bms: bms.bank_page().lowest_cell, 0.01),
    "cell_voltage_max": (lambda bms: bms.bank_page().highest_cell, 0.01),
    "cell_voltage_difference": (difference, 0.011),
    "cell_temperature_min": (lambda bms: bms.bank_page().lowest_temperature, 0.01),
    "cell_temperature_max": (lambda bms: bms.bank_page().highest_temperature, 0.01),
    "batteries": (lambda _: 4, 0),
    "cells": (lambda _: 4, 0),
    "battery_cells": (lambda _: 16, 0),
    "batteries_series": (lambda _: 2, 0),
    "batteries_parallel": (lambda _: 2, 0),
    "capacity": (lambda bms: bms.detected.capacity_ah, 0),
    "history_deepest_discharge": (lambda bms: -bms.history.deepest_discharge_ah, 0.1),
    "history_cumulative_amphours": (lambda bms: bms.history.cumulative_drawn_ah, 0.1),
    "history_discharged_energy": (lambda bms: bms.history.discharged_energy_kwh, 0.01),
    "history_charged_energy": (lambda bms: bms.history.charged_energy_kwh, 0.01),
    "history_synchronizations": (lambda bms: bms.history.synchronizations, 0),
    "history_cycles": (lambda bms: bms.history.cycles, 0),
    # Shown in days.
    "history_since_full_charge": (lambda bms: (bms.history.seconds_since_full or 0) / 86400, 0.001),
    "history_lowest_voltage": (lambda bms: bms.history.lowest_battery_voltage, 0.01),
    "history_highest_voltage": (lambda bms: bms.history.highest_battery_voltage, 0.01),
    "history_lowest_cell_voltage": (lambda bms: bms.history.lowest_cell_voltage, 0.01),
    "history_highest_cell_voltage": (lambda bms: bms.history.highest_cell_voltage, 0.01),
    "history_lowest_temperature": (lambda bms: bms.history.lowest_temperature, 0.01),
    "history_highest_temperature": (lambda bms: bms.history.highest_temperature, 0.01),
}
HISTORY_VALUES: Final = 13  # of M-V5

# Also what a user has to enable.
pytestmark = pytest.mark.usefixtures("all_enabled")


@pytest.fixture
async def bench(hass: HomeAssistant, radio: Radio) -> AsyncGenerator[Bench]:
    async with a_bench(Bench(hass, radio)) as bench:
        charge_fully(bench.bms)
        for current, ambient in ((-50, 18), (20, 25), (-5, 21)):
            bench.bms.step(current=current, ambient=ambient, seconds=3600)
        await bench.load()
        yield bench


async def test_m_v2_and_m_v5(bench: Bench) -> None:
    for key, (value, resolution) in SHOWN.items():
        expected = value(bench.bms)
        assert expected is not None, key
        shown = float(bench.state("sensor", key).state)
        assert shown == pytest.approx(expected, abs=resolution), key
    assert len({key for key in SHOWN if key.startswith("history_")}) == HISTORY_VALUES
    assert {row.key for row in PAGE_SENSORS} - SHOWN.keys() == {
        "balancer_status",
        "charge_off_reason",
        "discharge_off_reason",
        "firmware_version",
        "low_temperature_charge",
        "low_temperature_discharge",
        "off_reason",
        "serial_number",
    }


@pytest.mark.parametrize(
    ("raw", "state"),
    [(0, STATE_UNKNOWN), (1, "balanced"), (2, "balancing"), (3, "imbalanced"), (9, STATE_UNKNOWN)],
)
async def test_m_v3_balancer_status(bench: Bench, monkeypatch: pytest.MonkeyPatch, raw: int, state: str) -> None:
    answer(bench, monkeypatch, BALANCER_STATUS, bytes((raw,)))
    await bench.press("read_now")
    assert bench.state("sensor", "balancer_status").state == state


@pytest.mark.parametrize(
    ("bits", "state", "reasons"),
    [
        (0, "none", []),
        *((1 << number, reason.name.lower(), [reason.name.lower()]) for number, reason in enumerate(NotAllowedReason)),  # type: ignore[union-attr]  # every one of them has a name
        (0b1010, "low_input_voltage", ["low_input_voltage", "remote_input"]),
        (1 << 12, STATE_UNKNOWN, []),
    ],
)
async def test_m_p1_why_charging_is_not_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, bits: int, state: str, reasons: list[str]
) -> None:
    answer(bench, monkeypatch, CHARGE_OFF_REASON, bits.to_bytes(2, "little"))
    await bench.press("read_now")
    found = bench.state("sensor", "charge_off_reason")
    assert (found.state, found.attributes["reasons"]) == (state, reasons)


@pytest.mark.parametrize(
    ("bits", "state", "reasons"),
    [
        (0, "none", []),
        *((reason, reason.name.lower(), [reason.name.lower()]) for reason in OffReason),  # type: ignore[union-attr]  # every one of them has a name
        (OffReason.REMOTE_INPUT | OffReason.ACTIVE_ALARM, "remote_input", ["remote_input", "active_alarm"]),
        (1 << 30, STATE_UNKNOWN, []),
    ],
)
async def test_why_the_system_is_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, bits: int, state: str, reasons: list[str]
) -> None:
    answer(bench, monkeypatch, OFF_REASON, bits.to_bytes(4, "little"))
    await bench.press("read_now")
    found = bench.state("sensor", "off_reason")
    assert (found.state, found.attributes["reasons"]) == (state, reasons)


@pytest.mark.parametrize(
    ("bits", "charge", "discharge"),
    [
        (0, "ok", "ok"),
        (1 << 17, "warning", "ok"),
        (1 << 18, "alarm", "ok"),
        (0b11 << 17, "alarm", "ok"),
        (1 << 19, "ok", "warning"),
        (1 << 20, "ok", "alarm"),
        # Which of the two it is of is not known: it gets too cold to charge first.
        (1 << 22, "alarm", "ok"),
    ],
)
async def test_too_cold(bench: Bench, monkeypatch: pytest.MonkeyPatch, bits: int, charge: str, discharge: str) -> None:
    answer(bench, monkeypatch, FLAGS, bits.to_bytes(4, "little"))
    await bench.press("read_now")
    assert bench.state("sensor", "low_temperature_charge").state == charge
    assert bench.state("sensor", "low_temperature_discharge").state == discharge


async def test_too_cold_as_the_device_itself_finds(bench: Bench) -> None:
    bench.bms.bank.temperature[:] = 2
    bench.bms.refresh()
    await bench.press("read_now")
    assert bench.state("sensor", "low_temperature_charge").state == "alarm"
    assert bench.state("sensor", "low_temperature_discharge").state == "ok"


@pytest.mark.parametrize(
    ("register", "keys"),
    [(FLAGS, ("low_temperature_charge", "low_temperature_discharge")), (OFF_REASON, ("off_reason",))],
)
async def test_offered_only_where_the_device_has_it(
    hass: HomeAssistant, radio: Radio, register: int, keys: tuple[str, ...]
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load(Quirks(missing={register}))
        assert not any(bench.has("sensor", key) for key in keys)
        assert bench.has("sensor", "charge_off_reason")


async def test_what_the_device_does_not_know_is_unknown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(bench, monkeypatch, LOWEST_TEMPERATURE, bytes(2))
    await bench.press("read_now")
    assert bench.state("sensor", "history_lowest_temperature").state == STATE_UNKNOWN


async def test_energy_fits_the_energy_dashboard(bench: Bench) -> None:
    for key in ("history_discharged_energy", "history_charged_energy"):
        attributes = bench.state("sensor", key).attributes
        assert attributes["device_class"] == "energy"
        assert attributes["state_class"] == "total_increasing"
        assert attributes["unit_of_measurement"] == "kWh"


async def test_categories_keep_the_device_page_short(hass: HomeAssistant, bench: Bench) -> None:
    for key in ("batteries", "cells", "capacity", "history_cycles", "history_lowest_voltage"):
        found = er.async_get(hass).async_get(entity_id(hass, "sensor", key))
        assert found
        assert found.entity_category is EntityCategory.DIAGNOSTIC


def answer(bench: Bench, monkeypatch: pytest.MonkeyPatch, register: int, payload: bytes) -> None:
    """Let the device answer a register with this from now on."""
    read = bench.box.read
    monkeypatch.setattr(
        bench.box, "read", lambda instance, asked: (payload,) if asked == register else read(instance, asked)
    )
