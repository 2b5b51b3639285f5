"""Look how many small changes of the code the tests notice: python -m reliability.mutate."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
import sys
from typing import Final

from .mutants import Mutant, mutants
from .trial import ROOT, Outcome, Trials

_PROTOCOL: Final = "custom_components/smallbms_ng/protocol"

# Each module with the tests that are to notice, those first that know it best. Tests that only know it through Home
# Assistant are left out: they take a hundred times longer.
MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    f"{_PROTOCOL}/advertisement.py": (
        *("tests/protocol/test_advertisement.py", "tests/protocol/test_headers.py", "tests/protocol/test_key_trust.py"),
        *("tests/protocol/test_captures.py", "tests/reliability/test_targets.py"),
    ),
    f"{_PROTOCOL}/codes.py": ("tests/protocol/test_codes.py", "tests/protocol/test_advertisement.py"),
    f"{_PROTOCOL}/energy.py": ("tests/protocol/test_energy.py", "tests/protocol/test_reserve.py"),
    f"{_PROTOCOL}/payloads.py": ("tests/protocol/test_registers.py", "tests/reliability/test_targets.py"),
    f"{_PROTOCOL}/quantities.py": (
        *("tests/protocol/test_quantities.py", "tests/protocol/test_significance.py"),
        "tests/protocol/test_advertisement.py",
    ),
    f"{_PROTOCOL}/record_filter.py": (
        *("tests/protocol/test_flag_changes.py", "tests/protocol/test_confirmation.py"),
        *("tests/protocol/test_nonce_order.py", "tests/protocol/test_key_trust.py"),
    ),
    f"{_PROTOCOL}/registers.py": (
        *("tests/protocol/test_registers.py", "tests/protocol/test_thresholds.py", "tests/protocol/test_session.py"),
        "tests/reliability/test_targets.py",
    ),
    f"{_PROTOCOL}/session.py": ("tests/protocol/test_session.py", "tests/reliability/test_targets.py"),
    f"{_PROTOCOL}/system.py": ("tests/protocol/test_system.py",),
    "emulator/bms/rules.py": ("tests/emulator/test_rules.py", "tests/emulator/test_bms.py"),
    "emulator/bms/monitor.py": ("tests/emulator/test_monitor.py", "tests/emulator/test_bms.py"),
}


def _try(module: str, sample: int | None, seed: int) -> tuple[Counter[Outcome], list[Mutant]]:
    """Try the mutants of a module; return how many ended how, and which survived."""
    path = ROOT / module
    tests = [test for test in MODULES[module] if (ROOT / test).exists()]
    trials = Trials(path, tests)
    took = trials.calibrate()
    found = list(mutants(path.read_text()))
    chosen = found if sample is None or sample >= len(found) else Random(seed).sample(found, sample)
    print(f"{module}: {len(chosen)} of {len(found)} mutants, {took:.1f} s without a change", flush=True)
    counted, survivors = Counter[Outcome](), list[Mutant]()
    for mutant in chosen:
        outcome = trials.run(mutant.source)
        counted[outcome] += 1
        if outcome is Outcome.SURVIVED:
            survivors.append(mutant)
            print(f"  survived: {mutant.place}\n{mutant.change}", flush=True)
    return counted, survivors


def _share(counted: Counter[Outcome]) -> str:
    total = counted.total()
    killed = total - counted[Outcome.SURVIVED]
    return f"{killed} of {total} noticed ({100 * killed / total:.1f} %)" if total else "nothing to try"


def _arguments(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="scripts/mutate", description="Look how many small changes of the code tests notice.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="names of files, such as session; otherwise all")
    parser.add_argument("--sample", type=int, help="try only so many mutants of each, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1, help="1 if left out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what is asked for; return the exit code."""
    asked = _arguments(arguments)
    wanted = [module for module in MODULES if not asked.modules or Path(module).stem in asked.modules]
    if not wanted:
        print(f"Choose from {', '.join(Path(module).stem for module in MODULES)}.", file=sys.stderr)
        return 2
    everything = Counter[Outcome]()
    for module in wanted:
        counted, _survivors = _try(module, asked.sample, asked.seed)
        everything += counted
        print(f"{module}: {_share(counted)}", flush=True)
    print(f"All: {_share(everything)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
