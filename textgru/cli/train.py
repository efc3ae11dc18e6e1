"""textgru train"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import click

from textgru.cli.options import threads_option

POSITIVE = click.FloatRange(0, min_open=True)
INTERRUPTED = 130


@click.command(short_help="Train a model on text files.")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
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
@click.option("--hidden-size", type=click.IntRange(1), default=256, show_default=True, help="GRU units a layer.")
@click.option("--num-layers", type=click.IntRange(1), default=1, show_default=True, help="GRU layers.")
@click.option(
    "--embedding-size",
    type=click.IntRange(1),
    help="Width of a token's vector.  [default: 64; the hidden size with --tie-weights]",
)
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Dropout on every layer's output.",
)
@click.option("--tie-weights", is_flag=True, help="Use the embedding as the output layer's weight.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Sequences a step.")
@click.option("--seq-length", type=click.IntRange(1), default=64, show_default=True, help="Tokens a sequence.")
@click.option("--learning-rate", "--lr", type=POSITIVE, default=4e-3, show_default=True, help="Highest learning rate.")
@click.option("--min-lr", type=click.FloatRange(0), help="Last learning rate.  [default: a twentieth of the highest]")
@click.option(
    "--warmup", type=click.IntRange(0), default=100, show_default=True, help="Steps over which the learning rate rises."
)
@click.option(
    "--weight-decay", type=click.FloatRange(0), default=0.1, show_default=True, help="AdamW's decay of matrices."
)
@click.option("--grad-clip", type=POSITIVE, default=1.0, show_default=True, help="Most norm of the gradient.")
@click.option("--epochs", type=POSITIVE, help="End after so many passes over the text.")
@click.option("--max-steps", type=click.IntRange(1), help="End after so many steps.")
@click.option("--max-minutes", type=POSITIVE, help="End after so many minutes, the learning rate decayed by then.")
@click.option(
    "--val-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    help="Part of the text, from its end, held out to measure on.  [default: 0.1, at most 200,000 tokens]",
)
@click.option("--eval-every", type=click.IntRange(1), help="Steps between evaluations.  [default: 20 in all]")
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
    dry_run: bool,
    **settings: Any,
) -> None:
    """Train a model on one or more UTF-8 text files ("-" is standard input).

    Training ends at the first of --epochs, --max-steps and --max-minutes. Without --epochs and --max-steps it ends
    after 20 passes over the text at the latest; with none of the three, after 20 million tokens if that is sooner.
    The weights with the lowest validation loss are kept. Ctrl-C ends the training early and keeps what was learned.
    """
    from textgru.cli.display import training_display
    from textgru.trainer import TrainingConfig
    from textgru.training_run import TrainingRun

    shape = ("hidden_size", "num_layers", "embedding_size", "dropout", "tie_weights")
    network = {name: settings.pop(name) for name in shape}
    display = training_display()
    with (
        display,
        TrainingRun(
            files, out, config=TrainingConfig(**settings), network=network, tokenizer=tokenizer, vocab_size=vocab_size,
            encoding=encoding, val_fraction=val_fraction, overwrite=overwrite,
        ) as run,
    ):  # fmt: skip
        display.plan(run.plan(), files)
        if dry_run:
            display.note("dry run: nothing was trained or written")
            return

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            display.note("stopping after this step; Ctrl-C again leaves at once")
            run.stop()

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            for event in run.events():
                display.event(event)
        finally:
            signal.signal(signal.SIGINT, before)
        display.end(run.out)
    if display.stopped:
        context.exit(INTERRUPTED)
