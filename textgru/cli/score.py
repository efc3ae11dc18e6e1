"""textgru score"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from textgru.cli.options import precision_option, threads_option
from textgru.errors import InputError, shown

MOST_LIKELIEST = 1000
FILE_ENDINGS = (".txt", ".gz", ".zst")


@click.command(short_help="Say how surprising each token, or each line, of a text is.")
@click.argument("run", metavar="RUN")
@click.argument("what", metavar="[TEXT|FILE|-]", required=False)
@click.option("--text", "as_text", is_flag=True, help="It is a text, even where a file has this name.")
@click.option("--file", "-f", "as_file", is_flag=True, help="It is a file.")
@click.option("--lines", is_flag=True, help="One score a line of it.")
@click.option(
    "--top", type=click.IntRange(1, MOST_LIKELIEST), metavar="N", help="Also the N likeliest tokens at each place."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a token, or a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a heading.")
@click.option("--html", metavar="FILE", help="Write a web page instead: the text in colours.")
@click.option("--dynamic", is_flag=True, help="The weights follow the text: what came is expected to come again.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a file, or of standard input.")
@precision_option
@threads_option
def score(
    run: str, what: str | None, as_text: bool, as_file: bool, lines: bool, top: int | None, dynamic: bool,
    as_json: bool, as_csv: bool, html: str | None, encoding: str, precision: str | None,
) -> None:  # fmt: skip
    """Say how surprising each token of a text is to the model in the directory RUN, in bits: -log2 of its probability
    given all before it. The first token is given.

    What follows RUN is a file if there is one of that name, else a text; "-", or nothing, is standard input.

    On a terminal the text is shown in colours; elsewhere, with NO_COLOR, and with --top, as one token a line.

    With --lines every line is scored on its own, as one that begins after the end of another (or as a document, if the
    model was trained with --separate-documents), its end included. A line of output is: the natural logarithm of its
    probability, bits a character, perplexity, and the line, with tabs between.
    """
    from textgru.language_model import load

    if as_text and as_file:
        raise click.UsageError("--text and --file exclude each other")
    if as_json + as_csv + (html is not None) > 1:
        raise click.UsageError("--json, --csv and --html exclude each other")
    if lines and (top is not None or html is not None):
        raise click.UsageError(f"--lines gives no {'--top' if top is not None else '--html'}")
    if dynamic and (lines or precision not in (None, "fp32")):
        raise click.UsageError(
            f"--dynamic changes float32 weights as one text is read: leave out --{'lines' if lines else 'precision'}"
        )
    blocks = _blocks(what, as_text=as_text, as_file=as_file, encoding=encoding)
    model = load(run, precision=precision)
    if lines:
        from textgru.cli.score_output import print_lines

        print_lines(model, blocks, "json" if as_json else "csv" if as_csv else "plain")
        return
    from textgru.cli.score_output import print_tokens, write_page

    if html is not None:
        from textgru.paths import given_path

        write_page(model, blocks, given_path("html", html), top or 0, dynamic=dynamic)
        return
    print_tokens(model, blocks, "json" if as_json else "csv" if as_csv else "plain", top or 0, dynamic=dynamic)


def _blocks(what: str | None, *, as_text: bool, as_file: bool, encoding: str) -> Iterator[str]:
    """The text that is meant, as it comes, as textgru.text.files.normalise gives it."""
    from textgru.text.encodings import check_encoding
    from textgru.text.files import check_files, normalise, read_blocks

    check_encoding(encoding)
    if as_text:
        return iter([normalise(what or "")])
    if what is None or what == "-":
        return _standard_input(encoding)
    if as_file or os.path.exists(what):  # noqa: PTH110 (also for what no file can be called)
        check_files([what], encoding)
        return read_blocks([Path(what)], encoding)
    if what.endswith(FILE_ENDINGS) and not any(map(str.isspace, what)):
        raise InputError(f"{shown(what)}: no such file; to score these letters themselves, add --text")
    return iter([normalise(what)])


def _standard_input(encoding: str) -> Iterator[str]:
    from textgru.text.encodings import Decoder
    from textgru.text.files import normalise
    from textgru.text.spooling import standard_input

    decoder = Decoder("standard input", encoding)
    for data in standard_input():
        yield normalise(decoder.decode(data))
    yield normalise(decoder.decode(b""))
