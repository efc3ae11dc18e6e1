"""Signals that end a training: Ctrl-C, and those of a system that shuts down or a terminal that closes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(BaseException):
    """A signal to end the process has come; an exception, so that files and locks are released on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within it, a signal that ends the process raises Terminated, as Ctrl-C raises KeyboardInterrupt."""
    with _handled(ENDING, _raise):
        yield


@contextlib.contextmanager
def asked(stop: Callable[[int], None]) -> Iterator[None]:
    """Within it, the first signal, or Ctrl-C, calls `stop` with its number; the next one ends the process at once."""

    def first(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for ending in ENDING:
            signal.signal(ending, _raise)
        stop(number)

    with _handled((signal.SIGINT, *ENDING), first):
        yield


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


@contextlib.contextmanager
def _handled(numbers: tuple[signal.Signals, ...], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {}
    for number in numbers:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):  # ignored, as nohup wants it; or not Python's
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
