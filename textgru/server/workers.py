"""Threads for what takes long, apart from those that begin texts: nobody's completion waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from starlette.requests import ClientDisconnect

from textgru.server.errors import RequestError

MOST_WAITING = 64

Result = TypeVar("Result")


class Workers:
    """Two threads. Raises RequestError (429) where too many wait for one."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, "textgru-worker")
        self._free = asyncio.Semaphore(2)
        self._waiting = 0

    async def run(
        self,
        function: Callable[..., Result],
        *arguments: object,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> Result:
        """What the function returns. It isn't called where `gone` says that the client is, when its turn comes: that
        raises ClientDisconnect."""
        if self._waiting >= MOST_WAITING:
            raise RequestError(429, "too many requests of this kind wait already; try again later", code="too_many")
        self._waiting += 1
        try:
            async with self._free:
                if gone is not None and await gone():
                    raise ClientDisconnect
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, partial(function, *arguments))
        finally:
            self._waiting -= 1
