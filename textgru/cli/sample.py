"""textgru sample"""

from __future__ import annotations

import sys

import click

from textgru.cli.options import precision_option, threads_option

BETWEEN_SAMPLES = "---"
MOST_NAMED = 10
MOST = 10**12  # of what is counted


@click.command(short_help="Write text with a trained model.")
@click.argument("run", metavar="RUN")
@click.option("--prompt", "-p", default="", help="Text to go on from.")
@click.option("--length", "-n", type=click.IntRange(0, MOST), default=500, show_default=True, help="New tokens.")
@click.option(
    "--temperature",
    "--temp",
    type=click.FloatRange(0),
    default=0.8,
    show_default=True,
    help="Below 1 safer, above 1 wilder; 0 always takes the likeliest token.",
)
@click.option("--top-k", type=click.IntRange(1, MOST), help="Only the k likeliest tokens.  [default: off]")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    help="Only the likeliest tokens that together have probability p.  [default: off]",
)
@click.option("--seed", "-s", type=click.IntRange(0, 2**63 - 1), help="Same seed, same text.  [default: random]")
@click.option(
    "--num-samples",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help=f'How many texts; a line "{BETWEEN_SAMPLES}" stands between two.',
)
@precision_option
@threads_option
def sample(
    run: str,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
    num_samples: int,
    precision: str | None,
) -> None:
    """Write text with the model in the directory RUN, to standard output, as it is generated."""
    import numpy as np

    from textgru.generation.sampling import Sampling
    from textgru.language_model import load
    from textgru.text.files import normalise

    Sampling(temperature, top_k, top_p)  # what is wrong with it is said first
    model = load(run, precision=precision)
    unknown = model.tokenizer.unknown_characters(normalise(prompt))
    if unknown:
        shown = ", ".join(map(ascii, unknown[:MOST_NAMED])) + (", ..." if len(unknown) > MOST_NAMED else "")
        click.echo(f"textgru: warning: the model has never seen {shown}: taken as the unknown token", err=True)
    if seed is None:
        seed = int(np.random.SeedSequence().entropy) % 2**32  # type: ignore[arg-type]
        if temperature > 0:
            click.echo(f"seed {seed}", err=True)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that can't show a character shows a mark
    rng = np.random.default_rng(seed)
    for number in range(num_samples):
        if number:
            click.echo(BETWEEN_SAMPLES)
        click.echo(prompt, nl=False)
        for piece in model.stream(prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=rng):
            click.echo(piece, nl=False)
        click.echo()
