"""The comparison as text for a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from emulator.comparison.findings import Judgment, Verdict

# What is news comes first.
_ORDER = (Verdict.CONTRADICTED, Verdict.CONFIRMED, Verdict.NOT_SEEN)


def report(judgments: Iterable[Judgment]) -> str:
    """Return every assumption under its verdict; those that are contradicted with the bytes that do so."""
    everything = tuple(judgments)
    by_verdict = {verdict: [one for one in everything if one.verdict is verdict] for verdict in _ORDER}
    blocks = ["\n".join(_block(verdict, some)) for verdict, some in by_verdict.items() if some]
    counts = ", ".join(f"{len(some)} {verdict}" for verdict, some in by_verdict.items())
    return "\n\n".join((*blocks, f"{len(everything)} assumptions: {counts}."))


def _block(verdict: Verdict, judgments: Sequence[Judgment]) -> Iterator[str]:
    yield f"{verdict.capitalize()}:"
    for judgment in judgments:
        assumption = judgment.assumption
        yield f"  {assumption.id}: {assumption.sentence} ({assumption.grade})"
        if verdict is Verdict.CONTRADICTED:
            yield f"      {judgment.proof}"
