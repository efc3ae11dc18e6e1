"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
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
    """A file to write to, which is renamed into place at the end. Whatever is raised before, the old file stays. A
    device, a pipe and what is a standard stream already (/dev/stdout) are never replaced: they are written to. Raises
    StorageError where it can't be written."""
    partial: Path | None = None
    try:
        if (stream := standing_stream(path)) is not None:
            with stream:
                yield stream
            return
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink()
        if isinstance(error, OSError):
            raise StorageError(f"{path}: can't be written: {error.strerror or error}") from error
        raise


def standing_stream(path: Path) -> IO[bytes] | None:
    """What stands at this path, opened, where it is no file to be replaced: a character device, a pipe, or the file
    that is standard output or error now, which goes on where it is. Else None. Raises OSError; StorageError for a
    disk."""
    try:
        status = path.stat()
    except OSError:
        return None
    for number in (1, 2):
        with contextlib.suppress(OSError):  # it may be closed
            if os.path.samestat(status, os.fstat(number)):
                return os.fdopen(os.dup(number), "wb")
    if stat.S_ISBLK(status.st_mode):
        raise StorageError(f"{path}: can't be written: it is a disk, not a file")
    return path.open("wb") if stat.S_ISCHR(status.st_mode) or stat.S_ISFIFO(status.st_mode) else None


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
