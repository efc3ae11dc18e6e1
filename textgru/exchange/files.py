"""What an export writes: a file, or a folder of files, whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from textgru.atomic_files import write_atomically
from textgru.errors import InputError, StorageError


def template(name: str) -> str:
    """The text of a file that is exported as it is, or nearly."""
    return files("textgru.exchange").joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def write_file(path: Path, content: bytes, *, overwrite: bool) -> None:
    """Raises InputError where there is something already that isn't to be replaced, StorageError."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists; choose another --out, or replace it with --overwrite")
    write_atomically(path, content)


def write_folder(path: Path, contents: Mapping[str, bytes], *, overwrite: bool) -> None:
    """A folder with these files: put together beside its place and renamed into it. With `overwrite` the files of an
    earlier export are replaced, and others stay. Raises InputError and StorageError as write_file."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; name a folder")
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise InputError(f"{path}: holds files; choose another --out, or replace them with --overwrite")
        for name, content in contents.items():
            write_atomically(path / name, content)
        return
    try:
        beside = path.with_name(f".{path.name}.new")
        _remove(beside, contents)  # of an export that was killed
        beside.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"{path}: can't be written: {error.strerror}") from error
    try:
        for name, content in contents.items():
            write_atomically(beside / name, content)
        beside.rename(path)
    except OSError as error:
        raise StorageError(f"{path}: can't be written: {error.strerror}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Removes these files, also where they were begun, and the folder, if there is nothing else in it."""
    for name in names:
        for file in (folder / name, folder / f".{name}.partial"):
            file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
