"""The status page, as a reading: what the device would send if nobody were connected."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from .instant_readout import BatteryReading
from .payloads import Value
from .registers import Name

# Of which a reading is made. Those that are no mapping have the name of its field.
STATUS_OF_READING: Final = (
    Name.VOLTAGE,
    Name.CURRENT,
    Name.STATE_OF_CHARGE,
    Name.TIME_TO_GO,
    Name.CONSUMED_AMPHOURS,
    Name.TEMPERATURE,
    Name.ERROR,
    Name.LEVELS,
    Name.IO,
)

# Decimals of the advertisement, so that nothing changes only because a connection gives more of them.
_DECIMALS: Final = {Name.VOLTAGE: 2, Name.CURRENT: 1, Name.STATE_OF_CHARGE: 1, Name.CONSUMED_AMPHOURS: 1}
_FIELDS: Final = tuple(row.name for row in fields(BatteryReading))


def with_status(known: BatteryReading | None, product_id: int, status: Mapping[Name, Value]) -> BatteryReading | None:
    """Return what is known, with what the status page says instead; None while nothing is known of an error.

    nonce and record stay those of the advertisement, or 0 where there was none.
    """
    values: dict[str, object] = dict.fromkeys(_FIELDS)
    values |= vars(known) if known else {"product_id": product_id, "nonce": 0, "record": 0}
    for name, value in status.items():
        values.update(value if isinstance(value, Mapping) else {name: _as_advertised(name, value)})
    if values["error"] is None:
        return None
    reading = object.__new__(BatteryReading)
    object.__setattr__(reading, "__dict__", values)
    return reading


def _as_advertised(name: Name, value: Value) -> Value:
    return round(value, _DECIMALS.get(name)) if isinstance(value, float) else value
