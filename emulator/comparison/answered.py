"""What is assumed of registers: which there are, and what they hold."""

from collections.abc import Callable
from typing import Final

from emulator.comparison.findings import Assumption, Check, Findings, Grade, finding
from emulator.comparison.observed import Observed
from emulator.personality.quirks import Quirks
from emulator.ve_smart.cbor_records import SetValues, ValueResponse
from emulator.ve_smart.payloads import PayloadError
from emulator.ve_smart.registers import Register, of_battery, of_device
from emulator.ve_smart.responder import INSTANT_READOUT_KEY, KEEP_ALIVE, OK, REFUSED

# What was seen on another Victron device, with its bytes. The others are in Victron's list of registers.
LIVE: Final = frozenset({0x0200, 0xED8C, 0xED8D, 0xED8F})

# Busy, time-out and initializing, in Victron's other protocols: they say nothing of whether there is a register.
_LATER: Final = frozenset({0x8200, 0x8400, 0x8600})

_LEVELS: Final = 0x2107
_TENTH_LEVEL: Final = 18  # the bit at which its field begins
_WARNING: Final = 2
_PRE_ALARM_LEVELS: Final = (0, 12)  # the bits of low cell voltage and low state of charge
_FLAGS: Final = 0x2100
_PRE_ALARM: Final = 1 << 27

_CELLS: Final = frozenset({0x0381, 0x0384, 0x0385})
_HIGHEST_CELL: Final = 600  # in 0.01 V
_NO_CELL: Final = (0, 0xFFFF)
_HISTORY: Final = (0x0306, 0x0307)
_HIGHEST_BANK: Final = 7500  # in 0.01 V
_NO_HISTORY: Final = (0, 0x7FFFFFFF)


def _is_answered(number: int, decode: Callable[[bytes], object]) -> Check:
    """Return a check that the device has a register, with payloads that can be read."""

    def check(observed: Observed) -> Findings:
        values = observed.values(number)
        yield from (finding(agrees=_can_be_read(decode, payload), proof=proof) for payload, proof in values)
        # The key may be refused only because of the opcode, which is an assumption of its own.
        nothing = {REFUSED, *_LATER} if number == INSTANT_READOUT_KEY else _LATER
        refusals = (said for said in observed.of_main(number) if said.code and not said.to_write)
        refused = next((said for said in refusals if said.code not in nothing), None)
        if refused is not None and not values:
            yield finding(agrees=False, proof=refused.proof)

    return check


def _can_be_read(decode: Callable[[bytes], object], payload: bytes) -> bool:
    try:
        decode(payload)
    except PayloadError:
        return False
    return True


def _is_taken(number: int) -> Check:
    """Return a check that an action is taken. Silence proves nothing, nor does a refusal to be read."""

    def check(observed: Observed) -> Findings:
        for talk in observed.talks:
            for message in talk.of_kind(SetValues):
                for answer in talk.answers_to(message):
                    if isinstance(answer.content, ValueResponse) and answer.content.register == number:
                        yield finding(agrees=answer.content.code == OK, proof=answer)

    return check


def _batteries_answer(observed: Observed) -> Findings:
    registers = of_battery(Quirks())
    for said in observed.said:
        if said.instance != observed.main and said.register in registers and not said.to_write:
            yield finding(agrees=said.payload is not None, proof=said.proof)


def _refuses_with_2(observed: Observed) -> Findings:
    refused = (said for said in observed.said if said.code)
    return (finding(agrees=said.code == REFUSED, proof=said.proof) for said in refused)


def _has_nine_levels(observed: Observed) -> Findings:
    return (finding(agrees=not levels >> _TENTH_LEVEL, proof=proof) for levels, proof in observed.numbers(_LEVELS))


def _pre_alarm_is_a_warning(observed: Observed) -> Findings:
    on = [proof for flags, proof in observed.numbers(_FLAGS) if flags & _PRE_ALARM]
    levels = observed.numbers(_LEVELS)
    warned = [proof for value, proof in levels if any(value >> bit & 3 >= _WARNING for bit in _PRE_ALARM_LEVELS)]
    if on and levels:
        yield finding(agrees=bool(warned), proof=f"{on[0]}; {(warned or [levels[0][1]])[0]}")


def _cells_are_in_hundredths(observed: Observed) -> Findings:
    for said in observed.said:
        voltage = int.from_bytes((said.payload or b"")[-2:], "little")
        if said.register in _CELLS and voltage not in _NO_CELL:
            yield finding(agrees=voltage <= _HIGHEST_CELL, proof=said.proof)


def _history_is_in_hundredths(observed: Observed) -> Findings:
    for register in _HISTORY:
        for voltage, proof in observed.numbers(register):
            if voltage not in _NO_HISTORY:
                yield finding(agrees=voltage <= _HIGHEST_BANK, proof=proof)


def register_id(number: int) -> str:
    """Return the id of the assumption that there is a register."""
    return f"register-0x{number:04x}"


def _of_register[Subject](row: Register[Subject]) -> Assumption:
    is_action = row.read is None
    return Assumption(
        id=register_id(row.id),
        grade=Grade.LIVE if row.id in LIVE else Grade.PUBLISHED,
        sentence=f"Register 0x{row.id:04X} is {'an action' if is_action else 'there'}: {row.name}.",
        check=_is_taken(row.id) if is_action else _is_answered(row.id, row.decode),
    )


ANSWERED: Final = (
    Assumption(
        id="battery-registers",
        grade=Grade.ASSUMED,
        sentence="A battery's instance has serial number, firmware, capacity, voltage, current, temperature and cells.",
        check=_batteries_answer,
    ),
    Assumption(
        id="refusal-code",
        grade=Grade.LIVE,
        sentence="A register is refused with code 2, whatever the reason.",
        check=_refuses_with_2,
    ),
    Assumption(
        id="nine-levels",
        grade=Grade.PUBLISHED,
        sentence="Register 0x2107 has nine warnings and alarms, as the record.",
        check=_has_nine_levels,
    ),
    Assumption(
        id="pre-alarm",
        grade=Grade.DEDUCED,
        sentence="A pre-alarm comes with a warning of low cell voltage or low state of charge.",
        check=_pre_alarm_is_a_warning,
    ),
    Assumption(
        id="cell-unit",
        grade=Grade.PUBLISHED,
        sentence="Cell voltages are in 0.01 V.",
        check=_cells_are_in_hundredths,
    ),
    Assumption(
        id="history-unit",
        grade=Grade.PUBLISHED,
        sentence="The lowest and highest battery voltage of the history are in 0.01 V.",
        check=_history_is_in_hundredths,
    ),
)

REGISTERS: Final = (
    Assumption(
        id=register_id(KEEP_ALIVE),
        grade=Grade.PUBLISHED,
        sentence=f"Register 0x{KEEP_ALIVE:04X} takes the keep-alive of the connection.",
        check=_is_taken(KEEP_ALIVE),
    ),
    *map(_of_register, of_device(Quirks()).values()),
)
