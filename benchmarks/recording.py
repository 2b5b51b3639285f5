"""What the recording costs for each advertisement, and in memory. Run with: python -m benchmarks.recording."""

from collections.abc import Callable
from statistics import median
import sys
from time import process_time
import tracemalloc
from typing import Final

from bleak.backends.device import BLEDevice
from habluetooth import BluetoothServiceInfoBleak

from custom_components.smallbms_ng.connection.link import Reading
from custom_components.smallbms_ng.connection.recorder import MOST_CONNECTIONS, Operation
from custom_components.smallbms_ng.recording import Outcome, Recording, SurveyRecord
from custom_components.smallbms_ng.survey import KNOWN, OTHERS
from emulator.device import DEFAULT_ADDRESS, DEFAULT_KEY, DEFAULT_NAME

from .figures import Row

ADVERTISEMENTS: Final = 20_000
ROUNDS: Final = 15

MOST_TIME: Final = 2.0  # us
MOST_MEMORY: Final = 64.0  # KiB


def heard() -> list[BluetoothServiceInfoBleak]:
    """Return advertisements of one device, all different."""
    return [
        BluetoothServiceInfoBleak(
            name=DEFAULT_NAME,
            address=DEFAULT_ADDRESS,
            rssi=-60 - number % 30,
            manufacturer_data={0x02E1: bytes.fromhex("1000eca30a") + number.to_bytes(2, "little") + bytes(17)},
            service_data={},
            service_uuids=["306b0001-b081-4037-83dc-e59fcc3cdfd0"],
            source="02:00:00:00:E5:01",
            device=BLEDevice(DEFAULT_ADDRESS, DEFAULT_NAME, {}),
            advertisement=None,
            connectable=True,
            time=number / 3,
            tx_power=None,
            raw=None,
        )
        for number in range(ADVERTISEMENTS)
    ]


def time_of(hear: Callable[[BluetoothServiceInfoBleak], object], infos: list[BluetoothServiceInfoBleak]) -> float:
    """Return the us of processor time that one advertisement takes."""
    began = process_time()
    for info in infos:
        hear(info)
    return (process_time() - began) / len(infos) * 1e6


def cost(infos: list[BluetoothServiceInfoBleak]) -> float:
    """Return the us that the recording adds to each advertisement."""
    recording = Recording()
    pairs = [
        (
            time_of(lambda info: recording.hear(info, Outcome.BELIEVED, DEFAULT_KEY), infos),
            time_of(lambda _info: None, infos),
        )
        for _ in range(ROUNDS)
    ]
    return median(with_it - without for with_it, without in pairs)


def survey() -> SurveyRecord:
    """Return a survey of a large bank whose batteries answer everything."""
    record = SurveyRecord()
    for instance in range(51):
        for register in (*KNOWN, *OTHERS):
            if not record.full:
                record.take(instance, Reading(register=register, payloads=(register.to_bytes(2) * 4,)))
    record.end(finished=False)
    return record


def memory(infos: list[BluetoothServiceInfoBleak]) -> float:
    """Return the KiB that a full recording holds."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    recording = Recording()
    for info in infos:
        recording.hear(info, Outcome.BELIEVED, DEFAULT_KEY)
    for _ in range(MOST_CONNECTIONS):
        with recording.recorder.pairing():
            for number in range(2000):
                recording.recorder.connections[-1].add(Operation.NOTIFY, "data", number.to_bytes(2) + bytes(18))
    recording.keep_survey(survey())
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / 1024


def rows(_quick: bool) -> list[Row]:
    """Measure what is in the table of all benchmarks."""
    infos = heard()
    return [
        Row(figure="recording, for an advertisement", unit="us", ours=cost(infos), most=MOST_TIME),
        Row(figure="recording, for a device", unit="KiB", ours=memory(infos), most=MOST_MEMORY),
    ]


def main() -> int:
    """Measure, show and judge."""
    infos = heard()
    figures = (
        (cost(infos), MOST_TIME, "us for an advertisement"),
        (memory(infos), MOST_MEMORY, "KiB for a device, all in all"),
    )
    for found, most, what in figures:
        print(f"{'met    ' if found <= most else 'NOT MET'}  at most {most:g} {what}: {found:.2f}")
    return 0 if all(found <= most for found, most, _ in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
