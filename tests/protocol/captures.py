"""Real bytes of real devices, as their owners published them in the tests, issues and README of keshavdv/victron-ble.

Keys are the published ones. The plaintexts of the advertisements are what the published keys decrypt them to.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Advertisement:
    """Manufacturer data without the company id, of a product other than a BMS."""

    source: str
    product_id: int
    record_type: int
    nonce: int
    data: bytes
    key: bytes
    plaintext: bytes


def _advertisement(
    source: str, product_id: int, record_type: int, nonce: int, *, data: str, key: str, plaintext: str
) -> Advertisement:
    return Advertisement(
        source=source,
        product_id=product_id,
        record_type=record_type,
        nonce=nonce,
        data=bytes.fromhex(data),
        key=bytes.fromhex(key),
        plaintext=bytes.fromhex(plaintext),
    )


ADVERTISEMENTS: Final = (
    _advertisement(
        "tests/test_battery_monitor.py",
        0xA389,
        0x02,
        16560,
        data="100289a302b040af925d09a4d89aa0128bdef48c6298a9",
        key="aff4d0995b7d1e176c0c33ecb9e70dcd",
        plaintext="ffffe50400000000030000f40140df",
    ),
    _advertisement(
        "tests/test_battery_monitor.py @1e24d7d (history)",
        0xA389,
        0x02,
        272,
        data="100289a3021001afc15f433b2663c8cfc0678b5d3d29a8",
        key="aff4d0995b7d1e176c0c33ecb9e70dcd",
        plaintext="ffffe6040000feff010000000080fe",
    ),
    _advertisement(
        "README.md (dump example)",
        0xA389,
        0x02,
        15169,
        data="100289a302413bafd03bb245e131ae926267f6fd0b59e0",
        key="aff4d0995b7d1e176c0c33ecb9e70dcd",
        plaintext="ffffe40400000000030000f40140df",
    ),
    _advertisement(
        "tests/test_battery_sense.py",
        0xA3A4,
        0x02,
        5471,
        data="1000a4a3025f150d8dcbff517f30eb65e76b22a04ac4e1",
        key="0da694539597f9cf6c613cde60d7bf05",
        plaintext="ffffc60400007d73feff7fffffffff",
    ),
    _advertisement(
        "issue #12 (advert) + tests/test_battery_sense.py @a70ddd8 (key)",
        0xA3A5,
        0x02,
        3425,
        data="1000a5a302610dfe7bf4a195165f9d03d7ae4be6e2fa36",
        key="fee810239c3f4fb775703a4666569569",
        plaintext="fffff80400008971feff7fffffffff",
    ),
    _advertisement(
        "tests/test_solar_charger.py",
        0xA042,
        0x01,
        1890,
        data="100242a0016207adceb37b605d7e0ee21b24df5c",
        key="adeccb947395801a4dd45a2eaa44bf17",
        plaintext="04006c050e000300130000fe",
    ),
    _advertisement(
        "tests/test_solar_charger.py @57a55eb (history)",
        0xA042,
        0x01,
        14681,
        data="100242a0015939a26cc2941a491e766be8457386",
        key="a2781bef23aecd48d6b9397350724c67",
        plaintext="0300f80402000200030000fe",
    ),
    _advertisement(
        "tests/test_dcdc_converter.py",
        0xA3C0,
        0x04,
        7442,
        data="1000c0a304121d64ca8d442b90bbdf6a8cba",
        key="64ba49f1a8562e45197a8e1fe50d7658",
        plaintext="00002305ff7f80000000",
    ),
    _advertisement(
        "tests/test_smart_battery_protect.py",
        0xA3B0,
        0x09,
        9013,
        data="1080b0a3093523fadedea38b1af8bcbde91ca8b6dbb60e",
        key="fac570d66380b797a5b7543758be00e4",
        plaintext="f90100000000001b051b0500000000",
    ),
    _advertisement(
        "tests/test_vebus.py",
        0x2780,
        0x0C,
        21010,
        data="100380270c1252dad26f0b8eb39162074d140df410",
        key="da3f5fa2860cb1cf86ba7a6d1d16b9dd",
        plaintext="0500e800a505b305b02000c8ff",
    ),
    _advertisement(
        "tests/test_dc_energy_meter.py",
        0xA389,
        0x0D,
        32632,
        data="100289a30d787fafde83ccec982199fd815286",
        key="aff4d0995b7d1e176c0c33ecb9e70dcd",
        plaintext="fdffe4040000ffff000000",
    ),
)

# A decrypted record of a Lynx Smart BMS (not NG), from tests/test_lynx_smart_bms.py, without the padding that follows
# it there. No encrypted record with its key is public. A second owner saw the same warnings and alarms without any
# being active.
LYNX_SMART_BMS: Final = bytes.fromhex("0040388b0afaff951555148ccf0200ff")
