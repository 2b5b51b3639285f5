"""VE.Smart server of one link: takes what the central writes, and notifies it. No I/O, no clock of its own."""

from collections import deque
from collections.abc import Callable
from typing import Final

from emulator.personality.quirks import EVERY_REGISTER, Order, Quirks
from emulator.ve_smart.cbor_records import MalformedRecordError, requests
from emulator.ve_smart.chunks import (
    ATT_HEADER,
    LARGEST_CHUNK,
    SMALLEST_CHUNK,
    Channel,
    Inbox,
    Notify,
    Outbox,
    StreamTooLongError,
)
from emulator.ve_smart.register_box import Refusal, RegisterBox
from emulator.ve_smart.responder import NotKnownError, Responder

__all__ = ["EVERY_REGISTER", "Channel", "Notify", "Order", "Quirks", "Refusal", "RegisterBox", "VeSmartServer"]

# Assumed: how often the device looks for changed values to send unasked, in seconds.
ANNOUNCE_PERIOD: Final = 1.0
# Assumed: bytes of answers waiting for credit or time, beyond which requests are refused.
LARGEST_BACKLOG: Final = 32 * 1024

ONE_CHUNK: Final = b"\xf9\x01"
GRANT: Final = ONE_CHUNK[0]
CHUNK_SIZES: Final = 0xFA
# Seen for a refused path request; assumed for every record that the device does not know.
ERROR_NOT_KNOWN: Final = b"\xf7\x03\x00"
# Assumed: only the form of other errors is known, one or two bytes after 0xF7.
ERROR_MALFORMED: Final = b"\xf7\x01"
ERROR_TOO_LONG: Final = b"\xf7\x02"
ERROR_BUSY: Final = b"\xf7\x04"


class KeepAlive:
    """The link's time limit: runs out unless written again in time."""

    SIZE: Final = 2
    LONGEST: Final = 0xFFFF

    def __init__(self, own_limit: float, clock: Callable[[], float]) -> None:
        self._own_limit = self._limit = own_limit
        self._clock = clock
        self.runs_out_at = clock() + own_limit

    def read(self) -> bytes:
        """Return the limit in force, as register 0x0093."""
        return int(min(self._limit * 1000, self.LONGEST)).to_bytes(self.SIZE, "little")

    def write(self, payload: bytes) -> Refusal | None:
        """Set the limit, in milliseconds, and start it anew. Assumed: 0 is the device's own limit."""
        if len(payload) != self.SIZE:
            return Refusal.INVALID
        self._limit = int.from_bytes(payload, "little") / 1000 or self._own_limit
        self.runs_out_at = self._clock() + self._limit
        return None


class VeSmartServer:
    """The device's end of one VE.Smart session.

    `notify` sends a notification. `clock` gives seconds, from any start. Whoever drives it calls `tick` when
    `next_deadline` has come, and ends the link when `wants_disconnect` is true.
    """

    def __init__(
        self,
        box: RegisterBox,
        notify: Notify,
        *,
        mtu: int = 23,
        quirks: Quirks | None = None,
        clock: Callable[[], float],
    ) -> None:
        quirks = quirks or Quirks()
        self.mtu = mtu
        self.chunks_without_credit = 0
        self._notify = notify
        self._clock = clock
        self._keep_alive = KeepAlive(quirks.keep_alive, clock)
        self._responder = Responder(box, self._keep_alive, quirks)
        self._inbox = Inbox(quirks.largest_request)
        self._outbox = Outbox(notify)
        self._answers: deque[tuple[float, bytes]] = deque()
        self._announce_at = clock()
        self._opened = False
        self._offended = False
        self._granted = 0

    @property
    def quirks(self) -> Quirks:
        """How the device behaves. It may change during the link."""
        return self._responder.quirks

    @quirks.setter
    def quirks(self, quirks: Quirks) -> None:
        self._responder.quirks = quirks

    @property
    def wants_disconnect(self) -> bool:
        """Whether to drop the link: the keep-alive has run out, or the device does not stand what the central wrote."""
        return self._offended or self._clock() >= self._keep_alive.runs_out_at

    @property
    def next_deadline(self) -> float:
        """When, by the clock, there is next something to do."""
        deadlines = [self._clock() if self._offended else self._keep_alive.runs_out_at]
        if self._answers:
            deadlines.append(self._answers[0][0])
        if self._responder.has_subscriber:
            deadlines.append(self._announce_at)
        return min(deadlines)

    def read_control(self) -> bytes:
        """Return the seven bytes of the Control characteristic."""
        second = self.quirks.control_second_field.to_bytes(2)
        # Little-endian: only so does this field make sense in both captures (20 and 74 bytes).
        chunk = self._largest_chunk.to_bytes(2, "little")
        return bytes((0, *second, 1, self.quirks.largest_request, *chunk))

    def write(self, channel: Channel, data: bytes) -> None:
        """Take what the central wrote to a characteristic, whatever it is."""
        if channel is Channel.CONTROL:
            self._take_control(data)
        elif self._spend_credit():
            self._grant()
            self._take_chunk(channel, data)

    def tick(self) -> None:
        """Send everything that is due."""
        self._send_due_answers()
        if self._responder.has_subscriber and self._clock() >= self._announce_at:
            self._announce_at = self._clock() + ANNOUNCE_PERIOD
            self.announce()

    def announce(self) -> None:
        """Send to the subscriber what has changed, unasked."""
        # If the central takes chunks slowly, it gets the newest values later instead of a queue of old ones.
        if self._answers or not self._outbox.ready:
            return
        for stream in self._streams(self._responder.changes()):
            self.send(stream)

    def send(self, stream: bytes) -> None:
        """Send any stream, asked for or not."""
        self._outbox.put(stream, self._largest_chunk, false_start=self.quirks.false_starts)

    @property
    def _largest_chunk(self) -> int:
        return min(max(SMALLEST_CHUNK, self.mtu - ATT_HEADER), LARGEST_CHUNK)

    def _take_control(self, data: bytes) -> None:
        # Otherwise chunk sizes have no effect: what the two numbers mean is not known, and a chunk that fits the MTU is
        # always right.
        if self.quirks.drops_link_on_chunk_sizes and data[:1] == bytes((CHUNK_SIZES,)):
            self._offended = True
        if len(data) != len(ONE_CHUNK) or data[0] != GRANT:
            return
        if not self._opened:
            self._opened = True
            self._grant()
        self._outbox.add_credit(data[1])

    def _grant(self) -> None:
        self._granted += 1
        self._notify(Channel.CONTROL, ONE_CHUNK)

    def _spend_credit(self) -> bool:
        if self._granted:
            self._granted -= 1
            return True
        self.chunks_without_credit += 1
        return not self.quirks.enforces_credit

    def _take_chunk(self, channel: Channel, data: bytes) -> None:
        try:
            stream = self._inbox.take(channel, data)
            if stream is not None:
                self._answer(stream)
        except StreamTooLongError:
            self._notify(Channel.CONTROL, ERROR_TOO_LONG)
        except MalformedRecordError:
            self._notify(Channel.CONTROL, ERROR_MALFORMED)
        except NotKnownError:
            self._notify(Channel.CONTROL, ERROR_NOT_KNOWN)

    def _answer(self, stream: bytes) -> None:
        if self._backlog > LARGEST_BACKLOG:
            self._notify(Channel.CONTROL, ERROR_BUSY)
            return
        for request in requests(stream):
            due = self._clock() + self.quirks.answer_delay
            answer = self._responder.answer(request)
            self._answers.extend((due, part) for part in self._streams(answer))
            self._send_due_answers()

    @property
    def _backlog(self) -> int:
        return self._outbox.size + sum(len(stream) for _, stream in self._answers)

    def _send_due_answers(self) -> None:
        while self._answers and self._answers[0][0] <= self._clock():
            self.send(self._answers.popleft()[1])

    def _streams(self, records: list[bytes]) -> list[bytes]:
        if not self.quirks.one_stream:
            return records
        return [b"".join(records)] if records else []
