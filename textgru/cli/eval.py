"""textgru eval"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from textgru.cli.json_output import print_json
from textgru.cli.options import precision_option, threads_option

if TYPE_CHECKING:
    from textgru.language_model import LanguageModel
    from textgru.text.corpus import Corpus
    from textgru.text.files import SpooledFile

ENCODED = "tokens.bin"


@click.command("eval", short_help="Say how well a model predicts a text.")
@click.argument("run", metavar="RUN")
@click.argument("files", nargs=-1, required=True, metavar="[RUN...] FILES...")
@click.option(
    "--compare", "-c", "others", multiple=True, metavar="RUN",
    help="Another run, on the same text; may be repeated. The best comes first, by bits a byte.",
)  # fmt: skip
@click.option("--exact", is_flag=True, help="Read a long text in one walk, not in parts side by side.")
@click.option(
    "--dynamic",
    is_flag=True,
    help="Also the loss of weights that follow the text as it is read, in float32: a figure of its own.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text files.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --compare an array of them.")
@precision_option
@threads_option
def evaluate(
    run: str, files: tuple[str, ...], others: tuple[str, ...], exact: bool, dynamic: bool, encoding: str,
    as_json: bool, precision: str | None,
) -> None:  # fmt: skip
    """Say how well the model in the directory RUN predicts text files ("-" is standard input); of several runs with
    the same tokens, before the files, the mean of their predictions.

    The text is read from its start to its end as one; its first token is given. Bits a byte, of the text in UTF-8, can
    be compared between tokenizers, nats a token can't. Characters that the model has never seen count as the unknown
    token, which costs less than they would: then nothing can be compared.

    A text of more than 65,000 tokens is read in up to 32 parts side by side, each after the 2,048 tokens before it:
    much faster, and the loss is that of one walk to about the seventh digit. --exact is that walk.
    """
    from textgru.ensemble_model import load_ensemble
    from textgru.errors import InputError, percent, shown
    from textgru.runs.metrics import run_names
    from textgru.text.files import check_files, find_files, spool

    together = [run, *takewhile(_is_run, files)]
    files = files[len(together) - 1 :]
    if not files:
        raise click.UsageError("give at least one text file after the runs")
    if dynamic and len(together) > 1:
        raise click.UsageError("--dynamic: the weights of several runs can't follow a text; give one")
    found = find_files(files)
    check_files(found, encoding)
    runs = [together, *([other] for other in others)]
    each = iter(run_names(list(chain.from_iterable(runs))))
    names = [" + ".join(next(each) for _ in paths) for paths in runs]
    models = [load_ensemble(paths, precision=precision) for paths in runs]
    results = []
    with tempfile.TemporaryDirectory(prefix="textgru-") as folder:
        spooled = spool(found, Path(folder))
        for name, paths, model in zip(names, runs, models, strict=True):
            corpus, nbytes = _encoded(model, spooled, encoding, Path(folder))
            if len(corpus.train) < 2:
                raise InputError(f"{', '.join(map(shown, files))}: too little text; give at least two tokens")
            results.append(
                {
                    "name": name,
                    "path": " ".join(map(str, paths)),
                    **_facts(model, corpus, Path(folder, ENCODED), nbytes, exact=exact, dynamic=dynamic),
                }
            )
            del corpus  # lets go of the mapped file
    for facts in results:
        if facts["unknown"]:
            which = f"{facts['name']}: " if others else ""
            warning = f"{percent(facts['unknown'])} of the text's tokens are unknown to the model"
            click.echo(f"textgru: warning: {which}{warning}", err=True)
    if others:
        results.sort(key=lambda facts: float(facts["bits_per_byte"]))
    if as_json:
        print_json(results if others else {key: results[0][key] for key in results[0] if key not in ("name", "path")})
    elif others:
        _print_side_by_side(results)
    else:
        _print_one(results[0])


def _is_run(name: str) -> bool:
    from textgru.runs.layout import is_run

    try:
        return is_run(Path(name))
    except (OSError, ValueError):  # a name that no file can have: it is refused as such
        return False


def _encoded(
    model: LanguageModel, paths: Sequence[Path | SpooledFile], encoding: str, folder: Path
) -> tuple[Corpus, int]:
    """The text in the model's tokens, and its bytes in UTF-8."""
    from textgru.text.corpus import Corpus

    nbytes = 0

    def count(text: str) -> None:
        nonlocal nbytes
        nbytes += len(text.encode("utf-8", "surrogatepass"))

    target = folder / ENCODED
    corpus = Corpus.encode(model.tokenizer, paths, target, encoding=encoding, val_fraction=0, on_text=count)
    return corpus, nbytes


def _facts(
    model: LanguageModel, corpus: Corpus, encoded: Path, nbytes: int, *, exact: bool, dynamic: bool
) -> dict[str, Any]:
    """What --json prints of a run. `encoded`: the file with the tokens."""
    from textgru.analysis.evaluate import STREAMS
    from textgru.cli.measuring import measured

    quality, starts = measured(model, corpus.train, encoded, 1 if exact else STREAMS)
    followed = _followed(model, corpus, nbytes) if dynamic else {}
    score = quality.score
    return {
        "loss": score.loss,
        "perplexity": score.perplexity,
        "bits_per_char": score.bits_per_char(len(corpus.train), corpus.characters),
        "bits_per_byte": score.bits_per_byte(len(corpus.train), nbytes),
        "accuracy": quality.accuracy,
        "top5_accuracy": quality.top5_accuracy,
        "calibration_error": quality.calibration_error,
        "starts": starts.tried,
        "starts_that_never_recover": starts.lost,
        "tokens": score.tokens,
        "characters": corpus.characters,
        "bytes": nbytes,
        "unknown": corpus.share(model.tokenizer.unk_id),
        "precision": model.precision,
        "tokenizer": model.tokenizer.kind,
        **followed,
    }


def _followed(model: LanguageModel, corpus: Corpus, nbytes: int) -> dict[str, Any]:
    """The same figures of weights that follow the text."""
    from textgru.analysis.dynamic import follow_text, follower_of
    from textgru.cli.progress import progress_bar

    with progress_bar("following") as on_progress:
        score = follow_text(follower_of(model.network), corpus.train, on_progress=on_progress)
    return {
        "dynamic": {
            "loss": score.loss,
            "perplexity": score.perplexity,
            "bits_per_char": score.bits_per_char(len(corpus.train), corpus.characters),
            "bits_per_byte": score.bits_per_byte(len(corpus.train), nbytes),
        }
    }


def _print_one(facts: dict[str, Any]) -> None:
    from textgru.errors import percent

    accuracy, top5 = percent(facts["accuracy"]), percent(facts["top5_accuracy"])
    click.echo(f"loss        {facts['loss']:.4f} nats a token, perplexity {facts['perplexity']:.4g}")
    click.echo(f"characters  {facts['bits_per_char']:.4f} bits each; bytes {facts['bits_per_byte']:.4f} bits each")
    click.echo(f"accuracy    {accuracy} of tokens were the likeliest, {top5} among the five likeliest")
    click.echo(f"calibration {percent(facts['calibration_error'])} expected error")
    if facts["starts"]:
        click.echo(
            f"starts      {facts['starts_that_never_recover']} of {facts['starts']} with an empty state go astray"
        )
    if "dynamic" in facts:
        followed = facts["dynamic"]
        click.echo(
            f"dynamic     {followed['loss']:.4f} nats a token where the weights follow the text; "
            f"bytes {followed['bits_per_byte']:.4f} bits each"
        )
    click.echo(
        f"text        {facts['tokens'] + 1:,} tokens, {facts['characters']:,} characters, read in {facts['precision']}"
    )


def _print_side_by_side(results: Sequence[dict[str, Any]]) -> None:
    from textgru.cli.compare import print_table
    from textgru.errors import percent

    print_table([
        {
            "run": facts["name"],
            "tokenizer": facts["tokenizer"],
            "bits/byte": f"{facts['bits_per_byte']:.4f}",
            "bits/char": f"{facts['bits_per_char']:.4f}",
            "nats/token": f"{facts['loss']:.4f}",
            "tokens": f"{facts['tokens']:,}",
            "accuracy": percent(facts["accuracy"]),
            "top 5": percent(facts["top5_accuracy"]),
            "calibration": percent(facts["calibration_error"]),
            "precision": facts["precision"],
        }
        for facts in results
    ])  # fmt: skip
