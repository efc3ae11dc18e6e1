"""textgru embed"""

from __future__ import annotations

import io
import json

import click

from textgru.cli.options import threads_option
from textgru.cli.text_input import read_text

DIGITS = 7  # of a number that is printed: what a float32 holds


@click.command(short_help="Turn texts into vectors.")
@click.argument("run", metavar="RUN")
@click.argument("texts", nargs=-1, metavar="[TEXT...]")
@click.option("--lines", metavar="FILE|-", help="Every line of a file is a text.")
@click.option(
    "--pool",
    type=click.Choice(["last", "mean"]),
    default="last",
    show_default=True,
    help="The state after the last token, or the mean of those after each.",
)
@click.option("--out", "-o", metavar="X.npy", help="Save an array (texts, units) float32 that numpy.load reads.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the file.")
@threads_option  # fmt: skip
def embed(run: str, texts: tuple[str, ...], lines: str | None, pool: str, out: str | None, encoding: str) -> None:
    """Turn texts into vectors with the model in the directory RUN: hidden states of its last layer, for search and
    clustering. Without --out a JSON list for each text is printed."""
    import numpy as np

    from textgru.atomic_files import write_atomically
    from textgru.cli.progress import progress_bar
    from textgru.errors import InputError, shown
    from textgru.language_model import load
    from textgru.paths import given_path

    if bool(texts) == (lines is not None):
        raise click.UsageError("give one or more TEXTs, or --lines FILE")
    target = None if out is None else given_path("out", out)
    if target is not None and target.is_dir():
        raise InputError(f"{shown(target)}: is a folder; name a file, such as X.npy")
    given = list(texts) if lines is None else _lines(lines, encoding)
    model = load(run)
    with progress_bar("reading") as on_progress:
        vectors = model.embed(given, pool=pool, on_progress=on_progress)
    if target is not None:
        data = io.BytesIO()
        np.save(data, vectors, allow_pickle=False)
        write_atomically(target, data.getvalue())
        click.echo(f"saved in   {shown(target)}; {len(vectors):,} x {vectors.shape[1]:,} numbers")
        return
    for vector in vectors:
        click.echo(json.dumps([float(f"{number:.{DIGITS}g}") for number in vector.tolist()]))


def _lines(name: str, encoding: str) -> list[str]:
    """The lines of a file."""
    from textgru.errors import InputError, shown

    text = read_text(name, encoding)
    if not text:
        where = "standard input" if name == "-" else shown(name)
        raise InputError(f"{where}: no text in it; give a file with some text")
    return text.removesuffix("\n").split("\n")
