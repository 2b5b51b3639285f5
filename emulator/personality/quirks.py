"""What nobody knows of the real device, as switches: of its VE.Smart server, and of its radio."""

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import PlainValidator

from emulator.reading.sections import YesOrNo
from emulator.reading.values import number, should_be, whole_number
from emulator.snapshot import Level

EVERY_REGISTER: Final = range(0x10000)
EVERYTHING: Final = "all"

# Lowest and highest value of each switch that is a number.
LIMITS: Final = {
    "seed": (0, 2**32),
    "answer_delay": (0, 600),
    "instance_offset": (0, 200),
    "keep_alive": (1, 86400),
    "largest_request": (1, 255),
    "control_second_field": (0, 0xFFFF),
    "trailing_bytes": (0, 3),
    "error": (0, 255),
}


class Order(StrEnum):
    """The order in which the values of one request are answered."""

    ASKED = "asked"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


class Arrays(StrEnum):
    """Which of CBOR's two forms of arrays the device takes in a request."""

    BOTH = "both"
    DEFINITE = "definite"
    """Only those that begin with their length, such as 81 for one item."""
    INDEFINITE = "indefinite"
    """Only those from 9f to ff."""


class RefusalCodes(StrEnum):
    """The codes with which the device refuses a register."""

    ALIKE = "alike"
    """2 for every reason; no other was seen on a Smart BatteryProtect."""
    BY_MEANING = "by_meaning"
    """1 for no such register, 2 for a bad value, 3 for one that cannot be written, as an IP22 charger does."""
    WIDE = "wide"
    """The 16-bit codes of Victron's other protocols."""


def _registers(content: object) -> Container[int]:
    """Return register numbers from a list such as [0x1008], or from "all"."""
    if content == EVERYTHING:
        return EVERY_REGISTER
    if not isinstance(content, list):
        raise should_be(f"a list of registers such as [0x1008], or {EVERYTHING}")
    return frozenset(map(_register, content))


def _register(content: object) -> int:
    try:
        register = int(str(content), 0)
    except ValueError:
        register = -1
    if register not in EVERY_REGISTER:
        raise should_be("a list of registers from 0x0000 to 0xFFFF")
    return register


type Registers = Annotated[Container[int], PlainValidator(_registers)]


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """How the VE.Smart server behaves. The defaults are what a Smart BatteryProtect showed, else what is assumed."""

    acknowledges_writes: YesOrNo = False
    """Answers every written register with a code; otherwise only a fresh read shows what became of it."""
    reports_refused_writes: YesOrNo = False
    """Answers a register that it refuses to write with a code, and says nothing of one that it wrote."""
    answers_before_subscribe: YesOrNo = False
    """Answers reads without a subscription to the instance."""
    swallows_first_read: YesOrNo = False
    """Leaves the first read of a connection without an answer."""
    one_stream: YesOrNo = True
    """Sends the records of an answer as one stream; otherwise each record is a stream of its own."""
    order: Order = Order.ASKED
    seed: Annotated[int, whole_number(*LIMITS["seed"])] = 0
    """For the shuffled order. Taken when the link begins."""
    unasked_between: YesOrNo = False
    """Puts a value that nobody asked for in front of every one that was."""
    false_starts: YesOrNo = False
    """Begins every answer of several chunks twice, with an order to throw the first part away."""
    answer_delay: Annotated[float, number(*LIMITS["answer_delay"])] = 0.0
    """Seconds that an answer takes."""

    arrays: Arrays = Arrays.BOTH
    silent_about_other_arrays: YesOrNo = False
    """Says nothing to a request with an array of the other form; otherwise it sends an error on Control."""
    answers_in_definite_arrays: YesOrNo = False
    """Sends the list of its instances as an array that begins with its length."""
    drops_link_on_chunk_sizes: YesOrNo = False
    """Ends the connection when the central writes chunk sizes (fa 80 ff) to Control."""
    gives_key_only_to_0x25: YesOrNo = False
    """Refuses to give the Instant Readout key to opcode 0x05 and gives it to the byte 25, which it knows only then."""

    instance_offset: Annotated[int, whole_number(*LIMITS["instance_offset"])] = 0
    """Added to every instance number on the wire."""
    main_instance_only: YesOrNo = False
    """The batteries are no instances of their own; their cells are read by 0x0381 of the main instance."""
    missing: Registers = frozenset()
    """Registers that the device does not have."""
    silent_about_missing: YesOrNo = False
    """Says nothing at all about a register that it does not have."""
    refused_writes: Registers = frozenset()
    """Registers that can be read but not written; EVERY_REGISTER for all."""
    refusal_codes: RefusalCodes = RefusalCodes.ALIKE
    path_refused_on_control: YesOrNo = True
    """Refuses path requests with an error on Control, as the BatteryProtect; otherwise with a record, as an MPPT."""

    cells_in_millivolts: YesOrNo = False
    """Gives the voltages of cells (0x0381, 0x0384, 0x0385) in mV instead of 0.01 V."""
    history_in_millivolts: YesOrNo = False
    """Gives the lowest and highest battery voltage of the history (0x0306, 0x0307) in mV instead of 0.01 V."""
    tenth_level: Level = Level.NOT_SUPPORTED
    """What the tenth field of the warnings and alarms (0x2107) says, for which the advertisement has no room."""

    enforces_credit: YesOrNo = False
    """Ignores chunks for which the central had no credit; otherwise takes and counts them."""
    keep_alive: Annotated[float, number(*LIMITS["keep_alive"])] = 60.0
    """Seconds until a link without keep-alive is dropped. Taken when the link begins. Assumed: about a minute is
    reported for another Victron service."""
    largest_request: Annotated[int, whole_number(*LIMITS["largest_request"])] = 0x50
    """Bytes. Taken when the link begins."""
    control_second_field: Annotated[int, whole_number(*LIMITS["control_second_field"])] = 0x0100
    """Of the Control characteristic; its meaning is not known. An MPPT and a SmartShunt showed 0x0400."""


@dataclass(frozen=True, kw_only=True)
class RadioQuirks:
    """What the device advertises, and how notifications reach the central."""

    without_state_of_charge: YesOrNo = False
    """The state of charge is not available in the record, as an owner reported in 2026."""
    voltage_only: YesOrNo = False
    """Nothing but the voltage is available in the record."""
    beacons_between: YesOrNo = False
    """Sends a short beacon, which says only which product it is, in place of every third record."""
    beacon_without_readout: YesOrNo = False
    """With Instant Readout off, sends the short beacon, and the UUID of the VE.Smart service. Otherwise only its name
    is sent then."""
    trailing_bytes: Annotated[int, whole_number(*LIMITS["trailing_bytes"])] = 0
    """Bytes after the 16 of the record that are known."""
    error: Annotated[int, whole_number(*LIMITS["error"])] = 0
    """The number of an error that the device reports while it has no other, in the record and in 0x2101."""
    empty_notifications: YesOrNo = False
    """Through BlueZ's usual method (StartNotify), every notification arrives without its bytes."""
