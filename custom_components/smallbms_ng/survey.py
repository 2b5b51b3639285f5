"""Reads all registers that a device may have, so that its owner can show what it answers. It writes nothing."""

from array import array
import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from itertools import batched
import logging
from typing import Final

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from . import clock
from .connection.client import VeSmartClient
from .connection.errors import Lost
from .connection.link import Answer, Reading, Silence
from .const import DOMAIN
from .messages import failure
from .protocol.registers import BY_ID, PIN_REGISTER, PUK_REGISTER
from .recording import SurveyRecord

_LOGGER = logging.getLogger(__name__)

# Ranges in which Victron's list of registers has something for a BMS, the last register included.
RANGES: Final = (
    (0x0100, 0x010F),
    (0x0200, 0x020F),
    (0x0300, 0x03A0),
    (0x0FF0, 0x1040),
    (0x2100, 0x2120),
    (0xEA00, 0xEA20),
    (0xEC00, 0xEC90),
    (0xED80, 0xEE00),
)
_NEVER: Final = frozenset({PIN_REGISTER, PUK_REGISTER})

KNOWN: Final = array("H", (register for register in BY_ID if register not in _NEVER))
OTHERS: Final = array(
    "H",
    (
        register
        for first, last in RANGES
        for register in range(first, last + 1)
        if register not in _NEVER and register not in BY_ID
    ),
)

# Of so many registers, a request is answered within a few hundred milliseconds.
_BATCH: Final = 16
# From here on, instances are only asked for what one of those before them has answered.
_MOST_ASKED_FOR_ALL: Final = 8
# How often the same batch may be without an answer in time.
_ATTEMPTS: Final = 2
# How many sessions in a row may fail; before anything was read, the first failure ends the survey.
_MOST_FAILURES: Final = 5


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a survey goes, in s.

    hold: after how long a session begins no more requests. longest: when it is ended in any case. pause: how long the
    device is left to others between two sessions. limit: how long the whole survey may take.
    """

    hold: float = 10
    longest: float = 15
    pause: float = 5
    limit: float = timedelta(minutes=5).total_seconds()


PACE: Final = Pace()


class _Questions:
    """The registers to ask for, in batches of one instance: first the known ones of all instances."""

    def __init__(self, instances: Sequence[int]) -> None:
        self._instances = instances
        self._known_to_answer: set[int] = set()
        self._batches = self._all()
        self._asked = 0
        asked_for_all = min(len(instances), _MOST_ASKED_FOR_ALL)
        self._total = len(KNOWN) * len(instances) + len(OTHERS) * asked_for_all
        self._attempts = 0
        self.batch = next(self._batches, None)
        """The next instance and its registers; None if everything was asked for."""

    @property
    def progress(self) -> float:
        """How much was asked for, from 0 to 1."""
        return 1 if self.batch is None else min(self._asked / self._total, 1)

    def go_on(self, answers: Sequence[Answer]) -> None:
        """Take the answers of the batch and go on to the next one."""
        self._known_to_answer.update(answer.register for answer in answers if isinstance(answer, Reading))
        self._asked += len(answers)
        self._attempts = 0
        self.batch = next(self._batches, None)

    def give_up(self) -> tuple[Silence, ...]:
        """Return the answers of a batch that has none in time; none as long as it is worth another attempt."""
        self._attempts += 1
        if self.batch is None or self._attempts < _ATTEMPTS:
            return ()
        return tuple(Silence(register=register) for register in self.batch[1])

    def _all(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        for instance in self._instances:
            yield from ((instance, batch) for batch in batched(KNOWN, _BATCH, strict=False))
        for number, instance in enumerate(self._instances):
            promising = OTHERS if number < _MOST_ASKED_FOR_ALL else self._promising()
            yield from ((instance, batch) for batch in batched(promising, _BATCH, strict=False))

    def _promising(self) -> list[int]:
        return [register for register in OTHERS if register in self._known_to_answer]


type Session = Callable[[], AbstractAsyncContextManager[VeSmartClient]]


class Survey:
    """Asks one device for all registers, in several short sessions.

    session: connects, and raises HomeAssistantError if that fails. is_wanted: whether somebody else waits for the
    connection, who goes first. on_progress: called when the progress changes. record: what the last survey has found.
    """

    def __init__(
        self,
        name: str,
        *,
        session: Session,
        is_wanted: Callable[[], bool],
        on_progress: Callable[[], None],
        keep: Callable[[SurveyRecord], None],
    ) -> None:
        self._name = name
        self._session = session
        self._is_wanted = is_wanted
        self._on_progress = on_progress
        self._keep = keep
        self._questions: _Questions | None = None
        self._record: SurveyRecord | None = None
        self._running = False

    @property
    def running(self) -> bool:
        """Whether a survey is under way."""
        return self._running

    @property
    def progress(self) -> int | None:
        """How much was asked for, in %; None before the first survey."""
        return int(100 * self._questions.progress) if self._questions else None

    @property
    def answered(self) -> int | None:
        """How many registers the device has answered; None before the first survey."""
        return self._record.answered if self._record else None

    @property
    def _has_asked_all(self) -> bool:
        return self._questions is not None and self._questions.batch is None

    async def async_start(self, start: Callable[[Coroutine[object, object, None]], object]) -> None:
        """Start a survey in the background, and return once the device answers. Raises HomeAssistantError."""
        if self._running:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="survey_runs",
                translation_placeholders={"device": self._name},
            )
        self._running = True
        begun = asyncio.get_running_loop().create_future()
        start(self._async_run(begun))
        await begun

    async def _async_run(self, begun: asyncio.Future[None]) -> None:
        self._questions, self._record = None, SurveyRecord()
        try:
            await self._async_ask_all(self._record, begun)
        except HomeAssistantError as error:
            if begun.done():
                _LOGGER.debug("%s: the survey ended early: %s", self._name, error)
            else:
                begun.set_exception(error)
        finally:
            self._running = False
            self._record.end(finished=self._has_asked_all)
            if not begun.done():
                begun.set_exception(failure(Lost("the survey was stopped"), self._name))
            self._on_progress()

    async def _async_ask_all(self, record: SurveyRecord, begun: asyncio.Future[None]) -> None:
        deadline = record.began + PACE.limit
        failures = 0
        while clock.now() < deadline and not record.full:
            try:
                await self._async_visit(record, begun, deadline)
                failures = 0
            except HomeAssistantError:
                failures += 1
                if not begun.done() or failures == _MOST_FAILURES:
                    raise
            if self._has_asked_all:
                return
            await asyncio.sleep(PACE.pause)

    async def _async_visit(self, record: SurveyRecord, begun: asyncio.Future[None], deadline: float) -> None:
        """Ask in one session, until others want the device or it was held for long enough."""
        async with self._session() as client:
            if self._questions is None:
                self._questions = _Questions((client.main_instance, *_others(client)))
                self._keep(record)
            ends = min(clock.now() + PACE.hold, deadline)
            try:
                async with asyncio.timeout(PACE.longest):
                    while clock.now() < ends and not self._is_wanted() and self._questions.batch and not record.full:
                        await self._async_ask(client, record, self._questions)
                        if not begun.done():
                            begun.set_result(None)
            except TimeoutError:
                self._take(record, self._questions, self._questions.give_up())

    async def _async_ask(self, client: VeSmartClient, record: SurveyRecord, questions: _Questions) -> None:
        if questions.batch is None:
            return
        instance, registers = questions.batch
        answers = await client.read(instance, registers)
        self._take(record, questions, tuple(answers.values()))

    def _take(self, record: SurveyRecord, questions: _Questions, answers: Sequence[Answer]) -> None:
        if questions.batch is None or not answers:
            return
        before = self.progress
        for answer in answers:
            record.take(questions.batch[0], answer)
        questions.go_on(answers)
        if self.progress != before:
            self._on_progress()


def _others(client: VeSmartClient) -> tuple[int, ...]:
    """Return the instances but the main one."""
    return tuple(instance for instance in dict.fromkeys(client.instances) if instance != client.main_instance)
