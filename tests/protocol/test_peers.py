"""Side by side with two published decoders on the same bytes."""

from random import Random
from typing import Final

from home_assistant_bluetooth import BluetoothServiceInfo
import pytest
from victron_ble.devices.lynx_smart_bms import LynxSmartBMS, LynxSmartBMSData
from victron_ble_ha_parser import VictronBluetoothDeviceData  # type: ignore[import-untyped]  # has no py.typed

from custom_components.smallbms_ng.protocol.advertisement import (
    COMPANY_ID,
    BatteryReading,
    ImplausibleRecord,
    InstantReadout,
)
from custom_components.smallbms_ng.protocol.codes import Level

from .packer import IO, KEY, LAYOUT, THRESHOLDS, advertise, pack

RECORDS: Final = 3000

# victron-ble compares the 10-bit number with a 14-bit "not available": known to be wrong.
SOC_NOT_AVAILABLE_OF_VICTRON_BLE: Final = 102.3

# The keys of victron-ble-ha-parser for what we call otherwise.
HA_PARSER_KEYS: Final = {
    "remaining_minutes": "time_to_go",
    "voltage": "voltage",
    "current": "current",
    "state_of_charge": "state_of_charge",
    "consumed_ampere_hours": "consumed_amphours",
    "battery_temperature": "temperature",
}

# What a bank has, and what says "not available".
RANGES: Final = {
    "voltage": (500, 7500, 0x7FFF),
    "state_of_charge": (0, 1000, 0x3FF),
    "consumed_amphours": (0, 150000, 0xFFFFF),
    "time_to_go": (0, 0xFFFE, 0xFFFF),
    "current": (0, 10000, 0x7FFF),
    "temperature": (0, 126, 0x7F),
}


def plausible_raw(random: Random) -> dict[str, int]:
    """Return raw numbers for every field, every tenth or so not available."""
    raw = {name: random.getrandbits(width) for name, width in LAYOUT}
    for name, (low, high, not_available) in RANGES.items():
        raw[name] = not_available if random.random() < 0.1 else random.randint(low, high)
    if raw["current"] != RANGES["current"][2] and random.random() < 0.5:
        raw["current"] = (0x10000 - raw["current"]) % 0x10000
    return raw


@pytest.fixture(scope="module")
def advertisements() -> list[bytes]:
    random = Random(20221214)
    return [advertise(pack(plausible_raw(random)), nonce=random.getrandbits(16)) for _ in range(RECORDS)]


def drawn(reading: BatteryReading) -> float | None:
    """Return the consumed ampere-hours as the peers give them: positive."""
    return None if reading.consumed_amphours is None else abs(reading.consumed_amphours)


def their_soc(reading: BatteryReading) -> float:
    return SOC_NOT_AVAILABLE_OF_VICTRON_BLE if reading.state_of_charge is None else reading.state_of_charge


def test_victron_ble_reads_the_same(advertisements: list[bytes]) -> None:
    ours, theirs = InstantReadout(KEY), LynxSmartBMS(KEY.hex())
    for data in advertisements:
        reading, peer = ours.decode(data), theirs.parse(data)
        assert isinstance(peer, LynxSmartBMSData)
        assert (
            reading.error,
            reading.time_to_go,
            reading.voltage,
            reading.current,
            their_soc(reading),
            drawn(reading),
            reading.temperature,
        ) == (
            peer.get_error_flags(),
            peer.get_remaining_mins(),
            peer.get_voltage(),
            peer.get_current(),
            peer.get_soc(),
            peer.get_consumed_ah(),
            peer.get_battery_temperature(),
        )


def test_victron_ble_has_the_same_flags_undecoded(advertisements: list[bytes]) -> None:
    ours, theirs = InstantReadout(KEY), LynxSmartBMS(KEY.hex())
    for data in advertisements:
        reading, peer = ours.decode(data), theirs.parse(data)
        assert isinstance(peer, LynxSmartBMSData)
        io, alarms = peer.get_io_status(), peer.get_alarm_flags()
        assert [getattr(reading, name) for name in IO] == [
            (None, True, False, False)[io >> 2 * place & 3] for place in range(len(IO))
        ]
        assert [getattr(reading, name) for name in THRESHOLDS] == [
            (None, Level.OK, Level.WARNING, Level.ALARM)[alarms >> 2 * place & 3] for place in range(len(THRESHOLDS))
        ]


def read_by_ha_parser(parser: VictronBluetoothDeviceData, data: bytes) -> dict[str, object]:
    """Return what Home Assistant's own victron_ble integration would show, with our names."""
    info = BluetoothServiceInfo(
        name="smallBMS NG",
        address="AA:BB:CC:DD:EE:FF",
        rssi=-60,
        manufacturer_data={COMPANY_ID: data},
        service_data={},
        service_uuids=[],
        source="test",
    )
    values = {key.key: value.native_value for key, value in parser.update(info).entity_values.items()}
    return {ours: values[theirs] for theirs, ours in HA_PARSER_KEYS.items()}


def test_victron_ble_ha_parser_reads_the_same(advertisements: list[bytes]) -> None:
    ours, theirs = InstantReadout(KEY), VictronBluetoothDeviceData(KEY.hex())
    for data in advertisements:
        reading = ours.decode(data)
        assert read_by_ha_parser(theirs, data) == {
            "time_to_go": reading.time_to_go,
            "voltage": reading.voltage,
            "current": reading.current,
            "state_of_charge": their_soc(reading),
            "consumed_amphours": drawn(reading),
            "temperature": reading.temperature,
        }


def test_where_the_peers_are_known_to_be_wrong() -> None:
    """An unknown state of charge is 102.3 % to both; to us it is unknown."""
    data = advertise(pack(state_of_charge=0x3FF))
    peer = LynxSmartBMS(KEY.hex()).parse(data)
    assert isinstance(peer, LynxSmartBMSData)

    assert InstantReadout(KEY).decode(data).state_of_charge is None
    assert peer.get_soc() == SOC_NOT_AVAILABLE_OF_VICTRON_BLE
    shown = read_by_ha_parser(VictronBluetoothDeviceData(KEY.hex()), data)
    assert shown["state_of_charge"] == SOC_NOT_AVAILABLE_OF_VICTRON_BLE


def test_where_the_peers_show_what_no_bank_has() -> None:
    """A damaged record is refused here as a whole; the peers show it."""
    data = advertise(pack(voltage=0x8000))
    peer = LynxSmartBMS(KEY.hex()).parse(data)
    assert isinstance(peer, LynxSmartBMSData)

    assert peer.get_voltage() == -327.68
    assert read_by_ha_parser(VictronBluetoothDeviceData(KEY.hex()), data)["voltage"] == -327.68
    with pytest.raises(ImplausibleRecord):
        InstantReadout(KEY).decode(data)
