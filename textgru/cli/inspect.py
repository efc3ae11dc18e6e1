"""textgru inspect"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from textgru.cli.json_output import print_json
from textgru.cli.options import threads_option
from textgru.cli.text_input import integers, read_text

if TYPE_CHECKING:
    import numpy as np
    from rich.text import Text

    from textgru.analysis.inspect import Inspection, Unit

MOST_SHOWN = 2_000  # tokens on a page
MOST_ON_A_TERMINAL = 400
POSITIVE, NEGATIVE = (214, 95, 0), (0, 98, 189)  # red, green, blue


@click.command(short_help="Show what a model's gates do along a text.")
@click.argument("run", metavar="RUN")
@click.argument("text", required=False, metavar="[TEXT|-]")
@click.option("--file", "-f", metavar="FILE", help="Read the text from a file.")
@click.option(
    "--units", "-u", callback=integers, metavar="N,N,...", help="These units, from 0.  [default: the most telling ones]"
)
@click.option(
    "--layer",
    type=click.IntRange(0),
    metavar="N",
    help="Of this layer, from 0.  [default: the last one for --units, else all]",
)
@click.option("--top", type=click.IntRange(1, 1000), default=8, show_default=True, help="How many telling units.")
@click.option("--html", metavar="FILE", help="Write a page with the text in colour, for all gates.")
@click.option(
    "--show",
    type=click.IntRange(1),
    metavar="N",
    help="Colour the first N tokens.  [default: 2000 on a page, 400 on a terminal]",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all values of the units.")
@threads_option  # fmt: skip
def inspect(
    run: str,
    text: str | None,
    file: str | None,
    units: list[int] | None,
    layer: int | None,
    top: int,
    html: str | None,
    show: int | None,
    encoding: str,
    as_json: bool,
) -> None:
    """Show what the gates of the model in the directory RUN do along a text: which units follow something that can be
    seen (quotes, capitals, the place in a line), and how long each remembers.

    On a terminal the text is coloured by the units' hidden state: orange above zero, blue below.
    """
    from textgru.analysis.inspect import inspect as read
    from textgru.analysis.inspect_html import page
    from textgru.atomic_files import write_atomically
    from textgru.errors import InputError, shown
    from textgru.language_model import load
    from textgru.paths import given_path

    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT (- for standard input), or --file FILE")
    target = None if html is None else given_path("html", html)
    if target is not None and target.is_dir():
        raise InputError(f"{shown(target)}: is a folder; name a file, such as units.html")
    given = text if text is not None and text != "-" else read_text(file or "-", encoding)
    model = load(run)
    found = read(model.network, model.tokenizer, given)
    if units is None:
        chosen = found.telling(top, layer)
    else:
        chosen = found.describe(len(found.gates) - 1 if layer is None else layer, units)
    if target is not None:
        title = f"What the units of {shown(model.run.path.name if model.run else run)} do"
        made = page(found, chosen, title=title, show=MOST_SHOWN if show is None else show)
        write_atomically(target, made.encode())
    if as_json:
        print_json(_facts(found, chosen))
        return
    _print_table(found, chosen)
    if target is not None:
        click.echo(f"saved in   {shown(target)}")
    else:
        _print_text(found, chosen, MOST_ON_A_TERMINAL if show is None else show)


def _facts(found: Inspection, units: list[Unit]) -> dict[str, Any]:
    return {
        "tokens": found.pieces,
        "units": [
            {**one._asdict(), "values": {name: _column(array, one) for name, array in found.gates[one.layer].items()}}
            for one in units
        ],
    }


def _column(array: np.ndarray, unit: Unit) -> list[float]:
    return [float(f"{value:.7g}") for value in array[:, unit.unit].tolist()]


def _print_table(found: Inspection, units: list[Unit]) -> None:
    from textgru.analysis.inspect import shown_memory

    click.echo(f"{len(found.pieces):,} tokens read")
    click.echo("layer   unit  remembers  correlation  follows")
    for one in units:
        follows = f"{one.correlation:+11.2f}  {one.feature}" if one.feature else f"{'-':>11}  -"
        click.echo(f"{one.layer:5}  {one.unit:5}  {shown_memory(one.memory):>9}  {follows}")


def _print_text(found: Inspection, units: list[Unit], show: int) -> None:
    """The text in the colours of each unit's state, where there are colours."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.color_system is None or console.no_color:
        return
    for one in units:
        console.print(f"\n[bold]layer {one.layer}, unit {one.unit}[/bold]: {one.feature or 'hidden state'}")
        console.print(_coloured(found.pieces[:show], found.gates[one.layer]["h"][:show, one.unit]))


def _coloured(pieces: list[str], values: np.ndarray) -> Text:
    from rich.text import Text

    text = Text()
    for piece, value in zip(pieces, values.tolist(), strict=True):
        strength = min(abs(value), 1.0)
        colour = ",".join(str(round(part * strength)) for part in (POSITIVE if value > 0 else NEGATIVE))
        shown = "".join("\ufffd" if c < " " and c not in "\n\t" else c for c in piece).replace("\n", " \n")
        text.append(shown, f"white on rgb({colour})")
    return text
