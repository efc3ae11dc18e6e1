"""Work that goes on in a thread beside other work."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any


class InBackground:
    """Calls `work`, one call after the other, in a thread that doesn't keep the process from ending."""

    def __init__(self, work: Callable[..., None]) -> None:
        self._work = work
        self._begun: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._count = 0  # of calls that weren't waited for
        Thread(target=self._run, daemon=True).start()

    def begin(self, *arguments: Any) -> None:
        """A call with these arguments comes after those begun before."""
        self._count += 1
        self._begun.put(arguments)

    def finish(self) -> None:
        """Waits for all calls that were begun. Raises what one of them raised."""
        errors = [self._done.get() for _ in range(self._count)]
        self._count = 0
        for error in errors:
            if error is not None:
                raise error

    def _run(self) -> None:
        while True:
            arguments = self._begun.get()
            try:
                self._work(*arguments)
            except BaseException as error:
                self._done.put(error)
            else:
                self._done.put(None)
