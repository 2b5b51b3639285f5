"""Answers VE.Smart requests from a box of registers, and finds what changed for its subscriber."""

from collections.abc import Iterable, Sequence
from itertools import count
from random import Random
from typing import Final, Protocol

from emulator.ve_smart.cbor_records import (
    GetDevices,
    GetValues,
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
from emulator.ve_smart.quirks import Order, Quirks
from emulator.ve_smart.register_box import NEVER_WRITTEN, Refusal, RegisterBox

KEEP_ALIVE: Final = 0x0093
# The keep-alive is the link's, not an instance's: assumed to be taken there even if no instance has this number.
KEEP_ALIVE_INSTANCE: Final = 0

OK: Final = 0
# The only code seen is 2, for a refused request. Assumed: it is the same for every reason.
REFUSED: Final = 2
# The codes of Victron's other protocols, for devices that answer with those.
WIDE_CODES: Final = {
    Refusal.UNKNOWN: 0x8000,
    Refusal.READ_ONLY: 0x8300,
    Refusal.INVALID: 0x8300,
    Refusal.BUSY: 0x8200,
}


class NotKnownError(Exception):
    """The device does not know what it was asked."""


class LinkRegister(Protocol):
    """A register that belongs to the link and not to the device."""

    def read(self) -> bytes:
        """Return the payload."""

    def write(self, payload: bytes) -> Refusal | None:
        """Take a payload, or say why not."""


class Responder:
    """Turns requests into records, within one link."""

    def __init__(self, box: RegisterBox, keep_alive: LinkRegister, quirks: Quirks) -> None:
        self.quirks = quirks
        self._box = box
        self._keep_alive = keep_alive
        self._random = Random(quirks.seed)
        self._turn = count()
        self._sent: dict[int, dict[int, Sequence[bytes]]] = {}

    @property
    def has_subscriber(self) -> bool:
        """Whether any instance's values are wanted unasked."""
        return bool(self._sent)

    def answer(self, request: Request) -> list[bytes]:
        """Carry out a request and return the records that answer it; raises NotKnownError."""
        match request:
            case GetDevices():
                return [device_list((self._wire(number), other) for number, other in self._instances())]
            case Subscribe() | Unsubscribe():
                return self._subscription(request)
            case GetValues():
                return self._get_values(request)
            case SetValues():
                return self._set_values(request)
        return self._not_known(request)

    def changes(self) -> list[bytes]:
        """Return the values of subscribed instances that changed since the subscriber last got them unasked."""
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
            # Assumed: a subscriber reads what it wants to begin with, and is told of changes from there.
            self._sent[instance] = dict(self._announced(instance))
        return [response(request.instance, opcode, OK)]

    def _get_values(self, request: GetValues) -> list[bytes]:
        instance = self._known(request.instance)
        if instance is None:
            return [response(request.instance, Opcode.GET_VALUES, REFUSED)]
        if instance not in self._sent and not self.quirks.answers_before_subscribe:
            return []
        answers = [record for register in request.registers for record in self._values(instance, register)]
        return self._with_unasked(instance, self._in_order(answers))

    def _values(self, instance: int, register: int) -> Iterable[bytes]:
        payloads = self._read(instance, register)
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
        if not self.quirks.acknowledges_writes:
            return []
        return self._in_order([value_response(request.instance, register, code) for register, code in codes])

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
        if refusal is None:
            return OK
        return WIDE_CODES[refusal] if self.quirks.wide_refusal_codes else REFUSED

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
        """Return the box's instance for a number on the wire, if there is one."""
        instance = number - self.quirks.instance_offset
        return instance if instance in (known for known, _ in self._instances()) else None
