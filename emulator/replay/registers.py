"""The registers of a recorded device: what it said to each of them, and what was written since."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from emulator.comparison.observed import AboutRegister, Observed, Place, Talk
from emulator.recording import Recording, SurveyAnswer
from emulator.replay.exchanges import exchanges
from emulator.ve_smart.cbor_records import GetValues, SetValues, ValueResponse
from emulator.ve_smart.register_box import NEVER_WRITTEN
from emulator.ve_smart.responder import INSTANT_READOUT_KEY, KEEP_ALIVE, OK, REFUSED

MAIN: Final = 0
READ_ONLY: Final = 3
# What tells the payloads of one register apart: number of the battery and of the cell.
_KEY_SIZE: Final = 2


class RecordedRegisters:
    """What the device says to registers, by instance. key is the Instant Readout key that it gives, if it gave one."""

    def __init__(self, recording: Recording, key: bytes) -> None:
        self._key = key
        self._observed = Observed(recording)
        self._payloads: dict[Place, list[bytes]] = {}
        self._codes: dict[Place, int | None] = {}
        self._write_codes: dict[Place, int] = {}
        self._written: set[Place] = set()
        self.forbidden_writes: Counter[int] = Counter()
        for _, learn in sorted(self._lessons(recording), key=lambda lesson: lesson[0]):
            learn()
        self._refusal = self._usual_refusal()
        self._read_only = _read_only(recording)

    @property
    def instances(self) -> tuple[tuple[int, int], ...]:
        """The pairs of the device list, as it was sent last."""
        lists = self._observed.device_lists
        if lists:
            return lists[-1].content.pairs
        known = sorted({instance for instance, _ in (*self._payloads, *self._codes)})
        return tuple((instance, 0) for instance in known) or ((MAIN, 0),)

    @property
    def in_definite_array(self) -> bool:
        """Whether the device list was an array that begins with its length."""
        lists = self._observed.device_lists
        return bool(lists) and lists[-1].content.definite

    def is_written(self, instance: int, registers: Iterable[int]) -> bool:
        """Return whether a register has been written since, so that what was said of it is outdated."""
        return any((instance, register) in self._written for register in registers)

    def read(self, instance: int, register: int) -> Sequence[bytes] | int | None:
        """Return the payloads of a register, the code that refuses it, or None for silence."""
        place = instance, register
        if register == INSTANT_READOUT_KEY and place in self._payloads:
            return (self._key,)
        if place in self._payloads:
            return self._payloads[place]
        return self._codes.get(place, self._refusal)

    def write(self, instance: int, register: int, payload: bytes) -> int:
        """Take a payload; return 0, or the code that refuses it."""
        place = instance, register
        if register in NEVER_WRITTEN:
            self.forbidden_writes[register] += 1
            return READ_ONLY
        if register == KEEP_ALIVE:
            return OK
        if register in self._read_only:
            return READ_ONLY
        if place in self._write_codes:
            return self._write_codes[place]
        if payload:
            self._payloads[place] = [payload]
            self._written.add(place)
        return OK

    def _lessons(self, recording: Recording) -> Iterator[tuple[float, Callable[[], None]]]:
        """Yield what there is to learn, each with its time: what was said last counts."""
        if survey := recording.survey:
            yield survey.at, partial(self._learn_survey, survey.answers)
        for talk in self._observed.talks:
            yield talk.connection.at, partial(self._learn_talk, talk)

    def _learn_survey(self, answers: Iterable[SurveyAnswer]) -> None:
        found: dict[Place, list[bytes]] = {}
        for answer in answers:
            if answer.value is None:
                self._codes[answer.instance, answer.number] = answer.code
            else:
                found.setdefault((answer.instance, answer.number), []).append(answer.value)
        self._payloads |= found

    def _learn_talk(self, talk: Talk) -> None:
        for exchange in exchanges(talk.connection):
            for place, payloads in exchange.payloads.items():
                self._payloads[place] = _merged(self._payloads.get(place, []), payloads)
        for read in talk.of_kind(GetValues):
            self._codes |= _refusals(talk.answers_to(read))
        for write in talk.of_kind(SetValues):
            self._write_codes |= _refusals(talk.answers_to(write))

    def _usual_refusal(self) -> int | None:
        """Return the code with which most registers are refused; None if the device says nothing of them."""
        return Counter(self._codes.values()).most_common(1)[0][0] if self._codes else REFUSED


def _refusals(answers: Iterable[AboutRegister]) -> dict[Place, int]:
    """Return the codes of the registers that were refused."""
    outcomes = (answer.content for answer in answers if isinstance(answer.content, ValueResponse))
    return {(one.instance, one.register): one.code for one in outcomes if one.code}


def _merged(known: list[bytes], new: list[bytes]) -> list[bytes]:
    """Return the payloads of a register: single ones take the place of those that begin alike."""
    if len(new) >= len(known):
        return new
    latest = {payload[:_KEY_SIZE]: payload for payload in new}
    return [latest.get(payload[:_KEY_SIZE], payload) for payload in known]


def _read_only(recording: Recording) -> frozenset[int]:
    learned = recording.learned.get("read_only")
    return frozenset(int(str(one), 16) for one in learned) if isinstance(learned, list) else frozenset()
