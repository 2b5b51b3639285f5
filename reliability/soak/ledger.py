"""The books: what happened to the emulated devices, and what Home Assistant told of it. Times are in s of one clock."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# A code that stood for so long, in s, while the device was heard, has to be told.
STANDS: Final = 5.0
# Another radio, a connection or the code's own confirmation may take so long, in s, until an end is told.
LATE: Final = 60.0
# Nobody looked in between if two samples are further apart than this, in s.
_UNSEEN: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a device showed at one moment; heard is whether Home Assistant could hear it then."""

    at: float
    codes: frozenset[str]
    heard: bool


@dataclass(frozen=True, kw_only=True)
class Told:
    """An event that Home Assistant told: that a code came, or, with cleared, that it went."""

    at: float
    code: str
    cleared: bool


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """How long something stayed as it was."""

    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class CodeBooks:
    """What the books say of the codes of a device: how many had to be told, and what is wrong."""

    due: int
    told: int
    problems: tuple[str, ...]


def audit_codes(samples: Sequence[Sample], told: Sequence[Told]) -> CodeBooks:
    """Compare what a device showed with what was told of it."""
    codes = sorted({code for sample in samples for code in sample.codes} | {one.code for one in told})
    due, problems = 0, list[str]()
    for code in codes:
        mine = [one for one in told if one.code == code]
        stretches = tuple(standing(samples, code))
        due += len(stretches)
        problems += [f"{code} stood {_times(one)} untold" for one in stretches if not is_told(one, mine)]
        problems += [f"{code} was invented at {one.at:.1f} s" for one in mine if is_invented(one, samples)]
    return CodeBooks(due=due, told=len(told), problems=tuple(problems))


def standing(samples: Sequence[Sample], code: str) -> Iterator[Stretch]:
    """Yield when a code stood for long enough to be told, while the device was heard all the time."""
    begin: float | None = None
    last: Sample | None = None
    for sample in samples:
        seen = last is not None and sample.at - last.at <= _UNSEEN
        stands = code in sample.codes and sample.heard
        if begin is not None and last is not None and not (seen and stands):
            yield from _long_enough(begin, last.at)
            begin = None
        if stands and begin is None:
            begin = sample.at
        last = sample
    if begin is not None and last is not None:
        yield from _long_enough(begin, last.at)


def _long_enough(begin: float, end: float) -> Iterator[Stretch]:
    if end - begin > STANDS:
        yield Stretch(begin=begin, end=end)


def is_told(stretch: Stretch, told: Iterable[Told]) -> bool:
    """Return whether a code counted as standing at some time while it stood, given what was told of it."""
    before = [one for one in told if one.at <= stretch.begin]
    if before and not max(before, key=lambda one: one.at).cleared:
        return True
    return any(stretch.begin <= one.at <= stretch.end + 1 and not one.cleared for one in told)


def is_invented(event: Told, samples: Iterable[Sample]) -> bool:
    """Return whether a code was told to come that did not stand, nor had stood lately.

    Late is no invention: what is heard while Home Assistant starts is told when it is up.
    """
    if event.cleared:
        return False
    near = [sample for sample in samples if event.at - LATE <= sample.at <= event.at + 1]
    return bool(near) and not any(event.code in sample.codes for sample in near)


def _times(stretch: Stretch) -> str:
    return f"from {stretch.begin:.1f} to {stretch.end:.1f} s"


@dataclass(frozen=True, kw_only=True)
class EnergyBooks:
    """Energy in Wh, that flowed and that was counted, and by how much they may differ."""

    name: str
    flowed: float
    counted: float
    allowed: float

    @property
    def problem(self) -> str | None:
        """What is wrong, as a sentence; None if nothing is."""
        if abs(self.flowed - self.counted) <= self.allowed:
            return None
        return f"{self.name}: {self.counted:.0f} Wh were counted, {self.flowed:.0f} Wh flowed"


# Of what flowed.
ENERGY_SHARE: Final = 0.01
# Both counters show whole Wh.
_RESOLUTION: Final = 2.0
# So many Ah may have moved since they were last recorded when Home Assistant is killed.
_BRIDGED_AH: Final = 0.6


def audit_energy(name: str, *, flowed: float, counted: float, gaps: int, voltage: float) -> EnergyBooks:
    """Compare energies in Wh, given how often Home Assistant was away, at the voltage of the bank."""
    allowed = ENERGY_SHARE * flowed + _RESOLUTION + gaps * _BRIDGED_AH * voltage
    return EnergyBooks(name=name, flowed=flowed, counted=counted, allowed=allowed)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What a process used at first and at last, and by how much more is still no growth."""

    name: str
    first: float
    last: float
    allowed: float

    @property
    def problem(self) -> str | None:
        """What is wrong, as a sentence; None if nothing is."""
        if self.last - self.first <= self.allowed:
            return None
        return f"{self.name} grew from {self.first:g} to {self.last:g}"
