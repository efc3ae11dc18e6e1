"""A command that mpiexec started several times: rank 0 prints, the others are silent, and all end together."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import click

from textgru.cli.options import GIVEN
from textgru.cli.signals import ENDING, asked
from textgru.cli.streams import lead_nowhere
from textgru.distributed.ranks import Ranks
from textgru.distributed.work import Worker, end, help_along, shared
from textgru.errors import TextgruError

Question = TypeVar("Question")
Answer = TypeVar("Answer")

PATIENCE = 3  # seconds that a rank other than 0 goes on after a signal: rank 0 may have had it, too, and end all
BY_ITSELF = "train"  # the command that sees to its ranks by itself
_ranks = Ranks()  # of the command that runs


class _NoTerminal(io.TextIOWrapper):
    """A stream that mpiexec passes on: it looks like a terminal, whatever stands at its end."""

    def isatty(self) -> bool:
        return False


def ranks() -> Ranks:
    """Those that share the command that runs."""
    return _ranks


@contextlib.contextmanager
def led(arguments: Sequence[str]) -> Iterator[None]:
    """Around a command of these arguments, on every process: rank 0 alone runs it, the others help where it shares its
    work (`work_shared`), and end as it does."""
    from textgru.distributed.launch import ranks as found

    global _ranks
    together = found()
    if together.rank:
        lead_nowhere()
    if next((word for word in arguments if not word.startswith("-")), None) == BY_ITSELF or together.size == 1:
        try:
            yield
        except click.UsageError:
            if not together.rank:
                raise
            raise SystemExit(2) from None
        return
    if together.rank:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 has had it, too
        if hasattr(signal, "alarm"):
            for number in ENDING:
                signal.signal(number, lambda *_: signal.alarm(PATIENCE))
        raise SystemExit(help_along(together))
    _ranks = together
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _NoTerminal(
                stream.detach(), stream.encoding, stream.errors, line_buffering=stream.line_buffering
            ))  # fmt: skip
    code = 0
    try:
        yield
    except BaseException as error:
        code = _exit_code(error)
        raise
    finally:
        _ranks = Ranks()
        together.exit_code = code
        end(together, code)


def work_shared(worker: Worker[Question, Answer]) -> AbstractContextManager[Callable[[Question], list[Answer]]]:
    """What hands questions to this worker on every rank (textgru.distributed.work.shared)."""
    from textgru.core import get_num_threads

    return shared(_ranks, worker, get_num_threads() if _threads_given() else None)


def _threads_given() -> bool:
    context = click.get_current_context()
    return "OMP_NUM_THREADS" in os.environ or "threads" in context.meta.get(GIVEN, ())


def share_threads(ranks: Ranks) -> None:
    """Sets the threads of this rank, unless --threads or OMP_NUM_THREADS did."""
    if not _threads_given():
        ranks.set_threads()


@contextlib.contextmanager
def leading(ranks: Ranks) -> Iterator[None]:
    """Around the training that rank 0 leads: the others end when it does."""
    share_threads(ranks)
    try:
        yield
    except BaseException as error:
        ranks.exit_code = _exit_code(error)
        raise
    finally:
        ranks.let_go(ranks.exit_code)


def follow(ranks: Ranks) -> None:
    """What a rank other than 0 does in a training. It prints an error only if it is alone with it."""
    from textgru.training.following import follow as train_along

    share_threads(ranks)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 has had it, too
    try:
        with contextlib.ExitStack() as stack:
            code = train_along(ranks, lambda trainer: stack.enter_context(asked(lambda _: trainer.stop())))
    except (TextgruError, MemoryError, OSError) as error:
        ranks.exit_code = code = _exit_code(error)
        if not ranks.all_ended():
            raise type(error)(f"{ranks}: {error}") from error
    raise SystemExit(code)


def _exit_code(error: BaseException) -> int:
    code = getattr(error, "exit_code", None)
    if code is None and isinstance(error, SystemExit):
        code = error.code or 0
    if isinstance(error, KeyboardInterrupt):
        return 130
    return code if isinstance(code, int) else 1
