"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from textgru.errors import StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside, flushes to the disk and renames into place. Raises StorageError; then the old file stays."""
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which is renamed into place at the end. Whatever is raised before, the old file stays;
    raises StorageError where it can't be written."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise StorageError(f"{path}: can't be written: {error.strerror or error}") from error
        raise


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system has them, else a copy. Raises OSError where there is nothing to link to, the
    target exists, or there is no room; then no target is left."""
    try:
        os.link(source, target)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:
        try:
            shutil.copyfile(source, target)
            with target.open("rb+") as file:
                os.fsync(file.fileno())
        except OSError:
            target.unlink(missing_ok=True)
            raise
