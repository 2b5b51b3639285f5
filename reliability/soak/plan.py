"""What a soak is made of: ten devices of different personalities, three proxies, and one kind of world for each."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import yaml

# V of the bank below.
BANK_VOLTAGE: Final = 52.0
STATE_OF_CHARGE: Final = 60
SUPPLY: Final = "Supply"
HEATER: Final = "Heater"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One device of a soak; number counts from 1, as the control channel counts.

    advertises_all is whether codes and current are in what it advertises: without them there is nothing to audit.
    own_codes are those that its personality shows over connections, whatever the battery does.
    """

    number: int
    personality: str
    address: str
    name: str
    key: str
    pin: str
    advertises_all: bool
    own_codes: frozenset[str]


PERSONALITIES: Final = (
    "battery-protect",
    "mppt",
    "ip22",
    "smart-shunt",
    "owner-2026",
    "shy",
    "bank-by-selection",
    "beacon",
    "new-firmware",
    "strict",
)
_TELLS_LITTLE: Final = frozenset({"shy"})
_OWN_CODES: Final = {"new-firmware": frozenset({"W-B10"})}
_PROXIES: Final = (("Living room", -55), ("Shed", -63), ("Engine room", -71))


def members(seed: int) -> tuple[Member, ...]:
    """Return the devices. They share a PIN, because a proxy holds only one."""
    random = Random(f"members {seed}")
    pin = f"{random.randrange(200_000, 1_000_000)}"
    return tuple(
        Member(
            number=number,
            personality=personality,
            address=f"C0:3A:5E:50:AC:{number:02X}",
            name=f"smallBMS NG {personality}",
            key=random.randbytes(16).hex(),
            pin=pin,
            advertises_all=personality not in _TELLS_LITTLE,
            own_codes=_OWN_CODES.get(personality, frozenset()),
        )
        for number, personality in enumerate(PERSONALITIES, start=1)
    )


def write_scenario(path: Path, devices: tuple[Member, ...]) -> None:
    """Write the scenario of a soak."""
    path.write_text(
        yaml.safe_dump(
            {
                "description": "A soak",
                "start": "2026-06-15 10:00+02:00",
                "place": {"latitude": 52.37, "longitude": 4.9},
                "temperature": 20,
                "bank": {"model": "51.2/100", "series": 1, "parallel": 4, "state_of_charge": STATE_OF_CHARGE},
                "loads": [{"name": HEATER, "follows": "nothing", "power": 2500}],
                "chargers": [
                    {"name": SUPPLY, "kind": "shore", "follows": "nothing", "current": 120, "mains": "no"},
                ],
                "devices": [
                    {
                        "name": one.name,
                        "address": one.address,
                        "key": one.key,
                        "pin": one.pin,
                        "personality": one.personality,
                    }
                    for one in devices
                ],
                "proxies": [{"name": name, "rssi": rssi, "slots": 3, "pin": "yes"} for name, rssi in _PROXIES],
            },
            sort_keys=False,
        )
    )
