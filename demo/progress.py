"""Progress on standard error, in the look of the scripts."""

import sys

_BOLD, _RED, _PLAIN = "\033[1m", "\033[31m", "\033[0m"


def say(text: str) -> None:
    """Tell the next step."""
    _write(f"▸ {text}", _BOLD)


def detail(text: str) -> None:
    """Tell something about the step."""
    _write(f"  {text}", "")


def fail(text: str) -> None:
    """Tell why it is over."""
    _write(f"✗ {text}", _RED)


def _write(text: str, style: str) -> None:
    styled = f"{style}{text}{_PLAIN}" if style and sys.stderr.isatty() else text
    print(styled, file=sys.stderr, flush=True)
