"""Fuzz the readers: python -m reliability.fuzz, as scripts/fuzz calls it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
import re
import subprocess
import sys
import tempfile
from time import monotonic
from typing import Final

from .corpus import pack, store, stored, unpack

_ROOT: Final = Path(__file__).parents[2]
# What is kept of a failure.
FAILURES: Final = _ROOT / ".fuzz"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many inputs a target gets, of how many bytes at most."""

    inputs: int
    longest: int


PLANS: Final = {
    "decoder": Plan(inputs=10_000_000, longest=96),
    "session": Plan(inputs=2_000_000, longest=512),
    "registers": Plan(inputs=2_000_000, longest=128),
    "key": Plan(inputs=1_000_000, longest=128),
    "scenario": Plan(inputs=200_000, longest=2048),
    "state": Plan(inputs=100_000, longest=32),
    "recording": Plan(inputs=200_000, longest=512),
    "redaction": Plan(inputs=1_000_000, longest=512),
}
# Far more than any target may need, in MB and s.
_MEMORY: Final = 1024
_LONGEST: Final = 20
_MOST_KEPT: Final = 300
_STATUS: Final = re.compile(
    r"#(?P<inputs>\d+)\s+\w+\s+cov: (?P<branches>\d+).*?corp: (?P<corpus>\d+).*?rss: (?P<rss>\d+)Mb"
)


class FuzzFailedError(Exception):
    """Something did not hold; its text says what, and where the input is kept."""


def fuzz(target: str, inputs: int, *, seed: int, keep: bool) -> str:
    """Fuzz one target, and return in one line what came of it. Raises FuzzFailedError."""
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        corpus = Path(work) / "corpus"
        unpack(target, corpus)
        status = _last_status(_run(target, corpus, f"-runs={inputs}", f"-seed={seed}"))
        if keep:
            _keep(target, corpus)
    took = monotonic() - began
    return (
        f"{target}: {status['inputs']} inputs in {took:.0f} s, {status['branches']} branches, "
        f"at most {status['rss']} MB, nothing failed"
    )


def _run(target: str, corpus: Path, *options: str) -> Iterator[str]:
    """Run the fuzzer and yield what it says; what it says is shown when it fails."""
    FAILURES.mkdir(exist_ok=True)
    limits = (f"-max_len={PLANS[target].longest}", f"-rss_limit_mb={_MEMORY}", f"-timeout={_LONGEST}")
    command = (sys.executable, "-m", "reliability.fuzz.child", target, *options, *limits)
    said: list[str] = []
    with subprocess.Popen(
        (*command, f"-artifact_prefix={FAILURES}/{target}-", str(corpus)),
        cwd=_ROOT,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said = [*said[-40:], line]
            yield line
    if process.returncode:
        raise FuzzFailedError("".join(said) + f"{target} failed. The input is kept in {FAILURES.name}.")


def _last_status(lines: Iterator[str]) -> dict[str, str]:
    found = {"inputs": "0", "branches": "0", "rss": "0"}
    for line in lines:
        if match := _STATUS.search(line):
            found = match.groupdict()
    return found


def _keep(target: str, corpus: Path) -> None:
    """Store the shortest of what reached something new, besides what is stored."""
    found = sorted(pack(corpus), key=len)[:_MOST_KEPT]
    store(target, {*stored(target), *found})


def _arguments(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="scripts/fuzz", description="Feed what reads bytes with bytes that a fuzzer makes up.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(PLANS)}; all if left out")
    parser.add_argument("--inputs", type=int, help="how many for each target; otherwise as in docs/reliability.md")
    parser.add_argument("--seed", type=int, default=1, help="another one gives other inputs; 1 if left out")
    parser.add_argument("--keep", action="store_true", help="add what was found to the stored inputs")
    found = parser.parse_args(arguments)
    if unknown := [name for name in found.targets if name not in PLANS]:
        parser.error(f"there is no target {unknown[0]}; choose from {', '.join(PLANS)}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz what is asked for; return the exit code."""
    asked = _arguments(arguments)
    failed = False
    for target in asked.targets or PLANS:
        try:
            print(fuzz(target, asked.inputs or PLANS[target].inputs, seed=asked.seed, keep=asked.keep), flush=True)
        except FuzzFailedError as error:
            print(error, file=sys.stderr, flush=True)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
