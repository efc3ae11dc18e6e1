"""Texts that can be read only once (standard input, pipes), copied to a file because a text is read twice."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISREG, S_ISSOCK
from typing import IO

from textgru.errors import InputError, StorageError, shown
from textgru.text.file_search import status

STANDARD_INPUT = "-"
_DEVICES = Path("/dev")  # where names such as /dev/stdin may stand for something open already, read from where it is
_BLOCK_BYTES = 1 << 20
_PIECE_SECONDS = 0.2


@dataclass(frozen=True)
class SpooledFile(os.PathLike[str]):
    """A copy. It is opened as the file `path`, and a message calls it what it is a copy of: `str(...)`."""

    path: Path
    name: str

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return self.name


def check_source(path: Path) -> None:
    """Raises InputError unless a text can be read from there: an existing file or pipe, or "-" for standard input. A
    pipe isn't opened: who writes to it would be told that its reader has gone."""
    if str(path) == STANDARD_INPUT:
        return
    there = status(path)
    if there is None:
        link = f"a link to {shown(path.readlink())}, which isn't there" if path.is_symlink() else "no such file"
        raise InputError(f"{shown(path)}: {link}")
    if S_ISDIR(there.st_mode):
        raise InputError(f"{shown(path)}: is a folder; name the files in it")
    if S_ISSOCK(there.st_mode):
        raise InputError(f"{shown(path)}: is a socket, not a text")
    if _is_device(there) and not _is_terminal_of_standard_input(there):
        raise InputError(f"{shown(path)}: is a device, not a text")
    if S_ISREG(there.st_mode):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise InputError(f"{shown(path)}: can't be read: {error.strerror}") from error


def spool(files: Sequence[str | Path], folder: Path) -> list[Path | SpooledFile]:
    """The same files, where those that can be read only once are copies in the folder; one that is named twice is one
    copy.

    Raises InputError for what can't be read, StorageError if there is no room for it.
    """
    copies: dict[tuple[int, int] | None, SpooledFile] = {}
    paths: list[Path | SpooledFile] = []
    for path in map(Path, files):
        piped = str(path) == STANDARD_INPUT
        there = None if piped else status(path)
        if not piped and (there is None or (S_ISREG(there.st_mode) and _DEVICES not in path.parents)):
            paths.append(path)
            continue
        source = _standard_input() if there is None else there
        same = None if source is None else (source.st_dev, source.st_ino)
        if same not in copies:
            target = folder / f"spooled-{len(copies) + 1}{'' if piped else path.suffix}"
            if piped:
                spool_standard_input(target)
            else:
                _spool_pipe(path, target)
            copies[same] = SpooledFile(target, "standard input" if piped else str(path))
        paths.append(copies[same])
    return paths


def spool_standard_input(path: Path) -> None:
    """Copies standard input to a file.

    Raises InputError if it is closed, or can't be read to an end, StorageError if there is no room for it.
    """
    _copy("standard input", standard_input(), path)


def standard_input() -> Iterator[bytes]:
    """What comes from standard input, as it comes. Raises InputError if it is closed, or can't be read to an end."""
    stream = sys.stdin
    source = None if stream is None or stream.closed else getattr(stream, "buffer", None)
    if source is None:
        raise InputError("standard input: is closed; give a file, or send a text to it")
    there = _standard_input()
    if there is not None:
        if _is_device(there) and not stream.isatty() and there.st_rdev != os.stat(os.devnull).st_rdev:  # noqa: PTH116
            raise InputError("standard input: is a device, not a text")
        os.set_blocking(stream.fileno(), True)  # where who started us left it otherwise, a pause would be the end
    return _blocks("standard input", source)


def _spool_pipe(path: Path, target: Path) -> None:
    try:
        source = path.open("rb")
    except OSError as error:
        raise InputError(f"{shown(path)}: can't be read: {error.strerror}") from error
    with source:
        _copy(shown(path), _blocks(shown(path), source), target)


def _copy(shown_name: str, blocks: Iterator[bytes], target: Path) -> None:
    try:
        with target.open("wb") as file:
            for data in blocks:
                file.write(data)
    except OSError as error:
        raise StorageError(f"{shown_name}: no copy of it can be made: {error.strerror}") from error


def _blocks(shown_name: str, source: IO[bytes]) -> Iterator[bytes]:
    """What there is to read, as it comes: a terminal's end is told only once."""
    try:
        while True:
            _wait_for(source)
            if not (data := source.read1(_BLOCK_BYTES)):  # type: ignore[attr-defined]
                return
            yield data
    except OSError as error:
        raise InputError(f"{shown_name}: can't be read: {error.strerror}") from error


def _wait_for(source: IO[bytes]) -> None:
    """Until there is something to read, or the end. A signal that comes just before a read that blocks would be noticed
    only after it, so that one waits in short pieces."""
    try:
        descriptor = source.fileno()
        while not select.select([descriptor], [], [], _PIECE_SECONDS)[0]:
            pass
    except (AttributeError, ValueError, OSError):  # not what select knows: a stream that is no file
        return


def _standard_input() -> os.stat_result | None:
    """What standard input is; None where it is nothing that the system has open."""
    try:
        return os.fstat(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def _is_device(there: os.stat_result) -> bool:
    return S_ISCHR(there.st_mode) or S_ISBLK(there.st_mode)


def _is_terminal_of_standard_input(there: os.stat_result) -> bool:
    own = _standard_input()
    return own is not None and there.st_rdev == own.st_rdev and sys.stdin.isatty()
