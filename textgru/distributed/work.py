"""Work that rank 0 hands to all ranks, question by question: it leads, the others help until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from textgru.core import set_num_threads
from textgru.distributed.ranks import RankError, Ranks
from textgru.errors import TextgruError

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Worker = Callable[[Ranks, Question], Answer]


@dataclass(frozen=True)
class _Begin:
    worker: Worker[Any, Any]
    threads: int | None


@dataclass(frozen=True)
class _Ask:
    question: Any


class _Over:
    """With this worker."""


@contextmanager
def shared(
    ranks: Ranks, worker: Worker[Question, Answer], threads: int | None
) -> Iterator[Callable[[Question], list[Answer]]]:
    """On rank 0: what hands a question to the worker of each rank, and returns their answers, in the order of ranks.

    The others have copies of `worker`, by pickle, as it is now; what it keeps from one question to the next is its own.
    `threads` are those of each rank; None: the CPUs of a machine are shared. Raises what the worker here does, or
    RankError for one elsewhere.
    """
    _tell(ranks, _Begin(worker, threads))
    _set_threads(ranks, threads)

    def ask(question: Question) -> list[Answer]:
        _tell(ranks, _Ask(question))
        return _answers(ranks, worker, question)

    try:
        yield ask
    finally:
        if not ranks.abandoned:
            _tell(ranks, _Over())


def end(ranks: Ranks, exit_code: int) -> None:
    """On rank 0: there is no more work."""
    if not ranks.abandoned:
        _tell(ranks, exit_code)
        ranks.parted = True


def help_along(ranks: Ranks) -> int:
    """On the others: works with rank 0 until it has ended; its exit code."""
    worker: Worker[Any, Any] | None = None
    while True:
        told = _tell(ranks, None)
        if isinstance(told, _Begin):
            worker = told.worker
            _set_threads(ranks, told.threads)
        elif isinstance(told, _Ask) and worker is not None:
            _answers(ranks, worker, told.question)
        elif isinstance(told, _Over):
            worker = None
        else:
            ranks.parted = True
            return told if isinstance(told, int) else 1


@contextmanager
def _together(ranks: Ranks) -> Iterator[None]:
    """Around what all ranks do at once: who is torn out of it can't go on with the others."""
    try:
        ranks.meet()
        yield
    except BaseException:
        ranks.abandoned = True
        raise


def _tell(ranks: Ranks, value: object) -> object:
    with _together(ranks):
        return ranks.told(value)


def _set_threads(ranks: Ranks, threads: int | None) -> None:
    if threads is not None:
        set_num_threads(threads)
        return
    with _together(ranks):
        ranks.set_threads()


def _answers(ranks: Ranks, worker: Worker[Question, Answer], question: Question) -> list[Answer]:
    """Those of all ranks, on rank 0, which alone raises a failure: the others hear of it by the exit code."""
    answer: Answer | None = None
    error: BaseException | None = None
    try:
        answer = worker(ranks, question)
    except BaseException as raised:  # Ctrl-C as well: the others wait
        error = raised
    failed = None
    if error is not None:
        known = isinstance(error, (TextgruError, OSError, MemoryError)) and str(error)
        what = str(error) if known else f"{type(error).__name__}: {error}"
        failed = (f"{ranks}: {what}", getattr(error, "exit_code", 1))
    with _together(ranks):
        found = ranks.gather_first((answer, failed))
    if error is not None and not ranks.rank:
        raise error
    for _, failed in found:
        if failed is not None:
            raise RankError(*failed)
    return [done for done, _ in found]  # type: ignore[misc]
