"""Prompts from the command line, files and standard input."""

from __future__ import annotations

import re
import sys

from textgru.errors import InputError, shown
from textgru.paths import given_path

STANDARD_INPUT = "-"
SIMPLE = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"',
          "'": "'"}  # fmt: skip
ESCAPE = re.compile(r"""\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\\nrt0abfv"']))""")


def unescaped(text: str) -> str:
    """The text with \\n, \\t, \\\\, \\xNN, \\uNNNN and the like as the characters that they stand for in C and Python;
    a backslash before anything else stays. Raises InputError for a number that is no character's."""

    def character(match: re.Match[str]) -> str:
        if match[4]:
            return SIMPLE[match[4]]
        number = int(match[1] or match[2] or match[3], 16)
        if number >= 0x110000:
            raise InputError(f"{match[0]}: there is no such character; the last one is \\U0010ffff")
        return chr(number)

    return ESCAPE.sub(character, text)


def read_text(name: str) -> str:
    """The text of a UTF-8 file, or of standard input ("-"). Raises InputError if it can't be read."""
    try:
        if name == STANDARD_INPUT:
            name = "standard input"
            data = sys.stdin.buffer.read()
        else:
            data = given_path("prompt", name).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{shown(name)}: no such file") from error
    except OSError as error:
        raise InputError(f"{shown(name)}: can't be read: {error.strerror or error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(name)}: is not in UTF-8 (byte {error.start:,})") from error


def prompt_of_file(name: str) -> str:
    """All of its text but one line end at its end, which editors put there."""
    return re.sub(r"(\r\n|\r|\n)\Z", "", read_text(name))


def prompts_of_lines(name: str) -> list[str]:
    """Each line of its text, without the line end. Raises InputError where there is none."""
    lines = re.split(r"\r\n|\r|\n", read_text(name))
    if lines[-1] == "":
        del lines[-1]
    if not lines:
        raise InputError(f"{shown(name)}: has no lines; give a prompt a line")
    return lines
