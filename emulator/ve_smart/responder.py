"""Answers VE.Smart requests from a box of registers, and finds what changed for its subscriber."""

from collections.abc import Container, Iterable, Sequence
from itertools import count
from random import Random
from typing import Final, Protocol

from emulator.personality.quirks import Arrays, Order, Quirks, RefusalCodes
from emulator.ve_smart.cbor_records import (
    ENCRYPTED_GET_VALUES,
    GetDevices,
    GetValues,
    MalformedRecordError,
    Opcode,
    PathRequest,
    Request,
    SetValues,
    Subscribe,
    UnknownRequest,
    Unsubscribe,
    device_list,
    path_response,
    response,
    value,
    value_response,
)
from emulator.ve_smart.register_box import NEVER_WRITTEN, Refusal, RegisterBox

KEEP_ALIVE: Final = 0x0093
INSTANT_READOUT_KEY: Final = 0xEC65
# The keep-alive is the link's, not an instance's: assumed to be taken there even if no instance has this number.
KEEP_ALIVE_INSTANCE: Final = 0

OK: Final = 0
# The only code that was seen on a BatteryProtect, for a refused request.
REFUSED: Final = 2
# Assumed: busy is refused like a bad value.
CODES: Final = {
    RefusalCodes.ALIKE: dict.fromkeys(Refusal, REFUSED),
    RefusalCodes.BY_MEANING: {
        Refusal.UNKNOWN: 1,
        Refusal.INVALID: REFUSED,
        Refusal.BUSY: REFUSED,
        Refusal.READ_ONLY: 3,
    },
    RefusalCodes.WIDE: {
        Refusal.UNKNOWN: 0x8000,
        Refusal.READ_ONLY: 0x8300,
        Refusal.INVALID: 0x8300,
        Refusal.BUSY: 0x8200,
    },
}


class NotKnownError(Exception):
    """The device does not know a request."""


class LinkRegister(Protocol):
    """A register that belongs to the link and not to the device."""

    def read(self) -> bytes:
        """Return the payload."""

    def write(self, payload: bytes) -> Refusal | None:
        """Take a payload, or say why not."""


class Responder:
    """Turns requests into records, within one link."""

    def __init__(self, box: RegisterBox, keep_alive: LinkRegister, quirks: Quirks) -> None:
        self._box = box
        self.quirks = quirks
        self._keep_alive = keep_alive
        self._random = Random(quirks.seed)
        self._turn = count()
        self._sent: dict[int, dict[int, Sequence[bytes]]] = {}
        self._has_read = False

    @property
    def quirks(self) -> Quirks:
        """How the device behaves."""
        return self._box.quirks

    @quirks.setter
    def quirks(self, quirks: Quirks) -> None:
        self._box.quirks = quirks

    @property
    def has_subscriber(self) -> bool:
        """Whether the central has subscribed to any instance."""
        return bool(self._sent)

    def answer(self, request: Request) -> list[bytes]:
        """Carry out a request and return the records that answer it; raises NotKnownError or MalformedRecordError."""
        if isinstance(request, GetValues | SetValues) and not self._takes_array(definite=request.definite):
            return []
        match request:
            case GetDevices():
                pairs = [(self._wire(number), other) for number, other in self._instances()]
                return [device_list(pairs, definite=self.quirks.answers_in_definite_arrays)]
            case Subscribe() | Unsubscribe():
                return self._subscription(request)
            case GetValues():
                return self._get_values(request)
            case SetValues():
                return self._set_values(request)
        return self._not_known(request)

    def changes(self) -> list[bytes]:
        """Return the values of subscribed instances that have changed since they were last sent unasked."""
        return [record for instance in tuple(self._sent) for record in self._changed(instance)]

    def _changed(self, instance: int) -> Iterable[bytes]:
        sent = self._sent[instance]
        changed = {register: now for register, now in self._announced(instance) if sent.get(register) != now}
        sent.update(changed)
        for register, payloads in changed.items():
            yield from self._records(instance, register, payloads)

    def _announced(self, instance: int) -> Iterable[tuple[int, Sequence[bytes]]]:
        for register in self._box.announced(instance):
            payloads = self._read(instance, register)
            if not isinstance(payloads, Refusal):
                yield register, payloads

    def _subscription(self, request: Subscribe | Unsubscribe) -> list[bytes]:
        wanted = isinstance(request, Subscribe)
        opcode = Opcode.SUBSCRIBE if wanted else Opcode.UNSUBSCRIBE
        instance = self._known(request.instance)
        if instance is None:
            return [response(request.instance, opcode, REFUSED)]
        self._sent.pop(instance, None)
        if wanted:
            # Assumed: the subscriber reads the present values itself, and is told of changes only.
            self._sent[instance] = dict(self._announced(instance))
        return [response(request.instance, opcode, OK)]

    def _takes_array(self, *, definite: bool) -> bool:
        """Return whether the device takes arrays of this form; MalformedRecordError where it complains of them."""
        form = Arrays.DEFINITE if definite else Arrays.INDEFINITE
        taken = self.quirks.arrays in {Arrays.BOTH, form}
        if not taken and not self.quirks.silent_about_other_arrays:
            raise MalformedRecordError(f"{form} array")
        return taken

    def _get_values(self, request: GetValues) -> list[bytes]:
        encrypted = request.opcode == ENCRYPTED_GET_VALUES
        if encrypted and not self.quirks.gives_key_only_to_0x25:
            raise NotKnownError
        instance = self._known(request.instance)
        if instance is None:
            return [response(request.instance, Opcode.GET_VALUES, REFUSED)]
        if instance not in self._sent and not self.quirks.answers_before_subscribe:
            return []
        swallowed, self._has_read = self.quirks.swallows_first_read and not self._has_read, True
        if swallowed:
            return []
        withheld = () if encrypted or not self.quirks.gives_key_only_to_0x25 else (INSTANT_READOUT_KEY,)
        answers = [record for register in request.registers for record in self._values(instance, register, withheld)]
        return self._with_unasked(instance, self._in_order(answers))

    def _values(self, instance: int, register: int, withheld: Container[int]) -> Iterable[bytes]:
        payloads = Refusal.INVALID if register in withheld else self._read(instance, register)
        if not isinstance(payloads, Refusal):
            return self._records(instance, register, payloads)
        if payloads is Refusal.UNKNOWN and self.quirks.silent_about_missing:
            return ()
        return (value_response(self._wire(instance), register, self._code(payloads)),)

    def _records(self, instance: int, register: int, payloads: Sequence[bytes]) -> Iterable[bytes]:
        return (value(self._wire(instance), register, payload) for payload in payloads)

    def _read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        if register in self.quirks.missing:
            return Refusal.UNKNOWN
        if register == KEEP_ALIVE:
            return (self._keep_alive.read(),)
        return self._box.read(instance, register)

    def _in_order(self, answers: list[bytes]) -> list[bytes]:
        match self.quirks.order:
            case Order.ASKED:
                return answers
            case Order.REVERSED:
                return answers[::-1]
        return self._random.sample(answers, len(answers))

    def _with_unasked(self, instance: int, answers: list[bytes]) -> list[bytes]:
        unasked = tuple(self._announced(instance)) if self.quirks.unasked_between else ()
        if not unasked:
            return answers
        mixed: list[bytes] = []
        for answer in answers:
            register, payloads = unasked[next(self._turn) % len(unasked)]
            mixed.extend((*self._records(instance, register, payloads), answer))
        return mixed

    def _set_values(self, request: SetValues) -> list[bytes]:
        instance = self._known(request.instance)
        for_link = request.instance == KEEP_ALIVE_INSTANCE and all(
            register == KEEP_ALIVE for register, _ in request.values
        )
        if instance is None and not for_link:
            return [response(request.instance, Opcode.SET_VALUES, REFUSED)]
        codes = [
            (register, self._code(self._write(instance or 0, register, data))) for register, data in request.values
        ]
        reported = [value_response(request.instance, register, code) for register, code in codes if self._reports(code)]
        return self._in_order(reported)

    def _reports(self, code: int) -> bool:
        """Return whether the device says what became of a register that was written."""
        return self.quirks.acknowledges_writes or (code != OK and self.quirks.reports_refused_writes)

    def _write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        if register in NEVER_WRITTEN:
            return self._box.write(instance, register, payload)
        if register in self.quirks.missing:
            return Refusal.UNKNOWN
        if register in self.quirks.refused_writes:
            return Refusal.READ_ONLY
        if register == KEEP_ALIVE:
            return self._keep_alive.write(payload)
        return self._box.write(instance, register, payload)

    def _code(self, refusal: Refusal | None) -> int:
        return OK if refusal is None else CODES[self.quirks.refusal_codes][refusal]

    def _not_known(self, request: PathRequest | UnknownRequest) -> list[bytes]:
        if isinstance(request, UnknownRequest) or self.quirks.path_refused_on_control:
            raise NotKnownError
        return [path_response(request, REFUSED)]

    def _instances(self) -> Sequence[tuple[int, int]]:
        everything = self._box.instances()
        return everything[:1] if self.quirks.main_instance_only else everything

    def _wire(self, instance: int) -> int:
        return instance + self.quirks.instance_offset

    def _known(self, number: int) -> int | None:
        """Return the box's number of an instance on the wire; None if there is no such instance."""
        instance = number - self.quirks.instance_offset
        return instance if instance in (known for known, _ in self._instances()) else None
