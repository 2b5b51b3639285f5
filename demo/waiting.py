"""Waiting for something to come true, with a limit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from .errors import DemoError

_PAUSE: Final = 0.2


async def until[T](look: Callable[[], Awaitable[T | None]], *, limit: float, otherwise: Callable[[], str]) -> T:
    """Look until there is something, and return it; after limit seconds a DemoError with the sentence of otherwise."""
    try:
        async with asyncio.timeout(limit):
            while (found := await look()) is None:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(_PAUSE)
            return found
    except TimeoutError:
        raise DemoError(otherwise()) from None
