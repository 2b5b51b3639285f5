"""Frames of ESPHome's native API over a stream: plaintext, and encrypted with Noise."""

from asyncio import StreamReader, StreamWriter
from base64 import b64decode
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag

# noiseprotocol brings no types.
from noise.connection import NoiseConnection  # type: ignore[import-untyped]
from noise.exceptions import NoiseInvalidMessage, NoiseValueError  # type: ignore[import-untyped]

from .esphome_messages import Message

PLAINTEXT_MARKER: Final = 0
NOISE_MARKER: Final = 1
NOISE_KEY_LENGTH: Final = 32
LARGEST_PAYLOAD: Final = 0xFFFF

_VARINT_CONTINUES: Final = 0x80
_VARINT_SHIFTS: Final = (0, 7, 14)

_NOISE_PROTOCOL: Final = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
_NOISE_PROLOGUE: Final = b"NoiseAPIInit\x00\x00"
_CHOSEN_PROTOCOL: Final = b"\x01"
_HANDSHAKE_OK: Final = b"\x00"
# Clients recognize a wrong key by exactly this text.
_HANDSHAKE_FAILED: Final = b"\x01Handshake MAC failure"
# Clients that speak plaintext recognize by this marker that encryption is wanted.
_ENCRYPTION_WANTED: Final = b"\x01\x00\x00"
_INNER_HEADER_LENGTH: Final = 4


class FrameError(Exception):
    """What arrived is no frame; the stream cannot be read any further."""


class Frames(Protocol):
    """One side of the stream."""

    async def open(self) -> None:
        """Shake hands."""
        ...

    async def receive(self) -> Message:
        """Return the next message; FrameError, or asyncio.IncompleteReadError at the end of the stream."""
        ...

    def send(self, outgoing: Message) -> None:
        """Write a message."""
        ...


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _VARINT_CONTINUES:
        encoded.append(value & 0x7F | _VARINT_CONTINUES)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class PlaintextFrames:
    """Frames without encryption: a zero, length and message number as varints, payload."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def open(self) -> None:
        """Do nothing: plaintext begins at once."""

    async def receive(self) -> Message:
        """Return the next message."""
        marker = (await self._reader.readexactly(1))[0]
        if marker != PLAINTEXT_MARKER:
            raise FrameError(f"plaintext frame begins with {marker}")
        length = await self._read_varint()
        number = await self._read_varint()
        if length > LARGEST_PAYLOAD:
            raise FrameError(f"plaintext frame of {length} bytes")
        return Message(number, await self._reader.readexactly(length))

    def send(self, outgoing: Message) -> None:
        """Write a message."""
        header = bytes((PLAINTEXT_MARKER,)) + _varint(len(outgoing.payload)) + _varint(outgoing.number)
        self._writer.write(header + outgoing.payload)

    async def _read_varint(self) -> int:
        value = 0
        for shift in _VARINT_SHIFTS:
            byte = (await self._reader.readexactly(1))[0]
            value |= (byte & 0x7F) << shift
            if byte < _VARINT_CONTINUES:
                return value
        raise FrameError("length or number of a plaintext frame is too large")


def decode_noise_key(key: str) -> bytes:
    """Return the 32 bytes of a base64 key as ESPHome writes it; ValueError if it is none."""
    decoded = b64decode(key, validate=True)
    if len(decoded) != NOISE_KEY_LENGTH:
        raise ValueError(f"a key has {NOISE_KEY_LENGTH} bytes, not {len(decoded)}")
    return decoded


class NoiseFrames:
    """Frames encrypted under a key that both sides have: a one, length in 16 bits, ciphertext."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, *, key: bytes, name: str, mac: str) -> None:
        self._reader = reader
        self._writer = writer
        self._introduction = b"".join(
            (_CHOSEN_PROTOCOL, name.encode(), b"\0", mac.replace(":", "").lower().encode(), b"\0")
        )
        self._noise = NoiseConnection.from_name(_NOISE_PROTOCOL)
        self._noise.set_as_responder()
        self._noise.set_psks(key)
        self._noise.set_prologue(_NOISE_PROLOGUE)
        self._noise.start_handshake()

    async def open(self) -> None:
        """Shake hands."""
        await self._read_frame()
        self._write_frame(self._introduction)
        offer = await self._read_frame()
        try:
            self._noise.read_message(offer[1:])
        except (InvalidTag, NoiseValueError, ValueError) as error:
            self._write_frame(_HANDSHAKE_FAILED)
            raise FrameError("handshake failed") from error
        self._write_frame(_HANDSHAKE_OK + bytes(self._noise.write_message()))

    async def receive(self) -> Message:
        """Return the next message."""
        frame = await self._read_frame()
        try:
            content = bytes(self._noise.decrypt(frame))
        except (InvalidTag, NoiseInvalidMessage) as error:
            raise FrameError("frame cannot be decrypted") from error
        if len(content) < _INNER_HEADER_LENGTH:
            raise FrameError("encrypted frame is too short")
        return Message(int.from_bytes(content[:2]), content[_INNER_HEADER_LENGTH:])

    def send(self, outgoing: Message) -> None:
        """Write a message."""
        header = outgoing.number.to_bytes(2) + len(outgoing.payload).to_bytes(2)
        self._write_frame(bytes(self._noise.encrypt(header + outgoing.payload)))

    async def _read_frame(self) -> bytes:
        header = await self._reader.readexactly(3)
        if header[0] != NOISE_MARKER:
            self._writer.write(_ENCRYPTION_WANTED)
            raise FrameError(f"encrypted frame begins with {header[0]}")
        return await self._reader.readexactly(int.from_bytes(header[1:]))

    def _write_frame(self, content: bytes) -> None:
        self._writer.write(bytes((NOISE_MARKER,)) + len(content).to_bytes(2) + content)
