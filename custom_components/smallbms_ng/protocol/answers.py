"""What became of each register that was asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from .payloads import PayloadError, Value
from .registers import BY_ID, part_of
from .ve_smart import ControlError, Event
from .ve_smart_records import OK, Malformed, Opcode, Outcome, ReceivedValue, Response

# Codes of Victron's other protocols: busy, time-out, initializing. The same question may get an answer later.
TRANSIENT_CODES: Final = frozenset({0x8200, 0x8400, 0x8600})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A register was answered, most of them with one payload."""

    register: int
    payloads: tuple[bytes, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """What the payloads say, as far as they say anything; as they are where the register is not in the table."""
        return tuple(value for payload in self.payloads if (value := self._decoded(payload)) is not None)

    @property
    def value(self) -> Value:
        """What the first payload that says anything says. None: not available."""
        return next(iter(self.values), None)

    def _decoded(self, payload: bytes) -> Value:
        row = BY_ID.get(self.register)
        try:
            return payload if row is None else row.decode(payload)
        except PayloadError:
            return None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The device does not give a register. 2 is the only code that was ever seen."""

    register: int
    code: int

    @property
    def transient(self) -> bool:
        """Whether it may give it later."""
        return self.code in TRANSIENT_CODES


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The device answers for other registers but says nothing of this one."""

    register: int


type Answer = Reading | Refusal | Silence


class Latest:
    """What was said last of each part of each register, asked or not."""

    def __init__(self) -> None:
        self._payloads: dict[tuple[int, int, bytes], bytes] = {}

    def forget(self) -> None:
        """Begin anew."""
        self._payloads.clear()

    def take(self, value: ReceivedValue) -> None:
        """Take a value, in the order of coming."""
        self._payloads[value.instance, value.register, part_of(value.register, value.payload)] = value.payload

    def of(self, instance: int, answer: Answer) -> Answer:
        """Return an answer with what was said after it in its place."""
        if not isinstance(answer, Reading):
            return answer
        register = answer.register
        parts = ((instance, register, part_of(register, payload)) for payload in answer.payloads)
        latest = (self._payloads.get(part, payload) for part, payload in zip(parts, answer.payloads, strict=True))
        return replace(answer, payloads=tuple(latest))


class Gathering:
    """Collects the answers to one request, in whatever order and company they come.

    expected says how many payloads a register has; None where nobody knows.
    """

    def __init__(self, instance: int, registers: Iterable[int], expected: Mapping[int, int | None]) -> None:
        self._instance = instance
        self._expected = expected
        self._payloads: dict[int, dict[bytes, bytes]] = {register: {} for register in registers}
        self._refusals: dict[int, Refusal] = {}
        self.begun = False
        self.problem: str | None = None

    @property
    def unanswered(self) -> frozenset[int]:
        """The registers of which nothing was heard."""
        return frozenset(
            register for register, payloads in self._payloads.items() if not payloads and register not in self._refusals
        )

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come."""
        return not self.unanswered and not any(map(self._lacks, self._payloads))

    def answers(self) -> dict[int, Answer]:
        """Return what was heard."""
        return {register: self._answer(register) for register in self._payloads}

    def take(self, event: Event) -> bool:
        """Take what the device said; return whether it has to do with the request."""
        match event:
            case ReceivedValue(instance=self._instance, register=register, payload=payload):
                concerned = self._take_payload(register, payload)
            case Outcome(instance=self._instance, register=register, code=code) if code != OK:
                concerned = self._refuse(register, code)
            case Response(instance=self._instance, opcode=Opcode.GET_VALUES, code=code) if code != OK:
                concerned = self._refuse_rest(code)
            case _:
                concerned = self._note_problem(event)
        self.begun |= concerned
        return concerned

    def _take_payload(self, register: int, payload: bytes) -> bool:
        if register not in self._payloads:
            return False
        # A payload that is sent again, unasked, takes the place of the one before.
        self._payloads[register][part_of(register, payload)] = payload
        return True

    def _refuse(self, register: int, code: int) -> bool:
        if register not in self.unanswered:
            return False
        self._refusals[register] = Refusal(register=register, code=code)
        return True

    def _refuse_rest(self, code: int) -> bool:
        rest = self.unanswered
        self._refusals |= {register: Refusal(register=register, code=code) for register in rest}
        return bool(rest)

    def _note_problem(self, event: Event) -> bool:
        match event:
            case Malformed(reason=reason):
                self.problem = reason
            case ControlError(data=data):
                self.problem = f"error {data.hex()}"
        return False

    def _lacks(self, register: int) -> bool:
        if register in self._refusals:
            return False
        expected = self._expected.get(register, 1)
        return expected is None or len(self._payloads[register]) < expected

    def _answer(self, register: int) -> Answer:
        if register in self._refusals:
            return self._refusals[register]
        if payloads := self._payloads[register]:
            return Reading(register=register, payloads=tuple(payloads.values()))
        return Silence(register=register)
