"""Text files: which they are, whether they can be read, and their text."""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from textgru.errors import InputError

STANDARD_INPUT = "-"
BLOCK_BYTES = 1 << 20
TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")  # of the files that a directory stands for


def find_files(names: Sequence[str | Path]) -> list[Path]:
    """The files that the names stand for: a directory for all text files in it and below (.txt, .txt.gz, .txt.zst), a
    pattern (*, ?, [], **) for what it matches, both in the order of their names; any other name for itself.

    Raises InputError for a directory or pattern without any.
    """
    files: list[Path] = []
    for name in map(str, names):
        path = Path(name)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.name.endswith(TEXT_SUFFIXES) and file.is_file())
            if not found:
                raise InputError(f"{path}: no text file ({', '.join(TEXT_SUFFIXES)}) in it; name the files")
            files += found
        elif glob.has_magic(name) and not path.exists():
            matches = glob.iglob(name, recursive=True)  # noqa: PTH207 (a Path has no patterns from the root)
            found = sorted(file for file in map(Path, matches) if file.is_file())
            if not found:
                raise InputError(f"{name}: matches no file")
            files += found
        else:
            files.append(path)
    return files


def check_files(files: Sequence[str | Path], encoding: str) -> None:
    """Raises InputError unless there are files, each is readable or "-", and the encoding exists."""
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise InputError(f"encoding: {encoding!r} is not known; try utf-8, latin-1 or cp1252") from error
    if not files:
        raise InputError("no text file given")
    for path in map(Path, files):
        if str(path) == STANDARD_INPUT:
            continue
        try:
            with path.open("rb"):
                pass
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file") from error
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror}") from error


def read_blocks(
    paths: Sequence[Path], encoding: str = "utf-8", on_read: Callable[[int], None] | None = None
) -> Iterator[str]:
    """The text of the files, one after the other, in blocks; a byte order mark is dropped, \\r\\n and \\r become \\n.
    .gz and .zst files are decompressed. `on_read`, where given, is called with the bytes that a block took in its file.

    Raises InputError for a file that can't be read or isn't text in this encoding (with the offset in bytes).
    """
    for path in paths:
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
        offset, pending, first, reached = 0, 0, True, 0
        try:
            with path.open("rb") as stored, _unpacked(path, stored) as file:
                while True:
                    data = file.read(BLOCK_BYTES)
                    if on_read is not None:
                        before, reached = reached, stored.tell()
                        on_read(reached - before)
                    try:
                        text = decoder.decode(data, final=not data)
                    except UnicodeDecodeError as error:
                        at = offset - pending + error.start
                        raise InputError(
                            f"{path}: not {encoding} text: byte {at:,} ({error.reason}); "
                            "say what it is with --encoding, e.g. --encoding latin-1"
                        ) from error
                    offset += len(data)
                    pending = len(decoder.getstate()[0])
                    if first and text:
                        text, first = text.removeprefix("\ufeff"), False
                    if text:
                        yield text
                    if not data:
                        break
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{path}: damaged gzip file: {error}") from error
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror or error}") from error


def _unpacked(path: Path, stored: IO[bytes]) -> IO[bytes]:
    """What is in an open file, decompressed. Raises InputError for .zst without a library that reads it."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=stored))
    if path.suffix == ".zst":
        return _zstd(path, stored)
    return stored


def _zstd(path: Path, stored: IO[bytes]) -> IO[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise InputError(
            f"{path}: reading .zst needs the zstandard package (pip install zstandard); or decompress it first"
        ) from error
    reader: Any = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True)
    return cast(IO[bytes], _ZstdReader(path, reader))


class _ZstdReader:
    """A stream of decompressed bytes whose errors are an InputError."""

    def __init__(self, path: Path, reader: Any) -> None:
        self._path, self._reader = path, reader

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._reader.read(size))
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise InputError(f"{self._path}: damaged zstd file: {error}") from error

    def __enter__(self) -> _ZstdReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()


def spool_standard_input(path: Path) -> None:
    """Copies standard input to a file, because the text is read twice."""
    with path.open("wb") as file:
        while data := sys.stdin.buffer.read(BLOCK_BYTES):
            file.write(data)
