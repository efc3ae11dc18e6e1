"""textgru plot"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from textgru.cli.charts.terminal import Series, Style
    from textgru.runs.metrics import Curves

COLOURS = ("bright_blue", "bright_yellow", "bright_green", "bright_magenta", "bright_cyan", "bright_red", "white")
WIDEST = 110
RATE_ROWS = 4
LETTERS = "123456789" + string.ascii_lowercase


@click.command(short_help="Draw the loss of trainings.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", "-o", metavar="FILE", help="A .png or .svg file to draw to, instead of the terminal.")
@click.option(
    "--x",
    type=click.Choice(["steps", "tokens", "minutes"]),
    default="steps",
    show_default=True,
    help="What the curves run over.",
)
def plot(runs: tuple[str, ...], out: str | None, x: str) -> None:
    """Draw how loss and learning rate went in one or more runs, finished or not, in the terminal or to an image.

    Losses are in nats a token. The training loss is smoothed; its first steep fall may begin above the chart. An image
    needs matplotlib: pip install matplotlib.
    """
    from textgru.runs.metrics import read_curves

    runs = _without_copies(runs)
    if out is not None:
        from textgru.cli.charts.image import check_image, save_image

        check_image(out)
        save_image(read_curves(runs, x), out, x)
        click.echo(f"saved in   {out}")
        return
    from rich.console import Console

    console = Console(highlight=False)
    for line in _chart(read_curves(runs, x), x, console):
        if console.is_terminal:
            console.print(line, soft_wrap=True)
        else:
            click.echo(line.plain)


def _without_copies(runs: tuple[str, ...]) -> tuple[str, ...]:
    """The runs that were trained, where there are any: `runs/*` names saved copies too, which have no curves."""
    from textgru.runs.layout import CONFIG, METRICS

    try:
        copies = {run for run in runs if Path(run, CONFIG).exists() and not Path(run, METRICS).exists()}
    except OSError:  # what is wrong with a name is said where the runs are read
        return runs
    if copies.issuperset(runs):
        return runs
    for run in sorted(copies):
        click.echo(f"textgru: warning: {run}: left out, it has no {METRICS} (a saved copy has none)", err=True)
    return tuple(run for run in runs if run not in copies)


def _chart(runs: Sequence[Curves], x: str, console: Console) -> list[Text]:
    """The loss, its legend above it, and the learning rate below."""
    from rich.text import Text

    from textgru.cli.charts.terminal import draw, label_width
    from textgru.runs.metrics import loss_range

    style = _style(console)
    title, losses = _losses(runs)
    others = len(losses) + RATE_ROWS + 6  # lines: the legend, the learning rate, titles, axes, the prompt after it
    rows = min(20, max(8, console.height - others))
    rates = [
        replace(series, line=curves.learning_rate)
        for curves, (_, series) in zip(runs, losses[-1:] if len(runs) == 1 else losses, strict=True)
        if len(curves.learning_rate)
    ]
    ends = [line.x[-1] for curves in runs for line in (curves.training, curves.validation) if len(line)]
    highest = max((float(series.line.y.max()) for series in rates), default=0.0)
    x_range, loss, rate = (0.0, float(max(ends)) or 1.0), loss_range(runs), (0.0, 1.05 * highest or 1.0)
    labels = max(label_width(loss, rows), label_width(rate, RATE_ROWS))
    chart = partial(draw, x=x_range, width=max(min(console.width, WIDEST), labels + 24), labels=labels, style=style)
    below = partial(chart, x_axis=x, x_ticks=_short if x == "tokens" else "{:,.10g}".format)

    lines = [Text(title, "bold")]
    lines += [
        Text.assemble("  ", ("⣀⠤⠒" if style.dots else 3 * series.letter, series.colour), f" {text}")
        for text, series in losses
    ]
    lines += (chart if rates else below)([series for _, series in reversed(losses)], y=loss, rows=rows)  # best on top
    if rates:
        lines.append(Text("learning rate", "bold"))
        lines += below(rates[::-1], y=rate, rows=RATE_ROWS)
    return lines


def _losses(runs: Sequence[Curves]) -> tuple[str, list[tuple[str, Series]]]:
    """The title, and the curves with their legends, the best first: of one run both losses, of several one each."""
    from textgru.cli.charts.terminal import Series

    if len(runs) > 1:
        lines = [curves.validation if len(curves.validation) else curves.smoothed for curves in runs]
        return "loss, nats a token", [
            (f"{curves.name}: {_best(curves)}", Series(line, LETTERS[i % len(LETTERS)], COLOURS[i % len(COLOURS)]))
            for i, (curves, line) in enumerate(zip(runs, lines, strict=True))
        ]
    curves = runs[0]
    losses = [("training loss, smoothed", Series(curves.smoothed, ".", COLOURS[0]))]
    if len(curves.validation):
        losses.insert(0, (_best(curves), Series(curves.validation, "o", COLOURS[1], points=True)))
    return f"{curves.name}: loss, nats a token", losses


def _style(console: Console) -> Style:
    """Dots need colour to tell curves apart, and an encoding that has them."""
    from textgru.cli.charts.terminal import Style

    def has(characters: str) -> bool:
        try:
            characters.encode(console.encoding)
        except (UnicodeError, LookupError):
            return False
        return True

    return Style(dots=console.color_system is not None and not console.no_color and has("⣿"), frame=has("┤│└─"))


def _best(curves: Curves) -> str:
    if curves.best is None or curves.best_step is None:
        return "training loss, smoothed"
    return f"validation loss, best {curves.best:.4f} at step {curves.best_step:,}"


def _short(number: float) -> str:
    """A count of tokens."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"
