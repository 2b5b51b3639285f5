"""Waiting for what has no event of its own."""

import asyncio
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 60.0


async def until(condition: Callable[[], object]) -> None:
    """Let others work until this is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event, that is the point
            await asyncio.sleep(0.001)
