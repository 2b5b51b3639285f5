"""The yield of the solar chargers, as an entity for the Energy dashboard.

They send nothing over Bluetooth. So the demo itself tells Home Assistant what they yield.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import accumulate
from statistics import fmean
from typing import Final

from .answers import JsonObject, as_object, as_objects
from .control import Control, open_control
from .errors import DemoError
from .home_assistant import HomeAssistant, log_in
from .past import Hour
from .statistics import add_energy

ENTITY: Final = "sensor.solar_chargers_energy"
SOURCE: Final[JsonObject] = {"type": "solar", "name": "Solar chargers", "stat_energy_from": ENTITY}
_KIND: Final = "solar"
_ATTRIBUTES: Final[JsonObject] = {
    "friendly_name": "Solar chargers energy",
    "device_class": "energy",
    "state_class": "total_increasing",
    "unit_of_measurement": "kWh",
    "icon": "mdi:solar-power",
}
_TOLD_EVERY: Final = 10.0  # s
_WATT_SECONDS: Final = 3.6e6  # in a kWh
_WATTS: Final = 1000  # in a kW

type Yields = list[tuple[datetime, float]]
"""The beginning of each hour, and what was yielded until its end, in kWh."""


def power(state: JsonObject) -> float:
    """Return what the solar chargers of a device yield, in W; state is what the emulator tells of the device."""
    voltage = _number(as_object(state.get("status")).get("voltage"))
    return voltage * sum(_number(flow.get("current")) for flow in chargers(state))


def has_chargers(hours: Sequence[Hour]) -> bool:
    """Return whether a device that has lived through these hours has solar chargers."""
    return any(chargers(state) for hour in hours[:1] for state in hour.states[:1])


def chargers(state: JsonObject) -> list[JsonObject]:
    """Return what the emulator tells of the solar chargers of a device."""
    return [flow for flow in as_objects(state.get("flows")) if flow.get("kind") == _KIND]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def yields(devices: Iterable[Sequence[Hour]]) -> Yields:
    """Return what all devices together have yielded by the end of each hour."""
    hours = list(zip(*devices, strict=True))
    starts = [together[0].start for together in hours]
    energies = [sum(fmean(map(power, hour.states)) for hour in together) / _WATTS for together in hours]
    return list(zip(starts, accumulate(energies), strict=True))


async def tell(hass: HomeAssistant, energy: float) -> None:
    """Tell Home Assistant what was yielded in total, in kWh."""
    await hass.post(f"/api/states/{ENTITY}", {"state": f"{energy:.3f}", "attributes": _ATTRIBUTES})


async def add_past_yield(hass: HomeAssistant, past: Yields, zero: float) -> None:
    """Give Home Assistant the statistics of these hours, and the total; zero is the total that it was told before."""
    rows: list[JsonObject] = [{"start": start.isoformat(), "state": end, "sum": end - zero} for start, end in past]
    await add_energy(hass, ENTITY, rows)
    await tell(hass, past[-1][1])


async def feed(base: str, control: str, *, devices: int) -> None:
    """Go on telling Home Assistant, also when it was restarted, until canceled."""
    while True:
        with suppress(DemoError):
            async with open_control(control) as channel, log_in(base, fresh=False) as hass:
                await _feed(hass, channel, devices)
        await asyncio.sleep(_TOLD_EVERY)


async def _feed(hass: HomeAssistant, control: Control, devices: int) -> None:
    """Go on from what Home Assistant was told last. Raises DemoError when it, or the emulator, does not answer."""
    before = await control.state(1)
    shown = (await hass.states()).get(ENTITY)
    energy = float(shown.value) if shown else 0.0
    while True:
        await asyncio.sleep(_TOLD_EVERY)
        states = [await control.state(number + 1) for number in range(devices)]
        passed = timedelta(seconds=_number(states[0].get("elapsed")) - _number(before.get("elapsed")))
        energy += sum(map(power, states)) * passed.total_seconds() / _WATT_SECONDS
        before = states[0]
        await tell(hass, energy)
