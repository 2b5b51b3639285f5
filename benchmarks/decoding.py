"""How long one advertisement takes, beside the published decoders. Run with: python -m benchmarks.decoding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from math import exp, pi, sin
from random import Random
from statistics import median
import sys
from time import process_time
from timeit import Timer
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from home_assistant_bluetooth import BluetoothServiceInfo
from victron_ble.devices import detect_device_type
from victron_ble.devices.lynx_smart_bms import LynxSmartBMS, LynxSmartBMSData
from victron_ble_ha_parser import VictronBluetoothDeviceData  # type: ignore[import-untyped]  # has no py.typed

from custom_components.smallbms_ng.protocol import advertisement as instant_readout
from custom_components.smallbms_ng.protocol.advertisement import COMPANY_ID, BatteryReading, InstantReadout
from emulator.instant_readout import encode_record, encrypt_record
from emulator.snapshot import IoField, Level, LevelField, Snapshot

from . import figures

KEY: Final = bytes.fromhex("aff4d0995b7d1e176c0c33ecb9e70dcd")
ROUNDS: Final = 15
SECONDS_BETWEEN_RECORDS: Final = 20
RECORDS_OF_A_DAY: Final = 24 * 3600 // SECONDS_BETWEEN_RECORDS

CAPACITY: Final = 200.0
WARN_BELOW: Final = 36.0
FLOOR: Final = 20.0
IDLE: Final = 0.5
CHANCE_OF_ANOTHER_LOAD: Final = 0.02

type Decode = Callable[[bytes], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. prepare makes the function to measure, anew for every round."""

    name: str
    prepare: Callable[[], Decode]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What has to be reached: row `a` takes at least or at most so many times as long as row `b`."""

    text: str
    a: str
    b: str
    least: float = 0
    most: float = float("inf")


def a_day(number: int) -> list[bytes]:
    """Return the advertisements of one day of a 12.8 V battery with sun and loads; the same for the same number."""
    random = Random(number)
    amphours, load = random.uniform(110, 150), 4.0
    records = []
    for index in range(RECORDS_OF_A_DAY):
        if random.random() < CHANCE_OF_ANOTHER_LOAD:
            load = random.choice((1.2, 4.0, 9.5, 35.0))
        sun = max(0.0, sin((index / RECORDS_OF_A_DAY - 0.25) * 2 * pi)) * random.uniform(24, 36)
        current = sun - load + random.uniform(-0.3, 0.3)
        amphours = min(CAPACITY, max(FLOOR, amphours + current * SECONDS_BETWEEN_RECORDS / 3600))
        snapshot = _snapshot(amphours, current, temperature=round(18 + sun / 4))
        records.append(encrypt_record(encode_record(snapshot), key=KEY, nonce=index))
    return records


def _snapshot(amphours: float, current: float, *, temperature: int) -> Snapshot:
    level = Level.WARNING if amphours < WARN_BELOW else Level.OK
    return Snapshot(
        time_to_go=round((amphours - FLOOR) / -current * 60) if current < -IDLE else None,
        voltage=13.1 + amphours / 1000 + current * 0.004 - 0.8 * exp(-amphours / 15),
        current=current,
        temperature=temperature,
        state_of_charge=amphours / CAPACITY * 100,
        drawn_amphours=CAPACITY - amphours,
        io=dict.fromkeys(IoField, True),
        levels=dict.fromkeys(LevelField, Level.OK) | {LevelField.LOW_SOC: level},
    )


YESTERDAY: Final = a_day(1)
TODAY: Final = a_day(2)


def _fresh_decoder() -> Callable[[bytes], BatteryReading]:
    """Return the decoder of a copy of our module, which remembers no value yet."""
    spec = find_spec(instant_readout.__name__)
    if spec is None or spec.loader is None:
        raise ImportError(instant_readout.__name__)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    decode: Callable[[bytes], BatteryReading] = module.InstantReadout(KEY).decode
    return decode


def _used_decoder() -> Callable[[bytes], BatteryReading]:
    """Return a decoder that has been in use for a day."""
    decode = _fresh_decoder()
    for data in YESTERDAY:
        decode(data)
    return decode


def _used_decoder_all_read() -> Decode:
    """Return what decodes, and asks for everything that is computed only when it is asked for."""
    decode = _used_decoder()

    def decode_and_read(data: bytes) -> object:
        reading = decode(data)
        return reading.power, reading.codes, reading.severity, reading.pre_alarm, reading.battery_low, reading.flags

    return decode_and_read


def _victron_ble() -> Decode:
    """Return what users of victron-ble call for an advertisement."""
    key = KEY.hex()

    def decode(data: bytes) -> object:
        device = detect_device_type(data)
        return None if device is None else device(key).parse(data)

    return decode


def _victron_ble_parse_only() -> Decode:
    return LynxSmartBMS(KEY.hex()).parse


def _victron_ble_ha_parser() -> Decode:
    """Return what Home Assistant's victron_ble calls for an advertisement; its input is made beforehand."""
    parser = VictronBluetoothDeviceData(KEY.hex())
    infos = {data: _service_info(data) for data in TODAY}
    return lambda data: parser.update(infos[data])


def _service_info(data: bytes) -> BluetoothServiceInfo:
    return BluetoothServiceInfo(
        name="smallBMS NG",
        address="AA:BB:CC:DD:EE:FF",
        rssi=-60,
        manufacturer_data={COMPANY_ID: data},
        service_data={},
        service_uuids=[],
        source="benchmark",
    )


def _aes_block() -> Decode:
    """Return the decryption alone, as counter mode is meant to be used: a cipher for every nonce."""
    algorithm = algorithms.AES(KEY)
    padding = bytes(14)
    return lambda data: Cipher(algorithm, modes.CTR(data[5:7] + padding)).encryptor().update(data[8:])


def _aes_block_kept_key() -> Decode:
    """Return one AES block with a cipher that is kept, which is the way our decoder goes."""
    encrypt = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor().update
    padding = bytes(14)
    return lambda data: encrypt(data[5:7] + padding)


def _nothing() -> Decode:
    return lambda data: data


OURS: Final = "smallbms_ng"
AES: Final = "one AES block, cipher made anew"
VICTRON_BLE: Final = "victron-ble 0.9.3"

ALL_READ: Final = f"{OURS}, codes, power and others read too"

ROWS: Final = (
    Row(name=OURS, prepare=_used_decoder),
    Row(name=f"{OURS}, first day (nothing remembered)", prepare=_fresh_decoder),
    Row(name=ALL_READ, prepare=_used_decoder_all_read),
    Row(name=VICTRON_BLE, prepare=_victron_ble),
    Row(name=f"{VICTRON_BLE}, parse alone", prepare=_victron_ble_parse_only),
    Row(name="victron-ble-ha-parser 0.8.0", prepare=_victron_ble_ha_parser),
    Row(name=AES, prepare=_aes_block),
    Row(name="one AES block, cipher kept", prepare=_aes_block_kept_key),
    Row(name="the loop that measures", prepare=_nothing),
)
NOTES: Final = """
The first row has decoded another day of the same battery before, and none of the records that are measured.
The AES block is what a decoder pays that makes a counter-mode cipher for every nonce, and does nothing else. Ours keeps
one cipher, so that it can take less than that; what is left of AES then is the row below.
The input object of victron-ble-ha-parser is made beforehand.
"""
FIGURES: Final = (
    Figure(text="at least 3 x as fast as victron-ble, with everything read", a=VICTRON_BLE, b=ALL_READ, least=3),
    Figure(text="at most 5 x one AES block", a=OURS, b=AES, most=5),
)


def check() -> None:
    """Stop when the decoders do not read the same: then there is nothing to compare."""
    ours, theirs = InstantReadout(KEY), LynxSmartBMS(KEY.hex())
    for data in TODAY:
        reading, peer = ours.decode(data), theirs.parse(data)
        if not isinstance(peer, LynxSmartBMSData) or _values(reading) != _peer_values(peer):
            raise SystemExit(f"The decoders do not agree on {data.hex()}.")


def _values(reading: BatteryReading) -> tuple[float | None, ...]:
    drawn = None if reading.consumed_amphours is None else abs(reading.consumed_amphours)
    return reading.voltage, reading.current, reading.state_of_charge, reading.time_to_go, drawn, reading.temperature


def _peer_values(peer: LynxSmartBMSData) -> tuple[float | None, ...]:
    return (
        peer.get_voltage(),
        peer.get_current(),
        peer.get_soc(),
        peer.get_remaining_mins(),
        peer.get_consumed_ah(),
        peer.get_battery_temperature(),
    )


def measure(decode: Decode, records: Sequence[bytes]) -> float:
    """Return the microseconds of processor time that one record takes."""
    timer = Timer(
        "for data in records: decode(data)", timer=process_time, globals={"records": records, "decode": decode}
    )
    return timer.timeit(1) / len(records) * 1e6


def run(rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median of every row. The rows take turns, so that what else the machine does meets all of them."""
    times: dict[str, list[float]] = {row.name: [] for row in ROWS}
    for _ in range(rounds):
        for row in ROWS:
            times[row.name].append(measure(row.prepare(), TODAY))
    return {name: median(values) for name, values in times.items()}


def show(medians: dict[str, float]) -> None:
    """Print the table."""
    print(f"{len(TODAY)} different records (one day of a battery), median of {ROUNDS} runs, processor time\n")
    print(f"| {'decoder':44} | µs a record | x ours | x one AES block |")
    print(f"| {'-' * 44} | ----------: | -----: | --------------: |")
    for name, value in medians.items():
        print(f"| {name:44} | {value:11.2f} | {value / medians[OURS]:6.1f} | {value / medians[AES]:15.2f} |")
    print(NOTES)


def judge(medians: dict[str, float]) -> bool:
    """Print for every figure whether it is met; return whether all are."""
    results = [(figure, medians[figure.a] / medians[figure.b]) for figure in FIGURES]
    for figure, ratio in results:
        met = figure.least <= ratio <= figure.most
        print(f"{'met    ' if met else 'NOT MET'}  {figure.text}: {ratio:.2f} x")
    return all(figure.least <= ratio <= figure.most for figure, ratio in results)


def rows(quick: bool) -> list[figures.Row]:
    """Measure what is in the table of all benchmarks."""
    check()
    medians = run(1 if quick else ROUNDS)
    ours, peer = medians[ALL_READ], medians[VICTRON_BLE]
    name = f"decode, every field and code read, beside {VICTRON_BLE}"
    return [figures.Row(figure=name, unit="µs", ours=ours, peer=peer, most=1 / 3)]


def main() -> int:
    """Measure, show and judge."""
    check()
    medians = run()
    show(medians)
    return 0 if judge(medians) else 1


if __name__ == "__main__":
    sys.exit(main())
