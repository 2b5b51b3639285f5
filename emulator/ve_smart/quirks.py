"""What is not known of the real device's VE.Smart server, as switches."""

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

EVERY_REGISTER: Final = range(0x10000)


class Order(StrEnum):
    """In which order the values of one request are answered."""

    ASKED = "asked"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """One way the device may behave. The defaults are what a Smart BatteryProtect showed, else what is assumed."""

    acknowledges_writes: bool = False
    """Answers every written register with a code; otherwise only a fresh read shows what became of it."""
    answers_before_subscribe: bool = False
    """Reads are answered without a subscription to the instance."""
    one_stream: bool = True
    """The records of an answer make one stream; otherwise each record is a stream of its own."""
    order: Order = Order.ASKED
    seed: int = 0
    """For the shuffled order. Taken when the link begins."""
    unasked_between: bool = False
    """Puts a value that nobody asked for in front of every one that was."""
    false_starts: bool = False
    """Begins every answer of several chunks twice, with an order to throw the first part away."""
    answer_delay: float = 0.0
    """Seconds that an answer takes."""

    instance_offset: int = 0
    """Added to every instance number on the wire."""
    main_instance_only: bool = False
    """The batteries are no instances of their own."""
    missing: Container[int] = frozenset()
    """Registers that the device does not have."""
    silent_about_missing: bool = False
    """Says nothing at all about a register it does not have."""
    refused_writes: Container[int] = frozenset()
    """Registers that cannot be written; EVERY_REGISTER for all."""
    wide_refusal_codes: bool = False
    """Refuses with the 16-bit codes of Victron's other protocols."""
    path_refused_on_control: bool = True
    """Refuses path requests with an error on Control, as the BatteryProtect; otherwise with a record, as an MPPT."""

    enforces_credit: bool = False
    """Ignores chunks for which the central had no credit; otherwise takes and counts them."""
    keep_alive: float = 60.0
    """Seconds until a link without keep-alive is dropped. Taken when the link begins. Assumed: about a minute is
    reported for another Victron service."""
    largest_request: int = 0x50
    """Bytes, at most 255. Taken when the link begins."""
    control_second_field: int = 0x0100
    """Of the Control characteristic; its meaning is not known. An MPPT showed 0x0400."""
