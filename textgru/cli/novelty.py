"""textgru novelty"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from textgru.cli.json_output import print_json
from textgru.cli.text_input import integers, read_text

if TYPE_CHECKING:
    from textgru.analysis.novelty import Novelty

LONGEST_SHOWN = 400  # characters of a passage


@click.command(short_help="Say how much of a text stands in the training text.")
@click.argument("run", metavar="RUN")
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option(
    "--text",
    "texts",
    multiple=True,
    metavar="FILE",
    help="The training text, or another one to look in; may be given again.  [default: as the run says]",
)
@click.option("--sizes", callback=integers, metavar="N,N,...", help="Lengths of n-grams.  [default: 2,4,8,16,32,64]")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of all the files.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")  # fmt: skip
def novelty(run: str, file: str, texts: tuple[str, ...], sizes: list[int] | None, encoding: str, as_json: bool) -> None:
    """Say how much of a text, by default standard input, stands word for word in the text that the model in the
    directory RUN was trained on: the longest passage, and n-grams of characters.

    \b
      textgru sample RUN -n 5000 | textgru novelty RUN
    """
    from textgru.analysis.novelty import SIZES
    from textgru.analysis.novelty import novelty as compare
    from textgru.analysis.novelty_source import training_files
    from textgru.cli.progress import progress_bar
    from textgru.errors import InputError
    from textgru.runs.run import Run

    if file == "-" and "-" in texts:
        raise InputError("standard input can't be both texts: name a file for one of them")
    found = Run.read(run)
    if not texts:
        training_files(found)  # before standard input is waited for
    text = read_text(file, encoding)
    with progress_bar("reading") as on_read:
        result = compare(
            text, found, files=texts or None, encoding=encoding, sizes=SIZES if sizes is None else sizes,
            on_read=on_read,
        )  # fmt: skip
    if result.same_text is False:
        click.echo("textgru: warning: this is not the text that the model was trained on, or it has changed", err=True)
    if as_json:
        print_json({**asdict(result), "longest_characters": len(result.longest)})
    else:
        click.echo("\n".join(novelty_lines(result)))


def novelty_lines(result: Novelty) -> list[str]:
    """The result in words and numbers."""
    from textgru.errors import percent

    length, place = len(result.longest), result.place
    lines = [f"text     {result.characters:,} characters, looked for in {result.training_characters:,}"]
    if length:
        share = percent(length / result.characters)
        lines.append(f"longest  {length:,} characters in both ({share} of the text), at character {place:,}:")
        lines.append(f"         {_shown(result.longest)}")
    else:
        lines.append("longest  no character is in both")
    lines.append("n-grams  length      new   copied")
    for size in result.ngrams:
        new = percent(size.new) if size.count else "-"
        lines.append(f"         {size.n:6} {new:>8} {percent(size.copied):>8}")
    return lines


def _shown(passage: str) -> str:
    if len(passage) > LONGEST_SHOWN:
        passage = f"{passage[: LONGEST_SHOWN // 2]} ... {passage[-LONGEST_SHOWN // 2 :]}"
    return repr(passage)
