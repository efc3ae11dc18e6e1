"""Standard output and error as any surroundings give them: closed, full, in another encoding, in no window at all."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path


def prepare_streams() -> None:
    """Makes every text writable: bytes of a file name that are no UTF-8 are written unchanged, a character that the
    encoding lacks as \\xNN. A stream that was closed before the start is replaced by one that discards."""
    codecs.register_error("textgru", _write_anyway)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="textgru")
    for size in ("COLUMNS", "LINES"):
        if size in os.environ and not (os.environ[size].isascii() and os.environ[size].strip("0").isdigit()):
            del os.environ[size]


def lead_nowhere() -> None:
    """Discards whatever is written to standard output from now on: nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # a stream that is no file
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    os.close(nowhere)


def _write_anyway(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    if all("\udc80" <= character <= "\udcff" for character in bad):
        return bytes(ord(character) - 0xDC00 for character in bad), error.end
    return codecs.backslashreplace_errors(error)
