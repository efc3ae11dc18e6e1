"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from textgru.errors import StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside, flushes to the disk and renames into place. Raises StorageError; then the old file stays."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StorageError(f"{path}: can't be written: {error.strerror or error}") from error


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
