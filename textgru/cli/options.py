"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


GIVEN = "textgru.given"  # in a context's meta: the options that are not passed on, but were given


def _set_threads(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    if value is not None:
        context.meta.setdefault(GIVEN, set()).add(parameter.name)
        from textgru.core import set_num_threads

        set_num_threads(value)


def threads_option(function: Function) -> Function:
    """--threads (-t): sets the core's thread count."""
    return click.option(
        "--threads", "-t", type=click.IntRange(1, 1024), expose_value=False, callback=_set_threads,
        help="CPU threads.  [default: all CPUs, or OMP_NUM_THREADS]",
    )(function)  # fmt: skip


def precision_option(function: Function) -> Function:
    """--precision of the commands that use a trained model."""
    return click.option(
        "--precision", type=click.Choice(["fp32", "int8"]),
        help="int8: weights as 8-bit integers, faster.  [default: as the run is stored]",
    )(function)  # fmt: skip
