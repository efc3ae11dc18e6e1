"""textgru sample --lines: one short item a line, such as a name, new ones only if asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from textgru.cli.samples import Printer, in_order
from textgru.errors import InputError, shown

if TYPE_CHECKING:
    from textgru.generation.generate import Piece
    from textgru.language_model import LanguageModel

MOST_TRIES = 1000  # one after another without an item to write


def write_items(pieces: Iterable[Piece], printer: Printer, prompt: str, count: int, known: set[str] | None) -> None:
    """Writes `count` items, each of which begins with the prompt; no empty one. Where `known` is given none of those in
    it, and none twice. Fewer, with a warning, where no new one comes for long."""
    written = tries = 0
    parts: list[Piece] = []
    for piece in in_order(pieces):
        parts.append(piece)
        if piece.finish_reason is None:
            continue
        item = (prompt + "".join(part.text for part in parts)).strip()
        if item and (known is None or item not in known):
            if known is not None:
                known.add(item)
            for part in parts:
                printer.piece(part._replace(number=written), prompt)
            written, tries = written + 1, 0
        else:
            tries += 1
        parts = []
        if written == count:
            return
        if tries == MOST_TRIES:
            why = "were in the training text, or written before" if known is not None else "were empty"
            click.echo(
                f"textgru: warning: {written} of {count} items: the last {MOST_TRIES:,} that were drawn {why}", err=True
            )
            return


def training_items(model: LanguageModel, names: tuple[str, ...]) -> set[str]:
    """The lines of the training text: of the files of these names, or of those that the run says. Raises InputError
    where they can't be read."""
    from textgru.text.files import STANDARD_INPUT, check_files, find_files, read_blocks

    record = None if model.run is None else model.run.record.corpus
    if not names and record is None:
        raise InputError("--novel: the run doesn't say what it was trained on; name it with --text FILE")
    files = find_files(list(names)) if names else [Path(name) for name in record.files] if record else []
    for file in files:
        if str(file) == STANDARD_INPUT or not file.exists():
            raise InputError(f"--novel: the training text {shown(file)} is not there; name it with --text FILE")
    check_files(files, "utf-8")
    items: set[str] = set()
    rest = ""
    for block in read_blocks(files):
        *lines, rest = (rest + block).split("\n")
        items.update(line.strip() for line in lines)
    items.add(rest.strip())
    return items
