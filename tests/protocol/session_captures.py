"""Bytes of VE.Smart sessions with real devices, as their owners published them.

Of an MPPT solar charger, from patlux/ve-smart-telemetry fixtures/protocol, and of a Smart BatteryProtect 0xA3B1, from
its owner's log of 2026-09-17. The two long history values were published without the record around them, which was
built anew.
"""

from typing import Final


def _frames(**frames: str) -> dict[str, bytes]:
    return {name: bytes.fromhex(digits) for name, digits in frames.items()}


CONTROL: Final = _frames(mppt="00040001de4a00", battery_protect="00010001501400")
CONTROL_NOTIFICATIONS: Final = _frames(credit="f901", refused="f70300")

DEVICE_LISTS: Final = _frames(mppt="029f000001000301ff", battery_protect="029f0000ff")
RESPONSES: Final = _frames(subscribed="07000300", subscription_refused="07090302", path_refused="070a0302")
VALUES: Final = _frames(
    voltage="080319ed8d42b809",
    current="080319ed8c44c4ffffff",
    five=("080319ed8f420100080319ed8c443c000000080319ec8a420100080319edbc4464000000080319edbb426e0e"),
    two="080319ed8d42ba09080319edbb42000b",
    device_0202="08031902024402000000",
    history_104f="080319104f5822010012000000f7dc0100f7dc01006b14e80a1e0100ffffffffffffffffffffffffff",
    history_1050="08031910505822009400000000000000a20a7009000000000053038200000012020000bf0079135c00",
    load_voltage="080319eda9425b00",
    solar_voltage="080319edbb42f30a",
    stat_2001="080319200142aa0a",
    state="08031902004101",
    trend="080319ec2058208dedffffffffffffecedffffffffffff3eecffffffffffff8cedffffffffffff",
)
REQUESTS: Final = _frames(
    get_devices="01",
    get_eleven="05038b19edbb19edbd19edbc19ed8d19ed8c19020119eda819edad19edaa19ed8f19ed8e",
    subscribe_3="0303",
    subscribe_0="0300",
    read_mode="050081190200",
    set_off="0600821902004104",
    set_on="0600821902004103",
    chunk_sizes="fa80ff",
    credit_128="f980",
    credit_65="f941",
)
