"""A device that advertises what was recorded, in its rhythm, under another key."""

from collections.abc import Callable
from statistics import median
from time import monotonic
from typing import Final, override

from emulator.device import (
    DEFAULT_ADDRESS,
    DEFAULT_KEY,
    DEFAULT_PIN,
    Advertisement,
    EmulatedDevice,
    advertisement_of,
    manufacturer_structure,
    services_structure,
)
from emulator.instant_readout import DEFAULT_PRODUCT_ID, NONCE_LENGTH, NONCE_MASK, encrypt, short_beacon
from emulator.recording import HeardAdvertisement, Outcome, Recording
from emulator.replay.server import ReplayService
from emulator.snapshot import Snapshot

REPLAYED_NAME: Final = "smallBMS NG, replayed"
# The longest pause between two advertisements, in s: the device was connected then, or out of reach.
LONGEST_PAUSE: Final = 30.0
# Before the first one comes again, where the recording does not tell how often the device advertises.
_USUAL_PAUSE: Final = 1.0

_HEADER: Final = slice(0, 7)
_NONCE: Final = slice(7 - NONCE_LENGTH, 7)
_RECORD: Final = slice(8, None)
_PRODUCT_ID: Final = slice(2, 4)


class ReplayedDevice(EmulatedDevice):
    """The device of a recording. After the last advertisement it begins anew, with the nonces that would follow.

    name: what it advertises if the recorded device had a name.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        address: str = DEFAULT_ADDRESS,
        name: str = REPLAYED_NAME,
        key: bytes = DEFAULT_KEY,
        pin: str = DEFAULT_PIN,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(Snapshot, address=address, name=name, key=key, pin=pin, clock=clock)
        self.service = ReplayService(recording, key)
        self.make_ve_smart_server = self.service.serve
        self._now = clock
        self._heard = recording.advertisements or (_ONLY_PRESENT,)
        self._turn = 0
        self._due_at = clock()
        self._nonces = _span_of_nonces(self._heard)

    @property
    def rounds(self) -> int:
        """How often the last of the recorded advertisements was sent."""
        return self._turn // len(self._heard)

    @property
    def at_end(self) -> bool:
        """Whether the latest advertisement was the last one that was recorded."""
        return self._turn > 0 and self._turn % len(self._heard) == 0

    @property
    def signal(self) -> int | None:
        """The usual signal strength in dBm; None if it is not known."""
        signals = [heard.signal for heard in self._heard if heard.signal is not None]
        return round(median(signals)) if signals else None

    @property
    @override
    def advertises(self) -> bool:
        """Whether the next advertisement is due: never while a connection is held."""
        return super().advertises and self._now() >= self._due_at

    @override
    def advertisement(self, manufacturer_data: bytes | None = None) -> Advertisement:
        """Return the next advertisement, or one with this manufacturer data instead."""
        if manufacturer_data is not None:
            return super().advertisement(manufacturer_data)
        turn, self._turn = self._turn, self._turn + 1
        self._due_at = max(self._now(), self._due_at) + self._pause_after(turn)
        return self._replayed(turn)

    def _replayed(self, turn: int) -> Advertisement:
        again, index = divmod(turn, len(self._heard))
        heard = self._heard[index]
        data = self._data(heard, again)
        content = services_structure(heard.services) + (manufacturer_structure(data) if data else b"")
        return advertisement_of(content, "" if heard.name is None else self.name)

    def _data(self, heard: HeardAdvertisement, again: int) -> bytes:
        """Return the manufacturer data. Of a record that was not decrypted only the product is known."""
        if len(heard.bytes) <= _RECORD.start:
            return heard.bytes
        if heard.decrypted or heard.outcome is not Outcome.HELD_BACK:
            return self._encrypted(heard, again)
        return short_beacon(int.from_bytes(heard.bytes[_PRODUCT_ID], "little"))

    def _encrypted(self, heard: HeardAdvertisement, again: int) -> bytes:
        """Return the manufacturer data under the new key; under another one if the recorded key was wrong."""
        nonce = int.from_bytes(heard.bytes[_NONCE], "little") + again * self._nonces & NONCE_MASK
        header = heard.bytes[: _NONCE.start] + nonce.to_bytes(NONCE_LENGTH, "little")
        key = bytes(byte ^ 0xFF for byte in self.key) if heard.outcome is Outcome.WRONG_KEY else self.key
        return encrypt(header, heard.bytes[_RECORD], key=key)

    def _pause_after(self, turn: int) -> float:
        index = turn % len(self._heard)
        if index + 1 < len(self._heard):
            return min(self._heard[index + 1].at - self._heard[index].at, LONGEST_PAUSE)
        pauses = [after.at - before.at for before, after in zip(self._heard, self._heard[1:], strict=False)]
        return min(median(pauses), LONGEST_PAUSE) if pauses else _USUAL_PAUSE


# Where nothing was advertised, the device has to be found all the same.
_ONLY_PRESENT: Final = HeardAdvertisement(
    at=0.0,
    radio="",
    name="name",
    services=(),
    bytes=short_beacon(DEFAULT_PRODUCT_ID).hex(),  # type: ignore[arg-type]  # as in a file
    decrypted=False,
    outcome=Outcome.SHORT_BEACON,
)


def _span_of_nonces(heard: tuple[HeardAdvertisement, ...]) -> int:
    """Return by how much the nonces rise in one go."""
    nonces = [int.from_bytes(one.bytes[_NONCE], "little") for one in heard if len(one.bytes) > _RECORD.start]
    return (nonces[-1] - nonces[0] & NONCE_MASK) + 1 if nonces else 0
