"""The fuzzer itself, in a process of its own, which it ends when it is done.

Called with a target and the fuzzer's own options.
"""

from collections.abc import Sequence
import sys

import atheris

INSTRUMENTED = ("custom_components.smallbms_ng.protocol", "custom_components.smallbms_ng.connection.link", "emulator")


def main(arguments: Sequence[str]) -> None:
    """Fuzz one target."""
    with atheris.instrument_imports(include=INSTRUMENTED):
        from .targets import TARGETS  # noqa: PLC0415  # what is fuzzed has to be imported here
    name, *options = arguments
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
