"""What speaks for and against an assumption."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
import json

from emulator.comparison.observed import Observed
from emulator.reading.state import JsonValue


class Verdict(StrEnum):
    """What a recording makes of an assumption."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    NOT_SEEN = "not seen"


class Grade(StrEnum):
    """On what evidence something is assumed."""

    LIVE = "live"
    """Seen on a real Victron device that its owner recorded."""
    PUBLISHED = "published"
    """Published by Victron, as a document or as code."""
    DEDUCED = "deduced"
    """Deduced from what is published."""
    ASSUMED = "assumed"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that speaks for an assumption, or against it. proof: the bytes, and where they are."""

    agrees: bool
    proof: str


type Findings = Iterator[Finding]
type Check = Callable[[Observed], Findings]


def finding(agrees: bool, proof: object) -> Finding:
    """Return a finding."""
    return Finding(agrees=agrees, proof=str(proof))


def unless_learned(check: Check, key: str, needed: JsonValue) -> Check:
    """Return a check that also looks at what the integration remembers to be needed.

    It may have learned that over a connection which is not in the recording any more.
    """

    def both(observed: Observed) -> Findings:
        yield from check(observed)
        if observed.learned.get(key) == needed:
            yield finding(agrees=False, proof=f"{key} is {json.dumps(needed)} (remembered by the integration)")

    return both


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """Something that is assumed of the device. check: what a recording has for or against it; None where none can."""

    id: str
    sentence: str
    grade: Grade
    check: Check | None = None

    def judge(self, observed: Observed) -> Judgment:
        """Return what a recording makes of it: one thing against it is enough."""
        findings = [] if self.check is None else sorted(self.check(observed), key=lambda found: found.agrees)
        if not findings:
            return Judgment(assumption=self, verdict=Verdict.NOT_SEEN, proof="")
        first = findings[0]
        verdict = Verdict.CONFIRMED if first.agrees else Verdict.CONTRADICTED
        return Judgment(assumption=self, verdict=verdict, proof=first.proof)


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """What a recording makes of an assumption, and by which bytes."""

    assumption: Assumption
    verdict: Verdict
    proof: str
