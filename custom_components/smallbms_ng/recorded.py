"""What the recorder knows of the counted energy: after a power cut, that is newer than what the integration kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import logging
from math import inf
from typing import Final

from homeassistant.components.recorder import DOMAIN as RECORDER
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.history import get_last_state_changes
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, Platform, UnitOfElectricPotential, UnitOfEnergy
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import format_mac
from homeassistant.util.unit_conversion import BaseUnitConverter, ElectricPotentialConverter, EnergyConverter
from sqlalchemy.exc import SQLAlchemyError

from .const import DOMAIN
from .protocol.energy import Sample

_LOGGER = logging.getLogger(__name__)

ENERGY_CHARGED: Final = "energy_charged"
ENERGY_DISCHARGED: Final = "energy_discharged"
_VOLTAGE: Final = "voltage"
_CONSUMED: Final = "consumed_amphours"
_KEYS: Final = (ENERGY_CHARGED, ENERGY_DISCHARGED, _VOLTAGE, _CONSUMED)
# Among so many of the last states there is one with a value, unless the device was long gone.
_LAST_STATES: Final = 20

type _States = Mapping[str, State]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The Wh that were shown last, and what was measured then."""

    charged: float
    discharged: float
    last: Sample


async def async_last_recorded(hass: HomeAssistant, address: str) -> Recorded | None:
    """Return what was recorded last of a device; None where the recorder knows nothing of its energy."""
    if RECORDER not in hass.config.components:
        return None
    entity_ids = _entity_ids(hass, address)
    try:
        states = await get_instance(hass).async_add_executor_job(_last_states, hass, entity_ids)
    except SQLAlchemyError as error:
        _LOGGER.debug("The recorder does not say what it knows of %s: %s", address, error)
        return None
    return _recorded(states)


def _entity_ids(hass: HomeAssistant, address: str) -> dict[str, str]:
    """Return the entity ids of those sensors that there are, by key."""
    registry = er.async_get(hass)
    found = {
        key: registry.async_get_entity_id(Platform.SENSOR, DOMAIN, f"{format_mac(address)}_{key}") for key in _KEYS
    }
    return {key: entity_id for key, entity_id in found.items() if entity_id}


def _last_states(hass: HomeAssistant, entity_ids: Mapping[str, str]) -> dict[str, State]:
    """Return the last state with a value of each."""
    states = {
        key: _last_number(get_last_state_changes(hass, _LAST_STATES, entity_id).get(entity_id, ()))
        for key, entity_id in entity_ids.items()
    }
    return {key: state for key, state in states.items() if state}


def _last_number(states: Iterable[object]) -> State | None:
    numbers = (state for state in states if isinstance(state, State) and _number(state) is not None)
    return max(numbers, key=lambda state: state.last_updated, default=None)


def _number(state: State) -> float | None:
    try:
        return float(state.state)
    except ValueError:
        return None


def _recorded(states: _States) -> Recorded | None:
    charged, discharged = (
        _converted(states.get(key), EnergyConverter, UnitOfEnergy.WATT_HOUR)
        for key in (ENERGY_CHARGED, ENERGY_DISCHARGED)
    )
    if charged is None and discharged is None:
        return None
    return Recorded(charged=charged or 0.0, discharged=discharged or 0.0, last=_sample(states))


def _sample(states: _States) -> Sample:
    """Return what was measured then. When that was, no clock tells for sure; without a voltage, Ah tell no energy."""
    voltage, consumed = states.get(_VOLTAGE), states.get(_CONSUMED)
    volts = _converted(voltage, ElectricPotentialConverter, UnitOfElectricPotential.VOLT)
    amphours = _number(consumed) if consumed and volts is not None else None
    return Sample(at=-inf, voltage=volts or 0.0, current=0.0, consumed_amphours=amphours)


def _converted(state: State | None, converter: type[BaseUnitConverter], unit: str) -> float | None:
    """Return the number of a state, whatever unit its owner chose; None when there is none."""
    if state is None or (number := _number(state)) is None:
        return None
    return converter.convert(number, state.attributes.get(ATTR_UNIT_OF_MEASUREMENT, unit), unit)
