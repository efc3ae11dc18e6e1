"""Text files: which they are, whether they can be read, and their text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import IO

from textgru.errors import InputError, shown
from textgru.text.encodings import Decoder, check_encoding
from textgru.text.file_hash import Hash
from textgru.text.file_search import is_pattern, matching, status, texts_in
from textgru.text.packed_files import unpacked
from textgru.text.spooling import STANDARD_INPUT, SpooledFile, check_source, spool, spool_standard_input

__all__ = [
    "STANDARD_INPUT", "SpooledFile", "check_files", "find_files", "normalise", "packing", "read_blocks", "spool",
    "spool_standard_input",
]  # fmt: skip

BLOCK_BYTES = 1 << 20
MARK = "\ufeff"  # of byte order, and a zero-width blank to Unicode before 3.2


def find_files(names: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that the names stand for: a directory for all text files in it and below (.txt, .txt.gz, .txt.zst; not
    the hidden ones), a pattern (*, ?, [], **) for what it matches, both in the order of their names; any other name
    for itself.

    Raises InputError for a directory or pattern without any, for what can't be read in it, and for what is no name.
    """
    files: list[Path] = []
    several: Iterable[object] = [names]
    if isinstance(names, Iterable) and not isinstance(names, (str, bytes, os.PathLike)):
        several = names
    for name in map(_name, several):
        path = Path(name)
        if name == STANDARD_INPUT:
            files.append(path)
        elif str(path) == STANDARD_INPUT:  # ./-
            files.append(path.absolute())
        elif is_pattern(name) and not _exists(path):
            files += matching(name)
        elif (there := status(path)) is not None and S_ISDIR(there.st_mode):
            files += texts_in(path)
        else:
            files.append(path)
    return files


def _name(name: object) -> str:
    """A file's name, which must be one."""
    if not isinstance(name, (str, os.PathLike)) or not isinstance(name := os.fspath(name), str):
        raise InputError(f"files: expected the name of a file (str or Path), got {name!r}")
    if not name:
        raise InputError('files: an empty name, as of a shell variable that is not set; "." is the current folder')
    if "\0" in name:
        raise InputError(f"{shown(name)}: no file can have this name: it has a NUL character")
    return name


def _exists(path: Path) -> bool:
    """Whether there is a file of exactly this name; one that can't be looked at counts as none."""
    try:
        return status(path) is not None
    except InputError:
        return False


def check_files(files: Sequence[str | Path], encoding: str) -> None:
    """Raises InputError unless there are files, a text can be read from each (or from standard input, "-"), and the
    encoding is one that files can have."""
    check_encoding(encoding)
    if not files:
        raise InputError("no text file given")
    for path in map(Path, files):
        check_source(path)


def normalise(text: str) -> str:
    """A text as it is trained on: \\r\\n and \\r are \\n, and byte order marks (U+FEFF) are left out, which stand
    within a text only where files were put together. Raises InputError for what isn't a str."""
    if not isinstance(text, str):
        raise InputError(f"text: expected a str, got {type(text).__name__}")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace(MARK, "")


def packing(path: Path | SpooledFile) -> str:
    """How a file is compressed, by its name: ".gz", ".zst" or ""."""
    suffix = Path(path).suffix.lower()
    return suffix if suffix in (".gz", ".zst") else ""


def read_blocks(
    paths: Sequence[Path | SpooledFile],
    encoding: str = "utf-8",
    on_read: Callable[[int], None] | None = None,
    on_hash: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """The text of the files, one after the other, in blocks, as `normalise` gives it; .gz and .zst files are
    decompressed. `on_read`, where given, is called with the bytes that a block took in its file, `on_hash` at the end
    of each file with the SHA-256 of what was read.

    Raises InputError for a file that can't be read or isn't text in this encoding (with the offset in bytes).
    """
    for path in paths:
        name = shown(path)
        decoder = Decoder(name, encoding)
        try:
            with open(path, "rb") as file:  # noqa: PTH123 (a SpooledFile is no Path)
                stored = _Stored(file, on_read, with_hash=on_hash is not None)
                with unpacked(name, packing(path), stored) as content:
                    while data := content.read(BLOCK_BYTES):
                        if text := decoder.decode(data).replace(MARK, ""):
                            yield text
                if text := decoder.decode(b"").replace(MARK, ""):
                    yield text
                if on_hash is not None:
                    on_hash(stored.hexdigest())
        except OSError as error:
            raise InputError(f"{name}: can't be read: {error.strerror or error}") from error


class _Stored:
    """A file whose bytes are counted and hashed as they are read."""

    def __init__(self, file: IO[bytes], on_read: Callable[[int], None] | None, *, with_hash: bool) -> None:
        self._file, self._on_read = file, on_read
        self._hash = Hash() if with_hash else None

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        if self._hash is not None:
            self._hash.update(data)
        if self._on_read is not None:
            self._on_read(len(data))
        return data

    def hexdigest(self) -> str:
        """The SHA-256 of all that is in the file, to its end."""
        assert self._hash is not None
        while self.read(BLOCK_BYTES):
            pass
        return self._hash.hexdigest()
