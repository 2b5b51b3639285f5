"""Options of a run of the tests."""

from typing import Final

WITHOUT_STATE_OF_CHARGE: Final = "--without-state-of-charge"
RELOADS: Final = "--reloads"
WRITE_RECORDINGS: Final = "--write-recordings"
