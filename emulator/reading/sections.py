"""Sections of a scenario file, and the types of their values.

Every value is text until its type reads it. YAML 1.1 would read 06:30 as 390 and on as true; here the first is a time
of day, and the second is a word.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from math import isfinite
from random import Random
import re
from typing import Annotated, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    StringConstraints,
    Tag,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from emulator.reading.values import number, should_be, wanted

EMPTY: Final = ""  # the text of a key without a value
KIND: Final = "kind"  # the key that tells sections of several kinds apart

_SECONDS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_SECONDS)})")
_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def problem(text: str, *at: str | int) -> PydanticCustomError:
    """Return an error that says what is wrong with a value. at: the path of keys to this value."""
    return PydanticCustomError("problem", "{problem}", {"problem": text, "at": at})


def check_known(keys: Iterable[str], known: Collection[str], *at: str | int) -> None:
    """Raise an error for the first unknown key. at: the path of keys to the section that has it."""
    for key in keys:
        if key not in known:
            text = f"{key} is not known here; known are {', '.join(known)}"
            raise PydanticCustomError("unknown", "{problem}", {"problem": text, "at": (*at, key)})


class Section(BaseModel):
    """A block of keys with values. Its fields are the keys it may have, except fields with init=False."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_every_key(cls, content: object) -> object:
        if content == EMPTY:
            return {}
        if isinstance(content, dict):
            fields = {name: field for name, field in cls.model_fields.items() if field.init is not False}
            check_known(content, [field.alias or name for name, field in fields.items()])
        return content


class Range[Value: float](Section):
    """Two limits, between which the seed of a scenario chooses a value."""

    lowest: Value = Field(alias="from")
    highest: Value = Field(alias="to")

    @model_validator(mode="after")
    def _is_the_right_way_round(self) -> Self:
        if self.lowest > self.highest:
            raise problem(f"from {self.lowest:g} to {self.highest:g} is the wrong way round")
        return self

    def choose(self, random: Random) -> float:
        """Return a value between them."""
        return random.uniform(self.lowest, self.highest)


def one_of(words: Collection[str]) -> WrapValidator:
    """Return a validator that takes only some words."""
    return wanted(f"one of {', '.join(words)}", lambda word: word in words)


def matching(pattern: str, allowed: str) -> WrapValidator:
    """Return a validator that takes only texts that match a pattern."""
    return wanted(allowed, written=pattern)


def _duration(content: object) -> float:
    """Return a duration in s, from a text such as 12 min, or from a number of seconds."""
    if isinstance(content, float):
        return content
    match = _DURATION.fullmatch(str(content))
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds < 1 or not isfinite(seconds):
        raise should_be("a time of at least 1 s, such as 90 s, 12 min or 2 h")
    return seconds


def _time_of_day(content: object) -> float:
    """Return a time of day in s, from a text such as 06:30, or from a number of seconds."""
    if isinstance(content, float):
        return content
    match = _TIME_OF_DAY.fullmatch(str(content))
    if match is None:
        raise should_be("a time from 00:00 to 23:59")
    return int(match[1]) * _SECONDS["h"] + int(match[2]) * _SECONDS["min"]


def _moment(content: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(content))
    except ValueError:
        raise should_be("a date with a time, such as 2026-06-15 06:00+02:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _or_nothing(nothing: object) -> BeforeValidator:
    return BeforeValidator(lambda content: nothing if content == EMPTY else content)


def _by_time_of_day(content: object) -> object:
    if isinstance(content, str):
        return {"00:00": content}
    if not isinstance(content, dict) or not content:
        raise should_be("a value, or values by time of day")
    return content


def _shape(content: object) -> str:
    return "(word)" if isinstance(content, str) else "(block)"


type Percent = Annotated[float, number(0, 100)]
type Celsius = Annotated[float, number(-40, 80)]
type Volts = Annotated[float, number(1, 100)]
type Amperes = Annotated[float, number(0, 10_000)]
type Watts = Annotated[float, number(0, 1_000_000)]
type Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), wanted("a text")]
type YesOrNo = Annotated[bool, wanted("yes or no")]
type Duration = Annotated[float, PlainValidator(_duration)]  # in s
type TimeOfDay = Annotated[float, PlainValidator(_time_of_day)]  # in s
type Moment = Annotated[datetime, PlainValidator(_moment)]  # in UTC if it has no offset

# A list, and a block with any keys; both may be empty.
type Items[Item] = Annotated[tuple[Item, ...], _or_nothing(())]
type Named[Key, Value] = Annotated[dict[Key, Value], _or_nothing({})]
# One value, or several by the time of day.
type Daily[Value] = Annotated[dict[TimeOfDay, Value], BeforeValidator(_by_time_of_day)]
# One word, or a block or list instead.
type WordOr[Word, Block] = Annotated[
    Annotated[Word, Tag("(word)")] | Annotated[Block, Tag("(block)")], Discriminator(_shape)
]
# One number, or a range from which the seed chooses one.
type OneOrRange[Value: float] = WordOr[Value, Range[Value]]
