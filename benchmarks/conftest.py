"""What benchmarks that run under pytest have in common with the tests."""

from tests.conftest import pytest_addoption, pytest_asyncio_loop_factories

__all__ = ["pytest_addoption", "pytest_asyncio_loop_factories"]
