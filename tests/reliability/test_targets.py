"""What scripts/fuzz looks for, in small: with the inputs that it has found, and with what hypothesis thinks of."""

from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.payloads import PayloadError
from custom_components.smallbms_ng.protocol.registers import REGISTERS, Register
from reliability.fuzz.corpus import stored
from reliability.fuzz.targets import KEY, TARGETS, decode_advertisement, read_key, run_session
from tests.protocol.packer import advertise, pack

# A state takes thousands of times longer to read than a record.
MOST_REPLAYED = {"scenario": 60, "state": 30}
# What a device says of itself: requests of 336 bytes in chunks of 74.
CONTROL = bytes.fromhex("00010001504a0000")


def replayed() -> Iterator[tuple[str, bytes]]:
    for target in TARGETS:
        for one in stored(target)[: MOST_REPLAYED.get(target, 400)]:
            yield target, one


@pytest.mark.parametrize("target", TARGETS)
def test_stored_inputs(target: str) -> None:
    inputs = [one for name, one in replayed() if name == target]
    assert inputs
    for one in inputs:
        TARGETS[target](one)


@given(st.binary(max_size=80))
@example(b"")
@example(b"\x00" + advertise(pack(), key=KEY))
@example(b"\x00" + advertise(pack(), key=KEY)[:-1])
@example(b"\x01" + b"\x01\x00" + pack(voltage=0))
@example(b"\x01" + b"\x01\x00" + pack() + b"\x01\x00" + pack(error=5))
@example(b"\x02" + b"\x01\x00" + pack())
def test_advertisements(data: bytes) -> None:
    decode_advertisement(data)


@given(st.binary(max_size=40))
@example(b"5eed0fba77e4b00e9a3c51d2c4f78e16")
@example("\N{FULLWIDTH DIGIT TWO}".encode() * 32)
@example(b"5e" * 15)
def test_keys(data: bytes) -> None:
    read_key(data)


@given(st.binary(max_size=200))
@example(CONTROL)
# A number with a tag that would be a huge power; an array in an array in an array; a text without end.
@example(CONTROL + bytes([0x1D]) + bytes.fromhex("08c5821b000000ffffffff"))
@example(CONTROL + bytes([0x1D]) + bytes.fromhex("0281818181818101"))
@example(CONTROL + bytes([0x11]) + bytes.fromhex("087fffff"))
@example(CONTROL + bytes([0x13, 1, 2, 3, 4] * 40))
@example(b"\x00" * 3)
def test_sessions(data: bytes) -> None:
    run_session(data)


WRITABLE = [register for register in REGISTERS if register.writable and register.limits]


def raw_payloads(register: Register) -> Iterator[bytes]:
    """Yield every payload of a register that takes one or two bytes."""
    size = len(register.encode(register.limits.low)) if register.limits else 0
    yield from (raw.to_bytes(size, "little") for raw in range(1 << 8 * size))


@pytest.mark.parametrize("register", WRITABLE, ids=lambda register: f"{register.id:04X}")
def test_every_value_of_a_setting_comes_back(register: Register) -> None:
    """Whatever the device holds: the value that is shown of it, written again, is the payload it holds."""
    told = 0
    for payload in raw_payloads(register):
        value = register.decode(payload)
        if value is None:
            continue
        told += 1
        codec = register.finer_payload if register.is_finer(payload) else register.payload
        assert codec
        assert codec.encode(value) == payload
    assert told > 200


@pytest.mark.parametrize("register", WRITABLE, ids=lambda register: f"{register.id:04X}")
@pytest.mark.parametrize("system_voltage", [12, 24, 48, None])
def test_every_step_of_a_setting_is_written_as_it_is(register: Register, system_voltage: int | None) -> None:
    limits = register.limits
    assert limits
    limits = limits.at(system_voltage or 12)
    steps = round((limits.high - limits.low) / limits.step)
    for step in range(steps + 1):
        value = round(limits.low + step * limits.step, 6)
        assert register.decode(register.encode(value, system_voltage)) == pytest.approx(value, abs=1e-9)
    for beyond in (
        limits.low - limits.step,
        limits.at(48).high * 4 + limits.step,
        float("nan"),
        float("inf"),
        True,
        "1",
    ):
        with pytest.raises(PayloadError):
            register.encode(beyond, system_voltage)
