"""A command that mpiexec started several times: rank 0 prints, the others are silent, and all end together."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import click

from textgru.cli.signals import asked
from textgru.distributed.ranks import Ranks
from textgru.errors import TextgruError


def share_threads(ranks: Ranks) -> None:
    """Sets the threads of this rank, unless --threads or OMP_NUM_THREADS did."""
    context = click.get_current_context()
    if "OMP_NUM_THREADS" not in os.environ and "threads" not in context.meta.get("textgru.given", ()):
        ranks.set_threads()


@contextlib.contextmanager
def leading(ranks: Ranks) -> Iterator[None]:
    """Around what rank 0 does: the others end when it does."""
    share_threads(ranks)
    try:
        yield
    except BaseException as error:
        ranks.exit_code = _exit_code(error)
        raise
    finally:
        ranks.let_go(ranks.exit_code)


def follow(ranks: Ranks) -> None:
    """What a rank other than 0 does. It prints an error only if it is alone with it."""
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
    if isinstance(error, KeyboardInterrupt):
        return 130
    return code if isinstance(code, int) else 1
