"""Radio faults: switches of one device, turned while it runs."""

from dataclasses import dataclass
from typing import Final

# About the weakest signal that receivers still report.
WEAK_RSSI: Final = -97


@dataclass(kw_only=True)
class RadioFaults:
    """What is wrong with the radio of one device; all off by default.

    The first group concerns advertisements: nothing is sent; the signal is at its weakest; bytes without meaning; the
    last record again and again; each record once more after its successor; records under another key. The second group
    concerns connections: they are refused; the link is lost at the operation after so many good ones (finding the
    services is one); seconds before each answer; writes fail (those without response vanish); no passkey is the right
    one. That no connection slot is free is a matter of the radio: set its slots to 0.
    """

    silent: bool = False
    weak_signal: bool = False
    garbage: bool = False
    repeated: bool = False
    reordered: bool = False
    changed_key: bool = False

    refuse_connections: bool = False
    lose_link_after: int | None = None
    answer_delay: float = 0.0
    refuse_writes: bool = False
    wrong_pin: bool = False

    def clear(self) -> None:
        """Switch every fault off."""
        for name, value in vars(RadioFaults()).items():
            setattr(self, name, value)

    def rssi(self, rssi: int) -> int:
        """Return the signal strength in dBm that arrives of one which would."""
        return min(rssi, WEAK_RSSI) if self.weak_signal else rssi
