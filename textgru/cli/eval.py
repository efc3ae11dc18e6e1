"""textgru eval"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from textgru.cli.json_output import print_json
from textgru.cli.options import precision_option, threads_option


@click.command("eval", short_help="Say how well a model predicts a text.")
@click.argument("run", metavar="RUN")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text files.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@precision_option
@threads_option
def evaluate(run: str, files: tuple[str, ...], encoding: str, as_json: bool, precision: str | None) -> None:
    """Say how well the model in the directory RUN predicts text files ("-" is standard input).

    The text is read from its start to its end as one; its first token is given. Characters that the model has never
    seen count as the unknown token.
    """
    from textgru.analysis.evaluate import evaluate as score_tokens
    from textgru.cli.progress import progress_bar
    from textgru.errors import InputError, percent, shown
    from textgru.language_model import load
    from textgru.text.corpus import Corpus
    from textgru.text.files import check_files, find_files, spool

    found = find_files(files)
    check_files(found, encoding)
    model = load(run, precision=precision)
    with tempfile.TemporaryDirectory(prefix="textgru-") as folder:
        paths = spool(found, Path(folder))
        corpus = Corpus.encode(model.tokenizer, paths, Path(folder, "tokens.bin"), encoding=encoding, val_fraction=0)
        if len(corpus.train) < 2:
            raise InputError(f"{', '.join(map(shown, files))}: too little text; give at least two tokens")
        with progress_bar("scoring") as on_progress:
            score = score_tokens(
                model.network, corpus.train, streams=1, precision=model.precision, on_progress=on_progress
            )
        unknown = corpus.share(model.tokenizer.unk_id)
        facts = {
            "loss": score.loss,
            "perplexity": score.perplexity,
            "bits_per_char": score.bits_per_char(len(corpus.train), corpus.characters),
            "tokens": score.tokens,
            "characters": corpus.characters,
            "unknown": unknown,
            "precision": model.precision,
        }
        del corpus  # lets go of the mapped file
    if unknown:
        click.echo(f"textgru: warning: {percent(unknown)} of the text's tokens are unknown to the model", err=True)
    if as_json:
        print_json(facts)
        return
    click.echo(f"loss        {score.loss:.4f} nats a token, perplexity {score.perplexity:.4g}")
    click.echo(f"characters  {facts['bits_per_char']:.4f} bits each")
    click.echo(
        f"text        {score.tokens + 1:,} tokens, {facts['characters']:,} characters, read in {model.precision}"
    )
