"""Whether the system is switched off, and by what: its loads and chargers are then disconnected (M-O4)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from functools import partial
from typing import Final

from .payloads import Value
from .registers import Evidence, Mode, Name, NotAllowedReason, OffReason


class SwitchedOff(StrEnum):
    """What the system is switched off by."""

    HOME_ASSISTANT = "off_by_home_assistant"
    APP = "off_by_app"
    REMOTE = "off_by_remote"
    UNKNOWN = "off"
    """It is off, and nothing tells why."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A register that tells whether the system is switched off in one way; says returns None where it does not."""

    name: Name
    by: SwitchedOff
    says: Callable[[Value], bool | None]
    evidence: Evidence


# Assumed: numbered as Victron's GX devices number the states of a battery.
_STANDBY: Final = 14


def _is_off(mode: Value) -> bool | None:
    return None if mode is None else mode != Mode.ON


def _is_standby(state: Value) -> bool | None:
    return None if state is None else state == _STANDBY


def _has(flag: IntFlag, value: Value) -> bool | None:
    return bool(int(value) & flag) if isinstance(value, int | float) else None


_header = partial(Sign, evidence=Evidence.HEADER)
# Of each way the better sign first. None was seen on a smallBMS NG. What the terminals say is advertised as well, which
# is better than any register. Those without a way count only while the others leave it open whether the system is on:
# what they mean is known of other products.
SIGNS: Final = (
    Sign(name=Name.MODE, by=SwitchedOff.APP, says=_is_off, evidence=Evidence.LIVE),
    _header(name=Name.OFF_REASON, by=SwitchedOff.APP, says=partial(_has, OffReason.SOFT_POWER_SWITCH)),
    _header(name=Name.DISCHARGE_OFF_REASON, by=SwitchedOff.APP, says=partial(_has, NotAllowedReason.SOFT_POWER_SWITCH)),
    _header(name=Name.CHARGE_OFF_REASON, by=SwitchedOff.APP, says=partial(_has, NotAllowedReason.SOFT_POWER_SWITCH)),
    _header(name=Name.OFF_REASON, by=SwitchedOff.REMOTE, says=partial(_has, OffReason.REMOTE_INPUT)),
    _header(name=Name.DISCHARGE_OFF_REASON, by=SwitchedOff.REMOTE, says=partial(_has, NotAllowedReason.REMOTE_INPUT)),
    _header(name=Name.CHARGE_OFF_REASON, by=SwitchedOff.REMOTE, says=partial(_has, NotAllowedReason.REMOTE_INPUT)),
    _header(name=Name.OFF_REASON, by=SwitchedOff.UNKNOWN, says=partial(_has, OffReason.POWER_SWITCH)),
    _header(name=Name.STATE, by=SwitchedOff.UNKNOWN, says=_is_standby),
)
NAMES: Final = tuple(dict.fromkeys(sign.name for sign in SIGNS))


def switched_off(remote_on: bool | None, value: Callable[[Name], Value]) -> SwitchedOff | None:
    """Return what the system is switched off by; None when it is on, or nobody knows.

    remote_on is what the terminals say, as advertised or read; value returns what a register says.
    """
    app = _first(SwitchedOff.APP, value)
    remote = _first(SwitchedOff.REMOTE, value) if remote_on is None else not remote_on
    if app or remote:
        return SwitchedOff.APP if app else SwitchedOff.REMOTE
    is_open = app is None or remote is None
    return SwitchedOff.UNKNOWN if is_open and any(_said(SwitchedOff.UNKNOWN, value)) else None


def _first(by: SwitchedOff, value: Callable[[Name], Value]) -> bool | None:
    """Return what the best sign says that says anything."""
    return next((one for one in _said(by, value) if one is not None), None)


def _said(by: SwitchedOff, value: Callable[[Name], Value]) -> Iterator[bool | None]:
    return (sign.says(value(sign.name)) for sign in SIGNS if sign.by is by)
