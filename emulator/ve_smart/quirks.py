"""The switches of the VE.Smart server, which are defined with the personalities."""

from emulator.personality.quirks import EVERY_REGISTER, Arrays, Order, Quirks, RefusalCodes

__all__ = ["EVERY_REGISTER", "Arrays", "Order", "Quirks", "RefusalCodes"]
