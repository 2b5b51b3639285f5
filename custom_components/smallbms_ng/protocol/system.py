"""Finds out whether the system is switched off, with loads and chargers disconnected (M-O4), and by what."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from functools import partial
from typing import Final

from .payloads import Value
from .registers import Evidence, Mode, Name, NotAllowedReason, OffReason


class SwitchedOff(StrEnum):
    """What has switched the system off."""

    HOME_ASSISTANT = "off_by_home_assistant"
    APP = "off_by_app"
    REMOTE = "off_by_remote"
    UNKNOWN = "off"
    """It is off for an unknown reason."""


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """A register that indicates whether the system is switched off in one way.

    is_off: returns this for a value of the register; None if it does not tell.
    """

    name: Name
    by: SwitchedOff
    is_off: Callable[[Value], bool | None]
    evidence: Evidence


# Assumed: the number that Victron's GX devices use for this state of a battery.
_STANDBY: Final = 14


def _is_off(mode: Value) -> bool | None:
    return None if mode is None else mode != Mode.ON


def _is_standby(state: Value) -> bool | None:
    return None if state is None else state == _STANDBY


def _has(flag: IntFlag, value: Value) -> bool | None:
    return bool(int(value) & flag) if isinstance(value, int | float) else None


_header = partial(Indicator, evidence=Evidence.HEADER)
# The most reliable indicator of each way comes first. None was seen on a smallBMS NG. The advertised state of the
# terminals outweighs any register. Indicators of an unknown way count only while the others do not tell whether the
# system is on: their meaning is known from other products.
INDICATORS: Final = (
    Indicator(name=Name.MODE, by=SwitchedOff.APP, is_off=_is_off, evidence=Evidence.LIVE),
    _header(name=Name.OFF_REASON, by=SwitchedOff.APP, is_off=partial(_has, OffReason.SOFT_POWER_SWITCH)),
    _header(
        name=Name.DISCHARGE_OFF_REASON, by=SwitchedOff.APP, is_off=partial(_has, NotAllowedReason.SOFT_POWER_SWITCH)
    ),
    _header(name=Name.CHARGE_OFF_REASON, by=SwitchedOff.APP, is_off=partial(_has, NotAllowedReason.SOFT_POWER_SWITCH)),
    _header(name=Name.OFF_REASON, by=SwitchedOff.REMOTE, is_off=partial(_has, OffReason.REMOTE_INPUT)),
    _header(name=Name.DISCHARGE_OFF_REASON, by=SwitchedOff.REMOTE, is_off=partial(_has, NotAllowedReason.REMOTE_INPUT)),
    _header(name=Name.CHARGE_OFF_REASON, by=SwitchedOff.REMOTE, is_off=partial(_has, NotAllowedReason.REMOTE_INPUT)),
    _header(name=Name.OFF_REASON, by=SwitchedOff.UNKNOWN, is_off=partial(_has, OffReason.POWER_SWITCH)),
    _header(name=Name.STATE, by=SwitchedOff.UNKNOWN, is_off=_is_standby),
)
NAMES: Final = tuple(dict.fromkeys(one.name for one in INDICATORS))


def switched_off(remote_on: bool | None, value: Callable[[Name], Value]) -> SwitchedOff | None:
    """Return what has switched the system off; None if it is on, or if that is unknown.

    remote_on: the state of the remote terminals, advertised or read. value: returns the value of a register.
    """
    app = _first(SwitchedOff.APP, value)
    remote = _first(SwitchedOff.REMOTE, value) if remote_on is None else not remote_on
    if app or remote:
        return SwitchedOff.APP if app else SwitchedOff.REMOTE
    is_unknown = app is None or remote is None
    return SwitchedOff.UNKNOWN if is_unknown and any(_states(SwitchedOff.UNKNOWN, value)) else None


def _first(by: SwitchedOff, value: Callable[[Name], Value]) -> bool | None:
    """Return the state by the most reliable indicator that tells it; None if none does."""
    return next((one for one in _states(by, value) if one is not None), None)


def _states(by: SwitchedOff, value: Callable[[Name], Value]) -> Iterator[bool | None]:
    return (one.is_off(value(one.name)) for one in INDICATORS if one.by is by)
