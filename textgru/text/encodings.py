"""Encodings of text files: which may be used, and what to say of bytes that aren't in one."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable

from textgru.errors import InputError
from textgru.text.file_kinds import HEAD, kind_of, looks_binary

# Text encodings to Python, but of names, or of source code, not of files.
_NOT_OF_FILES = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
_SURROGATE = re.compile("[\ud800-\udfff]")
_AROUND = HEAD // 2  # bytes before and after an error that say what there is


def check_encoding(encoding: object) -> str:
    """The name of an encoding as Python's codecs have it, "utf-8" for "UTF8". Raises InputError unless it is one that
    files can have."""
    try:
        if not isinstance(encoding, str):
            raise LookupError(encoding)
        found = codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise InputError(f"encoding: {encoding!r} is not known; try utf-8, latin-1 or cp1252") from error
    name = found.name.replace("_", "-")
    if not getattr(found, "_is_text_encoding", True) or name in _NOT_OF_FILES or found.incrementaldecoder is None:
        raise InputError(f"encoding: {encoding!r} is not one of text files; try utf-8, latin-1 or cp1252")
    return name


class Decoder:
    """Decodes a file block by block; \\r\\n and \\r become \\n. `shown` is the file's name in messages."""

    def __init__(self, shown: str, encoding: str) -> None:
        """Raises InputError for an encoding that files can't have."""
        self._shown, self._encoding = shown, encoding
        self._name = check_encoding(encoding)
        make: Callable[[], codecs.IncrementalDecoder] = codecs.getincrementaldecoder(encoding)
        self._newlines = io.IncrementalNewlineDecoder(make(), translate=True)
        self._offset = 0  # bytes before
        self._line = 1

    def decode(self, data: bytes) -> str:
        """The text that is complete with these bytes; b"" ends the file. Raises InputError, with the place, for bytes
        that aren't text in this encoding."""
        if not self._offset and (kind := kind_of(data, self._name)) is not None:
            raise InputError(f"{self._shown}: {kind}")
        try:
            text = self._newlines.decode(data, final=not data)
        except UnicodeDecodeError as error:
            # What the decoder kept of earlier blocks stands before the data: counted from the end, it does not matter.
            read = bytes(error.object)
            at = self._offset + len(data) - len(read) + error.start
            raise self._wrong(f"byte {at:,} ({error.reason})", read, error.start) from error
        except UnicodeError as error:
            raise self._wrong(f"in or after byte {self._offset:,} ({error})", data, 0) from error
        self._offset += len(data)
        if self._name != "utf-8":
            self._check_surrogates(text)
        return text

    def _check_surrogates(self, text: str) -> None:
        """utf-7 can write what isn't a character."""
        if half := _SURROGATE.search(text):
            line = self._line + text.count("\n", 0, half.start())
            raise InputError(
                f"{self._shown}: not {self._encoding} text: line {line:,} has half of a surrogate pair, "
                f"U+{ord(half[0]):04X}; say what it is with --encoding"
            )
        self._line += text.count("\n")

    def _wrong(self, where: str, data: bytes, at: int) -> InputError:
        around = data[max(0, at - _AROUND) : at + _AROUND]
        if not self._name.startswith(("utf-16", "utf-32")) and looks_binary(around):
            advice = "it looks like no text at all"
        elif self._name == "utf-8":
            advice = "say what it is with --encoding, e.g. --encoding latin-1"
        elif _decodes_as_utf8(data):
            advice = "it looks like --encoding utf-8"
        else:
            advice = "say what it is with --encoding"
        return InputError(f"{self._shown}: not {self._encoding} text: {where}; {advice}")


def _decodes_as_utf8(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True
