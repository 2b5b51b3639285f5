"""Upgrading a state that an earlier version saved."""

from dataclasses import dataclass
from typing import Final

from emulator.bms.firmware import FIRMWARE_VERSION
from emulator.bms.settings import DEFAULT_PRE_ALARM_CELL_VOLTAGE
from emulator.reading.state import Count, JsonObject, JsonValue, StateError, from_json, version_of

FORMER_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class _Former:
    """The parts of a state of the former version that the upgrade changes."""

    bank: JsonObject
    rules: JsonObject
    history: JsonObject
    settings: JsonObject
    remote: JsonObject
    faults: JsonObject
    missing: Count | None


@dataclass(frozen=True, kw_only=True)
class _FormerParts:
    """Fields inside these parts that the upgrade needs."""

    strings: list[JsonValue]
    firmware: JsonObject
    unplugged_battery: Count | None


def upgraded(data: JsonObject, version: int) -> JsonObject:
    """Return a saved device in the format of this version; one that already has it is returned unchanged.

    Raises StateError. What the former version did not save gets its default: the bank is at rest, the pre-alarm has its
    default level, the remote terminals have no switch, no discharge is under way, and the firmware is the default one.
    """
    saved_by = version_of(data)
    if saved_by == version:
        return data
    if saved_by != FORMER_VERSION:
        raise StateError("The saved state was written by another version of this program.")
    former = from_json(_Former, data)
    parts = from_json(_FormerParts, {**former.bank, **former.rules, **former.faults})
    return {
        **data,
        "version": version,
        "bank": {**former.bank, "diffusing": [0.0] * len(parts.strings), "destroyed": False},
        "history": {**former.history, "discharge": 0},
        "settings": {**former.settings, "pre_alarm_cell_voltage": DEFAULT_PRE_ALARM_CELL_VOLTAGE},
        "remote": {**former.remote, "switch": None},
        "faults": {**former.faults, "unplugged": _numbers(parts.unplugged_battery)},
        "missing": _numbers(former.missing),
        "shown_temperature": "hottest",
        "firmware_version": FIRMWARE_VERSION,
        "rules": {**former.rules, "firmware": {**parts.firmware, "loads_off": False, "subject": None}},
    }


def _numbers(number: int | None) -> list[int]:
    """Return one number, or none, as a list."""
    return [] if number is None else [number]
