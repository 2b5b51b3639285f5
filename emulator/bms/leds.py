"""The two LEDs (M-L)."""

from enum import StrEnum

from emulator.bms.codes import Severity


class Led(StrEnum):
    """What an LED does."""

    OFF = "off"
    BLINKING = "blinking"
    ON = "on"


def blue_led(*, powered: bool, bluetooth_enabled: bool, connected: bool) -> Led:
    """Return the blue LED (M-L1)."""
    if not (powered and bluetooth_enabled):
        return Led.OFF
    return Led.ON if connected else Led.BLINKING


def red_led(worst: Severity | None) -> Led:
    """Return the red LED (M-L2) for the worst active code; None if there is none."""
    if worst is None:
        return Led.OFF
    return Led.BLINKING if worst is Severity.WARNING else Led.ON
