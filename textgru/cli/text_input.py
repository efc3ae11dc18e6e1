"""Texts and lists of numbers that are given to a command."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click


def read_text(name: str, encoding: str) -> str:
    """The text of a file, or of standard input, "-". Raises InputError for what can't be read."""
    from textgru.text.files import check_files, read_blocks, spool

    check_files([name], encoding)
    with tempfile.TemporaryDirectory(prefix="textgru-") as folder:
        return "".join(read_blocks(spool([name], Path(folder)), encoding))


def integers(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[int] | None:
    """The callback of an option that is a list of integers, "3,17"."""
    if value is None:
        return None
    try:
        return [int(number) for number in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"expected numbers such as 4,8,16, got {value!r}") from error
