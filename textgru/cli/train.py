"""textgru train"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from textgru.cli.options import GIVEN, SectionedCommand, read_config, threads_option
from textgru.cli.signals import asked, raised
from textgru.errors import InputError, StorageError, TextgruError

if TYPE_CHECKING:
    from textgru.training.running import RunningTraining

POSITIVE = click.FloatRange(0, min_open=True)
INTERRUPTED = 130
NETWORK = (
    "hidden_size", "num_layers", "embedding_size", "dropout", "input_dropout", "variational_dropout", "tie_weights",
)  # fmt: skip


SECTIONS = {
    "Run": "out overwrite resume init_from config dry_run",
    "Text": "tokenizer vocab_size encoding val_fraction separate_documents allow_unknown no_cache",
    "How long": "max_minutes epochs max_steps patience",
    "Network": "preset hidden_size num_layers embedding_size tie_weights dropout input_dropout variational_dropout",
    "Learning": "learning_rate min_lr schedule warmup batch_size seq_length weight_decay grad_clip ema_decay",
    "While it runs": "eval_every sample_every checkpoint_every tensorboard",
    "Machine": "threads precision deterministic seed",
}


@click.command(cls=SectionedCommand, sections=SECTIONS, short_help="Train a model on text files.")
@click.argument("files", nargs=-1, metavar="FILES...")
@click.option("--out", "-o", metavar="RUN", help="Directory for the run.  [default: runs/NAME of the first file]")
@click.option("--overwrite", is_flag=True, help="Replace the run that --out holds.")
@click.option(
    "--tokenizer",
    default="char",
    show_default=True,
    metavar="KIND",
    help="char, byte, bpe, or the path of a tokenizer.json.",
)
@click.option("--vocab-size", type=click.IntRange(256), help="Most tokens of a bpe tokenizer.  [default: 1024]")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text files.")
@click.option(
    "--preset",
    type=click.Choice(["tiny", "small", "medium", "large"]),
    help="Size of the network.  [default: what suits the text and the time]",
)
@click.option("--hidden-size", type=click.IntRange(1), help="GRU units a layer.  [default: by --preset]")
@click.option("--num-layers", type=click.IntRange(1), help="GRU layers.  [default: by --preset]")
@click.option(
    "--embedding-size",
    type=click.IntRange(1),
    help="Width of a token's vector.  [default: by --preset; the hidden size with --tie-weights]",
)
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    help="Dropout on every layer's output.  [default: by the passes over the text]",
)
@click.option(
    "--input-dropout",
    type=click.FloatRange(0, 1, max_open=True),
    help="Dropout on the embedding.  [default: 0]",
)
@click.option("--variational-dropout", is_flag=True, default=None, help="One dropout mask for all steps of a sequence.")
@click.option("--tie-weights", is_flag=True, default=None, help="Use the embedding as the output layer's weight.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Sequences a step.")
@click.option("--seq-length", type=click.IntRange(1), default=64, show_default=True, help="Tokens a sequence.")
@click.option(
    "--learning-rate", "--lr", type=POSITIVE, help="Highest learning rate.  [default: 0.004, less above 256 units]"
)
@click.option(
    "--min-lr",
    type=click.FloatRange(0),
    help="Last learning rate of cosine and plateau.  [default: a twentieth of the highest]",
)
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "constant", "plateau"]),
    default="constant",
    show_default=True,
    help="How the learning rate falls; plateau: halved when the validation loss stays.",
)
@click.option(
    "--warmup", type=click.IntRange(0), default=100, show_default=True, help="Steps over which the learning rate rises."
)
@click.option(
    "--weight-decay", type=click.FloatRange(0), default=0.1, show_default=True, help="AdamW's decay of matrices."
)
@click.option("--grad-clip", type=POSITIVE, default=1.0, show_default=True, help="Most norm of the gradient.")
@click.option(
    "--ema-decay",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.9999,
    show_default=True,
    help="Evaluate and save a moving average of the weights, of the last tenth of the steps at most; 0: the last ones.",
)
@click.option("--epochs", type=POSITIVE, help="End after so many passes over the text.")
@click.option("--max-steps", type=click.IntRange(1), help="End after so many steps.")
@click.option("--max-minutes", type=POSITIVE, help="End after so many minutes.")
@click.option(
    "--patience", type=click.IntRange(1), help="End after so many evaluations without a lower validation loss."
)
@click.option(
    "--val-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    help="Part of the text, from its end, held out to measure on.  [default: 0.1, at most 200,000 tokens]",
)
@click.option("--separate-documents", is_flag=True, help="Every file is a document: a token of its own follows each.")
@click.option(
    "--allow-unknown",
    is_flag=True,
    help="Go on where over a tenth of the text is unknown to a tokenizer of another text.",
)
@click.option("--no-cache", is_flag=True, help="Encode the text anew, and keep nothing of it for other trainings.")
@click.option("--checkpoint-every", metavar="N|Nm", help="Steps, or minutes (5m), between checkpoints.  [default: 1m]")
@click.option(
    "--resume", metavar="RUN", help="Go on with the training in RUN that was stopped; nothing else is needed."
)
@click.option("--init-from", metavar="RUN", help="Start from the weights, tokenizer and network of RUN.")
@click.option("--eval-every", type=click.IntRange(1), help="Steps between evaluations.  [default: 20 in all]")
@click.option("--sample-every", type=click.IntRange(1), metavar="N", help="Show a sample at every Nth evaluation.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of a training step's products; auto is bf16 where the CPU multiplies it itself.",
)
@click.option(
    "--seed",
    "-s",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Same seed, same threads, same steps: same model.",
)
@threads_option
@click.option("--deterministic", is_flag=True, help="The same bits for any number of threads.")
@click.option(
    "--config",
    is_eager=True,
    expose_value=False,
    callback=read_config,
    metavar="FILE",
    help='TOML file of options, e.g. hidden-size = 512, files = ["book.txt"]; the command line wins.',
)
@click.option("--tensorboard", is_flag=True, help="Also write events for TensorBoard, to RUN/tensorboard/.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.pass_context
def train(
    context: click.Context,
    /,
    files: tuple[str, ...],
    out: str | None,
    overwrite: bool,
    tokenizer: str,
    vocab_size: int | None,
    encoding: str,
    val_fraction: float | None,
    preset: str | None,
    sample_every: int | None,
    separate_documents: bool,
    no_cache: bool,
    checkpoint_every: str | None,
    resume: str | None,
    init_from: str | None,
    tensorboard: bool,
    allow_unknown: bool,
    dry_run: bool,
    **settings: Any,
) -> None:
    """Train a model on one or more UTF-8 text files. A directory stands for the .txt, .txt.gz and .txt.zst files in it
    and below, "-" for standard input; quoted patterns ("*.txt") are resolved.

    Training ends at the first of --epochs, --max-steps and --max-minutes. Without --epochs and --max-steps it ends
    after 20 passes over the text at the latest, or 60 with --max-minutes; with none of the three, after 20 million
    tokens if that is sooner.
    The weights with the lowest validation loss are kept. Ctrl-C stops the training after the step in progress; --resume
    goes on with it, as after a crash, from the last checkpoint, to the same result as without the interruption.
    """
    from textgru.cli.display import training_display
    from textgru.training.run import TrainingRun

    sources = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    given = {name for name in context.params if context.get_parameter_source(name) in sources}
    display = training_display()
    training: Callable[[], RunningTraining]
    if resume is not None:
        if others := sorted(given - {"resume", "dry_run"}):
            raise click.UsageError(
                f"--resume takes everything from the run; leave out {', '.join(_spelled(name) for name in others)}"
            )
        training = partial(_resume, resume, "threads" in (context.meta.get(GIVEN) or ()))
    else:
        if not files:
            raise click.UsageError("Missing argument 'FILES...'")
        training = partial(
            TrainingRun, files, out, preset=preset, network={name: settings.pop(name) for name in NETWORK},
            training={**settings, **_checkpoints(checkpoint_every)},
            tokenizer=tokenizer if init_from is None or "tokenizer" in given else None,
            vocab_size=vocab_size, encoding=encoding, val_fraction=val_fraction, init_from=init_from,
            sample_every=sample_every, overwrite=overwrite, separate_documents=separate_documents, cache=not no_cache,
            tensorboard=tensorboard, allow_unknown=allow_unknown, on_progress=display.progress,
        )  # fmt: skip
    stopped_by = []

    def stop(number: int) -> None:
        stopped_by.append(number)
        display.note("stopping after this step; Ctrl-C again leaves at once")
        run.stop()

    with raised(), display, training() as run:
        display.on_closed = run.stop
        display.plan(run.plan(), run.files)
        if dry_run:
            display.note("dry run: nothing was trained, no run was written")
            return
        try:
            with asked(stop):
                for event in run.events():
                    display.event(event)
        except TextgruError as error:
            raise type(error)(f"{error}{_kept(run, error)}") from error
        display.end(run.out)
    if display.closed:
        click.echo(f"textgru: standard output was closed: stopped; {_how_to_go_on(run)}", err=True)
        context.exit(1)
    if display.stopped:
        context.exit(128 + stopped_by[0] if stopped_by else INTERRUPTED)


def _kept(run: RunningTraining, error: TextgruError) -> str:
    """What is left of a training that failed, where the message doesn't say it."""
    from textgru.cli.display import as_argument

    if not run.in_place:
        return ""
    if run.published and not (run.can_go_on and isinstance(error, StorageError)):
        return "" if "are kept" in str(error) else f"; the weights that were saved last are kept in {run.out}"
    if not isinstance(error, StorageError):
        return ""
    if run.can_go_on:
        return f"; mend that, then go on with: textgru train --resume {as_argument(run.out)}"
    return "; nothing was saved: start again when that is mended"


def _how_to_go_on(run: RunningTraining) -> str:
    from textgru.cli.display import as_argument

    saved = f"saved in {run.out}"
    return f"{saved}; go on with: textgru train --resume {as_argument(run.out)}" if run.can_go_on else saved


def _spelled(name: str) -> str:
    """A parameter as it is typed."""
    return "FILES" if name == "files" else f"--{name.replace('_', '-')}"


def _checkpoints(every: str | None) -> dict[str, Any]:
    """The settings that --checkpoint-every N (steps) or Nm (minutes) stands for."""
    if every is None:
        return {}
    try:
        return {"checkpoint_minutes": float(every[:-1])} if every.endswith("m") else {"checkpoint_every": int(every)}
    except ValueError as error:
        raise InputError(f"--checkpoint-every: expected steps (500) or minutes (5m), got {every!r}") from error


def _resume(run: str, threads_given: bool) -> RunningTraining:
    """The training to go on with, on as many threads as before unless it was said how many."""
    from textgru.core import get_num_threads
    from textgru.training.resumed import ResumedRun

    return ResumedRun(run, threads=get_num_threads() if threads_given else None)
