"""Names of files and folders that a user gives."""

from __future__ import annotations

import os
from pathlib import Path

from textgru.errors import InputError


def given_path(what: str, value: str | os.PathLike[str]) -> Path:
    """The path that a user gave for `what`. Raises InputError for an empty name (a shell's unset variable), one with a
    NUL in it, and what is no name."""
    name = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(name, str):
        raise InputError(f"{what}: expected a path, got {value!r}")
    if not name:
        raise InputError(f"{what}: the name is empty; give the path")
    if "\0" in name:
        raise InputError(f"{what}: {name!r} has a NUL character in it; give another path")
    return Path(name)


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path as a text that can be written anywhere: bytes that aren't UTF-8 as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
