"""Bringing a state that an earlier version saved up to date."""

from typing import Final

from emulator.bms.firmware import FIRMWARE_VERSION
from emulator.bms.settings import DEFAULT_PRE_ALARM_CELL_VOLTAGE
from emulator.reading.state import JsonObject, get_int, get_list, get_object, get_optional_int

FORMER_VERSION: Final = 1


def upgraded(data: JsonObject, version: int) -> JsonObject:
    """Return a saved device as the present version saves it; as it is unless it is of the former one.

    Raises StateError. What the former version did not know has its default: the bank has come to rest, the pre-alarm
    has its usual level, the remote terminals have no switch, no discharge is under way, and the firmware is the usual.
    """
    if get_int(data, "version") != FORMER_VERSION:
        return data
    faults, bank, rules = (get_object(data, key) for key in ("faults", "bank", "rules"))
    return {
        **data,
        "version": version,
        "bank": {**bank, "diffusing": [0.0] * len(get_list(bank, "strings")), "destroyed": False},
        "history": {**get_object(data, "history"), "discharge": 0},
        "settings": {**get_object(data, "settings"), "pre_alarm_cell_voltage": DEFAULT_PRE_ALARM_CELL_VOLTAGE},
        "remote": {**get_object(data, "remote"), "switch": None},
        "faults": {**faults, "unplugged": _numbers(faults, "unplugged_battery")},
        "missing": _numbers(data, "missing"),
        "shown_temperature": "hottest",
        "firmware_version": FIRMWARE_VERSION,
        "rules": {**rules, "firmware": {**get_object(rules, "firmware"), "loads_off": False, "subject": None}},
    }


def _numbers(data: JsonObject, key: str) -> list[int]:
    """Return the one number or none that there was, as a list."""
    number = get_optional_int(data, key)
    return [] if number is None else [number]
