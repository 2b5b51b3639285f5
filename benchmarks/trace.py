"""What a device sends in a day, one record a second: as the emulated battery has it, or with noise."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from random import Random
from typing import Final

from emulator.instant_readout import encode_record, encrypt_record
from emulator.simulation.scenario import load
from emulator.simulation.simulation import Simulation
from emulator.snapshot import Snapshot

KEY: Final = bytes.fromhex("aff4d0995b7d1e176c0c33ecb9e70dcd")
PRODUCT_ID: Final = 0xA3EC
DAY: Final = 86_400
HOUR: Final = 3600
# What a real measurement adds, by the standard deviation: assumed, no device was on a bench.
NOISE_OF_CURRENT: Final = 0.2  # A
NOISE_OF_VOLTAGE: Final = 0.01  # V
# An unchanged record gets another nonce this often, in s.
_NEW_NONCE: Final = 60
_NONCES: Final = 1 << 16


def sunny_day(seconds: int = DAY, *, begin: int = 0) -> Iterator[Snapshot]:
    """Yield what the battery of the scenario solar shows: sun, clouds, a compressor refrigerator, and other loads."""
    simulation = Simulation(load("solar"))
    simulation.advance(begin)
    for _ in range(seconds):
        simulation.advance(1)
        yield simulation.snapshot()


def noisy(snapshots: Iterable[Snapshot]) -> Iterator[Snapshot]:
    """Add noise to what is measured; the same each time."""
    random = Random(1)
    for one in snapshots:
        assert one.voltage is not None
        assert one.current is not None
        voltage = one.voltage + random.gauss(0, NOISE_OF_VOLTAGE)
        yield replace(one, voltage=voltage, current=one.current + random.gauss(0, NOISE_OF_CURRENT))


def records(snapshots: Iterable[Snapshot]) -> Iterator[bytes]:
    """Yield the advertisements, as the device encrypts them: the same ones again while nothing changes, for a while."""
    last, nonce, since = b"", 0, 0
    for second, snapshot in enumerate(snapshots):
        record = encode_record(snapshot)
        if record != last or second - since >= _NEW_NONCE:
            last, since, nonce = record, second, (nonce + 1) % _NONCES
        yield encrypt_record(record, key=KEY, nonce=nonce)


@cache
def noisy_records(seconds: int = DAY, begin: int = 0) -> tuple[bytes, ...]:
    """Return the advertisements of a noisy day, or of a part of it."""
    return tuple(records(noisy(sunny_day(seconds, begin=begin))))


@cache
def sunny_records(seconds: int = DAY, begin: int = 0) -> tuple[bytes, ...]:
    """Return the advertisements of an emulated day, or of a part of it."""
    return tuple(records(sunny_day(seconds, begin=begin)))


def steady_records(seconds: int) -> tuple[bytes, ...]:
    """Return advertisements of which each has a nonce of its own, and none a value that is written before a minute."""
    snapshot = next(sunny_day(1))
    assert snapshot.voltage is not None
    values = (replace(snapshot, voltage=snapshot.voltage + second % 2 / 100) for second in range(seconds))
    return tuple(
        encrypt_record(encode_record(value), key=KEY, nonce=nonce % _NONCES) for nonce, value in enumerate(values)
    )
