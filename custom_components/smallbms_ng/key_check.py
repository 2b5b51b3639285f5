"""Does a key read a device? Asked of the live device, before anything is stored."""

from contextlib import suppress
from typing import Final

from homeassistant.components.bluetooth import (
    BluetoothCallbackMatcher,
    BluetoothScanningMode,
    BluetoothServiceInfoBleak,
    async_process_advertisements,
)
from homeassistant.core import HomeAssistant

from .protocol.instant_readout import COMPANY_ID, ImplausibleRecord, InstantReadout, InstantReadoutError, WrongKey

# Seconds to wait for a second record. One is enough when no other comes: a quiet battery repeats itself.
WAIT_FOR_RECORDS: Final = 5
# One wrong key in 256 passes for one record, and may even look plausible once.
RECORDS_WANTED: Final = 2


class NotHeard(Exception):
    """No record of the device was received."""


def data_of(service_info: BluetoothServiceInfoBleak) -> bytes:
    """Return the manufacturer data of Victron in an advertisement; none where there is none."""
    return service_info.manufacturer_data.get(COMPANY_ID, b"")


class _Verdict:
    """What different records say about a key. The latest counts: an old one may be from before the key changed."""

    def __init__(self, key: bytes) -> None:
        self._decoder = InstantReadout(key)
        self._outcomes: dict[bytes, InstantReadoutError | None] = {}

    def hear(self, service_info: BluetoothServiceInfoBleak) -> bool:
        """Take one advertisement; return whether there are enough records that agree."""
        data = data_of(service_info)
        try:
            self._decoder.decode(data)
        except (WrongKey, ImplausibleRecord) as error:
            self._outcomes[data] = error
        except InstantReadoutError:
            return False
        else:
            self._outcomes[data] = None
        good = sum(outcome is None for outcome in self._outcomes.values())
        return max(good, len(self._outcomes) - good) >= RECORDS_WANTED

    def give(self) -> None:
        """Return when the key is good; NotHeard, WrongKey or ImplausibleRecord when it is not."""
        if not self._outcomes:
            raise NotHeard
        if error := list(self._outcomes.values())[-1]:
            raise error


async def async_check_key(hass: HomeAssistant, address: str, key: bytes) -> None:
    """Return when the key reads the device at this address; NotHeard, WrongKey or ImplausibleRecord when not."""
    verdict = _Verdict(key)
    matcher = BluetoothCallbackMatcher(address=address, connectable=False)
    with suppress(TimeoutError):
        await async_process_advertisements(hass, verdict.hear, matcher, BluetoothScanningMode.ACTIVE, WAIT_FOR_RECORDS)
    verdict.give()
