"""Generated texts to standard output, to a file, to a file each, or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Protocol

import click

from textgru.atomic_files import standing_stream
from textgru.cli.json_output import as_json
from textgru.errors import StorageError
from textgru.generation.generate import Piece
from textgru.paths import given_path

BETWEEN = "---"
NUMBER = "{n}"  # in the name of an output file: the text's number
DIGITS = 6  # of logarithms, after the point
INTERRUPTED = "interrupted"  # the reason why a text ended that was stopped from outside


class Printer(Protocol):
    """Where the pieces of texts go. `prompt` is that of the text that a piece belongs to; `ordered`: whether all pieces
    of one text have to come before those of the next."""

    ordered: bool

    def piece(self, piece: Piece, prompt: str) -> None:
        """Takes the next piece."""

    def end(self) -> None:
        """No more come."""


def in_order(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces of the first text, then those of the second and so on. Those that come too early wait."""
    current, waiting = 0, dict[int, list[Piece]]()
    for piece in pieces:
        if piece.number != current:
            waiting.setdefault(piece.number, []).append(piece)
            continue
        yield piece
        while piece.finish_reason is not None:
            current += 1
            held = waiting.pop(current, [])
            yield from held
            if not held:
                break
            piece = held[-1]
    for _, held in sorted(waiting.items()):  # of texts that were stopped
        yield from held


class Target:
    """A file that is made when something is written to it, or standard output. Raises StorageError."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def write(self, text: str) -> None:
        """Writes at once."""
        if self._path is None:
            click.echo(text, nl=False)
            return
        try:
            if self._file is None:
                stream = standing_stream(self._path) or self._path.open("wb")
                self._file = TextIOWrapper(stream, encoding="utf-8", errors="textgru", newline="")
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise StorageError(f"{self._path}: can't be written: {error.strerror or error}") from error

    def close(self) -> None:
        """No more comes."""
        if self._file is not None:
            self._file.close()


class TextPrinter:
    """The texts one after another, each with its prompt and a line end; a line "---" stands between two, or nothing
    where each is a line."""

    ordered = True

    def __init__(self, path: Path | None, *, lines: bool = False) -> None:
        self._target = Target(path)
        self._between = "\n" if lines else f"\n{BETWEEN}\n"
        self._number: int | None = None

    def piece(self, piece: Piece, prompt: str) -> None:
        if piece.number != self._number:
            if self._number is not None:
                self._target.write(self._between)
            self._number = piece.number
            self._target.write(prompt)
        if piece.text:
            self._target.write(piece.text)

    def end(self) -> None:
        if self._number is not None:
            self._target.write("\n")
        self._target.close()


class FilesPrinter:
    """A file for each text, as its pieces come. `name` has {n} where the number stands, from 1; `printer` makes what
    writes to a file."""

    ordered = False

    def __init__(self, name: str, printer: Callable[[Path], Printer]) -> None:
        self._name, self._printer = name, printer
        self._printers: dict[int, Printer] = {}

    def piece(self, piece: Piece, prompt: str) -> None:
        if piece.number not in self._printers:
            path = given_path("output", self._name.replace(NUMBER, str(piece.number + 1)))
            self._printers[piece.number] = self._printer(path)
        self._printers[piece.number].piece(piece, prompt)
        if piece.finish_reason is not None:
            self._printers.pop(piece.number).end()

    def end(self) -> None:
        for printer in self._printers.values():
            printer.end()


class JsonPrinter:
    """A line of JSON for each text when it has ended."""

    ordered = True

    def __init__(self, path: Path | None) -> None:
        self._target = Target(path)
        self._number: int | None = None
        self._prompt = ""
        self._pieces: list[Piece] = []

    def piece(self, piece: Piece, prompt: str) -> None:
        if piece.number != self._number:
            self._print()
        self._number, self._prompt = piece.number, prompt
        self._pieces.append(piece)
        if piece.finish_reason is not None:
            self._print()

    def end(self) -> None:
        self._print()
        self._target.close()

    def _print(self) -> None:
        if not self._pieces:
            return
        last = self._pieces[-1]
        facts = {
            "number": last.number + 1,
            "prompt": self._prompt,
            "text": "".join(piece.text for piece in self._pieces),
            "tokens": [token for piece in self._pieces for token in piece.tokens],
            "log_probabilities": [round(p, DIGITS) for piece in self._pieces for p in piece.log_probabilities or []],
            "finish_reason": last.finish_reason or INTERRUPTED,
        }
        self._target.write(as_json(facts) + "\n")
        self._pieces = []


def printer_to(output: str | None, *, as_json: bool, lines: bool = False) -> Printer:
    """What writes to a file of this name, to one for each text ({n} in the name), or to standard output."""
    one = JsonPrinter if as_json else partial(TextPrinter, lines=lines)
    if output is not None and NUMBER in output:
        return FilesPrinter(output, one)
    return one(None if output is None else given_path("output", output))
