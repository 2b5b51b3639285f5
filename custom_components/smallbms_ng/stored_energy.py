"""What is kept of the energy meter over a restart."""

from dataclasses import asdict
from typing import TypedDict

from homeassistant.components.bluetooth import MONOTONIC_TIME
from homeassistant.util.dt import utcnow

from .protocol.energy import Energy, EnergyMeter, Sample


class StoredSample(TypedDict):
    """What was measured last, at a time in s since 1970."""

    at: float
    voltage: float
    current: float
    consumed_amphours: float | None


class StoredEnergy(TypedDict):
    """What was counted, and up to where."""

    counted: dict[str, float]
    last: StoredSample | None


def energy_to_store(meter: EnergyMeter) -> StoredEnergy:
    """Return what to keep."""
    last = meter.last
    return StoredEnergy(counted=asdict(meter.energy), last=_to_store(last) if last else None)


def energy_from_store(stored: StoredEnergy | None) -> EnergyMeter:
    """Return a meter that goes on from what was kept; a new one when that is nothing, or not understood."""
    if stored is None:
        return EnergyMeter()
    try:
        last = stored["last"]
        return EnergyMeter(Energy(**stored["counted"]), _from_store(last) if last else None)
    except KeyError, TypeError:
        return EnergyMeter()


def _wall_minus_monotonic() -> float:
    """Return what to add to the clock of the advertisements, which no restart of the machine survives."""
    return utcnow().timestamp() - MONOTONIC_TIME()


def _to_store(last: Sample) -> StoredSample:
    return StoredSample(
        at=last.at + _wall_minus_monotonic(),
        voltage=last.voltage,
        current=last.current,
        consumed_amphours=last.consumed_amphours,
    )


def _from_store(last: StoredSample) -> Sample:
    """Return what was measured last. A clock that was put back must not stop the meter until it has caught up."""
    at = min(last["at"] - _wall_minus_monotonic(), MONOTONIC_TIME())
    return Sample(
        at=at,
        voltage=last["voltage"],
        current=last["current"],
        consumed_amphours=last["consumed_amphours"],
    )
