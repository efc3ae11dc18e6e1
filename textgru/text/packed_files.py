"""Compressed text files."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from textgru.errors import InputError

_ZSTD_BYTES = 1 << 14  # read at a time: one byte may stand for 30,000


class Readable(Protocol):
    """What has a read method, as files have."""

    def read(self, size: int, /) -> bytes: ...


@contextlib.contextmanager
def unpacked(shown: str, suffix: str, stored: Readable) -> Iterator[Readable]:
    """What is in an open file, decompressed where its suffix, .gz or .zst, says so; a read may give more than it was
    asked for. `shown` is the file's name in messages.

    Raises InputError for a damaged file, and for .zst without a library that reads it.
    """
    if suffix == ".zst":
        yield _ZstdReader(shown, stored)
    elif suffix == ".gz":
        try:
            with gzip.GzipFile(fileobj=stored, mode="rb") as file:  # type: ignore[call-overload]
                yield file
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{shown}: damaged gzip file: {error}") from error
    else:
        yield stored


class _ZstdReader:
    """The content of zstd frames. (The library's own reader takes a frame that is cut off for one that ends.)"""

    def __init__(self, shown: str, stored: Readable) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise InputError(
                f"{shown}: reading .zst needs the zstandard package (pip install zstandard); or decompress it first"
            ) from error
        self._shown, self._stored, self._error = shown, stored, zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: Any = None  # that is being read
        self._left = b""  # compressed bytes after a frame

    def read(self, size: int, /) -> bytes:
        pieces, got = [], 0
        while got < size:
            data = self._left or self._stored.read(_ZSTD_BYTES)
            if not data:
                if self._frame is not None:
                    raise InputError(f"{self._shown}: damaged zstd file: it ends in the middle")
                break
            self._left = b""
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            try:
                piece = self._frame.decompress(data)
            except self._error as error:
                raise InputError(f"{self._shown}: damaged zstd file: {error}") from error
            pieces.append(piece)
            got += len(piece)
            if self._frame.eof:
                self._left, self._frame = self._frame.unused_data, None
        return b"".join(pieces)
