"""Cabins that live for months, no two of which are alike, and what Home Assistant would record of them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final

from benchmarks.months import Hour
from custom_components.smallbms_ng.protocol.outlook import HourRecord, Range
from emulator.simulation.scenario import Scenario, parse_scenario

LATITUDE: Final = 47.2
LONGITUDE: Final = 9.5
FLOOR: Final = 10.0  # %
_WATT_HOURS: Final = 1000  # of a kWh
_STEP: Final = 0.1  # Ah
_PARTS: Final = 60  # of an hour

# By what the cabins differ: the bank with its capacity in Ah, the panels in W, and the month in which they begin.
_BANKS: Final = (("12.8/150", 1, 150), ("12.8/200", 1, 200), ("12.8/300", 1, 300), ("12.8/200", 2, 400))
_PANELS: Final = (300, 400, 500)
_BEGINS: Final = ("2026-03-01", "2026-04-01", "2026-05-01", "2026-06-01", "2026-07-01")

_CABIN: Final = """
start: {begins} 00:00+00:00
place: {{latitude: {latitude}, longitude: {longitude}}}
clouds: 45
temperature: {{"05:00": 9, "15:00": 20}}
weather: {{clouds: 40, temperature: 4, lasts: 2}}
guests: {{chance: 7, stay: 3}}
quiet_current: {{from: 0.005, to: 0.2}}
bank: {{model: {model}, parallel: {parallel}, state_of_charge: 70, capacity: {{from: 70, to: 102}}}}
settings: {{low_soc_warning: 20, discharge_floor: {floor}}}
switches: [{{name: BatteryProtect, kind: battery-protect}}]
loads:
  - name: Refrigerator
    follows: BatteryProtect
    power: 55
    duty: {{on: 14 min, every: 40 min}}
    varies: 10
    guests: 120
  - name: Lights
    follows: BatteryProtect
    power: {{"05:30": 20, "07:00": 0, "18:00": 25, "20:00": 55, "22:30": 5}}
    varies: 20
    weekend: 130
    guests: 160
  - {{name: Router, follows: BatteryProtect, power: 9}}
  - name: Computer
    follows: BatteryProtect
    power: {{"08:00": 60, "11:30": 0, "12:30": 60, "16:00": 0}}
    varies: 30
    weekend: 40
chargers:
  - name: MPPT
    kind: solar
    follows: ve-direct-cable
    current: 50
    panel: {{peak_power: {panel}, tilt: 40, azimuth: 180}}
"""


def capacity_of(seed: int) -> float:
    """Return what is written on the batteries of a cabin, in Ah."""
    return _BANKS[seed % len(_BANKS)][2]


def cabin(seed: int) -> Scenario:
    """Return a cabin."""
    model, parallel, _ = _BANKS[seed % len(_BANKS)]
    text = _CABIN.format(
        begins=_BEGINS[seed % len(_BEGINS)],
        latitude=LATITUDE,
        longitude=LONGITUDE,
        model=model,
        parallel=parallel,
        panel=_PANELS[seed % len(_PANELS)],
        floor=FLOOR,
    )
    return parse_scenario(text, name=f"cabin {seed}", file="cabin")


_QUIET: Final = """
start: 2026-11-01 00:00+00:00
place: {{latitude: {latitude}, longitude: {longitude}}}
temperature: 10
bank: {{model: 12.8/150, state_of_charge: 90}}
quiet_current: {current}
"""
QUIET_CAPACITY: Final = 150.0


def left_alone(current: float) -> Scenario:
    """Return a bank of which nothing but a constant current in A is drawn."""
    return parse_scenario(
        _QUIET.format(latitude=LATITUDE, longitude=LONGITUDE, current=current), name="left alone", file="left alone"
    )


def recorded(hours: Sequence[Hour]) -> Iterator[HourRecord]:
    """Yield what Home Assistant would record of hours, from the second one on."""
    for before, hour in pairwise(hours):
        yield HourRecord(
            start=int(hour.start.timestamp()),
            charged=round((hour.charged_kwh - before.charged_kwh) * _WATT_HOURS),
            discharged=round((hour.discharged_kwh - before.discharged_kwh) * _WATT_HOURS),
            voltage=hour.voltage,
            consumed=_range(before.consumed_ah, hour.consumed_ah),
        )


def _range(begin: float | None, end: float | None) -> Range | None:
    """Return the consumed Ah of an hour, in the steps of the record, from those at its ends."""
    if begin is None or end is None:
        return None
    course = [-round((begin + (end - begin) * part / _PARTS) / _STEP) * _STEP for part in range(_PARTS + 1)]
    return Range(low=min(course), high=max(course), mean=fmean(course))
