"""Long calls of other libraries that Ctrl-C would not reach before their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

SECONDS = 0.1  # between two looks at whether a signal has come
SECONDS_TO_END = 1.0


class _StoppedError(Exception):
    """Nobody waits any more."""


def feed(
    work: Callable[[Iterator[Item]], None], items: Iterable[Item], on_wait: Callable[[], None] | None = None
) -> None:
    """Runs work(items) on another thread, while this one waits and can be interrupted.

    An interrupt ends the work at its next item; if it has had all items, it runs on in the background until its end or
    that of the process. `on_wait` is called time and again once the work has had all items. What the work raises is
    raised here.
    """
    stop, all_had, ended = threading.Event(), threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def until_stopped() -> Iterator[Item]:
        for item in items:
            if stop.is_set():
                raise _StoppedError
            yield item
        all_had.set()

    def run() -> None:
        try:
            work(until_stopped())
        except BaseException as error:  # whatever it is, it is raised where it is waited for
            failures.append(error)
        ended.set()

    try:
        threading.Thread(target=run, name="textgru-learning", daemon=True).start()
        while not ended.wait(SECONDS):
            if on_wait is not None and all_had.is_set():
                on_wait()
    finally:
        stop.set()
        if not all_had.is_set():
            ended.wait(SECONDS_TO_END)
    if failures:
        raise failures[0]
