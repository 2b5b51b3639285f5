"""Messages of ESPHome's native API, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

from aioesphomeapi.core import MESSAGE_TYPE_TO_PROTO

# protobuf brings no types.
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

type Field = int | str | bytes | Sequence[Field] | Mapping[str, Field]

_NUMBERS: Final = {message.__name__: number for number, message in MESSAGE_TYPE_TO_PROTO.items()}


class Message(NamedTuple):
    """A message as it travels in a frame."""

    number: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Request:
    """The fields that the proxy reads; each request has those which belong to it."""

    address: int = 0
    data: bytes = b""
    enable: bool = False
    handle: int = 0
    mode: int = 0
    request_type: int = 0
    response: bool = False


_FIELDS: Final = tuple(field.name for field in fields(Request))


class MalformedMessageError(Exception):
    """The payload is not a message of its type."""


def message(name: str, /, **content: Field) -> Message:
    """Build the message of this name."""
    number = _NUMBERS[name]
    return Message(number, MESSAGE_TYPE_TO_PROTO[number](**content).SerializeToString())


def parse(incoming: Message) -> tuple[str, Request] | None:
    """Return name and fields of a request, or None if its number is not known."""
    if (kind := MESSAGE_TYPE_TO_PROTO.get(incoming.number)) is None:
        return None
    try:
        content = kind.FromString(incoming.payload)
    except DecodeError as error:
        raise MalformedMessageError(kind.__name__) from error
    return kind.__name__, Request(**{name: getattr(content, name) for name in _FIELDS if hasattr(content, name)})
