"""The recording in a diagnostics download: what an owner's device sent and answered, checked as it is read."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from emulator.reading.state import JsonValue
from emulator.reading.values import allowed_by, should_be

DOMAIN: Final = "smallbms_ng"
FORMAT: Final = 1
LARGEST_FILE: Final = 16 * 1024 * 1024  # bytes; a download has some hundred thousand

_PROBLEM: Final = "problem"
# What to say is allowed where it differs from what reading/values.py says, by the type of pydantic's error.
_ALLOWED: Final[Mapping[str, str]] = {
    "float_type": "a number",
    "finite_number": "a number",
    "greater_than_equal": "zero or more",
    "int_type": "a whole number",
    "less_than_equal": "{le} or less",
    "literal_error": "one of {expected}",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


class RecordingError(ValueError):
    """A file from which no recording can be read; the text is one sentence for the user."""


def _hexadecimal(content: object) -> bytes:
    try:
        return bytes.fromhex(str(content))
    except ValueError:
        raise should_be("pairs of hexadecimal digits") from None


def _register(content: object) -> int:
    try:
        return int(str(content), 16)
    except ValueError:
        raise should_be("a register such as 0x0100") from None


type Octets = Annotated[bytes, BeforeValidator(_hexadecimal)]
type RegisterNumber = Annotated[int, BeforeValidator(_register), Field(ge=0, le=0xFFFF)]
type Instance = Annotated[int, Field(ge=0)]
type Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Outcome(StrEnum):
    """What became of an advertisement."""

    BELIEVED = "believed"
    REPEATED = "repeated"
    HELD_BACK = "held_back"
    SHORT_BEACON = "short_beacon"
    NO_DATA = "no_data"
    OTHER_RECORD = "other_record"
    MALFORMED = "malformed"
    IMPLAUSIBLE = "implausible"
    WRONG_KEY = "wrong_key"


class Direction(StrEnum):
    """Which way a frame went, as the central sees it."""

    OUT = "out"
    IN = "in"


class Operation(StrEnum):
    """What a frame was."""

    READ = "read"
    WRITE = "write"
    NOTIFY = "notify"
    SUBSCRIBE = "subscribe"
    PAIR = "pair"


class _Part(BaseModel):
    """A part of a recording. Keys that are not known are let be: a later version may have more."""

    model_config = ConfigDict(frozen=True, strict=True)


class HeardAdvertisement(_Part):
    """One advertisement. at: seconds since the recording began; bytes: without company id and key check byte."""

    at: Seconds
    radio: str
    signal: int | None = None
    name: str | None = None
    services: tuple[str, ...] = Field((), strict=False)
    bytes: Octets
    decrypted: bool
    outcome: Annotated[Outcome, Field(strict=False)]


class ReportedError(_Part):
    """What the radio or the client reported, and when in the connection."""

    at: Seconds
    text: str


class Frame(_Part):
    """One frame of a connection. at: seconds since that began; characteristic: a name for VE.Smart's, else its UUID."""

    at: Seconds
    direction: Annotated[Direction, Field(strict=False)]
    operation: Annotated[Operation, Field(strict=False)]
    characteristic: str
    bytes: Octets = b""
    error: str | None = None


class Connection(_Part):
    """One connection. ended: how, in the words of the radio; None while it is open."""

    at: Seconds
    radio: str
    kind: Literal["proxy", "adapter"]
    mtu: int | None = None
    ended: str | None = None
    errors: tuple[ReportedError, ...] = Field((), strict=False)
    frames: Annotated[tuple[Frame, ...], Field(strict=False)]
    dropped_frames: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        _check_order(self.frames, "frames")
        return self


class SurveyAnswer(_Part):
    """What the device said to a register: a value, a code, or nothing."""

    instance: Instance
    number: RegisterNumber = Field(alias="register")
    value: Octets | None = None
    code: Instance | None = None
    silent: bool = False

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        if (self.value is not None) + (self.code is not None) + self.silent != 1:
            raise _problem("an answer should have a value, a code or silent, and one of them only")
        return self


class Survey(_Part):
    """The answers to every register that was asked for."""

    at: Seconds
    finished: bool
    duration: Seconds
    answers: Annotated[tuple[SurveyAnswer, ...], Field(strict=False)]


class Recording(_Part):
    """Everything that was recorded. Times in seconds; advertisements and connections oldest first."""

    format: Literal[1]
    integration: str
    home_assistant: str
    length: Seconds
    advertisements: Annotated[tuple[HeardAdvertisement, ...], Field(strict=False)]
    connections: Annotated[tuple[Connection, ...], Field(strict=False)]
    survey: Survey | None = None
    learned: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        _check_order(self.advertisements, "advertisements")
        _check_order(self.connections, "connections")
        return self


def read_recording(path: Path) -> Recording:
    """Return the recording in a diagnostics download. Raises RecordingError."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise RecordingError(f"{path.name} is too large for a diagnostics download.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path.name} is not text in UTF-8.") from error
    return parse_recording(text, path.name)


def parse_recording(text: str, file: str) -> Recording:
    """Return the recording in the text of a diagnostics download. Raises RecordingError."""
    recording = _find(_parse_json(text, file), file)
    try:
        return Recording.model_validate(recording)
    except ValidationError as error:
        raise RecordingError(_sentence(error.errors(include_url=False)[0], file)) from error


def _parse_json(text: str, file: str) -> object:
    try:
        parsed: object = json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].strip()
        cut_off = not rest or error.msg.startswith("Unterminated")
        reason = "it is cut off" if cut_off else f"line {error.lineno} is not valid JSON"
        raise RecordingError(f"{file} is no whole diagnostics download: {reason}.") from error
    except (RecursionError, ValueError) as error:
        raise RecordingError(f"{file} is no diagnostics download of Home Assistant.") from error
    return parsed


def _find(download: object, file: str) -> object:
    """Return the recording in a download, not yet checked."""
    match download:
        case {"integration_manifest": {"domain": str(domain)}} if domain != DOMAIN:
            raise RecordingError(f"{file} is a diagnostics download of another integration, {domain}.")
        case {"integration_manifest": {"domain": str()}, "data": {"recording": {"format": number}}} if number != FORMAT:
            raise RecordingError(f"{file} has a recording of format {number!r}; this program reads format {FORMAT}.")
        case {"integration_manifest": {"domain": str()}, "data": {"recording": None}}:
            raise RecordingError(f"{file} has an empty recording: nothing was heard of the device.")
        case {"integration_manifest": {"domain": str()}, "data": {"recording": recording}}:
            return recording
        case {"integration_manifest": {"domain": str()}, "data": dict()}:
            raise RecordingError(f"{file} has no recording: it is of another version of the integration.")
    raise RecordingError(f"{file} is no diagnostics download of Home Assistant.")


def _check_order(parts: Iterable[HeardAdvertisement | Frame | Connection], name: str) -> None:
    times = [part.at for part in parts]
    if times != sorted(times):
        raise _problem(f"{name} should be in the order of their times")


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError(_PROBLEM, "{problem}", {"problem": text})


def _sentence(error: ErrorDetails, file: str) -> str:
    """Return what is wrong with a recording, and where."""
    *above, last = error["loc"] or ("the recording",)
    kind, context = error["type"], error.get("ctx", {})
    if kind == _PROBLEM:
        return f"{_damaged(file, error['loc'])}: {context['problem']}."
    where = _damaged(file, above)
    if kind == "missing":
        return f"{where}: {last} is missing."
    what = f"item {last + 1}" if isinstance(last, int) else last
    return f"{where}: {what} should be {allowed_by(kind, context, _ALLOWED)}."


def _damaged(file: str, path: Iterable[int | str]) -> str:
    place = " ".join(str(part + 1) if isinstance(part, int) else part for part in path)
    return f"{file} was changed by hand, or damaged" + (f", in {place}" if place else "")
