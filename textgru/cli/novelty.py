"""textgru novelty"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from textgru.cli.json_output import print_json

if TYPE_CHECKING:
    from textgru.analysis.novelty import Novelty

LONGEST_SHOWN = 400  # characters of a passage


def _sizes(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        return [int(size) for size in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"expected lengths such as 4,8,16, got {value!r}") from error


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
@click.option("--sizes", callback=_sizes, metavar="N,N,...", help="Lengths of n-grams.  [default: 2,4,8,16,32,64]")
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
    from textgru.text.files import check_files, read_blocks, spool

    if file == "-" and "-" in texts:
        raise InputError("standard input can't be both texts: name a file for one of them")
    found = Run.read(run)
    if not texts:
        training_files(found)  # before standard input is waited for
    check_files([file], encoding)
    with tempfile.TemporaryDirectory(prefix="textgru-") as folder:
        text = "".join(read_blocks(spool([file], Path(folder)), encoding))
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
        print_novelty(result)


def print_novelty(result: Novelty) -> None:
    """The result as lines on standard output."""
    from textgru.errors import percent

    length = len(result.longest)
    click.echo(f"text     {result.characters:,} characters, looked for in {result.training_characters:,}")
    if length:
        share = percent(length / result.characters)
        click.echo(f"longest  {length:,} characters in both ({share} of the text), at character {result.place:,}:")
        click.echo(f"         {_shown(result.longest)}")
    else:
        click.echo("longest  no character is in both")
    click.echo("n-grams  length      new   copied")
    for size in result.ngrams:
        new = percent(size.new) if size.count else "-"
        click.echo(f"         {size.n:6} {new:>8} {percent(size.copied):>8}")


def _shown(passage: str) -> str:
    if len(passage) > LONGEST_SHOWN:
        passage = f"{passage[: LONGEST_SHOWN // 2]} ... {passage[-LONGEST_SHOWN // 2 :]}"
    return repr(passage)
