"""The latest connections are kept as frames, in bounded memory."""

import tracemalloc

from bleak.exc import BleakError
import pytest

from custom_components.smallbms_ng.connection.recorder import (
    LATEST_SIZE,
    MOST_CONNECTIONS,
    OPENING_SIZE,
    Operation,
    RecordedConnection,
    Recorder,
)


class Clock:
    """A clock that a test turns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def pairing(recorder: Recorder, error: str) -> None:
    """Let a pairing fail."""
    with pytest.raises(BleakError), recorder.pairing():
        raise BleakError(error)


def fail_to_write(connection: RecordedConnection, meanwhile: int = 0) -> None:
    """Let a write fail, while some notifications come."""
    number = connection.add(Operation.WRITE, "data", b"\x02")
    for _ in range(meanwhile):
        connection.add(Operation.NOTIFY, "data", bytes(20))
    connection.note_failure(number, BleakError("Not connected"))


def test_the_opening_and_the_end_stay() -> None:
    connection = RecordedConnection(Clock())
    for number in range(1000):
        connection.add(Operation.NOTIFY, "data", number.to_bytes(2) + bytes(18))
    numbers = [int.from_bytes(frame.data[:2]) for frame in connection.frames]
    assert (numbers[0], numbers[-1]) == (0, 999)
    assert len(numbers) + connection.dropped_frames == 1000
    before, after = numbers[: connection.frames_before_gap], numbers[connection.frames_before_gap :]
    assert before == list(range(len(before)))
    assert after == list(range(after[0], 1000))


def test_an_error_belongs_to_its_frame() -> None:
    clock = Clock()
    connection = RecordedConnection(clock)
    connection.add(Operation.READ, "control", b"\x01")
    clock.now += 1.5
    fail_to_write(connection, meanwhile=1)
    assert [(frame.at, frame.direction, frame.error) for frame in connection.frames] == [
        (0, "in", None),
        (1.5, "out", "BleakError: Not connected"),
        (1.5, "in", None),
    ]
    assert [(error.at, error.text) for error in connection.errors] == [(1.5, "BleakError: Not connected")]


def test_an_error_of_a_late_frame() -> None:
    connection = RecordedConnection(Clock())
    for _ in range(1000):
        connection.add(Operation.NOTIFY, "data", bytes(20))
    fail_to_write(connection)
    *_, before, last = connection.frames
    assert (before.error, last.error) == (None, "BleakError: Not connected")


def test_an_error_of_a_frame_that_is_not_kept_any_more() -> None:
    connection = RecordedConnection(Clock())
    for _ in range(1000):
        connection.add(Operation.NOTIFY, "data", bytes(20))
    fail_to_write(connection, meanwhile=1000)
    assert {frame.error for frame in connection.frames} == {None}
    assert len(connection.errors) == 1


def test_failures_make_room_first() -> None:
    recorder = Recorder(Clock())
    with recorder.pairing():
        recorder.connections[0].add(Operation.NOTIFY, "data", b"\x01")
    for number in range(5):
        pairing(recorder, f"failure {number}")
    assert [connection.ended for connection in recorder.connections] == [
        "closed",
        "BleakError: failure 3",
        "BleakError: failure 4",
    ]


def test_the_richest_stays() -> None:
    """The first connection reads everything; later ones only what has changed since."""
    recorder = Recorder(Clock())
    for size in (200, 10, 20, 30, 40):
        with recorder.pairing():
            recorder.connections[-1].add(Operation.NOTIFY, "data", bytes(size))
    assert [connection.heard for connection in recorder.connections] == [200, 30, 40]


def test_memory_is_bounded() -> None:
    recorder = Recorder(Clock())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(MOST_CONNECTIONS):
            pairing(recorder, "x" * 10_000)
        for connection in recorder.connections:
            for number in range(2000):
                connection.add(Operation.NOTIFY, f"uuid {number}", bytes(20))
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used < 36 * 1024
    kept = sum(len(frame.data) for frame in recorder.connections[0].frames)
    assert kept > (OPENING_SIZE + LATEST_SIZE) / 2
