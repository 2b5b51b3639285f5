"""What all tests need."""

from collections.abc import Callable, Mapping

import pytest

# Before Home Assistant's test kit mounts a custom_components of its own.
import custom_components.smallbms_ng  # noqa: F401

from .event_loop import PatientLoop
from .options import RELOADS, WITHOUT_STATE_OF_CHARGE, WRITE_RECORDINGS


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer a run with a device like one that an owner has reported, and one that reloads an entry more often."""
    parser.addoption(
        WITHOUT_STATE_OF_CHARGE,
        action="store_true",
        help="let the emulated devices of tests/integration and tests/blueprints not advertise their state of charge",
    )
    parser.addoption(RELOADS, type=int, default=10, help="how often tests/integration/test_start_stop.py reloads")
    parser.addoption(
        WRITE_RECORDINGS,
        action="store_true",
        help="let tests/integration/test_replay.py write the recordings of the personalities to tests/recordings",
    )


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], PatientLoop]]:
    """Let time-outs count only the time in which nothing happens."""
    return {"patient": PatientLoop}
